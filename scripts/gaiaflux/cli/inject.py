"""Verb `inject`: stars of known flux in copies of a series' images, and what was measured of them.

``gaiaflux inject plant`` writes the copies and a configuration, the workflow measures them, and ``gaiaflux inject
compare`` writes the scores. ``make inject`` does all three.
"""

import argparse
import logging
from pathlib import Path

__all__ = ["add_arguments", "run"]

LOG = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The verb's own parser.
    """
    parser.add_argument("step", choices=("plant", "compare"), help="before or after the workflow ran on the copies")
    parser.add_argument("--directory", type=Path, default=Path(), help="working directory of the workflow")
    parser.add_argument("--series", required=True, help="name of the series, which has been measured")
    parser.add_argument("--stars", type=int, default=200, help="stars to plant (default 200)")
    parser.add_argument("--seed", type=int, default=1, help="another one plants other stars")


def run(options: argparse.Namespace) -> None:
    """Do one step.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_arguments` declares.

    Raises
    ------
    InputError
        The series or its copies cannot be used.
    """
    folder = options.directory / "injection" / options.series
    if options.step == "plant":
        from gaiaflux.ground.injection.planting import plant_stars

        planted = plant_stars(options.directory, options.series, folder, options.stars, options.seed)
        LOG.info("%d stars are planted in the copies in %s", len(planted), folder)
    else:
        _compare(options.directory / "results" / options.series / "dataset.h5", folder, options.series)


def _compare(original: Path, folder: Path, series: str) -> None:
    from gaiaflux.ground.injection.scores import score_injection, write_scores
    from gaiaflux.report.figures.injection import draw_injection

    scores = score_injection(original, folder, series)
    write_scores(folder, scores)
    draw_injection(folder / "injection.png", scores.bins, f"Planted stars in copies of {series}")
    LOG.info("see injection.csv, injection_stars.csv and injection.png in %s", folder)
