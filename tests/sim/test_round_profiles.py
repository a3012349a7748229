import numpy as np
import pytest
from scipy.special import j0

from gaiaflux.sim.round_profiles import ROUND_PROFILES, _bessel_j0, kolmogorov, moffat


@pytest.mark.parametrize("name", sorted(ROUND_PROFILES))
def test_the_width_is_one_and_light_is_counted(name):
    profile = ROUND_PROFILES[name]()
    np.testing.assert_allclose(profile.at(np.array([0.0, 0.5])), [1.0, 0.5], rtol=1e-3)
    assert np.all(np.diff(profile.value) <= 0.0)
    radius = np.linspace(0.0, 3.0, 20001)
    direct = np.trapezoid(2.0 * np.pi * radius * profile.at(radius), radius)
    assert profile.light_within(3.0) == pytest.approx(direct, rel=1e-4)


def test_seeing_has_its_known_light_and_wings():
    """Half of the light within 0.577 FWHM (known of the profile); surface brightness falls as r^-11/3."""
    profile = kolmogorov()
    half = np.interp(0.5 * profile.light[-1], profile.light, profile.radius)
    assert half == pytest.approx(0.577, abs=0.01)
    slope = np.log(profile.at(np.array([40.0])) / profile.at(np.array([20.0]))) / np.log(2.0)
    assert slope[0] == pytest.approx(-11.0 / 3.0, abs=0.02)


def test_moffat_table_is_the_closed_form():
    core = 0.5 / np.sqrt(2.0 ** (1.0 / 3.2) - 1.0)
    radius = np.linspace(0.0, 20.0, 501)
    np.testing.assert_allclose(moffat().at(radius), (1.0 + (radius / core) ** 2) ** -3.2, rtol=2e-3)


def test_bessel_function():
    x = np.linspace(0.0, 190.0, 4001)
    np.testing.assert_allclose(_bessel_j0(x), j0(x), atol=3e-6)
