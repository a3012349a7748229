"""Frames that are not as they should be: a sentence, a status or a flag, never a crash, a warning or a silent NaN."""

import json
from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.flags import StarFlag


def check(found, n):
    """No NaN without a flag, an error for every flux."""
    measured = np.isfinite(found.flux)
    assert len(measured) == n
    assert (measured == ((found.flags & (StarFlag.OFF_IMAGE | StarFlag.NOT_MEASURED)) == 0)).all()
    assert (found.error[measured] > 0).all()
    assert np.isfinite(found.error[measured]).all()
    assert found.attrs["n_measured"] == np.count_nonzero(measured)
    json.dumps(found.attrs)


def outcome(scene, frame, x, y):
    """The result, or the sentence that says why there is none."""
    try:
        return scene.measure(frame, x, y)
    except BadFrameError as reason:
        return str(reason)


@pytest.fixture(scope="module")
def usual(scene):
    x, y, flux = scene.random_stars(201, 300, margin=-8)
    return x, y, flux, scene.make_frame(x, y, flux, 201)


def few_stars(scene, n, seed=0):
    x, y, flux = scene.random_stars(210 + seed, n, faintest=4.5, brightest=5.3, margin=-25)
    return x, y, flux, scene.make_frame(x, y, flux, 210 + n)


# Five stars for each term of the polynomials: 30, 15, 5.
@pytest.mark.parametrize(("n", "order", "status"), [(40, 2, "ok"), (22, 1, "lower order"), (13, 0, "lower order")])
def test_few_stars_carry_a_lower_order(scene, n, order, status):
    x, y, flux, frame = few_stars(scene, n)
    found = scene.measure(frame, x, y)
    check(found, n)
    assert found.attrs["psf_status"] == status
    assert found.attrs["psf_order"] == order
    assert found.attrs["psf_n_stars"] > 0.8 * n
    assert not (found.flags & StarFlag.BORROWED_PSF).any()
    # The width changes by 5 % over the field, and a flux by half of that.
    np.testing.assert_allclose(found.flux, flux, rtol=0.05)


@pytest.mark.parametrize("n", [1, 3, 9])
@pytest.mark.parametrize("same_shape", [True, False])
def test_too_few_stars_borrow_the_reference_images_psf(scene, n, same_shape):
    x, y, flux, frame = few_stars(scene, n)
    # Another seeing, and another size of the image with the same pattern over it.
    reference = scene.Psf(fwhm=3.3, shape=scene.shape if same_shape else (880, 960)).model()
    seeing = scene.Psf().model().fwhm
    found = scene.measure(frame, x, y, fwhm=seeing, reference_psf=reference)
    check(found, n)
    assert found.attrs["psf_status"] == "borrowed"
    assert found.attrs["psf_n_stars"] == 0
    assert found.attrs["psf_fwhm_pix"] == pytest.approx(seeing, rel=1e-9)
    assert found.attrs["psf_ellipticity"] > 0.05
    assert (found.flags & StarFlag.BORROWED_PSF != 0).all()
    # It is the true one: only noise is left.
    assert (np.abs(found.flux - flux) < 4 * found.error).all()


@pytest.mark.parametrize("n", [1, 3, 9])
def test_without_a_reference_a_round_function_serves(scene, n):
    x, y, flux, frame = few_stars(scene, n)
    found = scene.measure(frame, x, y)
    check(found, n)
    assert found.attrs["psf_status"] == "borrowed"
    assert found.attrs["psf_ellipticity"] == pytest.approx(0.0, abs=1e-9)
    assert found.attrs["psf_fwhm_pix"] == pytest.approx(scene.fwhm)
    assert found.attrs["psf_residual_order"] == -1
    assert (found.flags & StarFlag.BORROWED_PSF != 0).all()
    np.testing.assert_allclose(found.flux, flux, rtol=0.08)


def test_a_reference_is_not_used_where_the_frame_has_its_own_stars(scene, usual):
    x, y, _, frame = usual
    found = scene.measure(frame, x, y, reference_psf=scene.Psf(stretch=1.5).model())
    plain = scene.measure(frame, x, y)
    assert found.attrs["psf_status"] == "ok"
    assert found.attrs["psf_ellipticity"] == pytest.approx(plain.attrs["psf_ellipticity"], abs=1e-3)
    np.testing.assert_allclose(found.flux, plain.flux, atol=0.05 * plain.error.max(), rtol=1e-3)


@pytest.mark.parametrize("reference", [False, True])
def test_no_stars(scene, reference):
    none = np.zeros(0)
    psf = scene.Psf().model() if reference else None
    found = scene.measure(scene.make_frame(none, none, none, 220), none, none, reference_psf=psf)
    check(found, 0)
    assert found.attrs["psf_status"] == "borrowed"
    assert found.attrs["sky"] == pytest.approx(scene.sky, abs=1.0)


@pytest.mark.parametrize("with_error", [True, False], ids=["error image", "gain and read noise"])
def test_stars_of_the_catalogue_that_are_not_there_have_no_flux(scene, with_error):
    none = np.zeros(0)
    x, y, _ = scene.random_stars(221, 200, margin=-8)
    found = scene.measure(scene.make_frame(none, none, none, 221, with_error=with_error), x, y)
    check(found, 200)
    assert found.attrs["psf_status"] == "borrowed"
    pull = found.flux / found.error
    assert abs(np.mean(pull)) < 3.2 / np.sqrt(200) + 0.08
    assert np.std(pull) == pytest.approx(1.0, abs=0.05 + 3.2 / np.sqrt(400))


@pytest.mark.parametrize("stretch", [3.0, 5.0])
def test_trailed_stars(scene, stretch):
    x, y, flux = scene.random_stars(230, 300, margin=-8)
    frame = scene.make_frame(x, y, flux, 230, psf=scene.Psf(stretch=stretch))
    with pytest.raises(BadFrameError, match="trailed"):
        scene.measure(frame, x, y, fwhm=scene.fwhm * np.sqrt(stretch))
    # With a seeing from the short axis it may be anything but a result.
    with pytest.raises(BadFrameError, match=r"trailed|astray"):
        scene.measure(frame, x, y)


def test_slightly_trailed_stars_are_measured(scene):
    x, y, flux = scene.random_stars(231, 300, margin=-8)
    psf = scene.Psf(stretch=1.5)
    found = scene.measure(scene.make_frame(x, y, flux, 231, psf=psf), x, y)
    check(found, 300)
    assert found.attrs["psf_ellipticity"] == pytest.approx(psf.at(*np.array([[239.5], [219.5]]))[1][0], abs=0.01)
    assert np.std((found.flux - flux) / found.error) == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize("distance", [3.0, 5.0, 8.0, 15.0])
def test_doubled_images(scene, distance):
    x, y, flux = scene.random_stars(232, 200, margin=-20)
    twice = np.append(x, x + distance), np.append(y, y), np.append(flux, flux)
    frame = scene.make_frame(*twice, 232)
    found = outcome(scene, frame, x, y)
    if isinstance(found, str):
        assert "astray" in found or "trailed" in found
        return
    check(found, 200)
    spoiled = np.uint32(StarFlag.POOR_FIT | StarFlag.SATURATED | StarFlag.BLENDED)
    bright = (flux > 3e4) & (found.flags & spoiled == 0)
    # Where the PSF holds both images, fluxes are double and right among each other; else the fit is said to be poor.
    if np.count_nonzero(bright) > 0.5 * np.count_nonzero(flux > 3e4):
        relative = found.flux[bright] / flux[bright]
        assert np.median(relative) == pytest.approx(2.0, abs=0.05)
        assert 1.4826 * np.median(np.abs(relative - np.median(relative))) < 0.02
    else:
        assert (found.flags[flux > 3e4] & StarFlag.POOR_FIT != 0).mean() > 0.5


@pytest.mark.parametrize("kind", ["shifted by 20 pixels", "at random places"])
def test_stars_that_are_not_where_they_should_be(scene, usual, kind):
    x, y, _, frame = usual
    rng = np.random.default_rng(5)
    if kind == "at random places":
        places = rng.uniform(8, scene.shape[1] - 9, len(x)), rng.uniform(8, scene.shape[0] - 9, len(x))
    else:
        places = x + 20.0, y
    # Not one flux has anything to do with its star.
    with pytest.raises(BadFrameError):
        scene.measure(frame, *places)


@pytest.mark.parametrize("seeing", [1.0, 2.3, 9.0])
def test_a_wrong_seeing(scene, usual, seeing):
    x, y, _, frame = usual
    with pytest.raises(BadFrameError, match="seeing"):
        scene.measure(frame, x, y, fwhm=seeing)


@pytest.mark.parametrize("seeing", [3.6, 6.0])
def test_a_rough_seeing_is_good_enough(scene, usual, seeing):
    x, y, flux, frame = usual
    found = scene.measure(frame, x, y, fwhm=seeing)
    check(found, len(x))
    plain = scene.measure(frame, x, y)
    assert found.attrs["psf_fwhm_pix"] == pytest.approx(plain.attrs["psf_fwhm_pix"], rel=0.004)
    bright = (flux > 3e4) & (plain.flags == 0)
    np.testing.assert_allclose(found.flux[bright], plain.flux[bright], rtol=0.01)


def test_a_masked_corner(scene, usual):
    x, y, flux, _ = usual
    bad = np.zeros(scene.shape, bool)
    bad[:200, :220] = True
    found = scene.measure(scene.make_frame(x, y, flux, 201, bad=bad), x, y)
    check(found, len(x))
    deep = (x < 205) & (y < 185)
    assert (found.flags[deep] & StarFlag.NOT_MEASURED != 0).all()
    assert (found.flags[deep] & StarFlag.BAD_PIXEL != 0).all()
    far = (x > 235) | (y > 215)
    assert np.isfinite(found.flux[far]).all()
    pull = (found.flux[far] - flux[far]) / found.error[far]
    assert np.std(pull) == pytest.approx(1.0, abs=0.06 + 3.2 / np.sqrt(2 * np.count_nonzero(far)))
    part = np.isfinite(found.flux) & ~far & ~deep
    assert (np.abs(found.flux - flux)[part] < 4.5 * found.error[part]).all()


@pytest.mark.parametrize("share", [0.5, 0.9, 1.0])
def test_many_masked_pixels(scene, usual, share):
    x, y, flux, _ = usual
    bad = np.random.default_rng(4).random(scene.shape) < share
    frame = scene.make_frame(x, y, flux, 201, bad=bad)
    if share > 0.5:
        with pytest.raises(BadFrameError, match=r"no (usable|clean) pixels"):
            scene.measure(frame, x, y)
    else:
        # No star has the whole of its light on good pixels: no PSF of its own.
        found = scene.measure(frame, x, y)
        check(found, len(x))
        assert found.attrs["psf_status"] == "borrowed"
        assert (found.flags & StarFlag.BORROWED_PSF != 0).all()
        assert (found.flags & StarFlag.BAD_PIXEL != 0).all()


@pytest.mark.parametrize("exptime", [0.0, -5.0, float("nan")])
def test_no_exposure_time(scene, usual, exptime):
    x, y, _, frame = usual
    with pytest.raises(BadFrameError, match="exposure time is zero or unknown"):
        scene.measure(replace(frame, info=replace(frame.info, exptime_s=exptime)), x, y)


@pytest.mark.parametrize("value", [0.0, 100.0])
@pytest.mark.parametrize("with_error", [False, True])
def test_an_image_without_noise(scene, usual, value, with_error):
    x, y, _, frame = usual
    image = np.full(scene.shape, value, np.float32)
    flat = replace(frame, image=image, error=np.ones_like(image) if with_error else None)
    flat = replace(flat, pixel_flags=np.zeros(scene.shape, np.uint8))
    with pytest.raises(BadFrameError, match="no usable pixels"):
        scene.measure(flat, x, y)


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (8, 8), (5, 400), (64, 64)])
def test_tiny_images(scene, usual, shape):
    x, y, _, frame = usual
    cut = tuple(slice(0, n) for n in shape)
    small = replace(
        frame,
        info=replace(frame.info, shape=shape),
        image=frame.image[cut].copy(),
        error=frame.error[cut].copy(),
        pixel_flags=frame.pixel_flags[cut].copy(),
    )
    found = outcome(scene, small, x, y)
    if isinstance(found, str):
        assert "no usable pixels" in found
        assert shape[1] < 8
    else:
        check(found, len(x))
        off = (x > shape[1] - 0.4) | (y > shape[0] - 0.4)
        assert (found.flags[off] == StarFlag.OFF_IMAGE).all()


def test_all_stars_twice_in_the_catalogue_and_many_on_one_place(scene, usual):
    x, y, flux, frame = usual
    found = scene.measure(frame, np.append(x, x), np.append(y, y))
    check(found, 2 * len(x))
    assert (found.flags & StarFlag.BLENDED != 0).all()
    both = found.flux[: len(x)] + found.flux[len(x) :]
    plain = scene.measure(frame, x, y)
    clean = (plain.flags == 0) & (flux > 1e4)
    # The PSF has to be measured on stars that share their light; each star has its noise besides.
    assert (np.abs(both - flux) < 0.05 * flux + 2 * plain.error)[clean].all()
    many = scene.measure(frame, np.append(x, np.full(50, 240.0)), np.append(y, np.full(50, 220.0)))
    check(many, len(x) + 50)
    assert (many.flags[-50:] & StarFlag.BLENDED != 0).all()
    apart = np.flatnonzero(np.hypot(x - 240, y - 220) > 40)
    np.testing.assert_allclose(many.flux[apart], plain.flux[apart], atol=0.2 * plain.error[apart].max(), rtol=0.002)


def test_unmarked_cosmic_rays_are_said_to_be_poor_fits(scene, usual):
    x, y, flux, frame = usual
    hit = np.flatnonzero((flux > 1e4) & (flux < 1e5))[:40]
    image = frame.image.copy()
    image[np.rint(y[hit]).astype(int) + 1, np.rint(x[hit]).astype(int) - 2] += 8000
    found = scene.measure(replace(frame, image=image), x, y)
    check(found, len(x))
    assert (found.flags[hit] & StarFlag.POOR_FIT != 0).all()
    others = np.min(np.hypot(x[:, None] - x[hit], y[:, None] - y[hit]), axis=1) > 25
    assert not (found.flags[others] & StarFlag.POOR_FIT).any()
    pull = (found.flux[others] - flux[others]) / found.error[others]
    assert np.std(pull) == pytest.approx(1.0, abs=0.1 + 3.2 / np.sqrt(2 * np.count_nonzero(others)))
