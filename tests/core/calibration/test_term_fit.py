"""Shared terms against sums of squares that are added up by hand."""

from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.core.calibration.ensemble import EnsembleSolution, solve_ensemble
from gaiaflux.core.calibration.term_fit import _Data, _halves, _held_out_gain, _try, fit_terms, with_terms
from gaiaflux.core.calibration.terms import (
    SERIES_TERMS,
    Parameter,
    SeriesFacts,
    SharedCoefficients,
    StarFunctions,
    Term,
)
from gaiaflux.model.settings.calibrate import CalibrateSettings

N, M = 60, 24
SETTINGS = CalibrateSettings(spatial_order=1, max_iterations=8, min_stars=10, clip_sigma=4.0)


@pytest.fixture(scope="module")
def solved():
    """A series of constant stars, solved, and what is known of it."""
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, 1000, (2, N))
    flux = 1e5 * (1.0 + 0.003 * rng.normal(size=(N, M))) * np.exp(0.01 * rng.normal(size=(2, M)).T @ [x, y] / 1000).T
    good = np.ones((N, M), bool)
    good[:, 20] = np.arange(N) < 12  # too few for a slope
    good[57] = False
    facts = SeriesFacts(
        x, y, rng.normal(1.0, 0.4, N), np.linspace(1.0, 1.8, M), np.zeros(M, int), ["a"],
        np.repeat(np.eye(2)[None], M, axis=0),
    )  # fmt: skip
    facts.colour[3], facts.airmass[5] = np.nan, np.nan
    solution = solve_ensemble(flux, np.full((N, M), 300.0), good, x, y, SETTINGS)
    assert solution.basis.order == 1
    return solution, facts


def test_where_the_terms_are_zero_and_what_they_are_fitted_to(solved):
    solution, facts = solved
    context = fit_terms(solution, facts).context
    assert context.weigh.tolist() == (np.arange(N) != 57).tolist()
    assert context.frames.tolist() == (np.arange(M) != 20).tolist()
    assert context.colour_zero == np.median(np.delete(facts.colour, [3, 57]))
    assert context.airmass_zero == np.median(np.delete(facts.airmass, 5))
    nothing = replace(facts, colour=np.full(N, np.nan), airmass=np.full(M, np.nan))
    unknown = fit_terms(solution, nothing).context
    assert np.isnan([unknown.colour_zero, unknown.airmass_zero]).all()


def test_one_frame_is_no_series(solved):
    solution, facts = solved
    for n, said in ((1, ["left out: the series is not calibrated"]), (2, ["left out: "])):
        weight = np.where(np.arange(M) < n, solution.weight, 0.0)
        notes = fit_terms(replace(solution, weight=weight), facts, SERIES_TERMS[:1]).notes
        assert [note[: len(text)] for note, text in zip(notes, said, strict=True)] == said
        assert ("not calibrated" in notes[0]) == (n == 1)


def test_halves_of_the_stars_have_the_same_colours():
    rng = np.random.default_rng(2)
    colour, x, y = rng.normal(size=9), rng.uniform(size=9), rng.uniform(size=9)
    colour[4] = np.nan
    weigh = np.array([True, True, False, True, True, False, True, True, False])
    facts = SeriesFacts(x, y, colour, np.zeros(1), np.zeros(1, int), ["a"], np.eye(2)[None])
    half = _halves(facts, weigh)
    by_colour = [k for k in np.argsort(colour) if weigh[k]]  # an unknown one comes last
    assert half[by_colour].tolist() == [0, 1, 0, 1, 0, 1]
    alike = replace(facts, colour=np.ones(9))
    assert _halves(alike, weigh)[[k for k in np.argsort(x) if weigh[k]]].tolist() == [0, 1, 0, 1, 0, 1]


def squares(tables, values, residual, weight):
    return (weight * (residual - np.einsum("p,pij->ij", values, tables)) ** 2).sum()


def fitted(tables, residual, weight):
    design = (tables * np.sqrt(weight)).reshape(len(tables), -1).T
    return np.linalg.lstsq(design, (residual * np.sqrt(weight)).ravel(), rcond=None)[0]


def test_the_gain_is_what_the_values_of_one_half_spare_the_other():
    rng = np.random.default_rng(3)
    tables, weight = rng.normal(size=(3, 14, 9)), rng.uniform(0.5, 2.0, (14, 9))
    # Less noise than the weights say: no star goes its own way.
    residual = np.einsum("p,pij->ij", [0.5, -0.3, 0.2], tables) + 0.1 * rng.normal(size=(14, 9))
    half = np.arange(14) % 2
    found = _held_out_gain(tables, 2, residual, weight, half)
    for k in range(2):
        own, other = half == k, half != k
        left = []
        for some in (tables[:2], tables):
            values = fitted(some[:, other], residual[other], weight[other])
            left.append(squares(some[:, own], values, residual[own], weight[own]))
        assert found.gain[k] == pytest.approx(left[0] - left[1], rel=1e-6)
    np.testing.assert_allclose(found.values, fitted(tables, residual, weight), rtol=1e-6)
    normal = np.einsum("pij,qij,ij->pq", tables, tables, weight)
    np.testing.assert_allclose(found.errors, np.sqrt(np.diag(np.linalg.inv(normal))), rtol=1e-6)


def test_stars_that_go_their_own_ways_make_the_error():
    # Stars of equal weight whose own values scatter by more than their errors: that of the mean is s / sqrt(n).
    own = np.random.default_rng(4).normal(0.0, 1.0, 20)
    table = np.ones((1, 20, 5))
    found = _held_out_gain(table, 0, np.repeat(own[:, None], 5, axis=1), np.full((20, 5), 2.0), np.arange(20) % 2)
    assert found.values[0] == pytest.approx(own.mean())
    assert found.errors[0] == pytest.approx(np.std(own, ddof=1) / np.sqrt(20), rel=4e-3)
    calm = _held_out_gain(table, 0, np.repeat(0.1 * own[:, None], 5, axis=1), np.full((20, 5), 2.0), np.arange(20) % 2)
    assert calm.errors[0] == pytest.approx(1.0 / np.sqrt(200.0))


def one_term(frames):
    functions = StarFunctions("redder", lambda stars, context: stars.colour[:, None] - 1.0, "", "")
    return Term("own", functions, lambda context: [Parameter("own", frames[:, None])], lambda context: "", "mag", "")


@pytest.mark.parametrize(("gain", "kept"), [(3.9, False), (4.1, True)])
def test_a_term_has_to_explain_four_of_chi_squared(solved, gain, kept):
    _, facts = solved
    context = fit_terms(*solved).context
    context = replace(context, facts=replace(facts, colour=np.nan_to_num(facts.colour)))
    frames = np.cos(np.arange(M) * 1.3)
    number = int(context.frames.sum())
    data = _Data(context, np.zeros((N, number)), np.ones((N, number)), np.ones((N, 1)), np.arange(N) % 2)
    term = one_term(frames)
    (parameter,) = term.parameters(context)
    # Without noise the values of either half hold for the other: all is gained.
    shape = np.outer(context.facts.colour - 1.0, frames[context.frames])
    shape -= shape.mean(axis=0)
    shape -= shape.mean(axis=1, keepdims=True)
    residual = shape * np.sqrt(gain / (shape**2).sum())
    trial = _try(term, [parameter], np.zeros((0, N, number)), replace(data, residual=residual))
    assert trial.note == ("kept" if kept else "left out") + ": held-out scatter -100.00 %"
    assert (trial.fit is not None) == (trial.tables is not None) == kept


@pytest.mark.parametrize(("part", "told"), [(0.5e-4, False), (2e-4, True)])
def test_what_a_term_says_beside_constants_and_frames(solved, part, told):
    # Nearly the same in all frames, it is nearly the constants of the stars: but for this part of its square sum.
    frames = 1.0 + np.sqrt(part) * np.where(np.arange(M) % 2, 1.0, -1.0)
    facts = replace(solved[1], colour=np.nan_to_num(solved[1].colour, nan=1.0))
    notes = fit_terms(solved[0], facts, (one_term(frames),)).notes
    same = "left out: constants of the stars and terms of the frames say the same"
    assert (notes != [same]) == told


def test_a_map_joins_the_spatial_terms_of_all_frames_that_have_a_solution(solved):
    solution, facts = solved
    found = fit_terms(solution, facts)
    cubic = next(term.functions for term in SERIES_TERMS if term.functions.degree == 3)
    map_of = SharedCoefficients(cubic, np.tile([0.01, -0.02, 0.03, 0.04], (M, 1)), found.context)
    unsolved: EnsembleSolution = replace(solution, coefficients=solution.coefficients.copy())
    unsolved.coefficients[2] = np.nan
    whole = with_terms(unsolved, replace(found, shared=(map_of,)))
    assert (whole.basis.order, whole.shared) == (3, ())
    assert np.isnan(whole.coefficients[2]).all()
    assert np.isnan(whole.covariance[2]).all()
    others = np.arange(M) != 2
    expected = facts.stars
    before = solution.basis.terms(facts.x, facts.y) @ solution.coefficients[others].T
    after = whole.basis.terms(facts.x, facts.y) @ whole.coefficients[others].T
    np.testing.assert_allclose(after - before, map_of.table(expected)[:, others], atol=1e-12)
    np.testing.assert_array_equal(whole.covariance[others][:, :3, :3], solution.covariance[others])
    assert not whole.covariance[others][:, 3:].any()
