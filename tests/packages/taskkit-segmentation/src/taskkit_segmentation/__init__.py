"""Semantic segmentation with taskkit."""
