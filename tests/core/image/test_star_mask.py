import numpy as np
import pytest

from gaiaflux.core.image.ccd_sky import SkyGrid
from gaiaflux.core.image.star_mask import star_mask

GRID = SkyGrid.of((256, 256), 1, 1)


def covered(flux, x=100.3, y=120.0, grid=GRID, noise=0.33, **options):
    return star_mask(np.array([x]), np.array([y]), np.array([flux]), grid, noise, **options)


def test_the_brighter_the_larger():
    # Magnitudes 20, 16, 13, 10, 7.
    areas = [covered(10 ** (-0.4 * (t - 20.45))).sum() for t in (22, 16, 13, 10, 7)]
    assert areas[0] == 0
    assert 9 <= areas[1] < 60
    assert np.all(np.diff(areas) > 0)
    rows, columns = np.nonzero(covered(1000.0))
    assert (rows.mean(), columns.mean()) == pytest.approx((120.0, 100.3), abs=0.4)


def test_a_noisier_sky_hides_more():
    assert covered(1000.0, noise=3.3).sum() < covered(1000.0).sum()
    assert covered(1000.0, noise=3.3).sum() == covered(1000.0, part=5.0).sum()


def test_saturated_stars_bleed_along_their_column():
    # Half of the light of magnitude 3.95 runs over 22 full pixels.
    for flux, ends in ((4e5, False), (4e6, True)):
        mask = covered(flux, noise=1e4)
        height, width = np.ptp(np.nonzero(mask[:, 100])[0]), np.ptp(np.nonzero(mask[120])[0])
        assert (height > width + 20) == ends
    assert covered(4e7)[:, 98:103].all()


def test_a_crowd_leaves_pixels_of_every_box():
    rng = np.random.default_rng(1)
    n = 20_000  # one to three pixels
    x, y = rng.uniform(0, 256, n), rng.uniform(0, 256, n)
    flux = 10 ** (-0.4 * (16.0 + np.log10(rng.uniform(1e-4, 1, n)) / 0.35 - 20.45))
    x[: n // 2] = rng.uniform(0, 128, n // 2)
    mask = star_mask(x, y, flux, GRID, 0.33)
    share = mask.reshape(4, 64, 4, 64).mean(axis=(1, 3))
    assert share.max() <= 0.6
    assert share.min() > 0.1
    # A bright star is covered even there.
    bright = int(np.argmax(flux))
    assert mask[int(np.clip(np.rint(y[bright]), 0, 255)), int(np.clip(np.rint(x[bright]), 0, 255))]


def test_nothing_and_outside():
    assert not star_mask(np.empty(0), np.empty(0), np.empty(0), GRID, 0.33).any()
    assert not covered(np.nan).any()
    assert not covered(-5.0).any()
    assert covered(1e5, x=-3.0).any()
    assert not covered(1e5, x=-300.0).any()
