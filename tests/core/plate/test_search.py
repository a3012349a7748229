import numpy as np
import pytest

from gaiaflux.core.plate.search import (
    SolveSettings,
    StarTables,
    _brightest,
    first_match,
    image_cell,
    max_rotation_rad,
    prepare_lists,
)
from gaiaflux.core.sky.projection import linear_tan, pixel_to_sky, sky_to_pixel
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.stars import STAR_DTYPE

SHAPE = (800, 1200)
WCS = linear_tan((150.0, 20.0), (599.5, 399.5), np.diag([-0.5, 0.5]) / 3600, SHAPE)
SETTINGS = SolveSettings(30.0, 0.5, 2, 5, 0.5)


def lists(n=8, n_catalog=10, margin=None, **columns):
    rng = np.random.default_rng(1)
    stars = np.zeros(n, STAR_DTYPE)
    stars["x"], stars["y"] = rng.uniform(0, 1199, n), rng.uniform(0, 799, n)
    stars["flux"], stars["snr"], stars["fwhm"] = rng.permutation(n) * 10.0 + 10.0, 50.0, 4.0
    stars["x_err"], stars["y_err"] = 0.03, 0.04
    x, y = rng.uniform(10, 1190, n_catalog), rng.uniform(10, 790, n_catalog)
    catalog = {"x": x, "y": y, "mag": rng.permutation(n_catalog) + 10.0, "error": np.full(n_catalog, 20.0)}
    for name, values in columns.items():
        (stars if name in STAR_DTYPE.names and not name.startswith("catalog_") else catalog)[
            name.removeprefix("catalog_")
        ] = values
    ra, dec = pixel_to_sky(WCS, catalog["x"], catalog["y"])
    given = StarTables(stars, ra, dec, catalog["mag"], catalog["error"])
    return stars, catalog, prepare_lists(given, WCS, SETTINGS, margin)


def test_both_lists_are_sorted_by_brightness():
    stars, catalog, found = lists(catalog_mag=np.array([15.0, np.nan, 12.0, 13.0, 14.0, 11.0, 10.0, 16.0, 17.0, 18.0]))
    assert found.star_rows.tolist() == np.argsort(-stars["flux"]).tolist()
    np.testing.assert_array_equal(found.x, stars["x"][found.star_rows])
    np.testing.assert_allclose(found.instrumental, -2.5 * np.log10(stars["flux"][found.star_rows]))
    # Those of unknown brightness come last.
    assert found.catalog_rows.tolist() == [6, 5, 2, 3, 4, 0, 7, 8, 9, 1]
    np.testing.assert_array_equal(found.mag, catalog["mag"][found.catalog_rows])


def test_stars_without_a_place_or_light_are_left_out():
    x, flux = np.linspace(100, 900, 8), np.linspace(10, 80, 8)
    x[2], flux[4], flux[5] = np.nan, 0.0, -3.0
    assert sorted(lists(x=x, flux=flux)[2].star_rows) == [0, 1, 3, 6, 7]
    flux[0] = 0.0
    with pytest.raises(BadFrameError, match="only 4 stars in the image, 5 are needed for its WCS"):
        lists(x=x, flux=flux)


def test_an_error_that_is_not_stated_is_that_of_the_signal_to_noise_ratio():
    errors = np.array([0.03, np.nan, 0.0, 0.03, 0.03, 1e-5, 0.03, 0.03], np.float32)
    snr = np.array([50, 20, np.nan, 50, 50, 50, 50, 0.2], np.float32)
    flux = np.arange(80, 0, -10.0)
    found = lists(x_err=errors, y_err=errors, snr=snr, flux=flux)[2]
    np.testing.assert_allclose(found.variance[[0, 3]], 0.03**2, rtol=1e-5)
    assert found.variance[1] == pytest.approx((0.42 * 4.0 / 20.0) ** 2)
    assert found.variance[2] == pytest.approx((0.42 * 4.0) ** 2)
    assert found.variance[5] == 1e-6
    errors[7] = np.nan
    assert lists(x_err=errors, y_err=errors, snr=snr, flux=flux)[2].variance[7] == pytest.approx((0.42 * 4.0) ** 2)
    # One axis each, the mean of both.
    both = lists()[2]
    np.testing.assert_allclose(both.variance, 0.5 * (0.03**2 + 0.04**2), rtol=1e-5)
    assert lists(fwhm=np.nan)[2].fwhm == 4.0
    catalog_error = np.where(np.arange(10) == 3, np.nan, 20.0)
    variance = lists(catalog_error=catalog_error)[2]
    unknown = variance.catalog_rows == 3
    np.testing.assert_allclose(variance.catalog_variance[~unknown], (0.02 / 0.5) ** 2)
    np.testing.assert_allclose(variance.catalog_variance[unknown], (1.0 / 0.5) ** 2)


def test_flags_tell_good_centroids_and_real_stars():
    bits = [0, StarFlag.SATURATED, StarFlag.BAD_PIXEL, StarFlag.EDGE, StarFlag.COSMIC_RAY, 0, 0, 0]
    found = lists(flags=np.array(bits, np.uint16), flux=np.arange(80, 0, -10.0))[2]
    assert found.good.tolist() == [True, False, False, False, False, True, True, True]
    assert found.real.tolist() == [True, True, True, True, False, True, True, True]


def test_the_catalogue_is_kept_as_far_as_the_header_may_be_wrong():
    # 30 arcsec are 60 pixels; half a degree turns a corner, 721 pixels off, by 6.3 more.
    margin = 60.0 + max_rotation_rad(WCS, SETTINGS) * 721.1
    assert margin == pytest.approx(66.4, abs=0.3)
    x = np.array([-margin - 1, -margin + 1, 1200 + margin - 1, 1200 + margin + 1, 50, 60, 70, 80, 90, 100.0])
    y = np.array([400.0, 400, 400, 400, -margin - 1, -margin + 1, 800 + margin - 1, 800 + margin + 1, 400, 400])
    assert sorted(lists(catalog_x=x, catalog_y=y)[2].catalog_rows) == [1, 2, 5, 6, 8, 9]
    assert sorted(lists(catalog_x=x, catalog_y=y, margin=1000.0)[2].catalog_rows) == list(range(10))
    x[1] = 5000.0
    assert len(lists(catalog_x=x, catalog_y=y)[2].ra) == 5  # as many as are needed
    x[2] = 5000.0
    with pytest.raises(BadFrameError, match="only 4 catalogue stars where the header says the image is"):
        lists(catalog_x=x, catalog_y=y)
    with pytest.raises(BadFrameError, match=r"where the image may be \(around ra 150.0000, dec \+20.0000\)"):
        lists(catalog_x=x, catalog_y=y, margin=0.0)


def test_a_catalogue_much_deeper_than_the_image_is_cut():
    n = 2500
    found = lists(n_catalog=n, catalog_mag=np.arange(n, 0, -1.0))[2]
    assert len(found.ra) == 2000
    assert found.catalog_rows[0] == n - 1
    assert len(lists(n=600, n_catalog=n)[2].ra) == 2400


def test_near_a_pole_an_offset_turns_the_image():
    offset = np.deg2rad(30.0 / 3600)
    assert max_rotation_rad(WCS, SETTINGS) == pytest.approx(np.deg2rad(0.5) + offset / np.cos(np.deg2rad(20.0)))
    polar = linear_tan((10.0, 90.0), (599.5, 399.5), WCS.cd, SHAPE)
    assert max_rotation_rad(polar, SETTINGS) == pytest.approx(1.0 + np.deg2rad(0.5))
    assert max_rotation_rad(WCS, SolveSettings(30.0, 400.0, 2, 5, 0.5)) == np.pi


def test_cells_of_the_image():
    x, y = np.array([-0.5, 299.4, 299.6, 1199.4, 5000.0]), np.array([-9.0, 199.4, 199.6, 799.4, 400.0])
    assert image_cell(x, y, SHAPE).tolist() == [0, 0, 5, 15, 11]


def test_the_brightest_are_taken_from_everywhere_or_from_each_cell():
    # Of 160 stars the first hundred lie in one corner of the image.
    rng = np.random.default_rng(4)
    x, y = rng.uniform(0, 1199, 160), rng.uniform(0, 799, 160)
    x[:100], y[:100] = rng.uniform(0, 250, 100), rng.uniform(0, 150, 100)
    assert _brightest(x, y, SHAPE, 50, False).tolist() == list(range(50))
    assert len(_brightest(x, y, SHAPE, 500, False)) == 160
    rows = _brightest(x, y, SHAPE, 33, True)  # two a cell of sixteen
    cells = image_cell(x, y, SHAPE)
    for cell in range(16):
        assert rows[cells[rows] == cell].tolist() == np.flatnonzero(cells == cell)[:2].tolist()
    assert (np.diff(rows) > 0).all()
    assert len(_brightest(x, y, SHAPE, 3, True)) == len(np.unique(cells))


def field(n_common, shift=(0.0, 0.0), seed=2, n=120):
    """Lists of stars, of which some are the same and the others anywhere."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 1199, n), rng.uniform(0, 799, n)
    cx, cy = rng.uniform(0, 1199, n), rng.uniform(0, 799, n)
    cx[:n_common], cy[:n_common] = x[:n_common] + shift[0], y[:n_common] + shift[1]
    mixed = rng.permutation(n)
    flux = 10 ** rng.uniform(3, 5, n)
    mag = 25.0 - 2.5 * np.log10(flux)
    return lists(
        n, n, x=x, y=y, flux=flux, catalog_x=cx[mixed], catalog_y=cy[mixed], catalog_mag=mag[mixed]
    )[2]  # fmt: skip


def test_the_first_match_is_the_headers_or_an_offset_or_none():
    wcs, radius, method = first_match(field(60), WCS, SETTINGS)
    assert (wcs, radius, method) == (WCS, 6.0, "header")
    # The catalogue lies 40 and -25 pixels off the stars.
    found = field(60, (40.0, -25.0))
    wcs, radius, method = first_match(found, WCS, SETTINGS)
    assert method == "offset"
    x, y = sky_to_pixel(wcs, *pixel_to_sky(WCS, np.array([600.0, 100.0]), np.array([400.0, 700.0])))
    np.testing.assert_allclose(x - [600.0, 100.0], -40.0, atol=radius)
    np.testing.assert_allclose(y - [400.0, 700.0], 25.0, atol=radius)
    # Beyond the limit of 60 pixels, or where nothing is the same, chance brings some together and is told so.
    for other in (field(60, (110.0, 0.0)), field(0), field(0, seed=3)):
        with pytest.raises(
            BadFrameError, match=r"no offset within 30 arcsec .* at best \d+ of the \d+ brightest agree"
        ):
            first_match(other, WCS, SETTINGS)
