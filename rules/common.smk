# The configuration, the ledgers and what a run is asked for; no rules.
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

REPOSITORY = Path(workflow.basedir)
sys.path.insert(0, str(REPOSITORY / "scripts"))

from gaiaflux.model.errors import InputError
from gaiaflux.workflow.chosen import check_rules, check_schema, chosen_methods
from gaiaflux.workflow.config import check, load_schema
from gaiaflux.workflow.ccd_frames import FRAME_SERIES, cadence_series, find_images
from gaiaflux.workflow.downloads import MANIFEST, split_downloads
from gaiaflux.workflow.frames import find_frames
from gaiaflux.workflow.inputs import check_reference
from gaiaflux.workflow.ledger import read_ledger, update_ledger, write_ledger
from gaiaflux.workflow.results import wanted_files
from gaiaflux.workflow.target_files import (
    FIELD_SERIES,
    find_targets,
    ledgers_of_field,
)

SCHEMA = load_schema(REPOSITORY / "schemas" / "config.schema.yaml")
SHEET = load_schema(REPOSITORY / "schemas" / "frames.schema.yaml")
# Whose datasets some rules take alike: a series of images, or a field of TESS and its cadence.
IMAGE_SERIES = "[A-Za-z0-9_-]+"
SERIES_OR_FIELD = f"{IMAGE_SERIES}|{FIELD_SERIES}"


wildcard_constraints:
    series=IMAGE_SERIES,
    batch="[0-9]+",


def or_end(what, function, *arguments):
    """What a function returns; where it refuses, the workflow ends with its sentences."""
    try:
        return function(*arguments)
    except InputError as error:
        raise WorkflowError(f"{what}:\n{error}")


or_end("The methods of photometry do not agree", check_schema, SCHEMA)
config = or_end("The configuration cannot be used", check, config, SCHEMA)
# Fields whose files are still to come from the archive are none of this run.
config, WAITING = split_downloads(config, SCHEMA)
CHOSEN = chosen_methods(config)


def ledger_path(series):
    return Path("results", series, "ledger.json")


def open_image_series(name, made):
    """Ledger of a series, by its name; the job of a cluster reads what the run wrote and looks for no images of its own."""
    ledger = read_ledger(ledger_path(name))
    if workflow.is_main_process:
        found = find_frames(name, config["series"][name], SHEET, made)
        ledger = update_ledger(ledger, found, config["frames_per_batch"])
    elif ledger is None:
        raise InputError(
            f"{ledger_path(name)}: missing; it is written when a run starts"
        )
    check_reference(config, name, ledger)
    return {name: ledger}


def open_field(name, made):
    """Ledgers of a field of TESS, by the folder below `results`: of each cadence, and of each CCD's images."""
    if not workflow.is_main_process:
        return ledgers_of_field(name)
    images = find_images(name, config["tess"][name], made)
    found = {cadence_series(series): [] for series in images} | images
    found |= find_targets(name, config["tess"][name], made)
    room = config["frames_per_batch"]
    return {
        series: update_ledger(read_ledger(ledger_path(series)), targets, room)
        for series, targets in found.items()
    }


def open_ledgers(made):
    ledgers, problems = {}, []
    wanted = [(open_image_series, name) for name in config["series"]]
    fields = config["tess"]
    wanted += [(open_field, name) for name in fields]
    for open_one, name in wanted:
        try:
            ledgers |= open_one(name, made)
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
    manifests = [MANIFEST.format(field=name) for name in WAITING]
    return wanted_files(config, LEDGERS) + manifests
