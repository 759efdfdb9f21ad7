"""Retrieval of the most alike training examples with taskkit."""
