import copy
from dataclasses import replace
from pathlib import Path

import pytest

from gaiaflux.model.errors import InputError
from gaiaflux.model.methods import APERTURE, METHODS, PSF
from gaiaflux.workflow.chosen import check_rules, check_schema, chosen_methods
from gaiaflux.workflow.config import load_schema

SCHEMA = load_schema(Path(__file__).parents[2] / "schemas" / "config.schema.yaml")
PHOTOMETRY = SCHEMA["properties"]["photometry"]["properties"]
TOY = replace(APERTURE, name="toy", rule="", section="")


def test_the_schema_has_each_method_and_its_section_and_no_other():
    assert PHOTOMETRY["methods"]["items"]["enum"] == [method.name for method in METHODS]
    assert [key for key in PHOTOMETRY if key != "methods"] == [method.section for method in METHODS]
    for method in METHODS:
        marked = {key for key, item in PHOTOMETRY[method.section]["properties"].items() if "x-decides" in item}
        assert marked == set(method.on_request.settings if method.on_request else ())
    check_schema(SCHEMA)


def test_methods_are_chosen_in_one_order():
    assert chosen_methods({"photometry": {"methods": ["psf", "aperture"]}}) == [APERTURE, PSF]
    assert chosen_methods({"photometry": {"methods": ["psf"]}}) == [PSF]
    with pytest.raises(InputError, match="there is no method of photometry 'toy'; methods: aperture, psf"):
        chosen_methods({"photometry": {"methods": ["psf", "toy"]}})


def test_a_method_that_the_schema_does_not_have_is_refused():
    with pytest.raises(InputError) as refused:
        check_schema(SCHEMA, (*METHODS, TOY))
    assert str(refused.value).splitlines() == [
        "toy: declared in model/methods.py, but not in the schema's photometry.methods",
        "toy: the schema has no section photometry.toy",
    ]


def test_a_schema_with_a_method_that_is_not_declared_is_refused():
    with pytest.raises(InputError) as refused:
        check_schema(SCHEMA, (APERTURE,))
    assert str(refused.value) == "psf: the schema's photometry.methods has it, but model/methods.py does not declare it"


@pytest.mark.parametrize("edit", [lambda item: item.pop("x-decides"), lambda item: item.update({"x-decides": "files"})])
def test_a_setting_on_request_is_marked_as_one(edit):
    schema = copy.deepcopy(SCHEMA)
    edit(schema["properties"]["photometry"]["properties"]["psf"]["properties"]["residual_pictures"])
    with pytest.raises(InputError, match=r"no photometry\.psf\.residual_pictures with x-decides: products"):
        check_schema(schema)


def test_a_rule_that_is_missing_is_named():
    names = ["aperture_photometry", "psf_photometry", "subtract_stars", "report"]
    check_rules(names)
    with pytest.raises(InputError, match=r"^toy: there is no rule toy_photometry$"):
        check_rules(names, (*METHODS, TOY))
    with pytest.raises(InputError, match=r"^psf: there is no rule subtract_stars$"):
        check_rules(names[:2])
