"""Pixels of an image, with what a fit must know of their noise."""

from dataclasses import dataclass, replace

import numpy as np

from gaiaflux.core.kernels.compile import kernel

__all__ = ["Pixels"]


@dataclass(frozen=True)
class Pixels:
    """An image with its noise.

    Attributes
    ----------
    image : ndarray of float32, shape (ny, nx)
        With sky; finite.
    flags : ndarray of uint8, shape (ny, nx)
        Bits of `PixelFlag`; nonzero pixels have no weight.
    floor : float, or ndarray of float32, shape (ny, nx)
        Variance of a pixel without light.
    slope : float
        Variance per unit of light.
    noise : float
        Of a pixel of the sky.
    """

    image: np.ndarray
    flags: np.ndarray
    floor: float | np.ndarray
    slope: float
    noise: float

    def with_flags(self, flags: np.ndarray) -> "Pixels":
        """The same with other flags."""
        return replace(self, flags=flags)

    def weight(self, residual: np.ndarray) -> np.ndarray:
        """Inverse variance of the pixels [float32], from the light of the model; 0 = not used.

        Parameters
        ----------
        residual : ndarray of float32, shape (ny, nx)
            Image without the model: stars and sky.

        Returns
        -------
        ndarray of float32, shape (ny, nx)
        """
        weight = np.empty_like(self.image)
        level = np.full((1, 1), self.floor, np.float32) if np.isscalar(self.floor) else self.floor
        _weights(self.image, residual, self.flags, level, self.slope, weight)
        return weight


@kernel("void(float32[:, ::1], float32[:, ::1], uint8[:, ::1], float32[:, ::1], float64, float32[:, ::1])")
def _weights(
    image: np.ndarray, residual: np.ndarray, flags: np.ndarray, floor: np.ndarray, slope: float, weight: np.ndarray
) -> None:
    ny, nx = image.shape
    whole = floor.shape[0] == ny and floor.shape[1] == nx
    s = np.float32(slope)
    for j in range(ny):
        f = floor[0, 0]
        for i in range(nx):
            if whole:
                f = floor[j, i]
            v = f + s * max(image[j, i] - residual[j, i], np.float32(0.0))
            weight[j, i] = np.float32(1.0) / v if (flags[j, i] == 0 and v > 0) else np.float32(0.0)
