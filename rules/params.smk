# Functions that rules name under params: the settings that they use, and the digest of the code that they run.
#
# What a function with the argument `threads` gives is not recorded: a change of it reruns nothing.
from gaiaflux.model.methods import method_named
from gaiaflux.workflow.digest import code_digest
from gaiaflux.workflow.params import (
    candidate_overrides,
    catalog_psf_settings,
    dataset_settings,
    export_settings,
    export_targets,
    frame_entries,
    gaia_settings,
    method_settings,
    reading_settings,
    upstream_digest,
)
from gaiaflux.workflow.results import upstream_rules

# Digest of today's code of each rule.
CODE = {}


def code(rule):
    """Function that gives the digest of the code that a rule runs."""
    code_of_today(rule)

    def digest(wildcards):
        return digest_for(rule, wildcards.get("series"))

    return digest


def digest_for(rule, series):
    """Today's digest; with `track_code: false` that of the last run, of any series for a rule that has none."""
    recorded = {}
    if not config["track_code"]:
        for ledger in [LEDGERS[series]] if series else LEDGERS.values():
            recorded |= ledger.code
    return recorded.get(rule) or code_of_today(rule)


def code_of_today(name):
    script = REPOSITORY / "scripts" / f"{name}.py"
    if name not in CODE:
        CODE[name] = or_end("The code cannot be used", code_digest, script)
    return CODE[name]


def settings_of_method(name):
    return method_settings(config, SCHEMA, method_named(name))


def frames_of(wildcards):
    return frame_entries(LEDGERS[wildcards.series], wildcards.batch)


def candidates_of(wildcards):
    ledger = LEDGERS[wildcards.series]
    return candidate_overrides(config, wildcards.series, ledger)


def paths_of(wildcards, threads):
    """Where the images are now, for the one that reference.json names."""
    return {frame.frame_id: frame.path for frame in LEDGERS[wildcards.series].present}


def reading_of(wildcards):
    return reading_settings(config, wildcards.series)


def recorded_gaia(wildcards):
    return gaia_settings(config, SCHEMA, wildcards.series)


def all_of_gaia(wildcards, threads):
    """The whole section: another server reruns nothing."""
    return config["gaia"]


def reference_frame_id(wildcards):
    return config["series"][wildcards.series].get("reference_image")


def centre_of(wildcards):
    return config["series"][wildcards.series].get("centre_deg")


def radius_of(wildcards):
    return config["series"][wildcards.series].get("radius_arcmin")


def targets_of(wildcards):
    return config["series"][wildcards.series]["targets"]


def export_targets_of(wildcards):
    return export_targets(config, wildcards.series)


def dataset_config_of(wildcards):
    return dataset_settings(config, SCHEMA, wildcards.series)


def upstream_of(wildcards):
    """Digest of the frames and of the code that lead to a dataset."""
    series = wildcards.series
    codes = [(rule, digest_for(rule, series)) for rule in upstream_rules(config, CODE)]
    gaia_file = config["series"][series].get("gaia_file")
    return upstream_digest(LEDGERS[series], codes, gaia_file)
