"""Many frames of one stamp: where its stars are, what is in them that does not change, and the light of each frame."""
