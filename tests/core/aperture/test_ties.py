"""Apertures of a frame tied to one another."""

import numpy as np
import pytest

from gaiaflux.core.aperture.ties import aperture_ties


def series(m=40, n=60, error=2e-3, seed=2):
    """Fluxes by three apertures: each star has ratios of its own, each frame an error of its corrections."""
    rng = np.random.default_rng(seed)
    wrong = 0.02 * rng.normal(size=(m, 3)) * np.array([1.0, 0.0, 2.0])
    star = 1e5 * np.exp(rng.normal(0, 0.5, n))[:, None] * np.exp(0.01 * rng.normal(size=(n, 3)))
    cloud = np.exp(-np.abs(rng.normal(0, 0.3, m)))
    flux = star[None] * np.exp(wrong)[:, None, :] * cloud[:, None, None] * (1 + error * rng.normal(size=(m, n, 3)))
    return wrong - np.median(wrong, axis=0), flux, error * flux, np.ones(flux.shape, bool)


def test_what_a_frame_has_wrong_is_found():
    wrong, flux, error, usable = series()
    flux[3, :8, 0] *= 3.0  # cosmic rays
    usable[5, 10:, 2] = False
    ties = aperture_ties(flux, error, usable, 1)
    off = ties - wrong
    off -= np.median(off, axis=0)
    assert (ties[:, 1] == 0).all()
    assert np.abs(off[:, [0, 2]]).max() < 3e-3
    # The clouds, which all apertures have, are no part of it.
    assert np.abs(np.median(ties, axis=0)).max() < 1e-3


def test_few_stars_tell_nothing():
    _, flux, error, usable = series()
    usable[7, 4:, 0] = False
    error[8, 4:, 2] = flux[8, 4:, 2]  # lost in the noise
    ties = aperture_ties(flux, error, usable, 1)
    assert ties[7, 0] == 0.0
    assert ties[8, 2] == 0.0
    assert ties[7, 2] != 0.0
    assert not aperture_ties(flux[:, :4], error[:, :4], usable[:, :4], 1).any()


def test_noise_alone_is_drawn_to_nothing():
    rng = np.random.default_rng(4)
    flux = 1e4 * (1 + 0.05 * rng.normal(size=(50, 20, 2)))
    ties = aperture_ties(flux, 0.05 * flux * np.array([0.7, 1.0]), np.ones(flux.shape, bool), 0)
    free = 0.05 * np.sqrt(2) / np.sqrt(20)
    assert np.std(ties[:, 1]) < 0.7 * free
    assert ties[0, 0] == pytest.approx(0.0)
