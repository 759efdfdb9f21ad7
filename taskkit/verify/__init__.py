"""Proofs that a run can be trusted: what must come out alike is done twice, for real, and compared."""
