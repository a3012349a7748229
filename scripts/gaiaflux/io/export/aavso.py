"""Light curves in the AAVSO Extended File Format, version 1.2 (https://www.aavso.org/aavso-extended-file-format)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["AAVSO_FILTERS", "AavsoFile", "write_aavso"]

AAVSO_FILTERS = {"B": "B", "V": "V", "R": "R", "I": "I", "g": "SG", "r": "SR", "i": "SI", "z": "SZ"}
"""Code of each band of `gaiaflux.core.sky.bands.BANDS` that the format knows; Gaia G is none of them (``O``, other)."""

_NONE = "na"
_LEAST_ERROR = 0.0001  # that five characters can say [mag]


@dataclass(frozen=True)
class AavsoFile:
    """What all rows of a file have in common.

    Attributes
    ----------
    observer_code : str
        Code that the AAVSO gave to the observer.
    software : str
        Name and version, at most 255 characters.
    obstype : str
        CCD (also for CMOS), DSLR or PEP.
    star : str
        Name that the AAVSO knows, at most 30 characters.
    band : str
        Code of the filter.
    transformed : bool
        Whether a colour term has been applied.
    chart : str
        Sequence or catalogue of the comparison stars, at most 20 characters; ``na`` where empty.
    check_star : str
        Name of the check star, at most 20 characters; ``na`` where empty.
    notes : str
        What else is to be said of every row; ``na`` where empty.
    comments : sequence of str
        Lines of the header that the AAVSO keeps but does not read.
    """

    observer_code: str
    software: str
    obstype: str
    star: str
    band: str
    transformed: bool
    chart: str = ""
    check_star: str = ""
    notes: str = ""
    comments: Sequence[str] = ()


def write_aavso(
    path: str | Path,
    file: AavsoFile,
    mjd_utc: np.ndarray,
    mag: np.ndarray,
    mag_err: np.ndarray,
    check_mag: np.ndarray,
    airmass: np.ndarray,
) -> int:
    """Write the observations of a star, with an ensemble as its comparison star.

    Parameters
    ----------
    path : str or Path
        File to write; the AAVSO takes the endings .txt, .csv and .tsv.
    file : AavsoFile
        What all rows have in common.
    mjd_utc : ndarray, shape (n,)
        Mid-exposure at the observatory, Modified Julian Date, UTC; it becomes a geocentric Julian Date.
    mag, mag_err : ndarray, shape (n,)
        Magnitudes and their one-sigma errors. Rows in which time, magnitude or error is not finite are left out.
    check_mag, airmass : ndarray, shape (n,)
        Magnitude of the check star, and airmass; ``na`` where not finite.

    Returns
    -------
    int
        Rows written.
    """
    lines = [
        "#TYPE=Extended",
        f"#OBSCODE={_plain(file.observer_code)}",
        f"#SOFTWARE={_plain(file.software)[:255]}",
        "#DELIM=,",
        "#DATE=JD",
        f"#OBSTYPE={file.obstype}",
        *(f"#{_plain(comment)}" for comment in file.comments),
        "#NAME,DATE,MAG,MERR,FILT,TRANS,MTYPE,CNAME,CMAG,KNAME,KMAG,AMASS,GROUP,CHART,NOTES",
    ]
    head = _plain(file.star)[:30]
    check = _plain(file.check_star)[:20] or _NONE
    tail = [_NONE, _plain(file.chart)[:20] or _NONE, _plain(file.notes) or _NONE]
    known = np.isfinite(mjd_utc) & np.isfinite(mag) & np.isfinite(mag_err)
    for row in np.flatnonzero(known):
        fields = [
            head,
            f"{mjd_utc[row] + 2400000.5:.6f}",
            f"{mag[row]:.4f}",
            f"{min(max(mag_err[row], _LEAST_ERROR), 9.9999):.4f}",
            file.band,
            "YES" if file.transformed else "NO",
            "STD",
            "ENSEMBLE",
            _NONE,
            check,
            f"{check_mag[row]:.3f}" if check != _NONE and np.isfinite(check_mag[row]) else _NONE,
            f"{airmass[row]:.3f}" if np.isfinite(airmass[row]) else _NONE,
            *tail,
        ]
        lines.append(",".join(fields))
    Path(path).write_text("\n".join(lines) + "\n", encoding="ascii")
    return int(known.sum())


def _plain(text: str) -> str:
    """Printable ASCII without the delimiter."""
    return "".join(c if " " <= c <= "~" else "?" for c in text.replace(",", ";").replace("\n", " ")).strip()
