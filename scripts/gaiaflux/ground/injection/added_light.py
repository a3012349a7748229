"""How much light of a planted star arrives in each frame, and the frame with it."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from gaiaflux.core.maths.surface import frame_terms
from gaiaflux.core.psf.model import PsfModel
from gaiaflux.core.psf.stamps import add_light, make_stamps
from gaiaflux.core.sky.star_positions import places_on_image
from gaiaflux.ground.frame.psf_options import psf_options
from gaiaflux.ground.interface.psf_reader import read_psf
from gaiaflux.ground.photometry.psf import measure_stars
from gaiaflux.io.dataset import DatasetReader
from gaiaflux.io.psf_model import psf_of_arrays
from gaiaflux.model.catalog import StarCatalog
from gaiaflux.model.errors import InputError
from gaiaflux.model.flags import PixelFlag
from gaiaflux.model.frame import Frame
from gaiaflux.model.methods import METHODS
from gaiaflux.model.settings.psf import PsfSettings
from gaiaflux.model.wcs import TanSip
from gaiaflux.workflow.settings import complete_section

__all__ = ["find_psf", "throughput", "with_stars"]

LOG = logging.getLogger(__name__)

_STAMP_FWHM, _REACH_FWHM = 5.0, 15.0  # radius of the stamps, and to which the PSF's wings are added
_LEAST_STARS = 20  # of a frame, that say how much light arrives where


def throughput(source: DatasetReader, method: str, x_new: np.ndarray, y_new: np.ndarray) -> np.ndarray:
    """Flux as measured over calibrated flux at places of the reference image, in each frame; NaN where not known.

    Both fluxes of a star have the same noise, so that their ratio has none: it is the calibration itself, which is
    smooth over the field.

    Parameters
    ----------
    source : DatasetReader
        Dataset of the series.
    method : str
        Name of the method whose fluxes count.
    x_new, y_new : ndarray, shape (n,)
        Places [pixel of the reference image].

    Returns
    -------
    ndarray of float64, shape (n, n_frames)
    """
    flux, calibrated = source.grid(f"{method}/flux")[()], source.grid(f"{method}/flux_cal")[()]
    x, y = source.array("stars/x_ref"), source.array("stars/y_ref")
    placed = np.isfinite(x) & np.isfinite(y)
    shape = int(np.ceil(y[placed].max())) + 1, int(np.ceil(x[placed].max())) + 1
    here, new = (frame_terms(u, v, shape, 3) for u, v in ((x[placed], y[placed]), (x_new, y_new)))
    found = np.full((len(x_new), flux.shape[1]), np.nan)
    for j in range(flux.shape[1]):
        known = (flux[placed, j] > 0) & (calibrated[placed, j] > 0)
        if known.sum() >= _LEAST_STARS:
            value = np.log(flux[placed, j][known].astype(float) / calibrated[placed, j][known])
            found[:, j] = np.exp(new @ np.linalg.lstsq(here[known], value, rcond=None)[0])
    return found


def find_psf(results: Path, frame: Frame, frame_id: str, wcs: TanSip, catalog: StarCatalog, fwhm: float) -> PsfModel:
    """The frame's PSF as the run measured it; measured now where it did not.

    Parameters
    ----------
    results : Path
        Folder of the series' results.
    frame : Frame
        Pixels.
    frame_id : str
        Its identifier.
    wcs : TanSip
        Its plate solution.
    catalog : StarCatalog
        Stars of the series.
    fwhm : float
        Its seeing [pixel].

    Returns
    -------
    PsfModel

    Raises
    ------
    BadFrameError
        It has none.
    """
    for folder in (results / method.name for method in METHODS if method.holds_psf):
        if not folder.is_dir():
            continue
        try:
            return read_psf(folder, frame_id)
        except InputError:
            LOG.info("%s: has no PSF of its own yet", frame_id)
    x, y = places_on_image(catalog, wcs, frame.info.mjd_utc)
    return psf_of_arrays(measure_stars(frame, x, y, fwhm, psf_options(complete_section(PsfSettings))).arrays)


def with_stars(
    frame: Frame,
    psf: PsfModel,
    x: np.ndarray,
    y: np.ndarray,
    electrons: np.ndarray,
    fwhm: float,
    rng: np.random.Generator,
) -> Frame:
    """Copy of a frame with the stars' light and its photon noise; what saturates does.

    Parameters
    ----------
    frame : Frame
        Pixels [electron].
    psf : PsfModel
        Its PSF.
    x, y : ndarray, shape (n,)
        Places [pixel]; NaN = off the image.
    electrons : ndarray, shape (n,)
        Light of each star [electron]; NaN = none.
    fwhm : float
        Seeing [pixel].
    rng : numpy.random.Generator
        Of the photon noise.

    Returns
    -------
    Frame
    """
    ny, nx = frame.image.shape
    reach = _REACH_FWHM * fwhm
    inside = np.isfinite(x) & np.isfinite(electrons) & (x > -reach) & (x < nx + reach) & (y > -reach) & (y < ny + reach)
    light = np.zeros((ny, nx), dtype=np.float32)
    stamps = make_stamps(psf, x[inside], y[inside], _STAMP_FWHM * fwhm)
    add_light(light, stamps, electrons[inside], np.full(int(inside.sum()), reach))
    light = np.maximum(light, 0.0)
    image = frame.image + rng.poisson(light).astype(np.float32)
    flags = frame.pixel_flags & ~np.uint8(PixelFlag.COSMIC_RAY)
    if np.isfinite(frame.info.saturation):
        full = image >= frame.info.saturation
        image[full] = np.float32(frame.info.saturation)
        flags = np.where(full, flags | np.uint8(PixelFlag.SATURATED), flags)
    error = None if frame.error is None else np.sqrt(frame.error**2 + light)
    return replace(frame, image=image, error=error, pixel_flags=flags, seeds=None)
