"""How much of the sky each pixel sees, relative to its neighbours, and where in the pixel: learnt from many frames.

Flat fields and filters leave 0.1 to 0.4 % of the sky of TESS in single pixels, more in the columns above a strap. Where
light of the Earth rises to some hundred electrons a second, that is more than the noise.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from gaiaflux.core.maths.robust import MAD_TO_SIGMA

__all__ = ["PixelResponse", "PlaneSeries", "ResponsePrior", "fit_response", "plane_series"]

LEAST_FRAMES = 30
CLIP_SIGMA = 5.0
CLIP_ROUNDS = 3
SAMPLES = 200  # frames by which a pixel's scatter is known well enough to clip
BLOCKS = (6, 16, 48, 128)  # frames over which slow changes are looked for
LEAST_BLOCKS = 8
CHANCE_SIGMA = 3.0
ODD_SIGMA = 5.0  # of the prior and the fit together, beyond which what was fitted is no response
LEAST_ROWS = 12  # of a tile, by which a column's own response is known
COLUMN_SIGMA = 5.0
FRAMES_FOR_ORDER_2, FRAMES_FOR_ORDER_3 = 60, 150  # of the movement of stars
_LEAST_AMOUNT = 1e-3
_TINY = 1e-9


@dataclass(frozen=True)
class ResponsePrior:
    """What pixels may do.

    Attributes
    ----------
    sky : float
        Usual size of a pixel's response to the sky [1].
    slope : float
        Usual size of its response to the sky's slope: how far its middle is off [pixel].
    """

    sky: float = 0.003
    slope: float = 1.0

    def sigmas(self) -> np.ndarray:
        """All three, shape (3,)."""
        return np.array([self.sky, self.slope, self.slope])


@dataclass(frozen=True)
class PixelResponse:
    """Response of the pixels of a tile to changes of the sky.

    Attributes
    ----------
    terms, errors : ndarray of float32, shape (3, ny, nx)
        Light per electron/s of sky, and per electron/s/pixel of its slope along x and along y, in excess of the sky
        itself; and their errors.
    origin : ndarray of float64, shape (3,)
        Mean sky and slopes, at which the response is zero: the mean image holds the rest.
    """

    terms: np.ndarray
    errors: np.ndarray
    origin: np.ndarray = field(default_factory=lambda: np.zeros(3))

    def light(self, sky: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """Light that the response puts into frames, to be subtracted.

        Parameters
        ----------
        sky : ndarray, shape (n,)
            Mean sky of the tile in each frame [electron/s]; NaN gives no light.
        slopes : ndarray, shape (n, 2)
            Slopes along x and y [electron/s/pixel].

        Returns
        -------
        ndarray of float32, shape (n, ny, nx)
            [electron/s].
        """
        seen = np.column_stack([sky, slopes]) - self.origin
        seen = np.where(np.isfinite(seen), seen, 0.0).astype(np.float32)
        return (seen @ self.terms.reshape(3, -1)).reshape(-1, *self.terms.shape[1:])


class PlaneSeries(NamedTuple):
    """Plane that fits each frame best, once what stays the same is taken off.

    Attributes
    ----------
    mean : ndarray of float64, shape (n,)
        In the middle of the frame.
    slopes : ndarray of float64, shape (n, 2)
        Along x and y.
    static : ndarray of float64, shape (ny, nx)
        What stays the same; its own plane is zero.
    """

    mean: np.ndarray
    slopes: np.ndarray
    static: np.ndarray

    def values(self) -> np.ndarray:
        """Planes without what stays the same, shape (n, ny, nx)."""
        y, x = _axes(self.static.shape)
        return np.asarray(
            self.mean[:, None, None] + self.slopes[:, 0, None, None] * x + self.slopes[:, 1, None, None] * y[:, None]
        )


def plane_series(images: np.ndarray, rounds: int = 5) -> PlaneSeries:
    """Sky of small stamps without bright stars, as a plane in each frame.

    Parameters
    ----------
    images : ndarray, shape (n, ny, nx)
        [electron/s]; NaN pixels are passed over.
    rounds : int
        In which planes, the static image and outliers (5 scatters of the pixel) are found in turns.

    Returns
    -------
    PlaneSeries
        NaN in a frame without a finite pixel.
    """
    n, ny, nx = images.shape
    y, x = _axes((ny, nx))
    design = np.stack([np.ones((ny, nx)), np.broadcast_to(x, (ny, nx)), np.broadcast_to(y[:, None], (ny, nx))])
    design = design.reshape(3, -1).T
    fit = np.linalg.pinv(design)
    pixels = images.reshape(n, -1).astype(np.float64)
    out = ~np.isfinite(pixels)
    empty = out.all(axis=1)
    pixels = np.where(out, 0.0, pixels)
    static = np.zeros(ny * nx)
    for _ in range(rounds):
        planes = _weighted_planes(pixels - static, ~out, design)
        model = planes @ design.T
        offset = np.where(out, np.nan, pixels - model)
        offset[:, out.all(axis=0)] = 0.0
        static = np.nanmedian(offset[~empty], axis=0) if not empty.all() else static
        static -= design @ (fit @ static)
        size = np.where(out, 0.0, np.abs(pixels - model - static))
        limit = CLIP_SIGMA * MAD_TO_SIGMA * np.median(size, axis=0)
        # The largest first: it bends the plane, and others seem out of line.
        out |= (size > limit) & (size > 0.5 * size.max(axis=1, keepdims=True))
    planes = _weighted_planes(pixels - static, ~out, design)
    planes[empty] = np.nan
    return PlaneSeries(planes[:, 0], planes[:, 1:], static.reshape(ny, nx))


def fit_response(
    residual: np.ndarray,
    sky: np.ndarray,
    slopes: np.ndarray,
    shifts: np.ndarray,
    variance: np.ndarray,
    good: np.ndarray,
    prior: ResponsePrior | None = None,
) -> PixelResponse:
    """Response of each pixel of a tile.

    Parameters
    ----------
    residual : ndarray of float32, shape (n, ny, nx)
        Images without their sky [electron/s]; NaN is passed over.
    sky : ndarray, shape (n,) or (n, ny, nx)
        Sky, of which the mean over the tile counts [electron/s].
    slopes : ndarray, shape (n, 2)
        Its slopes along x and y [electron/s/pixel].
    shifts : ndarray, shape (n, 2)
        How far stars are moved along x and y [pixel].
    variance : ndarray, shape (ny, nx)
        Of a pixel in one frame as stated [electron^2/s^2]; what scatters more counts less.
    good : ndarray of bool, shape (n,)
        Frames that count.
    prior : ResponsePrior, optional
        What pixels may do.

    Returns
    -------
    PixelResponse
        Zero, with the prior's errors, for fewer than 30 good frames.

    Notes
    -----
    Per pixel a constant, the three of the response, and terms of the shift, which take a star's movement off; one
    normal matrix for all pixels, in which outliers are replaced by the fit (Huber 1981, Robust Statistics, section
    7.8). A star's own changes are no response. They are known by their slowness, the block means of the residual, which
    widens the error of the fit against the prior; and where the fit asks for more than any pixel does, there is none.
    What a star does with the period and phase of the sky, and no larger than the prior, cannot be told from a response.
    """
    prior = prior or ResponsePrior()
    shape = residual.shape[1:]
    level = sky if sky.ndim == 1 else sky.reshape(len(sky), -1).mean(axis=1)
    regressors = np.column_stack([level, slopes]).astype(np.float64)
    used = good & np.isfinite(regressors).all(axis=1) & np.isfinite(shifts).all(axis=1)
    nothing = np.broadcast_to(prior.sigmas()[:, None, None], (3, *shape)).astype(np.float32)
    if np.count_nonzero(used) < LEAST_FRAMES:
        return PixelResponse(np.zeros((3, *shape), np.float32), nothing)
    centre = regressors[used].mean(axis=0)
    design = regressors[used] - centre
    scale = np.sqrt(np.mean(design**2, axis=0))
    scale[scale < _TINY * (1.0 + np.abs(centre))] = np.inf  # what does not change says nothing
    design = np.column_stack([np.ones(len(design)), design / scale, _movement(shifts[used])]).astype(np.float32)
    pixels = residual[used].reshape(len(design), -1).astype(np.float32, copy=False)
    inverse = np.linalg.inv(design.T.astype(np.float64) @ design + _TINY * len(design) * np.eye(design.shape[1]))
    terms, left, scatter = _robust_fit(design, inverse, pixels)
    stated = np.asarray(variance, np.float64).ravel()
    spread = np.fmax(scatter**2, np.where(np.isfinite(stated), stated, 0.0)) * _slowness(left, scatter)
    units = np.where(np.isfinite(scale), 1.0 / scale, 0.0)
    # What does not change is as uncertain as can be.
    wide = np.where(np.isfinite(scale), 0.0, 1.0 / _TINY)
    covariance = inverse[1:4, 1:4] * np.outer(units, units)
    errors = spread[:, None, None] * covariance + np.diag(wide)
    values, sigma = _with_prior(terms[1:4].T * units, errors, prior, shape)
    return PixelResponse(
        values.T.reshape(3, *shape).astype(np.float32), sigma.T.reshape(3, *shape).astype(np.float32), centre
    )


def _movement(shifts: np.ndarray) -> np.ndarray:
    """What a moving star may do to a pixel: products of the shifts up to an order, orthogonal to each other, of rms 1.

    Shape (m, n_terms). Stars move by tenths of a pixel over a sector, over which their light in a pixel is no straight
    line.
    """
    n = len(shifts)
    x, y = (shifts - shifts.mean(axis=0)).T
    order = 1 + int(n >= FRAMES_FOR_ORDER_2) + int(n >= FRAMES_FOR_ORDER_3)
    powers = [x ** (total - k) * y**k for total in range(1, order + 1) for k in range(total + 1)]
    terms = np.stack(powers, axis=1)
    terms -= terms.mean(axis=0)
    size = np.sqrt(np.mean(terms**2, axis=0))
    vectors, amount, _ = np.linalg.svd(terms / np.where(size > _TINY, size, np.inf), full_matrices=False)
    return np.asarray(vectors[:, amount > _LEAST_AMOUNT * amount[0]] * np.sqrt(n)) if amount[0] > 0 else terms[:, :0]


def _axes(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns from the middle of a stamp."""
    return np.arange(shape[0]) - 0.5 * (shape[0] - 1), np.arange(shape[1]) - 0.5 * (shape[1] - 1)


def _weighted_planes(pixels: np.ndarray, use: np.ndarray, design: np.ndarray) -> np.ndarray:
    """Least squares of the used pixels of each frame, shape (n, 3)."""
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), 9)
    normal = (use @ products).reshape(-1, 3, 3) + _TINY * np.eye(3)
    return np.asarray(np.linalg.solve(normal, ((pixels * use) @ design)[..., None])[..., 0])


def _robust_fit(
    design: np.ndarray, inverse: np.ndarray, pixels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Terms (6, n_pixels), residuals without outliers (m, n_pixels) and scatter (n_pixels,)."""
    solve = (inverse @ design.T.astype(np.float64)).astype(np.float32)
    unknown = ~np.isfinite(pixels)
    holes, filled = bool(unknown.any()), pixels
    if holes:
        some = pixels[:: max(1, len(pixels) // SAMPLES)]
        middle = np.nan_to_num(np.nanmedian(np.where(np.isfinite(some).any(axis=0), some, 0.0), axis=0))
        filled = np.where(unknown, middle, pixels)
    for turn in range(CLIP_ROUNDS):
        terms = solve @ filled
        model = design @ terms
        left = pixels - model
        if holes:
            left[unknown] = 0.0
        if turn == CLIP_ROUNDS - 1:
            break
        size = np.abs(left[:: max(1, len(left) // SAMPLES)].T)
        # A pixel's numbers side by side are ordered in half of the time.
        limit = CLIP_SIGMA * MAD_TO_SIGMA * np.median(np.ascontiguousarray(size), axis=1)
        outlier = (np.abs(left) > limit) | unknown if holes else np.abs(left) > limit
        filled = np.where(outlier, model, pixels)
    left = np.clip(left, -limit, limit)
    return terms.astype(np.float64), left, np.sqrt(np.mean(left**2, axis=0, dtype=np.float64))


def _slowness(left: np.ndarray, scatter: np.ndarray) -> np.ndarray:
    """Variance of the block means over that of white noise, at least 1, shape (n_pixels,)."""
    factor = np.ones(left.shape[1])
    white = np.where(scatter > 0, scatter**2, 1.0)
    for length in BLOCKS:
        n = len(left) // length
        if n >= LEAST_BLOCKS:
            means = left[: n * length].reshape(n, length, -1).mean(axis=1)
            found = length * np.mean(means.astype(np.float64) ** 2, axis=0) / white
            # The variance of n block means is known to a part of sqrt(2 / n).
            factor = np.maximum(factor, np.where(found > 1.0 + CHANCE_SIGMA * np.sqrt(2.0 / n), found, 1.0))
    return factor


def _with_prior(
    found: np.ndarray, covariance: np.ndarray, prior: ResponsePrior, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Terms (n_pixels, 3) and errors with what is known of pixels, around what whole columns do."""
    allowed = np.diag(prior.sigmas() ** 2)
    usual = np.zeros_like(found)
    usual[:, 0] = _columns(found[:, 0].reshape(shape)).ravel()
    gain = np.linalg.solve(covariance + allowed, np.broadcast_to(allowed, covariance.shape)).transpose(0, 2, 1)
    off = found - usual
    odd = np.abs(off[:, 0]) > ODD_SIGMA * np.sqrt(covariance[:, 0, 0] + allowed[0, 0])
    values = usual + np.where(odd[:, None], 0.0, np.einsum("pij,pj->pi", gain, off))
    left = np.einsum("pii->pi", allowed - gain @ allowed)
    sigma = np.sqrt(np.where(odd[:, None], np.diag(allowed), np.maximum(left, 0.0)))
    return values, sigma


def _columns(found: np.ndarray) -> np.ndarray:
    """Response that all rows of a column have, where it is one, shape (ny, nx)."""
    ny = found.shape[0]
    if ny < LEAST_ROWS:
        return np.zeros_like(found)
    middle = np.median(found, axis=0)
    error = 1.2533 * MAD_TO_SIGMA * np.median(np.abs(found - middle), axis=0) / np.sqrt(ny)
    return np.broadcast_to(np.where(np.abs(middle) > COLUMN_SIGMA * error, middle, 0.0), found.shape)
