"""Which files a rule is given, from the configuration and the ledger of a series."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from gaiaflux.model.companions import companion_paths
from gaiaflux.model.errors import InputError
from gaiaflux.model.nearest import nearest
from gaiaflux.model.settings.companions import CompanionsSettings
from gaiaflux.model.typed import typed
from gaiaflux.workflow.ledger import Ledger, LedgerFrame

__all__ = [
    "batch_files",
    "check_reference",
    "configured_reference",
    "first_batches",
    "image_files",
    "own_stars",
]


def own_stars(config: Mapping) -> bool:
    """Whether the reference image's own stars are the catalogue.

    Parameters
    ----------
    config : mapping
        Complete configuration.

    Returns
    -------
    bool
    """
    return config["gaia"]["source"] == "reference_image"


def check_reference(config: Mapping, name: str, ledger: Ledger) -> None:
    """Refuse a reference image that is not there.

    Parameters
    ----------
    config : mapping
        Complete configuration.
    name : str
        Series.
    ledger : Ledger
        Of the series.

    Raises
    ------
    InputError
        No frame that is present has the configured name.
    """
    reference = config["series"][name].get("reference_image")
    present = {frame.frame_id for frame in ledger.present}
    if reference is not None and reference not in present:
        remark = nearest(reference, present, "frames")
        raise InputError(f"series.{name}.reference_image: there is no frame '{reference}'; {remark}")


def configured_reference(config: Mapping, name: str, ledger: Ledger) -> list[LedgerFrame]:
    """The configured reference image.

    Parameters
    ----------
    config : mapping
        Complete configuration.
    name : str
        Series.
    ledger : Ledger
        Of the series.

    Returns
    -------
    list of LedgerFrame
        One frame, or none where the workflow chooses it.
    """
    reference = config["series"][name].get("reference_image")
    return [frame for frame in ledger.present if frame.frame_id == reference]


def image_files(config: Mapping, name: str, ledger: Ledger, batch: str) -> list[str]:
    """Images of a batch, and the masks and weights beside them.

    Parameters
    ----------
    config : mapping
        Complete configuration.
    name : str
        Series.
    ledger : Ledger
        Of the series.
    batch : str
        Name of the batch; one that the ledger does not know has no images.

    Returns
    -------
    list of str
        Each file once. A companion that is missing is left out: it is the trouble of its frame only.
    """
    companions = typed(CompanionsSettings, config["series"][name].get("companions"))
    images = [frame.path for frame in ledger.by_batch.get(batch, ())]
    beside = [path for image in images for path in companion_paths(image, companions)]
    return images + [path for path in dict.fromkeys(beside) if Path(path).is_file()]


def batch_files(kind: str, series: str, batches: Iterable[str]) -> list[str]:
    """Files of one kind.

    Parameters
    ----------
    kind : str
        ``stars``, ``wcs`` or a method of photometry.
    series : str
        Series.
    batches : iterable of str
        Names of its batches.

    Returns
    -------
    list of str
    """
    return [f"results/{series}/{kind}/{batch}.h5" for batch in batches]


def first_batches(config: Mapping, name: str, ledger: Ledger) -> list[str]:
    """Names of the batches of the first run and of the configured reference image.

    Parameters
    ----------
    config : mapping
        Complete configuration.
    name : str
        Series.
    ledger : Ledger
        Of the series.

    Returns
    -------
    list of str
        Each once; the same in every run, whatever images arrive.
    """
    batches = [*ledger.first_batches, *(frame.batch for frame in configured_reference(config, name, ledger))]
    return list(dict.fromkeys(batches))
