"""Runs of the real rules with scripts that only write their outputs: the demo's plan, failures, size, the ledger."""

import json
import re

import pytest
import yaml

SCRIPT = """\
import json
import os
from pathlib import Path

from gaiaflux.model.errors import InputError
from gaiaflux.workflow.job import run_job


def main(smk):
    if os.environ.get("FAILS") == smk.rule:
        raise InputError("the file x has no column y; add it")
    if os.environ.get("BREAKS") == smk.rule:
        raise ZeroDivisionError("a bug")
    for path in map(Path, smk.output):
        if path.name == "lightcurves":
            path.mkdir()
        else:
            path.write_text(json.dumps(dict(smk.params.items()), default=str))


if "snakemake" in globals():
    run_job(main, globals()["snakemake"])
"""
EACH_RULE = {
    **{"extract_stars": 1, "download_gaia": 1, "choose_reference": 1, "refine_wcs": 1, "build_star_catalog": 1},
    **{"aperture_photometry": 1, "assemble_dataset": 1, "calibrate_dataset": 1, "rank_variables": 1, "report": 1},
}
RUN = ("--cores", "1", "--quiet", "rules", "progress")


@pytest.fixture(scope="module")
def fresh(make_workspace, tmp_path_factory):
    workspace = make_workspace(tmp_path_factory.mktemp("fresh") / "here")
    for script in (workspace.repo / "scripts").glob("*.py"):
        script.write_text(SCRIPT)
    workspace.images("a.fits", "b odd name.fits", "c.FIT.Gz", "notes.txt")
    workspace.config.write_text("series: {field: {images: 'images/*'}}\n")
    return workspace


@pytest.fixture(scope="module")
def finished(fresh, tmp_path_factory):
    workspace = fresh.copy(tmp_path_factory.mktemp("finished") / "here")
    assert workspace.jobs() == EACH_RULE
    # A dry run writes nothing.
    assert not (workspace.work / "results").exists()
    done = workspace.snakemake(*RUN)
    assert done.returncode == 0, done.stderr
    return workspace


@pytest.fixture
def series(finished, tmp_path):
    return finished.copy(tmp_path / "copy")


def test_the_shipped_configuration_makes_its_images_first(workspace):
    shipped = yaml.safe_load((workspace.repo / "config.yaml").read_text())
    assert list(shipped["series"]) == ["demo", "demo_crowded"]
    workspace.config.write_text((workspace.repo / "config.yaml").read_text())
    jobs = workspace.jobs()
    assert list(shipped["tess"]) == ["demo", "demo_ffi"]
    assert jobs["make_demo"] == jobs["make_tess_demo"] == jobs["make_tess_images_demo"] == 1
    assert jobs["tess_photometry"] == jobs["image_photometry"] == jobs["prepare_images"] == 1
    assert jobs["prepare_frames"] == -(-120 // shipped["frames_per_batch"])
    assert jobs["assemble_field"] == 2
    batches = -(-28 // shipped["frames_per_batch"]) + -(-14 // shipped["frames_per_batch"])
    for rule in ("extract_stars", "aperture_photometry", "psf_photometry"):
        assert jobs[rule] == batches, rule
    assert (jobs["report"], jobs["export_lightcurves"]) == (4, 2)
    assert not (workspace.work / "results").exists()
    # What the images of a CCD are is in the report of their stars, and in no other.
    fields = ("tess/demo_ffi/c1800", "tess/demo/c120")
    done = workspace.snakemake("--dry-run", *(f"results/{field}/report.html" for field in fields))
    reasons = re.findall(r"Job \d+: (\S+): write the report\nReason: (.*)", done.stdout + done.stderr)
    assert {field: "prepared.h5" in reason for field, reason in reasons} == dict(
        zip(fields, (True, False), strict=True)
    )


def test_a_run_writes_the_ledger_and_a_second_has_nothing_to_do(series):
    ledger = json.loads((series.work / "results/field/ledger.json").read_text())
    assert [frame["frame_id"] for frame in ledger["frames"]] == ["a", "b odd name", "c"]
    assert series.jobs() == {}
    params = json.loads((series.work / "results/field/stars/0001.h5").read_text())
    assert [frame["path"] for frame in params["frames"]] == [
        *("images/a.fits", "images/b odd name.fits", "images/c.FIT.Gz")
    ]
    assert (series.work / "logs/field/extract_stars/0001.log").is_file()


def test_wrong_input_ends_in_one_sentence_and_a_bug_in_a_traceback(fresh, tmp_path):
    series = fresh.copy(tmp_path / "copy")
    failed = series.snakemake(*RUN, environment={"FAILS": "choose_reference"})
    assert failed.returncode == 1
    sentence = "choose_reference: the file x has no column y; add it"
    assert sentence in failed.stderr.splitlines()
    assert "Traceback" not in failed.stderr
    log = series.work / "logs/field/choose_reference.log"
    assert log.read_text() == f"{sentence}\n"
    broken = series.snakemake(*RUN, environment={"BREAKS": "choose_reference"})
    assert broken.returncode == 1
    assert "Traceback" in log.read_text()
    assert log.read_text().endswith("ZeroDivisionError: a bug\n")


@pytest.mark.parametrize("rule", ["extract_stars", "download_gaia", "aperture_photometry"])
def test_what_failed_is_made_good_by_the_next_run(series, rule):
    changes = {
        "extract_stars": "extract_stars: {min_snr: 15}",
        "download_gaia": "gaia: {magnitude_limit: 19}",
        "aperture_photometry": "photometry: {aperture: {min_correction_stars: 11}}",
    }
    with series.config.open("a") as config:
        config.write(changes[rule] + "\n")
    assert series.snakemake(*RUN, environment={"FAILS": rule}).returncode == 1
    jobs = series.jobs()
    assert {"assemble_dataset", "calibrate_dataset", "report", "aperture_photometry", rule} <= jobs.keys()
    if rule != "download_gaia":
        # What was chosen and fetched once stays, whatever happened to the stars that it was chosen by.
        assert not {"download_gaia", "choose_reference"} & jobs.keys()


def test_a_new_image_whose_batch_failed_is_not_forgotten(series):
    # Older than all results, so that its time does not give it away.
    series.images("d.fits")
    assert series.snakemake(*RUN, environment={"FAILS": "extract_stars"}).returncode == 1
    assert series.jobs()["extract_stars"] == 1


def test_the_job_of_a_cluster_reads_the_ledger_and_looks_for_no_images(series):
    ledger = series.work / "results/field/ledger.json"
    before = ledger.read_bytes()
    series.images("d.fits")
    batch = "results/field/stars/0001.h5"
    remote = ("--mode", "remote", "--no-hooks", "--nolock", "--force", "--target-files-omit-workdir-adjustment")
    done = series.snakemake(*RUN, *remote, batch)
    assert done.returncode == 0, done.stderr
    assert "d.fits" not in (series.work / batch).read_text()
    assert ledger.read_bytes() == before
    ledger.unlink()
    refused = series.snakemake(*RUN, *remote, batch)
    assert "results/field/ledger.json: missing; it is written when a run starts" in refused.stderr
    assert refused.returncode == 1


def test_ten_thousand_frames_are_two_hundred_jobs_of_each_kind(workspace):
    workspace.images(*(f"frame{number:05d}.fits" for number in range(10_000)))
    workspace.config.write_text("series: {field: {images: 'images/*.fits'}}\n")
    per_batch = ("extract_stars", "refine_wcs", "aperture_photometry")
    assert workspace.jobs() == {**EACH_RULE, **dict.fromkeys(per_batch, 200)}
