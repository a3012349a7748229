import numpy as np
import pytest

from gaiaflux.core.sky.focal_plane import Pointing, camera_pointing, ccd_of_sky, seen_from, sky_of_ccd

SECTOR_1 = Pointing(352.6844, -64.8531, 222.1532)
# Camera, CCD, ra, dec and the 0-based column and row that tess-point 0.9.5 gives for sector 1.
TESS_POINT = [
    (1, 1, 322.108, -34.394, 1761.3054, 2019.1959),
    (1, 2, 335.109, -31.969, 1483.4923, 1693.3080),
    (1, 3, 325.707, -23.101, 1374.9347, 526.4379),
    (1, 4, 319.716, -27.548, 345.9924, 957.7377),
    (2, 1, 327.510, -66.401, 459.3483, 704.7871),
    (2, 2, 3.041, -56.042, 1733.9649, 415.1971),
    (2, 3, 344.082, -50.598, 1266.1150, 1757.7986),
    (2, 4, 327.677, -46.310, 417.1837, 220.3565),
    (3, 1, 11.506, -66.419, 1518.9441, 1236.6705),
    (3, 2, 355.579, -66.846, 73.9326, 410.0706),
    (3, 3, 57.007, -73.740, 2008.4229, 202.1394),
    (3, 4, 34.639, -64.057, 1550.9422, 1528.5866),
    (4, 1, 75.519, -61.398, 786.1628, 1768.1084),
    (4, 2, 90.858, -68.827, 299.7148, 1863.0330),
    (4, 3, 106.520, -59.300, 1904.4369, 326.9344),
    (4, 4, 95.848, -62.727, 120.3147, 1342.1997),
]


@pytest.mark.parametrize(("camera", "ccd", "ra", "dec", "column", "row"), TESS_POINT)
def test_pixels_are_those_of_tess_point_and_back(camera, ccd, ra, dec, column, row):
    pointing = camera_pointing(SECTOR_1, camera)
    np.testing.assert_allclose(ccd_of_sky(pointing, camera, ccd, ra, dec), (column, row), atol=1e-3)
    np.testing.assert_allclose(sky_of_ccd(pointing, camera, ccd, column, row), (ra, dec), atol=1e-6)


def test_the_target_of_a_real_file_is_within_a_pixel_of_its_header():
    column, row = ccd_of_sky(camera_pointing(SECTOR_1, 4), 4, 1, 63.3748089, -69.2265116)
    # 1CRV5P + CRPIX of the file of TIC 25155310, both from 1.
    assert abs(column - (1619 + 6.13 - 1 - 1)) < 1.0
    assert abs(row - (389 + 5.27 - 1 - 1)) < 1.0


def test_many_directions_at_once_and_none_from_behind():
    ra, dec = np.array([[107.27, 107.3], [287.27, 107.2]]), np.array([[-70.0, -70.1], [70.0, -69.9]])
    column, row = ccd_of_sky(camera_pointing(SECTOR_1, 4), 4, 3, ra, dec)
    assert column.shape == row.shape == (2, 2)
    assert np.isnan(column[1, 0])
    assert np.isfinite(column).sum() == 3


@pytest.mark.parametrize("turn", [0.0, 180.0])
def test_a_table_of_cameras_or_of_the_spacecraft_says_the_same(turn):
    camera = camera_pointing(SECTOR_1, 4)
    stated = Pointing(camera.ra_deg, camera.dec_deg, camera.roll_deg + turn)
    for pointing in (stated, SECTOR_1):
        found = seen_from(pointing, 4, 3, 107.27, -70.0)
        assert found is not None
        np.testing.assert_allclose(ccd_of_sky(found, 4, 3, 107.27, -70.0), (927.752, 1903.058), atol=1e-2)


def test_a_pointing_elsewhere_puts_the_star_on_no_ccd():
    assert seen_from(Pointing(10.0, 20.0, 30.0), 4, 3, 107.27, -70.0) is None
    assert seen_from(SECTOR_1, 4, 1, 107.27, -70.0) is None


@pytest.mark.parametrize(("camera", "ccd"), [(0, 1), (5, 1), (1, 0), (1, 5)])
def test_other_cameras_and_ccds_are_refused(camera, ccd):
    with pytest.raises(ValueError, match="cameras 1 to 4"):
        ccd_of_sky(SECTOR_1, camera, ccd, 0.0, 0.0)
