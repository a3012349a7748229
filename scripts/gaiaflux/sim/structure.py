"""Structure on images that is no star: random fields of a scale, nebulae fixed to the sky, fringes fixed to pixels."""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.sky.projection import pixel_to_plane, plane_to_sky, sky_to_plane
from gaiaflux.model.wcs import TanSip

__all__ = ["SkyStructure", "fringes", "nebula", "on_frame", "random_field"]

FWHM_PER_SIGMA = 2.3548


@dataclass(frozen=True)
class SkyStructure:
    """Light of the sky beyond a plane.

    Attributes
    ----------
    nebula : float
        Brightness of the brightest knot over that of the sky; fixed to the sky.
    nebula_scales_pix : tuple of float
        Sizes of its structure, in equal parts [pixel].
    fringes : float
        Semi-amplitude of interference fringes over the sky; fixed to the pixels.
    fringe_period_pix : float
        Distance of fringes [pixel].
    """

    nebula: float = 0.0
    nebula_scales_pix: tuple[float, ...] = (20.0, 35.0, 60.0)
    fringes: float = 0.0
    fringe_period_pix: float = 55.0


def random_field(shape: tuple[int, int], scale_pix: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian random field: white noise, smoothed by a Gaussian.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    scale_pix : float
        FWHM of the Gaussian [pixel].
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    ndarray, shape (ny, nx)
        Of mean 0 and standard deviation 1; opposite edges fit together.
    """
    noise = rng.standard_normal(shape)
    sigma = scale_pix / FWHM_PER_SIGMA
    frequency2 = np.fft.fftfreq(shape[0])[:, None] ** 2 + np.fft.rfftfreq(shape[1])[None, :] ** 2
    spectrum = np.fft.rfft2(noise) * np.exp(-2.0 * (np.pi * sigma) ** 2 * frequency2)
    spectrum[0, 0] = 0.0
    field = np.fft.irfft2(spectrum, s=shape)
    return field / field.std()


def nebula(structure: SkyStructure, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Brightness of a nebula over that of the sky, on a map of the sky.

    Parameters
    ----------
    structure : SkyStructure
        Sky.
    shape : tuple of int
        (ny, nx) of the map, in pixels of the camera.
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    ndarray, shape (ny, nx)
        From 0 to `SkyStructure.nebula`; half of the map is dark.
    """
    field = sum(random_field(shape, scale, rng) for scale in structure.nebula_scales_pix)
    knots = np.maximum(field, 0.0)
    return structure.nebula * knots / knots.max()


def fringes(structure: SkyStructure, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Relative change of the sky by fringes whose direction and distance wander over the chip.

    Parameters
    ----------
    structure : SkyStructure
        Sky.
    shape : tuple of int
        (ny, nx).
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    ndarray, shape (ny, nx)
    """
    ny, nx = shape
    angle = rng.uniform(0.0, np.pi)
    along = np.arange(nx)[None, :] * np.cos(angle) + np.arange(ny)[:, None] * np.sin(angle)
    phase = 2.0 * np.pi * along / structure.fringe_period_pix
    phase += 2.0 * random_field(shape, 8.0 * structure.fringe_period_pix, rng)
    return structure.fringes * np.sin(phase)


def on_frame(sky_map: np.ndarray, centre_deg: tuple[float, float], scale_arcsec: float, wcs: TanSip) -> np.ndarray:
    """A map of the sky as a frame sees it.

    Parameters
    ----------
    sky_map : ndarray, shape (my, mx)
        Tangent plane around a position, north up and east to the left; its edges are repeated outside.
    centre_deg : tuple of float
        (ra, dec) of the map's middle [deg].
    scale_arcsec : float
        [arcsec/pixel].
    wcs : TanSip
        Plate solution of the frame.

    Returns
    -------
    ndarray, shape (ny, nx)
        Interpolated linearly.
    """
    ny, nx = wcs.shape
    my, mx = sky_map.shape
    y, x = (a.ravel().astype(float) for a in np.mgrid[:ny, :nx])
    xi, eta = sky_to_plane(centre_deg, *plane_to_sky(wcs.crval, *pixel_to_plane(wcs, x, y)))
    column = np.clip(0.5 * (mx - 1) - 3600.0 / scale_arcsec * xi, 0.0, mx - 1.001)
    row = np.clip(0.5 * (my - 1) + 3600.0 / scale_arcsec * eta, 0.0, my - 1.001)
    i, j = column.astype(np.int64), row.astype(np.int64)
    right, up = column - i, row - j
    low = (1.0 - right) * sky_map[j, i] + right * sky_map[j, i + 1]
    high = (1.0 - right) * sky_map[j + 1, i] + right * sky_map[j + 1, i + 1]
    return ((1.0 - up) * low + up * high).reshape(ny, nx)
