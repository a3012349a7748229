from dataclasses import replace
from types import GeneratorType

import numpy as np
import pytest

from gaiaflux.sim.tess.ccd import exposure_s, frames, simulate_ccd
from gaiaflux.sim.tess.ccd_presets import benchmark_ccd, demo_ccd
from gaiaflux.sim.tess.ccd_setup import CcdSetup, camera_centre
from gaiaflux.sim.tess.ccd_sky import GLOW_FROM, SkySetup
from gaiaflux.sim.tess.ccd_stars import MARGIN
from gaiaflux.sim.tess.response import Response
from gaiaflux.sim.tess.stamp import LIVE, READ_VARIANCE_120, SATURATION
from gaiaflux.sim.tess.stars import StampStar, tess_flux

DARK = SkySetup(0.0, 0.0, 0.0, 0.0, 0.0)


def setup(**changes):
    return replace(CcdSetup(shape=(96, 112), n_times=12), **changes)


@pytest.fixture(scope="module")
def demo():
    return simulate_ccd(demo_ccd())


@pytest.mark.parametrize("cadence", [1800.0, 600.0, 200.0])
def test_noise_is_that_of_photons_and_readout(cadence):
    ccd = simulate_ccd(setup(cadence_s=cadence, rays=0.0, seed=4))
    made = [ccd.frame(k) for k in range(12)]
    truth = np.array([frame.stars + frame.sky for frame in made])
    residual = np.array([frame.flux for frame in made]) - truth
    variance = truth / (LIVE * cadence) + READ_VARIANCE_120 * 120.0 / cadence
    chi2 = residual**2 / variance
    n = chi2.size
    assert chi2.mean() == pytest.approx(1.0, abs=4 * np.sqrt(2 / n))
    # In bright pixels and in faint ones.
    for part in (truth > np.percentile(truth, 98), truth < np.percentile(truth, 20)):
        assert chi2[part].mean() == pytest.approx(1.0, abs=4 * np.sqrt(2 / part.sum()))
    pulls = residual / np.array([frame.flux_err for frame in made])
    assert np.std(pulls) == pytest.approx(1.0, abs=0.01)
    assert abs(residual.mean() / np.sqrt(variance.mean() / n)) < 4


def test_errors_are_those_that_the_mission_states():
    frame = simulate_ccd(setup()).frame(0)
    stated = np.sqrt(np.maximum(frame.flux, 0) / 1343.0 + 0.0395)
    np.testing.assert_allclose(frame.flux_err, stated, rtol=0.02)


def test_without_mitigation_there_are_rays_and_less_noise():
    with_it, without = (simulate_ccd(setup(mitigated=one, n_times=4, stars=())) for one in (True, False))
    assert exposure_s(with_it.setup) == pytest.approx(1425.6)
    assert exposure_s(without.setup) == pytest.approx(1782.0)
    made = [[ccd.frame(k) for k in range(4)] for ccd in (with_it, without)]
    hit = [np.mean([frame.hit.mean() for frame in one]) for one in made]
    rays = without.setup.rays * 1800.0
    assert rays < hit[1] < 6 * rays
    assert 0 < hit[0] < 0.05 * hit[1]
    noise = [
        np.std(np.concatenate([(frame.flux - frame.stars - frame.sky)[~frame.hit] for frame in one])) for one in made
    ]
    light = np.mean([frame.stars + frame.sky for frame in made[1]])
    expected = [np.sqrt(light / (live * 1800.0) + READ_VARIANCE_120 / 15.0) for live in (LIVE, 0.99)]
    np.testing.assert_allclose(noise, expected, rtol=0.02)
    strikes = np.concatenate([(frame.flux - frame.stars - frame.sky)[frame.hit] for frame in made[1]])
    assert 0.1 < np.median(strikes) < 3.0


def test_stars_move_as_the_motion_says():
    """Isolated stars in two frames, against a turn about the camera's centre and light that are made here."""
    places = [(x, y) for x in (20.0, 90.0) for y in (20.0, 75.0)]
    stars = tuple(StampStar(k + 1, x + 0.2 * k, y - 0.3 * k, 9.0) for k, (x, y) in enumerate(places))
    ccd = simulate_ccd(
        setup(stars=stars, density=0.0, sky=DARK, roll_rad=2e-4, stretch=1e-4, orbit_d=0.5, first_column=44)
    )
    motion, (x0, y0) = ccd.motion, camera_centre(ccd.setup)
    assert x0 > 2092
    assert y0 > 2047
    a, b = 0, 5
    assert not motion.dump[[a, b]].any()
    images = [ccd.star_light(k) for k in (a, b)]
    for star in stars:
        x, y = star.x + 44, star.y + ccd.setup.first_row
        expected = []
        for k in (a, b):
            turned = np.exp(1j * motion.turn[k]) * (1 + motion.stretch[k]) * complex(x - x0, y - y0)
            expected.append(complex(x0, y0) + turned + complex(*motion.shift[k]))
        assert abs(expected[1] - expected[0] - complex(*(motion.shift[b] - motion.shift[a]))) > 0.05
        i, j = round(star.x), round(star.y)
        response = Response.at(x, y)
        for image, at in zip(images, expected, strict=True):
            place = np.array([at.real - 44 - i + 10]), np.array([at.imag - ccd.setup.first_row - j + 10])
            light = tess_flux(9.0) * response.light(*place, (21, 21))[0]
            np.testing.assert_allclose(image[j - 10 : j + 11, i - 10 : i + 11], light, atol=1e-8 * tess_flux(9.0))
        k = star.starid - 1
        np.testing.assert_allclose(
            [ccd.star_places(b)[0][k] + 44, ccd.star_places(b)[1][k] + ccd.setup.first_row],
            [expected[1].real, expected[1].imag],
            atol=1e-9,
        )


def test_the_pointing_is_quiet_but_for_dumps():
    ccd = simulate_ccd(setup(n_times=1200, density=0.0))
    motion = ccd.motion
    quiet = ~motion.dump
    steps = np.median(np.abs(np.diff(motion.shift[quiet], axis=0)), axis=0) * 1.4826
    np.testing.assert_allclose(steps, 0.005, rtol=0.15)
    assert 0.3 < np.ptp(motion.shift[quiet], axis=0).max() < 1.5
    assert 8 <= motion.dump.sum() <= 25
    np.testing.assert_array_equal(ccd.quality, np.where(motion.dump, 32, 0))
    moved = np.hypot(*motion.path.T)
    assert moved[motion.dump].min() > 0.3
    assert not moved[quiet].any()
    place = (np.array([44.0]), np.array([0.0]))
    corner = np.ravel([motion.moved(k, *place) for k in range(1200)]).reshape(1200, 2) - motion.shift
    assert 0.01 < np.ptp(corner[quiet], axis=0).max() < 0.3


def test_light_of_a_dump_is_smeared():
    star = (StampStar(1, 50.0, 50.0, 10.0),)
    ccd = simulate_ccd(setup(stars=star, density=0.0, dump_every_d=0.1, sky=DARK))
    dump, quiet = int(np.nonzero(ccd.motion.dump)[0][0]), int(np.nonzero(~ccd.motion.dump)[0][0])
    images = ccd.star_light(dump), ccd.star_light(quiet)
    assert images[0].sum() == pytest.approx(images[1].sum(), rel=1e-3)
    # Against the light at very many places along the path.
    along = np.linspace(-0.5, 0.5, 401)[:, None] * ccd.motion.path[dump]
    x, y = (one[0] for one in ccd.star_places(dump))
    response = Response.at(50.0 + ccd.setup.first_column, 50.0 + ccd.setup.first_row)
    light = tess_flux(10.0) * response.light(x + along[:, 0], y + along[:, 1], images[0].shape).mean(axis=0)
    np.testing.assert_allclose(images[0], light, atol=1e-3 * light.max())


def test_there_are_as_many_stars_as_are_asked_for():
    ccd = simulate_ccd(setup(shape=(300, 300), stars=(StampStar(7, 100.3, 150.2, 9.0),), clear_pix=8.0))
    stars = ccd.catalogued
    area = (300 + 2 * MARGIN) ** 2
    assert stars.listed.sum() == pytest.approx(0.01 * area, rel=0.1)
    assert (stars.tmag < 13).sum() == pytest.approx(0.001 * area, rel=0.35)
    assert (stars.tmag[~stars.listed] > 16).all()
    assert stars.tmag[1:].min() >= 8
    assert stars.starid[0] == 7
    assert stars.listed[0]
    assert len(set(stars.starid)) == len(stars.starid)
    assert np.hypot(stars.x[1:] - 100.3, stars.y[1:] - 150.2).min() >= 8.0
    np.testing.assert_allclose(stars.flux, [tess_flux(one) for one in stars.tmag])


def test_light_is_all_there():
    ccd = simulate_ccd(setup(sky=DARK))
    x, y = ccd.star_places(3)
    inside = (x > 8) & (x < 103) & (y > 8) & (y < 87)
    image, others = ccd.star_light(3), replace(ccd, shapes=ccd.shapes * np.where(inside, 0.0, 1.0)[:, None, None])
    others.shapes[:, :, 3:] = ccd.shapes[:, :, 3:]
    assert (image - others.star_light(3)).sum() == pytest.approx(ccd.star_flux(3)[inside].sum(), rel=3e-4)


def test_the_sky_is_what_is_asked_for(demo):
    x0, y0 = demo.motion.centre
    levels = []
    for k in range(demo.setup.n_times):
        light = demo.sky_at(k, np.array([1000]), np.array([1000]))
        levels.append(float(light.steady[0, 0] + light.scattered[0, 0]))
    levels = np.array(levels)
    assert np.percentile(levels, 10) == pytest.approx(95, abs=15)
    late = np.nonzero(np.diff(demo.cadenceno) > 3)[0][0]
    assert levels[late] > 500
    assert np.argmax(levels) in (late, late + 1, len(levels) - 1)
    # Glow begins where it is said and is steep.
    dark = demo.setup.sky
    flat = replace(demo, setup=replace(demo.setup, sky=replace(dark, glow=0.0)))
    columns, rows = np.arange(44, 2092, 8), np.arange(0, 2048, 8)
    glow = demo.sky_at(50, columns, rows).steady - flat.sky_at(50, columns, rows).steady
    radius = np.hypot(columns[None] - x0, rows[:, None] - y0)
    assert not glow[radius < GLOW_FROM].any()
    assert (glow[radius > GLOW_FROM] > 0).all()
    assert glow.max() == pytest.approx(dark.glow, rel=0.15)
    assert glow[np.abs(radius - 2700) < 30].max() < 0.3 * dark.glow


def test_pixels_and_straps_see_the_sky_in_their_own_way(demo):
    # Dark of orbit, and bright: the same columns, by more where more is scattered.
    late = int(np.nonzero(np.diff(demo.cadenceno) > 3)[0][0])
    smooth = [sum(demo.sky_at(k, demo.columns, demo.rows)) for k in (30, late)]
    seen = [demo.frame(k).sky for k in (30, late)]
    ratio = [np.median(one / light, axis=0) - 1 for one, light in zip(seen, smooth, strict=True)]
    straps = demo.response.straps > 0
    assert 4 <= straps.sum() <= 8
    assert (ratio[0][straps] > 0.002).all()
    assert (ratio[1][straps] > 1.1 * ratio[0][straps]).all()
    assert ratio[1].max() < 0.06
    np.testing.assert_allclose(ratio[0][~straps], 0, atol=1e-3)
    others = (seen[1] / smooth[1])[:, ~straps] - 1
    assert np.std(others) == pytest.approx(demo.setup.sky.response, rel=0.03)


def test_frames_come_in_order_with_gaps(demo):
    assert demo.cadenceno[0] == 0
    steps = np.diff(demo.cadenceno)
    gap = round(demo.setup.gap_d * 48)
    assert sorted(steps[steps > 1].tolist()) == [2, 2, gap + 1]
    np.testing.assert_allclose(demo.btjd, demo.setup.start_btjd + demo.cadenceno / 48.0, atol=1e-9)


def test_some_frames_are_empty_or_of_another_place(demo):
    zero = demo.frame(33)
    assert zero.quality == 0
    assert not zero.flux.any()
    assert zero.stars.max() > 1e4
    safe, before = demo.frame(88), demo.frame(87)
    assert safe.quality == 2
    assert (safe.stars > 100).sum() > 0.5 * (before.stars > 100).sum()
    dim = (safe.stars < 3000) & (before.stars < 3000)
    assert abs(np.corrcoef(safe.stars[dim], before.stars[dim])[0, 1]) < 0.15


def test_stars_change_as_they_are_told(demo):
    ids = demo.catalogued.starid.tolist()
    eclipses, transits, sine = (demo.relative[:, ids.index(one)] for one in (1002, 2001, 3001))
    assert eclipses.min() == pytest.approx(0.73, abs=0.03)
    assert transits.min() == pytest.approx(0.99, abs=1e-9)
    assert np.ptp(sine) == pytest.approx(0.08, abs=0.002)
    assert (demo.relative[:, [ids.index(1001), ids.index(4001)]] == 1).all()
    # In the pixels: the light of the star's middle, against its light in the quiet.
    k = int(np.argmin(transits))
    x, y = round(demo.catalogued.x[ids.index(2001)]), round(demo.catalogued.y[ids.index(2001)])
    still = replace(demo, relative=np.ones_like(demo.relative))
    part = np.s_[y - 2 : y + 3, x - 2 : x + 3]
    change = (demo.star_light(k)[part] - still.star_light(k)[part]).sum() / still.star_light(k)[part].sum()
    assert change == pytest.approx(-0.01, abs=3e-4)


def test_a_saturated_star_fills_its_column(demo):
    image = demo.star_light(20)
    assert image.max() == SATURATION
    full = np.nonzero(image == SATURATION)
    assert len(full[0]) >= 8
    assert np.ptp(full[0]) > 2 * np.ptp(full[1])
    assert demo.frame(20).flux.max() < SATURATION + 1000


def test_frames_are_the_same_in_any_order():
    first = list(frames(setup(n_times=3)))
    assert isinstance(frames(setup()), GeneratorType)
    again = simulate_ccd(setup(n_times=3))
    for k in (2, 0):
        frame = again.frame(k)
        np.testing.assert_array_equal(frame.flux, first[k].flux)
        np.testing.assert_array_equal(frame.flux_err, first[k].flux_err)
        assert (frame.btjd, frame.cadenceno, frame.quality) == (first[k].btjd, first[k].cadenceno, first[k].quality)
    other = simulate_ccd(setup(n_times=3, seed=2)).frame(0)
    assert np.mean(other.flux != first[0].flux) > 0.99


@pytest.mark.parametrize(("cadence", "sector"), [(1800.0, 1), (600.0, 27), (200.0, 56)])
def test_benchmarks_have_stars_of_all_kinds(cadence, sector):
    made = benchmark_ccd(40, (160, 128), cadence)
    assert made.sector == sector
    ccd = simulate_ccd(made)
    placed = {star.starid: star for star in made.stars}
    assert [placed[k].tmag for k in range(1, 7)] == [8, 9, 10, 11, 12, 13]
    assert np.hypot(placed[11].x - placed[12].x, placed[11].y - placed[12].y) == pytest.approx(0.8)
    ids = ccd.catalogued.starid.tolist()
    assert (ccd.relative[:, [ids.index(one) for one in (61, 71, 81)]].min(axis=0) < 0.996).all()
    for k in range(1, 7):
        distance = np.hypot(ccd.catalogued.x - placed[k].x, ccd.catalogued.y - placed[k].y)
        assert np.sort(distance)[1] >= made.clear_pix
    assert ccd.frame(0).flux.shape == (160, 128)
    assert 1 <= ccd.motion.dump.sum() <= 10 * 1800 / cadence
