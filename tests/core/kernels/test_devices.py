import numpy as np
import pytest

from gaiaflux.core.kernels.devices import cubic_weights, inverse_symmetric3, kth_smallest


@pytest.mark.parametrize("n", [1, 2, 3, 10, 57])
def test_kth_smallest(n):
    rng = np.random.default_rng(n)
    for values in (rng.normal(size=n), rng.integers(0, 4, n).astype(float), np.arange(n)[::-1].astype(float)):
        for k in range(n):
            # What lies beyond the first n does not count.
            scratch = np.append(values, -100.0)
            assert kth_smallest(scratch, n, k) == np.sort(values)[k]
            assert sorted(scratch) == sorted(np.append(values, -100.0))


def test_inverse_of_a_symmetric_matrix():
    rng = np.random.default_rng(1)
    root = rng.normal(size=(5, 3))
    h = root.T @ root
    *c, regular = inverse_symmetric3(h[0, 0], h[0, 1], h[0, 2], h[1, 1], h[1, 2], h[2, 2], 1e-12)
    assert regular
    expected = np.linalg.inv(h)
    np.testing.assert_allclose(c, expected[np.triu_indices(3)], rtol=1e-9)
    # Two directions that are nearly the same.
    near = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0 - 1e-6], [0.0, 1.0 - 1e-6, 1.0]])
    entries = near[np.triu_indices(3)]
    assert inverse_symmetric3(*entries, 1e-6)[-1]
    assert inverse_symmetric3(*entries, 1e-5) == (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, False)
    assert not inverse_symmetric3(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1e-12)[-1]


def test_cubic_weights_follow_a_parabola_and_pass_through_the_nodes():
    t = np.linspace(0.0, 1.0, 11)
    weights = np.stack(cubic_weights(t))
    np.testing.assert_allclose(weights.sum(axis=0), 1.0)
    nodes = np.array([-1.0, 0.0, 1.0, 2.0])
    for power in (1, 2):
        np.testing.assert_allclose(nodes**power @ weights, t**power, atol=1e-14)
    np.testing.assert_allclose(weights[:, 0], [0, 1, 0, 0], atol=1e-15)
    np.testing.assert_allclose(weights[:, -1], [0, 0, 1, 0], atol=1e-15)
    # The convolution with a = -1/2: half way -1/16, 9/16, 9/16, -1/16.
    np.testing.assert_allclose(weights[:, 5], [-1 / 16, 9 / 16, 9 / 16, -1 / 16])
