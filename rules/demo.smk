# The images of the embedded demonstration, a sparse series and a crowded one, and two fields of TESS: target pixel files
# and full-frame images. A series or field whose glob matches them (config.yaml) makes them first.
from gaiaflux.workflow.demo_files import demo_images, demo_responses

DEMO_SECTOR = "tess2018206045859-s0001"


localrules:
    make_demo,
    make_tess_demo,
    make_tess_images_demo,


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
        prf=expand("demo/tess/prf/{file}", file=demo_responses(4, 1)),
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


rule make_tess_images_demo:
    output:
        images=expand("demo/tess_images/ffi/{file}", file=demo_images()),
        catalog="demo/tess_images/catalog.csv",
        prf=expand("demo/tess_images/prf/{file}", file=demo_responses(1, 3)),
        truth="demo/tess_images/truth.npz",
    log:
        "logs/demo/make_tess_images_demo.log",
    conda:
        "../envs/demo.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("make_tess_images_demo"),
    message:
        "Simulate the full-frame images of the demonstration"
    script:
        "../scripts/make_tess_images_demo.py"
