"""The reference image's own stars as the catalogue of a series, for fields without Gaia.

The catalogue has the form of Gaia's, so that every later step is the same: positions at the image's epoch without
motion, and instrumental magnitudes of the image in the place of Gaia's G. Without a WCS in the header the sky
coordinates are nominal: a tangent plane at the pointing, north up and east to the left, at the nominal pixel scale.
They serve to join frames; they are not the stars' true places.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from gaiaflux.core.sky.epoch import jyear_of_mjd
from gaiaflux.core.sky.projection import linear_tan, pixel_scale_arcsec, pixel_to_sky
from gaiaflux.ground.frame.plate_solution import PlateSolution, refine_frame_wcs
from gaiaflux.io.catalog_source import REFERENCE_IMAGE
from gaiaflux.io.image.wcs_cards import tan_sip_from_cards
from gaiaflux.io.plate_solution import plate_of_record
from gaiaflux.model.catalog import SkyCatalog
from gaiaflux.model.errors import BadFrameError, InputError
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.settings.refine_wcs import RefineWcsSettings
from gaiaflux.model.wcs import TanSip

__all__ = [
    "MAGNITUDE_ZERO",
    "SKY_NOMINAL",
    "SKY_OF_HEADER",
    "catalog_of_stars",
    "nominal_plane",
    "plane_of_reference",
    "refine_by_reference",
]

LOG = logging.getLogger(__name__)

MAGNITUDE_ZERO = 25.0
"""Instrumental magnitude of one electron (or adu) per second."""
SKY_OF_HEADER = "WCS of the reference image's header"
SKY_NOMINAL = "nominal: tangent plane at the pointing, north up, east left, nominal pixel scale"

# Not stars, or not with the position of one.
SPURIOUS = StarFlag.COSMIC_RAY | StarFlag.TRAIL | StarFlag.EDGE
UNKNOWN_MOTION_MAS_YR = 10.0  # typical proper motion of a field star
# Of the image's side: how far from the reference a frame is searched for.
SEARCH_SHARE = 0.5


def nominal_plane(facts: Mapping[str, Any]) -> TanSip:
    """Tangent plane of an image that has a pointing and a pixel scale, but no WCS.

    Parameters
    ----------
    facts : mapping
        What `extract_stars` wrote of the image: frame_id, ra_deg, dec_deg, pixel_scale_arcsec, nx, ny.

    Returns
    -------
    TanSip
        The pointing is the centre of the image; north is up and east to the left.

    Raises
    ------
    InputError
        The pointing or the scale is unknown.
    """
    ra, dec, scale = (float(facts.get(key, np.nan)) for key in ("ra_deg", "dec_deg", "pixel_scale_arcsec"))
    missing = [] if np.isfinite(ra) and abs(dec) <= 90.0 else ["centre_deg"]
    missing += [] if scale > 0 else ["pixel_scale_arcsec"]
    if missing:
        raise InputError(
            f"the header of the reference image {facts['frame_id']} has neither a WCS nor the facts for a nominal one: "
            f"set {' and '.join(missing)} of the series"
        )
    ny, nx = int(facts["ny"]), int(facts["nx"])
    step = scale / 3600.0
    return linear_tan((ra, dec), ((nx - 1) / 2, (ny - 1) / 2), np.diag([-step, step]), (ny, nx))


def plane_of_reference(facts: Mapping[str, Any]) -> tuple[TanSip, str]:
    """Sky coordinates of the reference image: those of its header, else nominal ones.

    Parameters
    ----------
    facts : mapping
        What `extract_stars` wrote of the image: as for `nominal_plane`, and wcs_cards.

    Returns
    -------
    wcs : TanSip
    origin : str
        `SKY_OF_HEADER` or `SKY_NOMINAL`.

    Raises
    ------
    InputError
        See `nominal_plane`.
    """
    if facts.get("wcs_cards"):
        try:
            return tan_sip_from_cards(str(facts["wcs_cards"]), (int(facts["ny"]), int(facts["nx"]))), SKY_OF_HEADER
        except BadFrameError:
            return nominal_plane(facts), SKY_NOMINAL
    return nominal_plane(facts), SKY_NOMINAL


def catalog_of_stars(stars: np.ndarray, wcs: TanSip, mjd_utc: float, exptime_s: float) -> SkyCatalog:
    """Stars of an image in the form of Gaia's.

    Parameters
    ----------
    stars : ndarray of STAR_DTYPE, shape (n_detections,)
        Deep list of the image; cosmic rays and stars cut by the edge are left out, saturated stars stay.
    wcs : TanSip
        Sky coordinates of the image.
    mjd_utc : float
        Its mid-exposure [d].
    exptime_s : float
        Its exposure time [s].

    Returns
    -------
    SkyCatalog
        Brightest first; `source_id` is -1, motion and parallax are 0, `mag` is the instrumental magnitude
        `MAGNITUDE_ZERO` - 2.5 log10(flux per second) and `colour` NaN.
    """
    stars = stars[((stars["flags"] & SPURIOUS) == 0) & np.isfinite(stars["x"] + stars["y"]) & (stars["flux"] > 0)]
    stars = stars[np.argsort(-stars["flux"], kind="stable")]
    n = len(stars)
    ra, dec = pixel_to_sky(wcs, stars["x"], stars["y"])
    error = 1000.0 * pixel_scale_arcsec(wcs) * np.maximum(stars["x_err"], stars["y_err"]).astype(np.float64)
    return SkyCatalog(
        source_id=np.full(n, -1, np.int64),
        ra_deg=ra,
        dec_deg=dec,
        ref_epoch=np.full(n, jyear_of_mjd(mjd_utc)),
        pmra=np.zeros(n),
        pmdec=np.zeros(n),
        parallax=np.zeros(n),
        pos_err=error,
        pm_err=np.full(n, UNKNOWN_MOTION_MAS_YR),
        mag=MAGNITUDE_ZERO - 2.5 * np.log10(stars["flux"].astype(np.float64) / exptime_s),
        colour=np.full(n, np.nan),
        system=REFERENCE_IMAGE.system,
        source=REFERENCE_IMAGE.name,
    )


def refine_by_reference(
    attrs: Mapping[str, Any],
    stars: np.ndarray,
    catalog: SkyCatalog,
    settings: RefineWcsSettings,
    reference: Mapping[str, Any],
) -> PlateSolution:
    """Fit a frame to the reference image's stars; it may lie up to half an image beside the reference.

    The search begins at the frame's own WCS where that and the reference's are of headers, else, or where that fails,
    at the reference's.

    Parameters
    ----------
    attrs, stars, catalog, settings
        As for `gaiaflux.ground.frame.plate_solution.refine_frame_wcs`.
    reference : mapping
        reference.json: wcs, sky_coordinates.

    Returns
    -------
    PlateSolution
        wcs_method is ``reference`` where the frame lies as the reference does.

    Raises
    ------
    BadFrameError
        No time, or no solution; the text says why.
    """
    if attrs["wcs_cards"] and reference["sky_coordinates"] == SKY_OF_HEADER:
        try:
            return refine_frame_wcs(attrs, stars, catalog, settings)
        except BadFrameError as reason:
            LOG.info("the WCS of the header is no start: %s", reason)
    shape = int(attrs["ny"]), int(attrs["nx"])
    start = replace(plate_of_record(reference), shape=shape)
    reach = max(settings.search_radius_arcsec, SEARCH_SHARE * max(shape) * pixel_scale_arcsec(start))
    plate = refine_frame_wcs(attrs, stars, catalog, replace(settings, search_radius_arcsec=reach), start)
    method = "reference" if plate.facts["wcs_method"] == "header" else plate.facts["wcs_method"]
    return replace(plate, facts={**plate.facts, "wcs_method": method})
