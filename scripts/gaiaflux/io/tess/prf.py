"""Pixel response functions of the mission: files of samples at some places of a CCD.

A set of them holds from a sector on; files are chosen by their headers (camera, CCD, place), their set by the folder
``start_s0001`` or ``start_s0004`` that they lie in, or else by the date in their name.
"""

import gzip
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits

from gaiaflux.core.psf.sampled import SampledPsf, sampled_psf
from gaiaflux.core.sky.focal_plane import Pointing, ccd_of_sky
from gaiaflux.io.tess.fits_file import opened
from gaiaflux.model.ccd_layout import CCD_SHAPE, FIRST_SCIENCE_COLUMN, FULL_FRAME
from gaiaflux.model.errors import InputError

__all__ = ["prf_files", "read_prf"]

_WHAT = "PRF file"
_SETS = (1, 4)
"""Sectors from which on a set holds."""
_SOURCE = "archive.stsci.edu/missions/tess/models/prf_fitsfiles"
_FOLDER = re.compile(r"^start_s(\d{4})$")
_NAME = re.compile(r"^tess(\d{4})\d{3}\d+-prf-(\d)-(\d)-row(\d+)-col(\d+)\.fits(\.gz)?$")
_CARD = re.compile(r"([A-Z0-9_]+) *= *(?:'([^']*)'|([^ /]+))")
_KEYS = ("CAM", "CCD", "CCD_RREF", "CCD_CREF", "NSAMP")
_HEADER_BYTES = 2 * 2880
# The mission's places are 512 pixels apart and lie on the edges.
_WIDEST_GAP, _EDGE = 600.0, 64.0
# Light within this radius says how a function is elongated [pixel].
_INNER = 5.0
_AGAINST = -0.4


@dataclass(frozen=True)
class _File:
    path: Path
    camera: int
    ccd: int
    row: float
    column: float
    oversampling: int
    named: tuple[int, int, int, int] | None
    """Camera, CCD, row and column that the name says."""
    turned: bool
    """Whether the header says that its first axis runs along the rows."""

    @property
    def place(self) -> tuple[int, int]:
        return round(self.row), round(self.column)


def read_prf(folder: str | Path, sector: int, camera: int, ccd: int) -> SampledPsf:
    """Pixel response function of a CCD.

    Parameters
    ----------
    folder : str or Path
        Folder with the mission's files of any CCDs and sets, at any depth.
    sector : int
        From 1; it says which set holds.
    camera, ccd : int
        1 to 4.

    Returns
    -------
    SampledPsf
        Over a full frame, in 0-based coordinates of the CCD with the virtual columns; of total light 1 at each place.

    Raises
    ------
    ValueError
        No such sector, camera or CCD.
    FileNotFoundError
        No such folder, no file of this CCD and set in it, or not all of its places.
    InputError
        Files that contradict their names or each other, that are transposed, cut off or hold no samples.
    """
    files = _chosen(folder, sector, camera, ccd)
    rows, columns = (np.unique([file.place[axis] for file in files]) for axis in (0, 1))
    by_place = {file.place: file for file in files}
    samples = [[_samples(by_place[row, column]) for column in columns] for row in rows]
    shapes = {table.shape for line in samples for table in line}
    factors = {file.oversampling for file in files}
    if len(shapes) > 1 or len(factors) > 1:
        raise InputError(
            f"the PRF files of camera {camera}, CCD {ccd} in {folder} are sampled in different ways: they are mixed "
            f"from several sources; give one set ({_SOURCE})"
        )
    try:
        psf = sampled_psf(np.array(samples), factors.pop(), columns - 1.0, rows - 1.0, FULL_FRAME)
    except ValueError as error:
        raise InputError(
            f"the PRF files of camera {camera}, CCD {ccd} in {folder} are not usable ({error}): fetch them again"
        ) from error
    _refuse_transposed(psf, camera, ccd, folder)
    return psf


def prf_files(folder: str | Path, sector: int, camera: int, ccd: int) -> list[Path]:
    """Files that `read_prf` reads, sorted; it raises the same where they are not all there or contradict themselves."""
    return sorted(file.path for file in _chosen(folder, sector, camera, ccd))


def _chosen(folder: str | Path, sector: int, camera: int, ccd: int) -> list[_File]:
    """One file for each place."""
    if sector < 1 or camera not in (1, 2, 3, 4) or ccd not in (1, 2, 3, 4):
        raise ValueError(f"sector {sector}, camera {camera}, CCD {ccd}: sectors count from 1, cameras and CCDs are 1-4")
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"the folder of PRF files {folder} does not exist: correct prf_folder")
    start = max(first for first in _SETS if first <= sector)
    paths = sorted(path for path in folder.rglob("*") if path.name.lower().endswith((".fits", ".fits.gz")))
    files = [file for file in map(_look_at, paths) if file is not None]
    own = [file for file in files if (file.camera, file.ccd) == (camera, ccd)]
    named = [file for file in files if file.named is not None and file.named[:2] == (camera, ccd)]
    for file in [*own, *named]:
        _refuse_contradiction(file)
    chosen = [file for file in own if _start_of(file.path) in (start, None)]
    if not chosen:
        others = sorted({f"camera {file.camera}, CCD {file.ccd}" for file in files})
        there = f"the set of another epoch ({own[0].path})" if own else ", ".join(others[:4]) or "no PRF files"
        raise FileNotFoundError(
            f"no PRF files of camera {camera}, CCD {ccd} for sector {sector} (set start_s{start:04d}) in {folder}, "
            f"which holds {there}: fetch them ({_SOURCE})"
        )
    return _complete(_one_each(chosen, folder), folder)


def _look_at(path: Path) -> _File | None:
    """What the header's first cards say; None of what is no PRF of the mission."""
    try:
        with path.open("rb") as stream:
            packed = stream.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as stream:
            head = stream.read(_HEADER_BYTES).decode("ascii", "replace")
    except (OSError, EOFError, zlib.error) as error:
        if "prf" not in path.name.lower():
            return None
        raise InputError(f"the {_WHAT} {path} cannot be read ({error}): fetch it again") from error
    values: dict[str, str] = {}
    for k in range(0, len(head), 80):
        if head[k : k + 8] == "END     ":
            break
        found = _CARD.match(head[k : k + 80])
        if found is not None:
            values.setdefault(found[1], (found[2] if found[2] is not None else found[3]).strip())
    if values.get("DATATYPE", "PRF").upper() != "PRF" or not all(key in values for key in _KEYS):
        return None
    try:
        camera, ccd, row, column, factor = (float(values[key].replace("D", "E")) for key in _KEYS)
    except ValueError:
        return None
    name = _NAME.match(path.name)
    said = None if name is None else (int(name[2]), int(name[3]), int(name[4]), int(name[5]))
    turned = values.get("CTYPE1P", "RAWX").upper() == "RAWY"
    return _File(path, round(camera), round(ccd), row, column, round(factor), said, turned)


def _start_of(path: Path) -> int | None:
    """First sector of a file's set; None where neither its folders nor its name say it."""
    for part in reversed(path.resolve().parts[:-1]):
        found = _FOLDER.match(part)
        if found is not None:
            return int(found[1])
    name = _NAME.match(path.name)
    # The set of sector 1 is dated of 2018, that of sector 4 of 2019.
    return None if name is None else _SETS[0] if int(name[1]) <= 2018 else _SETS[1]


def _refuse_contradiction(file: _File) -> None:
    stated = file.camera, file.ccd, *file.place
    if file.named is not None and file.named != stated:
        raise InputError(
            f"the {_WHAT} {file.path} is of camera {stated[0]}, CCD {stated[1]}, row {stated[2]}, column {stated[3]} "
            f"by its header and of camera {file.named[0]}, CCD {file.named[1]}, row {file.named[2]}, column "
            f"{file.named[3]} by its name: the files are mixed up; fetch them again ({_SOURCE})"
        )
    row, column = file.place
    first, last = FIRST_SCIENCE_COLUMN + 1, FIRST_SCIENCE_COLUMN + CCD_SHAPE[1]
    if file.turned or not (1 <= row <= CCD_SHAPE[0] and first <= column <= last):
        raise InputError(
            f"the {_WHAT} {file.path} has rows and columns exchanged (row {row}, column {column}; rows are "
            f"1-{CCD_SHAPE[0]}, columns {first}-{last}): fetch the original ({_SOURCE})"
        )


def _one_each(files: list[_File], folder: Path) -> list[_File]:
    by_place: dict[tuple[int, int], _File] = {}
    for file in sorted(files, key=lambda file: (file.named is None, file.path)):
        other = by_place.setdefault(file.place, file)
        if other is file or (other.named is not None and file.named is None):
            continue
        if other.path.read_bytes() != file.path.read_bytes():
            raise InputError(
                f"{folder} has two different PRF files for row {file.place[0]}, column {file.place[1]}: {other.path} "
                f"and {file.path}; leave one set"
            )
    return list(by_place.values())


def _complete(files: list[_File], folder: Path) -> list[_File]:
    rows, columns = (sorted({file.place[axis] for file in files}) for axis in (0, 1))
    places = {file.place for file in files}
    missing = [f"row {row}, column {column}" for row in rows for column in columns if (row, column) not in places]
    for name, values, low, high in (
        ("row", rows, 1, CCD_SHAPE[0]),
        ("column", columns, FIRST_SCIENCE_COLUMN + 1, FIRST_SCIENCE_COLUMN + CCD_SHAPE[1]),
    ):
        steps = zip([low + _EDGE - _WIDEST_GAP, *values], [*values, high - _EDGE + _WIDEST_GAP], strict=True)
        missing += [
            f"a {name} between {max(before, low):.0f} and {min(after, high):.0f}"
            for before, after in steps
            if after - before > _WIDEST_GAP
        ]
    if missing:
        raise FileNotFoundError(
            f"the PRF files of camera {files[0].camera}, CCD {files[0].ccd} in {folder} are not all there: missing "
            f"{'; '.join(missing[:3])}{' ...' if len(missing) > 3 else ''}; fetch them again ({_SOURCE})"
        )
    return files


def _samples(file: _File) -> np.ndarray:
    with opened(file.path, _WHAT) as hdus:
        primary = hdus[0]
        if not isinstance(primary, fits.PrimaryHDU) or primary.header.get("NAXIS") != 2:
            raise InputError(f"the {_WHAT} {file.path} holds no image of samples: fetch it again")
        return np.array(primary.data, np.float64)


def _refuse_transposed(psf: SampledPsf, camera: int, ccd: int, folder: str | Path) -> None:
    """The stars are longer along the radius from the camera's axis, all over a CCD; transposed ones are shorter."""
    size = psf.samples.shape[-1]
    v, u = (np.mgrid[:size, :size] - (size - 1) / 2) / psf.oversampling
    light = np.clip(psf.samples, 0.0, None) * (np.hypot(u, v) < _INNER)
    light = light / light.sum(axis=(2, 3), keepdims=True)
    x, y = (np.sum(light * axis, axis=(2, 3)) for axis in (u, v))
    longer = np.sum(light * (u**2 - v**2), axis=(2, 3)) - (x**2 - y**2)
    axis_column, axis_row = ccd_of_sky(Pointing(0.0, 0.0, 0.0), camera, ccd, 0.0, 0.0)
    radial = (psf.x[None, :] - axis_column) ** 2 - (psf.y[:, None] - axis_row) ** 2
    if np.ptp(longer) > 0.05 and np.corrcoef(longer.ravel(), radial.ravel())[0, 1] < _AGAINST:
        raise InputError(
            f"the PRF files of camera {camera}, CCD {ccd} in {folder} seem to be transposed: their images are longer "
            f"across the radius from the camera's axis than along it; fetch the originals ({_SOURCE}), rows first"
        )
