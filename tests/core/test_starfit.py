import numpy as np
import pytest

from gaiaflux.core.starfit import measure_stars
from gaiaflux.model.flags import StarFlag

FWHM = 4.0
NOISE = 10.0


def moffat_star(x, y, flux, fwhm=FWHM, size=41):
    """A star as the fit takes it to be, alone on an empty sky."""
    a2 = (0.5 * fwhm) ** 2 / (2 ** (1 / 3) - 1)
    yy, xx = np.mgrid[:size, :size]
    return (flux * 2 / (np.pi * a2) * (1 + ((xx - x) ** 2 + (yy - y) ** 2) / a2) ** -3).astype(np.float32)


def measure(image, x=20, y=20):
    return measure_stars(
        image, np.zeros(image.shape, np.uint8), np.array([x]), np.array([y]), np.array([NOISE]),
        fwhm_pix=FWHM, flux_variance=1.0,
    )  # fmt: skip


def test_a_hit_of_four_pixels_is_left_out_of_its_star():
    image = moffat_star(20.2, 19.9, 1e5)
    image[21:23, 22:24] += 20000.0
    star = measure(image)[0]
    assert star["flags"] == StarFlag.COSMIC_RAY
    assert star["x"] == pytest.approx(20.2, abs=0.02)
    assert star["y"] == pytest.approx(19.9, abs=0.02)
    assert star["flux"] == pytest.approx(1e5, rel=0.01)


def test_what_shares_its_light_with_its_neighbours_is_no_hit():
    # A star of half the mean width stands out of the profile by far more than a hit has to, but the four pixels around
    # its middle are half as bright.
    yy, xx = np.mgrid[:41, :41]
    image = (20000.0 * 0.5 ** (xx - 20.0) ** 2 * 0.5 ** (yy - 20.0) ** 2).astype(np.float32)
    assert np.count_nonzero(image[19:22, 19:22] > 0.3 * image[20, 20]) == 5
    star = measure(image)[0]
    assert star["flags"] == 0
    assert star["x"] == pytest.approx(20.0, abs=0.01)
    assert star["flux"] > 0.5 * image.sum()
