"""Stamp, stars and movement; the documented interface member by member."""

import numpy as np
import pytest

from gaiaflux.io.tess.catalog import read_tess_catalog
from gaiaflux.io.tess.target_pixels import read_target_pixels
from gaiaflux.sim.tess.stars import StampStar
from gaiaflux.tess.base_photometry import BasePhotometry
from gaiaflux.tess.photometry import AperturePhotometry, PSFPhotometry
from gaiaflux.tess.stamp.movement import ImageMovementKernel
from gaiaflux.tess.stamp.stamp_view import StampView
from gaiaflux.tess.stamp.status import STATUS
from gaiaflux.tess.stamp.target_pixels import TargetPixels

STAMP = (700, 711, 1200, 1211)
CUBES = ("images_cube", "images_err_cube", "backgrounds_cube")
MJD, JD = 56999.5, 2457000.0


def test_the_catalogue(opened):
    stars = opened.catalog
    names = ["starid", "tmag", "ra", "dec", "row", "column", "row_stamp", "column_stamp"]
    assert stars.colnames == names
    assert stars["starid"].dtype == np.int64
    assert stars["column"].dtype == np.float64
    # A star in the 5 pixels around the stamp is in it, and is told apart.
    assert list(stars["starid"]) == [1001, 1002, 1003]
    assert list(stars.meta["in_stamp"]) == [True, True, False]
    np.testing.assert_allclose(stars["column_stamp"], [5.2, 8.1, -3.0], atol=1e-4)
    np.testing.assert_allclose(stars["column"] - stars["column_stamp"], 1200, atol=1e-9)
    np.testing.assert_allclose(stars["row"] - stars["row_stamp"], 700, atol=1e-9)
    assert opened.catalog[("starid", "tmag", "row", "column")].colnames == ["starid", "tmag", "row", "column"]
    stars["starid"][:] = 0
    assert opened.catalog["starid"][0] == 1001
    _, rows = opened.get_pixel_grid()
    assert rows[0, 0] == stars["row"][0] - stars["row_stamp"][0] + 1  # the grid counts from 1, the catalogue from 0


def test_the_catalogue_follows_the_stamp(opened):
    assert opened.resize_stamp(left=-3, down=-2)
    stars = opened.catalog
    np.testing.assert_allclose(stars["column_stamp"], [2.2, 5.1], atol=1e-4)
    np.testing.assert_allclose(stars["row_stamp"], [2.9, 4.8], atol=1e-4)
    assert opened.target_pos_row_stamp == pytest.approx(2.9, abs=1e-4)


@pytest.mark.parametrize("centre", [(0.0, 10.0), (359.999, -60.0), (120.0, 89.9), (10.0, -89.95)])
def test_stars_around_right_ascension_zero_and_at_the_poles(tmp_path, make_field, centre):
    field = make_field(tmp_path / "in", prf=False, centre=centre, n_times=3, first_column=1062, first_row=1018)
    with BasePhotometry(1001, field.folder, tmp_path, datasource="tpf") as target:
        stars = target.catalog
        assert list(stars["starid"]) == [1001, 1002, 1003]
        np.testing.assert_allclose(stars["column_stamp"], [5.2, 8.1, -3.0], atol=2e-3)
        assert ((stars["ra"] >= 0) & (stars["ra"] < 360)).all()


def test_a_star_on_the_other_side_of_the_sky_is_not_in_it(field, tmp_path):
    field.catalog("\n".join([*field.rows(), "77,243.4,69.2,0,0,2000.0,9.0,"]))
    assert 77 not in PSFPhotometry(1001, field.folder, tmp_path, datasource="tpf").catalog["starid"]


def test_stars_move_once(tmp_path, make_field):
    fast = StampStar(1001, 5.0, 5.0, 10.0, pm_mas=(3000.0, -2000.0))
    field = make_field(tmp_path / "in", (fast,), n_times=3, prf=False)
    target = BasePhotometry(1001, field.folder, tmp_path, datasource="tpf")
    assert target.target_pos_column_stamp == pytest.approx(5.0, abs=2e-3)
    assert target.target_pos_row_stamp == pytest.approx(5.0, abs=2e-3)
    years = 18.56
    assert (target.target["decl"] - target.target["decl_J2000"]) * 3.6e6 == pytest.approx(-2000 * years, rel=0.01)
    assert target.catalog["dec"][0] == target.target["decl"]


def test_a_stamp_without_stars_has_a_typed_table(opened):
    stars = opened.catalog[:0]
    opened.resize_stamp(right=-10, up=-10)  # one pixel, but the buffer of 5 still holds the target
    assert opened.catalog.dtype == stars.dtype
    opened.all_stars = opened.all_stars[np.zeros(0, int)]
    opened.clear_cache()
    assert len(opened.catalog) == 0
    assert opened.catalog.dtype == stars.dtype


def test_the_catalogue_at_a_time(opened, quiet):
    columns = quiet.columns()
    seen = columns["TIME"] - columns["TIMECORR"].astype(float)
    for k in (0, 10, -1):
        moved, still = opened.catalog_attime(seen[k] + MJD), opened.catalog
        for name, axis in (("column", 1), ("row", 2)):
            shift = columns[f"POS_CORR{axis}"][k]
            np.testing.assert_allclose(moved[name] - still[name], shift, atol=1e-6)
            np.testing.assert_allclose(moved[f"{name}_stamp"] - still[f"{name}_stamp"], shift, atol=1e-6)
        assert list(moved["starid"]) == list(still["starid"])
        assert moved.colnames == still.colnames


def test_the_three_ways_to_count_days(opened):
    seen = opened.spacecraft_time[20]
    first = opened.catalog_attime(seen)
    for time in (seen + MJD, seen + JD):
        np.testing.assert_allclose(opened.catalog_attime(time)["column"], first["column"], atol=1e-5)


@pytest.mark.parametrize("time", [np.nan, np.inf, -np.inf])
def test_no_time_is_no_time(opened, time):
    with pytest.raises(ValueError, match="is not finite"):
        opened.catalog_attime(time)


def test_the_edges_hold_for_a_cadence(opened):
    seen, step = opened.spacecraft_time, 120.0 / 86400
    for end, sign in ((seen[0], -1), (seen[-1], 1)):
        at_end = opened.catalog_attime(end + MJD)
        beyond = opened.catalog_attime(end + sign * step + MJD)
        np.testing.assert_allclose(beyond["row"], at_end["row"], rtol=0, atol=1e-9)
        with pytest.raises(ValueError, match="outside of the observation"):
            opened.catalog_attime(end + 1.1 * sign * step + MJD)


def test_gaps_of_the_pointing_are_bridged_and_held(field, tmp_path):
    def hide(hdus):
        hdus["PIXELS"].data["POS_CORR1"][:5] = np.nan
        hdus["PIXELS"].data["POS_CORR2"][20:23] = np.nan

    field.edit(hide)
    target = PSFPhotometry(1001, field.folder, tmp_path, datasource="tpf")
    known, seen = field.columns(), target.spacecraft_time
    offset = target.catalog_attime(seen[0])["column"][0] - target.catalog["column"][0]
    assert offset == pytest.approx(known["POS_CORR1"][5], abs=1e-6)
    offset = target.catalog_attime(seen[21])["row"][0] - target.catalog["row"][0]
    assert offset == pytest.approx((known["POS_CORR2"][19] + known["POS_CORR2"][23]) / 2, abs=1e-5)


def test_without_pointing_stars_stay_and_the_table_is_a_copy(field, tmp_path):
    field.edit(lambda hdus: hdus["PIXELS"].data["POS_CORR1"].fill(np.nan))
    target = PSFPhotometry(1001, field.folder, tmp_path, datasource="tpf")
    assert target.MovementKernel.warpmode == "unchanged"
    moved = target.catalog_attime(target.spacecraft_time[3])
    np.testing.assert_array_equal(moved["column"], target.catalog["column"])
    moved["column"] += 1
    assert moved["column"][0] != target.catalog["column"][0]


def test_the_kernel(opened):
    kernel = opened.MovementKernel
    assert isinstance(kernel, ImageMovementKernel)
    assert (kernel.warpmode, kernel.n_params) == ("translation", 2)
    found = kernel.jitter(opened.spacecraft_time, 1205.0, 705.0)
    known = np.isfinite(opened.lightcurve["pos_corr"]).all(axis=1)
    np.testing.assert_allclose(found[known], opened.lightcurve["pos_corr"][known], atol=1e-6)
    assert np.isfinite(found).all()


def test_the_stamp_of_a_file_is_all_of_it(opened):
    assert opened.stamp == STAMP
    assert all(type(number) is int for number in opened.stamp)
    assert opened.default_stamp() == (15, 15)


def test_a_target_without_magnitude_has_the_least_stamp(field, tmp_path):
    field.catalog("starid,ra,dec\n" + "\n".join(",".join(row.split(",")[:3]) for row in field.rows()[1:]))
    target = PSFPhotometry(1001, field.folder, tmp_path, datasource="tpf")
    assert np.isnan(target.target["tmag"])
    assert target.default_stamp() == (15, 15)


def test_resizing(opened):
    assert not opened.resize_stamp()
    assert not opened.resize_stamp(up=5, right=3)  # there are no more pixels
    assert opened.stamp_resizes == 0
    assert opened.resize_stamp(down=-1, up=-2, left=-3, right=-4)
    assert opened.stamp == (701, 709, 1203, 1207)
    assert opened.resize_stamp(width=5, left=100)  # a width wins over the sides
    assert opened.stamp == (701, 709, 1203, 1208)
    assert opened.resize_stamp(height=np.int64(4), up=3)
    assert opened.stamp == (703, 708, 1203, 1208)
    assert all(type(number) is int for number in opened.stamp)
    assert opened.stamp_resizes == opened.details["stamp_resizes"] == 3
    assert opened.details["stamp"] == opened.stamp
    assert opened.resize_stamp(width=99, height=99)
    assert opened.stamp == STAMP


@pytest.mark.parametrize("sides", [{"down": -11}, {"left": -6, "right": -6}, {"width": -5}, {"height": -3}])
def test_a_stamp_of_nothing_is_refused_and_the_old_one_stays(opened, sides):
    before = opened.sumimage
    with pytest.raises(ValueError, match="Invalid stamp selected"):
        opened.resize_stamp(**sides)
    assert opened.stamp == STAMP
    assert opened.stamp_resizes == 0
    np.testing.assert_array_equal(opened.sumimage, before)


def test_all_that_is_kept_follows_a_new_stamp(quiet, tmp_path):
    target = AperturePhotometry(1001, quiet.folder, tmp_path, datasource="tpf", cache="full")
    names = ("images", "images_err", "backgrounds", "pixelflags")
    before = {name: np.array(list(getattr(target, name))) for name in names}
    whole, stars, psf = target.sumimage, target.catalog, target.psf
    bits = target.aperture
    target.photometry()
    assert target.resize_stamp(down=-1, left=-2)
    for name in names:
        np.testing.assert_array_equal(np.array(list(getattr(target, name))), before[name][:, 1:, 2:])
    for name in CUBES:
        assert getattr(target, name).shape == (10, 9, 39)
    np.testing.assert_array_equal(target.sumimage, whole[1:, 2:])
    np.testing.assert_array_equal(target.aperture, bits[1:, 2:])
    np.testing.assert_allclose(target.catalog["row_stamp"], stars["row_stamp"] - 1)
    assert target.psf is not psf
    assert target.psf.stamp == target.stamp
    # What was measured is void.
    assert target.status is STATUS.UNKNOWN
    assert target.final_phot_mask is None
    assert target.final_position_mask is None
    assert np.isnan(target.lightcurve["flux"]).all()
    assert "mean_flux" not in target.details
    assert target.photometry() in (STATUS.OK, STATUS.WARNING)
    assert target.final_phot_mask.shape == (10, 9)


def test_the_grid_of_pixels_counts_from_one(opened):
    columns, rows = opened.get_pixel_grid()
    assert columns.shape == rows.shape == (11, 11)
    assert columns.dtype == rows.dtype == np.int32
    assert columns[0].tolist() == list(range(1201, 1212))
    assert rows[:, 0].tolist() == list(range(701, 712))


class Part(TargetPixels):
    """Pixels of which a target takes a part, as of full frames."""

    whole = False


def test_a_stamp_of_the_default_size_out_of_larger_images(tmp_path, make_field):
    stars = (StampStar(1001, 12.4, 4.6, 10.5), StampStar(1002, 20.0, 24.0, 12.0))
    field = make_field(tmp_path / "in", stars, shape=(25, 25), n_times=3, prf=False)
    catalog = read_tess_catalog(field.folder / "catalog.csv")
    view = StampView(Part(read_target_pixels(field.pixels)), catalog, 1001, None)
    # 15 around row 705 and column 1212; there are no rows below 700.
    assert view.default_stamp() == (15, 15)
    assert view.stamp == (700, 713, 1205, 1220)
    assert view.images_cube.shape == (13, 15, 3)
    assert view.sumimage[5, 7] == np.nanmax(view.sumimage)
    assert list(view.catalog["starid"]) == [1001]
    assert view.resize_stamp(up=2, width=31)
    assert view.stamp == (700, 715, 1200, 1225)
    with pytest.raises(FileNotFoundError, match="no pixel response function"):
        view.psf  # noqa: B018
