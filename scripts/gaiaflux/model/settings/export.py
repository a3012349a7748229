"""Settings `export`, made from the schema by `gaiaflux.workflow.sections`; edit that instead."""

from dataclasses import dataclass

__all__ = ["AavsoSettings", "ExportSettings"]


@dataclass(frozen=True, kw_only=True)
class AavsoSettings:
    """What the AAVSO wants to know; the targets need names that it knows, with _ for a blank.

    Attributes
    ----------
    observer_code : str, optional
        the code that the AAVSO gave to the observer, up to 6 letters and digits.
    obstype : str
        Kind of the detector; CCD also for CMOS.
    chart : str
        the comparison stars' sequence or catalogue, up to 20 characters.
    """

    observer_code: str | None
    obstype: str
    chart: str


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """Further formats, in results/{series}/export.

    Attributes
    ----------
    formats : tuple[str, ...]
        `fits`, `parquet` and `ecsv` are the whole dataset (ECSV for small ones only), `aavso` the targets' light curves
        in the AAVSO Extended File Format.
    aavso : AavsoSettings, optional
        What the AAVSO wants to know; the targets need names that it knows, with _ for a blank.
    """

    formats: tuple[str, ...]
    aavso: AavsoSettings | None
