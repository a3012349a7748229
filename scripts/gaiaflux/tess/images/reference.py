"""Settles what the images of a CCD have in common: plate solution, pixels of stars, and stars that tell the motion."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from gaiaflux.core.cadences.motion_stars import StarChoice, choose_motion_stars
from gaiaflux.core.cadences.sky_excess import without_light
from gaiaflux.core.image.ccd_sky import SkyGrid, measure_sky
from gaiaflux.core.image.spots import bright_spots
from gaiaflux.core.image.star_mask import star_mask
from gaiaflux.core.sky.epoch import jyear_of_mjd, propagate
from gaiaflux.core.sky.projection import sky_to_pixel
from gaiaflux.io.tess.ccd_image import read_ccd_image
from gaiaflux.model.ccd_image import CcdImage
from gaiaflux.model.errors import BadFrameError, InputError
from gaiaflux.model.image_reference import ImageReference, NoReference
from gaiaflux.model.tess_catalog import TessCatalog
from gaiaflux.tess.stamp.quality import DEFAULT_BAD
from gaiaflux.tess.stamp.scene import ZERO_POINT, expected_flux

__all__ = ["CandidateImage", "image_reference", "settled_reference", "tried_images"]

LOG = logging.getLogger(__name__)
BEYOND_PIX = 12.0
"""Stars so far outside put light into the image [pixel]."""
SKY_NOISE = 0.4
"""Of the sky in a pixel of half an hour: light below half of it hides no sky [electron/s]."""

SPOT = 150.0
"""Light of a pixel that only a star has, one of about T 14 [electron/s]."""
FEWEST_SPOTS = 3

CandidateImage = tuple[str, str]
"""Frame identifier and path."""


def tried_images(
    candidates: Sequence[CandidateImage], ccd: tuple[int, int, int]
) -> Iterator[tuple[str, CcdImage | None, str]]:
    """Images of a CCD, and whether each can be a reference: with light, a plate solution and no bad quality.

    Parameters
    ----------
    candidates : sequence of CandidateImage
        In the order in which they are read.
    ccd : tuple of int
        Sector, camera, CCD.

    Yields
    ------
    frame_id : str
    image : CcdImage or None
        None where it cannot.
    reason : str
        Why not, in few words.
    """
    for frame_id, path in candidates:
        image, unfit = None, "not readable"
        try:
            image = read_ccd_image(path)
        except (InputError, FileNotFoundError) as reason:
            LOG.warning("%s: %s", frame_id, reason)
        else:
            unfit = _unfit(image, ccd)
            if unfit:
                LOG.info("%s: no reference, %s", frame_id, unfit)
        yield frame_id, None if unfit else image, unfit


def _unfit(image: CcdImage, ccd: tuple[int, int, int]) -> str:
    """Why an image cannot be a reference; empty where it can."""
    if (image.sector, image.camera, image.ccd) != ccd:
        return f"of sector {image.sector}, camera {image.camera}, CCD {image.ccd}"
    if image.wcs is None:
        return "without a plate solution"
    if without_light(image.flux):
        return "without light"
    return f"of quality {image.quality}" if image.quality & DEFAULT_BAD else ""


def image_reference(
    candidates: Sequence[CandidateImage], ccd: tuple[int, int, int], catalog: TessCatalog
) -> ImageReference:
    """Choose the first image that can be the reference, and the stars in it.

    Parameters
    ----------
    candidates : sequence of CandidateImage
    ccd : tuple of int
        Sector, camera, CCD.
    catalog : TessCatalog

    Returns
    -------
    ImageReference

    Raises
    ------
    InputError
        No candidate can be the reference.
    """
    frame_id, image = _first_fit(candidates, ccd)
    assert image.wcs is not None
    LOG.info("%s is the reference", frame_id)
    shape = ny, nx = image.flux.shape
    jyear = jyear_of_mjd(image.mjd_tdb)
    x, y = sky_to_pixel(image.wcs, *propagate(catalog, jyear))
    flux = expected_flux(catalog.mag, ZERO_POINT)
    near = (x > -BEYOND_PIX) & (x < nx + BEYOND_PIX) & (y > -BEYOND_PIX) & (y < ny + BEYOND_PIX) & np.isfinite(flux)
    rows = np.flatnonzero(near & catalog.one_per_source())
    x, y, flux = x[rows], y[rows], flux[rows]
    remarks = []
    if not len(rows):
        remarks.append("no star of the catalogue is on the images: their motion is not known")
    grid = SkyGrid.of(shape, image.camera, image.ccd, first_row=image.first_row, first_column=image.first_column)
    chosen = choose_motion_stars(x, y, flux, shape, StarChoice())
    starry = star_mask(x, y, flux, grid, SKY_NOISE)
    remarks += _unlisted(image, starry, grid)
    for remark in remarks:
        LOG.warning("%s", remark)
    return ImageReference(
        frame_id=frame_id,
        sector=ccd[0],
        camera=ccd[1],
        ccd=ccd[2],
        cadence_s=image.cadence_s,
        detector=image.detector,
        cosmic_rays=image.cosmic_rays,
        stamp=image.stamp,
        wcs=image.wcs,
        jyear=jyear,
        starry=starry,
        star_id=catalog.star_id[rows],
        x=x,
        y=y,
        flux=flux,
        tells=chosen,
        remarks=tuple(remarks),
    )


def _first_fit(candidates: Sequence[CandidateImage], ccd: tuple[int, int, int]) -> tuple[str, CcdImage]:
    refused: Counter[str] = Counter()
    for frame_id, image, reason in tried_images(candidates, ccd):
        if image is not None:
            return frame_id, image
        refused[reason] += 1
    said = ", ".join(f"{number} {reason}" for reason, number in refused.items())
    raise InputError(
        f"none of the {len(candidates)} images of sector {ccd[0]}, camera {ccd[1]}, CCD {ccd[2]} that were tried can "
        f"be the reference ({said}): fetch them again, or leave them out"
    )


def settled_reference(
    candidates: Sequence[CandidateImage], ccd: tuple[int, int, int], catalog: TessCatalog
) -> ImageReference | NoReference:
    """The reference of the images of a CCD, or why they are all lost; parameters as of `image_reference`."""
    try:
        return image_reference(candidates, ccd, catalog)
    except InputError as reason:
        LOG.warning("%s", reason)
        return NoReference(ccd, str(reason))


def _unlisted(image: CcdImage, starry: np.ndarray, grid: SkyGrid) -> list[str]:
    """Whether the image shows stars that the catalogue does not have, as where it ends inside the image."""
    try:
        sky = measure_sky(image.flux, starry | ~np.isfinite(image.flux), grid)
    except BadFrameError:
        return []
    x, y = bright_spots(sky.subtract(image.flux, grid), starry, SPOT)
    if len(x) < FEWEST_SPOTS:
        return []
    return [
        f"{len(x)} stars of the images are not in the catalogue, at columns {x.min() + image.first_column} to "
        f"{x.max() + image.first_column}, rows {y.min() + image.first_row} to {y.max() + image.first_row}: it ends "
        "there, or is not complete; fluxes beside them are too large"
    ]
