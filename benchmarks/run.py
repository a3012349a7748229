"""Benchmarks: `make bench`, or ``.venv/bin/python -m benchmarks.run [--quick] [--only NAME] [--json FILE]``.

``--only truth`` runs the scenarios of `gaiaflux.sim.scenarios` through the whole workflow and holds them against their
truth, some 20 minutes for all; ``--scenarios``, ``--seed``, ``--frames`` and ``--size`` choose.

Everything but the series of ``--only real`` is simulated from fixed seeds. Times are CPU seconds (user and system) of
one thread; other work on the machine raises them, so a peer is always measured in the same run, on the same frames in
turn.
"""

import argparse
import os
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.table import Figure

# Before numpy is loaded: the jobs of the workflow compute in one thread too.
os.environ.update(
    dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"], "1")
)

BENCHMARKS = ("frame", "accuracy", "psf", "calibration", "wcs_stress", "workflow", "real", "tess", "images")
REPOSITORY = Path(__file__).resolve().parents[1]


def main() -> None:
    """Run the benchmarks that are asked for and print their figures."""
    parser = argparse.ArgumentParser(description="Measure speed, memory and accuracy; nothing here is a test.")
    parser.add_argument("--quick", action="store_true", help="few frames: a look, not the figures of the README")
    names = (*BENCHMARKS, "truth")
    parser.add_argument("--only", action="append", choices=names, help="this benchmark alone; may be repeated")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to a file")
    parser.add_argument("--work", metavar="DIR", help="keep the images and runs here instead of a temporary folder")
    parser.add_argument("--scenarios", metavar="A,B", help="truth: these scenarios instead of all")
    parser.add_argument("--seed", type=int, default=1, help="truth, images: seed of all that is drawn")
    parser.add_argument("--frames", type=int, help="truth: frames of a scenario instead of its own number")
    parser.add_argument("--size", type=int, help="truth: side of the images [pixel] instead of the scenario's own")
    options = parser.parse_args()
    if options.only and "truth" in options.only:
        measure_truth(options, parser)
        options.only.remove("truth")
        if not options.only:
            return
    if options.work:
        # A folder of our own inside: what a former run left there is deleted.
        measure_all(options, Path(options.work).resolve() / "gaiaflux-bench")
    else:
        with tempfile.TemporaryDirectory(prefix="gaiaflux-bench-") as folder:
            measure_all(options, Path(folder))


def measure_truth(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Run scenarios with known truth; frames and results are kept for the next run.

    Parameters
    ----------
    options : argparse.Namespace
        Command line.
    parser : argparse.ArgumentParser
        Says so where a scenario is not known.
    """
    from benchmarks.truth.run import chosen, run_truth

    try:
        scenarios = chosen(options.scenarios)
    except ValueError as error:
        parser.error(str(error))
    work = Path(options.work).resolve() if options.work else REPOSITORY / "benchmarks" / "out"
    run_truth(work / "truth", scenarios, options.seed, side=options.size, n_frames=options.frames)


def measure_all(options: argparse.Namespace, work: Path) -> None:
    """Simulate the frames, measure, print.

    Parameters
    ----------
    options : argparse.Namespace
        Command line.
    work : Path
        Folder for images and runs; about 2 GB.
    """
    from benchmarks import accuracy, frame, workflow
    from benchmarks.calibration import assembly
    from benchmarks.calibration import figures as calibration
    from benchmarks.plate import stress
    from benchmarks.psf import figures as psf
    from benchmarks.scene import CROWDED_FRAMES, Scene, default_settings
    from benchmarks.table import print_table, write_json
    from gaiaflux.sim import presets

    wanted = options.only or BENCHMARKS
    settings = default_settings()
    n_sparse, n_crowded = (3, 1) if options.quick else (20, 5)
    sections = []
    if {"frame", "accuracy", "psf", "workflow"} & set(wanted):
        print(f"{n_sparse} sparse and {n_crowded} crowded frames of 2048 x 2048 pixels")
        sparse = frame.run_pairs(Scene(work / "sparse", presets.sparse(n_sparse)), settings)
    if {"frame", "accuracy", "psf"} & set(wanted):
        scene = Scene(work / "crowded", presets.crowded(n_crowded), CROWDED_FRAMES[:n_crowded])
        crowded = frame.run_pairs(scene, settings)
    if "frame" in wanted:
        sections.append(("CPU time of a frame; peer: a script with sep", frame.figures(sparse, crowded)))
    if "accuracy" in wanted:
        seeds = range(1, 3 if options.quick else 7)
        fields = [Scene(work / f"field{seed}", presets.sparse(1, seed=seed)) for seed in seeds]
        figures = accuracy.figures(sparse, crowded, fields, settings)
        sections.append(("accuracy; peer: a script with sep", figures))
    if "psf" in wanted:
        seeds = () if options.quick else (8, 9)
        figures = psf.figures(sparse, crowded, settings, work / "psf", seeds=seeds, whole_peer=not options.quick)
        sections.append(("PSF photometry; peer: photutils, Moffat, groups of 1.5 FWHM, first crowded frame", figures))
    if "calibration" in wanted:
        sizes = {"n_frames": 30, "n_stars_large": 2000, "n_frames_large": 100} if options.quick else {}
        figures = calibration.figures(work / "calibration", settings, methods=("aperture", "psf"), **sizes)
        figures += assembly.figures(work / "assembly", 20_000, 100 if options.quick else 1000)
        sections.append(("calibration against the truth", figures))
    if "wcs_stress" in wanted:
        n_lists, n_images = (30, 1) if options.quick else (300, 3)
        lists = stress.figures(work, settings, n_lists=n_lists, n_images=n_images)
        sections.append(("plate solutions under stress", lists))
    if "workflow" in wanted:
        n_frames, n_dry = (20, 1000) if options.quick else (200, 10_000)
        run = workflow.figures(sparse, settings, work / "workflow", n_frames=n_frames, n_dry=n_dry)
        sections.append(("workflow", run))
    sections += _of_tess_and_real(wanted, options, work)
    print_table(sections)
    if options.json:
        facts = {"quick": options.quick, "machine": platform.machine(), "python": platform.python_version()}
        write_json(options.json, sections, facts)


def _of_tess_and_real(
    wanted: Sequence[str], options: argparse.Namespace, work: Path
) -> list[tuple[str, Sequence["Figure"]]]:
    """Sections of real series, of stamps of TESS and of full-frame images."""
    sections: list[tuple[str, Sequence[Figure]]] = []
    if "real" in wanted:
        from benchmarks.real.figures import real_figures

        sections += real_figures(work / "real")
    if "tess" in wanted:
        from benchmarks.cadences.figures import figures as stamp_figures

        sections.append(("stamps of many cadences against the truth", stamp_figures(options.quick)))
    if "images" in wanted:
        from benchmarks.images.figures import figures as image_figures
        from benchmarks.images.real import real_figures as real_images

        simulated = image_figures(work / "images", options.quick, options.seed)
        sections.append(("full-frame images against the truth", simulated))
        sections.append(("real full-frame images", real_images()))
    return sections


if __name__ == "__main__":
    main()
