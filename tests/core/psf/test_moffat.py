import numpy as np
import pytest

from gaiaflux.core.psf.model import moffat_psf
from gaiaflux.core.psf.moffat import MoffatProfile, core_radius2, half_maximum, light_within

RADII = np.array([2.0, 3.0, 4.0, 6.0, 9.0, 12.0])
PROFILE = MoffatProfile.from_fwhm(4.0, 3.2)


def test_profile_is_consistent_with_itself():
    r = np.linspace(0, 400, 400_001)
    light = np.cumsum(2 * np.pi * r * PROFILE.surface_brightness(r)) * (r[1] - r[0])
    np.testing.assert_allclose(light[[2000, 9000, 400_000]], PROFILE.growth(r[[2000, 9000, 400_000]]), atol=1e-3)
    assert PROFILE.fwhm == pytest.approx(4.0)
    assert PROFILE.surface_brightness(2.0) == pytest.approx(PROFILE.surface_brightness(0.0) / 2)
    wider = MoffatProfile(PROFILE.alpha * np.exp(1e-5), PROFILE.beta)
    slope = (wider.growth(RADII) - PROFILE.growth(RADII)) / 1e-5
    np.testing.assert_allclose(PROFILE.growth_slope(RADII), slope, rtol=1e-3)
    np.testing.assert_allclose(PROFILE.radius_of(PROFILE.surface_brightness(RADII)), RADII)
    assert PROFILE.radius_of(1e9) == 0
    ring = PROFILE.annulus_brightness(9.0, 9.001)
    assert ring == pytest.approx(PROFILE.surface_brightness(9.0), rel=1e-3)


@pytest.mark.parametrize("beta", [2.0, 3.0, 4.7])
def test_width_radius_and_light_belong_together(beta):
    """At half the width the brightness is half of the centre's; the profile and the PSF of a frame agree."""
    radius2 = core_radius2(5.0, beta)
    assert (1.0 + 2.5**2 / radius2) ** -beta == pytest.approx(0.5)
    assert half_maximum(beta) * radius2 == pytest.approx(2.5**2)
    profile = MoffatProfile.from_fwhm(5.0, beta)
    assert profile.alpha**2 == pytest.approx(radius2)
    assert light_within(RADII**2 / radius2, beta) == pytest.approx(profile.growth(RADII))
    psf = moffat_psf((60, 60), 5.0, beta)
    assert psf.fwhm == pytest.approx(5.0)
    assert psf.values(30.0, 30.0, RADII, 0 * RADII) == pytest.approx(profile.surface_brightness(RADII))


def test_scatter_of_the_light_in_an_annulus():
    radius = np.sqrt(np.linspace(15.0**2, 55.0**2, 100_001))
    light = PROFILE.surface_brightness(radius)
    assert PROFILE.annulus_scatter(15.0, 55.0) == pytest.approx(np.std(light), rel=1e-3)
    assert PROFILE.annulus_scatter(15.0, 15.0 + 1e-7) < 1e-3 * PROFILE.surface_brightness(15.0)
