"""Night, telescope and their changes from frame to frame."""

from dataclasses import dataclass

import numpy as np

from gaiaflux.sim.moffat_field import PsfField
from gaiaflux.sim.pointing import Site, airmass

__all__ = ["Conditions", "Night", "draw_conditions", "draw_psf", "sky_level"]


@dataclass(frozen=True)
class Night:
    """What the frames of a series have in common, and how much they may differ.

    Attributes
    ----------
    mjd_first : float
        Mid-exposure of the first frame, UTC [d].
    cadence_min : float
        Time between frames [min].
    exptime_s : float
        Exposure time [s].
    filter_name : str
        As written to headers.
    zero_point : float
        G of a star that gives 1 electron/s above the atmosphere [mag].
    extinction : float
        [mag per air mass].
    colour_extinction : float
        Further extinction [mag per air mass and mag of BP - RP - 1].
    sky_mag : float
        Sky brightness [mag/arcsec^2], with the zero point of the stars.
    sky_gradient : float
        Largest relative difference from the middle to an edge.
    fwhm_pix : tuple of float
        Smallest and largest mean FWHM of a frame [pixel].
    beta : float
        Exponent of the Moffat profile.
    fwhm_variation : float
        Largest relative change of the FWHM over the image.
    ellipticity : float
        Largest ellipticity, 1 - b/a.
    clouds_mag : float
        Extinction of the thickest cloud [mag].
    cloud_gradient : float
        Relative change of a cloudy frame's transparency from the middle to an edge, for each magnitude of cloud.
    scintillation : bool
        Multiply each star by noise after Young (1967, AJ 72, 747).
    dither_arcsec : float
        Largest offset of the true pointing along each axis [arcsec].
    header_offset_arcsec, header_rotation_deg : float
        Largest error of the header's WCS.
    header_distortion : bool
        Write the true distortion to the header's WCS; else it is a plain tangent plane.
    poisson : bool
        Draw photon noise from the Poisson distribution.
    """

    mjd_first: float = 61223.08
    cadence_min: float = 16.0
    exptime_s: float = 60.0
    filter_name: str = "rp"
    zero_point: float = 23.4
    extinction: float = 0.1
    colour_extinction: float = 0.0
    sky_mag: float = 20.3
    sky_gradient: float = 0.05
    fwhm_pix: tuple[float, float] = (4.1, 6.4)
    beta: float = 3.2
    fwhm_variation: float = 0.03
    ellipticity: float = 0.03
    clouds_mag: float = 0.0
    cloud_gradient: float = 0.0
    scintillation: bool = False
    dither_arcsec: float = 5.0
    header_offset_arcsec: float = 60.0
    header_rotation_deg: float = 0.3
    header_distortion: bool = False
    poisson: bool = False


@dataclass(frozen=True)
class Conditions:
    """One frame's circumstances.

    Attributes
    ----------
    mjd_utc : float
        Mid-exposure [d].
    airmass : float
        At the middle of the field.
    fwhm_pix : float
        Mean FWHM [pixel].
    sky : float
        Mean sky [electron/pixel].
    sky_slope : ndarray, shape (2,)
        Relative change of the sky from the middle to the edge, along x and y.
    transparency : float
        1 without clouds.
    cloud_slope : ndarray, shape (2,)
        Relative change of the transparency from the middle to the edge, along x and y.
    pointing_offset_deg : ndarray, shape (2,)
        Of the true pointing from the field's centre, east and north [deg].
    rotation_deg : float
        Of the true pointing [deg].
    header_offset_deg : ndarray, shape (2,)
        Error of the header's WCS, east and north [deg].
    header_rotation_deg : float
        Error of the header's WCS [deg].
    """

    mjd_utc: float
    airmass: float
    fwhm_pix: float
    sky: float
    sky_slope: np.ndarray
    transparency: float
    cloud_slope: np.ndarray
    pointing_offset_deg: np.ndarray
    rotation_deg: float
    header_offset_deg: np.ndarray
    header_rotation_deg: float


def draw_conditions(
    night: Night,
    site: Site,
    centre_deg: tuple[float, float],
    pixel_scale_arcsec: float,
    index: int,
    night_rng: np.random.Generator,
    rng: np.random.Generator,
) -> Conditions:
    """Conditions of one frame: slow changes that follow the clock, and what is new in each frame.

    Parameters
    ----------
    night : Night
        Night.
    site : Site
        Observatory.
    centre_deg : tuple of float
        Field's centre [deg].
    pixel_scale_arcsec : float
        [arcsec/pixel].
    index : int
        Frame number, from 0.
    night_rng : numpy.random.Generator
        In the same state for each frame of a series.
    rng : numpy.random.Generator
        The frame's own.

    Returns
    -------
    Conditions
        The mean FWHM runs through most of its range within some five hours.
    """
    hours = index * night.cadence_min / 60.0
    mjd = night.mjd_first + hours / 24.0
    seeing_phase, cloud_phase, sky_angle = night_rng.uniform(0.0, 2.0 * np.pi, 3)
    wave = 0.9 * np.sin(2.0 * np.pi * hours / 5.3 + seeing_phase) + rng.uniform(-0.3, 0.3)
    low, high = night.fwhm_pix
    fwhm = low + 0.5 * (high - low) * (1.0 + float(np.clip(wave, -1.0, 1.0)))
    thickness = np.clip(1.4 * np.sin(2.0 * np.pi * hours / 2.7 + cloud_phase) - 0.4, 0.0, 1.0) * rng.uniform(0.7, 1.0)
    cloud_mag = night.clouds_mag * float(thickness)
    cloud_angle = rng.uniform(0.0, 2.0 * np.pi)
    sky_angle += rng.normal(0.0, 0.3)
    direction = rng.uniform(0.0, 2.0 * np.pi)
    offset = night.header_offset_arcsec / 3600.0 * rng.uniform(0.0, 1.0)
    return Conditions(
        mjd_utc=mjd,
        airmass=airmass(site, mjd, *centre_deg),
        fwhm_pix=fwhm,
        sky=sky_level(night, pixel_scale_arcsec) * rng.uniform(0.9, 1.1),
        sky_slope=night.sky_gradient * np.array([np.cos(sky_angle), np.sin(sky_angle)]),
        transparency=10.0 ** (-0.4 * cloud_mag),
        cloud_slope=night.cloud_gradient * cloud_mag * np.array([np.cos(cloud_angle), np.sin(cloud_angle)]),
        pointing_offset_deg=night.dither_arcsec / 3600.0 * rng.uniform(-1.0, 1.0, 2),
        rotation_deg=float(rng.uniform(-0.02, 0.02)),
        header_offset_deg=offset * np.array([np.cos(direction), np.sin(direction)]),
        header_rotation_deg=float(rng.uniform(-1.0, 1.0)) * night.header_rotation_deg,
    )


def sky_level(night: Night, pixel_scale_arcsec: float) -> float:
    """Typical sky [electron/pixel]."""
    return 10.0 ** (0.4 * (night.zero_point - night.sky_mag)) * night.exptime_s * pixel_scale_arcsec**2


def draw_psf(night: Night, fwhm_pix: float, shape: tuple[int, int], rng: np.random.Generator) -> PsfField:
    """Point-spread function of one frame.

    Parameters
    ----------
    night : Night
        Night.
    fwhm_pix : float
        FWHM in the middle of the image [pixel].
    shape : tuple of int
        (ny, nx).
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    PsfField
        Width and ellipticity stay within the night's limits.
    """
    width, e1, e2 = (_polynomial(rng) for _ in range(3))
    width *= night.fwhm_variation
    width[0] += 1.0
    limit = night.ellipticity / np.sqrt(2.0)
    return PsfField(shape, night.beta, fwhm_pix * width, limit * e1, limit * e2)


def _polynomial(rng: np.random.Generator) -> np.ndarray:
    """Second-order polynomial over the image whose largest absolute value is 1 at most."""
    coefficients = rng.uniform(-1.0, 1.0, 6)
    coefficients[1:3] *= 2.0
    return coefficients / np.abs(coefficients).sum()
