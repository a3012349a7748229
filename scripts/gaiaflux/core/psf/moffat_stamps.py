"""A Moffat core with an empirical residual at the places of stars: their stamps, wings and derivatives."""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.kernels.compile import device, kernel
from gaiaflux.core.kernels.devices import cubic_weights
from gaiaflux.core.psf.interpolation import cubic_slopes, interpolate
from gaiaflux.core.psf.protocol import Stamps
from gaiaflux.core.psf.stamps import add_stamp
from gaiaflux.core.psf.wing import Wing

__all__ = ["PlacedMoffat", "determinant"]

TABLE_STEP = 1.0 / 512.0
"""Step of the profile table in units of the core radius; linear interpolation is then good to 3e-6."""


@dataclass(frozen=True)
class PlacedMoffat:
    """`gaiaflux.core.psf.model.PsfModel` at the places of n stars; a `PlacedPsf`.

    Attributes
    ----------
    x, y : ndarray of float64, shape (n,)
        Positions of the stars [pixel].
    form : ndarray of float64, shape (n, 3)
        A, B and C of the core [1/pixel^2].
    amplitude : ndarray of float64, shape (n,)
        Central value of the core [1/pixel].
    beta : float
        Its exponent.
    nodes : ndarray of float64, shape (n_residual_terms, size, size)
        Terms of the residual at whole offsets from the star [1/pixel].
    weights : ndarray of float64, shape (n, n_residual_terms)
        Of the terms.
    wing : Wing
        Beyond the residual.
    scale : ndarray of float64, shape (n,)
        Factor on it.
    """

    x: np.ndarray
    y: np.ndarray
    form: np.ndarray
    amplitude: np.ndarray
    beta: float
    nodes: np.ndarray
    weights: np.ndarray
    wing: Wing
    scale: np.ndarray

    def values(self, column: np.ndarray, row: np.ndarray, radius: float) -> np.ndarray:
        """Part of each star's light in the pixels around it; see `PlacedPsf.values`."""
        n, half = len(self.x), int(np.ceil(radius))
        values = np.zeros((n, 2 * half + 1, 2 * half + 1), np.float32)
        widest = np.max(np.maximum(self.form[:, 0], self.form[:, 2]), initial=1e-9)
        table = _profile_table(self.beta, float(np.sqrt(2.0 * widest)) * (radius + 2.0))
        _make_stamps(values, column, row, self.x, self.y, self.form, self.amplitude, radius, table)
        if len(self.nodes) and n:
            size = self.nodes.shape[1]
            scratch = np.zeros((2, size + 6, size + 6))
            _add_residual(values, column, row, self.x, self.y, self.weights, self.nodes, radius, scratch)
        return values

    def gradients(self, column: np.ndarray, row: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives with respect to the star's x and y; see `PlacedPsf.gradients`."""
        half = int(np.ceil(radius))
        offsets = np.arange(-half, half + 1)
        dx = (column - self.x)[:, None, None] + offsets[None, None, :]
        dy = (row - self.y)[:, None, None] + offsets[None, :, None]
        dx, dy = np.broadcast_arrays(dx, dy)
        a, b, c = (self.form[:, k, None, None] for k in range(3))
        u = 1.0 + a * dx**2 + 2.0 * b * dx * dy + c * dy**2
        slope = 2.0 * self.beta * self.amplitude[:, None, None] * u ** (-self.beta - 1.0)
        along_x, along_y = slope * (a * dx + b * dy), slope * (b * dx + c * dy)
        if len(self.nodes):
            for k, weights in enumerate(self.weights):
                nodes = np.tensordot(weights, self.nodes, axes=1)
                along_x[k] -= interpolate(nodes, dx[k], dy[k], across=cubic_slopes)
                along_y[k] -= interpolate(nodes, dx[k], dy[k], along=cubic_slopes)
        outside = dx**2 + dy**2 > radius**2
        along_x[outside], along_y[outside] = 0.0, 0.0
        return along_x.astype(np.float32), along_y.astype(np.float32)

    def reach(self, flux: np.ndarray, faintest: float, farthest: float) -> np.ndarray:
        """Radius at which core and wing have become too faint to matter; see `PlacedPsf.reach`."""
        with np.errstate(divide="ignore", over="ignore"):
            ratio = np.maximum(np.abs(flux) * self.amplitude / faintest, 1.0)
            core = np.sqrt((ratio ** (1.0 / self.beta) - 1.0) / np.sqrt(determinant(self.form)))
        core = np.minimum(core, farthest)
        if not self.wing.exists:
            return core
        # The wing may swing: what counts is how bright it is from some radius on.
        brightest = np.maximum.accumulate(np.abs(self.wing.table())[::-1])[::-1]
        with np.errstate(divide="ignore"):
            faint = faintest / (np.abs(flux) * self.scale)
        return np.maximum(core, np.searchsorted(-brightest, -faint).astype(np.float64))

    def add_light(self, image: np.ndarray, stamps: Stamps, flux: np.ndarray, reach: np.ndarray) -> None:
        """Add stars to an image; beyond the stamps core and wing; see `PlacedPsf.add_light`."""
        widest = float(np.sqrt(2.0 * np.max(np.maximum(self.form[:, 0], self.form[:, 2]))))
        table = _profile_table(self.beta, widest * (float(np.max(reach)) + 2.0))
        _add_light(
            image,
            stamps.values,
            stamps.column,
            stamps.row,
            self.x,
            self.y,
            self.form,
            self.amplitude,
            flux,
            reach,
            stamps.radius,
            table,
            self.scale,
            self.wing.table(),
        )


def determinant(form: np.ndarray) -> np.ndarray:
    """A C - B^2 of forms of shape (n, 3)."""
    return form[:, 0] * form[:, 2] - form[:, 1] ** 2


def _profile_table(beta: float, farthest: float) -> np.ndarray:
    """The profile (1 + r^2)^-beta at steps of r."""
    r = np.arange(int(farthest / TABLE_STEP) + 8) * TABLE_STEP
    return (1.0 + r * r) ** -beta


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
    " float64[::1], float64[::1], float64[::1], float64, float64[::1], float64[::1], float64[::1])"
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
    scale: np.ndarray,
    wing: np.ndarray,
) -> None:
    ny, nx = image.shape
    for k in range(len(values)):
        if flux[k] == 0.0:
            continue
        add_stamp(image, values[k], column[k], row[k], np.float32(flux[k]))
        if reach[k] <= radius:
            continue
        a, b, c = form[k, 0], form[k, 1], form[k, 2]
        light = flux[k] * amplitude[k]
        for j in range(max(0, int(np.ceil(y[k] - reach[k]))), min(ny - 1, int(np.floor(y[k] + reach[k]))) + 1):
            dy = j - y[k]
            width = np.sqrt(max(reach[k] * reach[k] - dy * dy, 0.0))
            for i in range(max(0, int(np.ceil(x[k] - width))), min(nx - 1, int(np.floor(x[k] + width))) + 1):
                dx = i - x[k]
                d2 = dx * dx + dy * dy
                if d2 > radius * radius:
                    r2 = dx * (a * dx + 2.0 * b * dy) + c * dy * dy
                    value = light * _lookup(table, r2)
                    if len(wing) > 0:
                        d = np.sqrt(d2)
                        m = int(d)
                        if m + 1 < len(wing):
                            value += flux[k] * scale[k] * (wing[m] + (d - m) * (wing[m + 1] - wing[m]))
                    image[j, i] += np.float32(value)
