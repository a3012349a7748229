import json
import re
from pathlib import Path

import pytest

from gaiaflux.model.errors import InputError
from gaiaflux.workflow.config import check, load_schema
from gaiaflux.workflow.downloads import MANIFEST, download_request, lacking_files, split_downloads, what_came
from gaiaflux.workflow.target_files import prf_files

SCHEMA = load_schema(Path(__file__).parents[2] / "schemas" / "config.schema.yaml")
HOME = "downloads/tess/F"
FILES = {"tpf/a_tp.fits": b"12", "catalog.csv": b"starid", "prf/start_s0001/cam4_ccd1/tess-prf.fits": b"1"}


def complete(field=None, **download):
    return check({"tess": {"F": {"download": {"targets": [1, 2]} | download, **(field or {})}}}, SCHEMA)


def refused(field=None, **download):
    with pytest.raises(InputError) as caught:
        complete(field, **download)
    return str(caught.value)


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A folder where the files of `complete()` have come."""
    monkeypatch.chdir(tmp_path)
    for name, content in FILES.items():
        path = tmp_path / HOME / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    entries = [{"file": name, "size": len(content)} for name, content in FILES.items()]
    request = download_request(complete()["tess"]["F"], SCHEMA)
    (tmp_path / MANIFEST.format(field="F")).write_text(json.dumps({"request": request, "files": entries}))
    return tmp_path


def test_what_is_asked_for():
    asked = download_request(complete(sectors=[1.0])["tess"]["F"], SCHEMA)
    assert asked == {
        "targets": [1, 2],
        "sectors": [1],
        "products": ["tpf", "catalog", "prf"],
        "cutout_size_pix": 15,
        "radius_arcmin": 6.0,
        "tmag_max": 18.0,
    }


def test_a_field_waits_until_its_files_came(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = complete()
    ready, waiting = split_downloads(config, SCHEMA)
    assert ready["tess"] == {}
    assert waiting == config["tess"]
    assert lacking_files("F") == []
    assert what_came(waiting, SCHEMA) == ""


def test_what_came_is_the_field(work):
    config = complete()
    ready, waiting = split_downloads(config, SCHEMA)
    assert waiting == {}
    field = ready["tess"]["F"]
    assert field["tpfs"] == [f"{HOME}/tpf/*.fits"]
    assert field["catalog_file"] == f"{HOME}/catalog.csv"
    assert field["prf_folder"] == f"{HOME}/prf"
    assert prf_files(field["prf_folder"]) == [f"{HOME}/prf/start_s0001/cam4_ccd1/tess-prf.fits"]
    assert "cutouts" not in field
    assert "tpfs" not in config["tess"]["F"]
    assert what_came(config["tess"], SCHEMA) == "3 files came from the archive for tess.F: run again to measure"


def test_every_product_has_its_key(work):
    config = complete(products=["tpf", "fast_tpf", "ffi", "cutout", "catalog", "gaia", "prf"], sectors=[1])
    path = work / MANIFEST.format(field="F")
    request = download_request(config["tess"]["F"], SCHEMA)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"request": request}))
    field = split_downloads(config, SCHEMA)[0]["tess"]["F"]
    assert field["tpfs"] == [f"{HOME}/tpf/*.fits", f"{HOME}/fast_tpf/*.fits"]
    assert field["ffis"] == [f"{HOME}/ffi/*.fits"]
    assert field["cutouts"] == [f"{HOME}/cutout/*.fits"]


def test_what_the_field_names_itself_counts(work):
    own = {"tpfs": "own/*.fits", "catalog_file": "stars.csv", "prf_folder": "prf"}
    field = split_downloads(complete(own), SCHEMA)[0]["tess"]["F"]
    assert {key: field[key] for key in own} == own


@pytest.mark.parametrize(
    "change", [{"sectors": [1]}, {"targets": [1]}, {"radius_arcmin": 9}, {"products": ["tpf", "catalog"]}]
)
def test_another_request_waits(work, change):
    config = complete(**change)
    assert "F" in split_downloads(config, SCHEMA)[1]
    assert what_came(config["tess"], SCHEMA) == ""


def test_how_it_is_fetched_is_no_other_request(work):
    access = {"servers": {"mast": "https://example.org"}, "timeout_s": 9, "deadline_s": 99, "cache_folder": "x"}
    assert split_downloads(complete(**access), SCHEMA)[1] == {}


def test_what_is_gone_or_cut_is_fetched_again(work):
    (work / HOME / "catalog.csv").unlink()
    (work / HOME / "tpf" / "a_tp.fits").write_bytes(b"1")
    assert lacking_files("F") == ["catalog.csv", "tpf/a_tp.fits"]
    assert "F" in split_downloads(complete(), SCHEMA)[1]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"request": 1, "files": 3}'])
def test_a_manifest_that_says_nothing_counts_for_nothing(work, text):
    (work / MANIFEST.format(field="F")).write_text(text)
    assert "F" in split_downloads(complete(), SCHEMA)[1]
    assert lacking_files("F") == []


REFUSALS = {
    "nothing to look for": ({"targets": None, "camera": 1}, "nothing to look for; give targets, or centre_deg"),
    "half a CCD": ({"targets": None, "camera": 1, "sectors": [1], "products": ["ffi"]}, "nothing to look for"),
    "both": ({"centre_deg": [1, 2]}, "give one of targets and centre_deg, not both"),
    "no list": ({"products": ["tpf"]}, r"tess\.F\.catalog_file: missing"),
    "gaia alone": ({"products": ["tpf", "gaia"]}, "gaia goes only together with catalog"),
    "frames of all time": ({"products": ["ffi", "catalog"]}, r"sectors: missing; .* 45 GB and more, so name them"),
    "nothing to measure": ({"products": ["catalog", "prf"]}, "nothing to measure"),
    "files of no star": ({"targets": None, "centre_deg": [1, 2]}, "tpf needs the stars' TIC numbers as targets"),
    "a list of nowhere": (
        {"targets": None, "sectors": [1], "camera": 1, "ccd": 1, "products": ["ffi", "catalog"]},
        "catalog needs targets or centre_deg",
    ),
    "a misspelt key": ({"sector": 1}, r"tess\.F\.download\.sector: unknown key; did you mean 'sectors'"),
    "no camera": ({"camera": 5}, "5 is outside of the allowed range: 1 to 4"),
    "no declination": ({"targets": None, "centre_deg": [1, 91]}, "outside of the allowed range: -90 to 90"),
    "no product": ({"products": ["tpfs", "catalog"]}, "is not one of: tpf, fast_tpf"),
    "no address": ({"servers": {"mast": "mast.stsci.edu"}}, "a URL that begins with http"),
    "a star twice": ({"targets": [1, 1]}, "has an entry twice"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_asked_for_is_refused(case):
    change, said = REFUSALS[case]
    assert re.search(said, refused(**change))


def test_a_field_may_bring_the_rest_itself():
    complete({"catalog_file": "x"}, products=["tpf"])
    complete({"tpfs": "x"}, products=["catalog"])
    complete({"catalog_file": "x"}, targets=None, sectors=[1], camera=1, ccd=1, products=["ffi", "prf"])
    complete({"pointing_file": "x"}, products=["cutout", "catalog"])


def test_a_field_without_a_download_needs_its_files():
    with pytest.raises(InputError, match=r"tess\.F\.catalog_file: missing"):
        check({"tess": {"F": {"tpfs": "x"}}}, SCHEMA)
    config = check({"tess": {"F": {"tpfs": "x", "catalog_file": "y"}}}, SCHEMA)
    assert split_downloads(config, SCHEMA) == (config, {})
