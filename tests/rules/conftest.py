"""A copy of the workflow that a test may edit, a series whose results count as done, and Snakemake's job table."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "config.yaml", "rules", "schemas", "profiles", "envs", "scripts")


class Workspace:
    """A checkout in `repo` and a working directory in `work`, both free to be changed."""

    def __init__(self, folder):
        self.folder = folder
        self.repo = folder / "repo"
        self.work = folder / "work"
        self.config = self.work / "config.yaml"

    @classmethod
    def make(cls, folder):
        self = cls(folder)
        for part in PARTS:
            source, target = ROOT / part, self.repo / part
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        self.work.mkdir()
        return self

    def copy(self, folder):
        shutil.copytree(self.folder, folder, symlinks=True)
        return Workspace(folder)

    def images(self, *names, folder="images"):
        for name in names:
            path = self.work / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"image " + name.encode())
            os.utime(path, (1e9, 1e9))

    def snakemake(self, *arguments, environment=None):
        return subprocess.run(
            [
                *(sys.executable, "-m", "snakemake", "--snakefile", self.repo / "Snakefile"),
                *("--directory", self.work, "--configfile", self.config, *arguments),
            ],
            cwd=self.folder,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
        )

    def jobs(self, *arguments):
        """Rules and numbers of jobs that a dry run lists; empty where nothing is to be done."""
        done = self.snakemake("--dry-run", "--quiet", "rules", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        table = re.search(r"^Job stats:\n.*\n[- ]+\n((?:\w+ +\d+\n)+)", done.stdout + done.stderr, re.MULTILINE)
        if table is None:
            assert "Nothing to be done" in done.stdout + done.stderr
            return {}
        counts = {rule: int(count) for rule, count in (line.split() for line in table[1].splitlines())}
        assert counts.pop("total") == sum(counts.values())
        assert counts.pop("all", 1) == 1
        return counts

    def finish(self, series="field", batches=("0001",), lightcurves=True, methods=("aperture",)):
        """Make every result of a series and let Snakemake take them for its own."""
        results = self.work / "results" / series
        files = ["gaia.fits", "gaia.json", "reference.json", "star_catalog.h5", "measured.h5", "dataset.h5"]
        files += ["frames.csv", "stars.parquet", "stars.csv", "report.html"]
        files += [f"{kind}/{batch}.h5" for kind in ("stars", "wcs", *methods) for batch in batches]
        for file in files:
            path = results / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        if lightcurves:
            (results / "lightcurves").mkdir(exist_ok=True)
        for name in ("gaia", "reference"):
            (results / f"{name}.request.json").touch()
        done = self.snakemake("--touch", "--forceall", "--cores", "1", "--quiet", "rules")
        assert done.returncode == 0, done.stdout + done.stderr
        for name, request in self.requests().items():
            (results / name).write_text(json.dumps(request))
        # What is temporary is not there after a real run.
        (results / "measured.h5").unlink(missing_ok=True)

    def finish_fields(self):
        """Make every result of the fields of TESS and let Snakemake take them for its own."""
        done = self.snakemake("--dry-run", "--quiet", "rules", "--summary")
        assert done.returncode == 0, done.stdout + done.stderr
        for line in done.stdout.splitlines():
            file = line.split("\t")[0]
            if file.startswith("results/"):
                path = self.work / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        done = self.snakemake("--touch", "--forceall", "--cores", "1", "--quiet", "rules")
        assert done.returncode == 0, done.stdout + done.stderr

    def requests(self):
        """What rules were asked for, as Snakemake has it in its records."""
        names = {"download_gaia": "gaia.request.json", "choose_reference": "reference.request.json"}
        found = {}
        for path in (self.work / ".snakemake" / "metadata").iterdir():
            record = json.loads(path.read_text())
            if record["rule"] in names:
                params = map(ast.literal_eval, record["params"])
                found[names[record["rule"]]] = next(
                    item for item in params if isinstance(item, dict) and "made_by" in item
                )
        return found


@pytest.fixture
def workspace(tmp_path):
    return Workspace.make(tmp_path / "here")


@pytest.fixture(scope="session")
def make_workspace():
    return Workspace.make
