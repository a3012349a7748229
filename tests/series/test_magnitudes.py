"""Which scale the magnitudes of a series are on, and what is said of it."""

from types import SimpleNamespace

import numpy as np
import pytest

from gaiaflux.core.sky.bands import MagnitudeScale, fit_magnitude_scale, scale_attributes
from gaiaflux.series.magnitudes import magnitude_scale, magnitudes_of_star, method_scale, scale_facts

SCALE = MagnitudeScale("r", "SDSS r", 24.0, 0.01, 0.1, 0.02, 1.0, (0.6, 1.6), 0.03, 50, "ok")


def stars(n=20):
    rng = np.random.default_rng(1)
    return {"mag": rng.uniform(13, 16, n), "colour": np.linspace(0.7, 1.5, n)}


@pytest.mark.parametrize(("members", "of_all"), [(3, False), (2, True)])
def test_three_stars_of_the_ensemble_are_enough(members, of_all):
    known = stars()
    rows = np.arange(4, 4 + members + 1)
    known["mag"][rows[-1]] = np.nan  # without a G it does not count
    flux = 10 ** (-0.4 * (np.nan_to_num(known["mag"], nan=14.0) - 24.0))
    found = magnitude_scale(flux[rows], rows, 2.0 * flux, known, np.array(["clear"]))
    assert found.system == "Gaia G"
    assert found.n_stars == (19 if of_all else 3)
    assert found.zero_point == pytest.approx(24.0 + (2.5 * np.log10(2.0) if of_all else 0.0), abs=0.02)


def source(**attributes):
    return SimpleNamespace(attributes=lambda method: attributes)


def test_the_fitted_scale_and_what_stands_for_it():
    fitted = fit_magnitude_scale(
        10 ** (-0.4 * (stars()["mag"] - 24.0)), stars()["mag"], stars()["colour"], "r"
    )  # fmt: skip
    plain = {
        "magnitude_system": "Gaia G", "zero_point_mag": 25.0, "zero_point_n_stars": 16, "zero_point_scatter_mag": 0.2,
        "zero_point_note": "why not",
    }  # fmt: skip
    assert method_scale(source(**plain, **scale_attributes(fitted)), "aperture") == fitted
    # A fit without a zero point is none.
    nothing = {**scale_attributes(fitted), "band_zero_point_mag": float("nan")}
    for attributes in (plain, plain | nothing):
        found = method_scale(source(**attributes), "aperture")
        assert (found.band, found.zero_point, found.colour_term, found.n_stars) == ("G", 25.0, 0.0, 16)
        assert found.zero_point_err == pytest.approx(0.05)
        assert (found.scatter, found.note) == (0.2, "why not")
        assert found.magnitude(np.array([100.0]), 3.0)[0] == pytest.approx(20.0)
    other = method_scale(source(magnitude_system="instrumental", zero_point_mag=0.0), "aperture")
    assert (other.band, other.system, other.n_stars) == ("", "instrumental", 0)
    assert np.isnan([other.zero_point_err, other.scatter]).all()


def test_magnitudes_of_a_star_and_their_errors():
    flux = np.array([1000.0, 100.0, 0.0, -5.0, np.nan])
    mag, error = magnitudes_of_star(SCALE, flux, np.full(5, 10.0), 1.2)
    np.testing.assert_allclose(mag[:2], [24.0 - 7.5 + 0.02, 24.0 - 5.0 + 0.02])
    np.testing.assert_allclose(error[:2], [1.0857362 * 0.01, 1.0857362 * 0.1])
    assert np.isnan(mag[2:]).all()
    assert np.isnan(error[2:]).all()


@pytest.mark.parametrize(
    ("colour", "text"),
    [
        (1.1, "ok"), (0.6, "ok"), (1.6, "ok"), (0.59, "beyond"), (1.61, "beyond"), (np.nan, "is not known"),
    ],
)  # fmt: skip
def test_what_is_said_of_the_stars_colour(colour, text):
    facts = scale_facts(SCALE, colour)
    assert text in facts["bp_rp_note"]
    assert facts["bp_rp_range"] == [0.6, 1.6]
    assert facts["magnitude_system"].startswith("SDSS r, from Gaia DR3")
    plain = MagnitudeScale(**vars(SCALE) | {"colour_term": 0.0, "band": "G", "system": "Gaia G"})
    assert scale_facts(plain, colour)["bp_rp_note"] == "no colour term"
    assert scale_facts(plain, colour)["magnitude_system"] == "Gaia G"
    assert scale_facts(MagnitudeScale(**vars(SCALE) | {"band": "", "system": "own"}), 1.0)["magnitude_system"] == "own"
