"""What is settled once for a series: footprint, reference image, catalogue of stars."""
