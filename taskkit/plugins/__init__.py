"""Which plugins there are: guarded discovery, and whether what they declare fits together."""
