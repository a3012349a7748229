import numpy as np
import pytest

from gaiaflux.core.sky.bands import (
    BANDS,
    band_of_filter,
    choose_band,
    fit_magnitude_scale,
    scale_attributes,
    scale_from_attributes,
    standard_magnitude,
)

# G - X at BP - RP = 1.5, worked out by hand from the tables of the Gaia documentation.
AT_1_5 = {
    "B": 0.01448 - 1.0311 - 0.8109 + 0.2267325 - 0.0306838125,
    "V": -0.02704 + 0.02136 - 0.4851 + 0.0481275,
    "R": -0.02275 + 0.59415 - 0.279675 - 0.047115 + 0.0191109375,
    "I": 0.01753 + 1.14 - 0.222975,
    "g": 0.2199 - 0.95475 - 0.3483 + 0.0216,
    "r": -0.09837 + 0.12888 + 0.429075 - 0.5740875 + 0.114564375,
    "i": -0.293 + 0.9606 - 0.2162025 - 0.007101,
    "z": -0.4619 + 1.3488 - 0.1860975 + 0.016972875,
    "G": 0.0,
}
RANGES = {
    **{"V": (-0.5, 5.0), "R": (0.0, 4.0), "I": (-0.5, 4.5), "g": (0.3, 3.0), "r": (0.0, 3.0), "i": (0.5, 2.0)},
    **{"B": (-0.5, 4.0)},
}


@pytest.mark.parametrize("band", list(BANDS))
def test_the_published_relations(band):
    mag, scatter = standard_magnitude(np.array([14.0]), np.array([1.5]), band)
    np.testing.assert_allclose(mag, 14.0 - AT_1_5[band], rtol=0, atol=1e-12)
    assert scatter[0] == BANDS[band].scatter


@pytest.mark.parametrize("band", list(RANGES))
def test_outside_of_the_published_range_there_is_no_magnitude(band):
    low, high = RANGES[band]
    colour = np.array([low - 0.01, low + 0.01, high - 0.01, high + 0.01, np.nan])
    mag, scatter = standard_magnitude(np.full(5, 15.0), colour, band)
    np.testing.assert_array_equal(np.isfinite(mag), [False, True, True, False, False])
    np.testing.assert_array_equal(np.isfinite(scatter), np.isfinite(mag))


def test_the_sun():
    # BP - RP = 0.82 and G - V = -0.14, V - R = 0.36, V - I = 0.70 (Casagrande & VandenBerg 2018; Ramirez et al. 2012).
    mags = {band: float(standard_magnitude(np.array([0.0]), np.array([0.82]), band)[0][0]) for band in "VRI"}
    assert abs(mags["V"] - 0.14) < 0.03
    assert abs(mags["V"] - mags["R"] - 0.36) < 0.03
    assert abs(mags["V"] - mags["I"] - 0.70) < 0.04


def test_gaia_g_needs_no_colour_and_an_unknown_band_is_refused():
    mag, _ = standard_magnitude(np.array([15.0, np.nan]), np.array([np.nan, 1.0]), "G")
    np.testing.assert_array_equal(mag, [15.0, np.nan])
    with pytest.raises(ValueError, match="unknown band 'u'"):
        standard_magnitude(np.array([15.0]), np.array([1.0]), "u")


FILTERS = {
    **{"V": "V", "B": "B", "R": "R", "I": "I", "Rc": "R", "Ic": "I", "v": "G"},
    **{
        "gp": "g",
        "rp": "r",
        "ip": "i",
        "zs": "z",
        "g": "g",
        "r": "r",
        "i": "i",
        "z": "z",
        "r'": "r",
        "g'": "g",
        "GP": "g",
    },
    **{"SDSS-G": "g", "SDSS-R": "r", "sdss_i": "i", "Sloan R": "r", "SDSS-rp": "r", "SDSS_zs": "z"},
    **{"Bessell-V": "V", "bessell-r": "R", "Johnson B": "B", "Cousins_I": "I", "V Harris c6026": "V"},
    **{"r DECam SDSS c0002 6415.0 1480.0": "r", "I BESS": "I"},
    **{"": "G", "clear": "G", "air": "G", "w": "G", "H-Alpha": "G", "Halpha": "G", "Y": "G", "up": "G", "J": "G"},
    **{"Ks": "G", "OIII": "G", "Astrodon-UV": "G", "D51": "G", "C": "G", "L": "G", "iz": "G", "GG495": "G"},
}


@pytest.mark.parametrize("name", list(FILTERS))
def test_filters_of_headers(name):
    assert band_of_filter(name) == FILTERS[name]


def test_the_band_of_a_series_is_that_of_its_most_common_filter():
    assert choose_band(["ip", "rp", "rp", ""]) == "r"
    assert choose_band(["rp", "ip"]) == "i"
    assert choose_band([]) == choose_band(["", ""]) == "G"


def field(n=150, seed=3, colour_term=0.12, zero_point=24.3, noise=0.02):
    rng = np.random.default_rng(seed)
    g, colour = rng.uniform(13, 18, n), rng.normal(1.1, 0.3, n).clip(0.55, 1.9)
    standard, _ = standard_magnitude(g, colour, "r")
    instrumental = standard + rng.normal(0, noise, n) - zero_point - colour_term * (colour - 1.0)
    return g, colour, 10 ** (-0.4 * instrumental), standard


def test_the_fit_recovers_zero_point_and_colour_term_in_spite_of_outliers():
    g, colour, flux, standard = field()
    flux[::11] *= 1.8
    flux[5], g[7], colour[9] = np.nan, np.nan, np.nan
    scale = fit_magnitude_scale(flux, g, colour, "r", flux_err=0.01 * flux)
    assert (scale.band, scale.system, scale.note) == ("r", "SDSS r", "ok")
    assert 120 < scale.n_stars < 137
    assert abs(scale.colour_term - 0.12) < 4 * scale.colour_term_err < 0.04
    at_one = scale.zero_point + scale.colour_term * (1.0 - scale.pivot)
    assert abs(at_one - 24.3) < 4 * scale.zero_point_err < 0.02
    assert 0.014 < scale.scatter < 0.026
    mag = scale.magnitude(flux, colour)
    good = np.isfinite(mag) & np.isfinite(standard)
    good[::11] = good[7] = good[9] = False
    assert abs(np.mean((mag - standard)[good])) < 0.006
    assert np.isnan(mag[5])


def test_the_errors_of_the_fit_hold():
    pulls = []
    for seed in range(60):
        g, colour, flux, _ = field(n=40, seed=seed, noise=0.03)
        scale = fit_magnitude_scale(flux, g, colour, "r")
        at_pivot = 24.3 + 0.12 * (scale.pivot - 1.0)
        pulls.append(
            [(scale.zero_point - at_pivot) / scale.zero_point_err, (scale.colour_term - 0.12) / scale.colour_term_err]
        )
    assert (np.abs(np.std(pulls, axis=0) - 1.0) < 0.3).all()
    assert (np.abs(np.mean(pulls, axis=0)) < 0.45).all()


def test_a_star_without_a_colour_and_one_beyond_the_colours_of_the_fit():
    g, colour, flux, _ = field()
    scale = fit_magnitude_scale(flux, g, colour, "r")
    low, high = scale.colour_range
    one = np.array([1000.0])
    assert scale.magnitude(one, np.nan) == scale.magnitude(one, scale.pivot)
    assert scale.magnitude(one, 9.0) == scale.magnitude(one, high)
    assert scale.magnitude(one, -9.0) == scale.magnitude(one, low)
    np.testing.assert_array_equal(np.isnan(scale.magnitude(np.array([-1.0, 0.0, np.nan]), 1.0)), True)


def test_red_dwarfs_do_not_enter_where_the_relation_is_for_giants():
    g, colour, flux, _ = field()
    colour[:60] = 2.5
    assert fit_magnitude_scale(flux, g, colour, "r").n_stars <= 90
    assert fit_magnitude_scale(flux, g, colour, "r").colour_range[1] < 2.0


def test_what_the_stars_do_not_support_is_not_fitted():
    g, colour, flux, _ = field()
    few = fit_magnitude_scale(flux[:5], g[:5], colour[:5], "r")
    assert (few.band, few.colour_term) == ("r", 0.0)
    assert 3 <= few.n_stars <= 5
    assert few.note == "no colour term: too few stars or colours"
    alike = fit_magnitude_scale(flux, g, np.full(150, 1.1), "r")
    assert alike.colour_term == 0.0
    blind = fit_magnitude_scale(flux, g, np.full(150, np.nan), "r")
    assert (blind.band, blind.system, blind.n_stars > 100) == ("G", "Gaia G", True)
    assert blind.note.startswith("0 stars with a magnitude in SDSS r")
    nothing = fit_magnitude_scale(flux, np.full(150, np.nan), colour, "r")
    assert np.isnan(nothing.zero_point)
    assert nothing.note.endswith("no zero point")
    assert np.isnan(nothing.magnitude(flux, colour)).all()
    empty = fit_magnitude_scale(np.zeros(0), np.zeros(0), np.zeros(0), "V")
    assert empty.n_stars == 0


def test_attributes_come_back():
    g, colour, flux, _ = field()
    scale = fit_magnitude_scale(flux, g, colour, "r")
    attributes = scale_attributes(scale)
    assert all(isinstance(value, str | int | float) for value in attributes.values())
    assert scale_from_attributes(attributes) == scale
    assert scale_from_attributes({"zero_point_mag": 25.0}) is None


def linear(n, spread=1.0, slope=0.1, noise=None, zero_point=24.0):
    """Stars of G on a line with their colour, whose 10th to 90th percentiles are so far apart."""
    colour = 1.0 + spread * (np.arange(n) / (n - 1) - 0.5) / 0.8
    g = np.full(n, 15.0)
    flux = 10 ** (-0.4 * (g - zero_point - slope * (colour - 1.0) + (0.0 if noise is None else noise)))
    return flux, g, colour


@pytest.mark.parametrize(("n", "spread", "with_colour"), [(8, 0.26, True), (7, 0.26, False), (8, 0.24, False)])
def test_eight_stars_of_a_quarter_of_a_magnitude_have_a_colour_term(n, spread, with_colour):
    flux, g, colour = linear(n, spread)
    scale = fit_magnitude_scale(flux, g, colour, "G")
    assert (scale.colour_term != 0.0) == with_colour
    assert scale.note == ("ok" if with_colour else "no colour term: too few stars or colours")
    assert scale.pivot == pytest.approx(np.median(colour))
    if with_colour:
        assert scale.colour_term == pytest.approx(0.1, abs=1e-6)
        assert scale.zero_point == pytest.approx(24.0 + 0.1 * (scale.pivot - 1.0), abs=1e-6)
        # A star without a colour takes no part in it.
        colour[3] = np.nan
        assert fit_magnitude_scale(flux, g, colour, "G").colour_term == 0.0


@pytest.mark.parametrize(
    ("n", "note", "band"), [(3, "no colour term", "r"), (2, "2 stars with a magnitude in SDSS r", "G")]
)
def test_three_stars_have_a_zero_point(n, note, band):
    g, colour, flux, _ = field(noise=0.0, colour_term=0.0)
    scale = fit_magnitude_scale(flux[:n], g[:n], colour[:n], "r")
    assert scale.band == band
    assert scale.note.startswith(note)
    assert np.isfinite(scale.scatter) == (n == 3)
    alone = fit_magnitude_scale(flux[:1], g[:1], colour[:1], "G")
    assert alone.note == "1 stars with a magnitude in Gaia G: uncertain"
    assert np.isfinite(alone.zero_point)
    assert np.isnan([alone.zero_point_err, alone.scatter]).all()


def test_stars_beyond_three_sigma_are_left_out_and_the_errors_are_those_of_the_fit():
    # Deviations of 0.01 and 0.03 but for two stars, of 3.4 and 2.6 times 1.4826 times 0.02.
    n = 42
    noise = np.resize([0.01, -0.03, 0.03, -0.01], n)
    noise[20], noise[21] = 0.02 * 1.4826 * 3.4, 0.02 * 1.4826 * 2.6
    flux, g, colour = linear(n, noise=noise)
    scale = fit_magnitude_scale(flux, g, colour, "G")
    assert scale.n_stars == 41
    keep = np.arange(n) != 20
    value = g + 2.5 * np.log10(flux)
    design = np.stack([np.ones(n), colour - np.median(colour)], axis=1)[keep]
    best, squares, *_ = np.linalg.lstsq(design, value[keep], rcond=None)
    assert (scale.zero_point, scale.colour_term) == (pytest.approx(best[0]), pytest.approx(best[1]))
    errors = np.sqrt(np.diag(np.linalg.inv(design.T @ design)) * squares[0] / (41 - 2))
    assert (scale.zero_point_err, scale.colour_term_err) == (pytest.approx(errors[0]), pytest.approx(errors[1]))
    assert scale.scatter == pytest.approx(1.4826 * 0.02, rel=0.15)
    assert scale.colour_range == (
        pytest.approx(np.percentile(colour[keep], 1)),
        pytest.approx(np.percentile(colour[keep], 99)),
    )


def test_errors_of_the_fluxes_and_of_the_relations_are_weights():
    # Two stars of each kind: one magnitude apart, the second kind with an error of its own.
    g, colour = np.full(4, 15.0), np.full(4, 1.0)
    flux = 10 ** (-0.4 * (15.0 - np.array([24.0, 24.0, 24.1, 24.1])))
    plain = fit_magnitude_scale(flux, g, colour, "G")
    assert plain.zero_point == pytest.approx(24.05)
    error = flux * np.array([0.0, np.nan, 0.02, 0.02])
    weighed = fit_magnitude_scale(flux, g, colour, "G", flux_err=error)
    # No star is trusted to better than a hundredth of a magnitude.
    weight = 1.0 / np.hypot(0.01, 1.0857362 * np.array([0.0, 0.0, 0.02, 0.02])) ** 2
    assert weighed.zero_point == pytest.approx(np.average([24.0, 24.0, 24.1, 24.1], weights=weight))


def test_the_colours_part_of_a_magnitude():
    scale = fit_magnitude_scale(*linear(20), "G")
    low, high = scale.colour_range
    colours = np.array([1.2, np.nan, high + 1.0, low - 1.0])
    expected = 0.1 * (np.array([1.2, scale.pivot, high, low]) - scale.pivot)
    np.testing.assert_allclose(scale.colour_correction(colours), expected, atol=1e-9)
    plain = fit_magnitude_scale(*linear(20, 0.1), "G")
    assert plain.colour_correction(colours).tolist() == [0.0] * 4
