"""Simulated series with known truth."""
