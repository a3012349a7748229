"""Full-frame images against the truth: time and memory, noise over the floor, pulls, pairs, signals that survive."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from benchmarks.images.field import Curve, PreparedCcd, prepare_ccd
from benchmarks.images.floor import least_error
from benchmarks.images.scenes import SINE, TRANSIT, dark_scene, lone_stars, many_stars, pairs, plain_frames
from benchmarks.images.speed import copies_read_ms, frame_seconds, peak_memory_gb, read_ms, worker_memory_gb
from benchmarks.table import Figure

__all__ = ["figures"]

SECTOR_FRAMES, LONG_FRAMES = 1300, 11_000  # of cadences of 1800 and 200 s
METHODS = ("psf", "linpsf", "aperture")
FITS = METHODS[:2]
COMMON = 0.003
FLOOR_T145, FLOOR_T103 = 5000.0, 298.0  # as the budgets state them [ppm]


def figures(work: Path, quick: bool = False, seed: int = 1) -> list[Figure]:
    """All figures of simulated full-frame images.

    Parameters
    ----------
    work : Path
        Folder for images; about 2 GB.
    quick : bool
        Fewer frames and targets.
    seed : int
        Of all scenes.

    Returns
    -------
    list of Figure
    """
    n = 120 if quick else 480
    many = prepare_ccd(work / "targets", many_stars(200 if quick else SECTOR_FRAMES, seed))
    return [
        *_targets(many, 30 if quick else 300),
        *_preparation(work, many, quick, seed),
        *_lone(prepare_ccd(work / "lone", lone_stars(n, seed))),
        *_dark(prepare_ccd(work / "dark", dark_scene(n, seed))),
        *_pairs(prepare_ccd(work / "pairs", pairs(n // 2, seed))),
    ]


def _preparation(work: Path, together: PreparedCcd, quick: bool, seed: int) -> list[Figure]:
    """Time and memory of the preparation; what is learnt from all frames together goes with the number of pixels."""
    found = []
    of_pixel = together.together_s / (together.ccd.setup.n_times * np.prod(together.ccd.setup.shape))
    for side, few, many, budget in ((512, 20, 80, 0.03), (2048, 3, 9, 0.5)):
        numbers = (few, many // 2) if quick else (few, many)
        setups = [plain_frames(number, side, seed) for number in numbers]
        alone, share = frame_seconds(work, setups), of_pixel * side**2
        name = f"preparation of a frame of {side} x {side} pixels"
        found.append(Figure(f"{name} [s]", alone + share, at_most=budget))
        found.append(Figure("of it what is learnt from all frames together [s]", share))
    found.append(Figure("largest memory of it, 2048 x 2048 [GB]", worker_memory_gb(work, setups[0]), at_most=1.5))
    return found


def _targets(made: PreparedCcd, n_targets: int) -> list[Figure]:
    n_times = made.ccd.setup.n_times
    stars = made.ccd.catalogued
    ny, nx = made.ccd.setup.shape
    inside = stars.listed & (stars.x > 0) & (stars.x < nx - 1) & (stars.y > 0) & (stars.y < ny - 1)
    # Larger stamps are of stars that saturate.
    rows = np.flatnonzero(inside & (stars.tmag > 8.5))
    rows = rows[np.argsort(stars.tmag[rows], kind="stable")][:n_targets]
    wanted = stars.starid[rows].tolist()
    made.measure(wanted[:2], ["linpsf"])
    seconds = made.measure(wanted, ["linpsf"])
    name = f"{len(wanted)} targets x {n_times} frames, 15 x 15, linear"
    full = n_times == SECTOR_FRAMES and len(wanted) == 300
    found = [
        Figure(f"{name} [s]", seconds, at_most=45.0 if full else None, digits=1),
        Figure("largest memory of simulating and measuring them [GB]", peak_memory_gb(), at_most=1.0),
        Figure(f"stamp of 15 x 15 x {n_times} read [ms]", read_ms(made), at_most=50.0, digits=1),
    ]
    # As many frames as a sector of 200 s has, in copies of the batches.
    many = LONG_FRAMES // 10 if n_times < SECTOR_FRAMES else LONG_FRAMES
    return [*found, Figure(f"stamp of 15 x 15 x {many} read [ms]", copies_read_ms(made, many), at_most=400.0, digits=1)]


def _lone(made: PreparedCcd) -> list[Figure]:
    """Isolated stars in scattered light, raw and calibrated."""
    setup = made.ccd.setup
    made.measure([star.starid for star in setup.stars])
    raw = {m: {star.starid: made.curve(star.starid, m) for star in setup.stars} for m in METHODS}
    common = common_light(len(made.good))
    calibrated = made.calibrate(common)
    constant = {k: star for k, star in enumerate(setup.stars) if star.variation == "constant"}
    floors = {k: least_error(made.ccd, k, np.flatnonzero(made.good)) for k in constant}
    # The simulated camera fills its wells from T 7 or so on.
    bright = [k for k, star in constant.items() if 8.0 <= star.tmag <= 13.0]
    found = []
    for method in METHODS:
        scores = _scores(made, raw[method], bright, floors)
        budget = (1.08, 0.95, 1.08) if method in FITS else (None, None, None)
        name = f"isolated, T 8 to 13, {method}"
        found += [
            Figure(f"{name}: noise over the floor", _rms(scores[:, 0]), at_most=budget[0]),
            Figure(f"{name}: of the worst of {len(bright)} stars", float(np.max(scores[:, 0]))),
            Figure(f"{name}: pull", _rms(scores[:, 1]), at_least=budget[1], at_most=budget[2]),
        ]
    found += [_bias("isolated, T 8 to 13, psf", _scores(made, raw["psf"], bright, floors))]
    typical = [k for k in bright if setup.stars[k].tmag == 10.3]
    for name, curves, budget in (("raw", raw, 1.2), ("0.3 % common to all, calibrated", calibrated, 1.1)):
        for method in FITS:
            noise = [_noise(made, curves[method][setup.stars[k].starid], k) for k in typical]
            ppm = 1e6 * _rms(np.array(noise))
            label = f"T 10.3, scattered light, {method}, {name}: noise over {FLOOR_T103:.0f} ppm"
            found.append(Figure(label, ppm / FLOOR_T103, at_most=budget))
            own = 1e6 * _rms(np.array([floors[k] / made.ccd.catalogued.flux[k] for k in typical]))
            found.append(Figure(f"the same over the scene's own floor of {own:.0f} ppm", ppm / own, at_most=budget))
    near = [k for k in bright if setup.stars[k].tmag == 9.4]
    both = [_rms(np.array([_noise(made, raw[m][setup.stars[k].starid], k) for k in near])) for m in ("psf", "aperture")]
    found.append(Figure("T 9.4: noise of psf over aperture", both[0] / both[1], at_most=1.0))
    return found + _signals(made, raw, calibrated)


def common_light(n: int) -> np.ndarray:
    """What the light of all stars of a CCD may have in common: a slow change and steps at two dumps, shape (n,)."""
    time = np.arange(n) / max(n - 1, 1)
    steps = 0.5 * (time > 0.31) - 0.7 * (time > 0.72)
    return 1.0 + COMMON * (np.sin(2.0 * np.pi * 1.3 * time + 0.4) + steps)


def _signals(made: PreparedCcd, raw: dict, calibrated: dict) -> list[Figure]:
    """Part of a sine's amplitude and of a transit's depth that is left."""
    found = []
    for name, curves in (("raw", raw), ("0.3 % common to all, calibrated", calibrated)):
        for label, star in (("sine of 2 days", SINE), ("transit", TRANSIT)):
            k = [one.starid for one in made.ccd.setup.stars].index(star)
            curve, change = curves["psf"][star], made.ccd.relative[:, k] - 1.0
            use = made.good & np.isfinite(curve.flux)
            slope, level = np.polyfit(change[use], curve.flux[use], 1)
            found.append(Figure(f"{label}, psf, {name}: part that is left", slope / level, at_least=0.95, at_most=1.05))
    return found


def _dark(made: PreparedCcd) -> list[Figure]:
    stars = made.ccd.setup.stars
    made.measure([star.starid for star in stars])
    frames = np.flatnonzero(made.good)
    rows = list(range(len(stars)))
    floors = {k: least_error(made.ccd, k, frames) for k in rows}
    found = []
    for method in FITS:
        curves = {star.starid: made.curve(star.starid, method) for star in stars}
        scores = _scores(made, curves, rows, floors)
        noise = 1e6 * _rms(np.array([_noise(made, curves[stars[k].starid], k) for k in rows]))
        found += [
            Figure(f"T 14.5, 30 min, sky 92, {method}: noise over 5000 ppm", noise / FLOOR_T145, at_most=1.1),
            Figure("the same over the scene's own floor", _rms(scores[:, 0]), at_most=1.1),
            Figure(f"T 14.5, {method}: pull", _rms(scores[:, 1]), at_least=0.95, at_most=1.08),
        ]
    return found


def _pairs(made: PreparedCcd) -> list[Figure]:
    stars = made.ccd.setup.stars
    made.measure([star.starid for star in stars], FITS)
    frames = np.flatnonzero(made.good)
    floors = {k: least_error(made.ccd, k, frames, 2) for k in range(len(stars))}
    found = []
    for method in FITS:
        curves = {star.starid: made.curve(star.starid, method) for star in stars}
        by_separation: dict[float, list[int]] = {}
        for k in range(0, len(stars), 2):
            apart = float(np.hypot(stars[k].x - stars[k + 1].x, stars[k].y - stars[k + 1].y))
            by_separation.setdefault(round(apart, 1), []).extend((k, k + 1))
        for apart, rows in sorted(by_separation.items()):
            scores = _scores(made, curves, rows, floors)
            name = f"pairs {apart:g} px apart, up to 2 mag, {method}"
            found.append(_bias(name, scores, 0.5))
            found.append(Figure(f"{name}: pull", _rms(scores[:, 1])))
    return found


def _bias(name: str, scores: np.ndarray, budget: float | None = None) -> Figure:
    worst = 100 * float(np.max(np.abs(scores[:, 2])))
    return Figure(f"{name}: largest bias of the mean flux of {len(scores)} stars [%]", worst, at_most=budget)


def _scores(
    made: PreparedCcd, curves: dict[int, Curve | None], rows: Iterable[int], floors: dict[int, float]
) -> np.ndarray:
    """Noise over the floor, pull, and relative bias of each star, shape (n, 3); NaN without a light curve."""
    scores = []
    for k in rows:
        curve = curves[made.ccd.setup.stars[k].starid]
        if curve is None:
            scores.append((np.nan, np.nan, np.nan))
            continue
        true = made.true_flux(k)
        use = made.good & np.isfinite(curve.flux)
        away, error = (curve.flux - true)[use], curve.error[use]
        pull = np.std(away) / np.sqrt(np.mean(error**2))
        scores.append((np.std(away) / floors[k], pull, np.mean(away) / true[use].mean()))
    return np.array(scores)


def _noise(made: PreparedCcd, curve: Curve | None, k: int) -> float:
    """Relative noise of a constant star; NaN without a light curve."""
    if curve is None:
        return float("nan")
    flux = curve.flux[made.good & np.isfinite(curve.flux)]
    return float(np.std(flux) / np.mean(flux))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.asarray(values, np.float64) ** 2)))
