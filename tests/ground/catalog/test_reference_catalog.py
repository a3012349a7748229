"""The reference image as the catalogue: its plane, its stars, and frames that are brought to it."""

import numpy as np
import pytest

from gaiaflux.core.sky.projection import linear_tan, pixel_scale_arcsec, pixel_to_sky, sky_to_pixel
from gaiaflux.ground.catalog.reference_catalog import (
    SKY_NOMINAL,
    SKY_OF_HEADER,
    catalog_of_stars,
    nominal_plane,
    plane_of_reference,
    refine_by_reference,
)
from gaiaflux.io.image.wcs_cards import cards_from_tan_sip
from gaiaflux.io.plate_solution import plate_record
from gaiaflux.model.errors import BadFrameError, InputError
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.settings.refine_wcs import RefineWcsSettings
from gaiaflux.model.stars import STAR_DTYPE
from gaiaflux.workflow.settings import complete_section

FACTS = {
    "frame_id": "r1", "ra_deg": 273.87, "dec_deg": -25.285, "pixel_scale_arcsec": 0.31, "nx": 512, "ny": 400,
    "wcs_cards": "", "mjd_utc": 56507.8,
}  # fmt: skip
SETTINGS = complete_section(RefineWcsSettings, search_radius_arcsec=20.0)


def star_list(x, y, flux):
    stars = np.zeros(len(x), STAR_DTYPE)
    stars["x"], stars["y"], stars["flux"], stars["fwhm"] = x, y, flux, 4.0
    stars["x_err"] = stars["y_err"] = 0.05
    stars["snr"] = flux / 50.0
    return stars


def frame(seed, dx, dy):
    """Reference list, and that of a frame which lies (dx, dy) pixels beside it, with spurious stars in both."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-300, 812, 1500), rng.uniform(-300, 700, 1500)
    flux = 10 ** rng.uniform(3, 5.5, 1500)
    lists = []
    for shift in ((0.0, 0.0), (dx, dy)):
        own_x, own_y = x - shift[0] + rng.normal(0, 0.05, 1500), y - shift[1] + rng.normal(0, 0.05, 1500)
        inside = (own_x > 0) & (own_x < 511) & (own_y > 0) & (own_y < 399)
        false_x, false_y = rng.uniform(0, 511, 30), rng.uniform(0, 399, 30)
        false_flux = 10 ** rng.uniform(3, 4, 30)
        lists.append(
            star_list(
                np.append(own_x[inside], false_x),
                np.append(own_y[inside], false_y),
                np.append(flux[inside], false_flux),
            )
        )
    return lists


def test_nominal_plane_lies_at_the_pointing():
    wcs = nominal_plane(FACTS)
    ra, dec = pixel_to_sky(wcs, 255.5, 199.5)
    assert (ra, dec) == pytest.approx((273.87, -25.285), abs=1e-12)
    assert pixel_scale_arcsec(wcs) == pytest.approx(0.31)
    east, _ = pixel_to_sky(wcs, 245.5, 199.5)
    _, north = pixel_to_sky(wcs, 255.5, 209.5)
    assert east > ra
    assert north > dec


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        (["pixel_scale_arcsec"], "set pixel_scale_arcsec of the series"),
        (["ra_deg"], "set centre_deg of the series"),
        (["dec_deg", "pixel_scale_arcsec"], "set centre_deg and pixel_scale_arcsec of the series"),
    ],
)
def test_what_a_nominal_plane_lacks_is_said(missing, named):
    with pytest.raises(InputError, match=f"reference image r1 has neither a WCS nor .*: {named}$"):
        plane_of_reference(FACTS | dict.fromkeys(missing, float("nan")))


def test_a_wcs_in_the_header_is_taken():
    turned = linear_tan((10.0, 20.0), (100.0, 100.0), np.array([[0.0, 1e-4], [1e-4, 0.0]]), (400, 512))
    wcs, origin = plane_of_reference(FACTS | {"wcs_cards": cards_from_tan_sip(turned)})
    assert origin == SKY_OF_HEADER
    np.testing.assert_allclose(wcs.cd, turned.cd)
    assert plane_of_reference(FACTS | {"wcs_cards": "CTYPE1  = 'LINEAR'"})[1] == SKY_NOMINAL


def test_catalogue_is_what_the_image_shows():
    stars = star_list([10.0, 200.0, 300.0, 50.0], [20.0, 30.0, 300.0, 60.0], np.array([1e3, 1e5, 1e4, 1e6]))
    stars["flags"] = [0, StarFlag.SATURATED, 0, StarFlag.COSMIC_RAY]
    wcs = nominal_plane(FACTS)
    catalog = catalog_of_stars(stars, wcs, 56507.8, 100.0)
    assert catalog.source_id.tolist() == [-1, -1, -1]
    np.testing.assert_allclose(catalog.mag, 25.0 - 2.5 * np.log10([1e3, 1e2, 1e1]), rtol=1e-6)
    x, y = sky_to_pixel(wcs, catalog.ra_deg, catalog.dec_deg)
    np.testing.assert_allclose(x, [200.0, 300.0, 10.0], atol=1e-6)
    np.testing.assert_allclose(y, [30.0, 300.0, 20.0], atol=1e-6)
    np.testing.assert_allclose(catalog.pos_err, 0.05 * 310.0, rtol=1e-6)
    assert (catalog.pmra == 0).all()


@pytest.mark.parametrize(("dx", "dy"), [(1.5, -1.0), (-175.0, 60.0), (120.0, 130.0)])
def test_a_frame_without_wcs_is_found_beside_the_reference(dx, dy):
    reference, stars = frame(3, dx, dy)
    wcs, origin = plane_of_reference(FACTS)
    catalog = catalog_of_stars(reference, wcs, 56507.8, 100.0)
    record = {"wcs": plate_record(wcs), "sky_coordinates": origin}
    # A WCS in the header of a single frame does not belong to the nominal plane.
    wrong = cards_from_tan_sip(linear_tan((10.0, 20.0), (0.0, 0.0), wcs.cd, (400, 512)))
    for cards in ("", wrong):
        plate = refine_by_reference(FACTS | {"wcs_cards": cards}, stars, catalog, SETTINGS, record)
        x, y = sky_to_pixel(
            plate.wcs, *pixel_to_sky(wcs, np.array([100.0, 255.5, 400.0]), np.array([100.0, 200.0, 300.0]))
        )
        np.testing.assert_allclose(x, np.array([100.0, 255.5, 400.0]) - dx, atol=0.1)
        np.testing.assert_allclose(y, np.array([100.0, 200.0, 300.0]) - dy, atol=0.1)
        assert plate.facts["wcs_method"] == ("reference" if abs(dx) < 5 else "offset")
        assert len(plate.matches) > 100


def test_another_field_is_refused():
    reference, _ = frame(3, 0.0, 0.0)
    _, other = frame(4, 0.0, 0.0)
    wcs, origin = plane_of_reference(FACTS)
    record = {"wcs": plate_record(wcs), "sky_coordinates": origin}
    with pytest.raises(BadFrameError):
        refine_by_reference(FACTS, other, catalog_of_stars(reference, wcs, 56507.8, 100.0), SETTINGS, record)
