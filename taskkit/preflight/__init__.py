"""What can be known of a run before it is begun: whether it can learn, how long it takes and what it needs."""
