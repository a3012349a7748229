"""The camera: pixels, noise, defects and cosmic rays."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gaiaflux.model.flags import PixelFlag

__all__ = ["COSMIC_DTYPE", "Camera", "Defects", "Exposure", "add_cosmic_rays", "expose", "make_defects"]

COSMIC_DTYPE = np.dtype([("x", "f8"), ("y", "f8"), ("length", "f4"), ("energy", "f4")])
"""Centre [pixel], length of the track [pixel] (0 = one pixel) and deposited charge [electron]."""


@dataclass(frozen=True)
class Camera:
    """What stays the same from frame to frame.

    Attributes
    ----------
    shape : tuple of int
        (ny, nx).
    pixel_scale_arcsec : float
        Scale at the tangent point [arcsec/pixel].
    rotation_deg : float
        Position angle of the y axis [deg].
    distortion_arcsec : float
        Largest distortion at a corner [arcsec].
    gain : float
        [electron/adu]; used where a frame is written in adu.
    read_noise : float
        [electron].
    full_well : float
        Pixels saturate at this level [electron].
    bad_columns : int
        Number of bad columns, each of random extent.
    bad_pixel_fraction : float
        Single dead or hot pixels.
    cosmic_rays_per_mpix : float
        Mean number of hits per 2^20 pixels and exposure.
    """

    shape: tuple[int, int] = (2048, 2048)
    pixel_scale_arcsec: float = 0.389
    rotation_deg: float = 0.7
    distortion_arcsec: float = 5.0
    gain: float = 2.3
    read_noise: float = 8.0
    full_well: float = 120_000.0
    bad_columns: int = 6
    bad_pixel_fraction: float = 2e-4
    cosmic_rays_per_mpix: float = 20.0


@dataclass(frozen=True)
class Defects:
    """Pixels that do not count right.

    Attributes
    ----------
    rows, columns : ndarray of int64, shape (n,)
        Where they are.
    response : ndarray of float32, shape (n,)
        Part of the light that they register.
    offset : ndarray of float32, shape (n,)
        Charge of their own [electron].
    """

    rows: np.ndarray
    columns: np.ndarray
    response: np.ndarray
    offset: np.ndarray


def make_defects(camera: Camera, rng: np.random.Generator) -> Defects:
    """Draw the bad columns and pixels of a camera.

    Parameters
    ----------
    camera : Camera
        Camera.
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    Defects
        No pixel occurs twice.
    """
    ny, nx = camera.shape
    bad = np.zeros(camera.shape, dtype=bool)
    for column in rng.integers(0, nx, camera.bad_columns):
        start = 0 if rng.random() < 0.4 else int(rng.integers(0, ny))
        bad[start:, column] = True
    n_single = rng.poisson(camera.bad_pixel_fraction * nx * ny)
    bad[rng.integers(0, ny, n_single), rng.integers(0, nx, n_single)] = True
    rows, columns = np.nonzero(bad)
    dead = rng.random(len(rows)) < 0.5
    response = np.where(dead, rng.uniform(0.0, 0.6, len(rows)), 1.0).astype(np.float32)
    offset = np.where(dead, 0.0, 10.0 ** rng.uniform(2.3, 4.5, len(rows))).astype(np.float32)
    return Defects(rows, columns, response, offset)


def add_cosmic_rays(image: np.ndarray, mean_number: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Add single hits and short straight tracks, without any blur.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        [electron]; the charge is added to it.
    mean_number : float
        Mean number of hits.
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    hits : ndarray of COSMIC_DTYPE, shape (n,)
        What was added.
    pixels : ndarray of int64, shape (n_pixels, 2)
        (row, column) of every pixel that got charge; sorted, each once.
    """
    ny, nx = image.shape
    number = int(rng.poisson(mean_number))
    hits = np.zeros(number, dtype=COSMIC_DTYPE)
    hits["x"] = rng.uniform(-0.5, nx - 0.5, number)
    hits["y"] = rng.uniform(-0.5, ny - 0.5, number)
    hits["length"] = np.where(rng.random(number) < 0.5, 0.0, rng.exponential(4.0, number).clip(1.0, 25.0))
    # A minimum-ionising particle leaves some 80 electron per micrometre: about a thousand in a thin chip, more aslant.
    hits["energy"] = 10.0 ** rng.normal(3.3, 0.3, number) * np.maximum(hits["length"], 1.0) ** 0.7
    angle = rng.uniform(0.0, np.pi, number)
    touched: list[np.ndarray] = []
    for hit, direction in zip(hits, angle, strict=True):
        steps = max(1, int(np.ceil(hit["length"] * 8)))
        along = (np.arange(steps) + 0.5) / steps * hit["length"] - 0.5 * hit["length"]
        columns = np.floor(hit["x"] + along * np.cos(direction) + 0.5).astype(np.int64)
        rows = np.floor(hit["y"] + along * np.sin(direction) + 0.5).astype(np.int64)
        inside = (columns >= 0) & (columns < nx) & (rows >= 0) & (rows < ny)
        np.add.at(image, (rows[inside], columns[inside]), np.float32(hit["energy"] / steps))
        touched.append(rows[inside] * nx + columns[inside])
    flat = np.unique(np.concatenate(touched)) if touched else np.zeros(0, dtype=np.int64)
    return hits, np.stack([flat // nx, flat % nx], axis=1)


class Exposure(NamedTuple):
    """Pixels as they are read out, and the cosmic rays in them.

    Attributes
    ----------
    image : ndarray of float32, shape (ny, nx)
        [electron], clipped at the full well.
    flags : ndarray of uint8, shape (ny, nx)
        `PixelFlag.BAD` for defects and `PixelFlag.SATURATED`.
    cosmic_rays : ndarray of COSMIC_DTYPE
        Hits.
    cosmic_pixels : ndarray of int64, shape (n, 2)
        (row, column) of pixels with charge of cosmic rays.
    """

    image: np.ndarray
    flags: np.ndarray
    cosmic_rays: np.ndarray
    cosmic_pixels: np.ndarray


def expose(
    light: np.ndarray, camera: Camera, defects: Defects, rng: np.random.Generator, *, poisson: bool = False
) -> Exposure:
    """Read out an exposure.

    Parameters
    ----------
    light : ndarray of float32, shape (ny, nx)
        Expected charge of sky and stars [electron]; overwritten.
    camera : Camera
        Camera.
    defects : Defects
        Bad pixels.
    rng : numpy.random.Generator
        Source of random numbers.
    poisson : bool
        Draw photon noise from the Poisson distribution, at ten times the cost; else from the normal distribution
        with the same variance, which at a few hundred electron a pixel makes no difference.

    Returns
    -------
    Exposure
    """
    ny, nx = camera.shape
    where = defects.rows, defects.columns
    light[where] = light[where] * defects.response + defects.offset
    cosmic_rng, noise_rng = rng.spawn(2)
    noise = noise_rng.standard_normal(camera.shape, dtype=np.float32)
    if poisson:
        image = noise_rng.poisson(light).astype(np.float32)
        noise *= np.float32(camera.read_noise)
    else:
        image = light
        noise *= np.sqrt(light + np.float32(camera.read_noise**2))
    hits, pixels = add_cosmic_rays(image, camera.cosmic_rays_per_mpix * nx * ny / 2**20, cosmic_rng)
    image += noise
    np.minimum(image, np.float32(camera.full_well), out=image)
    flags = np.zeros(camera.shape, dtype=np.uint8)
    flags[image >= camera.full_well] = PixelFlag.SATURATED
    flags[where] |= PixelFlag.BAD
    return Exposure(image, flags, hits, pixels)
