"""A simulated field: stamps on one CCD, their sky, the catalogue of their stars, and the times of the frames."""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.sky.projection import linear_tan, pixel_to_sky
from gaiaflux.core.sky.sphere import directions
from gaiaflux.core.sky.timing import earth_position_au
from gaiaflux.model.wcs import TanSip
from gaiaflux.sim.tess.response import FIRST_COLUMN, LAST_COLUMN, LAST_ROW
from gaiaflux.sim.tess.stamp import SimulatedStamp, StampSetup, simulate_stamp
from gaiaflux.sim.tess.stars import StampStar

__all__ = [
    "CatalogRow",
    "FieldSetup",
    "catalog_rows",
    "demo_field",
    "light_time_d",
    "moved_back",
    "spacecraft_au",
    "stamp_wcs",
]

SCALE_DEG = 21.0 / 3600.0
TURN = np.radians(20.0)
LIGHT_DAYS_PER_AU = 499.004783836 / 86400.0
BTJD_TO_MJD = 56999.5
ORBIT_AU, ORBIT_D = 0.0018, 13.7
CATALOG_EPOCH = 2000.0
MAS_PER_DEG = 3.6e6


@dataclass(frozen=True)
class FieldSetup:
    """Stamps of one CCD in one sector.

    Attributes
    ----------
    stamps : tuple of StampSetup
        All with the same times.
    sector, camera, ccd : int
    centre_deg : tuple of float
        (ra, dec) in the middle of the CCD.
    """

    stamps: tuple[StampSetup, ...]
    sector: int = 1
    camera: int = 4
    ccd: int = 1
    centre_deg: tuple[float, float] = (63.4, -69.2)

    def simulate(self) -> tuple[SimulatedStamp, ...]:
        """Frames of all stamps."""
        return tuple(simulate_stamp(setup) for setup in self.stamps)


@dataclass(frozen=True)
class CatalogRow:
    """A row of the catalogue.

    Attributes
    ----------
    starid : int
    ra_deg, dec_deg : float
        At `CATALOG_EPOCH`.
    pmra, pmdec : float
        [mas/yr].
    tmag : float
    disposition : str
        Empty, "DUPLICATE" or "SPLIT".
    """

    starid: int
    ra_deg: float
    dec_deg: float
    pmra: float
    pmdec: float
    tmag: float
    disposition: str


def stamp_wcs(field: FieldSetup, setup: StampSetup) -> TanSip:
    """Plate solution of a stamp at shift 0, in its own pixels.

    Parameters
    ----------
    field : FieldSetup
    setup : StampSetup

    Returns
    -------
    TanSip
    """
    cos, sin = np.cos(TURN), np.sin(TURN)
    cd = SCALE_DEG * np.array([[-cos, sin], [sin, cos]])
    middle = (0.5 * (FIRST_COLUMN + LAST_COLUMN) - setup.first_column, 0.5 * LAST_ROW - setup.first_row)
    return linear_tan(field.centre_deg, middle, cd, setup.shape)


def catalog_rows(field: FieldSetup) -> list[CatalogRow]:
    """Catalogue of all stars of a field, moved back to the epoch of the catalogue.

    Parameters
    ----------
    field : FieldSetup

    Returns
    -------
    list of CatalogRow
    """
    rows = []
    for setup in field.stamps:
        wcs = stamp_wcs(field, setup)
        x, y = (np.array([getattr(star, axis) for star in setup.stars]) for axis in "xy")
        motion = np.array([star.pm_mas for star in setup.stars])
        then = moved_back(*pixel_to_sky(wcs, x, y), motion, setup.start_btjd)
        rows += [
            CatalogRow(star.starid, float(ra), float(dec), *star.pm_mas, star.tmag, star.disposition)
            for star, ra, dec in zip(setup.stars, *then, strict=True)
        ]
    return rows


def moved_back(
    ra_deg: np.ndarray, dec_deg: np.ndarray, motion_mas: np.ndarray, btjd: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where stars were at the epoch of the catalogue.

    Parameters
    ----------
    ra_deg, dec_deg : ndarray, shape (n,)
        At the time of observation.
    motion_mas : ndarray, shape (n, 2)
        Proper motions in ra cos(dec) and dec [mas/yr].
    btjd : float
        Time of observation.

    Returns
    -------
    ra_deg, dec_deg : ndarray, shape (n,)
    """
    years = 2000.0 + (btjd + BTJD_TO_MJD - 51544.5) / 365.25 - CATALOG_EPOCH
    dec_then = dec_deg - motion_mas[:, 1] * years / MAS_PER_DEG
    return ra_deg - motion_mas[:, 0] * years / MAS_PER_DEG / np.cos(np.radians(dec_deg)), dec_then


def spacecraft_au(btjd: np.ndarray) -> np.ndarray:
    """Barycentric position of the spacecraft, ICRS: the Earth and a high orbit about it.

    Parameters
    ----------
    btjd : ndarray, shape (n,)
        Finite [BTJD].

    Returns
    -------
    ndarray of float64, shape (n, 3)
    """
    phase = 2.0 * np.pi * btjd / ORBIT_D
    orbit = ORBIT_AU * np.stack([np.cos(phase), 0.8 * np.sin(phase), 0.6 * np.sin(phase)], axis=1)
    return earth_position_au(btjd + BTJD_TO_MJD) + orbit


def light_time_d(btjd: np.ndarray, ra_deg: float, dec_deg: float) -> np.ndarray:
    """How much later light of a direction arrives at the spacecraft than it passes the barycentre, negated [d].

    Parameters
    ----------
    btjd : ndarray, shape (n,)
        Spacecraft time [BTJD]; NaN gives NaN.
    ra_deg, dec_deg : float

    Returns
    -------
    ndarray of float64, shape (n,)
        To be added to the spacecraft's time.
    """
    known = np.isfinite(btjd)
    result = np.full(len(btjd), np.nan)
    towards = directions(np.array([ra_deg]), np.array([dec_deg])).reshape(3)
    result[known] = spacecraft_au(btjd[known]) @ towards * LIGHT_DAYS_PER_AU
    return result


def demo_field(n_times: int = 1000, cadence_s: float = 120.0, seed: int = 1) -> FieldSetup:
    """Field with what is difficult: a blend with an eclipsing star, a transit, a fast star, a saturated one.

    Parameters
    ----------
    n_times : int
    cadence_s : float
    seed : int

    Returns
    -------
    FieldSetup
        The first star of each stamp is a target.
    """
    length = n_times * cadence_s / 86400.0
    epoch = 0.2 * length
    stamps = (
        (
            StampStar(1001, 5.2, 4.9, 10.5),
            StampStar(1002, 6.4, 5.8, 10.5, "eclipses", 0.1, 0.45 * length, 0.08 * length, epoch),
            StampStar(1003, 1.4, 8.8, 12.0),
            StampStar(1004, 9.3, 1.6, 12.5),
            StampStar(1005, 12.2, 9.0, 11.0),
        ),
        (
            StampStar(2001, 4.7, 5.3, 9.8, "transits", 0.01, 0.4 * length, 0.05 * length, epoch),
            StampStar(2002, 7.8, 3.1, 13.5),
        ),
        (StampStar(3001, 5.4, 5.1, 11.0, pm_mas=(2200.0, -1500.0)), StampStar(3002, 8.6, 7.7, 12.0)),
        (StampStar(4001, 5.1, 5.2, 5.0), StampStar(4002, 1.5, 1.2, 11.0)),
        (
            StampStar(5001, 5.0, 4.6, 13.5),
            StampStar(5002, 6.3, 5.9, 14.5),
            StampStar(5003, 5.0, 4.6, 99.0, disposition="DUPLICATE"),
        ),
    )
    corners = ((1200, 700), (300, 1500), (1800, 1700), (900, 250), (1500, 1100))
    return FieldSetup(
        tuple(
            StampSetup(
                stars,
                first_column=column,
                first_row=row,
                seed=10 * seed + k,
                shape=(21, 11) if k == 3 else (11, 11),
                n_times=n_times,
                cadence_s=cadence_s,
                missing=0.02,
            )
            for k, (stars, (column, row)) in enumerate(zip(stamps, corners, strict=True))
        )
    )
