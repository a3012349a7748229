"""Answers of the archive on disk: parts of an unfinished download, and whole cones that other series may use.

An entry is a table and a JSON file beside it with its query, server, date and the table's sha256. An entry whose table
is not the one that it describes counts as absent. Names are digests of what was asked, so that a change of the field,
the release or the magnitude limit never finds an answer to another question.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from gaiaflux.core.sky.sphere import directions, separation_deg
from gaiaflux.io.atomic import replacing
from gaiaflux.io.checksum import file_sha256
from gaiaflux.io.gaia.catalog import read_catalog, write_catalog
from gaiaflux.model.catalog import SkyCatalog

__all__ = ["Division", "Part", "PartStore", "StoredPart", "answer_now", "join_catalogs", "whole_cone"]

PREFIX = "gaia-"


@dataclass(frozen=True)
class Part:
    """Stars of a cone in a range of magnitude.

    Attributes
    ----------
    release : str
        Data release.
    ra_deg, dec_deg, radius_deg : float
        Axis and half opening angle of the cone [deg].
    bright : float or None
        Brighter end of the slice, not in it [mag]; None for all bright stars.
    faint : float
        Fainter end, in it [mag].
    """

    release: str
    ra_deg: float
    dec_deg: float
    radius_deg: float
    bright: float | None
    faint: float


@dataclass(frozen=True)
class Division:
    """How a part was divided because it has too many rows.

    Attributes
    ----------
    part : Part
        What was asked.
    boundary : float
        Faint end of the bright half [mag].
    number : int
        Rows of the whole as the server counted them.
    server : str
        URL.
    """

    part: Part
    boundary: float
    number: int
    server: str


@dataclass(frozen=True)
class StoredPart:
    """An answer.

    Attributes
    ----------
    part : Part
        What was asked.
    catalog : SkyCatalog
        Its stars.
    number : int
        Rows as the server counted them.
    query, server : str
        ADQL and URL.
    date_utc : str
        When it was given.
    """

    part: Part
    catalog: SkyCatalog
    number: int
    query: str
    server: str
    date_utc: str


def join_catalogs(catalogs: Sequence[SkyCatalog]) -> SkyCatalog:
    """One catalogue of several, sorted by source_id, each source once."""
    names = SkyCatalog.column_names()
    joined = catalogs[0].with_columns({name: np.concatenate([getattr(c, name) for c in catalogs]) for name in names})
    _, rows = np.unique(joined.source_id, return_index=True)
    return joined[rows]


class PartStore:
    """Keeps answers in memory and, where a folder is given, on disk.

    Parameters
    ----------
    folder : str, Path or None
        Made when the first answer comes.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self._folder = Path(folder) if folder else None
        self._parts: dict[Part, StoredPart] = {}
        self._splits: dict[Part, Division] = {}

    @property
    def n_stars(self) -> int:
        """Stars of the answers that this object has seen."""
        return sum(len(stored.catalog) for stored in self._parts.values())

    @property
    def lasting(self) -> bool:
        """Whether another run finds the answers again."""
        return self._folder is not None

    def load(self, part: Part) -> StoredPart | None:
        """The answer to a question that was asked before; None where there is none, or it is damaged."""
        if part not in self._parts and self._folder is not None:
            stored = _read(_path(self._folder, part, ".json"))
            if stored is not None and stored.part == part:
                self._parts[part] = stored
        return self._parts.get(part)

    def save(self, stored: StoredPart) -> None:
        """Keep an answer."""
        self._parts[stored.part] = stored
        if self._folder is None:
            return
        table = _path(self._folder, stored.part, ".fits")
        write_catalog(table, stored.catalog)
        facts = {"part": asdict(stored.part), "number": stored.number, "query": stored.query, "server": stored.server}
        facts |= {"date_utc": stored.date_utc, "n_rows": len(stored.catalog), "sha256": file_sha256(table)}
        _write(_path(self._folder, stored.part, ".json"), facts)

    def split(self, part: Part) -> Division | None:
        """How a part was divided; None where it was not."""
        if part not in self._splits and self._folder is not None:
            facts = _json(_path(self._folder, part, ".split"))
            if facts.get("part") == asdict(part):
                rest = float(facts["boundary"]), int(facts["number"]), str(facts["server"])
                self._splits[part] = Division(part, *rest)
        return self._splits.get(part)

    def save_split(self, division: Division) -> None:
        """Keep how a part is divided."""
        self._splits[division.part] = division
        if self._folder is not None:
            _write(_path(self._folder, division.part, ".split"), asdict(division))

    def forget(self, part: Part) -> None:
        """Drop what is known of a part and of those that it was divided into."""
        division = self.split(part)
        if division is not None:
            self.forget(replace(part, faint=division.boundary))
            self.forget(replace(part, bright=division.boundary))
        self._parts.pop(part, None)
        self._splits.pop(part, None)
        if self._folder is not None:
            for ending in (".json", ".fits", ".split"):
                _path(self._folder, part, ending).unlink(missing_ok=True)

    def covering(self, part: Part) -> StoredPart | None:
        """A whole cone on disk that holds all stars of another one; of several the one with the fewest rows."""
        if self._folder is None or not self._folder.is_dir():
            return None
        found = []
        for path in sorted(self._folder.glob(f"{PREFIX}*.json")):
            facts = _json(path)
            try:
                other = Part(**facts["part"])
                if _covers(other, part):
                    found.append((int(facts["n_rows"]), path))
            except (KeyError, TypeError, ValueError):  # a file of something else
                continue
        stored = (_read(path) for _, path in sorted(found))
        return next((one for one in stored if one is not None), None)

    def finish(self, whole: StoredPart, *, keep: bool) -> None:
        """Replace the parts on disk by the whole, or remove all of them."""
        if self._folder is None:
            return
        if keep:
            self.save(whole)
            for part in [*self._parts, *self._splits]:
                _path(self._folder, part, ".split").unlink(missing_ok=True)
                if part != whole.part:
                    _path(self._folder, part, ".json").unlink(missing_ok=True)
                    _path(self._folder, part, ".fits").unlink(missing_ok=True)
        else:
            shutil.rmtree(self._folder, ignore_errors=True)


def answer_now(part: Part, catalog: SkyCatalog, number: int, query: str, server: str) -> StoredPart:
    """An answer that has just come."""
    return StoredPart(part, catalog, number, query, server, datetime.now(UTC).isoformat(timespec="seconds"))


def whole_cone(part: Part, margin_deg: float) -> Part:
    """The same cone with a margin, so that the fields of other series are likely to lie in it."""
    return replace(part, radius_deg=round(part.radius_deg + margin_deg, 8))


def _covers(other: Part, part: Part) -> bool:
    if other.release != part.release or other.bright is not None or other.faint < part.faint:
        return False
    apart = separation_deg(directions(other.ra_deg, other.dec_deg), directions(part.ra_deg, part.dec_deg))
    return bool(apart + part.radius_deg <= other.radius_deg)


def _path(folder: Path, part: Part, ending: str) -> Path:
    digest = hashlib.sha256(json.dumps(asdict(part), sort_keys=True).encode()).hexdigest()[:20]
    return folder / f"{PREFIX}{digest}{ending}"


def _read(path: Path) -> StoredPart | None:
    facts, table = _json(path), path.with_suffix(".fits")
    try:
        if not table.is_file() or file_sha256(table) != facts["sha256"]:
            return None
        answer = {key: facts[key] for key in ("number", "query", "server", "date_utc")}
        return StoredPart(Part(**facts["part"]), read_catalog(table), **answer)
    except (KeyError, TypeError):
        return None


def _write(path: Path, facts: Mapping[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _json(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}
