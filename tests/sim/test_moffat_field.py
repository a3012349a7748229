import numpy as np
import pytest

from gaiaflux.sim.moffat_field import PsfField, add_stars, optimal_sigma


def constant_psf(shape, fwhm, ellipticity=0.0, angle=0.0, beta=3.2):
    zero = np.zeros(5)
    return PsfField(
        shape,
        beta,
        np.r_[fwhm, zero],
        np.r_[ellipticity * np.cos(2 * angle), zero],
        np.r_[ellipticity * np.sin(2 * angle), zero],
    )


def crossing(profile, radius, level):
    """Radius at which a falling profile reaches a level."""
    return float(np.interp(-level, -profile, radius))


@pytest.mark.parametrize("fwhm", [2.7, 4.1, 6.4])
@pytest.mark.parametrize("flux", [300.0, 1e7])
def test_rendered_light_is_the_flux(fwhm, flux):
    shape = (1001, 1001)
    psf = constant_psf(shape, fwhm, 0.1, 0.7)
    for x, y in ((500.0, 500.0), (500.5, 499.5), (500.37, 500.81)):
        image = np.zeros(shape, dtype=np.float32)
        add_stars(image, psf, np.array([x]), np.array([y]), np.array([flux]), faintest=1.0)
        total = image.sum(dtype=np.float64)
        assert total == pytest.approx(flux, rel=1e-4)
        rows, columns = np.mgrid[: shape[0], : shape[1]]
        assert (image * columns).sum(dtype=np.float64) / total == pytest.approx(x, abs=0.01)
        assert (image * rows).sum(dtype=np.float64) / total == pytest.approx(y, abs=0.01)


def test_pixels_have_the_closed_form_and_wings_reach_far_enough():
    shape = (301, 301)
    fwhm, beta, flux, faintest = 5.0, 3.2, 3e6, 0.7
    psf = constant_psf(shape, fwhm, beta=beta)
    image = np.zeros(shape, dtype=np.float32)
    add_stars(image, psf, np.array([150.3]), np.array([149.6]), np.array([flux]), faintest=faintest)
    rows, columns = np.mgrid[:301, :301]
    alpha = fwhm / 2 / np.sqrt(2 ** (1 / beta) - 1)
    radius2 = (columns - 150.3) ** 2 + (rows - 149.6) ** 2
    expected = flux * (beta - 1) / (np.pi * alpha**2) * (1 + radius2 / alpha**2) ** -beta
    lit = image > 0
    np.testing.assert_allclose(image[lit], expected[lit], rtol=2e-5)
    assert expected[~lit].max() < faintest


def test_widths_along_the_axes():
    fwhm, ellipticity, angle = 5.0, 0.2, 0.6
    psf = constant_psf((100, 100), fwhm, ellipticity, angle)
    radius = np.linspace(0, 20, 4001)
    along = psf.values(50, 50, radius * np.cos(angle), radius * np.sin(angle))
    across = psf.values(50, 50, -radius * np.sin(angle), radius * np.cos(angle))
    long = 2 * crossing(along, radius, along[0] / 2)
    short = 2 * crossing(across, radius, across[0] / 2)
    assert short / long == pytest.approx(1 - ellipticity, rel=1e-4)
    assert np.sqrt(short * long) == pytest.approx(fwhm, rel=1e-4)


def test_shape_varies_over_the_image_as_the_polynomials_say():
    psf = PsfField((101, 201), 3.2, np.array([5, 0.1, 0.2, 0, 0, 0.3]), np.r_[0.03, np.zeros(5)], np.zeros(6))
    fwhm, ellipticity, angle = psf.at(np.array([0, 100, 200, 200]), np.array([0, 50, 50, 100]))
    np.testing.assert_allclose(fwhm, [5.0, 5.0, 5.1, 5.6])
    np.testing.assert_allclose(ellipticity, 0.03)
    np.testing.assert_allclose(angle, 0.0)


@pytest.mark.parametrize("flux", [1.0, 500.0, 1e5, 1e7])
def test_optimal_error_is_the_sum_over_pixels(flux):
    psf = constant_psf((401, 401), 4.3, 0.03, 0.4)
    rows, columns = np.mgrid[:401, :401]
    profile = psf.values(200.2, 199.9, columns - 200.2, rows - 199.9)
    brute = 1 / np.sqrt((profile**2 / (flux * profile + 250.0)).sum())
    area = psf.area(np.array([200.2]), np.array([199.9]))
    assert optimal_sigma(np.array([flux]), area, psf.beta, 250.0)[0] == pytest.approx(brute, rel=3e-4)


def test_impossible_stars_are_refused():
    image = np.zeros((50, 50), dtype=np.float32)
    one = np.ones(1)
    with pytest.raises(ValueError, match="too narrow"):
        add_stars(image, constant_psf(image.shape, 1.5), one, one, one, faintest=1.0)
    with pytest.raises(ValueError, match="finite and not negative"):
        add_stars(image, constant_psf(image.shape, 4.0), one, one, -one, faintest=1.0)
