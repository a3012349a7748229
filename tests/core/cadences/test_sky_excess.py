import numpy as np
import pytest

from gaiaflux.core.cadences.sky_excess import Region, excess_flags, excluded_region, sky_excess, without_light


def tiles(rng, n=200, rows=2, columns=3):
    """Excess of tiles around values of their own, 0.5 electron/s of noise."""
    return (rng.normal(0.0, 30.0, (rows, columns)) + rng.normal(0.0, 0.5, (n, rows, columns))).astype(np.float32)


def test_the_median_of_a_tile_and_no_star_of_it():
    rng = np.random.default_rng(1)
    mean_image = rng.normal(50.0, 20.0, (16, 16))
    images = mean_image + rng.normal(0.0, 1.0, (30, 16, 16))
    images[:, 4:8, 4:8] += 1e4 * rng.random((30, 1, 1))
    images[7] += 55.0
    images[8, :10] = np.nan
    images[9] = np.nan
    excess = sky_excess(images, mean_image)
    assert excess[7] == pytest.approx(55.0, abs=0.5)
    assert np.isnan(excess[9])
    assert np.abs(np.delete(excess, [7, 9])).max() < 0.6
    assert excess.dtype == np.float32
    # Independent of numpy's median: half of the pixels lie below.
    assert np.mean((images[3] - mean_image) < excess[3]) == pytest.approx(0.5, abs=0.01)
    whole = sky_excess(images[:8], mean_image)
    np.testing.assert_array_equal(whole, excess[:8])


def test_sudden_excess_of_either_sign_is_flagged_where_and_when_it_is():
    rng = np.random.default_rng(2)
    excess = tiles(rng)
    excess[50, 1, 2] += 45.0
    excess[60, 0, 0] -= 45.0
    excess[70, 1, 1] += 35.0
    excess[80, 0, 1] = np.nan
    flags = excess_flags(excess, np.ones(200, bool))
    assert flags.shape == excess.shape
    assert np.argwhere(flags).tolist() == [[50, 1, 2], [60, 0, 0]]
    assert excess_flags(excess, np.ones(200, bool), limit=30.0)[70, 1, 1]


def test_a_day_of_stray_light_does_not_become_usual():
    rng = np.random.default_rng(3)
    excess = tiles(rng, n=250)
    excess[100:148] += 80.0  # two of ten blocks in a row
    flags = excess_flags(excess, np.ones(250, bool))
    assert flags[100:148].all()
    assert not np.delete(flags, range(100, 148), axis=0).any()


def test_what_is_usual_is_known_by_good_frames():
    rng = np.random.default_rng(4)
    excess = tiles(rng)
    good = np.arange(200) < 60
    excess[60:] += 100.0
    flags = excess_flags(excess, good)
    assert flags[60:].all()
    assert not flags[:60].any()
    # Where no frame is good, all of them say what is usual.
    assert excess_flags(excess, np.zeros(200, bool)).any()
    assert not excess_flags(excess[:60], np.zeros(60, bool)).any()
    assert not excess_flags(np.full((10, 2), np.nan), np.ones(10, bool)).any()


MARS = 56999.5 + 1325.8812823 + 0.5 / 48  # middle of the last frame that Mars floods
EARTH = (56999.5 + 1464.0158778, 56999.5 + 1464.265871)
STEP = 1.0 / 48.0
BARYCORR = 500.0 / 86400.0


@pytest.mark.parametrize("correction", [0.0, BARYCORR])
@pytest.mark.parametrize(
    ("frame", "columns"),
    [
        ((1, 1, 4, MARS), (1536, 2048)),
        ((1, 1, 4, MARS + STEP - BARYCORR), None),
        ((1, 1, 3, MARS), None),
        ((1, 2, 4, MARS), None),
        ((2, 1, 4, MARS), None),
        ((5, 1, 4, EARTH[0]), (0, 2048)),
        ((5, 1, 2, EARTH[1]), (0, 2048)),
        ((5, 1, 2, EARTH[0] - STEP), None),
        ((5, 1, 2, EARTH[1] + STEP - BARYCORR), None),
        ((5, 2, 2, EARTH[0]), None),
        ((32, 1, 2, EARTH[0]), None),
    ],
)
def test_mars_and_earth(frame, columns, correction):
    sector, camera, ccd, mjd = frame
    region = excluded_region(sector, camera, ccd, mjd + correction, (2048, 2048))
    assert region == (None if columns is None else Region(0, 2048, *columns))


def test_a_crop_takes_what_falls_into_it():
    def columns(shape, first_column):
        region = excluded_region(1, 1, 4, MARS, shape, first_column)
        return region and region[2:]

    assert columns((128, 128), 44) is None
    assert columns((128, 128), 1600) == (0, 128)
    assert columns((128, 100), 1500) == (80, 100)
    assert columns((128, 80), 1500) is None


def test_frames_without_light():
    assert without_light(np.zeros((4, 4)))
    assert without_light(np.full((4, 4), np.nan))
    assert not without_light(np.eye(4))
    assert not without_light(np.where(np.eye(4) > 0, 3.0, np.nan))
