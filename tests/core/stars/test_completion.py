import numpy as np
import pytest

from gaiaflux.core.image.pixels import Pixels
from gaiaflux.core.psf.model import moffat_psf
from gaiaflux.core.psf.stamps import add_light, make_stamps
from gaiaflux.core.stars.completion import complete_stars, detection_limit
from gaiaflux.core.stars.detection import FWHM_TO_SIGMA, convolve, find_peaks
from gaiaflux.core.stars.positions import _newton_steps
from gaiaflux.ground.frame.psf_options import psf_options
from gaiaflux.model.settings.psf import PsfSettings
from gaiaflux.workflow.settings import complete_section

DEFAULTS = psf_options(complete_section(PsfSettings))
SHAPE = (400, 420)
FWHM = 4.2
SKY, READ_NOISE = 200.0, 7.0
NOISE = float(np.hypot(np.sqrt(SKY), READ_NOISE))
# Error of the flux of a faint star alone, for a Moffat function of exponent 3.
ALONE = NOISE * np.sqrt(5 * np.pi * (0.5 * FWHM) ** 2 / (2 ** (1 / 3) - 1) / 4)


def exposure(x, y, flux, seed=0, bad=None):
    light = np.zeros(SHAPE, np.float32)
    add_light(light, make_stamps(moffat_psf(SHAPE, FWHM), x, y, 30.0), flux, np.full(len(x), 30.0))
    rng = np.random.default_rng([3, seed])
    image = (rng.poisson(light + SKY) + rng.normal(0, READ_NOISE, SHAPE)).astype(np.float32)
    flags = np.zeros(SHAPE, np.uint8)
    if bad is not None:
        image[bad], flags[bad] = 30_000.0, 1
    return Pixels(image, flags, READ_NOISE**2, 1.0, NOISE)


def places(n, seed):
    rng = np.random.default_rng([8, seed])
    return rng.uniform(8, SHAPE[1] - 9, n), rng.uniform(8, SHAPE[0] - 9, n)


def complete(pixels, x, y, min_snr=3.0):
    return complete_stars(pixels, x, y, FWHM, DEFAULTS, min_snr)


def nearest(found_x, found_y, x, y):
    """Distance of each place (x, y) to the nearest found star, and its row."""
    distance = np.hypot(np.subtract.outer(x, found_x), np.subtract.outer(y, found_y))
    return distance.min(axis=1), distance.argmin(axis=1)


@pytest.fixture(scope="module")
def field():
    """60 known bright stars, 250 unknown ones from S/N 4 to 40, and what was found."""
    x, y = places(310, 1)
    snr = np.append(np.geomspace(60, 400, 60), np.geomspace(4, 40, 250))
    found = complete(exposure(x, y, snr * ALONE), x[:60], y[:60])
    return x, y, snr, found


def test_known_stars_stay_where_they_are(field):
    x, y, snr, found = field
    assert found.n_known == 60
    # But for the offset that all have in common.
    offsets = np.stack([found.x[:60] - x[:60], found.y[:60] - y[:60]])
    assert np.ptp(offsets, axis=1).max() < 1e-9
    assert np.abs(offsets).max() < 0.05
    ratio = found.solution.flux[:60] / (snr[:60] * ALONE)
    assert abs(np.median(ratio) - 1) < 0.01


def test_what_the_catalogue_lacks_is_found(field):
    x, y, snr, found = field
    distance, row = nearest(found.x, found.y, x, y)
    apart = nearest(x, y, x, y)[0]
    assert (apart == 0).all()
    there = distance < 0.5 * FWHM
    assert there[snr > 10].mean() > 0.98
    assert there[snr > 6].mean() > 0.95
    n = found.n_known
    false = nearest(x, y, found.x[n:], found.y[n:])[0] > 0.5 * FWHM
    assert false.sum() <= 0.015 * len(found.x)
    # Positions have the errors that are stated, in the middle half of their distribution.
    extra = np.flatnonzero(there & (np.arange(len(x)) >= 60) & (row >= n) & (snr > 8))
    pull = np.append(found.x[row[extra]] - x[extra], found.y[row[extra]] - y[extra])
    pull /= np.tile(found.error[row[extra]], 2)
    assert 0.8 < 1.4826 * np.median(np.abs(pull)) < 1.2
    np.testing.assert_allclose(found.snr, found.solution.flux / found.solution.error)


def test_close_pairs_are_told_apart():
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(30.0, 400, 45), np.arange(30.0, 380, 45)))
    turn = np.random.default_rng(5).uniform(0, 2 * np.pi, len(x))
    x2, y2 = x + 0.9 * FWHM * np.cos(turn), y + 0.9 * FWHM * np.sin(turn)
    flux = np.repeat([60.0, 40.0], len(x)) * ALONE
    found = complete(exposure(np.append(x, x2), np.append(y, y2), flux, 2), x, y)
    distance, _ = nearest(found.x, found.y, x2, y2)
    assert (distance < 0.25 * FWHM).mean() > 0.95
    assert len(found.x) < 2.1 * len(x)


def test_no_star_is_found_where_there_is_none_or_where_it_cannot_be_seen():
    x, y = places(120, 3)
    bad = np.s_[:, 200:203]
    hidden = np.full(5, 201.0), np.linspace(50, 350, 5)
    flux = np.append(np.full(120, 80.0), np.full(5, 150.0)) * ALONE
    pixels = exposure(np.append(x, hidden[0]), np.append(y, hidden[1]), flux, 3, bad)
    # Two of the catalogue's stars are not there at all.
    known_x, known_y = np.append(x, [60.0, 330.0]), np.append(y, [70.0, 60.0])
    found = complete(pixels, known_x, known_y, min_snr=4.5)
    assert found.n_known == 122
    extra_x, extra_y = found.x[122:], found.y[122:]
    assert not (nearest(*hidden, extra_x, extra_y)[0] < 0.3 * FWHM).any()
    assert np.count_nonzero(np.abs(extra_x - 201) > 3 * FWHM) <= 2
    # What is in the catalogue stays in the list, seen or not.
    np.testing.assert_allclose(found.x[120:122] - found.x[0] + x[0], known_x[120:], atol=1e-6)
    assert (np.abs(found.snr[120:122]) < 5).all()


def test_the_limit_that_is_set_counts_where_it_is_the_higher_one():
    x, y = places(200, 4)
    pixels = exposure(x, y, np.geomspace(4, 200, 200)[::-1] * ALONE, 4)
    deep, shallow = (complete(pixels, x[:30], y[:30], min_snr) for min_snr in (3.0, 12.0))
    assert shallow.snr[30:].min() > 11
    assert len(shallow.x) < 0.75 * len(deep.x)
    ny, nx = SHAPE
    floor = detection_limit(len(deep.x), ny * nx, deep.fit.psf.fwhm)
    assert floor > 3.5
    # The last fit is beside the last list: a star may lie a little lower.
    assert deep.snr[30:].min() > floor - 0.3


@pytest.mark.parametrize(("fwhm", "n_stars"), [(3.5, 20_000), (3.5, 40_000), (6.0, 12_000)])
def test_limit_allows_few_peaks_of_the_noise(fwhm, n_stars):
    n, sigma = 2400, fwhm * FWHM_TO_SIGMA
    white = np.random.default_rng(1).normal(size=(n, n)).astype(np.float32)
    filtered = convolve(white, sigma) * np.float32(np.sqrt(4 * np.pi) * sigma)
    limit = detection_limit(n_stars, n * n, fwhm)
    peaks, _, _ = find_peaks(filtered, np.full((1, 1), limit, np.float32), n)
    expected = 0.004 * n_stars
    assert abs(len(peaks) - expected) < 3.5 * np.sqrt(expected) + 0.1 * expected


def test_limit_grows_with_noise_and_with_crowding():
    pixels = 2048 * 2048
    assert (
        detection_limit(2000, pixels, 4.0) > detection_limit(4000, pixels, 4.0) > detection_limit(15_000, pixels, 4.0)
    )
    assert (
        detection_limit(2000, 4 * pixels, 4.0) > detection_limit(2000, pixels, 4.0) > detection_limit(2000, pixels, 8.0)
    )
    # One star in ten beams, beams of pi FWHM^2 / (4 ln 2).
    crowd = round(0.1 * pixels * 4 * np.log(2) / np.pi / 25)
    at, above = detection_limit(crowd, pixels, 5.0), detection_limit(2 * crowd, pixels, 5.0)
    assert above > 1.85 * at
    assert detection_limit(crowd - 100, pixels, 5.0) > at - 0.01
    assert detection_limit(10**6, 1000, 1e-3) >= 3.0
    assert 3.0 <= detection_limit(0, 0, 4.0) < 10.0


def test_a_step_of_the_position_is_the_weighted_least_squares_one():
    rng = np.random.default_rng(12)
    x, y = np.array([50.0, 20.3, 80.2, 1.0, 60.0]), np.array([40.0, 60.6, 30.9, 39.0, 20.0])
    flux = np.array([3e3, 500.0, 2e4, 4e3, -100.0])
    stamps = make_stamps(moffat_psf((80, 100), FWHM), x, y, 9.0)
    residual = rng.normal(0, 3.0, (80, 100)).astype(np.float32)
    weight = rng.uniform(0.05, 0.2, (80, 100)).astype(np.float32)
    weight[rng.random((80, 100)) < 0.1] = 0.0
    residual[weight == 0] = np.nan  # of what has no weight nothing is known
    steps = np.zeros((3, 4))
    _newton_steps(residual, weight, stamps.values, stamps.column, stamps.row, flux, 1, steps)
    half = (stamps.values.shape[1] - 1) // 2
    for k in range(1, 4):
        p = stamps.values[k].astype(float)
        dx, dy = np.zeros_like(p), np.zeros_like(p)
        dx[1:-1, 1:-1] = 0.5 * flux[k] * (p[1:-1, :-2] - p[1:-1, 2:])
        dy[1:-1, 1:-1] = 0.5 * flux[k] * (p[:-2, 1:-1] - p[2:, 1:-1])
        whole = np.zeros(p.shape, bool)
        whole[1:-1, 1:-1] = (p[1:-1, :-2] > 0) & (p[1:-1, 2:] > 0) & (p[:-2, 1:-1] > 0) & (p[2:, 1:-1] > 0)
        rows = stamps.row[k] + np.arange(-half, half + 1)[:, None] + np.zeros((1, 2 * half + 1), int)
        columns = stamps.column[k] + np.arange(-half, half + 1)[None, :] + np.zeros((2 * half + 1, 1), int)
        whole &= (rows >= 0) & (rows < 80) & (columns >= 0) & (columns < 100)
        whole &= weight[np.clip(rows, 0, 79), np.clip(columns, 0, 99)] > 0
        w, r = weight[rows[whole], columns[whole]].astype(float), residual[rows[whole], columns[whole]]
        design = np.stack([dx[whole], dy[whole]], axis=1)
        normal = design.T @ (design * w[:, None])
        np.testing.assert_allclose(steps[:2, k - 1], np.linalg.solve(normal, design.T @ (w * r)), rtol=1e-4)
        assert steps[2, k - 1] == pytest.approx(np.sqrt(0.5 * np.trace(np.linalg.inv(normal))), rel=1e-4)
    # A star without light has no place: it stays, and its error is its stamp.
    assert steps[:, 3].tolist() == [0.0, 0.0, half]
    # Nor has one of which a single pixel is left.
    weight[:] = 0.0
    weight[61, 21] = 0.1
    steps[:] = 0.0
    _newton_steps(residual, weight, stamps.values, stamps.column, stamps.row, flux, 1, steps)
    assert steps[:, 0].tolist() == [0.0, 0.0, half]
