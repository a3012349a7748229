"""A method of photometry added to a copy of the repository by the steps of the contributor's guide, and no others."""

import filecmp
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from astropy.io import fits
from astropy.table import Table

from gaiaflux.io.fits_table import write_fits_tables
from gaiaflux.io.image.banzai_writer import write_banzai
from gaiaflux.sim.conditions import Night
from gaiaflux.sim.detector import Camera
from gaiaflux.sim.field import GAIA_UNITS, FieldConfig
from gaiaflux.sim.series import Series, SeriesConfig

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "rules", "schemas", "profiles", "envs", "scripts")
N_FRAMES = 6
ENTRY = """
BOX = Method(
    name="box",
    label="box",
    title="Box photometry",
    by="the box",
    sentence="Adds up five by five pixels, less the sky beside them.",
    look=Look(colour="#009E73", companion="#CC79A7", marker="^"),
    annotation=Annotation(
        "GAIAFLUX_BOX",
        "box_",
        ("flux", "flux_err", "flags", "crispness"),
        {"BOXSKY": ("box_sky", "median sky beside the boxes")},
    ),
    blend=("neighbour", "neighbour in the box"),
    arrays={
        **MEASUREMENTS,
        "core": Column("f4", "count/s", "flux in the middle pixel"),
        "core_err": Column("f4", "count/s", "one-sigma error of core"),
    },
    calibrated=(("flux", "flux_err"), ("core", "core_err")),
    star_facts={"crispness": Column("f4", "", "part of the flux in the middle pixel; NaN where not measured")},
    in_light_curves=("crispness",),
    frame_facts={
        **COMMON_FACTS,
        "box_sky": Column("f8", "count/pixel", "median sky beside the boxes"),
    },
    reported={"box_sky": Reported("sky beside the boxes", axis="sky beside the boxes (count / pixel)")},
)
"""
SETTINGS = {
    "description": "Box photometry.",
    "type": "object",
    "additionalProperties": False,
    "default": {},
    "properties": {
        "ring_pix": {
            "description": "Distance of the pixels that tell the sky.",
            "type": "integer",
            "minimum": 3,
            "maximum": 50,
            "x-unit": "pixel",
            "default": 9,
        }
    },
}
MODULE = '''
"""Box photometry of one frame."""

import numpy as np

from gaiaflux.model.flags import StarFlag
from gaiaflux.model.measurement import FrameResult

__all__ = ["measure_frame"]


def measure_frame(placed, settings):
    """Sum 5 x 5 pixels around each star, less the median of a square ring."""
    frame, x, y = placed.frame, placed.x, placed.y
    ring, n = settings.ring_pix, len(x)
    ny, nx = frame.image.shape
    flux, error, core, core_err = np.full((4, n), np.nan, np.float32)
    flags, skies = np.full(n, StarFlag.OFF_IMAGE, np.uint32), [np.nan]
    for k in np.flatnonzero((x > ring) & (y > ring) & (x < nx - 1 - ring) & (y < ny - 1 - ring)):
        column, row = int(round(x[k])), int(round(y[k]))
        around = frame.image[row - ring : row + ring + 1, column - ring : column + ring + 1]
        edge = np.concatenate([around[0], around[-1], around[:, 0], around[:, -1]])
        sky = np.median(edge)
        sigma = 1.4826 * np.median(np.abs(edge - sky))
        box = frame.image[row - 2 : row + 3, column - 2 : column + 3] - sky
        bad = frame.pixel_flags[row - 2 : row + 3, column - 2 : column + 3]
        flux[k], error[k] = box.sum(), np.sqrt(max(box.sum(), 0) + 25 * sigma**2 + (25 * sigma) ** 2 / edge.size)
        core[k], core_err[k] = box[2, 2], np.sqrt(max(box[2, 2], 0) + sigma**2)
        flags[k] = StarFlag.BAD_PIXEL if bad.any() else 0
        skies.append(sky)
    measured = np.isfinite(flux)
    time = frame.info.exptime_s
    facts = {
        "status": "ok",
        "unit": f"{frame.info.unit}/s",
        "n_measured": int(measured.sum()),
        "box_sky": float(np.nanmedian(skies)),
    }
    arrays = {"x": x, "y": y, "flux": flux / time, "flux_err": error / time, "flags": flags}
    arrays |= {"core": core / time, "core_err": core_err / time, "crispness": core / flux}
    return FrameResult(facts, arrays)
'''


def replaced(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def add_entry(repo):
    path = repo / "scripts/gaiaflux/model/methods.py"
    replaced(path, "METHODS = (APERTURE, PSF)", f"{ENTRY.strip()}\n\nMETHODS = (APERTURE, PSF, BOX)")
    replaced(path, "import COMMON_FACTS, ", "import COMMON_FACTS, MEASUREMENTS, ")


def add_settings(repo):
    path = repo / "schemas/config.schema.yaml"
    schema = yaml.safe_load(path.read_text())
    photometry = schema["properties"]["photometry"]["properties"]
    photometry["methods"]["items"]["enum"].append("box")
    photometry["box"] = SETTINGS
    path.write_text(yaml.safe_dump(schema, sort_keys=False))


def add_section(repo):
    path = repo / "scripts/gaiaflux/workflow/sections.py"
    own = '    "psf": "properties/photometry/properties/psf",\n'
    replaced(path, own, own + own.replace("psf", "box"))
    environment = {**os.environ, "PYTHONPATH": str(repo / "scripts")}
    subprocess.run([sys.executable, "-m", "gaiaflux.workflow.sections"], cwd=repo, env=environment, check=True)


def add_measurement(repo):
    (repo / "scripts/gaiaflux/ground/photometry/box.py").write_text(MODULE.lstrip())


def add_rule(repo):
    """Script and rule are those of the apertures by another name."""
    path = repo / "rules/photometry.smk"
    own = re.search(r"^rule aperture_photometry:\n.*?\n\n\n", path.read_text(), re.MULTILINE | re.DOTALL)[0]
    path.write_text(path.read_text().rstrip("\n") + "\n\n\n" + own.replace("aperture", "box").rstrip() + "\n")
    text = (repo / "scripts/aperture_photometry.py").read_text()
    # What only the apertures need of the star catalogue.
    text = text.replace("    psf = read_reference_psf(smk.input.catalog)\n", "")
    text = text.replace("from gaiaflux.io.psf_model import read_reference_psf\n", "")
    text = re.sub(r"measure_frame\(placed, settings, .*\),\n", "measure_frame(placed, settings),\n", text)
    (repo / "scripts/box_photometry.py").write_text(
        text.replace("aperture", "box").replace("ApertureSettings", "BoxSettings")
    )


# Step of the guide -> file that it edits or makes.
STEPS = {
    "scripts/gaiaflux/model/methods.py": add_entry,
    "schemas/config.schema.yaml": add_settings,
    "scripts/gaiaflux/workflow/sections.py": add_section,
    "scripts/gaiaflux/model/settings/box.py": None,
    "scripts/gaiaflux/ground/photometry/box.py": add_measurement,
    "rules/photometry.smk": add_rule,
    "scripts/box_photometry.py": None,
}


def differing(compared, folder=Path()):
    assert not compared.left_only
    yield from (str(folder / name) for name in (*compared.diff_files, *compared.right_only))
    for name, inner in compared.subdirs.items():
        yield from differing(inner, folder / name)


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            # With the kernels' machine code: to compile it again would take longer than everything else.
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("*.pyc", "*.egg-info"))
        else:
            shutil.copy2(source, folder / part)
    for step in filter(None, STEPS.values()):
        step(folder)
    return folder


@pytest.fixture(scope="module")
def work(repo, tmp_path_factory):
    series = Series(
        SeriesConfig(
            seed=6,
            n_frames=N_FRAMES,
            camera=Camera(shape=(320, 320), distortion_arcsec=0.5, bad_columns=1),
            field=FieldConfig(stars_in_frame=160, faintest=18.8),
            night=Night(fwhm_pix=(3.4, 3.8), clouds_mag=0.5, cloud_gradient=0.0),
            name="box",
        )
    )
    folder = tmp_path_factory.mktemp("work")
    (folder / "images").mkdir()
    for made in series.frames():
        write_banzai(folder / "images" / f"f{made.index}.fits", made.frame, header=made.header)
    write_fits_tables(folder / "gaia.fits", {"GAIA": series.gaia}, GAIA_UNITS)
    truth = series.frame(0).truth.stars
    inside = (np.abs(truth["x"] - 160) < 100) & (np.abs(truth["y"] - 160) < 100) & (truth["source_id"] > 0)
    target = truth[inside & (truth["snr"] > 40) & (truth["snr"] < 300)][0]
    config = {
        "series": {
            "field": {
                "images": "images/*.fits",
                "gaia_file": "gaia.fits",
                "targets": [{"name": "T", "source_id": int(target["source_id"])}],
            }
        },
        "photometry": {"methods": ["aperture", "box"]},
        "export": {"formats": ["fits", "parquet"]},
        "annotate_images": True,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", repo / "Snakefile", "--cores", "1", "--quiet", "all"),
            *("--directory", folder, "--configfile", folder / "config.yaml"),
        ],
        cwd=repo,
        env={**os.environ, "PYTHONPATH": str(repo / "scripts")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def results(work):
    return work / "results" / "field"


def test_nothing_was_edited_but_what_the_guide_names(repo, results):
    found = set()
    for part in (part for part in PARTS if (ROOT / part).is_dir()):
        compared = filecmp.dircmp(ROOT / part, repo / part, ignore=["__pycache__", "gaiaflux.egg-info"])
        found |= {f"{part}/{name}" for name in differing(compared)}
    assert found == STEPS.keys()
    assert filecmp.cmp(ROOT / "Snakefile", repo / "Snakefile", shallow=False)
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    section = re.search(r"^## Adding a method of photometry\n(.*?)^## ", guide, re.MULTILINE | re.DOTALL)[1]
    for path in STEPS:
        assert f"`{path.replace('box', '{method}')}`" in section, path


def test_the_dataset_has_its_fluxes_and_facts(results):
    batch = next((results / "box").glob("*.h5"))
    with h5py.File(results / "dataset.h5") as file, h5py.File(batch) as measured:
        assert sorted(file) == ["aperture", "box", "frames", "stars"]
        own, frame_ids = file["box"], list(file["frames/frame_id"].asstr())
        for name in ("flux", "flux_err", "flags", "core", "core_err", "crispness"):
            found = np.stack([measured[frame_id][name][()] for frame_id in frame_ids], axis=1)
            np.testing.assert_array_equal(own[name][()], found, err_msg=name)
        assert own["crispness"].attrs["description"].startswith("part of the flux in the middle pixel")
        assert own["core"].attrs["unit"] == own["flux_cal"].attrs["unit"] == "electron/s"
        assert own["box_sky"].shape == (N_FRAMES,)
        assert (own["box_sky"][()] > 0).all()
        assert list(own["status"].asstr()) == ["ok"] * N_FRAMES
        flux, calibrated = own["flux"][()], own["flux_cal"][()]
        core, core_cal = own["core"][()], own["core_cal"][()]
        known = np.isfinite(calibrated)
        assert known.sum() > 50 * N_FRAMES
        assert own.attrs["calibration"] == "ok"
        # Both are divided by the same: the frame's scale.
        np.testing.assert_allclose((core_cal / core)[known], (calibrated / flux)[known], rtol=1e-5)
        bright = known.all(axis=1) & ((flux > 50 * own["flux_err"][()]).all(axis=1))
        assert bright.sum() > 10
        scatter = np.std(flux[bright] / flux[bright].mean(axis=1, keepdims=True), axis=1)
        calm = np.std(calibrated[bright] / calibrated[bright].mean(axis=1, keepdims=True), axis=1)
        assert np.median(calm) < 0.5 * np.median(scatter)
        assert (own["core_cal_err"][()][known] > 0).all()
        assert h5py.check_enum_dtype(file["stars/recommended_method"].dtype) == {"none": -1, "aperture": 0, "box": 1}


def test_light_curves_and_exports_have_it(results):
    table = Table.read(results / "lightcurves" / "T.ecsv")
    assert {"aperture_flux", "box_mag", "box_flags", "box_crispness"} <= set(table.colnames)
    assert set(table.meta["methods"]) == {"aperture", "box"}
    with h5py.File(results / "dataset.h5") as file:
        row = int(np.flatnonzero(file["stars/star_id"][()] == table.meta["star_id"])[0])
        for column, name in (
            ("box_flux", "flux_cal"),
            ("box_flux_err", "flux_cal_err"),
            ("box_flux_raw", "flux"),
            ("box_core", "core_cal"),
            ("box_core_err", "core_cal_err"),
            ("box_crispness", "crispness"),
        ):
            np.testing.assert_allclose(table[column], file[f"box/{name}"][row], rtol=1e-6, err_msg=column)
        sky = file["box/box_sky"][()]
    frames = Table.read(results / "frames.csv")
    np.testing.assert_allclose(frames["box_box_sky"], sky, rtol=1e-12)
    with fits.open(results / "export" / "dataset.fits") as hdus:
        assert {"BOX_FRAMES", "BOX_STARS", "BOX_LIGHTCURVES"} <= {hdu.name for hdu in hdus}
        np.testing.assert_array_equal(hdus["BOX_FRAMES"].data["box_sky"], sky)
    assert list((results / "export" / "parquet").glob("box_lightcurves*"))
    stars = Table.read(results / "stars.csv")
    assert {"aperture_scatter_mag", "box_scatter_mag"} <= set(stars.colnames)


def test_annotated_images_have_it(results):
    copies = sorted((results / "annotated").glob("*/*.fits"))
    assert [path.stem for path in copies] == [f"f{number}" for number in range(N_FRAMES)]
    with h5py.File(results / "dataset.h5") as file, fits.open(copies[2]) as hdus:
        frame = list(file["frames/frame_id"].asstr()).index("f2")
        table, header = hdus["GAIAFLUX_APERTURE"].data, hdus["GAIAFLUX_APERTURE"].header
        rows = np.searchsorted(file["stars/star_id"][()], table["star_id"])
        for name in ("flux", "flux_err", "flags", "crispness"):
            np.testing.assert_array_equal(table[f"box_{name}"], file[f"box/{name}"][:, frame][rows], err_msg=name)
        assert header["BOXSKY"] == file["box/box_sky"][frame]


class Text(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.ids, self.words = [], []
        self.feed(page)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.ids += [value for key, value in attrs if key == "id"]

    def handle_data(self, data):
        self.words.append(data)


def test_the_report_has_it(results):
    page = Text((results / "report.html").read_text(encoding="utf-8"))
    assert {"comparison", "aperture", "box"} <= set(page.ids)
    assert "Box photometry Adds up five by five pixels, less the sky beside them." in page.text
    assert "scatter by the box over that by apertures for the same star" in page.text
    assert re.search(r"What it says of the frames sky beside the boxes [\d.,]+ count/pixel", page.text)
    assert "box: zero point" in page.text
