"""Steps of the deep star list, each with a known answer."""

import numpy as np
import pytest

from gaiaflux.core.image.background import Background
from gaiaflux.core.psf.moffat import core_radius2
from gaiaflux.core.stars.deep_kernels import fit_sweeps, profile_chi2
from gaiaflux.core.stars.deep_list import (
    EXPONENTS,
    ROUND,
    _best_profile,
    _is_sharp,
    _join,
    _mean_shape,
    _new_peaks,
    _normalised,
    _solve,
    _width_surface,
)
from gaiaflux.core.stars.deep_list import _Fitted as Fitted
from gaiaflux.core.stars.deep_list import _Scene as Scene
from gaiaflux.core.stars.detection import matched_filter
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.stars import STAR_DTYPE

SHAPE = (81, 101)
FWHM, NOISE = 4.0, 8.0
YY, XX = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)


def light(x, y, flux, profile, a2):
    dx, dy = XX - x, YY - y
    u = 1 + (profile[1] * dx**2 + 2 * profile[2] * dx * dy + profile[3] * dy**2) / a2
    return flux * (profile[0] - 1) / np.pi / a2 * u ** -profile[0]


def swept(image, x, y, flux, profile, *, sweeps=1, flux_variance=1.0, start=None, unusable=None):
    a2 = core_radius2(FWHM, profile[0])
    residual, model = image.astype(np.float32), np.zeros(SHAPE, np.float32)
    parameters, errors = np.array([[flux, x, y]], float), np.zeros((1, 3))
    start = parameters[:, 1:].copy() if start is None else np.array([start], float)
    unusable = np.zeros(SHAPE, np.uint8) if unusable is None else unusable
    fit_sweeps(
        residual, unusable, model, parameters, start, errors, np.full(1, a2), profile, np.full(1, NOISE),
        flux_variance, FWHM, sweeps,
    )  # fmt: skip
    return residual, model, parameters[0], errors[0]


PROFILES = [np.array([3.0, 0.8, 0.1, (1 + 0.1**2) / 0.8]), np.array([2.5, 1.4, -0.2, (1 + 0.2**2) / 1.4])]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_sweep_is_one_step_of_least_squares_on_the_pixels_around(profile):
    rng = np.random.default_rng(1)
    x, y, flux, a2 = 50.3, 40.2, 2e4, core_radius2(FWHM, profile[0])
    image = light(50.55, 40.05, 2.2e4, profile, a2) + rng.normal(0, NOISE, SHAPE)
    unusable = (rng.random(SHAPE) < 0.05).astype(np.uint8)
    _, _, found, errors = swept(image, x, y, flux, profile, unusable=unusable)
    near = (np.abs(XX - 50) <= 5) & (np.abs(YY - 40) <= 5) & (unusable == 0)
    own = light(x, y, flux, profile, a2)
    step = 1e-5
    columns = [
        own / flux,
        (light(x + step, y, flux, profile, a2) - light(x - step, y, flux, profile, a2)) / (2 * step),
        (light(x, y + step, flux, profile, a2) - light(x, y - step, flux, profile, a2)) / (2 * step),
    ]
    root = 1.0 / np.sqrt(NOISE**2 + own[near])
    design = np.stack([column[near] * root for column in columns], axis=1)
    covariance = np.linalg.inv(design.T @ design)
    change = covariance @ (design.T @ ((image - own)[near] * root))
    assert np.abs(change[1:]).max() < 0.2 * np.sqrt(a2)
    np.testing.assert_allclose(found, np.array([flux, x, y]) + change, rtol=1e-4)
    np.testing.assert_allclose(errors, np.sqrt(np.diag(covariance)), rtol=1e-3)


def test_a_step_is_at_most_a_fifth_of_the_core_and_a_walk_at_most_six_tenths_of_the_width():
    profile = np.array([3.0, 1.0, 0.0, 1.0])
    a2 = core_radius2(FWHM, 3.0)
    image = light(53.0, 37.0, 1e5, profile, a2)
    _, _, found, _ = swept(image, 50.0, 40.0, 1e5, profile)
    np.testing.assert_allclose(found[1:], [50.0 + 0.2 * np.sqrt(a2), 40.0 - 0.2 * np.sqrt(a2)], rtol=1e-6)
    # 2.4 pixels off its peak it stays, farther off it returns.
    there = light(50.0, 40.0, 1e5, profile, a2)
    for off, back in ((2.3, False), (2.5, True)):
        for axis in range(2):
            start = np.array([50.0, 40.0])
            start[axis] += off
            _, _, found, _ = swept(there, 50.0, 40.0, 1e5, profile, start=start)
            np.testing.assert_allclose(found[1:], start if back else [50.0, 40.0], atol=1e-4)


@pytest.mark.parametrize(("q_xx", "axis"), [(0.64, 1), (1.5625, 0)])
def test_a_star_reaches_to_a_fifth_of_the_noise_along_its_longer_axis(q_xx, axis):
    profile, a2 = np.array([3.0, q_xx, 0.0, 1 / q_xx]), core_radius2(FWHM, 3.0)
    flux = 3e3
    image = light(50.0, 40.0, flux, profile, a2)
    _, model, _, _ = swept(image, 50.0, 40.0, flux, profile)
    line = image[40, 50:] if axis else image[40:, 50]
    bright = int(np.flatnonzero(line > 0.2 * NOISE).max())
    assert 7 < bright < 30
    held = np.argwhere(model != 0)
    # A square around the star that ends with the next pixel.
    assert held.min(axis=0).tolist() == [40 - bright - 1, 50 - bright - 1]
    assert held.max(axis=0).tolist() == [40 + bright + 1, 50 + bright + 1]
    # A faint one has one and a half widths.
    _, model, _, _ = swept(light(50.0, 40.0, 10.0, profile, a2), 50.0, 40.0, 10.0, profile)
    assert np.argwhere(model != 0).min(axis=0).tolist() == [40 - 7, 50 - 7]


def test_chi_squared_of_a_profile_over_four_core_radii():
    rng = np.random.default_rng(3)
    profile, a2 = PROFILES[0], core_radius2(FWHM, 3.0)
    image = (light(50.3, 40.2, 2e4, profile, a2) + rng.normal(0, NOISE, SHAPE)).astype(np.float32)
    image[45, 60] += 1e4
    unusable = np.zeros(SHAPE, np.uint8)
    unusable[38:40, 44] = 1
    image[unusable > 0] = -1e5
    parameters, chi2 = np.array([[1.9e4, 50.3, 40.2]]), np.zeros(1)
    profile_chi2(image, unusable, np.full(1, a2), profile, np.full(1, NOISE), 1.0, parameters, np.zeros(3), chi2)
    model = light(parameters[0, 1], parameters[0, 2], parameters[0, 0], profile, a2)
    half = int(np.ceil(4.0 * np.sqrt(a2)))
    near = (np.abs(XX - 50) <= half) & (np.abs(YY - 40) <= half) & (unusable == 0)
    ratio = np.minimum((image - model) ** 2 / (NOISE**2 + model), 25.0)
    assert chi2[0] == pytest.approx(ratio[near].mean(), rel=1e-5)


def table(n, **columns):
    stars = np.zeros(n, STAR_DTYPE)
    stars["snr"], stars["fwhm"], stars["flux"] = 100.0, FWHM, 1e4
    for name, values in columns.items():
        stars[name] = values
    return stars


def test_the_width_over_the_field_follows_thirty_clean_bright_stars():
    rng = np.random.default_rng(4)
    x, y = rng.uniform(0, 100, 40), rng.uniform(0, 80, 40)
    u, v = x / 50 - 1, y / 40 - 1
    truth = np.array([4.0, 0.1, -0.08, 0.05, 0.03, -0.06])
    width = truth @ np.array([np.ones(40), u, v, u * u, u * v, v * v])
    stars = table(40, x=x, y=y, fwhm=width)
    np.testing.assert_allclose(_width_surface(stars, SHAPE, FWHM), truth, atol=1e-4)
    assert _width_surface(stars[:29], SHAPE, FWHM).tolist() == [FWHM, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(_width_surface(stars[:30], SHAPE, FWHM), truth, atol=1e-4)
    for name, value in (("flags", 1), ("snr", 49.0), ("fwhm", 4.65), ("fwhm", 3.35)):
        spoiled = table(30, x=x[:30], y=y[:30], fwhm=FWHM)
        spoiled[name][3] = value
        assert _width_surface(spoiled, SHAPE, FWHM).tolist() == [FWHM, 0, 0, 0, 0, 0]
    for name, value in (("snr", 51.0), ("fwhm", 4.55), ("fwhm", 3.45)):
        fine = table(30, x=x[:30], y=y[:30], fwhm=FWHM + 0.01 * u[:30])
        fine[name][3] = value
        assert _width_surface(fine, SHAPE, FWHM)[1] != 0.0
    # Single ones that are wider do not bend it.
    stars["fwhm"] += 0.004 * rng.normal(size=40)
    stars["fwhm"][::10] += 0.3
    np.testing.assert_allclose(_width_surface(stars, SHAPE, FWHM), truth, atol=0.01)


def gaussians(places, xx, xy, yy):
    image = np.zeros(SHAPE)
    det = xx * yy - xy * xy
    for x, y in places:
        dx, dy = XX - x, YY - y
        image += 1000 * np.exp(-0.5 * (yy * dx**2 - 2 * xy * dx * dy + xx * dy**2) / det)
    return image.astype(np.float32)


def test_the_mean_shape_is_the_inverse_of_the_moments_with_determinant_one():
    places = [(20.3, 20.1), (50.0, 20.4), (80.2, 20.0), (20.0, 60.2), (50.4, 60.0), (80.1, 60.3)]
    x, y = np.array(places).T
    image, clean = gaussians(places, 3.2, 0.6, 2.4), np.zeros(SHAPE, np.uint8)
    expected = np.array([2.4, -0.6, 3.2]) / np.sqrt(3.2 * 2.4 - 0.36)
    np.testing.assert_allclose(_mean_shape(image, clean, x, y, FWHM), expected, atol=0.03)
    # Five stars tell it, whole ones inside of the image.
    np.testing.assert_allclose(_mean_shape(image, clean, x[:5], y[:5], FWHM), expected, atol=0.03)
    assert _mean_shape(image, clean, x[:4], y[:4], FWHM) is ROUND
    bad = clean.copy()
    bad[60 - 6, 80 + 6] = 1  # 1.3 widths are six pixels
    assert _mean_shape(image, bad, x[1:], y[1:], FWHM) is ROUND
    bad[:] = 0
    bad[60 - 7, 80] = 1
    assert _mean_shape(image, bad, x[1:], y[1:], FWHM) is not ROUND
    for edge, seen in ((6.0, True), (5.0, False)):
        for place in ((edge, 40.0), (100 - edge, 40.0), (50.0, edge), (50.0, 80 - edge)):
            at = [*places[:4], place]
            found = _mean_shape(gaussians(at, 3.2, 0.6, 2.4), clean, *np.array(at).T, FWHM)
            assert (found is not ROUND) == seen


def test_a_shape_without_a_determinant_is_round():
    np.testing.assert_allclose(_normalised(np.array([4.0, 1.0, 1.25])), np.array([4.0, 1.0, 1.25]) / 2.0)
    for shape in ([1.0, 1.0, 1.0], [-1.0, 0.0, -1.0], [1.0, 2.0, 1.0]):
        assert _normalised(np.array(shape)) is ROUND


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_the_exponent_and_the_elongation_of_the_stars_are_found(exponent):
    truth = np.array([exponent, 0.8, 0.0, 1.25])
    shape = (81, 301)
    yy, xx = np.mgrid[: shape[0], : shape[1]].astype(float)
    x, y = np.meshgrid(np.arange(25.0, 300, 50), [20.0, 60.0])
    x, y = x.ravel() + 0.3, y.ravel() - 0.2
    a2 = core_radius2(FWHM, exponent)
    image = np.zeros(shape)
    for k in range(len(x)):
        u = 1 + (0.8 * (xx - x[k]) ** 2 + 1.25 * (yy - y[k]) ** 2) / a2
        image += 1e5 * (exponent - 1) / np.pi / a2 * u**-exponent
    stars = table(len(x), x=x, y=y, flux=1e5)
    surface = np.array([FWHM, 0, 0, 0, 0, 0])
    sky = Background(np.zeros((1, 1), np.float32), np.full((1, 1), 3.0, np.float32), 400, shape)
    given = (image.astype(np.float32), np.zeros(shape, np.uint8), sky)
    found = _best_profile(*given, stars, surface, 1.0, FWHM)
    assert found[0] == exponent
    np.testing.assert_allclose(found[1:], truth[1:], atol=0.1)
    # Of four stars it is not asked, nor of faint or flagged ones.
    for some in (stars[:4], table(len(x), x=x, y=y, snr=39.0), table(len(x), x=x, y=y, flags=1)):
        assert _best_profile(*given, some, surface, 1.0, FWHM).tolist() == [3.0, 1.0, 0.0, 1.0]
    faint = table(len(x), x=x, y=y, flux=1e5, snr=41.0)
    assert _best_profile(*given, faint[:5], surface, 1.0, FWHM)[0] == exponent


def scene(image, profile=(3.0, 1.0, 0.0, 1.0), flux_variance=1.0):
    sky = Background(np.zeros((1, 1), np.float32), np.full((1, 1), NOISE, np.float32), 400, image.shape)
    surface = np.array([FWHM, 0, 0, 0, 0, 0])
    unusable = np.zeros(image.shape, np.uint8)
    return Scene(image.astype(np.float32), unusable, sky, flux_variance, FWHM, surface, np.array(profile))


def test_peaks_of_what_is_left_stand_out_of_noise_photons_and_models():
    star = light(50.0, 40.0, 1.0, np.array([3.0, 1.0, 0.0, 1.0]), core_radius2(FWHM, 3.0)).astype(np.float32)
    filtered, factor = matched_filter(star, FWHM)
    height = float(filtered[40, 50])
    none = np.zeros(0, STAR_DTYPE)
    # A model light of 2000 in the pixel: photons, and three per cent of it that may be wrong.
    for model, noise in ((0.0, factor * NOISE), (2000.0, np.hypot(factor * np.sqrt(NOISE**2 + 0.5 * 2000.0), 60.0))):
        for snr, seen in ((5.05, True), (4.95, False)):
            residual = star * np.float32(snr * noise / height)
            fitted = Fitted(residual, np.full(SHAPE, model, np.float32), none)
            found = _new_peaks(scene(residual, flux_variance=0.5), fitted, 5.0)
            assert len(found) == seen
            if seen:
                assert (found["x"][0], found["y"][0]) == (50.0, 40.0)
                assert found["snr"][0] == pytest.approx(snr, rel=1e-4)
                assert found["peak"][0] == residual[40, 50]
                assert found["fwhm"][0] == FWHM
                # A rough one, to start from.
                assert found["flux"][0] == pytest.approx(snr * noise / height, rel=0.25)
    hit = np.zeros(SHAPE, np.float32)
    hit[40, 50] = 3000.0
    assert not len(_new_peaks(scene(hit), Fitted(hit, 0 * hit, none), 5.0))


def test_a_sharp_peak_has_its_light_in_less_than_five_of_nine_pixels():
    image = np.zeros((20, 20), np.float32)
    image[5, 5] = image[5, 15] = image[15, 5] = 100.0
    for k, (row, column) in enumerate(((4, 5), (6, 5), (5, 4), (5, 6))):
        image[row, column] = 16.0
        image[row, column + 10] = 16.0 if k else 14.0  # less than 15 % of the peak
        image[row + 10, column] = 16.0 if k < 3 else 0.0
    found = _is_sharp(image, np.array([5, 15, 5]), np.array([5, 5, 15]))
    assert found.tolist() == [False, True, True]


def test_found_stars_beside_known_ones_are_not_joined():
    known = table(3, x=[50.0, 20.0, 70.0], y=[60.0, 10.0, 30.0])
    found = table(4, x=[51.0, 20.0, 70.0, 5.0], y=[60.0, 11.5, 28.5, 5.0])
    assert _join(known, found, 1.4)["x"].tolist() == [20.0, 70.0, 5.0]
    assert _join(known, found, 1.6)["x"].tolist() == [5.0]
    assert len(_join(known[:0], found, 1.6)) == 4


def test_stars_that_stand_are_significant_or_saturated_and_on_the_image():
    profile = np.array([3.0, 1.0, 0.0, 1.0])
    a2 = core_radius2(FWHM, 3.0)
    x, y, flux = [50.0, 20.0, -0.8], [40.0, 20.0, 60.0], [2e4, 3e3, 1e5]
    image = sum(light(*star, profile, a2) for star in zip(x, y, flux, strict=True))
    start = {"x": [50.2, 20.1, 0.0, 80.0, 80.0], "y": [40.1, 20.0, 60.0, 20.0, 60.0], "flux": [*flux, 50.0, 50.0]}
    stars = table(5, **start)
    stars["flags"][4] = StarFlag.SATURATED
    fitted = _solve(scene(image), stars, 5.0)
    # Neither the one that lies beyond the edge nor the one of noise alone.
    assert sorted(np.round(fitted.stars["x"]).tolist())[:2] == [20.0, 50.0]
    assert fitted.stars["flags"].tolist() == [0, 0, StarFlag.SATURATED]
    by_x = fitted.stars[np.argsort(fitted.stars["x"])]
    np.testing.assert_allclose(by_x["flux"][:2], [3e3, 2e4], rtol=0.02)
    np.testing.assert_allclose(by_x["x"][:2], [20.0, 50.0], atol=0.02)
    assert (by_x["snr"][:2] > 5).all()
    np.testing.assert_allclose(fitted.residual[30:50, 40:60], 0.0, atol=15.0)
    assert (by_x["x_err"][:2] > 0).all()
