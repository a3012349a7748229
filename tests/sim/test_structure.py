import numpy as np
import pytest

from gaiaflux.sim.detector import Camera
from gaiaflux.sim.imperfect_camera import (
    ImperfectCamera,
    add_ghosts,
    add_trail,
    amplifiers,
    bleed,
    flat_errors,
    hot_pixels,
)
from gaiaflux.sim.pointing import plate_solution
from gaiaflux.sim.structure import SkyStructure, fringes, nebula, on_frame, random_field

SMALL = Camera(shape=(300, 400), distortion_arcsec=0.0)


def correlation_at(field, shift):
    return float(np.mean(field * np.roll(field, shift, axis=1)))


def test_random_fields_have_their_scale():
    field = random_field((512, 512), 30.0, np.random.default_rng(1))
    assert field.std() == pytest.approx(1.0)
    assert correlation_at(field, 30) == pytest.approx(0.25, abs=0.1)  # a Gaussian's square at its FWHM: 2^-2
    assert abs(correlation_at(field, 150)) < 0.15


def test_flat_errors_have_their_size():
    flat = flat_errors(ImperfectCamera(SMALL, flat=0.01), np.random.default_rng(2))
    assert flat.std() == pytest.approx(0.01)
    assert np.all(flat_errors(ImperfectCamera(SMALL), np.random.default_rng(2)) == 1.0)


def test_nebula_is_as_bright_as_asked_and_half_dark():
    sky = nebula(SkyStructure(nebula=0.15), (400, 500), np.random.default_rng(3))
    assert sky.max() == pytest.approx(0.15)
    assert sky.min() == 0.0
    assert np.mean(sky == 0.0) == pytest.approx(0.5, abs=0.1)


def test_nebula_stays_on_the_sky():
    """A knot lies under the same star in frames of different pointing and rotation."""
    from gaiaflux.core.sky.projection import plane_to_sky, sky_to_pixel

    centre, scale = (288.0, -29.0), SMALL.pixel_scale_arcsec
    sky_map = np.zeros((601, 701))
    sky_map[340, 300] = 1.0  # 40 pixels north, 50 east of the middle
    sky = plane_to_sky(centre, np.array([50.0 * scale / 3600.0]), np.array([40.0 * scale / 3600.0]))
    for offset, rotation in ((0.0, 0.0), (0.004, 20.0)):
        wcs = plate_solution(SMALL, (centre[0] + offset, centre[1] + offset), rotation, None)
        seen = on_frame(sky_map, centre, scale, wcs)
        rows, columns = np.mgrid[: seen.shape[0], : seen.shape[1]]
        x, y = ((seen * a).sum() / seen.sum() for a in (columns, rows))
        expected = sky_to_pixel(wcs, *sky)
        assert (x, y) == pytest.approx((expected[0][0], expected[1][0]), abs=0.3)


def test_fringes_have_their_period():
    pattern = fringes(SkyStructure(fringes=0.03, fringe_period_pix=40.0), (256, 256), np.random.default_rng(4))
    assert np.abs(pattern).max() <= 0.03
    assert pattern.std() == pytest.approx(0.03 / np.sqrt(2.0), rel=0.1)
    power = np.abs(np.fft.fft2(pattern)) ** 2
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None, :])
    assert (power * frequency).sum() / power.sum() == pytest.approx(1 / 40, rel=0.25)


def test_four_amplifiers():
    gain, bias = amplifiers(ImperfectCamera(SMALL, gain_step=0.06, bias_step=20.0))
    assert sorted(set(gain.ravel())) == pytest.approx([0.94, 0.97, 1.042, 1.06])
    assert len(np.unique(bias)) == 4
    assert np.abs(bias).max() == 20.0
    assert np.ptp(gain[:150, :200]) == 0.0


def test_charge_bleeds_along_columns_and_none_is_lost():
    light = np.full((101, 50), 100.0, dtype=np.float32)
    light[50, 20] = 21_000.0
    light[0, 5] = 3000.0
    result = bleed(light, 1000.0)
    assert result.max() == 1000.0
    column = result[:, 20] >= 1000.0
    assert column.sum() in (22, 23)
    assert column[50]
    assert result[:, 20].sum() == pytest.approx(light[:, 20].sum(), rel=1e-6)
    np.testing.assert_array_equal(result[:, 21], light[:, 21])
    assert result[:, 5].sum() == pytest.approx(light[:, 5].sum() - 1000.0)  # half of the excess left over the edge


def test_ghosts_have_their_light():
    light = np.zeros(SMALL.shape, dtype=np.float32)
    add_ghosts(light, np.array([200.0, 50.0]), np.array([150.0, 150.0]), np.array([1e6, 1.0]), 0.5)
    assert light.sum(dtype=np.float64) == pytest.approx(1e6, rel=0.01)
    assert light[150, 200] == 0.0


def test_trails_cross_the_image():
    light = np.zeros(SMALL.shape, dtype=np.float32)
    add_trail(light, 4.0, np.random.default_rng(5))
    bright = light > 0.5 * light.max()
    rows, columns = np.nonzero(bright)
    ends = np.abs(np.subtract(((rows.min(), columns.min()), (rows.max(), columns.max())), ((0, 0), (299, 399))))
    assert np.sum(ends == 0) >= 2  # from one edge to another
    assert 300.0 < light.max() <= 3170.0


def test_hot_pixels():
    rows, columns, charge = hot_pixels(ImperfectCamera(SMALL, hot_pixels=50), np.random.default_rng(6))
    assert len(rows) == len(columns) == 50
    assert rows.max() < 300 <= 400 > columns.max()
    assert charge.min() >= 100.0
