"""Recommendation for taskkit."""
