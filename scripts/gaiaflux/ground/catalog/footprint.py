"""Where the images of a series look, from what the first extraction noted of their headers."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gaiaflux.core.sky.projection import pixel_to_sky
from gaiaflux.core.sky.sphere import directions, separation_deg, sky_of_direction
from gaiaflux.io.batch_file import BatchReader
from gaiaflux.io.image.wcs_cards import tan_sip_from_cards
from gaiaflux.model.errors import BadFrameError, InputError
from gaiaflux.model.status import OK

__all__ = ["HALO_FWHM", "Footprint", "series_footprint"]

HALO_FWHM = 28.0
"""Bright stars so far beside an image [FWHM] must be known, for their halos reach it."""

# A header that claims more than this of what the others claim is wrong, not wide.
SIZE_TOLERANCE = 2.0
LARGEST_RADIUS_DEG = 10.0


@dataclass(frozen=True)
class Footprint:
    """A cone that covers the images of a series.

    Attributes
    ----------
    centre_deg : tuple of float
        (ra, dec) of the axis, ICRS [deg].
    radius_deg : float
        Half opening angle [deg].
    n_frames : int
        Images that it covers.
    n_elsewhere : int
        Images whose header points elsewhere, or is senseless; they are not covered.
    n_unknown : int
        Images whose header does not say where they point.
    """

    centre_deg: tuple[float, float]
    radius_deg: float
    n_frames: int
    n_elsewhere: int
    n_unknown: int


def series_footprint(
    star_files: Iterable[str | Path], margin_arcmin: float, centre_deg: tuple[float, float] | None = None
) -> Footprint:
    """Cone that covers the images of a series, robust to a few that point elsewhere.

    The centre is the median pointing; images whose centre is within one field diagonal of it are covered, corners and
    all. An image without WCS counts with its pointing and pixel scale, if the header has both.

    Parameters
    ----------
    star_files : iterable of str or Path
        Batch files of extract_stars.
    margin_arcmin : float
        Added to the radius [arcmin]; where the halos of stars reach farther, at `HALO_FWHM` of the typical seeing, that
        is added instead.
    centre_deg : tuple of float, optional
        (ra, dec) of the axis, where it is given [deg].

    Returns
    -------
    Footprint
        Does not depend on the order of files or images.

    Raises
    ------
    InputError
        No header says where the image is; or none is near the given centre.
    """
    fields, n_unknown = _fields(star_files)
    if not fields:
        raise InputError(
            f"none of the {n_unknown} usable images says in its header where it points (WCS, or pointing and pixel "
            "scale): set centre_deg and radius_arcmin of the series"
        )
    # Sorted, so that sums and ties do not depend on the order of arrival.
    fields.sort(key=lambda field: (*field.centre, field.diagonal_deg))
    centres = np.array([field.centre for field in fields])
    diagonals = np.array([field.diagonal_deg for field in fields])
    sane = diagonals <= SIZE_TOLERANCE * np.median(diagonals)
    given = directions(*centre_deg) if centre_deg else None
    axis = _median_direction(centres[sane]) if given is None else given
    near = sane & (separation_deg(centres, axis) <= diagonals)
    if given is None:
        if not near.any():  # two groups: the median lies between them
            axis = centres[sane][np.argmin(separation_deg(centres[sane], axis))]
            near = sane & (separation_deg(centres, axis) <= diagonals)
        axis = _median_direction(centres[near])
    elif centre_deg and not near.any():
        ra, dec = sky_of_direction(_median_direction(centres[sane]))
        raise InputError(
            f"centre_deg ({centre_deg[0]:.4f}, {centre_deg[1]:.4f}) is far from where the images point "
            f"({ra:.4f}, {dec:.4f}): correct it, or leave it out"
        )
    reach, margin = max(fields[row].reach_deg(axis) for row in np.flatnonzero(near)), margin_arcmin / 60.0
    radius = reach + margin
    if radius > LARGEST_RADIUS_DEG:
        raise InputError(
            f"the images' headers make a field of {radius:.1f} deg radius: set centre_deg and radius_arcmin of the "
            "series"
        )
    widths = np.array([fields[row].fwhm_deg for row in np.flatnonzero(near)])
    if np.isfinite(widths).any():
        radius = reach + max(margin, HALO_FWHM * float(np.nanmedian(widths)))
    return Footprint(
        centre_deg=sky_of_direction(axis) if centre_deg is None else (float(centre_deg[0]), float(centre_deg[1])),
        radius_deg=float(radius),
        n_frames=int(near.sum()),
        n_elsewhere=int(np.sum(~near)),
        n_unknown=n_unknown,
    )


@dataclass(frozen=True)
class _Field:
    centre: np.ndarray
    corners: np.ndarray
    diagonal_deg: float
    fwhm_deg: float

    def reach_deg(self, axis: np.ndarray) -> float:
        """Angle from an axis to the farthest corner; without known corners, to the circle that they lie on [deg]."""
        if len(self.corners):
            return float(separation_deg(self.corners, axis).max())
        return float(separation_deg(self.centre, axis)) + 0.5 * self.diagonal_deg


def _fields(star_files: Iterable[str | Path]) -> tuple[list[_Field], int]:
    fields, n_unknown = [], 0
    for path in star_files:
        with BatchReader(path) as batch:
            for frame_id in batch.frame_ids:
                attrs = batch.attrs(frame_id)
                if attrs["status"] != OK:
                    continue
                field = _field(attrs)
                if field is None:
                    n_unknown += 1
                else:
                    fields.append(field)
    return fields, n_unknown


def _field(attrs: dict[str, str | bool | int | float]) -> _Field | None:
    nx, ny = int(attrs["nx"]), int(attrs["ny"])
    width = float(attrs.get("fwhm_pix", np.nan)) / float(np.hypot(nx, ny))
    if attrs.get("wcs_cards"):
        try:
            wcs = tan_sip_from_cards(str(attrs["wcs_cards"]), (ny, nx))
        except BadFrameError:
            return _field_of_pointing(attrs, nx, ny)
        x = np.array([-0.5, nx - 0.5, nx - 0.5, -0.5, 0.5 * (nx - 1)])
        y = np.array([-0.5, -0.5, ny - 0.5, ny - 0.5, 0.5 * (ny - 1)])
        vectors = directions(*pixel_to_sky(wcs, x, y))
        corners, centre = vectors[:4], vectors[4]
        if np.isfinite(vectors).all():
            diagonal = float(max(separation_deg(corners[:2], corners[2:])))
            return _Field(centre, corners, diagonal, width * diagonal)
    return _field_of_pointing(attrs, nx, ny)


def _field_of_pointing(attrs: dict[str, str | bool | int | float], nx: int, ny: int) -> _Field | None:
    ra, dec, scale = (float(attrs.get(key, np.nan)) for key in ("ra_deg", "dec_deg", "pixel_scale_arcsec"))
    if not (np.isfinite(ra) and abs(dec) <= 90.0 and scale > 0.0):
        return None
    diagonal, fwhm = float(np.hypot(nx, ny)) * scale / 3600.0, float(attrs.get("fwhm_pix", np.nan)) * scale / 3600.0
    return _Field(directions(ra, dec), np.empty((0, 3)), diagonal, fwhm)


def _median_direction(vectors: np.ndarray) -> np.ndarray:
    """Component-wise median, brought back to the sphere; the first vector where that has no direction."""
    median = np.median(vectors, axis=0)
    length = np.linalg.norm(median)
    return median / length if length > 0.0 else vectors[0]
