"""Pixels of full-frame images and what is made from them; the documented interface member by member."""

import numpy as np
import pytest

from gaiaflux.tess.photometry import PSFPhotometry
from gaiaflux.tess.stamp.psf import PSF

N = 44
CUBES = ("images_cube", "images_err_cube", "backgrounds_cube", "pixelflags_cube")
MARS = 1580  # first column that is excluded while Mars is near
MARS_UNTIL = 58325.402 - 56999.5
TILE = 16


@pytest.fixture
def whole(opened):
    """The stamp is all of the images."""
    opened.resize_stamp(width=200, height=200)
    return opened


def usable(prepared, stamp):
    """Pixels that no hand excluded, and frames with light: shape (times, rows, columns)."""
    late = prepared.ccd.btjd > MARS_UNTIL
    good = late[:, None, None] | (np.arange(stamp[2], stamp[3]) < MARS)
    good = np.broadcast_to(good, (N, stamp[1] - stamp[0], stamp[3] - stamp[2])).copy()
    good[prepared.empty] = False
    return good


def test_cubes_have_time_last_and_cannot_be_written(opened):
    for name in CUBES:
        cube = getattr(opened, name)
        assert cube.shape == (15, 15, N)
        assert cube.dtype == (np.uint8 if name == "pixelflags_cube" else np.float32)
        with pytest.raises(ValueError, match="read-only"):
            cube[0, 0, 0] = 1


def test_images_and_backgrounds_are_the_calibrated_pixels(whole, prepared):
    together = np.moveaxis(whole.images_cube + whole.backgrounds_cube, -1, 0)
    known, good = prepared.calibrated(whole.stamp), usable(prepared, whole.stamp)
    assert whole.stamp == (900, 956, 1535, 1595)
    np.testing.assert_allclose(together[good], known[good], rtol=3e-7, atol=1e-4)
    assert np.isnan(together[~good]).all()
    assert good.mean() < 0.9


def quiet_frames(prepared):
    return [k for k in range(N) if k not in (prepared.empty, prepared.safe, prepared.jump)]


def dark_pixels(prepared, stamp):
    """Pixels without star and Mars, shape (rows, columns)."""
    return (prepared.ccd.star_light(3) < 0.5) & (np.arange(stamp[2], stamp[3]) < MARS)


def test_backgrounds_are_the_sky(whole, prepared):
    quiet = quiet_frames(prepared)
    sky = np.stack([prepared.ccd.frame(k).sky for k in quiet])
    dark = dark_pixels(prepared, whole.stamp)
    off = np.median((np.moveaxis(whole.backgrounds_cube, -1, 0)[quiet] - sky)[:, dark], axis=1)
    noise = np.median(prepared.calibrated(whole.stamp, 2)[quiet])
    assert np.ptp(np.median(sky, axis=(1, 2))) > 100 * noise
    # Stars that are too faint for the catalogue are sky in all frames alike.
    assert np.abs(off).max() < noise
    assert np.std(off) < 0.3 * noise


def test_errors_hold_those_of_the_background(whole, prepared):
    stated = np.moveaxis(whole.images_err_cube, -1, 0)
    own = prepared.calibrated(whole.stamp, 2)
    good = usable(prepared, whole.stamp)
    extra = np.sqrt(np.maximum(stated[good].astype(float) ** 2 - own[good].astype(float) ** 2, 0.0))
    assert (stated[good] >= own[good] * (1 - 1e-3)).all()
    assert 0 < np.median(extra) < 0.5 * np.median(own[good])
    assert np.isnan(stated[prepared.empty]).all()


def test_errors_are_what_dark_pixels_scatter_by(whole, prepared):
    """Pulls against the true stars; what a pixel is off by in all frames alike is its response to the sky."""
    quiet = quiet_frames(prepared)
    stars = np.stack([prepared.ccd.star_light(k) for k in quiet])
    off, error = (np.moveaxis(cube, -1, 0)[quiet] for cube in (whole.images_cube, whole.images_err_cube))
    pull = ((off - stars) / error)[:, dark_pixels(prepared, whole.stamp)]
    pull -= np.median(pull, axis=0)
    assert pull.size > 30_000
    assert 1.4826 * np.median(np.abs(pull)) == pytest.approx(1.0, abs=0.05)


def test_images_one_after_the_other(opened):
    for name in ("images", "images_err", "backgrounds", "pixelflags"):
        frames, cube = getattr(opened, name), getattr(opened, f"{name}_cube")
        assert len(frames) == N
        first = next(frames)
        assert len(frames) == N - 1
        np.testing.assert_array_equal(first, cube[..., 0])
        assert not first.flags.writeable
        assert len(list(frames)) == N - 1
        assert list(frames) == []
        assert len(list(getattr(opened, name))) == N, "each is a new one"


def test_flags_of_the_pixels(whole, prepared):
    flags = np.moveaxis(whole.pixelflags_cube, -1, 0)
    stars = prepared.ccd.star_light(3)
    assert ((flags & 1) == (flags[0] & 1)).all()
    assert (flags[0][stars > 20] & 1).all(), "no sky is where a star is"
    assert (flags[0][stars < 0.02] & 1).mean() < 0.1
    excluded = ~usable(prepared, whole.stamp)
    excluded[prepared.empty] = prepared.ccd.btjd[prepared.empty] < MARS_UNTIL
    excluded[prepared.empty, :, : MARS - prepared.corner[0]] = False
    np.testing.assert_array_equal((flags & 2) > 0, excluded)
    jumps = (flags & 4) > 0
    rows, columns = slice(TILE, 2 * TILE), slice(2 * TILE, 3 * TILE)
    assert jumps[prepared.jump, rows, columns].all()
    jumps[prepared.jump, rows, columns] = False
    jumps[prepared.safe] = False  # where stars are not where they belong
    assert not jumps.any()


def test_flags_of_a_part_are_a_part_of_the_flags(opened):
    small, stamp = opened.pixelflags_cube, opened.stamp
    opened.resize_stamp(width=200, height=200)
    rows, columns = slice(stamp[0] - 900, stamp[1] - 900), slice(stamp[2] - 1535, stamp[3] - 1535)
    np.testing.assert_array_equal(opened.pixelflags_cube[rows, columns], small)


def test_bits_of_the_pixels(whole, prepared):
    bits = whole.aperture
    assert bits.dtype == np.int32
    assert set(np.unique(bits & ~(1 | 4))) == {128, 256}
    np.testing.assert_array_equal((bits & 256) > 0, np.broadcast_to(np.arange(1535, 1595) >= 1580, (56, 60)))
    np.testing.assert_array_equal((bits & 1) > 0, np.isfinite(whole.sumimage))
    np.testing.assert_array_equal((bits & 4) > 0, (whole.pixelflags_cube[..., 0] & 1) == 0)
    assert not (bits & (2 | 8)).any()
    bits[:] = 0
    assert (whole.aperture & 1).any()


def test_the_mean_is_of_quality_zero(whole, prepared):
    good = (prepared.quality == 0) & (np.arange(N) != prepared.empty)
    assert prepared.quality[prepared.odd] == 1024
    assert set(prepared.quality) >= {0, 32, 1024}
    images = np.moveaxis(whole.images_cube, -1, 0)[good].astype(float)
    seen = np.isfinite(images)
    expected = np.where(seen, images, 0.0).sum(axis=0) / seen.sum(axis=0)
    assert whole.sumimage.dtype == np.float64
    np.testing.assert_allclose(whole.sumimage, expected, rtol=1e-5, atol=2e-4)
    others = np.nanmean(np.moveaxis(whole.images_cube, -1, 0)[good | (np.arange(N) == prepared.odd)], axis=0)
    assert np.nanmax(np.abs(others - expected)) > 0.1, "it could be told from one with the odd frame"
    whole.sumimage[:] = 0
    np.testing.assert_allclose(whole.sumimage, expected, rtol=1e-5, atol=2e-4)


def test_the_mean_shows_the_stars(opened, prepared):
    quiet = [k for k in np.flatnonzero(prepared.quality == 0) if k != prepared.empty]
    true = np.mean([prepared.ccd.star_light(k) for k in quiet], axis=0)
    first, last, left, right = opened.stamp
    true = true[first - 900 : last - 900, left - 1535 : right - 1535]
    assert opened.sumimage.sum() == pytest.approx(true.sum(), rel=0.02)
    assert np.abs(opened.sumimage - true)[true > 100].max() < 0.01 * true.max()


def test_the_response_function(opened):
    psf = opened.psf
    assert isinstance(psf, PSF)
    assert (psf.sector, psf.camera, psf.ccd, psf.stamp) == (1, 1, 4, opened.stamp)
    row, column = opened.target_pos_row_stamp, opened.target_pos_column_stamp
    model = psf.integrate_to_image([(row, column, 1.0)], cutoff_radius=None)
    near = (slice(6, 9), slice(6, 9))
    flux = (opened.sumimage[near] * model[near]).sum() / (model[near] ** 2).sum()
    assert np.abs(opened.sumimage[near] - flux * model[near]).max() < 0.02 * flux


def test_without_response_functions_there_is_no_psf(linked, tmp_path):
    with PSFPhotometry(1001, linked("prepared", "catalog.csv"), tmp_path, camera=1, ccd=4) as target:
        with pytest.raises(FileNotFoundError, match="no pixel response function of camera 1, CCD 4"):
            target.psf  # noqa: B018
        assert any("an effective one is measured" in text for text in target.details["errors"])
        target.photometry()
        assert np.isfinite(target.lightcurve["flux"]).sum() > 30


def test_settings_are_those_in_force(opened):
    settings = opened.settings
    assert (settings["photometry"]["method"], settings["photometry"]["zero_point"]) == ("psf", "20.44")
    settings["photometry"]["method"] = "other"
    assert opened.settings["photometry"]["method"] == "psf"
