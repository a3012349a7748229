import numpy as np

from gaiaflux.model.cadences import StampSeries


def test_a_series_knows_its_shape_and_the_time_at_the_spacecraft():
    cube = np.zeros((3, 4, 5), np.float32)
    series = StampSeries(
        *(cube, cube, cube, cube),
        time=np.array([1.0, 2.0, 3.0]),
        timecorr=np.array([0.25, 0.25, -0.5]),
        cadenceno=np.arange(3),
        quality=np.zeros(3, np.int32),
        pos_corr=np.zeros((3, 2)),
        aperture=np.ones((4, 5), np.int32),
        first_column=50,
        first_row=60,
    )
    assert len(series) == 3
    assert series.shape == (4, 5)
    np.testing.assert_array_equal(series.spacecraft_time, [0.75, 1.75, 3.5])
