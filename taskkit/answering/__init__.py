"""Asking about new inputs: what is asked, one by one or by the million, and what answers."""
