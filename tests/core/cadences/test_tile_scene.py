import numpy as np
import pytest

from gaiaflux.core.cadences.scene import SceneStars
from gaiaflux.core.cadences.tile_scene import solve_tile

SHAPE = (72, 80)


@pytest.fixture(scope="module")
def catalog(ccd_image):
    """Function: what a catalogue to T 16 says of an image's stars."""

    def make(sky, place_err, shift=(0.0, 0.0), seed=0, faintest=16.0):
        rng = np.random.default_rng(seed)
        rows = np.flatnonzero(sky.tmag < faintest)
        light, n = ccd_image.light(sky.tmag[rows]), len(rows)
        x = sky.x[rows] + shift[0] + place_err * rng.normal(size=n)
        y = sky.y[rows] + shift[1] + place_err * rng.normal(size=n)
        promised = light * (1 + 0.05 * rng.normal(size=n))
        return rows, SceneStars(x, y, promised, 0.05 * light, np.full(n, max(place_err, 1e-3)))

    return make


def inside(sky, rows):
    x, y = sky.x[rows], sky.y[rows]
    return (x > 2) & (y > 2) & (x < SHAPE[1] - 3) & (y < SHAPE[0] - 3)


@pytest.mark.parametrize(("place_err", "shift"), [(0.0, (0.0, 0.0)), (0.02, (0.4, -0.3))])
def test_light_places_and_errors_are_true(ccd_image, ccd_psf, catalog, place_err, shift):
    sky = ccd_image.crowded_image(SHAPE, 91)
    rows, stars = catalog(sky, place_err, shift)
    made = solve_tile(sky.image, sky.variance, stars, ccd_psf, ccd_image.CORNER)
    np.testing.assert_allclose(made.common, -np.array(shift), atol=0.01)
    light, mag, use = ccd_image.light(sky.tmag[rows]), sky.tmag[rows], inside(sky, rows)
    off, pull = made.flux / light - 1, (made.flux - light) / made.flux_err
    assert np.median(np.abs(off[use & (mag < 11)])) < 0.003
    assert np.median(np.abs(off[use & (mag < 13)])) < 0.01
    faint = use & (mag > 14)
    assert np.std(off[faint]) < 0.2
    for part in (use & (mag < 13), faint):
        assert 0.4 < np.sqrt(np.mean(np.clip(pull[part], -5, 5) ** 2)) < 1.4
    away = np.hypot(made.x - sky.x[rows], made.y - sky.y[rows])
    assert np.median(away[use & (mag < 11)]) < 0.01
    np.testing.assert_allclose(made.light + made.sky + made.residual, sky.image, atol=0.05)


@pytest.mark.parametrize("place_err", [0.0, 0.02])
def test_light_of_pairs(ccd_image, ccd_psf, catalog, place_err):
    """Pairs at least a pixel apart and of two magnitudes at most: the mean light is true to 0.5 %.

    That of a star two magnitudes fainter at one pixel, with a false place, only to 1 %: a hundredth of the brighter
    one's light is 6 % of its own.
    """
    rng, grid = np.random.default_rng(17), np.arange(10.0, 72.0, 15.0)
    offs = []
    for turn, (apart, fainter) in enumerate([(1.0, 0.0), (1.0, 2.0), (1.5, 1.0), (2.5, 2.0)]):
        x, y = (values.ravel() for values in np.meshgrid(grid, grid[:4]))
        x, y = x + rng.uniform(-0.5, 0.5, len(x)), y + rng.uniform(-0.5, 0.5, len(x))
        angle = rng.uniform(0, 2 * np.pi, len(x))
        sky = ccd_image.sky_image(
            np.append(x, x + apart * np.cos(angle)),
            np.append(y, y + apart * np.sin(angle)),
            np.repeat([9.5, 9.5 + fainter], len(x)),
            SHAPE,
            turn,
        )
        _, stars = catalog(sky, place_err, seed=turn)
        made = solve_tile(sky.image, sky.variance, stars, ccd_psf, ccd_image.CORNER)
        offs.append((made.flux / ccd_image.light(sky.tmag) - 1).reshape(2, -1).mean(axis=1))
    bias = np.abs(offs)
    assert bias[:, 0].max() < 0.005
    assert bias[[0, 2, 3], 1].max() < 0.005
    assert bias[1, 1] < (0.01 if place_err else 0.005)


def test_faint_stars_keep_the_light_that_the_catalogue_says(ccd_image, ccd_psf):
    """A star far below the noise, and one upon a bright one whose function is not exact."""
    sky = ccd_image.sky_image([30.0, 50.0, 31.3], [30.0, 40.0, 30.4], [8.0, 12.0, 15.0], SHAPE, 3)
    light = ccd_image.light([8.0, 12.0, 15.0])
    promised = np.append(light, 0.5)
    x, y = np.append(sky.x, 60.0), np.append(sky.y, 60.0)
    stars = SceneStars(x, y, promised, 0.05 * promised, np.full(4, 0.02))
    psf = ccd_image.response_psf((250, -150))
    made = solve_tile(sky.image, sky.variance, stars, psf, ccd_image.CORNER)
    assert made.flux[3] == pytest.approx(0.5, abs=0.25)
    assert made.flux[2] == pytest.approx(light[2], rel=0.5)
    np.testing.assert_allclose(made.flux[:2], light[:2], rtol=0.01)


def test_a_star_that_the_catalogue_has_not_harms_no_other(ccd_image, ccd_psf, catalog):
    sky = ccd_image.crowded_image(SHAPE, 93)
    bare = solve_tile(sky.image, sky.variance, catalog(sky, 0.0)[1], ccd_psf, ccd_image.CORNER)
    whole = catalog(sky, 0.0)[1]
    lone = np.flatnonzero((whole.x > 10) & (whole.x < 70) & (whole.y > 10) & (whole.y < 60) & (whole.flux < 5e3))
    gone = lone[np.argmax(whole.flux[lone])]
    kept = np.delete(np.arange(len(whole)), gone)
    made = solve_tile(sky.image, sky.variance, whole.of(kept), ccd_psf, ccd_image.CORNER)
    column, row = int(np.rint(whole.x[gone])), int(np.rint(whole.y[gone]))
    assert made.unused[row, column]
    assert not bare.unused[row, column]
    far = np.hypot(whole.x[kept] - whole.x[gone], whole.y[kept] - whole.y[gone]) > 5.0
    bright = far & (whole.flux[kept] > 1e3)
    np.testing.assert_allclose(made.flux[bright], bare.flux[kept][bright], rtol=0.02)


def test_without_a_promise_and_without_pixels(ccd_image, ccd_psf):
    sky = ccd_image.sky_image([30.0, 50.0], [30.0, 40.0], [10.0, 12.0], SHAPE, 3)
    x, y = np.append(sky.x, 300.0), np.append(sky.y, 30.0)
    flux = np.array([ccd_image.light(10.0), np.nan, 40.0])
    stars = SceneStars(x, y, flux, np.full(3, np.nan), np.full(3, 0.02))
    image = sky.image.copy()
    image[5, 6] = np.nan
    made = solve_tile(image, sky.variance, stars, ccd_psf, ccd_image.CORNER)
    np.testing.assert_allclose(made.flux[:2], ccd_image.light(sky.tmag), rtol=0.01)
    assert np.isnan(made.flux[2])
    assert np.isinf(made.flux_err[2])
    assert made.unused[5, 6]


def test_what_cannot_be_solved_is_refused(ccd_psf):
    no = np.zeros(0)
    stars = SceneStars(no, no, no, no, no)
    with pytest.raises(ValueError, match="differ in shape"):
        solve_tile(np.zeros((5, 5), np.float32), np.zeros((5, 6)), stars, ccd_psf, (0, 0))
    with pytest.raises(ValueError, match="only 0 pixels"):
        solve_tile(np.full((9, 9), np.nan, np.float32), np.ones((9, 9)), stars, ccd_psf, (0, 0))
    made = solve_tile(np.full((9, 9), 7, np.float32), np.ones((9, 9)), stars, ccd_psf, (0, 0))
    np.testing.assert_allclose(made.sky, 7.0, rtol=1e-5)
