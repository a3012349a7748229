"""What the headers of the mission say of the detector, of cosmic rays and of the clock."""

import numpy as np

from gaiaflux.core.sky.clock_offset import clock_offset_s
from gaiaflux.io.tess.fits_file import Headers, float_of, int_of, text_of
from gaiaflux.model.cadences import CosmicRays, Detector

__all__ = ["CLOCK_KEYWORD", "clock_correction", "cosmic_rays_of", "detector_of"]

CLOCK_KEYWORD = "CLKOFFS"
"""Card of this project's files that states what was added to the mission's time stamps [s]."""

_FRAME_S = 2.0
_OUTPUTS = "ABCD"


def detector_of(headers: Headers, cadence_s: float) -> Detector:
    """How pixels were read.

    Parameters
    ----------
    headers : tuple of astropy.io.fits.Header
        Of the mission's pipeline.
    cadence_s : float
        Length of a cadence [s]; NaN where it is not known.

    Returns
    -------
    Detector
        Counts of frames that are not stated are those of the cadence and of the cosmic-ray mitigation.
    """
    num_frm = int_of(headers, "NUM_FRM") or (round(cadence_s / _FRAME_S) if np.isfinite(cadence_s) else 0)
    rays = cosmic_rays_of(headers)
    kept = (rays.block - 2) / rays.block if rays.on_board and rays.block > 2 else 1.0
    return Detector(
        num_frm=num_frm,
        nreadout=int_of(headers, "NREADOUT") or round(num_frm * kept),
        int_time_s=float_of(headers, "INT_TIME"),
        readtime_s=float_of(headers, "READTIME"),
        gain=tuple(float_of(headers, f"GAIN{output}", float_of(headers, "GAIN")) for output in _OUTPUTS),
        read_noise=tuple(float_of(headers, f"READNOI{output}", float_of(headers, "READNOIS")) for output in _OUTPUTS),
    )


def cosmic_rays_of(headers: Headers) -> CosmicRays:
    """What was done about cosmic rays; the first header is the file's own."""
    primary = headers[0]
    return CosmicRays(primary.get("CRMITEN") is True, int_of(headers, "CRBLKSZ"), primary.get("CRSPOC") is True)


def clock_correction(headers: Headers, full_frame_of: tuple[int, int] | None) -> tuple[float, tuple[str, ...]]:
    """What is to be added to the middles of a file's cadences.

    Parameters
    ----------
    headers : tuple of astropy.io.fits.Header
        Of the mission's pipeline.
    full_frame_of : tuple of int or None
        (camera, CCD) of a full frame or of a cut-out of one.

    Returns
    -------
    seconds : float
        0 where the times are right, or have been corrected by this project.
    remarks : tuple of str
        Why it is not known.
    """
    if any(CLOCK_KEYWORD in header for header in headers):
        return 0.0, ()
    release, procver = int_of(headers, "DATA_REL", -1), text_of(headers, "PROCVER")
    seconds = clock_offset_s(release, procver, full_frame_of=full_frame_of)
    if np.isfinite(seconds):
        return seconds, ()
    return 0.0, (
        f"data release {release} was delivered twice and the header does not say by which pipeline (PROCVER): its "
        "times may be 2 s late",
    )
