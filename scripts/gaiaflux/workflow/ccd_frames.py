"""Which full-frame images a field of TESS has, and which targets are measured in them."""

import math
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from gaiaflux.io.tess.ccd_head import CcdHead, read_ccd_heads
from gaiaflux.model.errors import InputError
from gaiaflux.workflow.frames import FrameFile, files_of_globs, frame_id_of
from gaiaflux.workflow.ledger import Ledger, LedgerFrame
from gaiaflux.workflow.params import frame_entries

__all__ = [
    "FRAME_SERIES",
    "cadence_series",
    "candidate_images",
    "ccd_of_series",
    "find_images",
    "image_entries",
    "images_series",
    "is_images",
    "prepared_of",
    "star_batches",
    "targets_of_batch",
]

FRAME_SERIES = "tess/[A-Za-z0-9_-]+/s[0-9]{4}-[1-4]-[1-4]/c[0-9]+"
"""Pattern of `images_series`."""
MOST_BATCHES, PIXELS_A_BATCH = 64, 1 << 16
"""The targets of full-frame images are divided into batches by their numbers, so that a new one changes one batch: one
for so many pixels of the largest image, 64 for a whole CCD."""
N_CANDIDATES = 15
_BEST_ORIGIN = "spoc-ffi"
_SIZE = "pixels"  # of an image, in the overrides of its frame
_UNUSED = "unused"  # why it does not count, there as well


def images_series(field: str, head: CcdHead) -> str:
    """Folder of the images of a CCD below ``results``, by which rules and ledgers name it.

    Parameters
    ----------
    field : str
        Name of the field.
    head : CcdHead
        Of one of the images.

    Returns
    -------
    str
    """
    return f"tess/{field}/s{head.sector:04d}-{head.camera}-{head.ccd}/c{head.cadence_s}"


def is_images(series: str) -> bool:
    """Whether a name is one of `images_series`."""
    return series.startswith("tess/") and series.count("/") == 3


def cadence_series(images: str) -> str:
    """Folder of the dataset that takes the targets of some images: that of the field and the cadence."""
    _, field, _, cadence = images.split("/")
    return f"tess/{field}/{cadence}"


def ccd_of_series(images: str) -> tuple[int, int, int]:
    """Sector, camera and CCD of some images, as of `images_series`."""
    sector, camera, ccd = images.split("/")[2].removeprefix("s").split("-")
    return int(sector), int(camera), int(ccd)


def candidate_images(ledger: Ledger) -> list[LedgerFrame]:
    """Images of the first run among which the reference is sought: some, from the middle one outwards.

    Where none of them counts any more, as those of TICA when those of SPOC have come, others take their place.

    Parameters
    ----------
    ledger : Ledger
        Of the images.

    Returns
    -------
    list of LedgerFrame
        That are present.
    """
    first = [one for one in ledger.first_run if one.present and _UNUSED not in one.overrides]
    first = first or [one for one in ledger.present if _UNUSED not in one.overrides]
    first.sort(key=lambda one: one.frame_id)
    step = max(1, len(first) // N_CANDIDATES)
    some = first[len(first) // 2 % step :: step]
    middle = len(some) // 2
    return sorted(some, key=lambda one: (abs(some.index(one) - middle), one.frame_id))[:N_CANDIDATES]


def find_images(
    name: str, field: Mapping, made: Collection[str] = (), folder: str | Path = "."
) -> dict[str, list[FrameFile]]:
    """Full-frame images of a field, by CCD and cadence.

    Parameters
    ----------
    name : str
        Name of the field.
    field : mapping
        Its configuration.
    made : collection of str
        Files that the workflow itself makes; they count as if they were there.
    folder : str or Path
        Working directory.

    Returns
    -------
    dict of str to list of FrameFile
        By `images_series`, sorted by name, those that do not count last. Of two versions of an exposure the newest data
        release counts; `overrides` name the others as ``instead_of``. Of the two pipelines' images of a CCD those of
        SPOC count; the `overrides` of the others say so (``unused``).

    Raises
    ------
    InputError
        A pattern that matches nothing, no image that says which CCD it is of, two images of one name, or a brace in a
        name.
    """
    patterns = field.get("ffis", [])
    patterns = [patterns] if isinstance(patterns, str) else patterns
    paths = files_of_globs(f"tess.{name}.ffis", patterns, made, folder)
    braced = next((path for path in paths if set(path) & set("{}")), None)
    if braced:
        raise InputError(f"tess.{name}.ffis: '{braced}' has a brace in its name, which no rule can take; rename it")
    read = read_ccd_heads(Path(folder) / path for path in paths)
    heads = {path: read[Path(folder) / path] for path in paths}
    unknown = [path for path, head in heads.items() if not (head.sector and head.camera and head.ccd)]
    if paths and len(unknown) == len(paths):
        raise InputError(
            f"tess.{name}.ffis: neither name nor head of '{paths[0]}' says sector, camera and CCD; give full-frame "
            "images of SPOC (*_ffic.fits) or TICA (hlsp_tica_*.fits)"
        )
    groups: dict[str, list[str]] = {}
    for path in paths:
        if path not in unknown:
            groups.setdefault(images_series(name, heads[path]), []).append(path)
    if unknown:
        # They are lost where the user looks: with the images of the first group.
        groups[next(iter(groups))] += unknown
    return {series: _frames(name, members, heads) for series, members in sorted(groups.items())}


def image_entries(ledger: Ledger, batch: str) -> list[dict]:
    """Images of a batch as a job gets them.

    Parameters
    ----------
    ledger : Ledger
        Of the images.
    batch : str
        Name of the batch.

    Returns
    -------
    list of dict
        As of `gaiaflux.workflow.params.frame_entries`, without the size: that is not known of an image that is still to
        be made or cannot be read, and decides nothing of the batch.
    """
    entries = frame_entries(ledger, batch)
    for entry in entries:
        entry["overrides"].pop(_SIZE, None)
    return entries


def _frames(name: str, paths: Iterable[str], heads: Mapping[str, CcdHead]) -> list[FrameFile]:
    """Files of a CCD that count, by name."""
    best = any(heads[path].origin == _BEST_ORIGIN for path in paths)
    versions: dict[tuple, list[str]] = {}
    for path in sorted(paths, key=lambda one: (heads[one].data_release, one)):
        versions.setdefault(heads[path].observation or (path,), []).append(path)
    frames: dict[str, FrameFile] = {}
    for members in versions.values():
        path, older = members[-1], members[:-1]
        frame_id = frame_id_of(path)
        if frame_id in frames:
            raise InputError(
                f"tess.{name}: '{frames[frame_id].path}' and '{path}' have one name and are not the same; rename one "
                "of them"
            )
        said: dict[str, str | float] = {"instead_of": ", ".join(older)} if older else {}
        said |= {_SIZE: math.prod(heads[path].shape)} if all(heads[path].shape) else {}
        said |= {_UNUSED: "of TICA, where there are images of SPOC"} if _is_second(heads[path], best=best) else {}
        frames[frame_id] = FrameFile(frame_id, path, said)
    return sorted(frames.values(), key=lambda one: (_UNUSED in one.overrides, one.frame_id))


def _is_second(head: CcdHead, *, best: bool) -> bool:
    """Whether an image is of the other pipeline, where there are better ones."""
    return best and head.origin not in ("", _BEST_ORIGIN)


def prepared_of(series: str, ledgers: Mapping[str, Ledger]) -> list[str]:
    """Prepared images that a dataset of a field is made from, one file for each CCD.

    Parameters
    ----------
    series : str
        Dataset, as of `cadence_series`.
    ledgers : mapping of str to Ledger
        Of all series.

    Returns
    -------
    list of str
        Below the working directory.
    """
    mine = [name for name in ledgers if is_images(name) and cadence_series(name) == series]
    return [f"results/{name}/prepared.h5" for name in sorted(mine)]


def star_batches(series: str, targets: str | list | Mapping, ledgers: Mapping[str, Ledger]) -> list[str]:
    """Batches of the targets that are measured in full-frame images.

    Parameters
    ----------
    series : str
        Dataset, as of `cadence_series`.
    targets : str, list or mapping
        As configured.
    ledgers : mapping of str to Ledger
        Of all series.

    Returns
    -------
    list of str
        Number of the batch and of all, two digits each. Of a list of stars those that have one; none without images.
    """
    mine = [ledger for name, ledger in ledgers.items() if is_images(name) and cadence_series(name) == series]
    if not mine:
        return []
    largest = max((int(one.overrides.get(_SIZE, 0)) for ledger in mine for one in ledger.frames), default=0)
    parts = min(max(largest // PIXELS_A_BATCH, 1), MOST_BATCHES)
    numbers = {star % parts for star in targets} if isinstance(targets, list) else range(parts)
    return [f"{number:02d}{parts:02d}" for number in sorted(numbers)]


def targets_of_batch(targets: str | list | Mapping, batch: str) -> dict:
    """Which stars a batch of targets of full-frame images has.

    Parameters
    ----------
    targets : str, list or mapping
        As configured.
    batch : str
        Of `star_batches`.

    Returns
    -------
    dict
        ``stars``, the TIC numbers that are asked for; or ``tmag_max`` (None: no limit), ``listed`` where the stars of a
        list are measured, too (without ``tmag_max`` no others), and the ``part`` of ``parts`` to which the number of a
        star belongs.
    """
    part, parts = int(batch[:-2]), int(batch[-2:])
    if isinstance(targets, list):
        return {"stars": [star for star in sorted(targets) if star % parts == part]}
    named = targets if isinstance(targets, Mapping) else {}
    listed = {"listed": True} if "file" in named else {}
    return {"tmag_max": named.get("tmag_max"), **listed, "part": part, "parts": parts}
