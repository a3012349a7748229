import numpy as np

from gaiaflux.core.image.background import Background, estimate_background
from gaiaflux.core.stars.cosmic_rays import flag_cosmic_rays
from gaiaflux.model.flags import PixelFlag


def test_hits_are_flagged_and_stars_are_not(sparse_frame):
    made, background, image = sparse_frame
    fwhm = made.truth.conditions.fwhm_pix
    flags, hits = flag_cosmic_rays(image, made.frame.pixel_flags, background, fwhm_pix=fwhm, flux_variance=1.0)
    flagged = (flags & PixelFlag.COSMIC_RAY) > 0
    hit = np.zeros_like(flagged)
    hit[tuple(made.truth.cosmic_pixels.T)] = True
    np.testing.assert_array_equal(hits, np.flatnonzero(flagged))
    strong = hit & (image > 10 * np.median(background.rms)) & (made.frame.pixel_flags == 0)
    assert strong.sum() > 100
    assert flagged[strong].mean() > 0.95
    # A wrong one needs a six-sigma pixel of noise or a star sharper than the optics.
    assert (flagged & ~hit).sum() <= 2
    assert not np.any(made.frame.pixel_flags & PixelFlag.COSMIC_RAY)


def test_undersampled_stars_are_left_alone():
    image = np.random.default_rng(1).normal(0, 1, (64, 64)).astype(np.float32)
    image[30, 30] = 1000.0
    flags = np.zeros(image.shape, np.uint8)
    background = estimate_background(image, flags, 64)
    kept, _ = flag_cosmic_rays(image, flags, background, fwhm_pix=1.4, flux_variance=1.0)
    assert not kept.any()
    found, hits = flag_cosmic_rays(image, flags, background, fwhm_pix=3.0, flux_variance=1.0)
    assert np.argwhere(found).tolist() == [[30, 30]]
    assert hits.tolist() == [30 * 64 + 30]


def found_beside(image, flags=None, **changed):
    """Pixels (row, column) that are flagged, on noise of 10."""
    flags = np.zeros(image.shape, np.uint8) if flags is None else flags
    level, rms = np.zeros((1, 1), np.float32), np.full((1, 1), 10.0, np.float32)
    background = Background(level, rms, 64, image.shape)
    new, hits = flag_cosmic_rays(image, flags, background, **{"fwhm_pix": 3.0, "flux_variance": 0.0, **changed})
    assert hits.tolist() == np.flatnonzero((new & PixelFlag.COSMIC_RAY) > 0).tolist()
    return [tuple(place) for place in np.argwhere((new & PixelFlag.COSMIC_RAY) > 0).tolist()]


def test_a_hit_stands_six_sigma_out_of_its_neighbours():
    # The mean of four neighbours has noise, too: the limit is 6 * 10 * sqrt(1 + 1/4) = 67.1.
    for height, found in ((66.0, []), (68.0, [(20, 20)])):
        image = np.zeros((40, 40), np.float32)
        image[20, 20] = height
        assert found_beside(image) == found
        # With neighbours that are masked, of one neighbour: 6 * 10 * sqrt(2) = 84.9.
        flags = np.zeros(image.shape, np.uint8)
        flags[19, 20] = flags[21, 20] = flags[20, 19] = PixelFlag.BAD
        assert found_beside(image, flags) == []
        image[20, 20] += 18.0
        assert found_beside(image, flags) == found
    # Photons of the neighbours add to the noise: 6 * sqrt(1.25 * (100 + 0.5 * 20)) = 70.4 above them.
    for height, found in ((90.0, []), (91.0, [(20, 20)])):
        image = np.full((40, 40), 20.0, np.float32)
        image[20, 20] = height
        assert found_beside(image, flux_variance=0.5) == found


def test_beside_a_hit_fainter_ones_are_found_and_not_farther():
    image = np.zeros((40, 40), np.float32)
    image[20, 20:24] = 5000.0, 400.0, 58.0, 30.0  # a track; four sigma are enough beside the hit
    image[19, 19] = 58.0  # across the corner; no direct neighbour of it is hit
    image[30, 30] = 58.0  # and far away
    assert found_beside(image) == [(20, 20), (20, 21), (20, 22)]
    # Each pixel but those of the outermost row and column is looked at.
    image = np.zeros((40, 40), np.float32)
    for place in ((1, 1), (38, 38), (1, 38), (38, 1), (0, 1), (1, 39), (0, 20), (20, 39), (39, 38)):
        image[place] = 5000.0
    assert found_beside(image) == [(1, 1), (1, 38), (38, 1), (38, 38)]


def test_the_noise_is_that_of_the_box():
    # Two boxes, and a margin that belongs to the second one; 58 is much beside a hit where the noise is 10, not 100.
    rms = np.array([[100.0, 10.0]], np.float32)
    background = Background(np.zeros((1, 2), np.float32), rms, 20, (40, 45))
    image = np.zeros((40, 45), np.float32)
    image[20, 10:12] = image[20, 30:32] = image[35, 41:43] = 5000.0, 58.0
    flags = np.zeros(image.shape, np.uint8)
    new, _ = flag_cosmic_rays(image, flags, background, fwhm_pix=3.0, flux_variance=0.0)
    assert np.argwhere(new).tolist() == [[20, 10], [20, 30], [20, 31], [35, 41], [35, 42]]


def test_a_masked_pixel_is_no_hit_and_no_neighbour():
    image = np.zeros((40, 40), np.float32)
    image[20, 20], image[20, 21], image[10, 10] = 5000.0, 5000.0, 5000.0
    flags = np.zeros(image.shape, np.uint8)
    flags[20, 21] = PixelFlag.SATURATED
    flags[10, 10] = PixelFlag.BAD
    assert found_beside(image, flags) == [(20, 20)]


def test_a_star_of_the_seeings_width_is_left_alone_and_a_sharper_one_is_not():
    yy, xx = np.mgrid[:40, :40]
    for fwhm, found in ((3.0, []), (1.3, [(20, 20)])):
        a2 = (0.5 * fwhm) ** 2 / (2 ** (1 / 3) - 1)
        image = (3000.0 * (1 + ((xx - 20.0) ** 2 + (yy - 20.0) ** 2) / a2) ** -3).astype(np.float32)
        assert [place for place in found_beside(image) if place == (20, 20)] == found
