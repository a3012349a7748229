"""Where the body of an answer goes, and how far it has come: memory, or a file that another run goes on with.

`gaiaflux.io.transport` fills these; what it needs to ask for the rest of a body is kept here.
"""

import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

__all__ = ["Received", "ReceivedFile"]


class Received:
    """A body in memory.

    Parameters
    ----------
    content : bytearray, optional
        What has come of it.
    version : str
        The server's mark of what it sent; empty where it cannot send the rest of it.
    total : int or None
        Bytes of the whole body, where the server says it.
    """

    # Without a mark the rest of a body may be that of another one.
    needs_mark = True

    def __init__(self, content: bytearray | None = None, version: str = "", total: int | None = None) -> None:
        self._content = bytearray() if content is None else content
        self.version = version
        self.total = total
        self._offered = bool(version)

    @property
    def size(self) -> int:
        """Bytes that have come."""
        return len(self._content)

    @property
    def resumes(self) -> bool:
        """Whether the rest can be asked for."""
        return self._offered and bool(self.version or not (self.needs_mark or self.total is None))

    def begin(self, headers: Mapping[str, str], total: int | None) -> None:
        """A whole body follows.

        Parameters
        ----------
        headers : mapping of str to str
            Of the answer.
        total : int or None
            Its bytes, where they are announced.
        """
        said = {name.lower(): value for name, value in headers.items()}
        tag = said.get("etag", "W/")  # that begins a tag of similar, not of the same bytes
        self.version = said.get("last-modified", "") if tag.startswith("W/") else tag
        self._offered = said.get("accept-ranges", "").strip().lower() == "bytes"
        self.total = total
        self._empty()

    def rest(self) -> dict[str, str]:
        """Headers that ask for what lacks, or for everything."""
        if not self.size or not self.resumes:
            return {}
        return {"Range": f"bytes={self.size}-", **({"If-Range": self.version} if self.version else {})}

    def continues(self, content_range: str) -> bool:
        """Whether a part, by its ``Content-Range``, is the one that lacks."""
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", content_range.strip())
        if found is None or int(found[1]) != self.size:
            return False
        if found[2] == "*":
            return bool(self.version)
        return self.total is None or int(found[2]) == self.total

    def forget(self) -> None:
        """What has come is no beginning of what the server has now: all of it, the next time."""
        self._offered = False

    def write(self, block: bytes) -> None:
        """Take what has come."""
        self._content += block

    def whole(self) -> bytes:
        """The body; nothing of one that is in a file."""
        return bytes(self._content)

    def _empty(self) -> None:
        self._content.clear()


class ReceivedFile(Received):
    """A body in a file, with a note beside it by which another run goes on.

    Used as a context manager. A server that says nothing of its version but offers parts is believed if the whole
    length stays the same: who uses this checks the content in the end.

    Parameters
    ----------
    path : Path
        File; its folder is made. The note has the same name and ``.json``.
    place : str
        What is asked for. A file of another place is begun anew.
    """

    needs_mark = False

    def __init__(self, path: Path, place: str) -> None:
        super().__init__()
        self.path, self._place = path, place
        self._note = path.with_name(f"{path.name}.json")
        self._size = 0
        self._stream: BinaryIO | None = None

    def __enter__(self) -> "ReceivedFile":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        known = self._known()
        self._stream = self.path.open("r+b" if known else "wb")
        if known:
            self.version, self.total, self._offered = known["version"], known["total"], True
            self._size = self._stream.seek(0, 2)
        return self

    def __exit__(self, *error: object) -> None:
        if self._stream is not None:
            self._stream.close()

    @property
    def size(self) -> int:
        """Bytes that have come."""
        return self._size

    @property
    def is_whole(self) -> bool:
        """Whether nothing lacks, as far as the server has said how long the body is."""
        return self.total is not None and self._size == self.total

    def write(self, block: bytes) -> None:
        """Take what has come."""
        assert self._stream is not None
        self._stream.write(block)
        self._size += len(block)

    def whole(self) -> bytes:
        """Nothing: the body is in the file."""
        return b""

    def forget(self) -> None:
        """What has come is no beginning of what the server has now: all of it, the next time."""
        super().forget()
        self._note.unlink(missing_ok=True)

    def drop(self) -> None:
        """Remove the file and its note."""
        self.__exit__()
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def keep_as(self, path: Path) -> None:
        """Give the file its name, once it is whole and good.

        Parameters
        ----------
        path : Path
            In the same file system.
        """
        self.__exit__()
        self.path.replace(path)
        self._note.unlink(missing_ok=True)

    def _empty(self) -> None:
        assert self._stream is not None
        self._stream.seek(0)
        self._stream.truncate()
        self._size = 0
        self._note.unlink(missing_ok=True)
        if self.resumes:
            facts = {"place": self._place, "version": self.version, "total": self.total}
            self._note.write_text(json.dumps(facts) + "\n", encoding="utf-8")

    def _known(self) -> dict | None:
        """What the note says; None where the file is not to be gone on with."""
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            facts = json.loads(self._note.read_text(encoding="utf-8"))
            size, total = self.path.stat().st_size, facts["total"]
            fits = size > 0 and (total is None or size <= total) and isinstance(facts["version"], str)
            if facts["place"] == self._place and fits and (facts["version"] or total is not None):
                return facts
        return None
