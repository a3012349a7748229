"""Light curves in closed form; all times are BJD (TDB) in days."""

import numpy as np

from gaiaflux.core.calibration.event_shapes import paczynski, transit

__all__ = ["paczynski", "sinusoid", "transit"]


def sinusoid(time: float | np.ndarray, period: np.ndarray, amplitude_mag: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """Relative flux of a star whose magnitude is a sine wave.

    Parameters
    ----------
    time : float or ndarray
        [d].
    period : ndarray
        [d].
    amplitude_mag : ndarray
        Semi-amplitude [mag].
    phase : ndarray
        Phase at time 0 [rad].

    Returns
    -------
    ndarray
        1 at the mean magnitude.
    """
    return 10.0 ** (-0.4 * amplitude_mag * np.sin(2.0 * np.pi * time / period + phase))
