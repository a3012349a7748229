"""What a method of photometry says beside fluxes, errors and flags: one value per frame, or per star and frame."""

from collections.abc import Mapping, Sequence

import numpy as np

from gaiaflux.io.dataset import Column, DatasetReader, DatasetWriter

__all__ = ["FRAME_FACTS", "STAR_FACTS", "WITH_RADII", "copy_facts", "write_frame_facts"]

_ROWS = 4096  # stars in memory at once: whole chunks of the file
_COMMON = {
    "status": Column("text", "", "ok, or the reason why this method did not measure the frame"),
    "n_measured": Column("i4", "", "stars with a flux by this method; -1 where the frame was not measured"),
}
FRAME_FACTS = {
    "aperture": {
        **_COMMON,
        "n_correction_stars": Column("i4", "", "stars of the frame's aperture correction; -1 where not measured"),
        "profile_fwhm_pix": Column("f8", "pixel", "full width at half maximum of the profile of the correction"),
    },
    "psf": {
        **_COMMON,
        "psf_status": Column(
            "text",
            "",
            "where the PSF is from: ok (the frame's own stars), lower order (fewer stars than asked for), borrowed "
            "(the reference image's, scaled); empty where not measured",
        ),
        "psf_n_stars": Column("i4", "", "stars that the PSF was measured with; -1 where the frame was not measured"),
        "psf_order": Column("i4", "", "order of the PSF's change over the field; -1 where not measured"),
        "psf_residual_order": Column("i4", "", "the same of its empirical residual; -1 where there is none"),
        "psf_residual_rms": Column("f8", "", "rms of what the PSF leaves of its stars, relative to their light"),
        "psf_fwhm_pix": Column("f8", "pixel", "full width at half maximum of the PSF in the middle of the frame"),
        "psf_ellipticity": Column("f8", "", "1 - minor / major axis of the PSF in the middle of the frame"),
        "psf_beta": Column("f8", "", "exponent of the PSF's Moffat core"),
        "shift_x_pix": Column("f8", "pixel", "columns by which the stars lie off the plate solution"),
        "shift_y_pix": Column("f8", "pixel", "rows by which the stars lie off the plate solution"),
        "centroid_rms_pix": Column("f8", "pixel", "rms of the stars' own centroids about the places measured at"),
        "sky": Column("f8", "count/pixel", "level of the sky under the stars, in the frame's unit"),
        "pixel_noise": Column("f8", "count/pixel", "noise of one pixel of sky, in the frame's unit"),
        "noise": Column("text", "", "where the variances of the pixels come from"),
    },
}
"""One value per frame, by method: kept in the method's group."""
STAR_FACTS = {
    "psf": {
        "chi2": Column("f2", "", "chi-squared per pixel of the fit of the PSF; NaN where not measured"),
        "psf_fraction": Column("f2", "", "part of the PSF's light that falls on good pixels; NaN where not measured"),
        "crowding": Column("f2", "", "neighbours' light in the star's PSF over its own; NaN where not measured"),
    }
}
"""One value per star and frame, by method."""
WITH_RADII = ("aperture",)
"""Methods that measure each star with several radii."""


def write_frame_facts(out: DatasetWriter, method: str, attrs: Sequence[Mapping[str, object]]) -> None:
    """Write what a method says of each frame.

    Parameters
    ----------
    out : DatasetWriter
        File to write to.
    method : str
        Group of the method.
    attrs : sequence of mapping
        Scalars of each frame, in the order of the dataset; what one does not say is -1, NaN or empty.
    """
    for name, column in FRAME_FACTS.get(method, _COMMON).items():
        text = column.dtype == "text"
        nothing = "" if text else np.nan if column.dtype[0] == "f" else -1
        values = np.array([found.get(name, nothing) for found in attrs], dtype=object if text else column.dtype)
        out.array(f"{method}/{name}", values, column.unit, column.description)


def copy_facts(source: DatasetReader, out: DatasetWriter, method: str) -> None:
    """Take over what a method says beside fluxes, errors and flags.

    Parameters
    ----------
    source : DatasetReader
        File of `gaiaflux.series.assembly.assemble_dataset`.
    out : DatasetWriter
        Dataset of the series.
    method : str
        Group of the method.
    """
    for name, column in FRAME_FACTS.get(method, _COMMON).items():
        out.array(f"{method}/{name}", source.array(f"{method}/{name}"), column.unit, column.description)
    for name, column in STAR_FACTS.get(method, {}).items():
        grid = source.grid(f"{method}/{name}")
        copy = out.grid(f"{method}/{name}", grid.shape, column.dtype, column.unit, column.description)
        for first in range(0, grid.shape[0], _ROWS):
            copy[first : first + _ROWS] = grid[first : first + _ROWS]
