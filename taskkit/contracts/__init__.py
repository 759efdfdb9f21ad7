"""What a plugin author implements, and the values that pass between these: facts, settings, data, models, tasks."""
