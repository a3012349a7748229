"""Plate solution of one frame from its stars, its header and the catalogue of the field."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gaiaflux.core.plate.search import SolveSettings, StarTables
from gaiaflux.core.plate.solve import AstrometricFit, refine_wcs
from gaiaflux.core.sky.epoch import jyear_of_mjd, position_error_mas, propagate
from gaiaflux.core.sky.projection import linear_tan, pixel_scale_arcsec
from gaiaflux.core.sky.timing import earth_position_au
from gaiaflux.io.image.wcs_cards import tan_sip_from_cards
from gaiaflux.model.catalog import SkyCatalog
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.settings.refine_wcs import RefineWcsSettings
from gaiaflux.model.wcs import TanSip

__all__ = ["MATCH_DTYPE", "PlateSolution", "first_guesses", "refine_frame_wcs", "solve_frame"]

MATCH_DTYPE = np.dtype(
    [("source_row", "i8"), ("x", "f8"), ("y", "f8"), ("dx_mas", "f4"), ("dy_mas", "f4"), ("snr", "f4")]
)
"""Stars of the fit: row of the catalogue; measured position [0-based pixel]; measured minus predicted position along x
and y [mas]; signal-to-noise ratio."""


@dataclass(frozen=True)
class PlateSolution:
    """What the batch file of plate solutions holds of a frame.

    Attributes
    ----------
    wcs : TanSip
        The solution.
    facts : dict
        wcs_rms_mas, wcs_error_mas, wcs_n_stars, wcs_method, corner_coverage, sip_order.
    matches : ndarray of MATCH_DTYPE, shape (wcs_n_stars,)
        Stars of the fit.
    """

    wcs: TanSip
    facts: dict[str, str | int | float]
    matches: np.ndarray


def first_guesses(attrs: Mapping[str, Any], start: TanSip | None = None) -> tuple[TanSip | None, TanSip | None]:
    """Where a frame may lie on the sky, from its header.

    Parameters
    ----------
    attrs : mapping
        Facts of the frame: wcs_cards, nx, ny; ra_deg, dec_deg, pixel_scale_arcsec where they are known.
    start : TanSip, optional
        What to take for the header's solution instead.

    Returns
    -------
    header : TanSip or None
        The header's solution; None where it has none that can be used.
    nominal : TanSip or None
        Tangent plane at the pointing, with the nominal scale or else the header's; None where the pointing is unknown.

    Raises
    ------
    BadFrameError
        Neither is known; the text says what to set.
    """
    shape = int(attrs["ny"]), int(attrs["nx"])
    header, reason = start, "no WCS in the header"
    if start is None and attrs["wcs_cards"]:
        try:
            header = tan_sip_from_cards(str(attrs["wcs_cards"]), shape)
        except BadFrameError as error:
            reason = str(error)
    ra, dec, scale = (float(attrs.get(key, np.nan)) for key in ("ra_deg", "dec_deg", "pixel_scale_arcsec"))
    if not scale > 0 and header is not None:
        scale = pixel_scale_arcsec(header)
    missing = [] if np.isfinite(ra) and abs(dec) <= 90.0 else ["no pointing (set centre_deg)"]
    missing += [] if scale > 0 else ["no pixel scale (set pixel_scale_arcsec)"]
    if not missing:
        step = scale / 3600.0
        centre = (shape[1] - 1) / 2, (shape[0] - 1) / 2
        return header, linear_tan((ra % 360.0, dec), centre, np.diag([-step, step]), shape)
    if header is None:
        raise BadFrameError(f"{reason}, and {' and '.join(missing)}")
    return header, None


def solve_frame(
    attrs: Mapping[str, Any],
    stars: np.ndarray,
    catalog: SkyCatalog,
    settings: RefineWcsSettings,
    start: TanSip | None = None,
) -> AstrometricFit:
    """Fit the plate solution of a frame to a catalogue at the frame's epoch.

    Parameters
    ----------
    attrs : mapping
        Facts of the frame; used are those of `first_guesses` and mjd_utc.
    stars : ndarray of STAR_DTYPE, shape (n_stars,)
        Stars of the frame.
    catalog : SkyCatalog
        The field's stars.
    settings : RefineWcsSettings
    start : TanSip, optional
        See `first_guesses`.

    Returns
    -------
    AstrometricFit

    Raises
    ------
    BadFrameError
        No start, no time, or no solution; the text says why.
    """
    header, nominal = first_guesses(attrs, start)
    if not np.isfinite(attrs["mjd_utc"]):
        raise BadFrameError("the time of the exposure is unknown: no proper motions")
    epoch, observer = jyear_of_mjd(float(attrs["mjd_utc"])), earth_position_au(float(attrs["mjd_utc"]))
    if not np.isfinite(observer).all():
        raise BadFrameError(f"the time of the exposure is the year {epoch:.1f}, outside of 1900 to 2100")
    ra, dec = propagate(catalog, epoch, observer)
    given = StarTables(stars, ra, dec, catalog.mag, position_error_mas(catalog, epoch))
    return refine_wcs(given, header, SolveSettings(**asdict(settings)), nominal)


def refine_frame_wcs(
    attrs: Mapping[str, Any],
    stars: np.ndarray,
    catalog: SkyCatalog,
    settings: RefineWcsSettings,
    start: TanSip | None = None,
) -> PlateSolution:
    """Fit the plate solution of a frame, and say what is kept of it; arguments and errors as for `solve_frame`."""
    fit = solve_frame(attrs, stars, catalog, settings, start)
    matches = np.empty(fit.n_stars, MATCH_DTYPE)
    matches["source_row"] = fit.catalog_rows
    matches["x"], matches["y"] = stars["x"][fit.star_rows], stars["y"][fit.star_rows]
    matches["dx_mas"], matches["dy_mas"] = fit.dx_mas, fit.dy_mas
    matches["snr"] = stars["snr"][fit.star_rows]
    facts: dict[str, str | int | float] = {
        "wcs_rms_mas": fit.rms_mas,
        "wcs_error_mas": fit.solution_err_mas,
        "wcs_n_stars": fit.n_stars,
        "wcs_method": fit.method,
        "corner_coverage": fit.corner_coverage,
        "sip_order": fit.sip_order,
    }
    return PlateSolution(fit.wcs, facts, matches)
