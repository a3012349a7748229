"""What becomes of stars that a catalogue promises, but an image does not show."""

from types import SimpleNamespace

import numpy as np

from gaiaflux.core.stars.completion import Proof
from gaiaflux.core.stars.promises import check_promises, promised_flux

N_BRIGHT = 12
REACH = 10.0


def completed(known, found, scatter=0.01):
    """Bright stars at their places, then others as (x, y, promised flux, flux), and found ones as (x, y, flux)."""
    x, y, promised, flux = np.array(known, float).reshape(-1, 4).T
    more_x, more_y, more = np.array(found, float).reshape(-1, 3).T
    bright = 1e4 * 10 ** (scatter * np.where(np.arange(N_BRIGHT) % 2, 1, -1) / 2.5)
    fluxes = np.concatenate([bright, flux, more])
    mags = 25.0 - 2.5 * np.log10(np.append(np.full(N_BRIGHT, 1e4), promised))
    n = len(fluxes)
    solution = SimpleNamespace(flux=fluxes, error=np.ones(n), stamps=SimpleNamespace(values=np.full((n, 2, 2), 0.25)))
    solution.sums = SimpleNamespace(light=np.ones(n))
    far = np.full(N_BRIGHT, 500.0)
    n_known, proof = N_BRIGHT + len(x), Proof(fluxes, np.ones(n))
    return SimpleNamespace(
        n_known=n_known, free=np.zeros(n_known, bool), solution=solution, proof=proof,
        x=np.concatenate([far, x, more_x]), y=np.concatenate([far, y, more_y]),
    ), mags  # fmt: skip


def check(known, found, change=lambda made: None, **kwargs):
    made, mags = completed(known, found, **kwargs)
    change(made)
    result = check_promises(made, mags, np.full(made.n_known, REACH))
    assert not result.unseen[:N_BRIGHT].any()
    meant = result.meant[N_BRIGHT:]
    return result.unseen[N_BRIGHT:].tolist(), np.where(meant >= 0, meant - made.n_known, -1).tolist()


def test_the_only_one_near_of_about_its_brightness():
    unseen = (50, 50, 100, 1)
    assert check([unseen], [(56, 57, 110)]) == ([True], [0])
    assert check([unseen], [(57.2, 57, 110)]) == ([True], [-1])  # too far
    assert check([unseen], [(56, 57, 60)]) == ([True], [-1])  # too faint: 0.3 mag and errors
    assert check([unseen], [(56, 57, 150)]) == ([True], [-1])
    assert check([unseen], [(200, 200, 100), (56, 57, 110), (52, 50, 20)]) == ([True], [1])
    assert check([unseen], [(56, 57, 110), (45, 50, 90)]) == ([True], [-1])  # which one?
    assert check([unseen, (55, 52, 100, 0)], [(56, 57, 110)]) == ([True, True], [-1, -1])  # whose?
    assert check([unseen], []) == ([True], [-1])


def test_a_star_whose_light_was_followed_is_itself():
    def follow(made):
        made.free[N_BRIGHT:] = True

    own = -1  # in rows after the known ones
    assert check([(50, 50, 100, 90)], [], follow) == ([True], [own])
    made, mags = completed([(50, 50, 100, 90)], [])
    follow(made)
    assert check_promises(made, mags, np.full(made.n_known, REACH)).meant[-1] == N_BRIGHT
    # It must have the brightness that is promised, whatever the colours do, beyond doubt.
    assert check([(50, 50, 100, 55)], [], follow, scatter=0.4) == ([False], [-1])
    assert check([(50, 50, 100, 70)], [], follow, scatter=0.4) == ([True], [own])
    assert check([(50, 50, 16, 16)], [], follow)[0] == [True]
    assert check([(50, 50, 14.5, 14.5)], [], follow)[0] == [False]
    # Without light it may be another one.
    assert check([(50, 50, 100, 50)], [(56, 57, 100)], follow) == ([False], [-1])
    assert check([(50, 50, 100, 0)], [(56, 57, 100)], follow) == ([True], [0])


def test_what_would_not_be_clear_or_is_seen_is_not_missed():
    near = [(56, 57, 100)]
    assert check([(50, 50, 9.0, 0)], near)[0] == [False]
    assert check([(50, 50, 9.5, 0)], near)[0] == [True]
    assert check([(50, 50, 100, 3.1)], near)[0] == [False]
    # Of a bright one a little light is its neighbours'.
    assert check([(50, 50, 1000, 29)], near)[0] == [True]
    assert check([(50, 50, 1000, 31)], near)[0] == [False]
    assert check([(50, 50, np.nan, 0)], near) == ([False], [-1])


def test_colours_that_scatter_make_it_careful():
    # 3 x 0.2 mag: what is promised may be fainter by a factor of 1.74.
    assert check([(50, 50, 12.0, 0)], [], scatter=0.2)[0] == [False]
    assert check([(50, 50, 12.8, 0)], [], scatter=0.2)[0] == [True]
    assert check([(50, 50, 100, 1)], [(56, 57, 60)], scatter=0.2) == ([True], [0])
    assert check([(50, 50, 27.0, 0)], [], scatter=2.0)[0] == [False]
    assert check([(50, 50, 29.0, 0)], [], scatter=2.0)[0] == [True]


def test_doubt_and_bad_pixels_excuse():
    def doubt(made):
        made.proof.noise[N_BRIGHT] = 11.0

    def hide(made):
        made.solution.sums.light[N_BRIGHT] = 0.69

    assert check([(50, 50, 100, 0)], [], doubt)[0] == [False]
    assert check([(50, 50, 120, 0)], [], doubt)[0] == [True]
    assert check([(50, 50, 100, 0)], [], hide)[0] == [False]


def test_without_bright_stars_nothing_is_promised():
    promised, faintest = promised_flux(np.array([5.0, np.nan]), np.ones(2), np.array([15.0, 16.0]))
    assert np.isnan(promised).all()
    assert np.isnan(faintest).all()
