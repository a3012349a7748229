"""Setting -> rules that run again: the exact job list of a dry run on a series whose results are all there."""

import ast
import json
import os
import re
from pathlib import Path

import pytest

CONFIG = """\
series:
  field:
    images: images/*.fits
    gaia_file: gaia.csv
    targets:
      - {name: one, ra_deg: 10.0, dec_deg: 20.0}
frames_per_batch: 2
"""
OF_DATASET = {"export_lightcurves": 1, "rank_variables": 1, "report": 1}
AGGREGATES = {"assemble_dataset": 1, "calibrate_dataset": 1, **OF_DATASET}
PHOTOMETRY = {"aperture_photometry": 2, **AGGREGATES}
WCS = {"refine_wcs": 2, "build_star_catalog": 1, **PHOTOMETRY}
GAIA = {"download_gaia": 1, **WCS}
REFERENCE = {"choose_reference": 1, "build_star_catalog": 1, **PHOTOMETRY}
STARS = {"extract_stars": 2, "refine_wcs": 2, **PHOTOMETRY}
READING = {"extract_stars": 2, **WCS}


@pytest.fixture(scope="module")
def finished(make_workspace, tmp_path_factory):
    workspace = make_workspace(tmp_path_factory.mktemp("finished") / "here")
    workspace.images("a.fits", "b.fits", "c.fits")
    workspace.images("gaia.csv", folder=".")
    workspace.config.write_text(CONFIG)
    workspace.finish(batches=["0001", "0002"])
    return workspace


@pytest.fixture
def series(finished, tmp_path):
    return finished.copy(tmp_path / "copy")


def add(text):
    """Append a section to the configuration."""
    return lambda config: config + text + "\n"


def of_series(text):
    """Append a key to the series."""
    return lambda config: config.replace("    targets:", f"    {text}\n    targets:")


def move_target(config):
    return config.replace("ra_deg: 10.0", "ra_deg: 10.1")


SETTINGS = {
    "targets": (move_target, {"export_lightcurves": 1}),
    "aperture radii": (add("photometry: {aperture: {radii_fwhm: [1.0]}}"), PHOTOMETRY),
    "calibrate": (add("calibrate: {clip_sigma: 5}"), AGGREGATES),
    "refine_wcs": (add("refine_wcs: {max_sip_order: 2}"), {"choose_reference": 1, **WCS}),
    "star_catalog": (add("star_catalog: {detection_snr: 6}"), {"build_star_catalog": 1, **PHOTOMETRY}),
    "extract_stars": (add("extract_stars: {min_snr: 15}"), STARS),
    "gain": (of_series("header: {gain: 1.9}"), READING),
    "export": (add("export: {formats: [fits, parquet]}"), {"export_dataset": 1}),
    "annotate_images": (add("annotate_images: true"), {"annotate_images": 2}),
    "magnitude limit": (add("gaia: {magnitude_limit: 19}"), GAIA),
    "reference image": (of_series("reference_image: b"), REFERENCE),
    "gain, magnitude limit and reference image": (
        lambda config: add("gaia: {magnitude_limit: 19}")(
            of_series("reference_image: b\n    header: {gain: 2}")(config)
        ),
        {**READING, **GAIA, **REFERENCE},
    ),
}


def test_settings_that_change_no_result_rerun_nothing(series):
    config = series.config.read_text()
    config = config.replace("frames_per_batch: 2", "frames_per_batch: 10").replace("images/*.fits", "images/?.fits")
    config += "gaia: {magnitude_limit: 21, source: tap, servers: [vizier], timeout_s: 5, deadline_s: 50}\n"
    config += "track_code: false\n"
    series.config.write_text(config)
    assert series.jobs() == {}


@pytest.mark.parametrize("case", SETTINGS)
def test_a_setting_reruns_what_uses_it(series, case):
    edit, expected = SETTINGS[case]
    series.config.write_text(edit(series.config.read_text()))
    assert series.jobs() == expected


def test_a_new_image_reruns_its_batch_and_the_aggregates(series):
    series.images("0-comes-first-by-name.fits")
    one_batch = {"extract_stars": 1, "refine_wcs": 1, "aperture_photometry": 1, **AGGREGATES}
    assert series.jobs() == one_batch
    series.images("d.fits")
    new_batch = {"extract_stars": 2, "refine_wcs": 2, "aperture_photometry": 2, **AGGREGATES}
    assert series.jobs() == new_batch


def test_an_absent_image_reruns_its_batch_and_the_aggregates(series):
    (series.work / "images" / "a.fits").unlink()
    assert series.jobs() == {"extract_stars": 1, "refine_wcs": 1, "aperture_photometry": 1, **AGGREGATES}


def test_a_batch_without_images_leaves_the_aggregates_only(series):
    (series.work / "images" / "c.fits").unlink()
    assert series.jobs() == AGGREGATES


def test_what_is_settled_is_asked_anew_where_it_was_removed(series):
    (series.work / "results/field/reference.json").unlink()
    series.images("d.fits")
    assert series.jobs() == {"extract_stars": 1, "refine_wcs": 1, **REFERENCE}


def test_a_changed_gaia_file_reruns_what_uses_it(series):
    os.utime(series.work / "gaia.csv")
    assert series.jobs() == GAIA


def test_a_fresh_checkout_with_other_comments_reruns_nothing(series):
    for path in series.repo.rglob("*"):
        if path.suffix == ".py":
            text = re.sub(r'\A"""', '"""Said otherwise. ', path.read_text())
            path.write_text(text + "\n# a comment\n")
        elif path.is_file():
            os.utime(path)
    assert series.jobs() == {}


CODE = {
    "gaiaflux/core/calibration/ensemble.py": AGGREGATES,
    "gaiaflux/core/aperture/sums.py": PHOTOMETRY,
    "export_lightcurves.py": {"export_lightcurves": 1},
    "gaiaflux/core/calibration/variability.py": {"rank_variables": 1},
    "assemble_dataset.py": AGGREGATES,
}


@pytest.mark.parametrize("file", CODE)
def test_code_reruns_the_rules_that_run_it(series, file):
    path = series.repo / "scripts" / file
    path.write_text(path.read_text() + "\nANOTHER_NUMBER = 1\n")
    assert series.jobs() == CODE[file]
    if file == "gaiaflux/core/aperture/sums.py":
        assert series.jobs("--config", "track_code=false") == {}


PSF = {"psf_photometry": 2, **AGGREGATES}
BOTH = {"aperture_photometry": 2, **PSF}


@pytest.fixture(scope="module")
def finished_both(make_workspace, tmp_path_factory):
    """A series that is measured by both methods."""
    workspace = make_workspace(tmp_path_factory.mktemp("both") / "here")
    workspace.images("a.fits", "b.fits", "c.fits")
    workspace.images("gaia.csv", folder=".")
    workspace.config.write_text(CONFIG + "photometry: {methods: [aperture, psf]}\n")
    workspace.finish(batches=["0001", "0002"], methods=("aperture", "psf"))
    return workspace


def photometry(text):
    """Replace the section."""
    return lambda config: re.sub(r"photometry: .*", f"photometry: {text}", config)


BY_BOTH = {
    "nothing": (lambda config: config, {}),
    "the order of the methods": (photometry("{methods: [psf, aperture]}"), {}),
    "defaults that are written out": (
        photometry("{methods: [aperture, psf], psf: {max_order: 2, residual: true, residual_pictures: false}}"),
        {},
    ),
    # The list of stars is made by the same fit, and the apertures' stars with it.
    "fit radius": (
        photometry("{methods: [aperture, psf], psf: {fit_radius_fwhm: 2.0}}"),
        {"build_star_catalog": 1, **BOTH},
    ),
    "sky of the PSF": (photometry("{methods: [aperture, psf], psf: {background_box_pix: 32}}"), PSF),
    "radii": (
        photometry("{methods: [aperture, psf], aperture: {radii_fwhm: [1.0]}}"),
        {"aperture_photometry": 2, **AGGREGATES},
    ),
    "pictures": (photometry("{methods: [aperture, psf], psf: {residual_pictures: true}}"), {"subtract_stars": 2}),
    "images": (photometry("{methods: [aperture, psf], psf: {subtracted_images: true}}"), {"subtract_stars": 2}),
    "PSF alone": (photometry("{methods: [psf]}"), AGGREGATES),
    "apertures alone": (photometry("{methods: [aperture]}"), AGGREGATES),
    "star_catalog": (add("star_catalog: {detection_snr: 6}"), {"build_star_catalog": 1, **BOTH}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", BY_BOTH)
def test_two_methods(finished_both, tmp_path, case):
    series = finished_both.copy(tmp_path / "copy")
    edit, expected = BY_BOTH[case]
    series.config.write_text(edit(series.config.read_text()))
    jobs = series.jobs()
    if case in ("PSF alone", "apertures alone"):
        # Where the reference image's PSF is asked for or not, the list of stars is made anew.
        jobs.pop("build_star_catalog", None)
    assert jobs == expected


def test_what_psf_photometry_is_told(finished_both):
    """Each of its settings reruns it, and none that only asks for more files."""
    wanted = {"fit_radius_fwhm", "max_order", "min_stars", "max_psf_stars", "residual", "background_box_pix", "rounds"}
    for record in map(json.loads, map(Path.read_text, (finished_both.work / ".snakemake" / "metadata").iterdir())):
        if record["rule"] == "psf_photometry":
            given = [item for item in map(ast.literal_eval, record["params"]) if isinstance(item, dict)]
            assert [item.keys() for item in given if "rounds" in item] == [wanted]
            break
    else:
        pytest.fail("no record of psf_photometry")


CODE_OF_BOTH = {
    "gaiaflux/ground/photometry/psf.py": {"psf_photometry": 2, **AGGREGATES},
    "gaiaflux/ground/photometry/aperture.py": {"aperture_photometry": 2, **AGGREGATES},
}


@pytest.mark.slow
@pytest.mark.parametrize("file", CODE_OF_BOTH)
def test_code_of_two_methods(finished_both, tmp_path, file):
    series = finished_both.copy(tmp_path / "copy")
    path = series.repo / "scripts" / file
    path.write_text(path.read_text() + "\nANOTHER_NUMBER = 1\n")
    assert series.jobs() == CODE_OF_BOTH[file]


def test_a_second_method_repeats_nothing_of_the_first(series):
    with series.config.open("a") as config:
        config.write("photometry: {methods: [aperture, psf]}\n")
    assert series.jobs() == {"psf_photometry": 2, **AGGREGATES}


def test_settings_and_code_of_a_method_that_is_not_chosen_rerun_nothing(series):
    with series.config.open("a") as config:
        config.write("photometry: {psf: {max_order: 1, residual: false}}\n")
    path = series.repo / "scripts" / "gaiaflux/ground/photometry/psf.py"
    path.write_text(path.read_text() + "\nANOTHER_NUMBER = 1\n")
    assert series.jobs() == {}


@pytest.fixture(scope="module")
def finished_exports(make_workspace, tmp_path_factory):
    """Two series that have been exported, by the formats; the second to the AAVSO too."""

    def finished(formats):
        workspace = make_workspace(tmp_path_factory.mktemp("exported") / "here")
        workspace.images("a.fits", "b.fits", "c.fits")
        workspace.images("gaia.csv", folder=".")
        workspace.config.write_text(f"{CONFIG}export: {{formats: [{formats}], aavso: {{observer_code: ABC}}}}\n")
        (workspace.work / "results" / "field" / "export").mkdir(parents=True)
        workspace.finish(batches=["0001", "0002"])
        return workspace

    return {formats: finished(formats) for formats in ("fits", "fits, aavso")}


EXPORTS = {
    "nothing": (lambda config: config, {}, {}),
    # Only what is sent to the AAVSO has its settings and the targets in it.
    "AAVSO's settings": (lambda config: config.replace("ABC", "XYZ"), {}, {"export_dataset": 1}),
    "targets": (move_target, {"export_lightcurves": 1}, {"export_lightcurves": 1, "export_dataset": 1}),
    "a format more": (
        lambda config: config.replace("[fits", "[parquet, fits"),
        *({"export_dataset": 1}, {"export_dataset": 1}),
    ),
    "none": (lambda config: re.sub(r"formats: \[.*?\]", "formats: []", config), {}, {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", EXPORTS)
def test_exports(finished_exports, tmp_path, case):
    edit, *expected = EXPORTS[case]
    for (formats, finished), jobs in zip(finished_exports.items(), expected, strict=True):
        series = finished.copy(tmp_path / formats)
        series.config.write_text(edit(series.config.read_text()))
        assert series.jobs() == jobs, formats


OWN = {"choose_reference": 1, "list_reference_stars": 1, **WCS}


@pytest.fixture(scope="module")
def finished_alone(make_workspace, tmp_path_factory):
    """A series whose catalogue is its reference image."""
    workspace = make_workspace(tmp_path_factory.mktemp("alone") / "here")
    workspace.images("a.fits", "b.fits", "c.fits")
    config = CONFIG.replace("    gaia_file: gaia.csv\n", "") + "gaia: {source: reference_image}\n"
    workspace.config.write_text(config)
    workspace.finish(batches=["0001", "0002"])
    return workspace


ALONE = {
    "nothing": (lambda config: config, {}),
    "another image": (of_series("reference_image: b"), OWN),
    "pixel scale": (of_series("pixel_scale_arcsec: 0.3"), {"extract_stars": 2, **OWN}),
    "depth": (add("star_catalog: {detection_snr: 6}"), {"list_reference_stars": 1, **WCS}),
    "magnitude limit of Gaia": (lambda config: config.replace("image}", "image, magnitude_limit: 19}"), {}),
    "back to the archive": (
        lambda config: config.replace("reference_image}", "tap}"),
        {"download_gaia": 1, "choose_reference": 1, **WCS},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", ALONE)
def test_a_series_that_is_its_own_catalogue(finished_alone, tmp_path, case):
    series = finished_alone.copy(tmp_path / "copy")
    edit, expected = ALONE[case]
    series.config.write_text(edit(series.config.read_text()))
    assert series.jobs() == expected


@pytest.mark.slow
def test_from_gaia_to_the_reference_image(series):
    config = series.config.read_text().replace("    gaia_file: gaia.csv\n", "")
    series.config.write_text(config + "gaia: {source: reference_image}\n")
    assert series.jobs() == OWN


def test_code_that_computes_nothing_of_the_series_reruns_nothing(series):
    files = ["gaiaflux/__init__.py", "gaiaflux/workflow/job.py", "download_gaia.py", "make_demo.py"]
    files += ["export_dataset.py", "gaiaflux/io/export/fits_file.py", "gaiaflux/series/export.py"]
    files += ["annotate_images.py", "gaiaflux/io/image/annotated_image.py", "gaiaflux/ground/interface/analyst.py"]
    for file in [*files, "subtract_stars.py", "gaiaflux/io/image/subtracted_image.py"]:
        with (series.repo / "scripts" / file).open("a") as code:
            code.write("\nANOTHER_NUMBER = 1\n")
    assert series.jobs() == {}
