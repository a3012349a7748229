"""Light curves of a transit and of a microlensing event in closed form."""

import numpy as np

__all__ = ["paczynski", "transit"]


def transit(time: float | np.ndarray, t0: float, duration: float, depth: float, ingress: float) -> np.ndarray:
    """Relative flux in a trapezoidal transit.

    Parameters
    ----------
    time : float or ndarray
        [d].
    t0 : float
        Centre [d].
    duration : float
        First to fourth contact [d].
    depth : float
        Relative depth.
    ingress : float
        First to second contact [d], at most half of the duration.

    Returns
    -------
    ndarray
        1 outside of the transit.
    """
    return 1.0 - depth * np.clip((0.5 * duration - np.abs(np.asarray(time) - t0)) / ingress, 0.0, 1.0)


def paczynski(time: float | np.ndarray, t0: float, u0: float, t_e: float) -> np.ndarray:
    """Magnification of a point source by a point lens (Paczynski 1986, ApJ 304, 1).

    Parameters
    ----------
    time : float or ndarray
        [d].
    t0 : float
        Time of closest approach [d].
    u0 : float
        Impact parameter in Einstein radii, > 0.
    t_e : float
        Einstein time [d].

    Returns
    -------
    ndarray
        Magnification, >= 1.
    """
    u2 = u0 * u0 + ((np.asarray(time) - t0) / t_e) ** 2
    return (u2 + 2.0) / np.sqrt(u2 * (u2 + 4.0))
