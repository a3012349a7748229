"""Where machine code is kept: beside this module, or for a user who may not write there in a private folder.

A file's name holds the key of all that its code depends on, so that processors, versions and branches share a folder
and none removes what another needs; what nobody has used for long goes. Machine code is executed: a folder or a file
counts only if it belongs to this user, or to the owner of this module, and no one else may write to it.
"""

import hashlib
import os
import re
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["find", "store"]

ENDING = ".kernel"
DAY_S = 86400.0
UNUSED_S = 90 * DAY_S


@dataclass(frozen=True)
class Folder:
    """A folder of machine code.

    Attributes
    ----------
    path : Path
        It may not exist.
    mode : int
        Its permissions; in a folder that has more, nothing is read or written.
    owners : frozenset of int
        User ids that folder and files may belong to; empty where the system has none.
    """

    path: Path
    mode: int
    owners: frozenset[int]

    def trusts(self, status: os.stat_result) -> bool:
        """Whether only this user, or the owner of the package, can have written it."""
        if not self.owners:
            return True
        return status.st_uid in self.owners and not stat.S_IMODE(status.st_mode) & ~self.mode & 0o077

    def is_safe(self) -> bool:
        """Whether it exists and can be trusted; a link to elsewhere cannot."""
        status = self.path.lstat()
        return stat.S_ISDIR(status.st_mode) and self.trusts(status)


def find(name: str, key: str) -> bytes | None:
    """Content that was kept.

    Parameters
    ----------
    name : str
        Dotted name of the kernel.
    key : str
        Of all that the content depends on.

    Returns
    -------
    bytes or None
        None where there is none, it is damaged, or others may have written it.
    """
    for folder in _folders():
        # At any moment another process may remove or replace the file, which is the same as not finding it.
        with suppress(OSError):
            path = folder.path / _file_name(name, key)
            if not folder.is_safe():
                continue
            with path.open("rb") as stream:
                status = os.fstat(stream.fileno())
                content = stream.read() if folder.trusts(status) else b""
            digest, content = content[:32], content[32:]
            if digest == _digest(name, key, content):
                if time.time() - status.st_mtime > DAY_S:
                    with suppress(OSError):
                        os.utime(path)
                return content
    return None


def store(name: str, key: str, content: bytes) -> Path | None:
    """Keep content where that is possible, and remove there what was not used for 90 days.

    Parameters
    ----------
    name : str
        Dotted name of the kernel.
    key : str
        Of all that the content depends on.
    content : bytes
        Machine code.

    Returns
    -------
    Path or None
        The file; None where no folder can be written and trusted.
    """
    for folder in _folders():
        with suppress(OSError):
            folder.path.mkdir(mode=folder.mode, parents=True, exist_ok=True)
            if folder.is_safe():
                path = folder.path / _file_name(name, key)
                _replace(path, _digest(name, key, content) + content, folder.mode & 0o666)
                _prune(folder.path)
                return path
    return None


def _folders() -> Iterator[Folder]:
    user = frozenset({os.getuid()} if hasattr(os, "getuid") else ())
    owner = user | {Path(__file__).stat().st_uid} if user else user
    yield Folder(Path(__file__).parent / "__pycache__" / "machine_code", 0o755, owner)
    private = _user_cache()
    if private is not None:
        yield Folder(private / "gaiaflux" / "machine_code", 0o700, user)


def _user_cache() -> Path | None:
    """The user's folder for what can be made again; None for a user without a home."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if given.is_absolute():
        return given
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return Path(local) if local else None
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"


def _file_name(name: str, key: str) -> str:
    plain = re.sub(r"[^\w.]", "_", name)
    return f"{plain}-{key}{ENDING}"


def _digest(name: str, key: str, content: bytes) -> bytes:
    """Of content and name, so that no file stands for another."""
    return hashlib.sha256(f"{name}\0{key}\0".encode() + content).digest()


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Write a file so that readers see all of it or nothing."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, suffix=ENDING)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _prune(folder: Path) -> None:
    """Remove what was last used (see `find`) long ago; another process may do the same at this moment."""
    for path in folder.glob(f"*{ENDING}"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > UNUSED_S:
                path.unlink()
