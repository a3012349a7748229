"""Stamps of stars: the PSF of each on its own pixels, made of any PSF, and what they add to an image."""

import numpy as np

from gaiaflux.core.kernels.compile import device, kernel
from gaiaflux.core.psf.protocol import Psf, Stamps

__all__ = ["add_light", "add_stamp", "lost_light", "make_stamps"]


def make_stamps(psf: Psf, x: np.ndarray, y: np.ndarray, radius: float) -> Stamps:
    """Evaluate a PSF for many stars.

    Parameters
    ----------
    psf : Psf
        Of the frame.
    x, y : ndarray, shape (n,)
        Finite positions [pixel].
    radius : float
        Pixels farther from the star are left out [pixel].

    Returns
    -------
    Stamps
    """
    x, y = (np.require(values, np.float64, ["C", "W"]) for values in (x, y))
    column, row = np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)
    placed = psf.at(x, y)
    return Stamps(placed.values(column, row, radius), column, row, x, y, float(radius), placed)


def add_light(image: np.ndarray, stamps: Stamps, flux: np.ndarray, reach: np.ndarray) -> None:
    """Add the light of stars to an image, in place.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        C-contiguous.
    stamps : Stamps
        PSF of each star.
    flux : ndarray, shape (n,)
        Total light, of either sign.
    reach : ndarray, shape (n,)
        Radius to which the function is added beyond the stamp [pixel].
    """
    flux, reach = (np.require(values, np.float64, ["C", "W"]) for values in (flux, reach))
    if len(stamps):
        stamps.psf.add_light(image, stamps, flux, reach)


def lost_light(flags: np.ndarray, stamps: Stamps, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Light of each star, within its circle, on pixels with one of some bits, and on pixels of the image at all.

    Parameters
    ----------
    flags : ndarray of uint8, shape (ny, nx)
    stamps : Stamps
    bits : int
        Bits of `PixelFlag`.

    Returns
    -------
    lost, inside : ndarray of float64, shape (n,)
        Parts of the total light.
    """
    lost, inside = np.zeros(len(stamps)), np.zeros(len(stamps))
    _lost_light(flags, bits, stamps.values, stamps.column, stamps.row, lost, inside)
    return lost, inside


@device
def add_stamp(image: np.ndarray, values: np.ndarray, column: int, row: int, flux: np.float32) -> None:
    """Add a star's stamp, whose middle is on pixel (column, row), to an image."""
    ny, nx = image.shape
    half = (values.shape[0] - 1) // 2
    first = max(0, column - half)
    count = min(nx, column + half + 1) - first
    if count > 0:
        start = first - (column - half)
        for j in range(max(0, row - half), min(ny, row + half + 1)):
            line = image[j, first : first + count]
            part = values[j - row + half, start : start + count]
            for i in range(count):
                line[i] += flux * part[i]


@kernel(
    "void(uint8[:, ::1], int64, float32[:, :, ::1], int64[::1], int64[::1], float64[::1], float64[::1])", fastmath=True
)
def _lost_light(
    flags: np.ndarray,
    bits: int,
    values: np.ndarray,
    column: np.ndarray,
    row: np.ndarray,
    lost: np.ndarray,
    inside: np.ndarray,
) -> None:
    ny, nx = flags.shape
    n, size, _ = values.shape
    half = (size - 1) // 2
    for k in range(n):
        first = max(0, column[k] - half)
        count = min(nx, column[k] + half + 1) - first
        start = first - (column[k] - half)
        for j in range(max(0, row[k] - half), min(ny, row[k] + half + 1)):
            if count <= 0:
                continue
            f = flags[j, first : first + count]
            p = values[k, j - row[k] + half, start : start + count]
            hit = np.float32(0.0)
            all_of_it = np.float32(0.0)
            for i in range(count):
                all_of_it += p[i]
                hit += p[i] if (f[i] & bits) != 0 else np.float32(0.0)
            lost[k] += hit
            inside[k] += all_of_it
