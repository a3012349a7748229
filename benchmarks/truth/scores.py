"""Figures of a scenario: frames, plate solutions, entries of the catalogue, errors of fluxes and of light curves."""

from dataclasses import asdict, dataclass, field

import numpy as np

from benchmarks.truth.measured import Measured
from gaiaflux.core.sky.projection import pixel_to_sky, sky_to_pixel
from gaiaflux.io.image.wcs_cards import tan_sip_from_cards
from gaiaflux.model.flags import NOT_GOOD, FrameFlag, StarFlag
from gaiaflux.model.wcs import TanSip
from gaiaflux.sim.scene import Scene

__all__ = ["BINS", "PointScore", "Points", "Score", "score", "score_entries", "score_points"]

BINS = ((10, 20), (20, 50), (50, 100), (100, 300), (300, np.inf))
MMAG = 2500.0 / np.log(10.0)
FAR_SIGMA = 5.0
WRONG_PIX = 1.0
ENTRY_SNR = 5.0
BRIGHT_SNR = 50.0
FEWEST_BRIGHT = 5
FEWEST_POINTS = 10
SAYS_NOTHING_BAD = StarFlag.NEIGHBOUR | StarFlag.BLENDED | StarFlag.BORROWED_PSF | StarFlag.NO_APERTURE_CORRECTION
"""Flags of a false entry that do not warn of it."""


def _robust(values: np.ndarray) -> float:
    """Standard deviation about the median from the median absolute deviation."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


@dataclass(frozen=True)
class PointScore:
    """Points of isolated constant stars in one bin of true signal-to-noise ratio.

    Attributes
    ----------
    n : int
        Points without a flag of `NOT_GOOD`.
    flagged : float
        Part of the points with such a flag.
    bias_mmag : float
        Median excess of the flux; positive: too bright.
    over_floor : float
        Robust scatter over the error of an optimal fit.
    pull : float
        Robust scatter over the stated error.
    pull_std : float
        Root mean square over the stated error, nothing clipped.
    far : float
        Points beyond 5 stated errors [%].
    """

    n: int
    flagged: float
    bias_mmag: float
    over_floor: float
    pull: float
    pull_std: float
    far: float


@dataclass
class Score:
    """All figures of a scenario; percentages where named so.

    Attributes
    ----------
    name : str
        Scenario.
    stopped : str
        What the workflow said where it did not end well.
    frames, solved, lost, wrong : int
        Frames; those with a plate solution; those whose status is not ok; those with a solution off by over 1 pixel.
    wcs_mas, wcs_worst_pix : float
        Median over the frames of the rms error of the plate solution; the largest error anywhere.
    entries : int
        Entries of S/N > 5 on the reference image.
    false, false_all : float
        Part of them that is no star [%]: of those that not every method flags, and of all.
    complete5, complete20 : float
        Part of the true stars above S/N 5 and 20 that have an entry.
    neighbour : float
        Part of the points of bright and really lonely stars with the flag `neighbour` [%]; the worst method's.
    total : dict
        Error of the total flux of bright stars, by method [%].
    far_all : dict
        Points beyond 5 errors without a flag, of all stars, also close ones, of S/N 10 to 100, by method [%].
    points : dict
        By ``method series low``, where series is single or curve: `PointScore`.
    events : dict
        The same for stars that vary, all light curves together, by method.
    """

    name: str
    stopped: str = ""
    frames: int = 0
    solved: int = 0
    lost: int = 0
    wrong: int = 0
    wcs_mas: float = np.nan
    wcs_worst_pix: float = np.nan
    entries: int = 0
    false: float = np.nan
    false_all: float = np.nan
    complete5: float = np.nan
    complete20: float = np.nan
    neighbour: float = np.nan
    total: dict[str, float] = field(default_factory=dict)
    far_all: dict[str, float] = field(default_factory=dict)
    points: dict[str, PointScore] = field(default_factory=dict)
    events: dict[str, PointScore] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def score(name: str, measured: Measured, scene: Scene) -> Score:
    """Score a scenario.

    Parameters
    ----------
    name : str
        Scenario.
    measured : Measured
        Results and truth.
    scene : Scene
        For the true plate solutions.

    Returns
    -------
    Score
    """
    result = Score(name, frames=len(scene), lost=sum(status != "ok" for status in measured.status))
    _score_plates(result, measured, scene)
    score_entries(result, measured)
    score_points(result, measured)
    return result


def score_points(result: Score, measured: Measured) -> None:
    """Errors of fluxes and light curves, total fluxes and the flag `neighbour`, written into a score.

    Parameters
    ----------
    result : Score
        Changed in place.
    measured : Measured
        Results and truth.
    """
    isolated, alone = measured.quiet(), measured.alone()
    shares = []
    for method in measured.methods:
        points = Points(measured, method, isolated, alone)
        result.total[method] = points.total_error()
        shares.append(points.neighbour_share())
        for low, high in BINS:
            result.points[f"{method} single {low}"] = points.single(low, high)
            result.points[f"{method} curve {low}"] = points.curve(low, high)
        result.far_all[method] = points.single(10, 100, close=True).far
        if np.any(measured.truth.kind > 1):
            result.events[method] = points.curve(10, np.inf, varying=True)
    result.neighbour = max(shares)


def _score_plates(result: Score, measured: Measured, scene: Scene) -> None:
    ny, nx = measured.shape
    y, x = (a.ravel() for a in np.meshgrid(np.linspace(0, ny - 1, 21), np.linspace(0, nx - 1, 21), indexing="ij"))
    errors = []
    for index, cards in enumerate(measured.wcs_header):
        if not cards:
            continue
        found: TanSip = tan_sip_from_cards(cards, measured.shape)
        at = sky_to_pixel(found, *pixel_to_sky(scene.true_wcs(index), x, y))
        errors.append(np.hypot(at[0] - x, at[1] - y))
    result.solved = len(errors)
    if errors:
        scale = 1000.0 * scene.config.camera.pixel_scale_arcsec
        result.wrong = sum(bool(error.max() > WRONG_PIX) for error in errors)
        result.wcs_mas = scale * float(np.median([np.sqrt(np.mean(error**2)) for error in errors]))
        result.wcs_worst_pix = max(float(error.max()) for error in errors)


def score_entries(result: Score, measured: Measured) -> None:
    """Entries that are no star, and stars without an entry, on the reference image, written into a score.

    Parameters
    ----------
    result : Score
        Changed in place.
    measured : Measured
        Results and truth.
    """
    truth, j = measured.truth, measured.reference
    at_place = measured.by_place()
    psf = measured.methods["psf"]
    with np.errstate(invalid="ignore", divide="ignore"):
        snr = psf.flux[:, j] / psf.flux_err[:, j]
    seen = measured.on_reference & (snr > ENTRY_SNR)
    # Who uses one method does not look at the flags of the other.
    warns = [(fluxes.flags[:, j] & ~np.uint32(SAYS_NOTHING_BAD)) != 0 for fluxes in measured.methods.values()]
    flagged = np.logical_and.reduce(warns)
    false = at_place < 0
    result.entries = int(seen.sum())
    result.false_all = _percent(false[seen])
    result.false = _percent(false[seen & ~flagged])
    ny, nx = measured.shape
    inside = (np.abs(truth.x[:, j] / (nx - 1) - 0.5) <= 0.5) & (np.abs(truth.y[:, j] / (ny - 1) - 0.5) <= 0.5)
    has_entry = np.zeros(len(truth.source_id), dtype=bool)
    has_entry[at_place[at_place >= 0]] = True
    for least in (5, 20):
        stars = inside & (truth.snr[:, j] > least)
        setattr(result, f"complete{least}", float(has_entry[stars].mean()))


def _percent(values: np.ndarray) -> float:
    return 100.0 * float(values.mean()) if len(values) else np.nan


class Points:
    """Points of one method whose true star is known; arrays of shape (n_pairs, n_frames).

    Parameters
    ----------
    measured : Measured
        Results and truth.
    method : str
        Whose fluxes.
    isolated, alone : ndarray of bool, shape (n_stars,)
        True stars without a neighbour that matters, for fluxes and for the zero point.
    """

    def __init__(self, measured: Measured, method: str, isolated: np.ndarray, alone: np.ndarray) -> None:
        rows = np.flatnonzero(measured.star >= 0)
        star = measured.star[rows]
        truth = measured.truth
        fluxes, scale = measured.methods[method], measured.scale[method]
        self.flux, self.error = fluxes.flux[rows] * scale, fluxes.flux_err[rows] * scale
        self.calibrated, self.calibrated_error = fluxes.flux_cal[rows], fluxes.flux_cal_err[rows]
        self.flags = fluxes.flags[rows]
        self.true, self.sigma, self.relative = truth.flux[star], truth.sigma[star], truth.relative[star]
        ok = np.array([status == "ok" for status in measured.status])
        ny, nx = measured.shape
        x, y = truth.x[star], truth.y[star]
        with np.errstate(invalid="ignore"):
            self.inside = (x > 0) & (x < nx - 1) & (y > 0) & (y < ny - 1) & ok[None, :]
            self.snr = np.where(self.inside, self.true / self.sigma, np.nan)
        unflagged = (self.flags & NOT_GOOD) == 0
        self.uneven = (measured.frame_flags & FrameFlag.UNEVEN_RESPONSE) != 0
        self.good = self.inside & unflagged & np.isfinite(self.flux) & (self.error > 0)
        self.good_calibrated = self.inside & unflagged & np.isfinite(self.calibrated) & (self.calibrated_error > 0)
        self.isolated, self.alone = isolated[star], alone[star]
        self.varies = truth.kind[star] > 1
        self.constant = truth.kind[star] == 0
        self.zero = self._zero_points()

    def _zero_points(self) -> np.ndarray:
        """Measured over true flux of each frame: the median over its bright isolated stars; shape (n_frames,)."""
        zero = np.full(self.flux.shape[1], np.nan)
        for frame in range(len(zero)):
            for stars, least in ((self.alone, BRIGHT_SNR), (self.isolated, BRIGHT_SNR), (self.isolated, 20.0)):
                use = self.good[:, frame] & stars & (self.snr[:, frame] > least)
                if use.sum() >= FEWEST_BRIGHT:
                    zero[frame] = np.median(self.flux[use, frame] / self.true[use, frame])
                    break
        return zero

    def total_error(self) -> float:
        """Error of the total flux: the median of the frames' zero points [%]."""
        known = self.zero[np.isfinite(self.zero)]
        return 100.0 * float(np.median(known) - 1.0) if len(known) else np.nan

    def neighbour_share(self) -> float:
        """Part of the points of bright and lonely stars that carry `neighbour` [%]."""
        points = self.inside & self.alone[:, None] & (self.snr > BRIGHT_SNR)
        return _percent((self.flags[points] & StarFlag.NEIGHBOUR) != 0)

    def single(self, low: float, high: float, *, close: bool = False) -> PointScore:
        """Score single frames, each with its zero point.

        Parameters
        ----------
        low, high : float
            Range of the true signal-to-noise ratio.
        close : bool
            Also stars with neighbours.

        Returns
        -------
        PointScore
        """
        with np.errstate(invalid="ignore"):
            member = self.inside & (self.snr >= low) & (self.snr < high) & (self.isolated | close)[:, None]
        # The flag of such a frame says that its fluxes are wrong, and its light curves right.
        good = member & self.good & (np.isfinite(self.zero) & ~self.uneven)[None, :]
        with np.errstate(invalid="ignore"):
            residual = (self.flux / self.zero - self.true)[good]
            error = (self.error / self.zero)[good]
        lost = 1.0 - good.sum() / max(member.sum(), 1)
        return _point_score(residual, self.true[good], self.sigma[good], error, float(lost))

    def curve(self, low: float, high: float, *, varying: bool = False) -> PointScore:
        """Score light curves, each about the mean of its own star.

        Parameters
        ----------
        low, high : float
            Range of the star's median true signal-to-noise ratio.
        varying : bool
            Stars with an event instead of constant ones, also with neighbours, about their true light curve.

        Returns
        -------
        PointScore
        """
        with np.errstate(all="ignore"):
            ratio, error, floor = (
                self.calibrated / self.relative,
                self.calibrated_error / self.relative,
                self.sigma / self.true,
            )
        known = self.good_calibrated
        enough = known.sum(axis=1) >= max(5, 0.5 * known.shape[1])
        snr = np.array([np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else np.nan for row in self.snr])
        kind = self.varies if varying else self.constant & self.isolated
        stars = kind & (snr >= low) & (snr < high)
        member = self.inside & stars[:, None]
        used = known & (stars & enough)[:, None]
        weight = np.where(used, floor, np.inf) ** -2.0
        total = weight.sum(axis=1)
        with np.errstate(all="ignore"):
            mean = (np.where(used, ratio, 0.0) * weight).sum(axis=1) / total
            # The star's mean follows its points: by so much each residual is smaller.
            own = np.sqrt(np.maximum(1.0 - weight / total[:, None], 0.05))
            residual = (ratio / mean[:, None] - 1.0) / own
            error = error / mean[:, None]
        lost = 1.0 - used.sum() / max(member.sum(), 1)
        return _point_score(residual[used], np.ones(used.sum()), floor[used], np.abs(error[used]), float(lost))


def _point_score(
    residual: np.ndarray, true: np.ndarray, floor: np.ndarray, error: np.ndarray, flagged: float
) -> PointScore:
    """Figures of points; NaN where there are too few."""
    if len(residual) < FEWEST_POINTS:
        return PointScore(len(residual), flagged, *(np.nan,) * 5)
    pull = residual / error
    return PointScore(
        len(residual),
        flagged,
        MMAG * float(np.median(residual / true)),
        _robust(residual / floor),
        _robust(pull),
        float(np.sqrt(np.mean(pull**2))),
        _percent(np.abs(pull) > FAR_SIGMA),
    )
