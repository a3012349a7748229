"""A part of a full-frame image with stars by a response function in closed form, for the tests of core."""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.psf.sampled import sampled_psf
from gaiaflux.sim.tess.response import Response, response_grid

ZERO_POINT, EXPOSURE_S, READ_VARIANCE, SKY = 20.45, 1343.0, 0.0395, 147.0
CORNER = 900, 500
HALF = 7


def light(tmag):
    """Electrons per second of a magnitude."""
    return 10.0 ** (0.4 * (ZERO_POINT - np.asarray(tmag, float)))


def tmag(flux):
    """Magnitude of a light."""
    return ZERO_POINT - 2.5 * np.log10(flux)


@dataclass
class SkyImage:
    """An image, its variance, and the truth: places and magnitudes of the stars."""

    image: np.ndarray
    variance: np.ndarray
    x: np.ndarray
    y: np.ndarray
    tmag: np.ndarray


def response_psf(shift=(0, 0)):
    """What the files would give; with a shift they are those of another place of the CCD."""
    samples, columns, rows = response_grid()
    return sampled_psf(samples, 9, columns + shift[0], rows + shift[1], (2048, 2092))


def sky_image(x, y, mag, shape, seed):
    """Stars on a sky with photon and read noise."""
    x, y, mag = (np.atleast_1d(np.asarray(values, float)) for values in (x, y, mag))
    frame = np.zeros((shape[0] + 4 * HALF, shape[1] + 4 * HALF))
    made = {}
    for at_x, at_y, flux in zip(x, y, light(mag), strict=True):
        block = int(at_x) // 32, int(at_y) // 32
        if block not in made:
            made[block] = Response.at(CORNER[0] + 32 * block[0] + 16, CORNER[1] + 32 * block[1] + 16)
        i, j = int(np.rint(at_x)), int(np.rint(at_y))
        place = np.array([at_x - i + HALF]), np.array([at_y - j + HALF])
        stamp = made[block].light(*place, (2 * HALF + 1, 2 * HALF + 1))[0]
        frame[j + HALF : j + 3 * HALF + 1, i + HALF : i + 3 * HALF + 1] += flux * stamp
    image = frame[2 * HALF : -2 * HALF, 2 * HALF : -2 * HALF] + SKY
    noise = np.random.default_rng(seed).normal(size=shape)
    image = image + noise * np.sqrt(image / EXPOSURE_S + READ_VARIANCE)
    variance = image / EXPOSURE_S + READ_VARIANCE
    return SkyImage(image.astype(np.float32), variance.astype(np.float32), x, y, mag)


def crowded_image(shape, seed, faintest=17.5):
    """Stars as dense as in the shared crop: 75 brighter than T 13 in 128 x 128 pixels, 0.28 dex more a magnitude."""
    rng = np.random.default_rng(seed)
    ny, nx = shape
    area = (ny + 12) * (nx + 12)
    n = rng.poisson(75 / 128**2 * area * 10 ** (0.28 * (faintest - 13)))
    mag = np.maximum(faintest + np.log10(rng.uniform(size=n)) / 0.28, 6.8)
    x, y = rng.uniform(-6, nx + 5, n), rng.uniform(-6, ny + 5, n)
    return sky_image(x, y, mag, shape, seed)


def alone(sky, reach=4.0, share=0.02):
    """Whether no star within some pixels has more than a share of a star's light."""
    apart = np.hypot(np.subtract.outer(sky.x, sky.x), np.subtract.outer(sky.y, sky.y))
    flux = light(sky.tmag)
    near = (apart < reach) & (apart > 0) & (flux[None, :] > share * flux[:, None])
    return ~near.any(axis=1)
