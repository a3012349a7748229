# From a folder of telescope images to calibrated light curves: see README.md and config.yaml.
import os

from snakemake.utils import min_version

min_version("9.14")

# One thread a job: no sum depends on their number. Jobs find the package of this checkout, whatever is installed.
os.environ.update(dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"], "1"))
os.environ.update(dict.fromkeys(["MKL_NUM_THREADS", "NUMBA_NUM_THREADS"], "1"))
SEARCH = [os.path.join(workflow.basedir, "scripts"), os.environ.get("PYTHONPATH")]
os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, SEARCH)))

# A configuration of one's own replaces the shipped one entirely.
if not workflow.overwrite_configfiles:

    configfile: os.path.join(workflow.basedir, "config.yaml")


include: "rules/common.smk"
include: "rules/inputs.smk"
include: "rules/params.smk"
include: "rules/demo.smk"
include: "rules/once.smk"
include: "rules/download.smk"
include: "rules/stars.smk"
include: "rules/astrometry.smk"
include: "rules/photometry.smk"
include: "rules/annotate.smk"
include: "rules/dataset.smk"
include: "rules/fields.smk"
include: "rules/tess.smk"
include: "rules/tess_images.smk"
include: "rules/report.smk"


localrules:
    all,


rule all:
    default_target: True
    input:
        wanted_results(),


# A dry run does not come here, nor does the job of a cluster, which only reads what the run has written.
onstart:
    write_ledgers()
