"""A sound plugin: nothing is wrong with it."""
