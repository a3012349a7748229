import numpy as np
import pytest

from gaiaflux.sim.optics import OVERSAMPLING, Optics, Spread, pixel_weights, spread_table
from gaiaflux.sim.table_psf import TablePsf, optimal_error

SHAPE = (321, 321)
PLACES = ((160.0, 160.0), (160.5, 159.5), (160.37, 160.81))


def star(psf, x, y, flux=1e6, faintest=1e-4):
    image = np.zeros(psf.shape, dtype=np.float32)
    psf.add_stars(image, np.array([x]), np.array([y]), np.array([flux]), faintest=faintest)
    return image


def moments(image, x, y, radius):
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    light = np.where(np.hypot(columns - x, rows - y) < radius, image, 0.0).astype(float)
    total = light.sum()
    return total, (light * columns).sum() / total, (light * rows).sum() / total


@pytest.mark.parametrize(
    ("optics", "fwhm"),
    [
        (Optics(), 5.0),
        (Optics("kolmogorov", aureole=0.04), 4.0),
        (Optics("double_gaussian", ellipticity=0.2), 4.0),
        (Optics("double_gaussian", ellipticity=0.0, edge_loss=0.08), 1.3),
        (Optics("double_gaussian", defocus_pix=6.0), 2.5),
    ],
)
def test_all_light_arrives_where_the_star_is(optics, fwhm):
    psf = TablePsf(optics, SHAPE, fwhm, 0.6)
    for x, y in PLACES:
        image = star(psf, x, y)
        assert image.sum(dtype=np.float64) == pytest.approx(1e6, rel=1e-3)
        _, x_found, y_found = moments(image, x, y, psf.half)
        assert (x_found, y_found) == pytest.approx((x, y), abs=3e-3)


@pytest.mark.parametrize("profile", ["moffat", "kolmogorov", "double_gaussian"])
def test_width_is_that_of_the_seeing(profile):
    """Read off the table, whose points are averages over a pixel: 5 pixels become a little wider."""
    table = spread_table(Spread(Optics(profile, ellipticity=0.0), 5.0, 0.0, 5.0), 20)
    middle = len(table) // 2
    line = table[middle, middle:] / table[middle, middle]
    width = 2.0 * np.interp(-0.5, -line, np.arange(len(line)) / OVERSAMPLING)
    assert 5.0 < width < 5.1


def test_ellipticity_lies_along_its_angle():
    spread = Spread(Optics(ellipticity=0.2), 5.0, 0.6, 5.0)
    distance = np.linspace(0.0, 6.0, 2001)
    widths = [
        2.0 * np.interp(-0.5, -spread.seeing(distance * c, distance * s) / spread.seeing(0.0, 0.0), distance)
        for c, s in ((np.cos(0.6), np.sin(0.6)), (-np.sin(0.6), np.cos(0.6)))
    ]
    assert widths[1] / widths[0] == pytest.approx(0.8, rel=2e-3)
    assert np.sqrt(widths[0] * widths[1]) == pytest.approx(5.0, rel=2e-3)


def test_width_grows_towards_the_corners():
    psf = TablePsf(Optics(widening=0.2), SHAPE, 5.0)
    assert psf.seeing_fwhm(160.0, 160.0) == pytest.approx(5.0)
    assert psf.seeing_fwhm(0.0, 320.0) == pytest.approx(6.0)
    peaks = [star(psf, x, x, faintest=1.0).max() for x in (160.0, 120.0, 80.0)]
    assert peaks[0] / peaks[2] == pytest.approx((psf.seeing_fwhm(80.0, 80.0) / 5.0) ** 2, rel=0.01)
    assert peaks[0] > peaks[1] > peaks[2]


def test_aureole_has_its_part_of_the_light_and_reaches_far():
    without, with_ = (star(TablePsf(Optics("kolmogorov", aureole=a), SHAPE, 4.0), 160.0, 160.0) for a in (0.0, 0.04))
    extra = with_ - np.float32(0.96) * without
    assert extra.sum(dtype=np.float64) == pytest.approx(0.04e6, rel=0.01)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    radius = np.hypot(columns - 160.0, rows - 160.0)
    near, far = (extra[np.abs(radius - r) < 2.0].mean() for r in (50.0, 100.0))
    assert near / far == pytest.approx(4.0, rel=0.05)


def test_coma_is_lopsided_away_from_the_middle():
    psf = TablePsf(Optics("double_gaussian", ellipticity=0.0, coma=0.5), (81, 81), 3.0)
    rows, columns = np.mgrid[:81, :81]
    for x, y, lopsided in ((40.0, 40.0, False), (65.0, 40.0, True)):
        image = star(psf, x, y).astype(float)
        near = np.hypot(columns - x, rows - y) < 12.0
        along = (image * near * (columns - x) ** 3).sum() / image.sum()
        across = (image * near * (rows - y) ** 3).sum() / image.sum()
        assert (along > 0.05) == lopsided
        assert abs(across) < 0.01


def test_defocused_star_is_a_ring():
    image = star(TablePsf(Optics("kolmogorov", defocus_pix=7.0), SHAPE, 2.0), 160.0, 160.0)
    assert image[160, 160] < 0.5 * image[160, 165]


def test_a_pixel_counts_less_at_its_edges():
    weights = pixel_weights(0.1) * OVERSAMPLING
    assert weights.sum() == pytest.approx(OVERSAMPLING)
    assert weights[0] / weights[OVERSAMPLING // 2] == pytest.approx(1.0 - 0.1 * (8 / 9) ** 2)
    sums = []
    for edge_loss in (0.0, 0.1):
        psf = TablePsf(Optics("double_gaussian", ellipticity=0.0, edge_loss=edge_loss), SHAPE, 0.8)
        sums.append([star(psf, x, x).sum(dtype=np.float64) for x in (160.0, 160.5)])
    assert sums[0][0] == pytest.approx(sums[0][1], rel=1e-4)
    assert sums[1][0] > 1.01 * sums[1][1]


def test_interpolation_is_the_integral_over_the_pixel():
    """Of a star of 1.2 pixels at a place between the table's points, against a much finer sum."""
    psf = TablePsf(Optics("double_gaussian", ellipticity=0.0), SHAPE, 1.2)
    x, y = 160.283, 159.717
    rows, columns, part = psf.stamp(x, y, 4)
    fine = (np.arange(101) - 50) / 101
    spread = Spread(psf.optics, 1.2, 0.0, 1.2)
    for row, column in ((160, 160), (159, 161), (162, 160)):
        dx, dy = np.meshgrid(column + fine - x, row + fine - y)
        expected = spread.seeing(dx, dy).mean()
        assert part[row - rows.start, column - columns.start] == pytest.approx(expected, rel=6e-3, abs=1e-5)


def test_stars_beside_the_image_shine_into_it():
    psf = TablePsf(Optics("kolmogorov", aureole=0.04), SHAPE, 4.0)
    image = star(psf, -60.0, 160.0, 1e7)
    assert image[160, 0] > image[160, 20] > 0.0
    assert star(psf, -400.0, 160.0, 1e7).sum() == 0.0


def test_floor_is_the_error_of_an_optimal_fit():
    psf = TablePsf(Optics("kolmogorov", aureole=0.04), (61, 61), 4.0)
    x, y, flux, sky = 30.3, 29.6, 20_000.0, 400.0
    image = np.full(psf.shape, sky, dtype=np.float32)
    psf.add_stars(image, np.array([x]), np.array([y]), np.array([flux]), faintest=0.01)
    sigma = optimal_error(psf, np.array([x]), np.array([y]), image, psf.half)[0]
    rows, columns, part = psf.stamp(x, y, psf.half)
    variance = image[rows, columns]
    rng = np.random.default_rng(3)
    noise = rng.standard_normal((4000, *part.shape)) * np.sqrt(variance)
    fitted = flux + (noise * part / variance).sum(axis=(1, 2)) / (part**2 / variance).sum()
    assert fitted.std() == pytest.approx(sigma, rel=0.04)
    assert optimal_error(psf, np.array([500.0]), np.array([30.0]), image, psf.half)[0] == np.inf
