"""Headers of the mission's calibrated full-frame images: the keywords, their order and what is always the same."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
from astropy.io import fits

from gaiaflux.core.sky.timing import utc_of_tdb
from gaiaflux.model.wcs import TanSip
from gaiaflux.sim.tess.ccd import exposure_s
from gaiaflux.sim.tess.ccd_setup import CcdSetup
from gaiaflux.sim.tess.field import BTJD_TO_MJD

__all__ = ["HeaderTimes", "header_of", "image_cards", "primary_cards", "sip_cards", "utc_date"]

Card = tuple[str, object, str]

OUTPUTS = "ABCD"
GAINS = (5.349999904632568, 5.21999979019165, 5.21999979019165, 5.179999828338623)
READ_NOISES = (10.057999610900879, 7.464599609375, 7.307999610900879, 9.168599128723145)
BLACKS = (6589, 6649, 6427, 6359)
INTEGRATION_S, READOUT_S = 1.98, 0.02
CARD_LENGTH, VALUE_LENGTH = 80, 20
# The first sector whose files number their cadence.
NUMBERED_FROM = 6


class HeaderTimes:
    """Times of a frame.

    Parameters
    ----------
    btjd : float
        Mid-exposure at the spacecraft [BTJD].
    length_d : float
        From its start to its end [d].
    correction_d : float
        Light time to the barycentre for the middle of the CCD [d].
    """

    def __init__(self, btjd: float, length_d: float, correction_d: float) -> None:
        self.start, self.stop = btjd - 0.5 * length_d, btjd + 0.5 * length_d
        self.correction_d = correction_d

    def cards(self, added_d: float, scale: str) -> Iterator[Card]:
        """TSTART, TSTOP and the dates of them, with a correction [d]."""
        start, stop = self.start + added_d, self.stop + added_d
        yield "TSTART", start, f"observation start time in {scale}"
        yield "TSTOP", stop, f"observation stop time in {scale}"
        yield "DATE-OBS", _iso(start), "TSTART as UTC calendar date"
        yield "DATE-END", _iso(stop), "TSTOP as UTC calendar date"


def utc_date(btjd: float) -> datetime:
    """UTC of a time of the mission, to the millisecond."""
    utc = float(utc_of_tdb(np.array([btjd + BTJD_TO_MJD]))[0])
    return datetime(1858, 11, 17) + timedelta(milliseconds=round(utc * 86400e3))


def _iso(btjd: float) -> str:
    return utc_date(btjd).isoformat(timespec="milliseconds") + "Z"


def primary_cards(setup: CcdSetup, times: HeaderTimes, cadenceno: int, data_release: int) -> Iterator[Card]:
    """Cards of the primary header.

    Parameters
    ----------
    setup : CcdSetup
    times : HeaderTimes
    cadenceno : int
    data_release : int

    Yields
    ------
    tuple
        Keyword, value, comment.
    """
    yield "NEXTEND", 2, "number of standard extensions"
    yield "EXTNAME", "PRIMARY", "name of extension"
    yield "EXTVER", 1, "extension version number (not format version)"
    yield "SIMDATA", True, "file is based on simulated data"
    yield "ORIGIN", "gaiaflux simulation", "institution responsible for creating this file"
    yield "DATE", utc_date(times.stop).date().isoformat(), "file creation date."
    yield from times.cards(0.0, "TJD")
    yield "CREATOR", "gaiaflux simulation", "pipeline job and program used to produce this file"
    yield "PROCVER", "spoc-simulated", "SW version"
    yield "FILEVER", "1.0", "file format version"
    yield "TIMVERSN", "OGIP/93-003", "OGIP memo number for file format"
    yield "TELESCOP", "TESS", "telescope"
    yield "INSTRUME", "TESS Photometer", "detector type"
    yield "DATA_REL", data_release, "data release version number"
    yield "ASTATE", True, "archive state F indicates single orbit processing"
    yield "SCCONFIG", 120, "spacecraft configuration ID"
    yield "RADESYS", "ICRS", "reference frame of celestial coordinates"
    yield "EQUINOX", 2000.0, "equinox of celestial coordinate system"
    yield "CRMITEN", setup.mitigated, "spacecraft cosmic ray mitigation enabled"
    yield "CRBLKSZ", 10, "[exposures] s/c cosmic ray mitigation block size"
    yield "CRSPOC", False, "SPOC cosmic ray cleaning enabled"
    if setup.sector >= NUMBERED_FROM:
        yield "FFIINDEX", cadenceno, "number of FFI cadence interval"


def image_cards(setup: CcdSetup, times: HeaderTimes, quality: int, corner: tuple[int, int]) -> Iterator[Card]:
    """Cards of the header of a calibrated image, without those of the plate solution.

    Parameters
    ----------
    setup : CcdSetup
    times : HeaderTimes
    quality : int
        The mission's bits.
    corner : tuple of int
        Column and row of the CCD of the file's first pixel, 0-based.

    Yields
    ------
    tuple
        Keyword, value, comment.
    """
    length_d, live = setup.exposure_d, exposure_s(setup) / setup.cadence_s
    yield "INHERIT", True, "inherit the primary header"
    yield "EXTNAME", f"CAMERA.CCD {setup.camera}.{setup.ccd} cal", "name of extension"
    yield "EXTVER", 1, "extension version number (not format version)"
    yield "SIMDATA", True, "file is based on simulated data"
    yield "TELESCOP", "TESS", "telescope"
    yield "INSTRUME", "TESS Photometer", "detector type"
    yield "CAMERA", setup.camera, "Camera number"
    yield "CCD", setup.ccd, "CCD chip number"
    yield "EXPOSURE", length_d * live, "[d] time on source"
    yield "TIMEREF", "SOLARSYSTEM", "barycentric correction applied to times"
    yield "TASSIGN", "SPACECRAFT", "where time is assigned"
    yield "TIMESYS", "TDB", "time system is Barycentric Dynamical Time (TDB)"
    yield "BJDREFI", 2457000, "integer part of BTJD reference date"
    yield "BJDREFF", 0.0, "fraction of the day in BTJD reference date"
    yield "TIMEUNIT", "d", "time unit for TIME, TSTART and TSTOP"
    yield "TELAPSE", length_d, "[d] TSTOP - TSTART"
    yield "LIVETIME", length_d * live, "[d] TELAPSE multiplied by DEADC"
    yield from times.cards(times.correction_d, "BTJD")
    yield "DEADC", live, "deadtime correction"
    yield "TIMEPIXR", 0.5, "bin time beginning=0 middle=0.5 end=1"
    yield "TIERRELA", 1.16e-5, "[d] relative time error"
    yield "BTC_PIX1", 1068.0, "reference col for barycentric time correction"
    yield "BTC_PIX2", 1024.0, "reference row for barycentric time correction"
    yield "BUNIT", "electrons/s", "physical units of image data"
    yield "BARYCORR", times.correction_d, "[d] barycentric time correction"
    yield from _detector_cards(setup)
    yield from _layout_cards(corner)
    yield "RA_NOM", setup.spacecraft.ra_deg, "[deg] RA of camera boresight"
    yield "DEC_NOM", setup.spacecraft.dec_deg, "[deg] DEC of camera boresight"
    yield "ROLL_NOM", setup.spacecraft.roll_deg, "[deg] roll angle of camera"
    yield "DQUALITY", quality, "data quality flags"
    yield "IMAGTYPE", "cal", "FFI image type: raw, cal, uncert"


def _detector_cards(setup: CcdSetup) -> Iterator[Card]:
    n = round(setup.cadence_s / (INTEGRATION_S + READOUT_S))
    yield "INT_TIME", INTEGRATION_S, "[s] photon accumulation time per frame"
    yield "READTIME", READOUT_S, "[s] readout time per frame"
    yield "FRAMETIM", INTEGRATION_S + READOUT_S, "[s] frame time (INT_TIME + READTIME)"
    yield "NUM_FRM", n, "number of frames per time stamp"
    yield "TIMEDEL", setup.exposure_d, "[d] time resolution of data"
    yield "BACKAPP", False, "background is subtracted"
    yield "DEADAPP", True, "deadtime applied"
    yield "VIGNAPP", True, "vignetting or collimator correction applied"
    for name, value in zip(OUTPUTS, GAINS, strict=True):
        yield f"GAIN{name}", value, f"[electrons/count] CCD output {name} gain"
    for name, value in zip(OUTPUTS, READ_NOISES, strict=True):
        yield f"READNOI{name}", value, f"[electrons] read noise CCD output {name}"
    yield "NREADOUT", n * 4 // 5 if setup.mitigated else n, "number of read per cadence"
    yield "FXDOFF", 3355400, "compression fixed offset"
    place = f"{setup.camera}{setup.ccd}"
    yield f"TMOFST{place}", 0.06, f"(s) readout delay for camera {place[0]} and ccd {place[1]}"
    for name, level in zip(OUTPUTS, BLACKS, strict=True):
        yield f"MEANBLC{name}", level, f"[count] FSW mean black level CCD output {name}"


def _layout_cards(corner: tuple[int, int]) -> Iterator[Card]:
    """Where the outputs' columns and the kinds of rows are on the CCD, and where the file's first pixel is."""
    for k, name in enumerate(OUTPUTS):
        yield f"LVCS{name}", 1 + 11 * k, f"serial register col start, output {name}"
        yield f"LVCE{name}", 11 + 11 * k, f"serial register col end (inclusive), output {name}"
        yield f"TVCS{name}", 2093 + 11 * k, f"trailing virtual column start, output {name}"
        yield f"TVCE{name}", 2103 + 11 * k, f"trailing virtual column end (inclusive), output {name}"
        yield f"SCCS{name}", 45 + 512 * k, f"science col start, output {name}"
        yield f"SCCE{name}", 556 + 512 * k, f"science col end (inclusive), output {name}"
        yield f"SCICOLH{name}", k % 2 == 0, "T science cols are read increasing order else decreasing"
    rows = [("SCIROW", 1, 2048, "science rows"), ("VROW", 2069, 2078, "virtual row")]
    rows += [("SMROW", 2059, 2068, "smear rows"), ("BFROW", 2049, 2058, "buffer rows")]
    for name, first, last, what in rows:
        yield f"{name}S", first, f"{what} start"
        yield f"{name}E", last, f"{what} end (inclusive)"
    yield "WCSNAMEP", "PHYSICAL", "name of world coordinate system alternate P"
    yield "WCSAXESP", 2, "number of WCS physical axes"
    for axis, kind in ((1, "column"), (2, "row")):
        yield f"CTYPE{axis}P", ("RAWX", "RAWY")[axis - 1], f"physical WCS axis {axis} type CCD {kind[:3]}"
        yield f"CUNIT{axis}P", "PIXEL", f"physical WCS axis {axis} unit"
        yield f"CRPIX{axis}P", 1, f"reference CCD {kind}"
        yield f"CRVAL{axis}P", corner[axis - 1] + 1, f"value at reference CCD {kind}"
        yield f"CDELT{axis}P", 1.0, f"physical WCS axis {axis} step"


def sip_cards(wcs: TanSip) -> Iterator[Card]:
    """Cards of a plate solution in the mission's order.

    Parameters
    ----------
    wcs : TanSip
        In coordinates of the file's image.

    Yields
    ------
    tuple
        Keyword, value, comment.
    """
    yield "RADESYS", "ICRS", "reference frame of celestial coordinates"
    yield "EQUINOX", 2000.0, "equinox of celestial coordinate system"
    yield "WCSAXES", 2, "number of WCS axes"
    yield "CTYPE1", "RA---TAN-SIP", "Gnomonic projection + SIP distortions"
    yield "CTYPE2", "DEC--TAN-SIP", "Gnomonic projection + SIP distortions"
    yield "CRVAL1", wcs.crval[0], "RA at CRPIX1, CRPIX2"
    yield "CRVAL2", wcs.crval[1], "DEC at CRPIX1, CRPIX2"
    yield "CRPIX1", wcs.crpix[0] + 1.0, "X reference pixel"
    yield "CRPIX2", wcs.crpix[1] + 1.0, "Y reference pixel"
    for i in (1, 2):
        for j in (1, 2):
            yield f"CD{i}_{j}", float(wcs.cd[i - 1, j - 1]), "Transformation matrix"
    kinds = (("A", wcs.a, 2, ""), ("B", wcs.b, 2, ""), ("AP", wcs.ap, 1, "inv "), ("BP", wcs.bp, 1, "inv "))
    for name, values, lowest, what in kinds:
        order = len(values) - 1
        yield f"{name}_ORDER", order, f"{what}polynomial order, axis {1 + (name[0] == 'B')}"
        for total in range(lowest, order + 1):
            for p in range(total, -1, -1):
                yield f"{name}_{p}_{total - p}", float(values[p, total - p]), f"{what}distortion coefficient"
    x, y = np.meshgrid(
        np.linspace(0.0, wcs.shape[1], 9) - wcs.crpix[0], np.linspace(0.0, wcs.shape[0], 9) - wcs.crpix[1]
    )
    for axis, name, values in ((1, "A", wcs.a), (2, "B", wcs.b)):
        largest = np.abs(np.polynomial.polynomial.polyval2d(x, y, values)).max()
        yield f"{name}_DMAX", float(largest), f"maximum distortion, axis {axis}"


def header_of(cards: Iterator[Card]) -> fits.Header:
    """A header of cards, in their order; comments end where a card does, as the mission's do."""
    return fits.Header([fits.Card(name, value, comment[: _room(value)]) for name, value, comment in cards])


def _room(value: object) -> int:
    """Letters of a comment beside a value."""
    return CARD_LENGTH - len("KEYWORD = ") - max(VALUE_LENGTH, len(str(value)) + 2) - len(" / ")
