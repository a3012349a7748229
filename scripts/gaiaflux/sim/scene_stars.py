"""Stars of a scenario beyond the plain field, and a catalogue with rows that are wrong."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gaiaflux.core.sky.projection import plane_to_sky, sky_to_plane
from gaiaflux.sim.events import Microlensing, add_microlensing
from gaiaflux.sim.field import FieldConfig, Kind, gaia_table, make_stars
from gaiaflux.sim.pointing import moment
from gaiaflux.sim.scenario import Stars

__all__ = ["scene_catalog", "scene_stars"]

BRIGHT_MAG = (7.5, 9.5)
CLUSTER_MAG = (13.0, 21.1)
EVENT_MAG = (15.5, 18.0)
COMPANION_ARCSEC = (0.5, 1.5)
FAST_MAS_PER_YR = (150.0, 400.0)


def scene_stars(
    stars: Stars, size_deg: tuple[float, float], margin_deg: float, hours: Sequence[float], rng: np.random.Generator
) -> np.ndarray:
    """Draw all stars of a scenario.

    Parameters
    ----------
    stars : Stars
        Which stars.
    size_deg : tuple of float
        Width and height of a frame [deg].
    margin_deg : float
        Stars of the field are drawn so far over the frame's edges.
    hours : sequence of float
        First and last mid-exposure, as MJD UTC [d].
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    ndarray of STAR_DTYPE, shape (n_stars,)
        `source_id` is -1 until a catalogue is made.
    """
    field = stars.field
    parts = [make_stars(field, size_deg, margin_deg, rng)]
    if stars.bright:
        parts.append(_some(field, stars.bright, BRIGHT_MAG, size_deg, rng))
    if stars.cluster:
        members = _some(field, stars.cluster, CLUSTER_MAG, size_deg, rng)
        # Projected density of a Plummer sphere.
        radius = stars.cluster_core_arcsec / 3600.0 * np.sqrt(1.0 / rng.uniform(0.02, 1.0, len(members)) - 1.0)
        angle = rng.uniform(0.0, 2.0 * np.pi, len(members))
        members["ra"], members["dec"] = plane_to_sky(field.centre_deg, radius * np.cos(angle), radius * np.sin(angle))
        parts.append(members)
    if stars.events:
        parts.append(_add_events(parts[0], stars, size_deg, hours, rng))
    whole = np.concatenate(parts)
    whole["star"] = np.arange(len(whole))
    return whole


def _some(
    field: FieldConfig,
    number: int,
    limits: tuple[float, float],
    size_deg: tuple[float, float],
    rng: np.random.Generator,
) -> np.ndarray:
    """Constant stars between two magnitudes on the frame."""
    config = replace(
        field, stars_in_frame=number, brightest=limits[0], faintest=limits[1], slope=0.3, variable_fraction=0.0
    )
    return make_stars(config, size_deg, 0.0, rng)


def _add_events(
    stars: np.ndarray,
    wanted: Stars,
    size_deg: tuple[float, float],
    hours: Sequence[float],
    rng: np.random.Generator,
) -> np.ndarray:
    """Let some stars be lensed, in place, and give each a companion."""
    xi, eta = sky_to_plane(wanted.field.centre_deg, stars["ra"], stars["dec"])
    inside = (np.abs(xi) < 0.35 * size_deg[0]) & (np.abs(eta) < 0.35 * size_deg[1])
    fit = inside & (stars["g"] > EVENT_MAG[0]) & (stars["g"] < EVENT_MAG[1]) & (stars["kind"] == Kind.CONSTANT)
    rows = rng.permutation(np.flatnonzero(fit))[: wanted.events]
    for row in rows:
        when = moment(hours[0] + rng.uniform(0.25, 0.75) * (hours[1] - hours[0]))
        peak = float(when.bjd_tdb(stars["ra"][row : row + 1], stars["dec"][row : row + 1])[0])
        event = Microlensing(t_e_h=24.0 * 0.3 * (hours[1] - hours[0]), u0=rng.uniform(0.1, 0.8))
        add_microlensing(stars, row, event, peak)
    companions = stars[rows].copy()
    for name in ("t0", "u0", "t_e"):
        companions[name] = np.nan
    companions["kind"] = Kind.CONSTANT
    companions["g"] += rng.uniform(0.0, 1.0, len(rows))
    for name, shift in (("bp", 0.55), ("rp", -0.45)):
        companions[name] = companions["g"] + shift
    distance, angle = rng.uniform(*COMPANION_ARCSEC, len(rows)) / 3600.0, rng.uniform(0.0, 2.0 * np.pi, len(rows))
    companions["ra"] += distance * np.cos(angle) / np.cos(np.radians(companions["dec"]))
    companions["dec"] += distance * np.sin(angle)
    return companions


def scene_catalog(
    wanted: Stars, stars: np.ndarray, xi: np.ndarray, eta: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Make the Gaia-like catalogue; `source_id` and, of fast stars without a known motion, `pmra` of stars are set.

    Parameters
    ----------
    wanted : Stars
        What is wrong in the catalogue.
    stars : ndarray of STAR_DTYPE, shape (n_stars,)
        Stars; changed in place.
    xi, eta : ndarray, shape (n_stars,)
        Tangent-plane offsets, outside of the catalogue's area NaN [deg].
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    ndarray of GAIA_DTYPE, shape (n_rows,)
        Sorted by `source_id`.
    """
    table, rows = gaia_table(wanted.field, stars, xi, eta, rng)
    stars["source_id"][rows] = table["source_id"]
    bad = np.flatnonzero(rng.random(len(table)) < wanted.bad_rows)
    misplaced, wrong, fast = (bad[k::3] for k in range(3))
    distance, angle = rng.uniform(1.0, 4.0, len(misplaced)) / 3600.0, rng.uniform(0.0, 2.0 * np.pi, len(misplaced))
    table["ra"][misplaced] += distance * np.cos(angle) / np.cos(np.radians(table["dec"][misplaced]))
    table["dec"][misplaced] += distance * np.sin(angle)
    table["phot_g_mean_mag"][wrong] += rng.choice([-1.0, 1.0], len(wrong)) * rng.uniform(1.0, 3.0, len(wrong))
    speed, angle = rng.uniform(*FAST_MAS_PER_YR, len(fast)), rng.uniform(0.0, 2.0 * np.pi, len(fast))
    stars["pmra"][rows[fast]], stars["pmdec"][rows[fast]] = speed * np.cos(angle), speed * np.sin(angle)
    for name in ("parallax", "pmra", "pmdec"):
        table[name][fast] = table[f"{name}_error"][fast] = np.nan
    table["ruwe"][fast] = np.nan
    return table
