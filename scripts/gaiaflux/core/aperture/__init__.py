"""Photometry in circular apertures: sums, their correction to the star's whole light, neighbours, choice of radius."""
