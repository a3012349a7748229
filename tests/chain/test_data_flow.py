"""Numbers stay numbers: no job parses a plate solution that another has fitted, and none decodes an image twice."""

import pytest

DECODING = {"extract_stars", "build_star_catalog", "aperture_photometry", "psf_photometry"}
PARSING = {"download_gaia", "refine_wcs", "choose_reference", "calibrate_dataset"}


@pytest.fixture(scope="module")
def jobs(spoiled_run):
    return spoiled_run[0].watched()


def test_every_rule_was_watched(jobs):
    wanted = {"assemble_dataset", "calibrate_dataset", "annotate_images", "report"}
    assert DECODING | PARSING | wanted <= {job["rule"] for job in jobs}


def test_few_rules_parse_plate_solutions(jobs):
    """Those that read headers, and the calibration, which asks where on the detector a star was (0.14 ms a frame)."""
    parsed = {rule: sum(job["parsed"] for job in jobs if job["rule"] == rule) for rule in {job["rule"] for job in jobs}}
    assert {rule for rule, number in parsed.items() if number} <= PARSING
    # The watch works: each frame with a header's solution is parsed once where it is refined.
    refined = [job["parsed"] for job in jobs if job["rule"] == "refine_wcs"]
    assert 0 < max(refined) <= 5


def test_a_job_decodes_an_image_once(jobs):
    decoded = [(job["rule"], number) for job in jobs for number in job["decoded"].values()]
    assert {rule for rule, _ in decoded} == DECODING
    assert {number for _, number in decoded} == {1}
