"""Files of the archive on disk: fetched once, checked, written down; what is there is not fetched again.

Under its name stands a file that came as a whole and was checked; what has come of another one stands beside its place
as ``.part`` with a note, and the next run goes on there.
"""

import json
import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gaiaflux.io.atomic import replacing
from gaiaflux.io.checksum import file_sha256
from gaiaflux.io.mast.checks import check_fits, unpacked_cutouts
from gaiaflux.io.mast.queries import StoredFile
from gaiaflux.io.transport import ServerFailure, Transport

__all__ = ["Cutout", "FileStore"]

LARGEST_FILE_BYTES = 4_000_000_000
RECORD = "files.jsonl"
# A server that fails with so many files one after the other is not asked for the next.
MOST_FAILURES = 3
ATTEMPTS = 2

Entry = dict[str, Any]


class _NotGoodError(ServerFailure):
    """All of it came, and it is not what it should be."""


@dataclass(frozen=True)
class Cutout:
    """A cut-out that TESScut makes.

    Attributes
    ----------
    url : str
        With position, size and sector.
    sector : int
        Of it.
    """

    url: str
    sector: int

    @property
    def name(self) -> str:
        """For the unfinished file."""
        return "".join(letter if letter.isalnum() or letter in ".-" else "_" for letter in self.url.partition("?")[2])


class FileStore:
    """Fetches files into a folder.

    Parameters
    ----------
    folder : Path
        Of a field; made with the first file.
    transport : Transport
        Carries the bytes.
    cache : Path or None
        Folder where files are kept for other fields; linked from there where the file system can, else copied.
    """

    def __init__(self, folder: Path, transport: Transport, cache: Path | None = None) -> None:
        self._folder, self._transport, self._cache = folder, transport, cache
        self._known = _read_record(folder / RECORD)
        self._kept = _read_record(cache / RECORD) if cache else {}

    def fetch(self, files: Iterable[StoredFile | Cutout], kind: str) -> list[Entry]:
        """Get files that are not there yet.

        Parameters
        ----------
        files : iterable of StoredFile or Cutout
            Of the archive.
        kind : str
            Folder below that of the field.

        Returns
        -------
        list of dict
            What is written down of each file: ``file`` (below the field's folder), ``url``, ``size``, ``sha256``,
            ``checksums`` (parts of the FITS file whose checksum was right), ``date_utc``.

        Raises
        ------
        ServerFailure
            Some did not come; the others did, and are written down.
        """
        entries: list[Entry] = []
        failures: list[str] = []
        in_a_row = 0
        wanted = list(files)
        for one in wanted:
            try:
                entries += self._there(one, kind) or self._got(one, kind)
                in_a_row = 0
            except ServerFailure as failure:
                failures.append(f"{one.name}: {failure}")
                in_a_row += 1
            if in_a_row == MOST_FAILURES or (failures and self._transport.remaining_s <= 0.0):
                break
        if failures:
            lost = len(wanted) - len({entry["url"] for entry in entries})
            raise ServerFailure(
                f"{lost} of {len(wanted)} files ({kind}) did not come: {'; '.join(failures[:MOST_FAILURES])}"
            )
        return entries

    def _there(self, one: StoredFile | Cutout, kind: str) -> list[Entry]:
        """What is written down, where all files of a place are still what they were."""
        found = [entry for entry in self._known.get(one.url, []) if entry["file"].startswith(f"{kind}/")]
        return found if all(_is_unchanged(self._folder / entry["file"], entry) for entry in found) else []

    def _got(self, one: StoredFile | Cutout, kind: str) -> list[Entry]:
        entries = self._cached(one, kind)
        if not entries:
            try:
                entries = self._accepted(one, kind)
            except _NotGoodError:
                entries = self._accepted(one, kind)  # once more, from the beginning
            self._keep(entries)
        self._write_down(self._folder, entries)
        self._known[one.url] = entries
        return entries

    def _accepted(self, one: StoredFile | Cutout, kind: str) -> list[Entry]:
        home, part = self._folder / kind, self._folder / kind / f"{one.name}.part"
        try:
            came = self._transport.fetch(one.url, part, LARGEST_FILE_BYTES)
        except ServerFailure:
            if part.is_file() and not part.stat().st_size:
                part.unlink()
            raise
        try:
            if isinstance(one, Cutout):
                paths, proven = unpacked_cutouts(came.path, home, one.sector), 0
                came.drop()
            else:
                if one.size and came.size != one.size:
                    raise ServerFailure(f"{came.size} bytes came where the archive's list says {one.size}")
                proven = check_fits(came.path)
                paths = [home / one.name]
                came.keep_as(paths[0])
        except ServerFailure as failure:
            came.drop()
            raise _NotGoodError(str(failure)) from failure
        return [self._entry(path, one.url, proven) for path in paths]

    def _entry(self, path: Path, url: str, proven: int) -> Entry:
        return {
            "file": path.relative_to(self._folder).as_posix(),
            "url": url,
            "size": path.stat().st_size,
            "sha256": file_sha256(path),
            "checksums": proven,
            "date_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def _write_down(self, folder: Path, entries: list[Entry]) -> None:
        with (folder / RECORD).open("a", encoding="utf-8") as stream:
            stream.writelines(json.dumps(entry) + "\n" for entry in entries)

    def _cached(self, one: StoredFile | Cutout, kind: str) -> list[Entry]:
        if self._cache is None:
            return []
        found = self._kept.get(one.url, [])
        if not all(_is_unchanged(self._cache / entry["file"], entry) for entry in found):
            return []
        entries = [{**entry, "file": f"{kind}/{Path(entry['file']).name}"} for entry in found]
        for entry, mine in zip(found, entries, strict=True):
            _link(self._cache / entry["file"], self._folder / mine["file"])
        return entries

    def _keep(self, entries: list[Entry]) -> None:
        if self._cache is None:
            return
        for entry in entries:
            _link(self._folder / entry["file"], self._cache / entry["file"])
        self._write_down(self._cache, entries)
        self._kept[entries[0]["url"]] = entries


def _read_record(path: Path) -> dict[str, list[Entry]]:
    """What is written down, by place; of a place that was fetched again the last time counts."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    by_file: dict[str, Entry] = {}
    for line in lines:
        try:
            entry = json.loads(line)
            by_file[entry["file"]] = {**entry, "url": str(entry["url"]), "size": int(entry["size"])}
        except (ValueError, TypeError, KeyError):
            continue  # a run was killed while it wrote
    found: dict[str, list[Entry]] = {}
    for name in sorted(by_file):
        found.setdefault(by_file[name]["url"], []).append(by_file[name])
    return found


def _is_unchanged(path: Path, entry: Entry) -> bool:
    return path.is_file() and path.stat().st_size == entry["size"] and file_sha256(path) == entry.get("sha256")


def _link(source: Path, target: Path) -> None:
    with replacing(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, temporary)
            os.utime(temporary, (time.time(), source.stat().st_mtime))
