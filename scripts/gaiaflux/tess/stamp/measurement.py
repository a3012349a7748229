"""Measures a target by one method or several: from a stamp to light curves."""

from collections.abc import Collection
from dataclasses import fields, is_dataclass, replace

import numpy as np

from gaiaflux.core.cadences.measure import CadenceTable, MeasureOptions, StampMeasurement, StampTarget, measure_stamp
from gaiaflux.core.cadences.motion import measured_shifts
from gaiaflux.io.tess.neighbour_table import Neighbours
from gaiaflux.io.tess.weight_map import WeightMap
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.methods import TESS_APERTURE
from gaiaflux.tess.stamp.light_curve_table import Measurement, with_remark
from gaiaflux.tess.stamp.pixel_source import PIXEL_BITS
from gaiaflux.tess.stamp.scene import frames_of_stamp, stars_of_stamp
from gaiaflux.tess.stamp.stamp_view import StampView
from gaiaflux.tess.stamp.status import STATUS

__all__ = ["effective_settings", "measure_methods"]

_NO_SUM = "the aperture is empty, or always has a pixel without light"
_WITH_SKY = "no background was subtracted from the pixels, none can be fitted, and the sum contains it"
_NO_FIT = "no pixel near the target can be used"
MOST_RESIZES = 5
HIGH_CONTAMINATION = 0.1
"""Part of the light in the aperture from which on the user is warned."""


def measure_methods(
    view: StampView, methods: Collection[str], *, residual_correction: bool = False, saturated: str = "aperture"
) -> dict[str, Measurement]:
    """Measure the target of a view.

    Parameters
    ----------
    view : StampView
        Its stamp is enlarged for a target whose charge runs over its edge, as far as there are pixels.
    methods : collection of str
        Names of `gaiaflux.model.methods.TESS_METHODS`.
    residual_correction : bool
        Add what a fit leaves next to the target to its flux.
    saturated : str
        How the sums of a target with saturated pixels are made, of `gaiaflux.core.cadences.target.SATURATED`.

    Returns
    -------
    dict of str to Measurement
        By method. Its status is ERROR where nothing could be measured, WARNING where its remarks or those of the
        source say something.
    """
    source = view.source
    options = replace(
        MeasureOptions(),
        methods=tuple(methods),
        residual_correction=residual_correction,
        aperture_background=not source.subtracted,
        saturated=saturated,
    )
    target, rows = _target(view)
    made = measure_stamp(target, view.samples, options)
    for _ in range(MOST_RESIZES):
        down, up = made.saturated_sums.rows if made.grown else (0, 0)
        if not (down or up) or not view.resize_stamp(down=down, up=up):
            break
        target, rows = _target(view)
        made = measure_stamp(target, view.samples, options)
    background = np.ascontiguousarray(source.backgrounds(view.stamp))
    remarks = []
    if not (source.quality == 0).any():
        remarks.append("no cadence has quality 0: the mean image is of those without a disqualifying bit")
    doubted = bool(remarks or source.remarks)
    jumps = _sky_jumps(view)
    measured = {}
    for name in methods:
        one = _measurement(made, name, background, remarks, doubted)
        flags = one.flags | np.where(jumps, StarFlag.SKY_JUMP, 0).astype(np.uint32)
        measured[name] = replace(one, flags=flags, neighbours=_neighbours(made.tables[name], view, target, rows))
    if TESS_APERTURE.name in measured and not (source.subtracted or made.fitted):
        measured[TESS_APERTURE.name] = with_remark(measured[TESS_APERTURE.name], _WITH_SKY)
    return measured


def _sky_jumps(view: StampView) -> np.ndarray:
    """Cadences in which the background of any pixel of the stamp jumps by the full-frame images, shape (n_times,)."""
    flags = view.source.pixel_flags(view.stamp) & PIXEL_BITS["background_shenanigans"]
    return np.append(flags.any(axis=(1, 2)), False)[view.source.image_of_time]


def _neighbours(table: CadenceTable, view: StampView, target: StampTarget, rows: np.ndarray) -> Neighbours | None:
    """Stars of the catalogue that were fitted with the target; others have no number."""
    found = table.neighbours
    if found is None:
        return None
    own = np.flatnonzero(found.rows < len(rows))
    of, catalog = found.rows[own], view.all_stars[rows[found.rows[own]]]
    return Neighbours(
        star_id=catalog.star_id,
        tmag=catalog.mag,
        row=target.stars.y[of] + view.stamp[0] + 1,
        column=target.stars.x[of] + view.stamp[2] + 1,
        flux=found.flux[own].astype(np.float32),
        flux_err=found.flux_err[own].astype(np.float32),
    )


def _target(view: StampView) -> tuple[StampTarget, np.ndarray]:
    """The target of a view, in the stamp as it is, and the rows of its stars in the catalogue."""
    source = view.source
    stars, rows, solved = stars_of_stamp(view.placed_stars, view.starid, source, view.stamp)
    target = StampTarget(
        frames=frames_of_stamp(source, view.stamp),
        shift_known=measured_shifts(source.pos_corr, source.time).known,
        stars=stars,
        corner=(view.stamp[2], view.stamp[0]),
        aperture=source.mission_mask(view.stamp, view.starid),
        solved=solved,
    )
    return target, rows


def effective_settings(method: str, zero_point: float) -> dict[str, dict[str, str]]:
    """Settings and constants that are in force, as texts by section.

    Parameters
    ----------
    method : str
        That measures.
    zero_point : float
        Magnitude of one electron per second.

    Returns
    -------
    dict
    """
    options = MeasureOptions()
    sections = {"photometry": {"method": method, "zero_point": str(zero_point)}}
    for name in ("fit", "places"):
        section = getattr(options, name)
        sections[name] = {
            one.name: str(getattr(section, one.name))
            for one in fields(section)
            if not is_dataclass(getattr(section, one.name))
        }
    sections["aperture"] = {"sigma": str(options.aperture_sigma)}
    return sections


def _measurement(
    made: StampMeasurement, method: str, background: np.ndarray, said: list[str], doubted: bool
) -> Measurement:
    table = made.tables[method]
    sums = method == TESS_APERTURE.name
    mask, weights = (made.aperture, _weights(made)) if sums else (None, None)
    if weights is not None:
        mask = weights.weight > 0
    remarks, cards = [*said], {}
    contaminated = _median(table.contamination)
    if np.isfinite(contaminated):
        cards["AP_CONT" if sums else "PSF_CONT"] = (contaminated, "part of the light that is not the target's")
    if contaminated > HIGH_CONTAMINATION:
        remarks.append(f"high contamination: {100 * contaminated:.0f} % of the light is not the target's")
    if made.effective and not sums:
        remarks.append("measured with a response function that was made of the target's own frames")
    if made.measurable and not made.described and not sums:
        remarks.append(
            "the response function does not describe the stamp: the target is fitted alone, its flux is uncertain"
        )
    if made.saturated:
        remarks.append(_of_full_pixels(made, sums))
    if sums and made.grown and made.saturated_sums.enclosed is not None:
        enclosed = made.saturated_sums.enclosed
        cards["AP_IN"] = (_median(enclosed.part), "part of the star's light in the aperture")
        cards["AP_INERR"] = (enclosed.error, "its error")
    measured = bool(np.isfinite(table.flux).any() and np.isfinite(table.flux_err).any())
    status = STATUS.ERROR if not measured else STATUS.WARNING if remarks or doubted else STATUS.OK
    if not measured:
        remarks.append(f"nothing could be measured: {_NO_SUM if sums else _NO_FIT}")
    with np.errstate(invalid="ignore", divide="ignore"):
        per_freedom = np.where(table.dof > 0, table.chi2 / table.dof, np.nan)
    return Measurement(
        flux=table.flux,
        flux_err=table.flux_err,
        background=table.background,
        flux_background=_background_light(table, background, made.aperture if weights is None else weights.weight),
        centroid=table.centroid,
        chi2=per_freedom,
        n_clipped=table.n_clipped.astype(np.float64),
        contamination=table.contamination,
        flags=table.flags,
        mask=mask,
        model=None if sums or not measured else made.scene.model,
        weights=weights,
        status=status,
        remarks=tuple(remarks),
        cards=cards,
    )


def _weights(made: StampMeasurement) -> WeightMap | None:
    """Weights of the pixels of a halo."""
    weight = made.saturated_sums.weight if made.grown else None
    return None if weight is None else WeightMap(weight, int(made.bleeding.mask.sum()))


def _of_full_pixels(made: StampMeasurement, sums: bool) -> str:
    """What a target next to saturated pixels, its own or another's, comes to."""
    if made.limited:
        return "pixels of the target are saturated: its flux by aperture is a lower limit, others are not given"
    if not sums:
        return "pixels of the target are saturated: its flux is given by aperture alone"
    found = made.saturated_sums
    said = "pixels of the target are saturated: all that hold its charge are summed up"
    if found.weight is not None:
        said = "pixels of the target are saturated: its changes are those of the others, weighted to vary least"
    if found.enclosed is None:
        return f"{said}; no response function tells how much light is outside of them"
    return f"{said}; {100 * (1 - _median(found.enclosed.part)):.1f} % of the light is outside of them and added"


def _background_light(table: CadenceTable, background: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Light of the background in the aperture: what the mission took off, and what a fit found besides."""
    used = weight != 0
    taken = np.where(np.isfinite(background), background, 0.0)[:, used]
    light = taken.sum(axis=1, dtype=np.float64) if weight.dtype == bool else taken @ weight[used]
    return light + weight.sum() * np.nan_to_num(table.background)


def _median(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")
