"""What the report says in words: numbers with their units, and what was left out and why."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from gaiaflux.model.flags import STAR_FLAGS
from gaiaflux.model.status import OK, StarUse
from gaiaflux.report.series import MethodSummary, SeriesSummary
from gaiaflux.report.statistics import LEAST_POINTS
from gaiaflux.series.response import response_sentences

__all__ = [
    "catalog_facts",
    "count",
    "flag_rows",
    "headline_facts",
    "key_numbers",
    "method_facts",
    "number",
    "omissions",
    "reference_facts",
]

Fact = tuple[str, str]
_NO_PLATES = "rms – with – stars"


def number(value: Any, digits: int = 3) -> str:
    """A number with some significant digits and never as a power of ten below a million; a dash where unknown."""
    if value is None or not np.isfinite(float(value)):
        return "–"
    value = float(value)
    if value == 0 or abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    decimals = digits - 1 - int(np.floor(np.log10(abs(value))))
    return f"{value:.{min(decimals, 8)}f}"


def count(n: int, noun: str) -> str:
    """``1 frame``, ``1,200 frames``."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _spread(values: np.ndarray, unit: str = "", digits: int = 3) -> str:
    """Median and range."""
    values = values[np.isfinite(values)]
    if not values.size:
        return "–"
    low, middle, high = (number(v, digits) for v in (values.min(), np.median(values), values.max()))
    unit = f" {unit}" if unit else ""
    return f"{middle}{unit}" if low == high else f"{middle}{unit} ({low} to {high})"


def _known(counts: np.ndarray) -> np.ndarray:
    return np.where(counts > 0, counts, np.nan)


def _texts(values: np.ndarray) -> str:
    return ", ".join(sorted({str(value) for value in values} - {""})) or "–"


def key_numbers(series: SeriesSummary) -> list[Fact]:
    """The few numbers to see first: value and what it is."""
    ok, frames = series.ok, series.frames
    facts = [
        (f"{ok.sum():,} of {ok.size:,}", "frames measured"),
        (f"{len(series.stars['star_id']):,}", "stars in the catalogue"),
    ]
    scale = series.scale_arcsec[np.isfinite(series.scale_arcsec)]
    if ok.any() and np.isfinite(frames["fwhm_pix"][ok]).any():
        seeing = np.nanmedian(frames["fwhm_pix"][ok]) * (np.median(scale) if scale.size else 1.0)
        facts.append((f"{number(seeing)} {'arcsec' if scale.size else 'pixel'}", "median seeing"))
    if ok.any() and np.isfinite(frames["wcs_rms_mas"][ok]).any():
        facts.append((f"{number(np.nanmedian(frames['wcs_rms_mas'][ok]))} mas", "median rms of the plate solutions"))
    for method in series.methods:
        found = method.statistics
        use = found.clean & ~found.blended & np.isfinite(found.scatter) & np.isfinite(found.mag)
        if use.sum() >= LEAST_POINTS:
            rows = np.flatnonzero(use)
            best = rows[np.argsort(found.mag[rows], kind="stable")][:20]
            named = f" ({method.name})" if len(series.methods) > 1 else ""
            label = f"median scatter of the {best.size} brightest single stars{named}"
            facts.append((f"{number(1e3 * np.median(found.scatter[best]))} mmag", label))
    return facts


def headline_facts(series: SeriesSummary) -> list[Fact]:
    """What was observed."""
    frames, ok = series.frames, series.ok
    time = frames["mjd_utc"][np.isfinite(frames["mjd_utc"])]
    scale = series.scale_arcsec
    facts = [
        ("camera, filter", f"{_texts(frames['camera'])}; {_texts(frames['filter'])}"),
        ("time", f"MJD {time.min():.5f} to {time.max():.5f} (UTC, mid-exposure)" if time.size else "not known"),
        ("time was taken from", _texts(frames["time_rule"])),
        ("exposure", _spread(frames["exptime_s"], "s")),
        ("airmass", _spread(frames["airmass"][ok])),
        ("seeing (FWHM)", _spread(frames["fwhm_pix"][ok], "pixel")),
        ("pixel scale", _spread(scale, "arcsec", 5)),
        ("sky", _spread(frames["sky"][ok], f"{_texts(frames['unit'][ok])} / pixel")),
        (
            "plate solution",
            f"rms {_spread(frames['wcs_rms_mas'][ok], 'mas')} with {_spread(_known(frames['wcs_n_stars'][ok]))} stars",
        ),
    ]
    facts = [(name, text) for name, text in facts if text not in ("–", _NO_PLATES)]
    for method in series.methods:
        named = _prefix(series, method)
        facts += [
            (f"{named}zero point", _zero_point(method)),
            (f"{named}transparency (pscale)", _spread(method.pscale)),
        ]
        if "series_terms" in method.attributes:
            facts.append((f"{named}terms of all frames", _shared_terms(method)))
    return facts


def _prefix(series: SeriesSummary, method: MethodSummary) -> str:
    return f"{method.name}: " if len(series.methods) > 1 else ""


def _zero_point(method: MethodSummary) -> str:
    attributes = method.attributes
    value, scatter = float(attributes["zero_point_mag"]), float(attributes["zero_point_scatter_mag"])
    if not np.isfinite(value):
        return "none"
    text = f"{value:.3f} mag to {attributes['magnitude_system']} for 1 {method.unit}, without a colour term"
    if np.isfinite(scatter):
        text += f"; the {count(int(attributes['zero_point_n_stars']), 'star')} scatter by {number(1e3 * scatter)} mmag"
    return text


def _shared_terms(method: MethodSummary) -> str:
    """Terms that were kept, with what they mean."""
    said: dict[str, list[str]] = {}
    for row in json.loads(str(method.attributes["series_terms"])):
        if row["error_mag"] is not None:
            value = f"{row['term']} {number(row['value_mag'])} ± {number(row['error_mag'], 2)} {row.get('unit', 'mag')}"
            said.setdefault(row.get("description", ""), []).append(value)
    return "; ".join(", ".join(values) + (f" ({text})" if text else "") for text, values in said.items()) or "none"


def catalog_facts(pin: Mapping[str, Any] | None, series: SeriesSummary) -> list[Fact]:
    """Where the catalogue comes from, as it was pinned; of one that was not, as the dataset says."""
    source = series.stars["source_id"]
    if pin is None:
        return [
            ("source", str(series.attributes.get("catalog_source", "–"))),
            ("sha256", str(series.attributes.get("catalog_sha256", "–"))),
            ("measured", f"{len(source):,} stars of it"),
        ]
    own = pin.get("source") == "reference_image"
    place = f"{pin['release']} at {pin['server']}" if pin.get("server") else f"file {pin.get('file')}"
    limit = "" if own else f" to {number(pin.get('magnitude_limit'))} mag"
    measured = f"{(source > 0).sum():,} stars of it and {(source <= 0).sum():,} of the reference image alone"
    facts = [
        ("source", f"stars of the reference image {pin['frame_id']}" if own else place),
        ("date", str(pin.get("date_utc", "–"))),
        ("stars in the field's catalogue", f"{int(pin.get('n_rows', 0)):,}{limit}"),
        ("sha256", str(pin.get("sha256", "–"))),
        ("measured", f"{len(source):,} stars of it" if own else measured),
        ("sha256 of the measured list", str(series.attributes.get("catalog_sha256", "–"))),
    ]
    if own:
        facts.insert(1, ("sky coordinates", str(pin["sky_coordinates"])))
        facts.insert(2, ("magnitudes", str(pin["magnitudes"])))
    if pin.get("file_sha256"):
        facts.insert(2, ("sha256 of the file", str(pin["file_sha256"])))
    if pin.get("query"):
        facts.append(("query", str(pin["query"])))
    return facts


def reference_facts(reference: Mapping[str, Any], scale: float) -> list[Fact]:
    """The reference image."""
    fwhm = float(reference.get("fwhm_pix", np.nan))
    seeing = f"{number(fwhm)} pixel" + (f" = {number(fwhm * scale)} arcsec" if np.isfinite(scale) else "")
    facts = [
        ("frame", str(reference.get("frame_id", "–"))),
        ("file", str(reference.get("path", "–"))),
        ("chosen by", str(reference.get("chosen_by", "–"))),
        ("size", f"{reference.get('nx', '–')} x {reference.get('ny', '–')} pixel"),
        ("seeing (FWHM)", seeing),
        (
            "plate solution",
            f"rms {number(reference.get('wcs_rms_mas'))} mas, {reference.get('wcs_n_stars', '–')} stars"
            if "wcs_rms_mas" in reference
            else str(reference.get("sky_coordinates", "–")),
        ),
    ]
    return facts


def omissions(series: SeriesSummary) -> list[str]:
    """Sentences that say what was left out, and why."""
    said = []
    if series.left_out:
        said.append(f"{count(len(series.left_out), 'file')} could not be measured; the table below has the reasons.")
    lost = int((~series.ok).sum())
    if lost:
        said.append(f"{count(lost, 'frame')} could not be measured; the table below has the reasons.")
    else:
        said.append("Every frame was measured.")
    if not np.isfinite(series.frames["mjd_utc"]).all():
        n = int((~np.isfinite(series.frames["mjd_utc"])).sum())
        said.append(f"{count(n, 'frame')} without a time, put at the end of the series.")
    for method in series.methods:
        missed = int((series.ok & (method.status != OK)).sum())
        if missed:
            said.append(f"{method.name}: {count(missed, 'frame')} that only another method could measure.")
        said += [_prefix(series, method) + text for text in _omissions_of(method, series.ok)]
    return said


def method_facts(method: MethodSummary) -> list[Fact]:
    """What a method says of its frames, in the words of `gaiaflux.model.methods`."""
    measured = method.status == OK
    rows = []
    for name, reported in method.declared.reported.items():
        if name not in method.facts:
            continue
        column, values = method.declared.frame_facts[name], method.facts[name]
        if column.dtype == "text":
            found = Counter(values[measured])
            listed = [value for value in reported.words if found[value]]
            listed += sorted(found.keys() - reported.words.keys())
            said = [f"{count(found[value], 'frame')} {reported.words.get(value, value)}" for value in listed]
            rows.append((reported.label, ", ".join(said) or "–"))
        else:
            rows.append((reported.label, _spread(np.where(measured, values, np.nan).astype(float), column.unit)))
    return rows


def _omissions_of(method: MethodSummary, ok: np.ndarray) -> list[str]:
    found, note = method.statistics, str(method.attributes["calibration"])
    said = []
    if note == OK:
        solved, ok = method.frame_notes == OK, ok & (method.status == OK)
        used = int((method.star_notes == StarUse.USED).sum())
        said.append(
            f"{count(int(solved.sum()), 'frame')} brought to one scale by an ensemble of {count(used, 'star')}."
        )
        left = np.isin(method.frame_notes.astype(str), [*method.as_measured.values()])
        said += [f"{ccd}: {reason}. Its fluxes are as measured." for ccd, reason in method.as_measured.items()]
        weak = int((ok & ~solved & ~left).sum())
        if weak:
            said.append(f"{count(weak, 'frame')} measured but not calibrated, with the reason in the table below.")
    else:
        said.append(f"{note[:1].upper()}{note[1:]}. The fluxes are as measured, whatever else changed them included.")
    said += response_sentences(method.attributes)
    if method.attributes["zero_point_note"] != OK:
        said.append(f"Zero point: {method.attributes['zero_point_note']}.")
    varied = sum(text.startswith(StarUse.SCATTERS) for text in method.star_notes)
    if varied:
        said.append(f"{count(varied, 'star')} kept out of the ensemble because their light varies too much.")
    never = int((found.n_points == 0).sum())
    few = int(((found.n_points > 0) & (found.n_points < LEAST_POINTS)).sum())
    if never:
        said.append(
            f"{count(never, 'star')} without any calibrated point: outside of the images, or without usable pixels."
        )
    if few:
        said.append(f"{count(few, 'star')} with fewer than {LEAST_POINTS} points, too few for a scatter.")
    spoiled = int(((found.n_points >= LEAST_POINTS) & ~found.clean).sum())
    saturated = int((found.saturated >= 0.5).sum())
    if spoiled:
        said.append(
            f"{count(spoiled, 'star')} with most points flagged ({saturated:,} of them saturated); their "
            "variability is not judged."
        )
    blended = int((found.blended & found.clean).sum())
    if blended:
        said.append(
            f"{count(blended, 'star')} set apart ({found.blend}): their light follows the seeing, so they are compared "
            "only with each other."
        )
    return said


def flag_rows(method: MethodSummary) -> list[tuple[str, str, str, str]]:
    """Name, points, part of all points and meaning of each flag that occurs."""
    points = method.pscale.size * max(method.statistics.n_points.size, 1)
    return [
        (flag.name, f"{n:,}", f"{100 * n / max(points, 1):.2f} %", flag.description)
        for flag in STAR_FLAGS
        if (n := method.statistics.flag_points[flag.name])
    ]
