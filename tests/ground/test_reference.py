import numpy as np
import pytest

from gaiaflux.core.projection import linear_tan
from gaiaflux.ground.reference import check_fits_series, frame_offsets_pix, rank_references
from gaiaflux.io.wcscards import cards_from_tan_sip
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
