"""Smaller networks of a run: with numbers of fewer bits, or with fewer weights."""
