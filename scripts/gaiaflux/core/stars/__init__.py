"""Finding stars in images and stacks, and cosmic rays that are none; fluxes by a PSF live in `psf`."""
