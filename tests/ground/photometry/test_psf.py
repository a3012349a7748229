import numpy as np
import pytest

from gaiaflux.core.sky.projection import pixel_to_sky
from gaiaflux.ground.frame.star_places import place_stars
from gaiaflux.ground.photometry.psf import measure_frame
from gaiaflux.model.catalog import StarCatalog
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.settings.psf import PsfSettings
from gaiaflux.model.wcs import TanSip
from gaiaflux.sim.moffat_field import optimal_sigma
from gaiaflux.workflow.settings import complete_section

SETTINGS = complete_section(PsfSettings)


@pytest.fixture(scope="module", params=["error image", "gain and read noise", "error image, dark sky"])
def fields(request, scene):
    """Frames of stars at random places, also beyond the edge."""
    rows = []
    sky = 30.0 if "dark" in request.param else scene.sky
    for seed in range(5):
        x, y, flux = scene.random_stars(seed, 350)
        frame = scene.make_frame(x, y, flux, seed, sky=sky, with_error="error image" in request.param)
        found = scene.measure(frame, x, y)
        scene.check_arrays(found, len(x))
        assert found.attrs["noise"] == request.param.split(",")[0]
        clean = scene.is_clean(found.flags)
        psf = scene.Psf()
        sigma = optimal_sigma(flux, psf.area(x, y), psf.beta, sky + scene.read_noise**2)
        zero = scene.zero_of(found, flux, clean)
        rows.append(((found.flux / zero - flux) / found.error, flux / sigma, found.flags, found.error / sigma, x, y))
        assert zero == pytest.approx(1.0, abs=0.003)
        assert found.attrs["unit"] == "electron/s"
        assert found.attrs["psf_status"] == "ok"
        assert found.attrs["psf_order"] == 2
        assert found.attrs["sky"] == pytest.approx(sky, abs=1.0)
        assert found.attrs["pixel_noise"] == pytest.approx(np.sqrt(sky + scene.read_noise**2), rel=0.03)
        assert found.attrs["psf_fwhm_pix"] == pytest.approx(psf.at(*np.array([[239.5], [219.5]]))[0][0], rel=0.004)
        assert abs(found.attrs["shift_x_pix"]) < 0.005
        assert abs(found.attrs["shift_y_pix"]) < 0.005
        assert found.attrs["centroid_rms_pix"] < 0.02
    return [np.concatenate(part) for part in zip(*rows, strict=True)]


@pytest.mark.parametrize(("low", "high"), [(3, 10), (10, 20), (20, 50), (50, 100), (100, 300), (300, 2000)])
def test_errors_are_right_at_every_brightness(fields, low, high, scene):
    pull, snr, flags, *_ = fields
    scene.check_pulls(pull[(snr > low) & (snr < high) & scene.is_clean(flags)])


def test_noise_is_near_that_of_an_ideal_fit_of_the_star_alone(fields):
    _, snr, flags, over_ideal, *_ = fields
    alone = flags == 0
    assert np.count_nonzero(alone) > 250
    assert np.median(over_ideal[alone & (snr < 100)]) == pytest.approx(1.03, abs=0.03)
    assert np.median(over_ideal[alone & (snr > 100)]) < 1.3
    assert over_ideal[alone].min() > 0.97


def test_stars_at_the_edge_are_flagged_and_unbiased(fields, scene):
    pull, _, flags, _, x, y = fields
    (ny, nx), near = scene.shape, 0.6 * scene.fwhm
    on = (x > -0.49) & (x < nx - 0.51) & (y > -0.49) & (y < ny - 0.51)
    at_edge = on & ((x < near) | (x > nx - 1 - near) | (y < near) | (y > ny - 1 - near))
    assert (flags[at_edge] & StarFlag.EDGE != 0).all()
    inside = (x > 11) & (x < nx - 12) & (y > 11) & (y < ny - 12)
    assert (flags[inside] & StarFlag.EDGE == 0).all()
    assert (flags[(x < -0.51) | (x > nx - 0.49) | (y < -0.51) | (y > ny - 0.49)] == StarFlag.OFF_IMAGE).all()
    scene.check_pulls(pull[(flags & ~scene.company) == StarFlag.EDGE])


def pairs(scene, seed):
    """Two stars on each place: 0.5 to 3 FWHM apart, up to 5 magnitudes different."""
    rng = np.random.default_rng([5, seed])
    x, y = scene.loose_grid(seed, 44, 6)
    n = len(x)
    separation, angle, fainter = rng.uniform(0.5, 3, n), rng.uniform(0, 2 * np.pi, n), rng.uniform(0, 5, n)
    flux = 10 ** rng.uniform(4.5, 5.4, n)
    dx, dy = scene.fwhm * separation * np.cos(angle), scene.fwhm * separation * np.sin(angle)
    # Not beyond the edge.
    dx, dy = np.where(np.abs(x + dx - 240) > 226, -dx, dx), np.where(np.abs(y + dy - 220) > 206, -dy, dy)
    x, y = np.append(x, x + dx), np.append(y, y + dy)
    return x, y, np.append(flux, flux * 10 ** (-0.4 * fainter)), separation, fainter


@pytest.fixture(scope="module")
def blends(scene):
    rows = []
    for seed in range(10):
        x, y, flux, separation, fainter = pairs(scene, seed)
        found = scene.measure(scene.make_frame(x, y, flux, seed), x, y)
        clean = scene.is_clean(found.flags)
        assert clean.mean() > 0.98
        pull = (found.flux / scene.zero_of(found, flux, clean) - flux) / found.error
        n = len(separation)
        rows.append((pull[:n], pull[n:], separation, fainter, found.flags[:n], found.flags[n:]))
    return [np.concatenate(part) for part in zip(*rows, strict=True)]


@pytest.mark.parametrize(("low", "high"), [(0.5, 0.7), (0.7, 1.0), (1.0, 1.5), (1.5, 2.0), (2.0, 3.0)])
@pytest.mark.parametrize("component", ["brighter", "fainter by 2 mag at most", "fainter by 2 to 5 mag"])
def test_blended_stars_have_right_fluxes_and_errors(blends, component, low, high, scene):
    bright, faint, separation, fainter, *_ = blends
    chosen = (separation > low) & (separation < high)
    if component == "brighter":
        scene.check_pulls(bright[chosen])
    else:
        scene.check_pulls(faint[chosen & ((fainter < 2) == ("at most" in component))])


def test_blends_are_flagged(blends):
    _, _, separation, fainter, flags, of_faint = blends
    close = (separation < 1) & (fainter < 2)
    for bits in (flags, of_faint):
        assert (bits[close] & StarFlag.NEIGHBOUR != 0).all()
        assert not (bits[separation > 1] & StarFlag.BLENDED).any()
    assert not (flags[(separation > 2.5) & (fainter > 3)] & StarFlag.NEIGHBOUR).any()


def test_stars_that_can_hardly_be_told_apart_are_flagged(scene):
    x, y = scene.loose_grid(51, 44, 6)
    n = len(x)
    # A quarter of the FWHM apart, each flux is known four times worse than that of a star alone.
    # To all sides in turn: an error of the PSF's symmetry would shift all pairs of one direction alike.
    side = 0.5 * np.pi * np.arange(40)
    x, y = (
        np.append(x, x[:40] + 0.25 * scene.fwhm * np.cos(side)),
        np.append(y, y[:40] + 0.25 * scene.fwhm * np.sin(side)),
    )
    flux = np.full(len(x), 5e4)
    found = scene.measure(scene.make_frame(x, y, flux, 51), x, y)
    blended = np.arange(len(x)) >= n
    blended[:40] = True
    np.testing.assert_array_equal((found.flags & StarFlag.BLENDED) != 0, blended)
    assert np.median(found.error[blended]) > 3 * np.median(found.error[~blended])
    scene.check_pulls(((found.flux - flux) / found.error)[n:])
    # Together they are known well.
    both = found.flux[:40] + found.flux[n:]
    assert np.std(both / 1e5) < 0.01


def test_crowding_is_what_a_single_fit_would_add(scene):
    x, y, flux, separation, _ = pairs(scene, 50)
    found = scene.measure(scene.make_frame(x, y, flux, 50), x, y)
    psf, n = scene.Psf(), len(separation)
    j, i = np.mgrid[-12:13, -12:13].astype(float)
    for own, other in ((0, n), (3, n + 3), (n + 5, 5)):
        p = psf.values(x[own], y[own], i, j) * (np.hypot(i, j) < 2.2 * scene.fwhm)
        q = psf.values(x[other], y[other], i + x[own] - x[other], j + y[own] - y[other])
        weight = 1 / (flux[own] * p + flux[other] * q + scene.sky + scene.read_noise**2)
        expected = np.sum(weight * p * q) / np.sum(weight * p * p) * flux[other] / flux[own]
        assert found.arrays["crowding"][own] == pytest.approx(expected, rel=0.15, abs=0.003)


def test_saturated_stars_are_flagged_and_their_neighbours_are_well(scene):
    pulls = []
    for seed in range(3):
        rng = np.random.default_rng([6, seed])
        x, y = scene.loose_grid(seed, 44, 6)
        flux = 10 ** rng.uniform(4.0, 5.4, len(x))
        n = len(x)
        hot = (np.arange(n) % 5 == 2) & (np.hypot((x - 240) / 240, (y - 220) / 220) < 0.85)
        flux[hot] = 10 ** rng.uniform(6.6, 7.0, np.count_nonzero(hot))
        near = np.flatnonzero(hot)
        angle = rng.uniform(0, 2 * np.pi, len(near))
        distance = rng.uniform(2.5, 5, len(near)) * scene.fwhm
        x, y = np.append(x, x[near] + distance * np.cos(angle)), np.append(y, y[near] + distance * np.sin(angle))
        flux = np.append(flux, 10 ** rng.uniform(4.3, 5, len(near)))
        found = scene.measure(scene.make_frame(x, y, flux, seed + 60), x, y)
        scene.check_arrays(found, len(x))
        assert (found.flags[near] & StarFlag.SATURATED != 0).all()
        ordinary = np.arange(len(x)) < n
        ordinary[near] = False
        assert not (found.flags[ordinary] & StarFlag.SATURATED).any()
        pull = (found.flux / scene.zero_of(found, flux, ordinary) - flux) / found.error
        pulls.append((pull[n:], pull[ordinary], found.flux[near] / flux[near]))
    beside, ordinary, hot = (np.concatenate(part) for part in zip(*pulls, strict=True))
    scene.check_pulls(ordinary)
    scene.check_pulls(beside, least=30)
    # What is left of a saturated star, its wings, still tells about its flux.
    np.testing.assert_allclose(hot, 1.0, atol=0.1)


@pytest.mark.parametrize("kind", ["bad", "cosmic"])
def test_flagged_pixels_take_no_part(scene, kind):
    flag = {"bad": StarFlag.BAD_PIXEL, "cosmic": StarFlag.COSMIC_RAY}[kind]
    rows = []
    for seed in range(4):
        x, y, flux = scene.random_stars(seed + 70, 250, margin=-12)
        mask = np.random.default_rng(seed).random(scene.shape) < 0.02
        mask[:, 200] = True
        for step in (0, 1):
            mask[np.rint(y[:40]).astype(int) + step, np.rint(x[:40]).astype(int)] = True
        found = scene.measure(scene.make_frame(x, y, flux, seed, **{kind: mask}), x, y)
        scene.check_arrays(found, len(x))
        zero = scene.zero_of(found, flux, found.arrays["psf_fraction"] > 0.99)
        pull = (found.flux / zero - flux) / found.error
        # Part of each star's light within the circle that falls on good pixels.
        psf, expected = scene.Psf(), np.zeros(len(x))
        yy, xx = np.mgrid[: scene.shape[0], : scene.shape[1]]
        for k in range(60):
            near = np.hypot(xx - x[k], yy - y[k]) <= 2.2 * found.attrs["psf_fwhm_pix"]
            light = psf.values(x[k], y[k], xx[near] - x[k], yy[near] - y[k])
            expected[k] = light[~mask[near]].sum() / light.sum()
        np.testing.assert_allclose(found.arrays["psf_fraction"][:60].astype(float), expected[:60], atol=0.01)
        fraction = found.arrays["psf_fraction"]
        assert (found.flags[fraction < 0.94] & flag != 0).all()
        assert not (found.flags[fraction > 0.96] & (StarFlag.BAD_PIXEL | StarFlag.COSMIC_RAY)).any()
        rows.append((pull, fraction, flux / found.error))
    pull, fraction, snr = (np.concatenate(part) for part in zip(*rows, strict=True))
    assert np.isfinite(pull).all()
    scene.check_pulls(pull[fraction < 0.94], least=100)
    scene.check_pulls(pull[(fraction >= 0.94) & (snr > 50)], least=100)


def test_order_of_the_catalogue_does_not_matter(scene):
    x, y, flux = scene.random_stars(120, 400)
    frame = scene.make_frame(x, y, flux, 120)
    order = np.random.default_rng(1).permutation(len(x))
    first, second = scene.measure(frame, x, y), scene.measure(frame, x[order], y[order])
    for name in ("x", "y", "flux", "flux_err", "flags", "chi2", "psf_fraction", "crowding", "sky"):
        np.testing.assert_array_equal(first.arrays[name][order], second.arrays[name])
    assert first.attrs == second.attrs
    again = scene.measure(frame, x, y)
    assert first.attrs == again.attrs
    assert first.arrays.keys() == again.arrays.keys()
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(array, again.arrays[name])


@pytest.mark.parametrize("shift", [(0.4, -0.3), (-1.1, 0.9)])
def test_a_common_shift_is_found(scene, shift):
    x, y, flux = scene.random_stars(130, 300, margin=-8)
    frame = scene.make_frame(x, y, flux, 130)
    found = scene.measure(frame, x - shift[0], y - shift[1])
    # A hundred stars of signal-to-noise ratios around 100 have centroids to 0.02 pixel and better.
    assert found.attrs["shift_x_pix"] == pytest.approx(shift[0], abs=0.004)
    assert found.attrs["shift_y_pix"] == pytest.approx(shift[1], abs=0.004)
    np.testing.assert_allclose(found.arrays["x"], x, atol=0.004)
    np.testing.assert_allclose(found.arrays["y"], y, atol=0.004)
    clean = scene.is_clean(found.flags)
    scene.check_pulls(((found.flux / scene.zero_of(found, flux, clean) - flux) / found.error)[clean])


def test_unknown_places_are_off_the_image(scene):
    x, y, flux = scene.random_stars(140, 200, margin=-3)
    frame = scene.make_frame(x, y, flux, 140)
    plain = scene.measure(frame, x, y)
    x, y = np.append(x, [np.nan, 50.0, np.nan, np.inf, 1e9]), np.append(y, [50.0, np.nan, np.nan, 50.0, -1e9])
    found = scene.measure(frame, x, y)
    scene.check_arrays(found, len(x))
    assert (found.flags[-5:] == StarFlag.OFF_IMAGE).all()
    np.testing.assert_array_equal(found.arrays["flux"][:-5], plain.arrays["flux"])


def make_catalog(wcs, x, y, pmra):
    ra, dec = pixel_to_sky(wcs, x, y)
    n = len(x)
    zero, none = np.zeros(n), np.full(n, np.nan)
    return StarCatalog(
        source_id=np.arange(n), ra_deg=ra, dec_deg=dec, ref_epoch=np.full(n, 2016.0), pmra=pmra, pmdec=zero,
        parallax=zero, pos_err=zero, pm_err=zero, mag=none, colour=none, system="Gaia G", source="gaia",
        star_id=np.arange(n), x_ref=x, y_ref=y, mag_ref=none, place=np.zeros(n, np.int8),
    )  # fmt: skip


def test_stars_are_measured_where_they_have_moved_to(scene):
    scale = 0.4
    ny, nx = scene.shape
    none = np.zeros((1, 1))
    cd = np.array([[-scale, 0], [0, scale]]) / 3600
    wcs = TanSip((150.0, 20.0), ((nx - 1) / 2, (ny - 1) / 2), cd, none, none, none, none, scene.shape)
    x, y, flux = scene.random_stars(150, 120, faintest=4.0, margin=-20)
    years = 2000.0 + (59000.0 - 51544.5) / 365.25 - 2016.0
    pmra = np.where(np.arange(len(x)) % 10 == 0, 1500.0, 0.0)
    moved = x - pmra * years / 1000 / scale
    frame = scene.make_frame(moved, y, flux, 150)
    result = measure_frame(place_stars(frame, wcs, make_catalog(wcs, x, y, pmra), scene.fwhm), SETTINGS)
    attrs, arrays = result.attrs, result.arrays
    np.testing.assert_allclose(arrays["x"], moved, atol=0.01)
    np.testing.assert_allclose(arrays["y"], y, atol=0.01)
    clean = scene.is_clean(arrays["flags"]) & (pmra > 0)
    assert np.count_nonzero(clean) > 8
    off = arrays["flux"].astype(float) * scene.exptime - flux
    assert (np.abs(off[clean]) < 4 * arrays["flux_err"][clean] * scene.exptime).all()
    assert attrs["status"] == "ok"
    for fwhm in (float("nan"), 0.0, -1.0):
        with pytest.raises(BadFrameError, match="seeing"):
            place_stars(frame, wcs, make_catalog(wcs, x, y, pmra), fwhm)


def test_settings_take_effect(scene):
    x, y, flux = scene.random_stars(160, 300, margin=-8)
    frame = scene.make_frame(x, y, flux, 160)
    plain = scene.measure(frame, x, y, residual=False, max_order=1)
    assert plain.attrs["psf_residual_order"] == -1
    assert plain.attrs["psf_order"] == 1
    assert plain.attrs["psf_status"] == "ok"
    assert plain.arrays["psf_form"].shape == (3, 3)
    few = scene.measure(frame, x, y, max_stars=40)
    assert 30 <= few.attrs["psf_n_stars"] <= 40
    narrow, wide = scene.measure(frame, x, y, radius_fwhm=1.5), scene.measure(frame, x, y, radius_fwhm=3.5)
    alone = (narrow.flags == 0) & (wide.flags == 0) & (flux < 3e3)
    assert np.count_nonzero(alone) > 10
    # More of a faint star's light decides its flux.
    assert np.median(narrow.error[alone] / wide.error[alone]) > 1.001
    for found in (narrow, wide):
        clean = scene.is_clean(found.flags)
        scene.check_pulls(((found.flux / scene.zero_of(found, flux, clean) - flux) / found.error)[clean])
