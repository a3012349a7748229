import numpy as np
import pytest

from gaiaflux.core.image.mesh import box_statistics, fill_empty, mesh_shape, mesh_weights, windows


@pytest.mark.parametrize(("clean", "counts"), [(16, True), (15, False)])
def test_sixteen_pixels_of_a_box_and_a_quarter_of_it(clean, counts):
    # Boxes of 8 x 8 pixels, of which 16 are a quarter.
    image = np.random.default_rng(8).normal(100.0, 1.0, (8, 32)).astype(np.float32)
    image[:, :8] += 50.0
    flags = np.zeros(image.shape, np.uint8)
    flags[:, :8] = 1
    flags.reshape(-1)[np.flatnonzero((np.arange(256) % 32) < 8)[:clean]] = 0
    level, _, count = box_statistics(image, flags, 8)
    assert np.isfinite(level).tolist() == [[counts, True, True, True]]
    # One of them may be clipped.
    assert clean - 1 <= count[0, 0] <= clean if counts else count[0, 0] == 0
    assert level[0, 0] == pytest.approx(150.0, abs=2.0) if counts else np.isnan(level[0, 0])


@pytest.mark.parametrize(("box", "step"), [(31, 1), (32, 2)])
def test_of_large_boxes_every_second_row_is_looked_at(box, step):
    image = np.random.default_rng(9).normal(100.0, 1.0, (box, box)).astype(np.float32)
    flags = np.zeros(image.shape, np.uint8)
    flags[::2] = 1
    level, _, _ = box_statistics(image, flags, box)
    assert np.isnan(level[0, 0]) == (step == 2)


def test_a_slope_neither_widens_a_box_nor_moves_its_mean():
    # Pixels of the left half alone count: their mean is 16 pixels' slope below that of the box.
    rng = np.random.default_rng(10)
    x = np.arange(128.0)
    image = (100.0 + 0.5 * x + rng.normal(0.0, 0.3, (64, 128))).astype(np.float32)
    flags = np.zeros(image.shape, np.uint8)
    flags[:, 32:64] = 1
    slope = np.full((1, 2), 0.5, np.float32)
    plain = box_statistics(image, flags, 64)
    tilted = box_statistics(image, flags, 64, slopes=(slope, np.zeros_like(slope)))
    truth = [[100.0 + 0.5 * 31.5, 100.0 + 0.5 * 95.5]]
    assert plain.level[0, 0] - truth[0][0] == pytest.approx(-8.0, abs=0.3)
    np.testing.assert_allclose(tilted.level, truth, atol=0.05)
    np.testing.assert_allclose(tilted.rms, 0.3, rtol=0.1)
    assert (plain.rms > 4.0).all()


def test_boxes_that_are_not_wanted_have_no_value():
    image = np.random.default_rng(11).normal(5.0, 1.0, (64, 128)).astype(np.float32)
    wanted = np.array([[True, False], [False, True]])
    found = box_statistics(image, np.zeros(image.shape, np.uint8), 32, wanted=np.repeat(wanted, 2, axis=1))
    np.testing.assert_array_equal(np.isfinite(found.level), np.repeat(wanted, 2, axis=1))
    np.testing.assert_array_equal(found.number > 0, np.repeat(wanted, 2, axis=1))


def test_every_row_is_looked_at_where_that_is_asked_for():
    image = np.random.default_rng(12).normal(5.0, 1.0, (64, 64)).astype(np.float32)
    flags = np.zeros(image.shape, np.uint8)
    # Three in a thousand pixels of a Gaussian are clipped.
    assert box_statistics(image, flags, 64, row_step=1).number[0, 0] == pytest.approx(4096 * 0.9973, rel=0.004)
    assert box_statistics(image, flags, 64).number[0, 0] == pytest.approx(2048 * 0.9973, rel=0.004)


@pytest.mark.parametrize("n_mesh", [2, 3, 5])
def test_lines_and_parabolas_stay_what_they_are_up_to_the_edges(n_mesh):
    pixel = np.linspace(-3.0, 103.0, 200)
    inside = np.clip(pixel, -0.5, 99.5)
    middles = (np.arange(n_mesh) + 0.5) * 100 / n_mesh - 0.5

    def at_pixels(values, smooth_edges):
        weights, indices = mesh_weights(pixel, 100, n_mesh, smooth_edges=smooth_edges)
        return (weights * values[indices]).sum(axis=1)

    np.testing.assert_allclose(at_pixels(middles, True), inside, atol=1e-4)
    if n_mesh > 2:
        np.testing.assert_allclose(at_pixels(middles**2, True), inside**2, atol=1e-2)
    # In ground-based images the mesh is held beyond its edge: the outermost interval bends by 2/27 of a step.
    bend = np.abs(at_pixels(middles, False) - inside).max()
    assert bend == pytest.approx(100 / n_mesh * (2 / 27 if n_mesh > 2 else 0.0481), rel=0.01)


def test_one_box_is_everywhere():
    for smooth_edges in (False, True):
        weights, indices = mesh_weights(np.arange(10.0), 10, 1, smooth_edges=smooth_edges)
        np.testing.assert_allclose(weights.sum(axis=1), 1.0)
        assert not indices.any()


def test_boxes_of_an_image():
    assert mesh_shape((2048, 2048), 64) == (32, 32)
    assert mesh_shape((128, 100), 64) == (2, 2)
    assert mesh_shape((20, 20), 64) == (1, 1)


def test_neighbours_beyond_the_edge_are_nan_or_the_edge():
    mesh = np.arange(6.0).reshape(2, 3)
    assert np.isnan(windows(mesh)[0, 0]).sum() == 5
    np.testing.assert_array_equal(windows(mesh, "edge")[0, 0], [0, 0, 1, 0, 0, 1, 3, 3, 4])
    holed = mesh.copy()
    holed[0, 0] = np.nan
    assert fill_empty(holed)[0, 0] == pytest.approx((1 + 3 + 4) / 3)
