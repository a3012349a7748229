"""From telescope images to calibrated light curves of every star, anchored on Gaia.

Public names are imported on first use (PEP 562), so that a rule pays only for what it needs.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gaiaflux.ground.interface.analyst import AperturePhotometryAnalyst
    from gaiaflux.ground.interface.aperture_table import run_aperture_photometry
    from gaiaflux.ground.interface.psf_reader import read_psf
    from gaiaflux.series.lightcurve_dataset import AperturePhotometryDataset
    from gaiaflux.tess.base_photometry import BasePhotometry
    from gaiaflux.tess.photometry import AperturePhotometry, LinPSFPhotometry, PSFPhotometry
    from gaiaflux.tess.stamp.movement import ImageMovementKernel
    from gaiaflux.tess.stamp.status import STATUS

__version__ = "0.1.0"
__all__ = [
    "STATUS",
    "AperturePhotometry",
    "AperturePhotometryAnalyst",
    "AperturePhotometryDataset",
    "BasePhotometry",
    "ImageMovementKernel",
    "LinPSFPhotometry",
    "PSFPhotometry",
    "__version__",
    "read_psf",
    "run_aperture_photometry",
]

# Public name -> module that has it.
_HOMES = {
    "STATUS": "gaiaflux.tess.stamp.status",
    "AperturePhotometry": "gaiaflux.tess.photometry",
    "BasePhotometry": "gaiaflux.tess.base_photometry",
    "ImageMovementKernel": "gaiaflux.tess.stamp.movement",
    "LinPSFPhotometry": "gaiaflux.tess.photometry",
    "PSFPhotometry": "gaiaflux.tess.photometry",
    "AperturePhotometryAnalyst": "gaiaflux.ground.interface.analyst",
    "AperturePhotometryDataset": "gaiaflux.series.lightcurve_dataset",
    "read_psf": "gaiaflux.ground.interface.psf_reader",
    "run_aperture_photometry": "gaiaflux.ground.interface.aperture_table",
}


def __getattr__(name: str) -> object:
    """Public name from its module, imported now."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Names of the module with those not imported yet."""
    return sorted({*globals(), *_HOMES})
