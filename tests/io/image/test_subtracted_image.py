import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from gaiaflux.core.sky.projection import sky_to_pixel
from gaiaflux.io.image.subtracted_image import write_subtracted
from gaiaflux.io.image.wcs_cards import cards_from_tan_sip, tan_sip_from_cards
from gaiaflux.model.wcs import TanSip

FACTS = {"BUNIT": ("electron", "unit"), "EXPTIME": (60.0, "s"), "MJDMID": (float("nan"), "left out")}


def test_what_is_written_is_read(tmp_path):
    image = np.random.default_rng(0).normal(100, 10, (30, 40)).astype("f4")
    cd = np.array([[-1e-4, 1e-6], [1e-6, 1e-4]])
    b = np.zeros((3, 3))
    b[2, 0] = 1e-5
    none = np.zeros((1, 1))
    cards = cards_from_tan_sip(TanSip((150.0, -20.0), (19.0, 14.0), cd, np.zeros((3, 3)), b, none, none, image.shape))
    path = tmp_path / "new" / "a.fits"
    write_subtracted(path, image, cards, FACTS)
    with fits.open(path) as hdus:
        hdus.verify("exception")
        np.testing.assert_array_equal(hdus[0].data, image)
        header = hdus[0].header
        assert (header["BUNIT"], header["EXPTIME"]) == ("electron", 60.0)
        assert "MJDMID" not in header
        sky = WCS(header).all_pix2world([[3.0, 25.0]], 0)
    np.testing.assert_allclose(
        np.ravel(sky_to_pixel(tan_sip_from_cards(cards, image.shape), *sky.T)), [3.0, 25.0], atol=1e-6
    )
    assert [item.name for item in path.parent.iterdir()] == ["a.fits"]


def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.fits"
    write_subtracted(path, np.zeros((3, 3), "f4"), "", FACTS)
    before = path.read_bytes()

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(fits.PrimaryHDU, "writeto", fail)
    with pytest.raises(OSError, match="disk full"):
        write_subtracted(path, np.ones((3, 3), "f4"), "", FACTS)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["a.fits"]
