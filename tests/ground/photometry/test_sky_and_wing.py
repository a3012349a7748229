"""Frames whose sky and whose stars are not as the model has them: errors, flags and total fluxes."""

from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.core.psf.model import moffat_psf
from gaiaflux.core.psf.wing import Wing
from gaiaflux.ground.photometry.aperture import ApertureOptions, measure_frame, measure_stars
from gaiaflux.model.flags import PixelFlag, StarFlag
from gaiaflux.model.measurement import PlacedFrame
from gaiaflux.model.settings.aperture import ApertureSettings
from gaiaflux.model.wcs import TanSip
from gaiaflux.workflow.settings import complete_section

WING = Wing(np.array([9.0, 20.0, 100.0]), np.array([4e-3, 2e-3, 2e-3]))


def by_apertures(scene, frame, x, y, flux, fwhm=None):
    fwhm = fwhm or scene.fwhm
    options = ApertureOptions(np.array([0.8, 1.25, 2.2]) * fwhm, (4.0 * fwhm, 6.0 * fwhm))
    return measure_stars(frame, x, y, 25.0 - 2.5 * np.log10(flux), fwhm, options)


def structured(frame, scene, amplitude, period=26.0):
    y, x = np.mgrid[: scene.shape[0], : scene.shape[1]]
    waves = amplitude * np.sin(2 * np.pi * x / period) * np.sin(2 * np.pi * y / period)
    return replace(frame, image=(frame.image + waves).astype(np.float32))


@pytest.mark.parametrize("amplitude", [0.0, 12.0])
def test_structure_of_the_sky_is_in_the_errors_and_flagged(scene, amplitude):
    x, y, flux = scene.random_stars(31, 250, faintest=3.2, brightest=4.2)
    frame = structured(scene.make_frame(x, y, flux, 31), scene, amplitude)
    found = scene.measure(frame, x, y)
    apertures = by_apertures(scene, frame, x, y, flux)
    clean = scene.is_clean((found.flags | StarFlag.STRUCTURED_SKY) ^ StarFlag.STRUCTURED_SKY)
    pull = ((found.flux - flux) / found.error)[clean & (flux < 1e4)]
    spread = 1.4826 * np.median(np.abs(pull - np.median(pull)))
    assert 0.8 < spread < 1.25
    for attrs, stars in ((found.attrs, found.arrays), (apertures.attrs, apertures.stars)):
        on = np.isfinite(stars["flux"]).reshape(len(x), -1)[:, 0]
        flagged = (stars["flags"].reshape(len(x), -1)[:, 0][on] & StarFlag.STRUCTURED_SKY) != 0
        share = stars["sky_share"][on].astype(float)
        assert ((share >= 0) & (share < 1)).all()
        if amplitude:
            assert attrs["sky_structure"] > 1.5
            assert flagged.mean() > 0.9
            assert np.median(share) > 0.4
        else:
            assert attrs["sky_structure"] < 1.15
            assert not flagged.any()
            assert np.median(share) < 0.2


def test_a_psf_that_fails_its_stars_says_so(scene):
    x, y = scene.loose_grid(32, 44, 6)
    flux = np.random.default_rng(32).uniform(5e4, 2e5, len(x))
    frame = scene.make_frame(x, y, flux, 32)
    good = scene.measure(frame, x, y)
    assert good.attrs["psf_residual_rms"] < 0.03
    assert not (good.flags & StarFlag.POOR_FIT).any()
    # Every star is a pair, of another direction each.
    angle = np.random.default_rng(33).uniform(0, 2 * np.pi, len(x))
    dx, dy = 0.5 * scene.fwhm * np.cos(angle), 0.5 * scene.fwhm * np.sin(angle)
    spread = scene.make_frame(np.append(x + dx, x - dx), np.append(y + dy, y - dy), np.tile(flux / 2, 2), 32)
    poor = scene.measure(spread, x, y)
    assert poor.attrs["psf_residual_rms"] > 0.03
    seen = np.isfinite(poor.flux)
    assert (poor.flags[seen] & StarFlag.POOR_FIT != 0).all()
    relative = [np.median((found.error / found.flux)[seen]) for found in (good, poor)]
    assert relative[1] > 1.5 * relative[0]


def test_the_wing_of_the_reference_image_is_a_part_of_the_total_flux(scene):
    x, y, flux = scene.random_stars(33, 200, faintest=3.6)
    frame = scene.make_frame(x, y, flux, 33)
    plain = moffat_psf(scene.shape, scene.fwhm)
    psf = replace(plain, wing=WING)
    light = WING.light / (1.0 + WING.light)
    without, with_wing = (scene.measure(frame, x, y, reference_psf=model) for model in (plain, psf))
    assert with_wing.attrs["psf_wing_light"] == pytest.approx(light)
    bright = (flux > 3e4) & scene.is_clean(without.flags)
    ratio = np.median((with_wing.flux / without.flux)[bright])
    # There is none in these frames: what of the bright stars' is taken off the sky comes back as sky.
    assert ratio == pytest.approx(1.0 + WING.light, abs=0.005)
    placed = PlacedFrame(frame, TanSip(*_wcs(scene)), _Catalog(25.0 - 2.5 * np.log10(flux)), x, y, scene.fwhm)
    settings = complete_section(ApertureSettings)
    sums = [measure_frame(placed, settings, reference_psf=model) for model in (None, plain, psf)]
    np.testing.assert_array_equal(sums[0].stars["flux"], sums[1].stars["flux"])
    radius, width = (sums[2].attrs[name] for name in ("reference_radius_pix", "profile_fwhm_pix"))
    expected = psf.light_beyond(radius, width / psf.fwhm)
    assert sums[2].attrs["outside_fraction"] == pytest.approx(expected)
    gain = (1.0 - sums[0].attrs["outside_fraction"]) / (1.0 - expected)
    on = np.isfinite(sums[0].stars["flux"])
    np.testing.assert_allclose((sums[2].stars["flux"] / sums[0].stars["flux"])[on], gain, rtol=2e-5)
    np.testing.assert_allclose((sums[2].stars["flux_err"] / sums[0].stars["flux_err"])[on], gain, rtol=1e-4)


class _Catalog:
    def __init__(self, mag):
        self.best_mag = mag


def _wcs(scene):
    from gaiaflux.core.sky.projection import linear_tan

    wcs = linear_tan((150.0, 20.0), (240.0, 220.0), np.diag([-1e-4, 1e-4]), scene.shape)
    return [getattr(wcs, name) for name in TanSip.__dataclass_fields__]


def test_a_bad_pixel_does_not_make_a_companion_bright(scene):
    x, y = scene.loose_grid(34, 44, 6)
    flux = np.full(len(x), 2e5)
    more_x, more_y = x[10] + 1.1 * scene.fwhm, y[10]
    x, y, flux = np.append(x, more_x), np.append(y, more_y), np.append(flux, 300.0)
    frame = scene.make_frame(x, y, flux, 34)
    before = by_apertures(scene, frame, x, y, flux).stars["flux"][10]
    flags = frame.pixel_flags.copy()
    # In the companion's aperture, and in none of the bright star's but the largest.
    flags[round(more_y), round(more_x + 0.7 * scene.fwhm)] = PixelFlag.BAD
    after = by_apertures(scene, replace(frame, pixel_flags=flags), x, y, flux).stars["flux"][10]
    np.testing.assert_allclose(after[:2], before[:2], rtol=0.005)


@pytest.mark.parametrize("fwhm", [1.6, 4.0])
def test_errors_of_narrow_stars_hold_their_scatter_between_the_pixels(scene, fwhm):
    x, y = scene.loose_grid(35, 52, 6)
    rng = np.random.default_rng(35)
    flux = rng.uniform(1.5e5, 2e5, len(x))
    j, i = np.mgrid[-14:15, -14:15]
    image = rng.poisson(np.full(scene.shape, scene.sky)).astype(np.float32)
    # Sharp images on pixels that are less sensitive at their edges.
    fine = (np.arange(7) - 3.0) / 7.0
    response = 1.0 - 0.3 * (np.hypot(*np.meshgrid(fine, fine)) > 0.35)
    response /= response.mean()
    for sx, sy, light in zip(x, y, flux, strict=True):
        column, row = round(sx), round(sy)
        if not (14 < column < scene.shape[1] - 15 and 14 < row < scene.shape[0] - 15):
            continue
        star = np.zeros(i.shape)
        for b, v in enumerate(fine):
            for a, u in enumerate(fine):
                r2 = (i + column - sx + u) ** 2 + (j + row - sy + v) ** 2
                star += response[b, a] * 4.0 * np.log(2) / np.pi / fwhm**2 * np.exp(-4.0 * np.log(2) * r2 / fwhm**2)
        image[row - 14 : row + 15, column - 14 : column + 15] += rng.poisson(light * star / 49.0)
    frame = scene.make_frame(x[:0], y[:0], flux[:0], 35)
    frame = replace(frame, image=image, error=np.sqrt(np.maximum(image, 1.0)))
    found = by_apertures(scene, frame, x, y, flux, fwhm=max(fwhm, 2.0))
    sums, error = found.stars["flux"][:, 0], found.stars["flux_err"][:, 0]
    good = found.stars["flags"][:, 0] == 0
    ratio = (sums / flux)[good]
    scatter = 1.4826 * np.median(np.abs(ratio / np.median(ratio) - 1.0))
    if fwhm < 2.5:
        assert scatter > 1.6 * np.median((1.0 / np.sqrt(flux))[good])
    assert np.median((error / sums)[good]) == pytest.approx(scatter, rel=0.3)
