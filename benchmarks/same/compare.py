"""Comparison of what two trees made of an input: which files, and value by value what is in them."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from formats import read_file
from values import Finding, compare_mappings

if TYPE_CHECKING:
    from inputs import Input

__all__ = ["Comparison", "cleaner", "compare_files", "compare_folders", "compare_input", "failure_of"]

# What users get of a series; the files between the rules may change their form.
_RESULTS = ("dataset.h5", "frames.csv", "stars.*", "gaia.json", "gaia.fits", "reference.json", "report.html")
_RESULTS += ("lightcurves/**/*", "export/**/*", "annotated/**/*", "residuals/**/*")
_SERIES = tuple(f"results/*/{pattern}" for pattern in _RESULTS)
# Files by the kind of an input, below its working directory.
_FILES = {
    "workflow": _SERIES,
    "interface": ("interface/*",),
    "injection": tuple(
        f"injection/*/{pattern}" for pattern in ("*.csv", "*.png", "*.ecsv", "config.yaml", "images/*", *_SERIES)
    ),
    "simulate": ("demo/**/*",),
    "jobs": ("jobs.json",),
}
# What differs from run to run in any text: moments of writing, versions, ports.
_MOMENTS = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|\+00:00)"), "(moment)"),
    (re.compile(r"\b(python|gaiaflux|numpy|scipy|astropy|h5py|numba) \d+\.\d+[\w.]*"), r"\1 (version)"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:(port)"),
)


@dataclass
class Comparison:
    """What differs in an input.

    Attributes
    ----------
    differences, remarks : list of str
        A line each.
    worst : tuple of float and str
        Largest difference in units of the error beside it, and where it is; 0 without any.
    n_files, n_values : int
        Compared files; places that were looked at in those that are not the same byte by byte.
    """

    differences: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    worst: tuple[float, str] = (0.0, "")
    n_files: int = 0
    n_values: int = 0

    def add(self, name: str, findings: Iterator[Finding]) -> None:
        """Take what differs in a file."""
        for found in findings:
            (self.remarks if found.remark else self.differences).append(f"{name} {found.place}: {found.text}")
            if found.errors > self.worst[0]:
                self.worst = (float(found.errors), f"{name} {found.place}")


def compare_input(one: "Input", old: Path, new: Path, roots: tuple[Path, Path]) -> Comparison:
    """Compare what two trees made of an input.

    Parameters
    ----------
    one : Input
        What was run.
    old, new : Path
        Folders with the working directories.
    roots : tuple of Path
        The two trees, whose places do not count.

    Returns
    -------
    Comparison
    """
    works = [folder / (one.after or one.name) for folder in (old, new)]
    cleaners = [cleaner(work, root) for work, root in zip(works, roots, strict=True)]
    found = compare_folders(*works, _FILES[one.kind], cleaners)
    for which, folder in (("old", old), ("new", new)):
        failure = failure_of(one, folder)
        if failure.is_file():
            found.differences.insert(0, f"the {which} tree failed: {failure.read_text(encoding='utf-8').strip()}")
    return found


def failure_of(one: "Input", folder: Path) -> Path:
    """File that says why an input could not be run, among the working directories of a tree."""
    return folder / f"{one.name}.failure.txt"


def compare_folders(
    old: Path, new: Path, patterns: tuple[str, ...], cleaners: list[Callable[[str], str]]
) -> Comparison:
    """Compare the files of two folders.

    Parameters
    ----------
    old, new : Path
        Folders.
    patterns : tuple of str
        Which files, as for `Path.glob`.
    cleaners : list of callable
        For the texts of each folder: takes out what differs from run to run.

    Returns
    -------
    Comparison
    """
    result = Comparison()
    names = [_names(folder, patterns) for folder in (old, new)]
    if not any(names):
        result.differences.append("there is nothing to compare")
    for name in dict.fromkeys(names[0] + names[1]):
        paths = (old / name, new / name)
        if not paths[1].is_file():
            result.differences.append(f"{name}: missing now")
        elif not paths[0].is_file():
            result.differences.append(f"{name}: new")
        else:
            result.n_files += 1
            if paths[0].read_bytes() != paths[1].read_bytes():
                n_values, findings = compare_files(*paths, cleaners)
                result.n_values += n_values
                result.add(name, iter(findings))
    return result


def compare_files(old: Path, new: Path, cleaners: list[Callable[[str], str]]) -> tuple[int, list[Finding]]:
    """Number of places in two files, and what differs in them.

    Parameters
    ----------
    old, new : Path
        Files of one kind.
    cleaners : list of callable
        For the texts of each.

    Returns
    -------
    int, list of Finding
    """
    mappings = [read_file(path, clean) for path, clean in zip((old, new), cleaners, strict=True)]
    return len(mappings[0]), list(compare_mappings(*mappings))


def _names(folder: Path, patterns: tuple[str, ...]) -> list[str]:
    """Files of a folder in the order of the patterns, without Snakemake's own."""
    found = [path for pattern in patterns for path in sorted(folder.glob(pattern)) if path.is_file()]
    return [str(path.relative_to(folder)) for path in found if not path.name.startswith(".")]


def cleaner(work: Path, root: Path) -> Callable[[str], str]:
    """Function that takes places and moments out of a text."""
    places = [str(work), str(root)]

    def clean(text: str) -> str:
        for place in places:
            text = text.replace(place, "(here)")
        for pattern, word in _MOMENTS:
            text = pattern.sub(word, text)
        return text

    return clean
