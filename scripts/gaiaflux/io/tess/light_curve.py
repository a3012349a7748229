"""Light curves as FITS files: extensions, columns and keywords of the TASOC pipeline's, and what other readers need.

`lightkurve` knows a file by its TELESCOP and by the word lightcurve in its CREATOR, and wants a column PDCSAP_FLUX.
"""

import gzip
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from pathlib import Path

import numpy as np
from astropy.io import fits

from gaiaflux.core.sky.timing import utc_from_scale
from gaiaflux.io.atomic import replacing
from gaiaflux.io.image.wcs_cards import cards_from_tan_sip
from gaiaflux.io.tess.light_curve_header import Card, LightCurveHeader
from gaiaflux.io.tess.neighbour_table import Neighbours, neighbour_table
from gaiaflux.io.tess.readout import CLOCK_KEYWORD
from gaiaflux.io.tess.weight_map import WeightMap, weight_table
from gaiaflux.model.cadences import BTJD_ZERO_JD, BTJD_ZERO_MJD
from gaiaflux.model.wcs import TanSip

__all__ = ["light_curve_name", "write_light_curve"]

FILE_VERSION = "1.5"
_GZIP_LEVEL = 2
_CARD_ROOM = 80 - 10 - 3  # for value and comment
_DAY_S = 86400.0
_BKJD_ZERO_JD = 2454833.0
_INT_TIME_S, _READ_TIME_S = 1.98, 0.02


@dataclass(frozen=True)
class _Column:
    """Name, FITS form, unit, display, key among the arrays, index of its last axis, comment."""

    name: str
    form: str
    unit: str | None
    disp: str
    key: str
    part: int | None
    comment: str


_COLUMNS = (
    _Column("TIME", "D", None, "D14.7", "time", None, "mid-exposure, barycentric (TDB)"),
    _Column("TIMECORR", "E", "d", "E13.6", "timecorr", None, "barycentric correction in TIME"),
    _Column("CADENCENO", "J", None, "I10", "cadenceno", None, "unique cadence number"),
    _Column("FLUX_RAW", "D", "e-/s", "E26.17", "flux", None, "photometric flux as measured"),
    _Column("FLUX_RAW_ERR", "D", "e-/s", "E26.17", "flux_err", None, "its one-sigma error"),
    _Column("FLUX_BKG", "D", "e-/s", "E26.17", "flux_background", None, "photometric background flux"),
    _Column("FLUX_CORR", "D", "ppm", "E26.17", "flux_corr", None, "flux / median - 1; NaN until corrected"),
    _Column("FLUX_CORR_ERR", "D", "ppm", "E26.17", "flux_corr_err", None, "its one-sigma error"),
    _Column("QUALITY", "J", None, "B16.16", "flags", None, "quality flags of gaiaflux"),
    _Column("PIXEL_QUALITY", "J", None, "B16.16", "quality", None, "pixel quality flags of the mission"),
    _Column("MOM_CENTR1", "D", "pixel", "F10.5", "pos_centroid", 0, "column centroid, CCD, first is 1"),
    _Column("MOM_CENTR2", "D", "pixel", "F10.5", "pos_centroid", 1, "row centroid, CCD, first is 1"),
    _Column("POS_CORR1", "D", "pixel", "F14.7", "pos_corr", 0, "column position correction"),
    _Column("POS_CORR2", "D", "pixel", "F14.7", "pos_corr", 1, "row position correction"),
    _Column("PDCSAP_FLUX", "D", "e-/s", "E26.17", "flux_cal", None, "FLUX_RAW until an ensemble corrects it"),
    _Column("PDCSAP_FLUX_ERR", "D", "e-/s", "E26.17", "flux_cal_err", None, "its one-sigma error"),
)
# What stands in for arrays that are not given: another array, or a number.
_DEFAULTS: dict[str, str | float] = {
    **{"flux_cal": "flux", "flux_cal_err": "flux_err", "flags": 0, "timecorr": np.nan},
    **dict.fromkeys(("flux_background", "flux_corr", "flux_corr_err", "pos_centroid", "pos_corr"), np.nan),
}


def light_curve_name(header: LightCurveHeader) -> str:
    """Name of the file, as the contract has it."""
    return (
        f"tess{header.starid:011d}-s{header.sector:03d}-{header.camera}-{header.ccd}-c{round(header.cadence_s):04d}"
        f"-dr{header.data_release:02d}-v{header.version:02d}-gaiaflux-{header.method}_lc.fits.gz"
    )


def write_light_curve(
    path: str | Path,
    columns: Mapping[str, np.ndarray],
    sumimage: np.ndarray,
    aperture: np.ndarray,
    wcs: TanSip,
    header: LightCurveHeader,
    more: tuple[WeightMap | None, Neighbours | None] = (None, None),
) -> None:
    """Write a light curve; the file appears when all of it is there.

    Parameters
    ----------
    path : str or Path
        File; packed by gzip where the name ends in ``.gz``. Its folder is made.
    columns : mapping of str to ndarray, shape (n_times,) or (n_times, 2)
        ``time`` [d, BJD_TDB - 2457000], ``cadenceno``, ``quality`` (the mission's bits), ``flux``, ``flux_err``
        [electron/s]; optional ``timecorr`` [d], ``flux_background``, ``flux_cal``, ``flux_cal_err`` (else the flux as
        measured) [electron/s], ``flux_corr``, ``flux_corr_err`` (else NaN) [ppm], ``flags`` (own bits),
        ``pos_centroid`` (column, row of the CCD, the first pixel is 1), ``pos_corr`` (column, row) [pixel].
    sumimage, aperture : ndarray, shape (ny, nx)
        Mean image [electron/s]; bits of `gaiaflux.model.cadences.ApertureBit`.
    wcs : TanSip
        Plate solution in coordinates of the stamp.
    header : LightCurveHeader
        What else the headers say.
    more : tuple, optional
        Further extensions: weights of the pixels, where the flux is no plain sum; stars that were fitted with it.

    Raises
    ------
    ValueError
        A column is missing or has another length, no rows, images of other shapes.
    """
    path = Path(path)
    n = len(columns["time"]) if "time" in columns else 0
    if n == 0:
        raise ValueError("a light curve needs rows and their times")
    if sumimage.shape != wcs.shape or aperture.shape != wcs.shape:
        raise ValueError(f"images of {sumimage.shape} and {aperture.shape} pixels for a stamp of {wcs.shape}")
    place = _place_cards(wcs, header)
    hdus = fits.HDUList(
        [
            fits.PrimaryHDU(header=_primary(header)),
            _table(columns, n, header),
            fits.ImageHDU(np.asarray(sumimage, np.float64), header=place, name="SUMIMAGE"),
            fits.ImageHDU(np.asarray(aperture, np.int32), header=place, name="APERTURE"),
        ]
    )
    weights, neighbours = more
    if weights is not None:
        hdus.append(weight_table(weights, columns["cadenceno"], place))
    if neighbours is not None and len(neighbours.star_id):
        hdus.append(neighbour_table(neighbours))
    hdus[0].header["NEXTEND"] = len(hdus) - 1
    stream = BytesIO()
    hdus.writeto(stream, checksum=True)
    packed = path.name.lower().endswith(".gz")
    content = gzip.compress(stream.getvalue(), _GZIP_LEVEL, mtime=0) if packed else stream.getvalue()
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _primary(header: LightCurveHeader) -> fits.Header:
    rays = header.cosmic_rays
    named = "KIC" if header.telescope == "Kepler" else "TIC"
    cards = {
        "NEXTEND": (0, "number of standard extensions"),
        "EXTNAME": ("PRIMARY", "name of extension"),
        "ORIGIN": ("gaiaflux", "software that created this file"),
        "CREATOR": (f"{_program()} lightcurve", "program that created this file"),
        "DATE": (time.strftime("%Y-%m-%d", time.gmtime()), "date the file was created"),
        "TELESCOP": (header.telescope, "telescope"),
        "INSTRUME": (f"{header.telescope} Photometer", "detector type"),
        "FILTER": (header.telescope, "photometric band"),
        "OBJECT": (f"{named} {header.starid}", "string version of target id"),
        f"{named}ID": (header.starid, "unique target identifier"),
        "CAMERA": (header.camera, "camera number"),
        "CCD": (header.ccd, "CCD chip number"),
        "SECTOR": (header.sector, "observing sector"),
        "PROCVER": (header.procver or None, "pipeline of the mission"),
        "FILEVER": (FILE_VERSION, "file format version"),
        "DATA_REL": (header.data_release, "data release of the mission"),
        "VERSION": (header.version, "version of the processing"),
        "PHOTMET": (header.method, "photometric method"),
        "RADESYS": ("ICRS", "reference frame of celestial coordinates"),
        "EQUINOX": (2000.0, "equinox of celestial coordinate system"),
        "RA_OBJ": (header.ra_deg, "[deg] right ascension, epoch 2000.0"),
        "DEC_OBJ": (header.dec_deg, "[deg] declination, epoch 2000.0"),
        "PMRA": (header.pmra, "[mas/yr] RA proper motion"),
        "PMDEC": (header.pmdec, "[mas/yr] Dec proper motion"),
        "PMTOTAL": (float(np.hypot(header.pmra, header.pmdec)), "[mas/yr] total proper motion"),
        "TESSMAG": (header.tmag, "[mag] TESS magnitude"),
        "TEFF": (header.teff, "[K] effective temperature"),
        "TICVER": (int(header.ticver) if header.ticver.isdigit() else None, "version of the TESS Input Catalog"),
        "CRMITEN": (rays.on_board, "spacecraft cosmic ray mitigation enabled"),
        "CRBLKSZ": (rays.block or None, "[exposures] its block size"),
        "CRSPOC": (rays.on_ground, "cosmic ray cleaning on the ground enabled"),
        "DATAVAL": (0, "no validation was done"),
    }
    made = fits.Header()
    for key, (value, comment) in (cards | dict(header.additional)).items():
        value = _card_value(value)
        # astropy warns of a comment that it has to cut.
        room = _CARD_ROOM - (max(len(value) + 2, 20) if isinstance(value, str) else 20)
        made[key] = (value, _ascii(comment)[: max(room, 0)])
    for remark in header.remarks:
        made.add_history(_ascii(remark))
    return made


def _program() -> str:
    try:
        return f"gaiaflux {version('gaiaflux')}"
    except PackageNotFoundError:  # used from its folder, not installed
        return "gaiaflux"


def _table(columns: Mapping[str, np.ndarray], n: int, header: LightCurveHeader) -> fits.BinTableHDU:
    made = []
    zero = _time_zero(header)[0]
    for column in _COLUMNS:
        values, unit = _values(columns, column.key, n), column.unit
        if column.part is not None and values.ndim == 2:
            values = values[:, column.part]
        if values.shape != (n,):
            raise ValueError(f"column {column.key} has shape {values.shape}, not one value for each of {n} times")
        if column.form == "J":
            values = values.astype(np.int32)  # of unsigned bits astropy would make numbers with an offset
        if column.key == "time":
            values, unit = values + (BTJD_ZERO_JD - zero), f"BJD - {zero:.0f}, days"
        made.append(fits.Column(column.name, column.form, unit, disp=column.disp, array=values))
    table = fits.BinTableHDU.from_columns(made, name="LIGHTCURVE")
    for k, column in enumerate(_COLUMNS, 1):
        table.header.comments[f"TTYPE{k}"] = column.comment
    for key, (value, comment) in _time_cards(np.asarray(columns["time"], np.float64), header).items():
        table.header[key] = (_card_value(value), comment)
    return table


def _time_zero(header: LightCurveHeader) -> tuple[float, str]:
    """Julian Date at which the file's times are 0, and what such times are called: readers go by the telescope."""
    return (_BKJD_ZERO_JD, "BKJD") if header.telescope == "Kepler" else (BTJD_ZERO_JD, "BTJD")


def _values(columns: Mapping[str, np.ndarray], key: str, n: int) -> np.ndarray:
    if columns.get(key) is not None:
        return np.asarray(columns[key])
    default = _DEFAULTS.get(key)
    if default is None:
        raise ValueError(f"a light curve needs the column {key}")
    return _values(columns, default, n) if isinstance(default, str) else np.full(n, default)


def _time_cards(times: np.ndarray, header: LightCurveHeader) -> dict[str, Card]:
    half = header.cadence_s / _DAY_S / 2.0
    start, stop = float(np.nanmin(times)) - half, float(np.nanmax(times)) + half
    zero, name = _time_zero(header)
    shift = BTJD_ZERO_JD - zero
    detector, rays = header.detector, header.cosmic_rays
    exposed = detector.int_time_s if np.isfinite(detector.int_time_s) else _INT_TIME_S
    read = detector.readtime_s if np.isfinite(detector.readtime_s) else _READ_TIME_S
    live = exposed / (exposed + read)
    if rays.on_board and rays.block > 2:
        live *= (rays.block - 2) / rays.block
    return {
        "EXTVER": (1, "extension version number (not format version)"),
        "INHERIT": (True, "inherit the primary header"),
        "TELESCOP": (header.telescope, "telescope"),
        "TIMEREF": ("SOLARSYSTEM", "barycentric correction applied to times"),
        "TIMESYS": ("TDB", "time system is Barycentric Dynamical Time (TDB)"),
        "BJDREFI": (int(zero), f"integer part of {name} reference date"),
        "BJDREFF": (0.0, f"fraction of the day in {name} reference date"),
        "TIMEUNIT": ("d", "time unit for TIME, TSTART and TSTOP"),
        "TSTART": (start + shift, f"observation start time in {name}"),
        "TSTOP": (stop + shift, f"observation stop time in {name}"),
        "DATE-OBS": (_calendar(start), "TSTART as UTC calendar date"),
        "DATE-END": (_calendar(stop), "TSTOP as UTC calendar date"),
        "MJD-BEG": (start + BTJD_ZERO_MJD, "TSTART as MJD (TDB)"),
        "MJD-END": (stop + BTJD_ZERO_MJD, "TSTOP as MJD (TDB)"),
        "TELAPSE": (stop - start, "[d] TSTOP - TSTART"),
        "LIVETIME": ((stop - start) * live, "[d] TELAPSE multiplied by DEADC"),
        "DEADC": (live, "deadtime correction"),
        "EXPOSURE": (len(times) * header.cadence_s / _DAY_S * live, "[d] time on source"),
        "XPOSURE": (header.cadence_s * live, "[s] time on source in a cadence"),
        CLOCK_KEYWORD: (header.clock_offset_s, "[s] added to the mission's time stamps"),
        "TIMEPIXR": (0.5, "bin time beginning=0 middle=0.5 end=1"),
        "TIMEDEL": (header.cadence_s / _DAY_S, "[d] time resolution of data"),
        "INT_TIME": (exposed, "[s] photon accumulation time per frame"),
        "READTIME": (read, "[s] readout time per frame"),
        "FRAMETIM": (exposed + read, "[s] frame time (INT_TIME + READTIME)"),
        "NUM_FRM": (detector.num_frm or None, "number of frames per time stamp"),
        "NREADOUT": (detector.nreadout or None, "number of frames left by cosmic ray mitigation"),
        "RADESYS": ("ICRS", "reference frame of celestial coordinates"),
        "EQUINOX": (2000.0, "equinox of celestial coordinate system"),
    }


def _place_cards(wcs: TanSip, header: LightCurveHeader) -> fits.Header:
    made = fits.Header.fromstring(cards_from_tan_sip(wcs), sep="\n")
    for axis, (name, first) in enumerate((("RAWX", header.first_column), ("RAWY", header.first_row)), 1):
        made[f"CTYPE{axis}P"] = (name, "CCD column" if axis == 1 else "CCD row")
        made[f"CUNIT{axis}P"] = ("PIXEL", "")
        made[f"CRPIX{axis}P"] = (1, "first pixel of the stamp")
        made[f"CRVAL{axis}P"] = (first + 1, "its place on the CCD, the first is 1")
        made[f"CDELT{axis}P"] = (1.0, "")
    made["WCSNAMEP"] = ("PHYSICAL", "name of the alternate coordinate system P")
    made["WCSAXESP"] = (2, "its number of axes")
    made["INHERIT"] = (True, "inherit the primary header")
    return made


def _calendar(time_btjd: float) -> str:
    mjd = utc_from_scale(time_btjd + BTJD_ZERO_MJD, "tdb", 0.0, 0.0)
    return f"{np.datetime64(round((mjd - 40587.0) * _DAY_S * 1000.0), 'ms')}Z"


def _card_value(value: object) -> object:
    """What a card can hold: no NaN, no array scalars, ASCII."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return _ascii(value) if isinstance(value, str) else value


def _ascii(text: str) -> str:
    return "".join(char if " " <= char <= "~" else "?" for char in text)
