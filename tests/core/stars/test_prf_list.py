import numpy as np
import pytest

from gaiaflux.core.stars.prf_list import PrfListOptions, find_prf_stars
from gaiaflux.model.flags import PixelFlag, StarFlag

SHAPE = (96, 96)
SEEDS = 71, 72


@pytest.fixture(scope="module")
def fields(ccd_image):
    """Crowded fields, each with the function of another place of the CCD: none knows the function exactly."""
    made = []
    for seed, shift in zip(SEEDS, ((0, 0), (300, -200)), strict=True):
        sky = ccd_image.crowded_image(SHAPE, seed)
        made.append((sky, find_prf_stars(sky.image, sky.variance, ccd_image.response_psf(shift), ccd_image.CORNER)))
    return made


def matched(sky, stars):
    """Row of the brightest found star within a pixel of each true one, -1 without any."""
    apart = np.hypot(np.subtract.outer(sky.x, stars.x), np.subtract.outer(sky.y, stars.y))
    near = apart < 1.0
    return np.where(near.any(axis=1), np.argmax(near, axis=1), -1)


def inside(sky, margin=2.0):
    ny, nx = SHAPE
    return (sky.x > margin) & (sky.y > margin) & (sky.x < nx - 1 - margin) & (sky.y < ny - 1 - margin)


def test_stars_are_found_with_the_light_and_the_errors_that_are_true(fields, ccd_image):
    pulls, offs, places = [], [], []
    for sky, scene in fields:
        stars, rows = scene.stars, matched(sky, scene.stars)
        assert np.all(np.diff(stars.flux) <= 0)
        assert stars.flux.min() > 0
        bright = inside(sky) & (sky.tmag < 13)
        assert np.mean(rows[bright] >= 0) > 0.97
        lone = np.flatnonzero(bright & ccd_image.alone(sky) & (rows >= 0))
        assert len(lone) > 6
        at, light = rows[lone], ccd_image.light(sky.tmag[lone])
        offs.append(stars.flux[at] / light - 1)
        pulls.append((stars.flux[at] - light) / stars.flux_err[at])
        places.append(np.hypot(stars.x[at] - sky.x[lone], stars.y[at] - sky.y[lone]))
        assert np.median(stars.rms[at]) < 0.003
        assert np.abs(np.median(stars.total[at])) < 0.01
    assert np.median(np.abs(np.concatenate(offs))) < 0.004
    assert np.median(np.concatenate(places)) < 0.03
    pull = np.concatenate(pulls)
    assert 0.5 < np.sqrt(np.mean(np.clip(pull, -4, 4) ** 2)) < 1.5


def test_no_companion_is_invented(fields, ccd_image):
    """A found star that is within 1.5 pixels of a brighter one is there, and not of another light altogether."""
    for sky, scene in fields:
        stars = scene.stars
        apart = np.hypot(np.subtract.outer(stars.x, stars.x), np.subtract.outer(stars.y, stars.y))
        second = np.triu((apart < 1.5) & (apart > 0), 1).any(axis=0) & (stars.flags == 0)
        true = np.hypot(np.subtract.outer(stars.x, sky.x), np.subtract.outer(stars.y, sky.y)) < 0.7
        true &= np.abs(np.subtract.outer(ccd_image.tmag(stars.flux), sky.tmag)) < 1.5
        assert second.any()
        assert np.mean(true[second].any(axis=1)) > 0.8


def test_the_parts_are_the_image(fields, ccd_image):
    sky, scene = fields[0]
    level = sky.image - scene.light - scene.residual
    assert np.median(level) == pytest.approx(ccd_image.SKY, abs=4.0)  # faint stars are in it
    assert np.ptp(level) < 6.0
    assert scene.function_error < 0.006
    assert not scene.full.any()


def test_full_wells_are_left_out_and_what_is_near_is_not_believed(ccd_image, ccd_psf):
    x, y, mag = np.array([30.2, 37.0, 52.4, 12.0]), np.array([30.4, 34.0, 50.0, 50.3]), np.array([5.9, 10, 9, 11])
    sky = ccd_image.sky_image(x, y, mag, (64, 64), 5)
    sky.image[22:40, 30] = 98_000.0
    made = find_prf_stars(sky.image, sky.variance, ccd_psf, ccd_image.CORNER)
    assert made.full[22:40, 29:32].all()
    assert made.full.sum() < 100
    rows = [int(np.argmin(np.hypot(made.stars.x - a, made.stars.y - b))) for a, b in zip(x, y, strict=True)]
    assert np.all(made.stars.flags[rows[:2]] & StarFlag.SATURATED)
    assert not np.any(made.stars.flags[rows[2:]])
    np.testing.assert_allclose(made.stars.flux[rows[2:]], ccd_image.light(mag[2:]), rtol=0.01)


def test_the_brightest_star_that_is_not_full_fits(ccd_image, ccd_psf):
    sky = ccd_image.sky_image([20.2, 40.0], [20.6, 38.0], [6.84, 9.0], (60, 60), 6)
    assert sky.image.max() < 9e4
    stars = find_prf_stars(sky.image, sky.variance, ccd_psf, ccd_image.CORNER).stars
    assert stars.flux[0] == pytest.approx(ccd_image.light(6.84), rel=0.003)
    assert stars.flags[0] == 0
    assert stars.largest[0] < 0.003


def test_stars_on_the_edge_and_beyond_are_flagged(ccd_image, ccd_psf):
    sky = ccd_image.sky_image([0.1, 25.0, 30.0], [20.0, -1.0, 30.0], [10.0, 10.0, 10.0], (60, 60), 8)
    stars = find_prf_stars(sky.image, sky.variance, ccd_psf, ccd_image.CORNER).stars
    edge = (stars.flags & StarFlag.EDGE) > 0
    assert edge[np.argmin(np.hypot(stars.x - 0.1, stars.y - 20.0))]
    assert edge[np.argmin(np.hypot(stars.x - 25.0, stars.y + 1.0))]
    middle = np.argmin(np.hypot(stars.x - 30.0, stars.y - 30.0))
    assert not edge[middle]
    assert stars.flux[middle] == pytest.approx(ccd_image.light(10.0), rel=0.006)


def test_bad_pixels_are_left_out(ccd_image, ccd_psf):
    sky = ccd_image.sky_image([30.3], [30.2], [10.0], (60, 60), 9)
    image, variance = sky.image.copy(), sky.variance.copy()
    flags = np.zeros(image.shape, np.uint8)
    image[29, 31], variance[31, 30] = np.nan, 0.0
    image[40, 40], flags[40, 40] = 5e4, PixelFlag.BAD
    made = find_prf_stars(image, variance, ccd_psf, ccd_image.CORNER, flags=flags)
    assert len(made.stars) == 1
    assert made.stars.flux[0] == pytest.approx(ccd_image.light(10.0), rel=0.01)


def test_a_sky_without_stars_has_none(ccd_image, ccd_psf):
    image = np.random.default_rng(3).normal(100, 1, (50, 50)).astype(np.float32)
    made = find_prf_stars(image, np.ones_like(image), ccd_psf, ccd_image.CORNER)
    assert len(made.stars) == 0
    assert made.residual.std() == pytest.approx(1.0, abs=0.1)
    assert not made.light.any()


def test_what_does_not_fit_together_is_refused(ccd_psf):
    with pytest.raises(ValueError, match="differ in shape"):
        find_prf_stars(np.zeros((5, 5), np.float32), np.zeros((5, 6)), ccd_psf, (0, 0), PrfListOptions())
