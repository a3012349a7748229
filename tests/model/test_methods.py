"""The methods of photometry: an entry is whole or refused, and reading the list costs nothing."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import gaiaflux
from gaiaflux.model.columns import Column
from gaiaflux.model.errors import InputError
from gaiaflux.model.flags import STAR_FLAGS
from gaiaflux.model.method import COMMON_FACTS, MEASUREMENTS, Annotation, Look, OnRequest, Reported, check_together
from gaiaflux.model.methods import APERTURE, METHODS, PSF, method_named, methods_named

TEXT = Column("text", "", "anything")
HALF = {
    "name of other files": ({"name": "stars"}, "its name is that of other files"),
    "name with a blank": ({"name": "two words"}, "its name must be of small letters, digits and _"),
    "label": ({"label": ""}, "it has no label"),
    "sentence": ({"sentence": ""}, "it has no sentence"),
    "no error": (
        {"arrays": {name: MEASUREMENTS[name] for name in ("flux", "flags")}},
        "flux_err is not among its arrays",
    ),
    "no status": ({"frame_facts": {}, "annotation": APERTURE.annotation, "reported": {}}, "status is not among its fr"),
    "no description": ({"star_facts": {"chi2": Column("f2", "", "")}}, "chi2 has no description"),
    "no type": ({"frame_facts": {**PSF.frame_facts, "more": Column("f5", "", "x")}}, "more has no type that is known"),
    "radii without a type": ({"radii": Column("", "pixel", "x")}, "radii_pix has no type that is known"),
    "twice": ({"frame_facts": {**PSF.frame_facts, "crowding": TEXT}}, "crowding is declared twice"),
    "fact of a star that is whole": ({"star_facts": {"chi2": Column("i4", "", "x")}}, "chi2 cannot be NaN"),
    "nothing calibrated": ({"calibrated": ()}, "no flux is calibrated"),
    "calibrated and absent": ({"calibrated": (("flux", "error"),)}, "error is calibrated and not among its arrays"),
    "calibrated and no flux": ({"calibrated": (("flux", "flags"),)}, "flags is calibrated and no flux"),
    "colour": ({"look": Look("red", "#000000", "o")}, "'red' is no colour (#rrggbb)"),
    "marker": ({"look": Look("#000000", "#000000", "")}, "it has no marker"),
    "table": ({"annotation": Annotation("", "", ("flux",))}, "its table in an annotated image has no name"),
    "column of the table": ({"annotation": Annotation("T", "", ("sky",))}, "sky is annotated and not among"),
    "keyword": ({"annotation": Annotation("T", "", (), {"MUCHTOOLONG": ("sky", "x")})}, "'MUCHTOOLONG' is no keyword"),
    "fact of a keyword": ({"annotation": Annotation("T", "", (), {"A": ("none", "x")})}, "none is annotated and not"),
    "reported": ({"reported": {"none": Reported("x")}}, "none is reported and not among its frame_facts"),
    "reported without a label": ({"reported": {"psf_beta": Reported("")}}, "psf_beta is reported without a label"),
    "drawn": ({"reported": {"psf_order": Reported("x", axis="x")}}, "psf_order is drawn and no number that can be NaN"),
    "light curve": ({"in_light_curves": ("flux",)}, "flux is in light curves and not among its star_facts"),
    "radii": ({"radii": Column("f8", "pixel", "x")}, "its radii need a column and a keyword of an annotated image"),
    "first flux": ({"calibrated": (("flux_err", "flux"),)}, "the first flux that is calibrated must be flux"),
    "blend": ({"blend": ("blended", "")}, "blend needs a flag and what it means"),
    "request": ({"on_request": OnRequest("a_rule", "folder", ())}, "no setting asks for its files on request"),
    "favour": ({"favoured_within": 0.98}, "favoured_within must be 1 or more"),
}


@pytest.mark.parametrize("case", HALF)
def test_a_half_declared_method_is_one_sentence(case):
    change, sentence = HALF[case]
    with pytest.raises(InputError) as refused:
        replace(PSF, **change)
    said = str(refused.value)
    assert said.startswith(f"the method of photometry '{change.get('name', 'psf')}' is only half declared: ")
    assert sentence in said
    assert "\n" not in said


def test_all_that_is_missing_is_said_at_once():
    with pytest.raises(InputError, match=r"it has no label; it has no title; .*blend needs"):
        replace(PSF, label="", title="", blend=("", ""))


def test_rule_and_section_are_named_like_the_method_unless_it_says_otherwise():
    assert [(method.name, method.rule, method.section) for method in METHODS] == [
        ("aperture", "aperture_photometry", "aperture"),
        ("psf", "psf_photometry", "psf"),
    ]
    other = replace(PSF, name="dia", rule="difference_photometry", section="difference")
    assert (other.rule, other.section) == ("difference_photometry", "difference")


def test_the_list_holds_together():
    names = [method.name for method in METHODS]
    assert methods_named(names[::-1]) == list(METHODS)
    for one in METHODS:
        assert one.blend[0] in {flag.name for flag in STAR_FLAGS}, one.name
        assert one.sentence.endswith(".")
        assert len(one.annotation.extension) <= 68
        # Only what the frame's unit decides is a flux.
        assert all(one.arrays[name].unit == "count/s" for pair in one.calibrated for name in pair)
        assert {**COMMON_FACTS}.items() <= one.frame_facts.items()


MIXED = {
    "the rule psf_photometry is that of two": {"rule": "psf_photometry"},
    "the table of an annotated image GAIAFLUX_PSF is that of two": {},
    "the column of an annotated image flux is that of two": {"annotation": Annotation("T", "", ("flux",))},
    "the keyword of an annotated image PSFFWHM is that of two": {"annotation": replace(PSF.annotation, prefix="o_")},
    "other needs dia, which is not declared": {"needs": ("dia",)},
    "other needs other, which is not declared": {"needs": ("other",)},
}


@pytest.mark.parametrize("sentence", MIXED)
def test_methods_that_would_mix_their_files_are_refused(sentence):
    other = replace(PSF, **{"name": "other", "rule": "other_photometry", **MIXED[sentence]})
    with pytest.raises(InputError, match=r"^the methods of photometry do not go together: ") as refused:
        check_together((*METHODS, other))
    assert sentence in str(refused.value)


def test_a_method_with_radii_has_no_further_arrays():
    further = {"arrays": {**MEASUREMENTS, "core": Column("f4", "count/s", "x")}}
    assert list(replace(PSF, **further).further_arrays) == ["core"]
    with pytest.raises(InputError, match=r"half declared: a method with several radii has no further arrays"):
        replace(APERTURE, **further)


def test_an_unknown_name_gets_the_nearest():
    assert method_named("psf") is PSF
    with pytest.raises(InputError, match=r"^there is no method of photometry 'apertur'; did you mean 'aperture'\?$"):
        method_named("apertur")
    with pytest.raises(InputError, match=r"^there is no method of photometry 'dia'; methods: aperture, psf$"):
        method_named("dia")
    with pytest.raises(InputError, match=r"methods: aperture$"):
        method_named("psf", (APERTURE,))


def test_the_list_needs_the_standard_library_alone():
    code = "import sys, gaiaflux.model.methods; print(*{name.split('.')[0] for name in sys.modules})"
    # -S hides the installed packages, ours among them: its place is told.
    scripts = Path(gaiaflux.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(scripts)}
    )
    assert set(done.stdout.split()) <= {*sys.stdlib_module_names, "__main__", "gaiaflux"}
