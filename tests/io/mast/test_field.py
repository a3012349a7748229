"""A whole download, from a TIC number to the files that a field is measured by."""

import hashlib
import json
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gaiaflux.io.mast.field import fetch_field
from gaiaflux.io.tess.catalog import read_tess_catalog
from gaiaflux.io.tess.prf import prf_files
from gaiaflux.model.errors import InputError

TARGET, RA, DEC = 25155310, 63.37389, -69.22680
NAME = "tess2018206045859-s0001-0000000025155310-0120-s_tp.fits"
LATER = "tess2020186164531-s0027-0000000025155310-0189-s_tp.fits"
FRAMES = [f"tess20182061929{k}2-s0001-4-1-0120-s_ffic.fits" for k in (4, 5)]
DR2, DR3 = 4676041915767041280, 4676041915767041281
SCRIPT = Path(__file__).parents[3] / "scripts" / "download_tess.py"


@pytest.fixture
def archive(serve, mast, make_file, prf_folder):
    """Function that makes the archive: a star of two sectors, its neighbours, images and response functions."""

    def make(**options):
        stars = [mast.tic_row(TARGET, RA, DEC, 10.6, gaia=DR2, GAIAmag=11.0), mast.tic_row(8, RA + 0.05, DEC, 14.0)]
        files = {name: make_file(OBJECT=name[:30]) for name in (NAME, LATER, *FRAMES)}
        prf = prf_folder() | prf_folder("start_s0004", 4, 2)
        content = {"stars": stars, "files": files, "prf": prf, "sectors": [(1, 4, 1), (27, 4, 2)]}
        return serve(**content | options)

    return make


@pytest.fixture
def gaia(tap):
    kinds = [
        ("dr2_source_id", "i8"),
        ("dr3_source_id", "i8"),
        ("angular_distance", "f8"),
        ("magnitude_difference", "f8"),
    ]
    names = ["ra", "dec", "ref_epoch", "ra_error", "dec_error", "pmra", "pmdec", "pmra_error", "pmdec_error"]
    names += ["parallax", "phot_g_mean_mag", "phot_bp_mean_mag", "phot_rp_mean_mag", "ruwe"]
    table = np.ones(2, dtype=[("source_id", "i8")] + [(name, "f8") for name in names])
    table["source_id"], table["ra"], table["dec"] = [DR3, DR3 + 5], [RA, RA + 0.02], DEC
    table["ref_epoch"], table["phot_g_mean_mag"] = 2016.0, [11.0, 15.0]
    table["phot_bp_mean_mag"], table["phot_rp_mean_mag"] = (
        table["phot_g_mean_mag"] + 0.4,
        table["phot_g_mean_mag"] - 0.6,
    )
    server = tap.TapServer(table, neighbours=np.array([(DR2, DR3, 3.0, 0.01)], dtype=kinds))
    yield server
    server.close()


@pytest.fixture
def fetch(gaia, settings_of, gaia_settings, tmp_path, quick):
    def run(server, folder="F", **settings):
        return fetch_field(settings_of(server, **settings), gaia_settings(gaia), tmp_path / folder)

    return run


def files_of(found):
    return [entry["file"] for entry in found["files"]]


def test_from_a_tic_number_alone(archive, fetch, tmp_path):
    found = fetch(archive())
    home = tmp_path / "F"
    assert [name for name in files_of(found) if not name.startswith("prf/")] == [
        "catalog.csv",
        f"tpf/{NAME}",
        f"tpf/{LATER}",
    ]
    assert len([name for name in files_of(found) if name.startswith("prf/")]) == 50
    for entry in found["files"]:
        content = (home / entry["file"]).read_bytes()
        assert (entry["size"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert {path.relative_to(home).as_posix() for path in home.rglob("*.fits")} <= set(files_of(found))
    assert not list(home.rglob("*.part*"))
    assert found["places"] == [[1, 4, 1], [27, 4, 2]]
    assert found["release"] == {"tic": ["20190415"], "gaia": "gaiadr3"}
    assert found["stars"] == {str(TARGET): [RA, DEC]}
    assert found["catalog"]["n_dr3"] == 1
    read = read_tess_catalog(home / "catalog.csv")
    np.testing.assert_array_equal(read.star_id, [8, TARGET])
    np.testing.assert_array_equal(read.source_id, [-1, DR3])
    # One folder for all sets, as the fields take it.
    assert len(prf_files(home / "prf", 1, 4, 1)) == len(prf_files(home / "prf", 27, 4, 2)) == 25
    json.dumps(found)


def test_nothing_is_fetched_twice(archive, fetch):
    server = archive()
    first = fetch(server)
    server.asked.clear()
    again = fetch(server)
    assert "file" not in server.kinds()
    of_files = [entry for entry in first["files"] if entry["file"] != "catalog.csv"]
    assert [entry for entry in again["files"] if entry["file"] != "catalog.csv"] == of_files


def test_one_more_sector_is_all_that_is_fetched(archive, fetch):
    server = archive()
    fetch(server, sectors=[27])
    server.asked.clear()
    fetch(server)
    assert [place.rpartition("/")[2] for place in server.places("file")] == [NAME]


def test_sectors_and_ccds_of_interest(archive, fetch):
    server = archive()
    assert f"tpf/{NAME}" not in files_of(fetch(server, sectors=[27, 40]))
    assert f"tpf/{LATER}" not in files_of(fetch(server, "G", ccd=1))


def test_stars_of_gaia_besides(archive, fetch, tmp_path):
    found = fetch(archive(), products=["tpf", "catalog", "gaia"])
    assert found["catalog"]["n_gaia_only"] == 1
    read = read_tess_catalog(tmp_path / "F" / "catalog.csv")
    np.testing.assert_array_equal(read.star_id, [8, TARGET, DR3 + 5])
    assert not [name for name in files_of(found) if "prf" in name]


def test_a_faint_target_is_in_its_list(archive, fetch, mast, tmp_path):
    stars = [
        mast.tic_row(TARGET, RA, DEC, 10.6, gaia=DR2),
        mast.tic_row(8, RA, DEC, 10.0),
        mast.tic_row(9, RA, DEC, 8.0),
    ]
    fetch(archive(stars=stars), tmag_max=9.0, products=["tpf", "catalog"])
    read = read_tess_catalog(tmp_path / "F" / "catalog.csv")
    np.testing.assert_array_equal(read.star_id, [9, TARGET])
    np.testing.assert_array_equal(read.source_id, [-1, DR3])


def test_frames_of_a_ccd(archive, fetch):
    server = archive()
    found = fetch(server, targets=None, sectors=[1], camera=4, ccd=1, products=["ffi", "prf"])
    assert [name for name in files_of(found) if name.startswith("ffi/")] == [f"ffi/{name}" for name in FRAMES]
    assert "invoke" not in server.kinds()


def test_cutouts_at_a_position(archive, fetch, mast):
    server = archive(sectors=[(1, 4, 3)], prf={})
    found = fetch(server, targets=None, centre_deg=[107.27, -70.0], products=["cutout"], cutout_size_pix=5)
    assert files_of(found) == [f"cutout/{mast.REAL_CUTOUT}"]
    assert server.places("astrocut") == ["/tesscut/api/v0.1/astrocut?ra=107.27&dec=-70.0&y=5&x=5&units=px&sector=1"]


EMPTY = {
    "no such star": ({"targets": [5]}, {}, "the TIC has no star TIC 5: correct download.targets"),
    "never seen": ({}, {"sectors": []}, r"no sector that is asked for has seen ra 63\.37389, .* \(TESS has: none\)"),
    "other sectors": ({"sectors": [9]}, {}, r"no sector that is asked for .* \(TESS has: 1, 27\)"),
    "no such files": ({"products": ["fast_tpf"]}, {}, "has no file of the kind fast_tpf for this request"),
    "no neighbours": (
        {
            "targets": None,
            "centre_deg": [1.0, 2.0],
            "products": ["cutout", "catalog"],
            "sectors": [1],
            "cutout_size_pix": 5,
        },
        {},
        "the TIC has no star brighter than T = 18 within 6 arcmin",
    ),
}


@pytest.mark.parametrize("case", EMPTY)
def test_nothing_found_is_one_sentence(archive, fetch, case):
    settings, options, said = EMPTY[case]
    with pytest.raises(InputError, match=said) as caught:
        fetch(archive(**options), **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("at", "how"), [("columns", "500"), ("invoke", "page"), ("sector", "cut"), ("file", "cut"), ("prf", "page")]
)
def test_a_download_that_fails_goes_on_the_next_time(archive, fetch, tmp_path, at, how):
    server = archive(at=at, how=how, ranges=how != "cut")
    with pytest.raises(InputError, match=r"^the archive of TESS: .*run again to go on there$") as caught:
        fetch(server)
    assert "\n" not in str(caught.value)
    server.behaviour.at = ""
    assert len(fetch(server)["files"]) == 53


def test_an_incomplete_set_of_response_functions(archive, fetch, prf_folder):
    prf = prf_folder() | prf_folder("start_s0004", 4, 2)
    del prf[next(name for name in prf if name.endswith("row1025-col1069.fits"))]
    with pytest.raises(InputError, match="start_s0001/cam4_ccd1 is not complete"):
        fetch(archive(prf=prf))


def test_gaia_that_fails_is_said(archive, fetch, gaia):
    gaia.behaviour.http_status = 500
    with pytest.raises(InputError, match="no Gaia server told which stars of DR3"):
        fetch(archive())


def test_the_rule_writes_the_manifest(archive, gaia, gaia_settings, settings_of, tmp_path, quick):
    from dataclasses import asdict

    server = archive()
    manifest = tmp_path / "downloads" / "tess" / "F" / "manifest.json"
    smk = SimpleNamespace(
        output=SimpleNamespace(manifest=str(manifest)),
        params=SimpleNamespace(
            settings=asdict(settings_of(server)), gaia=asdict(gaia_settings(gaia)), request={"targets": [TARGET]}
        ),
    )
    runpy.run_path(str(SCRIPT))["main"](smk)
    written = json.loads(manifest.read_text())
    assert written["request"] == {"targets": [TARGET]}
    assert all((manifest.parent / entry["file"]).is_file() for entry in written["files"])


def test_the_client_is_loaded_where_it_asks():
    code = "import sys, gaiaflux.io.mast.field; print('astroquery' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
