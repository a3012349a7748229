"""Steps of the detectors' response in a series: found from its stars, taken off the light curves, told to the user."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gaiaflux.core.calibration.response_fit import Points
from gaiaflux.core.calibration.response_steps import ResponseSteps, find_steps
from gaiaflux.core.maths.field_basis import field_order, make_basis
from gaiaflux.core.maths.robust import masked_median
from gaiaflux.core.sky.star_positions import places_on_image
from gaiaflux.io.dataset import DatasetReader, DatasetWriter
from gaiaflux.io.image.wcs_cards import tan_sip_from_cards
from gaiaflux.model.catalog import SkyCatalog
from gaiaflux.model.flags import SPOILED, StarFlag
from gaiaflux.model.quality import UNEVEN_RESPONSE
from gaiaflux.model.settings.calibrate import CalibrateSettings
from gaiaflux.model.units import MAG_PER_RELATIVE
from gaiaflux.model.wcs import TanSip

__all__ = ["Detector", "SeriesResponse", "find_response", "response_sentences", "write_response"]

_MOST_STARS, _LEAST_STARS = 400, 20
_ROWS = 2048  # among these: catalogues begin with their brightest stars
_MOST_POINTS = 30_000
_LEAST_SNR = 20.0
_LEAST_FRAMES = 3  # that a star is measured in
_REACH_FWHM = 5.0  # within so many widths of a seam the sky around a star lies on either side of it
_NEAR = StarFlag.NEIGHBOUR | StarFlag.BLENDED
_USE = (
    "flux_cal = flux / 10^(-0.4 value_mag of the part that the star fell on in the frame), before all other terms; "
    "columns and rows are the seams between parts [pixel, 0-based, an integer is the centre of a pixel], value_mag has "
    "a row for each interval of rows"
)


@dataclass(frozen=True)
class Detector:
    """A detector of a series, and its response.

    Attributes
    ----------
    camera : str
        Name.
    shape : tuple of int
        (ny, nx).
    frames : ndarray of bool, shape (m,)
        Frames that it took.
    steps : ResponseSteps
        Without a seam where none was found.
    """

    camera: str
    shape: tuple[int, int]
    frames: np.ndarray
    steps: ResponseSteps = field(default_factory=ResponseSteps)

    @property
    def uneven(self) -> bool:
        """Whether parts differ by so much that fluxes of single frames are flagged."""
        return self.steps.span > UNEVEN_RESPONSE


class SeriesResponse:
    """Response of all detectors of a series at the places of its stars.

    Parameters
    ----------
    detectors : tuple of Detector
        All detectors.
    frames, stars : mapping of str to ndarray
        Columns of ``/frames`` (m) and ``/stars``.
    """

    def __init__(
        self, detectors: tuple[Detector, ...], frames: Mapping[str, np.ndarray], stars: Mapping[str, np.ndarray]
    ) -> None:
        self.detectors = detectors
        self._frames, self._stars = frames, stars
        self._plates = [_plate(frames, j) for j in range(len(frames["status"]))]

    @property
    def any(self) -> bool:
        """Whether a detector has a seam."""
        return any(detector.steps.any for detector in self.detectors)

    @property
    def span(self) -> np.ndarray:
        """Largest difference between parts of the detector of each frame, natural logarithm, shape (m,)."""
        span = np.zeros(len(self._plates))
        for detector in self.detectors:
            span[detector.frames] = detector.steps.span
        return span

    def places(self, rows: np.ndarray | slice, frames: np.ndarray) -> np.ndarray:
        """Columns and rows of some stars in some frames, shape (2, n, len(frames)) [pixel]; NaN where not known."""
        columns = ("ra_deg", "dec_deg", "ref_epoch", "pmra", "pmdec", "parallax")
        known = {name: np.asarray(self._stars[name][rows], dtype=float) for name in columns}
        for name in ("pmra", "pmdec", "parallax"):
            known[name] = np.nan_to_num(known[name])
        unknown = np.full(len(known["ra_deg"]), np.nan)
        nothing = dict.fromkeys(("source_id", "pos_err", "pm_err", "mag", "colour"), unknown)
        catalog = SkyCatalog(**known, **nothing, system="", source="")
        found = np.full((2, len(unknown), len(frames)), np.nan)
        for k, j in enumerate(frames):
            plate, mjd = self._plates[j], self._frames["mjd_utc"][j]
            if plate is not None and np.isfinite(mjd):
                found[:, :, k] = places_on_image(catalog, plate, float(mjd))
        return found

    def log(self, rows: np.ndarray | slice) -> np.ndarray:
        """Natural logarithm of the response at some stars in all frames, shape (n, m)."""
        return self._look_up(rows)[0]

    def flags(self, rows: np.ndarray | slice) -> np.ndarray:
        """Flag of the points beside the seam of an uneven detector, uint32, shape (n, m)."""
        return np.where(self._look_up(rows)[1], np.uint32(StarFlag.SEAM), np.uint32(0))

    def _look_up(self, rows: np.ndarray | slice) -> tuple[np.ndarray, np.ndarray]:
        n, m = len(self._stars["ra_deg"][rows]), len(self._plates)
        value, beside = np.zeros((n, m)), np.zeros((n, m), dtype=bool)
        for detector in self.detectors:
            if detector.steps.any:
                frames = np.flatnonzero(detector.frames)
                column, row = self.places(rows, frames)
                value[:, frames] = detector.steps.at(column, row)
                if detector.uneven:
                    reach = _REACH_FWHM * self._frames["fwhm_pix"][frames]
                    beside[:, frames] = detector.steps.distance(column, row) < reach
        return value, beside


def _plate(frames: Mapping[str, np.ndarray], j: int) -> TanSip | None:
    """Plate solution of a frame; None where it has none."""
    cards, shape = str(frames["wcs_header"][j]), (int(frames["ny"][j]), int(frames["nx"][j]))
    return tan_sip_from_cards(cards, shape) if cards and min(shape) > 0 else None


def find_response(
    source: DatasetReader,
    method: str,
    frames: Mapping[str, np.ndarray],
    stars: Mapping[str, np.ndarray],
    settings: CalibrateSettings,
) -> SeriesResponse | None:
    """Look for steps of the response of each detector of a series.

    Parameters
    ----------
    source : DatasetReader
        File of `gaiaflux.series.assembly.assemble_dataset`.
    method : str
        Its group.
    frames, stars : mapping of str to ndarray
        Columns of ``/frames`` and ``/stars``.
    settings : CalibrateSettings
        Its `spatial_order` is that of the frames' own polynomials.

    Returns
    -------
    SeriesResponse or None
        None where no detector has a step that the stars tell.
    """
    detectors = _detectors(frames)
    response = SeriesResponse(detectors, frames, stars)
    n_stars = source.grid(f"{method}/flux").shape[1]
    chosen = _some_frames(detectors, max(_MOST_POINTS // min(_MOST_STARS, max(n_stars, 1)), 1))
    if chosen.size < 2:
        return None
    rows, flux, error, use = _bright(source, method, chosen)
    x, y = stars["x_ref"][rows], stars["y_ref"][rows]
    if rows.size < _LEAST_STARS:
        return None
    order = int(np.median(field_order(x, y, use, settings.spatial_order)))
    terms = make_basis(x, y, np.ones(rows.size, dtype=bool), order).terms(x, y)
    place = response.places(rows, chosen)
    star, frame = np.nonzero(use & np.isfinite(place).all(axis=0))
    log_flux, variance = np.log(flux[star, frame]), (error[star, frame] / flux[star, frame]) ** 2
    place, reach = place[:, star, frame], _REACH_FWHM * np.nan_to_num(frames["fwhm_pix"])[chosen[frame]]
    found = []
    for detector in detectors:
        own = detector.frames[chosen[frame]]
        points = Points(star, frame, log_flux, variance, terms, own, place[:, own], reach[own], detector.shape)
        steps = find_steps(points)
        log_flux = log_flux - np.where(own, steps.at(*place), 0.0)
        found.append(Detector(detector.camera, detector.shape, detector.frames, steps))
    response = SeriesResponse(tuple(found), frames, stars)
    return response if response.any else None


def _detectors(frames: Mapping[str, np.ndarray]) -> tuple[Detector, ...]:
    """Detectors of a series: a camera that bins its pixels differently is another one."""
    keys = list(zip(frames["camera"].astype(str), frames["ny"].tolist(), frames["nx"].tolist(), strict=True))
    return tuple(
        Detector(str(camera), (ny, nx), np.array([key == (camera, ny, nx) for key in keys], dtype=bool))
        for camera, ny, nx in sorted(set(keys))
        if min(ny, nx) > 0
    )


def _some_frames(detectors: tuple[Detector, ...], number: int) -> np.ndarray:
    """Numbers of at most so many frames, from each detector its share, ascending."""
    total = max(sum(int(detector.frames.sum()) for detector in detectors), 1)
    chosen = [np.zeros(0, dtype=int)]
    for detector in detectors:
        own = np.flatnonzero(detector.frames)
        wanted = min(own.size, max(2, number * own.size // total))
        chosen.append(own[np.linspace(0, own.size - 1, wanted).round().astype(int)])
    return np.unique(np.concatenate(chosen))


def _bright(
    source: DatasetReader, method: str, frames: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The brightest stars, those without neighbours first: rows, flux, error, usable points (n, len(frames))."""
    grids = [source.grid(f"{method}/{name}") for name in ("flux", "flux_err", "flags")]
    middle = grids[0].shape[2] // 2
    flux, error, flags = (np.stack([grid[j, :_ROWS, middle] for j in frames], axis=1) for grid in grids)
    flux, error = flux.astype(float), error.astype(float)
    known = np.isfinite(flux) & np.isfinite(error) & (error > 0) & ((flags & SPOILED) == 0)
    use = known & (np.nan_to_num(flux) > 0.5 * _LEAST_SNR * np.where(known, error, np.inf))
    snr = np.nan_to_num(masked_median(np.where(use, flux, 0.0) / np.where(use, error, 1.0), use, 1))
    near = 2 * (use & ((flags & _NEAR) != 0)).sum(axis=1) > use.sum(axis=1)
    placed = np.isfinite(source.array("stars/x_ref")[:_ROWS]) & np.isfinite(source.array("stars/y_ref")[:_ROWS])
    possible = placed & (snr >= _LEAST_SNR) & (use.sum(axis=1) >= min(_LEAST_FRAMES, len(frames)))
    rows = np.flatnonzero(possible)
    rows = np.sort(rows[np.lexsort((rows, -snr[rows], near[rows]))[:_MOST_STARS]])
    return rows, flux[rows], error[rows], use[rows]


def write_response(out: DatasetWriter, method: str, response: SeriesResponse) -> None:
    """Write the seams and the response of the parts between them, and of each frame how uneven its detector is.

    Parameters
    ----------
    out : DatasetWriter
        Dataset.
    method : str
        Group.
    response : SeriesResponse
        With a step.
    """
    cameras = [
        {
            "camera": detector.camera,
            "columns": list(detector.steps.columns),
            "rows": list(detector.steps.rows),
            "value_mag": (-MAG_PER_RELATIVE * detector.steps.values).tolist(),
            "error_mag": (MAG_PER_RELATIVE * detector.steps.errors).tolist(),
        }
        for detector in response.detectors
        if detector.steps.any
    ]
    out.attributes({"response_steps": json.dumps({"cameras": cameras, "use": _USE})}, method)
    text = "largest difference of response between parts of the detector (attribute response_steps)"
    out.array(f"{method}/response_span", MAG_PER_RELATIVE * response.span, "mag", text)


def response_sentences(attributes: Mapping[str, Any]) -> list[str]:
    """What was found, a sentence for each camera with steps.

    Parameters
    ----------
    attributes : mapping
        Of the group of a method, as `write_response` left them.

    Returns
    -------
    list of str
        Empty where nothing was found.
    """
    said = []
    for found in json.loads(str(attributes.get("response_steps", '{"cameras": []}')))["cameras"]:
        seams = [_listed(kind, found[f"{kind}s"]) for kind in ("column", "row") if found[f"{kind}s"]]
        span = float(np.ptp(found["value_mag"])) / MAG_PER_RELATIVE
        text = f"The response of camera {found['camera']} steps by up to {100.0 * span:.1f} % at "
        text += f"{' and '.join(seams)}, as between amplifiers whose gain differs: light curves are corrected"
        single = ", single fluxes are not: their frames carry uneven_response, points beside the seam the flag seam"
        said.append(f"{text}{single if span > UNEVEN_RESPONSE else ''}.")
    return said


def _listed(kind: str, places: Sequence[float]) -> str:
    """``column 511.5``, ``rows 255.5, 511.5``."""
    return f"{kind}{'s' if len(places) > 1 else ''} {', '.join(f'{place:.1f}' for place in places)}"
