# Configuration, ledgers and the functions that rules name under input and params; no rules.
import hashlib
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

REPOSITORY = Path(workflow.basedir)
sys.path.insert(0, str(REPOSITORY / "scripts"))

from gaiaflux.model.companions import companion_paths
from gaiaflux.model.errors import InputError
from gaiaflux.model.settings.companions import CompanionsSettings
from gaiaflux.model.typed import typed

from gaiaflux.model.nearest import nearest
from gaiaflux.workflow.config import check, load_schema
from gaiaflux.workflow.digest import code_digest
from gaiaflux.workflow.frames import find_frames
from gaiaflux.workflow.ledger import read_ledger, update_ledger, write_ledger

# Settings that decide how the catalogue is fetched, not what is in it.
ACCESS = ("servers", "timeout_s", "deadline_s", "cache_folder", "rows_per_query")
# Settings of a series that name files or what is exported; all others are written into its dataset.
NOT_IN_DATASET = ("images", "frames", "gaia_file", "targets")
# Methods of photometry: the rule of each is {method}_photometry, its files are results/{series}/{method}.
METHODS = ("aperture", "psf")
# Settings of a method that ask for more files; its numbers do not depend on them.
ON_REQUEST = ("residual_pictures", "subtracted_images")
# Rules that no dataset depends on, and the one that makes the images of the demonstration.
DOWNSTREAM = (
    "export_lightcurves",
    "rank_variables",
    "export_dataset",
    "report",
    "annotate_images",
    "subtract_stars",
    "make_demo",
)
CODE = {}


wildcard_constraints:
    series="[A-Za-z0-9_-]+",
    batch="[0-9]+",


def checked_config():
    """The configuration with all defaults; refused with one sentence for each problem."""
    try:
        return check(config, load_schema(REPOSITORY / "schemas" / "config.schema.yaml"))
    except InputError as error:
        raise WorkflowError(f"The configuration cannot be used:\n{error}")


config = checked_config()

# Methods that are chosen, in one order whatever the configuration's.
CHOSEN = [method for method in METHODS if method in config["photometry"]["methods"]]
# Whether the reference image's own stars are the catalogue.
OWN_STARS = config["gaia"]["source"] == "reference_image"


def ledger_path(series):
    return Path("results", series, "ledger.json")


def open_ledgers(made):
    """Ledger of each series; the job of a cluster reads what the run wrote and looks for no images of its own."""
    row_schema = load_schema(REPOSITORY / "schemas" / "frames.schema.yaml")
    ledgers, problems = {}, []
    for name, series in config["series"].items():
        try:
            ledger = read_ledger(ledger_path(name))
            if workflow.is_main_process:
                found = find_frames(name, series, row_schema, made)
                ledger = update_ledger(ledger, found, config["frames_per_batch"])
            elif ledger is None:
                raise InputError(
                    f"{ledger_path(name)}: missing; it is written when a run starts"
                )
            ledgers[name] = ledger
            check_reference(name, series, ledger)
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise WorkflowError(
            "The images cannot be used:\n{}".format("\n".join(problems))
        )
    return ledgers


def check_reference(name, series, ledger):
    present = {frame.frame_id for frame in ledger.present}
    reference = series.get("reference_image")
    if reference is not None and reference not in present:
        remark = nearest(reference, present, "frames")
        raise InputError(
            f"series.{name}.reference_image: there is no frame '{reference}'; {remark}"
        )


def write_ledgers():
    for name, ledger in LEDGERS.items():
        write_ledger(
            ledger_path(name), ledger, {rule: digest_for(rule, name) for rule in CODE}
        )


# Code digests


def code(rule):
    """Function for `params` that gives the digest of the code that a rule runs."""
    code_of_today(rule)

    def digest(wildcards):
        return digest_for(rule, wildcards.get("series"))

    return digest


def code_of_today(name):
    if name not in CODE:
        try:
            CODE[name] = code_digest(REPOSITORY / "scripts" / f"{name}.py")
        except InputError as error:
            raise WorkflowError(str(error))
    return CODE[name]


def digest_for(rule, series):
    """Today's digest; with `track_code: false` that of the last run, of any series for a rule that has none."""
    recorded = {}
    if not config["track_code"]:
        for ledger in [LEDGERS[series]] if series else LEDGERS.values():
            recorded |= ledger.code
    return recorded.get(rule) or code_of_today(rule)


# Inputs


def configured_reference(wildcards):
    """The configured reference image as a list of one frame; empty where none is configured."""
    reference = config["series"][wildcards.series].get("reference_image")
    return [
        frame
        for frame in LEDGERS[wildcards.series].present
        if frame.frame_id == reference
    ]


def images_of(wildcards):
    """Images of a batch, and the masks and weights beside them; one that is missing is the frame's trouble only."""
    companions = config["series"][wildcards.series].get("companions", {})
    images = [
        frame.path
        for frame in LEDGERS[wildcards.series].by_batch.get(wildcards.batch, ())
    ]
    beside = [path for image in images for path in companion_paths(image, typed(CompanionsSettings, companions))]
    return images + [path for path in dict.fromkeys(beside) if Path(path).is_file()]


def gaia_file_of(wildcards):
    return config["series"][wildcards.series].get("gaia_file", [])


def of_batches(kind, series, batches):
    return [f"results/{series}/{kind}/{batch}.h5" for batch in batches]


def stars_of(wildcards):
    return of_batches("stars", wildcards.series, LEDGERS[wildcards.series].batches)


def wcs_of(wildcards):
    return of_batches("wcs", wildcards.series, LEDGERS[wildcards.series].batches)


def measured_by(method):
    """Function for `input` that gives the batches of a method; nothing where it is not chosen."""

    def batches(wildcards):
        found = LEDGERS[wildcards.series].batches if method in CHOSEN else []
        return of_batches(method, wildcards.series, found)

    return batches


def measured_batch(method):
    """Function for `input` that gives one batch of a method; nothing where it is not chosen."""

    def batch(wildcards):
        found = [wildcards.batch] if method in CHOSEN else []
        return of_batches(method, wildcards.series, found)

    return batch


def first_batches(wildcards):
    """Batches of the first run and of the configured reference image."""
    batches = [*LEDGERS[wildcards.series].first_batches]
    batches += [frame.batch for frame in configured_reference(wildcards)]
    return of_batches("stars", wildcards.series, dict.fromkeys(batches))


def footprint_of(wildcards):
    """What says where the images are; nothing where the configuration says it."""
    configured = centre_of(wildcards) and radius_of(wildcards)
    return [] if configured else first_batches(wildcards)


def gaia_of_reference(wildcards):
    """The catalogue that the reference image has to fit; nothing where it makes the catalogue itself."""
    return [] if OWN_STARS else f"results/{wildcards.series}/gaia.fits"


def reference_of_start(wildcards):
    """Where frames without a plate solution begin, if the catalogue is the reference image's."""
    return f"results/{wildcards.series}/reference.json" if OWN_STARS else []


def reference_image_of(wildcards):
    """The reference image where it is configured; else reference.json names it when the job runs."""
    return [frame.path for frame in configured_reference(wildcards)]


# Parameters


def frames_of(wildcards):
    frames = LEDGERS[wildcards.series].by_batch.get(wildcards.batch, ())
    return [
        dict(frame_id=frame.frame_id, path=frame.path, overrides=dict(frame.overrides))
        for frame in frames
    ]


def candidates_of(wildcards):
    """What a sheet says of the frames that can be the reference image or be stacked with it."""
    frames = [
        *configured_reference(wildcards),
        *LEDGERS[wildcards.series].first_run,
    ]
    return {
        frame.frame_id: dict(frame.overrides) for frame in frames if frame.overrides
    }


def reading_of(wildcards):
    """Settings that decide how an image is read."""
    series = config["series"][wildcards.series]
    return {
        key: series.get(key)
        for key in (
            "header",
            "site",
            "pixel_scale_arcsec",
            "centre_deg",
            "extension",
            "companions",
        )
    }


def gaia_of(series):
    """What decides which stars are in the catalogue; of the archive's settings none for a file."""
    if OWN_STARS:
        return {"source": "reference_image"}
    from_file = "gaia_file" in config["series"][series]
    left_out = {*ACCESS, "source", *(["release"] if from_file else [])}
    return {key: value for key, value in config["gaia"].items() if key not in left_out}


def recorded_gaia(wildcards):
    return gaia_of(wildcards.series)


def gaia_settings(wildcards, threads):
    """The whole section. Not recorded, because of the argument `threads`: another server reruns nothing."""
    return config["gaia"]


def reference_frame_id(wildcards):
    return config["series"][wildcards.series].get("reference_image")


def centre_of(wildcards):
    return config["series"][wildcards.series].get("centre_deg")


def radius_of(wildcards):
    return config["series"][wildcards.series].get("radius_arcmin")


def paths_of(wildcards, threads):
    """Where the images are now, for the one that reference.json names; not recorded, because of `threads`."""
    return {frame.frame_id: frame.path for frame in LEDGERS[wildcards.series].present}


def star_catalog_settings():
    box = config["extract_stars"]["background_box_pix"]
    return {**config["star_catalog"], "background_box_pix": box}


def method_settings(method):
    """Settings that decide what a method measures."""
    section = config["photometry"][method]
    return {key: value for key, value in section.items() if key not in ON_REQUEST}


def targets_of(wildcards):
    return config["series"][wildcards.series]["targets"]


def export_settings():
    """What decides the exported files; the AAVSO's settings where its format is asked for."""
    aavso = config["export"]["aavso"] if "aavso" in config["export"]["formats"] else {}
    return {"formats": sorted(config["export"]["formats"]), "aavso": aavso}


def export_targets_of(wildcards):
    return targets_of(wildcards) if "aavso" in config["export"]["formats"] else []


def dataset_config_of(wildcards):
    """The configuration as it is written into the dataset: what decides its numbers."""
    series = config["series"][wildcards.series]
    sections = ("extract_stars", "refine_wcs", "star_catalog", "calibrate")
    return {
        "series": {
            key: value for key, value in series.items() if key not in NOT_IN_DATASET
        },
        "gaia": gaia_of(wildcards.series),
        "photometry": {
            "methods": CHOSEN,
            **{method: method_settings(method) for method in CHOSEN},
        },
        **{section: config[section] for section in sections},
    }


def upstream_of(wildcards):
    """Digest of the frames and of the code that lead to a dataset, for a run after one that failed half-way."""
    ledger, series = LEDGERS[wildcards.series], config["series"][wildcards.series]
    frames = sorted(
        (frame.frame_id, frame.path, sorted(frame.overrides.items()))
        for frame in ledger.present
    )
    unused = {f"{method}_photometry" for method in METHODS if method not in CHOSEN}
    rules_upstream = sorted(CODE.keys() - set(DOWNSTREAM) - unused)
    codes = [(rule, digest_for(rule, wildcards.series)) for rule in rules_upstream]
    return hashlib.sha256(
        repr((frames, codes, series.get("gaia_file"))).encode()
    ).hexdigest()[:16]


def wanted_results():
    """Files that a run is asked for."""
    files = []
    for name, series in config["series"].items():
        files += [
            f"results/{name}/{file}"
            for file in ("dataset.h5", "frames.csv", "stars.parquet", "report.html")
        ]
        files += [f"results/{name}/lightcurves"] if series["targets"] else []
        files += [f"results/{name}/export"] if config["export"]["formats"] else []
        if config["annotate_images"]:
            files += [
                f"results/{name}/annotated/{batch}" for batch in LEDGERS[name].batches
            ]
        if any(config["photometry"]["psf"][key] for key in ON_REQUEST):
            files += [
                f"results/{name}/residuals/{batch}" for batch in LEDGERS[name].batches
            ]
    return files
