"""TESS magnitudes of stars from magnitudes in other bands: published relations, the best that a star allows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["BANDS_USED", "NONE", "RELATIONS", "Relation", "TessMagnitudes", "tess_magnitudes"]

BANDS_USED = ("G", "BP_RP", "J", "Ks", "V")
"""What the relations take: Gaia G and BP - RP, 2MASS J and Ks, Johnson V [mag]."""
NONE = -1
"""Number of no relation."""

_MAGNITUDES = (-5.0, 30.0)
# Magnitudes at which a star of 2MASS has a signal to noise of 10 (Skrutskie et al. 2006, AJ 131, 1163).
_TWO_MASS_LIMIT = {"J": 15.8, "Ks": 14.3}
_LIMIT_ERR = 1.0857 / 10.0
_polyval = np.polynomial.polynomial.polyval

# T - G, G - Ks and G - V as polynomials in BP - RP; see `RELATIONS`.
_T_G = (0.0324473, -0.633923, 0.0891337, -0.00522555)
_G_KS = (-0.1885, 2.092, -0.1345)
_G_V = (-0.01760, -0.006860, -0.1732)
_BP_RP = np.linspace(0.25, 2.75, 251)
_V_KS = _polyval(_BP_RP, _G_KS) - _polyval(_BP_RP, _G_V)
_T_V = _polyval(_BP_RP, _T_G) + _polyval(_BP_RP, _G_V)


@dataclass(frozen=True)
class Relation:
    """One way to a TESS magnitude.

    Attributes
    ----------
    name : str
        Bands that it takes, as tables say it.
    bands : tuple of str
        The same as of `BANDS_USED`.
    colour_range : tuple of float
        Colour for which it holds [mag]; without limits where it has no colour.
    error : float
        One-sigma scatter of single stars about it [mag].
    source : str
        Paper.
    colour : callable
        Bands to the colour.
    magnitude : callable
        Bands to T.
    """

    name: str
    bands: tuple[str, ...]
    colour_range: tuple[float, float]
    error: float
    source: str
    colour: Callable[..., np.ndarray]
    magnitude: Callable[..., np.ndarray]


_TIC8 = "Stassun et al. 2019, AJ 158, 138, eq. 1"
_TIC7 = "Stassun et al. 2018, AJ 156, 102, sect. 2.2.1"
_ANY = (-np.inf, np.inf)

RELATIONS = (
    Relation(
        "G, BP-RP",
        ("G", "BP_RP"),
        (-0.2, 3.5),
        0.006,
        _TIC8,
        lambda g, colour: colour,
        lambda g, colour: g + _polyval(colour, _T_G),
    ),
    Relation(
        "J, Ks",
        ("J", "Ks"),
        (-0.1, 0.7),
        0.05,
        _TIC7,
        lambda j, ks: j - ks,
        lambda j, ks: j + _polyval(j - ks, (0.0563, 1.89115, -1.74299, 1.22163)),
    ),
    Relation(
        "V, Ks",
        ("V", "Ks"),
        (float(_V_KS[0]), float(_V_KS[-1])),
        0.1,
        f"{_TIC8} with Evans et al. 2018, A&A 616, A4, table A.2",
        lambda v, ks: v - ks,
        lambda v, ks: v + np.interp(v - ks, _V_KS, _T_V),
    ),
    Relation(
        "J, Ks (red)",
        ("J", "Ks"),
        (0.7, 1.0),
        0.17,
        _TIC7,
        lambda j, ks: j - ks,
        lambda j, ks: j + _polyval(j - ks, (147.811, -545.64, 668.453, -269.372)),
    ),
    Relation("G", ("G",), _ANY, 0.6, _TIC8, lambda g: 0.0 * g, lambda g: g - 0.430),
    Relation("J", ("J",), _ANY, 0.8, _TIC7, lambda j: 0.0 * j, lambda j: j + 0.5),
    Relation("V", ("V",), _ANY, 0.9, _TIC7, lambda v: 0.0 * v, lambda v: v - 0.6),
)
"""The relations, best first.

``J, Ks``: the error is what the relation is worth for bright field stars, more than the scatter in its paper. ``V, Ks``
is the composition of T - G, G - Ks and G - V as functions of BP - RP, which V - Ks gives; its error allows for their
scatter, 0.083 and 0.046 mag, and for what a V of a wide catalogue is worth.
"""


@dataclass(frozen=True)
class TessMagnitudes:
    """TESS magnitudes and where they come from, each of shape (n,).

    Attributes
    ----------
    mag, error : ndarray of float64
        T and its one-sigma error, that of 2MASS photometry included [mag]; NaN where no relation holds.
    relation : ndarray of int8
        Number of the relation in `RELATIONS`; `NONE` where none holds.
    """

    mag: np.ndarray
    error: np.ndarray
    relation: np.ndarray


def tess_magnitudes(magnitudes: Mapping[str, np.ndarray], n: int) -> TessMagnitudes:
    """TESS magnitudes by the first of the relations that holds for each star.

    Parameters
    ----------
    magnitudes : mapping of str to ndarray, shape (n,)
        Of `BANDS_USED` what is known [mag]; NaN where a star has none. Numbers outside of -5..30 are none either: 99,
        999 and the like stand for "unknown" in many tables.
    n : int
        Number of stars.

    Returns
    -------
    TessMagnitudes
        NaN where a star has no magnitude that a relation takes in its range.

    Notes
    -----
    `Relation.source` and `Relation.colour_range` say what holds where.
    """
    known = {}
    for band in BANDS_USED:
        values = np.asarray(magnitudes.get(band, np.full(n, np.nan)), dtype=np.float64)
        known[band] = np.where((values > _MAGNITUDES[0]) & (values < _MAGNITUDES[1]), values, np.nan)
    mag, error, number = np.full(n, np.nan), np.full(n, np.nan), np.full(n, NONE, np.int8)
    for k, relation in enumerate(RELATIONS):
        bands = [known[band] for band in relation.bands]
        colour, (low, high) = relation.colour(*bands), relation.colour_range
        use = np.isnan(mag) & (colour >= low) & (colour <= high)
        if use.any():
            mag[use] = relation.magnitude(*(values[use] for values in bands))
            error[use] = np.hypot(relation.error, _photometric_error(relation, [values[use] for values in bands]))
            number[use] = k
    return TessMagnitudes(mag, error, number)


def _photometric_error(relation: Relation, bands: list[np.ndarray]) -> np.ndarray:
    """Error of T from that of J and Ks, which grows as the noise of the sky does [mag]."""
    total = np.zeros(len(bands[0]))
    for k, band in enumerate(relation.bands):
        if band in _TWO_MASS_LIMIT:
            moved = [values + (0.001 if i == k else 0.0) for i, values in enumerate(bands)]
            slope = (relation.magnitude(*moved) - relation.magnitude(*bands)) / 0.001
            total = np.hypot(total, slope * _LIMIT_ERR * 10.0 ** (0.4 * (bands[k] - _TWO_MASS_LIMIT[band])))
    return total
