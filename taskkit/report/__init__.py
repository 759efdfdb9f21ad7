"""Runs as one HTML file that a person reads: what came of them, how sure that is, and how it was made."""
