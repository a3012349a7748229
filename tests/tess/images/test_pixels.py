import numpy as np
import pytest
from astropy.io import fits

from gaiaflux.model.cadences import ApertureBit
from gaiaflux.model.errors import InputError
from gaiaflux.tess.images.none_left import write_no_images
from gaiaflux.tess.images.pixels import PIXEL_BITS, FieldPixels
from gaiaflux.tess.inputs import open_images, open_prepared

# On the CCD: rows 0 to 63, columns 44 to 107. Inside a tile, over borders of tiles, at a corner and at an edge.
STAMPS = [(2, 9, 50, 57), (10, 37, 57, 80), (0, 11, 44, 55), (60, 64, 97, 108)]


@pytest.fixture
def pixels(small):
    source = FieldPixels(small.open())
    yield source
    source.close()


@pytest.fixture(scope="module")
def calibrated(small):
    """What the files state, science pixels: flux and errors."""
    planes = [[fits.getdata(path, k)[:, 44:108] for path in small.paths] for k in (1, 2)]
    return [np.array(one) for one in planes]


@pytest.mark.parametrize("stamp", STAMPS)
def test_images_and_backgrounds_are_the_calibrated_pixels(pixels, calibrated, stamp, ccd_files):
    first, last, left, right = stamp
    part = (slice(None), slice(first, last), slice(left - 44, right - 44))
    light, expected = pixels.images(stamp) + pixels.backgrounds(stamp), calibrated[0][part].copy()
    expected[ccd_files.ZERO] = np.nan
    # One float32 of a sum.
    np.testing.assert_allclose(light, expected, atol=2e-4 * np.nanmax(np.abs(expected)) / 1000 + 1e-3)
    errors = pixels.errors(stamp)
    good = np.arange(24) != ccd_files.ZERO
    np.testing.assert_allclose(errors[good], calibrated[1][part][good], rtol=1e-3)
    assert (pixels.stated_errors(stamp)[good] > errors[good]).all()


def test_a_stamp_over_tiles_is_what_its_pixels_are_alone(pixels):
    first, last, left, right = stamp = STAMPS[1]
    for name in ("images", "backgrounds", "background_errors", "pixel_flags"):
        read = getattr(pixels, name)
        whole = read(stamp)
        for row, column in ((first, left), (15, 63), (16, 64), (31, 75), (last - 1, right - 1)):
            alone = read((row, row + 1, column, column + 1))
            np.testing.assert_allclose(whole[:, row - first, column - left], alone[:, 0, 0], rtol=1e-4, atol=1e-3)


def test_limits_and_place_are_those_of_the_ccd(pixels, small):
    assert pixels.limits == (0, 64, 44, 108)
    catalog = small.catalog
    row, column = pixels.place(catalog.ra_deg, catalog.dec_deg)
    for star in small.setup.stars:
        at = int(np.searchsorted(catalog.star_id, star.starid))
        assert abs(column[at] - 44 - star.x) < 0.5
        assert abs(row[at] - star.y) < 0.5


def test_frames_without_a_place_have_no_movement(pixels, ccd_files):
    bad = [ccd_files.ZERO, ccd_files.SAFE]
    assert np.isnan(pixels.pos_corr[bad]).all()
    assert np.isfinite(np.delete(pixels.pos_corr, bad, axis=0)).all()
    corner = pixels.seen_at(0.0, 44.0).pos_corr
    assert np.nanmax(np.abs(corner - pixels.pos_corr)) < 0.05


def test_flags_of_pixels(copy, ccd_files):
    def flash(hdus):
        hdus[1].data[16:32, 44 + 32 : 44 + 48] += 400.0

    ccd_files.edit(copy.paths[5], flash)
    copy.prepare()
    source = FieldPixels(copy.open())
    try:
        flags = source.pixel_flags((8, 40, 60, 100))
        starry = ~copy.array("sky_pixels")[8:40, 16:56]
        np.testing.assert_array_equal((flags & PIXEL_BITS["not_background"]) != 0, np.broadcast_to(starry, flags.shape))
        jumps = (flags & PIXEL_BITS["background_shenanigans"]) != 0
        assert jumps[5, 8:24, 16:32].all()
        assert jumps[5].sum() % 256 == 0
        assert not np.delete(jumps, 5, axis=0).any()
        assert not (flags & PIXEL_BITS["manual_exclude"]).any()
    finally:
        source.close()


def test_bits_of_an_aperture_say_what_is_there(pixels):
    bits = pixels.aperture((0, 20, 44, 64))
    assert (bits & ApertureBit.COLLECTED).all()
    assert 0 < np.count_nonzero(bits & ApertureBit.BACKGROUND) < bits.size


def test_images_none_of_which_could_be_used_are_refused(tmp_path, small):
    write_no_images(tmp_path / "p.h5", tmp_path / "i.csv", [], (1, 1, 3))
    with pytest.raises(InputError, match=r"no image could be used of those that .*p\.h5"):
        open_prepared(tmp_path / "p.h5")
    with pytest.raises(InputError, match="no image could be used"):
        open_images(tmp_path / "p.h5", small.catalog, small.instrument)
