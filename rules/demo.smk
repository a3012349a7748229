# The images of the embedded demonstration, a sparse series and a crowded one. A series whose glob matches them
# (config.yaml) makes them first.


localrules:
    make_demo,


rule make_demo:
    output:
        images=expand("demo/images/demo-{index:03d}-e91.fits", index=range(28))
        + expand("demo/crowded/images/crowded-{index:03d}-e91.fits", index=range(14)),
        gaia=["demo/gaia.fits", "demo/crowded/gaia.fits"],
        truth=["demo/truth.fits", "demo/crowded/truth.fits"],
    log:
        "logs/demo/make_demo.log",
    conda:
        "../envs/demo.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("make_demo"),
    message:
        "Simulate the images of the demonstration"
    script:
        "../scripts/make_demo.py"
