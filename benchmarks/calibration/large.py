"""A big series without images: fluxes drawn from a truth, calibrated, and compared with it."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from benchmarks.table import Figure
from gaiaflux.core.calibration.scintillation import scintillation
from gaiaflux.io.dataset import FORMAT, FRAME_COLUMNS, SCHEMA_VERSION, STAR_COLUMNS, DatasetWriter, empty_frames
from gaiaflux.series.method_facts import write_frame_facts

__all__ = ["BINS", "DEPTHS", "N_TRANSITS", "fit_shape", "large_figures"]

N_TRANSITS = 20
BINS = ((10, 20), (20, 50), (50, 100), (100, 300), (300, 3000))
DEPTHS = (0.005, 0.010)
# Calibrates in a process of its own and prints what that used.
JOB = """
import json, resource, sys, time
from gaiaflux.model.settings.calibrate import CalibrateSettings
from gaiaflux.series.calibration import calibrate_dataset
start = time.process_time()
calibrate_dataset(sys.argv[1], sys.argv[2], CalibrateSettings(**json.loads(sys.argv[3])), {})
used = time.process_time() - start
try:
    with open("/proc/self/status") as status:  # ru_maxrss would also count what the parent had when it was forked
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
except OSError:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
print(json.dumps([used, peak]))
"""


def large_figures(folder: Path, settings: dict, n_stars: int, n_frames: int) -> list[Figure]:
    """CPU time, memory, size and scores of the big series.

    Parameters
    ----------
    folder : Path
        Where the files go; 1.4 GB for 20,000 stars in 1000 frames.
    settings : dict
        Section ``calibrate``.
    n_stars, n_frames : int
        Size.

    Returns
    -------
    list of Figure
    """
    folder.mkdir(parents=True, exist_ok=True)
    measured, dataset = folder / "measured.h5", folder / "dataset.h5"
    truth = _write_large(measured, n_stars, n_frames)
    done = subprocess.run(
        [sys.executable, "-c", JOB, str(measured), str(dataset), json.dumps(settings)],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, peak = json.loads(done.stdout)
    full = n_stars >= 20_000 and n_frames >= 1000
    rows = [
        Figure(f"{n_stars} stars in {n_frames} frames calibrated [CPU s]", seconds, at_most=20 if full else None),
        Figure("  peak memory [MB]", peak, at_most=1000, digits=0),
        Figure("  dataset on disk [MB]", dataset.stat().st_size / 1e6, at_most=420, digits=0),
    ]
    rows += _score_large(dataset, truth)
    measured.unlink()
    return rows


@dataclass
class _Large:
    """Truth of a big series without images.

    Attributes
    ----------
    flux : ndarray, shape (n,)
        Of the stars, when nothing happens [electron/s].
    variable : ndarray of bool, shape (n,)
        Sinusoidal stars.
    transits : ndarray of int, shape (20,)
        Rows of the transited stars.
    depth : ndarray, shape (20,)
        Their depths.
    inside : ndarray of bool, shape (20, m)
        Frames in their transits.
    floor : ndarray, shape (n, m)
        Relative noise of each point, float32.
    """

    flux: np.ndarray
    variable: np.ndarray
    transits: np.ndarray
    depth: np.ndarray
    inside: np.ndarray
    floor: np.ndarray


def _frame_table(clock: np.ndarray, airmass: np.ndarray, fwhm: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of /frames for nights of 60 frames, every fourth of them by another camera."""
    n, night = len(clock), clock // 60
    return empty_frames(n) | {
        "frame_id": np.array([f"f{j:05d}" for j in clock], dtype=object),
        "status": np.full(n, "ok", dtype=object),
        "camera": np.where(night % 4 == 3, "fa05", "fa15").astype(object),
        "filter": np.full(n, "rp", dtype=object),
        "unit": np.full(n, "electron", dtype=object),
        "mjd_utc": 60000.0 + night + (clock % 60) / 200.0,
        "exptime_s": np.full(n, 60.0),
        "airmass": airmass,
        "fwhm_pix": fwhm,
        **{name: np.full(n, value) for name, value in (("aperture_m", 1.0), ("site_height_m", 2200.0))},
    }


def _write_large(path: Path, n_stars: int, n_frames: int, seed: int = 1) -> _Large:
    """Write what `assemble_dataset` would, drawn from the truth: six apertures, clouds, gradients, colours, variables.

    Parameters
    ----------
    path : Path
        File.
    n_stars, n_frames : int
        Size.
    seed : int
        Seed.

    Returns
    -------
    _Large
    """
    rng = np.random.default_rng(seed)
    clock = np.arange(n_frames)
    airmass = 1.0 + 0.9 * np.sin(clock / 60.0 * np.pi) ** 2
    night = clock // 60
    cloud = np.where(night % 2 == 1, rng.uniform(0.0, 1.0, n_frames), 0.0)
    slope = 0.01 * cloud[:, None] * rng.normal(size=(n_frames, 2))
    fwhm = 4.1 + 2.3 * (0.5 + 0.5 * np.sin(clock / 17.0))
    frames = _frame_table(clock, airmass, fwhm)
    twinkling = scintillation(1.0, airmass, 60.0, 2200.0)
    mag = np.sort(np.log10(rng.uniform(10 ** (0.3 * 12.5), 10 ** (0.3 * 20.5), n_stars)) / 0.3)
    x, y = rng.uniform(0.0, 2048.0, (2, n_stars))
    colour = 0.9 + 0.06 * (mag - 16.0) + rng.normal(0.0, 0.35, n_stars)
    stars = {name: np.full(n_stars, np.nan) for name in STAR_COLUMNS}
    stars |= {"star_id": np.arange(n_stars), "source_id": 10**18 + np.arange(n_stars), "phot_g_mean_mag": mag}
    stars |= {"bp_rp": colour, "x_ref": x, "y_ref": y}
    flux = 10.0 ** (-0.4 * (mag - 23.4))
    variable = rng.random(n_stars) < 0.02
    variable[[1, 4, 7]] = True
    amplitude, period = rng.uniform(0.01, 0.1, n_stars), rng.uniform(5.0, 200.0, n_stars)
    bright = np.flatnonzero(~variable & (mag > 13.5) & (mag < 15.5))
    transits = rng.choice(bright, N_TRANSITS, replace=False)
    depth = np.array(DEPTHS)[np.arange(N_TRANSITS) % 2]
    inside = ((clock + rng.integers(0, 60, N_TRANSITS)[:, None]) % 60) < 9
    scale = 10.0 ** (-0.4 * (cloud + 0.1 * airmass))
    radii_fwhm = np.array([0.6, 0.8, 1.0, 1.25, 1.6, 2.2])
    light = 1.0 - (1.0 + (radii_fwhm / 0.98) ** 2) ** -2.0
    floor = np.empty((n_stars, n_frames), dtype=np.float32)
    with DatasetWriter(path) as out:
        out.attributes({"format": FORMAT, "schema_version": SCHEMA_VERSION, "series": "large"})
        out.attributes({"reference_frame_id": "f00000", "catalog_sha256": "0" * 64})
        out.table("frames", frames, FRAME_COLUMNS)
        out.table("stars", stars, STAR_COLUMNS)
        shape, chunks = (n_frames, n_stars, 6), (100, 256, 6)
        grids = [
            out.grid(f"aperture/{name}", shape, dtype, "electron/s", name, chunks)
            for name, dtype in (("flux", "f4"), ("flux_err", "f4"), ("flags", "u4"))
        ]
        for first in range(0, n_frames, 100):
            block = slice(first, min(first + 100, n_frames))
            field = slope[block, :1] * (x / 1024.0 - 1.0) + slope[block, 1:] * (y / 1024.0 - 1.0)
            camera = np.where(frames["camera"][block] == "fa05", 0.01, 0.0)
            tint = (0.02 * airmass[block] + camera)[:, None] * (colour - 1.0)
            mean = flux * scale[block, None] * np.exp(field - tint / 1.0857)
            wave = amplitude * np.sin(2 * np.pi * clock[block, None] / period)
            mean[:, variable] *= (1.0 + wave)[:, variable]
            mean[:, transits] *= 1.0 - (depth[:, None] * inside[:, block]).T
            sky = 18.0 * 3.2 * np.square(fwhm[block])[:, None, None] * radii_fwhm**2 / 60.0
            error = np.sqrt(mean[:, :, None] / light / 60.0 + sky / light**2).astype("f4")
            noise = rng.standard_normal((*mean.shape, 1), dtype="f4")
            twinkle = twinkling[block, None] * rng.standard_normal(mean.shape, dtype="f4")
            grids[0][block] = mean[:, :, None] * (1.0 + twinkle[:, :, None]) + error * noise
            grids[1][block] = error
            floor[:, block] = np.hypot(error.min(axis=2) / mean, twinkling[block, None]).T
        out.array("aperture/radii_pix", fwhm[:, None] * radii_fwhm, "pixel", "radii")
        write_frame_facts(out, "aperture", [{"status": "ok", "n_measured": n_stars}] * n_frames)
    return _Large(flux, variable, transits, depth, inside, floor)


def _score_large(dataset: Path, truth: _Large) -> list[Figure]:
    """Scatter over the floor, pulls, transits and comparison stars of the big series.

    Parameters
    ----------
    dataset : Path
        What `calibrate_dataset` wrote.
    truth : Large
        From `_write_large`.

    Returns
    -------
    list of Figure
    """
    with h5py.File(dataset) as file:
        group = file["aperture"]
        used = group["ensemble_status"].asstr()[()] == "used"
        rows = []
        constant = ~truth.variable
        constant[truth.transits] = False
        snr = 1.0 / np.median(truth.floor, axis=1)
        for least, most in BINS:
            some = np.flatnonzero(constant & (snr >= least) & (snr < most))[:500]
            if not some.size:
                continue
            flux, error = group["flux_cal"][some], group["flux_cal_err"][some]
            mean = np.average(flux, axis=1, weights=error**-2.0)[:, None]
            over = np.std((flux / mean - 1.0) / truth.floor[some], axis=1)
            pull = (flux - mean) / error
            rows += [
                Figure(f"S/N {least}-{most}: scatter over the noise of the best aperture", float(np.median(over))),
                Figure("  pull, standard deviation", float(np.std(pull)), at_least=0.95, at_most=1.10),
            ]
        depths, errors = [], []
        for row, inside in zip(truth.transits, truth.inside, strict=True):
            relative = group["flux_cal"][row] / np.median(group["flux_cal"][row])
            depth, error = fit_shape(
                relative, group["flux_cal_err"][row] / np.median(group["flux_cal"][row]), -1.0 * inside
            )
            depths.append(depth)
            errors.append(error)
        depths, errors = np.array(depths), np.array(errors)
        mean = np.average(depths / truth.depth, weights=(errors / truth.depth) ** -2.0)
        rows += [
            Figure(
                "20 stars with transits of 5 and 10 mmag: mean depth over the truth, less 1", mean - 1.0, within=0.03
            ),
            Figure("  its error", float(np.sum((errors / truth.depth) ** -2.0) ** -0.5)),
            Figure("  pull of single depths", float(np.std((depths - truth.depth) / errors))),
            Figure("stars of the ensemble", int(used.sum()), digits=0),
            Figure("  of them variables", int((used & truth.variable).sum()), at_most=0, digits=0),
            Figure("  the 3 variables among the 10 brightest", int(used[[1, 4, 7]].sum()), at_most=0, digits=0),
        ]
    return rows


def fit_shape(value: np.ndarray, error: np.ndarray, shape: np.ndarray) -> tuple[float, float]:
    """Amplitude of a shape above a constant, relative to the constant, and its error.

    Parameters
    ----------
    value, error, shape : ndarray, shape (m,)
        Light curve, its errors, and the shape; NaN values are passed over.

    Returns
    -------
    amplitude, error : float
    """
    known = np.isfinite(value)
    design = np.stack([np.ones(known.sum()), shape[known]], axis=1) / error[known][:, None]
    covariance = np.linalg.inv(design.T @ design)
    level, amplitude = covariance @ design.T @ (value[known] / error[known])
    ratio = amplitude / level
    variance = covariance[1, 1] - 2.0 * ratio * covariance[0, 1] + ratio**2 * covariance[0, 0]
    return float(ratio), float(np.sqrt(variance) / level)
