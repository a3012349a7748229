import numpy as np
import pytest

from gaiaflux.core.psf.moved import mean_psf
from gaiaflux.core.psf.sampled import sampled_psf
from gaiaflux.core.psf.stamps import make_stamps

OVER, EDGE = 9, 6


def gaussian(sigma=0.8):
    offsets = np.arange(-EDGE * OVER, EDGE * OVER + 1) / OVER
    line, wide = (np.exp(-0.5 * (offsets / width) ** 2) for width in (sigma, 1.3 * sigma))
    return sampled_psf((line[:, None] * wide)[None, None], OVER, [50.0], [60.0], (100, 100))


def test_a_star_in_the_mean_of_moved_frames():
    """Its stamp is the mean of the stamps at the shifted places, wherever it lies in its pixel."""
    rng = np.random.default_rng(4)
    shifts, share = rng.normal((0.05, -0.1), 0.15, (40, 2)), rng.dirichlet(np.ones(40))
    psf = gaussian()
    made = mean_psf(psf, shifts, share)
    for x, y in rng.uniform(49.6, 50.4, (5, 2)):
        stamp = make_stamps(made, np.array([x]), np.array([y]), 5.0)
        placed = psf.at(x + shifts[:, 0], y + shifts[:, 1])
        at = np.full(40, stamp.column[0]), np.full(40, stamp.row[0])
        wanted = np.tensordot(share, placed.values(*at, 8.0), 1)
        cut = (len(wanted) - stamp.values.shape[1]) // 2
        inner = stamp.values[0] > 0
        np.testing.assert_allclose(stamp.values[0][inner], wanted[cut:-cut, cut:-cut][inner], atol=3e-5)


def test_without_shifts_nothing_changes_and_light_is_kept():
    psf = gaussian()
    np.testing.assert_allclose(mean_psf(psf, np.zeros((1, 2)), np.ones(1)).samples, psf.samples, atol=1e-15)
    moved = mean_psf(psf, np.array([[0.31, -0.2], [-0.1, 0.27]]), np.array([0.3, 0.7]))
    np.testing.assert_allclose(moved.samples.sum() / OVER**2, 1.0, atol=1e-6)
    offsets = np.arange(-EDGE * OVER, EDGE * OVER + 1) / OVER
    centre = (moved.samples[0, 0] * offsets).sum() / moved.samples.sum(), (moved.samples[0, 0].T * offsets).sum()
    np.testing.assert_allclose(centre[0], 0.3 * 0.31 - 0.7 * 0.1, atol=1e-4)
    np.testing.assert_allclose(centre[1] / moved.samples.sum(), -0.3 * 0.2 + 0.7 * 0.27, atol=1e-4)


def test_a_shift_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        mean_psf(gaussian(), np.array([[np.nan, 0.0]]), np.ones(1))
