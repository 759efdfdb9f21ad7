"""Generative adversarial networks with taskkit."""
