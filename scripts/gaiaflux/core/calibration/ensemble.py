"""Zero points of the frames of a series from an ensemble of its stars.

The model of a measured flux is ``flux[i, j] = star[i] * exp(terms(x_i, y_i) @ coefficients[j])``: one constant flux per
star, and per frame a scale (pscale) and a low-order polynomial over the field. All of it is solved together by weighted
least squares (the frames' coefficients eliminated frame by frame, so that a star that is missing in some frames biases
nothing) with weights that are iterated (`gaiaflux.core.calibration.ensemble_fit`).
"""

from dataclasses import dataclass, replace

import numpy as np

from gaiaflux.core.calibration.ensemble_fit import (
    LEAST_MODEL_SNR,
    LEAST_SCATTER,
    EnsembleFit,
    EnsemblePoints,
    fit_ensemble,
    held_out_scatter,
)
from gaiaflux.core.calibration.terms import SharedCoefficients, StarFacts
from gaiaflux.core.maths.field_basis import FieldBasis, field_order, make_basis
from gaiaflux.core.maths.robust import masked_median
from gaiaflux.core.maths.two_way import largest_connected, quadratic_form
from gaiaflux.model.settings.calibrate import CalibrateSettings
from gaiaflux.model.status import OK, StarUse

__all__ = ["EnsembleSolution", "apply_ensemble", "solve_ensemble"]


@dataclass(frozen=True)
class EnsembleSolution:
    """What `solve_ensemble` found for n stars and m frames; k terms, the first of them the constant.

    Attributes
    ----------
    solved : bool
        False: no frame could be compared with another; pscale is 1 and epscale NaN.
    note : str
        ``ok`` or the reason why not solved.
    pscale, epscale : ndarray of float64, shape (m,)
        Scale of each frame, with its median 1 over the frames of full order, and its error; NaN where a frame could
        not be solved.
    coefficients : ndarray of float64, shape (m, k)
        Natural logarithm of the frame's scale, then the spatial terms, which average to zero over the ensemble.
    covariance : ndarray of float64, shape (m, k, k)
        Of the coefficients.
    order : ndarray of int8, shape (m,)
        Order of the polynomial of each frame; -1 where not solved.
    n_stars : ndarray of int32, shape (m,)
        Ensemble stars that weigh in the frame.
    frame_status : list of str, length m
        ``ok`` or the reason.
    basis : FieldBasis
        The spatial terms.
    star_flux : ndarray of float64, shape (n,)
        Typical flux of each star; NaN where it has no point.
    star_scatter : ndarray of float64, shape (n,)
        Excess scatter over the errors, relative; at least what `solve_ensemble` was told.
    star_status : list of str, length n
        ``used`` or the reason why not.
    residual : ndarray of float32, shape (n, m)
        Relative residual of each star from the model; 0 where it has no weight.
    self_weight : ndarray of float32, shape (n, m)
        Share of the star itself in the model at its place in that frame (leverage), 0 to 1.
    weight : ndarray of float32, shape (n, m)
        Inverse variance of each point in the fit; 0 where it has no weight.
    order_scatter : ndarray of float64, shape (o,)
        Held-out scatter by polynomials of order 0, 1, ... relative to the highest that was tried: each point against
        the fit of all others. Empty where not solved.
    shared : tuple of SharedCoefficients
        Terms that all frames share (`gaiaflux.core.calibration.term_fit.with_terms`), those that are no part of the
        polynomial over the field.
    """

    solved: bool
    note: str
    pscale: np.ndarray
    epscale: np.ndarray
    coefficients: np.ndarray
    covariance: np.ndarray
    order: np.ndarray
    n_stars: np.ndarray
    frame_status: list[str]
    basis: FieldBasis
    star_flux: np.ndarray
    star_scatter: np.ndarray
    star_status: list[str]
    residual: np.ndarray
    self_weight: np.ndarray
    weight: np.ndarray
    order_scatter: np.ndarray
    shared: tuple[SharedCoefficients, ...] = ()

    @property
    def used(self) -> np.ndarray:
        """Stars of the ensemble, shape (n,)."""
        return np.array([status == StarUse.USED for status in self.star_status], dtype=bool)

    @property
    def with_flux(self) -> np.ndarray:
        """Stars whose typical flux is to be believed: those of the ensemble, or all where none was solved."""
        known = (StarUse.USED, StarUse.NOT_SOLVED)
        return np.array([status in known for status in self.star_status], dtype=bool)


def solve_ensemble(
    flux: np.ndarray,
    flux_err: np.ndarray,
    good: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    settings: CalibrateSettings,
    least_scatter: float = LEAST_SCATTER,
) -> EnsembleSolution:
    """Scale and spatial terms of every frame from stars that are constant on the whole.

    Parameters
    ----------
    flux, flux_err : ndarray, shape (n, m)
        Total fluxes of n candidate stars in m frames, and their one-sigma errors; NaN where not measured.
    good : ndarray of bool, shape (n, m)
        False where a flag forbids the use of the point.
    x, y : ndarray, shape (n,)
        Place of each star in the field, the same for all frames [pixel of the reference image].
    settings : CalibrateSettings
        Highest order of the spatial terms, limits and clip.
    least_scatter : float
        Relative scatter that each star is taken to have at least.

    Returns
    -------
    EnsembleSolution
        The result; `solved` is False where there are fewer than `min_stars` stars or two frames to compare.
    """
    flux = np.asarray(flux, dtype=float)
    flux_err = np.asarray(flux_err, dtype=float)
    usable = good & np.isfinite(flux) & np.isfinite(flux_err) & (flux_err > 0)
    bright = usable & (flux > flux_err)
    least = settings.min_stars
    count = bright.sum(axis=0)
    enough = count >= least
    trouble = [
        OK if n >= least else ("no usable star" if n == 0 else f"{n} ensemble stars, {least} needed") for n in count
    ]
    if flux.shape[0] < least or not enough.any():
        found = f"{flux.shape[0]} usable stars" if flux.shape[0] < least else "no frame has enough usable stars"
        return _unsolved(flux, bright, x, y, f"not calibrated: {found}, {least} needed; pscale is 1", count)
    if enough.sum() == 1:
        one = _unsolved(flux, bright & enough, x, y, "not calibrated: one frame; pscale is 1", count)
        return _only(one, enough, trouble)

    # What is lost in the noise does not weigh in the frame: it carries no term either.
    firm = usable & (flux > LEAST_MODEL_SNR * flux_err)
    order = np.where(enough, field_order(x, y, firm, settings.spatial_order), -1)
    highest = next(o for o in range(settings.spatial_order, -1, -1) if (order >= o).sum() >= 0.5 * enough.sum())
    order = np.minimum(order, highest)
    strong = largest_connected(bright, enough & (order == highest), least)
    if strong.sum() < 2:
        one = _unsolved(flux, bright & strong, x, y, "not calibrated: no two frames share enough stars", count)
        return _only(one, strong, [OK if s else "no stars in common with another frame" for s in strong])
    tied = bright[:, strong].any(axis=1)
    order = np.where(strong, order, np.minimum(order, field_order(x, y, firm & tied[:, None], highest)))
    basis = make_basis(x, y, tied, highest)
    points = EnsemblePoints(flux, flux_err, usable, bright, basis.terms(x, y), order, strong)
    fit = fit_ensemble(points, settings, least_scatter)
    scatter = held_out_scatter(fit, points, highest)
    best = int(np.argmin(scatter))
    if best < highest:
        lower = replace(settings, spatial_order=best)
        solution = solve_ensemble(flux, flux_err, good, x, y, lower, least_scatter)
    else:
        centre = basis.terms(x[fit.kept], y[fit.kept]).mean(axis=0)
        solution = _solution(fit, points, basis, centre, trouble, least)
    return replace(solution, order_scatter=scatter)


def _solution(
    fit: EnsembleFit,
    points: EnsemblePoints,
    basis: FieldBasis,
    centre: np.ndarray,
    trouble: list[str],
    min_stars: int,
) -> EnsembleSolution:
    """Centre the spatial terms on the stars that were kept (`centre`, their means), and put the answer together."""
    weighs = fit.weight > 0
    n_stars = weighs.sum(axis=0)
    centre[0] = 0.0
    # ln scale at the ensemble's centre: c0 + centre . c; the same linear map for its covariance.
    change = np.eye(centre.size)
    change[0] += centre
    coefficients = fit.coefficients @ change.T
    covariance = np.einsum("ab,jbc,dc->jad", change, fit.covariance, change)
    typical = np.median(coefficients[points.strong, 0])
    coefficients[:, 0] -= typical
    status = list(trouble)
    enough = points.bright.sum(axis=0) >= min_stars
    solved = enough & (n_stars >= min_stars)
    for j in np.flatnonzero(enough & ~solved):
        status[j] = f"{n_stars[j]} ensemble stars in common with the series, {min_stars} needed"
    coefficients[~solved] = np.nan
    covariance[~solved] = np.nan
    pscale = np.exp(coefficients[:, 0])
    return EnsembleSolution(
        solved=bool(solved.any()),
        note=OK,
        pscale=pscale,
        epscale=pscale * np.sqrt(covariance[:, 0, 0]),
        coefficients=coefficients,
        covariance=covariance,
        order=np.where(solved, points.order, -1).astype(np.int8),
        n_stars=n_stars.astype(np.int32),
        frame_status=status,
        basis=replace(basis, means=basis.means + centre),
        star_flux=np.exp(fit.star + typical),
        star_scatter=fit.scatter,
        star_status=_star_status(fit),
        residual=np.where(weighs & solved, fit.residual, 0.0).astype(np.float32),
        self_weight=np.where(weighs & solved, fit.leverage, 0.0).astype(np.float32),
        weight=np.where(weighs & solved, fit.weight, 0.0).astype(np.float32),
        order_scatter=np.zeros(0),
    )


def _star_status(fit: EnsembleFit) -> list[str]:
    return [
        StarUse.USED
        if kept
        else (f"{StarUse.SCATTERS} {excess:.1f} times that of its kind" if np.isfinite(level) else "no point")
        for kept, excess, level in zip(fit.kept, fit.excess, fit.star, strict=True)
    ]


def _unsolved(
    flux: np.ndarray, use: np.ndarray, x: np.ndarray, y: np.ndarray, note: str, count: np.ndarray
) -> EnsembleSolution:
    """Every frame as it is: scale 1, no spatial term."""
    n, m = flux.shape
    return EnsembleSolution(
        solved=False,
        note=note,
        pscale=np.ones(m),
        epscale=np.full(m, np.nan),
        coefficients=np.zeros((m, 1)),
        covariance=np.zeros((m, 1, 1)),
        order=np.full(m, -1, dtype=np.int8),
        n_stars=count.astype(np.int32),
        frame_status=[note] * m,
        basis=make_basis(x, y, np.isfinite(x), 0),
        star_flux=np.exp(masked_median(np.log(np.where(use, flux, 1.0)), use, 1)),
        star_scatter=np.full(n, np.nan),
        star_status=[StarUse.NOT_SOLVED] * n,
        residual=np.zeros((n, m), dtype=np.float32),
        self_weight=np.zeros((n, m), dtype=np.float32),
        weight=np.zeros((n, m), dtype=np.float32),
        order_scatter=np.zeros(0),
    )


def _only(solution: EnsembleSolution, frames: np.ndarray, trouble: list[str]) -> EnsembleSolution:
    """An unsolved series in which only some frames keep their scale of 1."""
    return replace(
        solution,
        pscale=np.where(frames, solution.pscale, np.nan),
        coefficients=np.where(frames[:, None], solution.coefficients, np.nan),
        covariance=np.where(frames[:, None, None], solution.covariance, np.nan),
        frame_status=[solution.note if f else t for f, t in zip(frames, trouble, strict=True)],
    )


def apply_ensemble(
    solution: EnsembleSolution,
    flux: np.ndarray,
    flux_err: np.ndarray,
    stars: StarFacts,
    members: np.ndarray,
    excess: np.ndarray | float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Fluxes on the series' common scale, with errors that include the zero point's.

    Parameters
    ----------
    solution : EnsembleSolution
        Result for m frames.
    flux, flux_err : ndarray of float32, shape (s, m)
        Measured; NaN stays NaN.
    stars : StarFacts
        Of s stars. Where the place is not known, the frame's scale alone is used; a star without a colour is taken to
        have that of the ensemble.
    members : ndarray of int, shape (s,)
        Row of each star in the solution, -1 for a star that was not offered. An ensemble star is calibrated with the
        fit of all the other stars (leave-one-out by its leverage), never by itself.
    excess : ndarray, shape (m,), or float
        Further relative variance of the points of each frame, such as scintillation; where it is negative, at least a
        quarter of the measured variance stays.

    Returns
    -------
    flux_cal, flux_cal_err : ndarray of float32, shape (s, m)
        NaN where the flux is, or where the frame has no solution.
    """
    terms = solution.basis.terms(stars.x, stars.y)
    factor = terms @ solution.coefficients.T
    for shared in solution.shared:
        factor += shared.table(stars)
    if stars.response is not None:
        factor += stars.response
    factor = factor.astype(np.float32)
    variance = quadratic_form(terms, solution.covariance).astype(np.float32)
    inside = np.flatnonzero(members >= 0)
    if inside.size:
        own = np.minimum(solution.self_weight[members[inside]], np.float32(0.99))
        factor[inside] -= own / (1 - own) * solution.residual[members[inside]]
        variance[inside] /= 1 - own
    variance += np.asarray(excess, dtype=np.float32)
    np.exp(factor, out=factor)
    flux_cal = np.divide(flux, factor, dtype=np.float32)
    measured = np.square(np.divide(flux_err, factor, dtype=np.float32))
    flux_cal_err = np.sqrt(np.maximum(measured + np.square(flux_cal) * variance, np.float32(0.25) * measured))
    return flux_cal, flux_cal_err
