import numpy as np
import pytest

from gaiaflux.core.image.background import Background
from gaiaflux.core.stars.trails import find_trails, flag_trails
from gaiaflux.model.flags import PixelFlag

SIZE = 512
RMS = 3.0
SKY = Background(np.zeros((8, 8), np.float32), np.full((8, 8), RMS, np.float32), 64, (SIZE, SIZE))
CLEAN = np.zeros((SIZE, SIZE), np.uint8)
Y, X = np.mgrid[:SIZE, :SIZE]


def field(seed, n_stars=150):
    """Noise and round stars of FWHM 4 pixels, the faintest as bright as the noise."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0.0, RMS, (SIZE, SIZE))
    for x, y, peak in zip(*rng.uniform(0, SIZE, (2, n_stars)), RMS * 10 ** rng.uniform(0, 3, n_stars), strict=True):
        cut = slice(max(int(y) - 20, 0), int(y) + 21), slice(max(int(x) - 20, 0), int(x) + 21)
        image[cut] += peak * np.exp(-((X[cut] - x) ** 2 + (Y[cut] - y) ** 2) / (2 * 1.7**2))
    return image


def trail(angle_deg, offset, peak, sigma=2.0, length=np.inf):
    """Light of a straight trail that passes the middle of the image at a distance, and its distance from each pixel."""
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    across = (X - SIZE / 2) * c + (Y - SIZE / 2) * s - offset
    along = (Y - SIZE / 2) * c - (X - SIZE / 2) * s
    inside = np.abs(along) < 0.5 * length
    return peak * np.exp(-0.5 * (across / sigma) ** 2) * inside, np.abs(across), inside


def mask_of(image):
    mask = np.zeros(image.size, bool)
    mask[find_trails(image.astype(np.float32), CLEAN, SKY)] = True
    return mask.reshape(image.shape)


@pytest.mark.parametrize("seed", range(6))
def test_stars_are_no_trail(seed):
    assert not mask_of(field(seed, 600)).any()


@pytest.mark.parametrize("angle_deg", [0.0, 30.0, 45.3, 90.0, 137.0])
@pytest.mark.parametrize("peak_snr", [3.0, 30.0])
def test_a_trail_is_found_whole_and_not_much_more(angle_deg, peak_snr):
    light, across, _ = trail(angle_deg, 60.0, peak_snr * RMS)
    mask = mask_of(field(11) + light)
    assert mask[across < 2.0].mean() > 0.97
    assert not mask[across > 13.0].any()
    assert mask.sum() < 14 * 2 * SIZE


def test_a_trail_may_end_in_the_image():
    light, across, inside = trail(20.0, -40.0, 20 * RMS, length=250.0)
    mask = mask_of(field(12) + light)
    assert mask[inside & (across < 2.0)].mean() > 0.99
    _, _, about = trail(20.0, -40.0, 1.0, length=250.0 + 4 * 33)
    assert not mask[~about].any()


def test_two_trails_and_a_bleeding_column():
    one, two = trail(10.0, 50.0, 10 * RMS), trail(100.0, -90.0, 10 * RMS)
    image = field(13) + one[0] + two[0]
    image[60:400, 333] += 2000 * RMS
    mask = mask_of(image)
    for _, across, _ in (one, two):
        assert mask[across < 1.5].mean() > 0.95
    assert mask[60:400, 333].mean() > 0.99


def test_short_and_faint_ones_are_left_alone():
    for light in (trail(20.0, 0.0, 20 * RMS, length=60.0)[0], trail(20.0, 0.0, 0.4 * RMS)[0]):
        assert not mask_of(field(14) + light).any()


def test_a_dotted_row_of_stars_is_no_trail():
    image = field(15, 40)
    for k in range(40):
        x, y = 12.0 + 12.4 * k, 30.0 + 11.0 * k
        cut = slice(max(int(y) - 9, 0), int(y) + 10), slice(max(int(x) - 9, 0), int(x) + 10)
        image[cut] += 50 * RMS * np.exp(-((X[cut] - x) ** 2 + (Y[cut] - y) ** 2) / (2 * 1.7**2))
    assert not mask_of(image).any()


def test_flags_are_added_to_a_copy_and_known_pixels_are_not_used():
    light, across, _ = trail(0.0, 0.0, 10 * RMS)
    image = (field(16) + light).astype(np.float32)
    flags, pixels = flag_trails(image, CLEAN, SKY)
    assert not CLEAN.any()
    assert (flags.ravel()[pixels] == PixelFlag.TRAIL).all()
    assert np.count_nonzero(flags) == len(pixels)
    masked = np.where(across < 12.0, np.uint8(PixelFlag.BAD), np.uint8(0))
    same, none = flag_trails(image, masked, SKY)
    assert len(none) == 0
    assert same is masked
