"""Figures of PSF photometry: the function itself, the methods side by side, and images without their stars."""

from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.core.psf.model import moffat_psf
from gaiaflux.io.batch_file import BatchWriter
from gaiaflux.io.dataset import DatasetReader
from gaiaflux.io.psf_model import psf_arrays
from gaiaflux.model.frame import Frame, FrameInfo
from gaiaflux.model.method import Look
from gaiaflux.model.methods import PSF
from gaiaflux.report.figures.conditions import condition_panels
from gaiaflux.report.figures.methods import comparison_figure, scatter_ratio
from gaiaflux.report.figures.psf import find_psf, psf_figure, psf_montage
from gaiaflux.report.figures.residuals import crowded_part, residual_figure, save_residual_picture
from gaiaflux.report.figures.style import drawing
from gaiaflux.report.series import read_series


def test_the_psf_of_a_frame_is_found_where_it_was_measured(tmp_path):
    psf = moffat_psf((80, 100), 4.0)
    for name, frames in (("1", ["a"]), ("2", ["b", "c"])):
        with BatchWriter(tmp_path / name, kind="psf") as out:
            for frame in frames:
                bad = frame == "c"
                out.add(frame, {"status": "too few stars" if bad else "ok"}, {} if bad else psf_arrays(psf))
    paths = [tmp_path / "1", tmp_path / "2"]
    assert find_psf(paths, "b").beta == psf.beta
    assert find_psf(paths, "c") is None
    assert find_psf(paths, "d") is None
    assert find_psf([], "a") is None


def test_the_montage_shows_the_places_as_they_lie():
    psf = moffat_psf((80, 100), 4.0)
    montage = psf_montage(psf, 8)
    assert montage.shape == (3, 3, 17, 17)
    np.testing.assert_allclose(montage, np.broadcast_to(montage[1, 1], montage.shape))
    assert np.unravel_index(montage[1, 1].argmax(), (17, 17)) == (8, 8)
    with drawing():
        figure = psf_figure(psf)
    assert [axes.get_title(loc="left") for axes in figure.axes[:3]] == [
        *("At 3 x 3 places", "Minus that of the middle", "Beside the analytic core")
    ]


@pytest.fixture
def two_methods(make_truth, tmp_path):
    truth = make_truth()
    return truth.write(tmp_path / "dataset.h5", psf=0.5)


def test_the_methods_side_by_side(two_methods):
    with DatasetReader(two_methods) as source, drawing():
        series = read_series(source)
        methods = {method.name: method for method in series.methods}
        mag, ratio = scatter_ratio(methods["psf"], methods["aperture"])
        assert len(mag) == len(ratio) == 120
        # Variable stars scatter by both alike.
        assert np.median(ratio) == pytest.approx(0.5, abs=0.02)
        rows = np.isin(mag, series.stars["phot_g_mean_mag"][[17, 40]])
        np.testing.assert_allclose(ratio[rows], 1.0, atol=0.1)
        figure = comparison_figure(series)
        labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        assert labels[::2] == ["aperture: median scatter", "psf: median scatter"]
        panels = {label: values for label, values, _ in condition_panels(series)}
        np.testing.assert_array_equal(panels["PSF, FWHM (pixel)"], np.full(40, 4.5))


def test_more_than_two_methods_side_by_side(two_methods):
    """Each has its own colour, and its ratio to the first."""
    with DatasetReader(two_methods) as source, drawing():
        series = read_series(source)
        look = Look(colour="#009E73", companion="#CC79A7", marker="^")
        third = replace(series.methods[1], declared=replace(PSF, name="third", label="third", look=look))
        figure = comparison_figure(replace(series, methods=(*series.methods, third)))
    left, right = figure.axes
    drawn = {line.get_label(): line.get_color() for line in left.lines}
    methods = (*series.methods, third)
    assert {drawn[f"{method.name}: median scatter"] for method in methods} == {"#E69F00", "#0072B2", "#009E73"}
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["PSF", "third"]
    assert {line.get_color() for line in right.lines if line.get_label() in ("PSF", "third")} == {"#0072B2", "#009E73"}
    assert right.get_ylabel() == "scatter by each / by apertures"


def frame_of(image, flags):
    info = FrameInfo("f", "", image.shape, "electron", 60.0, 60000.0, "")
    return Frame(info, image, None, flags)


def test_the_crowded_part_is_where_the_stars_are():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 600, 60), rng.uniform(0, 400, 60)
    x, y = np.append(x, rng.uniform(420, 500, 40)), np.append(y, rng.uniform(200, 280, 40))
    x[0] = np.nan
    x0, y0 = crowded_part((400, 600), x, y, np.ones(100), 128)
    assert x0 <= 420
    assert x0 + 128 >= 500
    assert y0 <= 200
    assert y0 + 128 >= 280
    assert crowded_part((100, 90), x, y, np.zeros(100), 90) == (0, 0)


def test_a_picture_of_what_is_left(tmp_path):
    rng = np.random.default_rng(1)
    shape = (200, 300)
    residual = rng.normal(0, 10.0, shape).astype("f4")
    image = residual + 100.0
    image[90:95, 140:145] += 5000.0
    flags = np.zeros(shape, "u1")
    flags[:, 50] = 1
    sigma = np.where(flags == 0, 10.0, np.inf).astype("f4")
    attrs = {"sky": 100.0, "pixel_noise": 10.0, "psf_fwhm_pix": 4.0}
    arrays = {"x": np.array([142.0]), "y": np.array([92.0]), "flux": np.array([1e3]), "flux_err": np.array([10.0])}
    for name in ("a.png", "b.png"):
        save_residual_picture(tmp_path / name, frame_of(image, flags), residual, sigma, attrs, arrays)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    with drawing():
        figure = residual_figure(frame_of(image, flags), residual, sigma, attrs, arrays)
    _, whole, _, part = (axes.images[0] for axes in figure.axes[:4])
    shown = np.ma.filled(whole.get_array(), np.nan)
    np.testing.assert_array_equal(np.isnan(shown), flags != 0)
    np.testing.assert_allclose(shown[flags == 0], residual[flags == 0] / 10.0, rtol=1e-6)
    x0, x1, y0, y1 = (round(edge + 0.5) for edge in part.get_extent())
    assert x0 <= 142 < x1
    assert y0 <= 92 < y1
    np.testing.assert_array_equal(np.ma.filled(part.get_array(), np.nan), shown[y0:y1, x0:x1])
    assert whole.get_clim() == part.get_clim() == (-5.0, 5.0)
