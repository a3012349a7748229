"""Zero points of the frames of a series from an ensemble of its stars.

The model of a measured flux is ``flux[i, j] = star[i] * exp(terms(x_i, y_i) @ coefficients[j])``: one constant flux per
star, and per frame a scale (pscale) and a low-order polynomial over the field. All of it is solved together by weighted
least squares (the frames' coefficients eliminated frame by frame, so that a star that is missing in some frames biases
nothing), and the weights are iterated: measured errors, each star's own excess scatter, each frame's excess
chi-squared, and a tapered clip of outliers.
"""

from dataclasses import dataclass, replace

import numpy as np

from gaiaflux.core.calibration.terms import SharedCoefficients, StarFacts
from gaiaflux.core.maths.field_basis import FieldBasis, field_order, make_basis, n_terms
from gaiaflux.core.maths.robust import MAD_TO_SIGMA, masked_median
from gaiaflux.core.maths.two_way import column_fit, joint_step, largest_connected, leverage, quadratic_form

__all__ = ["LEAST_SCATTER", "EnsembleSolution", "apply_ensemble", "solve_ensemble"]

_START_SCATTER = 5e-3
LEAST_SCATTER = 1e-3  # no star is trusted better than 1 mmag, or a few bright ones would be the ensemble
_REJECT_EXCESS = 2.0
_REJECT_CLIPPED = 0.1
_LEAST_POINTS = 8  # below, the scatter of a star says nothing about it
_LEAST_MODEL_SNR = 5.0
_FRAME_PRIOR = 20.0  # stars' worth of belief that a frame's errors are right
_TOLERANCE = 1e-6


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
        Excess scatter over the errors, relative, at least 1e-3.
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


def solve_ensemble(
    flux: np.ndarray,
    flux_err: np.ndarray,
    good: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    *,
    spatial_order: int,
    max_iterations: int,
    min_stars: int,
    clip_sigma: float,
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
    spatial_order : int
        Highest order of the polynomial (0: scale only); a lower one is taken for all frames where that predicts points
        better that are held out. A frame with few stars gets a lower one; if that is more than half of the frames, all
        do.
    max_iterations : int
        Of weights and solution.
    min_stars : int
        A frame with fewer ensemble stars is not solved.
    clip_sigma : float
        Points lose their weight from one sigma below to one sigma above this residual.

    Returns
    -------
    EnsembleSolution
        The result; `solved` is False where there are fewer than `min_stars` stars or two frames to compare.
    """
    flux = np.asarray(flux, dtype=float)
    flux_err = np.asarray(flux_err, dtype=float)
    usable = good & np.isfinite(flux) & np.isfinite(flux_err) & (flux_err > 0)
    bright = usable & (flux > flux_err)
    count = bright.sum(axis=0)
    enough = count >= min_stars
    trouble = [
        "ok" if n >= min_stars else ("no usable star" if n == 0 else f"{n} ensemble stars, {min_stars} needed")
        for n in count
    ]
    if flux.shape[0] < min_stars or not enough.any():
        found = f"{flux.shape[0]} usable stars" if flux.shape[0] < min_stars else "no frame has enough usable stars"
        return _unsolved(flux, bright, x, y, f"not calibrated: {found}, {min_stars} needed; pscale is 1", count)
    if enough.sum() == 1:
        one = _unsolved(flux, bright & enough, x, y, "not calibrated: one frame; pscale is 1", count)
        return _only(one, enough, trouble)

    order = np.where(enough, field_order(x, y, bright, spatial_order), -1)
    basis_order = next(o for o in range(spatial_order, -1, -1) if (order >= o).sum() >= 0.5 * enough.sum())
    order = np.minimum(order, basis_order)
    strong = largest_connected(bright, enough & (order == basis_order), min_stars)
    if strong.sum() < 2:
        one = _unsolved(flux, bright & strong, x, y, "not calibrated: no two frames share enough stars", count)
        return _only(one, strong, ["ok" if s else "no stars in common with another frame" for s in strong])
    tied = bright[:, strong].any(axis=1)
    order = np.where(strong, order, np.minimum(order, field_order(x, y, _both(bright, tied), basis_order)))
    basis = make_basis(x, y, tied, basis_order)
    state = _iterate(
        flux, flux_err, usable, bright, basis.terms(x, y), order, strong, max_iterations, min_stars, clip_sigma
    )
    scatter = _held_out_scatter(state, basis, basis.terms(x, y), strong)
    best = int(np.argmin(scatter))
    if best < basis_order:
        lower = solve_ensemble(
            flux,
            flux_err,
            good,
            x,
            y,
            spatial_order=best,
            max_iterations=max_iterations,
            min_stars=min_stars,
            clip_sigma=clip_sigma,
        )
        return replace(lower, order_scatter=scatter)
    return replace(_finish(state, basis, x, y, order, strong, enough, trouble, min_stars), order_scatter=scatter)


@dataclass(frozen=True)
class _State:
    star: np.ndarray  # (n,) ln flux
    coefficients: np.ndarray  # (m, k)
    covariance: np.ndarray  # (m, k, k)
    weight: np.ndarray  # (n, m)
    residual: np.ndarray  # (n, m)
    pull: np.ndarray  # (n, m) leverage
    scatter: np.ndarray  # (n,)
    kept: np.ndarray  # (n,)
    excess: np.ndarray  # (n,)


def _iterate(flux, flux_err, usable, bright, terms, order, strong, max_iterations, min_stars, clip_sigma) -> _State:  # noqa: ANN001
    """Alternate between weights and the joint solution until the frames' terms stand still."""
    n, m = flux.shape
    active = (order >= 0)[:, None] & (np.arange(terms.shape[1]) < n_terms(np.maximum(order, 0))[:, None])
    tied = bright[:, strong].any(axis=1)
    star, scale = _polish(flux, bright & strong, strong)
    scale = np.where(
        strong, scale, masked_median(_log(flux, bright) - np.nan_to_num(star)[:, None], _both(bright, tied), 0)
    )
    coefficients = np.zeros((m, terms.shape[1]))
    coefficients[:, 0] = np.nan_to_num(scale)
    star = np.nan_to_num(star)
    scatter, frame_chi = np.full(n, _START_SCATTER), np.ones(m)
    kept, excess, pull = tied.copy(), np.ones(n), np.zeros((n, m))
    for iteration in range(max_iterations):
        model = np.exp(star[:, None] + terms @ coefficients.T)
        use = usable & tied[:, None] & (order >= 0) & (model > _LEAST_MODEL_SNR * np.where(usable, flux_err, np.inf))
        noise = np.where(use, flux_err / model, 1.0)
        residual = np.where(use, np.nan_to_num(flux) / model - 1.0, 0.0)
        if iteration:
            scatter, frame_chi, kept, excess = _judge(
                residual, noise, use, pull, scatter, frame_chi, strong, min_stars, clip_sigma
            )
        total = (noise**2 + scatter[:, None] ** 2) * frame_chi**2
        taper = np.clip(0.5 * (clip_sigma + 1.0 - np.abs(residual) / np.sqrt(total)), 0.0, 1.0)
        all_weight = np.where(use, taper / total, 0.0)
        weight = all_weight * kept[:, None]

        step_star, step = joint_step(residual[:, strong], weight[:, strong], all_weight[:, strong], terms)
        star = star + step_star
        coefficients[strong] += step
        drift = np.median(coefficients[strong], axis=0)
        coefficients[strong] -= drift
        star = star + terms @ drift
        # Frames of lower order follow the stars and do not shape them.
        weak = ~strong & (order >= 0)
        shift = residual - step_star[:, None] - (terms @ drift)[:, None]
        step_weak, inverse = column_fit(shift, weight, terms, active)
        coefficients[weak] += step_weak[weak]
        pull = leverage(weight, terms, inverse)
        moved = np.abs(terms @ (step - drift).T).max()
        if weak.any():
            moved = max(moved, np.abs(terms @ step_weak[weak].T).max())
        if iteration >= 3 and moved < _TOLERANCE:
            break
    residual = np.where(use, np.nan_to_num(flux) / np.exp(star[:, None] + terms @ coefficients.T) - 1.0, 0.0)
    star = np.where(tied, star, np.nan)
    return _State(star, coefficients, inverse, weight, residual, pull, scatter, kept, excess)


def _judge(residual, noise, use, pull, scatter, frame_chi, strong, min_stars, clip_sigma) -> tuple:  # noqa: ANN001
    """New excess scatter of the stars and chi of the frames; which stars are kept."""
    points = use & strong
    n_points = points.sum(axis=1)
    # What a star pulled the frame towards itself is given back, or a bright one would look ever quieter.
    own = np.abs(residual) / np.sqrt(np.maximum(1.0 - pull, 0.1))
    typical = np.nan_to_num(masked_median((noise * frame_chi) ** 2, points, 1), nan=1.0)
    chi = MAD_TO_SIGMA * np.nan_to_num(
        masked_median(own / np.sqrt((noise * frame_chi) ** 2 + scatter[:, None] ** 2), points, 1)
    )
    excess2 = chi**2 * (typical + scatter**2) - typical
    judged = n_points >= _LEAST_POINTS
    new = np.where(judged, np.sqrt(np.maximum(excess2, LEAST_SCATTER**2)), _START_SCATTER)
    usual = np.median(new[judged]) if judged.any() else _START_SCATTER
    excess = np.sqrt((typical + new**2) / (typical + usual**2))
    clipped = (points & (own > clip_sigma * frame_chi * np.sqrt(noise**2 + usual**2))).sum(axis=1)
    excess = np.where(clipped > _REJECT_CLIPPED * n_points, np.maximum(excess, _REJECT_EXCESS * 1.01), excess)
    excess = np.where(judged, excess, 1.0)
    kept = (excess <= _REJECT_EXCESS) & (n_points > 0)
    if kept.sum() < min_stars:
        best = np.argsort(np.where(n_points > 0, excess, np.inf), kind="stable")[:min_stars]
        kept[best[n_points[best] > 0]] = True

    counted = use & kept[:, None]
    n_frame = counted.sum(axis=0)
    u = own / np.sqrt(noise**2 + new[:, None] ** 2)
    chi2 = np.nan_to_num((MAD_TO_SIGMA * masked_median(u, counted, 0)) ** 2, nan=1.0)
    chi = np.sqrt(np.maximum((n_frame * chi2 + _FRAME_PRIOR) / (n_frame + _FRAME_PRIOR), 1.0))
    return new, chi, kept, excess


def _held_out_scatter(state: _State, basis: FieldBasis, terms: np.ndarray, strong: np.ndarray) -> np.ndarray:
    """Scatter of each point about the fit of all others by each order, relative to that by the highest."""
    weight, coefficients = state.weight[:, strong], state.coefficients[strong]
    share = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
    whole = state.residual[:, strong] + terms[:, 1:] @ coefficients[:, 1:].T
    chi2 = []
    for order in range(basis.order + 1):
        some = terms[:, : n_terms(order)]
        row_step, step = joint_step(whole, weight, weight, some)
        _, inverse = column_fit(whole, weight, some, np.ones(step.shape, dtype=bool))
        left = whole - row_step[:, None] - some @ step.T
        others = np.maximum((1.0 - leverage(weight, some, inverse)) * (1.0 - share), 0.05)
        chi2.append((weight * (left / others) ** 2).sum())
    return np.sqrt(np.array(chi2) / chi2[-1]) if chi2[-1] > 0 else np.ones(len(chi2))


def _log(flux: np.ndarray, use: np.ndarray) -> np.ndarray:
    return np.log(np.where(use, flux, 1.0))


def _both(use: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return use & rows[:, None]


def _polish(flux: np.ndarray, use: np.ndarray, strong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start values by median polish of the logarithms: stars (n,), frames (m,); NaN where without a point."""
    log_flux = _log(flux, use)
    scale = np.zeros(flux.shape[1])
    for _ in range(15):
        star = masked_median(log_flux - scale, use, 1)
        new = np.nan_to_num(masked_median(log_flux - np.nan_to_num(star)[:, None], use, 0))
        new -= np.median(new[strong])
        moved = np.abs(new - scale).max()
        scale = new
        if moved < 1e-4:
            break
    return star, scale


def _finish(state, basis, x, y, order, strong, enough, trouble, min_stars) -> EnsembleSolution:  # noqa: ANN001
    """Centre the spatial terms on the stars that were kept, and put the answer together."""
    weighs = state.weight > 0
    n_stars = weighs.sum(axis=0)
    final = replace(basis, means=basis.means.copy())
    centre = basis.terms(x[state.kept], y[state.kept]).mean(axis=0)
    centre[0] = 0.0
    final.means[:] += centre
    # ln scale at the ensemble's centre: c0 + centre . c; the same linear map for its covariance.
    change = np.eye(centre.size)
    change[0] += centre
    coefficients = state.coefficients @ change.T
    covariance = np.einsum("ab,jbc,dc->jad", change, state.covariance, change)
    typical = np.median(coefficients[strong, 0])
    coefficients[:, 0] -= typical
    status = list(trouble)
    solved = enough & (n_stars >= min_stars)
    for j in np.flatnonzero(enough & ~solved):
        status[j] = f"{n_stars[j]} ensemble stars in common with the series, {min_stars} needed"
    coefficients[~solved] = np.nan
    covariance[~solved] = np.nan
    pscale = np.exp(coefficients[:, 0])
    star_status = [
        "used"
        if kept
        else (f"left out: scatter {excess:.1f} times that of its kind" if np.isfinite(level) else "no point")
        for kept, excess, level in zip(state.kept, state.excess, state.star, strict=True)
    ]
    return EnsembleSolution(
        solved=bool(solved.any()),
        note="ok",
        pscale=pscale,
        epscale=pscale * np.sqrt(covariance[:, 0, 0]),
        coefficients=coefficients,
        covariance=covariance,
        order=np.where(solved, order, -1).astype(np.int8),
        n_stars=n_stars.astype(np.int32),
        frame_status=status,
        basis=final,
        star_flux=np.exp(state.star + typical),
        star_scatter=state.scatter,
        star_status=star_status,
        residual=np.where(weighs & solved, state.residual, 0.0).astype(np.float32),
        self_weight=np.where(weighs & solved, state.pull, 0.0).astype(np.float32),
        weight=np.where(weighs & solved, state.weight, 0.0).astype(np.float32),
        order_scatter=np.zeros(0),
    )


def _unsolved(flux, use, x, y, note, count) -> EnsembleSolution:  # noqa: ANN001
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
        star_flux=np.exp(masked_median(_log(flux, use), use, 1)),
        star_scatter=np.full(n, np.nan),
        star_status=["not solved"] * n,
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
