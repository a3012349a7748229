"""Names of the files that the demonstration simulates, which are known before they are made."""

from datetime import datetime, timedelta

__all__ = ["demo_images", "demo_responses"]

# Full-frame images: the start of the first exposure, and what is missing among those every half hour: frames that were
# never sent, and a gap (gaiaflux.sim.tess.ccd_presets.demo_ccd).
_FIRST = datetime(2018, 7, 25, 19, 29, 6)
_CADENCE_S = 1800
_SLOTS, _MISSING = 128, {48, 78, *range(61, 67)}
_PLACES = (("0001", "0513", "1025", "1536", "2048"), ("0045", "0557", "1069", "1580", "2092"))


def demo_images() -> list[str]:
    """Names of the full-frame images, in the order of time.

    Returns
    -------
    list of str
    """
    starts = [_FIRST + timedelta(seconds=_CADENCE_S * slot) for slot in range(_SLOTS) if slot not in _MISSING]
    return [f"tess{start:%Y%j%H%M%S}-s0001-1-3-0120-s_ffic.fits" for start in starts]


def demo_responses(camera: int, ccd: int) -> list[str]:
    """Files of the response functions of a CCD, below their folder.

    Parameters
    ----------
    camera, ccd : int

    Returns
    -------
    list of str
    """
    stem = f"start_s0001/cam{camera}_ccd{ccd}/tess2018206045859-prf-{camera}-{ccd}"
    rows, columns = _PLACES
    return [f"{stem}-row{row}-col{column}.fits" for row in rows for column in columns]
