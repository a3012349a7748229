import numpy as np
import pytest
from astropy.stats import sigma_clip
from astropy.table import Table
from photutils.aperture import CircularAperture, aperture_photometry

from gaiaflux import run_aperture_photometry

SKY, READ_NOISE = 300.0, 8.0


@pytest.fixture(scope="module")
def scene():
    """Isolated stars of 1.3 pixels sigma on a flat sky: image, error, positions, and the stars' light alone."""
    rng = np.random.default_rng(11)
    ny, nx = 900, 1100
    y, x = (grid.ravel() + rng.uniform(-2, 2, grid.size) for grid in np.mgrid[15 : ny - 14 : 22.0, 15 : nx - 14 : 22.0])
    light = np.zeros((ny, nx))
    for xs, ys, flux in zip(x, y, 10 ** rng.uniform(2, 5, x.size), strict=True):
        i, j = int(xs), int(ys)
        box = np.s_[j - 10 : j + 12, i - 10 : i + 12]
        v, u = np.mgrid[box]
        light[box] += flux / (2 * np.pi * 1.69) * np.exp(-((u - xs) ** 2 + (v - ys) ** 2) / 3.38)
    image = rng.poisson(light + SKY) + rng.normal(0, READ_NOISE, light.shape)
    return image, np.sqrt(light + SKY + READ_NOISE**2), np.stack([x, y], axis=1), light


def test_columns(scene):
    image, error, positions, _ = scene
    table = run_aperture_photometry(image, error, positions[:3], 4.0)
    assert type(table) is Table
    assert table.colnames == ["id", "x_center", "y_center", "aperture_sum", "aperture_sum_err"]
    np.testing.assert_array_equal(table["id"], [1, 2, 3])
    np.testing.assert_array_equal(np.stack([table["x_center"], table["y_center"]], axis=1), positions[:3])


@pytest.mark.parametrize("radius", [1.5, 4.0, 7.0])
def test_sums_are_unbiased_and_errors_are_true(scene, radius):
    image, error, positions, light = scene
    table = run_aperture_photometry(image, error, positions, radius)
    truth = aperture_photometry(light, CircularAperture(positions, radius))["aperture_sum"]
    pulls = np.asarray((table["aperture_sum"] - truth) / table["aperture_sum_err"])
    assert len(pulls) > 1800
    assert abs(pulls.mean()) < 4 / np.sqrt(len(pulls))
    assert pulls.std() == pytest.approx(1.0, abs=0.05)


def test_background_is_the_clipped_median_of_the_annulus(scene):
    image, error, positions, _ = scene
    x, y = positions[40]
    rows, columns = np.indices(image.shape)
    distance = np.hypot(columns - x, rows - y)
    annulus = (distance >= 7.0) & (distance <= 9.0)
    aperture = CircularAperture((x, y), 4.0)
    weights = aperture.to_mask().to_image(image.shape)

    def check(image):
        table = run_aperture_photometry(image, error, positions[40], 4.0)
        used = sigma_clip(image[annulus & np.isfinite(image)], sigma=3, maxiters=None, stdfunc="mad_std", masked=False)
        median, scatter = np.median(used), used.std()
        level = (aperture.do_photometry(image)[0][0] - table["aperture_sum"][0]) / aperture.area
        assert level == pytest.approx(median, abs=0.3)
        sky = aperture.area**2 * np.pi / 2 * scatter**2 / used.size
        assert table["aperture_sum_err"][0] == pytest.approx(np.sqrt((weights**2 * error**2).sum() + sky), rel=0.03)
        return level

    clean = check(image)
    # A neighbour on a sixth of the annulus, and two lost pixels: the rest counts.
    spoiled = image.copy()
    spoiled[annulus & (columns > x + 7.5)] += 500.0
    spoiled[(rows == int(y)) & (columns == int(x - 8))] = np.nan
    spoiled[(rows == int(y + 8)) & (columns == int(x))] = np.nan
    assert check(spoiled) == pytest.approx(clean, abs=2.5)


def test_what_cannot_be_measured_is_nan(scene):
    image, error, positions, _ = scene
    image = image.copy()
    image[int(positions[1, 1]), int(positions[1, 0])] = np.nan
    error = error.copy()
    error[int(positions[2, 1]), int(positions[2, 0])] = np.nan
    odd = [positions[0], positions[1], positions[2], (-30.0, 5.0), (np.nan, 5.0), (1e9, 5.0), (0.0, 100.3)]
    table = run_aperture_photometry(image, error, odd, 4.0)
    np.testing.assert_array_equal(np.isfinite(table["aperture_sum"]), [1, 0, 1, 0, 0, 0, 1])
    np.testing.assert_array_equal(np.isfinite(table["aperture_sum_err"]), [1, 1, 0, 0, 0, 0, 1])


def test_an_aperture_over_the_edge_has_what_is_inside():
    table = run_aperture_photometry(np.full((50, 60), 7.0), np.ones((50, 60)), [(-0.5, 20.0), (30.0, 20.0)], 5.0)
    # The sky alone: nothing is left of it, also where half of the circle is missing.
    np.testing.assert_allclose(table["aperture_sum"], 0.0, atol=1e-9)
    assert table["aperture_sum_err"][0] == pytest.approx(table["aperture_sum_err"][1] / np.sqrt(2), rel=0.05)


def test_no_position_gives_no_row():
    assert len(run_aperture_photometry(np.ones((9, 9)), np.ones((9, 9)), np.empty((0, 2)), 2.0)) == 0


def test_wrong_arguments():
    image = np.ones((20, 30))
    with pytest.raises(ValueError, match="one shape"):
        run_aperture_photometry(image, image.T, [(5, 5)], 2.0)
    with pytest.raises(ValueError, match="radius must be positive"):
        run_aperture_photometry(image, image, [(5, 5)], 0.0)
    with pytest.raises(ValueError, match=r"shape \(n_stars, 2\)"):
        run_aperture_photometry(image, image, [(5, 5, 5)], 2.0)
