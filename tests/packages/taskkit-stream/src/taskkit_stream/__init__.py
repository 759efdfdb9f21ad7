"""Telling languages apart from a stream of lines that need not end."""
