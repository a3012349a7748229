import gzip
import shutil

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from gaiaflux.io.image.annotated_image import (
    WCS_EXTENSION,
    PlateExtension,
    TableExtension,
    layer_names,
    write_annotated,
)
from gaiaflux.model.errors import BadFrameError

CARDS = "CTYPE1  = 'RA---TAN'\nCRVAL1  = 10.0\nCRPIX1  = 3.0"
BIG_ID = 5853498713190525697  # not a float64
TABLE_EXTENSION = "GAIAFLUX_APERTURE"


def table(value=1.0):
    rows = np.zeros(2, [("source_id", "i8"), ("ra", "f8"), ("flux", "f4", (3,)), ("flags", "u4", (3,))])
    rows["source_id"], rows["ra"], rows["flux"], rows["flags"] = BIG_ID, 10.5, value, 2**31 + 300
    return rows


def annotate(source, target, value=1.0):
    facts = {"WCSRMS": (np.nan, "left out"), "WCSNSTAR": (12, "stars")}
    stars = TableExtension(TABLE_EXTENSION, table(value), {"ra": "deg"}, {"APRAD1": (2.5, "radius")})
    write_annotated(source, target, PlateExtension(CARDS, facts), stars)


@pytest.fixture(params=["mixed.fits", "mixed.fits.gz", "bare.fits"])
def image(request, tmp_path):
    """An image with extensions of every kind, and one without any."""
    path = tmp_path / request.param
    rng = np.random.default_rng(3)
    primary = fits.PrimaryHDU(rng.integers(0, 60000, (40, 50)).astype(np.uint16))
    if request.param == "bare.fits":
        primary.writeto(path)
        return path
    noise = rng.normal(0, 5, (64, 64)).astype(np.float32)
    hdus = fits.HDUList([primary])
    hdus.append(fits.CompImageHDU(noise, name="SCI", compression_type="RICE_1", quantize_level=4, dither_seed=3))
    hdus.append(fits.CompImageHDU((noise > 1).astype(np.int16), name="BPM", compression_type="GZIP_2"))
    hdus.append(fits.BinTableHDU(Table({"word": ["a", "bcd"], "n": [1, 2]}), name="CAT"))
    hdus.append(fits.ImageHDU(noise.astype(np.float64), name="ERR"))
    hdus.writeto(path, checksum=True)
    return path


def raw(path):
    content = path.read_bytes()
    return gzip.decompress(content) if path.name.endswith(".gz") else content


def test_every_byte_of_the_image_stays(image, tmp_path):
    before = raw(image)
    copy = tmp_path / "new" / image.name
    annotate(image, copy)
    assert raw(image) == before
    after = raw(copy)
    assert after.startswith(before)
    assert len(after) % 2880 == 0
    annotate(image, image)
    assert image.read_bytes() == copy.read_bytes()
    assert layer_names(image)[-2:] == [WCS_EXTENSION, TABLE_EXTENSION]
    assert [item.name for item in copy.parent.iterdir()] == [image.name]
    with fits.open(image, checksum=True) as hdus:
        hdus.verify("exception")
        assert hdus[0].data.dtype == np.uint16


def test_what_is_written_is_read(image):
    annotate(image, image)
    with fits.open(image) as hdus:
        assert hdus[WCS_EXTENSION].data is None or hdus[WCS_EXTENSION].data.size == 0
        header = hdus[WCS_EXTENSION].header
        assert (header["CTYPE1"], header["CRVAL1"], header["WCSNSTAR"]) == ("RA---TAN", 10.0, 12)
        assert "WCSRMS" not in header
        assert hdus[TABLE_EXTENSION].header["APRAD1"] == 2.5
    found = Table.read(image, hdu=TABLE_EXTENSION)
    assert found["ra"].unit == "deg"
    for name in table().dtype.names:
        np.testing.assert_array_equal(found[name], table()[name])
        assert found[name].dtype.newbyteorder("=") == table()[name].dtype


def test_products_are_replaced_in_their_place(image):
    annotate(image, image)
    names = layer_names(image)
    with fits.open(image, mode="update") as hdus:
        hdus.append(fits.ImageHDU(np.arange(12.0).reshape(3, 4), name="MINE"))
    annotate(image, image, value=2.0)
    assert layer_names(image) == [*names, "MINE"]
    with fits.open(image) as hdus:
        assert (hdus[TABLE_EXTENSION].data["flux"] == 2.0).all()
        np.testing.assert_array_equal(hdus["MINE"].data, np.arange(12.0).reshape(3, 4))


def test_same_input_same_bytes(image, tmp_path):
    annotate(image, tmp_path / "one" / image.name)
    annotate(image, tmp_path / "two" / image.name)
    assert (tmp_path / "one" / image.name).read_bytes() == (tmp_path / "two" / image.name).read_bytes()


def test_compression_of_a_copy_follows_its_name_and_in_place_the_content(image, tmp_path):
    annotate(image, tmp_path / "copy.fits")
    annotate(image, tmp_path / "copy.fits.gz")
    plain = (tmp_path / "copy.fits").read_bytes()
    assert plain.startswith(b"SIMPLE")
    assert gzip.decompress((tmp_path / "copy.fits.gz").read_bytes()) == plain
    # An ending that lies.
    odd = tmp_path / "odd.fits.fz"
    odd.write_bytes(gzip.compress(raw(image)))
    annotate(odd, odd)
    assert gzip.decompress(odd.read_bytes()) == plain


def test_a_failure_leaves_the_image_as_it_was(image, monkeypatch):
    before = image.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        annotate(image, image)
    assert image.read_bytes() == before
    assert [item.name for item in image.parent.iterdir()] == [image.name]


def test_permissions_and_links_stay(image, tmp_path):
    image.chmod(0o640)
    link = tmp_path / "link.fits"
    link.symlink_to(image)
    annotate(link, link)
    assert link.is_symlink()
    assert WCS_EXTENSION in layer_names(image)
    assert image.stat().st_mode & 0o777 == 0o640


def test_rubbish_behind_the_last_extension_is_left_out(tmp_path):
    path = tmp_path / "image.fits"
    fits.PrimaryHDU(np.zeros((20, 20), np.int16)).writeto(path)
    whole = path.read_bytes()
    # Cut inside of the filling of the last block, as some cameras write.
    path.write_bytes(whole[: 2880 + 800])
    annotate(path, tmp_path / "short.fits")
    assert (tmp_path / "short.fits").read_bytes().startswith(whole)
    path.write_bytes(whole + b"rubbish")
    annotate(path, tmp_path / "long.fits")
    assert (tmp_path / "long.fits").read_bytes() == (tmp_path / "short.fits").read_bytes()


def test_what_is_not_fits_is_refused(tmp_path):
    path = tmp_path / "image.fits"
    path.write_text("this is no image\n")
    shutil.copy(path, tmp_path / "copy.fits")
    with pytest.raises(BadFrameError, match="not a FITS file"):
        annotate(path, path)
    assert path.read_bytes() == (tmp_path / "copy.fits").read_bytes()
