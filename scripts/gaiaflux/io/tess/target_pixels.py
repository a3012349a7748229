"""Target pixel files of TESS and of Kepler, and cut-outs of full frames (TESScut)."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy.io import fits

from gaiaflux.core.sky.focal_plane import Pointing
from gaiaflux.io.image.wcs_cards import tan_sip_from_cards
from gaiaflux.io.tess.fits_file import Headers, column_of, float_of, int_of, opened, text_of
from gaiaflux.io.tess.readout import clock_correction, cosmic_rays_of, detector_of
from gaiaflux.io.tess.stamp_place import PlacedStamp, StampHeader, place_stamp
from gaiaflux.io.tess.target_facts import facts_of_headers
from gaiaflux.model.cadences import BTJD_ZERO_JD, StampSeries, TargetFacts, TargetFile
from gaiaflux.model.errors import BadFrameError, InputError
from gaiaflux.model.wcs import TanSip

__all__ = ["read_target_pixels"]

_WHAT = "target pixel file"
_YEAR_D = 365.25
_J2000_JD = 2451545.0
# Magnitudes that stand for "unknown" in headers.
_NO_MAGNITUDE = 90.0
_DAY_S = 86400.0


def read_target_pixels(path: str | Path, pointings: Mapping[tuple[int, int], Pointing] | None = None) -> TargetFile:
    """Read a target pixel file or a cut-out.

    Rows without a time are left out; the others are put in the order of their times, and of rows that stand there twice
    one is kept. What is odd but does not prevent the use is said in `TargetFile.remarks`.

    Parameters
    ----------
    path : str or Path
        File, packed by gzip or not.
    pointings : mapping of (int, int) to Pointing, optional
        By sector and camera (`gaiaflux.io.tess.pointing.read_pointing`): says where a cut-out lies whose header is
        wrong about it, and what its times were corrected for.

    Returns
    -------
    TargetFile
        Times of Kepler's files are on the scale of TESS, too; those of TESS are corrected for the clock error of early
        data releases (`TargetFile.clock_offset_s`).

    Raises
    ------
    FileNotFoundError
        No such file.
    InputError
        Not such a file, cut off or damaged; no time; two different exposures at one time; no finite pixel; sector,
        camera, CCD, target or plate solution not stated.
    """
    path = Path(path)
    with opened(path, _WHAT) as hdus:
        table, image = _extensions(hdus, path)
        headers = (hdus[0].header, table.header)
        series, remarks = _series(table, image, path)
        frames = column_of(table, "FFI_FILE")
        first_frame = "" if frames is None or not len(frames) else str(frames[0])
        cards = "\n".join(str(card) for card in image.header.cards if len(str(card)) == 80)
    return _target(path, headers, series, cards, (first_frame, remarks), pointings)


def _extensions(hdus: fits.HDUList, path: Path) -> tuple[fits.BinTableHDU, fits.ImageHDU]:
    """Table of pixels and aperture image."""
    tables = [hdu for hdu in hdus[1:] if isinstance(hdu, fits.BinTableHDU) and _has(hdu, "TIME")]
    images = [hdu for hdu in hdus[1:] if isinstance(hdu, fits.ImageHDU) and hdu.header.get("NAXIS") == 2]
    if not tables:
        raise InputError(f"the {_WHAT} {path} has no table with a column TIME: give a target pixel file or a cut-out")
    table = tables[0]
    missing = [name for name in ("FLUX", "FLUX_ERR", "CADENCENO", "QUALITY") if not _has(table, name)]
    flux = None if missing else column_of(table, "FLUX")
    if flux is None or flux.ndim != 3:
        reason = f"no column {', '.join(missing)}" if missing else "no images in its column FLUX"
        raise InputError(f"{path} is no {_WHAT}: it has {reason} (a light curve has none); give the file with pixels")
    shape = flux.shape[1:]
    fitting = [hdu for hdu in images if hdu.shape == shape]
    if not fitting:
        raise InputError(f"the {_WHAT} {path} has no aperture image of {shape[0]} x {shape[1]} pixels: fetch it again")
    return table, next((hdu for hdu in fitting if hdu.name == "APERTURE"), fitting[0])


def _has(hdu: fits.BinTableHDU, name: str) -> bool:
    return name in (column.upper() for column in hdu.columns.names)


def _series(table: fits.BinTableHDU, image: fits.ImageHDU, path: Path) -> tuple[StampSeries, list[str]]:
    """Pixels of the usable rows, with the corner still at 0."""
    stated = column_of(table, "TIME")
    assert stated is not None
    time = stated.astype(np.float64) + _shift_to_btjd(table.header)
    rows, remarks = _usable_rows(time, table, path)
    every = slice(None) if len(rows) == len(time) and np.all(np.diff(rows) == 1) else rows
    n, shape = len(rows), image.shape

    def vector(name: str, kind: type) -> np.ndarray:
        values = column_of(table, name)
        if values is None:
            return np.full(n, np.nan if np.issubdtype(kind, np.floating) else 0, kind)
        return values[every].astype(kind)

    def cube(name: str, absent: float = np.nan) -> np.ndarray:
        values = column_of(table, name)
        return np.full((n, *shape), absent, np.float32) if values is None else values[every].astype(np.float32)

    flux = cube("FLUX")
    if not np.isfinite(flux).any():
        raise InputError(f"no pixel of {path} has a finite flux: fetch it again, or leave the target out")
    series = StampSeries(
        flux=flux,
        flux_err=cube("FLUX_ERR"),
        background=cube("FLUX_BKG", 0.0),
        background_err=cube("FLUX_BKG_ERR"),
        time=time[every],
        timecorr=vector("TIMECORR", np.float64),
        cadenceno=vector("CADENCENO", np.int32),
        quality=vector("QUALITY", np.int32),
        pos_corr=np.stack([vector("POS_CORR1", np.float64), vector("POS_CORR2", np.float64)], axis=1),
        aperture=np.asarray(image.data).astype(np.int32),
        first_column=0,
        first_row=0,
    )
    return series, remarks


def _usable_rows(time: np.ndarray, table: fits.BinTableHDU, path: Path) -> tuple[np.ndarray, list[str]]:
    """Rows with a time, in its order, each time once; and what was odd."""
    rows, remarks = np.flatnonzero(np.isfinite(time)), []
    if not len(rows):
        raise InputError(f"no row of {path} has a time: fetch it again, or leave the target out")
    if np.any(np.diff(time[rows]) < 0.0):
        remarks.append("the rows are not in the order of their times and were sorted")
        rows = rows[np.argsort(time[rows], kind="stable")]
    same = np.flatnonzero(np.diff(time[rows]) == 0.0)
    if len(same):
        flux = column_of(table, "FLUX")
        assert flux is not None
        first, second = rows[same], rows[same + 1]
        if not np.array_equal(flux[first], flux[second], equal_nan=True):
            raise InputError(
                f"{path} has different pixels at one time ({time[first[0]]:.6f}): it is put together of several files; "
                "give the original ones"
            )
        remarks.append(f"{len(same)} rows stand there twice and count once")
        rows = np.delete(rows, same + 1)
    return rows, remarks


def _shift_to_btjd(header: fits.Header) -> float:
    zero = float_of((header,), "BJDREFI", BTJD_ZERO_JD) + float_of((header,), "BJDREFF", 0.0)
    return zero - BTJD_ZERO_JD


def _target(
    path: Path,
    headers: Headers,
    series: StampSeries,
    cards: str,
    found: tuple[str, list[str]],
    pointings: Mapping[tuple[int, int], Pointing] | None,
) -> TargetFile:
    first_frame, remarks = found
    facts = facts_of_headers(headers, path, first_frame, series.time)
    origin, motion, tess = facts.origin, _motion(headers, facts.origin), facts.origin != "kepler-tpf"
    seen = _moved(facts.ra_deg, facts.dec_deg, motion, float(np.median(series.time)))
    wcs, corner = _plate(cards, series.shape, path)
    stamp = place_stamp(StampHeader(facts.sector, facts.camera, facts.ccd, seen, wcs, corner, tess), pointings)
    clock_s, unsure = _clock_correction(headers, facts)
    if clock_s:
        series = _with(series, time=series.time + clock_s / _DAY_S)
    if origin == "tesscut" and not np.any(series.pos_corr):
        series = _with(series, pos_corr=np.full_like(series.pos_corr, np.nan))
    subtracted = bool(np.any(np.nan_to_num(series.background[:: max(1, len(series) // 16)])))
    return TargetFile(
        **vars(facts),
        series=_with(series, first_column=stamp.first_column, first_row=stamp.first_row),
        ref_epoch=2000.0,
        pmra=motion[0],
        pmdec=motion[1],
        tmag=_star_number(headers, "TESSMAG" if tess else "KEPMAG", origin, _NO_MAGNITUDE),
        teff=_star_number(headers, "TEFF", origin, np.inf),
        wcs=stamp.wcs,
        procver=text_of(headers, "PROCVER"),
        detector=detector_of(headers, facts.cadence_s),
        cosmic_rays=cosmic_rays_of(headers),
        clock_offset_s=clock_s,
        position_known=stamp.known,
        subtracted=subtracted,
        timecorr_place=_timecorr_place(origin, stamp, seen),
        ticver=str(int_of(headers, "TICVER") or ""),
        remarks=(*remarks, *stamp.remarks, *unsure),
    )


def _clock_correction(headers: Headers, facts: TargetFacts) -> tuple[float, tuple[str, ...]]:
    """What is to be added to the times of TESS [s]; those of a cut-out are the full frames'."""
    if facts.origin == "kepler-tpf":
        return 0.0, ()
    return clock_correction(headers, (facts.camera, facts.ccd) if facts.origin == "tesscut" else None)


def _with(series: StampSeries, **changes: np.ndarray | int) -> StampSeries:
    return StampSeries(**{**vars(series), **changes})


def _motion(headers: Headers, origin: str) -> tuple[float, float]:
    """Proper motion [mas/yr]; Kepler's headers state arcsec/yr, those of cut-outs zeros."""
    factor = 1000.0 if origin == "kepler-tpf" else 1.0
    pmra, pmdec = float_of(headers, "PMRA") * factor, float_of(headers, "PMDEC") * factor
    unknown = origin == "tesscut" and pmra == 0.0 and pmdec == 0.0
    return (np.nan, np.nan) if unknown else (pmra, pmdec)


def _moved(ra: float, dec: float, motion: tuple[float, float], time_btjd: float) -> tuple[float, float]:
    """Position at the time of observation, for the stamp and for its times: no more than an arcsecond matters."""
    years = (time_btjd + BTJD_ZERO_JD - _J2000_JD) / _YEAR_D
    east, north = (float(np.nan_to_num(part)) * years / 3.6e6 for part in motion)
    return float((ra + east / max(np.cos(np.radians(dec)), 1e-6)) % 360.0), float(np.clip(dec + north, -90.0, 90.0))


def _star_number(headers: Headers, keyword: str, origin: str, limit: float) -> float:
    value = float_of(headers, keyword)
    unfilled = origin == "tesscut" and value == 0.0
    return float("nan") if unfilled or not value < limit else value


def _plate(cards: str, shape: tuple[int, int], path: Path) -> tuple[TanSip, tuple[int, int] | None]:
    """Plate solution and 0-based corner of the aperture image's header."""
    try:
        wcs = tan_sip_from_cards(cards, shape)
    except BadFrameError as error:
        raise InputError(f"the {_WHAT} {path} has no usable plate solution ({error}): fetch it again") from error
    corner = []
    for axis in (1, 2):
        found = re.search(rf"^CRVAL{axis}P *= *([-+0-9.Ee]+)", cards, re.MULTILINE)
        if found is None:
            return wcs, None
        corner.append(round(float(found[1])) - 1)
    return wcs, (corner[0], corner[1])


def _timecorr_place(origin: str, stamp: PlacedStamp, seen: tuple[float, float]) -> tuple[float, float] | None:
    return stamp.ccd_middle if origin == "tesscut" else seen
