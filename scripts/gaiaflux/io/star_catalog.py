"""The star catalogue of a series as an HDF5 file."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from gaiaflux.core.psf.model import PsfModel
from gaiaflux.io.hdf5 import new_hdf5
from gaiaflux.io.psf_model import write_reference_psf
from gaiaflux.model.catalog import Place, StarCatalog

__all__ = ["COLUMNS", "read_star_catalog", "write_star_catalog"]

REFERENCE_FACTS = ("frame_id", "filter", "ny", "nx")
# What the positions refer to, unless the reference image itself is the catalogue.
SKY_COORDINATES = "Gaia"
SYSTEMS = ("magnitude_system", "sky_coordinates")
COLUMNS = {
    "star_id": ("", "fixed for the series"),
    "source_id": ("", "identifier in the catalogue (Gaia's source_id); -1 = not in it"),
    "ra_deg": ("deg", "right ascension at ref_epoch, ICRS"),
    "dec_deg": ("deg", "declination at ref_epoch, ICRS"),
    "ref_epoch": ("yr", "Julian year of the position"),
    "pmra": ("mas/yr", "proper motion in right ascension, times cos(dec); 0 where unknown"),
    "pmdec": ("mas/yr", "proper motion in declination; 0 where unknown"),
    "parallax": ("mas", "parallax; 0 where unknown"),
    "pos_err": ("mas", "error of the position per axis at ref_epoch"),
    "pm_err": ("mas/yr", "error of the proper motion per axis"),
    "mag": ("mag", "magnitude in the system of the attribute magnitude_system; NaN where unknown"),
    "colour": ("mag", "colour index of the catalogue (Gaia's BP - RP); NaN where unknown"),
    "x_ref": ("pixel", "column on the reference image, 0-based"),
    "y_ref": ("pixel", "row on the reference image, 0-based"),
    "mag_ref": ("mag", "magnitude measured on the reference image, on the scale of mag; NaN where unknown"),
    "place": (
        "",
        "0 = the catalogue's, 1 = from the reference image, 2 = the catalogue's, but nothing is there",
    ),
}
"""Unit and description of each column, by attribute of `StarCatalog`."""


def write_star_catalog(
    path: str | Path, catalog: StarCatalog, reference: Mapping[str, str | int | float], psf: PsfModel | None = None
) -> None:
    """Write a star catalogue with its checksum.

    Parameters
    ----------
    path : str or Path
        File; it appears under its name only when all of it is there.
    catalog : StarCatalog
        Stars.
    reference : mapping
        Facts of the frame that `x_ref` and `y_ref` belong to: frame_id, filter, ny, nx; sky_coordinates where they are
        not Gaia's; and series_fwhm_arcsec where it is known.
    psf : PsfModel, optional
        Point-spread function of the reference image; `gaiaflux.io.psf_model.read_reference_psf` reads it.
    """
    with new_hdf5(path) as file:
        for name in REFERENCE_FACTS:
            file.attrs[f"reference_{name}"] = reference[name]
        file.attrs["magnitude_system"], file.attrs["source"] = catalog.system, catalog.source
        file.attrs["sky_coordinates"] = reference.get("sky_coordinates", SKY_COORDINATES)
        file.attrs["series_fwhm_arcsec"] = float(reference.get("series_fwhm_arcsec", np.nan))
        file.attrs["catalog_sha256"] = _checksum(catalog)
        measured = (catalog.place == Place.MEASURED) & (catalog.source_id >= 0)
        file.attrs["n_found_elsewhere"] = int(np.count_nonzero(measured))
        file.attrs["n_not_found"] = int(np.count_nonzero(catalog.place == Place.EMPTY))
        for name, (unit, description) in COLUMNS.items():
            dataset = file.create_dataset(name, data=getattr(catalog, name))
            dataset.attrs["unit"] = unit
            dataset.attrs["description"] = description
        write_reference_psf(file, psf)


def read_star_catalog(path: str | Path) -> tuple[StarCatalog, dict[str, str | int | float]]:
    """Read what `write_star_catalog` wrote.

    Parameters
    ----------
    path : str or Path
        File.

    Returns
    -------
    catalog : StarCatalog
    attrs : dict
        catalog_sha256, magnitude_system and sky_coordinates (what the numbers refer to), and of the reference image
        reference_frame_id, reference_filter, reference_ny, reference_nx; series_fwhm_arcsec, the usual seeing of the
        series when its reference image was chosen, NaN where it is not known.
    """
    with h5py.File(path, "r") as file:
        columns = {name: file[name][()] for name in StarCatalog.column_names()}
        names = ("catalog_sha256", *SYSTEMS, *(f"reference_{name}" for name in REFERENCE_FACTS))
        attrs = {name: file.attrs[name] for name in names}
        system, source = str(file.attrs["magnitude_system"]), str(file.attrs["source"])
        facts: dict[str, str | int | float] = {
            name: value if isinstance(value, str) else int(value) for name, value in attrs.items()
        }
        # A catalogue of an earlier version does not say it.
        facts["series_fwhm_arcsec"] = float(file.attrs.get("series_fwhm_arcsec", np.nan))
        return StarCatalog(**columns, system=system, source=source), facts


def _checksum(catalog: StarCatalog) -> str:
    digest = hashlib.sha256()
    for name in COLUMNS:
        digest.update(np.ascontiguousarray(getattr(catalog, name)).tobytes())
    return digest.hexdigest()
