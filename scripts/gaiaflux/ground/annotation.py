"""What the extensions of an annotated image hold."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gaiaflux.io.image.annotated_image import Facts
from gaiaflux.model.catalog import StarCatalog
from gaiaflux.model.flags import StarFlag

__all__ = ["TABLE_UNITS", "USED_ARRAYS", "copy_name", "frame_table", "plate_facts", "table_facts"]

USED_ARRAYS = {
    "aperture": ("x", "y", "flux", "flux_err", "flags", "radii_pix"),
    "psf": ("x", "y", "flux", "flux_err", "flags", "chi2"),
}
"""What the table needs of each method's arrays."""

TABLE_UNITS = {"ra": "deg", "dec": "deg", "x": "pixel", "y": "pixel", "x_center": "pixel", "y_center": "pixel"}
"""FITS units of the columns. FITS knows no electron: the unit of the fluxes is in the header (FLUXUNIT)."""


def copy_name(frame_id: str, path: str | Path) -> str:
    """File name of the annotated copy of an image: the frame's name, which is unique, and the image's FITS ending."""
    endings = Path(path).suffixes
    endings = endings[-2:] if endings and endings[-1].lower() in (".gz", ".fz") else endings[-1:]
    is_fits = bool(endings) and endings[0].lower() in (".fits", ".fit", ".fts")
    return frame_id + ("".join(endings) if is_fits else ".fits")


def plate_facts(plate: Mapping[str, object]) -> Facts:
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


def table_facts(
    frame_id: str, unit: str, radii_pix: np.ndarray | None = None, psf: Mapping[str, object] | None = None
) -> Facts:
    """Header keywords of a table of fluxes.

    Parameters
    ----------
    frame_id : str
        Name of the frame.
    unit : str
        Of the fluxes.
    radii_pix : ndarray, shape (n_radii,), optional
        Radii of the apertures, in the order of the table's flux columns [pixel].
    psf : mapping, optional
        What the PSF photometry says of the frame: psf_status, psf_n_stars, psf_fwhm_pix.

    Returns
    -------
    dict of str to tuple
        Keyword to value and comment.
    """
    facts: dict[str, tuple] = {
        "FRAMEID": (frame_id, "name of the frame"),
        "FLUXUNIT": (unit, "unit of the fluxes and their errors"),
        "PIXORIG": (0, "positions: the centre of the first pixel"),
    }
    for k, radius in enumerate([] if radii_pix is None else radii_pix, 1):
        facts[f"APRAD{k}"] = (float(radius), "[pixel] radius of the aperture")
    if psf is not None:
        facts["PSFSTAT"] = (psf["psf_status"], "where the PSF is from")
        facts["PSFNSTAR"] = (psf["psf_n_stars"], "stars that the PSF was measured with")
        facts["PSFFWHM"] = (float(psf["psf_fwhm_pix"]), "[pixel] full width at half maximum of the PSF")
    return facts


def frame_table(catalog: StarCatalog, arrays: Mapping[str, Mapping[str, np.ndarray]]) -> np.ndarray:
    """Stars on one image with the fluxes that the workflow measured.

    Parameters
    ----------
    catalog : StarCatalog
        Stars of the series.
    arrays : mapping of str to mapping
        `USED_ARRAYS` of each method that measured the frame; row = star of the catalogue.

    Returns
    -------
    structured ndarray, shape (n_on_image,)
        ``star_id``, ``source_id``; ``ra``, ``dec`` at the catalogue's epoch [deg]; ``x``, ``y`` [pixel; 0-based]; for
        each aperture ``flux``, ``flux_err`` (total light; NaN where not measured), ``flags`` (bits of `StarFlag`); by
        the PSF ``psf_flux``, ``psf_flux_err``, ``psf_flags`` and ``psf_chi2`` (per pixel of the fit).
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
    if "aperture" in arrays:
        found = arrays["aperture"]
        columns |= {name: found[name] for name in ("flux", "flux_err", "flags")}
        on |= (found["flags"] & StarFlag.OFF_IMAGE == 0).any(axis=1)
    if "psf" in arrays:
        found = arrays["psf"]
        columns |= {f"psf_{name}": found[name] for name in ("flux", "flux_err", "flags")}
        columns["psf_chi2"] = found["chi2"].astype(np.float32)  # FITS has no shorter one
        on |= found["flags"] & StarFlag.OFF_IMAGE == 0
    table = np.empty(int(on.sum()), [(name, values.dtype, values.shape[1:]) for name, values in columns.items()])
    for name, values in columns.items():
        table[name] = values[on]
    return table
