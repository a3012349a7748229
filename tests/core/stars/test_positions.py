"""Known stars whose light is beside their places."""

from types import SimpleNamespace

import numpy as np
import pytest

from gaiaflux.core.psf.equations import close_pairs, normal_equations, sum_stamps
from gaiaflux.core.psf.model import moffat_psf
from gaiaflux.core.psf.stamps import make_stamps
from gaiaflux.core.stars.positions import astray, moved

SHAPE = (300, 300)
FWHM = 4.0
NOISE = 5.0
PSF = moffat_psf(SHAPE, FWHM)
X, Y = (axis.ravel() for axis in np.meshgrid(np.arange(30.0, 280, 40), np.arange(30.0, 280, 40)))


def solved(shift, flux=3e4, x=X, y=Y, hidden=0):
    """Stars that are fitted at (x, y), but lie beside by `shift` along x; some pixels of the first one are bad."""
    shift, flux = shift + np.zeros(len(x)), flux + np.zeros(len(x))
    stamps, there = make_stamps(PSF, x, y, 9.0), make_stamps(PSF, x + shift, y, 9.0)
    residual = np.zeros(SHAPE, np.float32)
    for made, sign in ((there, 1.0), (stamps, -1.0)):
        half = (made.values.shape[1] - 1) // 2
        for k in range(len(x)):
            j, i = made.row[k] - half, made.column[k] - half
            residual[j : j + 2 * half + 1, i : i + 2 * half + 1] += np.float32(sign * flux[k]) * made.values[k]
    weight = np.full(SHAPE, NOISE**-2, np.float32)
    weight[int(y[0]) : int(y[0]) + 1, int(x[0]) - hidden : int(x[0]) + hidden + 1] *= hidden == 0
    sums = sum_stamps(residual, weight, stamps)
    equations = normal_equations(weight, stamps, sums.curvature, close_pairs(stamps))
    error = 1.0 / np.sqrt(sums.curvature)
    return SimpleNamespace(
        stamps=stamps, flux=flux, error=error, residual=residual, weight=weight, sums=sums, equations=equations
    )


def off(made, n_known=None):
    return np.flatnonzero(astray(made, n_known or len(X), FWHM)).tolist()


def shifts(**where):
    shift = np.zeros(len(X))
    for row, value in where.items():
        shift[int(row[1:])] = value
    return shift


def test_a_fifth_of_the_width_is_astray():
    assert off(solved(shifts(r3=1.0, r7=-1.2, r9=0.6))) == [3, 7]
    assert off(solved(shifts(r3=1.0, r7=-1.2)), 5) == [3]
    assert off(solved(np.zeros(len(X)))) == []


def test_many_are_an_error_of_the_plate_solution():
    few, many = np.zeros(len(X)), np.zeros(len(X))
    few[:4], many[:6] = 1.0, 1.0
    assert off(solved(few)) == [0, 1, 2, 3]
    assert off(solved(many)) == []


@pytest.mark.parametrize(("snr", "found"), [(25.0, []), (200.0, [3])])
def test_only_bright_stars_tell(snr, found):
    flux = np.full(len(X), 3e4)
    flux[3] = snr * solved(0.0).error[3]
    assert off(solved(shifts(r3=1.0), flux)) == found


def test_a_star_with_a_neighbour_or_bad_pixels_does_not_tell():
    assert off(solved(shifts(r0=1.0), hidden=3)) == []
    assert off(solved(shifts(r0=1.0), hidden=0)) == [0]
    x, y = np.append(X, X[0] + 5.0), np.append(Y, Y[0])
    assert off(solved(np.append(shifts(r0=1.0), 0.0), x=x, y=y)) == []


def test_those_that_are_free_move():
    made = solved(shifts(r3=0.5, r5=0.5))
    free = np.zeros(len(X), bool)
    start = np.stack([X, Y])
    x, y = moved(made, free, start, FWHM)
    np.testing.assert_array_equal([x, y], [X, Y])
    free[5] = True
    x, y = moved(made, free, start, FWHM)
    assert 0.3 < x[5] - X[5] < 0.6
    assert np.delete(x, 5).tolist() == np.delete(X, 5).tolist()
    np.testing.assert_allclose(y, Y, atol=0.02)
