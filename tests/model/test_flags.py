import numpy as np
import pytest

from gaiaflux.model.flags import FRAME_FLAGS, PIXEL_FLAGS, STAR_FLAGS, FrameFlag, PixelFlag, StarFlag, decode_flags

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
    }


def test_decoding():
    assert decode_flags(0) == []
    assert decode_flags(np.uint32(StarFlag.BLENDED | StarFlag.BAD_PIXEL)) == ["bad_pixel", "blended"]
    assert decode_flags(FrameFlag.CLOUDY | FrameFlag.NO_TIME, FRAME_FLAGS) == ["cloudy", "no_time"]
    for value in (4096, 2**31, -1):
        with pytest.raises(ValueError, match="not in the registry"):
            decode_flags(value, FRAME_FLAGS)
