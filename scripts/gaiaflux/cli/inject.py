"""Command that plants stars of known flux in copies of a series' images, and compares what was measured of them.

``python -m gaiaflux.cli.inject plant`` writes the copies and a configuration, the workflow measures them, and
``python -m gaiaflux.cli.inject compare`` writes the scores. ``make inject`` does all three.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from gaiaflux.ground.injection.planting import plant_stars
from gaiaflux.ground.injection.scores import score_injection, write_scores
from gaiaflux.model.errors import InputError
from gaiaflux.report.figures.injection import draw_injection

__all__ = ["main"]

LOG = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one step.

    Parameters
    ----------
    arguments : sequence of str, optional
        Instead of the command line's.

    Raises
    ------
    SystemExit
        Wrong arguments; or, with the sentence of an `InputError`, the series or its copies cannot be used.
    """
    parser = argparse.ArgumentParser(prog="python -m gaiaflux.cli.inject", description=__doc__)
    parser.add_argument("step", choices=("plant", "compare"))
    parser.add_argument("--directory", type=Path, default=Path(), help="working directory of the workflow")
    parser.add_argument("--series", required=True, help="name of the series, which has been measured")
    parser.add_argument("--stars", type=int, default=200, help="stars to plant (default 200)")
    parser.add_argument("--seed", type=int, default=1, help="another one plants other stars")
    options = parser.parse_args(arguments)
    folder = options.directory / "injection" / options.series
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        if options.step == "plant":
            planted = plant_stars(options.directory, options.series, folder, options.stars, options.seed)
            LOG.info("%d stars are planted in the copies in %s", len(planted), folder)
        else:
            _compare(options.directory / "results" / options.series / "dataset.h5", folder, options.series)
    except InputError as error:
        raise SystemExit(f"{parser.prog}: {error}") from None


def _compare(original: Path, folder: Path, series: str) -> None:
    scores = score_injection(original, folder, series)
    write_scores(folder, scores)
    draw_injection(folder / "injection.png", scores.bins, f"Planted stars in copies of {series}")
    LOG.info("see injection.csv, injection_stars.csv and injection.png in %s", folder)


if __name__ == "__main__":
    main()
