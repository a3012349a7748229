"""Preparation of one full-frame image: errors, sky, and places of the stars that tell how the image moves."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from gaiaflux.core.cadences.centroids import (
    CentroidOptions,
    MotionStars,
    PixelNoise,
    measure_centroids,
    motion_stars,
)
from gaiaflux.core.cadences.sky_excess import without_light
from gaiaflux.core.image.ccd_sky import SkyGrid, measure_sky
from gaiaflux.core.image.variance_model import ErrorSource, complete_error
from gaiaflux.core.psf.sampled import SampledPsf
from gaiaflux.model.ccd_image import CcdImage
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.flags import FrameFlag
from gaiaflux.model.image_reference import ImageReference
from gaiaflux.model.prepared_frame import CENTROIDS, CentroidTable, PreparedFrame
from gaiaflux.tess.images.excluded import excluded_pixels

__all__ = ["FrameKit", "prepare_frame", "sky_grid"]

CENTROIDING = CentroidOptions()
_CADENCE_AGREES = 0.01


def sky_grid(reference: ImageReference) -> SkyGrid:
    """Grid of the sky of the images of a CCD."""
    first_row, _, first_column, _ = reference.stamp
    return SkyGrid.of(reference.shape, reference.camera, reference.ccd, first_row=first_row, first_column=first_column)


@dataclass(frozen=True)
class FrameKit:
    """What the images of a CCD are prepared with.

    Attributes
    ----------
    reference : ImageReference
    grid : SkyGrid
        Of their sky.
    stars : MotionStars
        Those that tell the motion.
    """

    reference: ImageReference
    grid: SkyGrid
    stars: MotionStars

    @classmethod
    def of(cls, reference: ImageReference, psf: SampledPsf) -> "FrameKit":
        """For a reference and a response function in coordinates of the CCD."""
        stars = np.stack([reference.x, reference.y, reference.flux])
        corner = (reference.stamp[2], reference.stamp[0])
        return cls(reference, sky_grid(reference), motion_stars(psf, stars, reference.tells, corner, CENTROIDING))


def prepare_frame(image: CcdImage, kit: FrameKit) -> PreparedFrame:
    """Prepare an image.

    Parameters
    ----------
    image : CcdImage
        Of the CCD and the part of it that the reference is of.
    kit : FrameKit

    Returns
    -------
    PreparedFrame
        An image without any light is there, too, and flagged.

    Raises
    ------
    BadFrameError
        It is of another CCD, part of it or cadence, has no time, no number of its cadence or no exposure time, or no
        pixel that tells the sky.
    """
    reference = kit.reference
    _refuse_unlike(image, reference)
    if without_light(image.flux):
        return _without_light(image, kit)
    dark = ~np.isfinite(image.flux) | _excluded(image)
    try:
        errors = complete_error(
            image.flux, image.flux_err, image.detector, exptime_s=image.exptime_s, first_column=image.first_column
        )
    except ValueError as reason:
        raise BadFrameError(f"the errors of its pixels cannot be told ({reason})") from reason
    sky = measure_sky(image.flux, reference.starry | dark, kit.grid)
    noise = PixelNoise(0.0, 0.0, errors.error**2)
    found = measure_centroids(image.flux, kit.stars, noise, CENTROIDING, unusable=dark)
    facts = {
        **_facts(image),
        "flags": 0 if errors.source is ErrorSource.STATED else int(FrameFlag.MODELLED_ERRORS),
        "errors": str(errors.source),
        "sky": float(np.median(sky.level)),
    }
    centroids = CentroidTable(reference.star_id[reference.tells], *(getattr(found, name) for name in CENTROIDS))
    flux = np.where(dark, np.float32(np.nan), image.flux)
    return PreparedFrame(facts, flux, errors.error, asdict(sky), centroids, image.wcs, image.remarks)


def _refuse_unlike(image: CcdImage, reference: ImageReference) -> None:
    """Refuse an image that is not one of those that the reference is of."""
    place = (image.sector, image.camera, image.ccd)
    if not image.sector:
        raise BadFrameError("neither its header nor its name says the sector")
    if place != reference.place:
        others = "{}, {}, {}".format(*reference.place)
        raise BadFrameError("of sector {}, camera {}, CCD {}, where the others are of {}".format(*place, others))
    if np.isfinite(image.cadence_s) and abs(image.cadence_s - reference.cadence_s) > _CADENCE_AGREES * image.cadence_s:
        raise BadFrameError(
            f"it is one of an image every {image.cadence_s:.0f} s, where the others are every {reference.cadence_s:.0f}"
        )
    if image.stamp != reference.stamp:
        here, there = ("rows {} to {}, columns {} to {}".format(*one) for one in (image.stamp, reference.stamp))
        raise BadFrameError(f"it shows {here} of the CCD, where the others show {there}")
    if not np.isfinite(image.mjd_tdb):
        raise BadFrameError("its header states no time")
    if image.cadenceno < 0:
        raise BadFrameError("its header does not state the number of its cadence (FFIINDEX, CADENCE)")


def _excluded(image: CcdImage) -> np.ndarray:
    place = (image.sector, image.camera, image.ccd)
    return excluded_pixels(place, np.array([image.mjd_tdb]), image.stamp, image.stamp)[0]


def _facts(image: CcdImage) -> Mapping[str, str | int | float]:
    ra, dec = image.timecorr_place or (float("nan"), float("nan"))
    same = ("path", "origin", "procver", "data_release", "cadenceno", "mjd_tdb", "exptime_s", "timecorr_d")
    return {
        **{name: getattr(image, name) for name in (*same, "clock_offset_s", "quality")},
        "timecorr_ra": ra,
        "timecorr_dec": dec,
    }


def _without_light(image: CcdImage, kit: FrameKit) -> PreparedFrame:
    """Frame of an image whose pixels are all zero or have no number."""
    nothing = float("nan")
    facts = {
        **_facts(image),
        "flags": int(FrameFlag.NO_LIGHT),
        "errors": "",
        "sky": nothing,
    }
    empty = np.full(image.flux.shape, np.nan, np.float32)
    reference = kit.reference
    none = np.full(len(reference.tells), np.nan)
    centroids = CentroidTable(reference.star_id[reference.tells], *(none for _ in CENTROIDS))
    mesh, rings = (np.full(shape, np.nan, np.float32) for shape in (kit.grid.mesh_shape, kit.grid.n_rings))
    sky: dict[str, np.ndarray | int] = {"level": mesh, "level_err": mesh, "glow": rings, "glow_err": rings}
    sky["n_used"] = 0
    return PreparedFrame(facts, empty, empty, sky, centroids, image.wcs, image.remarks)
