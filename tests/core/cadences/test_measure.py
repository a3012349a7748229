from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.core.cadences.measure import MeasureOptions, measure_stamp
from gaiaflux.core.cadences.scene_fit import FitOptions
from gaiaflux.model.flags import StarFlag
from gaiaflux.sim.tess.stamp import simulate_stamp
from gaiaflux.sim.tess.stars import StampStar

from .conftest import Scored, setup, target_of

LINEAR = MeasureOptions(methods=("linpsf",))


def with_stars(change, n_times=600):
    made = setup(n_times=n_times)
    return replace(made, stars=tuple(change(list(made.stars))))


def measured(stamp, response, options=LINEAR):
    return measure_stamp(target_of(stamp), response, options)


@pytest.mark.parametrize("method", ["psf", "linpsf"])
def test_a_blend_is_measured_as_well_as_anyone_could(pair, method):
    scores = pair.scores(method)
    assert scores["noise"] < 1.04
    assert 0.95 < scores["pull"] < 1.06
    assert abs(scores["bias"]) < 2e-3
    assert abs(scores["leak"]) * 0.1 < 3e-4  # of a tenth that the neighbour loses
    assert scores["missing"] == 0


@pytest.mark.parametrize("method", ["psf", "linpsf"])
def test_an_isolated_star_is_measured_as_well_as_anyone_could(scored, method):
    scores = scored(methods=(method,), separation=0).scores(method)
    assert scores["noise"] < 1.03
    assert 0.95 < scores["pull"] < 1.06
    assert abs(scores["bias"]) < 2e-3


def test_the_eclipse_of_the_neighbour_has_its_depth(pair):
    fit, usable = pair.made.fit, pair.usable
    k = list(pair.made.scene.rows[fit.free.rows]).index(1)
    change = pair.stamp.star_flux[usable, 1] / pair.stamp.star_flux[:, 1].max() - 1
    depth = np.polyfit(change, fit.value[usable, fit.free.group[k]] / pair.stamp.star_flux[:, 1].max(), 1)[0]
    error = np.sqrt(np.nanmedian(fit.variance[:, k])) / pair.stamp.star_flux[0, 1] / np.sqrt(np.sum(change**2))
    assert depth == pytest.approx(1.0, abs=0.005 + 2 * error)


@pytest.mark.parametrize("displaced", [(256, 0), (0, -512)])
def test_a_response_of_another_place_costs_nothing(scored, displaced):
    found = scored(methods=("linpsf",), displaced=displaced)
    scores = found.scores("linpsf")
    assert scores["noise"] < 1.05
    assert 0.95 < scores["pull"] < 1.06
    assert abs(scores["bias"]) < 3e-3
    np.testing.assert_allclose(found.made.scene.shape, -np.array(displaced) / 256, atol=0.3)


def test_noise_of_the_stated_shifts_costs_nothing(scored):
    scores = scored(methods=("linpsf",), kernel_error_pix=0.01).scores("linpsf")
    assert scores["noise"] < 1.05
    assert 0.95 < scores["pull"] < 1.06


def test_closer_stars_are_told_apart(scored):
    scores = scored(methods=("linpsf",), separation=0.8).scores("linpsf")
    assert scores["noise"] < 1.08
    assert abs(scores["leak"]) * 0.1 < 3e-3


@pytest.mark.parametrize("tmag", [13.0, 15.0])
def test_errors_of_faint_stars_are_right(response, tmag):
    stamp = simulate_stamp(with_stars(lambda stars: [replace(stars[0], tmag=tmag), *stars[2:]], 1500))
    scored = Scored(stamp, measured(stamp, response, MeasureOptions(methods=("psf", "linpsf"))))
    for method in ("psf", "linpsf"):
        assert 0.92 < scored.scores(method)["pull"] < 1.08


def test_rays_are_found_in_time_and_flagged(pair):
    usable, stamp, fit = pair.usable, pair.stamp, pair.made.fit
    hit = stamp.hit.reshape(len(stamp.time), -1)[usable]
    clipped = fit.clipped[usable]
    assert clipped.sum() < 1.05 * hit.sum()
    assert (clipped & hit).sum() > 0.9 * hit.sum()
    near = pair.made.near.ravel()
    table = pair.made.tables["linpsf"]
    assert ((table.flags[usable] & StarFlag.COSMIC_RAY > 0) == clipped[:, near].any(axis=1)).all()
    assert (table.n_clipped[usable] == clipped.sum(axis=1)).all()


def test_places_follow_the_pointing(pair):
    star = pair.stamp.setup.stars[0]
    true = pair.stamp.pointing.shift + np.array([star.x, star.y])
    for table in pair.made.tables.values():
        away = (table.centroid - true)[pair.usable]
        assert np.abs(away.mean(axis=0)).max() < 2e-3
        assert away.std(axis=0).max() < 2e-3


def test_a_frame_without_stated_shift_is_measured_where_it_is(pair):
    unknown = pair.stamp.pointing.dump & np.isfinite(pair.stamp.time)
    assert unknown.sum() > 5
    table = pair.made.tables["linpsf"]
    assert (table.flags[unknown] & StarFlag.POINTING > 0).all()
    away = (table.centroid - pair.stamp.pointing.shift)[unknown] - [5.2, 4.9]
    assert np.median(np.hypot(*away.T)) < 0.01
    relative = table.flux[unknown] / pair.stamp.star_flux[unknown, 0] - 1
    assert np.median(np.abs(relative)) < 0.01


def test_missing_frames_are_missing(pair):
    gone = ~np.isfinite(pair.stamp.time)
    assert gone.sum() > 10
    for table in pair.made.tables.values():
        assert np.isnan(table.flux[gone]).all()
        assert np.isnan(table.flux_err[gone]).all()
        assert (table.flags[gone] & StarFlag.NOT_MEASURED > 0).all()
        assert not (table.flags[pair.usable] & StarFlag.NOT_MEASURED).any()


def test_contamination_is_the_part_of_the_others(pair):
    table = pair.made.tables["linpsf"]
    light = np.array(
        [pair.stamp.response().light(np.array([s.x]), np.array([s.y]), (11, 11))[0] for s in setup().stars]
    )
    inside = (light[:, pair.made.aperture].sum(axis=1)) * pair.stamp.star_flux[0]
    assert np.nanmedian(table.contamination) == pytest.approx(1 - inside[0] / inside.sum(), abs=0.02)
    assert (table.flags[pair.usable] & StarFlag.NEIGHBOUR > 0).all()


def test_two_rows_on_one_place_share_the_light(response):
    stamp = simulate_stamp(with_stars(lambda stars: [stars[0], replace(stars[0], starid=9), *stars[2:]]))
    made = measured(stamp, response, MeasureOptions(methods=("psf", "linpsf")))
    usable = (stamp.quality == 0) & np.isfinite(stamp.time)
    for table in made.tables.values():
        assert (table.flags & StarFlag.BLENDED > 0).all()
        assert np.mean(table.flux[usable] / stamp.star_flux[usable, 0]) == pytest.approx(1.0, abs=5e-3)
    fit = made.fit
    assert fit.free.group[0] == fit.free.group[1]
    assert np.mean(fit.value[usable, 0]) == pytest.approx(stamp.star_flux[0, :2].sum(), rel=2e-3)


def test_a_full_target_is_summed_only(response):
    stamp = simulate_stamp(with_stars(lambda stars: [replace(stars[0], tmag=5.0), *stars[2:]], 100))
    made = measured(stamp, response, MeasureOptions())
    for method in ("psf", "linpsf"):
        assert np.isnan(made.tables[method].flux).all()
        assert (made.tables[method].flags & StarFlag.SATURATED > 0).all()
    table = made.tables["aperture"]
    assert np.isfinite(table.flux[np.isfinite(stamp.time)]).all()
    assert (table.flags & StarFlag.SATURATED > 0).all()


def change_nothing(stamp):
    return stamp


def lose_file(stamp):
    return replace(stamp, flux=np.full_like(stamp.flux, np.nan))


def lose_column(stamp):
    flux = stamp.flux.copy()
    flux[:, :, 4] = np.nan
    return replace(stamp, flux=flux)


def lose_peak(stamp):
    flux = stamp.flux.copy()
    flux[:, 5, 5] = np.nan
    return replace(stamp, flux=flux)


def zero_errors(stamp):
    return replace(stamp, flux_err=np.zeros_like(stamp.flux_err))


def no_quality(stamp):
    return replace(stamp, quality=np.full_like(stamp.quality, 4))


def move_off(stamp):
    stars = stamp.setup.stars
    return replace(stamp, setup=replace(stamp.setup, stars=(replace(stars[0], x=30.0), *stars[1:])))


@pytest.mark.parametrize(
    ("harm", "part", "within"),
    [
        (change_nothing, 1.0, 5e-3),
        (lose_column, 1.0, 1e-2),
        (lose_peak, 1.0, 1e-2),
        (zero_errors, 1.0, 1e-2),
        (no_quality, 1.0, 1e-2),
        (lose_file, 0.0, 0),
        (move_off, 0.0, 0),
    ],
)
def test_harm_to_the_data_is_survived(response, harm, part, within):
    stamp = simulate_stamp(setup(n_times=300))
    there = np.isfinite(stamp.time) & ~stamp.pointing.dump
    made = measured(harm(stamp), response, MeasureOptions())
    for method in ("psf", "linpsf"):
        table = made.tables[method]
        known = np.isfinite(table.flux[there]) & np.isfinite(table.flux_err[there])
        assert known.mean() == part
        assert ((table.flags[there] & StarFlag.NOT_MEASURED > 0) == ~known).all()
        if part:
            assert np.median(table.flux[there] / stamp.star_flux[there, 0]) == pytest.approx(1.0, abs=within)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_frames_are_enough(response, n):
    stamp = simulate_stamp(setup(n_times=n, missing=0.0, rays=0.0))
    made = measured(stamp, response, MeasureOptions())
    for method in ("psf", "linpsf"):
        pull = (made.tables[method].flux - stamp.star_flux[:, 0]) / made.tables[method].flux_err
        assert np.abs(pull).max() < 5


def test_a_plane_follows_scattered_light(response):
    stamp = simulate_stamp(setup(n_times=400, rays=0.0))
    slope = 30.0 * np.sin(np.arange(400) / 20.0)[:, None, None] * np.linspace(-1, 1, 11)
    tilted = replace(stamp, flux=(stamp.flux + slope).astype(np.float32))
    good = (stamp.quality == 0) & np.isfinite(stamp.time)
    for method in ("psf", "linpsf"):
        scatter = []
        for plane in (False, True):
            options = MeasureOptions(methods=(method,), fit=FitOptions(plane=plane))
            scatter.append(np.std(measured(tilted, response, options).tables[method].flux[good]))
        assert scatter[1] < 0.9 * scatter[0]


def test_the_residual_beside_the_target_is_really_added(pair, response):
    options = MeasureOptions(methods=("linpsf",), residual_correction=True)
    made = measure_stamp(target_of(pair.stamp), response, options)
    plain, corrected = pair.made.tables["linpsf"], made.tables["linpsf"]
    usable = pair.usable
    assert np.std((corrected.flux - plain.flux)[usable]) > 1.0
    pull = (corrected.flux - pair.stamp.star_flux[:, 0])[usable] / corrected.flux_err[usable]
    assert 0.9 < np.std(pull) < 1.1


def test_results_are_the_same_every_time(response):
    stamp = simulate_stamp(setup(n_times=200))
    one, other = (measured(stamp, response, MeasureOptions()).tables for _ in range(2))
    for name, table in one.items():
        for key, values in vars(table).items():
            if key != "neighbours":
                np.testing.assert_array_equal(values, getattr(other[name], key))
        for key, values in vars(table.neighbours).items() if table.neighbours else ():
            np.testing.assert_array_equal(values, getattr(other[name].neighbours, key))


def test_a_neighbour_that_outshines_the_target(response):
    def change(stars):
        return [replace(stars[0], tmag=13.0), replace(stars[1], tmag=9.5), *stars[2:]]

    stamp = simulate_stamp(with_stars(change, 1500))
    usable = (stamp.quality == 0) & np.isfinite(stamp.time)
    table = measured(stamp, response).tables["linpsf"]
    away = (table.flux - stamp.star_flux[:, 0])[usable]
    assert np.mean(away) / stamp.star_flux[0, 0] == pytest.approx(0.0, abs=0.03)
    assert np.std(away / table.flux_err[usable]) < 1.15


def test_what_there_is_not_is_refused(response):
    stamp = simulate_stamp(setup(n_times=3))
    with pytest.raises(ValueError, match="method 'halo' is none of psf, linpsf, aperture"):
        measured(stamp, response, MeasureOptions(methods=("halo",)))
    lost = replace(stamp.setup.stars[0], x=np.nan)
    setup_lost = replace(stamp.setup, stars=(lost, *stamp.setup.stars[1:]))
    with pytest.raises(ValueError, match="no place"):
        measured(replace(stamp, setup=setup_lost), response)


def test_a_star_outside_of_the_stamp_counts(response):
    def beside(stars):
        return [stars[0], StampStar(7, 5.0, 12.0, 8.0), *stars[2:]]

    stamp = simulate_stamp(with_stars(beside, 400))
    made = measured(stamp, response)
    assert 1 in made.scene.rows
    usable = (stamp.quality == 0) & np.isfinite(stamp.time)
    flux = made.tables["linpsf"].flux[usable]
    assert np.mean(flux) == pytest.approx(stamp.star_flux[0, 0], rel=3e-3)


def test_sums_lose_the_background_where_none_was_subtracted(response):
    stamp = simulate_stamp(setup(n_times=400, rays=0.0, missing=0.0))
    sky = 40.0 + 10.0 * np.sin(np.arange(400) / 30.0)
    bright = replace(stamp, flux=(stamp.flux + sky[:, None, None]).astype(np.float32))
    tables = []
    for one, subtracted in ((stamp, False), (bright, True)):
        options = MeasureOptions(methods=("aperture",), aperture_background=subtracted)
        tables.append(measured(one, response, options).tables["aperture"])
    good = stamp.quality == 0
    np.testing.assert_allclose(tables[1].background[good], sky[good], atol=2.0)
    light = [np.median(table.flux[good]) for table in tables]
    assert light[1] == pytest.approx(light[0], rel=3e-3)
    assert (tables[1].flux_err > tables[0].flux_err)[good].mean() > 0.9
