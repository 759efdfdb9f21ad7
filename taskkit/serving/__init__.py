"""Models that are asked over HTTP."""
