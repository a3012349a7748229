import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from gaiaflux.core.cadences.frame_motion import places_in_frames, solve_motion
from gaiaflux.core.cadences.motion_terms import StarPlaces
from gaiaflux.core.sky.projection import linear_tan
from gaiaflux.io.image.wcs_cards import cards_from_tan_sip
from gaiaflux.sim.tess.star_frames import moved_places
from gaiaflux.tess.stamp.movement import ImageMovementKernel

XY = np.array([[10.0, 20.0], [30.0, 5.0]])
MODES = {
    "unchanged": (0, [], [[0, 0], [0, 0]]),
    "translation": (2, [0.5, -0.25], [[0.5, -0.25], [0.5, -0.25]]),
    "euclidian": (3, [1.0, 2.0, np.pi / 2], [[-29.0, -8.0], [-34.0, 27.0]]),
    "affine": (6, [2, 0, 1, 0, 1, -1], [[11.0, -1.0], [31.0, -1.0]]),
}


def plate(dx=0.0, dy=0.0):
    return linear_tan((100.0, -60.0), (50.0 + dx, 60.0 + dy), np.array([[-5.8e-3, 0], [0, 5.8e-3]]), (100, 100))


@pytest.mark.parametrize("mode", MODES)
def test_each_way_to_move_has_its_parameters(mode):
    count, kernel, offsets = MODES[mode]
    found = ImageMovementKernel(mode)
    assert (found.warpmode, found.n_params) == (mode, count)
    np.testing.assert_allclose(found.apply_kernel(XY, np.array(kernel)), offsets, atol=1e-12)


def test_another_way_is_refused():
    with pytest.raises(ValueError, match="none of unchanged, translation, euclidian, affine, wcs"):
        ImageMovementKernel("rotation")
    with pytest.raises(ValueError, match="wcs_ref"):
        ImageMovementKernel("wcs")
    with pytest.raises(ValueError, match="2 are due"):
        ImageMovementKernel("translation").apply_kernel(XY, np.zeros(3))


def test_a_series_is_interpolated_and_held_for_one_step():
    kernel = ImageMovementKernel("translation")
    kernel.load_series(np.array([2.0, 1.0, 3.0, 4.0]), np.array([[2.0, 0], [1.0, 0], [np.nan, 0], [4.0, 0]]))
    assert kernel.interpolate(2.5, XY)[:, 0] == pytest.approx(2.5)
    assert kernel.interpolate(0.2, XY)[:, 0] == pytest.approx(1.0)
    np.testing.assert_allclose(kernel.jitter(np.array([1.0, 3.0]), 7.0, 8.0), [[1.0, 0.0], [3.0, 0.0]])
    with pytest.raises(ValueError, match="is not within"):
        kernel.interpolate(6.0, XY)


@pytest.mark.parametrize("mode", ["translation", "wcs"])
def test_without_a_series_nothing_is_interpolated(mode):
    kernel = ImageMovementKernel(mode, wcs_ref=plate())
    with pytest.raises(ValueError, match="no series"):
        kernel.interpolate(1.0, XY)


def test_plate_solutions_in_any_form():
    kernel = ImageMovementKernel("wcs", wcs_ref=plate())
    moved = plate(0.5, -0.25)
    header = cards_from_tan_sip(moved)
    for form in (moved, header, WCS(fits.Header.fromstring(header, sep="\n"))):
        np.testing.assert_allclose(kernel.apply_kernel(XY, form), [[0.5, -0.25]] * 2, atol=1e-6)


def test_plate_solutions_between_two_times(caplog):
    kernel = ImageMovementKernel("wcs", wcs_ref=plate())
    kernel.load_series([0.0, 2.0, 1.0], [plate(), cards_from_tan_sip(plate(1.0, 0.0)), ""])
    assert "1 of 3" in caplog.text
    np.testing.assert_allclose(kernel.interpolate(0.5, XY), [[0.25, 0.0]] * 2, atol=1e-6)
    np.testing.assert_allclose(kernel.interpolate(3.5, XY), [[1.0, 0.0]] * 2, atol=1e-6)
    np.testing.assert_allclose(kernel.jitter(np.array([0.0, 2.0]), 10.0, 20.0), [[0, 0], [1.0, 0.0]], atol=1e-6)
    with pytest.raises(ValueError, match="is not within"):
        kernel.interpolate(4.5, XY)
    with pytest.raises(ValueError, match="no plate solution that can be used"):
        kernel.load_series([0.0], [""])
    with pytest.raises(ValueError, match="for 2 times"):
        kernel.load_series([0.0, 1.0], [plate()])


def test_a_kernel_from_two_images():
    y, x = np.indices((40, 40))
    stars = np.random.default_rng(5).uniform([5, 5, 100], [35, 35, 1000], (30, 3))

    def image(dx, dy):
        return sum(f * np.exp(-((x - sx - dx) ** 2 + (y - sy - dy) ** 2) / 3.0) for sx, sy, f in stars)

    kernel = ImageMovementKernel("translation", image_ref=image(0, 0))
    np.testing.assert_allclose(kernel.calc_kernel(image(0.3, -0.6)), [0.3, -0.6], atol=0.02)
    assert np.isnan(kernel.calc_kernel(np.full((40, 40), np.nan))).all()
    assert ImageMovementKernel("unchanged", image_ref=image(0, 0)).calc_kernel(image(0, 0)).size == 0
    with pytest.raises(RuntimeError, match="no reference image"):
        ImageMovementKernel("translation").calc_kernel(image(0, 0))
    with pytest.raises(ValueError, match="none is calculated"):
        ImageMovementKernel("wcs", image_ref=image(0, 0), wcs_ref=plate()).calc_kernel(image(0, 0))


@pytest.mark.parametrize("mode", ["translation", "euclidian", "affine"])
def test_a_series_of_another_shape_is_refused(mode):
    count = MODES[mode][0]
    for shape in ((3, count + 1), (4, count), (3,)):
        with pytest.raises(ValueError, match="is due"):
            ImageMovementKernel(mode).load_series(np.arange(3.0), np.zeros(shape))
    with pytest.raises(ValueError, match="no movement kernel is finite"):
        ImageMovementKernel(mode).load_series(np.arange(3.0), np.full((3, count), np.nan))


@pytest.mark.parametrize("mode", MODES)
def test_offsets_have_the_shape_of_the_places(mode):
    kernel = ImageMovementKernel(mode)
    for n in (0, 1, 3):
        assert kernel.apply_kernel(np.zeros((n, 2)), np.array(MODES[mode][1], float)).shape == (n, 2)
    kernel.load_series(np.arange(2.0), np.array([MODES[mode][1]] * 2, float).reshape(2, -1))
    assert kernel.interpolate(0.5, XY).shape == XY.shape
    assert kernel.jitter(np.array([0.0, 0.5, 1.0]), 10.0, 20.0).shape == (3, 2)
    np.testing.assert_allclose(kernel.jitter(np.array([0.5]), *XY[0])[0], MODES[mode][2][0], atol=1e-12)


def test_edges_are_of_the_finite_kernels():
    kernel = ImageMovementKernel("translation")
    kernel.load_series(np.arange(4.0), np.array([[np.nan, 0], [1.0, 0], [2.0, 0], [0, np.nan]]))
    assert kernel.interpolate(0.0, XY)[0, 0] == 1.0
    assert kernel.interpolate(3.0, XY)[0, 0] == 2.0
    with pytest.raises(ValueError, match="not finite"):
        kernel.interpolate(np.nan, XY)


@pytest.mark.parametrize("mode", ["translation", "euclidian", "affine"])
def test_motion_that_was_solved_for_is_a_series_of_kernels(mode):
    rng = np.random.default_rng(7)
    x, y = rng.uniform(0, 2048, (2, 60))
    shift, turn = rng.normal(0, 0.2, (9, 2)), rng.normal(0, 1e-5 if mode != "translation" else 0.0, 9)
    moved = moved_places(x, y, shift, turn, np.array([1024.0, 1024.0]))
    error = np.full(moved.shape[1:], 1e-4)
    seen = moved + rng.normal(0, 1e-4, moved.shape)
    seen[:, 4] = np.nan
    motion = solve_motion(StarPlaces(x, y, *seen, error, error), mode)
    kernel, time = ImageMovementKernel(mode), 1325.0 + np.arange(9) / 48
    kernel.load_series(time, motion.parameters)
    places = np.array([[0.0, 2047.0], [1000.5, 20.25]])
    for place in places:
        jitter = kernel.jitter(time, *place)
        expected = places_in_frames(motion, *place) - place
        known = ~motion.lost
        np.testing.assert_allclose(jitter[known], expected[known], atol=1e-10)
        # A lost frame is between its neighbours in time.
        np.testing.assert_allclose(jitter[4], 0.5 * (jitter[3] + jitter[5]), atol=1e-6)
    true = np.moveaxis(moved_places(*places.T, shift, turn, np.array([1024.0, 1024.0])), 0, -1) - places
    frames = np.delete(np.arange(9), 4)
    true -= true[frames].mean(axis=0)
    found = np.stack([kernel.interpolate(one, places) for one in time])
    np.testing.assert_allclose(found[frames], true[frames], atol=5e-4)
