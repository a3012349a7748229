"""Settles what the images of a CCD have in common: plate solution, pixels of stars, and stars that tell the motion."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gaiaflux.core.cadences.motion_stars import StarChoice, choose_motion_stars
from gaiaflux.core.cadences.sky_excess import without_light
from gaiaflux.core.image.ccd_sky import SkyGrid
from gaiaflux.core.image.star_mask import star_mask
from gaiaflux.core.sky.epoch import jyear_of_mjd, propagate
from gaiaflux.core.sky.projection import sky_to_pixel
from gaiaflux.io.tess.ccd_image import read_ccd_image
from gaiaflux.model.ccd_image import CcdImage
from gaiaflux.model.errors import InputError
from gaiaflux.model.image_reference import ImageReference
from gaiaflux.model.tess_catalog import TessCatalog
from gaiaflux.tess.stamp.quality import DEFAULT_BAD
from gaiaflux.tess.stamp.scene import ZERO_POINT, expected_flux

__all__ = ["CandidateImage", "image_reference", "usable_images"]

LOG = logging.getLogger(__name__)
BEYOND_PIX = 12.0
"""Stars so far outside put light into the image [pixel]."""
SKY_NOISE = 0.4
"""Of the sky in a pixel of half an hour: light below half of it hides no sky [electron/s]."""

CandidateImage = tuple[str, str]
"""Frame identifier and path."""


def usable_images(candidates: Sequence[CandidateImage], ccd: tuple[int, int, int]) -> Iterator[tuple[str, CcdImage]]:
    """Images of a CCD that can be a reference, in the order given: with light, a plate solution and no bad quality.

    Parameters
    ----------
    candidates : sequence of CandidateImage
    ccd : tuple of int
        Sector, camera, CCD.

    Yields
    ------
    tuple of str and CcdImage
    """
    for frame_id, path in candidates:
        try:
            image = read_ccd_image(path)
        except (InputError, FileNotFoundError) as reason:
            LOG.warning("%s: %s", frame_id, reason)
            continue
        unfit = _unfit(image, ccd)
        if unfit:
            LOG.info("%s: no reference, %s", frame_id, unfit)
        else:
            yield frame_id, image


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
    frame_id, image = next(usable_images(candidates, ccd), ("", None))
    if image is None or image.wcs is None:
        raise InputError(
            f"none of {len(candidates)} images of sector {ccd[0]}, camera {ccd[1]}, CCD {ccd[2]} that were tried, "
            f"{Path(candidates[0][1]).name} ..., can be read and has light, a plate solution and no bad quality; the "
            "log says why of each; give images that have"
        )
    LOG.info("%s is the reference", frame_id)
    shape = ny, nx = image.flux.shape
    jyear = jyear_of_mjd(image.mjd_tdb)
    x, y = sky_to_pixel(image.wcs, *propagate(catalog, jyear))
    flux = expected_flux(catalog.mag, ZERO_POINT)
    near = (x > -BEYOND_PIX) & (x < nx + BEYOND_PIX) & (y > -BEYOND_PIX) & (y < ny + BEYOND_PIX) & np.isfinite(flux)
    rows = np.flatnonzero(near & catalog.one_per_source())
    x, y, flux = x[rows], y[rows], flux[rows]
    if not len(rows):
        LOG.warning("no star of the catalogue is on the images: their motion is not known")
    grid = SkyGrid.of(shape, image.camera, image.ccd, first_row=image.first_row, first_column=image.first_column)
    chosen = choose_motion_stars(x, y, flux, shape, StarChoice())
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
        starry=star_mask(x, y, flux, grid, SKY_NOISE),
        star_id=catalog.star_id[rows],
        x=x,
        y=y,
        flux=flux,
        tells=chosen,
    )
