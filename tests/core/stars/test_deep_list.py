"""Deep star lists of images with elongated stars."""

import numpy as np
import pytest

from gaiaflux.core.image.background import estimate_background, subtract_background
from gaiaflux.core.stars.deep_list import detect_deep

SIZE, FWHM, SKY = 400, 4.0, 300.0


def elongated(seed, axis_ratio, angle_deg):
    """Image of Moffat stars of one shape, and their places and fluxes."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(10, SIZE - 10, (2, 160))
    flux = 10 ** rng.uniform(3.5, 6.0, 160)
    cos, sin = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    a2 = (0.5 * FWHM) ** 2 / (2 ** (1 / 3.0) - 1)
    yy, xx = np.mgrid[:SIZE, :SIZE]
    light = np.zeros((SIZE, SIZE))
    for k in range(len(x)):
        along, across = (xx - x[k]) * cos + (yy - y[k]) * sin, (yy - y[k]) * cos - (xx - x[k]) * sin
        u = 1.0 + (along**2 * axis_ratio + across**2 / axis_ratio) / a2
        light += flux[k] * 2.0 / (np.pi * a2) * u**-3.0
    image = (rng.poisson(light + SKY) + rng.normal(0, 5, light.shape)).astype(np.float32)
    return image, x, y, flux


@pytest.mark.parametrize(("axis_ratio", "angle_deg"), [(0.95, 0.0), (0.6, 0.0), (0.6, 35.0), (0.65, 100.0)])
def test_an_elongated_star_is_one_star(axis_ratio, angle_deg):
    image, x, y, flux = elongated(5, axis_ratio, angle_deg)
    flags = np.zeros(image.shape, np.uint8)
    background = estimate_background(image, flags, 64)
    stars = detect_deep(subtract_background(image, background), flags, background, min_snr=5.0, flux_variance=1.0)
    distance = np.hypot(stars["x"][:, None] - x, stars["y"][:, None] - y)
    owner, nearest = distance.argmin(axis=1), distance.min(axis=1)
    bright = flux > 2e4
    assert (nearest[np.argsort(-stars["flux"])[: bright.sum()]] < 0.5).mean() > 0.9
    alone = np.hypot(x[:, None] - x, y[:, None] - y) + 1e3 * np.eye(len(x))
    isolated = bright & (alone.min(axis=1) > 4 * FWHM)
    pieces = np.array([np.sum((owner == k) & (nearest < 2.0 * FWHM)) for k in np.flatnonzero(isolated)])
    assert isolated.sum() > 20
    assert (pieces == 1).mean() > 0.95
    ratio = np.array([stars["flux"][distance[:, k].argmin()] / flux[k] for k in np.flatnonzero(isolated)])
    assert np.median(ratio) == pytest.approx(1.0, abs=0.03)
