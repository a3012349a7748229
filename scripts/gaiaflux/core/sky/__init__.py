"""Directions, projections, epochs, times and bands; no pixel values."""
