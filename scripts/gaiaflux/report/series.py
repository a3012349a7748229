"""What the report needs of a dataset, read once; light curves are read where they are drawn."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gaiaflux.io.dataset import DatasetReader
from gaiaflux.model.flags import SPOILED
from gaiaflux.model.method import Method
from gaiaflux.model.methods import METHODS_OF, methods_named
from gaiaflux.model.status import OK
from gaiaflux.model.units import MAG_PER_RELATIVE
from gaiaflux.report.statistics import MethodStatistics, measure_method
from gaiaflux.series.magnitudes import catalog_magnitude

__all__ = [
    "LightCurve",
    "MethodSummary",
    "SeriesSummary",
    "TimeAxis",
    "read_light_curve",
    "read_series",
]

_ONE_NIGHT_D = 1.5


@dataclass(frozen=True)
class TimeAxis:
    """Abscissa of the frames: `values` of shape (m,), NaN where not known, and what they are."""

    values: np.ndarray
    label: str


@dataclass(frozen=True)
class MethodSummary:
    """One method of photometry.

    Attributes
    ----------
    declared : Method
        What it is.
    unit : str
        Of the fluxes.
    attributes : dict
        Of the group: calibration, zero_point_mag ...
    statistics : MethodStatistics
        Numbers per star and frame.
    pscale, epscale : ndarray, shape (m,)
        Scale of the frames and its error.
    frame_notes : ndarray of str, shape (m,)
        ``ok``, or why the frame is not calibrated.
    star_notes : ndarray of str, shape (n,)
        ``used`` in the ensemble, why left out, or empty for no candidate.
    status : ndarray of str, shape (m,)
        ``ok``, or why this method did not measure the frame.
    facts : dict of str to ndarray, shape (m,)
        What the method says of the frames and the report shows (`Method.reported`), as far as the dataset has it.
    """

    declared: Method
    unit: str
    attributes: dict[str, str | int | float]
    statistics: MethodStatistics
    pscale: np.ndarray
    epscale: np.ndarray
    frame_notes: np.ndarray
    star_notes: np.ndarray
    status: np.ndarray
    facts: dict[str, np.ndarray]

    @property
    def name(self) -> str:
        """Group of the dataset."""
        return self.declared.name

    @property
    def as_measured(self) -> dict[str, str]:
        """CCDs of a field that have no ensemble, and why."""
        return json.loads(str(self.attributes.get("ccds_as_measured", "{}")))


@dataclass(frozen=True)
class SeriesSummary:
    """A series: attributes of the file, columns of frames and stars, methods.

    Attributes
    ----------
    attributes : dict
        Of the file.
    config, versions : dict
        From its JSON attributes.
    frames, stars : dict of str to ndarray
        Columns.
    ok : ndarray of bool, shape (m,)
        Status is ``ok``.
    scale_arcsec : ndarray, shape (m,)
        Pixel scale of the plate solution; NaN where there is none.
    centre_deg : ndarray, shape (m, 2)
        Right ascension and declination of the image's centre; NaN where there is no plate solution.
    methods : tuple of MethodSummary
        In the order of `gaiaflux.model.methods.METHODS_OF`.
    left_out : dict of str to str
        Files that gave nothing to the dataset, and why; frames that could not be measured are among the frames.
    band : str
        Band of the catalogue's magnitudes.
    """

    attributes: dict[str, str | int | float]
    config: dict[str, Any]
    versions: dict[str, str]
    frames: dict[str, np.ndarray]
    stars: dict[str, np.ndarray]
    ok: np.ndarray
    scale_arcsec: np.ndarray
    centre_deg: np.ndarray
    methods: tuple[MethodSummary, ...]
    left_out: dict[str, str]
    band: str

    @property
    def one_night(self) -> bool:
        """All times lie within a day and a half."""
        time = self._times()
        return time.size > 0 and time.max() - time.min() < _ONE_NIGHT_D

    def _times(self) -> np.ndarray:
        return self.frames["mjd_utc"][np.isfinite(self.frames["mjd_utc"])]

    def time_axis(self) -> TimeAxis:
        """Time of the frames [h or d]; their numbers where no time is known."""
        mjd, known = self.frames["mjd_utc"], self._times()
        if known.size == 0:
            return self.frame_axis()
        if self.one_night:
            return TimeAxis((mjd - known.min()) * 24.0, f"hours after MJD {known.min():.4f} (UTC)")
        start = np.floor(known.min())
        return TimeAxis(mjd - start, f"MJD - {start:.0f} (d, UTC)")

    def frame_axis(self) -> TimeAxis:
        """Number of the frame in the order of time, for series with gaps."""
        return TimeAxis(np.arange(len(self.ok), dtype=float), "frame, in the order of time")


@dataclass(frozen=True)
class LightCurve:
    """Calibrated points of one star, shape (m,): magnitude (NaN where there is none), its error, spoiled by a flag."""

    mag: np.ndarray
    mag_err: np.ndarray
    spoiled: np.ndarray
    label: str


def read_series(source: DatasetReader) -> SeriesSummary:
    """Read and sum up a dataset.

    Parameters
    ----------
    source : DatasetReader
        Open dataset.

    Returns
    -------
    SeriesSummary
        What the report needs.
    """
    attributes, frames = source.attributes(), source.table("frames")
    scale, centre = _plate_solutions(frames)
    methods = methods_named(source.methods, METHODS_OF[source.family])
    return SeriesSummary(
        attributes=attributes,
        config=json.loads(str(attributes["config"])),
        versions=json.loads(str(attributes["versions"])),
        frames=frames,
        stars=source.table("stars"),
        ok=frames["status"] == OK,
        scale_arcsec=scale,
        centre_deg=centre,
        methods=tuple(_read_method(source, method, frames["status"]) for method in methods),
        left_out=json.loads(str(attributes.get("left_out", "{}"))),
        band=catalog_magnitude(source).band,
    )


def _read_method(source: DatasetReader, declared: Method, frame_status: np.ndarray) -> MethodSummary:
    name = declared.name
    # A file of before there were several methods has the status of the frames alone.
    status = source.array(f"{name}/status") if f"{name}/status" in source else frame_status
    facts = {fact: source.array(f"{name}/{fact}") for fact in declared.reported if f"{name}/{fact}" in source}
    return MethodSummary(
        declared=declared,
        unit=str(source.grid(f"{name}/flux_cal").attrs["unit"]),
        attributes=source.attributes(name),
        statistics=measure_method(source, declared),
        pscale=source.array(f"{name}/pscale"),
        epscale=source.array(f"{name}/epscale"),
        frame_notes=source.array(f"{name}/calibration_status"),
        star_notes=source.array(f"{name}/ensemble_status"),
        status=status,
        facts=facts,
    )


def _plate_solutions(frames: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Pixel scale [arcsec], and right ascension and declination of the centre [deg], NaN where there is no solution."""
    # A file of before has the solutions as text alone: the page can do without.
    unknown = np.full(len(frames["status"]), np.nan)
    cd = [frames.get(f"wcs_cd{k}", unknown) for k in ("1_1", "1_2", "2_1", "2_2")]
    scale = 3600.0 * np.sqrt(np.abs(cd[0] * cd[3] - cd[1] * cd[2]))
    centre = [frames.get(f"centre_{axis}_deg", unknown) for axis in ("ra", "dec")]
    return scale, np.stack(centre, axis=1)


def read_light_curve(source: DatasetReader, method: MethodSummary, row: int) -> LightCurve:
    """Read the calibrated points of one star.

    Parameters
    ----------
    source : DatasetReader
        Open dataset.
    method : MethodSummary
        Method of photometry.
    row : int
        Row of the star.

    Returns
    -------
    LightCurve
        In the series' magnitude system; where no zero point is known relative to the star's median.
    """
    flux, error, flags = (source.grid(f"{method.name}/{name}")[row] for name in ("flux_cal", "flux_cal_err", "flags"))
    zero_point, label = float(method.attributes["zero_point_mag"]), f"{method.attributes['magnitude_system']} (mag)"
    if not np.isfinite(zero_point):
        level = float(method.statistics.level[row])
        zero_point, label = 2.5 * np.log10(level) if level > 0 else 0.0, "relative magnitude"
    flux = np.where(np.isfinite(flux) & (flux > 0), flux, np.nan).astype(float)
    return LightCurve(
        mag=zero_point - 2.5 * np.log10(flux),
        mag_err=MAG_PER_RELATIVE * error / flux,
        spoiled=(flags & SPOILED) != 0,
        label=label,
    )
