"""Files that appear under their name only when all of them is there.

Standard library alone: what is imported while the rules are parsed (`gaiaflux.workflow`) writes with it, too.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replacing"]


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Place for a new file that takes the place of `path` at the end of the ``with`` block.

    A reader sees the old file or the new one, never a part. After an error the old file is as it was, and what was
    written is gone.

    Parameters
    ----------
    path : str or Path
        File to write or replace; its folder is made. Of a link the file that it leads to is replaced, and the link
        stays.

    Yields
    ------
    Path
        Name beside the file that no other job uses; nothing is there yet. Its ending is ``.part``: libraries that
        choose a compression by the ending choose none.
    """
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    # Processes of two machines may share a folder and have the same number.
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
