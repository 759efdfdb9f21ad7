"""Training and judging: the only room that knows Lightning's Trainer."""
