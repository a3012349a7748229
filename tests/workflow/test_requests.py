import json
import os
import re

import pytest

from gaiaflux.workflow.config import check, load_schema
from gaiaflux.workflow.requests import gaia_request, is_met, reference_request, series_pattern, unmet
from gaiaflux.workflow.settings import _SCHEMA

SCHEMA = load_schema(_SCHEMA)


def complete(source="tap", **series):
    return check({"series": {"a": {"images": "x", **series}}, "gaia": {"source": source}}, SCHEMA)


def test_a_rule_is_there_for_some_series_or_for_none():
    assert series_pattern(["a", "b-1"]) == "a|b-1"
    assert not re.search(series_pattern([]), "a")


@pytest.fixture
def settled(tmp_path, monkeypatch):
    """Two series that asked for 1, and got it."""
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "met.json").write_text("1")
        (tmp_path / name / "made").touch()
    return tmp_path


FILES = ("{series}/met.json", "{series}/made")


def test_what_was_asked_for_and_made_is_not_made_again(settled):
    assert unmet({"a": 1, "b": 1}, FILES) == []
    assert unmet({"a": 1, "b": 2}, FILES) == ["b"]
    assert unmet({"a": None, "b": 1}, FILES) == ["a"]


@pytest.mark.parametrize("name", ["met.json", "made"])
def test_whoever_removes_a_file_asks_anew(settled, name):
    (settled / "a" / name).unlink()
    assert unmet({"a": 1, "b": 1}, FILES) == ["a"]


def test_a_note_that_cannot_be_read_counts_for_nothing(settled):
    note = settled / "a" / "met.json"
    note.write_text("{")
    assert not is_met(1, note, settled / "a" / "made")
    note.write_text(json.dumps({"centre_deg": [1.0, 2.0]}))
    assert is_met({"centre_deg": [1.0, 2.0]}, note)


def test_what_decides_the_reference_image():
    asked = reference_request(complete(pixel_scale_arcsec=0.4), "a", "code", None)
    assert asked.keys() == {"reference_image", "refine_wcs", "code", "made_by"}
    own = reference_request(complete("reference_image", pixel_scale_arcsec=0.4), "a", "code", None)
    assert own == {**asked, "own_stars": {"centre_deg": None, "pixel_scale_arcsec": 0.4}}
    assert reference_request(complete(reference_image="x"), "a", "other", "sim") == {
        **asked,
        "reference_image": "x",
        "code": "other",
        "made_by": "sim",
    }


def test_what_decides_the_catalogue(tmp_path):
    table = tmp_path / "g.csv"
    table.write_text("ra,dec\n")
    asked = gaia_request(complete(gaia_file=str(table)), SCHEMA, "a", None)
    assert asked["gaia_file"][:2] == [str(table), 7]
    os.utime(table, (1e9, 1e9))
    assert gaia_request(complete(gaia_file=str(table)), SCHEMA, "a", None) != asked
    # Of a table that is missing, or that comes from the workflow itself, the name counts.
    assert gaia_request(complete(gaia_file=str(table)), SCHEMA, "a", "sim", [str(table)])["gaia_file"] == str(table)
    assert gaia_request(complete(gaia_file="none.csv"), SCHEMA, "a", None)["gaia_file"] == "none.csv"
    assert gaia_request(complete(), SCHEMA, "a", None)["gaia_file"] is None


def test_a_field_that_is_configured_follows_its_inputs():
    assert gaia_request(complete(centre_deg=[1, 2], radius_arcmin=3), SCHEMA, "a", None) is None
    asked = gaia_request(complete(centre_deg=[1, 2]), SCHEMA, "a", None)
    assert (asked["centre_deg"], asked["radius_arcmin"]) == ([1.0, 2.0], None)
