"""Full-frame images of TESS: which jobs a change makes, by dry runs on results that count as done."""

import re

import pytest

pytestmark = pytest.mark.slow
NAME = "tess2018206{:06d}-s{:04d}-1-{}-0120-s_ffic.fits"
CONFIG = """\
tess:
  F:
    ffis: [ffi/*.fits]
    catalog_file: stars.csv
    targets: [1, 2]
frames_per_batch: 2
"""
PRODUCTS = {"list_field_lightcurves": 1, "rank_variables": 1, "report": 1, "export_field_lightcurves": 1}
OF_DATASET = {"assemble_field": 1, **PRODUCTS}
PHOTOMETRY = {"image_photometry": 1, **OF_DATASET}
OF_IMAGES = {"prepare_images": 1, "prepare_field": 1, **PHOTOMETRY}
ALL = {"tess_catalog": 1, "settle_images": 1, "prepare_frames": 2, **OF_IMAGES}


def write_images(workspace, times, sector=1, ccd=3):
    for time in times:
        workspace.images(NAME.format(time, sector, ccd), folder="ffi")


@pytest.fixture(scope="module")
def finished(make_workspace, tmp_path_factory):
    """Three images in two batches, two targets."""
    workspace = make_workspace(tmp_path_factory.mktemp("images") / "here")
    write_images(workspace, (1000, 2000, 3000))
    workspace.images("stars.csv", folder=".")
    workspace.config.write_text(CONFIG)
    assert workspace.jobs() == ALL
    workspace.finish_fields()
    return workspace


@pytest.fixture
def field(finished, tmp_path):
    return finished.copy(tmp_path / "copy")


def edit(workspace, old, new):
    text = workspace.config.read_text()
    assert old in text
    workspace.config.write_text(text.replace(old, new))


def test_nothing_is_done_twice(field):
    assert field.jobs() == {}


def test_a_new_image_joins_the_last_batch_and_measures_all(field):
    write_images(field, (500,))
    assert field.jobs() == {"prepare_frames": 1, **OF_IMAGES}


def test_a_new_target_measures_only(field):
    edit(field, "[1, 2]", "[1, 2, 3]")
    assert field.jobs() == PHOTOMETRY


def test_another_ccd_is_prepared_beside_and_measured_with_it(field):
    write_images(field, (1000,), ccd=4)
    assert field.jobs() == {"settle_images": 1, "prepare_frames": 1, **OF_IMAGES}


def test_another_cadence_is_a_dataset_of_its_own(field):
    write_images(field, (1000,), sector=30)
    assert field.jobs() == {"settle_images": 1, "prepare_frames": 1, **OF_IMAGES}


def test_an_image_that_is_gone_or_changed_prepares_its_batch(field):
    (field.work / "ffi" / NAME.format(3000, 1, 3)).unlink()
    # It was one of those among which the reference was sought.
    jobs = field.jobs()
    assert jobs.pop("settle_images", 0) in (0, 1)
    assert jobs.pop("prepare_frames") in (1, 2)
    assert jobs == {**OF_IMAGES}


CHANGES = {
    "methods": ("targets", "methods: [linpsf]\n    targets", PHOTOMETRY),
    "ensemble": ("targets", "ensemble: false\n    targets", OF_DATASET),
    "bright targets": ("[1, 2]", "{tmag_max: 10}", PHOTOMETRY),
    "batches": ("frames_per_batch: 2", "frames_per_batch: 9", {}),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_setting_reruns_what_uses_it(field, case):
    old, new, expected = CHANGES[case]
    edit(field, old, new)
    assert field.jobs() == expected


CODE = {
    "gaiaflux/tess/images/batch.py": {"prepare_frames": 2, **OF_IMAGES},
    "gaiaflux/tess/images/tiles.py": OF_IMAGES,
    "gaiaflux/tess/image_targets.py": PHOTOMETRY,
}


@pytest.mark.parametrize("file", CODE)
def test_code_reruns_the_rules_that_run_it(field, file):
    path = field.repo / "scripts" / file
    path.write_text(path.read_text() + "\nANOTHER_NUMBER = 1\n")
    jobs = field.jobs()
    # What lists the files of a field runs only where one is newer.
    jobs.pop("prepare_field", None)
    assert jobs == {rule: count for rule, count in CODE[file].items() if rule != "prepare_field"}


def test_without_a_catalogue_stars_are_found_and_a_list_names_them(field):
    field.images("start_s0001/prf1.fits", folder="prf")
    field.images("list.csv", folder=".")
    edit(field, "catalog_file: stars.csv", "prf_folder: prf")
    edit(field, "[1, 2]", "{file: list.csv, tmag_max: 12}")
    assert field.jobs() == ALL | {"solve_field_scene": 1}


LIST = "targets.file: goes only together with ffis and without catalog_file"
REFUSALS = {
    "a list beside a catalogue": ("[1, 2]", "{file: list.csv}", LIST),
    "no images there": ("ffi/", "fffi/", "no image matches"),
    "neither catalogue nor response": ("    catalog_file: stars.csv\n", "", "prf_folder: missing"),
    "an empty choice": ("[1, 2]", "{}", "targets"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_used_is_refused_before_any_job(field, case):
    old, new, said = REFUSALS[case]
    edit(field, old, new)
    done = field.snakemake("--dry-run")
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert re.search(said, text), text
    assert "Traceback" not in text
