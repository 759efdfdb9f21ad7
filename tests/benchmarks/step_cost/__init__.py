"""What a training step costs on the host: one description of the work, and several drivers of it."""
