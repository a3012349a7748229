"""What the headers of a light curve say."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gaiaflux.model.cadences import CosmicRays, Detector, TargetFile

__all__ = ["Card", "LightCurveHeader", "header_of_target"]

Card = tuple[object, str]


@dataclass(frozen=True)
class LightCurveHeader:
    """What the headers of a light curve say; NaN, 0 and empty texts are left blank there.

    Attributes
    ----------
    starid, sector, camera, ccd : int
        Star and where it was seen.
    cadence_s : float
        Length of a cadence [s].
    method : str
        Of the photometry.
    version : int
        Of the user's data release; 0 is one.
    data_release, procver, ticver
        Of the mission.
    ra_deg, dec_deg, pmra, pmdec : float
        Star, ICRS at 2000.0 [deg, mas/yr].
    tmag, teff : float
        [mag, K].
    detector : Detector
        How the pixels were read.
    cosmic_rays : CosmicRays
        What was done about them.
    first_column, first_row : int
        CCD coordinates of the stamp's lower left pixel, 0-based.
    telescope : str
        ``TESS`` or ``Kepler``.
    clock_offset_s : float
        What was added to the mission's time stamps [s].
    additional : mapping of str to (value, comment)
        Further cards of the primary header.
    remarks : tuple of str
        Sentences for HISTORY.
    """

    starid: int
    sector: int
    camera: int
    ccd: int
    cadence_s: float
    method: str
    version: int
    data_release: int
    procver: str
    ticver: str
    ra_deg: float
    dec_deg: float
    pmra: float
    pmdec: float
    tmag: float
    teff: float
    detector: Detector
    cosmic_rays: CosmicRays
    first_column: int
    first_row: int
    telescope: str = "TESS"
    clock_offset_s: float = 0.0
    additional: Mapping[str, Card] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def header_of_target(
    target: TargetFile, method: str, version: int, additional: Mapping[str, Card] | None = None
) -> LightCurveHeader:
    """Header of a light curve of a target pixel file's star.

    Parameters
    ----------
    target : TargetFile
        File that was measured.
    method : str
        Of the photometry.
    version : int
        Of the user's data release.
    additional : mapping of str to (value, comment), optional
        Further cards.

    Returns
    -------
    LightCurveHeader
        `dataclasses.replace` changes it, for a star of the field that the file is not named after.
    """
    same = (
        *("starid", "sector", "camera", "ccd", "cadence_s", "data_release", "procver", "ticver", "ra_deg", "dec_deg"),
        *("pmra", "pmdec", "tmag", "teff", "detector", "cosmic_rays", "remarks", "clock_offset_s"),
    )
    return LightCurveHeader(
        **{name: getattr(target, name) for name in same},
        method=method,
        version=version,
        first_column=target.series.first_column,
        first_row=target.series.first_row,
        telescope="Kepler" if target.origin.startswith("kepler") else "TESS",
        additional=additional or {},
    )
