"""Stars of a simulated field, and what a Gaia-like catalogue knows of them."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from gaiaflux.core.sky.projection import plane_to_sky
from gaiaflux.sim.variability import paczynski, sinusoid, transit

__all__ = ["GAIA_DTYPE", "GAIA_UNITS", "STAR_DTYPE", "FieldConfig", "Kind", "gaia_table", "light_curves", "make_stars"]

MAS_PER_DEG = 3.6e6
REF_EPOCH = 2016.0

STAR_DTYPE = np.dtype(
    [
        ("star", "i8"),
        ("kind", "u1"),
        ("source_id", "i8"),
        ("ra", "f8"),
        ("dec", "f8"),
        ("pmra", "f8"),
        ("pmdec", "f8"),
        ("parallax", "f8"),
        ("g", "f8"),
        ("bp", "f8"),
        ("rp", "f8"),
        ("period", "f8"),
        ("amplitude", "f8"),
        ("phase", "f8"),
        ("t0", "f8"),
        ("duration", "f8"),
        ("depth", "f8"),
        ("ingress", "f8"),
        ("u0", "f8"),
        ("t_e", "f8"),
    ]
)
"""star: row number; kind: `Kind`; source_id: -1 where the catalogue lacks the star; ra, dec [deg] at 2016.0; pmra,
pmdec [mas/yr], parallax [mas]; g, bp, rp [mag]; of variables period [d], amplitude [mag], phase [rad at BJD 0]; of
transits t0 [BJD TDB], duration, ingress [d], depth; of microlensing events t0, u0, t_e [d]. NaN where it does not
apply."""

_GAIA_NUMBERS = (
    *("ra", "ra_error", "dec", "dec_error", "parallax", "parallax_error"),
    *("pmra", "pmra_error", "pmdec", "pmdec_error", "ref_epoch"),
    *("phot_g_mean_mag", "phot_bp_mean_mag", "phot_rp_mean_mag", "ruwe"),
)
GAIA_DTYPE = np.dtype([("source_id", "i8"), *((name, "f8") for name in _GAIA_NUMBERS)])
GAIA_UNITS = {
    **{"ra": "deg", "dec": "deg", "ra_error": "mas", "dec_error": "mas", "parallax": "mas", "parallax_error": "mas"},
    **{"pmra": "mas/yr", "pmdec": "mas/yr", "pmra_error": "mas/yr", "pmdec_error": "mas/yr", "ref_epoch": "yr"},
    **{"phot_g_mean_mag": "mag", "phot_bp_mean_mag": "mag", "phot_rp_mean_mag": "mag"},
}
"""Gaia's columns and units; NaN where a star has no proper motion, parallax or colour."""


class Kind(IntEnum):
    """How a star's flux changes."""

    CONSTANT = 0
    VARIABLE = 1
    TRANSIT = 2
    MICROLENSING = 3


@dataclass(frozen=True)
class FieldConfig:
    """Stars of a field.

    Attributes
    ----------
    centre_deg : tuple of float
        (ra, dec) [deg].
    stars_in_frame : int
        Mean number of stars on a frame.
    brightest, faintest : float
        Limits in G [mag].
    slope : float
        Number of stars brighter than G grows as 10^(slope G).
    variable_fraction : float
        Part of the stars with a sinusoidal magnitude.
    gaia_limit : float
        G at which half of the stars are in the catalogue [mag].
    gaia_width : float
        Scale of the fall of the completeness [mag].
    gaia_resolution_arcsec : float
        Of two stars at this separation the fainter one is missing in half of the cases.
    gaia_margin_arcmin : float
        The catalogue reaches so far over the edges of the frame.
    """

    centre_deg: tuple[float, float] = (288.0, -29.0)
    stars_in_frame: int = 2970
    brightest: float = 10.0
    faintest: float = 21.1
    slope: float = 0.3
    variable_fraction: float = 0.02
    gaia_limit: float = 20.33
    gaia_width: float = 0.12
    gaia_resolution_arcsec: float = 0.8
    gaia_margin_arcmin: float = 1.5


def make_stars(
    config: FieldConfig, frame_size_deg: tuple[float, float], margin_deg: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw the stars of a field: constant and sinusoidal ones.

    Parameters
    ----------
    config : FieldConfig
        Field.
    frame_size_deg : tuple of float
        Width and height of a frame [deg].
    margin_deg : float
        Stars are drawn so far over the frame's edges.
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    ndarray of STAR_DTYPE, shape (n_stars,)
        `source_id` is -1 until a catalogue is made.
    """
    width, height = (side + 2.0 * margin_deg for side in frame_size_deg)
    number = round(config.stars_in_frame * width * height / (frame_size_deg[0] * frame_size_deg[1]))
    stars = np.zeros(number, dtype=STAR_DTYPE)
    for name in ("period", "amplitude", "phase", "t0", "duration", "depth", "ingress", "u0", "t_e"):
        stars[name] = np.nan
    stars["star"] = np.arange(number)
    stars["source_id"] = -1
    stars["ra"], stars["dec"] = plane_to_sky(
        config.centre_deg, rng.uniform(-0.5, 0.5, number) * width, rng.uniform(-0.5, 0.5, number) * height
    )
    low, high = 10.0 ** (config.slope * config.brightest), 10.0 ** (config.slope * config.faintest)
    stars["g"] = np.log10(rng.uniform(low, high, number)) / config.slope
    colour = 0.9 + 0.06 * (stars["g"] - 16.0) + rng.normal(0.0, 0.35, number)
    stars["bp"] = stars["g"] + 0.55 * colour
    stars["rp"] = stars["g"] - 0.45 * colour
    stars["parallax"] = np.exp(rng.normal(np.log(0.5), 0.8, number))
    # Tangential velocities of about 40 km/s, with a tail of nearby and fast stars.
    speed = 40.0 / 4.74 * stars["parallax"]
    stars["pmra"] = -1.5 + speed * rng.normal(0.0, 0.6, number)
    stars["pmdec"] = -3.0 + speed * rng.normal(0.0, 0.6, number)
    variable = rng.random(number) < config.variable_fraction
    n_variable = int(variable.sum())
    stars["kind"][variable] = Kind.VARIABLE
    stars["period"][variable] = 10.0 ** rng.uniform(np.log10(0.08), np.log10(3.0), n_variable)
    stars["amplitude"][variable] = 10.0 ** rng.uniform(np.log10(0.02), np.log10(0.3), n_variable)
    stars["phase"][variable] = rng.uniform(0.0, 2.0 * np.pi, n_variable)
    return stars


def light_curves(stars: np.ndarray, bjd_tdb: np.ndarray) -> np.ndarray:
    """Relative flux of each star at one moment.

    Parameters
    ----------
    stars : ndarray of STAR_DTYPE, shape (n_stars,)
        Stars.
    bjd_tdb : ndarray, shape (n_stars,)
        Barycentric Julian date in TDB at which each star is seen [d].

    Returns
    -------
    ndarray, shape (n_stars,)
        1 where the star is as bright as its `g` says.
    """
    flux = np.ones(len(stars))
    rows = np.flatnonzero(stars["kind"] == Kind.VARIABLE)
    some = stars[rows]
    flux[rows] = sinusoid(bjd_tdb[rows], some["period"], some["amplitude"], some["phase"])
    for row in np.flatnonzero(stars["kind"] == Kind.TRANSIT):
        star = stars[row]
        flux[row] = transit(bjd_tdb[row], star["t0"], star["duration"], star["depth"], star["ingress"])
    for row in np.flatnonzero(stars["kind"] == Kind.MICROLENSING):
        star = stars[row]
        flux[row] = paczynski(bjd_tdb[row], star["t0"], star["u0"], star["t_e"])
    return flux


def gaia_table(
    config: FieldConfig, stars: np.ndarray, xi: np.ndarray, eta: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Make a catalogue that is incomplete where it is faint and where stars are close, with Gaia's errors.

    Parameters
    ----------
    config : FieldConfig
        Field.
    stars : ndarray of STAR_DTYPE, shape (n_stars,)
        Stars; transiting and lensed ones are always in the catalogue.
    xi, eta : ndarray, shape (n_stars,)
        Tangent-plane offsets from the field's centre, outside of the catalogue's area NaN [deg].
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    table : ndarray of GAIA_DTYPE, shape (n_rows,)
        Sorted by `source_id`.
    rows : ndarray of int64, shape (n_rows,)
        Row of `stars` of each entry.
    """
    number = len(stars)
    probability = 1.0 / (1.0 + np.exp(np.clip((stars["g"] - config.gaia_limit) / config.gaia_width, -500.0, 500.0)))
    probability *= _resolved(stars["g"], xi, eta, config.gaia_resolution_arcsec)
    probability[stars["kind"] >= Kind.TRANSIT] = 1.0
    rows = np.flatnonzero((rng.random(number) < probability) & np.isfinite(xi))
    # Gaia's identifiers begin with a position on the sky (times 2^35): most neighbours share 20 leading bits.
    cell = rng.integers(0, 4096, len(rows)) + (4_087_000_000_000_000_000 >> 35)
    source_id = (cell << 35) + rng.choice(2**28, len(rows), replace=False) * 64 + rng.integers(0, 64, len(rows))
    order = np.argsort(source_id)
    rows, source_id = rows[order], source_id[order]
    some = stars[rows]
    table = np.zeros(len(rows), dtype=GAIA_DTYPE)
    table["source_id"] = source_id
    table["ref_epoch"] = REF_EPOCH
    table["phot_g_mean_mag"] = some["g"] + rng.normal(0.0, 0.003, len(rows))
    table["phot_bp_mean_mag"] = some["bp"] + rng.normal(0.0, 1.0, len(rows)) * _error_at(some["g"], 0.003, 0.1)
    table["phot_rp_mean_mag"] = some["rp"] + rng.normal(0.0, 1.0, len(rows)) * _error_at(some["g"], 0.003, 0.07)
    table["ruwe"] = np.exp(rng.normal(0.02, 0.06, len(rows)))
    position_error = _error_at(some["g"], 0.02, 0.6)
    for name, error, scale in (("ra", position_error, 1.0), ("dec", position_error, 0.9)):
        table[f"{name}_error"] = error * scale
        offset = rng.normal(0.0, 1.0, len(rows)) * error * scale / MAS_PER_DEG
        table[name] = some[name] + (offset / np.cos(np.radians(some["dec"])) if name == "ra" else offset)
    for name, factor in (("parallax", 1.2), ("pmra", 1.15), ("pmdec", 1.05)):
        table[f"{name}_error"] = position_error * factor
        table[name] = some[name] + rng.normal(0.0, 1.0, len(rows)) * position_error * factor
    positions_only = rng.random(len(rows)) < np.clip(0.08 * (some["g"] - 19.0), 0.0, 0.15)
    for name in ("parallax", "pmra", "pmdec"):
        table[name][positions_only] = table[f"{name}_error"][positions_only] = np.nan
    table["ruwe"][positions_only] = np.nan
    no_colour = rng.random(len(rows)) < 0.01
    table["phot_bp_mean_mag"][no_colour] = table["phot_rp_mean_mag"][no_colour] = np.nan
    return table, rows


def _error_at(g: np.ndarray, bright: float, faint: float) -> np.ndarray:
    """Error that is `bright` for G < 14 and `faint` at G = 20.5, growing as the square root of 1 / flux or faster."""
    return np.hypot(bright, faint * 10.0 ** (0.3 * (g - 20.5)))


def _resolved(g: np.ndarray, xi: np.ndarray, eta: np.ndarray, resolution_arcsec: float) -> np.ndarray:
    """Chance that a star is told apart from its brighter neighbours."""
    chance = np.ones(len(g))
    order = np.argsort(eta)
    reach = 2.5 * resolution_arcsec
    x, y, mag = 3600.0 * xi[order], 3600.0 * eta[order], g[order]
    for shift in range(1, len(g)):
        close = np.abs(y[shift:] - y[:-shift]) < reach
        if not close.any():
            break
        low = np.flatnonzero(close)
        high = low + shift
        separation = np.hypot(x[high] - x[low], y[high] - y[low])
        keep = separation < reach
        low, high, separation = low[keep], high[keep], separation[keep]
        fainter = np.where(mag[low] > mag[high], low, high)
        np.multiply.at(
            chance, order[fainter], 1.0 / (1.0 + np.exp(-(separation - resolution_arcsec) / (0.15 * resolution_arcsec)))
        )
    return chance
