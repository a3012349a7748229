"""Structure of the sky in the errors of light curves: what stays the same beneath a star is none."""

import numpy as np
import pytest

from gaiaflux.series.sky_share import SkyShare, changing_part
from gaiaflux.series.star_summary import ApertureSummary

N, M = 60, 40


class Source:
    def __init__(self, share):
        self.share = share

    def __contains__(self, name):
        return self.share is not None

    def grid(self, name):
        return self.share


def summary(radius):
    nothing = np.zeros(len(radius))
    values = dict.fromkeys(ApertureSummary.__dataclass_fields__, nothing) | {"radius": np.asarray(radius)}
    return ApertureSummary(**values)


def light_curves(changing, seed, share=0.6):
    """Stars with an error of 1, of which the part `share` is structure; `changing` of that differs between frames."""
    rng = np.random.default_rng(seed)
    noise = np.sqrt(1.0 - share) * rng.normal(size=(N, M))
    stays = np.sqrt(share * (1.0 - changing)) * rng.normal(size=(N, 1))
    comes = np.sqrt(share * changing) * rng.normal(size=(N, M))
    return np.full((N, M), share), 50.0 + noise + stays + comes, np.ones((N, M)), np.ones((N, M), bool)


@pytest.mark.parametrize("changing", [0.0, 0.3, 1.0])
def test_stars_show_how_much_of_the_structure_changes(changing):
    found = [changing_part(*light_curves(changing, seed)) for seed in range(8)]
    # A variance of 40 points is known to 37 % by median deviations, the median of 60 stars to 6 % of it.
    assert np.mean(found) == pytest.approx(changing, abs=0.06)
    assert min(found) >= 0.0
    assert max(found) <= 1.0


def test_where_stars_differ_most_of_them_are_told_the_truth():
    # Half of the stars stay as they are, half change.
    still, restless = light_curves(0.0, 4), light_curves(1.0, 5)
    half = [np.concatenate([one[: N // 2], other[N // 2 :]]) for one, other in zip(still, restless, strict=True)]
    assert changing_part(*half) > 0.55


def test_variable_stars_do_not_matter():
    share, flux, error, use = light_curves(0.2, 9)
    flux[:5] += 20.0 * np.sin(np.arange(M))
    assert changing_part(share, flux, error, use) < 0.6


def test_few_stars_or_points_tell_nothing():
    share, flux, error, use = light_curves(0.0, 3)
    assert changing_part(share[:9], flux[:9], error[:9], use[:9]) == 1.0
    assert changing_part(share[:10], flux[:10], error[:10], use[:10]) < 1.0
    use[:, 7:] = False
    assert changing_part(share, flux, error, use) == 1.0


def test_what_stays_is_no_error_of_a_light_curve():
    share = SkyShare(Source(np.full((N, M), 0.75, "f2")), "psf", summary(np.zeros(N, int)), None, 1)
    error = np.full((N, M), 2.0, "f4")
    assert share.less(error, slice(0, N)) is error
    share.changing = 0.0
    np.testing.assert_allclose(share.less(error, slice(0, N)), 1.0, rtol=1e-3)
    share.changing = 0.5
    np.testing.assert_allclose(share.less(error[3:5], slice(3, 5)), 2.0 * np.sqrt(1.0 - 0.375), rtol=1e-3)


def test_the_share_goes_with_the_area_of_the_aperture():
    radii = np.tile([2.0, 4.0, 8.0], (M, 1))
    share = SkyShare(Source(np.full((3, M), 0.5, "f2")), "aperture", summary([0, 1, 2]), radii, 3)
    # Signal of the structure goes with the area, noise of the pixels with its root: 4 times the area, 4 to 1.
    np.testing.assert_allclose(share.of(slice(0, 3))[:, 0], [0.2, 0.5, 0.8])
    np.testing.assert_allclose(share.of(np.array([2, 0]))[:, 0], [0.8, 0.2])


def test_a_method_without_structure_keeps_its_errors():
    share = SkyShare(Source(None), "toy", summary([0]), None, 1)
    share.changing = 0.0
    error = np.ones((1, M))
    assert not share.stated
    assert share.less(error, slice(0, 1)) is error


def test_stars_that_tell_are_spread_over_the_list():
    values = np.zeros((3000, 5), "f2")
    values[::3] = 0.3
    values[3] = np.nan
    share = SkyShare(Source(values), "psf", summary(np.zeros(3000, int)), None, 1)
    rows = share.telling_stars(slice(None))
    assert 300 < rows.size <= 400
    assert (rows % 3 == 0).all()
    assert 3 not in rows
    assert rows[-1] > 2900
