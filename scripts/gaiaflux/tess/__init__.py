"""TESS: from target pixel files to light curves by point-spread function and by aperture."""
