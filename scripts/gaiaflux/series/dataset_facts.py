"""What a dataset says of how it was made."""

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

__all__ = ["dataset_facts"]

_PACKAGES = ("gaiaflux", "numpy", "scipy", "astropy", "h5py", "numba")


def dataset_facts(config: Mapping[str, Any]) -> dict[str, str]:
    """Attributes of a dataset that is written now.

    Parameters
    ----------
    config : mapping
        Settings that decide its numbers.

    Returns
    -------
    dict of str to str
        ``config`` and ``versions`` (of Python and of packages) as JSON; ``created_utc``.
    """
    versions = {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}
    return {
        "config": json.dumps(config, sort_keys=True),
        "versions": json.dumps(versions),
        "created_utc": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
