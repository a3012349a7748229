"""Simulated fields with all that comes before PSF photometry done, and the photometry of their frames."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.chain import Clock, Measured, build_catalog, measure
from benchmarks.psf.job import read_marked
from benchmarks.scene import CROWDED_FRAMES, Scene
from benchmarks.table import Figure
from gaiaflux.model.catalog import StarCatalog
from gaiaflux.model.settings.psf import PsfSettings
from gaiaflux.model.typed import typed
from gaiaflux.sim import presets
from gaiaflux.sim.truth import FrameTruth

__all__ = ["Field", "PsfResult", "measure_psf", "measure_stars", "prepare_field", "time_figures"]

TIME_BUDGETS = {"crowded": (2.0, None), "sparse": (None, 0.6)}
"""Of a field: photometry alone, all stages [CPU s a frame]."""


@dataclass
class Field:
    """Frames of a series that are ready for photometry.

    Attributes
    ----------
    name : str
        ``sparse`` or ``crowded``.
    paths : list of Path
    frame_ids : list of str
    truth : list of FrameTruth
    measured : list of Measured
        Stars and plate solution; those without one are a failure of the benchmark.
    catalog : StarCatalog
    """

    name: str
    paths: list[Path]
    frame_ids: list[str]
    truth: list[FrameTruth]
    measured: list[Measured]
    catalog: StarCatalog


@dataclass
class PsfResult:
    """Photometry of one frame.

    Attributes
    ----------
    clock : Clock
        CPU seconds of read, extract, wcs and psf.
    exptime_s : float
    attrs, arrays : dict
        Of `gaiaflux.ground.photometry.psf.measure_frame`.
    """

    clock: Clock
    exptime_s: float
    attrs: dict[str, object]
    arrays: dict[str, np.ndarray]


def prepare_field(
    name: str, number: int, folder: Path, settings: dict, *, fresh: bool = False, fresh_catalog: bool = False
) -> Field:
    """Simulate a field, find its stars, solve the plates, make the star catalogue; or load what a former call kept.

    Parameters
    ----------
    name : str
        Function of `gaiaflux.sim.presets`.
    number : int
        Frames.
    folder : Path
        Where images and results are kept.
    settings : dict
        Complete configuration.
    fresh, fresh_catalog : bool
        Whether to do everything, or only the catalogue, again.

    Returns
    -------
    Field
    """
    scene_file, frames_file, catalog_file = (folder / f"{part}.pickle" for part in ("scene", "frames", "catalog"))
    scene = None if fresh else _load(scene_file)
    if scene is None:
        scene = _save(
            scene_file,
            Scene(folder, getattr(presets, name)(number), CROWDED_FRAMES[:number] if name == "crowded" else ()),
        )
    measured = None if fresh else _load(frames_file)
    if measured is None:
        measured = _save(frames_file, measure_stars(scene, settings))
    catalog = None if fresh or fresh_catalog else _load(catalog_file)
    if catalog is None:
        by_name = dict(zip(scene.frame_ids, measured, strict=True))
        catalog = _save(catalog_file, build_catalog(scene, by_name, settings))
    return Field(name, scene.paths, scene.frame_ids, scene.truth, measured, catalog)


def measure_stars(scene: Scene, settings: dict) -> list[Measured]:
    """Stars and plate solutions of all frames; the first frame is done once before, not counted.

    Parameters
    ----------
    scene : Scene
    settings : dict
        Complete configuration.

    Returns
    -------
    list of Measured
    """
    names = list(zip(scene.paths, scene.frame_ids, strict=True))
    return [measure(path, frame_id, scene, None, settings) for path, frame_id in [names[0], *names]][1:]


def measure_psf(field: Field, settings: Mapping[str, dict]) -> list[PsfResult]:
    """PSF photometry of all frames; the first frame is done once before, not counted.

    Parameters
    ----------
    field : Field
    settings : mapping
        Complete configuration.

    Returns
    -------
    list of PsfResult
    """
    from gaiaflux.ground.frame.star_places import place_stars
    from gaiaflux.ground.photometry.psf import measure_frame

    results, options = [], typed(PsfSettings, settings["photometry"]["psf"])
    names = list(zip(field.paths, field.frame_ids, field.measured, strict=True))
    for path, frame_id, found in [names[0], *names]:
        clock = Clock(dict(found.clock.seconds))
        with clock.stage("read"):
            frame = read_marked(path, frame_id, found.cosmic_pixels)
        with clock.stage("psf"):
            placed = place_stars(frame, found.wcs, field.catalog, found.facts["fwhm_pix"])
            measured = measure_frame(placed, options)
        results.append(PsfResult(clock, frame.info.exptime_s, measured.attrs, measured.arrays))
    return results[1:]


def time_figures(name: str, results: list[PsfResult]) -> list[Figure]:
    """Medians over the frames.

    Parameters
    ----------
    name : str
        Field.
    results : list of PsfResult

    Returns
    -------
    list of Figure
    """
    psf, whole = TIME_BUDGETS[name]
    total = median(one.clock.total for one in results)
    rows = [Figure(f"{name} frame: read, extract, wcs, psf [CPU s]", total, at_most=whole)]
    for stage in ("read", "extract", "wcs", "psf"):
        limit = psf if stage == "psf" else None
        rows.append(Figure(f"  {name}: {stage}", median(one.clock.seconds[stage] for one in results), at_most=limit))
    return rows


def _load(path: Path) -> object:
    """What a former call kept, or None."""
    return pickle.loads(path.read_bytes()) if path.exists() else None


def _save(path: Path, value: object) -> object:
    path.write_bytes(pickle.dumps(value))
    return value
