"""Catalogue positions at the time of an image: proper motion and annual parallax, without a library of coordinates."""

import numpy as np

from gaiaflux.core.kernels.compile import kernel
from gaiaflux.model.catalog import SkyCatalog

__all__ = ["jyear_of_mjd", "position_error_mas", "propagate"]

_VECTOR = "float64[::1]"


@kernel(f"void({', '.join([_VECTOR] * 6)}, float64, float64, float64, float64, {_VECTOR}, {_VECTOR})")
def _propagate(ra, dec, ref_epoch, pmra, pmdec, parallax, epoch, obs_x, obs_y, obs_z, out_ra, out_dec):  # noqa: ANN001, ANN202
    deg = np.pi / 180.0
    mas = deg / 3.6e6
    for i in range(ra.size):
        sin_ra = np.sin(ra[i] * deg)
        cos_ra = np.cos(ra[i] * deg)
        sin_dec = np.sin(dec[i] * deg)
        cos_dec = np.cos(dec[i] * deg)
        years = epoch - ref_epoch[i]
        # The move along east and north, small beside the unit vector to the star.
        east = pmra[i] * mas * years - parallax[i] * mas * (obs_y * cos_ra - obs_x * sin_ra)
        north = pmdec[i] * mas * years - parallax[i] * mas * (
            obs_z * cos_dec - sin_dec * (obs_x * cos_ra + obs_y * sin_ra)
        )
        along = 1.0 - parallax[i] * mas * (cos_dec * (obs_x * cos_ra + obs_y * sin_ra) + sin_dec * obs_z)
        radial = along * cos_dec - north * sin_dec
        turn = ra[i] + np.arctan2(east, radial) / deg
        if turn < 0.0:
            turn += 360.0
        elif turn >= 360.0:
            turn -= 360.0
        out_ra[i] = turn
        out_dec[i] = np.arctan2(along * sin_dec + north * cos_dec, np.hypot(radial, east)) / deg


def jyear_of_mjd(mjd: float) -> float:
    """Julian year of a Modified Julian Date; the minute between the time scales does not matter for stars."""
    return 2000.0 + (mjd - 51544.5) / 365.25


def propagate(
    catalog: SkyCatalog, epoch_jyear: float, observer_au: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Astrometric positions at an epoch: uniform motion through space (no radial velocity), and parallax.

    Parameters
    ----------
    catalog : SkyCatalog
        Positions at their own reference epochs; NaN propagates.
    epoch_jyear : float
        Julian year of the image, see `jyear_of_mjd`.
    observer_au : ndarray, shape (3,), optional
        Barycentric position of the observer, ICRS [au], see
        `gaiaflux.core.sky.timing.earth_position_au`; None means: no parallax.

    Returns
    -------
    ra_deg, dec_deg : ndarray of float64, shape (n_stars,)
        ICRS directions as seen from the observer, without aberration and light deflection, which a plate solution
        absorbs [deg].
    """
    columns = [
        np.ascontiguousarray(column, dtype=np.float64)
        for column in (
            catalog.ra_deg,
            catalog.dec_deg,
            catalog.ref_epoch,
            catalog.pmra,
            catalog.pmdec,
            catalog.parallax,
        )
    ]
    observer = np.zeros(3) if observer_au is None else np.asarray(observer_au, dtype=np.float64)
    ra, dec = np.empty(len(catalog)), np.empty(len(catalog))
    _propagate(*columns, float(epoch_jyear), *(float(c) for c in observer), ra, dec)
    return ra, dec


def position_error_mas(catalog: SkyCatalog, epoch_jyear: float) -> np.ndarray:
    """One-axis errors of the positions that `propagate` gives.

    Parameters
    ----------
    catalog : SkyCatalog
        Stars.
    epoch_jyear : float
        Julian year of the image.

    Returns
    -------
    ndarray of float64, shape (n_stars,)
        [mas]; NaN where the catalogue's errors are.
    """
    return np.hypot(catalog.pos_err, catalog.pm_err * (epoch_jyear - catalog.ref_epoch))
