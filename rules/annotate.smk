# Copies of the images with their results, and images without their stars; only on request.


rule annotate_images:
    input:
        unpack(measured_batch_of),
        images=images_of,
        wcs="results/{series}/wcs/{batch}.h5",
        catalog="results/{series}/star_catalog.h5",
    output:
        annotated=directory("results/{series}/annotated/{batch}"),
    log:
        "logs/{series}/annotate_images/{batch}.log",
    conda:
        "../envs/photometry.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        frames=frames_of,
        code=code("annotate_images"),
    message:
        "{wildcards.series}: copy the images of batch {wildcards.batch} with their results"
    script:
        "../scripts/annotate_images.py"


rule subtract_stars:
    input:
        images=images_of,
        stars="results/{series}/stars/{batch}.h5",
        wcs="results/{series}/wcs/{batch}.h5",
        psf="results/{series}/psf/{batch}.h5",
    output:
        residuals=directory("results/{series}/residuals/{batch}"),
    log:
        "logs/{series}/subtract_stars/{batch}.log",
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        frames=frames_of,
        reading=reading_of,
        settings=settings_of_method("psf"),
        pictures=config["photometry"]["psf"]["residual_pictures"],
        images=config["photometry"]["psf"]["subtracted_images"],
        code=code("subtract_stars"),
    message:
        "{wildcards.series}: subtract the stars from the images of batch {wildcards.batch}"
    script:
        "../scripts/subtract_stars.py"
