"""Score the PSF photometry of a few frames, without the other benchmarks.

``python -m benchmarks.psf --work DIR --sparse 3 --crowded 1``; what comes before the photometry is kept in a folder, so
that a second call takes little more than the photometry itself.
"""

import argparse
import os
from pathlib import Path

# Before numpy is loaded.
os.environ.update(
    dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"], "1")
)

from benchmarks.psf.field import measure_psf, prepare_field, time_figures
from benchmarks.psf.score_table import figures, print_bins
from benchmarks.psf.scores import FieldScore, fluxes, perfect_fluxes, score_frames
from benchmarks.scene import default_settings
from benchmarks.table import Figure, print_table


def main() -> None:
    """Score the photometry of a few frames."""
    parser = argparse.ArgumentParser(description="Score PSF photometry of simulated frames against their truth.")
    parser.add_argument("--sparse", type=int, default=0, metavar="N", help="sparse frames")
    parser.add_argument("--crowded", type=int, default=0, metavar="N", help="crowded frames")
    parser.add_argument("--fresh", action="store_true", help="simulate, extract and solve the plates again")
    parser.add_argument("--fresh-catalog", action="store_true", help="make the star catalogue again")
    parser.add_argument(
        "--perfect", action="store_true", help="check the scorer: true fluxes with the noise of the floor"
    )
    parser.add_argument("--work", required=True, metavar="DIR", help="where images are kept between calls")
    options = parser.parse_args()
    sections = []
    for name in ("sparse", "crowded"):
        number = getattr(options, name)
        if number:
            score, times = _score_field(name, number, options)
            print_bins(name, score)
            print()
            sections.append((f"{name}, {number} frames", [*times, *figures(name, score)[:4]]))
    print_table(sections)


def _score_field(name: str, number: int, options: argparse.Namespace) -> tuple[FieldScore, list[Figure]]:
    """Figures of a field and its times, with what the photometry itself says of each frame printed before."""
    settings = default_settings()
    folder = Path(options.work) / f"{name}{number}"
    field = prepare_field(name, number, folder, settings, fresh=options.fresh, fresh_catalog=options.fresh_catalog)
    crowded = name == "crowded"
    if options.perfect:
        frames = [
            perfect_fluxes(truth, field.catalog, one.wcs)
            for truth, one in zip(field.truth, field.measured, strict=True)
        ]
        return score_frames(frames, crowded=crowded), []
    results = measure_psf(field, settings)
    for frame_id, one in zip(field.frame_ids, results, strict=True):
        facts = (
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in one.attrs.items()
        )
        print(f"{frame_id}: {', '.join(facts)}")
    frames = [
        fluxes(truth, field.catalog, one.arrays, one.exptime_s) for truth, one in zip(field.truth, results, strict=True)
    ]
    return score_frames(frames, crowded=crowded), time_figures(name, results)


if __name__ == "__main__":
    main()
