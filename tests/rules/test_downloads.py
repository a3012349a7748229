"""Fields whose files come from the archive: one run for the download, the next one measures."""

import json
import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import yaml

from gaiaflux.workflow.config import check, load_schema
from gaiaflux.workflow.downloads import download_request

CONFIG = """\
tess:
  F:
    download: {targets: [1, 2, 3], sectors: [1]}
frames_per_batch: 2
"""
MEASURING = {"tess_catalog": 1, "tess_photometry": 2, "prepare_field": 1, "assemble_field": 1}
MEASURING |= {"rank_variables": 1, "report": 1}
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


@pytest.fixture
def field(workspace):
    workspace.config.write_text(CONFIG)
    return workspace


@pytest.fixture
def fetched(field):
    download(field)
    return field


def edit(workspace, old, new):
    text = workspace.config.read_text()
    assert old in text
    workspace.config.write_text(text.replace(old, new))


def test_a_first_run_is_asked_for_the_manifest_alone(field):
    assert field.jobs() == {"download_tess": 1}


def test_what_came_is_measured(fetched):
    assert fetched.jobs() == MEASURING


def test_what_the_field_names_itself_counts(fetched):
    write_head(fetched.work / "own" / "tess-9.fits", 9)
    edit(fetched, "    download", "    tpfs: own/*.fits\n    download")
    assert fetched.jobs() == MEASURING | {"tess_photometry": 1}
    listed = fetched.snakemake("--dry-run", "--printshellcmds").stdout
    assert "own/tess-9.fits" in listed
    assert f"{HOME}/catalog.csv" in listed
    assert f"{HOME}/tpf" not in listed


@pytest.mark.parametrize(
    "change",
    [
        ("sectors: [1]", "sectors: [1, 2]"),
        ("targets: [1, 2, 3]", "targets: [1, 2, 3, 4]"),
        ("sectors: [1]", "sectors: [1], radius_arcmin: 9"),
    ],
)
def test_another_request_is_fetched(fetched, change):
    edit(fetched, *change)
    assert fetched.jobs() == {"download_tess": 1}


def test_a_file_that_is_gone_or_cut_is_fetched(fetched):
    path = fetched.work / HOME / "tpf" / "tess-2.fits"
    path.write_bytes(path.read_bytes()[:-1])
    assert fetched.jobs() == {"download_tess": 1}
    path.unlink()
    assert fetched.jobs() == {"download_tess": 1}


def test_what_is_pinned_is_not_fetched_again(fetched):
    servers = "servers: {mast: 'https://example.org'}, timeout_s: 9, deadline_s: 99, cache_folder: x"
    edit(fetched, "sectors: [1]", f"sectors: [1], {servers}")
    for path in (fetched.repo / "scripts" / "gaiaflux" / "io" / "mast").glob("*.py"):
        path.write_text(path.read_text() + "\nANOTHER_NUMBER = 1\n")
    assert fetched.jobs() == MEASURING


def test_a_field_that_waits_does_not_keep_the_others(field):
    write_head(field.work / "own" / "tess-9.fits", 9)
    field.images("stars.csv", folder=".")
    edit(field, "frames_per_batch", "  G: {tpfs: own/*.fits, catalog_file: stars.csv}\nframes_per_batch")
    assert field.jobs() == MEASURING | {"tess_photometry": 1, "download_tess": 1}


@pytest.mark.parametrize("text", ["{", "[]", '{"request": 1}'])
def test_a_manifest_that_cannot_be_read_counts_for_nothing(fetched, text):
    (fetched.work / HOME / "manifest.json").write_text(text)
    assert fetched.jobs("--forcerun", "download_tess") == {"download_tess": 1}


REFUSALS = {
    "nothing to look for": ("targets: [1, 2, 3], sectors: [1]", "camera: 1", "nothing to look for; give targets"),
    "both": ("sectors: [1]", "centre_deg: [1, 2]", "give one of targets and centre_deg, not both"),
    "no list": ("sectors: [1]", "products: [tpf]", "tess.F.catalog_file: missing"),
    "gaia alone": ("sectors: [1]", "products: [tpf, gaia]", "gaia goes only together with catalog"),
    "frames of all time": ("sectors: [1]", "products: [ffi, catalog]", "45 GB and more, so name them"),
    "nothing to measure": ("sectors: [1]", "products: [catalog, prf]", "nothing to measure"),
    "files of no star": ("targets: [1, 2, 3]", "centre_deg: [1, 2]", "tpf needs the stars' TIC numbers as targets"),
    "a misspelt key": ("sectors: [1]", "sector: 1", "unknown key; did you mean sectors"),
    "no camera": ("sectors: [1]", "camera: 5", "outside of the allowed range: 1 to 4"),
    "no product": ("sectors: [1]", "products: [tpfs, catalog]", "is not one of: tpf, fast_tpf"),
    "no address": ("sectors: [1]", "servers: {mast: mast.stsci.edu}", "a URL that begins with http"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_asked_for_is_refused_before_any_job(field, case):
    old, new, said = REFUSALS[case]
    edit(field, old, new)
    done = field.snakemake("--dry-run")
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert said in text, text
    assert "Traceback" not in text


def test_a_run_over_a_server(field):
    """The archive on this machine: a run that fails, one that fetches, and what the next one would do."""
    mast = module_of(TESTS / "io" / "mast" / "mast_server.py")
    star, name = 7, "tess2018206045859-s0001-0000000000000007-0120-s_tp.fits"
    write_head(field.work / "there.fits", star)
    content = (field.work / "there.fits").read_bytes().ljust(5760, b"\0")
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
    assert field.jobs() == MEASURING | {"tess_photometry": 1}
