"""Steps of the search for what a catalogue lacks."""

from types import SimpleNamespace

import numpy as np
import pytest

from gaiaflux.core.psf.model import moffat_psf
from gaiaflux.core.psf.stamps import make_stamps
from gaiaflux.core.stars.completion import _limit, _needed, _new_peaks, _stays, _vertex, detection_limit
from gaiaflux.core.stars.doubt import FluxMap, flux_map
from gaiaflux.core.stars.positions import moved

SHAPE = (80, 100)
FWHM = 4.0
NOISE = 5.0


def solution(x=(), y=(), flux=None, residual=None, light=None, weight=None, shape=SHAPE):
    stamps = make_stamps(moffat_psf(shape, FWHM), np.asarray(x, float), np.asarray(y, float), 9.0)
    flux = np.full(len(stamps), 1e4) if flux is None else np.asarray(flux, float)
    zero = np.zeros(shape, np.float32)
    weight = np.full(shape, NOISE**-2, np.float32) if weight is None else weight
    full = stamps.values.sum(axis=(1, 2))
    return SimpleNamespace(
        stamps=stamps, flux=flux, residual=zero if residual is None else residual.astype(np.float32),
        light=zero if light is None else light.astype(np.float32), weight=weight, error=np.full(len(stamps), 10.0),
        sums=SimpleNamespace(
            light=full.astype(float), curvature=NOISE**-2 * (stamps.values.astype(float) ** 2).sum(axis=(1, 2)),
            chi2=np.full(len(stamps), 250.0), n_pixels=np.full(len(stamps), 250),
        ),
    )  # fmt: skip


def nothing_shown(shape=SHAPE):
    return FluxMap(*(np.full(shape, value, np.float32) for value in (0.0, 1.0, 0.0, 0.0, 1.0)))


def test_the_top_of_a_parabola():
    at = np.array([-0.7, -0.4, 0.0, 0.3, 0.6])
    before, peak, after = (5.0 - 2.0 * (k - at) ** 2 for k in (-1, 0, 1))
    np.testing.assert_allclose(_vertex(before, peak, after), [-0.5, -0.4, 0.0, 0.3, 0.5])
    # A valley and a plain have none.
    assert _vertex(np.array([3.0, 1.0]), np.array([1.0, 1.0]), np.array([2.0, 1.0])).tolist() == [0.0, 0.0]


def test_found_stars_stay_that_are_significant_and_on_good_pixels():
    made = solution(x=[20, 40, 60, 80, 30, 50], y=[20] * 4 + [60] * 2, flux=[1.0, 51.0, 49.0, 51.0, 51.0, 1.0])
    made.sums.light[3] *= 0.71
    made.sums.light[4] *= 0.69
    assert _stays(made, nothing_shown(), 0, 5.0).tolist() == [False, True, False, True, False, False]
    # The catalogue's stay, whatever they are.
    assert _stays(made, nothing_shown(), 1, 5.0).tolist() == [True, True, False, True, False, False]


def test_found_stars_stay_that_stand_out_of_what_else_is_shown():
    made = solution(x=[20, 40, 60, 80], y=[20] * 4, flux=[100.0] * 4)
    shown = nothing_shown()
    shown.excess[:, 30:50] = 2.1
    shown.leavings[:, 50:70] = 20.0
    # The area of the star, sum P / sum P^2, under a level of 2.
    shown.structure[:, 70:] = 2.0
    stamp = made.stamps.values[3].astype(float)
    area = stamp.sum() / (stamp**2).sum()
    assert _stays(made, shown, 0, 4.9).tolist() == [True, False, False, bool(100.0 - 2.0 * area > 49.0)]
    assert _stays(made, shown, 0, 4.4).tolist() == [True, True, True, bool(100.0 - 2.0 * area > 44.0)]
    made.flux[3] = 2.0 * area + 50.0
    assert _stays(made, shown, 0, 4.9)[3]
    made.flux[3] = 2.0 * area + 48.0
    assert not _stays(made, shown, 0, 4.9)[3]


def test_what_is_no_peak_of_others_need_not_exceed_what_they_leave():
    made = solution(x=[20, 40, 60, 80], y=[20] * 4, flux=[100.0, 100.0, 100.0, 40.0])
    shown = nothing_shown()
    shown.leavings[:] = 30.0
    shown.excess[:, 50:70] = 2.1
    sure = np.array([True, False, True, True])
    assert _stays(made, shown, 0, 5.0, sure).tolist() == [True, False, False, False]
    assert not _stays(made, shown, 0, 5.0).any()


def test_a_star_is_proven_beside_what_others_leave():
    made, shown = solution(x=[20, 40], y=[20] * 2), nothing_shown()
    shown.leavings[:, 30:50] = 20.0
    sigma2 = NOISE**2 / (made.stamps.values[0].astype(float) ** 2).sum()
    np.testing.assert_allclose(_needed(made, shown, 4.0), [16.0, 16.0 * (1.0 + 400.0 / sigma2)], rtol=1e-6)


def test_what_is_sharper_than_a_star_does_not_stay():
    """Pieces of cosmic rays: too much light in the middle, and pixels that the PSF does not describe."""
    made = solution(x=[20, 40, 60, 80, 50], y=[20] * 4 + [60], flux=[1e3] * 5)
    peak = 1e3 * made.stamps.values[0].max()
    made.residual[20, [20, 40, 60, 80]] = np.array([0.26, 0.24, 0.3, 0.3]) * peak
    # The PSF's own error, 3 % of the flux, is allowed for beside the noise of the pixels.
    allowed = 2.5 * (250 + (0.03 * 1e3) ** 2 * made.sums.curvature[0])
    made.sums.chi2[:] = [1.01 * allowed, 1.01 * allowed, 1.01 * allowed, 0.99 * allowed, 9 * allowed]
    assert _stays(made, nothing_shown(), 0, 5.0).tolist() == [False, True, False, True, True]
    made.weight[20, 60] = 0.0
    assert _stays(made, nothing_shown(), 0, 5.0).tolist() == [False, True, True, True, True]
    assert _stays(made, nothing_shown(), 1, 5.0)[0]


def test_the_limit_counts_stars_on_the_image_and_pixels_with_weight():
    x, y = (
        np.array([20.0, -0.4, -0.6, 99.4, 99.6, 30, 31, 32, 33]),
        np.array([20.0, 5, 5, 5, 5, -0.4, -0.6, 79.4, 79.6]),
    )
    made = solution(x=x, y=y)
    made.weight[:, :50] = 0.0
    assert _limit(made, FWHM, 1.0) == detection_limit(5, 4000, FWHM)
    assert _limit(made, FWHM, 12.0) == 12.0


def test_a_step_is_a_quarter_of_the_width_and_seven_tenths_in_all():
    x, y = np.array([20.0, 50.0, 70.0]), np.array([20.0, 40.0, 30.0])
    made = solution(x=x, y=y, flux=[3e4, 3e4, 3e4])
    # All stars lie three pixels to the right of their places; the first one is the catalogue's.
    shifted = make_stamps(moffat_psf(SHAPE, FWHM), x + 3.0, y, 9.0)
    for k in range(3):
        half = (shifted.values.shape[1] - 1) // 2
        for stamps, sign in ((shifted, 1), (made.stamps, -1)):
            j, i = stamps.row[k] - half, stamps.column[k] - half
            made.residual[j : j + 2 * half + 1, i : i + 2 * half + 1] += sign * 3e4 * stamps.values[k]
    found_x, found_y = moved(made, np.array([False, True, True]), np.stack([x, y]), FWHM)
    np.testing.assert_allclose(found_x, [20.0, 51.0, 71.0], atol=1e-9)
    np.testing.assert_allclose(found_y, y, atol=1e-3)
    # With a step before it the second one would be 2.9 pixels from its peak, the third one 2.7.
    start = np.stack([x - [0.0, 1.9, 1.7], y])
    found_x, found_y = moved(made, np.array([False, True, True]), start, FWHM)
    np.testing.assert_allclose(found_x, [20.0, 50.0 - 1.9, 71.0], atol=1e-9)


def peaks(snr, *, x=(), y=(), limit=5.0, weight=None, place=(50.0, 40.0)):
    """Places that are found of a star of a signal to noise by a Gaussian filter of its own width."""
    star = moffat_psf(SHAPE, FWHM)
    residual = np.zeros(SHAPE)
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
    residual += star.values(*place, xx - place[0], yy - place[1])
    filtered = np.exp(-0.5 * ((xx - place[0]) ** 2 + (yy - place[1]) ** 2) / (FWHM / 2.3548) ** 2)
    # The filter's own significance for one unit of flux.
    unit = (residual * filtered).sum() / np.sqrt((filtered**2).sum()) / NOISE
    made = solution(residual=residual * snr / unit, weight=weight)
    made.flux[:] = 0.0
    return _new_peaks(flux_map(made, FWHM), FWHM, limit, np.asarray(x, float), np.asarray(y, float))


def test_peaks_are_as_significant_as_a_filter_of_the_stars_width_makes_them():
    assert peaks(4.9).shape == (2, 0)
    np.testing.assert_allclose(peaks(5.15), [[50.0], [40.0]], atol=0.02)
    np.testing.assert_allclose(peaks(9.0, place=(50.3, 39.6)), [[50.3], [39.6]], atol=0.06)


def test_beside_a_known_star_and_on_lost_pixels_nothing_is_found():
    # 0.45 of the width are 1.8 pixels.
    assert peaks(9.0, x=[51.75], y=[40.0]).shape == (2, 0)
    assert peaks(9.0, x=[20.0, 51.85], y=[70.0, 40.0]).shape == (2, 1)
    assert peaks(9.0, x=[50.0, 20.0], y=[41.85, 60.0]).shape == (2, 1)
    lost = np.full(SHAPE, NOISE**-2, np.float32)
    for share, seen in ((0.33, 1), (0.27, 0)):
        some = lost.copy()
        some[20:60, 30:70] *= share
        # Where most of the weight is lost a peak is none.
        assert peaks(9.0 / np.sqrt(share), weight=some).shape == (2, seen)


@pytest.mark.parametrize("n_stars", [10, 1000])
def test_the_limit_is_where_noise_makes_four_in_a_thousand_stars(n_stars):
    limit = detection_limit(n_stars, 10**6, FWHM)
    sigma = FWHM / (2 * np.sqrt(2 * np.log(2)))
    peaks_of_noise = 1e6 * limit * np.exp(-0.5 * limit**2) / ((2 * np.pi) ** 1.5 * 2 * sigma**2)
    assert peaks_of_noise == pytest.approx(0.004 * n_stars, rel=1e-3)
    # Without any star it is that of one.
    assert detection_limit(0, 10**6, FWHM) == detection_limit(1, 10**6, FWHM)
