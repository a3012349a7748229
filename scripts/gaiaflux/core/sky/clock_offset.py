"""Error of the time stamps of the mission's early data releases.

Sources: TESS Data Release Notes 25 (sector 18), section 3.3, and the memos on the revisions of data releases 27 and 29;
read off with the numbers that the TASOC photometry module uses (``fixes/time_offset.py``).
"""

__all__ = ["clock_offset_s", "readout_delay_s"]

_LAST_WRONG = 26
# Two deliveries under one number: only the version of the pipeline tells the first from the second.
_FIRST_DELIVERY = {
    27: ("spoc-4.0.14-20200108", "spoc-4.0.15-20200114", "spoc-4.0.17-20200130"),
    29: ("spoc-4.0.17-20200130", "spoc-4.0.20-20200220", "spoc-4.0.21-20200227"),
}
_WITHOUT_STAGGER = {29}
# One frame of 2 s counted too many; starts 31 ms and ends 11 ms later than they were said to be.
_MIDDLE_S = -2.000 + 0.021
_CAMERA_S = {1: 0.0, 2: 1.5, 3: 0.5, 4: 1.0}
_CCD_S = 0.020


def clock_offset_s(data_release: int, procver: str, *, full_frame_of: tuple[int, int] | None = None) -> float:
    """What is to be added to the stated middle of a cadence.

    Parameters
    ----------
    data_release : int
        Of the mission; negative where it is not stated.
    procver : str
        Version of the pipeline; empty where it is not stated.
    full_frame_of : tuple of int, optional
        (camera, CCD) of a full-frame image: the time stamps of these are those of camera 1, CCD 1.

    Returns
    -------
    float
        [s]; 0 for times that are right and where no release is stated, NaN for a release that was delivered twice and a
        pipeline that is not stated.

    Raises
    ------
    ValueError
        No such camera or CCD.
    """
    delay = readout_delay_s(*full_frame_of) if full_frame_of is not None else 0.0
    if 0 <= data_release <= _LAST_WRONG:
        return _MIDDLE_S + delay
    if data_release not in _FIRST_DELIVERY:
        return 0.0
    if not procver:
        return float("nan")
    if procver not in _FIRST_DELIVERY[data_release]:
        return 0.0
    return _MIDDLE_S + (0.0 if data_release in _WITHOUT_STAGGER else delay)


def readout_delay_s(camera: int, ccd: int) -> float:
    """How much later than the first a CCD is read out.

    Parameters
    ----------
    camera, ccd : int
        1 to 4.

    Returns
    -------
    float
        [s]; what the mission's headers call ``TMOFST`` and the two numbers.

    Raises
    ------
    ValueError
        No such camera or CCD.
    """
    if camera not in _CAMERA_S or ccd not in (1, 2, 3, 4):
        raise ValueError(f"camera {camera}, CCD {ccd}: TESS has cameras 1 to 4 with CCDs 1 to 4")
    return _CAMERA_S[camera] + _CCD_S * (ccd - 1)
