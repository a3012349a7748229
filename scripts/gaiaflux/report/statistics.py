"""What the light curves of a dataset say about each star and each frame, read in blocks of stars."""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.maths.robust import MAD_TO_SIGMA, chi2_about_mean, masked_median
from gaiaflux.io.dataset import DatasetReader
from gaiaflux.model.errors import InputError
from gaiaflux.model.flags import SPOILED, STAR_FLAGS, StarFlag
from gaiaflux.model.method import Method
from gaiaflux.model.nearest import nearest
from gaiaflux.model.units import MAG_PER_RELATIVE
from gaiaflux.series.magnitudes import catalog_magnitude

__all__ = ["CONSTANT", "LEAST_POINTS", "MethodStatistics", "measure_method"]

LEAST_POINTS = 5  # for a scatter
_BLOCK_VALUES = 1_000_000  # numbers of one array in memory at once
_FAIR_SNR = 20.0  # stars that judge a frame
_JUDGES, _LEAST_JUDGES = 2000, 10
_NEIGHBOURS = 61  # stars of like brightness that say what is usual
CONSTANT = 1.5  # largest excess of a star that counts as constant
NOISE_TERMS = ("noise_photon", "noise_background", "noise_zero_point", "noise_scintillation", "noise_total")
"""Arrays of a method's group: terms of the typical error of each star [mag]."""


@dataclass(frozen=True)
class MethodStatistics:
    """Numbers per star (n) and per frame (m) of one method of photometry.

    Attributes
    ----------
    n_points, n_good : ndarray of int, shape (n,)
        Points with a calibrated flux, and those of them that no flag spoils.
    level : ndarray, shape (n,)
        Median flux_cal [unit of the fluxes]; NaN where there is no point.
    mag : ndarray, shape (n,)
        Of the catalogue (Gaia G, TESS T); where it has none that of `level`. NaN where neither is known.
    scatter : ndarray, shape (n,)
        Robust scatter: 1.4826 times the median absolute deviation from the median, as magnitudes (1.0857 times the
        relative scatter) [mag]; NaN below 5 points.
    expected : ndarray, shape (n,)
        Median of the predicted errors [mag]; NaN where there is no point.
    chi2 : ndarray, shape (n,)
        Reduced chi-squared about the weighted mean; NaN below 5 points.
    excess : ndarray, shape (n,)
        How much more a clean star varies than others of its brightness: root of the reduced chi-squared without the
        one point that is farthest off, over the running median of stars of the same kind (blended or not) along the
        magnitude, which counts at least 1. NaN where not known.
    saturated, spoiled : ndarray of float, shape (n,)
        Part of the points with the flag ``saturated``, and with any flag of `SPOILED`.
    clean : ndarray of bool, shape (n,)
        At least half of the points are unspoiled, and at least 5; `level` to `chi2` are from these alone, else from
        all points.
    blended : ndarray of bool, shape (n,)
        More than half of the points have the flag by which the method says it (`Method.blend`): a neighbour whose
        light was taken off an aperture; a PSF is fitted to both, which fails only where they are too close.
    blend : str
        What `blended` means.
    noise : dict of str to ndarray, shape (n,)
        `NOISE_TERMS` that the dataset has [mag]; NaN where not known.
    floor : float
        Part of the noise that all stars share and no term explains [mag]; 0 where there is none, NaN where not known.
    frame_pull : ndarray, shape (m,)
        Robust scatter in each frame of (flux_cal - mean) / error of clean, single stars above a signal-to-noise ratio
        of 20: 1 = the errors hold. NaN below 10 stars.
    flag_points : dict of str to int
        Points with each flag, by its name.
    """

    n_points: np.ndarray
    n_good: np.ndarray
    level: np.ndarray
    mag: np.ndarray
    scatter: np.ndarray
    expected: np.ndarray
    chi2: np.ndarray
    excess: np.ndarray
    saturated: np.ndarray
    spoiled: np.ndarray
    clean: np.ndarray
    blended: np.ndarray
    frame_pull: np.ndarray
    flag_points: dict[str, int]
    blend: str
    noise: dict[str, np.ndarray]
    floor: float

    def most_variable(self, n: int, *, blended: bool) -> np.ndarray:
        """Rows of the `n` clean stars of largest excess, from the largest; of the blended stars or of the single."""
        rows = np.flatnonzero(np.isfinite(self.excess) & (self.blended == blended))
        return rows[np.argsort(-self.excess[rows], kind="stable")][:n]

    def brightest_constant(self, n: int) -> np.ndarray:
        """Rows of the `n` brightest clean, single stars without an excess."""
        rows = np.flatnonzero(~self.blended & (np.nan_to_num(self.excess, nan=np.inf) < CONSTANT))
        return rows[np.argsort(self.mag[rows], kind="stable")][:n]


def measure_method(source: DatasetReader, declared: Method) -> MethodStatistics:
    """Read the calibrated fluxes of a method in blocks of stars and sum them up.

    Parameters
    ----------
    source : DatasetReader
        Open dataset.
    declared : Method
        Which method.

    Returns
    -------
    MethodStatistics
        Its numbers.
    """
    method = declared.name
    grids = [source.grid(f"{method}/{name}") for name in ("flux_cal", "flux_cal_err", "flags")]
    n_stars, n_frames = grids[0].shape
    step = max(256, _BLOCK_VALUES // max(n_frames, 1) // 256 * 256)
    blend_flag, blend = _blend_of(declared)
    parts, pulls = [], []
    counts = np.zeros(len(STAR_FLAGS), dtype=np.int64)
    for first in range(0, n_stars, step):
        flux, error, flags = (grid[first : first + step] for grid in grids)
        counts += [int(((flags & flag.bit) != 0).sum()) for flag in STAR_FLAGS]
        part, pull = _measure_block(flux, error, flags, blend_flag)
        parts.append(part)
        pulls.append(pull)
    names = ("n_points", "n_good", "level", "scatter", "expected", "chi2", "trimmed", "saturated", "spoiled")
    found = {name: np.concatenate([np.zeros(0), *(part[name] for part in parts)]) for name in names}
    kinds = {
        name: np.concatenate([np.zeros(0, dtype=bool), *(part[name] for part in parts)])
        for name in ("clean", "blended")
    }
    zero_point = float(source.attributes(method).get("zero_point_mag", np.nan))
    own = zero_point - 2.5 * np.log10(np.where(found["level"] > 0, found["level"], np.nan))
    stated = catalog_magnitude(source).values
    bright = own if np.isfinite(own).any() else stated
    trimmed, excess = found.pop("trimmed"), np.full(n_stars, np.nan)
    for kind in (kinds["clean"] & kinds["blended"], kinds["clean"] & ~kinds["blended"]):
        rows = np.flatnonzero(kind & np.isfinite(bright) & np.isfinite(trimmed))
        rows = rows[np.argsort(bright[rows], kind="stable")]
        excess[rows] = _relative_to_usual(np.sqrt(trimmed[rows]))
    return MethodStatistics(
        mag=np.where(np.isfinite(stated), stated, own),
        excess=excess,
        frame_pull=_frame_scatter(np.concatenate([np.zeros((0, n_frames), dtype="f4"), *pulls])),
        flag_points={flag.name: int(count) for flag, count in zip(STAR_FLAGS, counts, strict=True)},
        blend=blend,
        noise={name: source.array(f"{method}/{name}") for name in NOISE_TERMS if f"{method}/{name}" in source},
        floor=float(source.attributes(method).get("noise_floor_mag", np.nan)),
        **found,
        **kinds,
    )


def _blend_of(method: Method) -> tuple[int, str]:
    """Bit of the star flag by which a method says that a star is blended, and what it means."""
    name, meaning = method.blend
    bits = {flag.name: flag.bit for flag in STAR_FLAGS}
    if name not in bits:
        raise InputError(
            f"the method of photometry '{method.name}' names blended stars by '{name}', which is no star flag; "
            f"{nearest(name, bits, 'flags')}"
        )
    return bits[name], meaning


def _measure_block(
    flux: np.ndarray, error: np.ndarray, flags: np.ndarray, blend_flag: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Numbers of some stars, and the pulls of those that judge the frames."""
    known = np.isfinite(flux) & (error > 0)
    good = known & ((flags & SPOILED) == 0)
    n_points, n_good = known.sum(axis=1), good.sum(axis=1)
    clean = (n_good >= LEAST_POINTS) & (2 * n_good >= n_points)
    use = np.where(clean[:, None], good, known)
    n = use.sum(axis=1)
    level = masked_median(flux, use, 1)
    scale = np.where(level > 0, level, np.nan)
    deviation = masked_median(np.abs(np.where(use, flux - level[:, None], 0)), use, 1)
    typical = masked_median(error, use, 1)
    error = np.where(use, error, np.inf).astype(float)
    flux = np.where(use, flux, 0.0)
    squares, pull = chi2_about_mean(flux, error)
    # The point that is farthest off counts in neither the mean nor the sum.
    farthest = np.abs(np.where(use, flux - level[:, None], 0.0) / error).argmax(axis=1)
    rest = error.copy()
    rest[np.arange(len(rest)), farthest] = np.inf
    freedom = np.maximum(n, LEAST_POINTS)
    chi2, trimmed = squares / (freedom - 1), chi2_about_mean(flux, rest)[0] / (freedom - 2)
    enough = n >= LEAST_POINTS
    portion = np.maximum(n_points, 1)
    blended = 2 * (known & ((flags & blend_flag) != 0)).sum(axis=1) > n_points
    fair = clean & ~blended & (level > _FAIR_SNR * typical)
    part = {
        "n_points": n_points,
        "n_good": n_good,
        "level": level,
        "scatter": np.where(enough, MAD_TO_SIGMA * MAG_PER_RELATIVE * deviation / scale, np.nan),
        "expected": typical / scale * MAG_PER_RELATIVE,
        "chi2": np.where(enough, chi2, np.nan),
        "trimmed": np.where(enough, trimmed, np.nan),
        "saturated": (known & ((flags & StarFlag.SATURATED) != 0)).sum(axis=1) / portion,
        "spoiled": (n_points - n_good) / portion,
        "clean": clean,
        "blended": blended,
    }
    return part, np.where(use, pull, np.nan)[fair].astype("f4")


def _frame_scatter(pulls: np.ndarray) -> np.ndarray:
    """Robust scatter of each column; the brightest stars of a big field are more than enough."""
    pulls = pulls[:: max(1, len(pulls) // _JUDGES)]
    known = np.isfinite(pulls)
    if not len(pulls):
        return np.full(pulls.shape[1], np.nan)
    deviation = MAD_TO_SIGMA * masked_median(np.abs(np.where(known, pulls, 0.0)), known, 0)
    return np.where(known.sum(axis=0) >= _LEAST_JUDGES, deviation, np.nan)


def _relative_to_usual(chi: np.ndarray) -> np.ndarray:
    """Values over their running median, which counts at least 1: errors that are too large make no star variable."""
    if chi.size == 0:
        return chi
    width = min(_NEIGHBOURS, chi.size)
    usual = np.median(np.lib.stride_tricks.sliding_window_view(chi, width), axis=1)
    place = np.clip(np.arange(chi.size) - width // 2, 0, usual.size - 1)
    return chi / np.maximum(usual[place], 1.0)
