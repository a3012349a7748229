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
        settings=settings_of_method("aperture"),
        code=code("aperture_photometry"),
    message:
        "{wildcards.series}: aperture photometry of batch {wildcards.batch}"
    script:
        "../scripts/aperture_photometry.py"


rule psf_photometry:
    input:
        images=images_of,
        stars="results/{series}/stars/{batch}.h5",
        wcs="results/{series}/wcs/{batch}.h5",
        catalog="results/{series}/star_catalog.h5",
    output:
        psf="results/{series}/psf/{batch}.h5",
    log:
        "logs/{series}/psf_photometry/{batch}.log",
    conda:
        "../envs/photometry.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        frames=frames_of,
        reading=reading_of,
        settings=settings_of_method("psf"),
        code=code("psf_photometry"),
    message:
        "{wildcards.series}: PSF photometry of batch {wildcards.batch}"
    script:
        "../scripts/psf_photometry.py"
