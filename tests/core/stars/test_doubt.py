"""What may be taken for stars: leavings of bright ones, structure of the sky, noise that is larger than stated."""

from types import SimpleNamespace

import numpy as np
import pytest

from gaiaflux.core.psf.fluxes import stars_and_pixels, stars_per_beam
from gaiaflux.core.psf.model import moffat_psf
from gaiaflux.core.psf.stamps import make_stamps
from gaiaflux.core.stars.doubt import Beyond, flux_map

SIZE = 400
FWHM = 4.0
NOISE = 5.0
PSF = moffat_psf((SIZE, SIZE), FWHM)
Y, X = np.mgrid[:SIZE, :SIZE]


def solved(x=(), y=(), flux=(), residual=0.0, seed=1, noise=NOISE):
    """Fitted stars on white noise of a stated size, and what is left beside it."""
    stamps = make_stamps(PSF, np.asarray(x, float), np.asarray(y, float), 9.0)
    rng = np.random.default_rng(seed)
    left = (rng.normal(0.0, noise, (SIZE, SIZE)) + residual).astype(np.float32)
    weight = np.full((SIZE, SIZE), NOISE**-2, np.float32)
    flux = np.asarray(flux, float)
    return SimpleNamespace(stamps=stamps, flux=flux, residual=left, weight=weight, error=np.full(len(flux), 50.0))


def star(x, y, flux):
    return flux * PSF.values(x, y, X - x, Y - y)


def test_flux_and_noise_are_those_of_a_star_at_the_pixel():
    places = [(60.0, 80.0), (200.0, 320.0), (330.0, 150.0)]
    light = sum(star(x, y, 3e4) for x, y in places)
    # The response of the filter is taken from the fitted stars' own form.
    shown = flux_map(solved([300.0], [40.0], [1.0], light, noise=1e-3), FWHM)
    for x, y in places:
        assert shown.flux[int(y), int(x)] == pytest.approx(3e4, rel=0.02)
    quiet = flux_map(solved([300.0], [40.0], [1.0]), FWHM)
    scatter = np.std(quiet.flux[20:-20, 20:-20])
    assert np.median(quiet.noise) == pytest.approx(scatter, rel=0.05)
    assert np.median(quiet.excess) < 1.03
    assert np.abs(quiet.structure).max() < 0.05 * NOISE
    # An optimal fit, 1 / sqrt(sum P^2) of the noise, is little better than the Gaussian filter.
    stamp = PSF.stamp(200.0, 200.0, 15)
    assert 1.0 < np.median(quiet.noise) * np.sqrt((stamp**2).sum()) / NOISE < 1.15


def test_noise_that_is_larger_than_stated_counts():
    shown = flux_map(solved(noise=1.5 * NOISE), FWHM)
    # What exceeds 1 counts twice, sqrt(1 + 4 (1.5^2 - 1)); a part of it goes as structure of the sky.
    assert 2.0 < np.median(shown.excess) < np.sqrt(1 + 4 * 1.25)


def with_rings(n_bright=12, size=0.004, radius=11.0):
    """Bright stars that leave a ring of a part of their light, and the place of each."""
    rng = np.random.default_rng(3)
    grid = np.arange(50, SIZE - 40, 100.0)
    x, y = (g.ravel()[:n_bright] + rng.uniform(-3, 3, n_bright) for g in np.meshgrid(grid, grid))
    flux = 10 ** rng.uniform(4.5, 5.5, n_bright)
    left = np.zeros((SIZE, SIZE))
    for a, b, f in zip(x, y, flux, strict=True):
        r = np.hypot(X - a, Y - b)
        lumps = 1.0 + np.cos(5.0 * np.arctan2(Y - b, X - a))
        left += f * size * np.exp(-0.5 * ((r - radius) / 1.5) ** 2) * lumps / FWHM**2
    return x, y, flux, left


def test_what_bright_stars_leave_is_measured_and_no_star():
    x, y, flux, left = with_rings()
    shown = flux_map(solved(x, y, flux, left), FWHM)
    brightest = int(np.argmax(flux))
    r = np.hypot(X - x[brightest], Y - y[brightest])
    ring, far = (r > 9) & (r < 13), (r > 30) & (r < 40)
    blind = flux_map(solved(x[:0], y[:0], flux[:0], left), FWHM)
    assert (blind.flux / blind.noise)[ring].max() > 15
    assert (shown.flux / shown.noise)[ring].max() < 4
    assert np.median(shown.leavings[ring]) > 5 * np.median(shown.leavings[far])
    quiet = flux_map(solved(x, y, flux), FWHM)
    assert np.median(shown.noise[far]) < 1.1 * np.median(quiet.noise[far])


def test_halo_of_a_star_beside_the_image_is_no_star():
    """Its own rings are measured where the image shows them; without the star in the list they would be many stars."""
    x, y, flux, left = with_rings()
    bright = 3e6
    r, angle = np.hypot(X - 200.0, Y + 15.0), np.arctan2(Y + 15.0, X - 200.0)
    lumps = (1.0 + np.cos(20.0 * angle)) * (1.0 + np.cos(2.0 * np.pi * (r - 48.0) / 9.0))
    halo = bright * 0.0002 * np.exp(-0.5 * ((r - 48.0) / 4.5) ** 2) * lumps / FWHM**2
    star_beside = Beyond(np.array([200.0]), np.array([-15.0]), np.array([bright]))
    made = solved(x, y, flux, left + halo)
    blind, seeing = flux_map(made, FWHM), flux_map(made, FWHM, star_beside)
    ring = (r > 41) & (r < 55)
    assert np.count_nonzero((blind.flux / blind.noise)[ring] > 5) > 20
    assert not ((seeing.flux / seeing.noise)[ring] > 5).any()
    # What it does not reach is as before, and a star that stands out is seen.
    np.testing.assert_allclose(seeing.noise[200:], blind.noise[200:], rtol=0.01)
    made = solved(x, y, flux, left + halo + star(200.0, 25.0, 1e5))
    seeing = flux_map(made, FWHM, star_beside)
    assert (seeing.flux / seeing.noise)[25, 200] > 8
    # One that is too far to the side, or too faint, makes no difference.
    for far in (Beyond(np.array([200.0]), np.array([-150.0]), np.array([bright])), star_beside._replace(flux=[100.0])):
        np.testing.assert_array_equal(flux_map(made, FWHM, far).noise, flux_map(made, FWHM).noise)


def test_a_true_neighbour_stands_out_of_what_is_left():
    x, y, flux, left = with_rings()
    brightest = int(np.argmax(flux))
    near = star(x[brightest] + 11.0, y[brightest], 0.1 * flux[brightest])
    shown = flux_map(solved(x, y, flux, left + near), FWHM)
    at = round(y[brightest]), round(x[brightest] + 11.0)
    assert shown.flux[at] / shown.noise[at] > 8
    assert shown.flux[at] == pytest.approx(0.1 * flux[brightest], rel=0.25)


def test_stars_that_are_not_known_yet_raise_little_doubt():
    rng = np.random.default_rng(5)
    known = rng.uniform(20, SIZE - 20, (2, 40))
    places, flux = rng.uniform(0, SIZE, (2, 120)), 10 ** rng.uniform(2.5, 4, 120)
    left = sum(star(x, y, f) for x, y, f in zip(*places, flux, strict=True))
    # The sky is found beside the stars.
    shown = flux_map(solved(*known, np.full(40, 3e4), left - np.median(left)), FWHM)
    empty = flux_map(solved(*known, np.full(40, 3e4)), FWHM)
    assert np.median(shown.noise) < 1.4 * np.median(empty.noise)
    bright = (flux > 1000) & (np.abs(places - SIZE / 2).max(axis=0) < SIZE / 2 - 10)
    at = np.rint(places[::-1, bright]).astype(int)
    assert np.mean((shown.flux / shown.noise)[tuple(at)] > 5) > 0.85


def test_structure_of_the_sky_is_taken_off_and_peaks_of_it_are_no_stars():
    waves = 8.0 * NOISE * np.sin(2 * np.pi * X / 60.0) * np.sin(2 * np.pi * Y / 60.0)
    shown = flux_map(solved(residual=waves), FWHM)
    inner = np.s_[30:-30, 30:-30]
    assert np.corrcoef(shown.structure[inner].ravel(), waves[inner].ravel())[0, 1] > 0.95
    assert np.median(shown.excess[inner]) > 1.15
    assert (shown.flux / shown.noise)[inner].max() < 4.5
    with_star = flux_map(solved(residual=waves + star(200.0, 200.0, 1e4)), FWHM)
    assert (with_star.flux / with_star.noise)[200, 200] > 6


def test_pixels_without_weight_show_nothing():
    made = solved(residual=star(200.0, 200.0, 1e4))
    made.weight[180:220, 180:220] = 0.0
    shown = flux_map(made, FWHM)
    assert np.isinf(shown.noise[200, 200])
    assert shown.flux[200, 200] == 0.0


def test_stars_in_a_beam():
    made = solved([10.0, 50.0, -3.0], [10.0, 60.0, 20.0], [1.0, 1.0, 1.0])
    beam = np.pi * FWHM**2 / (4 * np.log(2))
    assert stars_per_beam(*stars_and_pixels(made), FWHM) == pytest.approx(2 * beam / SIZE**2)
