import numpy as np
import pytest

from gaiaflux.core.psf.sampled import sampled_psf
from gaiaflux.io.tess.prf import read_prf
from gaiaflux.sim.tess.response import Response
from gaiaflux.tess.stamp.psf import PSF

STAMP = (700, 711, 1200, 1213)


@pytest.fixture(scope="module")
def samples(responses):
    return read_prf(responses, 1, 4, 1)


@pytest.fixture(scope="module")
def psf(samples):
    return PSF(1, 4, 1, STAMP, samples)


def test_what_it_says_of_itself(psf):
    assert psf.shape == (11, 13)
    assert (psf.ref_row, psf.ref_column) == (705.0, 1206.0)


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ((0, 4, 1, STAMP), "the first is 1"),
        ((1, 5, 1, STAMP), "both are 1 to 4"),
        ((1, 4, 0, STAMP), "both are 1 to 4"),
        ((1, 4, 1, STAMP[:3]), "four numbers"),
    ],
)
def test_where_there_is_none(samples, place, reason):
    with pytest.raises(ValueError, match=reason):
        PSF(*place, samples)


@pytest.mark.parametrize(("row", "column"), [(5.0, 6.0), (4.37, 6.81), (0.1, 12.4), (-2.0, 3.3)])
def test_a_star_has_the_light_of_the_true_response(psf, row, column):
    """Sampled, and not integrated over the pixels a second time; rows and columns are not exchanged."""
    image = psf.integrate_to_image([(row, column, 500.0)], cutoff_radius=None)
    truth = 500.0 * Response.at(1200 + column, 700 + row).light(column, row, psf.shape)[0]
    assert image.dtype == np.float64
    np.testing.assert_allclose(image, truth, atol=500 * 2e-3)


def test_stars_add_up_and_none_is_nothing(psf):
    one, two = (4.0, 5.0, 100.0), (6.5, 7.5, -30.0)
    both = psf.integrate_to_image([one, two])
    np.testing.assert_allclose(both, psf.integrate_to_image([one]) + psf.integrate_to_image(iter([two])), atol=1e-12)
    assert not psf.integrate_to_image([]).any()
    np.testing.assert_allclose(psf.integrate_to_image(np.array([one])), psf.integrate_to_image([one]))


def test_light_beyond_the_cutoff_is_lost(psf):
    star = (5.0, 6.0, 1.0)
    whole, near = psf.integrate_to_image([star], cutoff_radius=None), psf.integrate_to_image([star], cutoff_radius=2.0)
    y, x = np.indices(psf.shape)
    inside = np.hypot(y - 5.0, x - 6.0) < 2.0
    np.testing.assert_array_equal(near, np.where(inside, whole, 0.0))
    np.testing.assert_array_equal(psf.integrate_to_image([star]), psf.integrate_to_image([star], cutoff_radius=5))


def test_places_are_in_the_stamp(samples):
    """The function changes over the CCD: the same place in another stamp is another one."""
    other = PSF(1, 4, 1, (1900, 1911, 60, 73), samples)
    here = PSF(1, 4, 1, STAMP, samples)
    star = [(5.0, 6.0, 1.0)]
    assert np.abs(other.integrate_to_image(star) - here.integrate_to_image(star)).max() > 0.01


def test_any_sampled_function_will_do():
    flat = sampled_psf(np.ones((1, 1, 27, 27)), 9, np.array([1206.0]), np.array([705.0]), (2078, 2136))
    image = PSF(1, 4, 1, STAMP, flat).integrate_to_image([(5.0, 6.0, 9.0)], cutoff_radius=None)
    assert image[5, 6] == pytest.approx(1.0, abs=0.05)
