"""How the script of a rule is run: its log file, and what a person sees when it fails."""

import gc
import json
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gaiaflux.model.errors import InputError
from gaiaflux.model.methods import methods_named

__all__ = ["batches_by_method", "run_job"]


def batches_by_method(given: Any, *others: str) -> dict[str, list[str]]:
    """Batches of each method of photometry among the inputs of a rule.

    Parameters
    ----------
    given : snakemake.iocontainers.InputFiles
        Named files of a job (``smk.input``).
    *others : str
        Names that are no methods.

    Returns
    -------
    dict of str to list of path
        By method, in the order of `gaiaflux.model.methods.METHODS`; a method without files is left out.

    Raises
    ------
    InputError
        There are files of a method that is not declared.
    """
    found = {name: list(files) for name, files in given.items() if name not in others}
    return {method.name: found[method.name] for method in methods_named(found) if found[method.name]}


def run_job(main: Callable[[Any], None], smk: Any) -> None:
    """Run the `main` of a rule's script with its log file.

    Everything that is logged or warned goes to the file that the rule names under `log`. An `InputError` ends the job
    with its sentence alone, in the log and on stderr; any other exception also leaves its traceback in the log. Where
    the rule has an output `request`, what was asked for (its param `request`) is written there once it has been met.

    Parameters
    ----------
    main : callable
        Takes the job's object.
    smk : snakemake.script.Snakemake
        The job: input, output, params, wildcards, log, rule.

    Raises
    ------
    SystemExit
        With the sentence of an `InputError`; Python then prints it and ends with exit code 1.
    """
    path = Path(smk.log[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as stream:
        handler = logging.StreamHandler(stream)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger = logging.getLogger()
        level = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logging.captureWarnings(True)
        try:
            main(smk)
            _note_request(smk)
        except InputError as error:
            sentence = f"{smk.rule}: {error}"
            stream.write(f"{sentence}\n")
            raise SystemExit(sentence) from None
        except BaseException:
            stream.write(traceback.format_exc())
            raise
        finally:
            logging.captureWarnings(False)
            logger.setLevel(level)
            logger.removeHandler(handler)
            # Else Python's last act is to walk through all that was imported, in search of garbage.
            gc.freeze()


def _note_request(smk: Any) -> None:
    path = smk.output.get("request")
    if path:
        Path(path).write_text(json.dumps(smk.params.request, indent=1) + "\n", encoding="utf-8")
