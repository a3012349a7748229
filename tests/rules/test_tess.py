"""Fields of TESS: which jobs a change makes, by dry runs on results that count as done; and what is refused."""

import re

import pytest

CONFIG = """\
tess:
  F:
    tpfs: tpf/*.fits
    catalog_file: stars.csv
frames_per_batch: 2
"""
PRODUCTS = {"list_field_lightcurves": 1, "rank_variables": 1, "report": 1}
OF_DATASET = {"assemble_field": 1, "export_field_lightcurves": 2, **PRODUCTS}
OF_FIELD = {"prepare_field": 1, **OF_DATASET}
ONE_BATCH = {**OF_FIELD, "export_field_lightcurves": 1}
ALL = {"tess_catalog": 1, "tess_photometry": 2, **OF_FIELD}


def card(key, value):
    value = f"'{value}'" if isinstance(value, str) else "T" if value is True else value
    return f"{key:<8}= {value:>20}".ljust(80)


def write_head(path, star, sector=1, cadence_s=120, release=1):
    """The two headers by which the workflow knows a target pixel file."""
    first = {"SIMPLE": True, "BITPIX": 8, "NAXIS": 0, "TICID": star, "SECTOR": sector, "CAMERA": 4, "CCD": 1}
    second = {"XTENSION": "BINTABLE", "NAXIS": 2, "TIMEDEL": cadence_s / 86400, "TESSMAG": 8.0 + star}
    blocks = []
    for cards in (first | {"DATA_REL": release}, second):
        blocks.append(("".join(card(key, value) for key, value in cards.items()) + "END").ljust(2880))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(blocks))


@pytest.fixture(scope="module")
def finished(make_workspace, tmp_path_factory):
    """Three targets in two batches."""
    workspace = make_workspace(tmp_path_factory.mktemp("tess") / "here")
    for star in (1, 2, 3):
        write_head(workspace.work / "tpf" / f"tess-{star}.fits", star)
    workspace.images("stars.csv", folder=".")
    workspace.config.write_text(CONFIG)
    workspace.finish_fields()
    return workspace


@pytest.fixture
def field(finished, tmp_path):
    return finished.copy(tmp_path / "copy")


def edit(workspace, old, new):
    text = workspace.config.read_text()
    assert old in text
    workspace.config.write_text(text.replace(old, new))


def test_a_first_run(make_workspace, tmp_path):
    workspace = make_workspace(tmp_path / "here")
    for star in (1, 2, 3):
        write_head(workspace.work / "tpf" / f"tess-{star}.fits", star)
    workspace.images("stars.csv", folder=".")
    workspace.config.write_text(CONFIG)
    assert workspace.jobs() == ALL


def test_nothing_is_done_twice(field):
    assert field.jobs() == {}


def test_a_new_target_measures_its_batch_only(field):
    write_head(field.work / "tpf" / "a-first-by-name.fits", 4)
    assert field.jobs() == {"tess_photometry": 1, **OF_FIELD}
    write_head(field.work / "tpf" / "tess-5.fits", 5)
    assert field.jobs() == {"tess_photometry": 2, **OF_FIELD, "export_field_lightcurves": 3}


@pytest.mark.slow
def test_another_cadence_is_another_dataset(field):
    write_head(field.work / "tpf" / "fast.fits", 1, cadence_s=20)
    # The other one's light curves stay as they are.
    assert field.jobs() == {"tess_photometry": 1, **ONE_BATCH}


@pytest.mark.slow
def test_a_target_that_is_gone_measures_its_batch(field):
    (field.work / "tpf" / "tess-1.fits").unlink()
    assert field.jobs() == {"tess_photometry": 1, **OF_FIELD}


@pytest.mark.slow
def test_a_changed_file_measures_its_batch(field):
    write_head(field.work / "tpf" / "tess-3.fits", 3)
    assert field.jobs() == {"tess_photometry": 1, **OF_FIELD}


def test_a_newer_release_in_another_folder_replaces_the_older(field):
    write_head(field.work / "new" / "tess-3.fits", 3, release=2)
    edit(field, "tpfs: tpf/*.fits", "tpfs: [tpf/*.fits, new/*.fits]")
    assert field.jobs() == {"tess_photometry": 1, **OF_FIELD}


CHANGES = {
    "methods": ("catalog_file", "methods: [linpsf]\n    catalog_file", {"tess_photometry": 2, **OF_DATASET}),
    "ensemble": ("catalog_file", "ensemble: false\n    catalog_file", OF_DATASET),
    "saturated": ("catalog_file", "saturated: halo\n    catalog_file", {"tess_photometry": 2, **OF_DATASET}),
    "fewer targets": ("catalog_file", "targets: [1, 3]\n    catalog_file", {"tess_photometry": 1, **OF_FIELD}),
    "bright targets": ("catalog_file", "targets: {tmag_max: 10}\n    catalog_file", ONE_BATCH),
    "export": ("frames_per_batch: 2", "export: {formats: [fits]}", {"export_dataset": 1}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CHANGES)
def test_a_setting_reruns_what_uses_it(field, case):
    old, new, expected = CHANGES[case]
    edit(field, old, new)
    assert field.jobs() == expected


@pytest.mark.slow
def test_what_changes_no_result_reruns_nothing(field):
    edit(
        field,
        "catalog_file",
        "targets: all\n    ensemble: true\n    methods: [psf, linpsf, aperture]\n    catalog_file",
    )
    edit(field, "frames_per_batch: 2", "frames_per_batch: 20\nphotometry: {methods: [psf]}\ncalibrate: {clip_sigma: 5}")
    for file in ("ground/catalog/star_catalog.py", "ground/photometry/aperture.py", "series/calibration.py"):
        with (field.repo / "scripts/gaiaflux" / file).open("a") as code:
            code.write("\nANOTHER_NUMBER = 1\n")
    assert field.jobs() == {}


@pytest.mark.slow
def test_a_changed_catalogue_makes_all_anew(field):
    (field.work / "stars.csv").touch()
    assert field.jobs() == ALL


CODE = {
    "gaiaflux/tess/batch.py": {"tess_photometry": 2, **OF_DATASET},
    "gaiaflux/tess/field_members.py": OF_DATASET,
    "gaiaflux/core/calibration/ensemble.py": OF_DATASET,
    "gaiaflux/tess/light_curve_files.py": {"export_field_lightcurves": 2, "list_field_lightcurves": 1},
    "gaiaflux/core/calibration/variability.py": {"rank_variables": 1},
}


@pytest.mark.slow
@pytest.mark.parametrize("file", CODE)
def test_code_reruns_the_rules_that_run_it(field, file):
    path = field.repo / "scripts" / file
    path.write_text(path.read_text() + "\nANOTHER_NUMBER = 1\n")
    assert field.jobs() == CODE[file]


@pytest.mark.slow
def test_a_run_that_broke_off_is_made_good(field):
    """Snakemake takes the output of a failed job away and counts it as done with what it was given."""
    write_head(field.work / "tpf" / "tess-3.fits", 3)
    batch = field.work / "results/tess/F/c120/targets/0002.h5"
    batch.touch()
    touched = ("--touch", "--cores", "1", "--quiet", "rules", "--until", "tess_photometry")
    done = field.snakemake(*touched)
    assert done.returncode == 0, done.stdout + done.stderr
    batch.unlink()
    assert field.jobs() == {"tess_photometry": 1, **OF_FIELD}


@pytest.mark.slow
def test_images_and_a_field_in_one_configuration(field):
    field.images("a.fits", "b.fits")
    field.images("gaia.csv", folder=".")
    with field.config.open("a") as config:
        config.write("series: {S: {images: images/*.fits, gaia_file: gaia.csv}}\n")
    of_images = {"extract_stars": 1, "download_gaia": 1, "choose_reference": 1, "refine_wcs": 1}
    of_images |= {"build_star_catalog": 1, "aperture_photometry": 1, "assemble_dataset": 1, "calibrate_dataset": 1}
    assert field.jobs() == {**of_images, "rank_variables": 1, "report": 1}


REFUSALS = {
    "unknown key": ("catalog_file", "prf_foldr: x\n    catalog_file", "prf_foldr.*prf_folder"),
    "no response functions": ("catalog_file", "prf_folder: tpf\n    catalog_file", "no file of a pixel response"),
    "no such targets": ("catalog_file", "targets: [77]\n    catalog_file", "none of the 3 files is of these targets"),
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
