"""Fields whose files come from the archive: one run for the download, the next one measures."""

import io
import json
import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import yaml
from astropy.io import fits

from gaiaflux.workflow.config import check, load_schema
from gaiaflux.workflow.downloads import download_request

CONFIG = """\
tess:
  F:
    download: {targets: [1, 2, 3], sectors: [1]}
frames_per_batch: 2
"""
HOME = "downloads/tess/F"
TESTS = Path(__file__).parents[1]


def module_of(path):
    spec = spec_from_file_location(f"gaiaflux_tests_rules_{path.stem}", path)
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


write_head = module_of(TESTS / "rules" / "test_tess.py").write_head


def request_of(workspace, name="F"):
    schema = load_schema(workspace.repo / "schemas" / "config.schema.yaml")
    return download_request(check(yaml.safe_load(workspace.config.read_text()), schema)["tess"][name], schema)


def download(workspace):
    """Files as if they had come."""
    home = workspace.work / HOME
    for star in (1, 2, 3):
        write_head(home / "tpf" / f"tess-{star}.fits", star)
    workspace.images(f"{HOME}/catalog.csv", f"{HOME}/prf/start_s0001/cam4_ccd1/tess-prf.fits", folder=".")
    files = [path for path in home.rglob("*") if path.is_file()]
    entries = [{"file": path.relative_to(home).as_posix(), "size": path.stat().st_size} for path in sorted(files)]
    text = json.dumps({"request": request_of(workspace), "files": entries})
    (home / "manifest.json").write_text(text)


def target_file(star):
    """As much of a target pixel file as the workflow looks at."""
    first, second = fits.PrimaryHDU(), fits.BinTableHDU.from_columns([fits.Column("TIME", "D", array=[1.0])])
    first.header.update({"TICID": star, "SECTOR": 1, "CAMERA": 4, "CCD": 1, "DATA_REL": 1})
    second.header.update({"TIMEDEL": 120.0 / 86400.0, "TESSMAG": 9.0})
    stream = io.BytesIO()
    fits.HDUList([first, second]).writeto(stream, checksum=True)
    return stream.getvalue()


@pytest.fixture
def field(workspace):
    workspace.config.write_text(CONFIG)
    return workspace


def measured_batches(workspace):
    """Batches of targets that a run measures, which fetches nothing."""
    jobs = workspace.jobs()
    assert jobs["tess_catalog"] == jobs["assemble_field"] == 1
    assert "download_tess" not in jobs
    return jobs["tess_photometry"]


def edit(workspace, old, new):
    text = workspace.config.read_text()
    assert old in text
    workspace.config.write_text(text.replace(old, new))


@pytest.mark.slow
def test_one_run_fetches_and_the_next_measures(field):
    assert field.jobs() == {"download_tess": 1}
    download(field)
    assert measured_batches(field) == 2
    # Neither other servers nor other code fetch again what is pinned.
    servers = "servers: {mast: 'https://example.org'}, timeout_s: 9, deadline_s: 99, cache_folder: x"
    edit(field, "sectors: [1]", f"sectors: [1], {servers}")
    for path in (field.repo / "scripts" / "gaiaflux" / "io" / "mast").glob("*.py"):
        path.write_text(path.read_text() + "\nANOTHER_NUMBER = 1\n")
    assert measured_batches(field) == 2


@pytest.mark.slow
def test_another_request_and_a_lost_file_are_fetched(field):
    download(field)
    manifest = field.work / HOME / "manifest.json"
    text = manifest.read_text()
    # As after a run that made it: Snakemake knows with which parameters.
    manifest.write_text("{}")
    done = field.snakemake("--touch", "--forceall", "--cores", "1", "--quiet", "rules")
    assert done.returncode == 0, done.stdout + done.stderr
    manifest.write_text(text)
    assert measured_batches(field) == 2
    edit(field, "sectors: [1]", "sectors: [1, 2]")
    assert field.jobs() == {"download_tess": 1}
    edit(field, "sectors: [1, 2]", "sectors: [1]")
    assert measured_batches(field) == 2
    (field.work / HOME / "tpf" / "tess-2.fits").unlink()
    assert field.jobs() == {"download_tess": 1}


@pytest.mark.slow
def test_a_field_that_waits_does_not_keep_the_others(field):
    write_head(field.work / "own" / "tess-9.fits", 9)
    field.images("stars.csv", folder=".")
    edit(field, "frames_per_batch", "  G: {tpfs: own/*.fits, catalog_file: stars.csv}\nframes_per_batch")
    jobs = field.jobs()
    assert (jobs["tess_photometry"], jobs["assemble_field"], jobs["download_tess"]) == (1, 1, 1)


@pytest.mark.slow
def test_a_run_over_a_server(field):
    """The archive on this machine: a run that fails, one that fetches, and what the next one would do."""
    mast = module_of(TESTS / "io" / "mast" / "mast_server.py")
    star, name = 7, "tess2018206045859-s0001-0000000000000007-0120-s_tp.fits"
    content = target_file(star)
    # Without a number of Gaia no other archive is asked.
    server = mast.MastServer(stars=[mast.tic_row(star, 10.0, 20.0, 9.0)], sectors=[(1, 4, 1)], files={name: content})
    places = {"mast": server.url, "tesscut": f"{server.url}/tesscut"}
    asked = {"targets": [star], "products": ["tpf", "catalog"], "servers": places, "timeout_s": 20, "deadline_s": 60}
    field.config.write_text(yaml.safe_dump({"tess": {"F": {"download": asked}}}))
    try:
        server.behaviour.at, server.behaviour.how = "file", "page"
        done = field.snakemake("--cores", "1")
        assert done.returncode != 0
        said = "download_tess: the archive of TESS: 1 of 1 files (tpf) did not come"
        assert said in done.stdout + done.stderr
        assert "again to measure" not in done.stdout + done.stderr
        server.behaviour.at = ""
        done = field.snakemake("--cores", "1")
    finally:
        server.close()
    assert done.returncode == 0, done.stdout + done.stderr
    said = re.findall(r"^.*run again to measure.*$", done.stdout + done.stderr, re.MULTILINE)
    assert said == ["2 files came from the archive for tess.F: run again to measure"]
    assert (field.work / HOME / "tpf" / name).read_bytes() == content
    # One target; without a folder of response functions they are measured.
    assert measured_batches(field) == 1
