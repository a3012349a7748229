"""Steps of the aperture photometry whose thresholds show in nothing else."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from gaiaflux.core.image.local_sky import AnnulusSky
from gaiaflux.core.psf.moffat import MoffatProfile
from gaiaflux.ground.photometry.aperture import ApertureOptions, measure_stars
from gaiaflux.ground.photometry.aperture_steps import without_wings
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.frame import Frame, FrameInfo
from gaiaflux.sim.moffat_field import PsfField, add_stars

SIZE, FWHM, SKY = 900, 4.0, 300.0
OPTIONS = ApertureOptions(np.array([0.6, 1.0, 2.2]) * FWHM, (4.0 * FWHM, 6.0 * FWHM))


def frame_of(image):
    info = FrameInfo("f1", "f1.fits", image.shape, "electron", 1.0, 59000.0, "test", read_noise=0.0)
    return Frame(info, image, np.sqrt(np.maximum(image, 1.0)), np.zeros(image.shape, np.uint8))


def exposure(x, y, flux, seed, width=(0.0, 0.0, 0.0, 0.0, 0.0), more=0.0):
    """A frame of stars on a flat sky, whose width has terms u, v, u^2, uv, v^2."""
    psf = PsfField((SIZE, SIZE), 3.2, FWHM * np.array([1.0, *width]), np.zeros(6), np.zeros(6))
    light = np.zeros((SIZE, SIZE), np.float32)
    add_stars(light, psf, x, y, flux, faintest=0.02)
    image = np.random.default_rng(seed).poisson(light + SKY + more).astype(np.float32)
    return frame_of(image)


def measured(frame, x, y, flux, options=OPTIONS):
    return measure_stars(frame, x, y, 25.0 - 2.5 * np.log10(flux), FWHM, options)


def lattice(n, seed):
    """Lonely places on a grid."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(n)))
    axis = (np.arange(side) + 0.5) * SIZE / side
    x, y = (a.ravel() + rng.uniform(-5, 5, side**2) for a in np.meshgrid(axis, axis))
    some = rng.permutation(side**2)[:n]
    return x[some], y[some]


def test_faint_lonely_stars_help_to_follow_the_field():
    # 24 stars of S/N 300 alone would not carry a polynomial of six terms; the others have 45.
    x, y = lattice(60, 3)
    flux = np.where(np.arange(60) < 24, 120_000.0, 8_000.0)
    wide = (0.0, 0.0, 0.25, 0.0, 0.25)
    result = measured(exposure(x, y, flux, 5, wide), x, y, flux)
    assert result.attrs["n_correction_stars"] > 50
    u2 = (2 * x / SIZE - 1) ** 2 + (2 * y / SIZE - 1) ** 2
    good = (result.stars["flags"][:, 0] == 0) & (flux > 1e5)
    excess = result.stars["flux"][good, 0] / flux[good] - 1.0
    slope = np.polyfit(u2[good], excess, 1)[0]
    assert abs(slope) < 0.04, "the smallest aperture loses 0.2 of the light in the corners"
    # The stated errors are those of photons and correction.
    pull = (excess - np.median(excess)) * flux[good] / result.stars["flux_err"][good, 0]
    assert np.std(pull) < 2.0


def test_enough_bright_stars_are_not_joined_by_fainter_ones():
    x, y = lattice(100, 4)
    for n_bright, n_used in ((57, 100), (63, 63)):
        flux = np.where(np.arange(100) < n_bright, 120_000.0, 8_000.0)
        used = measured(exposure(x, y, flux, 6), x, y, flux).attrs["n_correction_stars"]
        assert used == n_used


def test_the_wings_of_a_few_bright_stars_lift_no_distant_sky():
    profile = MoffatProfile.from_fwhm(4.0, 3.0)
    field = SimpleNamespace(n_on=4, annulus=(16.0, 24.0), frame=SimpleNamespace(image=np.zeros((100, 200))))
    light, discs = np.array([1e4, 2e4, 1e9, 5e4]), np.array([5.0, 15.99, 16.0, 0.0])
    ring = AnnulusSky(np.array([10.0, 20.0]), np.ones(2), np.full(2, 100))
    lifted = light[[0, 1, 3]] @ (1.0 - profile.growth(discs[[0, 1, 3]])) / 20_000
    found = without_wings(field, ring, light, discs, profile)
    np.testing.assert_allclose(found.level, np.array([10.0, 20.0]) - lifted)
    # Stars beside the image do not count.
    near = without_wings(SimpleNamespace(**{**vars(field), "n_on": 3}), ring, light, discs, profile)
    np.testing.assert_allclose(near.level, np.array([10.0, 20.0]) - lifted + 5e4 / 20_000)


def test_a_saturated_star_leaves_the_profile_of_the_others_alone():
    x, y = lattice(81, 7)
    flux = np.full(81, 60_000.0)
    alone = measured(exposure(x, y, flux, 8), x, y, flux)
    flux[:3] = 3e8
    frame = exposure(x, y, flux, 8)
    flags = (frame.image > 1e5).astype(np.uint8) * np.uint8(2)
    bright = measured(replace(frame, pixel_flags=flags), x, y, flux)
    assert bright.attrs["profile_beta"] == pytest.approx(alone.attrs["profile_beta"], abs=0.25)
    assert bright.attrs["sky"] == pytest.approx(alone.attrs["sky"], abs=0.5)


def test_the_edge_of_a_halo_in_the_annulus_is_an_error_of_the_sky():
    x, y = lattice(81, 9)
    flux = np.full(81, 20_000.0)
    yy, xx = np.mgrid[:SIZE, :SIZE]
    plain = measured(exposure(x, y, flux, 10), x, y, flux)
    # A bright disc beside the fourth star ends in its annulus.
    halo = 80.0 * (np.hypot(xx - x[3] - 30.0, yy - y[3]) < 30.0)
    found = measured(exposure(x, y, flux, 10, more=halo), x, y, flux)
    area = np.pi * OPTIONS.radii**2
    ratio = found.stars["flux_err"][3] / plain.stars["flux_err"][3]
    assert (found.stars["flux_err"][3] > 10.0 * area).all()
    assert (ratio > 1.5).all()
    far = np.hypot(x - x[3] - 30.0, y - y[3]) > 80.0
    np.testing.assert_allclose(found.stars["flux_err"][far], plain.stars["flux_err"][far], rtol=0.1)
    # Of the structure it is told apart, for what stays the same is no error of a light curve.
    assert found.stars["sky_share"][3] > 0.5
    assert (found.stars["flags"][far] & StarFlag.STRUCTURED_SKY == 0).all()


def test_the_slope_of_a_stars_own_light_is_no_structure():
    x, y = lattice(81, 11)
    flux = np.full(81, 20_000.0)
    flux[3] = 1.5e7
    found = measured(exposure(x, y, flux, 12), x, y, flux)
    slope = 1.5e7 * MoffatProfile.from_fwhm(FWHM, 3.2).annulus_scatter(*OPTIONS.annulus)
    assert slope > 0.4 * np.sqrt(SKY), "its annulus scatters more than others"
    assert found.stars["sky_share"][3] == 0.0
    assert found.stars["flux_err"][3, 2] < 5500.0, "photons alone make 3900, the slope would make 6800"
