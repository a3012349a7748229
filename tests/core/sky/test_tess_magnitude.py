import numpy as np
import pytest

from gaiaflux.core.sky.tess_magnitude import NONE, RELATIONS, tess_magnitudes

NAN = np.nan


def one(**bands):
    found = tess_magnitudes({band: np.array([value]) for band, value in bands.items()}, 1)
    name = RELATIONS[found.relation[0]].name if found.relation[0] != NONE else ""
    return found.mag[0], found.error[0], name


def test_gaia_comes_first():
    mag, error, name = one(G=10.0, BP_RP=0.8, J=9.0, Ks=8.6, V=10.2)
    assert name == "G, BP-RP"
    assert mag == pytest.approx(10.0 - 0.00522555 * 0.512 + 0.0891337 * 0.64 - 0.633923 * 0.8 + 0.0324473)
    assert error == pytest.approx(0.006)


def test_a_star_like_the_sun():
    """V - T of the Sun is 0.69 - 0.05 by I_C; all colour relations agree to a tenth of a magnitude."""
    colours = {"G": 4.67, "BP_RP": 0.82, "J": 3.67, "Ks": 3.30, "V": 4.81}
    found = [
        one(G=colours["G"], BP_RP=colours["BP_RP"])[0],
        one(J=colours["J"], Ks=colours["Ks"])[0],
        one(V=colours["V"], Ks=colours["Ks"])[0],
    ]
    assert np.ptp(found) < 0.1
    assert np.mean(found) == pytest.approx(4.26, abs=0.07)


def test_the_neighbour_of_the_shared_target():
    assert one(J=13.505, Ks=13.123, V=14.909)[0] == pytest.approx(14.10, abs=0.005)
    assert one(J=13.505, Ks=13.123, V=14.909)[2] == "J, Ks"


@pytest.mark.parametrize(
    ("bands", "name", "mag"),
    [
        ({"J": 10.0, "Ks": 9.15, "V": 13.0}, "V, Ks", None),
        (
            {"J": 10.0, "Ks": 9.15},
            "J, Ks (red)",
            11.546213,
        ),
        ({"J": 10.0, "Ks": 8.0}, "J", 10.5),
        ({"G": 10.0}, "G", 9.57),
        ({"G": 10.0, "BP_RP": 4.0}, "G", 9.57),
        ({"V": 10.0, "Ks": NAN}, "V", 9.4),
        ({"Ks": 10.0}, "", None),
    ],
)
def test_the_first_relation_that_holds(bands, name, mag):
    found, error, used = one(**bands)
    assert used == name
    if mag is not None:
        assert found == pytest.approx(mag, abs=1e-9)
    assert np.isfinite(error) == bool(name)


@pytest.mark.parametrize("nothing", [NAN, 99.0, 999.0, -999.0])
def test_a_number_that_stands_for_unknown_is_none(nothing):
    assert one(J=nothing, Ks=9.0, V=nothing)[2] == ""
    assert one(J=9.5, Ks=nothing)[2] == "J"


def test_errors_grow_with_the_noise_of_2mass():
    bright, faint = one(J=10.0, Ks=9.6)[1], one(J=15.5, Ks=15.1)[1]
    assert bright == pytest.approx(RELATIONS[1].error, rel=0.05)
    assert 0.2 < faint < 0.5


def test_relations_join_within_their_errors():
    """Where the range of one ends the next says about the same."""
    blue, red = one(J=10.0, Ks=9.3001)[0], one(J=10.0, Ks=9.2999)[0]
    assert abs(blue - red) < RELATIONS[3].error
