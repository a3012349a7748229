"""Files of the TESS mission and of those that come with them."""
