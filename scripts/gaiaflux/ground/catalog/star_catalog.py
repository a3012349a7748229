"""The stars that are measured in every frame of a series: Gaia, and what only the images themselves show."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from gaiaflux.core.image.background import subtract_background
from gaiaflux.core.psf.fit import fit_psf
from gaiaflux.core.psf.fluxes import PsfOptions, Solution, stars_within_reach
from gaiaflux.core.psf.model import PsfModel
from gaiaflux.core.sky.epoch import jyear_of_mjd
from gaiaflux.core.sky.projection import pixel_scale_arcsec, pixel_to_sky
from gaiaflux.core.sky.star_positions import places_on_image
from gaiaflux.core.stars.completion import Magnitudes, complete_stars, detection_limit, zero_point
from gaiaflux.core.stars.deep_list import detect_deep
from gaiaflux.core.stars.doubt import FARTHEST_RING_FWHM
from gaiaflux.ground.catalog.deep_image import add_frames, clean_image
from gaiaflux.ground.frame.noise import background_estimator, noise_above
from gaiaflux.model.catalog import SkyCatalog, StarCatalog
from gaiaflux.model.frame import Frame
from gaiaflux.model.wcs import TanSip

__all__ = ["ReferenceStars", "combine_catalogs", "complete_catalog", "find_reference_stars"]

UNKNOWN_MOTION_MAS_YR = 10.0  # typical proper motion of the faint field stars that Gaia lacks


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
    """

    x: np.ndarray
    y: np.ndarray
    error: np.ndarray
    mag: np.ndarray
    known_mag: np.ndarray
    psf: PsfModel | None
    fwhm_pix: float


def find_reference_stars(frame: Frame, detection_snr: float, background_box_pix: int) -> tuple[np.ndarray, float]:
    """Deep list of the stars of the reference image.

    Parameters
    ----------
    frame : Frame
        Reference image.
    detection_snr : float
        Signal-to-noise ratio of the faintest star; raised to `gaiaflux.core.stars.completion.detection_limit`.
    background_box_pix : int
        Side of the boxes of the sky [pixel].

    Returns
    -------
    stars : ndarray of STAR_DTYPE, shape (n_stars,)
        Brightest first.
    fwhm_pix : float
        Median FWHM of the bright half [pixel].

    Raises
    ------
    BadFrameError
        No sky or no star can be measured.
    """
    background = background_estimator(background_box_pix)(frame.image, frame.pixel_flags)
    noise = noise_above(background, frame)
    image = subtract_background(frame.image, background)
    stars = detect_deep(image, frame.pixel_flags, background, min_snr=detection_snr, flux_variance=noise.slope)
    clean = stars[stars["flags"] == 0]
    sample = (clean if len(clean) else stars)["fwhm"]
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
    rows = stars_within_reach(x, y, frame.image.shape, options.radius_fwhm * reference.fwhm)
    halos = stars_within_reach(x, y, frame.image.shape, FARTHEST_RING_FWHM * reference.fwhm)
    halos = halos[~np.isin(halos, rows)]
    magnitudes = Magnitudes(gaia.mag[rows], x[halos], y[halos], gaia.mag[halos])
    x, y = x[rows], y[rows]
    deep = add_frames(reference, wcs, others, x, y, estimate)
    found = complete_stars(deep, x, y, reference.fwhm, options, detection_snr, magnitudes)
    n = found.n_known
    # The plate solution's own offset belongs to the image, not to the sky.
    dx, dy = (float(np.median(offset)) if n else 0.0 for offset in (found.x[:n] - x, found.y[:n] - y))
    more_x, more_y = found.x[n:] - dx, found.y[n:] - dy
    fit, solution = found.fit, found.solution
    if deep is not reference.pixels:
        all_x, all_y = np.append(x, more_x), np.append(y, more_y)
        fit, solution = fit_psf(reference.pixels, all_x, all_y, reference.fwhm, options)
    mag, known_mag = _magnitudes(solution, n, gaia.mag[rows])
    all_mag = np.full(len(gaia), np.nan)
    all_mag[rows] = known_mag
    on = (more_x > -0.5) & (more_y > -0.5) & (more_x < nx - 0.5) & (more_y < ny - 0.5)
    order = np.flatnonzero(on)
    order = order[np.argsort(-found.solution.flux[n:][order], kind="stable")]
    psf = fit.psf if fit.stars is not None else None
    return ReferenceStars(more_x[order], more_y[order], found.error[order], mag[order], all_mag, psf, fit.psf.fwhm)


def _magnitudes(solution: Solution, n_known: int, catalog_mag: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Magnitudes of the found and of the known stars on the catalogue's scale."""
    snr = solution.flux / solution.error
    instrumental = -2.5 * np.log10(np.where(snr > 3.0, solution.flux, np.nan))
    magnitudes = instrumental + zero_point(solution, catalog_mag)
    return magnitudes[n_known:], magnitudes[:n_known]


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
        `star_id` counts from 0; stars that Gaia lacks have source_id -1, no motion and the image's epoch.
    """
    x, y = places_on_image(gaia, wcs, mjd_utc)
    ny, nx = wcs.shape
    near = (x > -margin_pix) & (x < nx - 1 + margin_pix) & (y > -margin_pix) & (y < ny - 1 + margin_pix)
    rows = np.flatnonzero(near)
    # Ties and unknown magnitudes by identifier, so that the order of the table does not matter.
    rows = rows[np.lexsort((gaia.source_id[rows], gaia.mag[rows]))]
    known = gaia[rows]
    extra = slice(None) if add_reference_stars else slice(0)
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
    return StarCatalog(
        **joined,
        system=gaia.system,
        source=gaia.source,
        star_id=np.arange(len(rows) + n, dtype=np.int64),
        x_ref=np.concatenate([x[rows], more_x]),
        y_ref=np.concatenate([y[rows], more_y]),
        mag_ref=np.concatenate([found.known_mag[rows], found.mag[extra]]),
    )
