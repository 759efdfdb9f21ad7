"""Regression on tables of numbers and categories, by a network or by boosted trees."""
