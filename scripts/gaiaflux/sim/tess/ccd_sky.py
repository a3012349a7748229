"""The sky of a simulated CCD: zodiacal light, light scattered from the Earth, corner glow, and how pixels see it."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gaiaflux.core.sky.focal_plane import CCD_SHAPE, FIRST_SCIENCE_COLUMN

__all__ = ["PixelResponse", "SkyLight", "SkySetup", "glow_profile", "pixel_response", "sky_light"]

GLOW_FROM, GLOW_TO, GLOW_SCALE = 2400.0, 2970.0, 170.0  # from the camera's centre [pixel]
# Part of an orbit in which scattered light fades after its beginning and rises before its end; the first is the weaker.
FADES, RISES, FIRST_PART = 0.05, 0.08, 0.5
# How much more of the scattered light a strap sees, which is redder than the zodiacal.
REDDER = 1.6
STRAP_EVERY, STRAP_WIDTH = 43, 2
PATCH_PIX, PATCH_PART = 450.0, 0.25


@dataclass(frozen=True)
class SkySetup:
    """What shines besides the stars.

    Attributes
    ----------
    zodiacal : float
        In the middle of the CCD [electron/s/pixel].
    scattered : float
        Light scattered from the Earth at the end of an orbit, in the middle of the CCD [electron/s/pixel].
    glow : float
        Corner glow at the corner that is farthest from the camera's centre [electron/s/pixel].
    straps : float
        How much more of the sky the strongest straps see than other columns.
    response : float
        Scatter of the pixels' response to the sky.
    """

    zodiacal: float = 90.0
    scattered: float = 550.0
    glow: float = 120.0
    straps: float = 0.03
    response: float = 0.0025


class PixelResponse(NamedTuple):
    """How pixels see the sky.

    Attributes
    ----------
    pixels : ndarray of float32, shape (ny, nx)
        Response of each.
    straps : ndarray of float64, shape (nx,)
        How much more of the sky a column sees.
    """

    pixels: np.ndarray
    straps: np.ndarray


class SkyLight(NamedTuple):
    """Light of the sky at places of the CCD [electron/s/pixel]: what is as red as the zodiacal light, and scattered."""

    steady: np.ndarray
    scattered: np.ndarray

    def seen(self, response: PixelResponse) -> np.ndarray:
        """What the pixels see of it, shape (ny, nx)."""
        straps = response.straps
        return response.pixels * (self.steady * (1.0 + straps) + self.scattered * (1.0 + REDDER * straps))


def pixel_response(setup: SkySetup, columns: np.ndarray, n_rows: int, rng: np.random.Generator) -> PixelResponse:
    """Draw how pixels see the sky.

    Parameters
    ----------
    setup : SkySetup
    columns : ndarray of int, shape (nx,)
        Of the CCD.
    n_rows : int
    rng : Generator

    Returns
    -------
    PixelResponse
    """
    pixels = rng.standard_normal((n_rows, len(columns)), dtype=np.float32) * np.float32(setup.response) + np.float32(1)
    number, within = np.divmod(columns - FIRST_SCIENCE_COLUMN - 20, STRAP_EVERY)
    # The straps differ in strength, the same way on every part of the CCD.
    strength = 0.25 + 0.75 * np.modf(0.618034 * (number + 60))[0]
    return PixelResponse(pixels, np.where(within < STRAP_WIDTH, setup.straps * strength, 0.0))


def scattered_level(phase: np.ndarray | float) -> np.ndarray:
    """Scattered light at phases of the orbit (0 to 1), 1 at its end."""
    phase = np.asarray(phase, np.float64)
    return FIRST_PART * np.exp(-phase / FADES) + np.exp((phase - 1.0) / RISES)


def glow_profile(radius: np.ndarray) -> np.ndarray:
    """Corner glow by the distance from the camera's centre [pixel], 1 at the far corner."""
    beyond = np.maximum(radius - GLOW_FROM, 0.0)
    return np.expm1(beyond / GLOW_SCALE) / np.expm1((GLOW_TO - GLOW_FROM) / GLOW_SCALE)


def sky_light(
    setup: SkySetup, columns: np.ndarray, rows: np.ndarray, centre: tuple[float, float], orbits: float
) -> SkyLight:
    """The sky at a time on a grid of pixels.

    Parameters
    ----------
    setup : SkySetup
    columns, rows : ndarray, shape (nx,), (ny,)
        Of the CCD.
    centre : tuple of float
        Column and row of the camera's axis.
    orbits : float
        Orbits since the first began; the light is strongest where one ends.

    Returns
    -------
    SkyLight
        Shape (ny, nx).
    """
    half = 0.5 * CCD_SHAPE[0]
    u = ((columns - FIRST_SCIENCE_COLUMN) / half - 1.0)[None, :]
    v = (rows / half - 1.0)[:, None]
    phase = orbits % 1.0
    turn = 2.0 * np.pi * (phase + 0.13)
    glow = glow_profile(np.hypot(rows[:, None] - centre[1], columns[None, :] - centre[0]))
    steady = setup.zodiacal * (1.0 + 0.06 * u + 0.04 * v) * (1.0 + 0.02 * np.sin(0.9 * orbits)) + setup.glow * glow
    level = setup.scattered * float(scattered_level(phase))
    slope_x, slope_y = 0.35 * np.cos(turn), 0.35 * np.sin(turn)
    bowl = 0.10 * u * u - 0.06 * u * v - 0.08 * v * v
    # A brighter patch wanders over the CCD, as the Earth's place does.
    x, y = half * 0.7 * np.cos(turn), half * 0.7 * np.sin(2.0 * turn)
    across = np.exp(-0.5 * ((u * half - x) / PATCH_PIX) ** 2)
    along = np.exp(-0.5 * ((v * half - y) / PATCH_PIX) ** 2)
    shape = 1.0 + slope_x * u + slope_y * v + bowl + PATCH_PART * across * along
    return SkyLight(steady, level * (shape + 0.3 * glow))
