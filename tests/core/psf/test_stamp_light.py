import numpy as np
import pytest

from gaiaflux.core.psf.sampled import sampled_psf
from gaiaflux.core.psf.stamp_light import mean_stamp_light, shape_tables, stamp_light, star_tables
from gaiaflux.core.psf.stamps import make_stamps
from gaiaflux.sim.tess.response import Response, response_grid

SHAPE = (11, 12)
COLUMN, ROW = 1200.0, 700.0


@pytest.fixture(scope="module")
def response():
    samples, columns, rows = response_grid()
    return sampled_psf(samples, 9, columns, rows, (2048, 2092))


def test_the_light_is_that_of_the_function_in_closed_form(response):
    column, row = response.x[2], response.y[3]
    x, y = np.array([5.3, 4.1, -1.7, 13.2]), np.array([4.8, 10.7, 3.0, -2.4])
    made = stamp_light(star_tables(response, np.full(4, column), np.full(4, row)), x, y, SHAPE)
    true = Response.at(column, row).light(x, y, SHAPE)
    inside = (np.abs(np.arange(12) - x[:, None]) < 6)[:, None, :] & (np.abs(np.arange(11) - y[:, None]) < 6)[:, :, None]
    np.testing.assert_allclose(made.light[inside], true[inside], atol=3e-4)  # of a peak of 0.35
    assert true[2:].max() > 1e-4  # stars outside of the stamp put light into it


def test_it_agrees_with_the_stamps_of_any_frame(response):
    x, y = np.array([5.37, 1200.2]), np.array([700.9, 4.2])
    stamps = make_stamps(response, x, y, 5.0)
    for k in range(2):
        corner = stamps.column[k] - 5, stamps.row[k] - 5
        tables = star_tables(response, x[k], y[k])
        made = stamp_light(tables, x[k : k + 1] - corner[0], y[k : k + 1] - corner[1], (11, 11)).light[0]
        seen = stamps.values[k] != 0
        np.testing.assert_allclose(made[seen], stamps.values[k][seen], atol=1e-7)


def test_derivatives(response):
    tables = star_tables(response, [COLUMN], [ROW])
    x, y, step = np.array([5.13]), np.array([4.71]), 1e-5
    made = stamp_light(tables, x, y, SHAPE)
    for part, dx, dy in ((made.along_x, step, 0.0), (made.along_y, 0.0, step)):
        up, down = (stamp_light(tables, x + s * dx, y + s * dy, SHAPE).light for s in (1, -1))
        np.testing.assert_allclose(part, (up - down) / (2 * step), atol=1e-6)


def test_several_places_and_the_mean_of_shifted_frames(response):
    tables = star_tables(response, [COLUMN, 60.0], [ROW, 2000.0])
    x, y = np.array([5.0, 3.3]), np.array([5.5, 8.1])
    shifts, share = np.array([[0.1, -0.2], [0.0, 0.3], [-0.4, 0.0]]), np.array([0.5, 0.2, 0.3])
    each = stamp_light(tables, x + shifts[:, :1], y + shifts[:, 1:], SHAPE)
    mean = mean_stamp_light(tables, x, y, shifts, share, SHAPE)
    assert each.light.shape == (3, 2, *SHAPE)
    np.testing.assert_allclose(mean.light, np.tensordot(share, each.light, 1), atol=1e-12)
    np.testing.assert_allclose(mean.along_y, np.tensordot(share, each.along_y, 1), atol=1e-12)
    single = stamp_light(tables.of(np.array([1])), x[1:], y[1:], SHAPE)
    np.testing.assert_array_equal(single.light[0], stamp_light(tables, x, y, SHAPE).light[1])


def test_a_star_far_away_has_no_light_there(response):
    made = stamp_light(star_tables(response, [COLUMN], [ROW]), np.array([40.0]), np.array([-30.0]), SHAPE)
    assert not made.light.any()
    assert star_tables(response, [COLUMN], [ROW]).edge == pytest.approx(58 / 9)


def test_shapes_lead_to_other_places_of_the_field(response):
    here = star_tables(response, [COLUMN], [ROW])
    there = star_tables(response, [COLUMN + 50.0], [ROW - 30.0])
    led = here.reshaped(shape_tables(response, COLUMN, ROW), np.array([50.0, -30.0]) / 256.0)
    at = np.array([5.2]), np.array([4.9]), SHAPE
    change = np.abs(stamp_light(there, *at).light - stamp_light(here, *at).light).max()
    np.testing.assert_allclose(stamp_light(led, *at).light, stamp_light(there, *at).light, atol=0.2 * change)
    assert change > 1e-4


@pytest.mark.parametrize("place", [np.nan, np.inf])
def test_a_place_that_is_not_finite_is_refused(response, place):
    with pytest.raises(ValueError, match="not finite"):
        star_tables(response, [place], [10.0])


def test_places_must_belong_to_the_stars(response):
    with pytest.raises(ValueError, match="3 places for 1 stars"):
        stamp_light(star_tables(response, [COLUMN], [ROW]), np.zeros(3), np.zeros(3), SHAPE)
