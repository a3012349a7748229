"""Which files of a folder belong to a target."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gaiaflux.io.tess.prepared_field import PreparedField
from gaiaflux.io.tess.target_head import TargetHead, read_head
from gaiaflux.model.errors import InputError

__all__ = ["FIELD_FILE", "IMAGES_FILE", "PREPARED", "TargetInputs", "find_images", "find_inputs", "images_of_ccd"]

FIELD_FILE = "field.json"
"""Made by the rule `prepare_field`: where the files of a field are."""
IMAGES_FILE = "prepared.h5"
"""Made by the rule `prepare_images`: the prepared images of a CCD at one cadence."""
_FITS = (".fits", ".fits.gz", ".fit", ".fit.gz")
_TABLES = (".csv", ".ecsv", ".sqlite", ".db")
PREPARED = ".h5"
"""Ending of the catalogue that the rule `tess_catalog` makes."""
_NAMED_TABLES = (*_FITS, *_TABLES, PREPARED)
_NAMED = 3  # files in a message
_NO_CATALOG = ("pointing", "frames", "targets", "images", "lightcurves")  # names of other tables


@dataclass(frozen=True)
class TargetInputs:
    """Files of a target.

    Attributes
    ----------
    pixels : Path
        Target pixel file, or prepared images.
    catalog : Path
        Stars.
    prf_folder : Path or None
        Folder below which there are pixel response functions.
    pointing : Path or None
        Pointing of sectors and cameras.
    images : tuple of Path
        Prepared images of any CCD that are there as well.
    """

    pixels: Path
    catalog: Path
    prf_folder: Path | None
    pointing: Path | None
    images: tuple[Path, ...] = ()


def find_inputs(
    starid: int,
    input_folder: str | Path,
    *,
    sector: int | None = None,
    camera: int | None = None,
    ccd: int | None = None,
    cadence: int | None = None,
) -> TargetInputs:
    """Find the files of a target.

    Parameters
    ----------
    starid : int
        TIC number of the star whose target pixel file is wanted.
    input_folder : str or Path
        Folder with the files in it or below, or with `FIELD_FILE`; of a file its folder.
    sector, camera, ccd, cadence : int, optional
        Choose between several files of the star; `cadence` in seconds.

    Returns
    -------
    TargetInputs

    Raises
    ------
    FileNotFoundError
        There is no such folder, no target pixel file or several, or not exactly one catalogue. It says which.
    InputError
        `FIELD_FILE` is damaged.
    """
    files = _field_files(input_folder)
    wanted = {"sector": sector, "camera": camera, "ccd": ccd, "cadence_s": cadence}
    given = {key: value for key, value in wanted.items() if value is not None}
    pixels = _one_of_star(starid, files.targets, given, files.folder)
    return TargetInputs(pixels, files.catalog, files.prf_folder, files.pointing, tuple(files.images))


def find_images(
    input_folder: str | Path, *, camera: int, ccd: int, sector: int | None = None, cadence: int | None = None
) -> TargetInputs:
    """Find the prepared images of a CCD, and what belongs to them.

    Parameters
    ----------
    input_folder : str or Path
        Folder with them in it or below, or with `FIELD_FILE`; of a file its folder.
    camera, ccd : int
        Which CCD.
    sector, cadence : int, optional
        Choose between several; `cadence` in seconds.

    Returns
    -------
    TargetInputs

    Raises
    ------
    FileNotFoundError
        There is no such folder, no prepared images of the CCD or several, or not exactly one catalogue.
    InputError
        A file is damaged.
    """
    files = _field_files(input_folder)
    wanted = {"sector": sector, "camera": camera, "ccd": ccd, "cadence_s": cadence}
    found = images_of_ccd(files.images, wanted)
    names = {"ccd": "CCD", "cadence_s": "cadence"}
    said = "".join(f", {names.get(key, key)} {value}" for key, value in wanted.items() if value is not None)
    if not found:
        others = f" (but {len(files.images)} of others)" if files.images else ""
        raise FileNotFoundError(
            f"There are no prepared full-frame images of{said[1:]} in {files.folder}{others}; target pixel files are "
            "read with datasource='tpf'"
        )
    if len(found) > 1:
        listed = ", ".join(map(str, found))
        raise FileNotFoundError(
            f"There are {len(found)} sets of prepared images of{said[1:]}: {listed}; choose with sector and cadence"
        )
    return TargetInputs(found[0], files.catalog, files.prf_folder, files.pointing)


def images_of_ccd(paths: Iterable[Path], wanted: Mapping[str, int | None]) -> list[Path]:
    """Prepared images whose head says what is wanted.

    Parameters
    ----------
    paths : iterable of Path
    wanted : mapping
        ``sector``, ``camera``, ``ccd``, ``cadence_s``; those that are None or not there may be any.

    Returns
    -------
    list of Path
        Those of the shortest cadence first; none without any image.

    Raises
    ------
    FileNotFoundError, InputError
        As `PreparedField`, where none is found but a file cannot be read, which may be of any CCD.
    """
    found, unread = [], []
    for path in paths:
        try:
            with PreparedField(path) as field:
                if field.n_frames and all(value in (None, round(field.head[key])) for key, value in wanted.items()):
                    found.append((field.head["cadence_s"], path))
        except (FileNotFoundError, InputError) as reason:
            unread.append(reason)
    if unread and not found:
        raise unread[0]
    return [path for _, path in sorted(found)]


@dataclass(frozen=True)
class _FieldFiles:
    """Files of a field: pixels of targets, prepared images, and what belongs to all of them."""

    folder: Path
    targets: list[Path]
    images: list[Path]
    catalog: Path
    prf_folder: Path | None
    pointing: Path | None


def _field_files(input_folder: str | Path) -> _FieldFiles:
    folder = Path(input_folder)
    if folder.is_file():
        folder = folder.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {input_folder}")
    listed = folder / FIELD_FILE
    if listed.is_file():
        targets, images, (catalog, prf, pointing) = _listed(listed)
    else:
        below = _files_below(folder)
        targets = [path for path in below if _is_pixels(path)]
        images = [path for path in below if path.name == IMAGES_FILE]
        responses = [path.parent for path in below if "prf" in path.name.lower() and _is_fits(path)]
        prf = Path(os.path.commonpath(responses)) if responses else None
        pointing = next((path for path in below if path.name.lower() == "tess_pointing.csv"), None)
        catalog = _one_catalog(below, folder)
    if catalog is None or not catalog.is_file():
        raise FileNotFoundError(f"There is no catalogue in {folder}: {catalog}")
    return _FieldFiles(folder, targets, images, catalog, prf, pointing)


def _listed(path: Path) -> tuple[list[Path], list[Path], list[Path | None]]:
    """Target files, prepared images, and catalogue, response functions and pointings, that `FIELD_FILE` names."""
    try:
        field = json.loads(path.read_text(encoding="utf-8"))
        others = [Path(field[key]) if field[key] else None for key in ("catalog", "prf", "pointing")]
        targets, images = ([Path(name) for name in field[key]] for key in ("targets", "images"))
        return targets, images, others
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} does not list the files of a field ({error!r}): make it again") from error


def _files_below(folder: Path) -> list[Path]:
    """Files in a folder and below, linked folders included, each folder once."""
    found, seen = [], set()
    for top, folders, names in os.walk(folder, followlinks=True):
        place = os.path.realpath(top)
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        found += [Path(top, name) for name in names]
    return sorted(path for path in found if path.is_file())


def _one_of_star(starid: int, files: list[Path], wanted: dict[str, int], folder: Path) -> Path:
    """The newest version of the one target pixel file of a star."""
    digits = str(starid)
    # A name with another number in the place of the TIC is not opened; one that says nothing is.
    heads = {path: read_head(path) for path in files if digits in path.name or not _names_a_star(path)}
    right = {path: head for path, head in heads.items() if _agrees(head, wanted)}
    found = {path: head for path, head in right.items() if head.starid == starid}
    if not found:
        # A cut-out names no star.
        found = {path: head for path, head in right.items() if head.starid == 0 and head.camera}
    if not found:
        chosen = "".join(f", {key.removesuffix('_s')} {value}" for key, value in wanted.items())
        others = ", ".join(f"{path.name} of TIC {head.starid}" for path, head in list(heads.items())[:_NAMED])
        raise FileNotFoundError(
            f"There is no target pixel file of TIC {starid}{chosen} in {folder}{f' (but {others})' if others else ''}"
        )
    # Versions of one observation stand for each other; sectors and cadences do not.
    observations = {(head.sector, head.camera, head.ccd, head.cadence_s) for head in found.values()}
    newest = max(head.data_release for head in found.values())
    left = [path for path, head in found.items() if len(observations) > 1 or head.data_release == newest]
    if len(left) > 1:
        names = ", ".join(str(path) for path in left)
        raise FileNotFoundError(
            f"There are {len(left)} target pixel files of TIC {starid}: {names}; choose with sector, camera, ccd, "
            "cadence"
        )
    return left[0]


def _agrees(head: TargetHead, wanted: dict[str, int]) -> bool:
    return all(getattr(head, key) in (0, value) for key, value in wanted.items())


def _names_a_star(path: Path) -> bool:
    """Whether the name is one of the mission's, with the TIC in 11 or 16 digits."""
    runs = path.name.replace("_", "-").replace(".", "-").split("-")
    return any(run.isdigit() and len(run) in (11, 16) for run in runs)


def _is_fits(path: Path) -> bool:
    return path.name.lower().endswith(_FITS)


def _is_pixels(path: Path) -> bool:
    name = path.name.lower()
    return _is_fits(path) and not any(word in name for word in ("prf", "_lc.", "catalog", "_ffi"))


def _one_catalog(below: list[Path], folder: Path) -> Path:
    tables = [path for path in below if path.name.lower().endswith(_TABLES)]
    named = [path for path in below if "catalog" in path.name.lower() and path.name.lower().endswith(_NAMED_TABLES)]
    others = [path for path in tables if not any(word in path.name.lower() for word in _NO_CATALOG)]
    found = named or others
    if len(found) != 1:
        names = f": {', '.join(str(path) for path in found)}" if found else ""
        raise FileNotFoundError(f"There must be one catalogue in {folder}, and there are {len(found)}{names}")
    return found[0]
