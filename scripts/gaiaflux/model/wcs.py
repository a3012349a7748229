"""The plate solution as plain numbers; `gaiaflux.core.sky.projection` evaluates it."""

from dataclasses import dataclass

import numpy as np

__all__ = ["TanSip"]


@dataclass(frozen=True)
class TanSip:
    """Gnomonic projection with SIP distortion (Shupe et al. 2005, ADASS XIV, 491).

    Pixels are 0-based: FITS ``CRPIX`` is `crpix` + 1.

    Attributes
    ----------
    crval : tuple of float
        (ra, dec) of the tangent point [deg].
    crpix : tuple of float
        (x, y) of the reference pixel, 0-based.
    cd : ndarray, shape (2, 2)
        [deg/pixel].
    a, b : ndarray, shape (order + 1, order + 1)
        Forward SIP coefficients ``A_p_q`` at ``[p, q]``; shape (1, 1) of zero means no distortion.
    ap, bp : ndarray
        Inverse SIP coefficients, for other programs; this project inverts `a`, `b` exactly.
    shape : tuple of int
        (ny, nx) of the image that it belongs to.
    """

    crval: tuple[float, float]
    crpix: tuple[float, float]
    cd: np.ndarray
    a: np.ndarray
    b: np.ndarray
    ap: np.ndarray
    bp: np.ndarray
    shape: tuple[int, int]
