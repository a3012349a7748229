"""Empirical residual of a PSF: a table of what the fitted core leaves of the stars."""

import numpy as np

from gaiaflux.core.kernels.devices import cubic_weights
from gaiaflux.core.maths.surface import frame_terms
from gaiaflux.core.psf.shape import CLIP, MODEL_ERROR, NEIGHBOUR_ERROR, Scene, ShapeFit

__all__ = ["fit_residual"]


def fit_residual(
    scene: Scene,
    fit: ShapeFit,
    order: int,
) -> np.ndarray:
    """Table of what the core leaves of the stars.

    Parameters
    ----------
    scene : Scene
        Image and stars.
    fit : ShapeFit
        Core and stars.
    order : int
        Degree of the table's polynomials over the field.

    Returns
    -------
    ndarray of float64, shape (n_terms, size, size)
        As `PsfModel.residual`; zero in the rim of the circle.

    Notes
    -----
    Each term is shrunk by S / (S + N), S being its mean square beyond its noise N (Efron & Morris 1973, JASA 68, 117),
    first the mean over all nodes at one distance from the centre, then what each node has beside it: without a signal
    the table vanishes, instead of bringing the stars' noise into all other stars.
    """
    stars, stamps = fit.stars, scene.stamps
    chosen = np.flatnonzero(stars.used & (stars.flux > 0))
    half = (stamps.values.shape[1] - 1) // 2
    size = 2 * half + 1
    data, variance = np.zeros((len(chosen), size, size)), np.full((len(chosen), size, size), np.inf)
    for s, k in enumerate(chosen):
        found = _left_of_star(scene, fit, int(k), half)
        if found is not None:
            data[s], variance[s] = found
    terms = frame_terms(stamps.x[stars.row[chosen]], stamps.y[stars.row[chosen]], fit.psf.shape, order)
    good = np.isfinite(variance)
    for _ in range(2):
        inverse = np.where(good, 1.0 / np.where(good, variance, 1.0), 0.0)
        table, error2 = _node_polynomials(data, inverse, terms)
        deviation2 = (data - np.einsum("st,tji->sji", terms, table)) ** 2 * inverse
        good = np.isfinite(variance) & (deviation2 < CLIP**2)
    offsets = np.arange(-half, half + 1)
    radius = np.hypot(*np.meshgrid(offsets, offsets))
    ring = np.rint(radius).astype(int)
    shrunk = np.zeros_like(table)
    for distance in range(half + 1):
        # The real scatter of the stars about the table, not only the pixels' noise.
        here = good & (ring == distance)
        inflation = max(float(deviation2[here].mean()), 1.0) if here.any() else 1.0
        for t in range(len(table)):
            nodes = (ring == distance) & np.isfinite(error2[t])
            if nodes.any():
                shrunk[t][nodes] = _shrunk(table[t][nodes], inflation * error2[t][nodes])
    # Beyond the circle there is no table: it ends at zero.
    rim = np.clip(stamps.radius - radius, 0.0, 1.0)
    return shrunk * rim


def _left_of_star(scene: Scene, fit: ShapeFit, k: int, half: int) -> tuple[np.ndarray, np.ndarray] | None:
    """What the core leaves of one of the PSF's stars, over its flux, at whole offsets, and its variance.

    None for a star at the edge of the image or too far from its stamp.
    """
    stars, stamps, flux = fit.stars, scene.stamps, scene.flux
    residual, weight, light = scene.residual, scene.weight, scene.light
    size = 2 * half + 1
    ny, nx = residual.shape
    row = stars.row[k]
    i0, j0 = stamps.column[row], stamps.row[row]
    if i0 < half + 2 or j0 < half + 2 or i0 >= nx - half - 2 or j0 >= ny - half - 2:
        return None
    wide = slice(j0 - half - 2, j0 + half + 3), slice(i0 - half - 2, i0 + half + 3)
    around = np.zeros((size + 4, size + 4))
    around[2:-2, 2:-2] = flux[row] * stamps.values[row]
    near = light[wide] - around
    own = residual[wide] + around
    x, y = stamps.x[row] + stars.dx[k], stamps.y[row] + stars.dy[k]
    dx, dy = np.meshgrid(np.arange(i0 - half - 2, i0 + half + 3) - x, np.arange(j0 - half - 2, j0 + half + 3) - y)
    core = fit.psf.values(x, y, dx, dy)
    left = (own - stars.flux[k] * core) / stars.flux[k]
    w = weight[wide]
    with np.errstate(divide="ignore"):
        noise = np.where(w > 0, 1.0 / w, np.inf) + (NEIGHBOUR_ERROR * near) ** 2
    noise = noise / stars.flux[k] ** 2 + (MODEL_ERROR * core) ** 2
    # Where the circle ends, the star was not taken off.
    outside = np.hypot(dx, dy) > stamps.radius
    left[outside], noise[outside] = 0.0, np.inf
    if max(abs(x - i0), abs(y - j0)) > 1.9:
        return None
    return _at_nodes(left, noise, x - i0, y - j0, half)


def _shrunk(values: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Numbers of variance `noise` drawn towards their mean, and that towards zero, as far as they do not exceed it."""
    weight = 1.0 / noise
    mean, mean_noise = float(np.sum(values * weight) / np.sum(weight)), float(1.0 / np.sum(weight))
    kept = mean * max(mean**2 - mean_noise, 0.0) / max(mean**2, 1e-300)
    signal = max(float(np.mean((values - mean) ** 2 - noise)), 0.0)
    return kept + (values - mean) * signal / (signal + noise)


def _at_nodes(left: np.ndarray, noise: np.ndarray, fx: float, fy: float, half: int) -> tuple[np.ndarray, np.ndarray]:
    """Cubic convolution of a stamp (with a border of 2 pixels) to whole offsets from the star."""
    size = 2 * half + 1
    sx, sy = int(np.floor(fx)), int(np.floor(fy))
    result, variance = np.zeros((size, size)), np.zeros((size, size))
    padded, worst = np.pad(left, 1), np.pad(noise, 1, constant_values=np.inf)
    weights_x, weights_y = cubic_weights(fx - sx), cubic_weights(fy - sy)
    for j, wy in enumerate(weights_y):
        for i, wx in enumerate(weights_x):
            cut = slice(j + sy + 2, j + sy + 2 + size), slice(i + sx + 2, i + sx + 2 + size)
            weight = wx * wy
            result += weight * padded[cut]
            if abs(weight) > 0.02:
                variance += weight**2 * worst[cut]
    return result, variance / sum((wx * wy) ** 2 for wy in weights_y for wx in weights_x)


def _node_polynomials(data: np.ndarray, inverse: np.ndarray, terms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted polynomials over the stars for each node, and their variances; infinite where nothing is known."""
    n_stars, size, _ = data.shape
    n_terms = terms.shape[1]
    weights = inverse.reshape(n_stars, -1)
    products = (terms[:, :, None] * terms[:, None, :]).reshape(n_stars, -1)
    matrix = (products.T @ weights).T.reshape(-1, n_terms, n_terms)
    rhs = (terms.T @ (weights * data.reshape(n_stars, -1))).T
    solvable = (weights > 0).sum(axis=0) > 2 * n_terms
    table, error2 = np.zeros((size * size, n_terms)), np.full((size * size, n_terms), np.inf)
    if solvable.any():
        block = matrix[solvable]
        block = block + np.eye(n_terms) * 1e-9 * np.einsum("nii->n", block)[:, None, None]
        covariance = np.linalg.inv(block)
        table[solvable] = np.einsum("nij,nj->ni", covariance, rhs[solvable])
        error2[solvable] = np.einsum("nii->ni", covariance)
    return table.T.reshape(n_terms, size, size), error2.T.reshape(n_terms, size, size)
