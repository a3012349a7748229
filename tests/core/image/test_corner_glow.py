import numpy as np
import pytest

from gaiaflux.core.image.corner_glow import (
    ENOUGH_PIXELS,
    FIRST_RADIUS_PIX,
    RING_PIX,
    CornerGlow,
    axis_distance,
    ring_weights,
)


def corner(shape=(300, 300)):
    """Distances of a corner: the axis is far to the upper right."""
    y, x = np.indices(shape)
    return np.hypot(x - 2104.0, y - 2104.0)


def profile(distance):
    return np.where(distance > FIRST_RADIUS_PIX, 0.02 * (distance - FIRST_RADIUS_PIX) ** 1.3, 0.0)


def test_rings_reach_the_farthest_pixel():
    distance = corner()
    glow = CornerGlow(distance)
    assert glow.n_rings == int(np.ceil((distance.max() - FIRST_RADIUS_PIX) / RING_PIX))
    np.testing.assert_array_equal(glow.inside, distance > FIRST_RADIUS_PIX)
    assert CornerGlow(distance - 600.0).n_rings == 0


def test_the_profile_and_its_removal():
    distance = corner()
    glow = CornerGlow(distance)
    rng = np.random.default_rng(1)
    image = (profile(distance) + rng.normal(0.0, 0.3, distance.shape)).astype(np.float32)
    flags = np.zeros(image.shape, np.uint8)
    flags[rng.random(image.shape) < 0.2] = 1
    image[flags != 0] = np.nan
    found, error = glow.measure(image, flags)
    middles = FIRST_RADIUS_PIX + (np.arange(glow.n_rings) + 0.5) * RING_PIX
    # Rings inside of the image's nearest pixel are empty: they go on with the slope of the first that are not.
    seen = middles > distance.min() + RING_PIX
    off = (found - profile(middles))[seen]
    assert np.ptp(off[:-2]) < 0.5
    # The last ring has a few pixels: it is known to the step from ring to ring.
    assert error[seen][:-1].max() < 0.1
    assert 1.0 < error[-1] < 4.0
    left = glow.subtract(np.nan_to_num(image), found.astype(np.float32))[flags == 0]
    inner = distance[flags == 0] < distance.max() - 2 * RING_PIX
    assert left[inner].std() == pytest.approx(0.3, rel=0.03)


def test_subtraction_is_the_cubic_of_the_rings():
    distance = corner((64, 64))
    glow = CornerGlow(distance)
    values = np.cumsum(np.random.default_rng(2).normal(0.0, 1.0, glow.n_rings)).astype(np.float32)
    weights, rings = ring_weights(distance.ravel(), glow.n_rings)
    expected = -(weights * values[rings]).sum(axis=1).reshape(distance.shape)
    np.testing.assert_allclose(glow.subtract(np.zeros((64, 64), np.float32), values), expected, atol=0.05)


def test_a_ring_that_stands_out_has_its_neighbours_light():
    distance = corner()
    glow = CornerGlow(distance)
    image = profile(distance).astype(np.float32)
    image += np.random.default_rng(3).normal(0.0, 0.1, image.shape).astype(np.float32)
    ring = ((distance - FIRST_RADIUS_PIX) / RING_PIX).astype(int)
    plain, _ = glow.measure(image, np.zeros(image.shape, np.uint8))
    image[ring == 20] += 30.0
    odd, _ = glow.measure(image, np.zeros(image.shape, np.uint8))
    # By no more than the step to the next ring.
    assert np.abs(odd - plain).max() < 2.6


def test_too_few_pixels_give_no_glow():
    distance = corner((40, 40))
    glow = CornerGlow(distance)
    flags = np.ones(distance.shape, np.uint8)
    flags[0, :10] = 0
    found, error = glow.measure(np.ones(distance.shape, np.float32), flags)
    assert not found.any()
    assert not error.any()


def test_of_large_rings_a_part_is_looked_at():
    glow = CornerGlow(corner((700, 700)))
    sizes = np.diff(glow._starts)
    assert sizes.max() < 2.1 * ENOUGH_PIXELS
    assert sizes[10] >= ENOUGH_PIXELS


def test_inwards_the_innermost_ring_goes_on():
    weights, rings = ring_weights(np.array([0.0, 2300.0, 2400.0, 2407.5]), 10)
    np.testing.assert_allclose((weights * rings).sum(axis=1), 0.0, atol=1e-5)


def test_the_axis_is_beside_the_corner_in_which_the_ccds_meet():
    # Columns of CCDs 1 and 3 run towards it, those of 2 and 4 away from it; rows run towards it.
    for camera in (1, 2, 3, 4):
        assert axis_distance(camera, 1, np.array(2091.0), np.array(2047.0)) < 100.0
        assert axis_distance(camera, 2, np.array(44.0), np.array(2047.0)) < 100.0
        assert axis_distance(camera, 3, np.array(2091.0), np.array(2047.0)) < 100.0
        assert axis_distance(camera, 4, np.array(44.0), np.array(2047.0)) < 100.0
    with pytest.raises(ValueError, match="camera 5"):
        axis_distance(5, 1, np.array(0.0), np.array(0.0))
