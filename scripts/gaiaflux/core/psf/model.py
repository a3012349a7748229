"""Point-spread function of a frame: an elliptical Moffat core and an empirical residual, both varying over the field.

The function is the effective PSF: the response of the pixel is part of it, so the light that a pixel receives is the
function's value at the pixel's centre. The core is Moffat's (1969, A&A 3, 455), flux (beta - 1) / pi sqrt(A C - B^2)
(1 + A dx^2 + 2 B dx dy + C dy^2)^-beta; the residual is a table with one node per pixel (Anderson & King 2000, PASP
112, 1360), interpolated by a cubic convolution (Keys 1981, IEEE TASSP 29, 1153).
"""

from dataclasses import dataclass, replace

import numpy as np

from gaiaflux.core.maths.surface import frame_terms
from gaiaflux.core.psf.interpolation import interpolate
from gaiaflux.core.psf.moffat import half_maximum
from gaiaflux.core.psf.moffat_stamps import PlacedMoffat, determinant
from gaiaflux.core.psf.wing import NO_WING, Wing

__all__ = ["PsfModel", "moffat_psf"]

# Smallest part of the central form that the polynomials may reach anywhere: a PSF is never infinitely wide.
_LEAST_FORM = 0.1


@dataclass(frozen=True)
class PsfModel:
    """Point-spread function of one frame, of total light 1; a `gaiaflux.core.psf.protocol.Psf`.

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
    wing : Wing
        Light beyond the residual, beside that of the core.
    """

    shape: tuple[int, int]
    beta: float
    form: np.ndarray
    order: int
    residual: np.ndarray
    residual_order: int
    wing: Wing = NO_WING

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
        """Factor that makes core, residual and wing together 1, shape (n,)."""
        return 1.0 / (1.0 + self.wing.light + self.residual_terms_at(x, y) @ self.residual.sum(axis=(1, 2)))

    def at(self, x: np.ndarray, y: np.ndarray) -> PlacedMoffat:
        """The function at the places of stars; see `Psf.at`."""
        form, scale = np.ascontiguousarray(self.form_at(x, y)), self.scale_at(x, y)
        amplitude = scale * (self.beta - 1.0) / np.pi * np.sqrt(determinant(form))
        weights = np.ascontiguousarray(self.residual_terms_at(x, y) * scale[:, None])
        nodes = self.residual if self.residual_order >= 0 else self.residual[:0]
        return PlacedMoffat(x, y, form, amplitude, self.beta, np.ascontiguousarray(nodes), weights, self.wing, scale)

    def describe(self) -> dict[str, str | int | float]:
        """Width, ellipticity and exponent of the core in the middle of the frame, and degree of the residual."""
        ny, nx = self.shape
        middle = np.array([(nx - 1) / 2]), np.array([(ny - 1) / 2])
        return {
            "kind": "moffat",
            "residual_order": self.residual_order,
            "fwhm_pix": self.fwhm,
            "ellipticity": float(self.ellipticity_at(*middle)[0][0]),
            "beta": self.beta,
            "residual_peak": self.residual_peak,
            "wing_light": self.wing.light / (1.0 + self.wing.light),
        }

    def fwhm_at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Geometric mean of the core's widths at half maximum at positions [pixel], shape (n,)."""
        form = self.form_at(x, y)
        return 2.0 * np.sqrt(half_maximum(self.beta) / np.sqrt(determinant(form)))

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
            value = value + interpolate(nodes, dx, dy)
        if self.wing.exists:
            value = value + self.wing.at(np.hypot(dx, dy))
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

    @property
    def residual_peak(self) -> float:
        """Largest value of the residual over the core's central one, in the middle of the frame; 0 without one."""
        if self.residual_order < 0:
            return 0.0
        ny, nx = self.shape
        middle = np.array([(nx - 1) / 2]), np.array([(ny - 1) / 2])
        nodes = np.tensordot(self.residual_terms_at(*middle)[0], self.residual, axes=1)
        core = (self.beta - 1.0) / np.pi * float(np.sqrt(determinant(self.form_at(*middle)))[0])
        return float(np.abs(nodes).max()) / core

    def light_beyond(self, radius: float, wider: float = 1.0) -> float:
        """Part of a star's light beyond a radius [pixel] that is not smaller than the residual's, mid-frame.

        `wider`: width of the core over this one's, as in a frame of other seeing, in which the wing is the same.
        """
        ny, nx = self.shape
        middle = np.array([(nx - 1) / 2]), np.array([(ny - 1) / 2])
        core2 = 1.0 / float(np.sqrt(determinant(self.form_at(*middle)))[0])
        core = (1.0 + (radius / wider) ** 2 / core2) ** (1.0 - self.beta)
        return float(self.scale_at(*middle)[0]) * (core + self.wing.light - self.wing.within(radius))

    def scaled(self, factor: float, shape: tuple[int, int] | None = None) -> "PsfModel":
        """The same function, wider by a factor, with its wing as it is and without the residual."""
        none = np.zeros((0, *self.residual.shape[1:]))
        return replace(self, shape=shape or self.shape, form=self.form / factor**2, residual=none, residual_order=-1)


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
    return PsfModel((shape[0], shape[1]), beta, np.array([[core], [0.0], [core]]), 0, np.zeros((0, 1, 1)), -1)
