"""The user's table of pointings: where the cameras of the mission pointed, sector by sector."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gaiaflux.core.sky.focal_plane import Pointing
from gaiaflux.model.errors import InputError

__all__ = ["SPACECRAFT", "read_pointing"]

SPACECRAFT = 0
"""Number that stands for the spacecraft itself among the cameras."""
_COLUMNS = ("sector", "camera", "ra", "dec", "roll")


def read_pointing(path: str | Path) -> dict[tuple[int, int], Pointing]:
    """Read a table of pointings (CSV).

    Parameters
    ----------
    path : str or Path
        A line of names in any case, then a line for each sector and camera: ``sector``, ``camera``, ``ra``, ``dec``,
        ``roll`` [deg]. Where the camera is 0 or missing the line is of the spacecraft. Lines that begin with # are
        passed over, other columns are not used.

    Returns
    -------
    dict of (int, int) to Pointing
        By sector and camera; camera `SPACECRAFT` for the spacecraft.

    Raises
    ------
    FileNotFoundError
        No such file.
    InputError
        Columns missing, numbers that are none, a sector and camera twice, no line.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"the table of pointings {path} does not exist: correct its name")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(line for line in file if line.strip() and not line.lstrip().startswith("#")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"the table of pointings {path} cannot be read as CSV: write it again as text") from error
    pointings: dict[tuple[int, int], Pointing] = {}
    for k, row in enumerate(rows, 1):
        values = {(name or "").strip().lower(): text for name, text in row.items() if isinstance(name, str)}
        missing = [name for name in _COLUMNS if name not in values and name != "camera"]
        if missing:
            raise InputError(
                f"the table of pointings {path} has no column {', '.join(missing)}: it must have "
                f"{', '.join(_COLUMNS)}, separated by commas"
            )
        key, pointing = _pointing(values, f"row {k} of the table of pointings {path}")
        if pointings.setdefault(key, pointing) != pointing:
            raise InputError(
                f"the table of pointings {path} has two lines for sector {key[0]}, camera {key[1]}: leave one"
            )
    if not pointings:
        raise InputError(f"the table of pointings {path} has no lines: give one for each sector and camera")
    return pointings


def _pointing(values: Mapping[str, str | None], where: str) -> tuple[tuple[int, int], Pointing]:
    try:
        sector, camera = int(values["sector"] or ""), int((values.get("camera") or "").strip() or SPACECRAFT)
        angles = Pointing(*(float(values[name] or "") for name in ("ra", "dec", "roll")))
    except ValueError:
        raise InputError(f"{where} holds something that is no number: give whole numbers and degrees") from None
    known = all(np.isfinite(angle) for angle in (angles.ra_deg, angles.dec_deg, angles.roll_deg))
    if sector < 1 or camera not in range(5) or not known or abs(angles.dec_deg) > 90.0:
        raise InputError(
            f"{where} holds sector {sector}, camera {camera}, dec {angles.dec_deg:g}: sectors count from 1, cameras "
            "are 1 to 4 (0: the spacecraft), angles are in degrees"
        )
    return (sector, camera), angles
