from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.core.image.background import Background, BoxBackground
from gaiaflux.core.image.pixels import Pixels
from gaiaflux.core.psf.fluxes import FARTHEST_FWHM, solve_fluxes, take_off
from gaiaflux.core.psf.model import moffat_psf
from gaiaflux.core.psf.moffat import MoffatProfile
from gaiaflux.core.psf.stamps import add_light, make_stamps
from gaiaflux.ground.frame.psf_options import psf_options
from gaiaflux.model.settings.psf import PsfSettings
from gaiaflux.workflow.settings import complete_section

DEFAULTS = psf_options(complete_section(PsfSettings))
SHAPE = (160, 150)
FWHM = 4.0
SKY = 80.0


class Flat:
    """A sky that is the same everywhere, and counts how often it was asked for."""

    def __init__(self, level):
        self.level, self.flagged = level, []

    def __call__(self, image, pixel_flags):
        self.flagged.append(int(np.count_nonzero(pixel_flags)))
        one = np.ones((2, 2), np.float32)
        return Background(self.level * one, one, 64, image.shape)


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(4)
    x, y, flux = rng.uniform(10, 140, 30), rng.uniform(10, 140, 30), np.full(30, 3e4)
    light = np.full(SHAPE, SKY, np.float32)
    add_light(light, make_stamps(moffat_psf(SHAPE, FWHM), x, y, 9.0), flux, np.full(30, 80.0))
    flags = np.zeros(SHAPE, np.uint8)
    flags[5, 5] = 1
    return Pixels(light, flags, 0.0, 1.0, float(np.sqrt(SKY))), x, y, flux


def test_the_sky_is_measured_as_the_caller_says(scene):
    pixels, x, y, flux = scene
    psf = moffat_psf(SHAPE, FWHM)
    right, high = Flat(SKY), Flat(SKY + 5.0)
    options = [replace(DEFAULTS, background=sky).for_width(FWHM) for sky in (right, high)]
    found = [solve_fluxes(pixels, psf, x, y, np.zeros(30), how) for how in options]
    np.testing.assert_allclose(found[0].flux, flux, rtol=2e-3)
    # Of 5 counts a pixel too many, a star loses the sum of the PSF over the sum of its square.
    lost = 5.0 * 5 * np.pi * 2.0**2 / (2 ** (1 / 3) - 1) / 4
    assert np.median(found[1].flux - flux) == pytest.approx(-lost, rel=0.15)
    assert set(right.flagged) == {1}
    assert len(right.flagged) >= 2


def test_options_in_pixels_follow_the_seeing():
    options = replace(DEFAULTS, radius_fwhm=2.0, background=BoxBackground(32), rounds=3).for_width(5.0)
    assert options == replace(DEFAULTS, radius_fwhm=2.0, background=BoxBackground(32)).for_width(5.0, 3)
    assert options.radius_pix == 10.0
    assert options.farthest_pix == 5.0 * FARTHEST_FWHM
    assert options.background.box_pix == 32


def test_stars_are_taken_off_as_far_as_they_matter(scene):
    pixels, x, y, flux = scene
    stamps = make_stamps(moffat_psf(SHAPE, FWHM), x, y, 9.0)
    faintest = 0.5
    profile = MoffatProfile.from_fwhm(FWHM)
    reach = stamps.psf.reach(np.append(flux[:1], np.zeros(29)), faintest, 100.0)
    assert reach[0] == pytest.approx(profile.radius_of(np.array(faintest / flux[0])))
    assert not reach[1:].any()
    parts = take_off(pixels, stamps, flux, replace(DEFAULTS, background=Flat(SKY)).for_width(FWHM))
    np.testing.assert_allclose(parts.residual + parts.light + SKY, pixels.image, rtol=1e-5)
    # Each star leaves at most 2 % of the sky's noise of 9; the wings of many add up.
    assert np.abs(parts.residual).max() < 1.5
    assert np.abs(parts.residual).max() > 0.05
