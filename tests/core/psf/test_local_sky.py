"""Sky beneath each star, of frames whose sky no mesh follows."""

import numpy as np
import pytest

from gaiaflux.core.image.background import BoxBackground
from gaiaflux.core.image.pixels import Pixels
from gaiaflux.core.psf.fluxes import FluxOptions, solve_fluxes
from gaiaflux.core.psf.local_sky import _drawn_to_zero, star_skies
from gaiaflux.core.psf.misfit import flux_misfit
from gaiaflux.core.psf.model import moffat_psf
from gaiaflux.core.psf.stamps import add_light, make_stamps

SIZE = 512
FWHM = 4.0
SKY = 400.0
PSF = moffat_psf((SIZE, SIZE), FWHM)
Y, X = np.mgrid[:SIZE, :SIZE]
WAVES = np.sin(2 * np.pi * X / 90.0 + 0.4) * np.sin(2 * np.pi * Y / 90.0 + 1.1)


def measured(structure, seed, n_stars=250, psf=PSF):
    """Stars of 500 to 5000 electrons on a sky, fitted by a PSF at their places; and their true fluxes."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(5, SIZE - 6, (2, n_stars))
    flux = 10 ** rng.uniform(2.7, 3.7, n_stars)
    light = np.zeros((SIZE, SIZE), np.float32)
    stamps = make_stamps(psf, x, y, 12.0)
    add_light(light, stamps, flux, np.full(n_stars, 40.0))
    image = rng.poisson(SKY + structure + light).astype(np.float32)
    pixels = Pixels(image, np.zeros(image.shape, np.uint8), 0.0, 1.0, float(np.sqrt(SKY)))
    options = FluxOptions(2.2 * FWHM, 25 * FWHM, BoxBackground(64), 3)
    return solve_fluxes(pixels, PSF, x, y, np.zeros(n_stars), options), flux


def pull(solution, flux, skies=None):
    more, error = (0.0, 0.0) if skies is None else (skies.flux, np.hypot(skies.error, skies.hidden))
    alone = solution.error < 1.3 * np.median(solution.error)
    pulls = ((solution.flux + more - flux) / np.hypot(solution.error, error))[alone]
    return 1.4826 * np.median(np.abs(pulls - np.median(pulls)))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_on_a_smooth_sky_nothing_is_added(seed):
    solution, flux = measured(0.0, seed)
    skies = star_skies(solution, PSF, FWHM)
    assert np.std(skies.flux) < 0.3 * np.median(solution.error)
    assert np.median(skies.error) < 0.4 * np.median(solution.error)
    assert np.median(skies.structure) < 1.15
    assert 0.75 < pull(solution, flux, skies) < 1.15


@pytest.mark.parametrize("seed", [4, 5, 6])
def test_structure_that_the_mesh_does_not_follow(seed):
    solution, flux = measured(12.0 * WAVES, seed)
    skies = star_skies(solution, PSF, FWHM)
    before, after = solution.flux - flux, solution.flux + skies.flux - flux
    assert pull(solution, flux) > 1.8
    assert np.median(np.abs(after)) < 0.7 * np.median(np.abs(before))
    assert 0.8 < pull(solution, flux, skies) < 1.2
    # The level follows what the mesh has left.
    stamps = solution.stamps
    truth = 12.0 * WAVES[stamps.row, stamps.column] + SKY - solution.background.level_at(stamps.x, stamps.y)
    assert np.corrcoef(skies.level, truth)[0, 1] > 0.85


def test_structure_finer_than_the_rings_goes_into_the_errors():
    fine = 10.0 * np.sin(2 * np.pi * X / 17.0) * np.sin(2 * np.pi * Y / 17.0)
    solution, flux = measured(fine, 7)
    skies = star_skies(solution, PSF, FWHM)
    assert np.median(skies.structure) > 1.4
    assert pull(solution, flux) > 1.35
    assert 0.75 < pull(solution, flux, skies) < 1.25


def test_levels_are_drawn_to_zero_as_far_as_they_are_noise():
    level = np.array([1.0, -2.0, 30.0, np.nan])
    variance = np.array([4.0, 4.0, 4.0, np.inf])
    kept, left = _drawn_to_zero(level, variance, 0.0)
    assert kept[:2].tolist() == [0.0, 0.0]
    # A level of 15 sigma is no noise, whatever the others are.
    assert kept[2] == pytest.approx(30.0 * 864.0 / 868.0)
    assert left[0] == 0.0
    kept, left = _drawn_to_zero(level, variance, 12.0)
    np.testing.assert_allclose(kept[:2], [0.75, -1.5])
    np.testing.assert_allclose(left[:2], 12.0 * 0.25)
    # Where nothing is known of it a level is zero, give or take what is usual.
    assert (kept[3], left[3]) == (0.0, 12.0)


def test_between_dense_stars_nothing_is_corrected():
    solution, _ = measured(12.0 * WAVES, 4, n_stars=1200)
    skies = star_skies(solution, PSF, FWHM)
    for values in (skies.level, skies.flux, skies.error, skies.hidden):
        assert not values.any()
    assert np.isnan(skies.structure).all()


def test_misfit_is_what_another_profile_leaves():
    solution, _ = measured(0.0, 8)
    bright = np.argsort(-solution.flux)[:60]
    skies = star_skies(solution, PSF, FWHM)
    assert flux_misfit(solution, skies, bright) < 0.01
    assert flux_misfit(solution, skies, bright[:7]) == 0.0
    # Stars whose width depends on the place, by a PSF that is the same everywhere.
    rng = np.random.default_rng(9)
    stamps, weight = solution.stamps, solution.weight
    scatter = 0.05
    for k, part in zip(bright, rng.normal(0.0, scatter, len(bright)), strict=True):
        half = (stamps.values.shape[1] - 1) // 2
        j, i = stamps.row[k] - half, stamps.column[k] - half
        cut = np.s_[max(j, 0) : j + 2 * half + 1, max(i, 0) : i + 2 * half + 1]
        if solution.residual[cut].shape == stamps.values[k].shape:
            solution.residual[cut] += (part * 1e5 * stamps.values[k]).astype(np.float32)
            solution.flux[k] = 1e5
    assert weight.min() > 0
    assert flux_misfit(solution, skies, bright) == pytest.approx(scatter, rel=0.35)


def test_structure_of_the_sky_is_no_misfit():
    solution, _ = measured(12.0 * WAVES, 4)
    bright = np.argsort(-solution.flux)[:60]
    assert flux_misfit(solution, star_skies(solution, PSF, FWHM), bright) < 0.02
