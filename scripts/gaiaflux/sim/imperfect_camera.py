"""Cameras as they are: wrong flats, amplifiers, bleeding columns, ghosts, a response that is not linear, trails."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from gaiaflux.sim.detector import Camera
from gaiaflux.sim.structure import random_field

__all__ = [
    "HotPixels",
    "ImperfectCamera",
    "add_ghosts",
    "add_trail",
    "amplifiers",
    "bleed",
    "flat_errors",
    "hot_pixels",
]

AMPLIFIER_STEPS = (-1.0, 0.7, 1.0, -0.5)
"""Bias or gain of the four amplifiers over the largest deviation."""

GHOST_RADII_PIX = (12.0, 55.0)


class HotPixels(NamedTuple):
    """Hot pixels that no mask knows.

    Attributes
    ----------
    rows, columns : ndarray of int64, shape (n,)
        Where they are.
    charge : ndarray, shape (n,)
        [electron].
    """

    rows: np.ndarray
    columns: np.ndarray
    charge: np.ndarray


@dataclass(frozen=True)
class ImperfectCamera:
    """A camera and what calibration leaves of its faults; nothing of it is in the headers.

    Attributes
    ----------
    camera : Camera
        Size, noise, full well, masked defects, cosmic rays.
    n_cameras : int
        Frames come from so many cameras in turn, a third of the series each for three; each has its own flat errors
        and colour term.
    colour_terms_mag : float
        Largest colour term of a camera [mag per mag of BP - RP].
    flat : float
        Standard deviation of the errors of the flat field; multiplies sky and stars.
    flat_scale_pix : float
        Their scale [pixel].
    bias_step : float
        Largest error of the bias of an amplifier [electron].
    gain_step : float
        Largest relative error of the gain of an amplifier.
    nonlinearity : float
        Relative loss of counts at full well, in proportion to the counts.
    bleeding : bool
        Charge above the full well flows along the columns.
    ghost : float
        Light of the halo of a star, from reflections, over that of the star; not counted to its total.
    hot_pixels : int
        Hot pixels that no mask knows.
    trails : int
        Frames with a satellite's trail.
    plain : bool
        Frames are 16-bit integers in adu, with neither errors nor a mask.
    silent : bool
        Headers of plain frames say nothing of gain, read noise and saturation.
    """

    camera: Camera = field(default_factory=lambda: Camera(shape=(1024, 1024), distortion_arcsec=3.0, bad_columns=3))
    n_cameras: int = 1
    colour_terms_mag: float = 0.0
    flat: float = 0.0
    flat_scale_pix: float = 100.0
    bias_step: float = 0.0
    gain_step: float = 0.0
    nonlinearity: float = 0.0
    bleeding: bool = False
    ghost: float = 0.0
    hot_pixels: int = 0
    trails: int = 0
    plain: bool = False
    silent: bool = False


def flat_errors(chip: ImperfectCamera, rng: np.random.Generator) -> np.ndarray:
    """Response of the pixels after a wrong flat field.

    Parameters
    ----------
    chip : ImperfectCamera
        Camera.
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    ndarray, shape (ny, nx)
        About 1.
    """
    if not chip.flat:
        return np.ones(chip.camera.shape)
    return 1.0 + chip.flat * random_field(chip.camera.shape, chip.flat_scale_pix, rng)


def amplifiers(chip: ImperfectCamera) -> tuple[np.ndarray, np.ndarray]:
    """Gain and bias of a camera with four amplifiers, one value for each quarter.

    Parameters
    ----------
    chip : ImperfectCamera
        Camera.

    Returns
    -------
    gain : ndarray, shape (ny, nx)
        Over the stated one.
    bias : ndarray, shape (ny, nx)
        What calibration left of it [electron].
    """
    ny, nx = chip.camera.shape
    quarter = 2 * (np.arange(ny) >= ny // 2)[:, None] + (np.arange(nx) >= nx // 2)[None, :]
    steps = np.array(AMPLIFIER_STEPS)
    return (1.0 + chip.gain_step * steps)[quarter], (chip.bias_step * np.roll(steps, 1))[quarter]


def bleed(light: np.ndarray, full_well: float, up: float = 0.5) -> np.ndarray:
    """Let charge above the full well flow along its column until pixels take it up.

    Parameters
    ----------
    light : ndarray, shape (..., ny, nx)
        Charge of one image or of several [electron].
    full_well : float
        What a pixel holds [electron].
    up : float
        Part of it that flows to higher rows.

    Returns
    -------
    ndarray, shape (..., ny, nx)
        The same sum, but for what flows over the edges of the image.
    """
    result = light.copy()
    columns = np.flatnonzero((light > full_well).any(axis=tuple(range(light.ndim - 1))))
    part = light[..., columns].astype(np.float64)
    held, excess = np.minimum(part, full_well), np.maximum(part - full_well, 0.0)
    rows = range(light.shape[-2])
    for order, share in ((rows, up), (rows[::-1], 1.0 - up)):
        flowing = np.zeros_like(part[..., 0, :])
        for row in order:
            flowing += share * excess[..., row, :]
            taken = np.minimum(flowing, full_well - held[..., row, :])
            held[..., row, :] += taken
            flowing -= taken
    result[..., columns] = held
    return result


def add_ghosts(light: np.ndarray, x: np.ndarray, y: np.ndarray, flux: np.ndarray, faintest: float) -> None:
    """Add the halos of bright stars: discs out of focus with a hole, a little beside the star, in place.

    Parameters
    ----------
    light : ndarray of float32, shape (ny, nx)
        Charge [electron].
    x, y : ndarray, shape (n,)
        Places of the stars [pixel].
    flux : ndarray, shape (n,)
        Light of the halos [electron].
    faintest : float
        Halos fainter than this are left out [electron/pixel].
    """
    ny, nx = light.shape
    inner, outer = GHOST_RADII_PIX
    area = np.pi * (outer**2 - inner**2)
    for k in np.flatnonzero(flux / area > faintest):
        # A ghost lies towards the middle of the image, by a part of the star's distance from it.
        middle_x, middle_y = x[k] - 0.01 * (x[k] - 0.5 * nx), y[k] - 0.01 * (y[k] - 0.5 * ny)
        rows = slice(*(int(np.clip(middle_y + s * (outer + 3), 0, ny)) for s in (-1, 1)))
        columns = slice(*(int(np.clip(middle_x + s * (outer + 3), 0, nx)) for s in (-1, 1)))
        row, column = np.mgrid[rows, columns]
        radius = np.hypot(column - middle_x, row - middle_y)
        inside = np.clip(outer - radius + 0.5, 0.0, 1.0) * np.clip(radius - inner + 0.5, 0.0, 1.0)
        light[rows, columns] += (flux[k] / area * inside).astype(np.float32)


def add_trail(light: np.ndarray, fwhm_pix: float, rng: np.random.Generator) -> None:
    """Add a satellite's trail right across the image, in place.

    Parameters
    ----------
    light : ndarray of float32, shape (ny, nx)
        Charge [electron].
    fwhm_pix : float
        Width across [pixel].
    rng : numpy.random.Generator
        Source of random numbers: place, direction, and a brightness of 300 to 3000 electron in the middle of the trail.
    """
    ny, nx = light.shape
    angle = rng.uniform(0.0, np.pi)
    x, y = rng.uniform(0.25, 0.75, 2) * (nx, ny)
    peak = 10.0 ** rng.uniform(2.5, 3.5)
    row, column = np.mgrid[:ny, :nx]
    across = (column - x) * np.sin(angle) - (row - y) * np.cos(angle)
    light += (peak * np.exp(-4.0 * np.log(2.0) * (across / fwhm_pix) ** 2)).astype(np.float32)


def hot_pixels(chip: ImperfectCamera, rng: np.random.Generator) -> HotPixels:
    """Draw hot pixels of 100 to 10,000 electron.

    Parameters
    ----------
    chip : ImperfectCamera
        Camera.
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    HotPixels
    """
    ny, nx = chip.camera.shape
    number = chip.hot_pixels
    charge = 10.0 ** rng.uniform(2.0, 4.0, number)
    return HotPixels(rng.integers(0, ny, number), rng.integers(0, nx, number), charge)
