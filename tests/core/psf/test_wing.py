"""The wing of the stars beyond what is fitted of them."""

from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.core.image.background import BoxBackground
from gaiaflux.core.image.pixels import Pixels
from gaiaflux.core.psf.fit import fit_psf
from gaiaflux.core.psf.model import moffat_psf
from gaiaflux.core.psf.stamps import add_light, make_stamps
from gaiaflux.core.psf.wing import NO_WING, Sources, Wing, _ends, _profile, fit_wing
from gaiaflux.ground.frame.psf_options import psf_options
from gaiaflux.io.psf_model import psf_arrays, psf_of_arrays
from gaiaflux.model.settings.psf import PsfSettings
from gaiaflux.workflow.settings import complete_section

OPTIONS = replace(psf_options(complete_section(PsfSettings, max_order=0)), background=BoxBackground(64))
SIZE = 600
FWHM = 4.0
SKY = 300.0
CORE = moffat_psf((SIZE, SIZE), FWHM)
Y, X = np.mgrid[:SIZE, :SIZE]


def frame(share, exponent=2.0, seed=1, n_stars=120, reach=150.0, sky=0.0):
    """Moffat stars with a part of their light in a power law from 5 pixels on, drawn without the code's own model."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(10, SIZE - 11, (2, n_stars))
    flux = 10 ** rng.uniform(3.5, 6.0, n_stars)
    light = np.zeros((SIZE, SIZE), np.float32)
    stamps = make_stamps(CORE, x, y, 15.0)
    add_light(light, stamps, (1.0 - share) * flux, np.full(n_stars, 100.0))
    r = np.hypot(*np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1)))
    law = np.where((r > 5.0) & (r <= reach), np.maximum(r, 1.0) ** -exponent, 0.0)
    law /= law.sum()
    side = int(reach)
    wide = np.zeros((SIZE + 2 * side, SIZE + 2 * side))
    for a, b, f in zip(np.rint(x).astype(int), np.rint(y).astype(int), flux, strict=True):
        wide[b : b + 2 * side + 1, a : a + 2 * side + 1] += share * f * law
    image = rng.poisson(SKY + sky + light + wide[side:-side, side:-side]).astype(np.float32)
    pixels = Pixels(image, np.zeros(image.shape, np.uint8), 0.0, 1.0, float(np.sqrt(SKY)))
    return pixels, x, y, flux


def wing_of(pixels, solution, psf):
    stamps = solution.stamps
    core = solution.flux * psf.scale_at(stamps.x, stamps.y)
    stars = Sources(stamps.x, stamps.y, core, solution.flux * np.sqrt(solution.sums.curvature))
    return fit_wing(pixels.image - solution.light, solution.weight, stars, stamps.radius)


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_stars_of_the_family_have_no_wing(seed):
    pixels, x, y, flux = frame(0.0, seed=seed)
    fit, solution = fit_psf(pixels, x, y, FWHM, OPTIONS)
    assert not wing_of(pixels, solution, fit.psf).exists
    bright = flux > 1e5
    assert np.median(solution.flux[bright] / flux[bright]) == pytest.approx(1.0, abs=0.003)


@pytest.mark.parametrize("seed", [6, 7])
def test_structure_of_the_sky_is_no_wing(seed):
    waves = 20.0 * np.sin(2 * np.pi * X / 170.0 + seed) * np.sin(2 * np.pi * Y / 140.0)
    pixels, x, y, _ = frame(0.0, seed=seed, sky=waves)
    fit, solution = fit_psf(pixels, x, y, FWHM, OPTIONS)
    assert wing_of(pixels, solution, fit.psf).light < 0.01


@pytest.mark.parametrize(("share", "exponent", "seed"), [(0.04, 2.0, 1), (0.04, 2.0, 8), (0.06, 2.4, 9)])
def test_an_aureole_is_measured_and_is_part_of_the_flux(share, exponent, seed):
    pixels, x, y, flux = frame(share, exponent, seed)
    fit, solution = fit_psf(pixels, x, y, FWHM, OPTIONS)
    bright = flux > 1e5
    without = np.median(solution.flux[bright] / flux[bright])
    wing = wing_of(pixels, solution, fit.psf)
    fit, solution = fit_psf(pixels, x, y, FWHM, OPTIONS, replace(fit.psf, wing=wing))
    assert fit.psf.wing is wing
    r = np.array([10.0, 15.0, 20.0, 30.0])
    norm = np.log(150.0 / 5.0) if exponent == 2.0 else (5.0**-0.4 - 150.0**-0.4) / 0.4
    truth = (1.0 - share) * CORE.values(300.0, 300.0, r, 0.0 * r) + share / (2.0 * np.pi * norm) * r**-exponent
    np.testing.assert_allclose(fit.psf.values(300.0, 300.0, r, 0.0 * r), truth, rtol=0.25)
    ratio = np.median(solution.flux[bright] / flux[bright])
    # The law is cut off at 150 pixels here, which a sky that is measured too does not let one see.
    assert abs(ratio - 1.0) < min(0.02, 0.6 * abs(without - 1.0))


def test_few_stars_or_little_room_have_no_wing():
    pixels, x, y, flux = frame(0.04)
    stars = Sources(x, y, flux, flux / 100.0)
    weight = np.full(pixels.image.shape, 1.0 / SKY, np.float32)
    four = Sources(*(values[np.argsort(-flux)[:4]] for values in stars))
    assert fit_wing(pixels.image, weight, four, 9.0) is NO_WING
    assert fit_wing(pixels.image[:60, :60], weight[:60, :60], stars, 9.0) is NO_WING
    assert fit_wing(pixels.image, np.zeros_like(weight), stars, 9.0) is NO_WING


def test_a_wing_ends_where_nothing_is_certain_and_goes_on_where_nothing_speaks_against_it():
    error = np.full(5, 1.0)
    assert _ends(np.array([9.0, 5.0, 3.0, 1.0, 0.0]), error) == (3, True)
    assert _ends(np.array([9.0, 5.0, 3.0, -1.5, 0.0]), error) == (3, False)
    assert _ends(np.array([-9.0, 5.0, 3.0, 0.0, 8.0]), error) == (3, True)
    assert _ends(np.array([1.0, -5.0, 0.0, 0.0, 0.0]), error) == (0, False)
    assert _ends(np.full(5, 9.0), error) == (5, True)
    radius = 10.0 * 1.5 ** np.arange(5)
    strength = np.array([4.0, 3.0, 2.0, 0.5, 0.0])
    stopped, on = (_profile(radius, strength, (3, goes_on), 200.0) for goes_on in (False, True))
    assert stopped.radius[-1] == 1.5 * radius[2]
    assert stopped.strength[-1] == 0.0
    assert (on.radius[-1], on.strength[-1]) == (200.0, 2.0)
    assert _profile(radius, strength, (3, True), 30.0).strength[-1] == 0.0
    assert _profile(radius, strength, (1, True), 200.0) is NO_WING


def test_light_and_brightness_of_a_wing():
    wing = Wing(np.array([9.0, 20.0, 90.0]), np.array([5e-3, 2e-3, 1e-3]))
    r = np.linspace(0.0, 120.0, 400001)
    ring = 2 * np.pi * r * wing.at(r)
    assert wing.light == pytest.approx(np.trapezoid(ring, r), rel=1e-4)
    for radius in (5.0, 15.0, 40.0, 100.0):
        some = r <= radius
        assert wing.within(radius) == pytest.approx(np.trapezoid(ring[some], r[some]), rel=2e-3, abs=1e-9)
    assert not wing.at(np.array([8.9, 90.1])).any()
    np.testing.assert_allclose(wing.table()[[8, 9, 30, 91]], wing.at(np.array([8.0, 9.0, 30.0, 91.0])))
    assert (NO_WING.light, NO_WING.within(9.0), NO_WING.table().size) == (0.0, 0.0, 0)


def test_a_model_with_a_wing_has_a_total_of_one_and_is_drawn_as_it_says():
    wing = Wing(np.array([9.0, 20.0, 90.0]), np.array([5e-3, 2e-3, 2e-3]))
    psf = replace(CORE, wing=wing)
    dx, dy = X - 300.0, Y - 300.0
    values = psf.values(300.0, 300.0, dx, dy)
    assert values.sum() == pytest.approx(1.0, abs=0.002)
    r = np.hypot(dx, dy)
    for radius in (12.0, 50.0, 120.0):
        assert psf.light_beyond(radius) == pytest.approx(values[r > radius].sum(), abs=0.002)
    wide = replace(moffat_psf((SIZE, SIZE), 1.5 * FWHM), wing=wing)
    assert psf.light_beyond(30.0, 1.5) == pytest.approx(wide.light_beyond(30.0))
    image = np.zeros((SIZE, SIZE), np.float32)
    stamps = make_stamps(psf, np.array([300.0]), np.array([300.0]), 8.8)
    reach = stamps.psf.reach(np.array([1e6]), 1e-2, 40.0)
    assert 90.0 <= reach[0] <= 93.0
    add_light(image, stamps, np.array([1e6]), reach)
    far = (r < 88.0) & (np.abs(r - 9.0) > 1.0)
    np.testing.assert_allclose(image[far], 1e6 * values[far], rtol=6e-3)
    # Fainter stars are drawn as far as they matter.
    faint = stamps.psf.reach(np.array([1e3]), 1e-2, 40.0)[0]
    scale = psf.scale_at(np.array([300.0]), np.array([300.0]))[0]
    beyond, inside = 1e3 * scale * wing.at(np.array([faint, faint - 2.0]))
    assert beyond < 1e-2 < inside
    assert psf.describe()["wing_light"] == pytest.approx(wing.light / (1 + wing.light))
    again = psf_of_arrays(psf_arrays(psf)).wing
    np.testing.assert_array_equal(again.strength, wing.strength)
    np.testing.assert_array_equal(again.radius, wing.radius)
    assert psf.scaled(1.2).wing is wing
