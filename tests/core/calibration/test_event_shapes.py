import numpy as np
import pytest

from gaiaflux.core.calibration.event_shapes import paczynski, transit


def test_a_transit_is_a_trapezoid():
    # First contact 0.1 d before the middle, second contact 0.02 d later.
    time = 5.0 + np.array([-0.2, -0.1, -0.09, -0.08, -0.01, 0.0, 0.08, 0.095, 0.1, 1.0])
    depth = np.array([0, 0, 0.5, 1, 1, 1, 1, 0.25, 0, 0])
    np.testing.assert_allclose(transit(time, 5.0, 0.2, 0.01, 0.02), 1.0 - 0.01 * depth, atol=1e-12)
    # A flare has a negative depth; of half of the duration the ingress makes a triangle.
    assert transit(5.0, 5.0, 0.2, -0.3, 0.1) == pytest.approx(1.3)
    assert transit(5.05, 5.0, 0.2, 0.01, 0.1) == pytest.approx(0.995)


def test_magnification_by_a_point_lens():
    # At one Einstein radius 3 / sqrt(5), by definition the threshold of an event.
    assert paczynski(7.0, 7.0, 1.0, 30.0) == pytest.approx(3.0 / np.sqrt(5.0))
    assert paczynski(37.0, 7.0, 0.0, 30.0) == pytest.approx(3.0 / np.sqrt(5.0))
    # Close to the line of sight it is the inverse of the distance, far from it there is none.
    assert paczynski(7.0, 7.0, 1e-3, 30.0) == pytest.approx(1e3, rel=1e-5)
    assert paczynski(1e5, 7.0, 0.5, 30.0) == pytest.approx(1.0, abs=1e-9)
    time = np.array([-20.0, -5.0, 5.0, 20.0])
    found = paczynski(time, 0.0, 0.3, 12.0)
    np.testing.assert_allclose(found, found[::-1])
    assert (found > 1.0).all()
    assert found[1] > found[0]
