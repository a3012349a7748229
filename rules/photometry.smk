# Fluxes of all catalogue stars in each image.


rule aperture_photometry:
    input:
        images=images_of,
        stars="results/{series}/stars/{batch}.h5",
        wcs="results/{series}/wcs/{batch}.h5",
        catalog="results/{series}/star_catalog.h5",
    output:
        aperture="results/{series}/aperture/{batch}.h5",
    log:
        "logs/{series}/aperture_photometry/{batch}.log",
    conda:
        "../envs/photometry.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        frames=frames_of,
        reading=reading_of,
        settings=config["photometry"]["aperture"],
        code=code("aperture_photometry"),
    message:
        "{wildcards.series}: aperture photometry of batch {wildcards.batch}"
    script:
        "../scripts/aperture_photometry.py"
