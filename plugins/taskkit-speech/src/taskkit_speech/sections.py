"""The settings of this plugin's tasks, models and data in a recipe."""
