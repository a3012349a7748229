import numpy as np
import pytest

from gaiaflux.core.sky.projection import linear_tan
from gaiaflux.ground.catalog.reference import check_fits_series, choose_reference, frame_offsets_pix, rank_references
from gaiaflux.io.image.wcs_cards import cards_from_tan_sip
from gaiaflux.io.plate_solution import plate_record
from gaiaflux.model.errors import BadFrameError

BASE = {
    "status": "ok", "n_stars": 500, "fwhm_pix": 4.0, "ellipticity": 0.05, "ny": 100, "nx": 200, "filter": "V",
    "pixel_scale_arcsec": 0.4, "wcs_cards": "",
}  # fmt: skip


def frames(**changes):
    return {name: BASE | change for name, change in changes.items()}


def test_the_sharpest_good_frame_comes_first():
    ranked = rank_references(
        frames(
            a={"fwhm_pix": 5.0},
            b={"fwhm_pix": 3.0, "n_stars": 100},
            c={"fwhm_pix": 3.5},
            d={"fwhm_pix": 2.0, "ellipticity": 0.4},
            e={"fwhm_pix": 1.0, "status": "no stars found"},
            f={"fwhm_pix": 1.0, "filter": "R"},
        )
    )
    assert ranked == ["c", "a", "d", "b", "f"]


def test_a_reference_that_is_the_catalogue_is_deep():
    found = frames(a={"fwhm_pix": 3.0, "n_stars": 400}, b={"fwhm_pix": 3.5})
    assert rank_references(found) == ["a", "b"]
    assert rank_references(found, as_catalogue=True) == ["b", "a"]


def test_seeing_counts_in_arcsec_and_ties_by_name():
    ranked = rank_references(
        frames(
            b={}, a={}, fine={"fwhm_pix": 6.0, "pixel_scale_arcsec": 0.2}, unknown={"pixel_scale_arcsec": float("nan")}
        )
    )
    assert ranked == ["fine", "a", "b", "unknown"]
    assert rank_references(frames(a={"status": "no stars found"})) == []


def test_stars_narrower_than_two_pixels_are_not_the_best():
    found = frames(wide={"fwhm_pix": 2.8}, narrowest={"fwhm_pix": 1.1}, two={"fwhm_pix": 2.0}, narrow={"fwhm_pix": 1.6})
    assert rank_references(found) == ["two", "narrow", "wide", "narrowest"]


def test_how_far_the_frames_reach():
    scale = 0.5 / 3600
    cd = np.diag([-scale, scale])
    reference = linear_tan((30.0, -20.0), (99.5, 49.5), cd, (100, 200))
    shifted = linear_tan((30.0, -20.0 + 30 * scale), (99.5, 49.5), cd, (100, 200))
    elsewhere = linear_tan((31.0, -20.0), (99.5, 49.5), cd, (100, 200))
    facts = frames(
        a={"wcs_cards": cards_from_tan_sip(shifted)},
        b={"wcs_cards": cards_from_tan_sip(elsewhere)},
        c={"wcs_cards": "CTYPE1  = 'LINEAR'"},
        d={},
        e={"status": "bad"},
    )
    assert abs(frame_offsets_pix(reference, facts) - (30 + 10)) < 0.1


def test_frames_of_another_kind_are_refused():
    reference = {"reference_filter": "V", "reference_ny": 100, "reference_nx": 200}
    check_fits_series(BASE, reference)
    check_fits_series(BASE | {"filter": ""}, reference)
    with pytest.raises(BadFrameError, match="filter R, but the reference image has V"):
        check_fits_series(BASE | {"filter": "R"}, reference)
    with pytest.raises(BadFrameError, match="200 x 90 pixels, but the reference image has 200 x 100"):
        check_fits_series(BASE | {"ny": 90}, reference)


STEP = 0.5 / 3600
PLATE = linear_tan((30.0, -20.0), (99.5, 49.5), np.diag([-STEP, STEP]), (100, 200))


def night(**changes):
    """Frames of different times, all complete."""
    rows = frames(**changes)
    own = {"camera": "c", "path": "/data/x", "ny": 100, "nx": 200}
    return {name: own | {"mjd_utc": 60000.0 + k} | row for k, (name, row) in enumerate(rows.items())}


def choose(facts, configured=None, plates=None, **options):
    tried = []

    def place(frame_id):
        tried.append(frame_id)
        wcs = (plates or {}).get(frame_id, PLATE)
        if wcs is None:
            raise BadFrameError("no solution")
        return wcs, {"wcs_rms_mas": 5.0}

    record, _ = choose_reference(facts, configured, place, **options)
    return record, [entry["frame_id"] for entry in record["stack"]], tried


def test_the_stack_is_the_reference_and_the_sharpest_frames_like_it():
    facts = night(
        best={"fwhm_pix": 3.0}, fifth={"fwhm_pix": 3.9}, third={"fwhm_pix": 3.2}, second={"fwhm_pix": 3.1},
        sixth={"fwhm_pix": 4.0}, fourth={"fwhm_pix": 3.3}, blurred={"fwhm_pix": 4.3},
    )  # fmt: skip
    record, stack, _ = choose(facts)
    assert record["frame_id"] == "best"
    assert stack == ["best", "second", "third", "fourth", "fifth"]
    assert record["stack"][0] == {
        **{"frame_id": "best", "path": "/data/x", "mjd_utc": 60000.0, "fwhm_pix": 3.0, "n_stars": 500},
        "wcs": record["wcs"],
    }
    # Whatever the order of arrival.
    assert choose(dict(reversed(facts.items())))[1] == stack
    # Nothing beyond what is recorded: another frame that is not better changes nothing.
    assert choose(facts | night(later={"fwhm_pix": 3.95}))[1] == stack


@pytest.mark.parametrize(
    "change",
    [
        {"fwhm_pix": 4.3}, {"n_stars": 340}, {"ellipticity": 0.16}, {"filter": "R"}, {"nx": 190}, {"status": "bad"},
        {"mjd_utc": float("nan")}, {"mjd_utc": 60000.0}, {"fwhm_pix": 3.1, "pixel_scale_arcsec": 0.6},
    ],
)  # fmt: skip
def test_frames_that_would_spoil_the_stack_stay_out(change):
    facts = night(best={"fwhm_pix": 3.0}, good={"fwhm_pix": 3.2}, other={"fwhm_pix": 3.4} | change)
    # The one with the other time is not the reference itself.
    assert choose(facts)[1] == ["best", "good"]
    assert choose(night(best={"fwhm_pix": 3.0}, good={"fwhm_pix": 3.2}, other={"fwhm_pix": 3.4}))[1][-1] == "other"


def test_the_stack_needs_plate_solutions_that_overlap():
    facts = night(best={"fwhm_pix": 3.0}, lost={"fwhm_pix": 3.1}, beside={"fwhm_pix": 3.2}, good={"fwhm_pix": 3.3})
    beside = linear_tan((30.0, -20.0), (99.5 + 30, 49.5), np.diag([-STEP, STEP]), (100, 200))
    good = linear_tan((30.0, -20.0), (99.5 + 12, 49.5), np.diag([-STEP, STEP]), (100, 200))
    record, stack, _ = choose(facts, plates={"lost": None, "beside": beside, "good": good})
    assert stack == ["best", "good"]
    assert record["stack"][1]["wcs"] == plate_record(good)
    assert record["wcs_header"].startswith("WCSAXES")


def test_a_hopeless_run_is_given_up():
    facts = night(best={"fwhm_pix": 3.0}, **{f"f{k:03d}": {"fwhm_pix": 3.1} for k in range(60)})
    _, stack, tried = choose(facts, plates={f"f{k:03d}": None for k in range(60)})
    assert stack == ["best"]
    assert len(tried) <= 21


def test_a_configured_reference_is_stacked_too_and_a_catalogue_of_its_own_is_not():
    facts = night(a={"fwhm_pix": 3.0}, b={"fwhm_pix": 3.5}, c={"fwhm_pix": 4.7})
    assert choose(facts, "b")[1] == ["b", "a", "c"]
    record, stack, tried = choose(facts, as_catalogue=True)
    assert stack == [record["frame_id"]] == ["a"]
    assert tried == ["a"]
