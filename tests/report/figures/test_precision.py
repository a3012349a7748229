"""The scatter-magnitude diagram and the lines of its noise."""

import h5py
import numpy as np
import pytest
from matplotlib.figure import Figure

from gaiaflux.io.dataset import DatasetReader
from gaiaflux.model.methods import APERTURE
from gaiaflux.report.figures.precision import draw_precision
from gaiaflux.report.figures.style import drawing
from gaiaflux.report.statistics import NOISE_TERMS, measure_method

SHOWN = {"noise_photon": "photons", "noise_background": "sky", "noise_zero_point": "zero point"}


def draw(path):
    with DatasetReader(path) as source, drawing():
        found = measure_method(source, APERTURE)
        axes = Figure().subplots()
        draw_precision(axes, found)
    lines = [line for line in axes.lines if line.get_marker() in ("", "None") and len(line.get_xdata()) > 1]
    return found, axes, lines, [text.get_text() for text in axes.texts]


def test_each_term_is_a_line_with_its_name(make_truth, tmp_path):
    truth = make_truth()
    path = truth.write(tmp_path / "d.h5")
    values = {name: 1e-3 * (k + 1) * 10 ** (0.2 * (truth.mag - 15)) for k, name in enumerate(NOISE_TERMS)}
    values["noise_scintillation"] = np.full(truth.n, np.nan)
    with h5py.File(path, "r+") as file:
        for name, array in values.items():
            file[f"aperture/{name}"] = array
        file["aperture"].attrs["noise_floor_mag"] = 0.0021
    found, axes, lines, texts = draw(path)
    assert found.floor == 0.0021
    assert sorted(texts) == sorted([*SHOWN.values(), "floor"])
    assert len(lines) == len(texts) + 1
    drawn = {label: line for label, line in zip([*SHOWN.values(), "floor", "total"], lines, strict=True)}
    for name, label in SHOWN.items():
        x, y = drawn[label].get_data()
        assert len(x) >= 10
        for middle, value in zip(x, y, strict=True):
            inside = np.abs(truth.mag - middle) < 0.25
            assert value == pytest.approx(1e3 * np.median(values[name][inside]), rel=0.15)
    np.testing.assert_allclose(drawn["floor"].get_ydata(), 2.1)
    x, y = drawn["total"].get_data()
    assert y == pytest.approx(1e3 * np.interp(x, truth.mag, found.expected), rel=0.15)
    labels = axes.get_legend_handles_labels()[1]
    assert "predicted error (single stars)" in labels


def test_a_dataset_without_the_terms_has_the_errors_alone(make_truth, tmp_path):
    found, _, lines, texts = draw(make_truth().write(tmp_path / "d.h5"))
    assert found.noise == {}
    assert np.isnan(found.floor)
    assert (len(lines), texts) == (1, [])


def test_no_names_lie_on_each_other(make_truth, tmp_path):
    truth = make_truth()
    path = truth.write(tmp_path / "d.h5")
    with h5py.File(path, "r+") as file:
        for name in NOISE_TERMS:
            file[f"aperture/{name}"] = np.full(truth.n, 0.01)
    _, axes, _, texts = draw(path)
    assert len(texts) == 4
    heights = np.sort([np.log10(text.xy[1]) for text in axes.texts if text.get_text() != "sky"])
    low, high = np.log10(axes.get_ylim())
    assert (np.diff(heights) > 0.03 * (high - low)).all()
