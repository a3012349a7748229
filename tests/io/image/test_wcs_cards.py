import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from astropy.wcs.utils import pixel_to_skycoord

from gaiaflux.core.sky.projection import pixel_to_sky, sip_order, sky_to_pixel
from gaiaflux.io.image.wcs_cards import cards_from_tan_sip, is_wcs_keyword, tan_sip_from_cards
from gaiaflux.model.errors import BadFrameError

SHAPE = (1200, 1000)
BASE = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 83.2,
    "CRVAL2": -21.5,
    "CRPIX1": 480.5,
    "CRPIX2": 611.0,
}
SCALE = 0.4 / 3600
CD = {"CD1_1": -SCALE, "CD1_2": 2e-6, "CD2_1": 2.1e-6, "CD2_2": SCALE}
SIP = {"A_ORDER": 2, "A_2_0": 2e-6, "A_1_1": -1e-6, "B_ORDER": 3, "B_0_2": 1e-6, "B_3_0": 2e-9}


def cards_of(values):
    return "\n".join(str(fits.Card(key, value)).rstrip() for key, value in values.items())


def difference_pix(wcs, cards, shape=SHAPE):
    """Largest difference from astropy over the image."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        other = WCS(fits.Header.fromstring(cards, sep="\n"), naxis=2)
        x, y = (g.ravel() for g in np.meshgrid(np.linspace(0, shape[1] - 1, 9), np.linspace(0, shape[0] - 1, 9)))
        # For swapped axes astropy's function swaps the pixels, too.
        swapped = str(other.wcs.ctype[0]).startswith("DEC")
        sky = pixel_to_skycoord(*((y, x) if swapped else (x, y)), other, origin=0).icrs
        if swapped:
            np.testing.assert_allclose(other.all_pix2world(x, y, 0)[1], sky.ra.deg, atol=1e-9)
    found_x, found_y = sky_to_pixel(wcs, sky.ra.deg, sky.dec.deg)
    return np.hypot(found_x - x, found_y - y).max()


@pytest.mark.parametrize(
    ("extra", "limit"),
    [
        (CD, 1e-8),
        (CD | SIP | {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"}, 1e-8),
        ({"CDELT1": -SCALE, "CDELT2": SCALE, "CROTA2": 31.0}, 1e-8),
        ({"CDELT1": -SCALE, "CDELT2": 1.1 * SCALE, "PC1_1": 0.9, "PC1_2": 0.3, "PC2_1": -0.3, "PC2_2": 0.95}, 1e-8),
        (CD | {"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRVAL1": -21.5, "CRVAL2": 83.2}, 1e-8),
        (CD | {"LONPOLE": 150.0}, 0.01),
        (CD | {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"}, 0.01),
        (CD | {"CTYPE1": "RA---ZPN", "CTYPE2": "DEC--ZPN", "PV2_1": 1.0, "PV2_3": 40.0}, 0.01),
        (CD | {"CTYPE1": "DEC--SIN", "CTYPE2": "RA---SIN", "CRVAL1": -21.5, "CRVAL2": 83.2}, 0.01),
        (CD | {"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "PV1_1": 1.0, "PV1_5": 0.01, "PV2_1": 1.0}, 0.01),
        (CD | {"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"}, 0.01),
        (CD | {"RADESYS": "FK5", "EQUINOX": 1975.0}, 0.01),
        (CD | {"CUNIT1": "arcsec", "CUNIT2": "arcsec", "CRVAL1": 83.2 * 3600, "CRVAL2": -21.5 * 3600}
         | {key: 3600 * value for key, value in CD.items()}, 0.01),
    ],
)  # fmt: skip
def test_headers_of_all_kinds_agree_with_astropy(extra, limit):
    cards = cards_of(BASE | {"RADESYS": "ICRS"} | extra)
    assert difference_pix(tan_sip_from_cards(cards, SHAPE), cards) < limit


def test_old_fk5_header_is_taken_for_icrs():
    cards = cards_of(BASE | CD | {"EQUINOX": 2000.0})
    assert 0.001 < difference_pix(tan_sip_from_cards(cards, SHAPE), cards) < 0.1


def test_fortran_exponents_and_foreign_cards():
    lines = cards_of(BASE | {"RADESYS": "ICRS"}).splitlines()
    lines += [f"CD1_1   = {-SCALE:.10E}".replace("E", "D"), f"CD2_2   = {SCALE:.10E}".replace("E", "d"), "CD1_2   = 0."]
    lines += ["COMMENT CD1_1 = 5", "HISTORY = none", "OBJECT  = 'it''s / here'", "END"]
    wcs = tan_sip_from_cards("\n".join(lines), SHAPE)
    np.testing.assert_allclose(wcs.cd, np.diag([-SCALE, SCALE]), rtol=1e-9)


def test_cards_are_read_back_unchanged():
    wcs = tan_sip_from_cards(cards_of(BASE | CD | SIP), SHAPE)
    text = cards_from_tan_sip(wcs)
    again = tan_sip_from_cards(text, SHAPE)
    assert again.crval == wcs.crval
    np.testing.assert_allclose(again.crpix, wcs.crpix, rtol=1e-15)
    for name in ("cd", "a", "b"):
        np.testing.assert_array_equal(getattr(again, name), getattr(wcs, name))
    header = fits.Header.fromstring(text, sep="\n")
    assert header["CTYPE1"] == "RA---TAN-SIP"
    for card in header.cards:
        card.verify("exception")
    assert all(len(line) <= 80 and is_wcs_keyword(line[:8].strip()) for line in text.splitlines())
    plain = cards_from_tan_sip(tan_sip_from_cards(cards_of(BASE | CD), SHAPE))
    assert "SIP" not in plain


@pytest.mark.parametrize(
    ("cards", "reason"),
    [
        ("", "no WCS in the header"),
        ("OBJECT  = 'M31     '", "no WCS in the header"),
        (cards_of({"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"}), "not celestial"),
        (cards_of({"CTYPE1": "RA---TAN", "CTYPE2": "GLAT-CAR", "CRVAL1": 1.0}), "WCS"),
        (cards_of({key: value for key, value in (BASE | CD).items() if key != "CRVAL1"}), "no CRVAL1"),
        (cards_of(BASE), "no CDELT1"),
        (cards_of(BASE | CD | {"CD1_1": 0.0, "CD1_2": 0.0}), "pixel scale"),
        (cards_of(BASE | CD | {"CRVAL2": 95.0}), "no place on the sky"),
        (cards_of(BASE | CD | {"CRVAL1": "unknown"}), "CRVAL1 is not a number"),
        (cards_of(BASE | CD) + "\nCRPIX1  = N/A", "not a number"),
        (cards_of(BASE | CD | {"CTYPE1": "RA---XYZ", "CTYPE2": "DEC--XYZ"}), "cannot be understood"),
    ],
)
def test_unusable_headers_say_why(cards, reason):
    with pytest.raises(BadFrameError, match=reason):
        tan_sip_from_cards(cards, SHAPE)


def test_keywords():
    for keyword in ("CTYPE1", "CD1_2", "PV2_10", "A_ORDER", "BP_0_3", "WAT1_001", "PC001002", "RADESYS", "CROTA2"):
        assert is_wcs_keyword(keyword)
    for keyword in ("CTYPE1A", "AIRMASS", "A_B", "NAXIS1", "CDBFILE", "EQUIPMENT"):
        assert not is_wcs_keyword(keyword)


REAL = {
    "awkward/galsim_tanpv.fits.gz": 0.01,
    "awkward/galsim_tanflip.fits.gz": 1e-6,
    "awkward/galsim_tnx.fits": 0.01,
    "awkward/galsim_pole.fits": 1e-6,
    "awkward/galsim_DECam_00154912_12_header.fits": 0.01,
    "awkward/ccdproc_sip-wcs.fit": 0.1,
    "sn2019so_andicam/SN2019so_20190201_V.fits.gz": 0.1,
    "legacypipe_decam/testcase8/images/c4d_171113_060340_ooi_r_ls9.N6.fits": 0.01,
}


@pytest.mark.real
@pytest.mark.parametrize("name", sorted(REAL))
@pytest.mark.filterwarnings("ignore")
def test_real_headers_agree_with_astropy(name, real_data):
    if not (real_data / name).is_file():
        pytest.skip(f"{real_data / name} is absent")
    with fits.open(real_data / name) as hdus:
        header = next(hdu.header for hdu in hdus if hdu.header.get("CTYPE1"))
    cards = "\n".join(card.image for card in header.cards if is_wcs_keyword(card.keyword))
    shape = (header.get("NAXIS2", 1000), header.get("NAXIS1", 1000))
    wcs = tan_sip_from_cards(cards, shape)
    assert difference_pix(wcs, cards, shape) < REAL[name]


def test_a_tiny_crop_far_from_the_reference_pixel():
    cards = cards_of(BASE | CD | {"CRPIX1": -9000.0, "CRPIX2": 7000.0, "CTYPE1": "RA---STG", "CTYPE2": "DEC--STG"})
    wcs = tan_sip_from_cards(cards, (64, 64))
    assert sip_order(wcs) <= 3
    assert np.isfinite(pixel_to_sky(wcs, 32.0, 32.0)).all()
    assert difference_pix(wcs, cards, (64, 64)) < 0.2
