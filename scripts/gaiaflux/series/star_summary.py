"""One aperture for each star, and what each star did over the series by it, streamed in blocks of stars."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from gaiaflux.core.aperture.choice import (
    FixedApertures,
    choose_apertures,
    fixed_apertures,
    fold_scatter,
    pick_aperture,
    with_fixed,
)
from gaiaflux.core.aperture.noise_law import NoiseLaw, fit_noise_law
from gaiaflux.core.aperture.scatter import frame_trends, predicted_error, trend_order
from gaiaflux.core.maths.robust import masked_median
from gaiaflux.io.dataset import DatasetReader
from gaiaflux.model.flags import NOT_GOOD, SPOILED, StarFlag
from gaiaflux.series.response import SeriesResponse

__all__ = [
    "ApertureSummary",
    "Grids",
    "Measured",
    "all_apertures",
    "choose_and_write",
    "fixed_of_series",
    "join_summaries",
    "read_rows",
    "sampled_frames",
    "star_blocks",
    "sum_up",
]

_BLOCK_VALUES = 4_000_000  # numbers of one array in memory at once
_SAMPLED_FRAMES = 200  # enough for a median
_CANDIDATE_SNR = 20.0
_TREND_STARS = 200  # brightest, that tell the radii's common ups and downs
_TREND_ROWS = 2048  # among these: catalogues begin with their brightest stars
_LEAST_LAW_POINTS = 4  # in each half of the frames, of a star among others that tell together
_LEAST_FRAMES = 30  # with fewer, no scatter tells whether a fixed aperture is better
_NEAR = np.uint32(StarFlag.NEIGHBOUR | StarFlag.BLENDED | StarFlag.POOR_FIT)


@dataclass(frozen=True)
class ApertureSummary:
    """One value per star, from its points by its recommended aperture.

    Attributes
    ----------
    radius : ndarray of int
        Recommended aperture.
    flux : ndarray
        Typical flux; NaN where there is no good point.
    snr : ndarray
        Typical signal-to-noise ratio, at most what the scatter over the series says.
    n_points, n_good, n_sound, n_saturated : ndarray of int
        Points, points that no flag spoils, those of them that are exported (`NOT_GOOD`), saturated points.
    isolated : ndarray of bool
        No neighbour disturbs the star, or the series shows that it does not matter.
    held_out : ndarray
        Scatter in the half of the frames that did not choose the aperture, relative to the flux; NaN where not known.
    expected : ndarray
        Scatter that stars of that brightness have, from the error that is predicted for a typical frame; relative to
        the flux.
    """

    radius: np.ndarray
    flux: np.ndarray
    snr: np.ndarray
    n_points: np.ndarray
    n_good: np.ndarray
    n_sound: np.ndarray
    n_saturated: np.ndarray
    isolated: np.ndarray
    held_out: np.ndarray
    expected: np.ndarray


class Grids(NamedTuple):
    """Datasets of a file with the measurements of a method, of one shape; h5py.Dataset."""

    flux: Any
    flux_err: Any
    flags: Any


class Measured(NamedTuple):
    """Measurements of some stars, arrays of one shape; NaN where there is none."""

    flux: np.ndarray
    flux_err: np.ndarray
    flags: np.ndarray

    @property
    def usable(self) -> np.ndarray:
        """Points that no flag spoils, with flux and error."""
        return ((self.flags & SPOILED) == 0) & np.isfinite(self.flux) & np.isfinite(self.flux_err)


class _Trends(NamedTuple):
    """Common ups and downs of f frames by each aperture (k, ...), and the places of the stars that they are from."""

    values: np.ndarray
    x: np.ndarray
    y: np.ndarray


class _Sampled(NamedTuple):
    """What the frames that decide say of some stars by each aperture: predicted error, typical error and flux."""

    points: Measured
    predicted: np.ndarray
    error: np.ndarray
    level: np.ndarray


def star_blocks(n_stars: int, values_per_star: int) -> Iterator[slice]:
    """Blocks of stars that fit the memory, whole chunks of the file."""
    step = max(256, _BLOCK_VALUES // max(values_per_star, 1) // 256 * 256)
    for first in range(0, n_stars, step):
        yield slice(first, min(first + step, n_stars))


def sampled_frames(n_frames: int) -> slice:
    """Frames that are enough for a median; the same number of even and of odd ones."""
    return slice(None, None, max(1, n_frames // _SAMPLED_FRAMES))


def _deciding(n_frames: int, every: int) -> slice:
    """Sampled ones of every so many frames."""
    return slice(None, None, every * max(1, n_frames // every // _SAMPLED_FRAMES))


def choose_and_write(
    source: DatasetReader,
    method: str,
    grids: Grids,
    frames: Mapping[str, np.ndarray],
    stars: Mapping[str, np.ndarray],
    *,
    deciding: int = 1,
    response: SeriesResponse | None = None,
) -> tuple[ApertureSummary, np.ndarray | None]:
    """Pick each star's aperture, write its measurements there, and sum each star up.

    Parameters
    ----------
    source : DatasetReader
        File of `gaiaflux.series.assembly.assemble_dataset`.
    method : str
        Its group.
    grids : Grids
        Where flux, flux_err and flags go, shape (n_stars, n_frames).
    frames, stars : mapping of str to ndarray
        Columns of ``/frames`` and ``/stars``.
    deciding : int
        Every so many frames decide by their scatter; the others can then judge the choice.
    response : SeriesResponse or None
        Of the detectors: what is decided and summed up is without its steps, what is written is as measured and has
        the flags of their seams.

    Returns
    -------
    summary : ApertureSummary
        Of all stars.
    radii : ndarray, shape (n_frames, n), or None
        Radii that the recommended apertures count through: those that were measured and then, where the series is
        long enough and its seeing changes, some of fixed size. None for a method without radii.
    """
    inputs = Grids(*(source.grid(f"{method}/{name}") for name in Grids._fields))
    n_frames, n_stars, n_radii = inputs.flux.shape
    fixed = fixed_of_series(source, method, frames)
    sample = _deciding(n_frames, deciding)
    chosen = np.arange(n_frames)[sample]
    x, y = stars["x_ref"], stars["y_ref"]
    trends, law = _common(_first_rows(inputs, sample, response), chosen, fixed, x, y)
    parts = []
    for block in star_blocks(n_stars, n_frames * n_radii):
        raw = Measured(*(grid[:, block] for grid in inputs))
        values = raw if response is None else _evened(raw, response, block)
        some = _sampled(Measured(*(array[sample] for array in values)), fixed, chosen)
        flux, usable = some.points.flux, some.points.usable
        expected = law.scatter(some.predicted, some.level)
        scatter, count = fold_scatter(flux, usable, x[block], y[block], trends.values, (trends.x, trends.y))
        usual, known = (law.distinct.scatter(error, some.level) for error in (some.error, some.predicted))
        known = np.where(np.isfinite(known), known, np.inf)
        choice = choose_apertures(scatter, count, usual, some.level, known)
        picked = Measured(*pick_aperture(values.flux, values.flux_err, values.flags, choice.index, fixed))
        written = picked
        if response is not None:
            written = Measured(*pick_aperture(raw.flux, raw.flux_err, values.flags, choice.index, fixed))
        for grid, array in zip(grids, written, strict=True):
            grid[block] = array
        own = np.take_along_axis(expected, choice.index[:, None], axis=1)[:, 0]
        parts.append(sum_up(picked, sample, choice.index, choice.held_out, own))
    summary = join_summaries(parts)
    if f"{method}/radii_pix" not in source:
        return summary, None
    radii = source.array(f"{method}/radii_pix")
    measured = np.isfinite(radii).all(axis=1)
    added = np.where(measured[:, None], fixed.radii, np.nan)
    return summary, np.concatenate([radii, added], axis=1)


def fixed_of_series(source: DatasetReader, method: str, frames: Mapping[str, np.ndarray]) -> FixedApertures:
    """Apertures of one size that a method of a series can have; `source` and `frames` as for `choose_and_write`."""
    if f"{method}/radii_pix" in source:
        radii = source.array(f"{method}/radii_pix")
        if np.isfinite(radii).all(axis=1).sum() >= _LEAST_FRAMES:
            return fixed_apertures(radii, frames["fwhm_pix"])
    return FixedApertures.none(source.grid(f"{method}/flux").shape[0])


def all_apertures(arrays: Sequence[np.ndarray], fixed: FixedApertures, frames: np.ndarray) -> Measured:
    """Flux, error and flags of some frames by the measured apertures, and by the fixed ones behind them."""
    flux, error, flags = arrays
    return Measured(*with_fixed(flux, error, flags, fixed, frames))


def join_summaries(parts: list[ApertureSummary]) -> ApertureSummary:
    """Summary of consecutive blocks of stars; of no star, if there is none."""
    nothing = Measured(np.zeros((0, 1)), np.zeros((0, 1)), np.zeros((0, 1), dtype=np.uint16))
    parts = parts or [sum_up(nothing, slice(None), np.zeros(0, dtype=int), np.zeros(0), np.zeros(0))]
    names = [field.name for field in fields(ApertureSummary)]
    return ApertureSummary(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _sampled(points: Measured, fixed: FixedApertures, chosen: np.ndarray) -> _Sampled:
    """What some frames say of some stars, with the fixed apertures behind the measured ones."""
    points = all_apertures(points, fixed, chosen)
    predicted = predicted_error(points.flux, points.flux_err, points.usable, (points.flags & _NEAR) != 0)
    return _Sampled(points, predicted, *_typical(points.flux, points.flux_err, points.usable))


def _evened(values: Measured, response: SeriesResponse, rows: slice, frames: slice = slice(None)) -> Measured:
    """Measurements of shape (n_frames, n_stars, n_radii) without the steps of the response, with the seams' flags."""
    factor = np.exp(response.log(rows)).astype("f4").T[frames, :, None]
    seam = response.flags(rows).T[frames, :, None]
    return Measured(values.flux / factor, values.flux_err / factor, values.flags | seam)


def _first_rows(inputs: Grids, sample: slice, response: SeriesResponse | None) -> Measured:
    """The first stars of the catalogue in the sampled frames."""
    first = Measured(*(grid[:, :_TREND_ROWS][sample] for grid in inputs))
    return first if response is None else _evened(first, response, slice(0, _TREND_ROWS), sample)


def _common(
    first: Measured, chosen: np.ndarray, fixed: FixedApertures, x: np.ndarray, y: np.ndarray
) -> tuple[_Trends, NoiseLaw]:
    """What the stars have in common: ups and downs of the sampled frames, and how they scatter beside these."""
    x, y = x[:_TREND_ROWS], y[:_TREND_ROWS]
    usable = first.usable & (np.isfinite(x) & np.isfinite(y))[None, :, None]
    bright = _brightest(first.flux, first.flux_err, usable)
    order = trend_order(bright.size)
    some = all_apertures([array[:, bright] for array in first], fixed, chosen)
    trends = _Trends(frame_trends(some.flux, some.usable, x[bright], y[bright], order=order), x[bright], y[bright])
    every = _sampled(first, fixed, chosen)
    halves, count = fold_scatter(
        *(every.points.flux, every.points.usable, x, y, trends.values, (trends.x, trends.y)),
        least_points=_LEAST_LAW_POINTS,
    )
    scatter = np.sqrt((count * halves**2).sum(axis=0) / np.maximum(count.sum(axis=0), 1))
    return trends, fit_noise_law(scatter, every.predicted, every.level)


def _brightest(flux: np.ndarray, error: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Rows of the stars with the best signal-to-noise ratio among those that are often measured by every radius."""
    often = usable.all(axis=2).sum(axis=0)
    possible = np.flatnonzero((often > 0) & (often >= 0.7 * often.max(initial=0)))
    middle = flux.shape[2] // 2
    good = usable[:, possible, middle]
    snr = np.where(good, flux[:, possible, middle] / np.where(good, error[:, possible, middle], 1.0), 0.0)
    level = np.nan_to_num(masked_median(snr, good, 0))
    return np.sort(possible[np.argsort(-level, kind="stable")[:_TREND_STARS]])


def _typical(flux: np.ndarray, error: np.ndarray, usable: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median error by each aperture, and median flux, of each star; 0 where there is no point."""
    n_frames, n_stars, n_radii = flux.shape
    use = np.ascontiguousarray(usable.reshape(n_frames, -1).T)
    typical = [
        np.nan_to_num(masked_median(array.reshape(n_frames, -1).T, use, 1)).reshape(n_stars, n_radii)
        for array in (error, flux)
    ]
    return typical[0], typical[1].max(axis=1)


def sum_up(
    picked: Measured, sample: slice, radius: np.ndarray, held_out: np.ndarray, expected: np.ndarray
) -> ApertureSummary:
    """Sum some stars up.

    Parameters
    ----------
    picked : Measured
        Of n stars in m frames.
    sample : slice
        Frames that are enough for a median.
    radius : ndarray of int, shape (n,)
        Apertures that they were measured with.
    held_out, expected : ndarray, shape (n,)
        See `ApertureSummary`, in the unit of the flux; NaN where not known.

    Returns
    -------
    ApertureSummary
    """
    flux, error, flags = picked
    good = ((flags & SPOILED) == 0) & np.isfinite(flux) & (error > 0)
    sound = good & ((flags & NOT_GOOD) == 0)
    level = masked_median(flux[:, sample], good[:, sample], 1)
    ratio = flux[:, sample] / np.where(good, error, 1)[:, sample]
    snr = np.nan_to_num(masked_median(ratio, good[:, sample], 1))
    # What the star did over the series says more than the errors and than the neighbours that are known; a variable
    # star stays a candidate that the ensemble then leaves out.
    seen = np.isfinite(held_out) & (level > 0)
    snr[seen] = np.minimum(snr, np.maximum(level / np.where(held_out > 0, held_out, 1.0), _CANDIDATE_SNR))[seen]
    isolated = (((flags & _NEAR) != 0) & good).sum(axis=1) <= 0.5 * good.sum(axis=1)
    scale = np.where(level > 0, level, np.nan)
    saturated = ((flags & StarFlag.SATURATED) != 0) & np.isfinite(flux)
    return ApertureSummary(
        radius=radius,
        flux=level,
        snr=snr,
        n_points=np.isfinite(flux).sum(axis=1),
        n_good=good.sum(axis=1),
        n_sound=sound.sum(axis=1),
        n_saturated=saturated.sum(axis=1),
        isolated=isolated | seen,
        held_out=held_out / scale,
        expected=expected / scale,
    )


def read_rows(grids: Grids, rows: np.ndarray) -> Measured:
    """Some rows of chunked datasets of shape (n_stars, n_frames), read in whole blocks."""
    n_stars, n_frames = grids.flux.shape
    found = [np.empty((rows.size, n_frames), dtype=grid.dtype) for grid in grids]
    for block in star_blocks(n_stars, n_frames):
        inside = (rows >= block.start) & (rows < block.stop)
        if inside.any():
            for grid, values in zip(grids, found, strict=True):
                values[inside] = grid[block][rows[inside] - block.start]
    return Measured(*found)
