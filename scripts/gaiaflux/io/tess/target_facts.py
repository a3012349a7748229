"""What the headers of a target pixel file say of target, place and version."""

import re
from pathlib import Path

import numpy as np

from gaiaflux.io.tess.ccd_head import frame_cadence_s
from gaiaflux.io.tess.fits_file import Headers, float_of, int_of, text_of
from gaiaflux.io.tess.target_head import cadence_of_times
from gaiaflux.model.cadences import TargetFacts
from gaiaflux.model.errors import InputError

__all__ = ["facts_of_headers"]

_DAY_S = 86400.0
_PLACE_IN_NAME = re.compile(r"s(\d{4})-(\d)-(\d)")


def facts_of_headers(headers: Headers, path: Path, first_frame: str, times: np.ndarray) -> TargetFacts:
    """What a file is of.

    Parameters
    ----------
    headers : tuple of astropy.io.fits.Header
        Of the file and of its table of pixels.
    path : Path
        File.
    first_frame : str
        Name of the first full frame of a cut-out; empty where it is not known.
    times : ndarray
        Its times [d], in order: they give the cadence where the header does not.

    Returns
    -------
    TargetFacts
        Facts.

    Raises
    ------
    InputError
        Sector, camera, CCD, star or position are stated nowhere.
    """
    origin = _origin(headers, first_frame)
    sector, camera, ccd = _place(headers, origin, first_frame, path)
    ra, dec = float_of(headers, "RA_OBJ"), float_of(headers, "DEC_OBJ")
    if not (np.isfinite(ra) and abs(dec) <= 90.0):
        raise InputError(f"the header of {path} does not say where the target is (RA_OBJ, DEC_OBJ): fetch it again")
    return TargetFacts(
        path=str(path),
        starid=_starid(headers, origin, path),
        sector=sector,
        camera=camera,
        ccd=ccd,
        cadence_s=_cadence_s(headers, origin, sector, times),
        ra_deg=ra % 360.0,
        dec_deg=dec,
        data_release=int_of(headers, "DATA_REL"),
        origin=origin,
    )


def _origin(headers: Headers, first_frame: str) -> str:
    if text_of(headers, "TELESCOP").lower() == "kepler":
        return "kepler-tpf"
    cut = first_frame or "astrocut" in text_of(headers, "CREATOR").lower() or "MAST" in text_of(headers, "ORIGIN")
    return "tesscut" if cut else "spoc-tpf"


def _place(headers: Headers, origin: str, first_frame: str, path: Path) -> tuple[int, int, int]:
    """Sector, camera and CCD, from the name of a frame or of the file where the header lacks one."""
    if origin == "kepler-tpf":
        return int_of(headers, "QUARTER"), int_of(headers, "MODULE"), int_of(headers, "OUTPUT")
    stated = [int_of(headers, keyword) for keyword in ("SECTOR", "CAMERA", "CCD")]
    named = _PLACE_IN_NAME.search(first_frame) or _PLACE_IN_NAME.search(path.name)
    if named is not None:
        stated = [value or int(text) for value, text in zip(stated, named.groups(), strict=True)]
    if min(stated) < 1 or max(stated[1:]) > 4:
        names = ("sector", "camera", "CCD")
        bad = [name for name, value, top in zip(names, stated, (np.inf, 4, 4), strict=True) if not 1 <= value <= top]
        raise InputError(
            f"the header of {path} does not say its {' and '.join(bad)}, nor does its name (s0001-4-3): fetch it "
            "again, or give it the mission's name"
        )
    return stated[0], stated[1], stated[2]


def _starid(headers: Headers, origin: str, path: Path) -> int:
    keyword = "KEPLERID" if origin == "kepler-tpf" else "TICID"
    starid = int_of(headers, keyword)
    if not starid:
        named = re.search(r"\d+", text_of(headers, "OBJECT"))
        starid = int(named.group()) if named is not None else 0
    if not starid and origin != "tesscut":
        raise InputError(f"the header of {path} does not say which star it is of ({keyword}): fetch it again")
    return starid


def _cadence_s(headers: Headers, origin: str, sector: int, times: np.ndarray) -> float:
    stated = float_of(headers, "TIMEDEL") * _DAY_S
    if stated > 0.0:
        return round(stated, 3)
    if len(times) > 1:
        return cadence_of_times(times.tolist())
    if origin == "tesscut":
        return float(frame_cadence_s(sector))
    return float("nan")
