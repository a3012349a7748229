import numpy as np
import pytest
import sep

from gaiaflux.core.image.background import estimate_background, subtract_background
from gaiaflux.core.stars.deep_list import detect_deep
from gaiaflux.core.stars.detection import detect_stars, estimate_fwhm, find_peaks, matched_filter
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.flags import StarFlag


def test_deep_detection_is_complete_and_clean(sparse_frame, matcher):
    made, background, image = sparse_frame
    flags = made.frame.pixel_flags
    stars = detect_deep(image, flags, background, min_snr=4.2, flux_variance=1.0)
    truth = made.truth.stars
    rows = matcher(stars, truth)
    assert (rows[truth["snr"] > 5] >= 0).mean() >= 0.90
    assert (rows[truth["snr"] > 20] >= 0).mean() >= 0.985
    assert 1 - (rows >= 0).sum() / len(stars) <= 0.02
    assert len(made.truth.cosmic_rays) > 60


def test_fluxes_and_centroids_of_the_deep_list_have_honest_errors(sparse_frame, matcher):
    made, background, image = sparse_frame
    stars = detect_deep(image, made.frame.pixel_flags, background, min_snr=4.2, flux_variance=1.0)
    truth = made.truth.stars
    rows = matcher(stars, truth)
    good = (rows >= 0) & (truth["snr"] > 20) & (truth["snr"] < 100)
    found = stars[rows[good]]
    for axis in ("x", "y"):
        pull = (found[axis] - truth[axis][good]) / found[f"{axis}_err"]
        assert 0.85 < 1.4826 * np.median(np.abs(pull)) < 1.2
        assert abs(np.median(pull)) < 0.25
    assert abs(np.median(found["flux"] / truth["flux"][good]) - 1) < 0.03


def test_quick_detection_finds_what_the_match_needs(sparse_frame, matcher):
    made, background, image = sparse_frame
    found = detect_stars(image, made.frame.pixel_flags, background, min_snr=12.0, max_stars=4000, flux_variance=1.0)
    truth = made.truth.stars
    rows = matcher(found.stars, truth)
    assert (rows[truth["snr"] > 20] >= 0).mean() > 0.94
    assert abs(found.fwhm_pix / made.truth.conditions.fwhm_pix - 1) < 0.05
    bright = (rows >= 0) & (truth["snr"] > 100)
    offset = np.hypot(
        found.stars["x"][rows[bright]] - truth["x"][bright], found.stars["y"][rows[bright]] - truth["y"][bright]
    )
    assert np.median(offset) < 0.04
    assert np.all(np.diff(found.stars["snr"]) <= 0)


def test_centroids_beat_windowed_positions_of_sep(sparse_frame, matcher):
    made, background, image = sparse_frame
    found = detect_stars(image, made.frame.pixel_flags, background, min_snr=12.0, max_stars=4000, flux_variance=1.0)
    truth = made.truth.stars
    rows = matcher(found.stars, truth)
    good = (rows >= 0) & (truth["snr"] > 50) & (truth["snr"] < 500)
    good[good] &= found.stars["flags"][rows[good]] == 0
    ours = found.stars[rows[good]]
    sigma = made.truth.conditions.fwhm_pix / 2.3548
    x, y, _ = sep.winpos(np.ascontiguousarray(image), ours["x"].copy(), ours["y"].copy(), np.full(len(ours), sigma))

    def spread(a, b):
        return 1.4826 * np.median(np.abs(np.concatenate([a - truth["x"][good], b - truth["y"][good]])))

    assert spread(ours["x"], ours["y"]) < 1.02 * spread(x, y)


def test_saturated_and_masked_stars_are_kept_with_flags():
    rng = np.random.default_rng(5)
    image = rng.normal(0, 10, (256, 256)).astype(np.float32)
    yy, xx = np.mgrid[:256, :256]
    for x, y, flux in ((60.2, 70.4, 6e6), (150.3, 90.1, 1e5), (200.0, 200.5, 1e5), (100.0, 180.0, 5e4)):
        image += (flux * 2 / (np.pi * 23.6) * (1 + ((xx - x) ** 2 + (yy - y) ** 2) / 23.6) ** -3).astype(np.float32)
    flags = np.zeros(image.shape, np.uint8)
    flags[image > 50000] = 2
    image[image > 50000] = 50000
    flags[:, 150] = 1
    image[:, 150] = 0
    background = estimate_background(image, flags, 64)
    found = detect_stars(
        subtract_background(image, background), flags, background, min_snr=8.0, max_stars=100, flux_variance=1.0
    ).stars
    for x, y, flag in ((60.2, 70.4, StarFlag.SATURATED), (150.3, 90.1, StarFlag.BAD_PIXEL), (200.0, 200.5, 0)):
        row = int(np.argmin(np.hypot(found["x"] - x, found["y"] - y)))
        assert np.hypot(found["x"][row] - x, found["y"][row] - y) < 0.4
        assert found["flags"][row] & flag == flag


def test_matched_filter_keeps_flux_and_noise():
    rng = np.random.default_rng(6)
    image = rng.normal(0, 3.0, (400, 400)).astype(np.float32)
    filtered, factor = matched_filter(image, 5.0)
    assert abs(filtered.std() / (3.0 * factor) - 1) < 0.03
    point = np.zeros((41, 41), np.float32)
    point[20, 20] = 1.0
    assert abs(matched_filter(point, 5.0)[0].sum() - 1) < 1e-5


def test_peaks_are_the_local_maxima():
    image = np.random.default_rng(7).normal(0, 1, (90, 130)).astype(np.float32)
    x, y, value = find_peaks(image, np.full((2, 3), 1.5, np.float32), 50)
    inner = image[1:-1, 1:-1]
    neighbours = np.stack([image[1 + j : 89 + j, 1 + i : 129 + i] for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j])
    expected = np.argwhere((inner > neighbours.max(axis=0)) & (inner > 1.5)) + 1
    assert sorted(zip(y.tolist(), x.tolist(), strict=True)) == [tuple(row) for row in expected.tolist()]
    np.testing.assert_array_equal(value, image[y, x])


@pytest.mark.parametrize("step", [(0, 1), (1, 0), (1, 1), (1, -1)])
def test_two_equal_pixels_are_one_peak(step):
    image = np.zeros((20, 20), np.float32)
    image[10, 10] = image[10 + step[0], 10 + step[1]] = 5.0
    x, y, value = find_peaks(image, np.ones((1, 1), np.float32), 64)
    assert (x.tolist(), y.tolist(), value.tolist()) == ([10], [10], [5.0])


def test_peaks_of_boxes_and_of_the_edge():
    image = np.zeros((40, 60), np.float32)
    for place in ((0, 5), (5, 0), (39, 5), (5, 59), (1, 1), (38, 58), (19, 25), (20, 30), (5, 30), (5, 32)):
        image[place] = 5.0
    image[10, 10], image[30, 50] = 1.0, 3.0
    # Boxes of 20 pixels: what is left over belongs to the last row and column of the thresholds.
    threshold = np.array([[1.0, 5.5], [1.0, 2.9]], np.float32)
    x, y, _ = find_peaks(image, threshold, 20)
    assert sorted(zip(y.tolist(), x.tolist(), strict=True)) == [(1, 1), (20, 30), (30, 50), (38, 58)]


@pytest.mark.parametrize("fwhm", [2.2, 3.5, 8.0])
def test_seeing_of_any_size(fwhm):
    rng = np.random.default_rng(8)
    image = rng.normal(0, 10, (300, 300)).astype(np.float32)
    yy, xx = np.mgrid[:300, :300]
    a2 = (fwhm / 2) ** 2 / (2 ** (1 / 3) - 1)
    for x, y in rng.uniform(20, 280, (12, 2)):
        image += (4e4 * 2 / (np.pi * a2) * (1 + ((xx - x) ** 2 + (yy - y) ** 2) / a2) ** -3).astype(np.float32)
    flags = np.zeros(image.shape, np.uint8)
    for x, y in rng.integers(5, 295, (40, 2)):
        image[y, x] += 5000.0
    background = estimate_background(image, flags, 64)
    assert abs(estimate_fwhm(subtract_background(image, background), flags, background) / fwhm - 1) < 0.06


def test_a_seeing_that_is_known_is_taken():
    rng = np.random.default_rng(10)
    image = rng.normal(0, 10, (200, 200)).astype(np.float32)
    yy, xx = np.mgrid[:200, :200]
    a2 = 2.0**2 / (2 ** (1 / 3) - 1)
    for x, y in ((40.3, 50.2), (120.8, 60.1), (90.0, 150.0), (160.4, 160.6)):
        image += (4e4 * 2 / (np.pi * a2) * (1 + ((xx - x) ** 2 + (yy - y) ** 2) / a2) ** -3).astype(np.float32)
    flags = np.zeros(image.shape, np.uint8)
    background = estimate_background(image, flags, 64)
    keywords = {"min_snr": 20.0, "max_stars": 10, "flux_variance": 1.0}
    measured, right, wide = (
        detect_stars(image, flags, background, fwhm_pix=fwhm, **keywords).stars for fwhm in (None, 4.0, 6.0)
    )
    assert len(measured) == len(right) == len(wide) == 4
    np.testing.assert_allclose(np.sort(right["flux"]), 4e4, rtol=0.05)
    np.testing.assert_allclose(np.sort(measured["flux"]), 4e4, rtol=0.08)
    # Fitted with too wide a profile they hold more.
    assert (wide["flux"] > 1.15 * 4e4).all()


def test_an_empty_sky_says_so():
    image = np.random.default_rng(9).normal(0, 1, (128, 128)).astype(np.float32)
    flags = np.zeros(image.shape, np.uint8)
    background = estimate_background(image, flags, 64)
    with pytest.raises(BadFrameError, match="no stars"):
        detect_stars(image, flags, background, min_snr=12.0, max_stars=10, flux_variance=1.0)
