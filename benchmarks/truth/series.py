"""A scenario as files, and the run of the workflow over them as a user would start it."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from zlib import crc32

import numpy as np
import yaml

import gaiaflux.sim
from benchmarks.scene import REPOSITORY
from gaiaflux.io.fits_table import write_fits_tables
from gaiaflux.io.image.banzai_writer import write_banzai, write_plain
from gaiaflux.sim.field import GAIA_UNITS
from gaiaflux.sim.scenario import Scenario
from gaiaflux.sim.scene import SCENE_DTYPE, Scene

__all__ = ["SERIES", "make_files", "run_workflow", "seeded_scene"]

SERIES = "truth"
"""Name of the series in the configuration."""

UNSAID = ("GAIN", "RDNOISE", "SATURATE")


def seeded_scene(scenario: Scenario, seed: int) -> Scene:
    """A scenario with stars, errors and noise of its own: no other one of the same seed shares them."""
    return Scene(scenario, crc32(f"{seed} {scenario.name}".encode()))


def make_files(scenario: Scenario, seed: int, folder: Path) -> Scene:
    """Write frames, catalogue, truth and configuration, unless the folder has them from the same simulator.

    Parameters
    ----------
    scenario : Scenario
        What is simulated.
    seed : int
        Seed.
    folder : Path
        Where the files go.

    Returns
    -------
    Scene
    """
    scene = seeded_scene(scenario, seed)
    key, note = _key(scenario, seed), folder / "made.txt"
    if note.is_file() and note.read_text(encoding="utf-8") == key:
        return scene
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "images").mkdir(parents=True)
    shape = (len(scene.stars), len(scene))
    names = [name for name in SCENE_DTYPE.names or () if name != "star"]
    arrays = {name: np.full(shape, np.nan) for name in names}
    for index in range(len(scene)):
        made = scene.frame(index)
        path = folder / "images" / f"{made.frame.info.frame_id}.fits"
        if scenario.chip.plain:
            unsaid = dict.fromkeys(UNSAID) if scenario.chip.silent else None
            write_plain(path, made.frame, gain=scenario.chip.camera.gain, header=unsaid)
        else:
            write_banzai(path, made.frame, header=made.header)
        for name, array in arrays.items():
            array[made.stars["star"], index] = made.stars[name]
    write_fits_tables(folder / "gaia.fits", {"GAIA": scene.gaia}, GAIA_UNITS)
    np.savez(folder / "truth.npz", source_id=scene.stars["source_id"], kind=scene.stars["kind"], **arrays)
    files = {"images": str(folder / "images" / "*.fits"), "gaia_file": str(folder / "gaia.fits")}
    config = {"series": {SERIES: files}, "photometry": {"methods": ["aperture", "psf"]}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    note.write_text(key, encoding="utf-8")
    return scene


def _key(scenario: Scenario, seed: int) -> str:
    """Changes with the scenario, the seed and the code of the simulator."""
    digest = hashlib.sha256(f"{scenario!r} {seed}".encode())
    for path in [*sorted(Path(gaiaflux.sim.__path__[0]).glob("*.py")), Path(__file__)]:
        # The table of the other scenarios makes no difference to this one.
        if path.name != "scenarios.py":
            digest.update(path.read_bytes())
    return digest.hexdigest()


def run_workflow(folder: Path) -> str:
    """Run the workflow up to the dataset.

    Parameters
    ----------
    folder : Path
        What `make_files` filled; results of a former run are computed again as far as code or settings changed.

    Returns
    -------
    str
        Empty; else the end of what Snakemake said before it stopped.
    """
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--nolock", "--rerun-incomplete"]
    command += ["--until", "calibrate_dataset", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--configfile", str(folder / "config.yaml"), "--directory", str(folder)]
    with (folder / "snakemake.log").open("w", encoding="utf-8") as stream:
        done = subprocess.run(command, cwd=REPOSITORY, stdout=stream, stderr=subprocess.STDOUT, check=False)
    if done.returncode == 0:
        return ""
    return (folder / "snakemake.log").read_text(encoding="utf-8")[-1500:]
