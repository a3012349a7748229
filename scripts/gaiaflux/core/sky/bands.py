"""From instrumental fluxes to magnitudes of Gaia G and of standard bands.

Standard magnitudes of a field's stars come from their Gaia G and BP-RP by the polynomials of the Gaia documentation;
an instrument's own zero point and colour term are fitted to them.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gaiaflux.core.maths.robust import robust_scatter
from gaiaflux.model.status import OK
from gaiaflux.model.units import MAG_PER_RELATIVE

__all__ = [
    "BANDS",
    "Band",
    "MagnitudeScale",
    "band_of_filter",
    "choose_band",
    "fit_magnitude_scale",
    "scale_attributes",
    "scale_from_attributes",
    "standard_magnitude",
]

_LEAST_STARS = 3  # for a zero point
_LEAST_COLOUR_STARS = 8  # for a colour term
_LEAST_COLOUR_SPREAD = 0.25  # 10th to 90th percentile of BP - RP [mag]
_CLIP = 3.0
_ROUNDS = 10
_LEAST_ERROR = 0.01  # no star's standard magnitude is trusted better [mag]


@dataclass(frozen=True)
class Band:
    """A photometric band and how Gaia's magnitudes give it.

    Attributes
    ----------
    name : str
        ``G``, ``B``, ``V``, ``R``, ``I``, ``g``, ``r``, ``i``, ``z``.
    system : str
        What a magnitude of this band is called in tables.
    coefficients : tuple of float
        G - magnitude = sum of coefficients[k] (BP - RP)^k.
    colour_range : tuple of float
        BP - RP in which the relation holds [mag].
    dwarf_limit : float
        Redder than this it holds for giants only [mag].
    scatter : float
        Of single stars about it [mag].
    """

    name: str
    system: str
    coefficients: tuple[float, ...]
    colour_range: tuple[float, float]
    dwarf_limit: float
    scatter: float


BANDS = {
    band.name: band
    for band in (
        Band("G", "Gaia G", (0.0,), (-np.inf, np.inf), np.inf, 0.0),
        Band("B", "Johnson B", (0.01448, -0.6874, -0.3604, 0.06718, -0.006061), (-0.5, 4.0), 1.75, 0.0633),
        Band("V", "Johnson V", (-0.02704, 0.01424, -0.2156, 0.01426), (-0.5, 5.0), 5.0, 0.03017),
        Band("R", "Cousins R", (-0.02275, 0.3961, -0.1243, -0.01396, 0.003775), (0.0, 4.0), 2.0, 0.03167),
        Band("I", "Cousins I", (0.01753, 0.76, -0.0991), (-0.5, 4.5), 4.5, 0.03765),
        Band("g", "SDSS g", (0.2199, -0.6365, -0.1548, 0.0064), (0.3, 3.0), 2.0, 0.0745),
        Band("r", "SDSS r", (-0.09837, 0.08592, 0.1907, -0.1701, 0.02263), (0.0, 3.0), 2.0, 0.03776),
        Band("i", "SDSS i", (-0.293, 0.6404, -0.09609, -0.002104), (0.5, 2.0), 2.0, 0.04092),
        Band("z", "SDSS z", (-0.4619, 0.8992, -0.08271, 0.005029), (-0.5, 4.5), 4.5, 0.041161),
    )
}
"""Bands by name. V, R, I, g, r, i: Riello et al. (2021, A&A 649, A3), tables C.1 and C.2; these and B, z: Gaia DR3
documentation, section 5.5.1, tables 5.8 to 5.10. Johnson-Cousins magnitudes are Stetson's (Vega), SDSS magnitudes
those of its data release 12 (AB)."""

# Names that filters have in headers; the case of a letter tells the system where no other word does.
_JOHNSON = {"B": "B", "V": "V", "R": "R", "I": "I", "Rc": "R", "Ic": "I", "RC": "R", "IC": "I"}
_SDSS = {letter + mark: letter for letter in "griz" for mark in ("", "p", "P", "'")} | {"zs": "z", "ZS": "z"}
_KNOWN = {
    **dict.fromkeys(("johnson", "cousins", "bessell", "bessel", "bess", "harris", "kron"), _JOHNSON),
    **dict.fromkeys(("sdss", "sloan", "ps1", "panstarrs", "decam"), _SDSS),
}


def standard_magnitude(g: np.ndarray, bp_rp: np.ndarray, band: str) -> tuple[np.ndarray, np.ndarray]:
    """Magnitude of stars in a band, from Gaia.

    Parameters
    ----------
    g, bp_rp : ndarray, shape (n,)
        Gaia DR3 G and BP - RP [mag]; NaN where unknown.
    band : str
        Key of `BANDS`.

    Returns
    -------
    mag : ndarray of float64, shape (n,)
        [mag]; NaN outside of the relation's colour range and where G or (but for the band G) BP - RP is NaN.
    scatter : ndarray of float64, shape (n,)
        Of single stars about the relation [mag]; NaN where `mag` is.

    Raises
    ------
    ValueError
        Unknown band.
    """
    if band not in BANDS:
        raise ValueError(f"unknown band {band!r}: one of {', '.join(BANDS)}")
    relation = BANDS[band]
    g, bp_rp = np.broadcast_arrays(np.asarray(g, dtype=float), np.asarray(bp_rp, dtype=float))
    if band == "G":
        mag = g.copy()
    else:
        low, high = relation.colour_range
        inside = (bp_rp > low) & (bp_rp < high)
        mag = np.full(g.shape, np.nan)
        mag[inside] = g[inside] - np.polynomial.polynomial.polyval(bp_rp[inside], relation.coefficients)
    return mag, np.where(np.isfinite(mag), relation.scatter, np.nan)


def band_of_filter(name: str) -> str:
    """Band that a filter of this name stands for.

    Parameters
    ----------
    name : str
        As in a header: ``V``, ``Rc``, ``rp``, ``SDSS-G``, ``Bessell-I``, ``r DECam SDSS c0002 6415.0 1480.0``. Of a
        single letter the case counts: ``R`` is Cousins', ``r`` is Sloan's, unless another word names the system.

    Returns
    -------
    str
        Key of `BANDS`; ``G`` for all that is not known: clear, narrow and infrared filters.
    """
    words = [word for word in re.split(r"[\s_\-/.,;:()]+", name.strip()) if word]
    names = next((_KNOWN[word.lower()] for word in words if word.lower() in _KNOWN), None)
    if names is None:
        names = _JOHNSON | _SDSS | {"GP": "g", "RP": "r", "IP": "i", "ZP": "z"}
    else:
        names = {key.lower(): band for key, band in names.items()}
        words = [word.lower() for word in words]
    return next((names[word] for word in words if word in names), "G")


def choose_band(filters: Iterable[str]) -> str:
    """Band of a series: that of its most common filter, the first in the alphabet of equally common ones.

    Parameters
    ----------
    filters : iterable of str
        Filter of each frame; empty where unknown.

    Returns
    -------
    str
        Key of `BANDS`; ``G`` where no filter is known.
    """
    counts = Counter(str(name) for name in filters if name)
    if not counts:
        return "G"
    return band_of_filter(min(counts, key=lambda name: (-counts[name], name)))


@dataclass(frozen=True)
class MagnitudeScale:
    """How fluxes become magnitudes: zero_point - 2.5 log10(flux) + colour_term * (BP-RP - pivot).

    Attributes
    ----------
    band : str
        Key of `BANDS`.
    system : str
        Its name in tables.
    zero_point, zero_point_err : float
        [mag], for a flux in the unit of the fitted ones and a star of colour `pivot`; NaN where there were no stars.
    colour_term, colour_term_err : float
        [mag per mag]; 0 and NaN where not fitted.
    pivot : float
        BP - RP [mag]; NaN where no star has one.
    colour_range : tuple of float
        BP - RP of the fitted stars, 1st to 99th percentile [mag]; NaN where no star has one.
    scatter : float
        Robust scatter of single stars about the fit, with that of their standard magnitudes [mag]; NaN below 3 stars.
    n_stars : int
        Stars of the fit.
    note : str
        ``ok``, or what is missing.
    """

    band: str
    system: str
    zero_point: float
    zero_point_err: float
    colour_term: float
    colour_term_err: float
    pivot: float
    colour_range: tuple[float, float]
    scatter: float
    n_stars: int
    note: str

    def magnitude(self, flux: np.ndarray, colour: np.ndarray | float) -> np.ndarray:
        """Magnitudes of fluxes.

        Parameters
        ----------
        flux : ndarray
            In the unit of the fitted fluxes.
        colour : ndarray or float
            Colour of the star, broadcast against `flux` [mag]. An unknown colour (NaN) counts as the pivot; beyond
            the colours of the fit the term stays as at their end.

        Returns
        -------
        ndarray of float64
            [mag]; NaN where the flux is not positive or not known.
        """
        flux = np.asarray(flux, dtype=float)
        positive = flux > 0
        mag = self.zero_point - 2.5 * np.log10(np.where(positive, flux, 1.0)) + self.colour_correction(colour)
        return np.where(positive, mag, np.nan)

    def colour_correction(self, colour: np.ndarray | float) -> np.ndarray:
        """The colour's part of a magnitude [mag]; 0 where the colour is not known."""
        if self.colour_term == 0.0 or not np.isfinite(self.pivot):
            return np.zeros(np.shape(colour))
        return np.nan_to_num(self.colour_term * (np.clip(colour, *self.colour_range) - self.pivot))


def fit_magnitude_scale(
    flux: np.ndarray, g: np.ndarray, colour: np.ndarray, band: str, *, flux_err: np.ndarray | None = None
) -> MagnitudeScale:
    """Zero point and colour term that turn fluxes into magnitudes of a band.

    Parameters
    ----------
    flux : ndarray, shape (n,)
        Typical flux of each star on the series' common scale; NaN or not positive: not used.
    g, colour : ndarray, shape (n,)
        Gaia G and BP - RP [mag]; NaN where unknown.
    band : str
        Key of `BANDS`, see `choose_band`. Where fewer than 3 stars have a standard magnitude in it, Gaia G is taken.
    flux_err : ndarray, shape (n,), optional
        One-sigma errors of `flux`.

    Returns
    -------
    MagnitudeScale
        By least squares with a clip at three robust sigma. Stars redder than the relation's limit for dwarfs are left
        out. The colour term needs 8 stars whose colours spread by 0.25 mag (10th to 90th percentile).

    Raises
    ------
    ValueError
        Unknown band.
    """
    flux, g, colour = (np.asarray(values, dtype=float) for values in (flux, g, colour))
    mag, scatter = standard_magnitude(g, colour, band)
    mag = np.where(colour > BANDS[band].dwarf_limit, np.nan, mag)
    use = np.isfinite(mag) & (flux > 0)
    if band != "G" and use.sum() < _LEAST_STARS:
        other = fit_magnitude_scale(flux, g, colour, "G", flux_err=flux_err)
        short = f"{int(use.sum())} stars with a magnitude in {BANDS[band].system}"
        note = short if other.note == OK else f"{short}; {other.note}"
        return MagnitudeScale(**{**vars(other), "note": note})
    value = np.where(use, mag + 2.5 * np.log10(np.where(use, flux, 1.0)), 0.0)
    sigma = np.hypot(np.nan_to_num(scatter), _LEAST_ERROR)
    if flux_err is not None:
        known = use & np.isfinite(flux_err)
        relative = np.where(known, flux_err, 0.0) / np.where(use, flux, 1.0)
        sigma = np.hypot(sigma, MAG_PER_RELATIVE * relative)
    coloured = use & np.isfinite(colour)
    low, high = np.percentile(colour[coloured], [10, 90]) if coloured.any() else (0.0, 0.0)
    if coloured.sum() >= _LEAST_COLOUR_STARS and high - low >= _LEAST_COLOUR_SPREAD:
        return _fit(value, sigma, coloured, colour, band, 2)
    return _fit(value, sigma, use, colour, band, 1)


def _fit(
    value: np.ndarray, sigma: np.ndarray, use: np.ndarray, colour: np.ndarray, band: str, terms: int
) -> MagnitudeScale:
    """Clipped, weighted fit of a constant and, with two terms, a slope with colour."""
    known = use & np.isfinite(colour)
    pivot = float(np.median(colour[known])) if known.any() else float("nan")
    design = np.stack([np.ones(value.shape), np.nan_to_num(colour - pivot)], axis=1)[:, :terms]
    keep, best = use.copy(), np.zeros(terms)
    if use.any():
        best[0] = np.median(value[use])
    spread = float("nan")
    for _ in range(_ROUNDS if use.any() else 0):
        weighted = design[keep] / sigma[keep, None]
        best, *_ = np.linalg.lstsq(weighted, value[keep] / sigma[keep], rcond=None)
        residual = value - design @ best
        spread = robust_scatter(residual[keep])
        now = use & (np.abs(residual) <= _CLIP * max(spread, 1e-9))
        if now.sum() < max(_LEAST_STARS, terms + 1) or np.array_equal(now, keep):
            break
        keep = now
    n = int(keep.sum())
    errors = np.full(2, np.nan)
    if n > terms:
        weighted = design[keep] / sigma[keep, None]
        chi2 = float((((value - design @ best)[keep] / sigma[keep]) ** 2).sum()) / (n - terms)
        errors[:terms] = np.sqrt(np.diag(np.linalg.inv(weighted.T @ weighted)) * chi2)
    inside = keep & np.isfinite(colour)
    ends = np.percentile(colour[inside], [1, 99]) if inside.any() else (np.nan, np.nan)
    note = OK
    if n < _LEAST_STARS:
        note = f"{n} stars with a magnitude in {BANDS[band].system}: {'uncertain' if n else 'no zero point'}"
    elif terms == 1:
        note = "no colour term: too few stars or colours"
    return MagnitudeScale(
        band=band,
        system=BANDS[band].system,
        zero_point=float(best[0]) if n else float("nan"),
        zero_point_err=float(errors[0]),
        colour_term=float(best[1]) if terms == 2 else 0.0,
        colour_term_err=float(errors[1]),
        pivot=pivot,
        colour_range=(float(ends[0]), float(ends[1])),
        scatter=spread if n >= _LEAST_STARS else float("nan"),
        n_stars=n,
        note=note,
    )


_PREFIX = "band_"
_ATTRIBUTES = {
    "band": "name",
    "system": "system",
    "zero_point": "zero_point_mag",
    "zero_point_err": "zero_point_err_mag",
    "colour_term": "colour_term",
    "colour_term_err": "colour_term_err",
    "pivot": "pivot_bp_rp",
    "scatter": "scatter_mag",
    "n_stars": "n_stars",
    "note": "note",
}


def scale_attributes(scale: MagnitudeScale) -> dict[str, str | int | float]:
    """A scale as attributes of a method's group; `scale_from_attributes` reads them."""
    values = {f"{_PREFIX}{name}": getattr(scale, key) for key, name in _ATTRIBUTES.items()}
    return values | {f"{_PREFIX}bp_rp_{end}": scale.colour_range[k] for k, end in enumerate(("min", "max"))}


def scale_from_attributes(attributes: Mapping[str, str | int | float]) -> MagnitudeScale | None:
    """The scale of a method's group; None where it has none, as with magnitudes that are not Gaia's."""
    if f"{_PREFIX}name" not in attributes:
        return None
    values: dict[str, Any] = {key: attributes[f"{_PREFIX}{name}"] for key, name in _ATTRIBUTES.items()}
    low, high = (float(attributes[f"{_PREFIX}bp_rp_{end}"]) for end in ("min", "max"))
    return MagnitudeScale(**values, colour_range=(low, high))
