"""Numbers of stars and frames against straightforward sums and against the truth."""

from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.io.dataset import DatasetReader
from gaiaflux.model.errors import InputError
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.methods import APERTURE, PSF
from gaiaflux.report import statistics
from gaiaflux.report.statistics import measure_method


def measure(truth, path, method=APERTURE):
    with DatasetReader(truth.write(path)) as source:
        return measure_method(source, method)


def test_numbers_of_a_star(make_truth, tmp_path):
    truth = make_truth()
    truth.flags[7, :4] = StarFlag.BAD_PIXEL
    truth.flux[7, :4] *= 50  # must not count
    truth.flux[8, 5] = np.nan
    found = measure(truth, tmp_path / "d.h5")
    for row, use in ((7, slice(4, None)), (9, slice(None))):
        flux, error = truth.flux[row, use], truth.error[row, use]
        median = np.median(flux)
        mag = -2.5 * np.log10(flux)
        mean = np.average(flux, weights=error**-2)
        assert found.level[row] == pytest.approx(median, rel=1e-5)
        expected_scatter = 1.4826 * np.median(np.abs(mag - np.median(mag)))
        assert found.scatter[row] == pytest.approx(expected_scatter, rel=0.03)
        assert found.expected[row] == pytest.approx(1.0857362 * np.median(error) / median, rel=1e-4)
        assert found.chi2[row] == pytest.approx((((flux - mean) / error) ** 2).sum() / (flux.size - 1), rel=1e-3)
    assert (found.n_points[8], found.n_good[7], found.n_points[7]) == (39, 36, 40)
    assert found.spoiled[7] == 0.1
    assert found.flag_points["bad_pixel"] == 4
    # Constant stars with right errors.
    quiet = np.setdiff1d(np.arange(120), (17, 40))
    assert np.mean(found.chi2[quiet]) == pytest.approx(1.0, abs=0.05)
    assert np.median(found.scatter[quiet] / found.expected[quiet]) == pytest.approx(1.0, abs=0.08)


def test_variables_come_first_and_constants_are_constant(make_truth, tmp_path):
    found = measure(make_truth(), tmp_path / "d.h5")
    assert set(found.most_variable(2, blended=False)) == {17, 40}
    assert list(found.brightest_constant(3)) == [0, 1, 2]
    assert found.most_variable(5, blended=True).size == 0


def test_one_outlier_makes_no_variable(make_truth, tmp_path):
    truth = make_truth(variable=(17,))
    truth.flux[3, 11] += 60 * truth.error[3, 11]
    found = measure(truth, tmp_path / "d.h5")
    assert found.chi2[3] > 20
    assert found.excess[3] < 1.5
    assert found.most_variable(1, blended=False)[0] == 17


def test_a_neighbour_disturbs_apertures_and_one_too_close_the_psf(make_truth, tmp_path):
    truth = make_truth()
    truth.flags[17], truth.flags[18] = StarFlag.NEIGHBOUR, StarFlag.NEIGHBOUR | StarFlag.BLENDED
    with DatasetReader(truth.write(tmp_path / "d.h5", psf=0.5)) as source:
        found = {method.name: measure_method(source, method) for method in (APERTURE, PSF)}
    assert list(np.flatnonzero(found["aperture"].blended)) == [17, 18]
    assert list(np.flatnonzero(found["psf"].blended)) == [18]
    assert found["aperture"].blend != found["psf"].blend


def test_a_flag_that_there_is_not_is_one_sentence(make_truth, tmp_path):
    odd = replace(APERTURE, blend=("neighbor", "beside"))
    with pytest.raises(
        InputError, match=r"^the method .*'aperture' names .* 'neighbor', .*did you mean 'neighbour'\?$"
    ):
        measure(make_truth(), tmp_path / "d.h5", odd)


def test_kinds_of_stars(make_truth, tmp_path):
    truth = make_truth()
    truth.flags[2] = StarFlag.SATURATED
    truth.flags[3, :25] = StarFlag.EDGE
    truth.flags[17] = StarFlag.NEIGHBOUR
    truth.flux[5, 4:] = np.nan
    truth.flux[6] = np.nan
    found = measure(truth, tmp_path / "d.h5")
    assert list(np.flatnonzero(~found.clean)) == [2, 3, 5, 6]
    assert found.saturated[2] == 1.0
    assert list(np.flatnonzero(found.blended)) == [17]
    # Flagged stars have a place in the diagram, but are not judged; too few points give no scatter.
    assert np.isfinite(found.scatter[[2, 3]]).all()
    assert np.isnan(found.excess[[2, 3, 5, 6]]).all()
    assert np.isnan(found.scatter[[5, 6]]).all()
    assert np.isfinite(found.expected[5])
    assert 17 not in found.most_variable(10, blended=False)


def test_frame_with_wrong_errors_is_seen(make_truth, tmp_path):
    truth = make_truth(n=400)
    truth.flux[:, 9] += 3 * truth.error[:, 9] * np.random.default_rng(0).normal(size=400)
    found = measure(truth, tmp_path / "d.h5")
    assert found.frame_pull[9] == pytest.approx(np.sqrt(10), rel=0.15)
    assert np.median(np.delete(found.frame_pull, 9)) == pytest.approx(1.0, abs=0.08)


def test_blocks_change_nothing(make_truth, tmp_path, monkeypatch):
    truth = make_truth(n=700, m=12)
    whole = measure(truth, tmp_path / "d.h5")
    monkeypatch.setattr(statistics, "_BLOCK_VALUES", 1)
    pieces = measure(truth, tmp_path / "d.h5")
    for name in ("level", "scatter", "chi2", "excess", "frame_pull", "n_good", "clean", "mag"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(pieces, name))
    assert whole.flag_points == pieces.flag_points


def test_stars_without_gaia_get_their_own_magnitude(make_truth, tmp_path):
    truth = make_truth()
    truth.stars["phot_g_mean_mag"] = np.where(np.arange(120) == 30, np.nan, truth.mag)
    found = measure(truth, tmp_path / "d.h5")
    assert found.mag[30] == pytest.approx(truth.mag[30], abs=0.02)
