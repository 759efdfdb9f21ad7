"""Whether a run is as fast as it can be: what a step costs, and which changes are measured to make it cheaper."""
