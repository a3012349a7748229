"""Composition for ground-based image series: which numerics in which order."""
