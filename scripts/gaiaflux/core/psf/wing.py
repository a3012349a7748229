"""Wings of the stars beyond what is fitted of them: the aureole, measured around all bright stars of an image together.

Turbulence, dust and optics spread a few per cent of the light over hundreds of pixels, about as r^-2 (King 1971, PASP
83, 199; Racine 1996, PASP 108, 699), where a Moffat function has fallen to nothing.
"""

from typing import NamedTuple

import numpy as np

from gaiaflux.core.maths.robust import MAD_TO_SIGMA

__all__ = ["NO_WING", "Sources", "Wing", "fit_wing"]

STEP = 1.5  # ratio of the radii of two nodes
MOST_STARS = 100
LEAST_STARS = 5
LEAST_SNR = 200.0
MASKED_SNR = 10.0
SKY_ORDER = 3
TILES = 4  # along each axis: by leaving each out the errors are told
CLIP = 4.0
ROUNDS = 3
SURE = 4.0  # times its error that the wing's light must be
CERTAIN = 2.0  # times its error that a node must be
STOPPED = 4.0  # times its error that the next node must be below the last certain one where the wing ends
LEAST_LIGHT, MOST_LIGHT = 0.003, 0.2  # over that of core and residual
FAINTEST = 1e-3  # of the sky's noise, below which no star's wing counts


class Wing(NamedTuple):
    """Light around a star at the distance r, over that of its core and residual: ``strength`` r^-2 [1/pixel^2].

    Attributes
    ----------
    radius : ndarray of float64, shape (n,)
        Increasing [pixel]; nothing within the first and beyond the last.
    strength : ndarray of float64, shape (n,)
        At these; between them linear in the logarithm of the radius.
    """

    radius: np.ndarray
    strength: np.ndarray

    @property
    def exists(self) -> bool:
        """Whether there is any."""
        return len(self.radius) > 0

    @property
    def light(self) -> float:
        """All its light, over that of core and residual."""
        if not self.exists:
            return 0.0
        return float(2.0 * np.pi * np.trapezoid(self.strength, np.log(self.radius)))

    def within(self, radius: float) -> float:
        """Its light within a radius [pixel], over that of core and residual."""
        if not self.exists:
            return 0.0
        r = np.clip(np.append(self.radius, radius), self.radius[0], max(radius, self.radius[0]))
        r = np.sort(np.minimum(r, self.radius[-1]))
        strength = np.interp(np.log(r), np.log(self.radius), self.strength)
        return float(2.0 * np.pi * np.trapezoid(strength, np.log(r)))

    def table(self) -> np.ndarray:
        """Brightness at whole radii from 0 to beyond its end [1/pixel^2]; empty where there is none."""
        if not self.exists:
            return np.zeros(0)
        return self.at(np.arange(np.ceil(self.radius[-1]) + 2.0))

    def at(self, radius: np.ndarray) -> np.ndarray:
        """Brightness at distances [1/pixel^2]; of the shape of `radius` [pixel]."""
        if not self.exists:
            return np.zeros_like(radius, dtype=np.float64)
        r = np.maximum(radius, self.radius[0])
        value = np.interp(np.log(r), np.log(self.radius), self.strength, right=0.0) / r**2
        return np.where(radius < self.radius[0], 0.0, value)


NO_WING = Wing(np.zeros(0), np.zeros(0))


class Sources(NamedTuple):
    """Stars of an image; arrays of shape (n,).

    Attributes
    ----------
    x, y : ndarray of float64
        Positions [pixel].
    flux, snr : ndarray of float64
        Light of their cores, and over its error.
    """

    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    snr: np.ndarray


class Blocks(NamedTuple):
    """Means of an image over small squares; arrays of shape (n,)."""

    x: np.ndarray
    y: np.ndarray
    value: np.ndarray
    weight: np.ndarray


def fit_wing(image: np.ndarray, weight: np.ndarray, stars: Sources, start: float) -> Wing:
    """Measure the wing.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Without the stars' cores, but with its sky.
    weight : ndarray of float32, shape (ny, nx)
        Inverse variance; 0 = not used.
    stars : Sources
        All of them.
    start : float
        Where the wing begins: the radius to which stars are fitted [pixel].

    Returns
    -------
    Wing
        `NO_WING` where its light is not four times its error, or less than 0.3 or more than 20 % of the core's.

    Notes
    -----
    Nodes of the wing and a cubic surface for the sky are fitted together to the image in small blocks, all stars at
    once: their wings overlap, and a sky measured beforehand would hold a part of them. Errors are those of a
    jackknife over 16 parts of the image, which hold different stars and different sky.
    """
    x, y, flux, snr = stars
    rows = np.flatnonzero((snr > LEAST_SNR) & (flux > 0))
    rows = rows[np.argsort(-flux[rows], kind="stable")[:MOST_STARS]]
    usable = weight > 0
    if len(rows) < LEAST_STARS or not usable.any():
        return NO_WING
    ny, nx = image.shape
    # As far as the image tells it from a sky that changes over the field.
    end = 0.5 * min(ny, nx)
    if end < start * STEP**3:
        return NO_WING
    log_radius = np.arange(np.log(start), np.log(end), np.log(STEP))
    bright = snr > MASKED_SNR
    blocks = _blocks(image, weight, (x[bright], y[bright]), start)
    design = _design(blocks, x[rows], y[rows], flux[rows], log_radius)
    tile = _tile(blocks, image.shape)
    strength, others = _solve(design, blocks, tile, len(log_radius))
    n = len(others)
    error = np.sqrt((n - 1.0) / n * ((others - others.mean(axis=0)) ** 2).sum(axis=0))
    ends = _ends(strength, error)
    # No star's wing counts beyond.
    noise, last = 1.0 / np.sqrt(float(np.median(weight[usable]))), strength[max(ends[0] - 1, 0)]
    farthest = min(end, float(np.sqrt(flux[rows[0]] * max(float(last), 0.0) / (FAINTEST * noise))))
    wing = _profile(np.exp(log_radius), strength, ends, farthest)
    if not wing.exists:
        return NO_WING
    # What it is carried on to is as certain as what is measured.
    stops = ends[0], False
    measured = _profile(np.exp(log_radius), strength, stops, farthest).light
    lights = np.array([_profile(np.exp(log_radius), one, stops, farthest).light for one in others])
    light_error = float(np.sqrt((n - 1.0) / n * ((lights - lights.mean()) ** 2).sum()))
    sure = measured > SURE * light_error
    return wing if sure and LEAST_LIGHT < wing.light < MOST_LIGHT else NO_WING


def _ends(strength: np.ndarray, error: np.ndarray) -> tuple[int, bool]:
    """How many nodes there are up to the last certain one, and whether the wing may go on like that."""
    certain = np.flatnonzero(strength > CERTAIN * error)
    if len(certain) == 0:
        return 0, False
    # One far out by itself is chance.
    gaps = np.flatnonzero(np.diff(certain) > 1)
    n = int(certain[gaps[0]] if len(gaps) else certain[-1]) + 1
    return n, n == len(strength) or bool(strength[n] + STOPPED * error[n] > strength[n - 1])


def _profile(radius: np.ndarray, strength: np.ndarray, ends: tuple[int, bool], farthest: float) -> Wing:
    """Wing of some nodes; then it falls off, or goes on as r^-2 (King 1971) where nothing says that it does not."""
    n, goes_on = ends
    if n < 2:
        return NO_WING
    end = STEP * radius[n - 1]
    if not goes_on or farthest < end:
        return Wing(np.append(radius[:n], end), np.append(strength[:n], 0.0))
    return Wing(np.append(radius[:n], farthest), np.append(strength[:n], strength[n - 1]))


def _blocks(image: np.ndarray, weight: np.ndarray, stars: tuple[np.ndarray, np.ndarray], start: float) -> Blocks:
    """Squares of the image beyond the circles of the stars."""
    side = max(2, int(start / 3.0))
    ny, nx = (n // side * side for n in image.shape)
    rows, columns = ny // side, nx // side

    def folded(values: np.ndarray) -> np.ndarray:
        return np.asarray(values[:ny, :nx].reshape(rows, side, columns, side).sum(axis=(1, 3), dtype=np.float64))

    used = (weight > 0).astype(np.float32)
    count = folded(used)
    variance = folded(np.divide(1.0, weight, out=np.zeros_like(weight), where=weight > 0))
    total = folded(np.where(weight > 0, image, np.float32(0.0)))
    near = np.zeros((rows, columns), bool)
    reach = start + side
    for sx, sy in zip(*stars, strict=True):
        first = [max(int((centre - reach) // side), 0) for centre in (sy, sx)]
        last = [int((centre + reach) // side) + 1 for centre in (sy, sx)]
        j, i = np.mgrid[first[0] : min(last[0], rows), first[1] : min(last[1], columns)]
        middle_y, middle_x = (j + 0.5) * side - 0.5, (i + 0.5) * side - 0.5
        near[j, i] |= np.hypot(middle_x - sx, middle_y - sy) < reach
    good = (count > 0.5 * side**2) & ~near
    j, i = np.nonzero(good)
    value = total[good] / count[good]
    return Blocks((i + 0.5) * side - 0.5, (j + 0.5) * side - 0.5, value, count[good] ** 2 / variance[good])


def _design(blocks: Blocks, x: np.ndarray, y: np.ndarray, flux: np.ndarray, log_radius: np.ndarray) -> np.ndarray:
    """Light of all stars' nodes in each block, and the sky's terms; shape (n_blocks, n_nodes + n_terms)."""
    n_nodes, step = len(log_radius), log_radius[1] - log_radius[0]
    nodes = np.zeros((n_nodes + 2, len(blocks.x)))
    at = np.arange(len(blocks.x))
    for sx, sy, light in zip(x, y, flux, strict=True):
        r2 = (blocks.x - sx) ** 2 + (blocks.y - sy) ** 2
        place = (0.5 * np.log(r2) - log_radius[0]) / step
        # Nothing within the first node; a place for what lies beyond the last.
        inner = np.clip(np.floor(place).astype(np.int64), -1, n_nodes - 1)
        share = place - inner
        value = np.where((place < 0) | (share > 1.0), 0.0, light / r2)
        nodes[inner, at] += value * (1.0 - share)
        nodes[inner + 1, at] += value * share
    u, v = (2.0 * (values - values.mean()) / max(float(np.ptp(values)), 1.0) for values in (blocks.x, blocks.y))
    sky = [u**i * v**j for i in range(SKY_ORDER + 1) for j in range(SKY_ORDER + 1 - i)]
    return np.stack([*nodes[:n_nodes], *sky], axis=1)


def _tile(blocks: Blocks, shape: tuple[int, int]) -> np.ndarray:
    """Part of the image that each block is in."""
    row, column = (
        (values * TILES / side).astype(np.int64) for values, side in zip((blocks.y, blocks.x), shape, strict=True)
    )
    return row * TILES + column


def _solve(design: np.ndarray, blocks: Blocks, tile: np.ndarray, n_nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Strengths from all blocks, and without each part of the image, shape (n_parts, n_nodes)."""
    scale = np.maximum(np.abs(design).max(axis=0), 1e-300)
    columns = design / scale
    use = np.ones(len(tile), bool)
    for _ in range(ROUNDS):
        weight = blocks.weight * use
        parts = [np.flatnonzero((tile == t) & use) for t in np.unique(tile[use])]
        squares = [(columns[p] * weight[p, None]).T @ columns[p] for p in parts]
        sides = [columns[p].T @ (weight[p] * blocks.value[p]) for p in parts]
        square, side = np.sum(squares, axis=0), np.sum(sides, axis=0)
        best = np.linalg.lstsq(square, side, rcond=1e-12)[0]
        off = (blocks.value - columns @ best) * np.sqrt(blocks.weight)
        use = np.abs(off) < CLIP * MAD_TO_SIGMA * float(np.median(np.abs(off)))
    others = [
        np.linalg.lstsq(square - own, side - right, rcond=1e-12)[0] for own, right in zip(squares, sides, strict=True)
    ]
    return (best / scale)[:n_nodes], (np.array(others) / scale)[:, :n_nodes]
