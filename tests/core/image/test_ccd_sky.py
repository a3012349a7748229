"""Truth: smooth random fields, a sharp exponential glow, Gaussian stars with a wing, photon noise, cosmic rays."""

import numpy as np
import pytest

from gaiaflux.core.image.ccd_sky import SkyGrid, measure_sky
from gaiaflux.core.image.star_mask import star_mask
from gaiaflux.model.errors import BadFrameError

AXIS = (2147.7, 2103.6)  # (column, row) of the axis of camera 1 on CCD 1
NOISE = np.sqrt(92.0 / 1343.0 + 0.0395)


def smooth_field(rng, shape, scale, amplitude):
    """A Gaussian random field that is smooth over `scale` pixels."""
    size = tuple(2 * n for n in shape)
    frequency = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1]))
    spectrum = np.fft.rfft2(rng.normal(size=size)) * np.exp(-0.5 * (2 * np.pi * frequency * scale) ** 2)
    field = np.fft.irfft2(spectrum, s=size)[: shape[0], : shape[1]]
    return amplitude * (field - field.mean()) / field.std()


def star_light(shape, x, y, flux):
    """Gaussians with a wing, as bright as that of TESS, out to 9 pixels."""
    image = np.zeros(shape)
    for a, b, c in zip(x, y, flux, strict=True):
        columns = np.arange(max(int(a) - 9, 0), min(int(a) + 10, shape[1]))
        rows = np.arange(max(int(b) - 9, 0), min(int(b) + 10, shape[0]))
        along_x, along_y = (np.exp(-0.5 * ((p - q) / 0.85) ** 2) for p, q in ((columns, a), (rows, b)))
        wing = 3e-4 * np.exp(-0.5 * np.hypot(columns - a, rows[:, None] - b))
        image[np.ix_(rows, columns)] += c * (along_y[:, None] * along_x / (2 * np.pi * 0.85**2) + wing)
    return image


def crowd(rng, shape, n):
    """Stars down to magnitude 17, of which those to 16 are in the catalogue."""
    magnitude = 17.0 + np.log10(np.maximum(rng.random(n), 1e-4)) / 0.35
    flux = 10 ** (-0.4 * (magnitude - 20.45))
    return rng.uniform(0, shape[1], n), rng.uniform(0, shape[0], n), flux, magnitude < 16.0


def observed(rng, truth):
    image = truth + rng.normal(size=truth.shape) * np.sqrt(truth / 1343.0 + 0.0395)
    hits = rng.random(truth.shape) < 3e-4
    return (image + hits * rng.exponential(30.0, truth.shape)).astype(np.float32)


def corner_glow(shape, first_row, first_column, height=20.0, scale=100.0):
    y, x = np.indices(shape)
    distance = np.hypot(x + first_column - AXIS[0], y + first_row - AXIS[1])
    glow = height * (np.exp((distance - 2970.0) / scale) - np.exp((2400.0 - 2970.0) / scale))
    return np.where(distance > 2400.0, glow, 0.0), distance


def nothing(shape):
    return np.zeros(shape, np.uint8)


def test_boxes_and_rings_of_frames_and_crops():
    whole = SkyGrid.of((2048, 2048), 1, 1)
    assert (whole.box_pix, whole.mesh_shape, whole.n_rings) == (64, (32, 32), 39)
    crop = SkyGrid.of((128, 128), 1, 4)
    assert (crop.box_pix, crop.mesh_shape) == (32, (4, 4))
    # The axis of a camera is beside the corner in which its four CCDs meet; the far corner is 2,975 pixels away.
    assert whole.distance(0, 0) == pytest.approx(np.hypot(2147.7 - 44, 2103.6), abs=0.1)
    for camera in (1, 2, 3, 4):
        for ccd, (near_x, near_y) in {1: (2047, 2047), 2: (0, 2047), 3: (2047, 2047), 4: (0, 2047)}.items():
            grid = SkyGrid.of((2048, 2048), camera, ccd)
            assert 60.0 < grid.distance(near_x, near_y) < 100.0
            assert 2955.0 < grid.distance(2047 - near_x, 0) < 2990.0
    assert SkyGrid.of((512, 512), 1, 1, first_row=1500, first_column=1500).glow is None


@pytest.mark.parametrize("corner", [(0, 44), (800, 300)])
def test_smooth_sky_glow_and_stars_are_told_apart(corner):
    rng = np.random.default_rng(1)
    shape = (384, 512)
    glow, _ = corner_glow(shape, *corner)
    slope = 0.05 * (np.arange(shape[1]) - 256.0)
    truth = 92.0 + smooth_field(rng, shape, 300.0, 10.0) + slope + glow
    x, y, flux, listed = crowd(rng, shape, 400)
    image = observed(rng, truth + star_light(shape, x, y, flux))
    grid = SkyGrid.of(shape, 1, 1, first_row=corner[0], first_column=corner[1])
    mask = star_mask(x[listed], y[listed], flux[listed], grid, NOISE)
    sky = measure_sky(image, mask, grid)
    assert (sky.glow.size > 0) == (corner == (0, 44))
    error = (image - sky.subtract(image, grid)) - truth
    # Stars that no catalogue has put a light of 0.02 electron/s into every pixel.
    assert abs(error.mean()) < 0.05
    assert error.std() < 0.15
    assert np.abs(error).max() < 1.5


def test_without_the_rings_the_glow_stays_in_the_image():
    rng = np.random.default_rng(2)
    shape = (320, 320)
    glow, distance = corner_glow(shape, 0, 44, 60.0, 25.0)
    image = observed(rng, 92.0 + glow)
    with_rings = SkyGrid.of(shape, 1, 1)
    without = SkyGrid.of(shape, 1, 1, first_row=1000, first_column=1000)
    left = {}
    for name, grid in (("rings", with_rings), ("mesh", without)):
        sky = measure_sky(image, nothing(shape), grid)
        error = (image - sky.subtract(image, grid)) - 92.0 - glow
        left[name] = float(error[distance < 2960.0].std())
    assert left["rings"] < 0.4
    assert left["mesh"] > 4.0 * left["rings"]


def test_errors_of_boxes_are_what_they_say():
    rng = np.random.default_rng(3)
    shape = (256, 256)
    grid = SkyGrid.of(shape, 1, 1, first_row=1000, first_column=1000)
    mask = (rng.random(shape) < 0.3).astype(np.uint8)
    pulls = []
    for _ in range(60):
        sky = measure_sky(observed(rng, np.full(shape, 92.0)), mask, grid)
        pulls.append((sky.level - 92.0) / sky.level_err)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.1)
    assert abs(np.mean(pulls)) < 0.25  # of 0.008 electron/s, by cosmic rays within the clipping


def test_errors_of_rings_are_those_of_their_means():
    rng = np.random.default_rng(4)
    shape = (256, 256)
    grid = SkyGrid.of(shape, 1, 1)
    glow, _ = corner_glow(shape, 0, 44)
    found = [measure_sky(observed(rng, 92.0 + glow), nothing(shape), grid) for _ in range(24)]
    # Mesh and glow share a smooth part; from ring to ring the mesh hardly changes.
    steps = np.std(np.diff([sky.glow for sky in found], axis=1)[:, 10:-2], axis=0, ddof=1)
    stated = np.mean([np.hypot(sky.glow_err[10:-3], sky.glow_err[11:-2]) for sky in found], axis=0)
    # Where they hardly differ, the median of three has two thirds of the noise of one.
    assert 0.5 < np.median(steps / stated) < 1.1


def test_a_mask_of_the_catalogue_takes_the_bias_of_a_crowd():
    rng = np.random.default_rng(5)
    shape = (256, 256)
    x, y, flux, listed = crowd(rng, shape, 4000)  # one to 16 pixels
    image = observed(rng, 92.0 + star_light(shape, x, y, flux))
    grid = SkyGrid.of(shape, 1, 1, first_row=1000, first_column=1000)
    mask = star_mask(x[listed], y[listed], flux[listed], grid, NOISE)
    masked, plain = (measure_sky(image, covered, grid).level - 92.0 for covered in (mask, nothing(shape)))
    # 1.7 electron/s without, 0.5 with it: of the stars between magnitude 16 and 17.
    assert plain.mean() > 1.0
    assert abs(masked.mean()) < 0.4 * plain.mean()


def test_the_sky_adds_little_to_the_noise_of_a_star():
    rng = np.random.default_rng(6)
    shape = (256, 256)
    grid = SkyGrid.of(shape, 1, 1, first_row=1000, first_column=1000)
    added = []
    aperture = (slice(118, 123), slice(118, 123))
    for _ in range(40):
        image = observed(rng, np.full(shape, 92.0))
        sky = image - measure_sky(image, nothing(shape), grid).subtract(image, grid)
        added.append((sky[aperture] - 92.0).sum())
    ratio = np.std(added) / (NOISE * 5.0)
    assert ratio < 0.15


def test_a_slope_and_a_one_sided_mask_do_not_move_the_sky():
    # Stars on the left of every box: without the slope the mean would be that of the right half, 3.2 higher.
    rng = np.random.default_rng(7)
    shape = (256, 256)
    truth = 92.0 + 0.2 * np.arange(256.0) * np.ones((256, 1))
    mask = nothing(shape)
    mask[:, np.arange(256) % 64 < 32] = 1
    grid = SkyGrid.of(shape, 1, 1, first_row=1000, first_column=1000)
    image = observed(rng, truth)
    error = (image - measure_sky(image, mask, grid).subtract(image, grid)) - truth
    assert np.abs(error).max() < 0.15


def test_an_empty_box_has_the_plane_of_those_around_it():
    rng = np.random.default_rng(8)
    shape = (384, 384)
    grid = SkyGrid.of(shape, 1, 1, first_row=1000, first_column=1000)
    truth = 92.0 + 0.2 * np.arange(384.0) - 0.1 * np.arange(384.0)[:, None]
    image = observed(rng, truth)
    mask = nothing(shape)
    mask[:64, :64] = 1
    mask[192:256, 192:256] = 1
    image[:64, 320:] = np.nan
    sky = measure_sky(image, mask, grid)
    middles = np.arange(6) * 64 + 31.5
    np.testing.assert_allclose(sky.level, 92.0 + 0.2 * middles - 0.1 * middles[:, None], atol=0.1)
    empty = np.zeros((6, 6), bool)
    empty[[0, 3, 0], [0, 3, 5]] = True
    assert sky.level_err[empty].min() > 10.0 * sky.level_err[~empty].max()
    # Every second row is looked at.
    assert sky.n_used == pytest.approx(33 * 2048, rel=0.02)


def test_hopeless_frames_say_why():
    grid = SkyGrid.of((128, 128), 1, 1)
    image = np.full((128, 128), 7.0, np.float32)
    with pytest.raises(BadFrameError, match="same value"):
        measure_sky(image, nothing(image.shape), grid)
    with pytest.raises(BadFrameError, match="no clean pixels"):
        measure_sky(image, np.ones(image.shape, bool), grid)
    with pytest.raises(BadFrameError, match="no clean pixels"):
        measure_sky(image * np.nan, nothing(image.shape), grid)


def test_pixels_that_are_not_finite_do_not_count():
    rng = np.random.default_rng(9)
    image = observed(rng, np.full((128, 128), 92.0))
    grid = SkyGrid.of((128, 128), 1, 4)
    bad = rng.random(image.shape) < 0.1
    holed = np.where(bad, np.nan, image).astype(np.float32)
    masked, unmasked = measure_sky(image, bad, grid), measure_sky(holed, nothing(image.shape), grid)
    np.testing.assert_array_equal(masked.level, unmasked.level)
    assert masked.n_used == unmasked.n_used
