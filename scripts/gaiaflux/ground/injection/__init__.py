"""Stars of known flux planted in copies of a series' images, and what was measured of them."""
