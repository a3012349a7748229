"""The command `gaiaflux`: its verbs, and how it ends.

A verb is a module of this package with `add_arguments(parser)` and `run(options)`; it stands in `VERBS`.
"""

import argparse
import importlib
import logging
from collections.abc import Sequence

from gaiaflux.model.errors import InputError

__all__ = ["VERBS", "main"]

# Verb -> what it does. Its module is imported when it is asked for.
VERBS = {"inject": "plant stars of known flux in copies of a series' images, and compare what was measured of them"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb.

    Parameters
    ----------
    arguments : sequence of str, optional
        Instead of the command line's.

    Raises
    ------
    SystemExit
        Wrong arguments (code 2); or the sentence of an `InputError` (code 1).
    """
    parser = argparse.ArgumentParser(prog="gaiaflux", description="Light curves of every star, anchored on Gaia.")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, summary in VERBS.items():
        of_verb = verbs.add_parser(verb, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        module = importlib.import_module(f"gaiaflux.cli.{verb}")
        module.add_arguments(of_verb)
        of_verb.set_defaults(run=module.run)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        options.run(options)
    except InputError as error:
        raise SystemExit(f"gaiaflux {options.verb}: {error}") from None


if __name__ == "__main__":
    main()
