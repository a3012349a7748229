# Full-frame images of TESS: frames in batches, all of a CCD together, then the targets in them.


localrules:
    settle_images,


# Settled with the first run's images: new ones change nothing in it.
rule settle_images:
    input:
        images=first_images_of,
        catalog=catalog_of_field,
    output:
        reference="results/{series}/reference.h5",
    log:
        "logs/{series}/settle_images.log",
    wildcard_constraints:
        series=FRAME_SERIES,
    conda:
        "../envs/tess.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        candidates=candidate_images_of,
        ccd=ccd_of_images,
        code=code("settle_images"),
    message:
        "{wildcards.series}: choose reference image and stars"
    script:
        "../scripts/settle_images.py"


rule prepare_frames:
    input:
        images=targets_of_batch,
        reference="results/{series}/reference.h5",
        prf=prf_of_field,
    output:
        frames="results/{series}/frames/{batch}.h5",
    log:
        "logs/{series}/prepare_frames/{batch}.log",
    wildcard_constraints:
        series=FRAME_SERIES,
    conda:
        "../envs/tess.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        members=images_of_batch,
        prf_folder=prf_folder_of,
        code=code("prepare_frames"),
    message:
        "{wildcards.series}: prepare the images of batch {wildcards.batch}"
    script:
        "../scripts/prepare_frames.py"


rule prepare_images:
    input:
        frames=frames_of_images,
        reference="results/{series}/reference.h5",
        targets=targets_beside_images,
    output:
        prepared="results/{series}/prepared.h5",
        images="results/{series}/images.csv",
    log:
        "logs/{series}/prepare_images.log",
    wildcard_constraints:
        series=FRAME_SERIES,
    conda:
        "../envs/tess.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        code=code("prepare_images"),
    message:
        "{wildcards.series}: sky, motion and flags of all images"
    script:
        "../scripts/prepare_images.py"


# All stars of the CCD together; without response functions there is no such step.
rule solve_field_scene:
    input:
        prepared="results/{series}/prepared.h5",
        catalog=catalog_of_field,
        prf=prf_of_field,
    output:
        scene="results/{series}/scene.h5",
    log:
        "logs/{series}/solve_field_scene.log",
    wildcard_constraints:
        series=FRAME_SERIES,
    conda:
        "../envs/tess.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        prf_folder=prf_folder_of,
        code=code("solve_field_scene"),
    message:
        "{wildcards.series}: solve for all stars of the mean image"
    script:
        "../scripts/solve_field_scene.py"


rule image_photometry:
    input:
        images=prepared_of_series,
        scenes=scenes_of_series,
        catalog=catalog_of_field,
        prf=prf_of_field,
    output:
        measured="results/{series}/image_targets/{batch}.h5",
    log:
        "logs/{series}/image_photometry/{batch}.log",
    wildcard_constraints:
        series=FIELD_SERIES,
    conda:
        "../envs/tess.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=480,
    params:
        stars=stars_of_batch,
        prf_folder=prf_folder_of,
        settings=settings_of_field,
        code=code("image_photometry"),
    message:
        "{wildcards.series}: photometry of the stars of batch {wildcards.batch} in full-frame images"
    script:
        "../scripts/image_photometry.py"
