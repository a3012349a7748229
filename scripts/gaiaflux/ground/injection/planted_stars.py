"""Stars of known flux that are planted in images, and the file that tells of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gaiaflux.core.calibration.event_shapes import paczynski, transit
from gaiaflux.core.sky.timing import barycentric_jd_tdb
from gaiaflux.io.export.light_curves import read_ecsv, write_ecsv

__all__ = ["KINDS", "PlantedStars", "read_planted", "write_planted"]

KINDS = ("constant", "transit", "microlensing")


@dataclass(frozen=True)
class PlantedStars:
    """Stars to plant; n of them.

    Attributes
    ----------
    source_id : ndarray of int64
        Their numbers; also where the catalogue is not told.
    known : ndarray of bool
        Whether the catalogue of the copies has the star; else it has to be found on the reference image.
    kind : ndarray of str objects
        One of `KINDS`.
    ra_deg, dec_deg, x_ref, y_ref : ndarray of float64
        Place [deg, ICRS; pixel of the reference image].
    mag, level : ndarray of float64
        Magnitude on the scale of Gaia G, and calibrated flux outside of the event [unit of the series].
    t0, duration, depth, u0, t_e : ndarray of float64
        Of a transit: centre [BJD TDB], duration [d], depth; of a microlensing event: t0, impact parameter, Einstein
        time [d]; else NaN.
    """

    source_id: np.ndarray
    known: np.ndarray
    kind: np.ndarray
    ra_deg: np.ndarray
    dec_deg: np.ndarray
    x_ref: np.ndarray
    y_ref: np.ndarray
    mag: np.ndarray
    level: np.ndarray
    t0: np.ndarray
    duration: np.ndarray
    depth: np.ndarray
    u0: np.ndarray
    t_e: np.ndarray

    def __len__(self) -> int:
        """Number of stars."""
        return len(self.mag)

    def relative(self, frames: Mapping[str, np.ndarray]) -> np.ndarray:
        """Flux over `level` in each frame (columns mjd_tdb and observer_au), shape (n, n_frames)."""
        shape = np.ones((len(self), len(frames["mjd_tdb"])))
        for k, kind in enumerate(self.kind):
            bjd = barycentric_jd_tdb(frames["mjd_tdb"], frames["observer_au"], self.ra_deg[k], self.dec_deg[k])
            if kind == "transit":
                shape[k] = transit(bjd, self.t0[k], self.duration[k], self.depth[k], 0.15 * self.duration[k])
            elif kind == "microlensing":
                shape[k] = paczynski(bjd, self.t0[k], self.u0[k], self.t_e[k])
        return shape


_COLUMNS = {
    "source_id": ("", "number of the star"),
    "known": ("", "whether the catalogue has the star"),
    "kind": ("", "constant, transit or microlensing"),
    "ra_deg": ("deg", "right ascension, ICRS"),
    "dec_deg": ("deg", "declination, ICRS"),
    "x_ref": ("pixel", "column on the reference image"),
    "y_ref": ("pixel", "row on the reference image"),
    "mag": ("mag", "magnitude on the scale of Gaia G"),
    "level": ("", "calibrated flux outside of the event, in the series' unit"),
    "t0": ("d", "centre of the event, BJD TDB"),
    "duration": ("d", "of the transit, first to fourth contact"),
    "depth": ("", "of the transit"),
    "u0": ("", "impact parameter of the microlensing event"),
    "t_e": ("d", "Einstein time"),
}


def write_planted(path: Path, stars: PlantedStars, meta: Mapping[str, Any]) -> None:
    """Write ``planted.ecsv``.

    Parameters
    ----------
    path : Path
        File.
    stars : PlantedStars
        Planted stars.
    meta : mapping
        Facts of the planting.
    """
    columns = {name: (getattr(stars, name), unit, text) for name, (unit, text) in _COLUMNS.items()}
    write_ecsv(path, columns, dict(meta))


def read_planted(path: str | Path) -> PlantedStars:
    """Stars of ``planted.ecsv``."""
    columns, _ = read_ecsv(path)
    kind = np.array([str(text) for text in columns["kind"]], dtype=object)
    return PlantedStars(**{**{name: np.asarray(columns[name]) for name in _COLUMNS}, "kind": kind})
