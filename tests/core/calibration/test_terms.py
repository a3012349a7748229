import numpy as np
import pytest

from gaiaflux.core.calibration.ensemble import apply_ensemble, solve_ensemble
from gaiaflux.core.calibration.term_fit import fit_terms, with_terms
from gaiaflux.core.calibration.terms import SERIES_TERMS, Parameter, SeriesFacts, StarFacts, StarFunctions, Term
from gaiaflux.model.settings.calibrate import CalibrateSettings

SETTINGS = CalibrateSettings(spatial_order=2, max_iterations=8, min_stars=10, clip_sigma=4.0)


class Mixed:
    """Stars of many colours over a night, by one camera or two that see colours and the field in their own ways."""

    def __init__(self, seed=1, n=150, m=80, second=0.0, turned=False, tint=0.02, camera_tint=0.0, distortion=0.0):
        rng = np.random.default_rng(seed)
        self.x, self.y = rng.uniform(0, 2000, (2, n))
        u, v = self.x / 1000 - 1, self.y / 1000 - 1
        self.colour = rng.normal(1.0, 0.4, n)
        self.airmass = 1.0 + 0.8 * (np.linspace(-1, 1, m) ** 2)
        self.camera = (np.arange(m) < second * m).astype(int)
        sign = np.where(turned & (np.arange(m) % 3 == 1), -1.0, 1.0)
        self.axes = sign[:, None, None] * np.eye(2)
        self.star = 10 ** rng.uniform(4.5, 6.0, n)
        self.scale = 10 ** (-0.4 * np.abs(rng.normal(0, 0.2, m))) * np.where(self.camera == 1, 0.8, 1.0)
        slope = 0.01 * rng.normal(size=(2, m))
        tints = tint * self.airmass + camera_tint * self.camera
        field = slope[0] * u[:, None] + slope[1] * v[:, None]
        field += distortion * np.where(self.camera == 1, -0.5, 1.0) * (sign * (u**3 - 0.6 * u * v**2)[:, None])
        # ln flux per magnitude of colour
        self.expected = -tints / 1.0857
        mean = self.star[:, None] * self.scale * np.exp(field + (self.colour - 1.0)[:, None] * self.expected)
        self.error = np.sqrt(mean)
        self.flux = mean + self.error * rng.normal(size=(n, m))
        self.good = np.ones((n, m), dtype=bool)

    @property
    def facts(self):
        names = [f"camera{k}" for k in range(self.camera.max() + 1)]
        return SeriesFacts(self.x, self.y, self.colour, self.airmass, self.camera, names, self.axes)

    def solve(self, shared=SERIES_TERMS):
        first = solve_ensemble(self.flux, self.error, self.good, self.x, self.y, SETTINGS)
        terms = fit_terms(first, self.facts, shared)
        factor = np.exp(terms.table(self.facts.stars))
        again = solve_ensemble(self.flux / factor, self.error / factor, self.good, self.x, self.y, SETTINGS)
        return with_terms(again, terms), terms

    def calibrate(self, shared=SERIES_TERMS):
        solution, terms = self.solve(shared)
        values = apply_ensemble(solution, self.flux, self.error, self.facts.stars, np.arange(len(self.star)))
        return solution, terms, *values

    def scatter(self, flux_cal, error):
        mean = np.average(flux_cal, axis=1, weights=error**-2.0)[:, None]
        return np.std((flux_cal - mean) / error)


def value(terms, name):
    k = terms.names.index(name)
    return terms.values[k], terms.errors[k], terms.notes[k]


def test_colour_times_airmass_is_found_and_taken_off():
    series = Mixed()
    solution, terms, flux_cal, error = series.calibrate()
    found, sigma, note = value(terms, "colour * airmass")
    assert abs(found + 0.02 / 1.0857) < 4 * sigma < 0.006
    assert note.startswith("kept: held-out scatter -")
    assert 0.95 < series.scatter(flux_cal, error) < 1.05
    colourless = StarFacts(series.x, series.y, np.full(150, np.nan))
    without = apply_ensemble(solution, series.flux, series.error, colourless, np.arange(150))
    assert series.scatter(*without) > 1.10
    red, blue = series.colour > 1.4, series.colour < 0.6
    high = series.airmass > 1.6
    step = [np.median(flux_cal[some][:, high]) / np.median(flux_cal[some][:, ~high]) for some in (red, blue)]
    assert abs(step[0] / step[1] - 1) < 1.5e-3


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_kept_where_there_is_nothing(seed):
    series = Mixed(seed=seed, tint=0.0, second=0.4)
    series.camera[:] = 0
    solution, terms = series.solve()
    kept = np.abs(terms.values[terms.values != 0])
    assert (kept < 2.5e-3).all()  # by chance, and then of the size of its error
    if not kept.size:
        assert all(note.startswith("left out: ") for note in terms.notes)
        assert solution.shared == ()
    assert [name for name in terms.names if "u^" in name] == []


def test_a_colour_term_for_each_camera_on_one_scale():
    series = Mixed(seed=3, second=0.4, camera_tint=0.03)
    _, terms, flux_cal, error = series.calibrate()
    assert abs(value(terms, "colour * airmass")[0] + 0.02 / 1.0857) < 0.004
    # The second camera has the more frames: its system is that of the series.
    found, sigma, _ = value(terms, "colour, camera camera1")
    assert abs(found + 0.03 / 1.0857) < 4 * sigma < 0.006
    assert 0.95 < series.scatter(flux_cal, error) < 1.05
    ratio = np.median(flux_cal[:, series.camera == 1], axis=1) / np.median(flux_cal[:, series.camera == 0], axis=1)
    assert abs(np.median(ratio) - 1) < 1e-3
    assert abs(np.polyfit(series.colour, ratio, 1)[0]) < 2e-3


@pytest.mark.parametrize("turned", [False, True])
def test_a_map_of_the_detector_for_each_camera(turned):
    series = Mixed(seed=4, second=0.0 if turned else 0.4, turned=turned, distortion=0.015, tint=0.0)
    solution, terms, flux_cal, error = series.calibrate()
    assert any("u^3" in name for name in terms.names)
    assert solution.basis.order == 3
    assert 0.95 < series.scatter(flux_cal, error) < 1.06
    flat = solve_ensemble(series.flux, series.error, series.good, series.x, series.y, SETTINGS)
    plain = apply_ensemble(flat, series.flux, series.error, series.facts.stars, np.arange(150))
    assert series.scatter(*plain) > 1.15


def test_order_of_stars_and_frames_does_not_matter():
    series = Mixed(seed=5, second=0.3, camera_tint=0.02, distortion=0.006)
    _, terms, flux_cal, _ = series.calibrate()
    rng = np.random.default_rng(1)
    stars, frames = rng.permutation(150), rng.permutation(80)
    mixed = Mixed(seed=5, second=0.3, camera_tint=0.02, distortion=0.006)
    for name in ("x", "y", "colour", "star"):
        setattr(mixed, name, getattr(mixed, name)[stars])
    for name in ("airmass", "camera", "axes"):
        setattr(mixed, name, getattr(mixed, name)[frames])
    for name in ("flux", "error", "good"):
        setattr(mixed, name, getattr(mixed, name)[stars][:, frames])
    _, again, again_cal, _ = mixed.calibrate()
    assert again.names == terms.names
    assert again.notes == terms.notes
    # 0.1 mmag
    assert np.abs(2.5 * np.log10(again_cal / flux_cal[stars][:, frames])).max() < 1e-4


def test_a_star_that_varies_with_the_airmass_does_not_make_a_colour_term():
    series = Mixed(seed=6, tint=0.0)
    red = np.argsort(-series.colour)[:1]
    series.flux[red] *= 1 + 0.02 * (series.airmass - 1.2)
    _, terms = series.solve()
    assert np.abs(terms.values).max() < 2.5e-3


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        ({"colour": np.nan}, "0 stars of the ensemble with a colour, 20 needed"),
        ({"colour": 1.0}, "the stars have all the same colour"),
        ({"airmass": np.nan}, "the air mass is not known"),
        ({"airmass": 1.2}, "the air mass does not change"),
    ],
)
def test_what_is_missing_is_said(spoil, text):
    series = Mixed(seed=7)
    for name, values in spoil.items():
        getattr(series, name)[:] = values
    solution, terms, flux_cal, _ = series.calibrate()
    assert value(terms, "colour * airmass") == (0.0, pytest.approx(np.nan, nan_ok=True), f"left out: {text}")
    assert np.isfinite(flux_cal).all()
    assert solution.shared == ()


def test_a_series_that_is_not_calibrated_has_no_terms():
    series = Mixed(seed=8, n=5)
    _, terms = series.solve()
    assert terms.notes == ["left out: the series is not calibrated"]
    assert not terms.any


def test_stars_without_colour_and_frames_without_airmass_are_taken_as_typical():
    series = Mixed(seed=9)
    series.colour[::5] = np.nan
    series.airmass[3] = np.nan
    solution, terms, flux_cal, _ = series.calibrate()
    assert np.isfinite(flux_cal).all()
    (colour,) = solution.shared
    assert colour.coefficients[3] == 0
    assert (colour.coefficients != 0).mean() > 0.95
    assert value(terms, "colour * airmass")[2].startswith("kept")


def own_term(refusal="", frames=lambda context: context.airmass):
    """A term in the star's x alone: flux is lost at one end of a slit, the more the lower the star stands."""
    return Term(
        name="slit",
        functions=StarFunctions("slit", lambda stars, _: (stars.x[:, None] / 1000 - 1) ** 3, "", "with x^3"),
        parameters=lambda context: [Parameter("x^3 * airmass", frames(context)[:, None])],
        refusal=lambda context: refusal,
        unit="mag",
        description="light lost at one end of the slit",
    )


def slit_series():
    series = Mixed(seed=11)
    series.flux *= np.exp(-0.05 / 1.0857 * (series.x[:, None] / 1000 - 1) ** 3 * series.airmass)
    return series


def test_a_term_of_ones_own_is_fitted_and_taken_off_like_the_others():
    series = slit_series()
    solution, terms, flux_cal, error = series.calibrate((*SERIES_TERMS, own_term()))
    found, sigma, note = value(terms, "x^3 * airmass")
    assert abs(found + 0.05 / 1.0857) < 4 * sigma < 0.006
    assert note.startswith("kept: held-out scatter -")
    assert value(terms, "colour * airmass")[2].startswith("kept")
    assert [shared.functions.name for shared in solution.shared] == ["colour", "slit"]
    assert 0.95 < series.scatter(flux_cal, error) < 1.05
    _, _, *without = series.calibrate()
    assert series.scatter(*without) > 1.15


def test_a_term_is_left_out_where_it_is_refused_or_says_nothing_of_its_own():
    series = slit_series()
    solution, terms = series.solve((own_term("the slit was open"),))
    assert value(terms, "x^3 * airmass")[2] == "left out: the slit was open"
    assert solution.shared == ()
    # The same in all frames, it is a part of the stars' constants.
    _, terms = series.solve((own_term(frames=lambda context: np.ones(len(context.frames))),))
    assert terms.notes == ["left out: constants of the stars and terms of the frames say the same"]
    assert not terms.any


def test_every_term_says_what_it_is():
    assert len({term.name for term in SERIES_TERMS}) == len(SERIES_TERMS)
    for term in SERIES_TERMS:
        assert term.unit.startswith("mag")
        assert len(term.description) > 20
        assert term.functions.degree or (term.functions.unit and term.functions.description)


@pytest.mark.parametrize("seed", [2, 3, 5])
def test_what_single_stars_do_is_in_the_error_of_the_common_term(seed):
    # Each star goes a little its own way with the air mass; the brightest would decide if photons alone counted.
    series = Mixed(seed=seed, tint=0.05)
    own = 0.005 * np.random.default_rng(100 + seed).normal(size=len(series.star))
    series.flux *= np.exp(own[:, None] * (series.airmass - series.airmass.mean()))
    first = solve_ensemble(series.flux, series.error, series.good, series.x, series.y, SETTINGS)
    found, sigma, note = value(fit_terms(first, series.facts), "colour * airmass")
    assert note.startswith("kept")
    assert abs(found + 0.05 / 1.0857) < 4.0 * sigma
    # The slope of 150 points that scatter by 0.005, over a scatter of the colours of 0.4, and little more.
    expected = 0.005 / (0.4 * np.sqrt(150))
    assert 1.5 * expected < sigma < 6.0 * expected
    # Without a map of a camera the field keeps its own terms.
    solution, _ = series.solve()
    assert solution.basis.order <= 2
    assert solution.coefficients.shape[1] == len(solution.basis.means) <= 6
