"""The stars of a stamp: what the catalogue says of them, and which of them matter for a target."""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.psf.stamp_light import StarTables, stamp_light

__all__ = ["FreeStars", "SceneStars", "StaticScene", "choose_free", "choose_stars", "target_noise"]

SAME_PLACE = 0.999  # overlap of two stars that a fit cannot tell apart: a tenth of a pixel


@dataclass(frozen=True)
class SceneStars:
    """Catalogue of a stamp and its surroundings; the target is row 0.

    Attributes
    ----------
    x, y : ndarray of float64, shape (n,)
        Places at shift 0, also outside of the stamp [pixel, 0-based in the stamp].
    flux, flux_err : ndarray of float64, shape (n,)
        Light that the catalogue promises [electron/s]; NaN where it says nothing.
    position_err : ndarray of float64, shape (n,)
        How far a star may be from its place against the others [pixel].
    """

    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    flux_err: np.ndarray
    position_err: np.ndarray

    def __len__(self) -> int:
        """Number of stars."""
        return len(self.x)

    def of(self, rows: np.ndarray) -> "SceneStars":
        """Some of the stars."""
        columns = (self.x, self.y, self.flux, self.flux_err, self.position_err)
        return SceneStars(*(values[rows] for values in columns))


@dataclass(frozen=True)
class StaticScene:
    """What the mean of the frames shows.

    Attributes
    ----------
    rows : ndarray of int64, shape (n,)
        Rows of the stars in the catalogue, the target first.
    tables : StarTables
        Of these stars, with that shape.
    x, y : ndarray of float64, shape (n,)
        Places at shift 0 [pixel].
    flux, flux_err : ndarray of float64, shape (n,)
        Light in the mean of the frames; the error counts the misfit of the image in [electron/s].
    common : ndarray of float64, shape (2,)
        Shift of all stars against the catalogue, that of the frames apart [pixel].
    shape : ndarray of float64, shape (2,)
        Where in the field, from its own place, the function is like that of the stars, in x and y and in units of
        `gaiaflux.core.psf.stamp_light.FIELD_PIX`.
    background : float
        What is left of the background in the mean [electron/s/pixel].
    model : ndarray of float64, shape (ny, nx)
        Of the mean [electron/s].
    chi2 : float
        Chi-squared of the mean per degree of freedom.
    """

    rows: np.ndarray
    tables: StarTables
    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    flux_err: np.ndarray
    common: np.ndarray
    shape: np.ndarray
    background: float
    model: np.ndarray
    chi2: float


def target_noise(light: np.ndarray, weight: np.ndarray) -> float:
    """Error of the target's light in one frame if it were alone on a known background.

    Parameters
    ----------
    light, weight : ndarray, shape (ny, nx)
        Its light in each pixel, and the inverse variance of the pixels.

    Returns
    -------
    float
        Infinite where no pixel sees it.
    """
    information = float(np.sum(light**2 * weight))
    return information**-0.5 if information > 0 else float("inf")


def choose_stars(
    stars: SceneStars, tables: StarTables, shift: np.ndarray, weight: np.ndarray, part: float, most: int
) -> np.ndarray:
    """Stars that put more than a part of the target's noise into the stamp, from inside or outside of it.

    Parameters
    ----------
    stars : SceneStars
    tables : StarTables
        Of the same stars.
    shift : ndarray, shape (2,)
        Mean shift of the frames [pixel].
    weight : ndarray, shape (ny, nx)
        Inverse variance of a pixel in one frame; 0 where it does not count.
    part : float
        Part of the noise.
    most : int
        No more stars than these, the target among them: those with most light in the stamp.

    Returns
    -------
    ndarray of int64
        Rows, the target first, then by their light in the stamp.
    """
    shape = weight.shape
    made = stamp_light(tables, stars.x + shift[0], stars.y + shift[1], shape).light
    inside = (made * (weight > 0)).sum(axis=(1, 2))
    noise = target_noise(made[0], weight)
    flux = np.where(np.isfinite(stars.flux), stars.flux, np.where(inside > 0.1, np.inf, 0.0))
    amount = flux * np.maximum(inside, 0.0)
    amount = np.where(inside > 0, amount, 0.0)
    others = np.flatnonzero(amount[1:] > part * noise) + 1 if np.isfinite(noise) else np.array([], np.int64)
    others = others[np.argsort(-amount[others], kind="stable")][: most - 1]
    return np.concatenate([[0], others]).astype(np.int64)


@dataclass(frozen=True)
class FreeStars:
    """Stars whose light is fitted in each frame.

    Attributes
    ----------
    rows : ndarray of int64, shape (n,)
        Rows in the static scene, the target first.
    group : ndarray of int64, shape (n,)
        Stars that cannot be told apart have one number: only their light together is fitted; the target's is 0.
    share : ndarray of float64, shape (n,)
        Part of its group's light that counts as the star's.
    """

    rows: np.ndarray
    group: np.ndarray
    share: np.ndarray

    @property
    def n_groups(self) -> int:
        """Columns that the stars take in the fit."""
        return int(self.group.max()) + 1


def choose_free(scene: StaticScene, shift: np.ndarray, weight: np.ndarray, most: int) -> FreeStars:
    """Stars that are fitted with the target in each frame; the others are held at their light in the mean.

    A star is fitted where all of its light, taken for the target's as far as the two overlap, exceeds the noise of the
    target in one frame.

    Parameters
    ----------
    scene : StaticScene
    shift : ndarray, shape (2,)
        Mean shift of the frames [pixel].
    weight : ndarray, shape (ny, nx)
        Inverse variance of a pixel in one frame; 0 where it does not count.
    most : int
        No more stars than these: those with most influence.

    Returns
    -------
    FreeStars
    """
    light = stamp_light(scene.tables, scene.x + shift[0], scene.y + shift[1], weight.shape).light
    flat = light.reshape(len(light), -1)
    overlap = (flat * weight.ravel()) @ flat.T
    power = np.diag(overlap)
    influence = np.abs(overlap[0] * scene.flux) / power[0] if power[0] > 0 else np.zeros(len(flat))
    others = np.flatnonzero(influence[1:] > target_noise(light[0], weight)) + 1
    others = others[np.argsort(-influence[others], kind="stable")][: most - 1]
    rows = np.concatenate([[0], others]).astype(np.int64)
    likeness = overlap[np.ix_(rows, rows)] / np.sqrt(np.outer(power[rows], power[rows]) + 1e-300)
    group = _groups(likeness > SAME_PLACE)
    amount = np.maximum(scene.flux[rows], 0.0) + 1e-12
    return FreeStars(rows, group, amount / np.bincount(group, amount)[group])


def _groups(same: np.ndarray) -> np.ndarray:
    """Number of the group of each star: stars that are the same, directly or by way of others."""
    group = np.arange(len(same))
    for i in range(len(same)):
        for j in np.flatnonzero(same[i]):
            group[group == max(group[i], group[j])] = min(group[i], group[j])
    return np.unique(group, return_inverse=True)[1].reshape(-1).astype(np.int64)
