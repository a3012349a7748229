# The images of the embedded demonstration, a sparse series and a crowded one, and a field of TESS. A series or field
# whose glob matches them (config.yaml) makes them first.

DEMO_SECTOR = "tess2018206045859-s0001"
DEMO_PRF = f"demo/tess/prf/start_s0001/cam4_ccd1/{DEMO_SECTOR[:17]}-prf-4-1"


localrules:
    make_demo,
    make_tess_demo,


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


rule make_tess_demo:
    output:
        targets=expand(
            f"demo/tess/{DEMO_SECTOR}-000000000000{{star}}-0120-s_tp.fits.gz",
            star=(1001, 2001, 3001, 4001, 5001),
        ),
        catalog="demo/tess/catalog.csv",
        prf=expand(
            f"{DEMO_PRF}-row{{row}}-col{{column}}.fits",
            row=("0001", "0513", "1025", "1536", "2048"),
            column=("0045", "0557", "1069", "1580", "2092"),
        ),
    log:
        "logs/demo/make_tess_demo.log",
    conda:
        "../envs/demo.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("make_tess_demo"),
    message:
        "Simulate the target pixel files of the demonstration"
    script:
        "../scripts/make_tess_demo.py"
