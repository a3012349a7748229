"""A scoring step of the maximum-likelihood fit of flux and position: sums over a star's pixels, and their solution."""

from gaiaflux.core.kernels.compile import device
from gaiaflux.core.kernels.devices import inverse_symmetric3

__all__ = ["NO_SUMS", "Sums", "add_pixel", "solve_step"]

Sums = tuple[float, float, float, float, float, float, float, float, float]
"""Upper triangle of the information matrix of (flux, x, y), row by row, then the gradient."""
NO_SUMS = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@device
def add_pixel(sums: Sums, w: float, p: float, slope_x: float, slope_y: float, residual: float) -> Sums:
    """Add a pixel of weight `w` where the profile is `p`, and the light has two slopes and a residual."""
    h00, h01, h02, h11, h12, h22, g0, g1, g2 = sums
    return (
        h00 + w * p * p,
        h01 + w * p * slope_x,
        h02 + w * p * slope_y,
        h11 + w * slope_x * slope_x,
        h12 + w * slope_x * slope_y,
        h22 + w * slope_y * slope_y,
        g0 + w * p * residual,
        g1 + w * slope_x * residual,
        g2 + w * slope_y * residual,
    )


@device
def solve_step(sums: Sums, smallest: float) -> tuple[float, float, float, float, float, float, float, bool]:
    """Row of the flux in the inverse matrix, variances of x and y, their shifts, and whether there is an inverse.

    `smallest` is that of `gaiaflux.core.kernels.devices.inverse_symmetric3`.
    """
    h00, h01, h02, h11, h12, h22, g0, g1, g2 = sums
    c00, c01, c02, c11, c12, c22, regular = inverse_symmetric3(h00, h01, h02, h11, h12, h22, smallest)
    shift_x = c01 * g0 + c11 * g1 + c12 * g2
    shift_y = c02 * g0 + c12 * g1 + c22 * g2
    return c00, c01, c02, c11, c22, shift_x, shift_y, regular
