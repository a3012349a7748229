from types import SimpleNamespace

import numpy as np
import pytest

from gaiaflux.core.psf.equations import flux_errors, neighbour_share, normal_equations, solve, sum_stamps
from gaiaflux.core.psf.model import PsfModel
from gaiaflux.core.psf.stamps import add_light, make_stamps

# Room for some 380 discs of one FWHM in diameter, with the rim in which stars beyond the edge are.
SHAPE = (60, 70)
FWHM = 4.4
RADIUS = 2.2 * FWHM
NOISE = 12.0


def make_psf():
    core = 4 * (2 ** (1 / 3.0) - 1) / FWHM**2
    form = core * np.array([[1.05, 0.04, -0.02], [0.05, 0.0, 0.02], [0.95, -0.03, 0.01]])
    offsets = np.hypot(*np.meshgrid(np.arange(-9, 10), np.arange(-9, 10)))
    ring = 1e-3 * np.exp(-((offsets - 4.0) ** 2)) * (offsets < 8)
    return PsfModel(SHAPE, 3.0, form, 1, ring[None], 0)


def dense(weight, stamps):
    """Design matrix of all pixels, times the square root of their weight, written with plain slices."""
    half = (stamps.values.shape[1] - 1) // 2
    padded = np.zeros((len(stamps), SHAPE[0] + 80, SHAPE[1] + 80))
    for k in range(len(stamps)):
        j, i = stamps.row[k] + 40 - half, stamps.column[k] + 40 - half
        padded[k, j : j + 2 * half + 1, i : i + 2 * half + 1] = stamps.values[k]
    inside = padded[:, 40:-40, 40:-40].reshape(len(stamps), -1)
    return inside.T * np.sqrt(weight.astype(np.float64)).reshape(-1, 1)


def scene(seed, n_stars, brightest=5.0, least_distance=0.0):
    """Noisy image of stars, some beyond the edge; weights vary, and a column, a corner and specks are masked."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-6, SHAPE[1] + 5, 5 * n_stars), rng.uniform(-6, SHAPE[0] + 5, 5 * n_stars)
    kept = np.zeros(len(x), bool)
    for k in range(len(x) if least_distance else n_stars):
        apart = not kept.any() or np.hypot(x[kept] - x[k], y[kept] - y[k]).min() >= least_distance
        kept[k] = apart and np.count_nonzero(kept) < n_stars
    x, y = x[kept], y[kept]
    flux = 10 ** rng.uniform(2.5, brightest, len(x))
    stamps = make_stamps(make_psf(), x, y, RADIUS)
    light = np.zeros(SHAPE, np.float32)
    add_light(light, stamps, flux, np.zeros(len(x)))
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
    variance = light + NOISE**2 * (1 + 0.5 * np.sin(xx / 17.0) * np.cos(yy / 11.0))
    weight = (1 / variance).astype(np.float32)
    image = (light + rng.normal(0, np.sqrt(variance))).astype(np.float32)
    bad = rng.random(SHAPE) < 0.02
    bad[:, 3 * SHAPE[1] // 7] = bad[:12, :12] = True
    weight[bad] = 0
    image[bad] = -1e4
    return SimpleNamespace(stamps=stamps, flux=flux, image=image, weight=weight, light=light)


def fit(made, turns=3):
    """As a frame is fitted: what one solution leaves is solved for again."""
    flux = np.zeros(len(made.stamps))
    for _ in range(turns):
        residual = made.image.copy()
        add_light(residual, made.stamps, -flux, np.zeros(len(flux)))
        sums = sum_stamps(residual, made.weight, made.stamps)
        equations = normal_equations(made.weight, made.stamps, sums.curvature)
        flux = flux + solve(equations, sums.gradient)
    return flux, equations, sums


@pytest.mark.parametrize(("seed", "n_stars"), [(1, 20), (2, 100), (3, 190), (4, 380)])
def test_fluxes_are_those_of_a_dense_least_squares_fit(seed, n_stars):
    made = scene(seed, n_stars, least_distance=0.25 * FWHM)
    flux, _, _ = fit(made, turns=5)
    design = dense(made.weight, made.stamps)
    seen = (design**2).sum(axis=0) > 0
    assert np.count_nonzero(seen) > 0.9 * n_stars
    root = np.sqrt(made.weight.astype(np.float64)).ravel()
    expected, _, rank, _ = np.linalg.lstsq(design[:, seen], made.image.ravel() * root, rcond=None)
    assert rank == np.count_nonzero(seen)
    sigma = np.sqrt(np.diag(np.linalg.inv(design[:, seen].T @ design[:, seen])))
    np.testing.assert_allclose((flux[seen] - expected) / sigma, 0.0, atol=1e-4)
    assert (flux[~seen] == 0).all()
    # And the dense fit itself has the truth within its errors and their correlations.
    chi2 = np.sum((design[:, seen] @ (expected - made.flux[seen])) ** 2)
    assert chi2 / rank == pytest.approx(1.0, abs=3 * np.sqrt(2 / rank))


def test_one_solution_of_noise_alone_is_exact():
    made = scene(4, 150, least_distance=0.3 * FWHM)
    residual = np.random.default_rng(5).normal(0, NOISE, SHAPE).astype(np.float32)
    sums = sum_stamps(residual, made.weight, made.stamps)
    found = solve(normal_equations(made.weight, made.stamps, sums.curvature), sums.gradient)
    design = dense(made.weight, made.stamps)
    seen = (design**2).sum(axis=0) > 0
    root = np.sqrt(made.weight.astype(np.float64)).ravel()
    expected = np.linalg.lstsq(design[:, seen], residual.ravel() * root, rcond=None)[0]
    sigma = np.sqrt(np.diag(np.linalg.inv(design[:, seen].T @ design[:, seen])))
    # Pairs that share 1e-4 of their weight are left out of the matrix, and 1e-6 is added to its diagonal.
    np.testing.assert_allclose((found[seen] - expected) / sigma, 0.0, atol=2e-3)


def test_sums_are_those_of_plain_numpy():
    made = scene(6, 60)
    sums = sum_stamps(made.image, made.weight, made.stamps)
    design = dense(made.weight, made.stamps)
    weight = made.weight.astype(np.float64).ravel()
    root = np.sqrt(weight)
    np.testing.assert_allclose(sums.curvature, (design**2).sum(axis=0), rtol=1e-5)
    terms = design * (root * made.image.ravel())[:, None]
    np.testing.assert_allclose(sums.gradient, terms.sum(axis=0), atol=1e-5 * np.abs(terms).sum(axis=0).max())
    used = design > 0
    np.testing.assert_array_equal(sums.n_pixels, used.sum(axis=0))
    pixels = np.divide(design, root[:, None], out=np.zeros_like(design), where=used)
    np.testing.assert_allclose(sums.light, pixels.sum(axis=0), rtol=1e-5)
    np.testing.assert_allclose(sums.chi2, (used * (weight * made.image.ravel() ** 2)[:, None]).sum(axis=0), rtol=1e-4)


def test_overlaps_are_the_products_of_the_stamps():
    made = scene(7, 60)
    diagonal = sum_stamps(made.image, made.weight, made.stamps).curvature
    equations = normal_equations(made.weight, made.stamps, diagonal)
    n = len(made.stamps)
    matrix = np.zeros((n, n))
    of = np.repeat(np.arange(n), np.diff(equations.start))
    matrix[of, equations.neighbour] = equations.overlap
    np.testing.assert_array_equal(matrix, matrix.T)
    design = dense(made.weight, made.stamps)
    expected = design.T @ design
    np.fill_diagonal(expected, 0.0)
    scale = np.sqrt(np.outer(diagonal, diagonal))
    kept = matrix > 0
    np.testing.assert_allclose(matrix[kept], expected[kept], rtol=1e-5)
    assert (expected[~kept] <= 1.001e-4 * scale[~kept]).all()
    assert kept.sum() > 2 * n
    share = neighbour_share(equations, made.flux)
    known = diagonal > 0
    np.testing.assert_allclose(
        share[known], (matrix @ made.flux)[known] / diagonal[known], rtol=1e-9, atol=1e-9 * made.flux.max()
    )


def exact_errors(made):
    design = dense(made.weight, made.stamps)
    seen = (design**2).sum(axis=0) > 0
    errors = np.full(len(made.stamps), np.inf)
    errors[seen] = np.sqrt(np.diag(np.linalg.inv(design[:, seen].T @ design[:, seen])))
    return errors, seen


@pytest.mark.parametrize(("seed", "n_stars"), [(8, 20), (9, 90)])
def test_errors_are_those_of_the_whole_inverse(seed, n_stars):
    made = scene(seed, n_stars, least_distance=0.3 * FWHM)
    _, equations, _ = fit(made, turns=1)
    found = flux_errors(equations)
    exact, seen = exact_errors(made)
    np.testing.assert_allclose(found[seen], exact[seen], rtol=0.02)
    assert np.isinf(found[~seen]).all()
    # More than what the stars would have alone, where they overlap.
    assert (exact[seen] * np.sqrt(equations.diagonal[seen])).max() > 1.3


# Half a star, one and two in a disc of one FWHM in diameter: neighbours of neighbours matter, and more than 16 of them.
# The block of the matrix that is inverted says what the error would be if all other stars were known, so it is too
# small, never too large; by how much is what the limits say, for the middle and for the worst one of twenty.
@pytest.mark.parametrize(
    ("seed", "n_stars", "median", "worst"), [(10, 190, 0.99, 0.95), (11, 380, 0.95, 0.85), (12, 760, 0.75, 0.5)]
)
def test_errors_of_the_densest_fields_are_too_small_and_never_too_large(seed, n_stars, median, worst):
    made = scene(seed, n_stars)
    _, equations, _ = fit(made, turns=1)
    found = flux_errors(equations)
    exact, seen = exact_errors(made)
    ratio = found[seen] / exact[seen]
    assert ratio.max() < 1.0 + 1e-3
    assert np.median(ratio) > median
    assert np.quantile(ratio, 0.05) > worst


@pytest.mark.parametrize("n_same", [2, 10])
def test_stars_on_one_place_share_their_light(n_same):
    x, y = np.append(np.full(n_same, 20.3), 50.0), np.append(np.full(n_same, 20.8), 40.0)
    stamps = make_stamps(make_psf(), x, y, RADIUS)
    rng = np.random.default_rng(11)
    image = rng.normal(0, NOISE, SHAPE).astype(np.float32)
    add_light(image, stamps, np.append(np.full(n_same, 2e4 / n_same), 1e4), np.zeros(n_same + 1))
    made = SimpleNamespace(stamps=stamps, image=image, weight=np.full(SHAPE, NOISE**-2, np.float32))
    flux, equations, _ = fit(made)
    alone = 1 / np.sqrt(equations.diagonal)
    assert abs(flux[:-1].sum() - 2e4) < 5 * alone[0]
    np.testing.assert_allclose(flux[:-1], 2e4 / n_same, rtol=0, atol=5 * alone[0])
    assert abs(flux[-1] - 1e4) < 5 * alone[-1]
    errors = flux_errors(equations)
    assert np.isfinite(errors).all()
    # Which of them has the light cannot be known.
    assert (errors[:-1] > 100 * alone[:-1]).all()
    assert errors[-1] == pytest.approx(alone[-1], rel=1e-3)


def test_nearly_one_place_stays_within_its_error():
    x, y = np.array([20.3, 20.31, 50.0]), np.array([30.8, 30.8, 20.0])
    stamps = make_stamps(make_psf(), x, y, RADIUS)
    pulls = []
    for seed in range(60):
        image = np.random.default_rng(seed).normal(0, NOISE, SHAPE).astype(np.float32)
        add_light(image, stamps, np.array([1e4, 5e3, 2e3]), np.zeros(3))
        made = SimpleNamespace(stamps=stamps, image=image, weight=np.full(SHAPE, NOISE**-2, np.float32))
        flux, equations, _ = fit(made)
        pulls.append((flux - [1e4, 5e3, 2e3]) / flux_errors(equations))
        assert abs(flux[0] + flux[1] - 1.5e4) < 5 / np.sqrt(equations.diagonal[0])
    # The ridge may draw the two towards each other; they never scatter more than their error says.
    assert np.std(pulls, axis=0).max() < 1 + 3 / np.sqrt(2 * 60)
    assert np.abs(pulls).max() < 4.5


def test_a_star_without_any_good_pixel_and_stars_off_the_image():
    x, y = np.array([30.0, 60.0, -40.0, 500.0, 60.0, -9.0]), np.array([20.0, 45.0, 30.0, 30.0, -300.0, 45.0])
    stamps = make_stamps(make_psf(), x, y, RADIUS)
    rng = np.random.default_rng(12)
    image = rng.normal(0, NOISE, SHAPE).astype(np.float32)
    add_light(image, stamps, np.full(6, 1e4), np.zeros(6))
    weight = np.full(SHAPE, NOISE**-2, np.float32)
    weight[5:36, 15:46] = 0
    flux, equations, sums = fit(SimpleNamespace(stamps=stamps, image=image, weight=weight))
    errors = flux_errors(equations)
    for k in (0, 2, 3, 4):
        assert flux[k] == 0
        assert np.isinf(errors[k])
        assert sums.light[k] == sums.n_pixels[k] == sums.chi2[k] == 0
    # A few of the pixels of the last one are there.
    for k in (1, 5):
        assert abs(flux[k] - 1e4) < 5 * errors[k]
    assert errors[5] > 5 * errors[1]
    assert (neighbour_share(equations, flux)[[0, 2, 3, 4]] == 0).all()


def test_no_stars():
    none = np.zeros(0)
    stamps = make_stamps(make_psf(), none, none, RADIUS)
    image = np.zeros(SHAPE, np.float32)
    sums = sum_stamps(image, image, stamps)
    equations = normal_equations(image, stamps, sums.curvature)
    assert solve(equations, sums.gradient).shape == (0,)
    assert flux_errors(equations).shape == (0,)
    assert neighbour_share(equations, none).shape == (0,)
