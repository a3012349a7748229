"""Measure the point-spread function of a frame on its stars."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from gaiaflux.core.kernels.compile import kernel
from gaiaflux.core.maths.robust import MAD_TO_SIGMA
from gaiaflux.core.maths.surface import frame_terms
from gaiaflux.core.psf.model import PsfModel
from gaiaflux.core.psf.protocol import Stamps

__all__ = ["Scene", "ShapeFit", "StarFit", "fit_shape"]

NO_TABLE = np.zeros((0, 1, 1))
BETA_BOUNDS = (1.6, 10.0)
ITERATIONS = 6
SETTLED = 1e-4  # change of the coefficients over the mean A, and a tenth of that of beta
CLIP = 4.0  # of the scatter of ln(chi2): a star beyond is a blend or a galaxy
LEAST_CLIP = 0.5  # in ln(chi2)
# Errors of the weights, beside the pixels' noise: of the star's own model, and of the neighbours' light taken off.
MODEL_ERROR = 0.01
NEIGHBOUR_ERROR = 0.05
# Deviation, in sigma, at which a pixel's weight is down to one half.
SOFT_CLIP = 5.0
LEAST_DETERMINANT = 1e-6  # of a star's scaled equations
N_NUISANCE = 3  # flux, x, y
N_SHAPE = 5  # A, B, C; beta and an offset of the sky for the whole frame
N_ALL = N_NUISANCE + N_SHAPE


class Scene(NamedTuple):
    """An image whose stars and sky have been taken off, and what was taken off.

    Attributes
    ----------
    residual : ndarray of float32, shape (ny, nx)
        Image without sky and without all stars.
    weight : ndarray of float32, shape (ny, nx)
        Inverse variance; 0 = not used.
    light : ndarray of float32, shape (ny, nx)
        Light of all stars that was taken off.
    stamps : Stamps
        Of all stars, as they were taken off.
    flux : ndarray, shape (n_stars,)
        Their fluxes.
    """

    residual: np.ndarray
    weight: np.ndarray
    light: np.ndarray
    stamps: Stamps
    flux: np.ndarray


@dataclass(frozen=True)
class StarFit:
    """Stars that the PSF was measured on; every attribute has shape (n,).

    Attributes
    ----------
    row : ndarray of int64
        Their rows in the list of stamps.
    flux : ndarray of float64
        Fitted with a free position.
    dx, dy : ndarray of float64
        Fitted minus assumed position [pixel].
    error : ndarray of float64
        One sigma of the position along an axis [pixel].
    chi2 : ndarray of float64
        Per pixel.
    used : ndarray of bool
        Not clipped.
    """

    row: np.ndarray
    flux: np.ndarray
    dx: np.ndarray
    dy: np.ndarray
    error: np.ndarray
    chi2: np.ndarray
    used: np.ndarray


@dataclass(frozen=True)
class ShapeFit:
    """Core of a PSF and its uncertainty.

    Attributes
    ----------
    psf : PsfModel
        Without a residual.
    stars : StarFit
    flux_covariance : ndarray of float64, shape (n_terms, n_terms)
        Covariance of the relative flux error that the error of the shape makes, as a polynomial over the field.
    sky : float
        What the image still had of sky around the stars. It is fitted with the shape: an error of the sky would bend
        the wings, and these the sky that is found beside them.
    """

    psf: PsfModel
    stars: StarFit
    flux_covariance: np.ndarray
    sky: float


def fit_shape(scene: Scene, rows: np.ndarray, start: PsfModel, order: int) -> ShapeFit:
    """Fit the polynomials of the Moffat core to all stars at once.

    Parameters
    ----------
    scene : Scene
        Image and stars.
    rows : ndarray of int64, shape (n,)
        Stars to measure the PSF on; at least one.
    start : PsfModel
        First guess; its terms of higher degrees are kept.
    order : int
        Degree of the polynomials that are fitted.

    Returns
    -------
    ShapeFit

    Notes
    -----
    Gauss-Newton with each star's flux and position eliminated (Schur complement), so that all pixels of all stars
    determine the coefficients at once with their own weights.
    """
    stamps, flux = scene.stamps, scene.flux
    rows = np.ascontiguousarray(rows, np.int64)
    x, y = stamps.x[rows], stamps.y[rows]
    terms = frame_terms(x, y, start.shape, order)
    n_terms = terms.shape[1]
    theta = _coefficients(start, n_terms)
    # What the stars do not support stays as it is in the first guess.
    higher = start.form[:, n_terms:]
    fixed = frame_terms(x, y, start.shape, start.order)[:, n_terms:] @ higher.T if higher.size else 0.0
    nuisance = np.stack([flux[rows], np.zeros(len(rows)), np.zeros(len(rows))], axis=1)
    used = np.zeros(len(rows), bool)
    width = 1.0 / np.sqrt(np.sqrt(max(theta[0] * theta[2 * n_terms], 1e-9)))
    normal, gradient = np.empty((len(rows), N_ALL, N_ALL)), np.empty((len(rows), N_ALL))
    chi2 = np.empty(len(rows))
    covariance = np.zeros((len(theta), len(theta)))
    for iteration in range(ITERATIONS):
        form = terms @ theta[:-2].reshape(3, n_terms).T + fixed
        shape = np.concatenate([form, np.tile(theta[-2:], (len(rows), 1))], axis=1)
        _score_shape(
            scene.residual, scene.weight, scene.light, stamps.values, stamps.column, stamps.row, stamps.x, stamps.y,
            np.ascontiguousarray(flux, np.float64), rows, nuisance, shape, stamps.radius, normal, gradient, chi2,
        )  # fmt: skip
        inner, known = _nuisance_block(normal)
        gradient[~known] = 0.0
        if not known.any():
            break
        used = known & (_without_outliers(chi2) if iteration else True)
        if not used.any():
            used = known
        cross, outer = normal[:, :N_NUISANCE, N_NUISANCE:], normal[:, N_NUISANCE:, N_NUISANCE:]
        solved = np.linalg.solve(inner, np.concatenate([cross, gradient[:, :N_NUISANCE, None]], axis=2))
        reduced = outer - cross.transpose(0, 2, 1) @ solved[:, :, :-1]
        pull = gradient[:, N_NUISANCE:] - (cross.transpose(0, 2, 1) @ solved[:, :, -1:])[:, :, 0]
        matrix, rhs = _global_equations(reduced[used], pull[used], terms[used])
        step, covariance = _solved(matrix, rhs)
        # No farther at once than the width may change by a third.
        size = max(float(np.max(np.abs(terms @ step[:n_terms]))), abs(float(step[-2])) * 0.3 * theta[0])
        step *= min(1.0, 0.5 * theta[0] / max(size, 1e-300))
        theta += step
        settled = float(np.max(np.abs(step[:-2]))) < SETTLED * theta[0] and abs(step[-2]) < 10.0 * SETTLED
        theta[-2] = np.clip(theta[-2], *BETA_BOUNDS)
        of_stars = np.concatenate([terms @ step[:-2].reshape(3, n_terms).T, np.tile(step[-2:], (len(rows), 1))], axis=1)
        change = solved[:, :, -1] - np.einsum("nij,nj->ni", solved[:, :, :-1], of_stars)
        nuisance[:, 0] = np.maximum(nuisance[:, 0] + change[:, 0], 0.1 * nuisance[:, 0])
        nuisance[:, 1:] = np.clip(nuisance[:, 1:] + np.clip(change[:, 1:], -0.3 * width, 0.3 * width), -width, width)
        if settled:
            break
    form = np.concatenate([theta[:-2].reshape(3, n_terms), higher], axis=1)
    kept = max(order, start.order if higher.size else 0)
    psf = replace(start, beta=float(theta[-2]), form=form, order=kept, residual=NO_TABLE, residual_order=-1)
    position = np.linalg.inv(inner)[:, 1:, 1:]
    error = np.sqrt(0.5 * (position[:, 0, 0] + position[:, 1, 1]))
    stars = StarFit(rows, nuisance[:, 0], nuisance[:, 1], nuisance[:, 2], error, chi2.copy(), used)
    if not used.any():
        return ShapeFit(psf, stars, np.zeros((n_terms, n_terms)), 0.0)
    # Relative change of a star's flux, at a fixed position, with A, B and C.
    response = np.median(cross[used, 0, :3] / (inner[used, 0, 0] * nuisance[used, 0])[:, None], axis=0)
    spread = np.kron(response[:, None], np.eye(n_terms))
    inflation = max(float(np.median(chi2[used])), 1.0)
    return ShapeFit(psf, stars, inflation * spread.T @ covariance[:-2, :-2] @ spread, float(theta[-1]))


def _coefficients(psf: PsfModel, n_terms: int) -> np.ndarray:
    """Polynomials of A, B and C, then beta and an offset of the sky, in a row."""
    theta = np.zeros(3 * n_terms + 2)
    known = min(psf.form.shape[1], n_terms)
    for k in range(3):
        theta[k * n_terms : k * n_terms + known] = psf.form[k, :known]
    theta[-2] = psf.beta
    return theta


def _nuisance_block(normal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equations of each star's flux and position, and whether they can be solved; the others are made the identity.

    A star whose flux has vanished, or with hardly a good pixel, says nothing; `normal` is set to zero for it.
    """
    inner = normal[:, :N_NUISANCE, :N_NUISANCE].copy()
    diagonal = np.einsum("nii->ni", inner)
    known = np.isfinite(normal).all(axis=(1, 2)) & (diagonal > 0).all(axis=1)
    scale = np.where(known[:, None], np.sqrt(np.where(diagonal > 0, diagonal, 1.0)), 1.0)
    scaled = np.where(known[:, None, None], inner / (scale[:, :, None] * scale[:, None, :]), np.eye(N_NUISANCE))
    known &= np.linalg.det(scaled) > LEAST_DETERMINANT
    normal[~known] = 0.0
    return np.where(known[:, None, None], inner, np.eye(N_NUISANCE)), known


def _without_outliers(chi2: np.ndarray) -> np.ndarray:
    """Stars whose chi2 is not far above the others'."""
    value = np.log(np.maximum(chi2, 1e-9))
    middle = np.median(value)
    spread = max(MAD_TO_SIGMA * float(np.median(np.abs(value - middle))), LEAST_CLIP / CLIP)
    return value - middle < CLIP * spread


def _global_equations(reduced: np.ndarray, pull: np.ndarray, terms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations of the coefficients: polynomials of A, B and C, one beta and one sky for the frame."""
    one = np.ones((len(terms), 1))
    columns = [terms] * 3 + [one] * (N_SHAPE - 3)
    first = np.cumsum([0] + [column.shape[1] for column in columns])
    matrix, rhs = np.zeros((first[-1], first[-1])), np.zeros(first[-1])
    for a, left in enumerate(columns):
        here = slice(first[a], first[a + 1])
        rhs[here] = left.T @ pull[:, a]
        for b, right in enumerate(columns):
            matrix[here, first[b] : first[b + 1]] = left.T @ (right * reduced[:, a, b][:, None])
    return matrix, rhs


def _solved(matrix: np.ndarray, rhs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solution of symmetric equations whose unknowns have very different sizes, and the inverse of their matrix."""
    scale = 1.0 / np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    scaled = matrix * scale[:, None] * scale + np.eye(len(scale)) * 1e-9
    covariance = np.linalg.inv(scaled) * scale[:, None] * scale
    return np.linalg.solve(scaled, rhs * scale) * scale, covariance


@kernel(
    "void(float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[:, :, ::1], int64[::1], int64[::1], float64[::1],"
    " float64[::1], float64[::1], int64[::1], float64[:, ::1], float64[:, ::1], float64, float64[:, :, ::1],"
    " float64[:, ::1], float64[::1])"
)
def _score_shape(
    residual: np.ndarray,
    weight: np.ndarray,
    light: np.ndarray,
    values: np.ndarray,
    column: np.ndarray,
    row: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    flux: np.ndarray,
    rows: np.ndarray,
    nuisance: np.ndarray,
    shape: np.ndarray,
    radius: float,
    normal: np.ndarray,
    gradient: np.ndarray,
    chi2: np.ndarray,
) -> None:
    """Normal equations of (flux, x, y, A, B, C, beta, sky) of each star on the image without the others."""
    ny, nx = residual.shape
    half = (values.shape[1] - 1) // 2
    for s in range(len(rows)):
        k = rows[s]
        f = nuisance[s, 0]
        cx = x[k] + nuisance[s, 1]
        cy = y[k] + nuisance[s, 2]
        a, b, c, beta, sky = shape[s, 0], shape[s, 1], shape[s, 2], shape[s, 3], shape[s, 4]
        det = max(a * c - b * b, 1e-3 * a * c)
        norm = (beta - 1.0) / np.pi * np.sqrt(det)
        for p in range(N_ALL):
            gradient[s, p] = 0.0
            for q in range(N_ALL):
                normal[s, p, q] = 0.0
        total = 0.0
        count = 0
        for j in range(max(0, row[k] - half), min(ny, row[k] + half + 1)):
            for i in range(max(0, column[k] - half), min(nx, column[k] + half + 1)):
                if not weight[j, i] > 0:
                    continue
                ox = i - x[k]
                oy = j - y[k]
                if ox * ox + oy * oy > radius * radius:
                    continue
                dx = i - cx
                dy = j - cy
                u = 1.0 + a * dx * dx + 2.0 * b * dx * dy + c * dy * dy
                if not u > 0.5:
                    continue
                log_u = np.log(u)
                value = norm * np.exp(-beta * log_u)
                own = flux[k] * values[k, j - row[k] + half, i - column[k] + half]
                r = residual[j, i] + own - f * value - sky
                near = light[j, i] - own
                extra = (MODEL_ERROR * f * value) ** 2 + (NEIGHBOUR_ERROR * near) ** 2
                w = 1.0 / (1.0 / weight[j, i] + extra)
                # Not decided by pixels that no star explains.
                w /= 1.0 + w * r * r / (SOFT_CLIP * SOFT_CLIP)
                fv = f * value
                d0 = value
                slope = 2.0 * beta * fv / u
                d1 = slope * (a * dx + b * dy)
                d2 = slope * (b * dx + c * dy)
                d3 = fv * (0.5 * c / det - beta * dx * dx / u)
                d4 = fv * (-b / det - 2.0 * beta * dx * dy / u)
                d5 = fv * (0.5 * a / det - beta * dy * dy / u)
                d6 = fv * (1.0 / (beta - 1.0) - log_u)
                total += w * r * r
                count += 1
                normal[s, 0, 7] += w * d0
                normal[s, 1, 7] += w * d1
                normal[s, 2, 7] += w * d2
                normal[s, 3, 7] += w * d3
                normal[s, 4, 7] += w * d4
                normal[s, 5, 7] += w * d5
                normal[s, 6, 7] += w * d6
                normal[s, 7, 7] += w
                gradient[s, 7] += w * r
                normal[s, 0, 0] += w * d0 * d0
                normal[s, 0, 1] += w * d0 * d1
                normal[s, 0, 2] += w * d0 * d2
                normal[s, 0, 3] += w * d0 * d3
                normal[s, 0, 4] += w * d0 * d4
                normal[s, 0, 5] += w * d0 * d5
                normal[s, 0, 6] += w * d0 * d6
                normal[s, 1, 1] += w * d1 * d1
                normal[s, 1, 2] += w * d1 * d2
                normal[s, 1, 3] += w * d1 * d3
                normal[s, 1, 4] += w * d1 * d4
                normal[s, 1, 5] += w * d1 * d5
                normal[s, 1, 6] += w * d1 * d6
                normal[s, 2, 2] += w * d2 * d2
                normal[s, 2, 3] += w * d2 * d3
                normal[s, 2, 4] += w * d2 * d4
                normal[s, 2, 5] += w * d2 * d5
                normal[s, 2, 6] += w * d2 * d6
                normal[s, 3, 3] += w * d3 * d3
                normal[s, 3, 4] += w * d3 * d4
                normal[s, 3, 5] += w * d3 * d5
                normal[s, 3, 6] += w * d3 * d6
                normal[s, 4, 4] += w * d4 * d4
                normal[s, 4, 5] += w * d4 * d5
                normal[s, 4, 6] += w * d4 * d6
                normal[s, 5, 5] += w * d5 * d5
                normal[s, 5, 6] += w * d5 * d6
                normal[s, 6, 6] += w * d6 * d6
                wr = w * r
                gradient[s, 0] += wr * d0
                gradient[s, 1] += wr * d1
                gradient[s, 2] += wr * d2
                gradient[s, 3] += wr * d3
                gradient[s, 4] += wr * d4
                gradient[s, 5] += wr * d5
                gradient[s, 6] += wr * d6
        for p in range(N_ALL):
            for q in range(p):
                normal[s, p, q] = normal[s, q, p]
        chi2[s] = total / max(count, 1)
