import numpy as np

from gaiaflux.core.stars.prf_peaks import new_stars, thinned


def test_bright_points_keep_fainter_ones_away():
    x, y = np.array([5.0, 6.0, 9.0, 5.1, 7.4]), np.array([5.0, 5.0, 5.0, 8.0, 5.0])
    np.testing.assert_array_equal(thinned(x, y, 2.0), [0, 2, 3])
    np.testing.assert_array_equal(thinned(x, y, 0.5), np.arange(5))
    assert len(thinned(np.zeros(0), np.zeros(0), 2.0)) == 0


def test_peaks_are_stars_that_are_not_known(ccd_image, ccd_psf):
    """Also one beyond the edge; none of noise."""
    shape = (50, 60)
    psf = ccd_psf.part(ccd_image.CORNER, shape)
    x, y, mag = np.array([20.3, 40.0, 44.0, 30.0]), np.array([20.2, 30.4, 30.0, -1.2]), np.array([11.0, 12, 13, 11])
    sky = ccd_image.sky_image(x, y, mag, shape, 7)
    none = np.zeros(0), np.zeros(0)
    made = new_stars(sky.image - np.float32(ccd_image.SKY), 1 / sky.variance, psf, none, 8.0, 3.0)
    assert len(made.x) == 4
    order = [int(np.argmin(np.hypot(made.x - a, made.y - b))) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(made.x[order], x, atol=0.5)
    np.testing.assert_allclose(made.y[order], y, atol=0.9)
    np.testing.assert_allclose(made.flux[order[:3]], ccd_image.light(mag[:3]), rtol=0.3)
    assert order[0] == 0
    known = x[:2] + 1.0, y[:2]
    some = new_stars(sky.image - np.float32(ccd_image.SKY), 1 / sky.variance, psf, known, 8.0, 2.0)
    assert len(some.x) == 2
