import numpy as np
import pytest

from gaiaflux.tess.images import tiles as module
from gaiaflux.tess.stamp.quality import DEFAULT_BAD


def test_the_mean_image_is_the_light_of_the_stars(small):
    good = (small.array("frames/flags") == 0) & ((small.array("frames/quality") & DEFAULT_BAD) == 0)
    true = np.mean([small.truth.star_light(k) for k in np.flatnonzero(good)], axis=0)
    rest = small.array("mean_image") - true
    assert np.sqrt(np.median(rest**2)) < 1.5
    assert np.abs(rest.sum()) < 0.01 * true.sum() + 1.0 * rest.size


def test_the_block_that_is_read_at_once_changes_nothing(small, copy, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK_BYTES", 1)
    copy.prepare()
    for name in ("mean_image", "response/terms", "sky_excess", "response/origin"):
        np.testing.assert_array_equal(copy.array(name), small.array(name))


def test_batches_change_nothing(small, copy):
    copy.prepare(parts=5)
    with copy.open() as one, small.open() as other:
        for name in ("mean_image", "response/terms", "sky_excess", "motion/parameters", "sky/level", "frames/flags"):
            np.testing.assert_array_equal(one.array(name), other.array(name))
        part = slice(10, 40), slice(13, 35)
        np.testing.assert_array_equal(one.pixels("images", *part), other.pixels("images", *part))


def test_a_tile_whose_light_jumps_is_flagged_in_that_frame(copy, ccd_files):
    def flash(hdus):
        hdus[1].data[16:32, 44 + 32 : 44 + 48] += 400.0

    ccd_files.edit(copy.paths[5], flash)
    copy.prepare()
    excess = copy.array("sky_excess")
    assert excess.shape == (24, 4, 4)
    assert excess[5].any()
    assert not np.delete(excess, 5, axis=0).any()


def test_pixels_without_any_number_have_no_mean(copy, ccd_files):
    def hole(hdus):
        hdus[1].data[3:6, 44 + 50 : 44 + 60] = np.nan

    for path in copy.paths:
        ccd_files.edit(path, hole)
    copy.prepare()
    mean = copy.array("mean_image")
    assert np.isnan(mean[3:6, 50:60]).all()
    assert np.isnan(mean).sum() == 30
    assert np.isfinite(copy.array("response/terms")).all()


@pytest.mark.parametrize("n", [0, 1])
def test_variance_of_so_few_frames_is_not_known(n):
    residual = np.zeros((3, 4, 5), np.float32)
    good = np.arange(3) < n
    np.testing.assert_array_equal(module._variance(residual, good), 1.0)
