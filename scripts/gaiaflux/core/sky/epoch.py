"""Catalogue positions at the time of an image: proper motion and annual parallax, without a library of coordinates."""

import numpy as np

from gaiaflux.core.kernels.compile import kernel
from gaiaflux.model.catalog import SkyCatalog

__all__ = ["earth_position_au", "jyear_of_mjd", "position_error_mas", "propagate"]

_VECTOR = "float64[::1]"

# Semi-major axis [au], eccentricity, inclination, mean longitude, longitude of perihelion, longitude of the node [deg],
# then their change per century; ecliptic and equinox of J2000 (Standish & Williams, "Approximate positions of the
# planets", valid 1800-2050). Last column: mass of the Sun over mass of the planet.
_EARTH = (
    (1.00000261, 0.01671123, -0.00001531, 100.46457166, 102.93768193, 0.0),
    (0.00000562, -0.00004392, -0.01294668, 35999.37244981, 0.32327364, 0.0),
)
_GIANTS = (
    (
        (5.20288700, 0.04838624, 1.30439695, 34.39644051, 14.72847983, 100.47390909),
        (-0.00011607, -0.00013253, -0.00183714, 3034.74612775, 0.21252668, 0.20469106),
        1047.3486,
    ),
    (
        (9.53667594, 0.05386179, 2.48599187, 49.95424423, 92.59887831, 113.66242448),
        (-0.00125060, -0.00050991, 0.00193609, 1222.49362201, -0.41897216, -0.28867794),
        3497.898,
    ),
    (
        (19.18916464, 0.04725744, 0.77263783, 313.23810451, 170.95427630, 74.01692503),
        (-0.00196176, -0.00004397, -0.00242939, 428.48202785, 0.40805281, 0.04240589),
        22902.98,
    ),
    (
        (30.06992276, 0.00859048, 1.77004347, -55.12002969, 44.96476227, 131.78422574),
        (0.00026291, 0.00005105, 0.00035372, 218.45945325, -0.32241464, -0.00508664),
        19412.24,
    ),
)
_OBLIQUITY_DEG = 23.4392911


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
        Barycentric position of the observer, ICRS [au], see `earth_position_au`; None means: no parallax.

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


def earth_position_au(epoch_jyear: float) -> np.ndarray:
    """Barycentric position of the Earth from mean elements, good to 1.5e-4 au between 1990 and 2045.

    That is 0.1 mas in the parallax of the nearest star: enough for positions, not for times.

    Parameters
    ----------
    epoch_jyear : float
        Julian year.

    Returns
    -------
    ndarray of float64, shape (3,)
        ICRS [au].
    """
    centuries = (epoch_jyear - 2000.0) / 100.0
    earth = _heliocentric_au(_EARTH[0], _EARTH[1], centuries)
    total, barycentre = 1.0, np.zeros(3)
    for elements, rates, inverse_mass in _GIANTS:
        barycentre += _heliocentric_au(elements, rates, centuries) / inverse_mass
        total += 1.0 / inverse_mass
    x, y, z = earth - barycentre / total
    sin, cos = np.sin(np.deg2rad(_OBLIQUITY_DEG)), np.cos(np.deg2rad(_OBLIQUITY_DEG))
    return np.array([x, y * cos - z * sin, y * sin + z * cos])


def _heliocentric_au(elements: tuple[float, ...], rates: tuple[float, ...], centuries: float) -> np.ndarray:
    """Position on a Keplerian orbit, ecliptic of J2000 [au]."""
    axis, eccentricity, inclination, longitude, perihelion, node = (
        value + rate * centuries for value, rate in zip(elements, rates, strict=True)
    )
    inclination, node = np.deg2rad(inclination), np.deg2rad(node)
    argument = np.deg2rad(perihelion) - node
    mean = np.deg2rad((longitude - perihelion) % 360.0)
    anomaly = mean + eccentricity * np.sin(mean)
    for _ in range(8):
        anomaly += (mean - anomaly + eccentricity * np.sin(anomaly)) / (1.0 - eccentricity * np.cos(anomaly))
    along = axis * (np.cos(anomaly) - eccentricity)
    across = axis * np.sqrt(1.0 - eccentricity**2) * np.sin(anomaly)
    cos_w, sin_w, cos_n, sin_n = np.cos(argument), np.sin(argument), np.cos(node), np.sin(node)
    cos_i, sin_i = np.cos(inclination), np.sin(inclination)
    return np.array(
        [
            (cos_w * cos_n - sin_w * sin_n * cos_i) * along + (-sin_w * cos_n - cos_w * sin_n * cos_i) * across,
            (cos_w * sin_n + sin_w * cos_n * cos_i) * along + (-sin_w * sin_n + cos_w * cos_n * cos_i) * across,
            sin_w * sin_i * along + cos_w * sin_i * across,
        ]
    )
