"""Fit of a single star against plain sums over its pixels."""

import numpy as np
import pytest

from gaiaflux.core.image.background import Background
from gaiaflux.core.stars.cosmic_rays import flag_cosmic_rays
from gaiaflux.core.stars.detection import _mode, convolve, detect_stars, estimate_fwhm, matched_filter, summarise_stars
from gaiaflux.core.stars.single_star import _distinct, adaptive_fwhm, measure_stars
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.flags import PixelFlag, StarFlag
from gaiaflux.model.stars import STAR_DTYPE

FWHM, NOISE = 4.0, 10.0
YY, XX = np.mgrid[:41, :41].astype(float)
A2 = (0.5 * FWHM) ** 2 / (2 ** (1 / 3) - 1)


def star(x, y, flux, a2=A2):
    return flux * 2 / np.pi / a2 * (1 + ((XX - x) ** 2 + (YY - y) ** 2) / a2) ** -3


def measure(image, x=20, y=20, flags=None, fwhm=FWHM):
    flags = np.zeros(image.shape, np.uint8) if flags is None else flags
    given = np.array([x]), np.array([y]), np.array([NOISE])
    return measure_stars(image.astype(np.float32), flags, *given, fwhm_pix=fwhm, flux_variance=0.5)


@pytest.mark.parametrize("masked", [(), ((20, 21), (18, 20), (25, 14))])
def test_errors_are_those_of_least_squares_on_the_pixels_within_one_and_a_half_widths(masked):
    x, y, flux = 20.3, 19.8, 2e4
    flags = np.zeros(XX.shape, np.uint8)
    for place in masked:
        flags[place] = PixelFlag.BAD
    found = measure(star(x, y, flux), flags=flags)[0]
    near = (np.abs(XX - 20) <= 6) & (np.abs(YY - 20) <= 6) & (flags == 0)
    step = 1e-4
    design = [
        star(x, y, 1.0),
        (star(x + step, y, flux) - star(x - step, y, flux)) / (2 * step),
        (star(x, y + step, flux) - star(x, y - step, flux)) / (2 * step),
    ]
    design = (
        np.stack([column[near] for column in design], axis=1)
        / np.sqrt(NOISE**2 + 0.5 * star(x, y, flux)[near])[:, None]
    )
    sigma = np.sqrt(np.diag(np.linalg.inv(design.T @ design)))
    np.testing.assert_allclose([found["flux"], found["x"], found["y"]], [flux, x, y], rtol=1e-5)
    np.testing.assert_allclose([found["flux"] / found["snr"], found["x_err"], found["y_err"]], sigma, rtol=1e-3)
    assert found["peak"] == pytest.approx(star(x, y, flux)[19:22, 19:22].max(), rel=1e-5)


@pytest.mark.parametrize("shape", [(1.0, 0.0, 1.0), (0.7, 0.1, 1.3), (1.2, -0.2, 0.9)])
def test_shape_from_the_moments_in_a_gaussian_window(shape):
    x, y = 20.0, 20.0
    u = 1 + (shape[0] * (XX - x) ** 2 + 2 * shape[1] * (XX - x) * (YY - y) + shape[2] * (YY - y) ** 2) / A2
    image = 5e3 * u**-3.0
    found = measure(image)[0]
    sigma = FWHM / 2.0832
    half = int(np.ceil(3 * sigma))
    cut = slice(20 - half, 20 + half + 1)
    dx, dy = (XX - found["x"])[cut, cut], (YY - found["y"])[cut, cut]
    weight = (np.exp(-0.5 * (dx**2 + dy**2) / sigma**2) * image[cut, cut]).ravel()
    moments = [np.average((a * b).ravel(), weights=weight) for a, b in ((dx, dx), (dx, dy), (dy, dy))]
    inverse = np.linalg.inv([[moments[0], moments[1]], [moments[1], moments[2]]]) - np.eye(2) / sigma**2
    long, short = np.sqrt(1.0 / np.linalg.eigvalsh(inverse))
    assert found["fwhm"] == pytest.approx(2.0832 * np.sqrt(long * short), rel=1e-3)
    assert found["ellipticity"] == pytest.approx(1 - short / long, abs=1e-3)


@pytest.mark.parametrize(("place", "whole"), [(6, True), (34, True), (5, False), (35, False)])
def test_a_shape_needs_the_whole_window(place, whole):
    # Three sigma of the window are six pixels to every side; without them a star has the width of the others.
    narrow = (0.5 * 3.0) ** 2 / (2 ** (1 / 3) - 1)
    for x, y in ((place, 20), (20, place)):
        found = measure(star(x, y, 1e5, narrow), x, y)[0]
        assert (found["fwhm"] == FWHM) != whole


@pytest.mark.parametrize(("sigmas", "hit"), [(5.0, False), (7.2, True)])
def test_a_hit_stands_six_sigma_out_of_profile_noise_and_a_fifth_of_the_peak(sigmas, hit):
    model = star(20.0, 20.0, 1e5)
    place = (20, 23)
    sigma = np.sqrt(NOISE**2 + 0.5 * model[place] + (0.2 * 1e5 * 2 / np.pi / A2) ** 2)
    image = model.copy()
    image[place] += sigmas * sigma
    assert bool(measure(image)[0]["flags"] & StarFlag.COSMIC_RAY) == hit
    # Farther than one width the star is not asked.
    image = model.copy()
    image[20, 25] += 20.0 * sigma
    assert not measure(image)[0]["flags"] & StarFlag.COSMIC_RAY


@pytest.mark.parametrize(("gap", "n"), [(1.9, 1), (2.1, 2)])
def test_the_weaker_of_two_stars_that_are_half_a_width_apart_goes(gap, n):
    for axis, other in (("x", "y"), ("y", "x")):
        for snr, kept in (((50.0, 60.0), [False, True]), ((60.0, 50.0), [True, False])):
            table = np.zeros(2, STAR_DTYPE)
            table[axis], table[other], table["snr"] = [10.0 + gap, 10.0], 5.0, snr
            assert _distinct(table, 2.0).tolist() == (kept if n == 1 else [True, True])


def adaptive(image, x=20, y=20):
    fwhm, extended = adaptive_fwhm(image.astype(np.float32), np.zeros(image.shape, np.uint8), *np.array([[x], [y]]))
    return fwhm[0], bool(extended[0])


def test_width_of_a_gaussian_by_adaptive_moments():
    for sigma in (1.2, 2.0, 3.1):
        image = 1e4 * np.exp(-0.5 * ((XX - 20.2) ** 2 + (YY - 19.9) ** 2) / sigma**2)
        assert adaptive(image)[0] == pytest.approx(2.0832 * sigma, rel=0.02)
    # A pixel alone is the narrowest that there is, and none where the window leaves the image.
    assert np.isnan(adaptive(1e4 * np.exp(-0.5 * ((XX - 3) ** 2 + (YY - 20) ** 2) / 4.0), 3, 20)[0])


def test_five_of_nine_pixels_above_a_seventh_of_the_peak_are_no_hit():
    image = np.zeros(XX.shape)
    image[20, 20] = 100.0
    for k, place in enumerate(((19, 20), (21, 20), (20, 19), (20, 21))):
        assert not adaptive(image)[1], k
        image[place] = 16.0
    assert adaptive(image)[1]
    image[20, 21] = 14.0
    assert not adaptive(image)[1]
    for x, y in ((0, 20), (20, 0), (40, 20), (20, 40)):
        assert not adaptive(np.ones(XX.shape), x, y)[1]
    for x, y in ((1, 20), (20, 1), (39, 20), (20, 39)):
        assert adaptive(np.ones(XX.shape), x, y)[1]


def test_a_convolution_with_a_gaussian_of_five_sigma_width():
    image = np.random.default_rng(1).normal(size=(30, 26)).astype(np.float32)
    for sigma in (0.3, 1.3, 2.4):
        half = max(1, int(np.ceil(2.5 * sigma)))
        taps = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
        taps /= taps.sum()
        padded = np.pad(image.astype(float), half)
        expected = sum(
            taps[j] * taps[i] * padded[j : j + 30, i : i + 26] for j in range(len(taps)) for i in range(len(taps))
        )
        np.testing.assert_allclose(convolve(image, sigma), expected, atol=1e-5)
        _, factor = matched_filter(image, 2.0 * np.sqrt(2.0 * np.log(2.0)) * sigma)
        # In each direction the noise falls by the root of the sum of squares.
        assert factor == pytest.approx((taps**2).sum(), rel=1e-5)


def test_the_half_sample_mode():
    assert _mode(np.array([1.0, 2.0, 9.0])) == 2.0
    # Of ten values the closest five are 4.0 to 4.4.
    values = np.array([1.0, 2.0, 4.0, 4.1, 4.2, 4.3, 4.4, 7.0, 9.0, 12.0])
    assert _mode(values) == pytest.approx(4.2)
    assert _mode(values[:8]) == pytest.approx(4.15)
    # Fewer than nine are taken as they are.
    assert _mode(np.array([1, 1, 1, 1, 5, 6, 7, 9.0])) == 3.0


def table(n, **columns):
    stars = np.zeros(n, STAR_DTYPE)
    for name, values in columns.items():
        stars[name] = values
    return stars


def test_the_good_stars_tell_the_seeing():
    snr = np.array([10.0, 30.0, 24.0, 100.0, 26.0, 40.0])
    fwhm = np.array([9.0, 3.0, 8.0, 4.0, 5.0, 7.0])
    stars = table(6, snr=snr, fwhm=fwhm, ellipticity=0.1 * fwhm)
    stars["flags"][5] = 1
    found = summarise_stars(stars, 10)
    # Unflagged ones above a signal to noise of 25, or of the median where that is less.
    assert (found.fwhm_pix, found.ellipticity) == (4.0, pytest.approx(0.4))
    assert found.stars["snr"].tolist() == sorted(snr, reverse=True)
    assert summarise_stars(stars, 2).stars["snr"].tolist() == [100.0, 40.0]
    faint = table(5, snr=[1, 2, 3, 4, 5], fwhm=[9, 9, 9, 4, 6])
    assert summarise_stars(faint, 10).fwhm_pix == 5.0
    flagged = table(2, snr=[30, 40], fwhm=[3, 5], flags=1)
    assert summarise_stars(flagged, 10).fwhm_pix == 4.0
    with pytest.raises(BadFrameError, match="no stars found"):
        summarise_stars(table(0), 10)


def sky(shape, rms=NOISE):
    return Background(np.zeros((1, 1), np.float32), np.full((1, 1), rms, np.float32), 600, shape)


def many(places, height, fwhm=4.0, shape=(121, 121)):
    yy, xx = np.mgrid[: shape[0], : shape[1]].astype(float)
    a2 = (0.5 * fwhm) ** 2 / (2 ** (1 / 3) - 1)
    image = np.zeros(shape)
    for k, (x, y) in enumerate(places):
        image += np.broadcast_to(height, len(places))[k] * (1 + ((xx - x) ** 2 + (yy - y) ** 2) / a2) ** -3
    return image.astype(np.float32)


GRID = [(x, y) for y in (20.0, 60.0, 100.0) for x in (20.0, 60.0, 100.0)]


def test_stars_of_fifteen_sigma_tell_the_seeing_or_fainter_ones_where_they_are_few():
    flags = np.zeros((121, 121), np.uint8)
    # Five of them are enough; of four the fainter ones are asked, too, but none below six sigma.
    for bright, height, expected in ((5, 145.0, 4.0), (4, 145.0, 6.0), (4, 55.0, 4.0)):
        image = many(GRID[:bright], 155.0) + many(GRID[4 if bright < 5 else 5 :], height, 6.0)
        found = estimate_fwhm(image, flags, sky(image.shape))
        assert found == pytest.approx(expected, rel=0.1), (bright, height)
    assert np.isnan(estimate_fwhm(np.zeros_like(image), flags, sky(image.shape)))
    # A flagged peak is none.
    spoiled = flags.copy()
    spoiled[20, 20] = 1
    image = many(GRID[:5], 155.0) + many(GRID[5:], 145.0, 6.0)
    assert estimate_fwhm(image, spoiled, sky(image.shape)) > 4.5


def test_a_star_is_a_peak_of_the_filter_whose_fit_has_seven_tenths_of_the_limit():
    flags = np.zeros((121, 121), np.uint8)
    image = many(GRID, 100.0)
    filtered, factor = matched_filter(image, 4.0)
    snr = float(filtered[20, 20]) / factor / NOISE
    given = {"flux_variance": 0.0, "fwhm_pix": 4.0}
    for limit, n in ((0.99 * snr, 9), (1.01 * snr, 0)):
        if n:
            assert len(detect_stars(image, flags, sky(image.shape), min_snr=limit, max_stars=50, **given).stars) == n
        else:
            with pytest.raises(BadFrameError, match="no stars found"):
                detect_stars(image, flags, sky(image.shape), min_snr=limit, max_stars=50, **given)
    assert len(detect_stars(image, flags, sky(image.shape), min_snr=5.0, max_stars=4, **given).stars) == 4
    # With photons counted in, the fit's own signal to noise may be far below that of the filter.
    fitted = detect_stars(image, flags, sky(image.shape), min_snr=1.0, max_stars=50, flux_variance=9.0, fwhm_pix=4.0)
    own = float(np.median(fitted.stars["snr"]))
    assert own < 0.6 * snr
    for limit, n in ((0.98 * own / 0.7, 9), (1.02 * own / 0.7, 0)):
        assert limit < 0.99 * snr
        keywords = {"min_snr": limit, "max_stars": 50, "flux_variance": 9.0, "fwhm_pix": 4.0}
        if n:
            assert len(detect_stars(image, flags, sky(image.shape), **keywords).stars) == n
        else:
            with pytest.raises(BadFrameError):
                detect_stars(image, flags, sky(image.shape), **keywords)


@pytest.mark.parametrize("fwhm", [1.6, 3.0])
def test_a_hit_is_sharper_than_a_star_by_three_tenths_of_the_way(fwhm):
    a2 = (0.5 * fwhm) ** 2 / (2 ** (1 / 3) - 1)
    of_star = 1.0 - (1.0 + 1.0 / a2) ** -3
    contrast = of_star + 0.3 * (1.0 - of_star)
    for change, hit in ((0.01, True), (-0.01, False)):
        image = np.full((20, 20), 1e4 * (1.0 - contrast - change), np.float32)
        image[10, 10] = 1e4
        given = {"fwhm_pix": fwhm, "flux_variance": 0.0}
        found, _ = flag_cosmic_rays(image, np.zeros(image.shape, np.uint8), sky(image.shape), **given)
        assert (found[10, 10] > 0) == hit
    image[10, 10] = 1e6
    given = {"fwhm_pix": 1.59, "flux_variance": 0.0}
    assert not flag_cosmic_rays(image, np.zeros(image.shape, np.uint8), sky(image.shape), **given)[0].any()


@pytest.mark.parametrize(("flux", "seen"), [(0.5, True), (-0.5, False)])
def test_a_star_has_any_positive_flux(flux, seen):
    found = measure(star(20.0, 20.0, flux))[0]
    assert np.isfinite(found["x"]) == seen
    if seen:
        assert found["flux"] == pytest.approx(flux, rel=1e-4)


@pytest.mark.parametrize("place", [(20, 20), (4, 20), (20, 4), (36, 20), (20, 36), (1, 1), (39, 39)])
def test_what_lies_beyond_six_pixels_does_not_matter(place):
    image = star(place[0] + 0.3, place[1] - 0.2, 1e5)
    far = (np.abs(XX - place[0]) > 6) | (np.abs(YY - place[1]) > 6)
    alone, beside = measure(image, *place), measure(np.where(far, 1e7, image), *place)
    assert np.isfinite(alone["x"]).all()
    for name in STAR_DTYPE.names:
        assert alone[name][0] == beside[name][0], name


def test_bright_pixels_elsewhere_do_not_share_the_light_of_a_hit():
    image = star(20.0, 20.0, 1e5)
    image[20, 23] += 2e4
    image[19:22, :8] = image[19:22, 33:] = image[:8, 22:25] = image[33:, 22:25] = 1e5
    assert measure(image)[0]["flags"] & StarFlag.COSMIC_RAY
