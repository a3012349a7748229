import numpy as np

from gaiaflux.core.cadences.shared_quality import shared_quality

LONG_D, SHORT_D = 1800.0 / 86400.0, 120.0 / 86400.0


def test_bits_of_all_short_exposures_within_a_long_one():
    middle = 100.0 + LONG_D * np.arange(4)
    time = 100.0 - LONG_D / 2 + SHORT_D * (np.arange(60) + 0.5)
    quality = np.zeros(60, np.int32)
    quality[16], quality[29], quality[30] = 32, 8 | 64, 4
    np.testing.assert_array_equal(shared_quality(middle, LONG_D, time, quality), [0, 32 | 8, 4, 0])


def test_order_and_missing_times_do_not_matter():
    rng = np.random.default_rng(5)
    middle = 50.0 + 0.02 * np.arange(30)
    time = rng.uniform(49.9, 50.7, 400)
    quality = rng.integers(0, 1 << 14, 400).astype(np.int32)
    time[::7] = np.nan
    shuffled = rng.permutation(400)
    expected = [np.bitwise_or.reduce(quality[(time >= m - 0.01) & (time < m + 0.01)] & 6191, initial=0) for m in middle]
    assert (1 + 2 + 4 + 8 + 32 + 2048 + 4096) == 6191
    for rows in (slice(None), shuffled):
        np.testing.assert_array_equal(shared_quality(middle, 0.02, time[rows], quality[rows]), expected)
