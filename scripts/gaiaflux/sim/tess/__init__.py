"""Simulated target pixel fields with known truth: response function, pointing, stars, and files like a mission's."""
