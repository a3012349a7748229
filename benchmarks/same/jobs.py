"""Which rules a change makes run again: dry runs of a tree on small series that it has measured."""

import copy
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from trees import Tree

__all__ = ["list_jobs"]

_DRY_RUNS = Path(__file__).with_name("dry_runs.py")
_OLD = 1.0e9  # time of the images [s], before any result
_BASE = {
    "series": {
        "field": {
            "images": "images/*.fits",
            "gaia_file": "gaia.fits",
            "targets": [{"name": "one", "ra_deg": 269.9, "dec_deg": -28.6}],
        }
    },
    "frames_per_batch": 2,
}
_BY_BOTH = {"photometry.methods": ["aperture", "psf"]}
_ALONE = {"gaia.source": "reference_image", "series.field.gaia_file": None}
# Files on request, so that a change that should leave them alone can be seen to.
_ON_REQUEST = {"export.formats": ["fits"], "annotate_images": True, "photometry.psf.residual_pictures": True}
# Configurations of the series that are measured, as changes of `_BASE`; each has two batches.
_SERIES = {"aperture": {}, "both": _BY_BOTH | _ON_REQUEST, "alone": _ALONE}


@dataclass(frozen=True)
class Case:
    """A change.

    Attributes
    ----------
    series : str
        What it is made to: a key of `_SERIES`.
    settings : dict
        Path of a setting to its new value; None: gone.
    files : callable, optional
        Changes a copy of the working directory.
    code : callable, optional
        Changes a copy of the tree.
    """

    series: str = "aperture"
    settings: dict = field(default_factory=dict)
    files: Callable[[Path], None] | None = None
    code: Callable[[Path], None] | None = None


def _new_image(name: str) -> Callable[[Path], None]:
    def change(work: Path) -> None:
        shutil.copy2(work / "images" / "a.fits", work / "images" / name)
        os.utime(work / "images" / name, (_OLD, _OLD))

    return change


def _without(*names: str) -> Callable[[Path], None]:
    def change(work: Path) -> None:
        for name in names:
            (work / name).unlink()

    return change


def _removed(name: str) -> Callable[[Path], None]:
    """Something that is settled once is gone when a new image comes."""

    def change(work: Path) -> None:
        _without(f"results/field/{name}")(work)
        _new_image("d.fits")(work)

    return change


def _comments(tree: Path) -> None:
    """Other words in front of all code and behind it."""
    for path in tree.rglob("*.py"):
        text = re.sub(r'\A"""', '"""Said otherwise. ', path.read_text(encoding="utf-8"))
        path.write_text(f"{text}\n# a comment\n", encoding="utf-8")


def _rule_code(*rules: str) -> Callable[[Path], None]:
    """Another constant in the scripts of rules."""

    def change(tree: Path) -> None:
        for rule in rules:
            with (tree / "scripts" / f"{rule}.py").open("a", encoding="utf-8") as script:
                script.write("\nANOTHER_NUMBER = 1\n")

    return change


def _psf(**settings: object) -> Case:
    return Case("both", {f"photometry.psf.{name}": value for name, value in settings.items()})


_ACCESS = {"magnitude_limit": 21, "source": "tap", "servers": ["vizier"], "timeout_s": 5, "deadline_s": 50}
_WRITTEN_OUT = {"max_order": 2, "residual": True, "subtracted_images": False}
CASES = {
    "nothing": Case(),
    "settings that change no result": Case(
        settings={
            "frames_per_batch": 10,
            "series.field.images": "images/?.fits",
            "track_code": False,
            **{f"gaia.{name}": value for name, value in _ACCESS.items()},
        }
    ),
    "targets": Case(settings={"series.field.targets": [{"name": "one", "ra_deg": 269.91, "dec_deg": -28.6}]}),
    "no targets": Case(settings={"series.field.targets": None}),
    "aperture radii": Case(settings={"photometry.aperture.radii_fwhm": [1.0]}),
    "calibrate": Case(settings={"calibrate.clip_sigma": 5}),
    "refine_wcs": Case(settings={"refine_wcs.max_sip_order": 2}),
    "star_catalog": Case(settings={"star_catalog.detection_snr": 6}),
    "extract_stars": Case(settings={"extract_stars.min_snr": 15}),
    "background box": Case(settings={"extract_stars.background_box_pix": 32}),
    "gain": Case(settings={"series.field.header": {"gain": 1.9}}),
    "site": Case(settings={"series.field.site": {"lat_deg": -30.0, "lon_deg": -70.0, "height_m": 2000}}),
    "export": Case(settings={"export.formats": ["fits", "parquet"]}),
    "AAVSO's format": Case(settings={"export.formats": ["aavso"], "export.aavso.observer_code": "ABC"}),
    "annotate_images": Case(settings={"annotate_images": True}),
    "magnitude limit": Case(settings={"gaia.magnitude_limit": 19}),
    "from a file to the archive": Case(settings={"series.field.gaia_file": None}),
    "a circle of stars": Case(settings={"series.field.centre_deg": [269.9, -28.6], "series.field.radius_arcmin": 3}),
    "reference image": Case(settings={"series.field.reference_image": "b"}),
    "gain, magnitude limit and reference image": Case(
        settings={
            "gaia.magnitude_limit": 19,
            "series.field.reference_image": "b",
            "series.field.header": {"gain": 2},
        }
    ),
    "a second method": Case(settings=_BY_BOTH),
    "settings of a method that is not chosen": Case(
        settings={"photometry.psf": {"max_order": 1, "residual": False}}, code=_rule_code("psf_photometry")
    ),
    "from Gaia to the reference image": Case(settings=_ALONE),
    "a new image in the first batch": Case(files=_new_image("0-comes-first-by-name.fits")),
    "a new image in a new batch": Case(settings={"frames_per_batch": 1}, files=_new_image("d.fits")),
    "an image of another batch gone": Case(files=_without("images/a.fits")),
    "a batch without images": Case(files=_without("images/c.fits")),
    "the choice of the reference image, removed": Case(files=_removed("reference.json")),
    "the stars of Gaia, removed": Case(files=_removed("gaia.fits")),
    "a changed table of Gaia": Case(files=lambda work: os.utime(work / "gaia.fits")),
    "both: nothing": Case("both"),
    "both: order of the methods": Case("both", {"photometry.methods": ["psf", "aperture"]}),
    "both: defaults that are written out": _psf(**_WRITTEN_OUT),
    "both: fit radius": _psf(fit_radius_fwhm=2.0),
    "both: sky of the PSF": _psf(background_box_pix=32),
    "both: radii": Case("both", {"photometry.aperture.radii_fwhm": [1.0]}),
    "both: subtracted images": _psf(subtracted_images=True),
    "both: nothing subtracted": _psf(residual_pictures=False),
    "both: another export": Case("both", {"export.formats": ["parquet", "fits"]}),
    "both: AAVSO's settings alone": Case("both", {"export.aavso.observer_code": "ABC"}),
    "both: targets": Case("both", {"series.field.targets": [{"name": "one", "star_id": 3}]}),
    "both: PSF alone": Case("both", {"photometry.methods": ["psf"]}),
    "both: apertures alone": Case(
        "both", {"photometry.methods": ["aperture"], "photometry.psf.residual_pictures": None}
    ),
    "both: star_catalog": Case("both", {"star_catalog.detection_snr": 6}),
    "both: code of what is on request": Case("both", code=_rule_code("export_dataset", "subtract_stars")),
    "alone: nothing": Case("alone"),
    "alone: another image": Case("alone", {"series.field.reference_image": "b"}),
    "alone: pixel scale": Case("alone", {"series.field.pixel_scale_arcsec": 0.3}),
    "alone: depth": Case("alone", {"star_catalog.detection_snr": 6}),
    "alone: magnitude limit of Gaia": Case("alone", {"gaia.magnitude_limit": 19}),
    "alone: back to the archive": Case("alone", {"gaia.source": "tap"}),
    "code: comments": Case(code=_comments),
    "code: export_lightcurves": Case(code=_rule_code("export_lightcurves")),
    "code: assemble_dataset": Case(code=_rule_code("assemble_dataset")),
    "code: frozen": Case(settings={"track_code": False}, code=_rule_code("aperture_photometry", "refine_wcs")),
    "code: what computes nothing of the series": Case(
        code=_rule_code("download_gaia", "make_demo", "export_dataset", "annotate_images", "subtract_stars")
    ),
}


def list_jobs(tree: Tree, work: Path) -> str:
    """Measure small series, then list the jobs after each change, in ``jobs.json``.

    Parameters
    ----------
    tree : Tree
        Where.
    work : Path
        Folder with the link ``made``.

    Returns
    -------
    str
        What failed; empty where nothing did.
    """
    images = sorted((work / "made" / "crowded" / "images").glob("*.fits"))[:3]
    for name, settings in _SERIES.items():
        folder = work / name
        (folder / "images").mkdir(parents=True)
        for letter, image in zip("abc", images, strict=True):
            shutil.copyfile(image, folder / "images" / f"{letter}.fits")
            os.utime(folder / "images" / f"{letter}.fits", (_OLD, _OLD))
        shutil.copyfile(work / "made" / "crowded" / "gaia.fits", folder / "gaia.fits")
        os.utime(folder / "gaia.fits", (_OLD, _OLD))
        _write_config(folder, settings)
        done = tree.snakemake(folder, "--configfile", folder / "config.yaml", "--cores", "1", "--quiet", "all")
        if done.returncode:
            return f"series {name}: {done.stderr}"
    found = {}
    with _dry_runs(tree, work) as dry_run:
        for name, case in CASES.items():
            code, text = _after_change(tree, work, case, dry_run)
            if code < 0:
                return f"the dry run of {name!r} was ended by signal {-code}"
            found[name] = _jobs(code, text)
    (work / "jobs.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    return ""


@contextmanager
def _dry_runs(tree: Tree, folder: Path) -> Iterator[Callable[[list[str]], tuple[int, str]]]:
    """Function that runs the tree's command line, in processes that share the import of Snakemake."""
    with tree.start([_DRY_RUNS], folder) as process:

        def run(arguments: list[str]) -> tuple[int, str]:
            process.stdin.write(json.dumps(arguments) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            return tuple(json.loads(answer)) if answer else (process.wait() or 1, "no answer")

        yield run
        process.stdin.close()


def _after_change(
    tree: Tree, work: Path, case: Case, dry_run: Callable[[list[str]], tuple[int, str]]
) -> tuple[int, str]:
    """Exit code and text of a dry run after a change."""
    folder, changed = work / case.series, work / "changed"
    shutil.rmtree(changed, ignore_errors=True)
    if case.files:
        shutil.copytree(folder, changed / "work", symlinks=True)
        folder = changed / "work"
        case.files(folder)
    _write_config(folder, _SERIES[case.series] | case.settings)
    arguments = ["--configfile", str(folder / "config.yaml"), "--dry-run", "--quiet", "rules"]
    if not case.code:
        return dry_run(tree.workflow_arguments(folder) + arguments)
    left_out = shutil.ignore_patterns(".*", "__pycache__", "benchmarks", "tests", "docs", "results", "demo")
    shutil.copytree(tree.root, changed / "tree", ignore=left_out)
    try:
        case.code(changed / "tree")
    except FileNotFoundError as missing:
        return 1, f"no {Path(str(missing.filename)).name}"
    done = Tree(changed / "tree", tree.python).snakemake(folder, *arguments)
    return done.returncode, done.stdout + done.stderr


def _jobs(code: int, text: str) -> dict[str, int | str]:
    """Rules and numbers of jobs that a dry run lists."""
    table = re.search(r"^Job stats:\n.*\n[- ]+\n((?:\w+ +\d+\n)+)", text, re.MULTILINE)
    if code:
        return {"refused": text.strip()}
    if table is None:
        return {} if "Nothing to be done" in text else {"no list of jobs": text.strip()}
    return {rule: int(number) for rule, number in sorted(line.split() for line in table[1].splitlines())}


def _write_config(folder: Path, settings: dict) -> None:
    config = copy.deepcopy(_BASE)
    for path, value in settings.items():
        *sections, key = path.split(".")
        section = config
        for name in sections:
            section = section.setdefault(name, {})
        if value is None:
            section.pop(key, None)
        else:
            section[key] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
