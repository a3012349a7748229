"""In how many turns PSF, sky and fluxes settle, and what is done in the last one."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from gaiaflux.core.image.pixels import Pixels
from gaiaflux.core.psf import fit as psf_fit
from gaiaflux.core.psf.model import moffat_psf
from gaiaflux.ground.frame.psf_options import psf_options
from gaiaflux.model.settings.psf import PsfSettings
from gaiaflux.workflow.settings import complete_section

DEFAULTS = psf_options(complete_section(PsfSettings))
SHAPE = (50, 60)
N = 30


class Stages:
    """The steps of a fit that answer with given exponents, and remember what they were asked."""

    def __init__(self, monkeypatch, betas, chosen=N, used=N):
        self.betas, self.calls, self.orders, self.residuals = iter(betas), [], [], 0
        self.chosen, self.used = chosen, used
        monkeypatch.setattr(psf_fit, "near_saturation", lambda *given: np.zeros(N, bool))
        for name in ("solve_fluxes", "choose_psf_stars", "fit_shape", "fit_residual"):
            monkeypatch.setattr(psf_fit, name, getattr(self, name))
        monkeypatch.setattr(psf_fit, "_common_shift", lambda found: np.array([0.1, -0.2]))
        monkeypatch.setattr(psf_fit, "_quality", lambda found, solution: (0.03, 0.004))

    def solve_fluxes(self, pixels, psf, x, y, flux, options, sky=None):
        self.calls.append((psf, float(x[0]), float(y[0]), options.rounds, options.radius_pix, sky))
        stamps = SimpleNamespace(x=x, y=y)
        return SimpleNamespace(
            residual=0, weight=0, light=0, stamps=stamps, flux=flux + 1.0, background=len(self.calls)
        )

    def choose_psf_stars(self, solution, saturated, options):
        return np.arange(self.chosen)

    def fit_shape(self, seen, rows, psf, order):
        self.orders.append(order)
        found = moffat_psf(SHAPE, 5.0, next(self.betas))
        stars = SimpleNamespace(used=np.arange(len(rows)) < self.used)
        return SimpleNamespace(psf=found, stars=stars, flux_covariance=np.eye(1))

    def fit_residual(self, seen, found, order):
        self.residuals += 1
        return np.zeros((1, 3, 3))

    def run(self, borrowed=None, **options):
        pixels = Pixels(np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.uint8), 1.0, 1.0, 1.0)
        x, y = np.full(N, 20.0), np.full(N, 30.0)
        return psf_fit.fit_psf(pixels, x, y, 4.0, replace(DEFAULTS, **options), borrowed)


def test_it_ends_when_the_exponent_stands_still(monkeypatch):
    stages = Stages(monkeypatch, [2.5, 2.475, 2.46, 9.0])
    fit, solution = stages.run(rounds=3, radius_fwhm=2.0)
    # Changes of 0.5 (of the start), 0.025 and 0.015; the last is less than 0.02.
    assert fit.psf.beta == 2.46
    assert solution.background == len(stages.calls) == 4
    assert stages.orders == [2, 2, 2]
    # Twice at first with the seeing that was given, then as asked for with the stars' own, from the sky before.
    assert [call[3] for call in stages.calls] == [2, 3, 3, 3]
    assert [call[4] for call in stages.calls] == pytest.approx([8.0, 10.0, 10.0, 10.0])
    assert [call[5] for call in stages.calls] == [None, 1, 2, 3]
    # The common shift of each turn adds up.
    np.testing.assert_allclose([call[1] for call in stages.calls], [20.0, 20.1, 20.2, 20.3])
    np.testing.assert_allclose(fit.shift, [0.3, -0.6])
    # The residual is measured in the last turn alone.
    assert stages.residuals == 1
    assert [call[0].residual_order for call in stages.calls] == [-1, -1, -1, 2]
    assert (fit.order, fit.centroid_rms, fit.residual_rms) == (2, 0.03, 0.004)
    np.testing.assert_array_equal(solution.flux, 4.0)


def test_the_first_turn_is_never_the_last(monkeypatch):
    stages = Stages(monkeypatch, [3.0, 3.0])
    stages.run(residual=False)
    assert (len(stages.calls), stages.residuals) == (3, 0)


def test_six_turns_are_enough(monkeypatch):
    stages = Stages(monkeypatch, [2.0, 3.0, 4.0, 2.0, 3.0, 4.0, 5.0])
    fit, _ = stages.run()
    assert (fit.psf.beta, len(stages.calls), stages.residuals) == (4.0, 7, 1)


@pytest.mark.parametrize(("chosen", "used"), [(4, 30), (30, 4), (5, 5)])
def test_five_stars_make_a_psf(monkeypatch, chosen, used):
    stages = Stages(monkeypatch, [2.5, 2.5], chosen, used)
    borrowed = moffat_psf(SHAPE, 4.4, 3.3)
    fit, _ = stages.run(borrowed, min_stars=5)
    if chosen == used == 5:
        assert fit.psf.beta == 2.5
        assert stages.orders == [0, 0]
        return
    assert fit.psf is borrowed
    assert (fit.stars, fit.shift, fit.order) == (None, (0.0, 0.0), 0)
    assert np.isnan([fit.centroid_rms, fit.residual_rms]).all()
    assert len(stages.calls) == 1
    # Without one to borrow it is round and as wide as the seeing.
    assert Stages(monkeypatch, [2.5], chosen, used).run(min_stars=5)[0].psf.fwhm == pytest.approx(4.0)
