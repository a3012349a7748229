# All that ever uses the network.


localrules:
    download_gaia,


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
