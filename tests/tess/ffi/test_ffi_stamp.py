"""Stamp, catalogue and movement in full-frame images; the documented interface member by member."""

import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from gaiaflux.tess.base_photometry import BasePhotometry
from gaiaflux.tess.photometry import AperturePhotometry, PSFPhotometry
from gaiaflux.tess.stamp.movement import ImageMovementKernel
from gaiaflux.tess.stamp.stamps import around, default_size
from gaiaflux.tess.stamp.status import STATUS

WHERE = {"camera": 1, "ccd": 4}
MJD, JD = 56999.5, 2457000.0
STEP = 1800.0 / 86400.0


def true_places(prepared, k=None):
    """Column and row on the CCD of all stars of the catalogue in a frame, or in the mean of those of quality 0."""
    ccd, (left, first) = prepared.ccd, prepared.corner
    frames = np.flatnonzero(prepared.quality == 0) if k is None else [k]
    places = np.mean([ccd.star_places(one) for one in frames if one != prepared.empty], axis=0)
    listed = ccd.catalogued.listed
    on_ccd = places[:, listed].T + np.array([left, first])
    return dict(zip(ccd.catalogued.starid[listed].tolist(), on_ccd.tolist(), strict=True))


def test_the_default_stamp_is_odd_and_around_the_star(opened):
    assert opened.default_stamp() == (15, 15)
    first, last, left, right = opened.stamp
    assert all(type(number) is int for number in opened.stamp)
    assert (last - first, right - left) == (15, 15)
    assert (first + 7, left + 7) == (round(opened.target_pos_row), round(opened.target_pos_column))


@pytest.mark.parametrize(
    ("tmag", "size", "real"),
    [(10.0, (15, 15), (15, 15)), (7.37, (16, 16), (17, 17)), (4.21, (36, 34), (37, 35)), (np.nan, (15, 15), (15, 15))],
)
def test_sizes_by_magnitude(tmag, size, real):
    assert default_size(tmag) == size
    first, last, left, right = around(500.2, 600.7, size, (0, 2048, 44, 2092))
    assert (last - first, right - left) == real


def test_a_stamp_is_cut_at_the_edge(prepared, tmp_path):
    with BasePhotometry(1002, prepared.folder, tmp_path, **WHERE) as target:
        assert target.stamp == (943, 956, 1535, 1547)
        assert target.images_cube.shape == (13, 12, 44)
        assert target.target_pos_column_stamp == pytest.approx(4.0, abs=0.2)
        assert not target.resize_stamp(left=4, up=9)
        assert target.resize_stamp(right=1)
        assert target.stamp == (943, 956, 1535, 1548)


def test_resizing(opened):
    stamp, mean, whole = opened.stamp, opened.sumimage, opened.images_cube
    assert not opened.resize_stamp()
    assert opened.resize_stamp(down=-1, up=-2, left=-3, right=-4)
    np.testing.assert_array_equal(opened.images_cube, whole[1:-2, 3:-4])
    np.testing.assert_array_equal(opened.sumimage, mean[1:-2, 3:-4])
    assert opened.resize_stamp(width=9, left=100)  # a width wins over the sides
    assert opened.stamp == (stamp[0] + 1, stamp[1] - 2, stamp[2] + 3, stamp[3] - 3)
    assert opened.resize_stamp(height=999, width=999)
    assert opened.stamp == (900, 956, 1535, 1595)
    assert opened.stamp_resizes == opened.details["stamp_resizes"] == 3
    with pytest.raises(ValueError, match="Invalid stamp selected"):
        opened.resize_stamp(down=-60)
    assert opened.stamp == opened.details["stamp"] == (900, 956, 1535, 1595)


def test_all_that_is_kept_follows_a_new_stamp(prepared, tmp_path):
    with AperturePhotometry(1001, prepared.folder, tmp_path, cache="full", **WHERE) as target:
        names = ("images", "images_err", "backgrounds", "pixelflags")
        before = {name: np.array(list(getattr(target, name))) for name in names}
        bits, stars, psf = target.aperture, target.catalog, target.psf
        target.photometry()
        assert target.resize_stamp(down=-1, left=-2)
        for name in names:
            np.testing.assert_array_equal(np.array(list(getattr(target, name))), before[name][:, 1:, 2:])
        np.testing.assert_array_equal(target.aperture, bits[1:, 2:])
        np.testing.assert_allclose(target.catalog["row_stamp"][0], stars["row_stamp"][0] - 1)
        assert target.psf is not psf
        assert target.psf.stamp == target.stamp
        assert target.status is STATUS.UNKNOWN
        assert target.final_phot_mask is None
        assert np.isnan(target.lightcurve["flux"]).all()


def test_the_grid_of_pixels_counts_from_one(opened):
    columns, rows = opened.get_pixel_grid()
    first, last, left, right = opened.stamp
    assert columns.shape == rows.shape == (15, 15)
    assert columns.dtype == rows.dtype == np.int32
    assert columns[0].tolist() == list(range(left + 1, right + 1))
    assert rows[:, 0].tolist() == list(range(first + 1, last + 1))


def test_the_catalogue_in_the_stamp(opened, prepared):
    places, table = true_places(prepared), opened.catalog
    first, last, left, right = opened.stamp
    near = {
        star
        for star, (column, row) in places.items()
        if left - 5.4 < column < right + 4.4 and first - 5.4 < row < last + 4.4
    }
    found = set(table["starid"].tolist())
    assert near <= found
    assert len(found) < 0.6 * len(places)
    assert table.colnames[:4] == ["starid", "tmag", "ra", "dec"]
    np.testing.assert_allclose(table["column"] - left, table["column_stamp"])
    np.testing.assert_allclose(table["row"] - first, table["row_stamp"])
    inside = (np.abs(table["row_stamp"] - 7) <= 7.5) & (np.abs(table["column_stamp"] - 7) <= 7.5)
    np.testing.assert_array_equal(table.meta["in_stamp"], inside)
    magnitudes = dict(zip(prepared.ccd.catalogued.starid.tolist(), prepared.ccd.catalogued.tmag.tolist(), strict=True))
    assert all(row["tmag"] == pytest.approx(magnitudes[int(row["starid"])], abs=0.01) for row in table)


def test_places_are_those_of_the_mean_of_the_images(opened, prepared):
    """Also far from the star: the solution of the reference image alone is 0.4 pixel beside it."""
    opened.resize_stamp(width=200, height=200)
    places, table = true_places(prepared), opened.catalog
    off = np.array([(row["column"], row["row"]) for row in table])
    off -= np.array([places[int(row["starid"])] for row in table])
    assert len(table) > 40
    assert np.abs(off.mean(axis=0)).max() < 0.01
    assert np.abs(off).max() < 0.04
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        reference = WCS(fits.getheader(prepared.frames[0], 1))
    places = np.stack(reference.all_world2pix(table["ra"], table["dec"], 0), axis=1) + np.array([1535, 900])
    alone = places - [(row["column"], row["row"]) for row in table]
    assert np.abs(alone.mean(axis=0)).max() > 0.1


@pytest.mark.parametrize("k", [0, 5, 15, 30, 43])
def test_the_catalogue_at_a_time(opened, prepared, k):
    opened.resize_stamp(width=200, height=200)
    moved, places = opened.catalog_attime(prepared.ccd.btjd[k] + MJD), true_places(prepared, k)
    off = np.array([(row["column"], row["row"]) for row in moved])
    off -= np.array([places[int(row["starid"])] for row in moved])
    assert np.abs(np.median(off, axis=0)).max() < 0.02
    assert np.abs(off).max() < 0.06
    still = opened.catalog
    for name in ("column", "row"):
        np.testing.assert_allclose(moved[f"{name}_stamp"] - still[f"{name}_stamp"], moved[name] - still[name])
    assert moved.colnames == still.colnames


def test_times_in_any_count(opened):
    seen = opened.spacecraft_time[20]
    first = opened.catalog_attime(seen)
    for time in (seen + MJD, seen + JD):
        np.testing.assert_allclose(opened.catalog_attime(time)["column"], first["column"], atol=1e-5)
    with pytest.raises(ValueError, match="is not finite"):
        opened.catalog_attime(np.nan)


def test_times_outside_of_the_images(opened):
    seen = opened.spacecraft_time
    for end, sign in ((seen[0], -1), (seen[-1], 1)):
        at_end = opened.catalog_attime(end + MJD)
        beyond = opened.catalog_attime(end + sign * STEP + MJD)
        np.testing.assert_allclose(beyond["row"], at_end["row"], rtol=0, atol=1e-9)
        with pytest.raises(ValueError, match="outside of the observation"):
            opened.catalog_attime(end + 1.1 * sign * STEP + MJD)


def test_the_kernel(opened, prepared):
    kernel = opened.MovementKernel
    assert isinstance(kernel, ImageMovementKernel)
    assert (kernel.warpmode, kernel.n_params) == ("affine", 6)
    found = kernel.jitter(prepared.ccd.btjd, opened.target_pos_column, opened.target_pos_row)
    known = np.isfinite(opened.lightcurve["pos_corr"]).all(axis=1)
    assert not known[[prepared.empty, prepared.safe]].any()
    assert known.sum() == 42
    np.testing.assert_allclose(found[known], opened.lightcurve["pos_corr"][known], atol=1e-9)
    assert np.isfinite(found).all(), "between its neighbours where it is not known"
    true = prepared.ccd.motion.shift[known]
    away = found[known] - true
    assert np.abs(away - np.median(away, axis=0)).max() < 0.06
    # A turn about the axis of the camera moves the corners of the images differently.
    corners = kernel.interpolate(prepared.ccd.btjd[3], np.array([[1535.0, 900.0], [1594.0, 955.0]]))
    assert 0 < np.abs(corners[0] - corners[1]).max() < 0.1


def test_a_star_without_magnitude_has_the_least_stamp(prepared, linked, tmp_path):
    folder = linked("prepared", "prf")
    rows = [row.split(",") for row in (prepared.folder / "catalog.csv").read_text().splitlines()]
    at = rows[0].index("tmag") if "tmag" in rows[0] else rows[0].index("Tmag")
    for row in rows[1:]:
        row[at] = "" if row[0] == "1003" else row[at]
    (folder / "catalog.csv").write_text("\n".join(",".join(row) for row in rows))
    with PSFPhotometry(1003, folder, tmp_path, **WHERE) as target:
        assert np.isnan(target.target["tmag"])
        assert target.default_stamp() == (15, 15)
