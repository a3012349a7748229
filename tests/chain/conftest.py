import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits

from gaiaflux.io.fits_table import write_fits_tables
from gaiaflux.io.image.banzai_writer import write_banzai
from gaiaflux.sim.conditions import Night
from gaiaflux.sim.detector import Camera
from gaiaflux.sim.field import GAIA_UNITS, FieldConfig
from gaiaflux.sim.series import Series, SeriesConfig

ROOT = Path(__file__).parents[2]
WATCH = Path(__file__).parent / "watch"


class Chain:
    """Runs the whole workflow in a folder."""

    def __init__(self, work):
        self.work = work

    def configure(self, **config):
        (self.work / "config.yaml").write_text(yaml.safe_dump(config))

    def run(self, *arguments):
        search = filter(None, [str(WATCH), os.environ.get("PYTHONPATH")])
        watched = {"PYTHONPATH": os.pathsep.join(search), "GAIAFLUX_WATCH": str(self.work / "watch.jsonl")}
        return subprocess.run(
            [
                *(sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "1"),
                *("--directory", self.work, "--configfile", self.work / "config.yaml", *arguments),
            ],
            cwd=ROOT,
            env={**os.environ, **watched},
            capture_output=True,
            text=True,
            check=False,
        )

    def watched(self):
        """Of each job so far its rule, how often it parsed a plate solution, and how often it decoded each image."""
        lines = (self.work / "watch.jsonl").read_text().splitlines()
        jobs = [json.loads(line) for line in lines]
        return [{**job, "rule": job["script"].split(".")[-2]} for job in jobs if job["script"].count(".") == 2]

    def results(self, series):
        return self.work / "results" / series


@pytest.fixture(scope="session")
def make_chain():
    return Chain


@pytest.fixture(scope="session")
def small_series():
    """Eight frames of 512 x 512 pixels."""
    return Series(
        SeriesConfig(
            seed=4,
            n_frames=8,
            camera=Camera(shape=(512, 512), distortion_arcsec=1.5, bad_columns=1),
            field=FieldConfig(stars_in_frame=450),
            night=Night(fwhm_pix=(4.0, 5.5), clouds_mag=0.7, cloud_gradient=0.01),
            name="small",
        )
    )


@pytest.fixture(scope="session")
def spoiled_folder(small_series, tmp_path_factory):
    """The frames, the Gaia-like table, and nine files that cannot be measured, each for another reason."""
    folder = tmp_path_factory.mktemp("images")
    for made in small_series.frames():
        write_banzai(folder / f"good-{made.index}.fits", made.frame, header=made.header)
    write_fits_tables(folder / "gaia.fits", {"GAIA": small_series.gaia}, GAIA_UNITS)
    whole = (folder / "good-0.fits").read_bytes()
    (folder / "cut.fits").write_bytes(whole[: len(whole) // 5])
    (folder / "text.fits").write_text("this is no image\n")
    rng = np.random.default_rng(1)

    def spoil(name, **changes):
        with fits.open(folder / "good-0.fits") as hdus:
            data = changes.pop("data", None)
            if data is not None:
                hdus[0].data = data
            for key in ("ERR", "BPM"):
                if data is not None and data.shape != (512, 512) and key in hdus:
                    del hdus[key]
            for key, value in changes.items():
                if value is None:
                    del hdus[0].header[key]
                else:
                    hdus[0].header[key] = value
            hdus.writeto(folder / f"{name}.fits")

    spoil("nan", data=np.full((512, 512), np.nan, np.float32))
    spoil("zero", EXPTIME=0.0)
    spoil("blank", data=rng.normal(200, 15, (512, 512)).astype(np.float32))
    spoil("red", FILTER="ip")
    with fits.open(folder / "good-0.fits") as hdus:
        cropped = hdus[0].data[:400, :480].copy()
    spoil("cropped", data=cropped)
    spoil("unmapped", CTYPE1=None, CTYPE2=None, RA=None, DEC=None, PIXSCALE=None)
    spoil("elsewhere", CRVAL1=100.0, RA="06:40:00.0")
    return folder


@pytest.fixture(scope="session")
def spoiled_run(spoiled_folder, tmp_path_factory):
    """A run over good and bad files in batches of five, by both methods."""
    chain = Chain(tmp_path_factory.mktemp("work"))
    chain.configure(
        series={"field": {"images": f"{spoiled_folder}/*.fits", "gaia_file": f"{spoiled_folder}/gaia.fits"}},
        frames_per_batch=5,
        annotate_images=True,
        photometry={"methods": ["aperture", "psf"]},
    )
    sums = {path.name: path.read_bytes() for path in spoiled_folder.iterdir()}
    done = chain.run("--quiet", "all")
    return chain, done, sums
