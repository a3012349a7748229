"""Exact area that a circle and a square pixel share."""

import numpy as np

from gaiaflux.core.kernels.compile import device, kernel

__all__ = ["circle_overlap", "circle_pixel"]


def circle_overlap(dx: np.ndarray, dy: np.ndarray, radius: float) -> np.ndarray:
    """Area of a unit pixel inside a circle.

    Parameters
    ----------
    dx, dy : ndarray, shape (n,)
        Pixel's centre minus circle's centre [pixel].
    radius : float
        Radius of the circle [pixel].

    Returns
    -------
    ndarray of float64, shape (n,)
        0 to 1.
    """
    dx, dy = (np.array(values, np.float64) for values in np.broadcast_arrays(dx, dy))
    area = np.empty(dx.shape)
    _overlaps(dx.ravel(), dy.ravel(), float(radius), area.ravel())
    return area


@device
def _segment(chord2: float, r: float) -> float:
    """Area between a chord of length^2 `chord2` and its arc of radius `r`, less than half the circle."""
    t = 0.25 * chord2 / (r * r)
    if t < 0.04:
        # r^2 (asin s - s sqrt(1 - s^2)), s^2 = t, as a series: the difference itself would lose digits.
        series = 2.0 / 3.0 + t * (
            1.0 / 5.0 + t * (3.0 / 28.0 + t * (5.0 / 72.0 + t * (35.0 / 704.0 + t * 63.0 / 1664.0)))
        )
        return r * r * t * np.sqrt(t) * series
    s = min(np.sqrt(t), 1.0)
    return r * r * (np.arcsin(s) - s * np.sqrt(1.0 - s * s))


@device
def _quadrant(x0: float, y0: float, x1: float, y1: float, r: float) -> float:
    """Area of the rectangle x0..x1, y0..y1 (all >= 0) inside the circle around the origin."""
    r2 = r * r
    if x0 >= x1 or y0 >= y1 or x0 * x0 + y0 * y0 >= r2:
        return 0.0
    if x1 * x1 + y1 * y1 <= r2:
        return (x1 - x0) * (y1 - y0)
    # Where the arc enters (top or left edge) and leaves (right or bottom edge).
    top = x0 * x0 + y1 * y1 <= r2
    right = x1 * x1 + y0 * y0 <= r2
    xa = np.sqrt(r2 - y1 * y1) if top else x0
    ya = y1 if top else np.sqrt(r2 - x0 * x0)
    xb = x1 if right else np.sqrt(r2 - y0 * y0)
    yb = np.sqrt(r2 - x1 * x1) if right else y0
    if top and right:
        area = (x1 - x0) * (y1 - y0) - 0.5 * (x1 - xa) * (y1 - yb)
    elif top:
        area = 0.5 * (xa + xb - 2.0 * x0) * (y1 - y0)
    elif right:
        area = 0.5 * (ya + yb - 2.0 * y0) * (x1 - x0)
    else:
        area = 0.5 * (xb - x0) * (ya - y0)
    return area + _segment((xb - xa) ** 2 + (ya - yb) ** 2, r)


@device
def circle_pixel(dx: float, dy: float, r: float) -> float:
    """Area of the unit pixel at (dx, dy) inside the circle around the origin."""
    x0 = abs(dx) - 0.5
    y0 = abs(dy) - 0.5
    x1 = x0 + 1.0
    y1 = y0 + 1.0
    if x0 >= 0.0 and y0 >= 0.0:
        return _quadrant(x0, y0, x1, y1, r)
    # The pixel lies over an axis: its parts are mirrored into the first quadrant.
    if x0 >= 0.0:
        return _quadrant(x0, 0.0, x1, y1, r) + _quadrant(x0, 0.0, x1, -y0, r)
    if y0 >= 0.0:
        return _quadrant(0.0, y0, x1, y1, r) + _quadrant(0.0, y0, -x0, y1, r)
    right = _quadrant(0.0, 0.0, x1, y1, r) + _quadrant(0.0, 0.0, x1, -y0, r)
    return right + _quadrant(0.0, 0.0, -x0, y1, r) + _quadrant(0.0, 0.0, -x0, -y0, r)


@kernel("void(float64[::1], float64[::1], float64, float64[::1])")
def _overlaps(dx: np.ndarray, dy: np.ndarray, r: float, area: np.ndarray) -> None:
    for k in range(len(dx)):
        area[k] = circle_pixel(dx[k], dy[k], r)
