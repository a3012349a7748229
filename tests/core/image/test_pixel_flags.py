import numpy as np

from gaiaflux.core.image.pixel_flags import flag_pixels
from gaiaflux.model.flags import PixelFlag


def test_first_look_at_the_pixels():
    image = np.array([[1.0, np.nan, 30_000.0], [-np.inf, 29_999.0, np.inf], [-5.0, 0.0, 2.5e38]], np.float32)
    pixels, flags, n_finite = flag_pixels(image, 2.0, 60_000.0)
    assert n_finite == 5  # scaled, the last one is beyond the largest number, too
    np.testing.assert_array_equal(pixels, [[2.0, 0.0, 60_000.0], [0.0, 59_998.0, 0.0], [-10.0, 0.0, 0.0]])
    bad, full = PixelFlag.NONFINITE, PixelFlag.SATURATED
    assert flags.tolist() == [[0, bad, full], [bad, 0, bad], [0, 0, bad]]
    assert not flag_pixels(image, 1.0, np.inf)[1][0, 2]
