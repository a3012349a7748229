"""Kernels of the stack of frames against plain sums."""

import numpy as np
import pytest

from gaiaflux.core.stars.stacking import (
    Layer,
    _disc_sums,
    _mark_outliers,
    _medians,
    _resample,
    _weighted_mean,
    flux_scale,
    stack_layers,
)
from gaiaflux.model.flags import PixelFlag

N, NY, NX = 5, 23, 19


def cube(seed=1, masked=0.2):
    rng = np.random.default_rng(seed)
    values = rng.normal(10.0, 30.0, (N, NY, NX)).astype(np.float32)
    return values, (rng.random(values.shape) < masked).astype(np.uint8)


def around(values, reduce):
    """Of each pixel and those around it, inside of the image."""
    padded = np.pad(values.astype(float), ((0, 0), (1, 1), (1, 1)), constant_values=np.nan)
    parts = [padded[:, j : j + values.shape[1], i : i + values.shape[2]] for j in range(3) for i in range(3)]
    return reduce(np.stack(parts), axis=0)


def test_median_of_the_good_frames_where_there_are_three():
    values, bits = cube(masked=0.4)
    found = np.zeros((NY, NX), np.float32)
    _medians(values, bits, np.zeros(N, np.float32), found)
    good = np.where(bits == 0, values, np.nan)
    enough = np.isfinite(good).sum(axis=0) >= 3
    assert 0.3 < enough.mean() < 0.95
    np.testing.assert_array_equal(np.isfinite(found), enough)
    np.testing.assert_allclose(found[enough], np.nanmedian(good[:, enough], axis=0), rtol=1e-6)


def test_outliers_are_five_sigma_and_the_brightest_pixel_around_away():
    rng = np.random.default_rng(2)
    values, bits = cube()
    median = rng.normal(0.0, 8.0, (NY, NX)).astype(np.float32)
    median[rng.random(median.shape) < 0.1] = np.nan
    variance, slope = rng.uniform(4.0, 30.0, N), rng.uniform(0.2, 3.0, N)
    hits = np.zeros(values.shape, np.uint8)
    _mark_outliers(values, bits, median, variance, slope, hits)
    with np.errstate(invalid="ignore"):
        brightest = np.fmax(around(median[None], np.fmax.reduce)[0], 0.0)
        limit = 5.0 * np.sqrt(variance[:, None, None] + slope[:, None, None] * np.maximum(median, 0.0))
        expected = (bits == 0) & (np.abs(values - median) - brightest > limit)
    assert 0.05 < expected.mean() < 0.6
    np.testing.assert_array_equal(hits, expected)


def test_mean_of_what_is_neither_masked_nor_beside_an_outlier():
    rng = np.random.default_rng(3)
    values, _ = cube()
    bits = np.where(rng.random(values.shape) < 0.15, rng.choice([1, 2, 4], values.shape), 0).astype(np.uint8)
    hits = (rng.random(values.shape) < 0.03).astype(np.uint8)
    bits[:, 11, 7], hits[:, 15, 5] = 1, 1
    bits[:, 14:17, 4:7] = 0
    weight, variance = rng.uniform(0.5, 1.0, N), rng.uniform(1.0, 9.0, N)
    weight /= weight.sum()
    shape, offset = (NY - 4, NX), 2
    image, noise2 = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    flags = np.zeros(shape, np.uint8)
    _weighted_mean(values, bits, hits, weight, variance, offset, image, noise2, flags)
    good = (bits == 0) & (around(hits, np.nanmax) == 0)
    w = np.where(good, weight[:, None, None], 0.0)
    have = w.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (w * values).sum(axis=0) / have
        error2 = (w**2 * variance[:, None, None]).sum(axis=0) / have**2
        error2 += (0.2 * (1.0 - have) * np.maximum(mean, 0.0)) ** 2
    every = np.bitwise_or.reduce(bits, axis=0)
    rows = slice(offset, NY - 2)
    some = (have > 0)[rows]
    np.testing.assert_allclose(image[some], mean[rows][some], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(noise2[some], error2[rows][some], rtol=1e-5)
    # What no frame has says why; where all were hit it is a cosmic ray.
    expected = np.where(have > 0, every & PixelFlag.SATURATED, np.where(every > 0, every, PixelFlag.COSMIC_RAY))
    np.testing.assert_array_equal(flags, expected[rows])
    assert flags[11 - offset, 7] == 1
    assert flags[15 - offset, 5] == PixelFlag.COSMIC_RAY
    assert not image[~some].any()


def test_a_band_knows_its_neighbours(monkeypatch):
    rng = np.random.default_rng(4)
    layers = [
        Layer(rng.normal(0, 3, (40, 20)).astype(np.float32), np.zeros((40, 20), np.uint8), 9.0, 0.5, 3.0, 1.0)
        for _ in range(4)
    ]
    for row in (9, 10, 20, 31):
        layers[1].image[row, 5] = 900.0
    whole = stack_layers(layers)
    monkeypatch.setattr("gaiaflux.core.stars.stacking.BAND_ROWS", 10)
    banded = stack_layers(layers)
    np.testing.assert_array_equal(banded.image, whole.image)
    np.testing.assert_array_equal(banded.floor, whole.floor)
    assert np.abs(whole.image).max() < 10.0


def weights_of(t):
    """Lagrange's polynomials through -2 to 3, at t."""
    nodes = np.arange(-2.0, 4.0)
    return np.array([np.prod([(t - m) / (n - m) for m in nodes if m != n]) for n in nodes])


def resampled(image, flags, matrix, shift, shape, step=8):
    ny, nx = shape
    columns, rows = np.meshgrid(np.arange(0, nx + step, step), np.arange(0, ny + step, step))
    x = matrix[0, 0] * columns + matrix[0, 1] * rows + shift[0]
    y = matrix[1, 0] * columns + matrix[1, 1] * rows + shift[1]
    found, bits = np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
    _resample(image.astype(np.float32), flags, x, y, step, np.zeros((2, 6), np.float32), found, bits)
    return found, bits


def test_a_polynomial_of_fifth_degree_is_carried_over_as_it_is():
    def light(x, y):
        u, v = x / 20.0 - 1.0, y / 15.0 - 1.0
        return 3.0 + u - 2.0 * v + u**3 * v - 0.5 * u**5 + 0.7 * v**5 + 0.3 * u**2 * v**4

    height, width, shape = 30, 41, (31, 38)
    yy, xx = np.mgrid[:height, :width].astype(float)
    matrix, shift = np.array([[1.1, 0.07], [-0.05, 0.9]]), np.array([3.3, 4.6])
    found, bits = resampled(light(xx, yy), np.zeros((height, width), np.uint8), matrix, shift, shape)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    x, y = (matrix[k, 0] * columns + matrix[k, 1] * rows + shift[k] for k in range(2))
    inside = (x >= 2) & (y >= 2) & (x < width - 3) & (y < height - 3)
    assert 0.5 < inside.mean() < 1.0
    np.testing.assert_array_equal(bits == 0, inside)
    expected = abs(np.linalg.det(matrix)) * light(x, y)
    np.testing.assert_allclose(found[inside], expected[inside], rtol=1e-5, atol=1e-5)
    assert not found[~inside].any()


def test_a_bad_pixel_counts_where_it_has_a_fiftieth_of_the_weight():
    flags = np.zeros((30, 30), np.uint8)
    flags[15, 14], flags[16, 15] = 1, 4
    shift = np.array([4.37, 3.81])
    _, bits = resampled(np.ones((30, 30)), flags, np.eye(2), shift, (20, 20))
    across, along = weights_of(0.37), weights_of(0.81)
    expected = np.zeros((20, 20), np.uint8)
    for row, column, bit in ((15, 14, 1), (16, 15, 4)):
        for b in range(6):
            for a in range(6):
                if abs(across[a] * along[b]) > 0.02:
                    expected[row + 2 - b - 3, column + 2 - a - 4] |= bit
    np.testing.assert_array_equal(bits, expected)


def test_light_in_a_disc_that_is_whole():
    rng = np.random.default_rng(5)
    image, flags = rng.uniform(0, 9, (30, 40)).astype(np.float32), np.zeros((30, 40), np.uint8)
    flags[12, 20] = 1
    radius = 4.3
    x = np.array([20.2, 10.7, 4.31, 4.29, 34.69, 34.71, 9.0, 9.0, 9.0, 9.0, 24.2])
    y = np.array([15.1, 20.4, 9.0, 9.0, 9.0, 9.0, 4.31, 4.29, 24.69, 24.71, 12.0])
    total, whole = np.zeros(len(x)), np.zeros(len(x), np.bool_)
    _disc_sums(image, flags, x, y, radius, total, whole)
    inside = np.array([True, True, True, False, True, False, True, False, True, False, True])
    rows, columns = np.mgrid[:30, :40]
    for k in range(len(x)):
        disc = np.hypot(columns - x[k], rows - y[k]) <= radius
        assert total[k] == pytest.approx(image[disc].sum() if inside[k] else 0.0, rel=1e-6)
        assert whole[k] == (inside[k] and not flags[disc].any())
    assert whole.tolist() == [False, *inside[1:-1], False]


@pytest.mark.parametrize(("snr", "counts"), [(51.0, True), (49.0, False)])
def test_stars_of_a_signal_of_fifty_tell_the_scale(snr, counts):
    # Within 2.5 times the larger seeing: 2.5 * 4 pixels.
    rows, columns = np.mgrid[:60, :60]
    star = np.exp(-0.5 * ((columns - 30) ** 2 + (rows - 30) ** 2) / 4.0)
    area, slope = np.pi * 10.0**2, 0.5
    light = star[np.hypot(columns - 30, rows - 30) <= 10.0].sum()
    # flux / sqrt(floor * area + slope * flux) is the signal to noise.
    floor = 3.0
    flux = 0.5 * (slope * snr**2 + np.sqrt((slope * snr**2) ** 2 + 4 * snr**2 * floor * area))
    image, flags = (star * flux / light).astype(np.float32), np.zeros((60, 60), np.uint8)
    reference = Layer(image, flags, floor, slope, 3.0)
    found = flux_scale(Layer(0.5 * image, flags, 1.0, 1.0, 4.0), reference, np.array([30.0]), np.array([30.0]))
    assert found == pytest.approx(2.0, rel=1e-5) if counts else np.isnan(found)
