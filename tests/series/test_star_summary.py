"""Apertures of the stars of a series, and what each star did, from arrays that stand for the file."""

import numpy as np
import pytest

from gaiaflux.model.flags import StarFlag
from gaiaflux.series.star_summary import (
    Grids,
    Measured,
    _brightest,
    _typical,
    choose_and_write,
    read_rows,
    sampled_frames,
    star_blocks,
    sum_up,
)

RADII_FWHM = np.array([0.7, 1.0, 1.6])


def test_blocks_of_stars_fit_the_memory_and_whole_chunks():
    # Four million numbers: 600 stars of 6666, of which 512 are whole chunks of 256.
    assert list(star_blocks(1300, 6666)) == [slice(0, 512), slice(512, 1024), slice(1024, 1300)]
    assert list(star_blocks(600, 10**9)) == [slice(0, 256), slice(256, 512), slice(512, 600)]
    assert list(star_blocks(10, 0)) == [slice(0, 10)]
    assert list(star_blocks(0, 5)) == []


def test_two_hundred_frames_are_enough_for_a_median():
    assert [sampled_frames(m).step for m in (0, 1, 199, 399, 400, 1000)] == [1, 1, 1, 1, 2, 5]


def measured(flux, flags=None, error=1.0):
    flux = np.asarray(flux, float)
    return Measured(flux, np.full(flux.shape, error), np.zeros(flux.shape, "u4") if flags is None else flags)


def summed(picked, held_out=np.nan, expected=1.0, sample=slice(None)):
    n = len(picked.flux)
    return sum_up(picked, sample, np.arange(n), np.full(n, held_out), np.full(n, expected))


def test_points_that_count_and_points_that_are_there():
    flags = np.zeros((1, 8), "u4")
    flags[0, :3] = StarFlag.SATURATED, StarFlag.SATURATED, StarFlag.BAD_PIXEL
    flux = np.array([[90.0, np.nan, 80.0, 10.0, 12.0, 14.0, 16.0, 18.0]])
    picked = measured(flux, flags, 2.0)
    picked.flux_err[0, 7] = 0.0
    found = summed(picked, expected=3.0)
    assert (found.n_points[0], found.n_good[0], found.n_saturated[0]) == (7, 4, 1)
    assert (found.flux[0], found.snr[0]) == (13.0, 6.5)
    assert found.expected[0] == pytest.approx(3.0 / 13.0)
    assert np.isnan(found.held_out[0])
    # The sampled frames say what is typical, all of them count.
    some = summed(picked, sample=slice(None, None, 2))
    assert (some.flux[0], some.n_good[0]) == (14.0, 4)
    negative = summed(measured(-flux, flags))
    assert np.isnan([negative.expected[0], negative.held_out[0]]).all()


@pytest.mark.parametrize(("near", "isolated"), [(4, True), (5, False)])
def test_half_of_the_points_may_have_a_neighbour(near, isolated):
    for bit in (StarFlag.NEIGHBOUR, StarFlag.BLENDED, StarFlag.POOR_FIT):
        flags = np.where(np.arange(8) < near, np.uint32(bit), np.uint32(0))[None]
        picked = measured(np.full((1, 8), 100.0), flags)
        assert summed(picked).isolated.tolist() == [isolated]
        # What the series shows counts more.
        assert summed(picked, held_out=1.0).isolated.tolist() == [True]


@pytest.mark.parametrize(("scatter", "snr"), [(2.0, 50.0), (0.5, 100.0), (50.0, 20.0), (0.0, 100.0), (np.nan, 100.0)])
def test_a_star_is_no_better_than_its_scatter_and_no_worse_than_a_candidate(scatter, snr):
    found = summed(measured(np.full((1, 8), 100.0)), held_out=scatter)
    assert found.snr[0] == pytest.approx(snr)
    assert found.held_out[0] == pytest.approx(scatter / 100.0, nan_ok=True)
    # One that is faint stays so, however little it scatters.
    assert summed(measured(np.full((1, 8), 9.0)), held_out=50.0).snr[0] == pytest.approx(9.0)


def test_the_brightest_of_the_stars_that_are_often_measured():
    m, n = 20, 260
    flux = np.repeat(np.arange(1.0, n + 1)[None, :, None], m, axis=0) * np.ones(3)
    error, usable = np.ones(flux.shape), np.ones(flux.shape, bool)
    assert _brightest(flux, error, usable).tolist() == list(range(60, 260))
    # By each radius in 14 of 20 frames, but not in 13.
    usable[14:, 250, 0] = usable[13:, 251, 2] = False
    assert _brightest(flux, error, usable).tolist() == [*range(59, 251), *range(252, 260)]
    # Of the signal to noise by the middle radius in the frames that count.
    error[:, 100, 1], flux[16:, 30, 1], usable[16:, 30, 1] = 1e-3, 1e9, False
    error[:, 240, [0, 2]] = 1e6
    rows = _brightest(flux, error, usable)
    assert {100, 240} <= set(rows)
    assert 30 not in rows
    assert _brightest(flux, error, np.zeros(flux.shape, bool)).size == 0


def test_typical_error_and_flux():
    flux = np.arange(24.0).reshape(4, 3, 2)
    usable = np.ones(flux.shape, bool)
    usable[:, 2], usable[3, 0, 0] = False, False
    error, level = _typical(flux, 2.0 * flux, usable)
    np.testing.assert_allclose(error[0], [12.0, 2.0 * np.median(flux[:, 0, 1])])
    assert error[2].tolist() == [0.0, 0.0]
    np.testing.assert_allclose(level, [np.median(flux[:, 0, 1]), np.median(flux[:, 1, 1]), 0.0])


class Source:
    """Arrays of a method as they lie in a file."""

    def __init__(self, **arrays):
        self._arrays = {f"aperture/{name}": values for name, values in arrays.items()}

    def __contains__(self, name):
        return name in self._arrays

    def grid(self, name):
        return self._arrays[name]

    array = grid


def series(m, n=40, lost=()):
    rng = np.random.default_rng(5)
    fwhm = 4.0 + 2.0 * (np.arange(m) % 3)
    flux = 1e4 * (1.0 + 0.01 * rng.normal(size=(m, n, 3)))
    radii = fwhm[:, None] * RADII_FWHM
    radii[list(lost)] = np.nan
    flux[list(lost)] = np.nan
    flags = np.zeros(flux.shape, "u4")
    source = Source(flux=flux, flux_err=np.full(flux.shape, 100.0), flags=flags, radii_pix=radii)
    frames = {"fwhm_pix": fwhm}
    return source, frames, {"x_ref": rng.uniform(0, 900, n), "y_ref": rng.uniform(0, 900, n)}


@pytest.mark.parametrize(("m", "lost", "fixed"), [(30, (), True), (29, (), False), (31, (4, 9), False)])
def test_thirty_frames_tell_whether_an_aperture_of_one_size_is_better(m, lost, fixed):
    source, frames, stars = series(m, lost=lost)
    grids = Grids(*(np.zeros((40, m), dtype) for dtype in ("f4", "f4", "u4")))
    summary, radii = choose_and_write(source, "aperture", grids, frames, stars)
    assert (radii.shape[1] > 3) == fixed
    np.testing.assert_array_equal(radii[:, :3], source.array("aperture/radii_pix"))
    # One size in all frames.
    assert np.ptp(radii[:, 3:], axis=0).tolist() == [0.0] * (radii.shape[1] - 3)
    assert len(summary.radius) == 40
    own = summary.radius < 3
    picked = np.take_along_axis(source.grid("aperture/flux"), np.minimum(summary.radius, 2)[None, :, None], 2)[:, :, 0]
    np.testing.assert_array_equal(grids.flux[own], picked.T[own].astype("f4"))


def test_frames_that_do_not_decide_change_no_choice():
    source, frames, stars = series(64)
    grids = [Grids(*(np.zeros((40, 64), dtype) for dtype in ("f4", "f4", "u4"))) for _ in range(2)]
    first, _ = choose_and_write(source, "aperture", grids[0], frames, stars, deciding=2)
    spoiled = source.grid("aperture/flux")
    spoiled[1::2, :, 0] *= 1.0 + 0.5 * np.random.default_rng(3).normal(size=(32, 40))
    second, _ = choose_and_write(source, "aperture", grids[1], frames, stars, deciding=2)
    np.testing.assert_array_equal(first.radius, second.radius)
    np.testing.assert_array_equal(first.held_out, second.held_out)
    # All of the frames would have seen it.
    third, _ = choose_and_write(source, "aperture", grids[1], frames, stars)
    assert (third.radius > 0).all()
    assert (first.radius == 0).any()


def test_rows_of_a_file_are_read_in_blocks(monkeypatch):
    monkeypatch.setattr("gaiaflux.series.star_summary._BLOCK_VALUES", 1)
    flux = np.arange(700.0)[:, None] + np.array([0.0, 0.25])
    grids = Grids(flux, flux + 0.5, flux.astype("u4"))
    rows = np.array([0, 255, 256, 300, 699])
    found = read_rows(grids, rows)
    np.testing.assert_array_equal(found.flux, flux[rows])
    np.testing.assert_array_equal(found.flux_err, flux[rows] + 0.5)
    np.testing.assert_array_equal(found.flags, flux[rows].astype("u4"))
