# Functions of the rules of TESS: which files, for the wildcards of a job, and what its fields say.
from snakemake.logging import logger

from gaiaflux.workflow.ccd_frames import (
    candidate_images,
    ccd_of_series,
    image_entries,
    is_images,
    prepared_of,
    star_batches,
    targets_of_batch as stars_of,
)
from gaiaflux.workflow.params import field_dataset_settings, field_settings
from gaiaflux.workflow.target_files import field_of, left_out, prf_files

UPSTREAM_OF_FIELD = ("tess_catalog", "tess_photometry")
UPSTREAM_OF_IMAGES = (
    "settle_images",
    "prepare_frames",
    "prepare_images",
    "solve_field_scene",
    "image_photometry",
)


def field_config(wildcards):
    """Section of a field, by its name or by the folder of one of its datasets."""
    name = wildcards.get("field") or field_of(wildcards.series)
    return config["tess"][name]


def catalog_file_of(wildcards):
    return field_config(wildcards).get("catalog_file", [])


def target_file_of(wildcards):
    """The user's list of targets, which gives stars that are found on the images their numbers."""
    targets = field_config(wildcards)["targets"]
    return targets.get("file", []) if isinstance(targets, dict) else []


def images_for_stars(wildcards):
    """Images on which stars are found where there is no catalogue."""
    if catalog_file_of(wildcards):
        return []
    mine = [LEDGERS[name] for name in images_of_field(wildcards)]
    return [frame.path for ledger in mine for frame in candidate_images(ledger)]


def image_groups_for_stars(wildcards):
    """The same by CCD: sector, camera, CCD, and frames of each."""
    if catalog_file_of(wildcards):
        return []
    return [
        [
            ccd_of_series(name),
            [[one.frame_id, one.path] for one in candidate_images(LEDGERS[name])],
        ]
        for name in images_of_field(wildcards)
    ]


def first_images_of(wildcards):
    return [one.path for one in candidate_images(LEDGERS[wildcards.series])]


def candidate_images_of(wildcards):
    ledger = LEDGERS[wildcards.series]
    return [[one.frame_id, one.path] for one in candidate_images(ledger)]


def ccd_of_images(wildcards):
    return ccd_of_series(wildcards.series)


def images_of_field(wildcards):
    """Image series of a field."""
    return [
        name
        for name in LEDGERS
        if name.startswith(f"tess/{wildcards.field}/") and is_images(name)
    ]


def frames_of_images(wildcards):
    batches = LEDGERS[wildcards.series].batches
    return [f"results/{wildcards.series}/frames/{batch}.h5" for batch in batches]


def images_of_batch(wildcards):
    return image_entries(LEDGERS[wildcards.series], wildcards.batch)


def targets_beside_images(wildcards):
    """Target pixel files of the field, whose quality bits count for the images too."""
    field = field_of(wildcards.series)
    own = [name for name in LEDGERS if name.startswith(f"tess/{field}/c")]
    return [frame.path for name in own for frame in LEDGERS[name].present]


def prepared_of_field(wildcards):
    return [f"results/{name}/prepared.h5" for name in images_of_field(wildcards)]


def prepared_of_series(wildcards):
    return prepared_of(wildcards.series, LEDGERS)


def image_tables_of_series(wildcards):
    """Tables of the images of a dataset, which say why some of them gave no frame."""
    return [
        path.replace("prepared.h5", "images.csv")
        for path in prepared_of_series(wildcards)
    ]


def scenes_of_series(wildcards):
    """Scenes beside the prepared images; none where there is no response function."""
    return scenes_beside(prepared_of_series(wildcards), field_config(wildcards))


def scenes_of_field(wildcards):
    """The same of all prepared images of a field."""
    return scenes_beside(prepared_of_field(wildcards), field_config(wildcards))


def scenes_beside(prepared, field):
    if not field.get("prf_folder"):
        return []
    return [f"{path.removesuffix('prepared.h5')}scene.h5" for path in prepared]


def star_batches_of(wildcards):
    """Batches of the targets that are measured in full-frame images; none where the dataset has none."""
    targets = field_config(wildcards)["targets"]
    batches = star_batches(wildcards.series, targets, LEDGERS)
    return [f"results/{wildcards.series}/image_targets/{batch}.h5" for batch in batches]


def stars_of_batch(wildcards):
    return stars_of(field_config(wildcards)["targets"], wildcards.batch)


def targets_of_batch(wildcards):
    frames = LEDGERS[wildcards.series].by_batch.get(wildcards.batch, ())
    return [frame.path for frame in frames]


def targets_of_series(wildcards):
    return [frame.path for frame in LEDGERS[wildcards.series].present]


def targets_of_field(wildcards):
    own = [name for name in LEDGERS if name.startswith(f"tess/{wildcards.field}/c")]
    return [frame.path for name in own for frame in LEDGERS[name].present]


def catalog_of_field(wildcards):
    return f"results/tess/{field_of(wildcards.series)}/catalog.h5"


def prf_of_field(wildcards):
    return prf_files(field_config(wildcards).get("prf_folder"), DEMO_OF_TESS)


def pointing_of_field(wildcards):
    return field_config(wildcards).get("pointing_file", [])


def batches_of_field(wildcards):
    batches = LEDGERS[wildcards.series].batches
    files = batch_files("targets", wildcards.series, batches)
    return files + star_batches_of(wildcards)


def curve_tables_of_field(wildcards):
    return [
        f"{path.removesuffix('.h5')}_lightcurves.csv"
        for path in batches_of_field(wildcards)
    ]


def settings_of_field(wildcards):
    return field_settings(field_config(wildcards))


def settings_of_field_dataset(wildcards):
    return field_dataset_settings(field_config(wildcards))


def upstream_of_field(wildcards):
    """Digest of the targets and of the code that lead to a dataset."""
    series, field = wildcards.series, field_config(wildcards)
    images = prepared_of_series(wildcards)
    rules_used = UPSTREAM_OF_FIELD + (UPSTREAM_OF_IMAGES if images else ())
    codes = [(rule, digest_for(rule, series)) for rule in rules_used]
    files = [field.get(key) for key in ("catalog_file", "prf_folder", "pointing_file")]
    if images:
        files += [*images, str(field["targets"])]
    return upstream_digest(LEDGERS[series], codes, files)


def prf_folder_of(wildcards, threads):
    """Where the response functions are; their files are among the inputs."""
    return field_config(wildcards).get("prf_folder")


def say_left_out():
    """Name the targets of TESS that could not be measured; those of the images are in the reports."""
    for sentence in filter(None, map(left_out, LEDGERS)):
        logger.warning(sentence)
