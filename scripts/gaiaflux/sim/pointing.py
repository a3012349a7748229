"""Where a simulated telescope looks: time, place, air mass, true and stated plate solutions."""

from dataclasses import dataclass

import erfa
import numpy as np

from gaiaflux.core.sky.projection import invert_distortion, linear_tan
from gaiaflux.model.wcs import TanSip
from gaiaflux.sim.detector import Camera

__all__ = ["Moment", "Site", "airmass", "apparent_positions", "camera_distortion", "moment", "plate_solution"]

LIGHT_DAYS_PER_AU = 499.004783836 / 86400.0
MAS_PER_RADIAN = 180.0 / np.pi * 3.6e6


@dataclass(frozen=True)
class Site:
    """Observatory.

    Attributes
    ----------
    site_id, telescope, instrument : str
        LCO's codes.
    lat_deg, lon_deg, height_m : float
        Longitude positive to the east.
    aperture_m : float
        Diameter of the telescope.
    """

    site_id: str = "lsc"
    telescope: str = "1m0-05"
    instrument: str = "fa15"
    lat_deg: float = -30.1673833
    lon_deg: float = -70.8047889
    height_m: float = 2201.0
    aperture_m: float = 1.0


@dataclass(frozen=True)
class Moment:
    """One moment in the time scales and the place that light curves and catalogues need.

    Attributes
    ----------
    mjd_utc, mjd_tdb : float
        [d].
    epoch : float
        Julian year.
    observer_au : ndarray, shape (3,)
        Barycentric position of the centre of the Earth, ICRS [au]; the observatory is within 21 ms of light of it.
    """

    mjd_utc: float
    mjd_tdb: float
    epoch: float
    observer_au: np.ndarray

    def bjd_tdb(self, ra_deg: np.ndarray, dec_deg: np.ndarray) -> np.ndarray:
        """Time at which the light seen now passes the barycentre's plane [d]."""
        return self.mjd_tdb + 2400000.5 + _unit(ra_deg, dec_deg) @ self.observer_au * LIGHT_DAYS_PER_AU


def moment(mjd_utc: float) -> Moment:
    """Convert a time.

    Parameters
    ----------
    mjd_utc : float
        [d].

    Returns
    -------
    Moment
        TDB is taken equal to TT, 2 ms at most from it.
    """
    tai = erfa.utctai(2400000.5, mjd_utc)
    tt = erfa.taitt(*tai)
    _, barycentric = erfa.epv00(*tt)
    mjd_tdb = (tt[0] - 2400000.5) + tt[1]
    return Moment(mjd_utc, mjd_tdb, 2000.0 + (mjd_tdb - 51544.5) / 365.25, np.array(barycentric["p"]))


def airmass(site: Site, mjd_utc: float, ra_deg: float, dec_deg: float) -> float:
    """Air mass by the formula of Young & Irvine (1967, AJ 72, 945); 38 below the horizon."""
    angle = erfa.gmst82(2400000.5, mjd_utc) + np.radians(site.lon_deg - ra_deg)
    lat, dec = np.radians(site.lat_deg), np.radians(dec_deg)
    sine = float(np.sin(lat) * np.sin(dec) + np.cos(lat) * np.cos(dec) * np.cos(angle))
    secant = 1.0 / max(sine, 0.05)
    return min(max(secant * (1.0 - 0.0012 * (secant**2 - 1.0)), 1.0), 38.0)


def apparent_positions(stars: np.ndarray, when: Moment, ref_epoch: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions with proper motion and parallax; aberration and refraction belong to the plate solution.

    Parameters
    ----------
    stars : structured ndarray, shape (n,)
        With ra, dec [deg], pmra, pmdec [mas/yr] and parallax [mas].
    when : Moment
        Time.
    ref_epoch : float
        Julian year of the positions.

    Returns
    -------
    ra_deg, dec_deg : ndarray, shape (n,)
        [deg].
    """
    ra, dec = np.radians(stars["ra"]), np.radians(stars["dec"])
    east = np.stack([-np.sin(ra), np.cos(ra), np.zeros_like(ra)], axis=1)
    north = np.stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)], axis=1)
    years = when.epoch - ref_epoch
    moved = _unit(stars["ra"], stars["dec"]) + (years / MAS_PER_RADIAN) * (
        stars["pmra"][:, None] * east + stars["pmdec"][:, None] * north
    )
    moved -= (stars["parallax"] / MAS_PER_RADIAN)[:, None] * when.observer_au
    return (
        np.degrees(np.arctan2(moved[:, 1], moved[:, 0])) % 360.0,
        np.degrees(np.arctan2(moved[:, 2], np.hypot(moved[:, 0], moved[:, 1]))),
    )


def camera_distortion(camera: Camera, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """SIP coefficients of third order, mostly radial, that reach `Camera.distortion_arcsec` at the worst corner.

    Parameters
    ----------
    camera : Camera
        Camera.
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    a, b : ndarray, shape (4, 4)
        Forward coefficients at [p, q].
    """
    ny, nx = camera.shape
    half = 0.5 * max(nx, ny)
    shapes = np.zeros((2, 4, 4))
    shapes[0, 3, 0] = shapes[0, 1, 2] = shapes[1, 0, 3] = shapes[1, 2, 1] = 1.0
    for p, q in ((2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3)):
        shapes[:, p, q] += rng.normal(0.0, 0.25, 2)
    corners = [(u / half, v / half) for u in (-0.5 * nx, 0.5 * nx) for v in (-0.5 * ny, 0.5 * ny)]
    worst = max(
        np.hypot(*(sum(s[p, q] * u**p * v**q for p in range(4) for q in range(4)) for s in shapes)) for u, v in corners
    )
    scale = camera.distortion_arcsec / camera.pixel_scale_arcsec / worst
    degree = np.add.outer(np.arange(4), np.arange(4))
    a, b = shapes * scale / half**degree
    return a, b


def plate_solution(
    camera: Camera,
    centre_deg: tuple[float, float],
    rotation_deg: float,
    distortion: tuple[np.ndarray, np.ndarray] | None,
) -> TanSip:
    """Plate solution of a camera whose middle looks at a position.

    Parameters
    ----------
    camera : Camera
        Camera; north up and east to the left at rotation 0.
    centre_deg : tuple of float
        (ra, dec) of the middle of the image [deg].
    rotation_deg : float
        Added to `Camera.rotation_deg` [deg].
    distortion : tuple of ndarray or None
        SIP coefficients a and b.

    Returns
    -------
    TanSip
        With inverse coefficients.
    """
    ny, nx = camera.shape
    angle = np.radians(camera.rotation_deg + rotation_deg)
    cd = (camera.pixel_scale_arcsec / 3600.0) * np.array(
        [[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    linear = linear_tan(centre_deg, (0.5 * (nx - 1), 0.5 * (ny - 1)), cd, camera.shape)
    if distortion is None or camera.distortion_arcsec == 0:
        return linear
    none = np.zeros((1, 1))
    return invert_distortion(
        TanSip(linear.crval, linear.crpix, linear.cd, distortion[0], distortion[1], none, none, camera.shape)
    )


def _unit(ra_deg: np.ndarray, dec_deg: np.ndarray) -> np.ndarray:
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)
