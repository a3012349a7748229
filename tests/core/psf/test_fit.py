from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from gaiaflux.core.image.pixels import Pixels
from gaiaflux.core.psf.equations import NormalEquations
from gaiaflux.core.psf.fit import choose_psf_stars, fit_psf
from gaiaflux.core.psf.fluxes import solve_fluxes
from gaiaflux.core.psf.model import moffat_psf
from gaiaflux.core.psf.stamps import add_light, make_stamps
from gaiaflux.ground.frame.psf_options import psf_options
from gaiaflux.model.flags import PixelFlag
from gaiaflux.model.settings.psf import PsfSettings
from gaiaflux.workflow.settings import complete_section

DEFAULTS = psf_options(complete_section(PsfSettings))
SHAPE = (500, 500)
FWHM = 10.0
SKY = 200.0
OPTIONS = replace(DEFAULTS, min_stars=5, max_order=0)


def wide_stars():
    """Stars so wide that one pixel holds less than a hundredth of their light; those above the limit are cut off."""
    rng = np.random.default_rng(1)
    gx, gy = np.meshgrid(np.arange(50.0, 500.0, 80.0), np.arange(50.0, 500.0, 80.0))
    x, y = gx.ravel() + rng.uniform(-3, 3, gx.size), gy.ravel() + rng.uniform(-3, 3, gx.size)
    flux = 10 ** rng.uniform(5.0, 5.8, len(x))
    saturated = np.arange(len(x)) % 3 == 0
    # Beside the pixel that is known to be saturated the detector has lost light, too: such a star looks wider.
    flux[saturated] = 4e6
    light = np.zeros(SHAPE, np.float32)
    for chosen, fwhm in ((saturated, 1.3 * FWHM), (~saturated, FWHM)):
        stamps = make_stamps(moffat_psf(SHAPE, fwhm), x[chosen], y[chosen], 3.0 * fwhm)
        add_light(light, stamps, flux[chosen], np.full(np.count_nonzero(chosen), 60.0))
    flags = np.zeros(SHAPE, np.uint8)
    rows, columns = np.rint(y[saturated]).astype(int), np.rint(x[saturated]).astype(int)
    flags[rows, columns] = PixelFlag.SATURATED
    image = rng.poisson(light + SKY).astype(np.float32)
    return Pixels(image, flags, 0.0, 1.0, float(np.sqrt(SKY))), x, y, flux, saturated


def test_saturated_stars_do_not_shape_the_psf():
    pixels, x, y, _, saturated = wide_stars()
    fit, _ = fit_psf(pixels, x, y, FWHM, OPTIONS)
    assert len(fit.stars.row) == np.count_nonzero(~saturated)
    assert not saturated[fit.stars.row].any()
    assert abs(fit.psf.fwhm / FWHM - 1.0) < 0.02


def test_chosen_stars_are_bright_whole_and_not_saturated():
    pixels, x, y, _, saturated = wide_stars()
    x, y = np.append(x, [2.0, 300.0]), np.append(y, [250.0, 1.0])
    psf = moffat_psf(SHAPE, FWHM)
    solution = solve_fluxes(pixels, psf, x, y, np.zeros(len(x)), OPTIONS.for_width(FWHM, 2))
    marked = np.append(saturated, [False, False])
    chosen = choose_psf_stars(solution, marked, OPTIONS)
    # The two last ones are cut by the edge.
    assert sorted(chosen) == np.flatnonzero(~saturated).tolist()
    snr = solution.flux * np.sqrt(solution.sums.curvature)
    assert (np.diff(snr[chosen]) <= 0).all()
    # Without the mark the saturated ones would lead the list.
    assert set(np.flatnonzero(saturated)) <= set(choose_psf_stars(solution, np.zeros(len(x), bool), OPTIONS))


def solved(snr, share):
    """What a choice of stars needs of a solution: each star has a neighbour, cut by the edge, that adds a share."""
    n = len(snr)
    flux = np.concatenate([snr, 2.0 * snr])
    other = np.concatenate([np.arange(n) + n, np.arange(n)])
    equations = NormalEquations(np.ones(2 * n), np.arange(2 * n + 1), other, np.tile(0.5 * share, 2))
    sums = SimpleNamespace(curvature=np.ones(2 * n), light=np.repeat([0.98, 0.96], n))
    stamps = SimpleNamespace(values=np.ones((2 * n, 1, 1), np.float32))
    return SimpleNamespace(flux=flux, equations=equations, sums=sums, stamps=stamps)


def chosen_of(snr, share, **options):
    saturated = np.zeros(2 * len(snr), bool)
    return choose_psf_stars(solved(np.array(snr), np.array(share)), saturated, replace(DEFAULTS, **options)).tolist()


@pytest.mark.parametrize(
    ("least", "most"), [(100.0, 0.05), (60.0, 0.1), (40.0, 0.2), (30.0, 0.4), (20.0, 0.8), (12.0, 1.0)]
)
def test_the_standard_falls_until_there_are_sixty_stars(least, most):
    # Sixty stars just good enough, and as many that are a little too faint or a little too disturbed.
    snr = [1.01 * least] * 60 + [0.99 * least] * 30 + [1.01 * least] * 30
    share = [0.98 * most] * 60 + [0.0] * 30 + [1.02 * most] * 30
    assert sorted(chosen_of(snr, share)) == list(range(60))
    # With one less the next standard takes more, but the last one, below which there is none.
    fewer = sorted(chosen_of(snr[1:], share[1:]))
    assert fewer == list(range(59)) if least == 12.0 else len(fewer) > 59
    # A PSF that needs more stars lowers it, too; the brightest come first and no more than are wanted.
    assert len(chosen_of(snr, share, min_stars=15)) == 60
    many = [*snr[:59], 1.02 * least]
    assert chosen_of(many, [0.0] * 60, max_stars=7)[0] == 59
    assert len(chosen_of(many, [0.0] * 60, max_stars=7)) == 7
    if least > 12.0:
        assert len(chosen_of(snr, share, min_stars=16)) > 60
