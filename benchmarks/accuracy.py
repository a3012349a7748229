"""How well both programs find stars, solve the plate and measure fluxes, against the truth of the simulated frames."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from benchmarks.frame import Pairs
from benchmarks.peers import sep_script
from benchmarks.scene import Scene
from benchmarks.table import Figure
from gaiaflux.core.aperture.scatter import recommend_radius
from gaiaflux.core.sky.projection import pixel_to_sky, sky_to_pixel
from gaiaflux.ground.catalog.star_catalog import find_reference_stars
from gaiaflux.ground.frame.psf_options import psf_options
from gaiaflux.io.image.frames import FrameSettings, read_frame
from gaiaflux.model.flags import SPOILED, StarFlag
from gaiaflux.model.settings.psf import PsfSettings
from gaiaflux.model.typed import typed
from gaiaflux.sim.truth import FrameTruth

__all__ = ["figures"]

MATCH_PIX = 2.5
FAINTEST_SNR = 1.0  # a detection on a fainter star is false
BINS = ((10, 20), (20, 50), (50, 100), (100, 300), (300, np.inf))
GRID = 33
FAILED_MAS = 500.0
# Isolated: no other star above this S/N within so many FWHM; a crowded field has no stars that are quite alone.
ISOLATED = {"sparse": (0.0, 3.0), "crowded": (5.0, 2.0)}
ZERO_POINT_SNR = 20.0


def figures(sparse: Pairs, crowded: Pairs, fields: Sequence[Scene], settings: dict) -> list[Figure]:
    """Detection, plate solution and aperture photometry.

    Parameters
    ----------
    sparse, crowded : Pairs
    fields : sequence of Scene
        Other sparse fields: in one field the same few close pairs would be counted in every frame.
    settings : dict
        Complete configuration.

    Returns
    -------
    list of Figure
    """
    rows = []
    rows += _detection("sparse", _frames(*fields), settings, budget=True)
    # The same few close pairs count in each of these, so one field may lie on either side of a limit.
    rows += _detection("one sparse field,", _frames(sparse.scene)[:5], settings, budget=True)
    rows += _detection("crowded", _frames(crowded.scene), settings, budget=False)
    rows += _plate(crowded=False, pairs=sparse) + _plate(crowded=True, pairs=crowded)
    for name, pairs in (("sparse", sparse), ("crowded", crowded)):
        rows += _photometry(name, pairs)
    return rows


# Detection


def _frames(*scenes: Scene) -> list[tuple[Path, FrameTruth]]:
    return [pair for scene in scenes for pair in zip(scene.paths, scene.truth, strict=True)]


def _detection(name: str, frames: Sequence[tuple[Path, FrameTruth]], settings: dict, *, budget: bool) -> list[Figure]:
    """Means over the frames."""
    scores = []
    star_settings = (
        settings["star_catalog"]["detection_snr"],
        psf_options(typed(PsfSettings, settings["photometry"]["psf"])),
    )
    for path, truth in frames:
        stars, _ = find_reference_stars(
            read_frame(path, path.stem, FrameSettings(), {}, want_error=False), *star_settings
        )
        scores.append([_score(stars["x"], stars["y"], truth.stars), _score(*sep_script.detect_deep(path), truth.stars)])
    ours, peer = np.mean(scores, axis=0)
    limits = [{"at_least": 0.90}, {"at_least": 0.99}, {"at_most": 0.02}] if budget else [{}, {}, {}]
    titles = ("completeness at S/N > 5", "completeness at S/N > 20", "false detections")
    return [Figure(f"{name} deep detection: {title}", ours[k], peer[k], **limits[k]) for k, title in enumerate(titles)]


def _score(x: np.ndarray, y: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """Completeness above both limits, and the fraction of false detections; one-to-one, brightest star first."""
    real = truth[truth["snr"] > FAINTEST_SNR]
    real = real[np.argsort(-real["flux"])]
    good = np.isfinite(x) & np.isfinite(y)
    near = cKDTree(np.c_[x[good], y[good]]).query_ball_point(np.c_[real["x"], real["y"]], MATCH_PIX)
    place, taken, found = np.c_[x[good], y[good]], np.zeros(good.sum(), bool), np.zeros(len(real), bool)
    for k, candidates in enumerate(near):
        free = [i for i in candidates if not taken[i]]
        if free:
            best = min(free, key=lambda i: np.hypot(*(place[i] - (real["x"][k], real["y"][k]))))
            taken[best] = found[k] = True
    return found[real["snr"] > 5].mean(), found[real["snr"] > 20].mean(), 1.0 - found.sum() / len(x)


# Plate solution


def _plate(pairs: Pairs, *, crowded: bool) -> list[Figure]:
    name, limit = ("crowded", 1.5) if crowded else ("sparse", 2.5)
    ours, peer = [], []
    for mine, other, truth in zip(pairs.ours, pairs.peer, pairs.scene.truth, strict=True):
        wcs = mine.wcs
        ours.append(np.full(2, np.inf) if wcs is None else _rms_mas(lambda *s, w=wcs: sky_to_pixel(w, *s), truth))
        peer.append(_rms_mas(other.sky_to_pixel, truth))
    ours, peer = np.array(ours), np.array(peer)
    total, peer_total = np.hypot(*ours.T), np.hypot(*peer.T)
    columns = [
        (f"{name} WCS: median rms over the frame, both axes together [mas]", limit, 2, total, peer_total, np.median),
        (f"  {name} WCS: the same per axis [mas]", None, 2, ours, peer, np.median),
        (f"  {name} WCS: 90th percentile, both axes together [mas]", None, 2, total, peer_total, _p90),
        (f"  {name} WCS: failures (none, or > 500 mas) of {len(ours)} frames", 0, 0, total, peer_total, _failures),
    ]
    return [
        Figure(title, float(summary(mine)), float(summary(other)), at_most=at_most, digits=digits)
        for title, at_most, digits, mine, other, summary in columns
    ]


def _p90(rms: np.ndarray) -> float:
    return float(np.quantile(rms, 0.9))


def _failures(rms: np.ndarray) -> int:
    return int((~(rms < FAILED_MAS)).sum())


def _rms_mas(project: Callable, truth: FrameTruth) -> np.ndarray:
    """Rms along x and y over a grid of the whole frame [mas]."""
    ny, nx = truth.wcs.shape
    x, y = (g.ravel() for g in np.meshgrid(np.linspace(0, nx - 1, GRID), np.linspace(0, ny - 1, GRID)))
    found = np.array(project(*pixel_to_sky(truth.wcs, x, y)))
    scale = 3.6e6 * np.sqrt(abs(np.linalg.det(truth.wcs.cd)))
    return scale * np.sqrt(np.mean((found - (x, y)) ** 2, axis=1))


# Photometry


def _photometry(name: str, pairs: Pairs) -> list[Figure]:
    """Scatter over the floor in bins of true S/N: pooled over the frames, isolated stars that both could measure.

    Ours is at the radius that `recommend_radius` gives each star; the peer's is at the best of its radii in each bin.
    """
    solved = [k for k, mine in enumerate(pairs.ours) if mine.wcs is not None]
    flux, error, flags = (
        np.stack([pairs.ours[k].aperture[key] for k in solved]) for key in ("flux", "flux_err", "flags")
    )
    spoiled = (flags & SPOILED) != 0
    usable = ~spoiled & np.isfinite(flux) & np.isfinite(error)
    radius, _ = recommend_radius(flux, error, usable, (flags & StarFlag.NEIGHBOUR) != 0)
    n_radii = flux.shape[2]
    table: dict[str, list] = {"snr": [], "ours": [], "peer": []}
    for row, k in enumerate(solved):
        truth, peer = pairs.scene.truth[k].stars, pairs.peer[k]
        known, stars = _isolated(truth, pairs.catalog.source_id, *ISOLATED[name])
        pick = (row, stars, radius[stars])
        good = usable[pick] & (peer.flags[stars] == 0).all(axis=1) & np.isfinite(peer.flux[stars]).all(axis=1)
        known, stars = known[good], stars[good]
        pick = (row, stars, radius[stars])
        table["snr"].append(known["snr"])
        table["ours"].append(_residuals(flux[pick], error[pick], known))
        sep_residuals = [_residuals(peer.flux[stars, j], peer.flux_err[stars, j], known) for j in range(n_radii)]
        table["peer"].append(np.stack(sep_residuals))
    snr = np.concatenate(table["snr"])
    ours, peer = np.concatenate(table["ours"], axis=1), np.concatenate(table["peer"], axis=2)
    rows = []
    for low, high in BINS:
        inside = (snr > low) & (snr <= high)
        text = f"{low}-{high}" if np.isfinite(high) else f">{low}"
        title = f"{name} photometry, S/N {text} (n = {inside.sum()})"
        if inside.sum() < 10:
            continue
        mine = [_rms(values[inside]) for values in ours]
        theirs = np.array([[_rms(values[inside]) for values in one] for one in peer])
        best = theirs[:, 0].argmin(), theirs[:, 1].argmin()
        rows += [
            Figure(f"{title}: rms/floor, scalar zero point", mine[0], theirs[best[0], 0], digits=2),
            Figure("  rms/floor, quadratic zero point", mine[1], theirs[best[1], 1], digits=2),
            Figure("  pull, scalar zero point", mine[2], theirs[best[0], 2], digits=2),
            Figure("  pull, quadratic zero point", mine[3], theirs[best[1], 3], digits=2),
        ]
    return rows


def _isolated(
    truth: np.ndarray, source_id: np.ndarray, faintest_snr: float, reach_fwhm: float
) -> tuple[np.ndarray, np.ndarray]:
    """True stars of the catalogue without a neighbour, and their rows in it."""
    seen = truth[truth["snr"] > faintest_snr]
    distance, _ = cKDTree(np.c_[seen["x"], seen["y"]]).query(np.c_[seen["x"], seen["y"]], k=2)
    alone = seen[(distance[:, 1] > reach_fwhm * seen["fwhm"]) & (seen["source_id"] > 0)]
    order = np.argsort(source_id)
    place = np.minimum(np.searchsorted(source_id, alone["source_id"], sorter=order), len(order) - 1)
    rows = order[place]
    same = source_id[rows] == alone["source_id"]
    return alone[same], rows[same]


def _residuals(flux: np.ndarray, error: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Residuals over the floor (scalar, quadratic zero point), then over the stated error (scalar, quadratic)."""
    ratio = flux / truth["flux"]
    use = truth["snr"] > ZERO_POINT_SNR
    weight = 1.0 / np.hypot(1.0 / truth["snr"], 0.003)
    u, v = truth["x"] / 1024.0 - 1.0, truth["y"] / 1024.0 - 1.0
    found = []
    for design in (np.ones((len(u), 1)), np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1)):
        keep = use.copy()
        for _ in range(5):
            w = weight[keep]
            fit = np.linalg.lstsq(design[keep] * w[:, None], ratio[keep] * w, rcond=None)[0]
            pull = (ratio - design @ fit) * weight
            keep = use & (np.abs(pull) < 4.0 * 1.4826 * np.median(np.abs(pull[use])))
        found.append(design @ fit)
    by_floor = [(flux / zero - truth["flux"]) / truth["sigma"] for zero in found]
    by_error = [(flux / zero - truth["flux"]) / (error / zero) for zero in found]
    return np.stack(by_floor + by_error)


def _rms(values: np.ndarray) -> float:
    """Rms of what lies within five robust sigma of the median."""
    centre = np.median(values)
    near = np.abs(values - centre) < 5.0 * 1.4826 * np.median(np.abs(values - centre))
    return float(np.sqrt(np.mean(values[near] ** 2)))
