"""Full-frame images: their preparation, and the pixels of a target in them."""
