import pytest

from gaiaflux.workflow.config import check, load_schema
from gaiaflux.workflow.frames import FrameFile
from gaiaflux.workflow.ledger import update_ledger
from gaiaflux.workflow.results import PRODUCTS, upstream_rules, wanted_files
from gaiaflux.workflow.settings import _SCHEMA

SCHEMA = load_schema(_SCHEMA)
ALWAYS = ["results/a/dataset.h5", "results/a/frames.csv", "results/a/stars.parquet", "results/a/report.html"]
MORE = {
    "nothing": ({}, {}, []),
    "targets": ({"targets": [{"name": "T", "star_id": 1}]}, {}, ["lightcurves"]),
    "export": ({}, {"export": {"formats": ["fits"]}}, ["export"]),
    "annotated": ({}, {"annotate_images": True}, ["annotated/0001", "annotated/0002"]),
    "pictures": (
        {},
        {"photometry": {"methods": ["psf"], "psf": {"residual_pictures": True}}},
        ["residuals/0001", "residuals/0002"],
    ),
    "images and pictures": (
        {},
        {"photometry": {"methods": ["psf"], "psf": {"residual_pictures": True, "subtracted_images": True}}},
        ["residuals/0001", "residuals/0002"],
    ),
}


def complete(series=None, **sections):
    return check({"series": {"a": {"images": "x", **(series or {})}}, **sections}, SCHEMA)


@pytest.mark.parametrize("case", MORE)
def test_what_a_run_is_asked_for(case):
    series, sections, more = MORE[case]
    ledger = update_ledger(None, [FrameFile(name, name) for name in "xyz"], 2)
    found = wanted_files(complete(series, **sections), {"a": ledger})
    assert found == [*ALWAYS, *(f"results/a/{file}" for file in more)]


def test_rules_that_lead_to_a_dataset():
    rules = ["refine_wcs", "aperture_photometry", "psf_photometry", "calibrate_dataset", "make_demo", "subtract_stars"]
    rules += ["report", "export_dataset", "annotate_images"]
    assert upstream_rules(complete(), rules) == ["aperture_photometry", "calibrate_dataset", "refine_wcs"]
    both = complete(photometry={"methods": ["psf", "aperture"]})
    assert upstream_rules(both, rules) == ["aperture_photometry", "calibrate_dataset", "psf_photometry", "refine_wcs"]
    assert not {"report", "subtract_stars"} - {product.rule for product in PRODUCTS}
