# What a person looks at.


localrules:
    report,


rule report:
    input:
        unpack(origins_of),
        dataset="results/{series}/dataset.h5",
    output:
        report="results/{series}/report.html",
    log:
        "logs/{series}/report.log",
    wildcard_constraints:
        series=SERIES_OR_FIELD,
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
