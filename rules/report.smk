# What a person looks at.


localrules:
    report,


rule report:
    input:
        unpack(measured_of),
        dataset="results/{series}/dataset.h5",
        pin="results/{series}/gaia.json",
        reference="results/{series}/reference.json",
        wcs=wcs_of,
    output:
        report="results/{series}/report.html",
    log:
        "logs/{series}/report.log",
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        code=code("report"),
    message:
        "{wildcards.series}: write the report"
    script:
        "../scripts/report.py"
