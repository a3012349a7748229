import pytest
import yaml

from gaiaflux.model.methods import APERTURE, PSF
from gaiaflux.workflow.config import check, load_schema
from gaiaflux.workflow.frames import FrameFile
from gaiaflux.workflow.ledger import update_ledger
from gaiaflux.workflow.params import (
    candidate_overrides,
    catalog_psf_settings,
    dataset_settings,
    deciding,
    export_settings,
    export_targets,
    frame_entries,
    gaia_settings,
    method_settings,
    reading_settings,
    upstream_digest,
)
from gaiaflux.workflow.settings import _SCHEMA

SCHEMA = load_schema(_SCHEMA)


def complete(text="", **series):
    return check({"series": {"a": {"images": "x", **series}}, **(yaml.safe_load(text) or {})}, SCHEMA)


def ledger_of(*frames):
    return update_ledger(None, frames, 2)


def test_what_the_schema_marks_decides_no_number():
    schema = {"properties": {"depth": {}, "server": {"x-decides": "access"}}}
    assert deciding({"depth": 1, "server": "x"}, schema) == {"depth": 1}


def test_frames_of_a_batch():
    ledger = ledger_of(FrameFile("x", "x.fits", {"exptime": 3.0}), FrameFile("y", "y.fits"), FrameFile("z", "z.fits"))
    assert frame_entries(ledger, "0001") == [
        {"frame_id": "x", "path": "x.fits", "overrides": {"exptime": 3.0}},
        {"frame_id": "y", "path": "y.fits", "overrides": {}},
    ]
    assert frame_entries(ledger, "0007") == []


def test_overrides_of_the_first_run_and_of_the_reference_image():
    frames = [FrameFile("x", "x.fits", {"gain": 1.0}), FrameFile("y", "y.fits")]
    late = [FrameFile("z", "z.fits", {"gain": 2.0}), FrameFile("u", "u.fits", {"gain": 3.0})]
    ledger = update_ledger(ledger_of(*frames), [*frames, *late], 2)
    assert candidate_overrides(complete(), "a", ledger) == {"x": {"gain": 1.0}}
    assert candidate_overrides(complete(reference_image="z"), "a", ledger) == {"x": {"gain": 1.0}, "z": {"gain": 2.0}}


def test_how_an_image_is_read():
    settings = reading_settings(complete(header={"gain": 2}), "a")
    assert settings["header"] == {"gain": 2.0}
    assert settings["centre_deg"] is None
    assert "images" not in settings


def test_the_catalogue_is_decided_by_what_is_in_it():
    text = "gaia: {magnitude_limit: 19, servers: [esa], timeout_s: 5, cache_folder: c}"
    of_archive = {"release": "gaiadr3", "magnitude_limit": 19.0, "margin_arcmin": 1.5}
    assert gaia_settings(complete(text), SCHEMA, "a") == of_archive
    del of_archive["release"]
    assert gaia_settings(complete(text, gaia_file="g.csv"), SCHEMA, "a") == of_archive
    own = complete("gaia: {source: reference_image, magnitude_limit: 19}")
    assert gaia_settings(own, SCHEMA, "a") == {"source": "reference_image"}


def test_a_method_is_told_what_it_measures_by():
    config = complete("photometry: {methods: [psf], psf: {residual_pictures: true, rounds: 3}}")
    settings = method_settings(config, SCHEMA, PSF)
    assert settings.keys() == {
        *("fit_radius_fwhm", "max_order", "min_stars", "max_psf_stars", "residual", "background_box_pix", "rounds")
    }
    assert settings["rounds"] == 3
    assert method_settings(config, SCHEMA, APERTURE) == config["photometry"]["aperture"]


def test_the_list_of_stars_is_fitted_as_the_frames_are():
    own = "psf: {fit_radius_fwhm: 1.5, background_box_pix: 32}"
    text = "extract_stars: {background_box_pix: 48}\nphotometry: {methods: [%s], " + own + "}"
    chosen = catalog_psf_settings(complete(text % "aperture, psf"), SCHEMA)
    assert chosen == {
        **method_settings(complete("photometry: {methods: [psf]}"), SCHEMA, PSF),
        "fit_radius_fwhm": 1.5,
        "background_box_pix": 48,
    }
    # Of a method that is not chosen nothing counts.
    alone = catalog_psf_settings(complete(text % "aperture"), SCHEMA)
    assert alone == {**chosen, "fit_radius_fwhm": 2.2}


def test_targets_and_the_observer_count_for_the_format_that_names_them():
    target = {"name": "T", "star_id": 1}
    config = complete("export: {formats: [parquet, fits], aavso: {observer_code: ABC}}", targets=[target])
    assert export_settings(config) == {"formats": ["fits", "parquet"]}
    assert export_targets(config, "a") == []
    config = complete("export: {formats: [aavso], aavso: {observer_code: ABC}}", targets=[target])
    assert export_settings(config)["aavso"]["observer_code"] == "ABC"
    assert export_targets(config, "a") == [target]


def test_the_dataset_holds_what_decides_its_numbers():
    config = complete("photometry: {methods: [psf]}\nexport: {formats: [fits]}", radius_arcmin=5, centre_deg=[1, 2])
    found = dataset_settings(config, SCHEMA, "a")
    assert found.keys() == {
        *("series", "gaia", "photometry", "extract_stars", "refine_wcs", "star_catalog", "calibrate")
    }
    assert found["series"] == {"radius_arcmin": 5.0, "centre_deg": [1.0, 2.0], "header": {}, "site": {}}
    assert found["photometry"].keys() == {"methods", "psf"}
    assert found["photometry"]["methods"] == ["psf"]
    assert "residual_pictures" not in found["photometry"]["psf"]
    assert found["gaia"].keys() == {"release", "magnitude_limit", "margin_arcmin"}


UPSTREAM = {
    "a frame more": lambda given: {**given, "frames": [*given["frames"], FrameFile("z", "z.fits")]},
    "a frame elsewhere": lambda given: {**given, "frames": [FrameFile("x", "other/x.fits"), *given["frames"][1:]]},
    "an override": lambda given: {**given, "frames": [FrameFile("x", "x.fits", {"gain": 1}), *given["frames"][1:]]},
    "code": lambda given: {**given, "codes": [("r", "2"), ("s", "1")]},
    "Gaia's file": lambda given: {**given, "gaia_file": "h.csv"},
}


def digest_of(frames, codes, gaia_file):
    return upstream_digest(ledger_of(*frames), codes, gaia_file)


@pytest.fixture
def given():
    frames = [FrameFile("x", "x.fits"), FrameFile("y", "y.fits")]
    return {"frames": frames, "codes": [("r", "1"), ("s", "1")], "gaia_file": "g.csv"}


@pytest.mark.parametrize("case", UPSTREAM)
def test_what_leads_to_a_dataset_changes_its_digest(given, case):
    assert digest_of(**UPSTREAM[case](given)) != digest_of(**given)


def test_no_order_changes_the_digest(given):
    turned = {**given, "frames": given["frames"][::-1], "codes": given["codes"][::-1]}
    assert digest_of(**turned) == digest_of(**given)
