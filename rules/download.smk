# All that ever uses the network.


localrules:
    download_gaia,
    download_tess,


# No digest of the code here: a catalogue that is pinned is not fetched again because the program changed.
rule download_gaia:
    input:
        stars=footprint_of,
        gaia_file=gaia_file_of,
    output:
        catalog=GAIA[0],
        pin=GAIA[1],
        request=GAIA_MET,
    log:
        "logs/{series}/download_gaia.log",
    wildcard_constraints:
        series=to_fetch(),
    retries: 0
    conda:
        "../envs/download.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        settings=all_of_gaia,
        recorded=recorded_gaia,
        request=requested(for_gaia),
        centre_deg=centre_of,
        radius_arcmin=radius_of,
    message:
        "{wildcards.series}: get the Gaia stars of the field"
    script:
        "../scripts/download_gaia.py"


# Exists for fields whose download is not there, or is another one than what is asked for; see workflow/downloads.py.
rule download_tess:
    output:
        manifest=MANIFEST,
    log:
        "logs/tess/{field}/download_tess.log",
    wildcard_constraints:
        field=series_pattern(WAITING),
    retries: 0
    conda:
        "../envs/download.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=1440,
    params:
        settings=all_of_download,
        gaia=all_of_gaia,
        request=download_request_of,
        lacking=lacking_of,
    message:
        "{wildcards.field}: get the files of the field from the archive"
    script:
        "../scripts/download_tess.py"
