import numpy as np
import pytest

from gaiaflux.core.stars.deep_kernels import fit_sweeps, near_known, profile_chi2

SHAPE = (61, 81)
FWHM, BETA, NOISE = 4.0, 3.5, 8.0
A2 = (0.5 * FWHM) ** 2 / (2 ** (1 / BETA) - 1)
# Exponent, then the shape: longer along x than along y.
PROFILE = np.array([BETA, 0.8, 0.1, (1 + 0.1**2) / 0.8])


def light(x, y, flux, profile=PROFILE):
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = np.zeros(SHAPE)
    for k in range(len(x)):
        dx, dy = xx - x[k], yy - y[k]
        u = 1 + (profile[1] * dx**2 + 2 * profile[2] * dx * dy + profile[3] * dy**2) / A2
        image += flux[k] * (profile[0] - 1) / np.pi / A2 * u ** -profile[0]
    return image


def sweep(image, x, y, flux, unusable=None, sweeps=6, noise=NOISE, flux_variance=1.0):
    """Residual, model, parameters and errors after sweeps from a first guess."""
    residual, model = image.astype(np.float32), np.zeros(SHAPE, np.float32)
    parameters = np.stack([flux, x, y], axis=1).astype(float)
    errors = np.zeros((len(x), 3))
    unusable = np.zeros(SHAPE, np.uint8) if unusable is None else unusable
    fit_sweeps(
        residual, unusable, model, parameters, parameters[:, 1:].copy(), errors, np.full(len(x), A2), PROFILE,
        np.full(len(x), noise), flux_variance, FWHM, sweeps,
    )  # fmt: skip
    return residual, model, parameters, errors


def test_blended_stars_are_taken_apart():
    x, y = np.array([30.2, 35.0, 32.1, 70.6, 3.0]), np.array([30.4, 31.1, 34.7, 12.3, 57.5])
    flux = np.array([2e5, 9e4, 4e4, 1e4, 8e4])
    image = light(x, y, flux)
    residual, model, parameters, _ = sweep(image, x + 0.4, y - 0.3, 0.8 * flux, sweeps=40)
    np.testing.assert_allclose(parameters[:, 0], flux, rtol=0.01)
    np.testing.assert_allclose(parameters[:, 1], x, atol=0.02)
    np.testing.assert_allclose(parameters[:, 2], y, atol=0.02)
    # What the stars hold and what they leave is the image.
    np.testing.assert_allclose(residual + model, image, atol=0.02)
    assert np.abs(residual).max() < 0.02 * image.max()


def test_errors_are_the_scatter_of_repeated_images():
    x, y, flux = np.array([40.3]), np.array([29.8]), np.array([6e3])
    mean = light(x, y, flux)
    rng = np.random.default_rng(1)
    found, stated = [], []
    for _ in range(300):
        image = mean + rng.normal(0, np.sqrt(NOISE**2 + mean))
        _, _, parameters, errors = sweep(image, x, y, flux)
        found.append(parameters[0])
        stated.append(errors[0])
    np.testing.assert_allclose(np.std(found, axis=0), np.median(stated, axis=0), rtol=0.15)
    pull = (np.mean(found, axis=0) - [flux[0], x[0], y[0]]) / np.std(found, axis=0)
    assert (np.abs(pull) < 0.25).all()


@pytest.mark.parametrize("place", [(40.0, 30.0), (2.0, 30.0), (40.0, 58.0)])
def test_a_star_is_fitted_on_the_pixels_around_it_alone(place):
    x, y, flux = np.array([place[0]]), np.array([place[1]]), np.array([5e4])
    image = light(x, y, flux)
    _, _, alone, errors = sweep(image, x + 0.2, y, flux)
    # The stamp of the fit reaches 1.2 FWHM: 5 pixels.
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
    far = np.maximum(np.abs(xx - x[0]), np.abs(yy - y[0])) > 6.5
    _, _, beside, of_these = sweep(image + np.where(far, 1e7, 0.0), x + 0.2, y, flux)
    np.testing.assert_allclose(beside, alone, rtol=1e-6)
    np.testing.assert_allclose(of_these, errors, rtol=1e-6)
    np.testing.assert_allclose(alone[0], [flux[0], x[0], y[0]], rtol=0.01)


def test_unusable_pixels_do_not_matter():
    x, y, flux = np.array([40.3]), np.array([29.8]), np.array([5e4])
    unusable = np.zeros(SHAPE, np.uint8)
    unusable[28, 38:42] = unusable[31, 42] = 1
    holed = np.where(unusable > 0, -3e4, light(x, y, flux))
    _, _, parameters, errors = sweep(holed, x + 0.2, y, 0.9 * flux, unusable, sweeps=10)
    np.testing.assert_allclose(parameters[0], [flux[0], x[0], y[0]], rtol=2e-3)
    assert errors[0, 0] > 1.02 * sweep(light(x, y, flux), x, y, flux)[3][0, 0]


def test_a_star_that_walks_off_returns_and_none_is_negative():
    x, y, flux = np.array([40.0]), np.array([30.0]), np.array([2e4])
    # All of the light is four pixels to the right of where the star is said to be.
    _, _, parameters, _ = sweep(light(x + 4.0, y, flux), x, y, flux, sweeps=30)
    assert abs(parameters[0, 1] - 40.0) <= 0.6 * FWHM
    hole = -light(x, y, flux)
    _, model, parameters, _ = sweep(hole, x, y, 0.1 * flux)
    assert parameters[0, 0] == 0.0
    np.testing.assert_allclose(model, 0.0, atol=1e-2)


def test_a_star_without_light_has_the_error_of_a_flux_at_a_known_place():
    x, y = np.array([40.0]), np.array([30.0])
    _, _, parameters, errors = sweep(-light(x, y, np.array([1e3])), x, y, np.zeros(1), sweeps=1, flux_variance=0.0)
    assert parameters[0].tolist() == [0.0, 40.0, 30.0]
    profile = light(x, y, np.ones(1))[25:36, 35:46]  # the stamp of the fit
    assert errors[0, 0] == pytest.approx(NOISE / np.sqrt((profile**2).sum()), rel=1e-5)
    assert errors[0, 1:].tolist() == [0.0, 0.0]


def test_the_right_profile_has_the_least_chi_squared():
    x, y, flux = np.array([20.3, 55.0]), np.array([29.8, 40.2]), np.array([5e4, 2e4])
    rng = np.random.default_rng(2)
    mean = light(x, y, flux)
    image = (mean + rng.normal(0, np.sqrt(NOISE**2 + mean))).astype(np.float32)
    unusable = np.zeros(SHAPE, np.uint8)
    unusable[30, 22] = 1
    image[30, 22] = 1e6

    def chi2_of(profile):
        parameters, chi2 = np.stack([0.9 * flux, x + 0.2, y - 0.2], axis=1), np.empty(2)
        a2 = np.full(2, (0.5 * FWHM) ** 2 / (2 ** (1 / profile[0]) - 1))
        profile_chi2(image, unusable, a2, profile, np.full(2, NOISE), 1.0, parameters, np.zeros(3), chi2)
        return parameters, chi2

    parameters, right = chi2_of(PROFILE)
    np.testing.assert_allclose(right, 1.0, atol=0.15)
    np.testing.assert_allclose(parameters[:, 0], flux, rtol=0.03)
    np.testing.assert_allclose(parameters[:, 1], x, atol=0.05)
    for wrong in (np.array([BETA, 1.0, 0.0, 1.0]), np.array([BETA, PROFILE[3], 0.1, PROFILE[1]])):
        assert (chi2_of(wrong)[1] > 1.2 * right).all()
    # A wild pixel counts for no more than five sigma: 25 over a stamp of some 700 pixels.
    unusable[30, 22] = 0
    assert (chi2_of(PROFILE)[1] < 1.2)[1]
    assert chi2_of(PROFILE)[1][0] < 20.0


def test_points_near_a_known_one():
    known_x, known_y = np.array([10.0, 30.0, 12.0, 50.0]), np.array([5.0, 5.0, 20.0, 40.0])
    found_x = np.array([12.9, 13.1, 30.0, 12.0, 50.0, 0.0])
    found_y = np.array([5.0, 5.0, 8.1, 17.1, 42.9, 99.0])
    keep = np.ones(6, bool)
    near_known(known_x, known_y, found_x, found_y, 3.0, keep)
    assert keep.tolist() == [False, True, True, False, False, True]
