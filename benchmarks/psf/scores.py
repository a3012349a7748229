"""How good PSF photometry is, against the truth of simulated frames: bias, scatter, error bars, completeness.

``python -m benchmarks.psf.scores --work DIR --sparse 3 --crowded 1`` scores a few frames; what comes before the
photometry is kept in a folder, so that a second call takes little more than the photometry itself.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # before numpy is loaded
    os.environ.update(
        dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"], "1")
    )

import numpy as np
from scipy.spatial import cKDTree

from benchmarks.accuracy import BINS, _rms, _score
from benchmarks.table import Figure, print_table
from gaiaflux.core.sky.star_positions import places_on_image
from gaiaflux.model.catalog import StarCatalog
from gaiaflux.model.flags import SPOILED
from gaiaflux.model.wcs import TanSip
from gaiaflux.sim.truth import FrameTruth

__all__ = ["BinScore", "FieldScore", "FrameFluxes", "figures", "fluxes", "print_bins", "score_frames"]

MMAG = 2500.0 / np.log(10.0)
NEIGHBOUR_SNR, NEIGHBOUR_FWHM = 5.0, 2.0
ALONE_FWHM = 3.0
ZERO_POINT_SNR = 20.0
MODEL_ERROR = 0.001  # keeps a few very bright stars from making up a zero point alone
FAR_SIGMA = 8.0
FEWEST = 10
ALONE, NEAR, FREE = "isolated", "neighbour < 2 FWHM", "no neighbour < 2 FWHM"
CENTRE, CORNERS = ", centre", ", corners"

# Of a field and group: (S/N of the bin, largest |bias| in mmag, largest rms / floor, pull from, to); None: no limit.
BUDGETS = {
    "crowded": {
        NEAR: {20: (6.0, 1.55, None, 1.45), 100: (3.0, 1.7, None, None)},
        FREE: {20: (None, 1.12, None, None), 300: (None, 1.25, None, None)},
    },
    "sparse": {
        ALONE + place: {
            low: (None, {20: 1.05, 300: 1.2}.get(low), 0.95, 1.10) for low in (10, 20, 50, 100, 300)
        }
        for place in ("", CENTRE, CORNERS)
    },
}  # fmt: skip


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


def figures(name: str, score: FieldScore, peer: FieldScore | None = None) -> list[Figure]:
    """Table rows with the budgets, of the kinds of stars that have one.

    Parameters
    ----------
    name : str
        ``sparse`` or ``crowded``.
    score : FieldScore
    peer : FieldScore, optional
        The peer's; its bins are put beside ours.

    Returns
    -------
    list of Figure
    """
    limits = {"crowded": [{"at_least": 0.85}, {}, {"at_most": 0.02}]}.get(name, [{}, {}, {}])
    rows = [
        Figure(f"{name} star catalogue: completeness at S/N > 5", score.complete5, **limits[0]),
        Figure("  completeness at S/N > 20", score.complete20, **limits[1]),
        Figure("  false stars", score.false, **limits[2]),
        Figure(f"{name} PSF photometry: measured over true light", score.scale, digits=4),
    ]
    theirs = {(one.group, one.low): one for one in peer.bins} if peer else {}
    for one in (one for one in score.bins if one.group in BUDGETS[name]):
        rows += _bin_figures(name, one, theirs.get((one.group, one.low))).values()
    return rows


def _bin_figures(name: str, one: BinScore, peer: BinScore | None = None) -> dict[str, Figure]:
    bias, rms, *pull = BUDGETS[name].get(one.group, {}).get(int(one.low), (None,) * 4)
    theirs = (peer.bias[0], peer.rms[0], peer.pull[0], peer.far[0], peer.rms[1]) if peer else (None,) * 5
    return {
        "bias": Figure(f"{name}, {one.title}: bias [mmag]", one.bias[0], theirs[0], within=bias, digits=2),
        "rms": Figure("  rms/floor", one.rms[0], theirs[1], at_most=rms, digits=2),
        "pull": Figure("  pull", one.pull[0], theirs[2], at_least=pull[0], at_most=pull[1], digits=2),
        "far": Figure("  part beyond 8 x floor", one.far[0], theirs[3]),
        "quadratic": Figure("  quadratic zero point: rms/floor", one.rms[1], theirs[4], digits=2),
    }


def print_bins(name: str, score: FieldScore) -> None:
    """Print all bins, one a line; the error of rms/floor and pull is that of a sample of normal numbers.

    Parameters
    ----------
    name : str
        ``sparse`` or ``crowded``.
    score : FieldScore
    """
    head = f"{name + ' stars':<34}{'S/N':>8}{'n':>6}{'spoiled':>8}{'bias':>8}{'rms':>6}{'pull':>6}{'+-':>6}{'>8':>7}"
    print(f"{head} |{'quadratic':>9}{'rms':>6}{'pull':>6}  budgets")
    for one in score.bins:
        judged = {word: figure for word, figure in _bin_figures(name, one).items() if figure.met is not None}
        missed = [f"{word} {figure.cells[4]}" for word, figure in judged.items() if not figure.met]
        verdict = f"NOT MET: {'; '.join(missed)}" if missed else "met" if judged else ""
        text = one.title.split("S/N ")[1].split(" ")[0]
        print(
            f"{one.group:<34}{text:>8}{one.n:>6}{one.unusable:>8.3f}{one.bias[0]:>8.2f}{one.rms[0]:>6.2f}"
            f"{one.pull[0]:>6.2f}{(2 * one.n) ** -0.5:>6.2f}{one.far[0]:>7.3f} |{one.bias[1]:>9.2f}{one.rms[1]:>6.2f}"
            f"{one.pull[1]:>6.2f}  {verdict}"
        )


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


# Command line


def main() -> None:
    """Score the photometry of a few frames."""
    parser = argparse.ArgumentParser(description="Score PSF photometry of simulated frames against their truth.")
    parser.add_argument("--sparse", type=int, default=0, metavar="N", help="sparse frames")
    parser.add_argument("--crowded", type=int, default=0, metavar="N", help="crowded frames")
    parser.add_argument("--fresh", action="store_true", help="simulate, extract and solve the plates again")
    parser.add_argument("--fresh-catalog", action="store_true", help="make the star catalogue again")
    parser.add_argument(
        "--perfect", action="store_true", help="check the scorer: true fluxes with the noise of the floor"
    )
    parser.add_argument("--work", required=True, metavar="DIR", help="where images are kept between calls")
    options = parser.parse_args()
    sections = []
    for name in ("sparse", "crowded"):
        number = getattr(options, name)
        if number:
            score, times = _score_field(name, number, options)
            print_bins(name, score)
            print()
            sections.append((f"{name}, {number} frames", [*times, *figures(name, score)[:4]]))
    print_table(sections)


def _score_field(name: str, number: int, options: argparse.Namespace) -> tuple[FieldScore, list[Figure]]:
    """Figures of a field and its times, with what the photometry itself says of each frame printed before."""
    from benchmarks.psf.field import measure_psf, prepare_field, time_figures
    from benchmarks.scene import default_settings

    settings = default_settings()
    folder = Path(options.work) / f"{name}{number}"
    field = prepare_field(name, number, folder, settings, fresh=options.fresh, fresh_catalog=options.fresh_catalog)
    crowded = name == "crowded"
    if options.perfect:
        frames = [
            _perfect(truth, field.catalog, one.wcs) for truth, one in zip(field.truth, field.measured, strict=True)
        ]
        return score_frames(frames, crowded=crowded), []
    results = measure_psf(field, settings)
    for frame_id, one in zip(field.frame_ids, results, strict=True):
        facts = (
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in one.attrs.items()
        )
        print(f"{frame_id}: {', '.join(facts)}")
    frames = [
        fluxes(truth, field.catalog, one.arrays, one.exptime_s) for truth, one in zip(field.truth, results, strict=True)
    ]
    return score_frames(frames, crowded=crowded), time_figures(name, results)


def _perfect(truth: FrameTruth, catalog: StarCatalog, wcs: TanSip) -> FrameFluxes:
    """True fluxes with the noise of the floor, at the places of the catalogue."""
    x, y = places_on_image(catalog, wcs, truth.when.mjd_utc)
    known, rows = _linked(truth.stars, catalog.source_id)
    flux, error = np.full((2, len(catalog)), np.nan)
    noise = np.random.default_rng(0).standard_normal(len(known))
    flux[rows], error[rows] = known["flux"] + known["sigma"] * noise, known["sigma"]
    return FrameFluxes(truth, catalog.source_id, x, y, flux, error, np.zeros(len(catalog), np.uint32))


if __name__ == "__main__":
    main()
