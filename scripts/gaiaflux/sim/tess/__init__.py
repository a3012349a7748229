"""Simulated pixels of TESS with known truth, stamps and full frames: response, pointing, stars, sky, files."""
