"""The page: what it says, that it stands alone, and that nothing odd breaks it."""

import base64
import json
import re
from html.parser import HTMLParser
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from snakemake.iocontainers import InputFiles

from gaiaflux.core.psf.model import moffat_psf
from gaiaflux.io.batch_file import BatchWriter
from gaiaflux.io.plate_solution import plate_record
from gaiaflux.io.psf_model import psf_arrays
from gaiaflux.model.flags import StarFlag
from gaiaflux.report.figures.overview import save_overview
from gaiaflux.report.figures.plate import stack_residuals
from gaiaflux.report.html.page import write_report
from gaiaflux.report.html.words import count, number

PIN = {
    "source": "file", "server": None, "release": None, "file": "gaia.fits", "file_sha256": "f" * 64, "n_rows": 1424,
    "sha256": "a" * 64, "date_utc": "2026-11-20T14:18:43+00:00", "magnitude_limit": 21.0, "query": None,
}  # fmt: skip
REFERENCE = {
    "frame_id": "f001", "path": "/data/f001.fits", "nx": 1000, "ny": 800, "fwhm_pix": 4.0, "wcs_rms_mas": 5.0,
    "wcs_n_stars": 50, "chosen_by": "configuration",
}  # fmt: skip
MATCHES = [("source_row", "i8"), ("x", "f8"), ("y", "f8"), ("dx_mas", "f4"), ("dy_mas", "f4"), ("snr", "f4")]


class Text(HTMLParser):
    """Visible words, addresses of resources, identifiers; complains of tags that do not match."""

    VOID = ("meta", "img", "br")

    def __init__(self, page):
        super().__init__()
        self.words, self.sources, self.links, self.ids, self.open = [], [], [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.sources += [attrs[key] for key in ("src", "data") if key in attrs]
        self.links += [attrs["href"]] if "href" in attrs else []
        self.ids += [attrs["id"]] if "id" in attrs else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] not in (["style"], ["script"]):
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


def report(truth, folder, **options):
    path = folder / "report.html"
    write_report(path, truth.write(folder / "dataset.h5"), PIN, {**REFERENCE, **options})
    page = path.read_text(encoding="utf-8")
    return page, Text(page)


def write_matches(path, per_frame):
    with BatchWriter(path, kind="wcs") as out:
        for name, rows in per_frame.items():
            if rows is None:
                out.add(name, {"status": "no stars"})
            else:
                out.add(name, {"status": "ok"}, {"matches": np.array(rows, dtype=MATCHES)})
    return path


@pytest.fixture(scope="module")
def example(make_truth, tmp_path_factory):
    truth = make_truth()
    truth.lose(4, "no plate solution: 3 <stars> match & no more")
    truth.notes[6] = "8 ensemble stars, 10 needed"
    truth.flags[5, :3] = StarFlag.COSMIC_RAY
    folder = tmp_path_factory.mktemp("page")
    return truth, folder, *report(truth, folder, wcs=plate_record(truth.plate))


def test_what_it_says(example):
    _, _, _, found = example
    assert "S <1>" in found.text
    assert "39 of 40" in found.text
    assert "f004 60000.04000 no plate solution: 3 <stars> match & no more" in found.text
    assert "f006 60000.06000 measured, not calibrated (aperture): 8 ensemble stars, 10 needed" in found.text
    assert "1 frame could not be measured" in found.text
    assert "a" * 64 in found.text
    assert "1,424 to 21.0 mag" in found.text
    assert "cosmic_ray 3 0.06 %" in found.text
    assert "numpy 2.4" in found.text
    assert '"spatial_order": 2' in found.text
    # 0.0001 deg a pixel and 4 pixels.
    assert "1.46 arcsec median seeing" in found.text
    # The planted variables lead the list.
    ranks = re.findall(r"(\d) (10\d\d) (40870008654216480\d\d) ", found.text)
    assert {ranks[0][1], ranks[1][1]} == {"1017", "1040"}
    assert ranks[0][2].endswith(ranks[0][1][2:])


def test_it_says_where_the_response_steps(make_truth, tmp_path):
    truth = make_truth()
    camera = {
        "camera": "fa15",
        "columns": [511.5],
        "rows": [99.5, 199.5],
        "value_mag": [[0.0, 0.02], [0.01, 0.0], [0, 0]],
    }
    truth.group["response_steps"] = json.dumps({"cameras": [camera], "use": "..."})
    _, found = report(truth, tmp_path)
    assert "The response of camera fa15 steps by up to 1.8 % at column 511.5 and rows 99.5, 199.5, as" in found.text


def test_what_it_says_of_two_methods(make_truth, tmp_path):
    truth = make_truth()
    truth.psf_status[6] = "the stars are trailed: the PSF has an ellipticity of 0.70"
    truth.psf_status[7] = truth.frames["status"][7] = "no plate solution"
    truth.psf_origin[6] = truth.psf_origin[7] = ""
    truth.psf_origin[8], truth.psf_origin[9] = "borrowed", "lower order"
    write_report(tmp_path / "r.html", truth.write(tmp_path / "dataset.h5", psf=0.5), PIN, REFERENCE)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    found = Text(page)
    assert "Photometry: the methods side by side" in found.text
    assert "f006 60000.06000 not measured (psf): the stars are trailed" in found.text
    assert found.text.count("f007") == 1
    assert "psf: 1 frame that only another method could measure." in found.text
    origins = "36 frames with a PSF of their own, 1 frame with a PSF of a lower order than asked for"
    assert f"PSF {origins}, 1 frame with the reference image's, scaled" in found.text
    assert "rms of the centroids about the places 0.0200 pixel" in found.text
    assert {"comparison", "aperture", "psf"} <= set(found.ids)
    assert set(link[1:] for link in found.links) <= set(found.ids)
    assert len(set(found.ids)) == len(found.ids)


def test_it_stands_alone(example):
    _, _, page, found = example
    assert found.sources
    assert all(source.startswith("data:image/svg+xml;base64,") for source in found.sources)
    assert "<script" not in page
    assert "url(" not in page
    assert "@import" not in page
    local = [link[1:] for link in found.links]
    assert all(link.startswith("#") for link in found.links)
    assert set(local) <= set(found.ids)
    assert len(set(found.ids)) == len(found.ids)
    for source in found.sources:
        drawing = base64.b64decode(source.split(",")[1])
        ElementTree.fromstring(drawing)
        outside = re.findall(rb'(?:xlink:href|src)="(?!#|data:)([^"]*)', drawing)
        assert not outside
    assert len(page) < 3e6


def test_same_data_same_bytes(example, tmp_path):
    truth, _, page, _ = example
    again, _ = report(truth, tmp_path, wcs=plate_record(truth.plate))
    assert again == page


def test_a_dataset_of_the_version_before_gives_the_same_page(example, tmp_path, as_first_version):
    truth, _, page, _ = example
    path = as_first_version(truth.write(tmp_path / "dataset.h5"))
    write_report(tmp_path / "r.html", path, PIN, {**REFERENCE, "wcs": plate_record(truth.plate)})
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == page


def test_one_frame(make_truth, tmp_path):
    truth = make_truth(m=1, variable=())
    truth.group["calibration"] = "not calibrated: one frame; pscale is 1"
    truth.notes = ["not calibrated: one frame; pscale is 1"]
    _, found = report(truth, tmp_path)
    assert "Not calibrated: one frame; pscale is 1. The fluxes are as measured" in found.text
    assert "120 stars with fewer than 5 points" in found.text
    assert "measured, not calibrated" not in found.text
    save_overview(tmp_path / "dataset.h5", tmp_path / "o.png")


def test_one_star(make_truth, tmp_path):
    truth = make_truth(n=1, m=8, variable=())
    truth.group |= {"zero_point_mag": np.nan, "zero_point_scatter_mag": np.nan, "zero_point_n_stars": 0}
    truth.group["zero_point_note"] = "0 stars with a magnitude in Gaia G: no zero point"
    truth.stars["phot_g_mean_mag"] = np.array([np.nan])
    _, found = report(truth, tmp_path)
    assert "Zero point: 0 stars with a magnitude in Gaia G: no zero point." in found.text
    assert "Star 1000" in found.text
    save_overview(tmp_path / "dataset.h5", tmp_path / "o.png")


@pytest.mark.parametrize("n", [0, 30])
def test_nothing_measured(make_truth, tmp_path, n):
    truth = make_truth(n=n, m=3, variable=())
    for j in range(3):
        truth.lose(j, "cannot be read")
    truth.frames |= {"mjd_utc": np.full(3, np.nan), "fwhm_pix": np.full(3, np.nan)}
    for name in ("wcs_cd1_1", "wcs_cd1_2", "wcs_cd2_1", "wcs_cd2_2", "centre_ra_deg", "centre_dec_deg"):
        truth.frames[name] = np.full(3, np.nan)
    truth.group["zero_point_mag"] = np.nan
    _, found = report(truth, tmp_path)
    assert "0 of 3" in found.text
    assert found.text.count("cannot be read") == 3
    save_overview(tmp_path / "dataset.h5", tmp_path / "o.png")


def test_many_nights(make_truth, tmp_path):
    truth = make_truth()
    truth.frames["mjd_utc"] = 60000.0 + np.arange(40) // 10 * 3.0 + np.arange(40) % 10 * 0.01
    _, found = report(truth, tmp_path)
    assert "Vertical lines: gaps of more than half a day." in found.text


def test_overview_is_a_picture(example, tmp_path):
    _, folder, _, _ = example
    for name in ("a.png", "b.png"):
        save_overview(folder / "dataset.h5", tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match="no method psf"):
        save_overview(folder / "dataset.h5", tmp_path / "c.png", method="psf")


def test_residuals_are_stacked_over_the_detector(tmp_path):
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, 1000, 4000), rng.uniform(0, 800, 4000)
    rows = [(0, a, b, 0.01 * a + rng.normal(), -2.0 + rng.normal(), 50.0) for a, b in zip(x, y, strict=True)]
    faint = [(0, a, b, 500.0, 500.0, 6.0) for a, b in zip(x, y, strict=True)]
    paths = [
        write_matches(tmp_path / "1.h5", {"f1": rows[:1500], "f2": None, "f3": faint}),
        write_matches(tmp_path / "2.h5", {"f4": rows[1500:]}),
    ]
    found = stack_residuals(paths, (800, 1000))
    assert (found.n_matches, found.n_frames) == (4000, 3)
    expected = 0.01 * (np.arange(8) + 0.5) / 8 * 1000
    np.testing.assert_allclose(found.dx_mas, np.tile(expected, (8, 1)), atol=0.8)
    np.testing.assert_allclose(found.dy_mas, -2.0, atol=0.8)
    assert np.isnan(stack_residuals([], (800, 1000)).dx_mas).all()


def test_rule(example, tmp_path, load_script):
    truth, _, _, _ = example
    (tmp_path / "gaia.json").write_text(json.dumps(PIN))
    (tmp_path / "reference.json").write_text(json.dumps(REFERENCE))
    rows = [(0, 10.0 * k, 8.0 * k, 1.0, 1.0, 50.0) for k in range(100)]
    wcs = write_matches(tmp_path / "w.h5", {"f1": rows, "f2": rows})
    with BatchWriter(tmp_path / "p.h5", kind="psf") as out:
        out.add("f001", {"status": "ok"}, psf_arrays(moffat_psf((80, 100), 4.0)))
    given = {
        "dataset": truth.write(tmp_path / "dataset.h5", psf=0.5),
        "pin": tmp_path / "gaia.json",
        "reference": tmp_path / "reference.json",
    }
    for more in ({}, {"wcs": [wcs], "psf": [tmp_path / "p.h5"]}):
        smk = SimpleNamespace(
            input=InputFiles(fromdict={**given, **more}), output=SimpleNamespace(report=tmp_path / "r.html")
        )
        load_script("report").main(smk)
        text = Text((tmp_path / "r.html").read_text(encoding="utf-8")).text
        assert ("median residuals of 200 matched stars" in text) == bool(more)
        assert ("PSF of the reference image at its corners" in text) == bool(more)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (np.nan, "–"), (0, "0"), (0.01234, "0.0123"), (12.34, "12.3"), (1234.5, "1,234"), (-0.5, "-0.500")],
)
def test_numbers_for_people(value, text):
    assert number(value) == text


def test_counts_for_people():
    assert (count(1, "star"), count(1200, "frame")) == ("1 star", "1,200 frames")
