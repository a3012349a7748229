"""Prepared full-frame images as the report shows them."""

from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from gaiaflux.io.tess.prepared_field import StoredArray, write_prepared_field
from gaiaflux.model.flags import FrameFlag
from gaiaflux.report.ccd_images import FRAMES_OF_STRIP, read_ccd, stars_on_ccd
from gaiaflux.report.figures.ccd_images import field_figure, motion_figure, sky_figure
from gaiaflux.report.html.page import write_report
from gaiaflux.report.html.words import count

N, SHAPE, CORNER, BOX = 40, (96, 128), (900, 744), 32
BRIGHT, DARK, LOST = 31, 12, 20


def write_images(path, shape=SHAPE, n=N):
    """A sky of 100 + frame, with one that is brighter; images that move by 0.01 pixel a frame along the columns."""
    grid = {"camera": 1, "ccd": 4, "box_pix": BOX, "first_row": CORNER[0], "first_column": CORNER[1]}
    head = {
        **{"sector": 7, "camera": 1, "ccd": 4, "cadence_s": 1800.0, "corner": CORNER, "shape": shape, "grid": grid},
        **{"motion": {"mode": "affine"}, "remarks": ["3 images: <odd>"]},
    }
    frame = np.arange(n)
    sky = 100.0 + frame
    sky[BRIGHT % n] = 500.0
    mjd = 58000.0 + frame / 48.0
    mjd[n // 2 :] += 1.0
    flags, quality = np.zeros(n, np.uint32), np.zeros(n, np.int32)
    flags[DARK % n] = FrameFlag.NO_LIGHT
    flags[LOST % n] |= np.uint32(FrameFlag.NO_POINTING)
    quality[[3 % n, 5 % n]] = 32
    motion = np.tile([1.0, 0.0, 0.0, 0.0, 1.0, 0.0], (n, 1))
    motion[:, 2] = 0.01 * frame
    motion[LOST % n] = np.nan
    mesh = (shape[0] // BOX, shape[1] // BOX)
    image = np.random.default_rng(3).normal(0.0, 1.0, shape).astype(np.float32)
    image[40:44, 50] = 1e5
    arrays = {
        "frames/mjd_tdb": mjd,
        "frames/flags": flags,
        "frames/quality": quality,
        "frames/sky": sky + 1.0,
        "sky/level": np.broadcast_to(sky[:, None, None], (n, *mesh)).astype(np.float32),
        "sky/glow": np.zeros((n, 0), np.float32),
        "motion/parameters": motion,
        "motion/error": np.full((n, 2), 2e-4),
        "mean_image": image,
        "sky_pixels": np.abs(image) < 50.0,
    }
    write_prepared_field(path, head, {name: StoredArray(values, "", "") for name, values in arrays.items()}, [])
    return path


@pytest.fixture(scope="module")
def ccd(tmp_path_factory):
    return read_ccd(write_images(tmp_path_factory.mktemp("ccd") / "prepared.h5"))


def test_what_is_read(ccd):
    assert (ccd.name, ccd.corner, ccd.step) == ("s0007-1-4", (744, 900), 1)
    assert ccd.extent == (743.5, 743.5 + 128, 899.5, 899.5 + 96)
    assert np.isnan(ccd.sky[DARK])
    assert np.isnan(ccd.smoothed[DARK])
    others = np.delete(np.arange(N), DARK)
    np.testing.assert_allclose(ccd.sky[others] - ccd.smoothed[others], 1.0)
    np.testing.assert_allclose(ccd.shift[:, 1][others[others != LOST]], 0.0, atol=1e-12)
    np.testing.assert_allclose(np.delete(ccd.shift[:, 0], LOST), 0.01 * np.delete(np.arange(N), LOST))
    assert np.isnan(ccd.shift[LOST]).all()
    assert ccd.saturated.sum() == ccd.starry.sum() == 4


def test_the_strip_has_the_brightest_sky_and_no_dark_frame(ccd):
    assert len(ccd.shown) == FRAMES_OF_STRIP
    assert ccd.shown[0] == 0
    assert ccd.shown[-1] == N - 1
    assert BRIGHT in ccd.shown
    assert DARK not in ccd.shown
    for k, image in zip(ccd.shown, ccd.strip, strict=True):
        np.testing.assert_allclose(image, 500.0 if k == BRIGHT else 100.0 + k, rtol=1e-5)


def test_flags_are_counted(ccd):
    assert [(row.flag, row.count) for row in ccd.flag_rows()] == [
        ("no_light", 1),
        ("no_pointing", 1),
        ("the mission's", 2),
    ]


def test_large_images_are_thinned(tmp_path):
    ccd = read_ccd(write_images(tmp_path / "large.h5", (1024, 640), 4))
    assert ccd.step == 2
    assert ccd.mean_image.shape == ccd.starry.shape == ccd.strip.shape[1:] == (512, 320)
    assert ccd.extent[1] - ccd.extent[0] == 640


def test_stars_by_their_places():
    series = SimpleNamespace(
        stars={"ccd_places": np.array(["s0007-1-4 800.50 910.25, s0008-1-4 1.00 2.00", "s0008-1-4 3.00 4.00"], object)}
    )
    rows, column, row = stars_on_ccd(series, "s0007-1-4")
    assert (rows.tolist(), column.tolist(), row.tolist()) == ([0], [800.5], [910.25])
    assert stars_on_ccd(series, "s0008-1-4")[0].tolist() == [0, 1]
    assert stars_on_ccd(series, "s0009-1-4")[0].size == 0


def test_figures_show_what_there_is(ccd):
    series = SimpleNamespace(stars={"ccd_places": np.array(["s0007-1-4 800.50 910.25"], object)})
    left, right, *_ = field_figure(ccd, series).axes
    assert left.collections[0].get_offsets().tolist() == [[800.5, 910.25]]
    full = left.lines[0].get_xydata()
    assert full.tolist() == [[744 + 50, 900 + y] for y in range(40, 44)]
    assert right.images[0].get_array().sum() == 4
    sky = sky_figure(ccd)
    strip = [axes for axes in sky.axes if axes.images]
    assert len(strip) == FRAMES_OF_STRIP
    smoothed = next(line for axes in sky.axes for line in axes.lines if line.get_label() == "smoothed in time")
    # The line breaks at the gap of a day.
    assert np.isnan(smoothed.get_xdata()).sum() == 1
    moved = motion_figure(ccd).axes[0].lines[0].get_ydata()
    assert np.nanmax(moved) == pytest.approx(0.01 * (N - 1))


def test_images_without_anything(tmp_path):
    path = write_images(tmp_path / "none.h5", n=3)
    with h5py.File(path, "r+") as file:
        file["frames/flags"][:] = FrameFlag.NO_LIGHT
        file["motion/parameters"][:] = np.nan
        file["mean_image"][:] = np.nan
    ccd = read_ccd(path)
    assert not ccd.shown.size
    series = SimpleNamespace(stars={"ccd_places": np.array([], object)})
    said = [
        text.get_text() for figure in (sky_figure(ccd), motion_figure(ccd)) for ax in figure.axes for text in ax.texts
    ]
    assert said == ["no frame has a sky", "no frame has a known movement"]
    assert not field_figure(ccd, series).axes[0].lines


def test_a_ccd_without_a_frame_has_no_figures(tmp_path):
    arrays = {"frames/mjd_tdb": StoredArray(np.zeros(0), "d", "mid-exposure")}
    write_prepared_field(tmp_path / "none.h5", {"sector": 1, "camera": 2, "ccd": 3}, arrays, [])
    assert read_ccd(tmp_path / "none.h5") is None


def test_the_page_shows_each_ccd(make_truth, tmp_path):
    truth = make_truth(n=30, m=8, variable=())
    dataset = truth.write(tmp_path / "dataset.h5")
    with h5py.File(dataset, "r+") as file:
        file["stars/ccd_places"] = np.array(["s0007-1-4 800.50 910.25"] * 30, h5py.string_dtype())
    write_report(tmp_path / "r.html", dataset, None, None, images=[write_images(tmp_path / "p.h5")])
    page = (tmp_path / "r.html").read_text()
    assert '<a href="#images">' in page
    assert f"Sector 7, camera 1, CCD 4: {count(N, 'frame')}" in page
    assert "too few stars were found to tell where the image is" in page
    assert "3 images: &lt;odd&gt;" in page
    write_report(tmp_path / "r.html", dataset, None, None)
    assert "Full-frame images" not in (tmp_path / "r.html").read_text()
