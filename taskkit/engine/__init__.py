"""Training and judging: the only rooms that know Lightning."""
