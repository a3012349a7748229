from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.core.maths.surface import frame_terms
from gaiaflux.core.psf.model import PsfModel, moffat_psf
from gaiaflux.core.psf.stamps import add_light, make_stamps

SHAPE = (220, 300)
RADIUS = 10.4
# Interpolation of the profile's table, and single precision of the stamps.
ACCURACY = 3e-6


def varying_psf(order=2, residual_order=1, beta=2.7, seed=1):
    """Elliptical, turned, varying core of some 4.6 pixels; residual of 19 x 19 nodes that ends in zeros."""
    rng = np.random.default_rng(seed)
    form = np.zeros((3, (order + 1) * (order + 2) // 2))
    form[:, 0] = [0.062, 0.011, 0.048]
    form[:, 1:] = 0.002 * rng.standard_normal((3, form.shape[1] - 1))
    n_terms = (residual_order + 1) * (residual_order + 2) // 2
    distance = np.hypot(*np.meshgrid(np.arange(-9, 10), np.arange(-9, 10)))
    residual = 2e-4 * rng.standard_normal((n_terms, 19, 19)) * np.clip((7.5 - distance) / 2, 0, 1)
    return PsfModel(SHAPE, beta, form, order, residual, residual_order)


def numpy_form(psf, x, y):
    """Polynomials written out: 1, u, v, u^2, u v, v^2 over the frame."""
    u, v = 2 * x / (SHAPE[1] - 1) - 1, 2 * y / (SHAPE[0] - 1) - 1
    return psf.form[:, :6] @ np.array([1, u, v, u * u, u * v, v * v])


PLACES = (
    np.array([100.0, 100.5, 99.5, 150.25, 63.731, 0.0, -0.5, 299.0, 299.49, 2.2, 120.0, -7.0, 310.0]),
    np.array([100.0, 80.5, 33.5, 110.75, 190.218, 0.0, 219.5, 219.0, 3.3, -4.0, 231.0, -6.0, 229.0]),
)


@pytest.mark.parametrize("residual_order", [-1, 0, 1, 2])
def test_stamps_are_the_function_within_a_circle(residual_order):
    psf = varying_psf(residual_order=residual_order)
    stamps = make_stamps(psf, *PLACES, RADIUS)
    assert len(stamps) == len(PLACES[0])
    half = (stamps.values.shape[1] - 1) // 2
    assert half >= np.floor(RADIUS + 0.5)
    for k, (x, y) in enumerate(zip(*PLACES, strict=True)):
        assert max(abs(stamps.column[k] - x), abs(stamps.row[k] - y)) <= 0.5
        offsets = np.arange(-half, half + 1)
        dx, dy = np.meshgrid(stamps.column[k] + offsets - x, stamps.row[k] + offsets - y)
        inside = np.hypot(dx, dy) <= RADIUS
        expected = np.where(inside, psf.values(x, y, dx, dy), 0.0)
        np.testing.assert_allclose(stamps.values[k], expected, rtol=0, atol=ACCURACY * expected.max())
        assert (stamps.values[k][~inside] == 0).all()
        np.testing.assert_array_equal(psf.stamp(x, y, half), psf.values(x, y, dx, dy))


@pytest.mark.parametrize("size", [3, 9, 41])
def test_a_table_of_any_size_fits_into_the_stamps(size):
    # As fitted tables do, it ends in zeros.
    nodes = np.zeros((1, size, size))
    nodes[0, 1:-1, 1:-1] = 2e-4 * np.random.default_rng(size).standard_normal((size - 2, size - 2))
    psf = replace(varying_psf(), residual=nodes, residual_order=0)
    x, y = np.array([50.3, 50.7, 51.0]), np.array([70.6, 70.2, 70.5])
    stamps = make_stamps(psf, x, y, RADIUS)
    for k in range(3):
        whole = psf.stamp(x[k], y[k], (stamps.values.shape[1] - 1) // 2)
        seen = stamps.values[k] != 0
        assert np.count_nonzero(seen) == pytest.approx(np.pi * RADIUS**2, rel=0.05)
        np.testing.assert_allclose(stamps.values[k][seen], whole[seen], rtol=0, atol=ACCURACY * whole.max())


def test_core_is_the_moffat_function_of_its_polynomials():
    psf = varying_psf(residual_order=-1)
    for x, y in ((30.2, 50.9), (299.0, 0.0), (140.0, 201.3)):
        a, b, c = numpy_form(psf, x, y)
        np.testing.assert_allclose(psf.form_at(np.array([x]), np.array([y]))[0], [a, b, c], rtol=1e-12)
        dx, dy = np.meshgrid(np.linspace(-9, 9, 7), np.linspace(-8, 8, 5))
        u = 1 + a * dx**2 + 2 * b * dx * dy + c * dy**2
        expected = (psf.beta - 1) / np.pi * np.sqrt(a * c - b * b) * u**-psf.beta
        np.testing.assert_allclose(psf.values(x, y, dx, dy), expected, rtol=1e-12)


@pytest.mark.parametrize("residual_order", [-1, 2])
@pytest.mark.parametrize("place", [(100.0, 100.0), (20.3, 200.6), (301.0, -2.5)])
def test_total_light_is_one(residual_order, place):
    psf = varying_psf(residual_order=residual_order)
    far = 250
    offsets = np.arange(-far, far + 1)
    dx, dy = np.meshgrid(offsets - place[0] % 1, offsets - place[1] % 1)
    a, b, c = psf.form_at(*np.array(place)[:, None])[0]
    r2 = a * dx**2 + 2 * b * dx * dy + c * dy**2
    # Within this ellipse, which fits into the square, all but (1 + r^2)^(1 - beta) of a Moffat function.
    ellipse = r2 <= 0.5 * (a * c - b * b) / max(a, c) * far**2
    limit = r2[ellipse].max()
    outside = (1 + limit) ** (1 - psf.beta) * psf.scale_at(*np.array(place)[:, None])[0]
    assert np.sum(psf.values(*place, dx, dy)[ellipse]) + outside == pytest.approx(1.0, abs=1e-4)
    assert outside < 1e-3


@pytest.mark.parametrize("place", [(0.0, 0.0), (150.0, 110.0), (290.0, 215.0), (10.0, 210.0)])
@pytest.mark.parametrize("form", [(0.062, 0.011, 0.048), (0.05, 0.0, 0.05), (0.03, -0.012, 0.07), (0.07, 0.0, 0.03)])
def test_width_and_ellipticity_are_those_of_the_image(place, form):
    psf = varying_psf(residual_order=-1)
    psf.form[:, 0] = form
    offsets = np.arange(-6, 6, 0.02)
    dx, dy = np.meshgrid(offsets, offsets)
    peak = psf.values(*place, 0.0, 0.0)
    above = psf.values(*place, dx, dy) > 0.5 * peak
    # Area and second moments of the ellipse at half maximum.
    area = np.count_nonzero(above) * 0.02**2
    xx, xy, yy = np.mean(dx[above] ** 2), np.mean((dx * dy)[above]), np.mean(dy[above] ** 2)
    (short, long), axes = np.linalg.eigh([[xx, xy], [xy, yy]])
    where = np.array([place[0]]), np.array([place[1]])
    assert psf.fwhm_at(*where)[0] == pytest.approx(2 * np.sqrt(area / np.pi), rel=1e-3)
    ellipticity, angle = (values[0] for values in psf.ellipticity_at(*where))
    assert ellipticity == pytest.approx(1 - np.sqrt(short / long), abs=1e-3)
    if ellipticity > 0.03:
        assert abs(np.cos(angle) * axes[0, 1] + np.sin(angle) * axes[1, 1]) == pytest.approx(1.0, abs=1e-4)
    if place == (150.0, 110.0):
        middle = np.array([(SHAPE[1] - 1) / 2]), np.array([(SHAPE[0] - 1) / 2])
        assert psf.fwhm == pytest.approx(psf.fwhm_at(*middle)[0], rel=1e-12)


def test_round_moffat_has_the_width_asked_for():
    psf = moffat_psf(SHAPE, 5.3, 3.4)
    assert psf.fwhm == pytest.approx(5.3, rel=1e-12)
    assert psf.beta == 3.4
    np.testing.assert_allclose(psf.values(9.0, 9.0, np.array([0, 5.3 / 2]), np.array([5.3 / 2, 0])),
                               0.5 * psf.values(9.0, 9.0, 0.0, 0.0), rtol=1e-12)  # fmt: skip
    ellipticity, angle = psf.ellipticity_at(np.array([9.0]), np.array([9.0]))
    assert ellipticity[0] == pytest.approx(0.0, abs=1e-12)
    assert np.isfinite(angle).all()


def test_scaled_is_wider_everywhere_and_without_its_residual():
    psf = varying_psf()
    wide = psf.scaled(1.7)
    assert wide.fwhm == pytest.approx(1.7 * psf.fwhm, rel=1e-12)
    assert wide.residual_order == -1
    np.testing.assert_allclose(wide.fwhm_at(*PLACES), 1.7 * psf.fwhm_at(*PLACES), rtol=1e-12)
    for of_wide, of_psf in zip(wide.ellipticity_at(*PLACES), psf.ellipticity_at(*PLACES), strict=True):
        np.testing.assert_allclose(of_wide, of_psf, atol=1e-9)
    bare = replace(psf, residual=psf.residual[:0], residual_order=-1)
    dx, dy = np.array([0.0, 1.0, -4.0]), np.array([0.0, 2.0, 3.0])
    expected = bare.values(40.0, 50.0, dx, dy) / 1.7**2
    np.testing.assert_allclose(wide.values(40.0, 50.0, 1.7 * dx, 1.7 * dy), expected, rtol=1e-12)
    # The field's pattern fills a frame of another size.
    other = psf.scaled(1.0, (110, 150))
    x, y = 30.0, 80.0
    assert other.fwhm_at(np.array([x * 149 / 299]), np.array([y * 109 / 219]))[0] == pytest.approx(
        psf.fwhm_at(np.array([x]), np.array([y]))[0], rel=1e-12
    )
    assert make_stamps(other, np.array([3.0]), np.array([4.0]), 6.0).values.max() > 0


def test_residual_is_interpolated_by_a_cubic():
    # Keys' kernel reproduces parabolas where all of its 4 x 4 nodes are known.
    j, i = np.mgrid[-8:9, -8:9].astype(float)
    parabola = 1e-3 * (1.0 + 0.1 * i - 0.07 * j + 0.02 * i * i - 0.03 * i * j + 0.01 * j * j)
    psf = replace(varying_psf(), residual=parabola[None], residual_order=0)
    bare = replace(psf, residual=psf.residual[:0], residual_order=-1)
    rng = np.random.default_rng(2)
    dx, dy = rng.uniform(-6.9, 6.9, (2, 200))
    where = np.array([70.0]), np.array([90.0])
    scale = psf.scale_at(*where)[0]
    assert scale == pytest.approx(1 / (1 + parabola.sum()), rel=1e-12)
    table = psf.values(70.0, 90.0, dx, dy) / scale - bare.values(70.0, 90.0, dx, dy)
    expected = 1e-3 * (1.0 + 0.1 * dx - 0.07 * dy + 0.02 * dx * dx - 0.03 * dx * dy + 0.01 * dy * dy)
    np.testing.assert_allclose(table, expected, rtol=0, atol=1e-12)
    # On the nodes it is the table itself, and far outside there is none.
    np.testing.assert_allclose(
        psf.values(70.0, 90.0, i, j) / scale - bare.values(70.0, 90.0, i, j), parabola, rtol=0, atol=1e-12
    )
    far = np.array([10.5, -30.0]), np.array([0.0, 2.0])
    np.testing.assert_allclose(psf.values(70.0, 90.0, *far), scale * bare.values(70.0, 90.0, *far), rtol=1e-12)


def test_residual_varies_over_the_field():
    psf = varying_psf(residual_order=2)
    bare = replace(psf, residual=psf.residual[:0], residual_order=-1)
    j, i = np.mgrid[-9:10, -9:10].astype(float)
    for x, y in ((10.0, 20.0), (280.0, 100.0)):
        terms = frame_terms(np.array([x]), np.array([y]), SHAPE, 2)[0]
        table = np.tensordot(terms, psf.residual, axes=1)
        found = psf.values(x, y, i, j) * (1 + table.sum()) - bare.values(x, y, i, j)
        np.testing.assert_allclose(found, table, rtol=0, atol=1e-12)


def test_outside_of_the_frame_the_function_of_the_nearest_edge_holds():
    psf = varying_psf(residual_order=2)
    x, y = np.array([-50.0, 400.0, 100.0, 340.0]), np.array([30.0, -1.0, 999.0, 240.0])
    at_edge = np.clip(x, 0, SHAPE[1] - 1), np.clip(y, 0, SHAPE[0] - 1)
    np.testing.assert_array_equal(psf.form_at(x, y), psf.form_at(*at_edge))
    np.testing.assert_array_equal(psf.scale_at(x, y), psf.scale_at(*at_edge))
    np.testing.assert_array_equal(psf.fwhm_at(x, y), psf.fwhm_at(*at_edge))
    dx, dy = np.array([0.0, 1.3, -3.0]), np.array([0.0, 0.4, 2.0])
    np.testing.assert_array_equal(psf.values(-50.0, 30.0, dx, dy), psf.values(0.0, 30.0, dx, dy))


def test_a_wild_polynomial_stays_a_function():
    psf = replace(varying_psf(order=1), beta=3.0)
    psf.form[0, 1:], psf.form[1, 1:] = [0.2, 0.0], [0.0, 0.3]
    corners = np.array([0.0, 299.0, 0.0, 299.0]), np.array([0.0, 0.0, 219.0, 219.0])
    assert (psf.fwhm_at(*corners) < 5 * psf.fwhm).all()
    ellipticity, angle = psf.ellipticity_at(*corners)
    assert ((ellipticity >= 0) & (ellipticity < 1)).all()
    assert np.isfinite(angle).all()
    stamps = make_stamps(psf, *corners, RADIUS)
    assert np.isfinite(stamps.values).all()
    assert (stamps.values.max(axis=(1, 2)) > 0).all()


def add_light_in_numpy(psf, x, y, flux, reach, radius):
    image = np.zeros(SHAPE)
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
    bare = replace(psf, residual=psf.residual[:0], residual_order=-1)
    scale = psf.scale_at(x, y)
    for k in range(len(x)):
        dx, dy = xx - x[k], yy - y[k]
        distance = np.hypot(dx, dy)
        near, far = distance <= radius, (distance > radius) & (distance <= reach[k])
        image[near] += flux[k] * psf.values(x[k], y[k], dx[near], dy[near])
        # Beyond the circle there is the core alone.
        image[far] += flux[k] * scale[k] * bare.values(x[k], y[k], dx[far], dy[far])
    return image


def test_added_light_is_the_sum_of_the_stars():
    psf = varying_psf(residual_order=1)
    x, y = PLACES
    rng = np.random.default_rng(3)
    flux = 10 ** rng.uniform(2, 6, len(x)) * np.where(np.arange(len(x)) % 4 == 1, -1, 1)
    flux[4] = 0.0
    reach = rng.uniform(0, 60, len(x))
    image = np.full(SHAPE, 7.0, np.float32)
    add_light(image, make_stamps(psf, x, y, RADIUS), flux, reach)
    expected = add_light_in_numpy(psf, x, y, flux, reach, RADIUS)
    peak = np.abs(flux).max() * psf.values(x[0], y[0], 0.0, 0.0)
    assert np.count_nonzero(image != 7.0) > 3000
    np.testing.assert_allclose(image - 7.0, expected, rtol=0, atol=1.2 * ACCURACY * peak)
    # Faint stars are as exact as bright ones.
    for k in (1, 7, 9):
        one = np.zeros(SHAPE, np.float32)
        add_light(one, make_stamps(psf, x[k : k + 1], y[k : k + 1], RADIUS), flux[k : k + 1], reach[k : k + 1])
        expected = add_light_in_numpy(psf, x[k : k + 1], y[k : k + 1], flux[k : k + 1], reach[k : k + 1], RADIUS)
        own = np.abs(flux[k]) * psf.values(x[k], y[k], 0.0, 0.0)
        np.testing.assert_allclose(one, expected, rtol=0, atol=1.2 * ACCURACY * own)


def test_no_stars_and_stars_far_away():
    psf = varying_psf(residual_order=1)
    image = np.zeros(SHAPE, np.float32)
    stamps = make_stamps(psf, np.zeros(0), np.zeros(0), RADIUS)
    assert len(stamps) == 0
    add_light(image, stamps, np.zeros(0), np.zeros(0))
    x, y = np.array([-900.0, 5000.0, 100.0]), np.array([50.0, 5000.0, -1e4])
    add_light(image, make_stamps(psf, x, y, RADIUS), np.full(3, 1e6), np.full(3, 50.0))
    assert not image.any()
    # The wing of a star beside the frame reaches into it.
    add_light(image, make_stamps(psf, np.array([-30.0]), np.array([100.0]), RADIUS), np.array([1e6]), np.array([60.0]))
    assert np.argmax(image) % SHAPE[1] == 0
    assert image[100, 0] > 0
    assert not image[:, 31:].any()
