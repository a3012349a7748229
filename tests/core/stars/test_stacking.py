import numpy as np
import pytest

from gaiaflux.core.psf.fluxes import solve_fluxes
from gaiaflux.core.psf.model import moffat_psf
from gaiaflux.core.psf.stamps import add_light, make_stamps
from gaiaflux.core.sky.projection import invert_distortion, linear_tan, pixel_to_sky, sky_to_pixel
from gaiaflux.core.stars.detection import convolve
from gaiaflux.core.stars.stacking import Layer, flux_scale, resample, stack_layers
from gaiaflux.ground.frame.psf_options import psf_options
from gaiaflux.model.flags import PixelFlag
from gaiaflux.model.settings.psf import PsfSettings
from gaiaflux.model.wcs import TanSip
from gaiaflux.workflow.settings import complete_section

DEFAULTS = psf_options(complete_section(PsfSettings))
SHAPE = (300, 330)
SCALE = 0.4 / 3600
SIGMA = 12.0


def plate(offset=(0.0, 0.0), turn_deg=0.0, pixel=1.0, distorted=True, shape=SHAPE):
    """A solution whose optics distort by a pixel and a half in the corners."""
    turn = np.radians(turn_deg)
    cd = pixel * SCALE * np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    wcs = linear_tan((210.0, -35.0), ((shape[1] - 1) / 2 + offset[0], (shape[0] - 1) / 2 + offset[1]), cd, shape)
    if not distorted:
        return wcs
    a, b = np.zeros((4, 4)), np.zeros((4, 4))
    a[2, 0], a[1, 1], a[3, 0], a[1, 2] = 4e-5, -2e-5, 2e-7, 2e-7
    b[0, 2], b[2, 0], b[0, 3], b[2, 1] = 3e-5, 2e-5, 2e-7, 2e-7
    return invert_distortion(TanSip(wcs.crval, wcs.crpix, wcs.cd, a, b, wcs.ap, wcs.bp, shape))


REFERENCE = plate()
OTHERS = {
    "another dither": plate((3.3, -7.8)),
    "turned": plate((-12.45, 5.5), turn_deg=1.3),
    "upside down": plate((2.5, 1.5), turn_deg=180.4),
    "other optics": plate((4.2, 4.4), turn_deg=-0.4, distorted=False),
    "other pixels": plate((1.7, 0.4), turn_deg=0.2, pixel=1.08),
}


def grid(step=55.0, jitter=0.5, shape=SHAPE):
    rng = np.random.default_rng(4)
    x, y = (
        axis.ravel() for axis in np.meshgrid(np.arange(60, shape[1] - 50, step), np.arange(60, shape[0] - 50, step))
    )
    return x + rng.uniform(-jitter, jitter, x.size), y + rng.uniform(-jitter, jitter, x.size)


def on(wcs, x, y):
    """Where places of the reference image are on another."""
    return sky_to_pixel(wcs, *pixel_to_sky(REFERENCE, x, y))


def render(x, y, flux, fwhm, shape=SHAPE):
    image = np.zeros(shape, np.float32)
    flux = np.broadcast_to(np.asarray(flux, float), np.shape(x))
    add_light(image, make_stamps(moffat_psf(shape, fwhm), x, y, 24.0), flux, np.full(len(x), 24.0))
    return image


def layer(image, flags=None, *, floor=SIGMA**2, slope=0.0, fwhm=4.0, scale=1.0):
    return Layer(image, np.zeros(image.shape, np.uint8) if flags is None else flags, floor, slope, fwhm, scale)


def noisy(seed, image=0.0, sigma=SIGMA):
    return (image + np.random.default_rng([6, seed]).normal(0, sigma, SHAPE)).astype(np.float32)


def moments(image, x, y, radius=20.0):
    """Light within a circle, and the centre of a Gaussian window that follows the star."""
    found = []
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    for x0, y0 in zip(x, y, strict=True):
        near = (slice(int(y0) - 25, int(y0) + 26), slice(int(x0) - 25, int(x0) + 26))
        v, u, light = rows[near], columns[near], image[near].astype(float)
        total = light[np.hypot(u - x0, v - y0) < radius].sum()
        cx, cy = x0, y0
        for _ in range(40):
            weight = light * np.exp(-((u - cx) ** 2 + (v - cy) ** 2) / 8.0)
            cx, cy = (
                cx + 2 * (weight * (u - cx)).sum() / weight.sum(),
                cy + 2 * (weight * (v - cy)).sum() / weight.sum(),
            )
        found.append((total, cx, cy))
    return np.array(found).T


@pytest.mark.parametrize("fwhm", [2.8, 4.5])
@pytest.mark.parametrize("name", OTHERS)
def test_light_and_places_are_kept(name, fwhm):
    wcs = OTHERS[name]
    x, y = grid()
    found = resample(layer(render(*on(wcs, x, y), 1e5, fwhm), fwhm=fwhm), wcs, REFERENCE)
    inside = found.flags == 0
    assert inside[30:-30, 30:-30].all()
    pixel = 1.08 if name == "other pixels" else 1.0
    expected, *_ = moments(render(x, y, 1e5, fwhm * pixel), x, y)
    light, cx, cy = moments(found.image, x, y)
    np.testing.assert_allclose(light / expected, 1.0, atol=1e-3)
    assert np.abs(cx - x).max() < 0.01
    assert np.abs(cy - y).max() < 0.01
    np.testing.assert_allclose(found.fwhm, fwhm * pixel, rtol=1e-3)
    np.testing.assert_allclose(found.floor, SIGMA**2 / pixel**2, rtol=2e-3)


def test_what_an_image_does_not_reach_is_flagged_and_empty():
    found = resample(layer(np.full(SHAPE, 7.0, np.float32)), plate((20.0, -30.0)), REFERENCE)
    assert not found.flags[36:-4, 4:300].any()
    empty = found.flags == PixelFlag.NONFINITE
    np.testing.assert_array_equal(found.image[empty], 0.0)
    assert empty[:28].all()
    assert 0.1 < empty.mean() < 0.25


def test_a_bad_pixel_spoils_what_it_makes_up_and_nothing_else():
    wcs = OTHERS["turned"]
    image, flags = np.full(SHAPE, 5.0, np.float32), np.zeros(SHAPE, np.uint8)
    image[100, 120], flags[100, 120] = 1e6, PixelFlag.COSMIC_RAY
    flags[:, 200] = PixelFlag.BAD
    image[:, 200] = -1e6
    found = resample(layer(image, flags), wcs, REFERENCE)
    bad = (found.flags & (PixelFlag.BAD | PixelFlag.COSMIC_RAY)) != 0
    assert 4 <= np.count_nonzero(found.flags & PixelFlag.COSMIC_RAY) <= 16
    assert np.count_nonzero(found.flags & PixelFlag.BAD) < 5 * SHAPE[0]
    np.testing.assert_allclose(found.image[~bad & (found.flags == 0)], 5.0, rtol=1e-3)


def test_scale_is_that_of_the_light_whatever_the_seeing():
    x, y = grid(step=45.0)
    sky = np.random.default_rng(2).uniform(0, 300, (2, 300))
    flux = np.random.default_rng(3).uniform(2e4, 2e5, len(x))

    def scene(fwhm):
        return render(np.append(x, sky[0]), np.append(y, sky[1]), np.append(flux, np.full(300, 2e3)), fwhm)

    reference, worse = layer(noisy(1, scene(4.0))), layer(noisy(2, 0.8 * scene(4.9)), fwhm=4.9)
    assert abs(flux_scale(worse, reference, x, y) / 1.25 - 1) < 0.015
    # A saturated star does not count, and without any other there is no scale.
    flags = np.full(SHAPE, PixelFlag.SATURATED, np.uint8)
    assert np.isnan(flux_scale(layer(worse.image, flags), reference, x, y))
    assert np.isnan(flux_scale(worse, reference, x[:0], y[:0]))


def test_noise_of_the_stack_is_what_a_matched_filter_sees():
    plates = [REFERENCE, *(OTHERS[name] for name in ("another dither", "turned", "other pixels"))]
    sigmas = (12.0, 10.0, 14.0, 12.0)
    layers = []
    for k, (wcs, sigma) in enumerate(zip(plates, sigmas, strict=True)):
        own = layer(noisy(10 + k, sigma=sigma), floor=sigma**2, scale=(1.0, 1.2, 0.9, 1.0)[k])
        layers.append(own if k == 0 else resample(own, wcs, REFERENCE))
    pixels = stack_layers(layers)
    noise = pixels.noise
    inner = np.s_[40:-40, 40:-40]
    np.testing.assert_allclose(pixels.floor[inner], noise**2, rtol=1e-4)
    width = 1.8
    filtered = convolve(pixels.image, width)[inner]
    # A Gaussian of total 1 has the sum of squares 1 / (4 pi sigma^2).
    expected = noise / np.sqrt(4 * np.pi) / width
    # Independent places: 27 x 24 of them tell the noise to 3 %.
    assert abs(filtered[::8, ::8].std() / expected - 1) < 0.08
    assert abs(filtered.std() / expected - 1) < 0.05
    # The interpolation has smoothed the pixels: their own scatter would promise too much.
    assert pixels.image[inner].std() < 0.93 * noise


def test_faint_stars_have_the_errors_that_are_stated():
    pulls, errors = [], []
    for seed in range(4):
        x, y = grid(step=16.0, jitter=6.0)
        layers = []
        for k, wcs in enumerate((REFERENCE, OTHERS["another dither"], OTHERS["turned"])):
            own = layer(noisy(100 * seed + k, render(*on(wcs, x, y), 700.0, 4.0)))
            layers.append(own if k == 0 else resample(own, wcs, REFERENCE))
        pixels = stack_layers(layers)
        options = DEFAULTS.for_width(4.0, 3)
        found = solve_fluxes(pixels, moffat_psf(SHAPE, 4.0), x, y, np.zeros(len(x)), options)
        pulls.append((found.flux - 700.0) / found.error)
        errors.append(found.error)
    pulls, errors = np.concatenate(pulls), np.concatenate(errors)
    assert abs(pulls.std() - 1) < 0.08
    assert abs(pulls.mean()) < 0.2
    # Of a single frame, a star alone, by the sharpness of a Moffat function of exponent 3: 4 / (5 pi a^2).
    radius2 = (0.5 * 4.0) ** 2 / (2 ** (1 / 3) - 1)
    alone = SIGMA * np.sqrt(5 * np.pi * radius2 / 4)
    assert abs(np.median(errors) / alone * np.sqrt(3) - 1) < 0.1


def test_a_cosmic_ray_and_a_satellite_in_one_frame_vanish():
    x, y = grid()
    plates = [REFERENCE, OTHERS["another dither"], OTHERS["turned"], plate((-4.4, 6.1))]
    clean, dirty = [], []
    for k, wcs in enumerate(plates):
        fwhm = (4.0, 4.3, 4.6, 4.1)[k]
        image = noisy(20 + k, render(*on(wcs, x, y), 2e4, fwhm))
        hit = image.copy()
        if k == 1:
            hit[150, 140:143] += 4000.0
            hit[80:230, 252:254] += 400.0
        for made, into in ((image, clean), (hit, dirty)):
            own = layer(made, fwhm=fwhm)
            into.append(own if k == 0 else resample(own, wcs, REFERENCE))
    good, found = stack_layers(clean), stack_layers(dirty)
    noise = good.noise
    away = np.abs(found.image - good.image)
    assert away.max() < 5 * noise
    # Without rejection a quarter of it would be left: 8 sigma of the trail in some 300 pixels.
    assert np.count_nonzero(away > 3 * noise) < 20
    assert not found.flags[20:-20, 40:-20].any()
    # The rest stays: nothing is left out of the stars themselves, though the seeing differs.
    left_out = found.floor > 1.05 * noise**2
    assert np.count_nonzero(left_out[40:-40, 40:-40]) < 3000
    core = left_out[np.rint(y).astype(int), np.rint(x).astype(int)]
    assert core.mean() < 0.1
    # Two frames cannot tell which of them is wrong.
    pair = stack_layers([dirty[0], dirty[1]])
    assert not pair.flags[20:-20, 40:-20].any()
    assert np.abs(pair.image - stack_layers([clean[0], clean[1]]).image).max() > 500.0


def test_a_star_that_varies_stays():
    x, y = np.array([150.0]), np.array([140.0])
    layers = [layer(noisy(30 + k, render(x, y, flux, 4.0))) for k, flux in enumerate((2e4, 2e4, 6e4, 2e4, 2e4))]
    pixels = stack_layers(layers)
    near = np.s_[130:151, 140:161]
    assert not pixels.flags[near].any()
    assert pixels.image[near].sum() > 0.9 * 2e4


def test_masks_and_weights():
    flags = np.zeros((3, *SHAPE), np.uint8)
    flags[0, 50:60, 50:60] = PixelFlag.BAD
    flags[:, 100:110, 100:110] = PixelFlag.BAD
    flags[2, 200, 200] = PixelFlag.SATURATED
    values, scales = (90.0, 40.0, 60.0), (1.0, 2.0, 1.5)
    layers = [
        layer(np.full(SHAPE, value, np.float32), flags[k], floor=floor, slope=0.5, fwhm=fwhm, scale=scales[k])
        for k, (value, floor, fwhm) in enumerate(zip(values, (100.0, 25.0, 64.0), (4.0, 4.0, 5.0), strict=True))
    ]
    pixels = stack_layers(layers)
    noise = pixels.noise
    variance = np.array([100.0, 100.0, 144.0])
    weight = 1 / variance / np.array([16.0, 16.0, 25.0])
    weight /= weight.sum()
    light = np.array([90.0, 80.0, 90.0])
    np.testing.assert_allclose(pixels.image[0, 0], weight @ light, rtol=1e-6)
    np.testing.assert_allclose(noise**2, weight**2 @ variance, rtol=1e-6)
    np.testing.assert_allclose(pixels.floor[0, 0], noise**2, rtol=1e-6)
    np.testing.assert_allclose(pixels.slope, weight**2 @ (0.5 * np.array(scales)), rtol=1e-6)
    # Fewer frames: their mean, with more noise, and uncertain by the difference of the PSFs.
    two = weight[1:] / weight[1:].sum()
    np.testing.assert_allclose(pixels.image[55, 55], two @ light[1:], rtol=1e-6)
    assert pixels.floor[55, 55] > two**2 @ variance[1:]
    assert pixels.flags[55, 55] == 0
    assert (pixels.flags[100:110, 100:110] == PixelFlag.BAD).all()
    assert pixels.flags[200, 200] == PixelFlag.SATURATED
    assert np.count_nonzero(pixels.flags) == 101
