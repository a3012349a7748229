# The configuration, the ledgers and what a run is asked for; no rules.
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

REPOSITORY = Path(workflow.basedir)
sys.path.insert(0, str(REPOSITORY / "scripts"))

from gaiaflux.model.errors import InputError
from gaiaflux.workflow.chosen import check_rules, check_schema, chosen_methods
from gaiaflux.workflow.config import check, load_schema
from gaiaflux.workflow.frames import find_frames
from gaiaflux.workflow.inputs import check_reference
from gaiaflux.workflow.ledger import read_ledger, update_ledger, write_ledger
from gaiaflux.workflow.results import wanted_files

SCHEMA = load_schema(REPOSITORY / "schemas" / "config.schema.yaml")
SHEET = load_schema(REPOSITORY / "schemas" / "frames.schema.yaml")


wildcard_constraints:
    series="[A-Za-z0-9_-]+",
    batch="[0-9]+",


def or_end(what, function, *arguments):
    """What a function returns; where it refuses, the workflow ends with its sentences."""
    try:
        return function(*arguments)
    except InputError as error:
        raise WorkflowError(f"{what}:\n{error}")


or_end("The methods of photometry do not agree", check_schema, SCHEMA)
config = or_end("The configuration cannot be used", check, config, SCHEMA)
CHOSEN = chosen_methods(config)


def ledger_path(series):
    return Path("results", series, "ledger.json")


def open_ledger(name, made):
    """Ledger of a series; the job of a cluster reads what the run wrote and looks for no images of its own."""
    ledger = read_ledger(ledger_path(name))
    if workflow.is_main_process:
        found = find_frames(name, config["series"][name], SHEET, made)
        ledger = update_ledger(ledger, found, config["frames_per_batch"])
    elif ledger is None:
        raise InputError(
            f"{ledger_path(name)}: missing; it is written when a run starts"
        )
    check_reference(config, name, ledger)
    return ledger


def open_ledgers(made):
    ledgers, problems = {}, []
    for name in config["series"]:
        try:
            ledgers[name] = open_ledger(name, made)
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise WorkflowError(
            "The images cannot be used:\n{}".format("\n".join(problems))
        )
    return ledgers


def write_ledgers():
    for name, ledger in LEDGERS.items():
        codes = {rule: digest_for(rule, name) for rule in CODE}
        write_ledger(ledger_path(name), ledger, codes)


def wanted_results():
    """Files that a run is asked for; to be called when all other rules are there."""
    or_end("Rules are missing", check_rules, [rule.name for rule in workflow.rules])
    return wanted_files(config, LEDGERS)
