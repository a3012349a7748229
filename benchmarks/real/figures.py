"""Scatter of real stars over a series: gaiaflux beside the plain script, on the same points of the same stars.

Both choose on the even frames and are compared on the odd ones. gaiaflux' choice of the aperture and of the method of
each star sees the scatter in the even frames alone (`calibrate_dataset` with ``deciding=2``); from all frames it has
flags, stated errors, and the stars and terms of its ensemble, whose members are calibrated without themselves. The
script has seen the even frames for its radius and its ensemble; its ensemble stars are in their own zero points.

Stars are ordered by their light in the script's middle radius, in the images alone; isolated is a star with no other in
the catalogue within 2.5 times the seeing that has a tenth of its light. Stars that reach the detector's end in any
frame are left out, as are those that are on less than 70 % of the frames.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from benchmarks.real import plain
from benchmarks.real.series import SERIES, RealSeries, data_folder, run_workflow
from benchmarks.table import Figure
from gaiaflux.core.sky.projection import sky_to_pixel
from gaiaflux.io.dataset import DatasetReader
from gaiaflux.io.image.frames import FrameSettings, read_frame
from gaiaflux.io.plate_solution import find_plate
from gaiaflux.model.flags import NOT_GOOD, StarFlag
from gaiaflux.model.settings.calibrate import CalibrateSettings
from gaiaflux.model.status import OK
from gaiaflux.series.calibration import calibrate_dataset
from gaiaflux.series.method_choice import methods_of_stars
from gaiaflux.workflow.settings import complete_section

__all__ = ["BINS", "Compared", "compare", "figures", "plain_scatter", "real_figures", "robust_scatter"]

BINS = ((0, 20), (20, 50), (50, 100), (100, 250))
METHODS = ["aperture", "psf"]
AT_MOST, TYPICAL = 1.05, 1.0
_CANDIDATES = 600
_NEAR_FWHM, _NEAR_LIGHT = 2.5, 0.1
_ON_FRAMES = 0.7
_LEAST_POINTS, _LEAST_STARS = 6, 8
_BRIGHT = 100  # of which the script takes its ensemble


@dataclass(frozen=True)
class Compared:
    """Light curves of n stars in m frames, the brightest first, NaN where not measured [mag].

    Attributes
    ----------
    ours : dict of str to ndarray, shape (n, m)
        By method, and ``recommended``: that of each star.
    plain : ndarray, shape (n, m)
        The script's.
    """

    ours: dict[str, np.ndarray]
    plain: np.ndarray


def real_figures(work: Path) -> list[tuple[str, list[Figure]]]:
    """Run everything, and say so where the data are not there.

    Parameters
    ----------
    work : Path
        Folder for the runs.

    Returns
    -------
    list of (title, figures)
    """
    data = data_folder()
    if data is None:
        print("real series: NOT RUN, the data are absent (GAIAFLUX_DATA names their folder)")
        return []
    sections, ratios = [], []
    for series in SERIES:
        if not (data / series.name).is_dir():
            print(f"real series {series.name}: NOT RUN, its images are absent")
            continue
        found = figures(compare(series, data, work / series.name))
        sections.append((f"{series.name}; peer: a script with sep, one aperture [mmag]", found))
        ratios += [figure.ratio for figure in found if figure.ratio_at_most is not None and figure.ratio is not None]
    print("sn2019so_andicam: one frame in each of its filters, no scatter to compare")
    if ratios:
        typical = Figure("median ratio of all series and bins", float(np.median(ratios)), at_most=TYPICAL)
        sections.append(("all real series", [typical]))
    return sections


def compare(series: RealSeries, data: Path, work: Path) -> Compared:
    """Light curves of a series by both.

    Parameters
    ----------
    series : RealSeries
    data, work : Path
        Where the images are, and where to compute.

    Returns
    -------
    Compared
    """
    results = run_workflow(series, data, work, METHODS)
    chosen = results / "chosen_on_even_frames.h5"
    calibrate_dataset(results / "measured.h5", chosen, complete_section(CalibrateSettings), {}, deciding=2)
    with DatasetReader(chosen) as source:
        rows = _isolated(source)
        sums, peaks = _script_sums(source, results, rows, series)
        middle = sums[:, :, len(plain.RADII_PIX) // 2]
        on = np.isfinite(middle).mean(axis=1)
        saturated = (source.array("aperture/flags")[rows] & StarFlag.SATURATED) != 0
        fit = np.flatnonzero((on >= _ON_FRAMES * on.max()) & (saturated.mean(axis=1) < 0.1) & _below_the_end(peaks))
        level = np.nanmedian(middle[fit], axis=1)
        fit = fit[np.argsort(-level, kind="stable")][: BINS[-1][1]]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "All-NaN|Degrees of freedom", RuntimeWarning)  # frames without a solution
            script = plain.light_curves(sums[fit], np.arange(min(_BRIGHT, len(fit))))
        ours = {method: _magnitudes(source, method, rows[fit]) for method in source.methods}
        best, _ = methods_of_stars(source)
        ours["recommended"] = np.stack(
            [
                ours[method][k] if method else np.full(script.shape[1], np.nan)
                for k, method in enumerate(best[rows[fit]])
            ]
        )
    return Compared(ours, script)


def _isolated(source: DatasetReader) -> np.ndarray:
    """Rows of bright stars without a neighbour, the brightest of the catalogue first."""
    x, y = source.array("stars/x_ref"), source.array("stars/y_ref")
    mag = source.array("stars/phot_g_mean_mag")
    mag = np.where(np.isfinite(mag), mag, source.array("stars/mag_ref"))
    rows = np.flatnonzero(np.isfinite(x) & np.isfinite(mag))
    light, places = 10.0 ** (-0.4 * mag[rows]), np.column_stack([x[rows], y[rows]])
    reach = _NEAR_FWHM * float(np.nanmedian(source.array("frames/fwhm_pix")))
    near = cKDTree(places).query_ball_point(places, reach)
    alone = [all(light[k] < _NEAR_LIGHT * light[i] for k in some if k != i) for i, some in enumerate(near)]
    rows = rows[np.array(alone, dtype=bool)]
    return rows[np.argsort(mag[rows], kind="stable")][:_CANDIDATES]


def _script_sums(
    source: DatasetReader, results: Path, rows: np.ndarray, series: RealSeries
) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the script, shape (n, m, radii), and the highest pixel of each star, shape (n, m)."""
    frames, ra, dec = source.table("frames"), source.array("stars/ra_deg")[rows], source.array("stars/dec_deg")[rows]
    shape = (len(rows), len(frames["status"]))
    sums, peaks = np.full((*shape, len(plain.RADII_PIX)), np.nan), np.full(shape, np.nan)
    settings = FrameSettings(pixel_scale_arcsec=series.settings.get("pixel_scale_arcsec"))
    for j in np.flatnonzero(frames["status"] == OK):
        name = str(frames["frame_id"][j])
        image = np.nan_to_num(read_frame(frames["path"][j], name, settings, want_error=False).image)
        x, y = (np.asarray(axis, float) for axis in sky_to_pixel(find_plate(results / "wcs", name), ra, dec))
        sums[:, j] = plain.sums(image, x, y)
        inside = np.flatnonzero((x > 1) & (y > 1) & (x < image.shape[1] - 2) & (y < image.shape[0] - 2))
        columns, lines = np.rint(x[inside]).astype(int), np.rint(y[inside]).astype(int)
        steps = range(-1, 2)
        peaks[inside, j] = np.max([image[lines + a, columns + b] for a in steps for b in steps], axis=0)
    return sums, peaks


def _below_the_end(peaks: np.ndarray) -> np.ndarray:
    """Stars whose pixels stay clear of the highest value of the series, where several stars pile up."""
    highest = np.max(np.nan_to_num(peaks, nan=-np.inf), axis=1)
    top = highest.max()
    return highest < 0.9 * top if np.count_nonzero(highest > 0.97 * top) >= 3 else np.ones(len(peaks), dtype=bool)


def _magnitudes(source: DatasetReader, method: str, rows: np.ndarray) -> np.ndarray:
    """Calibrated magnitudes of the points that are exported."""
    flux = source.array(f"{method}/flux_cal")[rows].astype(float)
    good = ((source.array(f"{method}/flags")[rows] & NOT_GOOD) == 0) & (flux > 0)
    return np.where(good, -2.5 * np.log10(np.where(good, flux, 1.0)), np.nan)


def robust_scatter(values: np.ndarray) -> np.ndarray:
    """1.4826 times the median absolute deviation of each row; NaN with fewer than six points."""
    return _spread(values, lambda off: 1.4826 * np.nanmedian(np.abs(off), axis=1))


def plain_scatter(values: np.ndarray) -> np.ndarray:
    """Root of the mean square about the median of each row; NaN with fewer than six points."""
    return _spread(values, lambda off: np.sqrt(np.nanmean(off**2, axis=1)))


def _spread(values: np.ndarray, of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    enough = np.isfinite(values).sum(axis=1) >= _LEAST_POINTS
    result = np.full(len(values), np.nan)
    some = values[enough]
    if len(some):
        result[enough] = of(some - np.nanmedian(some, axis=1, keepdims=True))
    return result


def _chance(own: np.ndarray, script: np.ndarray) -> float:
    """Standard error of the ratio of two medians over the same stars, from drawing the stars again."""
    drawn = np.random.default_rng(1).integers(0, len(own), (500, len(own)))
    return float(np.std(np.median(own[drawn], axis=1) / np.median(script[drawn], axis=1)))


def figures(compared: Compared) -> list[Figure]:
    """Medians over the stars of each brightness of the scatter in the odd frames.

    Parameters
    ----------
    compared : Compared
        Light curves.

    Returns
    -------
    list of Figure
        Only what is recommended has a budget, by the robust scatter and by the plain one.
    """
    rows = []
    for first, last in BINS:
        for name, curves in compared.ours.items():
            both = np.isfinite(curves) & np.isfinite(compared.plain)
            pair = [np.where(both, values, np.nan)[first:last, 1::2] for values in (curves, compared.plain)]
            for text, scatter in (("robust", robust_scatter), ("std", plain_scatter)):
                own, script = (1e3 * scatter(values) for values in pair)
                known = np.isfinite(own) & np.isfinite(script)
                if known.sum() < _LEAST_STARS:
                    continue
                chance = _chance(own[known], script[known])
                label = f"stars {first + 1}-{last} ({known.sum()}), {name}, {text}; ratio +- {chance:.2f}"
                medians = float(np.median(own[known])), float(np.median(script[known]))
                limit = AT_MOST if name == "recommended" else None
                rows.append(Figure(label, *medians, ratio_at_most=limit, digits=1))
    return rows
