"""The report of a series as one HTML file without external resources."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from gaiaflux.io.dataset import DatasetReader
from gaiaflux.model.status import OK
from gaiaflux.report.ccd_images import CcdSummary, read_ccd
from gaiaflux.report.figures.ccd_images import field_figure, motion_figure, sky_figure
from gaiaflux.report.figures.conditions import conditions_figure
from gaiaflux.report.figures.field_map import map_figure, on_image, reference_shape
from gaiaflux.report.figures.light_curve import light_curve_figure
from gaiaflux.report.figures.methods import comparison_figure
from gaiaflux.report.figures.plate import plate_figure, stack_residuals
from gaiaflux.report.figures.precision import precision_figure
from gaiaflux.report.figures.psf import find_psf, psf_figure
from gaiaflux.report.figures.style import BLUE, VERMILION, drawing, svg_uri
from gaiaflux.report.html import words
from gaiaflux.report.html.template import PAGE
from gaiaflux.report.series import MethodSummary, SeriesSummary, read_light_curve, read_series
from gaiaflux.report.statistics import CONSTANT, LEAST_POINTS

__all__ = ["write_report"]

_LISTED, _LISTED_BLENDED = 20, 8
_DRAWN, _DRAWN_CONSTANT = 6, 3


def write_report(
    path: str | Path,
    dataset: str | Path,
    pin: Mapping[str, Any] | None = None,
    reference: Mapping[str, Any] | None = None,
    wcs: Sequence[str | Path] = (),
    measured: Mapping[str, Sequence[str | Path]] | None = None,
    images: Sequence[str | Path] = (),
) -> None:
    """Write the page; the same input gives the same bytes.

    Parameters
    ----------
    path : str or Path
        HTML file to write.
    dataset : str or Path
        Dataset of the series.
    pin : mapping, optional
        What ``gaia.json`` says of the catalogue.
    reference : mapping, optional
        What ``reference.json`` says of the reference image; a series without one has no plate solutions to show.
    wcs : sequence of path
        Batches of plate solutions, for the map of their residuals; without them that map is left out.
    measured : mapping of str to sequence of path, optional
        Batches by method of photometry, for the picture of the reference image's PSF; without those of a method that
        holds it, it is left out.
    images : sequence of path, optional
        Prepared full-frame images in which stars of a field were measured, a file for each CCD; they are drawn.
    """
    with DatasetReader(dataset) as source, drawing():
        series = read_series(source)
        shape = reference_shape(series, reference)
        residuals = stack_residuals(wcs, shape) if wcs and shape else None
        known = np.isfinite(series.scale_arcsec)
        compared = len(series.methods) > 1
        content = {
            "name": series.attributes["series"],
            "created": series.attributes["created_utc"],
            "versions": series.versions,
            "config": json.dumps(series.config, indent=1, sort_keys=True),
            "key_numbers": words.key_numbers(series),
            "headline": words.headline_facts(series),
            "omissions": words.omissions(series),
            "bad_frames": _bad_frames(series),
            "left_out": sorted(series.left_out.items()),
            "lost": bool((~series.ok).any()),
            "one_night": series.one_night,
            "conditions": svg_uri(conditions_figure(series)),
            "plate": svg_uri(plate_figure(series, reference, residuals)) if reference is not None else "",
            "residuals": f"{residuals.n_matches:,}" if residuals else "",
            "comparison": svg_uri(comparison_figure(series)) if compared else "",
            "methods": [
                {**_method_content(source, series, method, shape), "psf": _psf_picture(series, method, measured or {})}
                for method in series.methods
            ],
            "least_points": LEAST_POINTS,
            "catalog": words.catalog_facts(pin, series),
            "reference": words.reference_facts(
                reference, float(np.median(series.scale_arcsec[known])) if known.any() else np.nan
            )
            if reference is not None
            else [],
            "ccds": [_ccd_content(ccd, series) for ccd in map(read_ccd, images) if ccd is not None],
            "band": series.band,
            "place": "on the reference image" if on_image(series) else "in the sky",
        }
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    Path(path).write_text(environment.from_string(PAGE).render(content), encoding="utf-8")


def _bad_frames(series: SeriesSummary) -> list[dict[str, str]]:
    """Frames that were not measured or not calibrated, with the reason."""
    rows = []
    for j, status in enumerate(series.frames["status"]):
        reasons = [status] if status != OK else []
        for method in series.methods if status == OK else ():
            if method.status[j] != OK:
                reasons.append(f"not measured ({method.name}): {method.status[j]}")
            # A series or a CCD that is not calibrated at all is said once, not with every frame.
            elif method.frame_notes[j] not in (OK, method.attributes["calibration"], *method.as_measured.values()):
                reasons.append(f"measured, not calibrated ({method.name}): {method.frame_notes[j]}")
        mjd = series.frames["mjd_utc"][j]
        when = f"{mjd:.5f}" if np.isfinite(mjd) else "–"
        rows += [{"frame_id": series.frames["frame_id"][j], "mjd": when, "reason": reason} for reason in reasons]
    return rows


def _psf_picture(series: SeriesSummary, method: MethodSummary, measured: Mapping[str, Sequence[str | Path]]) -> str:
    """The reference image's PSF by a method that holds one; empty where there is none."""
    if not method.declared.holds_psf:
        return ""
    model = find_psf(measured.get(method.name, ()), str(series.attributes.get("reference_frame_id")))
    return svg_uri(psf_figure(model)) if model else ""


def _method_content(
    source: DatasetReader, series: SeriesSummary, method: MethodSummary, shape: tuple[int, int] | None
) -> dict[str, Any]:
    found, axis = method.statistics, series.time_axis()
    variable, blended = found.most_variable(_LISTED, blended=False), found.most_variable(_LISTED_BLENDED, blended=True)
    variable, blended = (rows[found.excess[rows] > CONSTANT] for rows in (variable, blended))
    drawn = {int(row): VERMILION for row in variable[:_DRAWN]}
    drawn |= {int(row): BLUE for row in found.brightest_constant(_DRAWN_CONSTANT)}
    if not drawn:  # few stars or few points: show what there is
        rows = np.flatnonzero(found.n_points > 1)
        drawn = {int(row): BLUE for row in rows[np.argsort(found.mag[rows], kind="stable")][:_DRAWN_CONSTANT]}
    curves = [
        {
            "anchor": _anchor(series, method, row),
            "star_id": int(series.stars["star_id"][row]),
            "title": _title(series, method, row),
            "image": svg_uri(light_curve_figure(axis, read_light_curve(source, method, row), color)),
        }
        for row, color in drawn.items()
    ]
    return {
        "name": method.name,
        "title": method.declared.title,
        "by": method.declared.by,
        "sentence": method.declared.sentence,
        "holds_psf": method.declared.holds_psf,
        "precision": svg_uri(precision_figure(method)),
        "map": svg_uri(map_figure(series, method, shape), dpi=110),
        "variable": _star_rows(series, method, variable, drawn),
        "blend": found.blend,
        "blended": _star_rows(series, method, blended, drawn),
        "curves": curves,
        "flags": words.flag_rows(method),
        "facts": words.method_facts(method),
    }


def _ccd_content(ccd: CcdSummary, series: SeriesSummary) -> dict[str, Any]:
    sector, camera, number = ccd.name.removeprefix("s").split("-")
    return {
        "name": ccd.name,
        "title": f"Sector {int(sector)}, camera {camera}, CCD {number}",
        "n_frames": words.count(len(ccd.mjd_tdb), "frame"),
        "field": svg_uri(field_figure(ccd, series), dpi=110),
        "sky": svg_uri(sky_figure(ccd)),
        "motion": svg_uri(motion_figure(ccd)),
        "flags": ccd.flag_rows(),
        "remarks": ccd.remarks,
    }


def _anchor(series: SeriesSummary, method: MethodSummary, row: int) -> str:
    return f"{method.name}-star-{series.stars['star_id'][row]}"


def _title(series: SeriesSummary, method: MethodSummary, row: int) -> str:
    found = method.statistics
    return (
        f"Star {series.stars['star_id'][row]}, {series.band} = {words.number(found.mag[row], 4)}, "
        f"excess {words.number(found.excess[row])}"
    )


def _star_rows(
    series: SeriesSummary, method: MethodSummary, rows: np.ndarray, drawn: Mapping[int, str]
) -> list[dict[str, Any]]:
    found, stars = method.statistics, series.stars
    return [
        {
            "rank": rank,
            "anchor": _anchor(series, method, row) if row in drawn else "",
            "star_id": int(stars["star_id"][row]),
            "source_id": int(stars["source_id"][row]) if stars["source_id"][row] > 0 else "not in Gaia",
            "mag": f"{found.mag[row]:.2f}",
            "scatter": words.number(1e3 * found.scatter[row]),
            "expected": words.number(1e3 * found.expected[row]),
            "chi2": words.number(found.chi2[row]),
            "excess": words.number(found.excess[row]),
            "points": f"{int(found.n_good[row])} of {int(found.n_points[row])}",
            "position": f"{stars['ra_deg'][row]:.5f} {stars['dec_deg'][row]:+.5f}",
        }
        for rank, row in enumerate((int(row) for row in rows), start=1)
    ]
