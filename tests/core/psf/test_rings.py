"""Means of an image in rings."""

import numpy as np
import pytest

from gaiaflux.core.psf.rings import ring_means


def test_means_in_rings_leave_out_what_sticks_out():
    image = np.full((100, 100), 7.0, np.float32)
    weight = np.ones((100, 100), np.float32)
    image[50, 60] = 1e4
    weight[:, :45] = 0.0
    image[:, :45] = np.nan
    edges = np.array([3.0, 8.0, 12.0])
    found = ring_means(image, weight, np.array([50.0, 2.0]), np.array([50.0, 50.0]), edges, 10**4)
    np.testing.assert_allclose(found.level[0], 7.0)
    r = np.hypot(*np.meshgrid(np.arange(100) - 50, np.arange(100) - 50))
    n = np.count_nonzero((r[:, 45:] >= 3.0) & (r[:, 45:] <= 8.0))
    assert 1.0 / found.variance[0, 0] == pytest.approx(n)
    assert np.isnan(found.level[1]).all()
    assert np.isinf(found.variance[1]).all()


def test_of_a_wide_ring_a_part_is_used():
    rng = np.random.default_rng(1)
    image = rng.normal(3.0, 1.0, (200, 200)).astype(np.float32)
    found = ring_means(image, np.ones_like(image), np.array([100.0]), np.array([100.0]), np.array([10.0, 60.0]), 500)
    used = 1.0 / found.variance[0, 0]
    assert 400 < used < 1100
    assert found.level[0, 0] == pytest.approx(3.0, abs=4.0 / np.sqrt(used))
