# What is settled: chosen or fetched once, until somebody asks for something else
#
# `ancient` would not do: a job behind an ancient input is not looked at where the job before it runs, so that its own
# new settings are missed, and it runs again where that job has failed and left no file. So a rule whose request has
# been met does not exist for the series, and its files count as given. `run_job` writes down the request that was met.
import json

# What has been asked for and met, and what was made.
GAIA_MET = "results/{series}/gaia.request.json"
GAIA = ("results/{series}/gaia.fits", "results/{series}/gaia.json")
REFERENCE_MET = "results/{series}/reference.request.json"
REFERENCE = "results/{series}/reference.json"
NO_SERIES = "(?!)"


def unsettled(request, *files):
    """Constraint for `series`: those for which a rule has to be there.

    `request` gives what a series asks for, or None where the rule follows its inputs as any other; the first of `files`
    tells what has been asked for and made, the others are what was made. Whoever removes one of them asks anew.
    """
    names = [
        name
        for name in LEDGERS
        if request(name) is None
        or not is_met(
            request(name), *(Path(file.format(series=name)) for file in files)
        )
    ]
    return "|".join(names) or NO_SERIES


def fetched():
    """Constraint for `series`: those whose catalogue is to be got from an archive or a file."""
    return NO_SERIES if OWN_STARS else unsettled(gaia_request, GAIA_MET, *GAIA)


def listed():
    """Constraint for `series`: those whose catalogue is made from the reference image. It follows its inputs."""
    return "|".join(LEDGERS) if OWN_STARS else NO_SERIES


def is_met(request, note, *files):
    try:
        met = json.loads(note.read_text(encoding="utf-8")) == request
    except (FileNotFoundError, ValueError):
        return False
    return met and all(file.exists() for file in files)


def made_by(series):
    """Digest of the code that simulates a series; None for real images."""
    paths = {frame.path for frame in LEDGERS[series].present}
    return (
        digest_for("make_demo", series)
        if paths & set(rules.make_demo.output.images)
        else None
    )


def reference_request(series):
    return {
        "reference_image": config["series"][series].get("reference_image"),
        "refine_wcs": config["refine_wcs"],
        "code": digest_for("choose_reference", series),
        "made_by": made_by(series),
        **({"own_stars": reading_of_plane(series)} if OWN_STARS else {}),
    }


def reading_of_plane(series):
    """What says where the images are if their headers do not."""
    settings = config["series"][series]
    return {key: settings.get(key) for key in ("centre_deg", "pixel_scale_arcsec")}


def own_request(series):
    """Written in the place of a request that was met, so that a return to Gaia asks anew."""
    return {"source": "reference_image"}


def gaia_request(series):
    """None where no image decides about the field: the rule then depends on a file, or on nothing."""
    settings = config["series"][series]
    if "centre_deg" in settings and "radius_arcmin" in settings:
        return None
    return {
        "settings": gaia_of(series),
        "centre_deg": settings.get("centre_deg"),
        "radius_arcmin": settings.get("radius_arcmin"),
        "gaia_file": gaia_file_state(series),
        "made_by": made_by(series),
    }


def gaia_file_state(series):
    """Name, size and time of the series' table; of one that the workflow makes itself the name."""
    path = config["series"][series].get("gaia_file")
    if path is None or path in rules.make_demo.output.gaia or not Path(path).is_file():
        return path
    status = Path(path).stat()
    return [path, status.st_size, status.st_mtime_ns]


def requested(request):
    """Function for `params` that gives what a rule is asked for."""

    def of(wildcards):
        return request(wildcards.series)

    return of
