import math
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
import yaml

from gaiaflux.model.errors import InputError
from gaiaflux.model.methods import APERTURE, METHODS
from gaiaflux.workflow.config import check, load_schema
from gaiaflux.workflow.constraints import method_problems

ROOT = Path(__file__).parents[2]
SCHEMA = load_schema(ROOT / "schemas" / "config.schema.yaml")
ROWS = load_schema(ROOT / "schemas" / "frames.schema.yaml")


def checked(text):
    return check(yaml.safe_load(text), SCHEMA)


def series(text):
    return f"series: {{a: {{images: x, {text}}}}}"


def target(text):
    return series(f"targets: [{{name: T, {text}}}]")


WRONG = {
    "{}": "missing; give at least one of: series; tess",
    "series: {}": "missing; give at least one of: series; tess",
    "series: {a: }": "series.a: must be a mapping of keys, not nothing",
    "series: {TESS: {images: x}}": "series.TESS: 'TESS' is not allowed here: letters, digits, _ and - only, and not",
    "series: {a b: {images: x}}": "series.a b: 'a b' is not allowed here: letters, digits, _ and - only",
    "series: {201901: {images: x}}": "series: the key 201901 is read as the number 201901: put it in quotes",
    "tess: {}": "missing; give at least one of: series; tess",
    "tess: {F: {tpfs: x, prf_folder: p}}": "tess.F.catalog_file: missing",
    "tess: {F: {catalog_file: c}}": "tess.F: nothing to measure; give target pixel files (tpfs), cut-outs (cutouts) or",
    "tess: {F: {ffis: x}}": "tess.F.prf_folder: missing; without a catalogue stars are found by",
    "tess: {F: {tpfs: x, catalog_file: c}, f: {tpfs: x, catalog_file: c}}": "tess.f: differs from tess.F only in case",
    "tess: {F: {tpfs: x, catalog_file: c, targets: some}}": "tess.F.targets: 'some' is not allowed here",
    "tess: {F: {tpfs: x, catalog_file: c, targets: []}}": "tess.F.targets: empty; give TIC numbers, or leave it out",
    "tess: {F: {tpfs: x, catalog_file: c, targets: [TIC]}}": "tess.F.targets, entry 1: must be a whole number, not",
    "tess: {F: {tpfs: x, catalog_file: c, targets: {tmag: 3}}}": "tess.F.targets.tmag: unknown key; did you mean",
    "tess: {F: {tpfs: x, catalog_file: c, methods: [halo]}}": "tess.F.methods, entry 1: 'halo' is not one of: psf",
    "tess: {F: {tpfs: x, catalog_file: c, saturated: mask}}": "tess.F.saturated: 'mask' is not one of: aperture, halo",
    "tess: {F: {tpfs: x, catalog_file: c, pointing_file: p}}": "tess.F.pointing_file: goes only together with cutouts",
    "tess: {F: {ffi: x, catalog_file: c}}": "tess.F.ffi: unknown key; did you mean",
    "series: {a: {images: x}, A: {images: y}}": "series.a: differs from series.A only in case",
    "series: {a: {}}": "series.a: give exactly one of: images; frames",
    "series: {a: {images: x, frames: y}}": "series.a: give exactly one of: images; frames, not images and frames",
    "series: {a: {images: []}}": "series.a.images: has 0 entries where at least 1 are needed",
    "series: {a: {images: 5}}": "series.a.images: must be a text or a list, not the number 5",
    series("traget: 1"): "series.a.traget: unknown key; did you mean 'targets'?",
    series("centre_deg: [10]"): "series.a.centre_deg: has 1 entries where 2 are needed",
    series("centre_deg: [400, 0]"): "series.a.centre_deg, entry 1: 400 is outside of the allowed range: 0 to 360 deg",
    series("centre_deg: [0, -91]"): "series.a.centre_deg, entry 2: -91 is outside of the allowed range: -90 to 90 deg",
    series("radius_arcmin: 5"): "series.a.radius_arcmin: goes only together with centre_deg",
    series(
        "header: {gain: -1}"
    ): "series.a.header.gain: -1 is outside of the allowed range: greater than 0 electron/adu",
    series("header: {gian: 1}"): "series.a.header.gian: unknown key; did you mean 'gain'?",
    series("header: {time: {date: D, keyword: K}}"): "series.a.header.time: give exactly one of: date; keyword, not",
    series("header: {time: {keyword: JD}}"): "series.a.header.time.keyword: goes only together with format",
    series("header: {time: {keyword: JD, format: mdj}}"): (
        "series.a.header.time.format: 'mdj' is not one of: jd, mjd, isot; did you mean 'mjd'?"
    ),
    series("site: {lat_deg: 10}"): "series.a.site.lat_deg: goes only together with lon_deg",
    target(
        ""
    ): "series.a.targets, entry 1 (T): give exactly one of: ra_deg and dec_deg; source_id; star_id; x_pix and y",
    target("ra_deg: 5"): "series.a.targets, entry 1 (T).dec_deg: missing; it belongs to ra_deg",
    target("star_id: 5, source_id: 6"): "series.a.targets, entry 1 (T): give exactly one of:",
    target("star_id: 5.5"): "series.a.targets, entry 1 (T).star_id: must be a whole number, not the number 5.5",
    series("targets: [{star_id: 1}]"): "series.a.targets, entry 1.name: missing",
    series("targets: [{name: a/b, star_id: 1}]"): "series.a.targets, entry 1 (a/b).name: 'a/b' is not allowed here:",
    series("targets: [{name: 12, star_id: 1}]"): (
        "series.a.targets, entry 1.name: must be a text, not the number 12 (put it in quotes)"
    ),
    series("targets: [{name: t, star_id: 1}, {name: T, star_id: 2}]"): "series.a.targets: two targets are named 'T'",
    series("centre_deg: [10, 60], radius_arcmin: 10, targets: [{name: T, ra_deg: 11, dec_deg: 60}]"): (
        "series.a.targets, T: 30.0 arcmin from centre_deg, outside of radius_arcmin 10.0"
    ),
    "series: {a: {images: x}}\ngaia: {magnitude_limit: 35}": (
        "gaia.magnitude_limit: 35 is outside of the allowed range: 5 to 25 mag"
    ),
    "series: {a: {images: x}}\ngaia: {magnitude_limit: .nan}": "gaia.magnitude_limit: nan is outside of the allowed",
    "series: {a: {images: x}}\ngaia: {magnitude_limit: faint}": (
        "gaia.magnitude_limit: must be a number (mag), not 'faint'"
    ),
    "series: {a: {images: x}}\ngaia: {source: file}": "series.a.gaia_file: missing; gaia.source is 'file'",
    "series: {a: {images: x}}\ngaia: {source: reference}": (
        "gaia.source: 'reference' is not one of: tap, file, reference_image"
    ),
    "series: {a: {images: x, gaia_file: g.csv}}\ngaia: {source: reference_image}": (
        "series.a.gaia_file: not used where gaia.source is 'reference_image'; leave one of them out"
    ),
    "series: {a: {images: x}}\ngaia: {servers: [esq]}": "gaia.servers, entry 1: 'esq' is not allowed here: esa, ari,",
    "series: {a: {images: x}}\nframes_per_batch: 0": (
        "frames_per_batch: 0 is outside of the allowed range: 1 to 10000 frames"
    ),
    "series: {a: {images: x}}\nframes_per_batch: true": "frames_per_batch: must be a whole number (frames), not true",
    "series: {a: {images: x}}\ntrack_code: maybe": "track_code: must be true or false, not 'maybe'",
    "series: {a: {images: x}}\nphotometry: {methods: [pdf]}": (
        "photometry.methods, entry 1: 'pdf' is not one of: aperture, psf; did you mean 'psf'?"
    ),
    "series: {a: {images: x}}\nphotometry: {methods: []}": "photometry.methods: has 0 entries where at least 1 are",
    "series: {a: {images: x}}\nphotometry: {methods: [psf, psf]}": "photometry.methods: has an entry twice",
    "series: {a: {images: x}}\nphotometry: {pfs: {}}": "photometry.pfs: unknown key; did you mean 'psf'?",
    "series: {a: {images: x}}\nphotometry: {psf: {radius: 2}}": "photometry.psf.radius: unknown key; known keys:",
    "series: {a: {images: x}}\nphotometry: {psf: {fit_radius_fwhm: 0.5}}": (
        "photometry.psf.fit_radius_fwhm: 0.5 is outside of the allowed range: 1 to 5 FWHM"
    ),
    "series: {a: {images: x}}\nphotometry: {psf: {min_stars: 50, max_psf_stars: 40}}": (
        "photometry.psf.min_stars: 50 stars are needed, but max_psf_stars allows 40"
    ),
    "series: {a: {images: x}}\nphotometry: {psf: {residual_pictures: true}}": (
        "photometry.psf.residual_pictures: goes only together with psf among photometry.methods"
    ),
    "series: {a: {images: x}}\nphotometry: {psf: {subtracted_images: true}}": (
        "photometry.psf.subtracted_images: goes only together with psf among photometry.methods"
    ),
    "series: {a: {images: x}}\nphotometry: {aperture: {radii_fwhm: [1], radii_arcsec: [1]}}": (
        "photometry.aperture: give one of radii_fwhm and radii_arcsec, not both"
    ),
    "series: {a: {images: x}}\nphotometry: {aperture: {radii_fwhm: [5]}}": (
        "photometry.aperture.radii_fwhm: the largest radius 5.0 reaches into the annulus, which begins at 4.0"
    ),
    "series: {a: {images: x}}\nphotometry: {aperture: {annulus_arcsec: [9, 8]}}": (
        "photometry.aperture.annulus_arcsec: the inner radius 9.0 must be smaller than the outer 8.0"
    ),
    "series: {a: {images: x}}\nphotometry: {aperture: {radii_fwhm: [1, 1]}}": (
        "photometry.aperture.radii_fwhm: has an entry twice"
    ),
    "series: {a: {images: x}}\nexport: {formats: [aavso]}": (
        "export.aavso.observer_code: missing; the format aavso needs it"
    ),
    "series: {a: {images: x}}\ngaia: {source: reference_image}\nexport: {formats: [aavso]}": (
        "export.formats: aavso needs standard magnitudes; with gaia.source 'reference_image' there are none"
    ),
    "series: {a: {images: x}}\nexport: {formats: [hdf]}": "export.formats, entry 1: 'hdf' is not one of: fits, parquet",
    "series: {a: {images: x}}\nexport: {aavso: {observer_code: A-B}}": (
        "export.aavso.observer_code: 'A-B' is not allowed here"
    ),
    "series: {a: {images: x}}\nannotate_images: perhaps": "annotate_images: must be true or false, not 'perhaps'",
    "series: {a: {images: x}}\nannotate_image: true": "annotate_image: unknown key; did you mean",
}


@pytest.mark.parametrize("text", WRONG)
def test_one_sentence_says_what_is_wrong(text):
    with pytest.raises(InputError) as refused:
        checked(text)
    assert str(refused.value).startswith(WRONG[text])
    assert "\n" not in str(refused.value)


def test_a_method_that_builds_on_another_asks_for_it():
    methods = (*METHODS, replace(APERTURE, name="dia", needs=("psf",)))
    chosen = checked("series: {a: {images: x}}")["photometry"]
    for names, problems in (
        (["aperture"], []),
        (["psf", "dia"], []),
        (["aperture", "dia"], ["photometry.methods: dia needs psf; add it"]),
    ):
        assert method_problems({**chosen, "methods": names}, methods) == problems


def test_all_problems_come_at_once():
    with pytest.raises(InputError) as refused:
        checked("serie: {}\nframes_per_batch: x\ngaia: {magnitud_limit: 3}")
    assert [line.split(":")[0] for line in str(refused.value).splitlines()] == [
        *("serie", "missing; give at least one of", "gaia.magnitud_limit", "frames_per_batch")
    ]


def test_defaults_fill_every_level_and_the_input_is_left_alone():
    given = {"series": {"a": {"images": "x"}}}
    complete = check(given, SCHEMA)
    assert given == {"series": {"a": {"images": "x"}}}
    assert complete["series"]["a"] == {"images": "x", "header": {}, "site": {}, "targets": []}
    assert complete["gaia"]["source"] == "tap"
    assert complete["frames_per_batch"] == 50
    assert complete["photometry"] == {
        "methods": ["aperture"],
        "aperture": {
            "radii_fwhm": [0.6, 0.8, 1.0, 1.25, 1.6, 2.2],
            "annulus_fwhm": [4.0, 6.0],
            "min_correction_stars": 10,
            "subtract_neighbours": True,
        },
        "psf": {
            "fit_radius_fwhm": 2.2,
            "max_order": 2,
            "min_stars": 5,
            "max_psf_stars": 400,
            "residual": True,
            "background_box_pix": 64,
            "rounds": 2,
            "residual_pictures": False,
            "subtracted_images": False,
        },
    }
    assert check(complete, SCHEMA) == complete


def test_a_default_steps_back_where_another_unit_is_given():
    text = "series: {a: {images: x}}\nphotometry: {aperture: {radii_arcsec: [2]}}"
    assert checked(text)["photometry"]["aperture"] == {
        "radii_arcsec": [2.0],
        "annulus_fwhm": [4.0, 6.0],
        "min_correction_stars": 10,
        "subtract_neighbours": True,
    }


def test_two_ways_to_write_the_same_settings_give_the_same():
    first = checked("series: {a: {images: x, targets: }}\ngaia: {magnitude_limit: 20, source: tap}\ntrack_code: 'TRUE'")
    second = checked("gaia: {source: tap, magnitude_limit: '2e1'}\nseries: {a: {images: x}}\nframes_per_batch: 50.0")
    assert repr(first) == repr(second)


def test_the_example_of_every_key_is_accepted():
    complete = checked("""
        series:
          field_V-1:
            images: [/data/n1/*.fits, /data/n2/*.fits]
            centre_deg: [150.0, -20]
            radius_arcmin: 20
            reference_image: a
            gaia_file: /data/gaia.fits
            pixel_scale_arcsec: 0.39
            header: {exptime: EXPTIME, gain: 1.9, read_noise: RDNOISE, saturation: 60000, filter: CCDFLTID,
                     camera: INSTRUME, airmass: AIRMASS, time: {date: DATE-OBS, clock: TIME-OBS, utc_offset_h: -7}}
            site: {lat_deg: -30.1, lon_deg: -70.8, height_m: 2215, aperture_m: 1.3}
            targets: [{name: A, ra_deg: 150.1, dec_deg: -20.1}, {name: B, source_id: 9007199254740993},
                      {name: C, star_id: 0}, {name: D, x_pix: 1.5, y_pix: 3}]
          other: {frames: sheet.csv, header: {time: {keyword: JD, format: jd}}, site: {lat_deg: , lon_deg: }}
    """)
    first, other = complete["series"].values()
    assert first["targets"][1]["source_id"] == 9007199254740993
    assert first["header"]["time"] == {"date": "DATE-OBS", "clock": "TIME-OBS", "utc_offset_h": -7.0, "marks": "start"}
    assert other["header"]["time"] == {"keyword": "JD", "format": "jd", "scale": "utc", "marks": "start"}


def subschemas(schema, path=""):
    yield path, schema
    for key, item in schema.get("properties", {}).items():
        yield from subschemas(item, f"{path}.{key}")
    for key, item in schema.get("$defs", {}).items():
        yield from subschemas(item, f"{path}.$defs.{key}")


@pytest.mark.parametrize("schema", [SCHEMA, ROWS], ids=["config", "frames"])
def test_the_schema_is_valid_and_explains_every_key(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    for path, item in subschemas(schema):
        if path and "$defs" not in path.rpartition(".")[0][-6:]:
            assert "description" in item or "$ref" in item, path
        if item.get("type") == "object":
            assert "additionalProperties" in item, path
        if item.get("type") in ("number", "integer"):
            assert {"minimum", "exclusiveMinimum"} & item.keys(), path
            assert math.isfinite(item.get("minimum", 0)), path


def test_an_independent_validator_agrees_on_defaults_and_on_refusals():
    validator = jsonschema.Draft202012Validator(SCHEMA)
    shipped = yaml.safe_load((ROOT / "config.yaml").read_text())
    validator.validate(shipped)
    validator.validate(check(shipped, SCHEMA))
    of_several_settings = ("differs from", "goes only together with centre", "two targets", "arcmin from", "gaia_file:")
    of_several_settings += (
        "the largest radius",
        "the inner radius",
        "nan is",
        "max_psf_stars allows",
        "psf among",
        "needs it",
        "aavso needs",
        "nothing to measure",
        "catalog_file: missing",
        "prf_folder: missing",
        "TIC numbers",
        "together with cutouts",
    )
    for text, sentence in WRONG.items():
        if "201901" not in text and not any(part in sentence for part in of_several_settings):
            assert not validator.is_valid(yaml.safe_load(text)), text
