from pathlib import Path

import pytest

from gaiaflux.model.methods import METHODS
from gaiaflux.model.settings.aperture import ApertureSettings
from gaiaflux.model.settings.export import ExportSettings
from gaiaflux.model.settings.psf import PsfSettings
from gaiaflux.model.typed import typed
from gaiaflux.workflow.config import check, load_schema
from gaiaflux.workflow.params import export_settings, method_settings
from gaiaflux.workflow.sections import SECTIONS, section_sources

ROOT = Path(__file__).parents[2]
SCHEMA = load_schema(ROOT / "schemas" / "config.schema.yaml")
HOME = ROOT / "scripts" / "gaiaflux" / "model" / "settings"


def test_the_typed_sections_are_those_of_the_schema():
    made = section_sources(SCHEMA)
    written = {path.stem: path.read_text(encoding="utf-8") for path in HOME.glob("*.py")}
    assert written == made, "run python -m gaiaflux.workflow.sections"


def test_every_section_of_the_schema_has_a_class():
    sections = {key for key, part in SCHEMA["properties"].items() if part.get("type") == "object"}
    methods = SCHEMA["properties"]["photometry"]["properties"].keys() - {"methods"}
    assert (sections - {"series", "photometry", "tess"}) | methods <= SECTIONS.keys()


def test_a_new_setting_is_a_new_field():
    schema = load_schema(ROOT / "schemas" / "config.schema.yaml")
    schema["properties"]["refine_wcs"]["properties"]["patience"] = {
        "description": "How long.",
        "type": "integer",
        "x-unit": "s",
    }
    source = section_sources(schema)["refine_wcs"]
    assert "    patience: int | None\n" in source
    assert "How long [s]." in source


@pytest.mark.parametrize("name", SECTIONS)
def test_a_complete_configuration_fills_each_class(name):
    import importlib

    asked = {"series": {"a": {"images": "*.fits", "targets": [{"name": "t", "star_id": 3}]}}}
    config = check({**asked, "tess": {"F": {"download": {"targets": [3]}}}}, SCHEMA)
    series, download = config["series"]["a"], config["tess"]["F"]["download"]
    given = {**config, **config["photometry"], **series, "target": series["targets"][0], "tess_download": download}
    given = given.get(name)
    module = importlib.import_module(f"gaiaflux.model.settings.{name}")
    class_name = "".join(word.capitalize() for word in name.split("_")) + "Settings"
    section = typed(getattr(module, class_name), given)
    for key, value in (given or {}).items():
        found = getattr(section, key)
        assert found == (tuple(value) if isinstance(value, list) else value) or isinstance(value, dict), key


def test_a_section_is_of_use_where_a_rule_is_told_nothing_of_further_files():
    photometry = {"methods": ["aperture", "psf"], "psf": {"residual_pictures": True, "rounds": 3}}
    config = check({"series": {"a": {"images": "*.fits"}}, "photometry": photometry}, SCHEMA)
    classes = {"aperture": ApertureSettings, "psf": PsfSettings}
    told = {method.name: typed(classes[method.name], method_settings(config, SCHEMA, method)) for method in METHODS}
    assert (told["psf"].rounds, told["psf"].residual_pictures, told["psf"].subtracted_images) == (3, None, None)
    assert typed(ExportSettings, export_settings(config)) == ExportSettings(formats=(), aavso=None)
    config["export"]["formats"] = ["fits", "aavso"]
    assert typed(ExportSettings, export_settings(config)).aavso.obstype == "CCD"
