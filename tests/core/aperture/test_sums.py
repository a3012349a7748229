import numpy as np
import pytest
from photutils.aperture import CircularAperture
from photutils.geometry import circular_overlap_grid

from gaiaflux.core.aperture.overlap import circle_overlap
from gaiaflux.core.aperture.sums import Filling, sum_circles
from gaiaflux.core.psf.moffat import MoffatProfile
from gaiaflux.model.flags import PixelFlag, StarFlag
from gaiaflux.sim.moffat_field import PsfField, add_stars

RADII = np.array([0.4, 1.0, 2.5, 4.0, 8.3])
SHAPE = (120, 140)


def flat_psf(fwhm=4.0, beta=3.0, ellipticity=0.0):
    zero = np.zeros(6)
    return PsfField(SHAPE, beta, np.array([fwhm, 0, 0, 0, 0, 0]), np.array([ellipticity, 0, 0, 0, 0, 0]), zero)


def star_image(x, y, flux, sky=0.0, **psf):
    image = np.zeros(SHAPE, np.float32)
    add_stars(image, flat_psf(**psf), np.array(x), np.array(y), np.array(flux), faintest=1e-4)
    return image + np.float32(sky)


def no_flags():
    return np.zeros(SHAPE, np.uint8)


@pytest.mark.parametrize("radius", [0.2, 0.5, 0.71, 1.0, 2.3, 5.0, 17.4])
def test_overlap_of_pixel_and_circle(radius):
    rng = np.random.default_rng(1)
    n = 300
    angle, distance = rng.uniform(0, 2 * np.pi, n), np.abs(radius + rng.uniform(-1.2, 1.2, n))
    dx, dy = distance * np.cos(angle), distance * np.sin(angle)
    dx[:4], dy[:4] = [0.0, radius, 0.5, radius + 0.5], [0.0, 0.0, 0.5, 0.0]
    expected = [
        circular_overlap_grid(i - 0.5, i + 0.5, j - 0.5, j + 0.5, 1, 1, radius, 1, 1)[0, 0]
        for i, j in zip(dx, dy, strict=True)
    ]
    np.testing.assert_allclose(circle_overlap(dx, dy, radius), expected, rtol=0, atol=1e-10)


def test_area_of_the_circle():
    rng = np.random.default_rng(2)
    x, y = rng.uniform(20, 90, (2, 50))
    sums = sum_circles(np.ones(SHAPE, np.float32), no_flags(), x, y, RADII)
    np.testing.assert_allclose(sums.total, np.broadcast_to(np.pi * RADII**2, (50, 5)), rtol=1e-9)
    assert not sums.flags.any()
    assert not sums.filled.any()


def test_sums_agree_with_photutils():
    rng = np.random.default_rng(3)
    image = rng.normal(50, 20, SHAPE).astype(np.float32)
    error = rng.uniform(1, 5, SHAPE).astype(np.float32)
    x, y = rng.uniform(15, 100, (2, 40))
    x[0], y[0] = 50.0, 60.0
    x[1], y[1] = 50.5, 60.5
    sums = sum_circles(image, no_flags(), x, y, RADII, noise=error)
    for k, radius in enumerate(RADII):
        apertures = CircularAperture(np.c_[x, y], radius)
        total, _ = apertures.do_photometry(image.astype(float), method="exact")
        np.testing.assert_allclose(sums.total[:, k], total, rtol=1e-9, atol=1e-9)
        # The variance of sum w p is sum w^2 sigma^2.
        masks = apertures.to_mask(method="exact")
        variance = [np.sum(mask.data**2 * mask.cutout(error.astype(float)) ** 2) for mask in masks]
        np.testing.assert_allclose(sums.variance[:, k], variance, rtol=1e-6)


def test_sums_agree_with_sep():
    sep = pytest.importorskip("sep")
    rng = np.random.default_rng(4)
    image = rng.normal(50, 20, SHAPE).astype(np.float32)
    x, y = rng.uniform(15, 100, (2, 40))
    total, _, _ = sep.sum_circle(image, x, y, 4.0, subpix=0)
    np.testing.assert_allclose(sum_circles(image, no_flags(), x, y, RADII).total[:, 3], total, rtol=1e-5)


def test_error_is_the_scatter_of_repeated_images():
    rng = np.random.default_rng(5)
    floor, slope = 30.0, 0.7
    x, y = np.full(3, 60.3), np.array([30.2, 60.0, 89.9])
    mean = star_image(x, y, [2e4, 500.0, 0.0], sky=90.0)
    found, variance = [], []
    for _ in range(400):
        image = (mean + rng.normal(0, np.sqrt(floor + slope * mean))).astype(np.float32)
        sums = sum_circles(image, no_flags(), x, y, RADII[1:], noise=(floor, slope))
        found.append(sums.total)
        variance.append(sums.variance)
    ratio = np.std(found, axis=0) / np.sqrt(np.mean(variance, axis=0))
    np.testing.assert_allclose(ratio, 1.0, atol=0.12)


@pytest.mark.parametrize("ellipticity", [0.0, 0.15])
def test_bad_pixels_get_the_light_of_the_opposite_ones(ellipticity):
    x, y = np.array([60.3]), np.array([55.8])
    image = star_image(x, y, [1e5], sky=20.0, ellipticity=ellipticity)
    whole = sum_circles(image, no_flags(), x, y, RADII).total
    flags = no_flags()
    flags[54, 62] = PixelFlag.BAD
    flags[58, 60] = PixelFlag.NONFINITE
    holed = image.copy()
    holed[flags != 0] = -1e6
    profile = MoffatProfile.from_fwhm(4.0)
    sums = sum_circles(holed, flags, x, y, RADII, filling=Filling(profile, 20.0), noise=(10.0, 1.0))
    np.testing.assert_allclose(sums.total[0, 2:], whole[0, 2:], rtol=0.004)
    assert (sums.flags[0] == [0, 0, *3 * [StarFlag.BAD_PIXEL]]).all()
    assert (sums.filled[0, 2:] > 0.02).all()
    assert (sums.filled[0, :2] == 0).all()
    assert (np.abs(sums.total - whole) < np.sqrt(sums.variance)).all()


@pytest.mark.parametrize("x", [60.0, 60.5])
def test_a_star_unlike_the_profile_is_filled_from_its_other_side(x):
    # Twice as wide as the profile and elongated, but the same on both sides.
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
    light = 4000.0 * np.exp(-0.5 * (((xx - x) / 4.0) ** 2 + ((yy - 55.0) / 2.5) ** 2))
    image = (light + 20.0).astype(np.float32)
    flags = no_flags()
    flags[54, 62] = flags[57, 57] = PixelFlag.BAD
    holed = np.where(flags > 0, np.float32(-1e5), image)
    profile = MoffatProfile.from_fwhm(4.0)
    radii = np.array([4.0, 8.3])
    keywords = {"filling": Filling(profile, 20.0), "noise": (10.0, 1.0)}
    whole = sum_circles(image, no_flags(), np.array([x]), np.array([55.0]), radii, **keywords)
    filled = sum_circles(holed, flags, np.array([x]), np.array([55.0]), radii, **keywords)
    np.testing.assert_allclose(filled.total, whole.total, rtol=1e-5)
    assert (filled.variance > whole.variance).all()
    # Where the other side is bad as well there is the profile alone.
    flags[56, round(2 * x) - 62] = PixelFlag.BAD
    both = sum_circles(
        np.where(flags > 0, np.float32(-1e5), image), flags, np.array([x]), np.array([55.0]), radii, **keywords
    )
    assert (np.abs(both.total / whole.total - 1) > 1e-3).all()
    assert (both.variance > filled.variance).all()


def test_without_a_profile_nothing_is_filled():
    flags = no_flags()
    flags[50, 50] = PixelFlag.BAD
    sums = sum_circles(np.ones(SHAPE, np.float32), flags, np.array([50.0]), np.array([50.0]), np.array([3.0]))
    assert sums.total[0, 0] == pytest.approx(np.pi * 9 - 1)
    assert sums.flags[0, 0] == StarFlag.BAD_PIXEL


def test_central_pixels_and_columns_are_filled_from_the_profile():
    profile = MoffatProfile.from_fwhm(4.0)
    x, y = np.array([40.2, 80.0]), np.array([60.1, 60.0])
    image = star_image(x, y, [1e5, 1e5], sky=20.0)
    whole = sum_circles(image, no_flags(), x, y, RADII).total
    flags = no_flags()
    flags[60, 40] = PixelFlag.BAD
    flags[:, 80] = PixelFlag.BAD
    holed = np.where(flags != 0, np.float32(0), image)
    sums = sum_circles(holed, flags, x, y, RADII, filling=Filling(profile, 20.0), noise=(10.0, 1.0))
    np.testing.assert_allclose(sums.total[:, 2:], whole[:, 2:], rtol=0.02)
    # All of the smallest aperture is in the dead pixels: nothing is known there.
    assert np.isnan(sums.total[:, 0]).all()
    assert (sums.flags[:, 0] & StarFlag.NOT_MEASURED).all()


def test_error_with_filled_pixels():
    rng = np.random.default_rng(6)
    profile = MoffatProfile.from_fwhm(4.0)
    x, y = np.array([60.3, 60.0]), np.array([35.8, 85.0])
    mean = star_image(x, y, [800.0, 800.0], sky=100.0)
    flags = no_flags()
    flags[34:36, 61] = PixelFlag.BAD
    flags[83:88, 60] = PixelFlag.BAD
    true = sum_circles(mean, no_flags(), x, y, RADII[2:]).total
    pulls = []
    for _ in range(300):
        image = (mean + rng.normal(0, np.sqrt(mean))).astype(np.float32)
        image[flags != 0] = 0
        options = {"noise": (0.0, 1.0), "filling": Filling(profile, 100.0)}
        sums = sum_circles(image, flags, x, y, RADII[2:], **options)
        pulls.append((sums.total - true) / np.sqrt(sums.variance))
    assert (np.std(pulls, axis=0) > 0.85).all()
    assert (np.std(pulls, axis=0) < 1.1).all()
    assert (np.abs(np.mean(pulls, axis=0)) < 0.25).all()


def test_edge_corner_and_beyond():
    x = np.array([2.0, 0.0, -0.4, -0.6, 139.4, 139.6, np.nan, 60.0, 1e9])
    y = np.array([60.0, 0.0, 30.0, 60.0, 119.4, 60.0, 60.0, np.nan, 5.0])
    inside = [0, 1, 2, 4]
    image = star_image(x[inside], y[inside], [1e5] * 4, sky=10.0)
    profile = MoffatProfile.from_fwhm(4.0)
    sums = sum_circles(image, no_flags(), x, y, np.array([1.5, 4.0]), filling=Filling(profile, 10.0))
    off = np.ones(9, bool)
    off[inside] = False
    assert (sums.flags[off] == StarFlag.OFF_IMAGE).all()
    assert np.isnan(sums.total[off]).all()
    assert np.isnan(sums.variance[off]).all()
    assert sums.flags[0].tolist() == [0, StarFlag.EDGE]
    assert (sums.flags[[1, 2]] & StarFlag.EDGE).all()
    light = sums.total[:, 1] - np.pi * 16 * 10.0
    np.testing.assert_allclose(light[[0, 1, 2]], 1e5 * profile.growth(4.0), rtol=0.02)
    assert sums.filled[2, 1] == pytest.approx(0.5, abs=0.1)
    # Three quarters of this one are missing.
    assert sums.filled[4, 1] > 0.7


def test_saturated_pixels_keep_their_counts():
    x = y = np.array([50.0])
    image = star_image(x, y, [1e5])
    flags = no_flags()
    flags[50, 50] = PixelFlag.SATURATED
    flags[50, 53] = PixelFlag.SATURATED
    sums = sum_circles(image, flags, x, y, RADII, filling=Filling(MoffatProfile(4.0, 3.0)))
    np.testing.assert_allclose(sums.total, sum_circles(image, no_flags(), x, y, RADII).total)
    assert (sums.flags == StarFlag.SATURATED).all()


def test_cosmic_ray_has_its_own_bit():
    flags = no_flags()
    flags[50, 52] = PixelFlag.COSMIC_RAY
    image = star_image([50.0], [50.0], [1e5])
    image[50, 52] = 1e6
    sums = sum_circles(
        image, flags, np.array([50.0]), np.array([50.0]), RADII, filling=Filling(MoffatProfile(3.9, 3.0))
    )
    assert sums.flags[0].tolist() == [0, 0, *3 * [StarFlag.COSMIC_RAY]]
    assert (sums.total < 1.05e5).all()


def test_no_stars_and_wrong_input():
    image = np.ones(SHAPE, np.float32)
    empty = np.zeros(0)
    assert sum_circles(image, no_flags(), empty, empty, RADII).total.shape == (0, 5)
    with pytest.raises(ValueError, match="increasing"):
        sum_circles(image, no_flags(), empty, empty, np.array([2.0, 1.0]))
    for radii in ([2.0, 2.0], [0.0, 1.0], [], [[1.0, 2.0]]):
        with pytest.raises(ValueError, match="increasing"):
            sum_circles(image, no_flags(), empty, empty, np.array(radii))
    with pytest.raises(ValueError, match="shapes"):
        sum_circles(image, np.zeros((3, 3), np.uint8), empty, empty, RADII)
    with pytest.raises(ValueError, match="one length"):
        sum_circles(image, no_flags(), empty, np.zeros(1), RADII)


@pytest.mark.parametrize("side", ["left", "right", "bottom", "top"])
def test_the_edge_begins_where_the_circle_leaves_the_last_pixel(side):
    # Pixels reach from -0.5 to n - 0.5; two of these circles end just inside of that, two just beyond.
    depth = np.array([-0.5 + 4.0 + 0.01, -0.5 + 4.0 - 0.01, -0.5 + 2.5 + 0.01, -0.5 + 2.5 - 0.01])
    middle = np.full(4, 60.0)
    length = SHAPE[1] if side in ("left", "right") else SHAPE[0]
    along = depth if side in ("left", "bottom") else length - 1 - depth
    x, y = (along, middle) if side in ("left", "right") else (middle, along)
    sums = sum_circles(np.ones(SHAPE, np.float32), no_flags(), x, y, np.array([2.5, 4.0]))
    edge = StarFlag.EDGE
    assert sums.flags.tolist() == [[0, 0], [0, edge], [0, edge], [edge, edge]]
    # Without a profile nothing is filled in: what is missing is missing.
    whole = np.pi * np.array([2.5, 4.0]) ** 2
    np.testing.assert_allclose(sums.total[0], whole, rtol=1e-9)
    assert (sums.total[3] < whole).all()
