import numpy as np
import pytest

from gaiaflux.core.stars.single_star import adaptive_fwhm, fill_unusable, measure_stars
from gaiaflux.model.flags import PixelFlag, StarFlag

FWHM = 4.0
NOISE = 10.0


def moffat_star(x, y, flux, fwhm=FWHM, size=41):
    """A star as the fit takes it to be, alone on an empty sky."""
    a2 = (0.5 * fwhm) ** 2 / (2 ** (1 / 3) - 1)
    yy, xx = np.mgrid[:size, :size]
    return (flux * 2 / (np.pi * a2) * (1 + ((xx - x) ** 2 + (yy - y) ** 2) / a2) ** -3).astype(np.float32)


def measure(image, x=20, y=20, flags=None):
    flags = np.zeros(image.shape, np.uint8) if flags is None else flags
    return measure_stars(
        image, flags, np.array([x]), np.array([y]), np.array([NOISE]), fwhm_pix=FWHM, flux_variance=1.0
    )


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


def test_a_star_whose_stamp_leaves_the_image_is_at_the_edge():
    # The stamp reaches 1.5 FWHM to every side: 6 pixels.
    for place, edge in ((6, False), (5, True), (34, False), (35, True)):
        for x, y in ((place, 20), (20, place)):
            star = measure(moffat_star(x, y, 1e5), x, y)[0]
            assert bool(star["flags"] & StarFlag.EDGE) is edge, (x, y)
            assert star["x"] == pytest.approx(x, abs=0.01)
            assert star["flux"] == pytest.approx(1e5, rel=0.01)


def test_bad_pixels_count_within_one_width():
    image = moffat_star(20.0, 20.0, 1e5)
    for place, flag in (((20, 24), StarFlag.BAD_PIXEL), ((20, 25), 0), ((23, 23), 0), ((22, 23), StarFlag.BAD_PIXEL)):
        flags = np.zeros(image.shape, np.uint8)
        flags[place] = PixelFlag.BAD
        holed = np.where(flags > 0, np.float32(-1e4), image)
        star = measure(holed, flags=flags)[0]
        assert star["flags"] == flag, place
        assert star["flux"] == pytest.approx(1e5, rel=0.01)
        assert star["x"] == pytest.approx(20.0, abs=0.02)


def test_holes_on_both_sides_of_a_star_do_not_change_its_shape():
    image = moffat_star(20.0, 20.0, 1e5)
    flags = np.zeros(image.shape, np.uint8)
    plain = measure(image)[0]
    # In one hole the pixel opposite stands in; of two that face each other neither counts.
    flags[20, 22] = flags[22, 20] = flags[18, 20] = PixelFlag.SATURATED
    holed = np.where(flags > 0, np.float32(3e4), image)
    star = measure(holed, flags=flags)[0]
    assert star["x"] == pytest.approx(20.0, abs=1e-3)
    assert star["y"] == pytest.approx(20.0, abs=1e-3)
    assert star["fwhm"] == pytest.approx(plain["fwhm"], rel=0.1)
    assert star["ellipticity"] < 0.15


def test_a_star_that_is_all_saturated_keeps_its_place_and_peak():
    image = np.minimum(moffat_star(20.0, 21.0, 1e7), np.float32(50_000.0))
    flags = np.where(image >= 50_000.0, PixelFlag.SATURATED, 0).astype(np.uint8)
    flags[13:29, 13:29] = PixelFlag.SATURATED
    star = measure(image, 20, 21, flags=flags)[0]
    assert star["flags"] & StarFlag.SATURATED
    assert (star["x"], star["y"], star["peak"]) == (20.0, 21.0, 50_000.0)
    norm = 2 / (np.pi * (0.5 * FWHM) ** 2 / (2 ** (1 / 3) - 1))
    assert star["flux"] == pytest.approx(50_000.0 / norm, rel=1e-5)
    assert star["x_err"] == star["y_err"] == 0.5 * FWHM
    # That of a star with all its light on the pixels that hold half of it, with the peak's noise.
    snr = 50_000.0 / norm * np.sqrt(norm / 2) / np.sqrt(NOISE**2 + 50_000.0)
    assert star["snr"] == pytest.approx(snr, rel=1e-5)
    # Without a flag that says why, what cannot be fitted is no star.
    assert np.isnan(measure(np.full((41, 41), -5.0, np.float32))["x"]).all()


@pytest.mark.parametrize(("x", "y"), [(20.45, 19.55), (19.7, 20.3), (20.0, 20.0)])
def test_a_star_of_the_profile_without_noise_is_fitted_exactly(x, y):
    star = measure(moffat_star(x, y, 1e5))[0]
    # The centroid in a window has come so near that two scoring steps are enough.
    assert star["x"] == pytest.approx(x, abs=1e-6)
    assert star["y"] == pytest.approx(y, abs=1e-6)
    assert star["flux"] == pytest.approx(1e5, rel=1e-6)


def test_errors_are_the_scatter_of_repeated_images():
    rng = np.random.default_rng(1)
    light = moffat_star(20.3, 19.8, 6000.0)
    found = []
    for _ in range(400):
        found.append(measure((light + rng.normal(0, np.sqrt(NOISE**2 + light))).astype(np.float32))[0])
    found = np.array(found)
    for axis, place in (("x", 20.3), ("y", 19.8)):
        assert np.mean(found[axis]) == pytest.approx(place, abs=4 * found[axis].std() / 20)
        assert np.std(found[axis]) == pytest.approx(np.median(found[f"{axis}_err"]), rel=0.15)
    assert np.std(found["flux"]) == pytest.approx(np.median(found["flux"] / found["snr"]), rel=0.15)
    assert (found["flags"] == 0).all()


def test_width_and_ellipticity_of_a_star_are_its_own():
    yy, xx = np.mgrid[:61, :61]
    u, v = (xx - 30.0) * np.cos(0.5) + (yy - 30.0) * np.sin(0.5), (yy - 30.0) * np.cos(0.5) - (xx - 30.0) * np.sin(0.5)
    for fwhm, axis_ratio in ((4.0, 1.0), (5.0, 1.0), (4.5, 0.8)):
        a2 = (0.5 * fwhm) ** 2 / (2 ** (1 / 3) - 1)
        image = (1e4 * (1 + (u**2 * axis_ratio + v**2 / axis_ratio) / a2) ** -3).astype(np.float32)
        star = measure(image, 30, 30)[0]
        assert star["fwhm"] == pytest.approx(fwhm, rel=0.04)
        assert star["ellipticity"] == pytest.approx(1 - axis_ratio, abs=0.02)


def test_two_fits_that_end_on_one_star_are_one():
    image = moffat_star(20.3, 19.8, 1e5) + moffat_star(33.0, 8.0, 5e4)
    stars = measure_stars(
        image, np.zeros(image.shape, np.uint8), np.array([20, 21, 33]), np.array([20, 20, 8]), np.full(3, NOISE),
        fwhm_pix=FWHM, flux_variance=1.0,
    )  # fmt: skip
    assert np.round(stars["x"]).tolist() == [20, 33]


def test_holes_are_filled_with_their_nearest_neighbours():
    image = np.arange(400, dtype=np.float32).reshape(20, 20)
    flags = np.zeros(image.shape, np.uint8)
    flags[5, 5] = flags[5, 6] = PixelFlag.BAD
    flags[10, 10] = PixelFlag.SATURATED
    flags[12:, :] = PixelFlag.NONFINITE
    flags[0, 0] = PixelFlag.COSMIC_RAY
    filled = fill_unusable(image, flags)
    untouched = (flags == 0) | (flags == PixelFlag.SATURATED)
    np.testing.assert_array_equal(filled[untouched], image[untouched])
    # Left and above and below one step away, to the right two steps: weights 1, 1, 1 and 1/4.
    assert filled[5, 5] == pytest.approx((104 + 85 + 125 + 107 / 4) / 3.25)
    assert filled[0, 0] == pytest.approx((1 + 20) / 2)
    # Five steps and no farther.
    assert filled[16, 7] == image[11, 7]
    assert (filled[17:] == 0).all()


def test_width_of_stars_of_unknown_size_and_of_hits():
    image = moffat_star(20.3, 19.8, 1e5, fwhm=5.0, size=61) + moffat_star(44.0, 44.0, 5e4, fwhm=5.0, size=61)
    image[10, 50] += 1000.0
    flags = np.zeros(image.shape, np.uint8)
    fwhm, extended = adaptive_fwhm(image, flags, np.array([20, 44, 50, 0]), np.array([20, 44, 10, 30]))
    np.testing.assert_allclose(fwhm[:2], 5.0, rtol=0.05)
    assert extended.tolist() == [True, True, False, False]
    assert np.isnan(fwhm[3])


def test_width_of_very_wide_stars_and_of_a_peak_beside_one():
    for fwhm in (8.0, 18.0):
        image = moffat_star(60.2, 59.7, 1e6, fwhm=fwhm, size=121)
        found, _ = adaptive_fwhm(image, np.zeros(image.shape, np.uint8), np.array([60]), np.array([60]))
        assert found[0] == pytest.approx(fwhm, rel=0.06)
    # A peak of the noise in the wing of a bright star would be given the star's width: it is no star.
    image = moffat_star(60.0, 60.0, 1e6, fwhm=4.0, size=121)
    image[60, 71] += 100.0
    found, _ = adaptive_fwhm(image, np.zeros(image.shape, np.uint8), np.array([60, 71]), np.array([60, 60]))
    assert found[0] == pytest.approx(4.0, rel=0.05)
    assert not found[1] < 5.0
