"""From examples to batches: encoding, the store of samples, plans, loaders."""
