"""What a full pixel cannot hold runs along its column."""

import numpy as np

from gaiaflux.core.kernels.compile import kernel

__all__ = ["bleed"]


@kernel("void(float64, float64[:, :, ::1])")
def _run_over(full, images):  # noqa: ANN001, ANN202
    n, ny, nx = images.shape
    for t in range(n):
        for j in range(ny):
            for i in range(nx):
                if images[t, j, i] <= full:
                    continue
                half = 0.5 * (images[t, j, i] - full)
                images[t, j, i] = full
                for step in (-1, 1):
                    left = half
                    k = j + step
                    while left > 0.0 and 0 <= k < ny:
                        room = full - images[t, k, i]
                        if room > 0.0:
                            taken = min(room, left)
                            images[t, k, i] += taken
                            left -= taken
                        k += step


def bleed(images: np.ndarray, full: float) -> np.ndarray:
    """Move what pixels cannot hold to the next of the column that can, half of it up and half down.

    Parameters
    ----------
    images : ndarray, shape (..., ny, nx)
        Finite [electron/s].
    full : float
        What a pixel holds [electron/s].

    Returns
    -------
    ndarray of float64, shape (..., ny, nx)
        Of the same sum in each column, but for what ran over the edge of the image.
    """
    images = np.array(images, np.float64, order="C")
    _run_over(full, images.reshape(-1, *images.shape[-2:]))
    return images
