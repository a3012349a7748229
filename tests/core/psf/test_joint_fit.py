import numpy as np
import pytest

from gaiaflux.core.psf.joint_fit import Promises, joint_columns, joint_step, shift_images, star_light
from gaiaflux.core.psf.stamps import make_stamps

SHAPE = (30, 34)
X, Y = np.array([10.2, 12.9, 20.4, 25.0, -1.3]), np.array([9.7, 11.1, 15.2, 14.6, 20.0])
FLUX = np.array([900.0, 400.0, 2500.0, -30.0, 800.0])
FREE = np.array([0, 2, 4])


@pytest.fixture(scope="module")
def psf(ccd_psf, ccd_image):
    return ccd_psf.part(ccd_image.CORNER, SHAPE)


@pytest.fixture(scope="module")
def weight():
    weight = np.random.default_rng(3).uniform(0.5, 2.0, SHAPE).astype(np.float32)
    weight[8, 11] = 0.0
    return weight


def on_the_image(values, stamps, k):
    """A stamp as an image, pixel by pixel."""
    image, half = np.zeros(SHAPE), values.shape[1] // 2
    for j in range(values.shape[1]):
        for i in range(values.shape[1]):
            row, column = stamps.row[k] + j - half, stamps.column[k] + i - half
            if 0 <= row < SHAPE[0] and 0 <= column < SHAPE[1]:
                image[row, column] = values[k, j, i]
    return image


def promises(k=0, firm=0.0):
    n, m = len(X), len(FREE)
    pull = np.random.default_rng(1).normal(size=(n + m, 2))
    return Promises(
        np.full(n, firm), np.full(m, 100 * firm), pull[:n, 0], 0.01 * pull[n:], np.full(k, firm), 0.1 * np.ones(k)
    )


@pytest.mark.parametrize("firm", [1e-4, 3e-3])
def test_a_step_is_that_of_dense_least_squares(psf, weight, firm):
    """Promises are further observations: rows of the design matrix with the root of their weight."""
    stamps = make_stamps(psf, X, Y, 5.0)
    columns = joint_columns(psf, stamps, FLUX, FREE)
    whole = np.stack([np.ones(SHAPE), *np.mgrid[: SHAPE[0], : SHAPE[1]] / 30.0]).astype(np.float32)
    residual = np.random.default_rng(2).normal(size=SHAPE).astype(np.float32) * 3
    known = promises(3, firm)
    step = joint_step(columns, residual, weight, known, whole, tolerance=1e-8)
    design = [on_the_image(columns.stamps.values, columns.stamps, k).ravel() for k in range(len(columns.stamps))]
    design = np.stack([*design, *whole.reshape(3, -1)], axis=1)
    root = np.sqrt(weight.ravel().astype(float))
    inverse = np.sqrt(np.concatenate([known.light, known.place, known.place, known.whole]))
    pull = np.concatenate([known.light_pull, known.place_pull[:, 0], known.place_pull[:, 1], known.whole_pull])
    matrix = np.concatenate([design * root[:, None], np.diag(inverse)])
    right = np.concatenate([residual.ravel() * root, -inverse * pull])
    due = np.linalg.lstsq(matrix, right, rcond=None)[0]
    error = np.sqrt(np.diag(np.linalg.inv(matrix.T @ matrix)))
    found = np.concatenate([step.light, step.move.T.ravel(), step.whole])
    # Pairs that share less than a thousandth of their weight do not know of each other.
    np.testing.assert_allclose((found - due) / error, 0.0, atol=0.02)
    np.testing.assert_allclose(step.whole_err, error[-3:], rtol=0.01)
    without = np.sqrt(np.diag(np.linalg.inv((matrix.T @ matrix)[:11, :11])))
    np.testing.assert_allclose(step.errors(), without, rtol=0.01)


def test_slopes_are_those_of_the_light(psf):
    step = 1e-3
    columns = joint_columns(psf, make_stamps(psf, X, Y, 5.0), FLUX, FREE)
    inside = make_stamps(psf, X, Y, 4.8).values[FREE] != 0
    for axis, part in ((0, slice(5, 8)), (1, slice(8, 11))):
        moved = [np.stack([X, Y]) for _ in range(2)]
        moved[0][axis] += step
        moved[1][axis] -= step
        high, low = (make_stamps(psf, *place, 5.0).values.astype(float) for place in moved)
        due = FLUX[FREE, None, None] * (high - low)[FREE] / (2 * step)
        np.testing.assert_allclose(columns.stamps.values[part][inside], due[inside], atol=0.3)
    shifts = shift_images(psf, columns.light, FLUX, SHAPE)
    every = joint_columns(psf, columns.light, FLUX, np.arange(5)).stamps
    along_x = sum(on_the_image(every.values, every, k) for k in range(5, 10))
    np.testing.assert_allclose(shifts[0], along_x, atol=1e-3)


def test_a_few_steps_find_places_and_light(psf):
    rng = np.random.default_rng(5)
    truth = star_light(make_stamps(psf, X[[0, 2]], Y[[0, 2]], 5.0), FLUX[[0, 2]], SHAPE)
    image = truth + rng.normal(0, 0.5, SHAPE).astype(np.float32)
    x, y, flux = X[[0, 2]] + 0.2, Y[[0, 2]] - 0.15, 0.8 * FLUX[[0, 2]]
    none, weight = np.zeros(2), np.full(SHAPE, 4.0, np.float32)
    free = Promises(none, none, none, np.zeros((2, 2)), np.zeros(0), np.zeros(0))
    for _ in range(6):
        stamps = make_stamps(psf, x, y, 5.0)
        columns = joint_columns(psf, stamps, flux, np.arange(2))
        residual = image - star_light(stamps, flux, SHAPE)
        step = joint_step(columns, residual, weight, free, np.zeros((0, *SHAPE), np.float32))
        x, y, flux = x + step.move[:, 0], y + step.move[:, 1], flux + step.light
    error = step.errors()
    np.testing.assert_allclose((flux - FLUX[[0, 2]]) / error[:2], 0.0, atol=3.5)
    np.testing.assert_allclose((x - X[[0, 2]]) / error[2:4], 0.0, atol=3.5)
    np.testing.assert_allclose((y - Y[[0, 2]]) / error[4:], 0.0, atol=3.5)
    assert error[:2].max() < 3.0


def test_no_star_is_no_unknown(psf):
    nothing = np.zeros(0)
    columns = joint_columns(psf, make_stamps(psf, nothing, nothing, 5.0), nothing, np.zeros(0, np.int64))
    known = Promises(nothing, nothing, nothing, np.zeros((0, 2)), np.zeros(1), np.zeros(1))
    residual = np.full(SHAPE, 3.0, np.float32)
    step = joint_step(columns, residual, np.ones_like(residual), known, np.ones((1, *SHAPE), np.float32))
    assert step.whole == pytest.approx([3.0])
    assert step.whole_err == pytest.approx([(SHAPE[0] * SHAPE[1]) ** -0.5])
    assert len(step.light) == 0
    assert len(step.move) == 0
    assert not star_light(columns.light, nothing, SHAPE).any()
