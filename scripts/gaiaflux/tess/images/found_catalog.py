"""A catalogue of the stars that an image of each CCD shows, for fields that have none."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from gaiaflux.core.image.variance_model import complete_error
from gaiaflux.core.psf.sampled import SampledPsf
from gaiaflux.core.sky.epoch import jyear_of_mjd, propagate
from gaiaflux.core.sky.projection import pixel_to_sky
from gaiaflux.core.sky.sphere import directions, separation_deg
from gaiaflux.core.stars.prf_list import find_prf_stars
from gaiaflux.model.ccd_image import CcdImage
from gaiaflux.model.errors import InputError
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.tess_catalog import FIRST_OWN_STAR, TessCatalog
from gaiaflux.tess.images.reference import CandidateImage, tried_images
from gaiaflux.tess.stamp.instrument import InstrumentFiles
from gaiaflux.tess.stamp.scene import PIXEL_MAS, ZERO_POINT

__all__ = ["SOURCE", "ImageGroup", "find_catalog"]

LOG = logging.getLogger(__name__)
SOURCE = "full-frame image"
MATCH_ARCSEC = 21.0
"""So near a star of the list must be."""
MATCH_MAG = 1.5
"""So alike in magnitude."""
NOT_SEEN = "no star of its magnitude is found on the images within a pixel of its place"
NOT_THERE = "outside of the images"
_UNSURE_MAG = 0.5  # of a star in whose light there is another's


class ImageGroup(NamedTuple):
    """Images of a CCD.

    Attributes
    ----------
    ccd : tuple of int
        Sector, camera, CCD.
    candidates : sequence of CandidateImage
        The first that can be used is.
    """

    ccd: tuple[int, int, int]
    candidates: Sequence[CandidateImage]


def find_catalog(
    groups: Sequence[ImageGroup], instrument: InstrumentFiles, listed: TessCatalog | None = None
) -> TessCatalog:
    """Find the stars of a field on its images.

    Parameters
    ----------
    groups : sequence of ImageGroup
        One for each CCD and cadence; of a CCD with several, and of fields that overlap, each star counts once.
    instrument : InstrumentFiles
        Has the response functions.
    listed : TessCatalog, optional
        Stars whose numbers are taken over where one is found at their place.

    Returns
    -------
    TessCatalog
        Positions at the time of the image; magnitudes from the light.

    Raises
    ------
    InputError
        No star is found.
    """
    found: list[TessCatalog] = []
    remarks: list[str] = []
    for group in groups:
        image = next((image for _, image, _ in tried_images(group.candidates, group.ccd) if image is not None), None)
        where = "sector {}, camera {}, CCD {}".format(*group.ccd)
        if image is None:
            remarks.append(f"no stars of {where}: it has no image that can be used")
            continue
        try:
            psf = instrument.response(*group.ccd)
        except FileNotFoundError as reason:
            remarks.append(f"no stars of {where}: {reason}")
            continue
        if psf is None:
            raise InputError("stars are found by the pixel response function: give prf_folder, or a catalogue")
        stars = _stars(image, psf)
        LOG.info("%s: %d stars", where, len(stars))
        found.append(stars[_new(stars, found)])
    if not any(map(len, found)):
        raise InputError("; ".join(["no star is found on the images: give a catalogue (catalog_file)", *remarks]))
    everything = replace(_joined(found), remarks=tuple(remarks))
    return _sorted(everything if listed is None else _named(everything, listed))


def _stars(image: CcdImage, psf: SampledPsf) -> TessCatalog:
    """Stars of an image, brightest first, without numbers."""
    assert image.wcs is not None
    error = complete_error(
        image.flux, image.flux_err, image.detector, exptime_s=image.exptime_s, first_column=image.first_column
    ).error
    stars = find_prf_stars(image.flux, error**2, psf, (image.first_column, image.first_row)).stars
    ra, dec = pixel_to_sky(image.wcs, stars.x, stars.y)
    n, unknown = len(stars), np.full(len(stars), np.nan)
    doubtful = (stars.flags & StarFlag.SATURATED) != 0
    mag_err = np.hypot(1.0857 * stars.flux_err / stars.flux, np.where(doubtful, _UNSURE_MAG, 0.0))
    return TessCatalog(
        source_id=np.full(n, -1, np.int64),
        ra_deg=ra,
        dec_deg=dec,
        ref_epoch=np.full(n, jyear_of_mjd(image.mjd_tdb)),
        pmra=np.zeros(n),
        pmdec=np.zeros(n),
        parallax=np.zeros(n),
        pos_err=stars.place_err * PIXEL_MAS,
        pm_err=np.zeros(n),
        mag=ZERO_POINT - 2.5 * np.log10(stars.flux),
        colour=unknown,
        star_id=np.zeros(n, np.int64),
        mag_err=mag_err,
        mag_source=np.full(n, SOURCE),
        teff=unknown,
        system="TESS",
        source=SOURCE,
    )


def _new(stars: TessCatalog, former: Sequence[TessCatalog]) -> np.ndarray:
    """Stars that no former image has."""
    new = np.ones(len(stars), bool)
    here = directions(stars.ra_deg, stars.dec_deg)
    for other in former:
        if len(other):
            there = directions(other.ra_deg, other.dec_deg)
            new &= np.array([3600.0 * separation_deg(there, one).min() > MATCH_ARCSEC / 2 for one in here], bool)
    return new


def _joined(parts: Sequence[TessCatalog]) -> TessCatalog:
    """All stars with numbers of their own, brightest first."""
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in TessCatalog.column_names()}
    every = parts[0].with_columns(columns)
    every = every[np.argsort(every.mag, kind="stable")]
    return replace(every, star_id=FIRST_OWN_STAR + np.arange(len(every)))


def _named(stars: TessCatalog, listed: TessCatalog) -> TessCatalog:
    """The stars with the numbers of a list, brightest first: the nearest star of like magnitude is the one."""
    ra, dec = propagate(listed, float(np.median(stars.ref_epoch)))
    there = directions(stars.ra_deg, stars.dec_deg)
    middle = there.mean(axis=0)
    middle /= np.linalg.norm(middle)
    reach = separation_deg(there, middle).max() + 2.0 * MATCH_ARCSEC / 3600.0
    near = np.flatnonzero(separation_deg(directions(ra, dec), middle) <= reach)
    numbers, taken = stars.star_id.copy(), np.zeros(len(stars), bool)
    there_not, missed = np.setdiff1d(np.arange(len(listed)), near), []
    for row in near[np.argsort(listed.mag[near], kind="stable")]:
        distance = 3600.0 * separation_deg(there, directions(ra[[row]], dec[[row]])[0])
        unlike = np.abs(stars.mag - listed.mag[row]) > MATCH_MAG
        distance = np.where(taken | (unlike & np.isfinite(listed.mag[row])), np.inf, distance)
        best = int(np.argmin(distance))
        if distance[best] > MATCH_ARCSEC:
            missed.append(row)
            continue
        numbers[best], taken[best] = listed.star_id[row], True
    LOG.info("%d of %d stars of the list are found on the images", taken.sum(), len(listed))
    left_out = dict(listed.left_out)
    for reason, rows in ((NOT_SEEN, missed), (NOT_THERE, there_not)):
        if len(rows):
            left_out[reason] = np.sort(listed.star_id[rows])
    return replace(stars, star_id=numbers, left_out=left_out, remarks=(*stars.remarks, *listed.remarks))


def _sorted(stars: TessCatalog) -> TessCatalog:
    return stars[np.argsort(stars.star_id)]
