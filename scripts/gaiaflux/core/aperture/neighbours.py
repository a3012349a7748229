"""Light of neighbouring stars in an aperture."""

import numpy as np

from gaiaflux.core.kernels.compile import kernel
from gaiaflux.core.psf.moffat import MoffatProfile

__all__ = ["light_at_distance", "neighbour_light"]


def light_at_distance(distance: np.ndarray, radius: float, profile: MoffatProfile) -> np.ndarray:
    """Fraction of a star's light in a circle whose centre is some distance away.

    Parameters
    ----------
    distance : ndarray, shape (n,)
        Star to circle's centre [pixel].
    radius : float
        Of the circle [pixel].
    profile : MoffatProfile
        Light profile.

    Returns
    -------
    ndarray, shape (n,)
        To about 1e-3 of its value.

    Notes
    -----
    Rings around the star: ring s has the fraction arccos((s^2 + d^2 - r^2) / (2 s d)) / pi of its length in the circle.
    The integral goes over the angle t with s = (near + far) / 2 - (far - near) / 2 cos(t), for a smooth integrand.
    """
    d = np.maximum(np.asarray(distance, np.float64), 1e-9)[:, None]
    near, far = np.abs(d - radius), d + radius
    t = (np.arange(32) + 0.5) * np.pi / 32
    s = 0.5 * (near + far) - 0.5 * (far - near) * np.cos(t)
    cosine = np.clip((s**2 + d**2 - radius**2) / np.maximum(2.0 * s * d, 1e-300), -1.0, 1.0)
    ring = profile.surface_brightness(s) * 2.0 * s * np.arccos(cosine)
    partly = np.sum(ring * 0.5 * (far - near) * np.sin(t), axis=1) * np.pi / 32
    # Rings that lie wholly in the circle, where the star itself does.
    return partly + np.where(d[:, 0] < radius, profile.growth(near[:, 0]), 0.0)


def neighbour_light(
    x: np.ndarray,
    y: np.ndarray,
    flux: np.ndarray,
    radii: np.ndarray,
    profile: MoffatProfile,
    reach: float,
    wanted: np.ndarray | None = None,
) -> np.ndarray:
    """Light of the other stars in each star's apertures.

    Parameters
    ----------
    x, y : ndarray, shape (n_stars,)
        Positions [pixel], also of stars off the image; NaN = left out.
    flux : ndarray, shape (n_stars,)
        Estimated total flux; NaN or negative counts as none.
    radii : ndarray, shape (n_radii,)
        [pixel].
    profile : MoffatProfile
        Light profile.
    reach : float
        Neighbours farther away are left out [pixel].
    wanted : ndarray of int, shape (n_wanted,), optional
        Rows of the stars to do it for; all (n_wanted = n_stars) if not given.

    Returns
    -------
    ndarray of float64, shape (n_wanted, n_radii)
        Unit of `flux`; NaN for a star without a position.
    """
    x, y, flux = (np.require(values, np.float64, ["C", "W"]) for values in (x, y, flux))
    radii = np.asarray(radii, np.float64)
    wanted = np.arange(len(x)) if wanted is None else np.asarray(wanted, np.int64)
    light = np.full((len(wanted), len(radii)), np.nan)
    known = np.isfinite(x) & np.isfinite(y)
    rows = np.flatnonzero(known & (flux > 0))
    targets = np.flatnonzero(known[wanted])
    if len(targets) == 0:
        return light
    of_targets = np.zeros((len(targets), len(radii)))
    if len(rows):
        distance = np.linspace(0.0, reach, 97)
        table = np.stack([light_at_distance(distance, radius, profile) for radius in radii], axis=1)
        # Cells as wide as the reach: neighbours are in the same cell or the eight around it.
        column, row = (np.floor((p - p.min()) / reach).astype(np.int64) + 1 for p in (x[known], y[known]))
        n_columns = int(column.max()) + 2
        cell = np.zeros(len(x), np.int64)
        cell[known] = row * n_columns + column
        order = rows[np.argsort(cell[rows], kind="stable")]
        start = np.searchsorted(cell[order], np.arange((int(row.max()) + 2) * n_columns + 1))
        stars = np.ascontiguousarray(wanted[targets])
        _neighbour_light(x, y, flux, cell, order, start, stars, n_columns, reach, np.array(table), of_targets)
    light[targets] = of_targets
    return light


@kernel(
    "void(float64[::1], float64[::1], float64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64, float64, "
    "float64[:, ::1], float64[:, ::1])"
)
def _neighbour_light(
    x: np.ndarray,
    y: np.ndarray,
    flux: np.ndarray,
    cell: np.ndarray,
    order: np.ndarray,
    start: np.ndarray,
    stars: np.ndarray,
    n_columns: int,
    reach: float,
    table: np.ndarray,
    light: np.ndarray,
) -> None:
    n_steps = table.shape[0] - 1
    for t in range(len(stars)):
        s = stars[t]
        for row in range(-1, 2):
            first = cell[s] + row * n_columns - 1
            for o in order[start[first] : start[first + 3]]:
                d2 = (x[o] - x[s]) ** 2 + (y[o] - y[s]) ** 2
                if o == s or d2 >= reach * reach:
                    continue
                place = np.sqrt(d2) / reach * n_steps
                k = int(place)
                part = place - k
                for r in range(table.shape[1]):
                    light[t, r] += flux[o] * ((1.0 - part) * table[k, r] + part * table[k + 1, r])
