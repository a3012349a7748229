"""How good PSF photometry is, against the truth of simulated frames: bias, scatter, error bars, completeness."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from benchmarks.accuracy import BINS, _rms, _score
from gaiaflux.core.sky.star_positions import places_on_image
from gaiaflux.model.catalog import StarCatalog
from gaiaflux.model.flags import SPOILED
from gaiaflux.model.wcs import TanSip
from gaiaflux.sim.truth import FrameTruth

__all__ = ["BinScore", "FieldScore", "FrameFluxes", "fluxes", "perfect_fluxes", "score_frames"]

MMAG = 2500.0 / np.log(10.0)
NEIGHBOUR_SNR, NEIGHBOUR_FWHM = 5.0, 2.0
ALONE_FWHM = 3.0
ZERO_POINT_SNR = 20.0
MODEL_ERROR = 0.001  # keeps a few very bright stars from making up a zero point alone
FAR_SIGMA = 8.0
FEWEST = 10
ALONE, NEAR, FREE = "isolated", "neighbour < 2 FWHM", "no neighbour < 2 FWHM"
CENTRE, CORNERS = ", centre", ", corners"


@dataclass(frozen=True)
class FrameFluxes:
    """Photometry of one frame; arrays of shape (n_stars,) in the order of the star catalogue.

    Attributes
    ----------
    truth : FrameTruth
        What the frame holds.
    source_id : ndarray of int64
        Gaia identifier; -1 for a star that is not in Gaia.
    x, y : ndarray
        Where the star was taken to be in this frame [pixel]; outside of the image or NaN: not in the frame.
    flux, flux_err : ndarray
        In any unit; NaN where not measured.
    flags : ndarray
        Bits of `StarFlag`.
    exptime_s : float
        For the scale of the fluxes, if they are in electron / s.
    """

    truth: FrameTruth
    source_id: np.ndarray
    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    flux_err: np.ndarray
    flags: np.ndarray
    exptime_s: float = 1.0


@dataclass(frozen=True)
class BinScore:
    """Stars of one kind in one bin of true signal-to-noise ratio, pooled over the frames.

    The pairs hold the figure after one zero point per frame, and after a quadratic one over the field.

    Attributes
    ----------
    group : str
        Kind of star.
    low, high : float
        Limits of the true S/N.
    n : int
        Stars scored.
    unusable : float
        Part of the true stars that are in the catalogue and carry a `SPOILED` flag, or no flux.
    bias : tuple of float
        Mean excess of the flux within five robust sigma of its median [mmag]; positive: too bright.
    rms : tuple of float
        Rms over the floor: the error of an optimal fit of the star alone with the true PSF.
    pull : tuple of float
        Rms of the residual over the stated error.
    far : tuple of float
        Part of the stars with a residual beyond eight times the floor.
    """

    group: str
    low: float
    high: float
    n: int
    unusable: float
    bias: tuple[float, float]
    rms: tuple[float, float]
    pull: tuple[float, float]
    far: tuple[float, float]

    @property
    def title(self) -> str:
        """Group and bin."""
        text = f"{self.low:g}-{self.high:g}" if np.isfinite(self.high) else f">{self.low:g}"
        return f"{self.group}, S/N {text} (n = {self.n})"


@dataclass(frozen=True)
class FieldScore:
    """All figures of the frames of a field.

    Attributes
    ----------
    bins : list of BinScore
        Those with at least ten stars.
    complete5, complete20, false : float
        Part of the true stars above S/N 5 and 20 that the star catalogue has, and part of its rows that are no star of
        S/N > 1; means over the frames.
    scale : float
        Median zero point of the frames: measured over true flux.
    """

    bins: list[BinScore]
    complete5: float
    complete20: float
    false: float
    scale: float


def score_frames(frames: Sequence[FrameFluxes], *, crowded: bool) -> FieldScore:
    """Score the frames of a field.

    Parameters
    ----------
    frames : sequence of FrameFluxes
    crowded : bool
        Whether there are no stars that are quite alone. The zero point rests on stars without a neighbour of S/N > 5
        within 2 FWHM; in a field that is not crowded on those without any star within 3 FWHM.

    Returns
    -------
    FieldScore
    """
    groups: dict[str, list[np.ndarray]] = {}
    scales, found = [], []
    for frame in frames:
        known, rows = _linked(frame.truth.stars, frame.source_id)
        kinds = _kinds(frame.truth, known, crowded=crowded)
        usable = (frame.flags[rows] & SPOILED) == 0
        usable &= np.isfinite(frame.flux[rows]) & np.isfinite(frame.flux_err[rows]) & (frame.flux_err[rows] > 0)
        flux, error = (np.where(usable, a[rows], np.nan).astype(float) for a in (frame.flux, frame.flux_err))
        base = usable & kinds[FREE if crowded else ALONE] & (known["snr"] > ZERO_POINT_SNR)
        columns = [known["snr"], usable]
        zeros = _zero_points(flux / known["flux"], known, base, frame.truth.wcs.shape)
        for zero, change in zeros:
            residual = flux / zero - known["flux"]
            columns += [
                residual / known["flux"],
                residual / known["sigma"] / change,
                residual / (error / zero) / change,
            ]
        table = np.stack(columns, axis=1)
        for kind, member in kinds.items():
            groups.setdefault(kind, []).append(table[member])
        scales.append(frame.exptime_s * zeros[0][0][0])
        ny, nx = frame.truth.wcs.shape
        with np.errstate(invalid="ignore"):
            seen = (frame.x >= -0.5) & (frame.x < nx - 0.5) & (frame.y >= -0.5) & (frame.y < ny - 0.5)
        found.append(_score(frame.x[seen], frame.y[seen], frame.truth.stars))
    bins = [
        score
        for kind, tables in groups.items()
        for low, high in BINS
        if (score := _score_bin(kind, low, high, np.concatenate(tables))) is not None
    ]
    return FieldScore(bins, *(float(value) for value in np.mean(found, axis=0)), float(np.median(scales)))


def fluxes(
    truth: FrameTruth, catalog: StarCatalog, arrays: Mapping[str, np.ndarray], exptime_s: float = 1.0
) -> FrameFluxes:
    """What is scored of a frame.

    Parameters
    ----------
    truth : FrameTruth
    catalog : StarCatalog
    arrays : mapping of str to ndarray, shape (n_stars,)
        x, y, flux, flux_err and flags of the stars of the catalogue.
    exptime_s : float
        Exposure time where fluxes are in electron / s.

    Returns
    -------
    FrameFluxes
    """
    columns = (arrays[key] for key in ("x", "y", "flux", "flux_err", "flags"))
    return FrameFluxes(truth, catalog.source_id, *columns, exptime_s)


def perfect_fluxes(truth: FrameTruth, catalog: StarCatalog, wcs: TanSip) -> FrameFluxes:
    """True fluxes with the noise of the floor, at the places of the catalogue: what a check of the scores is made of.

    Parameters
    ----------
    truth : FrameTruth
    catalog : StarCatalog
    wcs : TanSip
        Plate solution of the frame.

    Returns
    -------
    FrameFluxes
    """
    x, y = places_on_image(catalog, wcs, truth.when.mjd_utc)
    known, rows = _linked(truth.stars, catalog.source_id)
    flux, error = np.full((2, len(catalog)), np.nan)
    noise = np.random.default_rng(0).standard_normal(len(known))
    flux[rows], error[rows] = known["flux"] + known["sigma"] * noise, known["sigma"]
    return FrameFluxes(truth, catalog.source_id, x, y, flux, error, np.zeros(len(catalog), np.uint32))


def _linked(truth: np.ndarray, source_id: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True stars that are in the catalogue, and their rows in it."""
    known = truth[truth["source_id"] > 0]
    order = np.argsort(source_id, kind="stable")
    place = np.minimum(np.searchsorted(source_id, known["source_id"], sorter=order), len(order) - 1)
    rows = order[place]
    same = source_id[rows] == known["source_id"]
    return known[same], rows[same]


def _kinds(truth: FrameTruth, known: np.ndarray, *, crowded: bool) -> dict[str, np.ndarray]:
    """Kinds of stars, and which stars belong to each."""
    nearest = {}
    for snr in (0.0, NEIGHBOUR_SNR):
        seen = truth.stars[truth.stars["snr"] > snr]
        # The star itself is not among the seen where it is too faint.
        distance, index = cKDTree(np.c_[seen["x"], seen["y"]]).query(np.c_[known["x"], known["y"]], k=2)
        itself = seen["star"][index[:, 0]] == known["star"]
        nearest[snr] = np.where(itself, distance[:, 1], distance[:, 0]) / known["fwhm"]
    near = nearest[NEIGHBOUR_SNR] < NEIGHBOUR_FWHM
    alone = nearest[0.0] > ALONE_FWHM
    ny, nx = truth.wcs.shape
    place = np.maximum(np.abs(2.0 * known["x"] / (nx - 1) - 1.0), np.abs(2.0 * known["y"] / (ny - 1) - 1.0))
    centre = place < np.sqrt(0.5)
    name, quiet = (FREE, ~near) if crowded else (ALONE, alone)
    kinds = {name: quiet, name + CENTRE: quiet & centre, name + CORNERS: quiet & ~centre, NEAR: near}
    return kinds if crowded else {**kinds, FREE: ~near}


def _zero_points(
    ratio: np.ndarray, known: np.ndarray, base: np.ndarray, shape: tuple[int, int]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Zero point of each star, and by how much it changes the error of a residual.

    One number, and a quadratic over the field, both weighted and clipped over the base stars. The zero point follows
    the few stars on which it rests, whose residuals are therefore smaller than their errors: by the second array.
    """
    weight = 1.0 / np.hypot(1.0 / known["snr"], MODEL_ERROR)
    u, v = (2.0 * known[axis] / (n - 1) - 1.0 for axis, n in (("x", shape[1]), ("y", shape[0])))
    found = []
    for design in (np.ones((len(u), 1)), np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1)):
        keep = base.copy()
        for _ in range(5):
            solve = np.linalg.pinv(design[keep] * weight[keep, None]) * weight[keep]
            zero = design @ (solve @ ratio[keep])
            pull = (ratio - zero) * weight
            keep = base & (np.abs(pull) < 4.0 * 1.4826 * np.median(np.abs(pull[base])))
        solve = np.linalg.pinv(design[keep] * weight[keep, None]) * weight[keep]
        zero, variance = design @ (solve @ ratio[keep]), known["snr"] ** -2.0
        hat = design @ solve
        spread = variance + hat**2 @ variance[keep]
        spread[keep] -= 2.0 * hat[keep, np.arange(keep.sum())] * variance[keep]
        found.append((zero, np.sqrt(spread / variance)))
    return found


def _score_bin(kind: str, low: float, high: float, table: np.ndarray) -> BinScore | None:
    """Figures of one bin; None where it has too few stars."""
    inside = table[(table[:, 0] > low) & (table[:, 0] <= high)]
    good = inside[inside[:, 1] > 0]
    if len(good) < FEWEST:
        return None
    excess, by_floor, by_error = (good[:, [2 + k, 5 + k]].T for k in range(3))
    return BinScore(
        *(kind, low, high, len(good), 1.0 - len(good) / len(inside)),
        tuple(MMAG * _mean(values) for values in excess),
        tuple(_rms(values) for values in by_floor),
        tuple(_rms(values) for values in by_error),
        tuple(float(np.mean(np.abs(values) > FAR_SIGMA)) for values in by_floor),
    )


def _mean(values: np.ndarray) -> float:
    """Mean of what lies within five robust sigma of the median."""
    centre = np.median(values)
    near = np.abs(values - centre) < 5.0 * 1.4826 * np.median(np.abs(values - centre))
    return float(np.mean(values[near]))
