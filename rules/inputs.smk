# Functions that rules name under input: which files, for the wildcards of a job.
from gaiaflux.workflow.ccd_frames import prepared_of
from gaiaflux.workflow.inputs import (
    batch_files,
    configured_reference,
    first_batches,
    image_files,
    own_stars,
)


def images_of(wildcards):
    ledger = LEDGERS[wildcards.series]
    return image_files(config, wildcards.series, ledger, wildcards.batch)


def reference_image_of(wildcards):
    """The reference image where it is configured; else reference.json names it when the job runs."""
    ledger = LEDGERS[wildcards.series]
    frames = configured_reference(config, wildcards.series, ledger)
    return [frame.path for frame in frames]


def gaia_file_of(wildcards):
    return config["series"][wildcards.series].get("gaia_file", [])


def stars_of(wildcards):
    batches = LEDGERS[wildcards.series].batches
    return batch_files("stars", wildcards.series, batches)


def wcs_of(wildcards):
    batches = LEDGERS[wildcards.series].batches
    return batch_files("wcs", wildcards.series, batches)


def measured_of(wildcards):
    """All batches of each method that is chosen, by its name."""
    series, batches = wildcards.series, LEDGERS[wildcards.series].batches
    return {method.name: batch_files(method.name, series, batches) for method in CHOSEN}


def measured_batch_of(wildcards):
    """One batch of each method that is chosen, by its name."""
    series, batches = wildcards.series, [wildcards.batch]
    return {method.name: batch_files(method.name, series, batches) for method in CHOSEN}


def first_stars_of(wildcards):
    """Stars of the first run and of the configured reference image."""
    ledger = LEDGERS[wildcards.series]
    batches = first_batches(config, wildcards.series, ledger)
    return batch_files("stars", wildcards.series, batches)


def footprint_of(wildcards):
    """What says where the images are; nothing where the configuration says it."""
    configured = centre_of(wildcards) and radius_of(wildcards)
    return [] if configured else first_stars_of(wildcards)


def gaia_of_reference(wildcards):
    """The catalogue that the reference image has to fit; nothing where it makes the catalogue itself."""
    return [] if own_stars(config) else f"results/{wildcards.series}/gaia.fits"


def reference_of_start(wildcards):
    """Where frames without a plate solution begin, if the catalogue is the reference image's."""
    return f"results/{wildcards.series}/reference.json" if own_stars(config) else []


def origins_of(wildcards):
    """What led to the dataset of images; that of a field says all of it itself, but for its full-frame images."""
    series = wildcards.series
    if series not in config["series"]:
        return {"images": prepared_of(series, LEDGERS)}
    records = {"pin": "gaia.json", "reference": "reference.json"}
    return {
        **measured_of(wildcards),
        **{name: f"results/{series}/{file}" for name, file in records.items()},
        "wcs": wcs_of(wildcards),
    }
