import numpy as np
import pytest

from gaiaflux.core.image.pixels import Pixels
from gaiaflux.core.psf.fluxes import solve_fluxes
from gaiaflux.core.psf.model import PsfModel
from gaiaflux.core.psf.sampled import sampled_psf
from gaiaflux.core.psf.stamps import add_light, make_stamps
from gaiaflux.ground.frame.psf_options import psf_options
from gaiaflux.model.settings.psf import PsfSettings
from gaiaflux.workflow.settings import complete_section

DEFAULTS = psf_options(complete_section(PsfSettings))
SHAPE = (220, 200)
SKY = 100.0
EDGE = 14  # [pixel]
OVER = 8


def moffat(residual_order=1):
    """Elliptical, varying over the frame, with a residual."""
    form = np.zeros((3, 3))
    form[:, 0] = 0.105, 0.012, 0.09
    form[:, 1:] = 0.008, -0.006
    rng = np.random.default_rng(2)
    distance = np.hypot(*np.meshgrid(np.arange(-7, 8), np.arange(-7, 8)))
    residual = 2e-4 * rng.standard_normal((3, 15, 15)) * np.clip((6.5 - distance) / 2, 0, 1)
    return PsfModel(SHAPE, 3.4, form, 1, residual[: 3 if residual_order == 1 else 0], residual_order)


def samples_of(psf, x, y):
    offsets = np.arange(-EDGE * OVER, EDGE * OVER + 1) / OVER
    dx, dy = np.meshgrid(offsets, offsets)
    return np.array([[psf.values(column, row, dx, dy) for column in x] for row in y])


def sampled(psf, n=5):
    ny, nx = SHAPE
    x, y = np.linspace(0, nx - 1, n), np.linspace(0, ny - 1, n)
    return sampled_psf(samples_of(psf, x, y), OVER, x, y, SHAPE)


def gaussian(sigma=1.6):
    offsets = np.arange(-EDGE * OVER, EDGE * OVER + 1) / OVER
    line = np.exp(-0.5 * (offsets / sigma) ** 2)
    return sampled_psf(7.0 * line[None, None, :, None] * line, OVER, [50.0], [60.0], SHAPE)


def stars(rng, n=250):
    ny, nx = SHAPE
    return rng.uniform(-3, nx + 2, n), rng.uniform(-3, ny + 2, n), 10.0 ** rng.uniform(3.5, 5.5, n)


def solved(psf, image, x, y, fwhm):
    pixels = Pixels(image.astype(np.float32), np.zeros(SHAPE, np.uint8), 0.0, 1.0, np.sqrt(SKY))
    return solve_fluxes(pixels, psf, x, y, np.zeros(len(x)), DEFAULTS.for_width(fwhm, 4))


def test_samples_of_a_moffat_function_give_its_stamps_and_derivatives():
    psf = moffat()
    copy = sampled(psf, 9)
    x, y = np.array([30.0, 77.31, 120.5, 198.9]), np.array([40.0, 150.77, 99.5, 3.2])
    one, other = make_stamps(psf, x, y, 9.0), make_stamps(copy, x, y, 9.0)
    peak = one.values.max()
    np.testing.assert_allclose(other.values, one.values, atol=2e-3 * peak)
    for a, b in zip(
        one.psf.gradients(one.column, one.row, 9.0), other.psf.gradients(other.column, other.row, 9.0), strict=True
    ):
        np.testing.assert_allclose(b, a, atol=1e-2 * np.abs(a).max())


@pytest.mark.parametrize(
    "make", [moffat, lambda: sampled(moffat(), 3), gaussian], ids=["moffat", "sampled", "gaussian"]
)
def test_gradients_are_the_derivatives_of_the_values(make):
    psf, step = make(), 1e-2
    x, y = np.array([60.2, 101.4]), np.array([80.3, 30.1])
    column, row = np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)
    radius = 30.0  # no pixel crosses the circle
    gradients = psf.at(x, y).gradients(column, row, radius)
    for gradient, (dx, dy) in zip(gradients, ((step, 0.0), (0.0, step)), strict=True):
        up, down = (psf.at(x + s * dx, y + s * dy).values(column, row, radius).astype(float) for s in (1, -1))
        numeric = (up - down) / (2 * step)
        # The function also changes with its place in the field, which does not count.
        np.testing.assert_allclose(gradient, numeric, atol=3e-3 * np.abs(gradient).max())


def test_light_is_one_wherever_the_star_is():
    psf = gaussian()
    for x, y in ((20.0, 30.0), (20.5, 30.25), (20.123, 30.987)):
        stamps = make_stamps(psf, np.array([x]), np.array([y]), 20.0)
        assert stamps.values.sum() == pytest.approx(1.0, abs=1e-4)
    # The last sample is at 14 pixels; a cubic convolution goes on for less than two samples more.
    assert psf.edge == EDGE
    assert not stamps.values[0, :, 37:].any()


def test_wings_beyond_the_stamp_reach_the_edge_of_the_samples():
    psf = gaussian(4.0)
    x, y, flux = np.array([100.3]), np.array([99.6]), np.array([1e5])
    wide, narrow = (make_stamps(psf, x, y, radius) for radius in (22.0, 5.0))
    images = np.zeros((2, *SHAPE), np.float32)
    for image, stamps in zip(images, (wide, narrow), strict=True):
        add_light(image, stamps, flux, stamps.psf.reach(flux, 0.1, 100.0))
    np.testing.assert_allclose(images[1], images[0], atol=1e-3)
    assert images[0].sum() == pytest.approx(1e5, rel=1e-3)
    assert narrow.psf.reach(np.array([0.0]), 0.1, 100.0) == 0.0


def test_places_of_the_field_are_joined_linearly_and_held_beyond():
    narrow, wide = gaussian(1.5).samples[0, 0], gaussian(3.0).samples[0, 0]
    psf = sampled_psf(np.array([[narrow, wide]]), OVER, [20.0, 120.0], [60.0], SHAPE)
    values = [
        make_stamps(psf, np.array([x]), np.array([80.0]), 10.0).values[0] for x in (0.0, 20.0, 45.0, 120.0, 180.0)
    ]
    np.testing.assert_allclose(values[2], 0.75 * values[1] + 0.25 * values[3], atol=1e-7)
    assert np.array_equal(values[0], values[1])
    assert np.array_equal(values[3], values[4])
    widths = psf.fwhm_at(np.array([0.0, 20.0, 45.0, 200.0]), np.full(4, 5.0))
    assert widths == pytest.approx(2.3548 * np.array([1.5, 1.5, 1.875, 3.0]), rel=0.02)
    assert psf.describe() == {
        **{"kind": "sampled", "fwhm_pix": pytest.approx(2.3548 * (1.5 + 0.795 * 1.5), rel=0.02)},
        **{"oversampling": OVER, "edge_pix": EDGE, "n_places": 2},
    }


def test_fluxes_agree_with_those_of_the_function_that_was_sampled():
    rng = np.random.default_rng(5)
    psf = moffat()
    x, y, flux = stars(rng)
    light = np.full(SHAPE, SKY, np.float32)
    add_light(light, make_stamps(psf, x, y, 8.0), flux, np.full(len(x), EDGE))
    image = rng.poisson(light)
    copy = sampled(psf, 9)
    own, copied = solved(psf, image, x, y, 3.9), solved(copy, image, x, y, 3.9)
    inside = (x > 0) & (y > 0) & (x < SHAPE[1] - 1) & (y < SHAPE[0] - 1)
    # A sampled function has all of its light within its samples, the other one not.
    within = samples_of(psf, [100.0], [110.0]).sum() / OVER**2
    assert 0.99 < within < 0.9999
    ratio = (copied.flux / own.flux)[inside & (flux > 3e4)]
    np.testing.assert_allclose(ratio / within, 1.0, atol=1e-3)
    np.testing.assert_allclose(copied.error[inside], own.error[inside], rtol=0.02)


def test_a_gaussian_psf_gives_fluxes_with_the_errors_that_it_states():
    rng = np.random.default_rng(7)
    psf = gaussian()
    x, y, flux = stars(rng)
    light = np.full(SHAPE, SKY, np.float32)
    add_light(light, make_stamps(psf, x, y, EDGE), flux, np.zeros(len(x)))
    found = solved(psf, rng.poisson(light), x, y, 3.77)
    seen = (x > 0) & (y > 0) & (x < SHAPE[1] - 1) & (y < SHAPE[0] - 1)
    pull = ((found.flux - flux) / found.error)[seen]
    assert abs(np.median(pull)) < 0.25
    assert 0.85 < np.std(pull) < 1.2


def test_samples_that_make_no_psf_are_refused():
    good = gaussian().samples
    for wrong, text in (
        ((good, OVER, [1.0, 2.0], [3.0]), "places"),
        ((good[:, :, 1:, 1:], OVER, [1.0], [3.0]), "middle"),
        ((np.zeros_like(good), OVER, [1.0], [3.0]), "without light"),
        ((np.concatenate([good, good]), OVER, [1.0], [3.0, 2.0]), "increase"),
    ):
        with pytest.raises(ValueError, match=text):
            sampled_psf(*wrong, SHAPE)


@pytest.mark.parametrize("place", [(2.3, 1.7), (47.6, 38.2), (-6.0, 20.4), (20.3, 45.1), (25.0, 20.0), (58.0, -11.0)])
def test_at_the_edge_it_is_a_part_of_what_a_larger_image_shows(place):
    line = np.exp(-0.5 * (np.arange(-EDGE * OVER, EDGE * OVER + 1) / OVER / 4.0) ** 2)
    samples = line[None, None, :, None] * line
    flux = np.array([1e5])
    images = []
    for shape, shift in (((40, 50), 0.0), ((160, 170), 60.0)):
        psf = sampled_psf(samples, OVER, [0.0], [0.0], shape)
        stamps = make_stamps(psf, np.array([place[0] + shift]), np.array([place[1] + shift]), 5.0)
        images.append(np.zeros(shape, np.float32))
        add_light(images[-1], stamps, flux, stamps.psf.reach(flux, 0.1, 100.0))
    np.testing.assert_allclose(images[0], images[1][60:100, 60:110], atol=1e-3)
    assert images[1].sum() == pytest.approx(1e5, rel=1e-3)


def test_samples_are_joined_by_a_cubic_between_them():
    # Of three samples a pixel; a parabola is reproduced, as far as all sixteen nodes are there.
    offsets = np.arange(-12, 13) / 3.0
    table = 1.0 + 0.02 * offsets[None, :] - 0.03 * offsets[:, None] + 0.01 * offsets[None, :] ** 2
    table = table - 0.02 * offsets[:, None] * offsets[None, :]
    psf = sampled_psf(table[None, None], 3, [10.0], [10.0], (30, 30))
    x, y = np.array([15.31, 14.77]), np.array([14.6, 15.05])
    stamps = make_stamps(psf, x, y, 2.0)
    jj, ii = np.mgrid[-2:3, -2:3]
    for k in range(2):
        dx, dy = ii + stamps.column[k] - x[k], jj + stamps.row[k] - y[k]
        expected = (1.0 + 0.02 * dx - 0.03 * dy + 0.01 * dx**2 - 0.02 * dx * dy) / (table.sum() / 9.0)
        inside = np.hypot(dx, dy) <= 2.0
        np.testing.assert_allclose(stamps.values[k], np.where(inside, expected, 0.0), rtol=1e-5, atol=1e-9)
    assert psf.edge == 4.0
    assert stamps.psf.corner == pytest.approx(np.hypot(25, 25) / 6.0)
    # A single place holds everywhere; a width is the diameter of the disc above half of the peak.
    flat = sampled_psf(np.pad(np.ones((1, 1, 3, 3)), ((0, 0), (0, 0), (2, 2), (2, 2))), 2, [0.0], [0.0], (9, 9))
    assert flat.fwhm_at(np.array([3.0]), np.array([5.0]))[0] == pytest.approx(2.0 * np.sqrt(9 / np.pi) / 2.0)


def test_a_part_of_the_frame_has_the_same_function():
    rng = np.random.default_rng(4)
    psf = sampled_psf(rng.uniform(0.5, 1.0, (2, 3, 27, 27)), 9, np.array([0, 50, 99]), np.array([0, 79]), (80, 100))
    x, y = np.array([61.3, 70.0]), np.array([40.2, 33.9])
    part = psf.part((55, 30), (20, 25))
    assert part.shape == (20, 25)
    whole, moved = make_stamps(psf, x, y, 1.5), make_stamps(part, x - 55, y - 30, 1.5)
    np.testing.assert_allclose(moved.values, whole.values, rtol=1e-5)
    np.testing.assert_array_equal(moved.column, whole.column - 55)
