"""Point-spread function of a frame: an elliptical Moffat core and an empirical residual, both varying over the field.

The function is the effective PSF: the response of the pixel is part of it, so the light that a pixel receives is the
function's value at the pixel's centre. The core is Moffat's (1969, A&A 3, 455), flux (beta - 1) / pi sqrt(A C - B^2)
(1 + A dx^2 + 2 B dx dy + C dy^2)^-beta; the residual is a table with one node per pixel (Anderson & King 2000, PASP
112, 1360), interpolated by a cubic convolution (Keys 1981, IEEE TASSP 29, 1153).
"""

from dataclasses import dataclass, replace

import numpy as np

from gaiaflux.core.kernels.compile import device, kernel
from gaiaflux.core.kernels.devices import cubic_weights
from gaiaflux.core.maths.surface import frame_terms
from gaiaflux.core.psf.moffat import half_maximum

__all__ = ["PsfModel", "Stamps", "add_light", "make_stamps", "moffat_psf"]

TABLE_STEP = 1.0 / 512.0
"""Step of the profile table in units of the core radius; linear interpolation is then good to 3e-6."""
# Smallest part of the central form that the polynomials may reach anywhere: a PSF is never infinitely wide.
_LEAST_FORM = 0.1


@dataclass(frozen=True)
class PsfModel:
    """Point-spread function of one frame, of total light 1.

    Attributes
    ----------
    shape : tuple of int
        (ny, nx) of the frame.
    beta : float
        Moffat exponent.
    form : ndarray of float64, shape (3, n_terms)
        Polynomials over the field of A, B and C [1/pixel^2]; terms of `gaiaflux.core.maths.surface.frame_terms`.
    order : int
        Their degree.
    residual : ndarray of float64, shape (n_residual_terms, size, size)
        Polynomials of what is added to the core at whole offsets from the star's centre, the middle being offset 0
        [1/pixel]; size is odd and the outermost nodes are zero. No terms: the core alone.
    residual_order : int
        Their degree; -1 where there is no residual.
    """

    shape: tuple[int, int]
    beta: float
    form: np.ndarray
    order: int
    residual: np.ndarray
    residual_order: int

    def form_at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """A, B and C at positions [pixel]; outside of the frame the value at the nearest edge. Shape (n, 3)."""
        ny, nx = self.shape
        x, y = np.clip(np.asarray(x, np.float64), 0, nx - 1), np.clip(np.asarray(y, np.float64), 0, ny - 1)
        form = frame_terms(x, y, self.shape, self.order) @ self.form.T
        least = _LEAST_FORM * 0.5 * (self.form[0, 0] + self.form[2, 0])
        form[:, 0] = np.maximum(form[:, 0], least)
        form[:, 2] = np.maximum(form[:, 2], least)
        limit = 0.9 * np.sqrt(form[:, 0] * form[:, 2])
        form[:, 1] = np.clip(form[:, 1], -limit, limit)
        return form

    def residual_terms_at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Weights of the residual's terms at positions, shape (n, n_residual_terms)."""
        ny, nx = self.shape
        x, y = np.clip(np.asarray(x, np.float64), 0, nx - 1), np.clip(np.asarray(y, np.float64), 0, ny - 1)
        if self.residual_order < 0:
            return np.zeros((len(x), 0))
        return frame_terms(x, y, self.shape, self.residual_order)

    def scale_at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Factor that makes core and residual together 1, shape (n,)."""
        return 1.0 / (1.0 + self.residual_terms_at(x, y) @ self.residual.sum(axis=(1, 2)))

    def fwhm_at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Geometric mean of the core's widths at half maximum at positions [pixel], shape (n,)."""
        form = self.form_at(x, y)
        return 2.0 * np.sqrt(half_maximum(self.beta) / np.sqrt(_determinant(form)))

    @property
    def fwhm(self) -> float:
        """Width in the middle of the frame [pixel]."""
        ny, nx = self.shape
        return float(self.fwhm_at(np.array([(nx - 1) / 2]), np.array([(ny - 1) / 2]))[0])

    def ellipticity_at(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """1 - b/a of the core, and the angle of its long axis from x towards y [rad], each of shape (n,)."""
        a, b, c = self.form_at(x, y).T
        half, mean = np.hypot(0.5 * (a - c), b), 0.5 * (a + c)
        # The long axis is where the form is smallest.
        return 1.0 - np.sqrt((mean - half) / (mean + half)), 0.5 * np.arctan2(-b, -0.5 * (a - c))

    def values(self, x: float, y: float, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
        """Part of the light of a star that falls into a pixel.

        Parameters
        ----------
        x, y : float
            Position of the star [pixel, 0-based].
        dx, dy : ndarray
            Offsets of the pixel's centre from the star [pixel], of one shape.

        Returns
        -------
        ndarray of float64
            [1/pixel], of the shape of `dx`.
        """
        dx, dy = np.asarray(dx, np.float64), np.asarray(dy, np.float64)
        at = np.array([x], np.float64), np.array([y], np.float64)
        a, b, c = self.form_at(*at)[0]
        u = 1.0 + a * dx**2 + 2.0 * b * dx * dy + c * dy**2
        value = (self.beta - 1.0) / np.pi * np.sqrt(a * c - b * b) * u**-self.beta
        if self.residual_order >= 0:
            nodes = np.tensordot(self.residual_terms_at(*at)[0], self.residual, axes=1)
            value = value + _interpolate(nodes, dx, dy)
        return value * self.scale_at(*at)[0]

    def stamp(self, x: float, y: float, half: int) -> np.ndarray:
        """The function on the pixels around a star.

        Parameters
        ----------
        x, y : float
            Position of the star [pixel].
        half : int
            The stamp reaches so many pixels from the star's own.

        Returns
        -------
        ndarray of float64, shape (2 half + 1, 2 half + 1)
            [1/pixel]; rows are y.
        """
        offsets = np.arange(-half, half + 1)
        dx, dy = np.meshgrid(round(x) + offsets - x, round(y) + offsets - y)
        return self.values(x, y, dx, dy)

    def scaled(self, factor: float, shape: tuple[int, int] | None = None) -> "PsfModel":
        """The same function, wider by a factor; its residual, which has a scale of its own, is left out."""
        none = np.zeros((0, *self.residual.shape[1:]))
        return replace(self, shape=shape or self.shape, form=self.form / factor**2, residual=none, residual_order=-1)


@dataclass(frozen=True)
class Stamps:
    """The PSF of many stars on their pixels, within a circle around each star.

    Attributes
    ----------
    values : ndarray of float32, shape (n, size, size)
        Part of the star's light per pixel; zero outside of the circle.
    column, row : ndarray of int64, shape (n,)
        Pixel of the stamp's middle.
    x, y : ndarray of float64, shape (n,)
        Positions of the stars [pixel].
    form : ndarray of float64, shape (n, 3)
        A, B and C of the core.
    amplitude : ndarray of float64, shape (n,)
        Central value of the core [1/pixel].
    beta : float
        Its exponent.
    radius : float
        Of the circle [pixel].
    """

    values: np.ndarray
    column: np.ndarray
    row: np.ndarray
    x: np.ndarray
    y: np.ndarray
    form: np.ndarray
    amplitude: np.ndarray
    beta: float
    radius: float

    def __len__(self) -> int:
        """Number of stars."""
        return len(self.x)


def moffat_psf(shape: tuple[int, int], fwhm: float, beta: float = 3.0) -> PsfModel:
    """Round Moffat function that is the same over the frame.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    fwhm : float
        Full width at half maximum [pixel].
    beta : float
        Exponent.

    Returns
    -------
    PsfModel
    """
    core = half_maximum(beta) / (0.5 * fwhm) ** 2
    return PsfModel(tuple(shape), beta, np.array([[core], [0.0], [core]]), 0, np.zeros((0, 1, 1)), -1)


def make_stamps(psf: PsfModel, x: np.ndarray, y: np.ndarray, radius: float) -> Stamps:
    """Evaluate the PSF for many stars.

    Parameters
    ----------
    psf : PsfModel
        Model of the frame.
    x, y : ndarray, shape (n,)
        Finite positions [pixel].
    radius : float
        Pixels farther from the star are left out [pixel].

    Returns
    -------
    Stamps
    """
    x, y = (np.require(values, np.float64, "CW") for values in (x, y))
    n, half = len(x), int(np.ceil(radius))
    form, scale = psf.form_at(x, y), psf.scale_at(x, y)
    amplitude = scale * (psf.beta - 1.0) / np.pi * np.sqrt(_determinant(form))
    column, row = np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)
    values = np.zeros((n, 2 * half + 1, 2 * half + 1), np.float32)
    farthest = float(np.sqrt(2.0 * np.max(np.maximum(form[:, 0], form[:, 2]), initial=1e-9))) * (radius + 2.0)
    table = _profile_table(psf.beta, farthest)
    _make_stamps(values, column, row, x, y, np.ascontiguousarray(form), amplitude, radius, table)
    if psf.residual_order >= 0 and n:
        weights = np.ascontiguousarray(psf.residual_terms_at(x, y) * scale[:, None])
        size = psf.residual.shape[1]
        scratch = np.zeros((2, size + 6, size + 6))
        nodes = np.ascontiguousarray(psf.residual)
        _add_residual(values, column, row, x, y, weights, nodes, radius, scratch)
    return Stamps(values, column, row, x, y, form, amplitude, psf.beta, float(radius))


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
        Radius to which the core is added beyond the stamp [pixel].
    """
    flux, reach = (np.require(values, np.float64, "CW") for values in (flux, reach))
    if len(stamps) == 0:
        return
    widest = float(np.sqrt(2.0 * np.max(np.maximum(stamps.form[:, 0], stamps.form[:, 2]))))
    table = _profile_table(stamps.beta, widest * (float(np.max(reach)) + 2.0))
    _add_light(
        image,
        stamps.values,
        stamps.column,
        stamps.row,
        stamps.x,
        stamps.y,
        np.ascontiguousarray(stamps.form),
        stamps.amplitude,
        flux,
        reach,
        stamps.radius,
        table,
    )


def _determinant(form: np.ndarray) -> np.ndarray:
    return form[:, 0] * form[:, 2] - form[:, 1] ** 2


def _profile_table(beta: float, farthest: float) -> np.ndarray:
    """The profile (1 + r^2)^-beta at steps of r."""
    r = np.arange(int(farthest / TABLE_STEP) + 8) * TABLE_STEP
    return (1.0 + r * r) ** -beta


def _interpolate(nodes: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Cubic convolution of a table whose middle is offset 0; zero outside of it."""
    half = (nodes.shape[0] - 1) // 2
    padded = np.pad(nodes, 2)
    result = np.zeros(np.broadcast(dx, dy).shape)
    px, py = dx + half, dy + half
    inside = (px > -2) & (py > -2) & (px < 2 * half + 2) & (py < 2 * half + 2)
    px, py = np.where(inside, px, 0.0), np.where(inside, py, 0.0)
    ix, iy = np.floor(px).astype(int), np.floor(py).astype(int)
    for j, wy in enumerate(cubic_weights(py - iy)):
        for i, wx in enumerate(cubic_weights(px - ix)):
            rows, columns = iy + j + 1, ix + i + 1
            known = (rows >= 0) & (rows < padded.shape[0]) & (columns >= 0) & (columns < padded.shape[1])
            taken = padded[np.where(known, rows, 0), np.where(known, columns, 0)]
            result += np.where(known, wy * wx * taken, 0.0)
    return np.where(inside, result, 0.0)


@device
def _lookup(table: np.ndarray, r2: float) -> float:
    place = np.sqrt(max(r2, 0.0)) / TABLE_STEP
    k = min(int(place), len(table) - 2)
    low = table[k]
    return low + (place - k) * (table[k + 1] - low)


@kernel(
    "void(float32[:, :, ::1], int64[::1], int64[::1], float64[::1], float64[::1], float64[:, ::1], float64[::1],"
    " float64, float64[::1])"
)
def _make_stamps(
    values: np.ndarray,
    column: np.ndarray,
    row: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    form: np.ndarray,
    amplitude: np.ndarray,
    radius: float,
    table: np.ndarray,
) -> None:
    """Core of each star within its circle."""
    n, size, _ = values.shape
    half = (size - 1) // 2
    for k in range(n):
        a, b, c = form[k, 0], form[k, 1], form[k, 2]
        for j in range(size):
            dy = row[k] + j - half - y[k]
            for i in range(size):
                dx = column[k] + i - half - x[k]
                if dx * dx + dy * dy <= radius * radius:
                    r2 = dx * (a * dx + 2.0 * b * dy) + c * dy * dy
                    values[k, j, i] = np.float32(amplitude[k] * _lookup(table, r2))


@kernel(
    "void(float32[:, :, ::1], int64[::1], int64[::1], float64[::1], float64[::1], float64[:, ::1],"
    " float64[:, :, ::1], float64, float64[:, :, ::1])"
)
def _add_residual(
    values: np.ndarray,
    column: np.ndarray,
    row: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
    nodes: np.ndarray,
    radius: float,
    scratch: np.ndarray,
) -> None:
    """Add the residual, shifted to each star's place between the pixels; `scratch` is zero in a border of 3."""
    n, size, _ = values.shape
    half = (size - 1) // 2
    n_terms, m, _ = nodes.shape
    whole = (m - 1) // 2
    combined = scratch[0]
    shifted = scratch[1]
    for k in range(n):
        for j in range(m):
            for i in range(m):
                combined[j + 3, i + 3] = 0.0
            for t in range(n_terms):
                w = weights[k, t]
                for i in range(m):
                    combined[j + 3, i + 3] += w * nodes[t, j, i]
        # A pixel lies at node + fraction, from -0.5 to 0.5.
        fx = column[k] - x[k]
        fy = row[k] - y[k]
        sx = 0 if fx >= 0 else -1
        sy = 0 if fy >= 0 else -1
        w0, w1, w2, w3 = cubic_weights(fx - sx)
        for j in range(m):
            for i in range(2, m + 4):
                shifted[j + 3, i] = (
                    w0 * combined[j + 3, i + sx - 1]
                    + w1 * combined[j + 3, i + sx]
                    + w2 * combined[j + 3, i + sx + 1]
                    + w3 * combined[j + 3, min(i + sx + 2, m + 5)]
                )
        w0, w1, w2, w3 = cubic_weights(fy - sy)
        for j in range(size):
            dy = row[k] + j - half - y[k]
            # Row of the table under this row of the stamp.
            q = j - half + whole + 3 + sy
            if q < 2 or q > m + 3:
                continue
            for i in range(size):
                p = i - half + whole + 3
                if p < 2 or p > m + 3:
                    continue
                dx = column[k] + i - half - x[k]
                if dx * dx + dy * dy <= radius * radius:
                    values[k, j, i] += np.float32(
                        w0 * shifted[q - 1, p]
                        + w1 * shifted[q, p]
                        + w2 * shifted[q + 1, p]
                        + w3 * shifted[min(q + 2, m + 5), p]
                    )


@kernel(
    "void(float32[:, ::1], float32[:, :, ::1], int64[::1], int64[::1], float64[::1], float64[::1], float64[:, ::1],"
    " float64[::1], float64[::1], float64[::1], float64, float64[::1])"
)
def _add_light(
    image: np.ndarray,
    values: np.ndarray,
    column: np.ndarray,
    row: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    form: np.ndarray,
    amplitude: np.ndarray,
    flux: np.ndarray,
    reach: np.ndarray,
    radius: float,
    table: np.ndarray,
) -> None:
    ny, nx = image.shape
    n, size, _ = values.shape
    half = (size - 1) // 2
    for k in range(n):
        if flux[k] == 0.0:
            continue
        f = np.float32(flux[k])
        first = max(0, column[k] - half)
        count = min(nx, column[k] + half + 1) - first
        if count > 0:
            start = first - (column[k] - half)
            for j in range(max(0, row[k] - half), min(ny, row[k] + half + 1)):
                line = image[j, first : first + count]
                part = values[k, j - row[k] + half, start : start + count]
                for i in range(count):
                    line[i] += f * part[i]
        if reach[k] <= radius:
            continue
        a, b, c = form[k, 0], form[k, 1], form[k, 2]
        light = flux[k] * amplitude[k]
        for j in range(max(0, int(np.ceil(y[k] - reach[k]))), min(ny - 1, int(np.floor(y[k] + reach[k]))) + 1):
            dy = j - y[k]
            width = np.sqrt(max(reach[k] * reach[k] - dy * dy, 0.0))
            for i in range(max(0, int(np.ceil(x[k] - width))), min(nx - 1, int(np.floor(x[k] + width))) + 1):
                dx = i - x[k]
                if dx * dx + dy * dy > radius * radius:
                    r2 = dx * (a * dx + 2.0 * b * dy) + c * dy * dy
                    image[j, i] += np.float32(light * _lookup(table, r2))
