"""What the extensions of an annotated image hold."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gaiaflux.io.image.annotated_image import Facts
from gaiaflux.model.catalog import StarCatalog
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.method import Method
from gaiaflux.model.methods import methods_named

if TYPE_CHECKING:
    from gaiaflux.io.batch_file import BatchReader

__all__ = ["TABLE_UNITS", "copy_name", "frame_table", "plate_facts", "read_arrays", "table_facts"]

TABLE_UNITS = {"ra": "deg", "dec": "deg", "x": "pixel", "y": "pixel", "x_center": "pixel", "y_center": "pixel"}
"""FITS units of the columns. FITS knows no electron: the unit of the fluxes is in the header (FLUXUNIT)."""


def copy_name(frame_id: str, path: str | Path) -> str:
    """File name of the annotated copy of an image: the frame's name, which is unique, and the image's FITS ending."""
    endings = Path(path).suffixes
    endings = endings[-2:] if endings and endings[-1].lower() in (".gz", ".fz") else endings[-1:]
    is_fits = bool(endings) and endings[0].lower() in (".fits", ".fit", ".fts")
    return frame_id + ("".join(endings) if is_fits else ".fits")


def plate_facts(plate: Mapping[str, Any]) -> Facts:
    """Header keywords of a plate solution.

    Parameters
    ----------
    plate : mapping
        Facts of `gaiaflux.ground.frame.plate_solution.refine_frame_wcs`.

    Returns
    -------
    dict of str to tuple
        Keyword to value and comment.
    """
    return {
        "WCSRMS": (plate["wcs_rms_mas"], "[mas] rms of the stars about the solution"),
        "WCSNSTAR": (plate["wcs_n_stars"], "stars of the solution"),
        "WCSMETH": (plate["wcs_method"], "how the stars were matched"),
        "SIPORDER": (plate["sip_order"], "order of the distortion"),
    }


def read_arrays(method: Method, path: str | Path, batch: "BatchReader", frame_id: str) -> dict[str, np.ndarray]:
    """What the table needs of a method's arrays.

    Parameters
    ----------
    method : Method
        Method that measured the frame.
    path : str or Path
        File of the batch, for the message.
    batch : BatchReader
        The same file, open.
    frame_id : str
        Name of the frame.

    Returns
    -------
    dict of str to ndarray
        Positions, columns of the table and, where the method has them, ``radii_pix``; row = star of the catalogue.

    Raises
    ------
    InputError
        The batch does not hold what the method declares.
    """
    # Here, because the class for notebooks uses this module without any HDF5 file.
    from gaiaflux.series.batch_contents import check_batch

    names = dict.fromkeys(("x", "y", "flags", *method.annotation.columns, *(["radii_pix"] if method.radii else [])))
    check_batch(method, path, batch, frame_id, names)
    return {name: batch.array(frame_id, name) for name in names}


def table_facts(
    frame_id: str, unit: str, radii_pix: Mapping[str, np.ndarray], facts: Mapping[str, Mapping[str, Any]]
) -> Facts:
    """Header keywords of a table of fluxes.

    Parameters
    ----------
    frame_id : str
        Name of the frame.
    unit : str
        Of the fluxes.
    radii_pix : mapping of str to ndarray, shape (n_radii,)
        Radii of the methods that have several, in the order of the table's flux columns [pixel].
    facts : mapping of str to mapping
        What each method says of the frame.

    Returns
    -------
    dict of str to tuple
        Keyword to value and comment.
    """
    found: dict[str, tuple] = {
        "FRAMEID": (frame_id, "name of the frame"),
        "FLUXUNIT": (unit, "unit of the fluxes and their errors"),
        "PIXORIG": (0, "positions: the centre of the first pixel"),
    }
    for method in methods_named({*radii_pix, *facts}):
        annotation = method.annotation
        if annotation.radii is not None:
            keyword, comment = annotation.radii
            for k, radius in enumerate(radii_pix.get(method.name, ()), 1):
                found[f"{keyword}{k}"] = (float(radius), comment)
        if method.name in facts:
            for keyword, (fact, comment) in annotation.keywords.items():
                found[keyword] = (facts[method.name][fact], comment)
    return found


def frame_table(catalog: StarCatalog, arrays: Mapping[str, Mapping[str, np.ndarray]]) -> np.ndarray:
    """Stars on one image with the fluxes that the workflow measured.

    Parameters
    ----------
    catalog : StarCatalog
        Stars of the series.
    arrays : mapping of str to mapping
        `read_arrays` of each method that measured the frame.

    Returns
    -------
    structured ndarray, shape (n_on_image,)
        ``star_id``, ``source_id``; ``ra``, ``dec`` at the catalogue's epoch [deg]; ``x``, ``y`` [pixel; 0-based]; then
        of each method what its `Annotation` names: ``flux``, ``flux_err`` (total light; NaN where not measured),
        ``flags`` (bits of `StarFlag`) by apertures, for each radius; ``psf_flux`` ... by the PSF.
    """
    first = next(iter(arrays.values()))
    columns = {
        "star_id": catalog.star_id,
        "source_id": catalog.source_id,
        "ra": catalog.ra_deg,
        "dec": catalog.dec_deg,
        "x": first["x"],
        "y": first["y"],
    }
    on = np.zeros(len(catalog), dtype=bool)
    for method in methods_named(arrays):
        found, annotation = arrays[method.name], method.annotation
        for name in annotation.columns:
            values = found[name]
            # FITS has no shorter one.
            columns[f"{annotation.prefix}{name}"] = values.astype(np.float32) if values.dtype == np.float16 else values
        on |= (found["flags"].reshape(len(catalog), -1) & StarFlag.OFF_IMAGE == 0).any(axis=1)
    table = np.empty(int(on.sum()), [(name, values.dtype, values.shape[1:]) for name, values in columns.items()])
    for name, values in columns.items():
        table[name] = values[on]
    return table
