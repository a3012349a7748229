"""Joint fit of the light and the places of many overlapping stars, and of what lies on all pixels.

One step of Gauss-Newton's method on the residual image. The unknowns of the stars are sparse: the light of each, and x
and y of those that may move, as stamps (`gaiaflux.core.psf.equations`). The few unknowns of the whole image, such as
its sky or a common shift of all stars, are eliminated (a bordered system; Golub & Van Loan 2013, Matrix Computations,
section 3.2).
"""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.psf.equations import NormalEquations, close_pairs, flux_errors, normal_equations, solve, sum_stamps
from gaiaflux.core.psf.protocol import Psf, Stamps
from gaiaflux.core.psf.stamps import add_light

__all__ = ["JointColumns", "JointStep", "Promises", "joint_columns", "joint_step", "shift_images", "star_light"]

TOLERANCE = 0.1  # of a step, all residuals together, in units of the unknowns' own errors

LEAST_WING = 300.0  # light [electron/s] of a star whose pixels beyond 5 pixels together hold 1 % of that


@dataclass(frozen=True)
class JointColumns:
    """Derivatives of an image with respect to the unknowns of its stars.

    Attributes
    ----------
    light : Stamps
        With respect to the light of each of n stars.
    stamps : Stamps
        The same, then those with respect to x and then to y of the stars that may move, shape (n + 2 m, size, size).
    free : ndarray of int64, shape (m,)
        Rows of the stars that may move.
    """

    light: Stamps
    stamps: Stamps
    free: np.ndarray


@dataclass(frozen=True)
class Promises:
    """What is known of the unknowns beforehand.

    Attributes
    ----------
    light, place : ndarray of float64, shape (n,), (m,)
        Inverse variances, of the light of each star and of x and of y of those that may move; 0 = nothing is known.
    light_pull, place_pull : ndarray of float64, shape (n,), (m, 2)
        How far the present values are above what is known.
    whole, whole_pull : ndarray of float64, shape (k,)
        The same of the unknowns of the whole image.
    """

    light: np.ndarray
    place: np.ndarray
    light_pull: np.ndarray
    place_pull: np.ndarray
    whole: np.ndarray
    whole_pull: np.ndarray


@dataclass(frozen=True)
class JointStep:
    """Changes of the unknowns.

    Attributes
    ----------
    light : ndarray of float64, shape (n,)
        To be added to the light of the stars.
    move : ndarray of float64, shape (m, 2)
        To be added to x and y of the free ones [pixel].
    whole : ndarray of float64, shape (k,)
        To be added to the unknowns of the whole image.
    whole_err : ndarray of float64, shape (k,)
        Their errors.
    equations : NormalEquations
        Of the stars' unknowns, with what is known beforehand.
    """

    light: np.ndarray
    move: np.ndarray
    whole: np.ndarray
    whole_err: np.ndarray
    equations: NormalEquations

    def errors(self) -> np.ndarray:
        """One sigma of the stars' unknowns in their order, shape (n + 2 m,); infinite without any weight."""
        return flux_errors(self.equations)


def joint_columns(psf: Psf, light: Stamps, flux: np.ndarray, free: np.ndarray) -> JointColumns:
    """Make the stamps of the stars' unknowns.

    Parameters
    ----------
    psf : Psf
        In the coordinates of the image.
    light : Stamps
        The stars at their present places.
    flux : ndarray, shape (n,)
        Their present light.
    free : ndarray of int64, shape (m,)
        Rows of the stars that may move.

    Returns
    -------
    JointColumns
    """
    if not len(free):
        return JointColumns(light, light, free)
    there = light.x[free], light.y[free]
    column, row = light.column[free], light.row[free]
    to_x, to_y = psf.at(*there).gradients(column, row, light.radius)
    amount = flux[free].astype(np.float32)[:, None, None]
    values = np.concatenate([light.values, amount * to_x, amount * to_y])
    column, row = (np.concatenate([all_of, part, part]) for all_of, part in ((light.column, column), (light.row, row)))
    x, y = (np.concatenate([all_of, part, part]) for all_of, part in zip((light.x, light.y), there, strict=True))
    return JointColumns(light, Stamps(values, column, row, x, y, light.radius, light.psf), free)


def star_light(stamps: Stamps, flux: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Image of the stars alone.

    Parameters
    ----------
    stamps : Stamps
    flux : ndarray, shape (n,)
    shape : tuple of int
        (ny, nx).

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        Beyond the stamps with the light of those stars alone that are brighter than `LEAST_WING`.
    """
    image = np.zeros(shape, np.float32)
    if len(stamps):
        reach = stamps.psf.reach(flux, 0.0, np.inf)
        add_light(image, stamps, flux, np.where(np.abs(flux) > LEAST_WING, reach, 0.0))
    return image


def shift_images(psf: Psf, stamps: Stamps, flux: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Derivatives of the image of all stars with respect to a common shift.

    Parameters
    ----------
    psf : Psf
    stamps : Stamps
        Light of the stars.
    flux : ndarray, shape (n,)
    shape : tuple of int
        (ny, nx).

    Returns
    -------
    ndarray of float32, shape (2, ny, nx)
        In x and in y [light per pixel and pixel].
    """
    made = np.zeros((2, *shape), np.float32)
    slopes = psf.at(stamps.x, stamps.y).gradients(stamps.column, stamps.row, stamps.radius)
    for image, values in zip(made, slopes, strict=True):
        one = Stamps(values, stamps.column, stamps.row, stamps.x, stamps.y, stamps.radius, stamps.psf)
        # The stamps alone: nothing is carried on beyond them.
        add_light(image, one, flux, np.zeros(len(one)))
    return made


def joint_step(
    columns: JointColumns,
    residual: np.ndarray,
    weight: np.ndarray,
    promises: Promises,
    whole: np.ndarray,
    tolerance: float = TOLERANCE,
) -> JointStep:
    """Solve for the changes of all unknowns together.

    Parameters
    ----------
    columns : JointColumns
    residual, weight : ndarray of float32, shape (ny, nx)
        Image without the present model; inverse variance, 0 = not used.
    promises : Promises
    whole : ndarray of float32, shape (k, ny, nx)
        Derivatives with respect to the unknowns of the whole image; k may be 0.
    tolerance : float
        See `gaiaflux.core.psf.equations.solve`.

    Returns
    -------
    JointStep
    """
    stamps, n, m = columns.stamps, len(columns.light), len(columns.free)
    sums = sum_stamps(residual, weight, stamps)
    known = np.concatenate([promises.light, promises.place, promises.place])
    pull = np.concatenate([promises.light_pull, promises.place_pull[:, 0], promises.place_pull[:, 1]])
    equations = normal_equations(weight, stamps, sums.curvature + known, _pairs(columns))
    right = sums.gradient - known * pull
    step = solve(equations, right, tolerance)
    if not len(whole):
        return JointStep(step[:n], step[n:].reshape(2, m).T, np.zeros(0), np.zeros(0), equations)
    border = np.stack([sum_stamps(image, weight, stamps).gradient for image in whole])
    answer = np.stack([_precise(equations, line) for line in border])
    flat = whole.reshape(len(whole), -1).astype(np.float64)
    weighted = flat * weight.ravel()
    corner = weighted @ flat.T + np.diag(promises.whole) - border @ answer.T
    change = weighted @ residual.ravel().astype(np.float64) - promises.whole * promises.whole_pull - border @ step
    scale = np.sqrt(np.maximum(np.diag(corner), 1e-300))
    inverse = np.linalg.pinv(corner / np.outer(scale, scale), rcond=1e-10, hermitian=True) / np.outer(scale, scale)
    amount = inverse @ change
    step = step - amount @ answer
    whole_err = np.sqrt(np.maximum(np.diag(inverse), 0.0))
    return JointStep(step[:n], step[n:].reshape(2, m).T, amount, whole_err, equations)


def _precise(equations: NormalEquations, right: np.ndarray) -> np.ndarray:
    """Solution to a millionth of its right-hand side."""
    power = np.divide(right**2, equations.diagonal, out=np.zeros(len(right)), where=equations.diagonal > 0)
    return solve(equations, right, 1e-6 * float(np.sqrt(power.sum())))


def _pairs(columns: JointColumns) -> np.ndarray:
    """Pairs of unknowns that may overlap, shape (n_pairs, 2): those of each star, and of stars whose circles meet."""
    n, m, free = len(columns.light), len(columns.free), columns.free
    of = np.full((3, n), -1)
    of[0] = np.arange(n)
    of[1, free], of[2, free] = n + np.arange(m), n + m + np.arange(m)
    a, b = close_pairs(columns.light).T
    made = [np.stack([one[a], other[b]], axis=1) for one in of for other in of]
    made += [np.stack([of[k], of[o]], axis=1) for k, o in ((0, 1), (0, 2), (1, 2))]
    pairs = np.sort(np.concatenate(made), axis=1)
    return np.ascontiguousarray(pairs[pairs[:, 0] >= 0])
