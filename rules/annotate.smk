# Copies of the images that carry their results with them; only on request.


rule annotate_images:
    input:
        images=images_of,
        wcs="results/{series}/wcs/{batch}.h5",
        aperture="results/{series}/aperture/{batch}.h5",
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
