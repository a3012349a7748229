"""Plate solution of one frame from its stars, its header and the Gaia catalogue."""

from collections.abc import Mapping

import numpy as np

from gaiaflux.core.astrometry import AstrometricFit, refine_wcs
from gaiaflux.core.epoch import earth_position_au, jyear_of_mjd, position_error_mas, propagate
from gaiaflux.io.wcscards import cards_from_tan_sip, tan_sip_from_cards
from gaiaflux.model.catalog import SkyCatalog
from gaiaflux.model.errors import BadFrameError

__all__ = ["MATCH_DTYPE", "refine_frame_wcs", "solve_frame"]

MATCH_DTYPE = np.dtype(
    [("source_row", "i8"), ("x", "f8"), ("y", "f8"), ("dx_mas", "f4"), ("dy_mas", "f4"), ("snr", "f4")]
)
"""Stars of the fit: row of the catalogue; measured position [0-based pixel]; measured minus predicted position along x
and y [mas]; signal-to-noise ratio."""


def solve_frame(
    attrs: Mapping[str, object], stars: np.ndarray, catalog: SkyCatalog, settings: Mapping[str, object]
) -> AstrometricFit:
    """Fit the plate solution of a frame to Gaia at the frame's epoch.

    Parameters
    ----------
    attrs : mapping
        Facts of the frame; used are wcs_cards, nx, ny and mjd_utc.
    stars : ndarray of STAR_DTYPE, shape (n_stars,)
        Stars of the frame.
    catalog : SkyCatalog
        Gaia's stars of the field.
    settings : mapping
        Section ``refine_wcs``: search_radius_arcsec, search_rotation_deg, max_sip_order, min_stars, max_rms_pix.

    Returns
    -------
    AstrometricFit

    Raises
    ------
    BadFrameError
        No start, no time, or no solution; the text says why.
    """
    if not attrs["wcs_cards"]:
        raise BadFrameError("no WCS in the header")
    if not np.isfinite(attrs["mjd_utc"]):
        raise BadFrameError("the time of the exposure is unknown: no proper motions")
    initial = tan_sip_from_cards(str(attrs["wcs_cards"]), (int(attrs["ny"]), int(attrs["nx"])))
    epoch = jyear_of_mjd(float(attrs["mjd_utc"]))
    ra, dec = propagate(catalog, epoch, earth_position_au(epoch))
    return refine_wcs(
        stars,
        ra,
        dec,
        catalog.phot_g_mean_mag,
        position_error_mas(catalog, epoch),
        initial,
        search_radius_arcsec=settings["search_radius_arcsec"],
        search_rotation_deg=settings["search_rotation_deg"],
        max_sip_order=settings["max_sip_order"],
        min_stars=settings["min_stars"],
        max_rms_pix=settings["max_rms_pix"],
    )


def refine_frame_wcs(
    attrs: Mapping[str, object], stars: np.ndarray, catalog: SkyCatalog, settings: Mapping[str, object]
) -> tuple[dict[str, object], np.ndarray]:
    """What the batch file of plate solutions holds of a frame; arguments and errors as for `solve_frame`.

    Returns
    -------
    attrs : dict
        wcs_header (FITS cards, one a line), wcs_rms_mas, wcs_error_mas, wcs_n_stars, wcs_method, corner_coverage,
        sip_order.
    matches : ndarray of MATCH_DTYPE, shape (wcs_n_stars,)
    """
    fit = solve_frame(attrs, stars, catalog, settings)
    matches = np.empty(fit.n_stars, MATCH_DTYPE)
    matches["source_row"] = fit.catalog_rows
    matches["x"], matches["y"] = stars["x"][fit.star_rows], stars["y"][fit.star_rows]
    matches["dx_mas"], matches["dy_mas"] = fit.dx_mas, fit.dy_mas
    matches["snr"] = stars["snr"][fit.star_rows]
    facts = {
        "wcs_header": cards_from_tan_sip(fit.wcs),
        "wcs_rms_mas": fit.rms_mas,
        "wcs_error_mas": fit.solution_err_mas,
        "wcs_n_stars": fit.n_stars,
        "wcs_method": fit.method,
        "corner_coverage": fit.corner_coverage,
        "sip_order": fit.sip_order,
    }
    return facts, matches
