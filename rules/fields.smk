# Functions of the rules of TESS: which files, for the wildcards of a job, and what its fields say.
from snakemake.logging import logger

from gaiaflux.workflow.params import field_dataset_settings, field_settings
from gaiaflux.workflow.target_files import field_of, left_out, prf_files

UPSTREAM_OF_FIELD = ("tess_catalog", "tess_photometry")


def field_config(wildcards):
    """Section of a field, by its name or by the folder of one of its datasets."""
    name = wildcards.get("field") or field_of(wildcards.series)
    return config["tess"][name]


def catalog_file_of(wildcards):
    return field_config(wildcards)["catalog_file"]


def targets_of_batch(wildcards):
    frames = LEDGERS[wildcards.series].by_batch.get(wildcards.batch, ())
    return [frame.path for frame in frames]


def targets_of_series(wildcards):
    return [frame.path for frame in LEDGERS[wildcards.series].present]


def targets_of_field(wildcards):
    own = [name for name in LEDGERS if name.startswith(f"tess/{wildcards.field}/")]
    return [frame.path for name in own for frame in LEDGERS[name].present]


def catalog_of_field(wildcards):
    return f"results/tess/{field_of(wildcards.series)}/catalog.h5"


def prf_of_field(wildcards):
    made = rules.make_tess_demo.output.prf
    return prf_files(field_config(wildcards).get("prf_folder"), made)


def pointing_of_field(wildcards):
    return field_config(wildcards).get("pointing_file", [])


def batches_of_field(wildcards):
    batches = LEDGERS[wildcards.series].batches
    return batch_files("targets", wildcards.series, batches)


def curve_tables_of_field(wildcards):
    series, batches = wildcards.series, LEDGERS[wildcards.series].batches
    return [f"results/{series}/targets/{batch}_lightcurves.csv" for batch in batches]


def settings_of_field(wildcards):
    return field_settings(field_config(wildcards))


def settings_of_field_dataset(wildcards):
    return field_dataset_settings(field_config(wildcards))


def upstream_of_field(wildcards):
    """Digest of the targets and of the code that lead to a dataset."""
    series, field = wildcards.series, field_config(wildcards)
    codes = [(rule, digest_for(rule, series)) for rule in UPSTREAM_OF_FIELD]
    files = [field.get(key) for key in ("catalog_file", "prf_folder", "pointing_file")]
    return upstream_digest(LEDGERS[series], codes, files)


def prf_folder_of(wildcards, threads):
    """Where the response functions are; their files are among the inputs."""
    return field_config(wildcards).get("prf_folder")


def say_left_out():
    """Name the targets of TESS that could not be measured; those of the images are in the reports."""
    for sentence in filter(None, map(left_out, LEDGERS)):
        logger.warning(sentence)
