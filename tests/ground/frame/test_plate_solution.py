import numpy as np
import pytest

from gaiaflux.core.sky.projection import pixel_scale_arcsec, pixel_to_sky
from gaiaflux.ground.frame.plate_solution import first_guesses, refine_frame_wcs
from gaiaflux.io.image.wcs_cards import cards_from_tan_sip
from gaiaflux.model.catalog import SkyCatalog
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.settings.refine_wcs import RefineWcsSettings
from gaiaflux.sim.starlists import StarField, simulate_stars
from gaiaflux.workflow.settings import complete_section

SETTINGS = complete_section(RefineWcsSettings)


@pytest.fixture(scope="module")
def lists():
    return simulate_stars(StarField(seed=11, n_stars=300))


def facts(lists, **change):
    ny, nx = lists.truth.shape
    known = {"wcs_cards": cards_from_tan_sip(lists.header), "ny": ny, "nx": nx, "mjd_utc": 57388.5}
    pointing = {"ra_deg": lists.nominal.crval[0], "dec_deg": lists.nominal.crval[1], "pixel_scale_arcsec": 0.389}
    return {**known, **pointing, **change}


def catalog(lists):
    n = len(lists.ra_deg)
    zero = np.zeros(n)
    return SkyCatalog(
        np.arange(n), lists.ra_deg, lists.dec_deg, np.full(n, 2016.0), zero, zero, zero, lists.pos_err_mas, zero,
        lists.mag, zero, system="Gaia G", source="gaia",
    )  # fmt: skip


def test_header_and_nominal_plane(lists):
    header, nominal = first_guesses(facts(lists))
    assert header.crval == lists.header.crval
    centre = pixel_to_sky(nominal, *((n - 1) / 2 for n in reversed(nominal.shape)))
    np.testing.assert_allclose(centre, lists.nominal.crval, atol=1e-9)
    assert pixel_scale_arcsec(nominal) == pytest.approx(0.389)
    # A header without a nominal scale has one in its solution.
    assert pixel_scale_arcsec(first_guesses(facts(lists, pixel_scale_arcsec=np.nan))[1]) == pytest.approx(0.389)
    assert first_guesses(facts(lists, ra_deg=np.nan))[1] is None
    assert first_guesses(facts(lists, wcs_cards=""))[0] is None
    assert first_guesses(facts(lists, wcs_cards="CTYPE1  = 'RA---TAN'\nCTYPE2  = 'DEC--TAN'"))[0] is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ra_deg": np.nan}, r"no WCS in the header, and no pointing \(set centre_deg\)$"),
        ({"pixel_scale_arcsec": np.nan}, r"no WCS in the header, and no pixel scale \(set pixel_scale_arcsec\)$"),
        ({"dec_deg": np.nan, "pixel_scale_arcsec": np.nan}, r"set centre_deg\) and no pixel scale"),
        ({"pixel_scale_arcsec": 0.0}, "set pixel_scale_arcsec"),
    ],
)
def test_what_is_missing_is_said(lists, change, words):
    with pytest.raises(BadFrameError, match=words):
        first_guesses(facts(lists, wcs_cards="", **change))


def test_a_frame_without_a_solution_in_its_header_is_solved_by_asterisms(lists):
    for cards, method in ((cards_from_tan_sip(lists.header), "offset"), ("", "asterism")):
        plate = refine_frame_wcs(facts(lists, wcs_cards=cards), lists.stars, catalog(lists), SETTINGS)
        assert plate.facts["wcs_method"] == method
        assert plate.facts["wcs_n_stars"] == len(plate.matches) > 200
        assert plate.facts["wcs_rms_mas"] < 100.0


def test_a_start_takes_the_place_of_the_header(lists):
    known = facts(lists, wcs_cards="nonsense")
    assert first_guesses(known, lists.header)[0] is lists.header
    plate = refine_frame_wcs(known, lists.stars, catalog(lists), SETTINGS, lists.header)
    assert plate.facts["wcs_method"] == "offset"


def test_the_time_is_needed(lists):
    with pytest.raises(BadFrameError, match="time of the exposure"):
        refine_frame_wcs(facts(lists, mjd_utc=np.nan), lists.stars, catalog(lists), SETTINGS)
    with pytest.raises(BadFrameError, match=r"the year 1858\.9, outside of 1900 to 2100"):
        refine_frame_wcs(facts(lists, mjd_utc=0.0), lists.stars, catalog(lists), SETTINGS)
