import numpy as np
import pytest

from gaiaflux.core.cadences.field_scene import solve_field
from gaiaflux.core.cadences.scene import SceneStars
from gaiaflux.core.cadences.tile_scene import solve_tile

SHAPE = (100, 110)


@pytest.fixture(scope="module")
def field(ccd_image):
    sky = ccd_image.crowded_image(SHAPE, 101)
    rows = np.flatnonzero(sky.tmag < 15.5)
    light = ccd_image.light(sky.tmag[rows])
    return sky, SceneStars(sky.x[rows], sky.y[rows], light, 0.05 * light, np.full(len(rows), 0.02))


def test_tiles_agree_with_one_solution_of_all(field, ccd_image, ccd_psf):
    sky, stars = field
    whole = solve_tile(sky.image, sky.variance, stars, ccd_psf, ccd_image.CORNER)
    tiles = solve_field(sky.image, sky.variance, stars, ccd_psf, ccd_image.CORNER, tile_pix=50)
    assert tiles.common.shape == (2, 2, 2)
    np.testing.assert_allclose(tiles.common, np.broadcast_to(whole.common, (2, 2, 2)), atol=0.02)
    seen = np.isfinite(whole.flux)
    assert np.mean(seen) > 0.9
    apart = np.abs(tiles.flux - whole.flux)[seen] / whole.flux_err[seen]
    assert np.median(apart) < 0.2
    assert np.mean(apart < 1.5) > 0.97
    np.testing.assert_allclose(tiles.sky + tiles.light + tiles.residual, sky.image, atol=0.05)


def test_one_tile_is_the_tile(field, ccd_image, ccd_psf):
    sky, stars = field
    one = solve_field(sky.image, sky.variance, stars, ccd_psf, ccd_image.CORNER, tile_pix=500)
    whole = solve_tile(sky.image, sky.variance, stars, ccd_psf, ccd_image.CORNER)
    np.testing.assert_array_equal(one.flux, whole.flux)
    np.testing.assert_array_equal(one.common[0, 0], whole.common)


def test_a_tile_without_pixels_leaves_its_stars_unmeasured(field, ccd_image, ccd_psf):
    sky, stars = field
    image = sky.image.copy()
    image[:, 58:] = np.nan
    made = solve_field(image, sky.variance, stars, ccd_psf, ccd_image.CORNER, tile_pix=36)
    gone = stars.x > 80
    assert np.isnan(made.flux[gone]).all()
    assert np.isinf(made.flux_err[gone]).all()
    assert np.isfinite(made.flux[(stars.x < 50) & (stars.x > 0) & (stars.y > 0) & (stars.y < 99)]).all()
    assert np.isnan(made.common[:, 2]).all()
    assert np.isnan(made.residual[:, 80:]).all()
    with pytest.raises(ValueError, match="differ in shape"):
        solve_field(image, sky.variance[1:], stars, ccd_psf, (0, 0))
