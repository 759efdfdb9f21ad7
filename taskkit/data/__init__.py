"""What data modules share: sources, tables, splits, quality; without torch."""
