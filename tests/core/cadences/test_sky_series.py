"""Truth: light that rises and falls as that of Earth and Moon does, and noise, frame by frame."""

import numpy as np
import pytest

from gaiaflux.core.cadences.sky_series import SkySeries, smooth_sky
from gaiaflux.core.image.background import Background
from gaiaflux.core.image.ccd_sky import FrameSky, SkyGrid
from gaiaflux.core.image.mesh import subtract_mesh

CADENCE = 1.0 / 48.0


def scattered_light(n, height):
    """Two bumps of a third of a day with steep flanks, an orbit apart, and the turn of the Earth."""
    t = np.arange(n) * CADENCE
    bumps = np.exp(-0.5 * ((t % 13.7 - 12.5) / 0.35) ** 2)
    return t, 92.0 + height * (bumps + 0.1 * np.sin(2 * np.pi * t) ** 2)


def simulated(rng, n, height, sigma, mesh=(6, 6)):
    t, light = scattered_light(n, height)
    truth = light[:, None, None] * (1.0 + 0.3 * rng.random((1, *mesh)))
    return t, truth, truth + rng.normal(0.0, sigma, truth.shape)


def smoothed(level, t, good=None, sigma=0.05, width=3):
    good = np.ones(len(t), bool) if good is None else good
    return smooth_sky(level.astype(np.float32), np.full(level.shape, sigma, np.float32), t, good, CADENCE, width)


def test_a_constant_sky_is_the_mean_of_three_frames():
    rng = np.random.default_rng(1)
    t, truth, level = simulated(rng, 600, 0.0, 0.05)
    value, error = smoothed(level, t)
    assert (value - truth).std() == pytest.approx(0.05 / np.sqrt(3.0), rel=0.12)
    assert ((value - truth) / error).std() == pytest.approx(1.0, abs=0.08)


@pytest.mark.parametrize(("height", "sigma"), [(5.0, 0.05), (100.0, 0.05), (100.0, 0.01)])
def test_rising_light_is_never_worse_than_the_frame_alone(height, sigma):
    rng = np.random.default_rng(2)
    t, truth, level = simulated(rng, 1300, height, sigma)
    value, error = smoothed(level, t, sigma=sigma)
    residual = value - truth
    loud = truth[:, 0, 0] > np.percentile(truth[:, 0, 0], 90)
    assert residual.std() <= 1.02 * sigma
    assert residual[loud].std() <= 1.1 * sigma
    assert (residual / error).std() == pytest.approx(1.0, abs=0.1)
    assert abs(residual[loud].mean()) < 0.1 * sigma
    if height == 100.0:
        nine = np.mean([level[k : len(t) - 8 + k] for k in range(9)], axis=0) - truth[4:-4]
        assert nine.std() > 3.0 * residual.std()


def test_a_bad_frame_that_nobody_knows_does_not_enter_others():
    rng = np.random.default_rng(3)
    t, truth, level = simulated(rng, 300, 0.0, 0.05)
    level[150] += 30.0
    value, _ = smoothed(level, t)
    assert np.abs(value - truth)[[148, 149, 151, 152]].max() < 0.25
    # What the frame has measured is its sky.
    assert np.abs(value[150] - truth[150] - 30.0).max() < 0.25


def test_a_box_that_is_off_in_one_frame_has_what_its_neighbours_say():
    rng = np.random.default_rng(10)
    t, truth, level = simulated(rng, 300, 100.0, 0.05)
    steady = rng.normal(0.0, 3.0, truth.shape[1:])  # stars of each box
    faults = [(150, 2, 3), (10, 5, 5), (200, 0, 2)]
    for fault in faults:
        level[fault] += 20.0
    value, error = smoothed(level + steady, t)
    off = value - truth - steady
    # A corner of the mesh has no neighbours on both sides.
    assert all(abs(off[fault]) < 3.0 for fault in (faults[0], faults[2]))
    assert np.delete(np.abs(off).max(axis=(1, 2)), [10, 150, 200]).max() < 0.4
    assert error[150, 2, 3] > error[100, 2, 3]


def test_frames_that_are_not_good_and_gaps():
    rng = np.random.default_rng(4)
    t, _, level = simulated(rng, 300, 0.0, 0.05)
    t[200:] += 0.5
    level[200:] += 10.0
    good = np.ones(300, bool)
    good[100] = False
    level[100] += 0.2
    value, error = smoothed(level, t, good)
    for kept in (100, 99, 101, 199, 200, 0, 299):
        np.testing.assert_array_equal(value[kept], level[kept].astype(np.float32))
        np.testing.assert_allclose(error[kept], 0.05, rtol=0.15)
    assert np.abs(value[198] - level[198]).max() > 0.0
    assert error[50].mean() < 0.04


def test_unknown_sky_is_that_of_the_neighbours():
    t, _, level = simulated(np.random.default_rng(5), 300, 0.0, 0.05)
    level[:, 1, 1] = 90.0 + np.arange(300.0)
    level[[0, 50, 51]] = np.nan
    level[:, 0, 0] = np.nan
    value, error = smoothed(level, t)
    assert np.isnan(value[:, 0, 0]).all()
    assert np.isnan(error[:, 0, 0]).all()
    assert np.isfinite(np.delete(value.reshape(300, -1), 0, axis=1)).all()
    np.testing.assert_allclose(value[[0, 50, 51], 1, 1], [91.0, 140.0, 141.0], atol=1e-3)
    assert error[50, 1, 1] > 1.0


def test_the_scatter_of_faint_stars_is_no_change_in_time():
    # The error of a box holds its stars; they are the same in every frame.
    rng = np.random.default_rng(6)
    t, truth, level = simulated(rng, 400, 0.0, 0.05)
    value, error = smoothed(level + rng.normal(0.0, 0.5, truth.shape[1:]), t, sigma=0.5)
    assert np.median(error) == pytest.approx(0.05 / np.sqrt(3.0), rel=0.2)
    few, few_error = smoothed(level[:20], t[:20], sigma=0.5)
    assert few_error.min() > 0.2
    assert few.shape == (20, 6, 6)
    assert value.dtype == error.dtype == np.float32


def test_what_has_no_error_and_does_not_change_stays():
    t = np.arange(40) * CADENCE
    value, error = smoothed(np.full((40, 1, 5), 3.0), t, sigma=0.0)
    np.testing.assert_allclose(value, 3.0)
    assert np.abs(error).max() < 1e-6


def test_one_frame_is_not_smoothed_and_other_widths_are_refused():
    t, _, level = simulated(np.random.default_rng(7), 50, 5.0, 0.05)
    np.testing.assert_array_equal(smoothed(level, t, width=1)[0], level.astype(np.float32))
    np.testing.assert_array_equal(smoothed(level[:2], t[:2])[0], level[:2].astype(np.float32))
    with pytest.raises(ValueError, match="1 or 3 frames, not 9"):
        smoothed(level, t, width=9)


def made_series(n, shape=(512, 400), first_row=0):
    rng = np.random.default_rng(8)
    grid = SkyGrid.of(shape, 1, 1, first_row=first_row)
    level = rng.normal(100.0, 5.0, (n, *grid.mesh_shape)).astype(np.float32)
    glow = np.cumsum(rng.normal(0.0, 1.0, (n, grid.n_rings)), axis=1).astype(np.float32)
    return SkySeries(grid, level, 0.1 * level / 100.0, glow, np.full_like(glow, 0.2))


@pytest.mark.parametrize("stamp", [(0, 15, 0, 15), (200, 217, 385, 400), (100, 101, 50, 90), (497, 512, 100, 115)])
@pytest.mark.parametrize("first_row", [0, 1200])
def test_a_stamp_has_the_sky_of_the_whole_frame(stamp, first_row):
    series = made_series(3, first_row=first_row)
    values = series.values(stamp)
    place = (slice(stamp[0], stamp[1]), slice(stamp[2], stamp[3]))
    zero = np.zeros(series.grid.shape, np.float32)
    for k in range(3):
        frame = FrameSky(series.level[k], series.level_err[k], series.glow[k], series.glow_err[k], 1)
        np.testing.assert_allclose(values[k], -frame.subtract(zero, series.grid)[place], atol=0.05)
        if first_row:
            whole = -subtract_mesh(zero, series.level[k], smooth_edges=True)[place]
            np.testing.assert_allclose(values[k], whole, atol=1e-3)
    assert values.dtype == np.float32


def test_inside_of_a_mesh_it_is_the_sky_of_ground_based_images():
    series = made_series(2, first_row=1200)
    y, x = (axis.ravel().astype(float) for axis in np.mgrid[200:215, 150:165])
    ground = Background(series.level[1], series.level_err[1], series.grid.box_pix, series.grid.shape)
    np.testing.assert_allclose(series.values((200, 215, 150, 165))[1].ravel(), ground.level_at(x, y), atol=1e-3)


def test_slopes_and_mean_are_those_of_the_values():
    series = made_series(4)
    stamp = (30, 45, 60, 76)
    values = series.values(stamp).reshape(4, -1)
    y, x = (axis.ravel().astype(float) for axis in np.mgrid[30:45, 60:76])
    design = np.stack([np.ones_like(x), x - x.mean(), y - y.mean()], axis=1)
    plane = np.linalg.lstsq(design, values.T, rcond=None)[0].T
    mean, slopes = series.plane(stamp)
    np.testing.assert_allclose(mean, plane[:, 0], rtol=1e-5)
    np.testing.assert_allclose(slopes, plane[:, 1:], atol=1e-4)


def test_errors_are_those_of_independent_nodes():
    rng = np.random.default_rng(9)
    series = made_series(1)
    stamp = (40, 55, 40, 55)
    n = 4000
    level = rng.normal(0.0, series.level_err[0], (n, *series.level.shape[1:])).astype(np.float32)
    glow = rng.normal(0.0, series.glow_err[0], (n, series.glow.shape[1])).astype(np.float32)
    drawn = SkySeries(series.grid, level, level, glow, glow).values(stamp).std(axis=0)
    np.testing.assert_allclose(series.errors(stamp)[0], drawn, rtol=0.06)
