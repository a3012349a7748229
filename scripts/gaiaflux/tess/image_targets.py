"""Photometry of stars in prepared full-frame images: what the rule does around the measurement itself."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from gaiaflux.core.sky.epoch import propagate
from gaiaflux.io.batch_file import BatchWriter
from gaiaflux.model.errors import InputError
from gaiaflux.model.tess_catalog import TessCatalog
from gaiaflux.tess.batch import TargetFiles
from gaiaflux.tess.images.pixels import FieldPixels
from gaiaflux.tess.inputs import open_images
from gaiaflux.tess.stamp.scene import REACH_PIX
from gaiaflux.tess.stamp.stamp_view import StampView
from gaiaflux.tess.stamp.stamps import around, default_size
from gaiaflux.tess.stamp.target_group import target_group

__all__ = ["measure_stars", "stars_near"]

LOG = logging.getLogger(__name__)


def measure_stars(
    wanted: Mapping[str, Any],
    prepared: Sequence[str | Path],
    files: TargetFiles,
    methods: Sequence[str],
    out: BatchWriter,
) -> None:
    """Measure stars on every CCD that shows them, or write down why one cannot be.

    Parameters
    ----------
    wanted : mapping
        As of `gaiaflux.workflow.ccd_frames.targets_of_batch`.
    prepared : sequence of path
        Prepared images, one file for each CCD.
    files : TargetFiles
    methods : sequence of str
        Names of `gaiaflux.model.methods.TESS_METHODS`.
    out : BatchWriter
        Takes one group per star and CCD, as `gaiaflux.tess.batch.measure_targets` has them.
    """
    catalog, seen = files.catalog, set()
    stars = _stars(wanted, catalog)
    for path in prepared:
        opened = open_images(path, catalog, files.instrument)
        source = opened.source
        with closing(source):
            places = _places(source, catalog)
            for star in _on_pixels(source, catalog, places, stars):
                seen.add(star)
                name = f"{star:011d}-s{source.sector:04d}-{source.camera}-{source.ccd}"
                try:
                    near = stars_near(source, catalog, places, star)
                    view = StampView(source, near, star, opened.samples)
                    attrs, arrays = target_group(view, opened.remarks, methods, str(path), files.saturated)
                except (InputError, ValueError) as reason:
                    LOG.warning("%s: %s", name, reason)
                    attrs, arrays = {"status": str(reason), "path": str(path), "starid": star}, {}
                out.add(name, attrs, arrays)
    for star in wanted.get("stars", ()):
        if star not in seen:
            status = _why_missing(star, catalog)
            LOG.warning("TIC %d: %s", star, status)
            out.add(f"{star:011d}", {"status": status, "path": "", "starid": star}, {})


def _stars(wanted: Mapping[str, Any], catalog: TessCatalog) -> np.ndarray:
    """Stars of the catalogue that are wanted, wherever they are."""
    if "stars" in wanted:
        return np.intersect1d(np.array(wanted["stars"], np.int64), catalog.star_id)
    chosen = catalog.star_id % wanted["parts"] == wanted["part"]
    if wanted["tmag_max"] is not None:
        with np.errstate(invalid="ignore"):
            chosen &= catalog.mag <= wanted["tmag_max"]
    return catalog.star_id[chosen]


def _places(source: FieldPixels, catalog: TessCatalog) -> np.ndarray:
    """Row and column of all stars on the CCD, shape (2, n)."""
    return np.stack(source.place(*propagate(catalog, float(source.field.head["jyear"]))))


def _on_pixels(source: FieldPixels, catalog: TessCatalog, places: np.ndarray, stars: np.ndarray) -> Iterator[int]:
    first, last, left, right = source.limits
    row, column = places
    with np.errstate(invalid="ignore"):
        inside = (row > first - 0.5) & (row < last - 0.5) & (column > left - 0.5) & (column < right - 0.5)
    yield from sorted(np.intersect1d(catalog.star_id[inside], stars).tolist())


def stars_near(source: FieldPixels, catalog: TessCatalog, places: np.ndarray, star: int) -> TessCatalog:
    """Part of a catalogue whose light can reach the stamp of a star.

    Parameters
    ----------
    source : FieldPixels
    catalog : TessCatalog
    places : ndarray, shape (2, n)
        Row and column of its stars on the CCD.
    star : int
        Of the catalogue.

    Returns
    -------
    TessCatalog
    """
    at = int(np.searchsorted(catalog.star_id, star))
    row, column = places[:, at]
    first, last, left, right = around(row, column, default_size(float(catalog.mag[at])), source.limits)
    with np.errstate(invalid="ignore"):
        near = (places[0] > first - REACH_PIX - 1) & (places[0] < last + REACH_PIX)
        near &= (places[1] > left - REACH_PIX - 1) & (places[1] < right + REACH_PIX)
    near[at] = True
    return catalog[np.flatnonzero(near)]


def _why_missing(star: int, catalog: TessCatalog) -> str:
    if star in catalog.star_id:
        return "not on the pixels of any CCD of the field: correct its position, or give images that show it"
    reason = catalog.why_missing(star)
    return f"left out of the catalogue ({reason})" if reason else "not in the catalogue; add it, or correct the number"
