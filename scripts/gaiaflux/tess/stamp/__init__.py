"""One target: its pixels, stars, movement, measurement and files."""
