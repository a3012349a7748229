"""The catalogue of a TESS field as an HDF5 file: read once, magnitudes complete, fast to read again."""

import json
from pathlib import Path

import h5py
import numpy as np

from gaiaflux.io.hdf5 import new_hdf5
from gaiaflux.model.tess_catalog import TessCatalog

__all__ = ["read_prepared_catalog", "write_prepared_catalog"]

COLUMNS = {
    "star_id": ("", "TIC number"),
    "source_id": ("", "Gaia source identifier; -1 = not known"),
    "ra_deg": ("deg", "right ascension at ref_epoch, ICRS"),
    "dec_deg": ("deg", "declination at ref_epoch, ICRS"),
    "ref_epoch": ("yr", "Julian year of the position"),
    "pmra": ("mas/yr", "proper motion in right ascension, times cos(dec); 0 where unknown"),
    "pmdec": ("mas/yr", "proper motion in declination; 0 where unknown"),
    "parallax": ("mas", "parallax; 0 where unknown"),
    "pos_err": ("mas", "error of the position per axis at ref_epoch"),
    "pm_err": ("mas/yr", "error of the proper motion per axis"),
    "mag": ("mag", "TESS magnitude; NaN where unknown"),
    "colour": ("mag", "Gaia BP - RP; NaN where unknown"),
    "mag_err": ("mag", "one-sigma error of mag"),
    "mag_source": ("", "'catalogue', or the bands of the relation that gave mag"),
    "teff": ("K", "effective temperature; NaN where unknown"),
}
"""Unit and description of each column, by attribute of `TessCatalog`."""


def write_prepared_catalog(path: str | Path, catalog: TessCatalog) -> None:
    """Write the catalogue of a field.

    Parameters
    ----------
    path : str or Path
        File; it appears under its name only when all of it is there.
    catalog : TessCatalog
    """
    with new_hdf5(path) as file:
        file.attrs["system"], file.attrs["source"] = catalog.system, catalog.source
        file.attrs["left_out"] = json.dumps({reason: ids.tolist() for reason, ids in catalog.left_out.items()})
        file.attrs["remarks"] = json.dumps(list(catalog.remarks))
        for name, (unit, description) in COLUMNS.items():
            values = getattr(catalog, name)
            text = values.dtype.kind in "OUS"
            kind = h5py.string_dtype("utf-8") if text else values.dtype
            dataset = file.create_dataset(name, data=values.astype(object) if text else values, dtype=kind)
            dataset.attrs["unit"], dataset.attrs["description"] = unit, description


def read_prepared_catalog(path: str | Path) -> TessCatalog:
    """Read what `write_prepared_catalog` wrote.

    Parameters
    ----------
    path : str or Path
        File.

    Returns
    -------
    TessCatalog
    """
    with h5py.File(path, "r") as file:
        columns = {}
        for name in COLUMNS:
            dataset = file[name]
            text = h5py.check_string_dtype(dataset.dtype)
            columns[name] = dataset.asstr()[()].astype(str) if text else dataset[()]
        left_out = {reason: np.array(ids, np.int64) for reason, ids in json.loads(file.attrs["left_out"]).items()}
        return TessCatalog(
            **columns,
            system=str(file.attrs["system"]),
            source=str(file.attrs["source"]),
            left_out=left_out,
            remarks=tuple(json.loads(file.attrs["remarks"])),
        )
