"""Terms that all frames of a series share: colour, colour times air mass, and what differs from camera to camera.

They are fitted to what an ensemble solution leaves over, with the stars' constants and the frames' own terms fitted
along (Frisch & Waugh 1933, Econometrica 1, 387), and kept where they predict stars that took no part in their fit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gaiaflux.core.calibration.ensemble import EnsembleSolution
from gaiaflux.core.maths.polynomials import STARS_PER_TERM, n_terms
from gaiaflux.core.maths.two_way import remove_rows_and_columns

__all__ = ["SeriesFacts", "SeriesTerms", "fit_terms", "term_table", "with_terms"]

_MAP_ORDER = 3
_LEAST_STARS = 20
_LEAST_SPREAD = 0.05  # of the colours [mag], of the air masses
_LEAST_GAIN = 4.0  # of chi-squared of the held-out stars
_DETERMINED = 1e-4  # part of a term that is neither a star's constant nor a frame's own term
_MOST_CAMERAS = 12
_TURNED = 0.05  # change of the image's axes that makes a map of the detector visible


@dataclass(frozen=True)
class SeriesFacts:
    """What is known of n stars and m frames.

    Attributes
    ----------
    x, y : ndarray, shape (n,)
        Place in the field [pixel of the reference image].
    colour : ndarray, shape (n,)
        [mag]; NaN where unknown.
    airmass : ndarray, shape (m,)
        NaN where unknown.
    camera : ndarray of int, shape (m,)
        Number of the camera.
    camera_names : list of str
        Their names.
    axes : ndarray, shape (m, 2, 2)
        Detector axes of each frame over those of the reference image; the unit matrix where unknown.
    """

    x: np.ndarray
    y: np.ndarray
    colour: np.ndarray
    airmass: np.ndarray
    camera: np.ndarray
    camera_names: list[str]
    axes: np.ndarray


@dataclass(frozen=True)
class SeriesTerms:
    """What `fit_terms` found for p terms.

    Attributes
    ----------
    names : list of str
        Terms that were tried, one for each parameter.
    values, errors : ndarray of float64, shape (p,)
        In natural logarithms of the flux; 0 and NaN where a term was left out.
    notes : list of str
        ``kept`` or why not, with the change of the held-out scatter.
    colour_zero, airmass_zero : float
        Where the terms are zero.
    kinds : list of tuple
        Kind and camera of each parameter, for `term_table`.
    """

    names: list[str]
    values: np.ndarray
    errors: np.ndarray
    notes: list[str]
    colour_zero: float
    airmass_zero: float
    kinds: list[tuple[str, int, int]]

    @property
    def any(self) -> bool:
        """Whether a term was kept."""
        return bool((self.values != 0).any())


def fit_terms(solution: EnsembleSolution, facts: SeriesFacts) -> SeriesTerms:
    """Fit the shared terms to the residuals of an ensemble solution, group by group.

    Parameters
    ----------
    solution : EnsembleSolution
        Of n stars and m frames.
    facts : SeriesFacts
        Of the same stars and frames.

    Returns
    -------
    SeriesTerms
        A group is kept where it lowers the weighted square sum of both halves of the stars, each with the values that
        the other half gives, by more than 4 in all; else its values are 0.
    """
    weigh = (solution.weight > 0).any(axis=1)
    coloured = weigh & np.isfinite(facts.colour)
    colour_zero = float(np.median(facts.colour[coloured])) if coloured.any() else float("nan")
    frames = (solution.weight > 0).any(axis=0)
    known = frames & np.isfinite(facts.airmass)
    airmass_zero = float(np.median(facts.airmass[known])) if known.any() else float("nan")
    terms = SeriesTerms([], np.zeros(0), np.zeros(0), [], colour_zero, airmass_zero, [])
    order = solution.basis.order
    strong = frames & (solution.order == order)
    cameras = [c for c in range(len(facts.camera_names)) if (strong & (facts.camera == c)).any()]
    groups = _groups(facts, solution, cameras, coloured, strong)
    if not solution.solved or strong.sum() < 2:
        return _left_out(terms, groups, "the series is not calibrated")
    weight = solution.weight[:, strong].astype(float)
    residual = solution.residual[:, strong].astype(float)
    basis = solution.basis.terms(facts.x, facts.y)
    half = _halves(facts, weigh)
    kept_tables = np.zeros((0, *weight.shape))
    for kinds, reason in groups:
        trial = replace(
            terms,
            names=terms.names + [_name(kind, facts) for kind in kinds],
            values=np.append(terms.values, np.ones(len(kinds))),
            errors=np.append(terms.errors, np.full(len(kinds), np.nan)),
            kinds=terms.kinds + kinds,
        )
        none = replace(trial, values=np.append(terms.values, np.zeros(len(kinds))))
        if reason:
            terms = replace(none, notes=terms.notes + [f"left out: {reason}"] * len(kinds))
            continue
        raw = np.stack([_single_table(kind, facts, terms, solution)[:, strong] for kind in kinds])
        tables = remove_rows_and_columns(raw, weight, basis)
        seen = (weight * tables**2).sum(axis=(1, 2)) / np.maximum((weight * raw**2).sum(axis=(1, 2)), 1e-300)
        if (seen < _DETERMINED).any():
            note = "left out: constants of the stars and terms of the frames say the same"
            terms = replace(none, notes=terms.notes + [note] * len(kinds))
            continue
        both = np.concatenate([kept_tables, tables])
        gain, values, errors = _held_out_gain(both, len(kept_tables), residual, weight, half)
        change = 100.0 * (np.sqrt(max(1.0 - gain.sum() / (weight * residual**2).sum(), 0.0)) - 1.0)
        if (gain > 0).all() and gain.sum() > _LEAST_GAIN:
            kept_tables = both
            kept = np.append(terms.values != 0, np.ones(len(kinds), dtype=bool))
            whole, whole_errors = np.zeros(kept.size), np.full(kept.size, np.nan)
            whole[kept], whole_errors[kept] = values, errors
            note = f"kept: held-out scatter {change:+.2f} %"
            terms = replace(trial, values=whole, errors=whole_errors, notes=terms.notes + [note] * len(kinds))
        else:
            note = f"left out: held-out scatter {change:+.2f} %"
            terms = replace(none, notes=terms.notes + [note] * len(kinds))
    return terms


def term_table(
    terms: SeriesTerms, facts: SeriesFacts, solution: EnsembleSolution
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The kept terms as coefficients of each frame.

    Parameters
    ----------
    terms : SeriesTerms
        Values.
    facts : SeriesFacts
        Of the n stars and m frames of the ensemble.
    solution : EnsembleSolution
        Scales the field.

    Returns
    -------
    colour : ndarray of float64, shape (m,)
        Change of ln flux with the colour less `colour_zero` [1/mag].
    map_coefficients : ndarray of float64, shape (m, 4)
        Coefficients of u^3, u^2 v, u v^2, v^3 of ln flux, u and v as in `solution.basis`.
    table : ndarray of float64, shape (n, m)
        Sum of all terms for the stars of the ensemble, ln flux.
    """
    colour = np.zeros(len(facts.airmass))
    maps = np.zeros((len(facts.airmass), _MAP_ORDER + 1))
    for value, kind in zip(terms.values, terms.kinds, strict=True):
        if value == 0:
            continue
        name, camera, power = kind
        where = (facts.camera == camera) if camera >= 0 else np.ones(len(colour), dtype=bool)
        if name == "map":
            maps += value * np.where(where[:, None], _turned(facts.axes, power), 0.0)
        else:
            slope = _airmass(facts, terms) if name == "colour_airmass" else 1.0
            colour += value * np.where(where, slope, 0.0)
    redder = np.nan_to_num(facts.colour - terms.colour_zero)
    return colour, maps, redder[:, None] * colour + _cubic(facts, solution) @ maps.T


def _groups(
    facts: SeriesFacts, solution: EnsembleSolution, cameras: Sequence[int], coloured: np.ndarray, strong: np.ndarray
) -> list[tuple[list[tuple[str, int, int]], str]]:
    """Kinds of terms that are tried together, and the reason where they cannot be."""
    colours = facts.colour[coloured]
    airmass = facts.airmass[strong]
    no_colour = ""
    if coloured.sum() < _LEAST_STARS:
        no_colour = f"{coloured.sum()} stars of the ensemble with a colour, {_LEAST_STARS} needed"
    elif np.std(colours) < _LEAST_SPREAD:
        no_colour = "the stars have all the same colour"
    no_airmass = no_colour
    if not no_airmass:
        if np.isfinite(airmass).sum() < 2:
            no_airmass = "the air mass is not known"
        elif np.ptp(airmass[np.isfinite(airmass)]) < _LEAST_SPREAD:
            no_airmass = "the air mass does not change"
    groups = [([("colour_airmass", -1, 0)], no_airmass)]
    others = [camera for camera in cameras if camera != _reference(facts, cameras, strong)]
    if others:
        groups.append(([("colour", camera, 0) for camera in others], no_colour))
        groups.append(([("colour_airmass", camera, 0) for camera in others], no_airmass))
    axes = facts.axes[strong]
    turned = axes.size and np.abs(axes - axes[:1]).max() > _TURNED
    if (turned or others) and solution.basis.order < _MAP_ORDER:
        kinds = [("map", camera, power) for camera in cameras for power in range(_MAP_ORDER + 1)]
        n_used = int((solution.weight > 0).any(axis=1).sum())
        few = n_used < max(_LEAST_STARS, 2 * STARS_PER_TERM * (_MAP_ORDER + 1))
        reason = f"{n_used} stars are too few" if few else ""
        if len(cameras) > _MOST_CAMERAS:
            reason = f"{len(cameras)} cameras are too many"
        if not turned:
            # One camera's map is in the constants of the stars.
            kinds = [kind for kind in kinds if kind[1] in others]
        groups.append((kinds, reason))
    return groups


def _reference(facts: SeriesFacts, cameras: Sequence[int], strong: np.ndarray) -> int:
    """The camera with the most frames, whose system of colour is that of the series."""
    return max(cameras, key=lambda camera: ((strong & (facts.camera == camera)).sum(), -camera), default=-1)


def _name(kind: tuple[str, int, int], facts: SeriesFacts) -> str:
    name, camera, power = kind
    text = {"colour": "colour", "colour_airmass": "colour * airmass"}.get(name, f"u^{_MAP_ORDER - power} v^{power}")
    return text if camera < 0 else f"{text}, camera {facts.camera_names[camera]}"


def _left_out(terms: SeriesTerms, groups: Sequence[tuple[list, str]], reason: str) -> SeriesTerms:
    kinds = [kind for some, _ in groups for kind in some]
    nothing = np.zeros(len(kinds))
    names = [kind[0] if kind[1] < 0 else f"{kind[0]} {kind[1]}" for kind in kinds]
    return replace(
        terms,
        names=names,
        values=nothing,
        errors=nothing + np.nan,
        notes=[f"left out: {reason}"] * len(kinds),
        kinds=kinds,
    )


def _airmass(facts: SeriesFacts, terms: SeriesTerms) -> np.ndarray:
    return np.nan_to_num(facts.airmass - terms.airmass_zero)


def _single_table(
    kind: tuple[str, int, int], facts: SeriesFacts, terms: SeriesTerms, solution: EnsembleSolution
) -> np.ndarray:
    """One term with the value 1, for all stars and frames."""
    one = replace(terms, names=[""], values=np.ones(1), errors=np.ones(1), notes=[""], kinds=[kind])
    return term_table(one, facts, solution)[2]


def _cubic(facts: SeriesFacts, solution: EnsembleSolution) -> np.ndarray:
    """Terms u^3, u^2 v, u v^2, v^3 of the stars, less their means over the stars that weigh; 0 where unknown."""
    known = np.isfinite(facts.x) & np.isfinite(facts.y)
    return np.where(known[:, None], _cubic_terms(facts, solution) - _cubic_means(facts, solution), 0.0)


def _cubic_means(facts: SeriesFacts, solution: EnsembleSolution) -> np.ndarray:
    weigh = (solution.weight > 0).any(axis=1)
    return _cubic_terms(facts, solution)[weigh].mean(axis=0) if weigh.any() else np.zeros(_MAP_ORDER + 1)


def _cubic_terms(facts: SeriesFacts, solution: EnsembleSolution) -> np.ndarray:
    u = (facts.x - solution.basis.x0) / solution.basis.half
    v = (facts.y - solution.basis.y0) / solution.basis.half
    return np.stack([u ** (_MAP_ORDER - q) * v**q for q in range(_MAP_ORDER + 1)], axis=-1)


def _turned(axes: np.ndarray, power: int) -> np.ndarray:
    """A cubic term of the detector in the terms of the reference image, of shape (m, 4).

    Only the linear part of the change matters: what a shift adds is of lower order, and each frame has its own.
    """
    angle = np.arange(8) * np.pi / 8.0
    places = np.stack([np.cos(angle), np.sin(angle)])
    powers = np.stack([places[0] ** (_MAP_ORDER - q) * places[1] ** q for q in range(_MAP_ORDER + 1)], axis=1)
    there = axes @ places
    values = there[:, 0] ** (_MAP_ORDER - power) * there[:, 1] ** power
    return values @ np.linalg.pinv(powers).T


def _halves(facts: SeriesFacts, weigh: np.ndarray) -> np.ndarray:
    """Two halves of the stars with the same colours, whatever the order in which they come."""
    rank = np.empty(len(weigh), dtype=int)
    keys = (facts.y, facts.x, np.nan_to_num(facts.colour, nan=np.inf), ~weigh)
    rank[np.lexsort(keys)] = np.arange(len(weigh))
    return rank % 2


def _held_out_gain(
    tables: np.ndarray, n_former: int, residual: np.ndarray, weight: np.ndarray, half: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fall of the weighted square sum in each half by tables over that by the former ones; values and errors.

    What single stars do by themselves (they vary, or their neighbours come and go with the seeing) looks like values of
    their own. Their scatter is estimated and added to each star's error (DerSimonian & Laird 1986, Controlled Clinical
    Trials 7, 177), or a few bright stars would decide.
    """
    weighted = tables * weight
    normal = np.einsum("pij,qij->ipq", weighted, tables, optimize=True)
    right = np.einsum("pij,ij->ip", weighted, residual, optimize=True)
    information = np.einsum("ipp->i", normal) / len(tables)
    for _ in range(3):
        value = np.linalg.pinv(normal.sum(axis=0)) @ right.sum(axis=0)
        left = right - normal @ value
        chi2 = np.einsum("ip,ipq,iq->i", left, np.linalg.pinv(normal), left)
        some = information > 0
        total = information[some].sum()
        if total <= 0:
            break
        excess = (chi2[some].sum() / len(tables) - some.sum()) / (total - (information[some] ** 2).sum() / total)
        if excess * total <= 0:
            break
        share = 1.0 / (1.0 + excess * information)
        normal, right = normal * share[:, None, None], right * share[:, None]
        information = information * share
    halves = [(normal[half == k].sum(axis=0), right[half == k].sum(axis=0)) for k in range(2)]
    gain = np.zeros(2)
    for k in range(2):
        for n, sign in ((len(tables), 1.0), (n_former, -1.0)):
            (there, aim), (here, found) = halves[1 - k], halves[k]
            value = np.linalg.pinv(there[:n, :n]) @ aim[:n]
            gain[k] += sign * (2.0 * value @ found[:n] - value @ here[:n, :n] @ value)
    covariance = np.linalg.pinv(normal.sum(axis=0))
    return gain, covariance @ right.sum(axis=0), np.sqrt(np.diag(covariance))


def with_terms(
    solution: EnsembleSolution, first: EnsembleSolution, terms: SeriesTerms, facts: SeriesFacts
) -> EnsembleSolution:
    """A solution of fluxes from which the shared terms were taken off, with the terms put in again.

    Parameters
    ----------
    solution : EnsembleSolution
        Of the fluxes over ``exp`` of the table of `term_table`.
    first : EnsembleSolution
        That the terms were fitted to; of the same stars, frames and field.
    terms : SeriesTerms
        The terms.
    facts : SeriesFacts
        Of the same stars and frames.

    Returns
    -------
    EnsembleSolution
        With a polynomial of third order where a map was kept; its covariance knows nothing of the shared terms.
    """
    colour, maps, _ = term_table(terms, facts, first)
    zero = terms.colour_zero if colour.any() else float("nan")
    solution = replace(solution, colour_zero=zero, colour_coefficients=colour)
    if not maps.any():
        return solution
    k, low, cubic = n_terms(_MAP_ORDER), solution.coefficients.shape[1], slice(-(_MAP_ORDER + 1), None)
    means, coefficients, covariance = np.zeros(k), np.zeros((len(colour), k)), np.zeros((len(colour), k, k))
    means[:low], means[cubic] = solution.basis.means, _cubic_means(facts, first)
    coefficients[:, :low], covariance[:, :low, :low] = solution.coefficients, solution.covariance
    coefficients[:, cubic] = maps
    unknown = ~np.isfinite(solution.coefficients[:, 0])
    coefficients[unknown], covariance[unknown] = np.nan, np.nan
    basis = replace(solution.basis, order=_MAP_ORDER, means=means)
    return replace(solution, basis=basis, coefficients=coefficients, covariance=covariance)
