"""The stars that are measured in every frame of a series: Gaia, and what only the reference image shows."""

import numpy as np

from gaiaflux.core.background import estimate_background, subtract_background
from gaiaflux.core.deblend import detect_deep
from gaiaflux.core.epoch import jyear_of_mjd, propagate
from gaiaflux.core.matching import match_mutual
from gaiaflux.core.projection import pixel_scale_arcsec, pixel_to_sky, sky_to_pixel
from gaiaflux.core.variance import noise_model
from gaiaflux.model.catalog import SkyCatalog, StarCatalog
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.frame import Frame
from gaiaflux.model.wcs import TanSip

__all__ = ["combine_catalogs", "find_reference_stars"]

MATCH_FWHM = 0.7  # of the reference image: a detection nearer to a Gaia star is that star
SPURIOUS = StarFlag.COSMIC_RAY | StarFlag.EDGE
UNKNOWN_MOTION_MAS_YR = 10.0  # typical proper motion of the faint field stars that Gaia lacks


def find_reference_stars(frame: Frame, detection_snr: float, background_box_pix: int) -> tuple[np.ndarray, float]:
    """Deep list of the stars of the reference image.

    Parameters
    ----------
    frame : Frame
        Reference image.
    detection_snr : float
        Signal-to-noise ratio of the faintest star.
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
    background = estimate_background(frame.image, frame.pixel_flags, background_box_pix)
    noise = noise_model(
        float(np.median(background.level)),
        float(np.median(background.rms)),
        unit=frame.info.unit,
        read_noise=frame.info.read_noise,
    )
    image = subtract_background(frame.image, background)
    stars = detect_deep(image, frame.pixel_flags, background, min_snr=detection_snr, flux_variance=noise.slope)
    clean = stars[stars["flags"] == 0]
    sample = (clean if len(clean) else stars)["fwhm"]
    return stars, float(np.median(sample[: max(1, len(sample) // 2)]))


def combine_catalogs(
    gaia: SkyCatalog,
    stars: np.ndarray,
    wcs: TanSip,
    mjd_utc: float,
    *,
    fwhm_pix: float,
    add_reference_stars: bool,
    margin_pix: float,
) -> StarCatalog:
    """Join Gaia and the reference image's own stars into the list that is measured.

    Gaia stars come first, from bright to faint, then the others, so a longer list of the latter changes no number.

    Parameters
    ----------
    gaia : SkyCatalog
        The field's catalogue.
    stars : ndarray of STAR_DTYPE, shape (n_stars,)
        Stars of the reference image.
    wcs : TanSip
        Refined solution of the reference image.
    mjd_utc : float
        Its mid-exposure [d].
    fwhm_pix : float
        Its seeing [pixel].
    add_reference_stars : bool
        Whether to add stars that Gaia lacks.
    margin_pix : float
        How far outside of the reference image a Gaia star is still kept: other frames may reach there [pixel].

    Returns
    -------
    StarCatalog
        `star_id` counts from 0; stars that Gaia lacks have source_id -1, no motion and the image's epoch.
    """
    epoch = jyear_of_mjd(mjd_utc)
    x, y = sky_to_pixel(wcs, *propagate(gaia, epoch))
    ny, nx = wcs.shape
    near = (x > -margin_pix) & (x < nx - 1 + margin_pix) & (y > -margin_pix) & (y < ny - 1 + margin_pix)
    rows = np.flatnonzero(near)
    # Ties and unknown magnitudes by identifier, so that the order of the table does not matter.
    rows = rows[np.lexsort((gaia.source_id[rows], gaia.phot_g_mean_mag[rows]))]
    known = gaia[rows]
    x, y = x[rows], y[rows]
    extra = np.zeros(0, np.int64)
    if add_reference_stars:
        matched, _ = match_mutual(stars["x"], stars["y"], x, y, MATCH_FWHM * fwhm_pix)
        extra = np.setdiff1d(np.flatnonzero((stars["flags"] & SPURIOUS) == 0), matched)
        extra = extra[~_blend_of_known(stars[extra], x, y, fwhm_pix)]
        extra = extra[np.argsort(-stars["flux"][extra], kind="stable")]
    ra, dec = pixel_to_sky(wcs, stars["x"][extra], stars["y"][extra])
    error = 1000.0 * pixel_scale_arcsec(wcs) * np.maximum(stars["x_err"][extra], stars["y_err"][extra])
    n, unknown = len(extra), np.full(len(extra), np.nan)
    columns = {
        "source_id": np.full(n, -1, np.int64),
        "ra_deg": ra,
        "dec_deg": dec,
        "ref_epoch": np.full(n, epoch),
        "pmra": np.zeros(n),
        "pmdec": np.zeros(n),
        "parallax": np.zeros(n),
        "pos_err": error,
        "pm_err": np.full(n, UNKNOWN_MOTION_MAS_YR),
        "phot_g_mean_mag": unknown,
        "bp_rp": unknown,
    }
    joined = {name: np.concatenate([getattr(known, name), values]) for name, values in columns.items()}
    return StarCatalog(
        **joined,
        star_id=np.arange(len(rows) + n, dtype=np.int64),
        x_ref=np.concatenate([x, stars["x"][extra]]),
        y_ref=np.concatenate([y, stars["y"][extra]]),
    )


def _blend_of_known(stars: np.ndarray, x: np.ndarray, y: np.ndarray, fwhm_pix: float) -> np.ndarray:
    """Whether a detection that matched no star lies on one all the same: half of a star that was split in two."""
    near = np.zeros(len(stars), bool)
    order = np.argsort(y, kind="stable")
    xs, ys = x[order], y[order]
    radius = 0.4 * fwhm_pix
    low = np.searchsorted(ys, stars["y"] - radius)
    high = np.searchsorted(ys, stars["y"] + radius)
    for k, (first, last) in enumerate(zip(low, high, strict=True)):
        distance = np.hypot(xs[first:last] - stars["x"][k], ys[first:last] - stars["y"][k])
        near[k] = bool((distance < radius).any())
    return near
