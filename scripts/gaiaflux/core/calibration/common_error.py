"""The part of the stated errors of a frame that all stars share: the scale of the frame takes it off.

Such is the error of a frame's aperture correction. With it in their errors bright stars weigh no more than faint ones,
which in bad seeing have the light of their neighbours.
"""

import numpy as np

__all__ = ["without_common_error"]

_LEAST_STARS = 10
_LEAST_SNR = 5.0
_TAKEN = 0.9  # of it, so that an error of its own is left to every star


def without_common_error(flux: np.ndarray, flux_err: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Errors of the stars of a frame relative to one another.

    Parameters
    ----------
    flux, flux_err : ndarray, shape (n, m)
        Of n stars in m frames; NaN where not measured.
    good : ndarray of bool, shape (n, m)
        Points that count.

    Returns
    -------
    ndarray of float64, shape (n, m)
        The errors without nine tenths of the relative variance that a star of infinite brightness would have: that at
        which a sum of a constant, of photons of the stars and of the sky's fits the errors of the frame. As they are
        where fewer than ten stars tell, and never less than a fifth.
    """
    use = good & np.isfinite(flux) & np.isfinite(flux_err) & (flux_err > 0) & (flux > _LEAST_SNR * flux_err)
    use &= use.sum(axis=0) >= _LEAST_STARS
    light = np.where(use, flux, 1.0).astype(float)
    relative2 = np.where(use, (np.where(use, flux_err, 1.0) / light) ** 2, 1.0)
    scale = np.where(use, light, 0.0).sum(axis=0) / np.maximum(use.sum(axis=0), 1)
    inverse = np.where(use, np.where(scale > 0, scale, 1.0) / light, 0.0)
    weight = np.where(use, 1.0 / relative2, 0.0)
    # Relative deviations of the variances count, of all brightnesses alike.
    terms = np.stack([weight, weight * inverse, weight * inverse**2], axis=2)
    wanted = use.astype(float)
    common2 = np.zeros(flux.shape[1])
    # The constant has to be left when what photons and sky do is fitted along, or one of them where both would not do.
    for some in ((0, 1, 2), (0, 2), (0, 1)):
        part = terms[:, :, some]
        normal = np.einsum("njk,njl->jkl", part, part)
        size = np.sqrt(np.maximum(np.diagonal(normal, axis1=1, axis2=2), 1e-300))
        normal /= size[:, :, None] * size[:, None, :]
        normal += 1e-9 * np.eye(len(some))
        found = np.linalg.solve(normal, (np.einsum("njk,nj->jk", part, wanted) / size)[:, :, None])[:, :, 0] / size
        sound = (found >= 0).all(axis=1) & (common2 == 0)
        common2 = np.where(sound, found[:, 0], common2)
    left2 = flux_err**2 - np.where(np.isfinite(flux), _TAKEN * common2 * np.square(flux, dtype=float), 0.0)
    return np.sqrt(np.maximum(left2, 0.05 * np.square(flux_err, dtype=float)))
