"""Headers and names of full-frame images as TICA makes them (Fausnaugh et al. 2021, MAST's high-level products).

One image per file in the primary unit, electrons of the exposure, times at the spacecraft as Julian Dates (TDB) less
``TJD_ZERO``, no errors; quality is some flags of 0 or 1.
"""

from collections.abc import Iterator

from gaiaflux.sim.tess.ccd import QUALITY_SAFE, SimulatedCcd, SimulatedFrame, exposure_s
from gaiaflux.sim.tess.ccd_headers import GAINS, Card
from gaiaflux.sim.tess.field import BTJD_TO_MJD, spacecraft_au
from gaiaflux.sim.tess.stamp import QUALITY_DUMP

__all__ = ["tica_cards", "tica_name"]

AU_KM = 149597870.7
# Seconds from the GPS scale's zero (JD 2444244.5) to that of TJD, and TDB - GPS.
GPS_DAYS, GPS_LATE_S = 2457000.0 - 2444244.5, 51.184
FLAGGED_FROM = 67  # the first sector whose headers have the single flags
STRAY_FROM = 500.0  # above it a camera counts as flooded with light [electron/s]


def tica_name(ccd: SimulatedCcd, frame: SimulatedFrame, cadenceno: int) -> str:
    """Name of a file."""
    setup = ccd.setup
    number = f"s{setup.sector:04d}-o{_orbit(ccd, frame)}-{cadenceno:08d}-cam{setup.camera}-ccd{setup.ccd}"
    return f"hlsp_tica_tess_ffi_{number}_tess_v01_img.fits"


def _orbit(ccd: SimulatedCcd, frame: SimulatedFrame) -> int:
    """1 or 2: of the sector's two."""
    return 1 + int((frame.btjd - ccd.setup.start_btjd) / ccd.setup.orbit_d) % 2


def tica_cards(ccd: SimulatedCcd, frame: SimulatedFrame, cadenceno: int, corner: tuple[int, int]) -> Iterator[Card]:
    """Cards of a header, without those of the plate solution.

    Parameters
    ----------
    ccd : SimulatedCcd
    frame : SimulatedFrame
    cadenceno : int
    corner : tuple of int
        Column and row of the CCD of the file's first pixel, 0-based.

    Yields
    ------
    tuple
        Keyword, value, comment.
    """
    setup, half = ccd.setup, 0.5 * ccd.setup.exposure_d
    safe, dump = bool(frame.quality & QUALITY_SAFE), bool(frame.quality & QUALITY_DUMP)
    yield "CRM_N", 10, "Window for CRM min/max rejection"
    yield "ORBIT_ID", 2 * setup.sector + 6 + _orbit(ccd, frame), "Orbit ID"
    yield "ACS_MODE", "CPI" if safe else "FP", "Attitude Control System mode"
    yield "SC_RA", setup.spacecraft.ra_deg, "Predicted RA of spacecraft boresight (degrees)"
    yield "SC_DEC", setup.spacecraft.dec_deg, "Predicted DEC of spacecraft boresight (degrees)"
    yield "SC_ROLL", setup.spacecraft.roll_deg, "Predicted roll of spacecraft (degrees)"
    yield "TJD_ZERO", 2457000.0, "JD-TJD"
    yield "STARTTJD", frame.btjd - half, "TJD at start of exposure"
    yield "MIDTJD", frame.btjd, "TJD at middle of exposure"
    yield "ENDTJD", frame.btjd + half, "TJD at end of exposure"
    yield "EXPTIME", exposure_s(setup), "Effective exposure time (s)"
    yield "INT_TIME", round(setup.cadence_s), "Integration time (s)"
    yield "TIME", (frame.btjd - half + GPS_DAYS) * 86400.0 - GPS_LATE_S, "Spacecraft time (GPS seconds) at start"
    yield "PIX_CAT", 0, "Pixel category"
    yield "REQUANT", 411, "Requantization table ID"
    yield "DIFF_HUF", 10407, "Huffman table for difference encoding"
    yield "PRIM_HUF", 17, "Huffman table for undifference encoding"
    yield "QUAL_BIT", int(safe or dump), "Quality bit (1 = bad)"
    if setup.sector >= FLAGGED_FROM:
        yield "FINE", int(not safe), "Fine pointing flag"
        yield "COARSE", int(safe), "Coarse pointing flag"
        yield "RW_DESAT", int(dump), "Reaction wheel desaturation flag"
        for camera in (1, 2, 3, 4):
            flooded = camera == setup.camera and float(frame.sky.mean()) > STRAY_FROM
            yield f"STRAYLT{camera}", int(flooded), f"Stray light flag, camera {camera}"
    yield "SPM", 2, "Science processing mode"
    yield "CAMNUM", setup.camera, "Camera number"
    yield "CCDNUM", setup.ccd, "CCD number"
    yield "CAM", setup.camera, "Camera number"
    yield "CCD", setup.ccd, "CCD number"
    yield "CADENCE", cadenceno, "Cadence number"
    yield "CRM", setup.mitigated, "Cosmic ray mitigation"
    yield "ORB_SEG", f"o{_orbit(ccd, frame)}a", "Segment of the orbit"
    # Counted from the file's first pixel: what a full frame's header says of a full frame.
    first = (setup.first_column - corner[0] + 1, setup.first_row - corner[1] + 1)
    last = (first[0] + setup.shape[1] - 1, first[1] + setup.shape[0] - 1)
    yield "SCIPIXS", f"[{first[0]}:{last[0]},{first[1]}:{last[1]}]", "Science pixels"
    for name, value in zip("ABCD", GAINS, strict=True):
        yield f"GAIN_{name}", value, f"e/ADU for CCD Sector {name}"
    yield "UNITS", "electrons", "Units after calibration (ADU or electrons)"
    yield "TICAVER", "simulated", "tica software version"
    yield "EQUINOX", 2000.0, "equinox of celestial coordinate system"
    yield "INSTRUME", "TESS Photometer", "instrument"
    yield "TELESCOP", "TESS", "telescope"
    yield "FILTER", "TESS", "bandpass"
    yield "MJD-BEG", frame.btjd - half + BTJD_TO_MJD, "start of exposure"
    yield "MJD-END", frame.btjd + half + BTJD_TO_MJD, "end of exposure"
    place = spacecraft_au(ccd.btjd[frame.index : frame.index + 1])[0] * AU_KM
    for axis, value in zip("XYZ", place, strict=True):
        yield f"TESS_{axis}", float(value), f"Spacecraft {axis}, barycentric ICRS (km)"
    yield "WCSGDF", 1.0, "Fraction of reference stars in the plate solution"
    if corner != (0, 0):
        # Only of a part of a CCD, which TICA does not make.
        yield "CRPIX1P", 1, "reference CCD column"
        yield "CRVAL1P", corner[0] + 1, "value at reference CCD column"
        yield "CRPIX2P", 1, "reference CCD row"
        yield "CRVAL2P", corner[1] + 1, "value at reference CCD row"
