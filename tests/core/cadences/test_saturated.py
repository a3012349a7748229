"""Targets that fill pixels, and stars beside them, against what was put in."""

from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.core.cadences.frames import StampFrames, mean_image
from gaiaflux.core.cadences.measure import MeasureOptions, measure_stamp
from gaiaflux.core.cadences.saturated import bleeding_of_stamp
from gaiaflux.core.psf.sampled import sampled_psf
from gaiaflux.model.flags import NOT_GOOD, StarFlag
from gaiaflux.sim.tess.stamp import LIVE, StampSetup, simulate_stamp
from gaiaflux.sim.tess.stars import StampStar

from .conftest import target_of

ROWS = {3.0: 89, 4.0: 51, 5.0: 27}
NEIGHBOUR = StampStar(2, 10.0, 3.0, 11.0)


def simulated(tmag, n_times=300, stars=(NEIGHBOUR,), rows=None, variation="constant", **keywords):
    """A bright star in the middle of a stamp of 13 columns."""
    rows = rows or ROWS.get(tmag, 21)
    bright = StampStar(1, 6.2, rows // 2 + 0.1, tmag, variation, depth=0.01, period_d=0.11)
    given = {"n_times": n_times, "shape": (rows, 13), "rays": 0.0, "seed": 5} | keywords
    return simulate_stamp(StampSetup((bright, *stars), **given))


def cut(stamp, rows, columns, order=slice(None)):
    """A part of a stamp, with its stars in another order."""
    part = (slice(None), rows, columns)
    names = ("flux", "flux_err", "background", "background_err")
    stars = [replace(star, x=star.x - columns.start, y=star.y - rows.start) for star in stamp.setup.stars[order]]
    setup = replace(
        stamp.setup,
        stars=tuple(stars),
        shape=stamp.flux[part].shape[1:],
        first_column=stamp.setup.first_column + columns.start,
        first_row=stamp.setup.first_row + rows.start,
    )
    arrays = {name: np.ascontiguousarray(getattr(stamp, name)[part]) for name in names}
    return replace(stamp, setup=setup, star_flux=stamp.star_flux[:, order], **arrays)


def measured(stamp, response, methods=("aperture",), **options):
    return measure_stamp(target_of(stamp), response, MeasureOptions(methods=methods, **options))


def scores(stamp, table):
    """Bias, noise over that of the photons, pull, and what is left of a change of the star."""
    good = (stamp.quality == 0) & np.isfinite(stamp.time)
    true, flux = stamp.star_flux[good, 0], table.flux[good]
    away = flux - true
    change = true / true.mean() - 1
    return {
        "bias": np.mean(away) / true.mean(),
        "noise": np.std(away) / np.sqrt(true.mean() / (LIVE * stamp.setup.cadence_s)),
        "pull": np.std(away / table.flux_err[good]),
        "amplitude": np.polyfit(change, flux / flux.mean(), 1)[0] if np.ptp(change) else np.nan,
    }


@pytest.mark.parametrize("up", [0.5, 0.8])
@pytest.mark.parametrize("tmag", [3.0, 4.0, 5.0, 6.0, 6.6])
def test_a_star_that_fills_pixels_has_all_of_its_light(response, tmag, up):
    stamp = simulated(tmag, bleed_up=up, variation="waves")
    made = measured(stamp, response)
    found = scores(stamp, made.tables["aperture"])
    assert made.grown
    assert abs(found["bias"]) < 2e-3
    assert found["noise"] < 1.15
    assert 0.88 < found["pull"] < 1.12
    assert found["amplitude"] == pytest.approx(1.0, abs=0.01)
    assert not made.limited
    assert np.mean(made.tables["aperture"].flags & NOT_GOOD > 0) < 0.02  # a pixel of the wings stands out by chance


def test_what_is_outside_of_the_aperture_is_stated_with_its_error(response):
    stamp = simulated(6.0)
    made = measured(stamp, response)
    outside = 1 - made.saturated_sums.enclosed.part
    bright = stamp.setup.stars[0]
    shift = stamp.pointing.shift
    true = stamp.response().light(bright.x + shift[:, 0], bright.y + shift[:, 1], stamp.setup.shape)
    away = outside - (1 - true[:, made.aperture].sum(axis=1))
    assert np.median(outside) > 0.005
    assert np.abs(away).max() < made.saturated_sums.enclosed.error < 0.1 * np.median(outside)


def test_wings_that_are_not_the_stars_are_doubted(response):
    size = response.samples.shape[-1]
    offset = (np.arange(size) - size // 2) / response.oversampling
    wing = np.exp(-0.5 * (offset[:, None] ** 2 + offset[None, :] ** 2) / 2.8**2)
    more = 0.05 * wing / wing.sum() * response.samples.sum(axis=(2, 3), keepdims=True)
    wrong = sampled_psf(response.samples + more, response.oversampling, response.x, response.y, response.shape)
    stamp = simulated(6.0)
    errors = []
    for samples in (response, wrong):
        made = measured(stamp, samples)
        errors.append(made.saturated_sums.enclosed.error)
        assert abs(scores(stamp, made.tables["aperture"])["bias"]) < min(2.5 * errors[-1], 0.015)
    assert errors[1] > 3 * errors[0]


def test_of_a_long_exposure_after_a_kick_the_charge_is_all_found(response):
    stamp = simulated(3.0, n_times=600, cadence_s=1800.0)
    found = scores(stamp, measured(stamp, response).tables["aperture"])
    assert abs(found["bias"]) < 1e-3
    assert 0.9 < found["pull"] < 1.3


def test_a_star_just_below_is_left_to_the_fit(response):
    stamp = simulated(7.1, n_times=300)
    assert 5e4 < np.nanmax(mean_image(target_of(stamp).frames).image) < 9e4
    made = measured(stamp, response, ("psf", "linpsf", "aperture"))
    assert not made.bleeding.any
    assert not made.grown
    for method in ("psf", "linpsf"):
        found = scores(stamp, made.tables[method])
        assert abs(found["bias"]) < 3e-3
        assert 0.9 < found["pull"] < 1.1
        assert not (made.tables[method].flags & StarFlag.SATURATED).any()


def test_columns_that_leave_the_stamp_make_a_lower_limit_and_say_how_far(response):
    whole = simulated(4.0)
    rows, first, last = (5, 0), 20, 51
    turns = 0
    while rows != (0, 0) and turns < 6:
        stamp = cut(whole, slice(first, last), slice(0, 13))
        made = measured(stamp, response)
        rows = made.saturated_sums.rows
        limited = made.tables["aperture"].flags & StarFlag.SATURATED > 0
        assert limited.all() == (rows != (0, 0))
        if rows != (0, 0):
            assert scores(stamp, made.tables["aperture"])["bias"] < -1e-3
        first, last, turns = max(first - rows[0], 0), min(last + rows[1], 51), turns + 1
    assert 1 < turns < 5
    assert first > 5
    assert abs(scores(stamp, made.tables["aperture"])["bias"]) < 2e-3


@pytest.mark.parametrize("tmag", [4.0, 6.0])
def test_a_halo_keeps_the_variation_of_the_star(response, tmag):
    stamp = simulated(tmag, n_times=600, variation="waves")
    made = measured(stamp, response, saturated="halo")
    found = scores(stamp, made.tables["aperture"])
    assert found["amplitude"] == pytest.approx(1.0, abs=0.03)
    assert abs(found["bias"]) < 3e-3
    assert 0.85 < found["pull"] < 1.2
    weight = made.saturated_sums.weight
    assert weight.shape == stamp.setup.shape
    assert (weight >= 0).all()
    assert not (weight[made.bleeding.mask] > 0).any()
    plain = stamp.flux[:, weight > 0].sum(axis=1) / stamp.star_flux[:, 0]
    good = np.isfinite(stamp.time) & (stamp.quality == 0)
    relative = (made.tables["aperture"].flux / stamp.star_flux[:, 0])[good]
    assert np.std(relative) < 0.2 * np.std(plain[good]) / np.mean(plain[good])


def test_without_a_response_function_the_sum_is_not_corrected(response):
    stamp = simulated(5.0)
    for saturated in ("aperture", "halo"):
        made = measured(stamp, None, saturated=saturated)
        table = made.tables["aperture"]
        assert scores(stamp, table)["bias"] == pytest.approx(-0.004, abs=0.006)
        assert (table.flags & StarFlag.NO_APERTURE_CORRECTION > 0).all()
        assert made.saturated_sums.enclosed is None
    assert (made.saturated_sums.weight > 0).any()


def test_a_background_that_was_not_subtracted(response):
    stamp = simulated(5.0, n_times=300)
    sky = 40.0 + 10.0 * np.sin(np.arange(300) / 30.0)
    bright = replace(stamp, flux=(stamp.flux + sky[:, None, None]).astype(np.float32))
    for saturated in ("aperture", "halo"):
        table = measured(bright, response, aperture_background=True, saturated=saturated).tables["aperture"]
        np.testing.assert_allclose(table.background, sky, atol=4.0)
        assert abs(scores(stamp, table)["bias"]) < 3e-3


# Where a neighbour is from a star of T = 5, whose charge reaches four pixels up and down, and one of T = 3.
PLACES = [(5.0, 12, 0), (5.0, 0, 12), (5.0, 7, 3), (5.0, 3, -7), (3.0, 12, 0), (3.0, 4, 27), (3.0, 8, -20)]


@pytest.mark.parametrize(("tmag", "dx", "dy"), PLACES)
def test_a_star_beside_is_not_touched_and_told(response, tmag, dx, dy):
    faint = StampStar(2, 30.2 + dx, 50.1 + dy, 11.0)
    setup = StampSetup((StampStar(1, 30.2, 50.1, tmag), faint), n_times=150, shape=(101, 61), rays=0.0, bleed_up=0.6)
    whole = simulate_stamp(setup)
    rows, columns = slice(50 + dy - 12, 50 + dy + 13), slice(30 + dx - 10, 30 + dx + 11)
    stamp = cut(whole, rows, columns, slice(None, None, -1))
    made = measured(stamp, response, ("psf", "linpsf", "aperture"))
    assert not made.saturated
    row, column = np.nonzero(made.bleeding.bled)
    x, y = stamp.setup.stars[0].x, stamp.setup.stars[0].y
    near = (
        np.hypot(column - x - made.target.frames.mean_shift[0], row - y - made.target.frames.mean_shift[1]) <= 10
    ).any()
    for method, table in made.tables.items():
        assert ((table.flags & StarFlag.POOR_FIT) > 0).all() == near
        if method != "aperture":
            found = scores(stamp, table)
            assert abs(found["bias"]) < 0.01
            assert 0.85 < found["pull"] < 1.2


@pytest.mark.parametrize(("x", "tmag", "flagged"), [(14.0, 5.0, True), (14.0, 8.0, False), (17.0, 5.0, False)])
def test_a_saturated_star_outside_of_the_stamp_is_known_by_its_light(response, x, tmag, flagged):
    setup = StampSetup((StampStar(1, 5.2, 4.9, 10.0), StampStar(2, x, 5.0, tmag)), n_times=30, rays=0.0)
    made = measured(simulate_stamp(setup), response, ("psf", "aperture"))
    assert not made.bleeding.any
    for table in made.tables.values():
        assert ((table.flags & StarFlag.POOR_FIT) > 0).all() == flagged


def test_charge_of_another_star_is_not_the_targets(response):
    # On the column of a star of T = 3 that is below the stamp.
    setup = StampSetup((StampStar(1, 15.2, 40.1, 3.0), StampStar(2, 15.4, 68.0, 9.5)), n_times=20, shape=(101, 31))
    whole = simulate_stamp(setup)
    for rows in (slice(55, 85), slice(20, 85)):
        made = measured(cut(whole, rows, slice(5, 26), slice(None, None, -1)), response, ("psf", "aperture"))
        assert made.saturated
        assert not made.grown
        assert np.isnan(made.tables["psf"].flux).all()
        assert (made.tables["aperture"].flags & StarFlag.SATURATED > 0).all()


def test_a_pixel_that_is_full_now_and_then_counts_as_full():
    flux = np.full((200, 9, 9), 10.0, np.float32)
    flux[:, 4, 4] = 6e4
    frames = StampFrames(flux, np.ones_like(flux), np.zeros_like(flux), np.ones(200, bool), np.zeros((200, 2)))
    assert not bleeding_of_stamp(frames, mean_image(frames), 9e4).any
    flux[:20, 4, 4], flux[:20, 5, 4] = 1e5, 3e4
    flux[50, 1, 1] = 2e5  # one frame tells nothing
    made = bleeding_of_stamp(frames, mean_image(frames), 9e4)
    assert np.argwhere(made.full).tolist() == [[4, 4]]
    assert made.bled[5, 4]


def test_a_treatment_that_there_is_not_is_refused(response):
    with pytest.raises(ValueError, match="saturated 'magic' is none of aperture, halo"):
        measured(simulated(7.5, n_times=3), response, saturated="magic")
