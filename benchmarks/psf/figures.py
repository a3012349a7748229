"""PSF photometry: CPU time and memory of a frame against photutils, accuracy against the truth and the budgets."""

import resource
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits

from benchmarks.chain import make_star_catalog
from benchmarks.frame import Pairs
from benchmarks.psf.field import Field, PsfResult, measure_psf, measure_stars, time_figures
from benchmarks.psf.job import Task, read_marked, run
from benchmarks.psf.score_table import figures as score_figures
from benchmarks.psf.scores import FieldScore, FrameFluxes, fluxes, score_frames
from benchmarks.scene import Scene
from benchmarks.table import Figure
from gaiaflux.model.settings.psf import PsfSettings
from gaiaflux.model.typed import typed
from gaiaflux.sim import presets

__all__ = ["figures"]

PEAK_MB = 700
PEER_RATIO = 1.0 / 15.0
PART_PIX = 1024


def figures(
    sparse: Pairs, crowded: Pairs, settings: dict, work: Path, *, seeds: Sequence[int], whole_peer: bool
) -> list[Figure]:
    """Measure the frames of both fields.

    Parameters
    ----------
    sparse, crowded : Pairs
        For their images and star catalogues.
    settings : dict
        Complete configuration.
    work : Path
        Folder for further images and for the runs of the peers.
    seeds : sequence of int
        Further sparse fields with as many frames: in one field, a good program may lie on either side of a limit of the
        brightest stars, of which there are few.
    whole_peer : bool
        Whether the peer measures a whole frame, which takes it a minute, or its middle.

    Returns
    -------
    list of Figure
    """
    work.mkdir(parents=True, exist_ok=True)
    field, results = _measure(crowded, "crowded", settings)
    rows = time_figures("crowded", results)
    peer_rows, peer_score = _peer(field, results[0], settings, work, whole=whole_peer)
    ours = score_frames(_scored(field, results), crowded=True)
    rows += peer_rows + score_figures("crowded", ours, peer_score)
    field, results = _measure(sparse, "sparse", settings)
    rows += time_figures("sparse", results)
    scored = _scored(field, results)
    for seed in seeds:
        folder = work / f"sparse{seed}"
        scene = Scene(folder, presets.sparse(len(field.paths), seed=seed))
        scored += _scored(*_measure(Pairs(scene, make_star_catalog(scene, settings), [], []), "sparse", settings))
        shutil.rmtree(folder)
    return rows + score_figures("sparse", score_frames(scored, crowded=False))


def _measure(pairs: Pairs, name: str, settings: dict) -> tuple[Field, list[PsfResult]]:
    scene = pairs.scene
    found = measure_stars(scene, settings)
    field = Field(name, scene.paths, scene.frame_ids, scene.truth, found, pairs.catalog)
    return field, measure_psf(field, settings)


def _scored(field: Field, results: Sequence[PsfResult]) -> list[FrameFluxes]:
    pairs = zip(field.truth, results, strict=True)
    return [fluxes(truth, field.catalog, one.arrays, one.exptime_s) for truth, one in pairs]


def _peer(field: Field, ours: PsfResult, settings: dict, work: Path, *, whole: bool) -> tuple[list[Figure], FieldScore]:
    """Time, memory and accuracy of photutils on the first frame."""
    found, side = field.measured[0], min(field.truth[0].wcs.shape)
    first = 0 if whole else (side - PART_PIX) // 2
    options = typed(PsfSettings, settings["photometry"]["psf"])
    task = Task(
        *(field.paths[0], field.frame_ids[0], found.cosmic_pixels, found.wcs, field.catalog),
        *(found.facts["fwhm_pix"], options, ours.arrays["x"], ours.arrays["y"]),
        inside=(first, side - first),
    )
    mine = run("ours", task, work)
    free = run("photutils", task, work)
    held = run("photutils", replace(task, hold_positions=True), work)
    scale = mine.n_stars / free.n_stars
    part = "" if whole else f"; peer: its middle, times {scale:.2f}"
    seconds = ours.clock.seconds["psf"]
    rows = [
        Figure(
            f"crowded: psf, the first frame, {mine.n_stars} stars{part} [CPU s]",
            *(seconds, scale * free.cpu_s),
            ratio_at_most=PEER_RATIO,
        ),
        Figure("  the same, photutils without fitting positions [CPU s]", seconds, scale * held.cpu_s),
        Figure("  peak memory of the process [MB]", mine.peak_mb, free.peak_mb, at_most=PEAK_MB, digits=0),
        *_source_extractor(task, seconds, work),
    ]
    theirs = fluxes(field.truth[0], field.catalog, free.arrays)
    return rows, score_frames([theirs], crowded=True)


def _source_extractor(task: Task, seconds: float, work: Path) -> list[Figure]:
    """CPU time of source-extractor and PSFEx on the frame, where they are installed."""
    sex, psfex = shutil.which("source-extractor") or shutil.which("sex"), shutil.which("psfex")
    if not (sex and psfex):
        print("source-extractor and PSFEx are not installed: not compared")
        return []
    folder = work / "source-extractor"
    folder.mkdir(exist_ok=True)
    frame = read_marked(task.path, task.frame_id, task.cosmic_pixels)
    fits.PrimaryHDU(frame.image).writeto(folder / "image.fits", overwrite=True)
    side = 2 * int(np.ceil(2.5 * task.fwhm_pix)) + 1
    names = ["NUMBER", "X_IMAGE", "Y_IMAGE", "FLAGS"]
    vignettes = ["SNR_WIN", "FLUX_RADIUS", "ELONGATION", "FLUX_APER(1)", "FLUXERR_APER(1)", f"VIGNET({side},{side})"]
    extract = [
        *(sex, "image.fits", "-CATALOG_TYPE", "FITS_LDAC", "-FILTER", "N", "-BACK_SIZE", "64", "-GAIN", "1"),
        *("-SATUR_LEVEL", f"{frame.info.saturation:.0f}", "-PHOT_APERTURES", f"{5.0 * task.fwhm_pix:.1f}"),
        *("-VERBOSE_TYPE", "QUIET"),
    ]
    before = _children_s()
    for step, columns in (("find", names + vignettes), ("fit", [*names, "FLUX_PSF", "FLUXERR_PSF"])):
        (folder / f"{step}.param").write_text("\n".join(columns) + "\n")
        call = [*extract, "-PARAMETERS_NAME", f"{step}.param", "-CATALOG_NAME", f"{step}.cat"]
        if step == "fit":
            model = [psfex, "find.cat", "-PSFVAR_DEGREES", "2", "-CHECKPLOT_DEV", "NULL", "-CHECKIMAGE_TYPE", "NONE"]
            subprocess.run([*model, "-NTHREADS", "1", "-WRITE_XML", "N"], cwd=folder, check=True, capture_output=True)
            call += ["-PSF_NAME", "find.psf"]
        subprocess.run(call, cwd=folder, check=True, capture_output=True)
    peer = _children_s() - before
    return [Figure("  the same; peer: source-extractor, PSFEx, source-extractor [CPU s]", seconds, peer)]


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
