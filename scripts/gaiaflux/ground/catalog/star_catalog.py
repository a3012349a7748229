"""The stars that are measured in every frame of a series: Gaia, and what only the images themselves show."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from gaiaflux.core.image.background import subtract_background
from gaiaflux.core.image.pixels import Pixels
from gaiaflux.core.psf.fit import fit_psf
from gaiaflux.core.psf.fluxes import PsfOptions, Solution, stars_within_reach
from gaiaflux.core.psf.model import PsfModel
from gaiaflux.core.psf.wing import Sources, Wing, fit_wing
from gaiaflux.core.sky.epoch import jyear_of_mjd
from gaiaflux.core.sky.projection import pixel_scale_arcsec, pixel_to_sky
from gaiaflux.core.sky.star_positions import places_on_image
from gaiaflux.core.stars.completion import Completed, Magnitudes, complete_stars, detection_limit, zero_point
from gaiaflux.core.stars.deep_list import detect_deep
from gaiaflux.core.stars.doubt import FARTHEST_RING_FWHM
from gaiaflux.core.stars.promises import Promises, check_promises
from gaiaflux.core.stars.proven_list import prove_list
from gaiaflux.ground.catalog.deep_image import add_frames, clean_image
from gaiaflux.ground.frame.noise import noise_above
from gaiaflux.model.catalog import Place, SkyCatalog, StarCatalog
from gaiaflux.model.frame import Frame
from gaiaflux.model.wcs import TanSip

__all__ = ["ReferenceStars", "combine_catalogs", "complete_catalog", "find_reference_stars"]

LOG = logging.getLogger(__name__)

UNKNOWN_MOTION_MAS_YR = 10.0  # typical proper motion of the faint field stars that Gaia lacks
# A star may be so far from the catalogue's place; farther where it has no motion, which may be large.
ASTRAY_ARCSEC, ASTRAY_UNKNOWN_ARCSEC = 5.0, 10.0
LEAST_ASTRAY_FWHM = 1.0
MAS_PER_DEG = 3.6e6
LEAST_YEARS = 1.0  # for a motion from two places


@dataclass(frozen=True)
class ReferenceStars:
    """What the reference image says of the stars of a field.

    Attributes
    ----------
    x, y : ndarray of float64, shape (n_extra,)
        Stars that the catalogue lacks, brightest first [pixel].
    error : ndarray of float64, shape (n_extra,)
        Their position error along an axis [pixel].
    mag : ndarray of float64, shape (n_extra,)
        Their magnitudes on the catalogue's scale, without a colour term; NaN where there is none.
    known_mag : ndarray of float64, shape (n_catalog,)
        The same of the catalogue's stars; NaN where they are not on the image or too faint.
    psf : PsfModel or None
        PSF of the reference image; None where it has too few stars.
    fwhm_pix : float
        Its width [pixel].
    unseen : ndarray of bool, shape (n_catalog,)
        Stars of the catalogue that would be clear on the reference image, but are not at their places.
    meant : ndarray of int64, shape (n_catalog,)
        Which of the stars that the catalogue lacks the unseen one must be; -1 for none.
    """

    x: np.ndarray
    y: np.ndarray
    error: np.ndarray
    mag: np.ndarray
    known_mag: np.ndarray
    psf: PsfModel | None
    fwhm_pix: float
    unseen: np.ndarray
    meant: np.ndarray


def find_reference_stars(frame: Frame, detection_snr: float, options: PsfOptions) -> tuple[np.ndarray, float]:
    """List of the stars of the reference image, each proven against the image's point-spread function.

    Parameters
    ----------
    frame : Frame
        Reference image.
    detection_snr : float
        Signal-to-noise ratio of the faintest star; raised to `gaiaflux.core.stars.completion.detection_limit`.
    options : PsfOptions
        How PSF, fluxes and sky are fitted.

    Returns
    -------
    stars : ndarray of STAR_DTYPE, shape (n_stars,)
        Brightest first. Where there are too few for a point-spread function, the deep list as it is.
    fwhm_pix : float
        Median FWHM of the bright half [pixel].

    Raises
    ------
    BadFrameError
        No sky or no star can be measured.
    """
    background = options.background(frame.image, frame.pixel_flags)
    noise = noise_above(background, frame)
    image = subtract_background(frame.image, background)
    stars = detect_deep(image, frame.pixel_flags, background, min_snr=detection_snr, flux_variance=noise.slope)
    clean = clean_image(frame, options.background)
    stars = prove_list(clean.pixels, stars, clean.fwhm, options, detection_snr)
    sample = stars[stars["flags"] == 0]
    sample = (sample if len(sample) else stars)["fwhm"]
    fwhm = float(np.median(sample[: max(1, len(sample) // 2)]))
    limit = detection_limit(len(stars), int(np.count_nonzero(frame.pixel_flags == 0)), fwhm)
    return stars[stars["snr"] >= min(limit, float(np.max(stars["snr"])))], fwhm


def complete_catalog(
    gaia: SkyCatalog,
    frame: Frame,
    wcs: TanSip,
    *,
    detection_snr: float,
    options: PsfOptions,
    others: Iterable[tuple[Frame, TanSip]] = (),
) -> ReferenceStars:
    """Fit the catalogue's stars to the reference image and find those that it lacks on what is left.

    Parameters
    ----------
    gaia : SkyCatalog
        The field's catalogue.
    frame : Frame
        Reference image.
    wcs : TanSip
        Its refined plate solution.
    detection_snr : float
        Signal-to-noise ratio of the faintest star; raised to `gaiaflux.core.stars.completion.detection_limit`.
    options : PsfOptions
        How PSF, fluxes and sky are fitted.
    others : iterable of (Frame, TanSip), optional
        Further frames of the field: stars are then found on the stack of all, but magnitudes and PSF are always those
        of the reference image.

    Returns
    -------
    ReferenceStars

    Raises
    ------
    BadFrameError
        No sky or no star can be measured on the reference image.
    """
    estimate = options.background
    reference = clean_image(frame, estimate)
    x, y = places_on_image(gaia, wcs, frame.info.mjd_utc)
    ny, nx = frame.image.shape
    rows = stars_within_reach(x, y, frame.image.shape, options.radius_pix(reference.fwhm))
    halos = stars_within_reach(x, y, frame.image.shape, FARTHEST_RING_FWHM * reference.fwhm)
    halos = halos[~np.isin(halos, rows)]
    place_error = _place_error(gaia[rows], wcs, frame.info.mjd_utc)
    magnitudes = Magnitudes(gaia.mag[rows], x[halos], y[halos], gaia.mag[halos], place_error)
    x, y = x[rows], y[rows]
    deep = add_frames(reference, wcs, others, x, y, estimate)
    found = complete_stars(deep, x, y, reference.fwhm, options, detection_snr, magnitudes)
    n = found.n_known
    # The plate solution's own offset belongs to the image, not to the sky.
    dx, dy = (float(np.median(offset)) if n else 0.0 for offset in (found.x[:n] - x, found.y[:n] - y))
    promises = _check_promises(found, gaia[rows], wcs)
    # Stars of the catalogue that are found close beside their places are as good as found ones.
    listed = np.append(np.flatnonzero(promises.meant == np.arange(n)), np.arange(n, len(found.x)))
    fit, solution = found.fit, found.solution
    wing = _wing(deep, fit.psf, solution)
    if deep is not reference.pixels or wing.exists:
        start = replace(fit.psf, wing=wing) if wing.exists else None
        fit, solution = fit_psf(reference.pixels, found.x - dx, found.y - dy, reference.fwhm, options, start)
    mag = _magnitudes(solution, magnitudes.known)
    more_x, more_y = found.x[listed] - dx, found.y[listed] - dy
    on = (more_x > -0.5) & (more_y > -0.5) & (more_x < nx - 0.5) & (more_y < ny - 0.5)
    more_x, more_y, listed = more_x[on], more_y[on], listed[on]
    order = np.argsort(-found.solution.flux[listed], kind="stable")
    more_x, more_y, listed = more_x[order], more_y[order], listed[order]
    rank = np.full(len(found.x) + 1, -1)
    rank[listed] = np.arange(len(listed))
    known_mag, unseen, meant = np.full(len(gaia), np.nan), np.zeros(len(gaia), dtype=bool), np.full(len(gaia), -1)
    known_mag[rows], unseen[rows], meant[rows] = mag[:n], promises.unseen, rank[promises.meant]
    psf, error = fit.psf if fit.stars is not None else None, found.error[listed]
    return ReferenceStars(more_x, more_y, error, mag[listed], known_mag, psf, fit.psf.fwhm, unseen, meant)


def _wing(pixels: Pixels, psf: PsfModel, solution: Solution) -> Wing:
    """Wing of the stars of an image that is fitted without one."""
    stamps = solution.stamps
    core = solution.flux * psf.scale_at(stamps.x, stamps.y)
    snr = solution.flux * np.sqrt(solution.sums.curvature)
    return fit_wing(
        pixels.image - solution.light, solution.weight, Sources(stamps.x, stamps.y, core, snr), stamps.radius
    )


def _check_promises(found: Completed, known: SkyCatalog, wcs: TanSip) -> Promises:
    """Look for the stars of the catalogue that are not at their places."""
    reach = np.where(_has_motion(known), ASTRAY_ARCSEC, ASTRAY_UNKNOWN_ARCSEC) / pixel_scale_arcsec(wcs)
    return check_promises(found, known.mag, np.maximum(reach, LEAST_ASTRAY_FWHM * found.fit.psf.fwhm))


def _has_motion(catalog: SkyCatalog) -> np.ndarray:
    """Stars whose catalogue knows how they move."""
    return (catalog.pmra != 0.0) | (catalog.pmdec != 0.0)


def _place_error(catalog: SkyCatalog, wcs: TanSip, mjd_utc: float) -> np.ndarray:
    """Error of the stars' places at an epoch along an axis [pixel]; infinite where it is not known."""
    years = np.abs(jyear_of_mjd(mjd_utc) - catalog.ref_epoch)
    error = np.hypot(catalog.pos_err, catalog.pm_err * years) / (1000.0 * pixel_scale_arcsec(wcs))
    return np.where(np.isfinite(error), error, np.inf)


def _magnitudes(solution: Solution, catalog_mag: np.ndarray) -> np.ndarray:
    """Magnitudes of all stars on the scale of the catalogue, whose stars come first; NaN where they are too faint."""
    snr = solution.flux / solution.error
    instrumental = -2.5 * np.log10(np.where(snr > 3.0, solution.flux, np.nan))
    n = len(catalog_mag)
    return instrumental + zero_point(solution.flux[:n], solution.error[:n], catalog_mag).mean


def combine_catalogs(
    gaia: SkyCatalog,
    found: ReferenceStars,
    wcs: TanSip,
    mjd_utc: float,
    *,
    add_reference_stars: bool,
    margin_pix: float,
) -> StarCatalog:
    """Join Gaia and the stars that only the reference image shows into the list that is measured.

    Gaia stars come first, from bright to faint, then the others, so a longer list of the latter changes no number.

    Parameters
    ----------
    gaia : SkyCatalog
        The field's catalogue.
    found : ReferenceStars
        What the reference image says of it.
    wcs : TanSip
        Refined solution of the reference image.
    mjd_utc : float
        Its mid-exposure [d].
    add_reference_stars : bool
        Whether to add stars that Gaia lacks.
    margin_pix : float
        How far outside of the reference image a Gaia star is still kept: other frames may reach there [pixel].

    Returns
    -------
    StarCatalog
        `star_id` counts from 0; stars that Gaia lacks have source_id -1, no motion and the image's epoch. A Gaia star
        that is found elsewhere has its place and epoch from the image, too.
    """
    gaia = _with_measured_places(gaia, found, wcs, mjd_utc)
    elsewhere = found.meant >= 0
    x, y = places_on_image(gaia, wcs, mjd_utc)
    ny, nx = wcs.shape
    near = (x > -margin_pix) & (x < nx - 1 + margin_pix) & (y > -margin_pix) & (y < ny - 1 + margin_pix)
    rows = np.flatnonzero(near)
    # Ties and unknown magnitudes by identifier, so that the order of the table does not matter.
    rows = rows[np.lexsort((gaia.source_id[rows], gaia.mag[rows]))]
    known = gaia[rows]
    extra = np.setdiff1d(np.arange(len(found.x)), found.meant) if add_reference_stars else np.arange(0)
    more_x, more_y = found.x[extra], found.y[extra]
    ra, dec = pixel_to_sky(wcs, more_x, more_y)
    n = len(more_x)
    unknown = np.full(n, np.nan)
    columns = {
        "source_id": np.full(n, -1, np.int64),
        "ra_deg": ra,
        "dec_deg": dec,
        "ref_epoch": np.full(n, jyear_of_mjd(mjd_utc)),
        "pmra": np.zeros(n),
        "pmdec": np.zeros(n),
        "parallax": np.zeros(n),
        "pos_err": 1000.0 * pixel_scale_arcsec(wcs) * found.error[extra],
        "pm_err": np.full(n, UNKNOWN_MOTION_MAS_YR),
        "mag": unknown,
        "colour": unknown,
    }
    joined = {name: np.concatenate([getattr(known, name), values]) for name, values in columns.items()}
    place = np.where(found.unseen, Place.EMPTY, Place.CATALOG)
    place[elsewhere] = Place.MEASURED
    known_mag = np.where(elsewhere, np.append(found.mag, np.nan)[found.meant], found.known_mag)
    if found.unseen[rows].any():
        LOG.warning(
            "%d stars of the catalogue are not where it has them: %d are taken for stars beside that it lacks, and "
            "keep their identifiers; points of the others are flagged unseen where a frame does not show them either",
            *(np.count_nonzero(mask[rows]) for mask in (found.unseen, elsewhere)),
        )
    return StarCatalog(
        **joined,
        system=gaia.system,
        source=gaia.source,
        star_id=np.arange(len(rows) + n, dtype=np.int64),
        x_ref=np.concatenate([x[rows], more_x]),
        y_ref=np.concatenate([y[rows], more_y]),
        mag_ref=np.concatenate([known_mag[rows], found.mag[extra]]),
        place=np.append(place[rows], np.full(n, Place.MEASURED)).astype(np.int8),
    )


def _with_measured_places(gaia: SkyCatalog, found: ReferenceStars, wcs: TanSip, mjd_utc: float) -> SkyCatalog:
    """The catalogue with the stars that are found elsewhere at their places on the image.

    Where it knows no motion of such a star, the two places give one; else neither its motion is to be believed.
    """
    rows = np.flatnonzero(found.meant >= 0)
    star = found.meant[rows]
    ra, dec = pixel_to_sky(wcs, found.x[star], found.y[star])
    error = 1000.0 * pixel_scale_arcsec(wcs) * found.error[star]
    columns = {name: values.copy() for name, values in gaia.columns().items()}
    years = jyear_of_mjd(mjd_utc) - gaia.ref_epoch[rows]
    moves = ~_has_motion(gaia[rows]) & (np.abs(years) > LEAST_YEARS)
    years = np.where(moves, years, np.inf)
    east = ((ra - gaia.ra_deg[rows] + 180.0) % 360.0 - 180.0) * np.cos(np.radians(dec))
    columns["pmra"][rows], columns["pmdec"][rows] = (
        MAS_PER_DEG * offset / years for offset in (east, dec - gaia.dec_deg[rows])
    )
    motion_error = np.hypot(error, gaia.pos_err[rows]) / np.abs(years)
    columns["pm_err"][rows] = np.where(moves, motion_error, UNKNOWN_MOTION_MAS_YR)
    columns["ra_deg"][rows], columns["dec_deg"][rows], columns["pos_err"][rows] = ra, dec, error
    columns["ref_epoch"][rows], columns["parallax"][rows] = jyear_of_mjd(mjd_utc), 0.0
    return gaia.with_columns(columns)
