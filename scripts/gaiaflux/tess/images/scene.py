"""Solves for all stars of a CCD together, on the mean of its prepared images."""

import logging

import numpy as np

from gaiaflux.core.cadences.field_scene import FieldScene, solve_field
from gaiaflux.core.cadences.frames import shift_cells
from gaiaflux.core.cadences.motion import kernel_offsets
from gaiaflux.core.cadences.scene import SceneStars
from gaiaflux.core.psf.moved import mean_psf
from gaiaflux.core.psf.sampled import SampledPsf
from gaiaflux.io.tess.prepared_field import BatchRows, FramePixels
from gaiaflux.model.ccd_scene import CcdScene
from gaiaflux.model.tess_catalog import TessCatalog
from gaiaflux.tess.images.pixels import FieldPixels
from gaiaflux.tess.stamp.placed_stars import PlacedStars
from gaiaflux.tess.stamp.scene import UNSOUND, catalog_stars
from gaiaflux.tess.stamp.stamps import Stamp

__all__ = ["FAINTEST", "solve_scene"]

LOG = logging.getLogger(__name__)
FAINTEST = 16.0
"""Fainter stars are taken as the catalogue has them [mag]."""
CELL_PIX = 1.0 / 32.0
"""Frames whose shifts differ by less count as at one place."""
_PER_SNR = 0.7  # error of a place, times the signal to noise [pixel]
_LEAST_ERR = 0.002  # [pixel]
_ROWS = 128  # that are read at a time
_TILE_PIX = 128


def solve_scene(source: FieldPixels, catalog: TessCatalog, psf: SampledPsf) -> CcdScene:
    """Solve for the light and the places of the stars.

    Parameters
    ----------
    source : FieldPixels
    catalog : TessCatalog
    psf : SampledPsf
        Response function, in coordinates of the CCD.

    Returns
    -------
    CcdScene
        Of the stars to `FAINTEST` whose light may reach the images.
    """
    epoch, whole = float(source.field.head["jyear"]), source.limits
    with np.errstate(invalid="ignore"):
        bright = np.flatnonzero(~(catalog.mag > FAINTEST))
    stars, rows = catalog_stars(PlacedStars.of(catalog[bright], source, epoch), source, whole)
    rows = bright[rows]
    mode, parameters = str(source.field.head["motion"]["mode"]), source.field.array("motion/parameters")
    good = (source.quality == 0) & ((source.frame_flags & UNSOUND) == 0) & np.isfinite(parameters).all(axis=1)
    parameters = parameters[good]
    ny, nx = whole[1] - whole[0], whole[3] - whole[2]
    middle = np.array([[(nx - 1) / 2, (ny - 1) / 2]])
    usual = kernel_offsets(mode, parameters, middle)[:, 0].mean(axis=0) if len(parameters) else np.zeros(2)

    def psf_of_tile(x: float, y: float) -> SampledPsf:
        if not len(parameters):
            return psf
        shift = kernel_offsets(mode, parameters, np.array([[x, y]]))[:, 0] - usual
        cells = shift_cells(shift, np.ones(len(shift), bool), CELL_PIX)
        return mean_psf(psf, cells.centre, cells.share)

    image = source.mean_image(whole).astype(np.float32)
    moved = SceneStars(stars.x + usual[0], stars.y + usual[1], stars.flux, stars.flux_err, stars.position_err)
    made = solve_field(
        image, _variance(source, whole, good), moved, psf_of_tile, (whole[2], whole[0]), tile_pix=_TILE_PIX
    )
    x, y = made.x - usual[0] + whole[2], made.y - usual[1] + whole[0]
    LOG.info(
        "%d stars to T %.0f, %d with light; usual shift against the catalogue %.3f, %.3f pixel",
        *(len(rows), FAINTEST, int(np.isfinite(made.flux).sum()), *np.nanmedian(made.common, axis=(0, 1))),
    )
    ids = catalog.star_id[rows]
    order = np.argsort(ids)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.nan_to_num(_PER_SNR * made.flux_err / made.flux, nan=np.inf)
    error = np.maximum(np.minimum(np.where(found > 0, found, np.inf), stars.position_err), _LEAST_ERR)
    return CcdScene(
        star_id=ids[order],
        x=x[order],
        y=y[order],
        position_err=error[order],
        flux=made.flux[order],
        flux_err=made.flux_err[order],
        chi2=made.chi2[order],
        common=made.common,
        sky=_sky(made),
    )


def _sky(made: FieldScene) -> np.ndarray:
    """Mean of the sky of each tile."""
    rows, columns = made.common.shape[:2]
    parts = (np.array_split(band, columns, axis=1) for band in np.array_split(made.sky, rows, axis=0))
    return np.array([[float(np.mean(part)) for part in band] for band in parts])


def _variance(source: FieldPixels, whole: Stamp, good: np.ndarray) -> np.ndarray:
    """Variance of the mean of the good frames, from the errors of the frames of the first batch with any."""
    ny, nx = whole[1] - whole[0], whole[3] - whole[2]
    variance = np.full((ny, nx), np.inf)
    number = max(1, int(good.sum()))
    for batch in source.field.batches:
        used = (batch.rows >= 0) & (good[batch.rows] if good.any() else True)
        if not used.any():
            continue
        n = int(used.sum())
        with FramePixels([BatchRows(batch.path, np.where(used, np.cumsum(used) - 1, -1))], n) as pixels:
            for first in range(0, ny, _ROWS):
                rows = slice(first, min(first + _ROWS, ny))
                error = pixels.read("images_err", rows, slice(0, nx))
                known = np.isfinite(error) & (error > 0)
                count = known.sum(axis=0)
                total = np.where(known, error.astype(np.float64) ** 2, 0.0).sum(axis=0)
                variance[rows] = np.where(count > 0, total / np.maximum(count, 1) / number, np.inf)
        return variance
    return variance
