import numpy as np
import pytest

from gaiaflux.core.cadences.newton import PlaceOptions, fit_frames_with_places

FREE = PlaceOptions(own_err=1.0, common_err=1e6, farthest=1.0)


@pytest.fixture(scope="module")
def settled(pair):
    return fit_frames_with_places(pair.made.target.frames, pair.made.scene, pair.made.fit, FREE)


def test_free_places_are_found_in_every_frame(pair, settled):
    usable = pair.usable
    assert settled.settled[usable].all()
    for k, row in enumerate(pair.made.scene.rows[pair.made.fit.free.rows][:2]):
        star = pair.stamp.setup.stars[row]
        away_x = settled.x[usable, k] - star.x - pair.stamp.pointing.shift[usable, 0]
        away_y = settled.y[usable, k] - star.y - pair.stamp.pointing.shift[usable, 1]
        assert max(np.std(away_x), np.std(away_y)) < 3e-3
        away = settled.flux[usable, k] - pair.stamp.star_flux[usable, row]
        assert 0.92 < np.std(away / settled.flux_err[usable, k]) < 1.1


def test_it_does_not_matter_where_it_starts(pair, settled):
    start = pair.made.fit.position + np.array([0.07, -0.07])
    other = fit_frames_with_places(pair.made.target.frames, pair.made.scene, pair.made.fit, FREE, start)
    assert other.settled[pair.usable].all()
    np.testing.assert_allclose(other.flux[pair.usable], settled.flux[pair.usable], rtol=1e-3)
    np.testing.assert_allclose(other.x[pair.usable], settled.x[pair.usable], atol=1e-3)


def test_promised_places_cost_less(pair, settled):
    bound = fit_frames_with_places(pair.made.target.frames, pair.made.scene, pair.made.fit, PlaceOptions())
    usable = pair.usable
    apart = [np.std((found.x[:, 1] - found.x[:, 0])[usable]) for found in (settled, bound)]
    assert apart[1] < 0.5 * apart[0]
    noise = [np.std((found.flux[:, 0] - pair.stamp.star_flux[:, 0])[usable]) for found in (settled, bound)]
    assert noise[1] < noise[0]


def test_what_does_not_settle_is_not_a_number(pair):
    start = pair.made.fit.position + 0.2
    hurried = PlaceOptions(own_err=1.0, farthest=1.0, common_err=1e6, iterations=1)
    found = fit_frames_with_places(pair.made.target.frames, pair.made.scene, pair.made.fit, hurried, start)
    assert not found.settled.any()
    for values in (found.flux, found.flux_err, found.x, found.background):
        assert np.isnan(values).all()
