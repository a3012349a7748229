"""Mathematics that knows nothing of the sky: robust statistics, polynomials, surfaces, two-way least squares; no images, no stars."""
