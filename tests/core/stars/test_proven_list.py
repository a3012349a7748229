"""Stars of an image, each proven against the others' point-spread function."""

import numpy as np
import pytest

from gaiaflux.core.image.pixels import Pixels
from gaiaflux.core.psf.model import moffat_psf
from gaiaflux.core.psf.stamps import add_light, make_stamps
from gaiaflux.core.stars.proven_list import _cannot_be_peaks, prove_list
from gaiaflux.ground.frame.psf_options import psf_options
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.settings.psf import PsfSettings
from gaiaflux.model.stars import STAR_DTYPE
from gaiaflux.workflow.settings import complete_section

DEFAULTS = psf_options(complete_section(PsfSettings))
SHAPE = (400, 420)
FWHM = 4.2
SKY, READ_NOISE = 200.0, 7.0
NOISE = float(np.hypot(np.sqrt(SKY), READ_NOISE))
ALONE = NOISE * np.sqrt(5 * np.pi * (0.5 * FWHM) ** 2 / (2 ** (1 / 3) - 1) / 4)


def table(x, y, flux, **columns):
    stars = np.zeros(len(x), dtype=STAR_DTYPE)
    stars["x"], stars["y"], stars["flux"], stars["fwhm"] = x, y, flux, FWHM
    for name, values in columns.items():
        stars[name] = values
    return stars


def exposure(x, y, flux):
    light = np.zeros(SHAPE, np.float32)
    add_light(light, make_stamps(moffat_psf(SHAPE, FWHM), x, y, 30.0), flux, np.full(len(x), 30.0))
    rng = np.random.default_rng(4)
    image = (rng.poisson(light + SKY) + rng.normal(0, READ_NOISE, SHAPE)).astype(np.float32)
    return Pixels(image, np.zeros(SHAPE, np.uint8), READ_NOISE**2, 1.0, NOISE)


@pytest.fixture(scope="module")
def field():
    """100 stars, the brightest one S/N 2000; of the deep list a third is missing, and false ones are in it."""
    rng = np.random.default_rng(2)
    grid = np.stack(np.meshgrid(np.arange(25.0, 400, 38), np.arange(25.0, 380, 38))).reshape(2, -1)
    x, y = grid + rng.uniform(-4, 4, grid.shape)
    flux = np.geomspace(2000, 8, len(x)) * ALONE
    listed = np.arange(len(x)) % 3 != 2
    angle = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    ring_x = np.concatenate([x[k] + 5.5 * np.cos(angle) for k in range(6)])
    ring_y = np.concatenate([y[k] + 5.5 * np.sin(angle) for k in range(6)])
    false = table(ring_x, ring_y, np.repeat(0.02 * flux[:6], 8))
    stars = np.concatenate([table(x[listed], y[listed], flux[listed], ellipticity=0.07), false])
    stars["flags"][1] = StarFlag.SATURATED
    stars["flags"][2] = StarFlag.COSMIC_RAY
    return x, y, flux, stars, exposure(x, y, flux)


def test_peaks_of_wings_go_and_hidden_stars_are_found(field):
    x, y, flux, stars, pixels = field
    proven = prove_list(pixels, stars, FWHM, DEFAULTS, 4.0)
    assert (np.diff(proven["flux"]) <= 0).all()
    distance = np.hypot(np.subtract.outer(x, proven["x"]), np.subtract.outer(y, proven["y"]))
    assert np.count_nonzero(distance.min(axis=0) > 1.5) <= 2
    there = distance.min(axis=1) < 1.0
    assert there[flux > 10 * ALONE].all()
    row = distance.argmin(axis=1)
    pull = np.append(proven["x"][row] - x, proven["y"][row] - y) / np.tile(proven["x_err"][row], 2)
    assert 0.8 < 1.4826 * np.median(np.abs(pull[np.tile(there, 2)])) < 1.3
    np.testing.assert_allclose(proven["flux"][row][:30], flux[:30], rtol=0.05)
    np.testing.assert_allclose(
        proven["peak"][row][2], flux[2] * moffat_psf(SHAPE, FWHM).values(x[2], y[2], *np.zeros((2, 1))), rtol=0.15
    )
    # What the list says of a star stays with it; what is new has the width of the function.
    assert proven["ellipticity"][row][4] == np.float32(0.07)
    assert proven["ellipticity"][row][2] < 0.05
    assert proven["flags"][row][1] == StarFlag.SATURATED
    assert abs(np.median(proven["fwhm"]) / FWHM - 1) < 0.05


def test_a_saturated_star_stays_as_bright_as_it_was(field):
    x, y, flux, stars, pixels = field
    bright = stars.copy()
    bright["flux"][1] *= 3.0
    proven = prove_list(pixels, bright, FWHM, DEFAULTS, 4.0)
    k = np.argmin(np.hypot(proven["x"] - x[1], proven["y"] - y[1]))
    np.testing.assert_allclose(proven["flux"][k], 3.0 * flux[1], rtol=1e-5)
    assert proven["flags"][k] == StarFlag.SATURATED


def test_with_too_few_stars_the_list_is_as_it_was(field):
    stars, pixels = (
        field[3],
        exposure(np.array([100.0, 300.0]), np.array([100.0, 200.0]), np.array([200.0, 50.0]) * ALONE),
    )
    few = table([100.0, 300.0], [100.0, 200.0], np.array([200.0, 50.0]) * ALONE)
    np.testing.assert_array_equal(prove_list(pixels, few, FWHM, DEFAULTS, 4.0), few)
    assert len(stars) > 100


@pytest.mark.parametrize(
    ("distance", "share", "sure"),
    [(1.4, 0.31, True), (1.4, 0.29, False), (1.6, 0.11, True), (2.9, 0.09, False), (3.1, 0.021, True),
     (5.9, 0.019, False), (6.1, 0.0011, True), (6.1, 0.0009, False), (27.9, 0.0009, False), (28.1, 1e-6, True)],
)  # fmt: skip
@pytest.mark.parametrize("way", [(1.0, 0.0), (0.0, -1.0), (0.6, 0.8)])
def test_what_cannot_be_a_peak(distance, share, sure, way):
    x, y = np.array([50.0, 50.0 + 4.0 * distance * way[0]]), np.array([60.0, 60.0 + 4.0 * distance * way[1]])
    flux = np.array([1e5, 1e5 * share])
    assert _cannot_be_peaks(x, y, flux, 4.0).tolist() == [True, sure]
    assert _cannot_be_peaks(x[::-1], y[::-1], flux[::-1], 4.0).tolist() == [sure, True]
