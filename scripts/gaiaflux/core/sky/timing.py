"""Time of an exposure at the observatory and at the barycentre of the solar system; works without a network."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

__all__ = [
    "AT_REST",
    "AU_LIGHT_TIME_S",
    "BARYCENTRIC_SCALES",
    "StarMotion",
    "barycentric_jd_tdb",
    "earth_position_au",
    "later_utc",
    "light_time_d",
    "locate_observer",
    "utc_from_scale",
    "utc_of_tdb",
]

BARYCENTRIC_SCALES = ("bjd_tdb", "hjd_utc")
"""Time scales that depend on where the telescope looks."""
AU_LIGHT_TIME_S = 499.00478383615643
"""Light time of one astronomical unit [s]: 149597870700 m (IAU 2012 B2) over c."""

_AU_M = 149597870700.0
_DAY_S = 86400.0
_MAS = np.pi / 180.0 / 3.6e6
_MJD_ZERO = 2400000.5
_MJD_J2000 = 51544.5
_WGS84 = 1
# The analytical ephemeris of `earth_position_au` holds from 1900 to 2100.
_FIRST_MJD, _LAST_MJD = 15020.0, 88069.0
_HALF_SPAN_D = 36525.0  # about J2000, half a day beyond these on both sides


@contextmanager
def _any_year() -> Iterator[None]:
    """ERFA calls years dubious for which leap seconds are not announced yet (none is assumed) or did not exist."""
    from erfa import ErfaWarning

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*dubious year", category=ErfaWarning)
        yield


def earth_position_au(mjd_tdb: ArrayLike, *, heliocentric: bool = False) -> np.ndarray:
    """Position of the centre of the Earth from the barycentre of the solar system.

    Parameters
    ----------
    mjd_tdb : array_like, shape (...)
        Modified Julian Date, TDB [d]. UTC in its place moves the Earth by 1.4e-5 au, which is 0.01 mas in the place of
        the nearest star.
    heliocentric : bool
        From the centre of the Sun instead.

    Returns
    -------
    ndarray of float64, shape (..., 3)
        ICRS axes [au]; NaN where the time is NaN or outside of 1900-2100.

    Notes
    -----
    Analytical ephemeris of Simon et al. (1994, A&A 282, 663) as in ERFA's epv00: good to some kilometres.
    """
    import erfa

    mjd_tdb = np.asarray(mjd_tdb, dtype=float)
    position = np.full((*mjd_tdb.shape, 3), np.nan)
    known = np.abs(mjd_tdb - _MJD_J2000) <= _HALF_SPAN_D
    position[known] = erfa.epv00(_MJD_ZERO, mjd_tdb[known])[0 if heliocentric else 1]["p"]
    return position


def locate_observer(
    mjd_utc: ArrayLike, lat_deg: ArrayLike, lon_deg: ArrayLike, height_m: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """TDB and barycentric position of the observer at UTC instants.

    Parameters
    ----------
    mjd_utc : array_like, shape (n,)
        Modified Julian Date, UTC [d]: its fraction is the time since midnight in units of 86400 s, also on a day with
        a leap second. NaN where unknown.
    lat_deg, lon_deg, height_m : array_like, shape (n,)
        Geodetic position on WGS84, longitude positive to the east [deg, deg, m]. Where latitude or longitude is NaN
        the observer is put at the centre of the Earth (at most 21 ms of light time away); a NaN height is 0.

    Returns
    -------
    mjd_tdb : ndarray of float64, shape (n,)
        Modified Julian Date of the same instant at the same place, TDB [d]; NaN where `mjd_utc` is NaN or outside of
        1900-2100, where the ephemeris does not hold.
    observer_au : ndarray of float64, shape (n, 3)
        Position of the observer from the barycentre of the solar system, ICRS axes [au]; NaN as above.

    Notes
    -----
    Earth from `earth_position_au`: some kilometres, or some ten microseconds. Rotation of the Earth by IAU 2006/2000A
    with UT1 = UTC and without polar motion: both move the observer by less than 430 m or 1.5 microseconds, and no table
    of Earth rotation is needed, which would end.
    """
    mjd_utc = np.asarray(mjd_utc, dtype=float)
    lat, lon, height = (
        np.broadcast_to(np.asarray(v, dtype=float), mjd_utc.shape) for v in (lat_deg, lon_deg, height_m)
    )
    mjd_tdb = np.full(mjd_utc.shape, np.nan)
    observer = np.full((*mjd_utc.shape, 3), np.nan)
    known = (mjd_utc > _FIRST_MJD) & (mjd_utc < _LAST_MJD)
    has_site = np.isfinite(lat) & np.isfinite(lon)
    sites = np.stack([np.where(has_site, v, 0.0) for v in (lat, lon, np.where(np.isfinite(height), height, 0.0))], -1)
    with _any_year():
        rows = np.flatnonzero(known & ~has_site)
        if rows.size:
            mjd_tdb[rows], observer[rows] = _observe(mjd_utc[rows], None)
        for site in np.unique(sites[known & has_site], axis=0):
            rows = np.flatnonzero(known & has_site & (sites == site).all(axis=-1))
            mjd_tdb[rows], observer[rows] = _observe(mjd_utc[rows], site)
    return mjd_tdb, observer


def later_utc(mjd_utc: float, seconds: float) -> float:
    """UTC a time span after an instant; leap seconds between the two count.

    Parameters
    ----------
    mjd_utc : float
        Modified Julian Date, UTC [d].
    seconds : float
        Elapsed time; may be negative [s].

    Returns
    -------
    float
        Modified Julian Date, UTC [d]. An instant within a leap second is put into the first second of the next day.
    """
    later = mjd_utc + seconds / _DAY_S
    first, last = np.floor(mjd_utc), np.floor(later)
    # Leap seconds are inserted at the end of a day.
    if first == last or not (_FIRST_MJD < first < _LAST_MJD and _FIRST_MJD < last < _LAST_MJD):
        return later
    with _any_year():
        leap = _tai_less_utc(last) - _tai_less_utc(first)
    # Before the leap seconds there were smaller steps and a drift of UTC, which no header knows of.
    return later - round(leap * _DAY_S) / _DAY_S


def utc_from_scale(mjd: float, scale: str, ra_deg: float, dec_deg: float) -> float:
    """UTC at the centre of the Earth (within 21 ms of any observatory) of an instant in another scale.

    Parameters
    ----------
    mjd : float
        Julian Date in `scale` less 2400000.5 [d].
    scale : str
        ``tdb``, ``bjd_tdb`` or ``hjd_utc`` (UTC plus the light time to the Sun).
    ra_deg, dec_deg : float
        Pointing, ICRS [deg]; not used for ``tdb``.

    Returns
    -------
    float
        Modified Julian Date, UTC [d]; NaN outside of 1900-2100.

    Raises
    ------
    ValueError
        Unknown scale.
    """
    if scale not in ("tdb", *BARYCENTRIC_SCALES):
        raise ValueError(f"unknown time scale {scale!r}")
    if not _FIRST_MJD < mjd < _LAST_MJD:
        return float("nan")
    ra, dec = np.deg2rad(ra_deg), np.deg2rad(dec_deg)
    toward = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    at_earth = mjd
    with _any_year():
        # The Earth moves 30 km/s: after two rounds the light time is right to a nanosecond.
        for _ in range(0 if scale == "tdb" else 3):
            tdb = _tdb_of_utc(np.array([at_earth]), None)[0] if scale == "hjd_utc" else at_earth
            observer = earth_position_au(tdb, heliocentric=scale == "hjd_utc")
            at_earth = mjd - observer @ toward * AU_LIGHT_TIME_S / _DAY_S
        if scale == "hjd_utc":
            return float(at_earth)
    return float(utc_of_tdb(np.array([at_earth]))[0])


def utc_of_tdb(mjd_tdb: np.ndarray) -> np.ndarray:
    """UTC of times at the centre of the Earth; elsewhere near it the difference is some microseconds.

    Parameters
    ----------
    mjd_tdb : ndarray, shape (n,)
        Modified Julian Date, TDB [d].

    Returns
    -------
    ndarray of float64, shape (n,)
        Modified Julian Date, UTC [d]; a day is 86400 s here. NaN where the time is.
    """
    import erfa

    mjd_utc = np.full(mjd_tdb.shape, np.nan)
    known = np.isfinite(mjd_tdb)
    with _any_year():
        tt = mjd_tdb[known] - erfa.dtdb(_MJD_ZERO, mjd_tdb[known], 0.0, 0.0, 0.0, 0.0) / _DAY_S
        tai = np.add(*erfa.tttai(_MJD_ZERO, tt)) - _MJD_ZERO
        midnight = np.floor(np.add(*erfa.taiutc(_MJD_ZERO, tai)) - _MJD_ZERO)
        mjd_utc[known] = midnight + ((tai - midnight) - _tai_less_utc(midnight))
    return mjd_utc


def _tai_less_utc(midnight: np.ndarray) -> np.ndarray:
    """TAI - UTC [d] at the beginning of a day."""
    import erfa

    tai1, tai2 = erfa.utctai(_MJD_ZERO, midnight)
    return (tai1 - _MJD_ZERO) + (tai2 - midnight)


def _tdb_of_utc(mjd_utc: np.ndarray, place: tuple[float, float, float] | None) -> np.ndarray:
    """MJD TDB; a day is 86400 s here, where the Julian Date of ERFA stretches a day with a leap second.

    `place` is east longitude [rad], distance from the Earth's axis and from its equator [km].
    """
    import erfa

    midnight = np.floor(mjd_utc)
    tt = mjd_utc + _tai_less_utc(midnight) + erfa.TTMTAI / _DAY_S
    return tt + erfa.dtdb(_MJD_ZERO, tt, mjd_utc - midnight, *(place or (0.0, 0.0, 0.0))) / _DAY_S


def _observe(mjd_utc: np.ndarray, site: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """MJD TDB and barycentric position [au] for one site (lat, lon, height) or the centre of the Earth."""
    import erfa

    place, ground = None, np.zeros(3)
    if site is not None:
        lat, lon, height = np.deg2rad(site[0]), np.deg2rad(site[1]), site[2]
        ground = erfa.gd2gc(_WGS84, lon, lat, height)
        place = (lon, np.hypot(ground[0], ground[1]) / 1e3, ground[2] / 1e3)
    mjd_tdb = _tdb_of_utc(mjd_utc, place)
    position = earth_position_au(mjd_tdb)
    if site is not None:
        # Terrestrial to celestial: back by the sidereal angle, then out of the true equator and equinox of date.
        angle = erfa.gst06a(_MJD_ZERO, mjd_utc, _MJD_ZERO, mjd_tdb)
        turned = np.stack(
            [
                ground[0] * np.cos(angle) - ground[1] * np.sin(angle),
                ground[0] * np.sin(angle) + ground[1] * np.cos(angle),
                np.full(angle.shape, ground[2]),
            ],
            axis=-1,
        )
        celestial = erfa.pnm06a(_MJD_ZERO, mjd_tdb)
        position = position + np.einsum("nji,nj->ni", celestial, turned) / _AU_M
    return mjd_tdb, position


@dataclass(frozen=True)
class StarMotion:
    """How a star moves.

    Attributes
    ----------
    pmra, pmdec : float
        Proper motion, `pmra` with cos(dec) [mas/yr]; NaN counts as 0. It matters above a second of arc of motion.
    parallax : float
        [mas]; NaN and negative count as 0. It bends the wave fronts: 0.9 ms for the nearest star.
    ref_epoch : float
        Julian year of the position.
    """

    pmra: float = 0.0
    pmdec: float = 0.0
    parallax: float = 0.0
    ref_epoch: float = 2016.0


AT_REST = StarMotion()
"""Far away and without motion."""


def barycentric_jd_tdb(
    mjd_tdb: np.ndarray,
    observer_au: np.ndarray,
    ra_deg: float,
    dec_deg: float,
    motion: StarMotion = AT_REST,
) -> np.ndarray:
    """BJD_TDB of one star: when its light would have passed the barycentre of the solar system.

    Parameters
    ----------
    mjd_tdb : ndarray, shape (n,)
        Modified Julian Date at the observer, TDB [d].
    observer_au : ndarray, shape (n, 3)
        Barycentric position of the observer, ICRS axes [au].
    ra_deg, dec_deg : float
        Position of the star at the epoch of `motion`, ICRS [deg].
    motion : StarMotion
        Its proper motion and parallax.

    Returns
    -------
    ndarray of float64, shape (n,)
        Barycentric Julian Date, TDB [d], kept by float64 to 40 microseconds; NaN where the time is.

    Notes
    -----
    BJD = mjd_tdb + 2400000.5 + `light_time_d`.
    """
    light_days = light_time_d(mjd_tdb, observer_au, ra_deg, dec_deg, motion)
    return (np.asarray(mjd_tdb) + light_days) + _MJD_ZERO


def light_time_d(
    mjd_tdb: np.ndarray,
    observer_au: np.ndarray,
    ra_deg: float,
    dec_deg: float,
    motion: StarMotion = AT_REST,
) -> np.ndarray:
    """How long after the observer a star's light passes the barycentre of the solar system.

    Parameters
    ----------
    mjd_tdb : ndarray, shape (n,)
        Modified Julian Date at the observer, TDB [d].
    observer_au : ndarray, shape (n, 3)
        Barycentric position of the observer, ICRS axes [au].
    ra_deg, dec_deg : float
        Position of the star at the epoch of `motion`, ICRS [deg].
    motion : StarMotion
        Its proper motion and parallax.

    Returns
    -------
    ndarray of float64, shape (n,)
        [d]; negative where the observer is behind the barycentre, NaN where the time is.

    Notes
    -----
    observer . n / c (Eastman, Siverd & Gaudi 2010, PASP 122, 935, eq. 5, without the
    Shapiro and Einstein terms of the target, below 0.1 ms), less [observer^2 - (observer . n)^2] / (2 distance c), the
    first term by which the wave fronts of a star at a finite distance are no planes.
    """
    ra, dec = np.deg2rad(ra_deg), np.deg2rad(dec_deg)
    toward = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    east = np.array([-np.sin(ra), np.cos(ra), 0.0])
    north = np.array([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    yearly = (np.nan_to_num(motion.pmra) * east + np.nan_to_num(motion.pmdec) * north) * _MAS
    years = 2000.0 + (np.asarray(mjd_tdb) - _MJD_J2000) / 365.25 - motion.ref_epoch
    direction = toward + years[:, None] * yearly
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    along = np.einsum("ij,ij->i", observer_au, direction)
    across = np.einsum("ij,ij->i", observer_au, observer_au) - along**2
    bent = 0.5 * across * max(float(np.nan_to_num(motion.parallax)), 0.0) * _MAS
    return (along - bent) * AU_LIGHT_TIME_S / _DAY_S
