"""Which method is recommended for a star."""

from dataclasses import fields, replace

import numpy as np
import pytest

from gaiaflux.model.errors import InputError
from gaiaflux.series.method_choice import REASONS, favoured_method, first_method_that_measures, recommend_methods
from gaiaflux.series.star_summary import ApertureSummary


def summary(held_out, n_good=None, expected=None):
    held_out = np.asarray(held_out, float)
    values = {field.name: np.zeros(len(held_out)) for field in fields(ApertureSummary)}
    values |= {
        "held_out": held_out,
        "expected": held_out if expected is None else np.asarray(expected, float),
        "n_good": np.full(len(held_out), 100) if n_good is None else np.asarray(n_good),
    }
    values["n_sound"] = values["n_good"]
    return ApertureSummary(**values)


def names_of(codes):
    said = {code: text for text, code in REASONS.items()}
    return [said[code] for code in codes.tolist()]


def test_the_favoured_method_wins_where_it_is_nearly_as_good():
    nan = np.nan
    apertures = summary([1.0, 1.0, 1.0, 1.0, nan, nan], [100, 100, 100, 100, 100, 0], [9, 9, 9, 9, nan, nan])
    psf = summary([1.019, 1.021, 0.5, 1.0, nan, nan], [100, 100, 100, 70, 90, 0], [9, 9, 9, 9, nan, nan])
    for both in ({"aperture": apertures, "psf": psf}, {"psf": psf, "aperture": apertures}):
        method, reason = recommend_methods(both)
        wanted = ["psf", "aperture", "psf", "aperture", "aperture"]
        assert [list(both)[k] for k in method[:5]] == wanted
        assert method[5] == -1
        assert names_of(reason) == [
            "as good as any other", *(["less scatter in held-out frames"] * 2), *(["more good points"] * 2),
            "no good point",
        ]  # fmt: skip


def test_one_method_is_the_only_one():
    method, reason = recommend_methods({"psf": summary([1.0, np.nan])})
    assert method.tolist() == [0, 0]
    assert names_of(reason) == ["the only method"] * 2


def test_the_method_for_what_is_planted():
    assert favoured_method(["aperture", "psf"]) == "psf"
    assert favoured_method(["aperture"]) == "aperture"
    with pytest.raises(InputError, match="no method of photometry 'sum'"):
        favoured_method(["sum"])


def test_a_method_counts_that_has_four_fifths_of_the_points():
    best = summary([1.0] * 3, [100, 100, 100])
    other = summary([0.5] * 3, [80, 79, 0])
    method, reason = recommend_methods({"aperture": best, "psf": other})
    assert method.tolist() == [1, 0, 0]
    assert names_of(reason) == ["less scatter in held-out frames", "more good points", "more good points"]


def test_what_is_predicted_decides_where_one_scatter_is_not_known():
    nan = np.nan
    first = summary([1.0, 1.0, nan], [100, 100, 100], [5.0, 5.0, 5.0])
    second = summary([nan, nan, nan], [100, 50, 100], [4.0, 4.0, 9.0])
    method, reason = recommend_methods({"aperture": first, "psf": second})
    # That of a method with few points need not be known.
    assert method.tolist() == [1, 0, 0]
    assert names_of(reason) == ["less predicted error", "more good points", "less predicted error"]


def test_what_a_variable_star_does_decides_nothing():
    first = summary([50.0, 50.0, 4.0], expected=[1.0, 1.0, 1.0])
    second = summary([60.0, 4.0, 5.0], expected=[0.9, 0.9, 0.9])
    method, reason = recommend_methods({"aperture": first, "psf": second})
    # Where one method does not see it, it is no variable star.
    assert method.tolist() == [1, 1, 0]
    assert names_of(reason) == ["less predicted error", *(["less scatter in held-out frames"] * 2)]


def test_points_that_are_not_exported_do_not_count():
    first, second = summary([1.0]), replace(summary([0.5]), n_sound=np.array([70]))
    method, reason = recommend_methods({"aperture": first, "psf": second})
    assert method.tolist() == [0]
    assert names_of(reason) == ["more good points"]


def test_a_star_that_varies_is_judged_by_what_is_predicted():
    """Its scatter is its own: the method that blurs it would win."""
    blurred = summary([0.6, 0.04, 0.6], expected=[0.02, 0.02, 0.02])
    sharp = summary([0.8, 0.06, 0.06], expected=[0.01, 0.01, 0.01])
    method, reason = recommend_methods({"aperture": blurred, "psf": sharp})
    # Of the second one a method scatters as little as it may; of the third one the other one does.
    assert method.tolist() == [1, 0, 1]
    scatter, predicted = "less scatter in held-out frames", "less predicted error"
    assert names_of(reason) == [predicted, scatter, predicted]


def test_without_any_score_the_most_points_decide():
    nan = np.nan
    few, many = summary([nan] * 2, [90, 1]), summary([nan] * 2, [100, 0])
    method, reason = recommend_methods({"aperture": few, "psf": many})
    assert method.tolist() == [1, 0]
    assert names_of(reason) == ["more good points"] * 2


def test_without_an_ensemble_the_first_method_that_measures_counts():
    points = np.array([[100, 79, 80, 0, 0], [100, 100, 100, 0, 50]])
    method, reason = first_method_that_measures(points)
    assert method.tolist() == [0, 1, 0, -1, 1]
    texts = {code: text for text, code in REASONS.items()}
    assert [texts[code] for code in reason.tolist()] == [
        *("it takes the neighbours' light off", "more good points", "it takes the neighbours' light off"),
        *("no good point", "more good points"),
    ]
    assert first_method_that_measures(points[:1])[1].tolist()[0] == REASONS["the only method"]
