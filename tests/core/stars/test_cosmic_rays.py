import numpy as np

from gaiaflux.core.image.background import estimate_background
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
