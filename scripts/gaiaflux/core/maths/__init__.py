"""Mathematics that knows nothing of the sky: robust statistics, polynomials, least squares; no images, no stars."""
