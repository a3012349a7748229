import numpy as np
import pytest
from astropy.io import fits

from gaiaflux.core.image.variance_model import (
    ErrorSource,
    VarianceLine,
    complete_error,
    detector_variance,
    fit_variance,
)
from gaiaflux.model.cadences import Detector

READ_NOISE = (10.0, 7.5, 7.3, 9.2)
EXPOSURE_S = 1425.6
SLOPE, FLOOR = 1.0 / 1343.0, 0.0395
NOT_STATED = float("nan")


def detector(read_noise=READ_NOISE, nreadout=720):
    return Detector(900, nreadout, 1.98, 0.02, (5.2,) * 4, read_noise)


@pytest.fixture
def flux():
    """Sky, and stars of all brightnesses."""
    rng = np.random.default_rng(41)
    image = rng.normal(150.0, 0.4, (90, 120))
    image.ravel()[rng.choice(image.size, 600, replace=False)] += rng.pareto(1.0, 600) * 30.0
    return image.astype(np.float32)


def stated(flux):
    return np.sqrt(SLOPE * flux + FLOOR).astype(np.float32)


def test_what_is_stated_stays(flux):
    error = stated(flux)
    flux[3, 4] = np.nan
    found = complete_error(flux, error, detector(), exptime_s=EXPOSURE_S, first_column=44)
    assert (found.source, found.line) == (ErrorSource.STATED, None)
    assert np.isnan(found.error[3, 4])
    seen = np.isfinite(flux)
    np.testing.assert_array_equal(found.error[seen], error[seen])


def test_missing_errors_follow_the_stated_ones(flux):
    """Half is not stated; of what is, some is wrong, and outputs differ by 1 %."""
    truth, rng = stated(flux), np.random.default_rng(42)
    error = (truth * rng.normal(1.0, 0.005, flux.shape)).astype(np.float32)
    odd = rng.choice(error.size, 200, replace=False)
    error.ravel()[odd[:100]] *= 3.0
    error.ravel()[odd[100:]] = 0.0
    error[:, 60:] = np.nan
    found = complete_error(flux, error, detector(), exptime_s=EXPOSURE_S, first_column=44)
    assert found.source is ErrorSource.FITTED
    assert found.line.slope == pytest.approx(SLOPE, rel=0.005)
    assert found.line.floor == pytest.approx(FLOOR, rel=0.02)
    assert found.error.dtype == np.float32
    np.testing.assert_allclose(found.error[:, 60:], truth[:, 60:], rtol=0.005)
    np.testing.assert_array_equal(found.error[:, :60], error[:, :60])


@pytest.mark.parametrize("n", [0, 99])
def test_without_errors_the_detector_says_them(flux, n):
    error = np.full_like(flux, np.nan)
    error[0, :n] = stated(flux)[0, :n]
    found = complete_error(flux, error, detector(), exptime_s=EXPOSURE_S, first_column=44)
    assert (found.source, found.line) == (ErrorSource.DETECTOR, None)
    expected = np.sqrt(flux / EXPOSURE_S + 720 * 10.0**2 / EXPOSURE_S**2)
    np.testing.assert_allclose(found.error[1:], expected[1:], rtol=1e-5)
    np.testing.assert_array_equal(found.error[0, :n], error[0, :n])


def test_errors_of_a_flat_part_have_no_slope(flux):
    error = np.full_like(flux, 0.4)
    error[:, 100:] = np.nan
    assert fit_variance(flux, error) is None
    assert fit_variance(np.full_like(flux, 150.0), stated(flux)) is None
    assert fit_variance(flux, 1.0 / stated(flux)) is None, "an error that falls with the flux"


@pytest.mark.parametrize(("first_column", "outputs"), [(44, "AAA"), (44 + 512 - 60, "AAB"), (2092 - 120, "DDD")])
def test_each_output_has_its_read_noise(first_column, outputs):
    variance = detector_variance(np.zeros((2, 120)), detector(), exptime_s=100.0, first_column=first_column)
    for column, output in zip((0, 59, 60), outputs, strict=True):
        expected = 720 * READ_NOISE["ABCD".index(output)] ** 2 / 100.0**2
        np.testing.assert_allclose(variance[:, column], expected)


def test_the_errors_are_those_of_photons_and_readouts():
    """Counts of many readouts, drawn one by one: the pulls are 1."""
    rng, n, int_time_s = np.random.default_rng(43), 20, 1.98
    rate = np.geomspace(20.0, 3000.0, 4)[:, None]
    electrons = np.zeros((4, 20_000))
    for _ in range(n):
        electrons += rng.poisson(rate * int_time_s, electrons.shape) + rng.normal(0.0, 7.0, electrons.shape)
    exposure_s = n * int_time_s
    flux = electrons / exposure_s
    variance = detector_variance(
        np.broadcast_to(rate, flux.shape), detector((7.0,) * 4, n), exptime_s=exposure_s, first_column=44
    )
    pulls = np.std((flux - rate) / np.sqrt(variance), axis=1)
    np.testing.assert_allclose(pulls, 1.0, atol=0.02)


def test_what_the_header_does_not_say():
    unknown = detector((NOT_STATED,) * 4, nreadout=0)
    variance = detector_variance(np.array([[-5.0, np.nan, 10.0]]), unknown, exptime_s=198.0, first_column=44)
    floor = 100 * 10.0**2 / 198.0**2
    np.testing.assert_allclose(variance, [[floor, np.nan, 10.0 / 198.0 + floor]])
    with pytest.raises(ValueError, match="exposure time"):
        detector_variance(np.zeros((2, 2)), unknown, exptime_s=NOT_STATED, first_column=44)


def test_a_line_has_no_negative_variance():
    np.testing.assert_allclose(VarianceLine(0.1, 0.2).variance(np.array([-3.0, 0.0, 2.0])), [0.2, 0.2, 0.4])


@pytest.mark.real
def test_the_real_crop(tess_data):
    """Read without the project's reader: 84 science columns have an uncertainty, columns 128 to 172 have none."""
    with fits.open(next((tess_data / "ffi_s01_c1_4").glob("*.fits"))) as hdus:
        flux = hdus[1].data[:, 44:].astype(np.float32)
        error = np.full_like(flux, np.nan)
        error[:, :84] = hdus[2].data[:, 44:]
    read_noise = (10.058, 7.465, 7.308, 9.169)
    found = complete_error(flux, error, detector(read_noise), exptime_s=EXPOSURE_S, first_column=44)
    assert found.source is ErrorSource.FITTED
    assert 1.0 / found.line.slope == pytest.approx(1343.0, rel=0.003)
    assert found.line.floor == pytest.approx(0.0395, rel=0.01)
    part = slice(0, 84)
    off = np.abs(np.sqrt(found.line.variance(flux[:, part])) / error[:, part] - 1.0)
    assert np.quantile(off, 0.99) < 0.012
    assert off.max() < 0.05  # a pixel of which the flat is low
    # The pipeline propagates its corrections, too: its errors are a little larger than photons and readouts alone.
    alone = np.sqrt(detector_variance(flux, detector(read_noise), exptime_s=EXPOSURE_S, first_column=44))
    ratio = alone[:, part] / error[:, part]
    assert np.quantile(ratio, 0.01) > 0.95
    assert np.quantile(ratio, 0.99) < 0.98
