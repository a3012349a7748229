"""Files of a target's light curve."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gaiaflux.io.tess.light_curve import light_curve_name, write_light_curve
from gaiaflux.io.tess.light_curve_header import LightCurveHeader
from gaiaflux.io.tess.neighbour_table import Neighbours
from gaiaflux.io.tess.weight_map import WeightMap
from gaiaflux.model.cadences import ApertureBit
from gaiaflux.model.wcs import TanSip
from gaiaflux.tess.stamp.pixel_source import ClosedPixels
from gaiaflux.tess.stamp.record import MEASURED, Record
from gaiaflux.tess.stamp.stamp_view import StampView

__all__ = ["Notes", "StampFacts", "curve_name", "save_record", "stamp_facts", "tasoc_folder", "write_curve"]


def tasoc_folder(starid: int, cadence_s: float) -> Path:
    """Folder of a star's light curve in an archive of many: of its cadence, and of the first digits of its number."""
    return Path(f"c{round(cadence_s):04d}", f"{starid:011d}"[:5])


class Notes(NamedTuple):
    """What a light curve's file says besides its columns.

    Attributes
    ----------
    phot_mask, position_mask : ndarray of bool, shape (rows, cols), or None
        Pixels of the flux and of the centroid.
    cards : mapping of str to (value, comment)
        Further keywords.
    remarks : tuple of str
        Sentences for the header.
    weights : WeightMap, optional
        Of the pixels, where the flux is no plain sum of them.
    neighbours : Neighbours, optional
        Stars that were fitted with the target.
    """

    phot_mask: np.ndarray | None
    position_mask: np.ndarray | None
    cards: Mapping[str, tuple[Any, str]]
    remarks: tuple[str, ...]
    weights: WeightMap | None = None
    neighbours: Neighbours | None = None


@dataclass(frozen=True)
class StampFacts:
    """What the light curves of a target repeat, by whatever method it was measured.

    Attributes
    ----------
    header : LightCurveHeader
        Of no method.
    sumimage : ndarray of float64, shape (rows, cols)
        Mean image [electron/s].
    bits : ndarray of int32, shape (rows, cols)
        `ApertureBit` of each pixel, without those of a photometry.
    wcs : TanSip
        Plate solution in coordinates of the stamp.
    """

    header: LightCurveHeader
    sumimage: np.ndarray
    bits: np.ndarray
    wcs: TanSip


def stamp_facts(view: StampView, version: int) -> StampFacts:
    """What the light curves of a target repeat.

    Parameters
    ----------
    view : StampView
    version : int
        Of the user's data release.

    Returns
    -------
    StampFacts
    """
    source, target, stamp = view.source, view.target, view.stamp
    header = replace(
        source.header,
        version=version,
        starid=view.starid,
        ra_deg=target["ra_J2000"],
        dec_deg=target["decl_J2000"],
        pmra=target["pm_ra"],
        pmdec=target["pm_decl"],
        tmag=target["tmag"],
        teff=target["teff"],
        first_row=stamp[0],
        first_column=stamp[2],
    )
    whole = source.wcs
    crpix = (whole.crpix[0] - stamp[2] + source.limits[2], whole.crpix[1] - stamp[0] + source.limits[0])
    wcs = replace(whole, crpix=crpix, shape=(stamp[1] - stamp[0], stamp[3] - stamp[2]))
    return StampFacts(header, view.sumimage, view.aperture, wcs)


def curve_name(facts: StampFacts, method: str) -> str:
    """Name of the file of a light curve."""
    return light_curve_name(replace(facts.header, method=method))


def write_curve(facts: StampFacts, columns: Mapping[str, np.ndarray], notes: Notes, folder: Path, method: str) -> Path:
    """Write a light curve of a target.

    Parameters
    ----------
    facts : StampFacts
    columns : mapping of str to ndarray
        As `gaiaflux.io.tess.light_curve.write_light_curve` takes them; ``flags`` of the star.
    notes : Notes
    folder : Path
        It is made.
    method : str
        That measured.

    Returns
    -------
    Path
    """
    # What holds for the star at all times marks no cadence: programs leave out those with bits that they know.
    common = _common_bits(columns["flags"], columns["flux"])
    cards = {**notes.cards, "STARFLAG": (int(common), "flags of all cadences")}
    header = replace(facts.header, method=method, additional=cards, remarks=notes.remarks)
    bits = facts.bits.copy()
    masks = ((notes.phot_mask, ApertureBit.PHOTOMETRY), (notes.position_mask, ApertureBit.CENTROID))
    for mask, bit in masks:
        if mask is not None:
            bits[mask] |= bit
    path = folder / light_curve_name(header)
    columns = {**columns, "flags": columns["flags"] & ~common}
    write_light_curve(path, columns, facts.sumimage, bits, facts.wcs, header, (notes.weights, notes.neighbours))
    return path


def _common_bits(flags: np.ndarray, flux: np.ndarray) -> np.uint32:
    """Flags of all cadences with a flux."""
    measured = flags[np.isfinite(flux)]
    return np.bitwise_and.reduce(measured) if measured.size else np.uint32(0)


def save_record(view: StampView, record: Record, method: str, folder: str | Path, version: int | None) -> Path:
    """Write the light curve of a record below a folder; see `tasoc_folder`.

    Parameters
    ----------
    view : StampView
    record : Record
    method : str
        That measured.
    folder : str or Path
        It is made.
    version : int, optional
        Of the user's data release.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        Nothing was measured, there is no version, or the pixels are closed.
    """
    if record.status not in MEASURED:
        raise ValueError(f"there is no light curve to save: the status is {record.status.name}; run photometry() first")
    if version is None or version < 0:
        raise ValueError(f"version {version}: give the number of your data release, 0 or more")
    if isinstance(view.source, ClosedPixels):
        raise ValueError("the pixels are closed, and the file holds their mean: save the light curve before close()")
    notes = Notes(
        record.final_phot_mask,
        record.final_position_mask,
        record.additional_headers,
        tuple(record.details["errors"]),
        record.weights,
    )
    place = Path(folder) / tasoc_folder(view.starid, view.source.cadence_s)
    table = record.lightcurve
    columns = {name: np.asarray(table[name]) for name in table.colnames}
    return write_curve(stamp_facts(view, version), columns, notes, place, method)
