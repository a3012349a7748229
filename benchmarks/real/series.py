"""The real series, and gaiaflux run on them as a user runs it: images, and the pixel scale where it is needed."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks.scene import REPOSITORY

__all__ = ["SERIES", "RealSeries", "data_folder", "run_workflow"]


@dataclass(frozen=True)
class RealSeries:
    """A series of real images.

    Attributes
    ----------
    name : str
        Also of its folder.
    images : str
        Pattern of the images in it.
    settings : dict
        What else a user has to say of the series; paths are in the folder.
    own_stars : bool
        The stars are those of the reference image: there is no table of Gaia.
    """

    name: str
    images: str
    settings: dict[str, Any] = field(default_factory=dict)
    own_stars: bool = True


SERIES = (
    RealSeries(
        "skycamt_agpeg",
        "t_e_*.fits.gz",
        {"gaia_file": "gaia_dr3_g10.fits", "centre_deg": [327.758, 12.625]},
        own_stars=False,
    ),
    RealSeries("moa2013blg475_saao", "AKB*.fits.gz", {"pixel_scale_arcsec": 0.31}),
    RealSeries("wallace_lux", "lux*.fit.gz", {"pixel_scale_arcsec": 1.266}),
)
"""Bulge field of a 1 m telescope over 22 nights; wide sky camera, undersampled, over 7; raw frames of one night.

`sn2019so_andicam` has one frame in each of two filters: no scatter, so that nothing can be compared.
"""


def data_folder() -> Path | None:
    """Folder with the real series: of the environment variable GAIAFLUX_DATA, or beside the repository."""
    named = os.environ.get("GAIAFLUX_DATA")
    folder = (Path(named) if named else REPOSITORY.parent / "shared" / "data") / "ground"
    return folder if folder.is_dir() else None


def run_workflow(series: RealSeries, data: Path, work: Path, methods: list[str]) -> Path:
    """Run the workflow as far as the dataset.

    Parameters
    ----------
    series : RealSeries
    data : Path
        Of `data_folder`.
    work : Path
        Working directory; what a former run left there is used again.
    methods : list of str
        Methods of photometry.

    Returns
    -------
    Path
        Folder of the results, in which ``measured.h5`` is kept.

    Raises
    ------
    RuntimeError
        The workflow failed.
    """
    folder = data / series.name
    described = dict(series.settings)
    if "gaia_file" in described:
        described["gaia_file"] = str(folder / described["gaia_file"])
    config: dict[str, Any] = {
        "series": {series.name: {"images": str(folder / series.images), **described}},
        "photometry": {"methods": methods},
    }
    if series.own_stars:
        config["gaia"] = {"source": "reference_image"}
    work.mkdir(parents=True, exist_ok=True)
    path = work / "config.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("snakemake")), "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--configfile", str(path), "--directory", str(work), "--cores", "2", "--quiet", "rules"]
    command += ["--notemp", "--until", "calibrate_dataset"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"snakemake ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return work / "results" / series.name
