# Plate solutions, and the list of stars that is measured in every frame.


rule refine_wcs:
    input:
        stars="results/{series}/stars/{batch}.h5",
        gaia="results/{series}/gaia.fits",
        reference=reference_of_start,
    output:
        wcs="results/{series}/wcs/{batch}.h5",
    log:
        "logs/{series}/refine_wcs/{batch}.log",
    conda:
        "../envs/astrometry.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        settings=config["refine_wcs"],
        code=code("refine_wcs"),
    message:
        "{wildcards.series}: refine the plate solutions of batch {wildcards.batch}"
    script:
        "../scripts/refine_wcs.py"


rule build_star_catalog:
    input:
        reference="results/{series}/reference.json",
        gaia="results/{series}/gaia.fits",
        image=reference_image_of,
    output:
        catalog="results/{series}/star_catalog.h5",
    log:
        "logs/{series}/build_star_catalog.log",
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
        code=code("build_star_catalog"),
    message:
        "{wildcards.series}: list the stars that are measured"
    script:
        "../scripts/build_star_catalog.py"
