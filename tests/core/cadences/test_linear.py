import numpy as np
import pytest

from gaiaflux.core.cadences.frames import StampFrames, shift_cells
from gaiaflux.core.cadences.linear import FramePromises, StaticResidual, fit_linear, linear_model
from gaiaflux.core.cadences.scene import FreeStars, StaticScene, choose_free, choose_stars
from gaiaflux.core.psf.stamp_light import star_tables

from .conftest import SceneStars

SHAPE = (9, 10)
N_PIXELS = 90
X, Y = np.array([4.3, 5.6, 8.0]), np.array([4.1, 4.9, 1.2])
FLUX = np.array([3000.0, 2500.0, 400.0])


@pytest.fixture(scope="module")
def scene(response):
    tables = star_tables(response, 1000.0 + X, 900.0 + Y)
    nothing = np.zeros(2)
    return StaticScene(np.arange(3), tables, X, Y, FLUX, FLUX**0.5, nothing, nothing, 0.0, np.zeros(SHAPE), 1.0)


@pytest.fixture(scope="module")
def problem(scene):
    """Frames with noise, gaps and unequal errors, their model, and two stars that are fitted."""
    rng = np.random.default_rng(6)
    n = 40
    shift = rng.uniform(-0.1, 0.1, (n, 2))
    free = FreeStars(np.array([0, 1]), np.array([0, 1]), np.ones(2))
    variance = rng.uniform(4, 9, SHAPE)
    usable = np.ones(SHAPE, bool)
    usable[0, 3] = False
    flux = rng.normal(50, 10, (n, *SHAPE)).astype(np.float32)
    error = np.sqrt(variance * rng.uniform(0.7, 1.3, (n, *SHAPE))).astype(np.float32)
    error[3, 2, 2] = np.nan
    flux[4, 5, 5] = np.nan
    background = np.full((n, *SHAPE), 0.3, np.float32)
    frames = StampFrames(flux, error, background, np.ones(n, bool), shift)
    cells = shift_cells(shift, frames.good, 1 / 32)
    clipped = rng.random((n, N_PIXELS)) < 0.01
    static = StaticResidual(rng.normal(0, 3, (3, N_PIXELS)), np.array([0.02, 0.01]))
    return frames, free, variance, usable, cells, clipped, static


def direct(problem, model, t, sky_err, sky):
    """The same frame by plain linear algebra."""
    frames, _, variance, usable, cells, clipped, static = problem
    columns = model.columns[cells.cell[t]].T
    data = frames.flux[t].ravel().astype(float) - model.held[cells.cell[t]] - static.at(frames.shift[t : t + 1])[0]
    use = usable.ravel() & ~clipped[t] & np.isfinite(data)
    weight = 1 / variance.ravel()[use]
    promise = np.array([0, 0, sky_err**-2, *[0.05**-2] * 2])
    normal = (columns[use].T * weight) @ columns[use] + np.diag(promise)
    offset = np.array([0, 0, sky, *(frames.shift[t] - cells.place[cells.cell[t]])])
    rows = np.linalg.solve(normal, columns[use].T * weight)
    value = rows @ data[use] + np.linalg.solve(normal, promise * offset)
    error = frames.flux_err[t].ravel()[use].astype(float)
    error = np.where(np.isfinite(error), error, variance.ravel()[use] ** 0.5)
    common = max(0.3, sky_err if np.isfinite(sky_err) else 0.0)
    noise = (rows**2) @ error**2 + (rows.sum(axis=1) * common) ** 2
    left = data[use] - columns[use] @ value
    return value, noise, np.sum((left / error) ** 2), use.sum()


@pytest.mark.parametrize("sky_err", [np.inf, 0.5])
def test_every_frame_is_the_least_squares_solution_of_its_own_pixels(scene, problem, sky_err):
    frames, free, variance, usable, cells, clipped, static = problem
    model = linear_model(scene, free, cells.place, variance, usable, promises=FramePromises(0.05, sky_err))
    level = np.full(len(frames), 7.0)
    found = fit_linear(frames, model, cells, clipped, static, frames.shift, level)
    assert clipped.any(axis=1).sum() not in (0, len(frames))
    for t in range(len(frames)):
        value, noise, chi2, used = direct(problem, model, t, sky_err, 7.0)
        np.testing.assert_allclose(found.value[t], value, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(found.variance[t, :3], noise[:3], rtol=1e-6)
        assert found.chi2[t] == pytest.approx(chi2, rel=1e-5)
        assert found.n_used[t] == used
        assert np.isnan(found.residual[t]).sum() == N_PIXELS - used


def test_frames_made_by_the_model_are_solved_exactly(scene, problem):
    _, free, variance, usable, cells, _, _ = problem
    model = linear_model(scene, free, cells.place, variance, usable, promises=FramePromises(0.05))
    frame = np.array([100.0, 200.0, 3.0, 0.004, -0.003]) @ model.columns[5] + model.held[5]
    n = 3
    flux = np.tile(frame.reshape(SHAPE), (n, 1, 1)).astype(np.float32)
    flux[1] = np.nan
    flux[2, 3:6, 3:6] = np.nan
    one = np.ones((n, *SHAPE), np.float32)
    place = np.repeat(cells.place[5:6] + np.array([0.004, -0.003]), n, axis=0)
    frames = StampFrames(flux, one, one, np.ones(n, bool), place)
    cells_of = shift_cells(place, frames.good, 1 / 32)
    cells_of = type(cells_of)(np.full(n, 5), cells.place, cells.centre, cells.share)
    none = StaticResidual.none(N_PIXELS)
    found = fit_linear(frames, model, cells_of, np.zeros((n, N_PIXELS), bool), none, place, np.zeros(n))
    np.testing.assert_allclose(found.value[0], [100, 200, 3, 0.004, -0.003], rtol=1e-3)
    assert np.isnan(found.value[1]).all()
    assert found.n_used.tolist()[:2] == [89, 0]
    assert np.isnan(found.value[2, 0])  # the first star lost nearly all of its light with those pixels
    assert np.isnan(found.variance[2, 0]) or found.variance[2, 0] > 0


def test_a_plane_has_two_columns_more(scene, problem):
    _, free, variance, usable, cells, _, _ = problem
    plain = linear_model(scene, free, cells.place, variance, usable, promises=FramePromises(0.05))
    plane = linear_model(scene, free, cells.place, variance, usable, promises=FramePromises(0.05, plane=True))
    assert plane.columns.shape[1] == plain.columns.shape[1] + 2
    np.testing.assert_array_equal(plane.columns[:, [0, 1, 2, 5, 6]], plain.columns)


def test_which_stars_enter_and_which_are_fitted(response, scene):
    weight = np.full(SHAPE, 1 / 4.0)
    x = np.array([4.3, 5.6, 8.0, 4.0, 13.0, 40.0, 5.0])
    y = np.array([4.1, 4.9, 1.2, -4.0, 4.0, 4.0, 4.6])
    flux = np.array([3000.0, 2500.0, 400.0, 5e4, 0.1, 1e6, np.nan])
    stars = SceneStars(x, y, flux, 0.1 * flux, np.full(7, 0.02))
    tables = star_tables(response, 1000.0 + x, 900.0 + y)
    rows = choose_stars(stars, tables, np.zeros(2), weight, 0.5, 60)
    assert rows[0] == 0
    assert set(rows) == {0, 1, 2, 3, 6}  # one beyond the edge counts, one without a magnitude too
    assert len(choose_stars(stars, tables, np.zeros(2), weight, 0.5, 3)) == 3
    faint = choose_stars(stars, tables, np.zeros(2), weight / 1e8, 0.5, 60)
    assert len(faint) < len(rows)
    free = choose_free(scene, np.zeros(2), weight, 5)
    assert free.rows.tolist() == [0, 1]
    assert free.group.tolist() == [0, 1]
    assert choose_free(scene, np.zeros(2), weight, 1).rows.tolist() == [0]
    # Behind pixels that do not count nothing is chosen, and nothing breaks.
    assert choose_free(scene, np.zeros(2), 0 * weight, 5).rows.tolist() == [0]
