from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.core.cadences.frames import MeanImage, shift_cells
from gaiaflux.core.cadences.scene import SceneStars
from gaiaflux.core.cadences.static_scene import StaticOptions, solve_static
from gaiaflux.core.psf.stamp_light import mean_stamp_light, shape_tables, star_tables

SHAPE = (11, 11)
X, Y = np.array([5.1, 6.4, 2.0, 9.0]), np.array([4.9, 5.7, 8.8, 13.0])
FLUX = np.array([9000.0, 4000.0, 300.0, 2000.0])
CORNER = 1200.0, 700.0


@pytest.fixture(scope="module")
def made(response):
    """Mean of frames that drift by half a pixel, without noise."""
    tables = star_tables(response, CORNER[0] + X, CORNER[1] + Y)
    shapes = shape_tables(response, CORNER[0] + X[0], CORNER[1] + Y[0])
    shift = np.column_stack([np.linspace(-0.5, 0.0, 400), np.linspace(0.2, 0.0, 400)])
    cells = shift_cells(shift, np.ones(400, bool), 1 / 16)

    def image(common=(0.0, 0.0), own=0.0, background=2.0):
        x, y = X + common[0], Y + common[1]
        x[1] += own
        light = mean_stamp_light(tables, x, y, shift, np.full(400, 1 / 400), SHAPE).light
        total = np.tensordot(FLUX, light, 1) + background
        return MeanImage(total, np.full(SHAPE, 400), total / 90 + 1.5)

    return image, cells, tables, shapes


def catalogue(factor=1.0, position_err=0.02):
    flux = FLUX * factor
    return SceneStars(X, Y, flux, 0.05 * flux, np.full(4, position_err))


def solve(made, mean, stars, **options):
    _, cells, tables, shapes = made
    return solve_static(mean, cells, stars, tables, shapes, StaticOptions(**options))


@pytest.mark.parametrize("common", [(0.0, 0.0), (0.3, -0.2), (-1.2, 0.9)])
def test_light_and_common_shift_are_found(made, common):
    scene = solve(made, made[0](common), catalogue(1.05))
    np.testing.assert_allclose([scene.x - X, scene.y - Y], np.repeat(np.transpose([common]), 4, axis=1), atol=2e-3)
    np.testing.assert_allclose(scene.flux[:2], FLUX[:2], rtol=2e-3)
    np.testing.assert_allclose(scene.flux[2:], FLUX[2:], rtol=0.03)
    assert scene.background == pytest.approx(2.0, abs=0.05)
    assert scene.chi2 < 0.5
    assert np.abs(scene.model - made[0](common).image).max() < 1.0
    assert (scene.flux_err > 0).all()


def test_a_star_that_is_off_among_the_others_is_found(made):
    scene = solve(made, made[0](own=0.05), catalogue(position_err=0.05))
    assert scene.x[1] - scene.x[0] - (X[1] - X[0]) == pytest.approx(0.05, abs=3e-3)
    bound = solve(made, made[0](own=0.05), catalogue(position_err=1e-4))
    assert abs(bound.x[1] - bound.x[0] - (X[1] - X[0])) < 0.02


def test_the_function_of_another_place_is_recognised(made, response):
    image, cells, _, _ = made
    tables = star_tables(response, CORNER[0] + 200 + X, CORNER[1] + Y)
    shapes = shape_tables(response, CORNER[0] + 200 + X[0], CORNER[1] + Y[0])
    scene = solve_static(image(), cells, catalogue(), tables, shapes, StaticOptions())
    assert scene.shape[0] == pytest.approx(-200 / 256, abs=0.1)
    held = solve_static(image(), cells, catalogue(), tables, shapes, StaticOptions(field_err=1e-6))
    assert scene.chi2 < 0.2 * held.chi2
    assert abs(scene.flux[0] / FLUX[0] - 1) < 5e-3


def test_faint_stars_keep_to_the_catalogue(made):
    mean = made[0]()
    faint = replace(mean, variance=mean.variance * 1e6)
    scene = solve(made, faint, catalogue(0.8))
    assert scene.flux[2] == pytest.approx(0.8 * FLUX[2], rel=0.02)
    unknown = replace(catalogue(), flux=np.array([9000.0, 4000.0, np.nan, 2000.0]))
    assert solve(made, mean, unknown).flux[2] == pytest.approx(FLUX[2], rel=0.05)


def test_gaps_do_no_harm(made):
    mean = made[0]()
    image = mean.image.copy()
    image[5, 5] = np.nan
    image[:, 0] = np.nan
    scene = solve(made, replace(mean, image=image), catalogue())
    np.testing.assert_allclose(scene.flux[:2], FLUX[:2], rtol=5e-3)
    with pytest.raises(ValueError, match="no pixel of the stamp"):
        solve(made, replace(mean, image=np.full(SHAPE, np.nan)), catalogue())
