"""The pinned catalogue of a series: `gaia.fits`, and `gaia.json` that says where it comes from.

Per-frame rules read it, so that nothing but `astropy.io.fits` is loaded here.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy.io import fits

from gaiaflux.io.atomic import replacing
from gaiaflux.io.catalog_source import GAIA, REFERENCE_IMAGE
from gaiaflux.io.checksum import file_sha256
from gaiaflux.model.catalog import SkyCatalog
from gaiaflux.model.errors import InputError

__all__ = ["read_catalog", "verify_pin", "write_catalog", "write_pin"]

FORMAT_VERSION = 1
Fact = str | bool | int | float
_SOURCE, _SYSTEM = "CATALOG", "MAGSYS"
# Attribute of SkyCatalog: (name in the file, unit)
_COLUMNS = {
    "source_id": ("source_id", ""),
    "ra_deg": ("ra", "deg"),
    "dec_deg": ("dec", "deg"),
    "ref_epoch": ("ref_epoch", "yr"),
    "pmra": ("pmra", "mas/yr"),
    "pmdec": ("pmdec", "mas/yr"),
    "parallax": ("parallax", "mas"),
    "pos_err": ("pos_err", "mas"),
    "pm_err": ("pm_err", "mas/yr"),
    "mag": ("phot_g_mean_mag", "mag"),
    "colour": ("bp_rp", "mag"),
}


def write_catalog(path: str | Path, catalog: SkyCatalog, facts: Mapping[str, Fact] | None = None) -> None:
    """Write a catalogue as a FITS table; the same catalogue and facts give the same bytes.

    Parameters
    ----------
    path : str or Path
        File; it appears under its name only when all of it is there.
    catalog : SkyCatalog
        Stars; row order is kept.
    facts : mapping of str to str, bool, int or float, optional
        Keywords (up to 8 characters) and values for the table's header.
    """
    columns = [
        fits.Column(name, "K" if key == "source_id" else "D", unit=unit or None, array=getattr(catalog, key))
        for key, (name, unit) in _COLUMNS.items()
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name="GAIA")
    hdu.header["RADESYS"] = ("ICRS", "system of ra and dec, at ref_epoch")
    hdu.header[_SOURCE] = (catalog.source, "where the stars are from")
    hdu.header[_SYSTEM] = (catalog.system, "of phot_g_mean_mag")
    for keyword, value in (facts or {}).items():
        hdu.header[keyword.upper()] = value
    with replacing(path) as temporary, temporary.open("wb") as file:
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(file)


def read_catalog(path: str | Path) -> SkyCatalog:
    """Read what `write_catalog` wrote.

    Parameters
    ----------
    path : str or Path
        File.

    Returns
    -------
    SkyCatalog
        Native, contiguous arrays in the order of the file.
    """
    with fits.open(path, memmap=False) as hdus:
        data, header = hdus["GAIA"].data, hdus["GAIA"].header
        arrays = {
            key: np.array(data[name], dtype=np.int64 if key == "source_id" else np.float64)
            for key, (name, _) in _COLUMNS.items()
        }
    # Files of before say it by their origin alone.
    before = REFERENCE_IMAGE if header.get("SOURCE") == REFERENCE_IMAGE.name else GAIA
    source, system = header.get(_SOURCE, before.name), header.get(_SYSTEM, before.system)
    return SkyCatalog(**arrays, source=str(source), system=str(system))


def write_pin(path: str | Path, catalog_path: str | Path, facts: Mapping[str, object]) -> None:
    """Write what a catalogue file is and where it comes from.

    Parameters
    ----------
    path : str or Path
        JSON file; it appears under its name only when all of it is there.
    catalog_path : str or Path
        Catalogue that `write_catalog` wrote; its checksum and number of rows are taken from it.
    facts : mapping
        Query, server, release, date and whatever else JSON can hold.
    """
    pin = {
        "format_version": FORMAT_VERSION,
        **facts,
        "n_rows": _row_count(catalog_path),
        "sha256": file_sha256(catalog_path),
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(pin, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def verify_pin(catalog_path: str | Path, pin_path: str | Path) -> dict[str, object]:
    """Check that a catalogue is the one that its pin describes.

    Parameters
    ----------
    catalog_path, pin_path : str or Path
        `gaia.fits` and `gaia.json`.

    Returns
    -------
    dict
        The pin.

    Raises
    ------
    InputError
        They do not belong together.
    """
    pin = json.loads(Path(pin_path).read_text(encoding="utf-8"))
    if file_sha256(catalog_path) != pin["sha256"]:
        raise InputError(
            f"{catalog_path} is not the catalogue that {pin_path} describes (sha256 differs): "
            "delete both, and the catalogue is made again"
        )
    return pin


def _row_count(path: str | Path) -> int:
    with fits.open(path) as hdus:
        return int(hdus["GAIA"].header["NAXIS2"])
