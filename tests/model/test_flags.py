import numpy as np
import pytest

from gaiaflux.model.flags import (
    FRAME_FLAGS,
    NO_COUNTS,
    PIXEL_FLAGS,
    PIXEL_TO_STAR,
    STAR_FLAGS,
    FrameFlag,
    PixelFlag,
    StarFlag,
    decode_flags,
    star_bits,
)

KINDS = [(PixelFlag, PIXEL_FLAGS, np.uint8), (StarFlag, STAR_FLAGS, np.uint32), (FrameFlag, FRAME_FLAGS, np.uint32)]


@pytest.mark.parametrize(("constants", "registry", "dtype"), KINDS)
def test_bits_are_single_distinct_and_have_room(constants, registry, dtype):
    bits = [flag.bit for flag in registry]
    assert len(set(bits)) == len(bits)
    assert all(type(bit) is int and bit.bit_count() == 1 for bit in bits)
    assert sum(bits) <= np.iinfo(dtype).max


@pytest.mark.parametrize(("constants", "registry", "dtype"), KINDS)
def test_the_class_is_the_one_list(constants, registry, dtype):
    named = {key: value for key, value in vars(constants).items() if not key.startswith("_")}
    assert named == {flag.name.upper(): flag.bit for flag in registry}
    assert list(named) == [flag.name.upper() for flag in registry]
    assert all(len(flag.description) > 10 for flag in registry)


def test_bits_in_files_stay_what_they_are():
    assert {flag.name: flag.bit for flag in STAR_FLAGS} == {
        "bad_pixel": 1,
        "saturated": 2,
        "edge": 4,
        "off_image": 8,
        "neighbour": 16,
        "background": 32,
        "no_aperture_correction": 64,
        "not_measured": 128,
        "cosmic_ray": 256,
        "borrowed_psf": 512,
        "poor_fit": 1024,
        "blended": 2048,
        "trail": 4096,
        "structured_sky": 8192,
        "unseen": 16384,
        "seam": 32768,
        "pointing": 65536,
        "sky_jump": 131072,
    }


def test_decoding():
    assert decode_flags(0) == []
    assert decode_flags(np.uint32(StarFlag.BLENDED | StarFlag.BAD_PIXEL)) == ["bad_pixel", "blended"]
    assert decode_flags(FrameFlag.CLOUDY | FrameFlag.NO_TIME, FRAME_FLAGS) == ["cloudy", "no_time"]
    for value in (2 * FRAME_FLAGS[-1].bit, 2**31, -1):
        with pytest.raises(ValueError, match="not in the registry"):
            decode_flags(value, FRAME_FLAGS)


@pytest.mark.parametrize(
    ("pixel", "star"),
    [
        (0, 0),
        (PixelFlag.BAD, StarFlag.BAD_PIXEL),
        (PixelFlag.NONFINITE | PixelFlag.BAD, StarFlag.BAD_PIXEL),
        (PixelFlag.SATURATED | PixelFlag.BAD, StarFlag.SATURATED | StarFlag.BAD_PIXEL),
        (PixelFlag.COSMIC_RAY, StarFlag.COSMIC_RAY),
        (PixelFlag.COSMIC_RAY | PixelFlag.BAD, StarFlag.COSMIC_RAY),
    ],
)
def test_what_a_pixel_does_to_a_star(pixel, star):
    assert star_bits(pixel) == star


def test_every_pixel_flag_is_told_to_the_star():
    covered = 0
    for bits, _ in PIXEL_TO_STAR:
        assert not covered & bits
        covered |= bits
    assert covered == sum(flag.bit for flag in PIXEL_FLAGS)
    assert covered == NO_COUNTS | PixelFlag.SATURATED
