"""Magnitudes of a series: which band its filter stands for, and the scale that is fitted to Gaia's stars."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from gaiaflux.core.sky.bands import (
    MagnitudeScale,
    choose_band,
    fit_magnitude_scale,
    scale_attributes,
    scale_from_attributes,
)
from gaiaflux.io.dataset import DatasetReader, DatasetWriter
from gaiaflux.model.status import OK
from gaiaflux.model.units import MAG_PER_RELATIVE

__all__ = [
    "GAIA_SYSTEM",
    "CatalogMagnitude",
    "catalog_magnitude",
    "magnitude_scale",
    "magnitudes_of_star",
    "method_scale",
    "scale_facts",
    "write_magnitude_scale",
]

GAIA_SYSTEM = "Gaia G"
_LEAST_MEMBERS = 3


class CatalogMagnitude(NamedTuple):
    """Magnitudes of n stars by the catalogue that a dataset was measured with.

    Attributes
    ----------
    values : ndarray of float64, shape (n,)
        [mag]; NaN where unknown.
    column : str
        Of ``/stars``.
    band : str
        What it is called for short.
    """

    values: np.ndarray
    column: str
    band: str


def catalog_magnitude(source: DatasetReader) -> CatalogMagnitude:
    """Magnitudes that order the stars of a dataset: Gaia's G, if its attributes name no other column of ``/stars``."""
    attributes = source.attributes()
    column = str(attributes.get("catalog_magnitude", "phot_g_mean_mag"))
    return CatalogMagnitude(source.array(f"stars/{column}"), column, str(attributes.get("catalog_band", "G")))


def magnitude_scale(
    member_flux: np.ndarray,
    rows: np.ndarray,
    level: np.ndarray,
    stars: Mapping[str, np.ndarray],
    filters: np.ndarray,
) -> MagnitudeScale:
    """Fit zero point and colour term of one method.

    Parameters
    ----------
    member_flux : ndarray, shape (n,)
        Typical flux of the stars of the ensemble on the common scale; NaN for one that is not to be used.
    rows : ndarray of int, shape (n,)
        Their rows among all stars.
    level : ndarray, shape (s,)
        Typical flux of every star; used where fewer than 3 stars of the ensemble have a G.
    stars : mapping of str to ndarray
        Columns of the stars: mag and colour.
    filters : ndarray of str, shape (m,)
        Filter of each frame.

    Returns
    -------
    MagnitudeScale
        In the band of the most common filter, or in Gaia G.
    """
    flux = np.full(len(level), np.nan)
    flux[rows] = member_flux
    if (np.isfinite(flux) & np.isfinite(stars["mag"])).sum() < _LEAST_MEMBERS:
        flux = level
    return fit_magnitude_scale(flux, stars["mag"], stars["colour"], choose_band(filters))


def write_magnitude_scale(out: DatasetWriter, method: str, scale: MagnitudeScale) -> None:
    """Store a scale as attributes ``band_...`` of the method's group."""
    out.attributes(scale_attributes(scale), method)


def method_scale(source: DatasetReader, method: str) -> MagnitudeScale:
    """Scale by which a method's calibrated fluxes become magnitudes.

    Parameters
    ----------
    source : DatasetReader
        Dataset.
    method : str
        Group of the method.

    Returns
    -------
    MagnitudeScale
        The fitted one; where there is none, or it has no zero point, that of the series without a colour term, whose
        system may be instrumental.
    """
    attributes = source.attributes(method)
    fitted = scale_from_attributes(attributes)
    if fitted is not None and np.isfinite(fitted.zero_point):
        return fitted
    number = int(attributes.get("zero_point_n_stars", 0))
    scatter = float(attributes.get("zero_point_scatter_mag", np.nan))
    return MagnitudeScale(
        band="G" if attributes["magnitude_system"] == GAIA_SYSTEM else "",
        system=str(attributes["magnitude_system"]),
        zero_point=float(attributes["zero_point_mag"]),
        zero_point_err=scatter / number**0.5 if number else float("nan"),
        colour_term=0.0,
        colour_term_err=float("nan"),
        pivot=float("nan"),
        colour_range=(float("nan"), float("nan")),
        scatter=scatter,
        n_stars=number,
        note=str(attributes.get("zero_point_note", "")),
    )


def magnitudes_of_star(
    scale: MagnitudeScale, flux: np.ndarray, error: np.ndarray, colour: float
) -> tuple[np.ndarray, np.ndarray]:
    """Magnitudes of one star and their one-sigma errors, without that of the zero point.

    Parameters
    ----------
    scale : MagnitudeScale
        See `method_scale`.
    flux, error : ndarray, shape (m,)
        Calibrated fluxes and their errors.
    colour : float
        Colour of the star; NaN where unknown [mag].

    Returns
    -------
    mag, mag_err : ndarray of float64, shape (m,)
        [mag]; NaN where the flux is not positive.
    """
    flux = np.asarray(flux, dtype=float)
    mag = scale.magnitude(flux, colour)
    relative = np.asarray(error, dtype=float) / np.where(flux > 0, flux, np.nan)
    return mag, MAG_PER_RELATIVE * relative


def scale_facts(scale: MagnitudeScale, colour: float) -> dict[str, object]:
    """What a light curve says of its magnitudes: system, zero point, colour term, and the colour of the star."""
    system = scale.system
    if scale.band not in ("", "G"):
        system += ", from Gaia DR3 G and BP-RP (Riello et al. 2021, A&A 649, A3)"
    facts = {
        "magnitude_system": system,
        "band": scale.band,
        "zero_point_mag": scale.zero_point,
        "zero_point_err_mag": scale.zero_point_err,
        "zero_point_scatter_mag": scale.scatter,
        "zero_point_n_stars": scale.n_stars,
        "zero_point_note": scale.note,
        "colour_term": scale.colour_term,
        "colour_term_err": scale.colour_term_err,
        "pivot_bp_rp": scale.pivot,
        "bp_rp_range": [float(end) for end in scale.colour_range],
        "bp_rp": float(colour),
    }
    facts["bp_rp_note"] = OK
    if scale.colour_term == 0.0:
        facts["bp_rp_note"] = "no colour term"
    elif not np.isfinite(colour):
        facts["bp_rp_note"] = "the star's colour is not known: that of the pivot was taken"
    elif not scale.colour_range[0] <= colour <= scale.colour_range[1]:
        facts["bp_rp_note"] = "the star's colour is beyond those of the fit: the nearest was taken"
    return facts
