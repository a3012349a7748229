"""Times of a star at the barycentre, from times that a file states for another direction."""

import numpy as np

from gaiaflux.core.sky.spacecraft import barycentric_btjd, locate_spacecraft, spacecraft_mjd_tdb
from gaiaflux.core.sky.sphere import directions, separation_deg

__all__ = ["times_of_star"]

_SAME_ARCSEC = 2.0  # 5 ms


def times_of_star(
    time: np.ndarray, timecorr: np.ndarray, stated: tuple[float, float] | None, star: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Mid-exposures for a star.

    Parameters
    ----------
    time : ndarray, shape (n_times,)
        At the barycentre for the stated direction, BTJD [d].
    timecorr : ndarray, shape (n_times,)
        `time` less the time at the spacecraft [d].
    stated : tuple of float, optional
        Direction (ra, dec) that the times are for; None where it is not known [deg].
    star : tuple of float
        The star's direction at the time of observation [deg].

    Returns
    -------
    time, timecorr : ndarray of float64, shape (n_times,)
        For the star. As given where its direction is the stated one, or that is not known, or a correction is not.
    """
    time, timecorr = np.asarray(time, np.float64), np.asarray(timecorr, np.float64)
    if stated is None:
        return time, timecorr
    places = directions(np.array([stated[0], star[0]]), np.array([stated[1], star[1]]))
    if 3600.0 * float(np.squeeze(separation_deg(places[:1], places[1]))) < _SAME_ARCSEC:
        return time, timecorr
    seen = spacecraft_mjd_tdb(time, timecorr)
    known = np.isfinite(seen)
    observer = locate_spacecraft(seen[known], np.array([stated[0]]), np.array([stated[1]]), timecorr[None, known])
    own, own_correction = time.copy(), timecorr.copy()
    own[known] = barycentric_btjd(seen[known], observer, *star)
    own_correction[known] += own[known] - time[known]
    return own, own_correction
