"""Forecasts: what a series will be, how sure that is, and when something runs out."""
