"""How stars of one brightness scatter by each aperture, beside what is predicted.

The scatter of one star over a few frames says little of which aperture is best for it; that of all stars together does.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["NoiseLaw", "fit_noise_law"]

_LEAST_STARS = 12
_LEAST_IN_BIN = 6
_MOST_BINS = 10
_ALIKE = 1.5  # of the variances of apertures over the least, up to which they are not believed to differ
_FACTOR_PRIOR = 0.5  # of the factor on the predicted variance about 1, relative


@dataclass(frozen=True)
class NoiseLaw:
    """Variance by each of k apertures: ``factor2 * predicted^2 + (floor * flux)^2``.

    Attributes
    ----------
    factor2 : ndarray of float64, shape (k,)
        What the predicted variance is multiplied by.
    floor2 : ndarray of float64, shape (k,)
        Square of what bright stars scatter by however many photons they have, relative to the flux.
    """

    factor2: np.ndarray
    floor2: np.ndarray

    @staticmethod
    def as_predicted(n_apertures: int) -> "NoiseLaw":
        """Nothing but what is predicted."""
        return NoiseLaw(np.ones(n_apertures), np.zeros(n_apertures))

    @property
    def distinct(self) -> "NoiseLaw":
        """What tells the apertures apart: without the floor that they all have, under which photons still count."""
        return NoiseLaw(self.factor2, self.floor2 - self.floor2.min())

    def scatter(self, predicted: np.ndarray, level: np.ndarray) -> np.ndarray:
        """Scatter that stars have.

        Parameters
        ----------
        predicted : ndarray, shape (n, k)
            Error that is predicted [flux]; NaN and infinity stay so.
        level : ndarray, shape (n,)
            Typical flux.

        Returns
        -------
        ndarray of float64, shape (n, k)
            [flux].
        """
        return np.sqrt(self.factor2 * predicted**2 + self.floor2 * np.square(np.nan_to_num(level))[:, None])


def fit_noise_law(scatter: np.ndarray, predicted: np.ndarray, level: np.ndarray) -> NoiseLaw:
    """Measure the law on stars of all brightnesses.

    Parameters
    ----------
    scatter : ndarray, shape (n, k)
        Of each star over the series by each aperture [flux]; NaN where not known.
    predicted : ndarray, shape (n, k)
        Error that is predicted [flux].
    level : ndarray, shape (n,)
        Typical flux.

    Returns
    -------
    NoiseLaw
        From medians of stars of one signal-to-noise ratio, which variable and blended ones do not move. Apertures with
        up to 1.5 times the least floor or factor have their mean: between them the predicted errors decide. As
        predicted with fewer than 12 stars that are known by all apertures.
    """
    n_apertures = scatter.shape[1]
    known = (np.isfinite(scatter) & (scatter > 0) & np.isfinite(predicted) & (predicted > 0)).all(axis=1) & (level > 0)
    rows = np.flatnonzero(known)
    if rows.size < _LEAST_STARS:
        return NoiseLaw.as_predicted(n_apertures)
    rows = rows[np.argsort(level[rows] / predicted[rows, n_apertures // 2], kind="stable")]
    groups = np.array_split(rows, min(_MOST_BINS, rows.size // _LEAST_IN_BIN))
    excess = np.stack([np.median((scatter[group] / predicted[group]) ** 2, axis=0) for group in groups])
    photons = np.stack([np.median((level[group, None] / predicted[group]) ** 2, axis=0) for group in groups])
    size = np.array([group.size for group in groups], dtype=float)
    laws = [_line(photons[:, k], excess[:, k], size) for k in range(n_apertures)]
    return NoiseLaw(*(_merged(np.array(column)) for column in zip(*laws, strict=True)))


def _merged(values: np.ndarray) -> np.ndarray:
    """The values, those of them that are much like the least at their mean."""
    alike = values <= _ALIKE * values.min()
    return np.where(alike, values[alike].mean(), values)


def _line(photons: np.ndarray, excess: np.ndarray, size: np.ndarray) -> tuple[float, float]:
    """Intercept and slope, none of them negative, of the excess over the square of the signal-to-noise ratio."""
    # Errors of a variance go with it; from a few turns it is known well enough.
    model = excess
    for _ in range(5):
        weight = size / np.maximum(model, 1e-3) ** 2
        prior = 1.0 / _FACTOR_PRIOR**2
        matrix = np.array(
            [[weight.sum() + prior, (weight * photons).sum()], [(weight * photons).sum(), (weight * photons**2).sum()]]
        )
        right = np.array([(weight * excess).sum() + prior, (weight * photons * excess).sum()])
        factor2, floor2 = np.linalg.solve(matrix, right)
        if factor2 <= 0.0:
            factor2, floor2 = 0.0, right[1] / matrix[1, 1]
        elif floor2 <= 0.0:
            factor2, floor2 = right[0] / matrix[0, 0], 0.0
        model = factor2 + floor2 * photons
    return float(factor2), float(floor2)
