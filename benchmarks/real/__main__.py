"""The real series alone: ``python -m benchmarks.real --work DIR`` runs again only what has changed since then."""

import argparse
import os
from pathlib import Path

# Before numpy is loaded.
os.environ.update(
    dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"], "1")
)

from benchmarks.real.figures import real_figures
from benchmarks.table import print_table


def main() -> None:
    """Print the table of all series."""
    parser = argparse.ArgumentParser(description="gaiaflux beside a plain script on real series.")
    parser.add_argument("--work", metavar="DIR", required=True, help="folder for the runs, which are kept")
    print_table(real_figures(Path(parser.parse_args().work).resolve()))


if __name__ == "__main__":
    main()
