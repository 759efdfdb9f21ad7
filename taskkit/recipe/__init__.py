"""From files and overrides to one typed recipe, with every problem and every origin; without torch."""
