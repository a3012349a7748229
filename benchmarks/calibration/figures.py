"""Light curves against the truth: simulated nights through the whole workflow, and a big series without images.

The nights (preset `timeseries`) and the big series have scintillation on, of the size of a 1 m telescope, and the floor
includes it: the floor of a point is the error of an optimal fit of the isolated star with the true PSF, and its
scintillation.
"""

import subprocess
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np
import yaml

from benchmarks.calibration.large import BINS, DEPTHS, N_TRANSITS, fit_shape, large_figures
from benchmarks.scene import REPOSITORY
from benchmarks.table import Figure
from gaiaflux.core.calibration.scintillation import scintillation
from gaiaflux.io.fits_table import write_fits_tables
from gaiaflux.io.image.banzai_writer import write_banzai
from gaiaflux.model.flags import SPOILED
from gaiaflux.sim import presets
from gaiaflux.sim.events import Transit, add_transit
from gaiaflux.sim.field import GAIA_UNITS, Kind
from gaiaflux.sim.series import Series, SeriesConfig
from gaiaflux.sim.variability import paczynski, transit

__all__ = ["PlantedSeries", "figures", "read_night", "score_night", "write_night"]

N_BRIGHTEST, N_VARIABLE = 10, 3
SCATTER_BUDGET = {"aperture": (1.18, 1.4), "psf": (1.05, 1.2)}  # up to S/N 300, above
OUTLIER = 8.0  # errors: a cosmic ray that was not recognised
ISOLATED = 0.01  # light of neighbours near a star, weighted with the wings of the PSF, over its own
TRANSIT_SNR = (150.0, 1000.0)


class PlantedSeries(Series):
    """A series in which some of the brightest stars vary and many stars are transited.

    Parameters
    ----------
    config : SeriesConfig
        Configuration.
    """

    def __init__(self, config: SeriesConfig) -> None:
        super().__init__(config)

    @cached_property
    def _field(self) -> tuple[np.ndarray, np.ndarray]:
        stars, table = super()._field
        rng = np.random.default_rng(self.config.seed)
        hours = self.config.n_frames * self.config.night.cadence_min / 60.0
        inside = self._inside(stars)
        constant = stars["kind"] == Kind.CONSTANT
        snr = self._typical_snr(stars)
        brightest = np.flatnonzero(inside & constant)
        brightest = brightest[np.argsort(stars["g"][brightest])]
        for row in brightest[:N_BRIGHTEST][:: N_BRIGHTEST // N_VARIABLE][:N_VARIABLE]:
            stars["kind"][row] = Kind.VARIABLE
            stars["period"][row] = rng.uniform(0.1, 0.5)
            stars["amplitude"][row], stars["phase"][row] = rng.uniform(0.02, 0.1), rng.uniform(0.0, 6.28)
        fit = inside & (stars["kind"] == Kind.CONSTANT) & (snr > TRANSIT_SNR[0]) & (snr < TRANSIT_SNR[1])
        for k, row in enumerate(np.flatnonzero(fit & self._alone(stars))[:N_TRANSITS]):
            # One after the other: transits of many stars at the same time would be a change of the frames.
            centre_h = (0.15 + 0.7 * (k % N_TRANSITS) / N_TRANSITS) * hours
            event = Transit(centre_h=centre_h, duration_h=0.2 * hours, depth=DEPTHS[k % 2], snr=TRANSIT_SNR)
            add_transit(stars, row, event, self._bjd(stars[row : row + 1], event.centre_h))
        return stars, table

    def _inside(self, stars: np.ndarray) -> np.ndarray:
        """Stars that are well inside of every frame."""
        ra, dec = self.config.field.centre_deg
        scale = self.config.camera.pixel_scale_arcsec
        x = (stars["ra"] - ra) * np.cos(np.radians(dec)) * 3600.0 / scale
        y = (stars["dec"] - dec) * 3600.0 / scale
        ny, nx = self.config.camera.shape
        return (np.abs(x) < 0.42 * nx) & (np.abs(y) < 0.42 * ny) & (stars["source_id"] > 0)

    def _alone(self, stars: np.ndarray) -> np.ndarray:
        """Stars whose neighbours within 8 arcsec have less than 0.5 % of their light."""
        ra, dec = self.config.field.centre_deg
        place = 3600.0 * np.stack([(stars["ra"] - ra) * np.cos(np.radians(dec)), stars["dec"] - dec], axis=1)
        light = 10.0 ** (-0.4 * stars["g"])
        alone = np.zeros(len(stars), dtype=bool)
        for row in np.flatnonzero(stars["g"] < 18.0):
            near = np.hypot(*(place - place[row]).T) < 8.0
            alone[row] = light[near].sum() < 1.005 * light[row]
        return alone


def figures(
    work: Path,
    settings: dict,
    *,
    methods: Sequence[str] = ("aperture",),
    n_frames: int = 100,
    n_stars_large: int = 20_000,
    n_frames_large: int = 1000,
) -> list[Figure]:
    """Calibrate a simulated night and a big series, and compare both with the truth.

    Parameters
    ----------
    work : Path
        Folder for images, runs and datasets; about 2 GB.
    settings : dict
        Complete configuration.
    methods : sequence of str
        Methods of photometry of the night.
    n_frames : int
        Frames of the night.
    n_stars_large, n_frames_large : int
        Size of the big series.

    Returns
    -------
    list of Figure
    """
    folder = work / "night"
    series = write_night(folder, presets.timeseries(n_frames), methods)
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "all", "--until", "calibrate_dataset"]
    command += ["--snakefile", str(REPOSITORY / "Snakefile"), "--configfile", str(folder / "config.yaml")]
    done = subprocess.run(
        [*command, "--directory", str(folder)], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"snakemake ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-3000:]}")
    dataset, rows = folder / "results" / "night" / "dataset.h5", []
    for method in methods:
        with warnings.catch_warnings():  # of stars without a point, whose median is NaN
            warnings.simplefilter("ignore", RuntimeWarning)
            rows += score_night(read_night(dataset, folder / "truth.npz", series, method), method)
    return rows + large_figures(work / "large", settings["calibrate"], n_stars_large, n_frames_large)


def write_night(
    folder: Path, config: SeriesConfig | None = None, methods: Sequence[str] = ("aperture",)
) -> PlantedSeries:
    """Simulate the night: its images, its Gaia-like table, the truth of its stars, and a configuration.

    Parameters
    ----------
    folder : Path
        Where the files go.
    config : SeriesConfig, optional
        Preset `timeseries` where not given.
    methods : sequence of str
        Methods of photometry of the configuration.

    Returns
    -------
    PlantedSeries
        With the truth of the stars.
    """
    series = PlantedSeries(config or presets.timeseries())
    (folder / "images").mkdir(parents=True, exist_ok=True)
    truths = []
    for made in series.frames():
        write_banzai(folder / "images" / f"{made.frame_id}.fits", made.frame, header=made.header)
        truths.append(made.truth)
    write_fits_tables(folder / "gaia.fits", {"GAIA": series.gaia}, GAIA_UNITS)
    files = {"images": str(folder / "images" / "*.fits"), "gaia_file": str(folder / "gaia.fits")}
    text = {"series": {"night": files}, "photometry": {"methods": list(methods)}}
    (folder / "config.yaml").write_text(yaml.safe_dump(text), encoding="utf-8")
    n_stars, n_frames = len(series.stars), len(truths)
    flux, sigma, relative = (np.full((n_stars, n_frames), np.nan) for _ in range(3))
    for j, truth in enumerate(truths):
        rows = truth.stars["star"]
        for array, name in ((flux, "flux"), (sigma, "sigma"), (relative, "relative")):
            array[rows, j] = truth.stars[name]
    np.savez(folder / "truth.npz", flux=flux, sigma=sigma, relative=relative, stars=series.stars)
    return series


@dataclass
class Night:
    """Calibrated fluxes of one method beside the truth; rows are stars of the dataset that the truth knows.

    Attributes
    ----------
    ratio : ndarray, shape (n, m)
        Calibrated flux over what it should be; NaN where not measured or spoiled.
    error, floor : ndarray, shape (n, m)
        Its stated error, and the error of an optimal fit, both in the same unit.
    snr : ndarray, shape (n,)
        Typical signal-to-noise ratio of the optimal fit.
    stars : ndarray of STAR_DTYPE, shape (n,)
        Truth.
    isolated : ndarray of bool, shape (n,)
        No neighbour disturbs the star.
    status : ndarray of str, shape (n,)
        What the ensemble says of the star.
    bjd : ndarray, shape (m,)
        Barycentric times.
    """

    ratio: np.ndarray
    error: np.ndarray
    floor: np.ndarray
    snr: np.ndarray
    stars: np.ndarray
    isolated: np.ndarray
    status: np.ndarray
    bjd: np.ndarray


def read_night(dataset: Path, truth_path: Path, series: Series, method: str) -> Night:
    """Calibrated fluxes and truth of the same stars and frames.

    Parameters
    ----------
    dataset : Path
        What the workflow wrote.
    truth_path : Path
        What `write_night` wrote.
    series : Series
        The simulated night.
    method : str
        Group of the dataset.

    Returns
    -------
    Night
    """
    truth = np.load(truth_path)
    with h5py.File(dataset) as file:
        source_id, group = file["stars/source_id"][()], file[method]
        flux, error, flags = (group[name][()] for name in ("flux_cal", "flux_cal_err", "flags"))
        status = group["ensemble_status"].asstr()[()]
        names = list(file["frames/frame_id"].asstr())
    columns = [names.index(series.frame_id(index)) for index in range(len(series))]
    place = {int(number): row for row, number in enumerate(truth["stars"]["source_id"]) if number > 0}
    known = np.array([row for row, number in enumerate(source_id) if int(number) in place])
    true = np.array([place[int(source_id[row])] for row in known])
    flux, error, flags = (array[known][:, columns] for array in (flux, error, flags))
    stars = truth["stars"][true]
    expected, relative, sigma = (truth[name][true] for name in ("flux", "relative", "sigma"))
    conditions = [series.conditions(index) for index in range(len(series))]
    site, night = series.config.site, series.config.night
    airmass = np.array([found.airmass for found in conditions])
    twinkling = scintillation(site.aperture_m, airmass, night.exptime_s, site.height_m)
    # Without its scintillation, in the frame with mean colour term: what a perfect calibration gives.
    level = 10.0 ** (-0.4 * (stars["g"] + night.colour_extinction * airmass.mean() * (stars["bp"] - stars["rp"] - 1.0)))
    good = np.isfinite(flux) & ((flags & SPOILED) == 0) & np.isfinite(expected)
    ratio = np.where(good, flux / (level[:, None] * relative), np.nan)
    error = np.where(good, error / (level[:, None] * relative), np.nan)
    floor = np.hypot(sigma / expected, twinkling)
    snr = np.nanmedian(expected / sigma, axis=1)
    isolated = _isolated(truth["stars"], true, series)
    bright = isolated & (snr > 100) & (stars["kind"] == Kind.CONSTANT)
    zero = np.nanmedian(np.nanmedian(ratio[bright], axis=1))
    when = [truth_frame_bjd(series, index) for index in range(len(series))]
    return Night(ratio / zero, error / zero, floor, snr, stars, isolated, status[known], np.array(when))


def truth_frame_bjd(series: Series, index: int) -> float:
    """Barycentric time of a frame in the middle of the field [d]."""
    mjd_first = series.config.night.mjd_first
    hours = (series.conditions(index).mjd_utc - mjd_first) * 24.0
    middle = np.zeros(1, dtype=series.stars.dtype)
    middle["ra"], middle["dec"] = series.config.field.centre_deg
    return series._bjd(middle, hours)


def _isolated(stars: np.ndarray, rows: np.ndarray, series: Series) -> np.ndarray:
    """Stars beside which neighbours weigh less than `ISOLATED` of their light."""
    ra, dec = series.config.field.centre_deg
    place = 3600.0 * np.stack([(stars["ra"] - ra) * np.cos(np.radians(dec)), stars["dec"] - dec], axis=1)
    light = 10.0 ** (-0.4 * stars["g"])
    result = np.zeros(len(rows), dtype=bool)
    for k, row in enumerate(rows):
        distance = np.hypot(*(place - place[row]).T)
        near = (distance < 15.0) & (distance > 0.0)
        result[k] = (light[near] / light[row] * (1.0 + (distance[near] / 2.5) ** 2) ** -2.0).sum() < ISOLATED
    return result


def score_night(night: Night, method: str) -> list[Figure]:
    """Scatter over the floor, pulls, transits, the lensed star and the choice of comparison stars.

    Parameters
    ----------
    night : Night
        What was measured.
    method : str
        Its name.

    Returns
    -------
    list of Figure
    """
    rows = []
    constant = night.isolated & (night.stars["kind"] == Kind.CONSTANT) & (np.isfinite(night.ratio).mean(axis=1) > 0.8)
    low, high = SCATTER_BUDGET.get(method, (None, None))
    for least, most in BINS:
        some = constant & (night.snr >= least) & (night.snr < most)
        ratio, error, floor = night.ratio[some], night.error[some], night.floor[some]
        known = np.isfinite(ratio)
        weight = np.where(known, floor, np.inf) ** -2.0
        mean = (np.where(known, ratio, 0.0) * weight).sum(axis=1) / weight.sum(axis=1)
        own = np.sqrt(known.sum(axis=1) / (known.sum(axis=1) - 1.0))[:, None]
        over = (ratio - mean[:, None]) / floor * own
        pull = (ratio - mean[:, None]) / error * own
        outliers = int((np.abs(pull) > OUTLIER).sum())
        pull = pull[np.abs(pull) <= OUTLIER]
        scatter = np.median(1.4826 * np.nanmedian(np.abs(over), axis=1))
        label = f"{method}, S/N {least}-{most}"
        budget = high if least >= 300 else low
        rows += [
            Figure(f"{label}: scatter over the floor ({some.sum()} stars)", float(scatter), at_most=budget),
            Figure("  pull, standard deviation", float(np.std(pull)), at_least=0.95, at_most=1.10),
            Figure(f"  points beyond {OUTLIER:.0f} errors, of {pull.size + outliers}", outliers, digits=0),
            Figure("  pull, mean", float(np.nanmean((ratio - 1.0) / error)), within=0.1),
            Figure("  typical deviation of a star's level [mmag]", float(1085.7 * np.median(mean - 1.0))),
        ]
    return rows + _events(night, method) + _comparison_stars(night, method)


def _events(night: Night, method: str) -> list[Figure]:
    """Depths of the planted transits, and the peak of the lensed star."""
    depths, errors, floors, true = [], [], [], []
    for row in np.flatnonzero(night.stars["kind"] == Kind.TRANSIT):
        star = night.stars[row]
        if np.isfinite(night.ratio[row]).mean() < 0.5:
            continue  # saturated in good seeing
        shape = 1.0 - transit(night.bjd, star["t0"], star["duration"], 1.0, star["ingress"])
        # `ratio` is over the truth with its transit.
        value = night.ratio[row] * (1.0 - star["depth"] * shape)
        if np.isfinite(value[shape > 0.5]).sum() < 3:
            continue
        depth, error = fit_shape(value, night.error[row], -shape)
        depths.append(depth)
        errors.append(error)
        floors.append(fit_shape(value, night.floor[row], -shape)[1])
        true.append(star["depth"])
    depths, errors, floors, true = (np.array(values) for values in (depths, errors, floors, true))
    relative = np.average(depths / true, weights=(errors / true) ** -2.0)
    floor = np.sum((floors / true) ** -2.0) ** -0.5
    rows = [
        Figure(f"{method}: {len(true)} transits of 5 and 10 mmag, mean depth over the truth", float(relative)),
        Figure("  its photon floor", float(floor)),
        Figure("  its deviation [floors]", float((relative - 1.0) / floor), within=2.0),
        Figure("  its bias", float(relative - 1.0), within=0.03),
        Figure("  pull of single depths", float(np.std((depths - true) / errors))),
    ]
    for row in np.flatnonzero(night.stars["kind"] == Kind.MICROLENSING):
        star = night.stars[row]
        shape = paczynski(night.bjd, star["t0"], star["u0"], star["t_e"])
        value, error = night.ratio[row] * shape, night.error[row] * shape
        peak, sigma = fit_shape(value, error, (shape - 1.0) / (shape.max() - 1.0))
        rows.append(
            Figure(f"{method}: peak of the lensed star [errors]", (peak - shape.max() + 1.0) / sigma, within=3.0)
        )
    return rows


def _comparison_stars(night: Night, method: str) -> list[Figure]:
    """Variables among the stars of the ensemble."""
    used = night.status == "used"
    varies = night.stars["kind"] == Kind.VARIABLE
    amplitude = np.where(varies, night.stars["amplitude"] / np.sqrt(2.0) * np.log(10.0) / 2.5, 0.0)
    strong = amplitude > 3.0 * np.sqrt(np.nanmean(night.floor**2, axis=1))
    return [
        Figure(f"{method}: stars of the ensemble", int(used.sum()), digits=0),
        Figure("  of them variables above 3 floors", int((used & strong).sum()), at_most=0, digits=0),
        Figure("  variables above 3 floors in the field", int(strong.sum()), digits=0),
    ]
