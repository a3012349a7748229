"""Points of stars that a frame does not show where the catalogue has them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gaiaflux.core.stars.promises import PROMISED_SNR, SEEN_SHARE, SEEN_SNR, promised_flux
from gaiaflux.model.catalog import Place, StarCatalog
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.measurement import FrameResult

__all__ = ["flag_unseen"]

SURE_SNR = 5.0  # of a point of a star that the reference image does not show


def flag_unseen(result: FrameResult, catalog: StarCatalog, catalog_facts: Mapping[str, Any]) -> None:
    """Flag the points of stars that are not seen, in place.

    These are stars that the reference image does not show either; and stars beside the reference image, on which it
    could not be seen whether their places are right, if they should be clear in the frame. A star that varies has good
    points where it is bright enough.

    Parameters
    ----------
    result : FrameResult
        Its flags are changed.
    catalog : StarCatalog
        The stars.
    catalog_facts : mapping
        reference_nx, reference_ny: shape of the reference image.
    """
    nx, ny = catalog_facts["reference_nx"], catalog_facts["reference_ny"]
    on = (np.abs(catalog.x_ref - 0.5 * (nx - 1)) < 0.5 * nx) & (np.abs(catalog.y_ref - 0.5 * (ny - 1)) < 0.5 * ny)
    empty = catalog.place == Place.EMPTY
    rows = np.flatnonzero(empty | (~on & (catalog.place == Place.CATALOG)))
    # A column for each aperture; a view, whatever the order in memory.
    arrays = (result.stars[name] for name in ("flux", "flux_err", "flags"))
    flux, error, flags = (values[:, None] if values.ndim == 1 else values for values in arrays)
    for column in range(flux.shape[1] if len(rows) else 0):
        promised, faintest = promised_flux(flux[:, column], error[:, column], catalog.mag)
        noise, known_empty = error[rows, column], empty[rows]
        with np.errstate(invalid="ignore"):
            clear = known_empty | (faintest[rows] > PROMISED_SNR * noise)
            least = np.fmax(np.where(known_empty, SURE_SNR, SEEN_SNR) * noise, SEEN_SHARE * promised[rows])
            flags[rows[clear & (flux[rows, column] < least)], column] |= StarFlag.UNSEEN
