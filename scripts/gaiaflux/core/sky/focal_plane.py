"""Where TESS sees a direction: camera, CCD and pixel, from where the spacecraft or a camera points.

The optics and the places of the CCDs are the focal-plane geometry of A. M. Levine (MIT), with the numbers that
tess-point has (Burke et al. 2020, ASCL 2003.001; version 0.9.5). Its authors state 2 pixels; the aberration of light
(up to a pixel) is not in it.
"""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.sky.sphere import directions, sky_of_direction
from gaiaflux.model.ccd_layout import CCD_SHAPE, FIRST_SCIENCE_COLUMN

__all__ = ["Pointing", "camera_pointing", "ccd_of_sky", "seen_from", "sky_of_ccd"]

_PIXEL_MM = 0.015
_MARGIN = 20.0


@dataclass(frozen=True)
class Pointing:
    """Where a camera, or the spacecraft, points.

    Attributes
    ----------
    ra_deg, dec_deg : float
        Axis, ICRS [deg].
    roll_deg : float
        Turn about it [deg], as in the mission's tables of pointings.
    """

    ra_deg: float
    dec_deg: float
    roll_deg: float


@dataclass(frozen=True)
class _Camera:
    """Euler angles from the spacecraft (z, y, z) [deg], focal length [mm], radial polynomial in tan^2, CCDs 1 to 4."""

    euler: tuple[float, float, float]
    focal_mm: float
    radial: tuple[float, ...]
    ccds: tuple[tuple[float, float, float], ...]
    """(x, y) of the corner pixel [mm] and its turn [deg]."""


_CAMERAS = (
    _Camera(
        (0.101588, -36.022035, 90.048315),
        145.948116,
        (1.00000140, 0.24779006, -0.22681254, 10.78243356, -34.97817276),
        (
            (31.573417, 31.551637, 179.980833),
            (-0.906060, 31.536148, 180.0),
            (-31.652818, -31.438350, -0.024851),
            (0.833161, -31.458180, 0.001488),
        ),
    ),
    _Camera(
        (-0.179412, -12.017260, 90.046500),
        145.989933,
        (1.00000140, 0.24069345, 0.15391120, 4.05433503, 3.43136895),
        (
            (31.653635, 31.470291, 180.010890),
            (-0.827405, 31.491388, 180.0),
            (-31.543794, -31.550699, -0.006624),
            (0.922834, -31.557268, -0.015464),
        ),
    ),
    _Camera(
        (0.066596, 12.007750, -89.889085),
        146.006602,
        (1.00000140, 0.23452229, 0.33552009, 1.92009863, 12.48880182),
        (
            (31.615486, 31.413644, 179.993948),
            (-0.832993, 31.426621, 180.0),
            (-31.548296, -31.606976, 0.000298),
            (0.896018, -31.569542, -0.006464),
        ),
    ),
    _Camera(
        (0.030756, 35.978116, -89.976802),
        146.039793,
        (1.00000140, 0.23920416, 0.13349450, 4.77768896, -1.75114744),
        (
            (31.575820, 31.316510, 179.968217),
            (-0.890877, 31.363511, 180.0),
            (-31.630470, -31.716942, -0.024359),
            (0.824159, -31.728751, -0.024280),
        ),
    ),
)


def camera_pointing(spacecraft: Pointing, camera: int) -> Pointing:
    """Where a camera points when the spacecraft points somewhere.

    Parameters
    ----------
    spacecraft : Pointing
        Of the spacecraft, as in the mission's tables.
    camera : int
        1 to 4.

    Returns
    -------
    Pointing
        Of the camera, its roll in the same sense.

    Raises
    ------
    ValueError
        No such camera.
    """
    _check(camera, 1)
    turn = _euler(*_CAMERAS[camera - 1].euler) @ _frame(spacecraft)
    ra, dec = sky_of_direction(turn[2])
    return Pointing(ra, dec, float(np.degrees(np.arctan2(turn[1, 2], -turn[0, 2])) - 180.0) % 360.0)


def ccd_of_sky(
    pointing: Pointing, camera: int, ccd: int, ra_deg: np.ndarray | float, dec_deg: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of a CCD in which a camera sees directions.

    Parameters
    ----------
    pointing : Pointing
        Of the camera.
    camera, ccd : int
        1 to 4.
    ra_deg, dec_deg : ndarray or float, shape (...)
        ICRS [deg].

    Returns
    -------
    column, row : ndarray of float64, shape (...)
        0-based, with the virtual columns; beyond the CCD's edges where it is not on this CCD, NaN where it is behind
        the camera.

    Raises
    ------
    ValueError
        No such camera or CCD.
    """
    _check(camera, ccd)
    optics = _CAMERAS[camera - 1]
    seen = directions(ra_deg, dec_deg) @ _frame(pointing).T
    depth = np.where(seen[..., 2] > 0.0, seen[..., 2], np.nan)
    slopes = seen[..., :2] / depth[..., None]
    stretch = np.polynomial.polynomial.polyval(np.sum(slopes**2, axis=-1), optics.radial)
    x, y = np.moveaxis(-optics.focal_mm * stretch[..., None] * slopes, -1, 0)
    x0, y0, angle = optics.ccds[ccd - 1]
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    column = (cos * (x - x0) + sin * (y - y0)) / _PIXEL_MM - 0.5
    row = (-sin * (x - x0) + cos * (y - y0)) / _PIXEL_MM - 0.5
    return column + FIRST_SCIENCE_COLUMN, row


def sky_of_ccd(pointing: Pointing, camera: int, ccd: int, column: float, row: float) -> tuple[float, float]:
    """Direction that a camera sees in a pixel; the inverse of `ccd_of_sky`.

    Parameters
    ----------
    pointing : Pointing
        Of the camera.
    camera, ccd : int
        1 to 4.
    column, row : float
        0-based, with the virtual columns.

    Returns
    -------
    ra_deg, dec_deg : float
        ICRS [deg].

    Raises
    ------
    ValueError
        No such camera or CCD.
    """
    _check(camera, ccd)
    optics = _CAMERAS[camera - 1]
    x0, y0, angle = optics.ccds[ccd - 1]
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    u, v = (column - FIRST_SCIENCE_COLUMN + 0.5) * _PIXEL_MM, (row + 0.5) * _PIXEL_MM
    goal = -np.array([cos * u - sin * v + x0, sin * u + cos * v + y0]) / optics.focal_mm
    distance = tangent = float(np.hypot(*goal))
    slope = np.polynomial.polynomial.polyder(np.ravel(np.column_stack([np.zeros(5), optics.radial])))
    # The stretch is a few per cent: Newton's method is there after three steps.
    for _ in range(5):
        stretch = np.polynomial.polynomial.polyval(tangent**2, optics.radial)
        tangent -= float((tangent * stretch - distance) / np.polynomial.polynomial.polyval(tangent, slope))
    part = tangent / distance if distance > 0.0 else 1.0
    return sky_of_direction(np.array([goal[0] * part, goal[1] * part, 1.0]) @ _frame(pointing))


def _check(camera: int, ccd: int) -> None:
    if camera not in (1, 2, 3, 4) or ccd not in (1, 2, 3, 4):
        raise ValueError(f"camera {camera}, CCD {ccd}: TESS has cameras 1 to 4 with CCDs 1 to 4")


def _frame(pointing: Pointing) -> np.ndarray:
    """Axes of what points there (rows), ICRS; the third is the line of sight."""
    return _euler(pointing.ra_deg, 90.0 - pointing.dec_deg, pointing.roll_deg + 180.0)


def _euler(first: float, second: float, third: float) -> np.ndarray:
    """Turn of the axes about z, then y, then z [deg]."""
    return _about_z(third) @ _about_y(second) @ _about_z(first)


def _about_z(angle: float) -> np.ndarray:
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])


def _about_y(angle: float) -> np.ndarray:
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return np.array([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]])


def seen_from(stated: Pointing, camera: int, ccd: int, ra_deg: float, dec_deg: float) -> Pointing | None:
    """Pointing of a camera that puts a direction on one of its CCDs.

    Parameters
    ----------
    stated : Pointing
        Of the camera or of the spacecraft: tables have both, and count the roll of cameras 3 and 4 in two ways.
    camera, ccd : int
        1 to 4.
    ra_deg, dec_deg : float
        Direction that the CCD saw, ICRS [deg].

    Returns
    -------
    Pointing or None
        Of the camera; None where the direction is beyond the CCD by more than 20 pixels, whatever `stated` is of.
    """
    turned = Pointing(stated.ra_deg, stated.dec_deg, stated.roll_deg + 180.0)
    for pointing in (stated, turned, camera_pointing(stated, camera)):
        column, row = ccd_of_sky(pointing, camera, ccd, ra_deg, dec_deg)
        across, along = float(column) - FIRST_SCIENCE_COLUMN, float(row)
        if -_MARGIN <= across <= CCD_SHAPE[1] + _MARGIN and -_MARGIN <= along <= CCD_SHAPE[0] + _MARGIN:
            return pointing
    return None
