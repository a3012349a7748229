"""Gaia's stars from archives and tables, and the pinned catalogue of a series."""
