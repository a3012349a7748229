# One file of all measurements, its calibration, and the light curves of the targets.


localrules:
    export_lightcurves,
    rank_variables,


# Snakemake counts a job that failed as done with its new inputs and params and takes its output away. So that the next
# run makes good what failed, the dataset's params change with everything upstream, and all files that lead to it are
# named here.
rule assemble_dataset:
    input:
        unpack(measured_of),
        stars=stars_of,
        wcs=wcs_of,
        catalog="results/{series}/star_catalog.h5",
        gaia="results/{series}/gaia.fits",
        reference="results/{series}/reference.json",
    output:
        measured=temp("results/{series}/measured.h5"),
    log:
        "logs/{series}/assemble_dataset.log",
    conda:
        "../envs/dataset.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        code=code("assemble_dataset"),
    message:
        "{wildcards.series}: put the measurements together"
    script:
        "../scripts/assemble_dataset.py"


rule calibrate_dataset:
    input:
        measured="results/{series}/measured.h5",
    output:
        dataset="results/{series}/dataset.h5",
        frames="results/{series}/frames.csv",
    log:
        "logs/{series}/calibrate_dataset.log",
    conda:
        "../envs/dataset.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        settings=config["calibrate"],
        config=dataset_config_of,
        upstream=upstream_of,
        code=code("calibrate_dataset"),
    message:
        "{wildcards.series}: calibrate the light curves"
    script:
        "../scripts/calibrate_dataset.py"


rule export_lightcurves:
    input:
        dataset="results/{series}/dataset.h5",
    output:
        lightcurves=directory("results/{series}/lightcurves"),
    log:
        "logs/{series}/export_lightcurves.log",
    conda:
        "../envs/dataset.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        targets=targets_of,
        code=code("export_lightcurves"),
    message:
        "{wildcards.series}: write the light curves of the targets"
    script:
        "../scripts/export_lightcurves.py"


rule rank_variables:
    input:
        dataset="results/{series}/dataset.h5",
    output:
        table="results/{series}/stars.parquet",
        csv="results/{series}/stars.csv",
    log:
        "logs/{series}/rank_variables.log",
    wildcard_constraints:
        series=SERIES_OR_FIELD,
    conda:
        "../envs/dataset.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        code=code("rank_variables"),
    message:
        "{wildcards.series}: rank the stars by their variability"
    script:
        "../scripts/rank_variables.py"


rule export_dataset:
    input:
        dataset="results/{series}/dataset.h5",
    output:
        export=directory("results/{series}/export"),
    log:
        "logs/{series}/export_dataset.log",
    wildcard_constraints:
        series=SERIES_OR_FIELD,
    conda:
        "../envs/dataset.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        settings=export_settings(config),
        targets=export_targets_of,
        code=code("export_dataset"),
    message:
        "{wildcards.series}: export the dataset"
    script:
        "../scripts/export_dataset.py"
