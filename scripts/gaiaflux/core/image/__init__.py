"""The pixels of one image without its stars: flags, background, noise, the sky around a place, cut-outs."""
