"""Normal equations of a PSF's shape, and its residual's table, against plain sums."""

from types import SimpleNamespace

import numpy as np
import pytest

from gaiaflux.core.image.background import Background
from gaiaflux.core.psf.equations import normal_equations, sum_stamps
from gaiaflux.core.psf.fit import PsfFit, _common_shift, _quality
from gaiaflux.core.psf.fluxes import _smooth, absorbed_sky
from gaiaflux.core.psf.model import moffat_psf
from gaiaflux.core.psf.residual import _at_nodes, _node_polynomials, _shrunk
from gaiaflux.core.psf.shape import _global_equations, _nuisance_block, _score_shape, _solved, _without_outliers
from gaiaflux.core.psf.stamps import make_stamps

SHAPE = (60, 70)
YY, XX = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
RADIUS = 8.0


def model(p):
    """Light of (flux, x, y, A, B, C, beta, sky)."""
    f, x, y, a, b, c, beta, sky = p
    dx, dy = XX - x, YY - y
    u = 1 + a * dx**2 + 2 * b * dx * dy + c * dy**2
    return f * (beta - 1) / np.pi * np.sqrt(a * c - b * b) * u**-beta + sky


def test_equations_of_a_star_are_sums_over_the_pixels_of_its_circle():
    rng = np.random.default_rng(1)
    x, y = np.array([30.3, 50.8, 5.2]), np.array([25.7, 30.1, 55.0])
    flux = np.array([2e4, 1e4, 3e4])
    stamps = make_stamps(moffat_psf(SHAPE, 4.0), x, y, RADIUS)
    residual = rng.normal(0, 12, SHAPE).astype(np.float32)
    weight = rng.uniform(0.005, 0.02, SHAPE).astype(np.float32)
    weight[rng.random(SHAPE) < 0.05] = 0.0
    light = rng.uniform(0, 800, SHAPE).astype(np.float32)
    rows = np.array([2, 0])
    nuisance = np.array([[3.1e4, 0.2, -0.1], [1.9e4, -0.15, 0.05]])
    shape = np.array([[0.07, 0.01, 0.05, 2.8, 3.0], [0.05, -0.008, 0.06, 3.3, 3.0]])
    normal, gradient, chi2 = np.empty((2, 8, 8)), np.empty((2, 8)), np.empty(2)
    _score_shape(
        residual, weight, light, stamps.values, stamps.column, stamps.row, stamps.x, stamps.y, flux, rows, nuisance,
        shape, RADIUS, normal, gradient, chi2,
    )  # fmt: skip
    half = (stamps.values.shape[1] - 1) // 2
    for s, k in enumerate(rows):
        p = np.array([nuisance[s, 0], x[k] + nuisance[s, 1], y[k] + nuisance[s, 2], *shape[s]])
        own = np.zeros(SHAPE)
        j, i = np.mgrid[-half : half + 1, -half : half + 1]
        j, i = j + stamps.row[k], i + stamps.column[k]
        there = (j >= 0) & (j < SHAPE[0]) & (i >= 0) & (i < SHAPE[1])
        own[j[there], i[there]] = flux[k] * stamps.values[k][there]
        use = (np.hypot(XX - x[k], YY - y[k]) <= RADIUS) & (weight > 0)
        r = (residual + own - model(p))[use]
        alone = (model(p) - p[7])[use]
        # The star's own model may be wrong by one per cent, the neighbours' light by five.
        noise = 1 / weight[use].astype(float) + (0.01 * alone) ** 2 + (0.05 * (light - own)[use]) ** 2
        w = 1 / noise
        w /= 1 + w * r**2 / 25.0
        steps = np.array([1.0, 1e-4, 1e-4, 1e-6, 1e-6, 1e-6, 1e-4, 1e-3])
        slopes = [(model(p + step) - model(p - step))[use] / (2 * step.max()) for step in np.diag(steps)]
        expected = np.array([[np.sum(w * one * other) for one in slopes] for other in slopes])
        scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
        np.testing.assert_allclose(normal[s] / scale, expected / scale, atol=1e-5)
        pull = np.array([np.sum(w * r * one) for one in slopes])
        np.testing.assert_allclose(
            gradient[s] / np.sqrt(np.diag(expected)), pull / np.sqrt(np.diag(expected)), atol=1e-3
        )
        assert chi2[s] == pytest.approx(np.mean(w * r**2), rel=1e-5)


def test_stars_that_say_nothing_are_left_out_of_the_equations():
    good = np.eye(8) + 0.1
    flat = good.copy()
    flat[:3, :3] = 1.0
    flat[1, 1] = flat[2, 2] = 1.0 + 1e-7
    dark, unknown = good.copy(), good.copy()
    dark[0, 0] = 0.0
    unknown[3, 5] = np.nan
    normal = np.stack([good, flat, dark, unknown])
    inner, known = _nuisance_block(normal)
    assert known.tolist() == [True, False, False, False]
    np.testing.assert_array_equal(inner[0], good[:3, :3])
    np.testing.assert_array_equal(inner[1:], np.repeat(np.eye(3)[None], 3, axis=0))
    np.testing.assert_array_equal(normal[0], good)
    assert not normal[1:].any()


def test_blends_are_four_times_the_usual_scatter_of_the_logarithm_away():
    usual = np.exp(np.append(np.tile([-0.3, -0.1, 0.1, 0.3], 10), [0.0, 0.0]))
    for value, kept in ((4 * 1.4826 * 0.1 - 0.03, True), (4 * 1.4826 * 0.1 + 0.03, False)):
        assert _without_outliers(np.append(usual, np.exp(value)))[-1] == kept
        assert _without_outliers(np.append(usual, np.exp(-5.0)))[-1]
    # Where all are alike, half of a unit.
    for value, kept in ((0.45, True), (0.55, False)):
        assert _without_outliers(np.append(np.ones(40), np.exp(value)))[-1] == kept


def test_polynomials_over_the_field_and_numbers_of_the_frame_in_one_system():
    rng = np.random.default_rng(2)
    reduced = rng.normal(size=(9, 5, 5))
    reduced = reduced + reduced.transpose(0, 2, 1)
    pull, terms = rng.normal(size=(9, 5)), rng.normal(size=(9, 3))
    matrix, rhs = _global_equations(reduced, pull, terms)
    design = np.zeros((9, 5, 11))
    for k in range(3):
        design[:, k, 3 * k : 3 * k + 3] = terms
    design[:, 3, 9] = design[:, 4, 10] = 1.0
    np.testing.assert_allclose(matrix, np.einsum("nap,nab,nbq->pq", design, reduced, design), atol=1e-12)
    np.testing.assert_allclose(rhs, np.einsum("nap,na->p", design, pull), atol=1e-12)


def test_unknowns_of_very_different_sizes_are_solved():
    size = np.array([1e-6, 1.0, 1e5])
    matrix = np.array([[2.0, 0.3, 0.1], [0.3, 1.5, -0.2], [0.1, -0.2, 1.0]]) / np.outer(size, size)
    truth = np.array([3.0, -2.0, 1.0]) * size
    found, covariance = _solved(matrix, matrix @ truth)
    np.testing.assert_allclose(found, truth, rtol=1e-7)
    np.testing.assert_allclose(covariance, np.linalg.inv(matrix), rtol=1e-7)


def test_noise_is_drawn_to_the_mean_and_that_to_zero():
    # A mean of 3 with a variance of 0.25, and a spread of 4 beyond the noise of 1.
    values = 3.0 + np.sqrt(5.0) * np.array([1.0, -1.0, 1.0, -1.0])
    found = _shrunk(values, np.ones(4))
    np.testing.assert_allclose(found, 3.0 * (9.0 - 0.25) / 9.0 + (values - 3.0) * 4.0 / 5.0)
    np.testing.assert_allclose(_shrunk(np.array([0.4, -0.2, 0.1, 0.3]), np.ones(4)), 0.0, atol=1e-12)
    # Weights of the mean are inverse variances.
    mean = (1.0 * 4 + 4.0 * 1) / 5.0
    unequal = _shrunk(np.array([1.0, 4.0]), np.array([0.25, 1.0]))
    signal = ((1 - mean) ** 2 - 0.25 + (4 - mean) ** 2 - 1.0) / 2
    kept = mean * (mean**2 - 0.2) / mean**2
    np.testing.assert_allclose(
        unequal, kept + (np.array([1.0, 4.0]) - mean) * signal / (signal + np.array([0.25, 1.0]))
    )


@pytest.mark.parametrize(("fx", "fy"), [(0.3, -0.4), (-1.7, 1.2), (0.0, 0.5)])
def test_a_parabola_is_carried_to_whole_offsets_from_the_star(fx, fy):
    half = 4
    j, i = np.mgrid[-half - 2 : half + 3, -half - 2 : half + 3].astype(float)

    def light(dx, dy):
        return 1.0 + 0.3 * dx - 0.2 * dy + 0.05 * dx**2 + 0.04 * dx * dy - 0.03 * dy**2

    noise = np.exp(0.1 * i - 0.05 * j)
    found, variance = _at_nodes(light(i, j), noise, fx, fy, half)
    inner = slice(2, -2)
    dj, di = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    np.testing.assert_allclose(found[inner, inner], light(di + fx, dj + fy)[inner, inner], atol=1e-12)
    # Noise of what is summed, as if neighbours' noise were independent and a single pixel's were kept.
    t = np.array([fx - np.floor(fx), fy - np.floor(fy)])
    w = np.stack([0.5 * t * (-1 + t * (2 - t)), 1 + 0.5 * t**2 * (3 * t - 5), 0.5 * t * (1 + t * (4 - 3 * t)),
                  0.5 * t**2 * (t - 1)])  # fmt: skip
    products = np.outer(w[:, 1], w[:, 0])
    rows = np.arange(-1, 3) + int(np.floor(fy)) + half + 2
    columns = np.arange(-1, 3) + int(np.floor(fx)) + half + 2
    kept = np.where(np.abs(products) > 0.02, products, 0.0)
    expected = (kept**2 * noise[np.ix_(rows, columns)]).sum() / (products**2).sum()
    assert variance[half, half] == pytest.approx(expected)


def test_polynomials_of_each_node_need_more_than_two_stars_a_term():
    rng = np.random.default_rng(3)
    n, terms = 9, np.stack([np.ones(9), np.linspace(-1, 1, 9)], axis=1)
    data, inverse = rng.normal(size=(n, 3, 3)), rng.uniform(0.5, 2.0, (n, 3, 3))
    inverse[4:, 0, 0] = inverse[5:, 1, 1] = 0.0
    table, error2 = _node_polynomials(data, inverse, terms)
    for j in range(3):
        for i in range(3):
            w = inverse[:, j, i]
            if (w > 0).sum() <= 4:
                assert table[:, j, i].tolist() == [0.0, 0.0]
                assert np.isinf(error2[:, j, i]).all()
                continue
            covariance = np.linalg.inv(terms.T @ (terms * w[:, None]))
            np.testing.assert_allclose(table[:, j, i], covariance @ (terms.T @ (w * data[:, j, i])), rtol=1e-6)
            np.testing.assert_allclose(error2[:, j, i], np.diag(covariance), rtol=1e-6)
    assert (np.isinf(error2[0]).sum(), np.isfinite(error2[0, 1, 1])) == (1, True)


def fitted(dx, dy, error=0.05, used=None):
    n = len(dx)
    used = np.ones(n, bool) if used is None else used
    stars = SimpleNamespace(
        dx=np.asarray(dx), dy=np.asarray(dy), error=np.broadcast_to(error, n), used=used, row=np.arange(n)
    )
    return SimpleNamespace(stars=stars)


def test_the_common_shift_is_a_mean_without_what_is_far_off():
    dx, dy = np.array([0.1, 0.3, 0.1, 0.3, 9.0]), np.array([0.2, 0.2, -0.2, -0.2, 0.0])
    used = np.array([True] * 4 + [False])
    np.testing.assert_allclose(_common_shift(fitted(dx, dy, used=used)), [0.2, 0.0], atol=1e-12)
    # Of five distances from the middle the median is 0.283: five times that are near.
    for away, near in ((1.4, True), (1.6, False)):
        x, y = np.append(dx[:4], 0.2 + away), np.append(dy[:4], 0.0)
        offsets = np.stack([x, y])
        middle = np.median(offsets, axis=1)
        distance = np.hypot(*(offsets - middle[:, None]))
        assert (distance[4] <= 5 * np.median(distance)) == near
        expected = offsets[:, : 5 if near else 4].mean(axis=1)
        np.testing.assert_allclose(_common_shift(fitted(x, y)), expected)
    # Weights are those of the errors, of a hundredth of a pixel at least.
    error = np.array([0.0, 0.01, 0.02, 0.03])
    weight = 1 / (error**2 + 1e-4)
    expected = [np.average(dx[:4], weights=weight), np.average(dy[:4], weights=weight)]
    np.testing.assert_allclose(_common_shift(fitted(dx[:4], dy[:4], error)), expected)


def test_quality_of_a_psf_on_its_stars():
    n = 5
    sums = SimpleNamespace(
        chi2=np.array([50.0, 75.0, 100.0, 20.0, 9e9]), n_pixels=np.full(n, 25), curvature=np.full(n, 4.0)
    )
    values = np.zeros((n, 3, 3), np.float32)
    values[:, 1, 1], values[:, 0, 1] = 0.5, 0.25
    solution = SimpleNamespace(sums=sums, flux=np.full(n, 100.0), stamps=SimpleNamespace(values=values))
    used = np.arange(n) < 4
    centroid, rms = _quality(fitted([0.1, 0.3, 0.1, 0.3, 5.0], [0.0, 0.2, 0.4, 0.2, 5.0], used=used), solution)
    # Deviations from the medians: four of 0.1 in x; 0.2, 0, 0.2, 0 in y.
    assert centroid == pytest.approx(1.4826 * 0.1)
    # Excess of chi squared 1, 2, 3 and none; noise of a pixel from the curvature; the central brightness is 50.
    sigma2 = (0.25 + 0.0625) / 4.0
    assert rms == pytest.approx(np.sqrt(1.5 * sigma2 / 50.0**2))


def test_the_error_of_fluxes_is_relative_to_the_frame():
    covariance = np.diag([0.04, 0.0009, 0.0004])
    fit = PsfFit(moffat_psf((101, 201), 4.0), 1, None, (0.0, 0.0), 0.0, 0.0, covariance)
    found = fit.flux_error_at(np.array([100.0, 200.0, 100.0, 0.0]), np.array([50.0, 50.0, 0.0, 100.0]))
    np.testing.assert_allclose(found, [0.0, 0.03, 0.02, np.hypot(0.03, 0.02)], atol=1e-12)


def test_a_mesh_is_smoothed_with_what_is_around_each_box():
    mesh = np.random.default_rng(4).normal(size=(5, 4))
    padded = np.pad(mesh, 1, mode="edge")
    expected = [[padded[j : j + 3, i : i + 3].mean() for i in range(4)] for j in range(5)]
    np.testing.assert_allclose(_smooth(mesh), expected)


def test_stars_absorb_the_sky_of_their_boxes():
    shape = (90, 90)
    x, y = np.array([45.2, -3.0, 95.0]), np.array([44.9, 40.0, 95.0])
    stamps = make_stamps(moffat_psf(shape, 4.0), x, y, RADIUS)
    weight = np.full(shape, 0.01, np.float32)
    sums = sum_stamps(np.zeros(shape, np.float32), weight, stamps)
    equations = normal_equations(weight, stamps, sums.curvature)
    level = np.zeros((3, 3), np.float32)
    found = absorbed_sky(Background(level, level + 1, 30, shape), weight, stamps, equations)
    p = stamps.values[0].astype(float)
    # A sky of one adds sum(p) / sum(p^2) to the flux, of which sum(p) falls on the box of 900 pixels.
    share = p.sum() ** 2 / (p**2).sum() / 900.0
    np.testing.assert_allclose(found, np.full((3, 3), share / 9.0), rtol=1e-4)
    # Never all of it.
    crowd = np.meshgrid(np.arange(2.0, 90, 4), np.arange(2.0, 90, 4))
    stamps = make_stamps(moffat_psf(shape, 4.0), crowd[0].ravel(), crowd[1].ravel(), RADIUS)
    sums = sum_stamps(np.zeros(shape, np.float32), weight, stamps)
    equations = normal_equations(weight, stamps, sums.curvature)
    found = absorbed_sky(Background(level, level + 1, 30, shape), weight, stamps, equations)
    assert found[1, 1] == 0.85
