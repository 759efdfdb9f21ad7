"""What these data state about their inputs and targets."""
