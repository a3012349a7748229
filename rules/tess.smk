# Fields of TESS: a catalogue for each field, targets in batches, a dataset for each cadence.


localrules:
    list_field_lightcurves,
    prepare_field,
    tess_catalog,


onsuccess:
    say_left_out()
    say_what_came()


rule tess_catalog:
    input:
        catalog=catalog_file_of,
        targets=target_file_of,
        images=images_for_stars,
        prf=prf_of_field,
    output:
        catalog="results/tess/{field}/catalog.h5",
    log:
        "logs/tess/{field}/tess_catalog.log",
    wildcard_constraints:
        field="[A-Za-z0-9_-]+",
    conda:
        "../envs/tess.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        groups=image_groups_for_stars,
        prf_folder=prf_folder_of,
        code=code("tess_catalog"),
    message:
        "{wildcards.field}: read the catalogue"
    script:
        "../scripts/tess_catalog.py"


# For notebooks: which files belong to the field.
rule prepare_field:
    input:
        targets=targets_of_field,
        images=prepared_of_field,
        scenes=scenes_of_field,
        catalog="results/tess/{field}/catalog.h5",
        pointing=pointing_of_field,
    output:
        field="results/tess/{field}/field.json",
    log:
        "logs/tess/{field}/prepare_field.log",
    wildcard_constraints:
        field="[A-Za-z0-9_-]+",
    conda:
        "../envs/tess.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        prf_folder=prf_folder_of,
        code=code("prepare_field"),
    message:
        "{wildcards.field}: list the files"
    script:
        "../scripts/prepare_field.py"


rule tess_photometry:
    input:
        targets=targets_of_batch,
        catalog=catalog_of_field,
        prf=prf_of_field,
        pointing=pointing_of_field,
    output:
        measured="results/{series}/targets/{batch}.h5",
    log:
        "logs/{series}/tess_photometry/{batch}.log",
    wildcard_constraints:
        series=FIELD_SERIES,
    conda:
        "../envs/tess.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        members=frames_of,
        prf_folder=prf_folder_of,
        settings=settings_of_field,
        code=code("tess_photometry"),
    message:
        "{wildcards.series}: photometry of the targets of batch {wildcards.batch}"
    script:
        "../scripts/tess_photometry.py"


# Inputs and params are all that leads to it, for a run after one that failed: see assemble_dataset.
rule assemble_field:
    input:
        measured=batches_of_field,
        catalog=catalog_of_field,
        targets=targets_of_series,
        prf=prf_of_field,
        pointing=pointing_of_field,
        images=image_tables_of_series,
    output:
        dataset="results/{series}/dataset.h5",
        frames="results/{series}/frames.csv",
        targets="results/{series}/targets.csv",
    log:
        "logs/{series}/assemble_field.log",
    wildcard_constraints:
        series=FIELD_SERIES,
    conda:
        "../envs/tess.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        settings=settings_of_field_dataset,
        upstream=upstream_of_field,
        code=code("assemble_field"),
    message:
        "{wildcards.series}: put the targets together"
    script:
        "../scripts/assemble_field.py"


rule export_field_lightcurves:
    input:
        measured="results/{series}/{kind}/{batch}.h5",
        dataset="results/{series}/dataset.h5",
    output:
        table="results/{series}/{kind}/{batch}_lightcurves.csv",
    log:
        "logs/{series}/export_field_lightcurves/{kind}_{batch}.log",
    wildcard_constraints:
        series=FIELD_SERIES,
        kind="targets|image_targets",
    conda:
        "../envs/tess.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        code=code("export_field_lightcurves"),
    message:
        "{wildcards.series}: write the light curves of {wildcards.kind} {wildcards.batch}"
    script:
        "../scripts/export_field_lightcurves.py"


# The files themselves are no output: each has the name of its star. So those of stars that left the field, or of
# methods that are not asked for any more, are removed here.
rule list_field_lightcurves:
    input:
        tables=curve_tables_of_field,
    output:
        table="results/{series}/lightcurves.csv",
    log:
        "logs/{series}/list_field_lightcurves.log",
    wildcard_constraints:
        series=FIELD_SERIES,
    conda:
        "../envs/tess.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        code=code("list_field_lightcurves"),
    message:
        "{wildcards.series}: list the light curves"
    script:
        "../scripts/list_field_lightcurves.py"
