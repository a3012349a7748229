# What is settled: which frame is in which batch, and what is chosen or fetched once; no rules.
#
# `ancient` would not do: a job behind an ancient input is not looked at where the job before it runs, so that its own
# new settings are missed, and it runs again where that job has failed and left no file. So a rule whose request has
# been met does not exist for the series, and its files count as given. `run_job` writes down the request that was met.
from snakemake.logging import logger

from gaiaflux.workflow.downloads import (
    download_request,
    lacking_files,
    what_came,
)
from gaiaflux.workflow.requests import (
    gaia_request,
    reference_request,
    series_pattern,
    unmet,
)

# The images of the demonstration count as there before they are made.
DEMO_OF_TESS = [*rules.make_tess_demo.output, *rules.make_tess_images_demo.output]
LEDGERS = open_ledgers(made=[*rules.make_demo.output.images, *DEMO_OF_TESS])

# What has been asked for and met, and what was made.
GAIA_MET = "results/{series}/gaia.request.json"
GAIA = ("results/{series}/gaia.fits", "results/{series}/gaia.json")
REFERENCE_MET = "results/{series}/reference.request.json"
REFERENCE = "results/{series}/reference.json"


def made_by(series):
    """Digest of the code that simulates a series; None for real images."""
    paths = {frame.path for frame in LEDGERS[series].present}
    simulated = paths & set(rules.make_demo.output.images)
    return digest_for("make_demo", series) if simulated else None


def for_reference(series):
    digest = digest_for("choose_reference", series)
    return reference_request(config, series, digest, made_by(series))


def for_gaia(series):
    made = rules.make_demo.output.gaia
    return gaia_request(config, SCHEMA, series, made_by(series), made)


def for_own_stars(series):
    """Written in the place of a request that was met, so that a return to Gaia asks anew."""
    return {"source": "reference_image"}


def to_choose():
    """Constraint for `series`: those whose reference image is to be chosen."""
    asked = {series: for_reference(series) for series in config["series"]}
    return series_pattern(unmet(asked, (REFERENCE_MET, REFERENCE)))


def to_fetch():
    """Constraint for `series`: those whose catalogue is to be got from an archive or a file."""
    asked = (
        {}
        if own_stars(config)
        else {series: for_gaia(series) for series in config["series"]}
    )
    return series_pattern(unmet(asked, (GAIA_MET, *GAIA)))


def to_list():
    """Constraint for `series`: those whose catalogue is made from the reference image. It follows its inputs."""
    return series_pattern(config["series"] if own_stars(config) else ())


def requested(request):
    """Function for `params` that gives what a rule is asked for."""

    def of(wildcards):
        return request(wildcards.series)

    return of


def download_request_of(wildcards):
    return download_request(WAITING[wildcards.field], SCHEMA)


def lacking_of(wildcards):
    """What came and is gone, so that it is fetched again."""
    return lacking_files(wildcards.field)


def all_of_download(wildcards, threads):
    """The whole section: another server reruns nothing."""
    return WAITING[wildcards.field]["download"]


def say_what_came():
    """Tell that the fields whose files came are measured by the next run."""
    for sentence in filter(None, [what_came(WAITING, SCHEMA)]):
        logger.warning(sentence)
