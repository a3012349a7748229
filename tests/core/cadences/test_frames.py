import numpy as np
import pytest

from gaiaflux.core.cadences.frames import StampFrames, mean_image, pixel_variance, shift_cells


def frames(flux, error=1.0, good=None):
    flux = np.asarray(flux, np.float32)
    n = len(flux)
    good = np.ones(n, bool) if good is None else good
    return StampFrames(flux, np.full_like(flux, error), np.zeros_like(flux), good, np.zeros((n, 2)))


def test_the_mean_counts_good_frames_without_spikes_and_gaps():
    rng = np.random.default_rng(1)
    flux = 100 + rng.normal(size=(200, 2, 2))
    flux[50, 0, 0] = 5000
    flux[60:80, 0, 1] = np.nan
    flux[:, 1, 1] = np.nan
    flux[100:, 1, 0] += 1000
    good = np.arange(200) < 100
    mean = mean_image(frames(flux, good=good))
    assert mean.image[0, 0] == pytest.approx(100, abs=0.4)
    assert mean.image[0, 1] == pytest.approx(100, abs=0.5)
    assert mean.image[1, 0] == pytest.approx(100, abs=0.4)
    assert np.isnan(mean.image[1, 1])
    assert mean.count.tolist() == [[100, 80], [100, 0]]
    # What lasts is no spike.
    flux[30:40, 0, 0] = 200
    assert mean_image(frames(flux, good=good)).image[0, 0] == pytest.approx(110, abs=0.5)


def test_without_a_good_frame_all_count():
    mean = mean_image(frames(np.full((4, 1, 1), 7.0), good=np.zeros(4, bool)))
    assert mean.image[0, 0] == 7
    assert mean.count[0, 0] == 4


def test_the_variance_is_the_mean_of_the_stated_or_that_of_the_steps():
    rng = np.random.default_rng(2)
    made = frames(rng.normal(0, 3, (4000, 1, 3)))
    made.flux_err[::2] = 3.0
    made.flux_err[:, 0, 1] = 0.0
    made.flux[:, 0, 2] = np.nan
    made.flux[::50, 0, 1] = 1e5
    variance = pixel_variance(made)
    assert variance[0, 0] == pytest.approx(5.0)
    assert variance[0, 1] == pytest.approx(9.0, rel=0.15)
    assert np.isinf(variance[0, 2])


def test_cells():
    shift = np.array([[0.0, 0.0], [0.02, 0.01], [0.4, -0.2], [0.41, -0.21], [3.0, 0.0]])
    cells = shift_cells(shift, np.array([True, True, True, True, False]), 1 / 8)
    assert cells.cell[0] == cells.cell[1] != cells.cell[2]
    np.testing.assert_allclose(cells.place[cells.cell], np.rint(8 * shift) / 8)
    np.testing.assert_allclose(cells.centre[cells.cell[0]], [0.01, 0.005])
    assert cells.share.sum() == pytest.approx(1)
    assert cells.share[cells.cell[4]] == 0
    np.testing.assert_allclose(cells.centre[cells.cell[4]], [3.0, 0.0])
