"""Fluxes of the PSF on skies that are uneven, crowded, in unknown units or taken off."""

from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.model.flags import StarFlag


@pytest.fixture(scope="module", params=["slope", "summit"])
def uneven_sky(request, scene):
    """Faint stars on a sky that is 10 % brighter on one side than on the other, or 2.5 % darker in the corners."""
    ny, nx = scene.shape
    yy, xx = np.mgrid[:ny, :nx]
    u, v = xx / nx - 0.5, yy / ny - 0.5
    sky = 400 * (1 + 0.1 * u) if request.param == "slope" else 400 * (1 - 0.05 * (u * u + v * v))
    rows = []
    for seed in range(5):
        x, y, flux = scene.random_stars(seed + 80, 300, margin=-1, brightest=4.4)
        found = scene.measure(scene.make_frame(x, y, flux, seed, sky=sky), x, y)
        true = sky[np.rint(y).astype(int), np.rint(x).astype(int)]
        edge = np.min([x, nx - 1 - x, y, ny - 1 - y], axis=0)
        clean = scene.is_clean(found.flags & ~np.uint32(StarFlag.EDGE))
        rows.append(((found.flux - flux) / found.error, found.arrays["sky"] - true, clean, x, edge))
    return [np.concatenate(part) for part in zip(*rows, strict=True)]


def test_an_uneven_sky_is_followed(uneven_sky, scene):
    pull, level, clean, _, edge = uneven_sky
    inside = clean & (edge > 32)
    # A box of 64 pixels knows its sky to 0.45 of 22 electrons, and somewhat less under the stars.
    assert np.std(level[inside]) < 1.0
    assert abs(np.mean(level[inside])) < 0.3
    scene.check_pulls(pull[inside], least=500, bias=0.08)


def test_an_uneven_sky_is_followed_up_to_the_edge(uneven_sky, scene):
    pull, level, clean, x, edge = uneven_sky
    for side in (x < 20, x > scene.shape[1] - 21):
        chosen = clean & (edge < 20) & side
        assert abs(np.mean(level[chosen])) < 1.0
        scene.check_pulls(pull[chosen], bias=0.2, spread=0.15)


def test_the_sky_under_a_crowd_is_not_part_of_the_stars(scene):
    # 1200 stars of 15 pixels within the FWHM on 211,000: what the mesh first takes for sky is far too bright.
    rows = []
    for seed in range(2):
        x, y, flux = scene.random_stars(seed + 90, 1200, faintest=3.0, brightest=4.8)
        found = scene.measure(scene.make_frame(x, y, flux, seed), x, y)
        assert found.attrs["sky"] == pytest.approx(scene.sky, abs=1.0)
        zero = scene.zero_of(found, flux, scene.is_clean(found.flags))
        rows.append(((found.flux / zero - flux) / found.error, found.flags))
    pull, flags = (np.concatenate(part) for part in zip(*rows, strict=True))
    scene.check_pulls(pull[scene.is_clean(flags)], least=2000, spread=0.08)


def test_the_densest_crowd(scene):
    # 610 electrons of starlight in each pixel, on a sky of 300.
    x, y, flux = scene.random_stars(310, 3000, margin=-1)
    found = scene.measure(scene.make_frame(x, y, flux, 310), x, y)
    clean = scene.is_clean(found.flags)
    assert clean.mean() > 0.9
    # A fifth of a pixel's noise.
    assert found.attrs["sky"] == pytest.approx(scene.sky, abs=4.0)
    assert found.attrs["psf_beta"] == pytest.approx(3.0, abs=0.05)
    pull = (found.flux / scene.zero_of(found, flux, clean) - flux) / found.error
    for chosen in (flux < 1e4, flux > 3e4):
        scene.check_pulls(pull[chosen & clean], least=900, spread=0.1, bias=0.15)


@pytest.mark.parametrize("gain", [2.5, 0.7])
def test_counts_without_a_gain(scene, gain):
    rows = []
    for seed in range(4):
        x, y, flux = scene.random_stars(seed + 100, 300, margin=-8)
        # The read noise is not known either.
        frame = scene.make_frame(x, y, flux, seed, adu=gain, read_noise=float("nan"))
        found = scene.measure(frame, x, y)
        assert found.attrs["unit"] == "adu/s"
        assert found.attrs["noise"] == "gain estimated from the sky's noise"
        zero = scene.zero_of(found, flux, scene.is_clean(found.flags))
        assert zero * gain == pytest.approx(1.0, abs=0.003)
        rows.append(((found.flux / zero - flux) / (found.error * gain), found.flags, flux))
    pull, flags, flux = (np.concatenate(part) for part in zip(*rows, strict=True))
    faint = flux < 1e4
    scene.check_pulls(pull[scene.is_clean(flags) & faint])
    # Read noise that is taken for photon noise of the sky makes 10 % more of the variance of the stars' light.
    scene.check_pulls(pull[scene.is_clean(flags) & ~faint], spread=0.15)


def test_an_image_without_sky_and_gain_has_right_errors_of_faint_stars(scene):
    rows = []
    for seed in range(3):
        x, y, flux = scene.random_stars(seed + 110, 300, margin=-8, brightest=4.5)
        frame = scene.make_frame(x, y, flux, seed, adu=2.5)
        frame = replace(frame, image=frame.image - np.float32(scene.sky / 2.5))
        found = scene.measure(frame, x, y)
        assert found.attrs["noise"] == "sky's noise alone"
        assert found.attrs["sky"] == pytest.approx(0.0, abs=0.5)
        rows.append(((found.flux * 2.5 - flux) / (found.error * 2.5), found.flags, flux))
    pull, flags, flux = (np.concatenate(part) for part in zip(*rows, strict=True))
    scene.check_pulls(pull[scene.is_clean(flags) & (flux < 3e3)])
