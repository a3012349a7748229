"""Fit of the terms that all frames of a series share, and what a solution becomes with them.

They are fitted to what an ensemble solution leaves over, with the stars' constants and the frames' own terms fitted
along (Frisch & Waugh 1933, Econometrica 1, 387), and kept where they predict stars that took no part in their fit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from gaiaflux.core.calibration.ensemble import EnsembleSolution
from gaiaflux.core.calibration.terms import (
    SERIES_TERMS,
    Parameter,
    SeriesFacts,
    SharedCoefficients,
    StarFacts,
    Term,
    TermContext,
    field_means,
)
from gaiaflux.core.maths.field_basis import n_terms
from gaiaflux.core.maths.two_way import remove_rows_and_columns

__all__ = ["SeriesTerms", "fit_terms", "with_terms"]

_LEAST_GAIN = 4.0  # of chi-squared of the held-out stars
_DETERMINED = 1e-4  # part of a term that is neither a star's constant nor a frame's own term


@dataclass(frozen=True)
class SeriesTerms:
    """What `fit_terms` found for p parameters.

    Attributes
    ----------
    names : list of str
        Name of each parameter that was tried.
    terms : list of Term
        The term that each belongs to.
    values, errors : ndarray of float64, shape (p,)
        In natural logarithms of the flux; 0 and NaN where a term was left out.
    notes : list of str
        ``kept`` or why not, with the change of the held-out scatter.
    context : TermContext
        Says where the terms are zero.
    shared : tuple of SharedCoefficients
        Coefficients of each frame: one entry for each kind of functions of the star that the terms have.
    """

    names: list[str]
    terms: list[Term]
    values: np.ndarray
    errors: np.ndarray
    notes: list[str]
    context: TermContext
    shared: tuple[SharedCoefficients, ...]

    @property
    def any(self) -> bool:
        """Whether a term was kept."""
        return bool((self.values != 0).any())

    def table(self, stars: StarFacts) -> np.ndarray:
        """Sum of all terms for n stars in each frame, ln flux, shape (n, m)."""
        table = np.zeros((len(stars.x), len(self.context.frames)))
        for shared in self.shared:
            table += shared.table(stars)
        return table


@dataclass(frozen=True)
class _Data:
    """What the terms are fitted to, for n stars and the frames of the context."""

    context: TermContext
    residual: np.ndarray
    weight: np.ndarray
    spatial: np.ndarray  # (n, k) spatial terms that each frame has of its own
    half: np.ndarray  # (n,)


class _HeldOut(NamedTuple):
    """Fall of the weighted square sum in each half of the stars; values and errors of all parameters."""

    gain: np.ndarray
    values: np.ndarray
    errors: np.ndarray


class _Trial(NamedTuple):
    """What became of a term: the note, and where it is kept the tables of all parameters that are, and their fit."""

    note: str
    tables: np.ndarray | None = None
    fit: _HeldOut | None = None


def fit_terms(solution: EnsembleSolution, facts: SeriesFacts, terms: Sequence[Term] = SERIES_TERMS) -> SeriesTerms:
    """Fit the shared terms to the residuals of an ensemble solution, one after the other.

    Parameters
    ----------
    solution : EnsembleSolution
        Of n stars and m frames.
    facts : SeriesFacts
        Of the same stars and frames.
    terms : sequence of Term
        Terms to try, in this order.

    Returns
    -------
    SeriesTerms
        A term is kept where it lowers the weighted square sum of both halves of the stars, each with the values that
        the other half gives, by more than 4 in all; else its values are 0.
    """
    context = _context(solution, facts)
    tried = [(term, list(term.parameters(context))) for term in terms]
    if not solution.solved or context.frames.sum() < 2:
        named = [(term, [parameter._replace(name=term.name) for parameter in parameters]) for term, parameters in tried]
        number = sum(len(parameters) for _, parameters in tried)
        return _found(context, terms, named, ["left out: the series is not calibrated"] * number, {})
    data = _Data(
        context=context,
        residual=solution.residual[:, context.frames].astype(float),
        weight=solution.weight[:, context.frames].astype(float),
        spatial=solution.basis.terms(facts.x, facts.y),
        half=_halves(facts, context.weigh),
    )
    tables = np.zeros((0, *data.weight.shape))
    notes: list[str] = []
    kept: list[int] = []
    fitted: dict[int, tuple[float, float]] = {}
    for term, parameters in tried:
        if not parameters:
            continue
        reason = term.refusal(context)
        trial = _Trial(f"left out: {reason}") if reason else _try(term, parameters, tables, data)
        if trial.fit is not None and trial.tables is not None:
            tables = trial.tables
            kept += range(len(notes), len(notes) + len(parameters))
            fitted = dict(zip(kept, zip(trial.fit.values, trial.fit.errors, strict=True), strict=True))
        notes += [trial.note] * len(parameters)
    return _found(context, terms, tried, notes, fitted)


def _context(solution: EnsembleSolution, facts: SeriesFacts) -> TermContext:
    weigh = np.asarray((solution.weight > 0).any(axis=1))
    frames = np.asarray((solution.weight > 0).any(axis=0))
    coloured = weigh & np.isfinite(facts.colour)
    known = frames & np.isfinite(facts.airmass)
    return TermContext(
        facts=facts,
        weigh=weigh,
        frames=frames & (solution.order == solution.basis.order),
        basis=solution.basis,
        colour_zero=float(np.median(facts.colour[coloured])) if coloured.any() else float("nan"),
        airmass_zero=float(np.median(facts.airmass[known])) if known.any() else float("nan"),
    )


def _try(term: Term, parameters: list[Parameter], former: np.ndarray, data: _Data) -> _Trial:
    """Fit a term along with the tables of those that were kept."""
    context, weight, residual = data.context, data.weight, data.residual
    columns = term.functions.columns(context.facts.stars, context)
    raw = np.stack([(columns @ parameter.frames.T)[:, context.frames] for parameter in parameters])
    tables = remove_rows_and_columns(raw, weight, data.spatial)
    seen = (weight * tables**2).sum(axis=(1, 2)) / np.maximum((weight * raw**2).sum(axis=(1, 2)), 1e-300)
    if (seen < _DETERMINED).any():
        return _Trial("left out: constants of the stars and terms of the frames say the same")
    both = np.concatenate([former, tables])
    fit = _held_out_gain(both, len(former), residual, weight, data.half)
    change = 100.0 * (np.sqrt(max(1.0 - fit.gain.sum() / (weight * residual**2).sum(), 0.0)) - 1.0)
    if (fit.gain > 0).all() and fit.gain.sum() > _LEAST_GAIN:
        return _Trial(f"kept: held-out scatter {change:+.2f} %", both, fit)
    return _Trial(f"left out: held-out scatter {change:+.2f} %")


def _found(
    context: TermContext,
    terms: Sequence[Term],
    tried: list[tuple[Term, list[Parameter]]],
    notes: list[str],
    fitted: dict[int, tuple[float, float]],
) -> SeriesTerms:
    """Put the answer together; `fitted` has value and error of the parameters that were kept, by their number."""
    listed = [(term, parameter) for term, parameters in tried for parameter in parameters]
    values, errors = np.zeros(len(listed)), np.full(len(listed), np.nan)
    for k, (value, error) in fitted.items():
        values[k], errors[k] = value, error
    shared = []
    for functions in dict.fromkeys(term.functions for term in terms):
        n_functions = functions.columns(context.facts.stars, context).shape[1]
        coefficients = np.zeros((len(context.frames), n_functions))
        for k in fitted:
            if listed[k][0].functions == functions:
                coefficients += values[k] * listed[k][1].frames
        shared.append(SharedCoefficients(functions, coefficients, context))
    return SeriesTerms(
        names=[parameter.name for _, parameter in listed],
        terms=[term for term, _ in listed],
        values=values,
        errors=errors,
        notes=notes,
        context=context,
        shared=tuple(shared),
    )


def _halves(facts: SeriesFacts, weigh: np.ndarray) -> np.ndarray:
    """Two halves of the stars with the same colours, whatever the order in which they come."""
    rank = np.empty(len(weigh), dtype=int)
    keys = (facts.y, facts.x, np.nan_to_num(facts.colour, nan=np.inf), ~weigh)
    rank[np.lexsort(keys)] = np.arange(len(weigh))
    return rank % 2


def _held_out_gain(
    tables: np.ndarray, n_former: int, residual: np.ndarray, weight: np.ndarray, half: np.ndarray
) -> _HeldOut:
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
    return _HeldOut(gain, covariance @ right.sum(axis=0), np.sqrt(np.diag(covariance)))


def with_terms(solution: EnsembleSolution, terms: SeriesTerms) -> EnsembleSolution:
    """A solution of fluxes from which the shared terms were taken off, with the terms put in again.

    Parameters
    ----------
    solution : EnsembleSolution
        Of the fluxes over ``exp(terms.table(...))``.
    terms : SeriesTerms
        Fitted to a solution for the same stars, frames and field.

    Returns
    -------
    EnsembleSolution
        With a polynomial of third order where a map was kept; its covariance knows nothing of the shared terms.
    """
    kept = [shared for shared in terms.shared if shared.coefficients.any()]
    solution = replace(solution, shared=tuple(shared for shared in kept if not shared.functions.degree))
    for shared in kept:
        if shared.functions.degree:
            solution = _with_field(solution, shared)
    return solution


def _with_field(solution: EnsembleSolution, shared: SharedCoefficients) -> EnsembleSolution:
    """A solution whose spatial terms have those of a higher degree, too, the same for all stars."""
    degree, m = shared.functions.degree, len(shared.coefficients)
    k, low, highest = n_terms(degree), solution.coefficients.shape[1], slice(-(degree + 1), None)
    means, coefficients, covariance = np.zeros(k), np.zeros((m, k)), np.zeros((m, k, k))
    means[:low], means[highest] = solution.basis.means, field_means(shared.context, degree)
    coefficients[:, :low], covariance[:, :low, :low] = solution.coefficients, solution.covariance
    coefficients[:, highest] = shared.coefficients
    unknown = ~np.isfinite(solution.coefficients[:, 0])
    coefficients[unknown], covariance[unknown] = np.nan, np.nan
    basis = replace(solution.basis, order=degree, means=means)
    return replace(solution, basis=basis, coefficients=coefficients, covariance=covariance)
