"""Forecasting time series with taskkit."""
