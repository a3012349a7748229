"""Sums in circles with masked pixels against plain sums over all pixels."""

import numpy as np
import pytest

from gaiaflux.core.aperture.overlap import circle_overlap
from gaiaflux.core.aperture.sums import Filling, sum_circles
from gaiaflux.core.psf.moffat import MoffatProfile
from gaiaflux.model.flags import NO_COUNTS, PixelFlag, StarFlag

SHAPE = (40, 44)
YY, XX = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
RADII = np.array([2.3, 4.0, 6.1])
PROFILE = MoffatProfile.from_fwhm(4.0, 3.0)
SKY = 30.0


def shares(x, y, radius):
    return circle_overlap((XX - x).ravel(), (YY - y).ravel(), radius).reshape(SHAPE)


def brightness(x, y):
    return PROFILE.surface_brightness(np.hypot(XX - x, YY - y))


def image_of(x, y, flux, seed=1):
    return (SKY + flux * brightness(x, y) + np.random.default_rng(seed).normal(0, 2.0, SHAPE)).astype(np.float32)


@pytest.mark.parametrize("place", [(20.3, 18.8), (3.2, 20.0), (20.4, 37.6), (41.9, 1.2)])
@pytest.mark.parametrize("known", [True, False])
def test_sums_over_good_pixels(place, known):
    x, y = place
    image = image_of(x, y, 5e3)
    error = np.random.default_rng(2).uniform(1, 3, SHAPE).astype(np.float32)
    flags = np.zeros(SHAPE, np.uint8)
    near = np.clip([int(y) + 1, int(x) - 2], 0, None)
    flags[near[0], near[1]] = PixelFlag.BAD
    flags[int(y), int(x) + 1] = PixelFlag.SATURATED
    noise = error if known else (4.0, 0.5)
    found = sum_circles(image, flags, np.array([x]), np.array([y]), RADII, noise=noise)
    variance = error.astype(float) ** 2 if known else 4.0 + 0.5 * image.astype(float)
    good = (flags & NO_COUNTS) == 0
    for k, radius in enumerate(RADII):
        w = np.where(good, shares(x, y, radius), 0.0)
        assert found.total[0, k] == pytest.approx((w * image).sum(), rel=1e-6)
        assert found.variance[0, k] == pytest.approx((w**2 * variance).sum(), rel=1e-6)
        inside = x - radius >= -0.5 and y - radius >= -0.5 and x + radius <= 43.5 and y + radius <= 39.5
        bits = 0 if inside else StarFlag.EDGE
        touched = np.hypot(np.maximum(np.abs(XX - x) - 0.5, 0), np.maximum(np.abs(YY - y) - 0.5, 0)) < radius
        bits |= StarFlag.BAD_PIXEL if touched[near[0], near[1]] else 0
        bits |= StarFlag.SATURATED if touched[int(y), int(x) + 1] else 0
        assert found.flags[0, k] == bits


def filled_by_hand(image, flags, x, y, noise, radius, largest):
    """Total, variance and filled part of one aperture, as the notes of `sum_circles` say; the sky is known."""
    floor, slope = noise
    p = brightness(x, y)
    variance = floor + slope * image.astype(float)
    w = shares(x, y, radius)
    good = (flags & NO_COUNTS) == 0
    total, spread = (w * image)[good].sum(), (w**2 * variance)[good].sum()
    fitted = (np.hypot(XX - x, YY - y) <= largest) & (flags == 0)
    pp = (p[fitted] ** 2).sum()
    scale = (p * (image - SKY))[fitted].sum() / pp
    scale_var = (p**2 * variance)[fitted].sum() / pp**2
    within = fitted & (np.hypot(XX - x, YY - y) <= radius)
    covariance = (p * variance)[within].sum()
    light_filled, from_profile, systematic = 0.0, 0.0, 0.0
    for j, i in np.argwhere(~good & (w > 0)):
        xm, ym = 2 * x - i, 2 * y - j
        i0, j0 = int(np.floor(xm)), int(np.floor(ym))
        corners = [(j0 + b, i0 + a, (xm - i0 if a else 1 - xm + i0) * (ym - j0 if b else 1 - ym + j0))
                   for a in range(2) for b in range(2)]  # fmt: skip
        corners = [corner for corner in corners if corner[2] > 0]
        mirrored = all(0 <= a < SHAPE[0] and 0 <= b < SHAPE[1] and flags[a, b] == 0 for a, b, _ in corners)
        light = scale * p[j, i]
        if mirrored:
            m = sum(share * (image[a, b] - SKY) for a, b, share in corners)
            mp = sum(share * p[a, b] for a, b, share in corners)
            mv = sum(share * variance[a, b] for a, b, share in corners)
            ratio = p[j, i] / mp
            light = m * ratio
            spread += w[j, i] ** 2 * mv * (ratio**2 + 2 * ratio)
        else:
            from_profile += w[j, i] * p[j, i]
        systematic += w[j, i] * (0.05 if mirrored else 0.1) * abs(light)
        total += w[j, i] * (SKY + light)
        light_filled += w[j, i] * p[j, i]
    if from_profile > 0:
        spread += 2 * from_profile * covariance / pp + from_profile**2 * scale_var
    return total, spread, systematic, light_filled / PROFILE.growth(radius)


@pytest.mark.parametrize(
    "holes", [[(19, 22)], [(17, 20), (20, 19)], [(19, 22), (18, 19)], [(18, 20), (19, 20), (19, 21)]]
)
def test_light_that_is_filled_in(holes):
    x, y, noise = 20.3, 18.8, (4.0, 0.5)
    image, flags = image_of(x, y, 2e4), np.zeros(SHAPE, np.uint8)
    for place in holes:
        flags[place] = PixelFlag.BAD
    holed = np.where(flags > 0, np.float32(-9e4), image)
    found = sum_circles(
        holed, flags, np.array([x]), np.array([y]), RADII, noise=noise, filling=Filling(PROFILE, SKY)
    )  # fmt: skip
    for k, radius in enumerate(RADII):
        total, spread, systematic, part = filled_by_hand(image, flags, x, y, noise, radius, RADII[-1])
        if np.isnan(found.total[0, k]):
            assert part > 0.75
            continue
        assert found.filled[0, k] == pytest.approx(part, rel=1e-5)
        assert found.total[0, k] == pytest.approx(total, rel=1e-5)
        # The star may be unlike its other side by a twentieth, unlike the profile by a tenth.
        assert found.variance[0, k] == pytest.approx(spread + systematic**2, rel=1e-5)
