"""Times and places of a spacecraft whose files state times at the barycentre of the solar system only.

Such a file gives each time for one direction, with the correction that was applied: the time less the correction is the
time at the spacecraft, and the correction is the spacecraft's place along that direction.
"""

import numpy as np

from gaiaflux.core.sky.sphere import directions
from gaiaflux.core.sky.timing import AT_REST, AU_LIGHT_TIME_S, StarMotion, earth_position_au, light_time_d
from gaiaflux.model.cadences import BTJD_ZERO_MJD

__all__ = ["barycentric_btjd", "locate_spacecraft", "spacecraft_mjd_tdb"]

_DAY_S = 86400.0
# The corrections are stored in 32 bits: 0.5e-7 of 500 s.
_STATED_ERR_AU = 2.5e-5 / AU_LIGHT_TIME_S
# TESS goes out to 60 radii of the Earth.
_ORBIT_AU = 0.0026
# A correction that would put it farther away is another direction's.
_FARTHEST_AU = 4.0 * _ORBIT_AU
# Between places of the Earth a quarter of a day apart a cubic is right to 1e-11 au.
_STEP_D = 0.25


def spacecraft_mjd_tdb(time_btjd: np.ndarray, timecorr_d: np.ndarray) -> np.ndarray:
    """Time at the spacecraft.

    Parameters
    ----------
    time_btjd : ndarray, shape (n,)
        Time at the barycentre, BJD_TDB - 2457000 [d].
    timecorr_d : ndarray, shape (n,)
        Correction that is in it [d].

    Returns
    -------
    ndarray of float64, shape (n,)
        Modified Julian Date, TDB [d]; NaN where either is.
    """
    return np.asarray(time_btjd, np.float64) - np.asarray(timecorr_d, np.float64) + BTJD_ZERO_MJD


def locate_spacecraft(
    mjd_tdb: np.ndarray, ra_deg: np.ndarray, dec_deg: np.ndarray, timecorr_d: np.ndarray
) -> np.ndarray:
    """Barycentric position of the spacecraft from the corrections of one direction or of several.

    Parameters
    ----------
    mjd_tdb : ndarray, shape (n,)
        Modified Julian Date at the spacecraft, TDB [d].
    ra_deg, dec_deg : ndarray, shape (n_stars,)
        Directions that the corrections are for, ICRS at the time of observation [deg].
    timecorr_d : ndarray, shape (n_stars, n)
        Corrections [d]; NaN where a direction has none.

    Returns
    -------
    ndarray of float64, shape (n, 3)
        ICRS axes [au]; the centre of the Earth where no correction is known or believable (it would put the
        spacecraft beyond four times its orbit's height, 5 light seconds), NaN where the time is.

    Notes
    -----
    Least squares for the offset from the centre of the Earth (`earth_position_au`) with the orbit's height as prior:
    one direction moves it along the line of sight, several solve for as much of it as they span. The light time along
    these directions is right to the rounding of the corrections, across them to the orbit's height: 1.3 s.
    """
    mjd_tdb, timecorr_d = np.asarray(mjd_tdb, np.float64), np.atleast_2d(np.asarray(timecorr_d, np.float64))
    toward = directions(np.atleast_1d(ra_deg), np.atleast_1d(dec_deg))
    earth = _earth_at(mjd_tdb)
    beyond = timecorr_d * (_DAY_S / AU_LIGHT_TIME_S) - toward @ earth.T
    known = np.abs(beyond) < _FARTHEST_AU
    weight = known / _STATED_ERR_AU**2
    matrix = np.einsum("sn,si,sj->nij", weight, toward, toward) + np.eye(3) / _ORBIT_AU**2
    vector = np.einsum("sn,si->ni", weight * np.where(known, beyond, 0.0), toward)
    return earth + np.linalg.solve(matrix, vector[..., None])[..., 0]


def barycentric_btjd(
    mjd_tdb: np.ndarray, observer_au: np.ndarray, ra_deg: float, dec_deg: float, motion: StarMotion = AT_REST
) -> np.ndarray:
    """Time at which a star's light would have passed the barycentre of the solar system.

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
        BJD_TDB - 2457000 [d]; NaN where the time is. See `gaiaflux.core.sky.timing.barycentric_jd_tdb`, which keeps
        four digits less.
    """
    light = light_time_d(mjd_tdb, observer_au, ra_deg, dec_deg, motion)
    return (np.asarray(mjd_tdb, np.float64) - BTJD_ZERO_MJD) + light


def _earth_at(mjd_tdb: np.ndarray) -> np.ndarray:
    """`earth_position_au` of many times close together, interpolated by cubics through four places, shape (n, 3)."""
    good = np.isfinite(mjd_tdb)
    place = np.where(good, mjd_tdb, 0.0) / _STEP_D
    cell = np.floor(place).astype(np.int64)
    nodes = np.unique(np.unique(cell[good])[:, None] + np.arange(-1, 3))
    if 2 * len(nodes) > len(mjd_tdb):
        return earth_position_au(mjd_tdb)
    earth, t = earth_position_au(nodes * _STEP_D), (place - cell)[good]
    first = np.searchsorted(nodes, cell[good] - 1)
    shares = (
        -t * (t - 1.0) * (t - 2.0) / 6.0,
        (t + 1.0) * (t - 1.0) * (t - 2.0) / 2.0,
        -(t + 1.0) * t * (t - 2.0) / 2.0,
        (t + 1.0) * t * (t - 1.0) / 6.0,
    )
    position = np.full((len(mjd_tdb), 3), np.nan)
    position[good] = sum(share[:, None] * earth[first + k] for k, share in enumerate(shares))
    return position
