"""The light of very many stars on the pixels of a CCD, by the closed form of the response.

`gaiaflux.sim.tess.response` integrates its Gaussians over the pixel by quadrature; here they are differences of the
normal distribution function, which is interpolated in a table to 1e-10.
"""

from math import erf

import numpy as np

from gaiaflux.core.kernels.compile import device, kernel
from gaiaflux.sim.tess.response import OVERSAMPLING, PARTS, SIZE_PIX, response_shape

__all__ = ["add_halos", "add_stars", "star_shapes"]

# Of the table of the normal distribution function: steps in a standard deviation, and how far out it goes.
STEPS, REACH = 64, 9
HALF = SIZE_PIX / 2.0
# Of the halo: its scale [pixel], how far it goes [pixel], and the light in a pixel below which it ends [electron/s].
HALO_PIX, HALO_END_PIX, HALO_LEAST = 6.0, 60.0, 0.003
PART, CENTRE_X, CENTRE_Y, WIDTH_X, WIDTH_Y = range(5)


def _normal_table() -> np.ndarray:
    """Values of the normal distribution function and their slopes per step, shape (n, 2)."""
    z = np.arange(-REACH * STEPS, REACH * STEPS + 1) / STEPS
    values = [0.5 * (1.0 + erf(one / np.sqrt(2.0))) for one in z]
    return np.stack([values, np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi) / STEPS], axis=1)


NORMAL = _normal_table()


@device
def _below(z, table):  # noqa: ANN001, ANN202
    """Part of a normal distribution below z."""
    place = (z + REACH) * STEPS
    if place <= 0.0:
        return 0.0
    if place >= 2 * REACH * STEPS:
        return 1.0
    k = int(place)
    f = place - k
    g = 1.0 - f
    low = table[k, 0] * (1.0 + 2.0 * f) + table[k, 1] * f
    high = table[k + 1, 0] * (1.0 + 2.0 * g) - table[k + 1, 1] * g
    return low * g * g + high * f * f


@kernel("void(float64[:, ::1], float64[:, :, ::1])")
def _normalize(table, shapes):  # noqa: ANN001, ANN202
    """Give the samples of each star's function the sum that those of the mission's files have."""
    n, n_parts, _ = shapes.shape
    middle = OVERSAMPLING // 2
    for s in range(n):
        total = 0.0
        for c in range(n_parts):
            across = 0.0
            along = 0.0
            for phase in range(-middle, middle + 1):
                offset = phase / OVERSAMPLING
                x = offset - shapes[s, c, CENTRE_X]
                y = offset - shapes[s, c, CENTRE_Y]
                wide = shapes[s, c, WIDTH_X]
                high = shapes[s, c, WIDTH_Y]
                across += _below((x + HALF) / wide, table) - _below((x - HALF) / wide, table)
                along += _below((y + HALF) / high, table) - _below((y - HALF) / high, table)
            total += shapes[s, c, PART] * across * along
        for c in range(n_parts):
            shapes[s, c, PART] *= OVERSAMPLING**2 / total


@kernel("void(float64[:, ::1], float64[:, :, ::1], float64[:, ::1], float64[:, ::1], float64[:, ::1])")
def _add(stars, shapes, table, profiles, image):  # noqa: ANN001, ANN202
    n, n_parts, _ = shapes.shape
    ny, nx = image.shape
    for s in range(n):
        x, y, flux = stars[s, 0], stars[s, 1], stars[s, 2]
        left, right = max(int(np.ceil(x - HALF)), 0), min(int(np.floor(x + HALF)), nx - 1)
        low, high = max(int(np.ceil(y - HALF)), 0), min(int(np.floor(y + HALF)), ny - 1)
        if flux == 0.0 or left > right or low > high:
            continue
        for c in range(n_parts):
            centre, width = x + shapes[s, c, CENTRE_X], shapes[s, c, WIDTH_X]
            before = _below((left - 0.5 - centre) / width, table)
            for i in range(left, right + 1):
                after = _below((i + 0.5 - centre) / width, table)
                profiles[2 * c, i - left] = (after - before) * shapes[s, c, PART] * flux
                before = after
            centre, width = y + shapes[s, c, CENTRE_Y], shapes[s, c, WIDTH_Y]
            before = _below((low - 0.5 - centre) / width, table)
            for j in range(low, high + 1):
                after = _below((j + 0.5 - centre) / width, table)
                profiles[2 * c + 1, j - low] = after - before
                before = after
        for j in range(low, high + 1):
            for i in range(left, right + 1):
                light = 0.0
                for c in range(n_parts):
                    light += profiles[2 * c, i - left] * profiles[2 * c + 1, j - low]
                image[j, i] += light


@kernel("void(float64[:, ::1], float64, float64[:, ::1])")
def _add_halo(stars, part, image):  # noqa: ANN001, ANN202
    ny, nx = image.shape
    for s in range(len(stars)):
        x, y = stars[s, 0], stars[s, 1]
        amount = part * stars[s, 2] * HALO_PIX / (2.0 * np.pi)
        square = (amount / HALO_LEAST) ** (2.0 / 3.0) - HALO_PIX * HALO_PIX
        if square <= 0.0:
            continue
        square = min(square, HALO_END_PIX * HALO_END_PIX)
        far = np.sqrt(square)
        for j in range(max(int(np.ceil(y - far)), 0), min(int(np.floor(y + far)), ny - 1) + 1):
            for i in range(max(int(np.ceil(x - far)), 0), min(int(np.floor(x + far)), nx - 1) + 1):
                distance = (i - x) * (i - x) + (j - y) * (j - y)
                if distance <= square:
                    image[j, i] += amount / (distance + HALO_PIX * HALO_PIX) ** 1.5


def star_shapes(column: np.ndarray, row: np.ndarray) -> np.ndarray:
    """The response's components for stars.

    Parameters
    ----------
    column, row : ndarray, shape (n,)
        Places on the CCD, 0-based, with the virtual columns [pixel].

    Returns
    -------
    ndarray of float64, shape (n, 3, 5)
        For each component the part of the light, centre in x and y from the star and standard deviations [pixel].
    """
    shape = response_shape(column, row)
    parts = np.broadcast_to(PARTS, shape.x.shape)
    shapes = np.ascontiguousarray(np.stack([parts, shape.x, shape.y, shape.width_x, shape.width_y], axis=-1))
    _normalize(NORMAL, shapes)
    return shapes


def add_stars(image: np.ndarray, stars: np.ndarray, shapes: np.ndarray) -> None:
    """Add the light of stars to an image, as `Response.light` makes it.

    Parameters
    ----------
    image : ndarray of float64, shape (ny, nx)
        Is changed.
    stars : ndarray of float64, shape (n, 3)
        x, y [pixel of the image] and light [electron/s].
    shapes : ndarray of float64, shape (n, 3, 5)
        From `star_shapes`.
    """
    profiles = np.empty((2 * shapes.shape[1], SIZE_PIX + 1))
    _add(np.ascontiguousarray(stars, np.float64), shapes, NORMAL, profiles, image)


def add_halos(image: np.ndarray, stars: np.ndarray, part: float) -> None:
    """Add what falls wide around stars, beside the response: as 1 / (r^2 + 6^2)^1.5, r in pixels, out to 60 of them.

    Parameters
    ----------
    image : ndarray of float64, shape (ny, nx)
        Is changed.
    stars : ndarray of float64, shape (n, 3)
        x, y [pixel of the image] and light [electron/s].
    part : float
        Of the light, in addition to it.
    """
    _add_halo(np.ascontiguousarray(stars, np.float64), float(part), image)
