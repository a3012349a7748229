"""Choice of the reference frame of a series, and of the frames that are stacked with it."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gaiaflux.core.sky.projection import pixel_scale_arcsec, pixel_to_sky, sky_to_pixel
from gaiaflux.io.image.wcs_cards import cards_from_tan_sip, tan_sip_from_cards
from gaiaflux.io.plate_solution import plate_record
from gaiaflux.model.errors import BadFrameError, InputError
from gaiaflux.model.status import OK
from gaiaflux.model.wcs import TanSip

__all__ = ["check_fits_series", "choose_reference", "frame_offsets_pix", "rank_references"]

DEEP_ENOUGH = 0.7  # of the largest number of stars
DEEP_AS_CATALOGUE = 0.9  # the same where nothing but the reference image says which stars there are
ROUND_ENOUGH = 0.1  # in ellipticity above the median
# The stack: so many frames at most, with these limits relative to the reference image.
STACK_SIZE = 5
STACK_SEEING = 1.4
STACK_OVERLAP = 0.9
STACK_TRIES = 20  # frames whose plate solution is looked for
WELL_SAMPLED_PIX = 2.0
STACKED = ("path", "mjd_utc", "fwhm_pix", "n_stars")
RECORDED = ("path", "filter", "camera", "ny", "nx", "mjd_utc", "fwhm_pix", "ellipticity", "n_stars")


def rank_references(frames: Mapping[str, Mapping[str, Any]], *, as_catalogue: bool = False) -> list[str]:
    """Frames from the best to the worst reference.

    A good reference shows many stars, round ones, of the series' most common shape and filter; among those the one
    with the best seeing comes first, as long as two pixels sample it: of narrower stars nobody sees the shape.

    Parameters
    ----------
    frames : mapping of str to mapping
        Per frame identifier what `extract_stars` wrote: status, n_stars, fwhm_pix, ellipticity, ny, nx, filter,
        camera, pixel_scale_arcsec.
    as_catalogue : bool
        Whether the reference image is the catalogue, too: depth then counts for more.

    Returns
    -------
    list of str
        Identifiers of the frames that have stars; equal frames in the order of their names.
    """
    usable = {key: facts for key, facts in sorted(frames.items()) if facts["status"] == OK}
    if not usable:
        return []
    kind = _most_common([_kind(facts) for facts in usable.values()])
    n_best = max(int(facts["n_stars"]) for facts in usable.values())
    roundness = float(np.median([facts["ellipticity"] for facts in usable.values()]))

    deep_enough = DEEP_AS_CATALOGUE if as_catalogue else DEEP_ENOUGH

    def rank(frame_id: str) -> tuple[bool, bool, bool, float, str]:
        facts = usable[frame_id]
        return (
            _kind(facts) != kind,
            int(facts["n_stars"]) < deep_enough * n_best,
            float(facts["ellipticity"]) > roundness + ROUND_ENOUGH,
            _sharpness(facts),
            frame_id,
        )

    return sorted(usable, key=rank)


def choose_reference(
    facts: Mapping[str, Mapping[str, Any]],
    configured: str | None,
    place: Callable[[str], tuple[TanSip, Mapping[str, Any]]],
    *,
    as_catalogue: bool = False,
) -> tuple[dict[str, object], dict[str, str]]:
    """Take the best frame that has a place on the sky, or the configured one.

    Parameters
    ----------
    facts : mapping of str to mapping
        Per frame identifier what `extract_stars` wrote.
    configured : str or None
        Identifier of the frame that the user wants.
    place : callable
        Gives the plate solution of the frame of an identifier and what to note of it, or raises BadFrameError.
    as_catalogue : bool
        See `rank_references`.

    Returns
    -------
    record : dict
        What reference.json holds: the frame, how it ranks, its plate solution, ``series_fwhm_arcsec``, the usual seeing
        of the first run; and ``stack``, the frames on which stars are found, the reference image first, with their
        plate solutions.
    refused : dict of str
        Why better frames were not taken, per identifier.

    Raises
    ------
    InputError
        No frame can be taken.
    """
    ranking = [configured] if configured else rank_references(facts, as_catalogue=as_catalogue)
    refused: dict[str, str] = {}
    for frame_id in ranking:
        found = facts[frame_id]
        try:
            if found["status"] != OK:
                raise BadFrameError(found["status"])
            if not math.isfinite(found["mjd_utc"]):
                raise BadFrameError("the time of the exposure is unknown")
            wcs, notes = place(frame_id)
        except BadFrameError as reason:
            refused[frame_id] = str(reason)
            continue
        record = {"frame_id": frame_id, **{key: found[key] for key in RECORDED}}
        record["chosen_by"] = "configuration" if configured else "seeing, depth and roundness of the first run"
        record |= {"ranking": ranking[:10], **notes}
        # The cards are for people; the numbers are what is read again.
        record |= {"wcs_header": cards_from_tan_sip(wcs), "wcs": plate_record(wcs)}
        record["margin_pix"] = frame_offsets_pix(wcs, facts)
        record["series_fwhm_arcsec"] = _usual_seeing(facts, found) * pixel_scale_arcsec(wcs)
        # Without a catalogue no frame but the reference image itself has a plate solution yet.
        stack = {frame_id: wcs} | ({} if as_catalogue else _find_stack(facts, frame_id, wcs, place))
        record["stack"] = [
            {"frame_id": key, **{name: facts[key][name] for name in STACKED}, "wcs": plate_record(solution)}
            for key, solution in stack.items()
        ]
        return record, refused
    reasons = refused or {key: str(value["status"]) for key, value in facts.items()}
    some = "; ".join(f"{key}: {reason}" for key, reason in list(reasons.items())[:3])
    raise InputError(
        f"no frame can serve as the reference image ({some}{' ...' if len(reasons) > 3 else ''}); "
        "correct the images, the header settings or the catalogue, or set reference_image"
    )


def _find_stack(
    facts: Mapping[str, Mapping[str, Any]],
    reference_id: str,
    wcs: TanSip,
    place: Callable[[str], tuple[TanSip, Mapping[str, Any]]],
) -> dict[str, TanSip]:
    """Other exposures that are nearly as good as the reference image, the sharpest first, and their plate solutions.

    They are looked for where the user has chosen the reference image, too: depth is not what that choice is about.
    """
    reference = facts[reference_id]
    limits = {
        "seeing": STACK_SEEING * _seeing(reference),
        "depth": DEEP_ENOUGH * int(reference["n_stars"]),
        "ellipticity": float(reference["ellipticity"]) + ROUND_ENOUGH,
    }

    def suits(frame_id: str) -> bool:
        found = facts[frame_id]
        return (
            found["status"] == OK
            and _kind(found) == _kind(reference)
            and math.isfinite(found["mjd_utc"])
            and _seeing(found) <= limits["seeing"]
            and int(found["n_stars"]) >= limits["depth"]
            and float(found["ellipticity"]) <= limits["ellipticity"]
        )

    # An exposure counts once, under whatever names it is there.
    exposures = {(reference["camera"], reference["mjd_utc"])}
    stack: dict[str, TanSip] = {}
    candidates = sorted((key for key in facts if suits(key)), key=lambda key: (_sharpness(facts[key]), key))
    for frame_id in candidates[:STACK_TRIES]:
        exposure = facts[frame_id]["camera"], facts[frame_id]["mjd_utc"]
        if exposure in exposures:
            continue
        try:
            solution, _ = place(frame_id)
        except BadFrameError:
            continue
        if _overlap(wcs, solution) >= STACK_OVERLAP:
            exposures.add(exposure)
            stack[frame_id] = solution
        if len(stack) == STACK_SIZE - 1:
            break
    return stack


def _overlap(wcs: TanSip, other: TanSip) -> float:
    """Part of an image that another one covers."""
    ny, nx = wcs.shape
    x, y = np.meshgrid((np.arange(20) + 0.5) / 20 * nx - 0.5, (np.arange(20) + 0.5) / 20 * ny - 0.5)
    x, y = sky_to_pixel(other, *pixel_to_sky(wcs, x, y))
    return float(np.mean((x >= 0) & (y >= 0) & (x <= other.shape[1] - 1) & (y <= other.shape[0] - 1)))


def check_fits_series(facts: Mapping[str, Any], reference: Mapping[str, Any]) -> None:
    """Refuse a frame that is not of the same kind as the reference image.

    Parameters
    ----------
    facts : mapping
        What `extract_stars` wrote of the frame: filter, ny, nx.
    reference : mapping
        reference_filter, reference_ny and reference_nx of the star catalogue.

    Raises
    ------
    BadFrameError
        The frame has another filter or another shape.
    """
    wanted, found = reference["reference_filter"], facts["filter"]
    if wanted and found and wanted != found:
        raise BadFrameError(f"filter {found}, but the reference image has {wanted}")
    shape = facts["nx"], facts["ny"]
    expected = reference["reference_nx"], reference["reference_ny"]
    if shape != expected:
        raise BadFrameError(
            f"{shape[0]} x {shape[1]} pixels, but the reference image has {expected[0]} x {expected[1]}"
        )


def frame_offsets_pix(wcs: TanSip, frames: Mapping[str, Mapping[str, Any]]) -> float:
    """How far the frames of a series reach beyond the reference image.

    Parameters
    ----------
    wcs : TanSip
        Solution of the reference image.
    frames : mapping of str to mapping
        Per frame identifier what `extract_stars` wrote; `wcs_cards` of the header is used.

    Returns
    -------
    float
        Largest offset along one axis between the centre of the reference image and that of a frame that overlaps it,
        plus 5 % of the image's side for the error of the headers [pixel].
    """
    ny, nx = wcs.shape
    largest = 0.0
    for facts in frames.values():
        if facts["status"] != OK or not facts["wcs_cards"]:
            continue
        try:
            header = tan_sip_from_cards(facts["wcs_cards"], (facts["ny"], facts["nx"]))
        except BadFrameError:
            continue
        ra, dec = pixel_to_sky(header, (facts["nx"] - 1) / 2, (facts["ny"] - 1) / 2)
        x, y = sky_to_pixel(wcs, ra, dec)
        offset = max(abs(float(x) - (nx - 1) / 2), abs(float(y) - (ny - 1) / 2))
        if offset < max(nx, ny):
            largest = max(largest, offset)
    return largest + 0.05 * max(nx, ny)


def _seeing(facts: Mapping[str, Any]) -> float:
    """FWHM in arcsec where the scale is known, so that cameras of different scale can be compared."""
    scale = float(facts["pixel_scale_arcsec"])
    return float(facts["fwhm_pix"]) * (scale if math.isfinite(scale) and scale > 0 else 1.0)


def _sharpness(facts: Mapping[str, Any]) -> float:
    """Seeing; of a frame whose stars are narrower than two pixels, so much more than two as they are less."""
    width = float(facts["fwhm_pix"])
    return _seeing(facts) * max(1.0, 2.0 * WELL_SAMPLED_PIX / width - 1.0)


def _usual_seeing(frames: Mapping[str, Mapping[str, Any]], reference: Mapping[str, Any]) -> float:
    """Median FWHM of the frames of the reference image's kind [pixel]."""
    alike = [frame for frame in frames.values() if frame["status"] == OK and _kind(frame) == _kind(reference)]
    return float(np.median([float(frame["fwhm_pix"]) for frame in alike]))


def _kind(facts: Mapping[str, Any]) -> tuple[object, object]:
    return facts["filter"], (facts["ny"], facts["nx"])


def _most_common(values: Sequence[tuple]) -> tuple:
    return max(sorted(set(values), key=str), key=values.count)
