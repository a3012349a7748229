"""One image before its photometry: stars, plate solution, pixels with their noise."""
