import numpy as np

from gaiaflux.core.psf.good_stars import choose_good_stars

LADDER = ((100.0, 0.01), (50.0, 0.1), (20.0, 0.5))
SNR = np.array([30.0, 300.0, np.nan, 120.0, 60.0, 500.0, 90.0])
SHARE = np.array([0.3, 0.005, 0.0, 0.05, 0.02, 0.001, np.nan])
FIT = np.array([True, True, True, True, True, False, True])


def test_the_strictest_rung_that_enough_stars_meet():
    for wanted, expected in ((1, [1]), (2, [1, 3, 4]), (3, [1, 3, 4]), (4, [1, 3, 4, 0]), (9, [1, 3, 4, 0])):
        assert choose_good_stars(FIT, SNR, SHARE, LADDER, wanted, 10).tolist() == expected


def test_no_more_than_asked_for_and_none_at_all():
    assert choose_good_stars(FIT, SNR, SHARE, LADDER, 3, 2).tolist() == [1, 3]
    assert choose_good_stars(np.zeros(7, bool), SNR, SHARE, LADDER, 3, 2).dtype == np.int64
