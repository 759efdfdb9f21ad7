"""What `taskkit new plugin` writes: a distribution that learns something from its first hour, out of templates."""
