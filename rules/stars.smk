# Stars of each image, and the image that serves as the reference.


localrules:
    choose_reference,


rule extract_stars:
    input:
        images=images_of,
    output:
        stars="results/{series}/stars/{batch}.h5",
    log:
        "logs/{series}/extract_stars/{batch}.log",
    conda:
        "../envs/stars.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        frames=frames_of,
        reading=reading_of,
        settings=config["extract_stars"],
        code=code("extract_stars"),
    message:
        "{wildcards.series}: find the stars of batch {wildcards.batch}"
    script:
        "../scripts/extract_stars.py"


# Chosen once: nothing that happens to its inputs later chooses again.
rule choose_reference:
    input:
        stars=first_stars_of,
        gaia=gaia_of_reference,
    output:
        reference=REFERENCE,
        request=REFERENCE_MET,
    log:
        "logs/{series}/choose_reference.log",
    wildcard_constraints:
        series=to_choose(),
    conda:
        "../envs/stars.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        reference_image=reference_frame_id,
        refine_wcs=config["refine_wcs"],
        request=requested(for_reference),
        code=code("choose_reference"),
    message:
        "{wildcards.series}: choose the reference image"
    script:
        "../scripts/choose_reference.py"


# Fields without Gaia: the same files as download_gaia makes, from the reference image.
rule list_reference_stars:
    input:
        reference="results/{series}/reference.json",
        image=reference_image_of,
    output:
        catalog=GAIA[0],
        pin=GAIA[1],
        request=GAIA_MET,
    log:
        "logs/{series}/list_reference_stars.log",
    wildcard_constraints:
        series=to_list(),
    conda:
        "../envs/astrometry.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        reading=reading_of,
        overrides=candidates_of,
        paths=paths_of,
        settings=config["star_catalog"],
        psf=catalog_psf_settings(config, SCHEMA),
        request=requested(for_own_stars),
        code=code("list_reference_stars"),
    message:
        "{wildcards.series}: list the stars of the reference image in the place of Gaia's"
    script:
        "../scripts/list_reference_stars.py"
