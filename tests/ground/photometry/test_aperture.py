from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.core.aperture.neighbours import light_at_distance
from gaiaflux.core.psf.moffat import MoffatProfile
from gaiaflux.core.sky.projection import pixel_to_sky
from gaiaflux.ground.frame.star_places import place_stars
from gaiaflux.ground.photometry.aperture import ApertureOptions, measure_frame, measure_stars, radii_in_pixels
from gaiaflux.model.catalog import StarCatalog
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.flags import PixelFlag, StarFlag
from gaiaflux.model.frame import Frame, FrameInfo
from gaiaflux.model.settings.aperture import ApertureSettings
from gaiaflux.model.wcs import TanSip
from gaiaflux.sim.moffat_field import PsfField, add_stars, optimal_sigma
from gaiaflux.workflow.settings import complete_section

SIZE = 1200
FWHM = 5.0
READ_NOISE = 8.0
RADII = np.array([0.6, 0.8, 1.0, 1.25, 1.6, 2.2]) * FWHM
OPTIONS = ApertureOptions(RADII, (4.0 * FWHM, 6.0 * FWHM))
EXPTIME = 40.0
PSF = PsfField(
    (SIZE, SIZE),
    3.2,
    FWHM * np.array([1.0, 0.03, -0.02, 0.03, 0.01, -0.02]),
    np.array([0.03, 0.02, 0, 0, 0, 0.01]),
    np.array([0, 0, 0.02, 0.01, 0, 0]),
)
# Of these, each (signal-to-noise) bin must have the right errors.
BINS = ((10, 20), (20, 50), (50, 100), (100, 300), (300, 1e5))


def sky_at(x, y):
    return 500.0 * (1 + 0.1 * (x / SIZE - 0.5) + 0.05 * (y / SIZE) ** 2)


def simulate(seed, n_stars=1000, with_error=True):
    """Frame, positions, true fluxes [electron], errors of an ideal fit, catalogue magnitudes."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-20, SIZE + 20, (2, n_stars))
    flux = 10 ** rng.uniform(3.2, 5.9, n_stars)
    light = np.zeros((SIZE, SIZE), np.float32)
    add_stars(light, PSF, x, y, flux, faintest=0.02)
    yy, xx = np.mgrid[:SIZE, :SIZE]
    image = (rng.poisson(light + sky_at(xx, yy)) + rng.normal(0, READ_NOISE, light.shape)).astype(np.float32)
    flags = np.zeros(light.shape, np.uint8)
    flags[:, 411] = PixelFlag.BAD
    flags[rng.integers(0, SIZE, 400), rng.integers(0, SIZE, 400)] = PixelFlag.BAD
    image[flags != 0] = -300.0
    flags[image > 100_000] |= PixelFlag.SATURATED
    error = np.sqrt(np.maximum(image, 0) + np.float32(READ_NOISE**2)) if with_error else None
    info = FrameInfo("f1", "f1.fits", light.shape, "electron", EXPTIME, 59000.0, "test", read_noise=READ_NOISE)
    sigma = optimal_sigma(flux, PSF.area(x, y), PSF.beta, sky_at(x, y) + READ_NOISE**2)
    mag = 25.0 - 2.5 * np.log10(flux) + rng.normal(0, 0.15, n_stars)
    mag[rng.random(n_stars) < 0.1] = np.nan
    return Frame(info, image, error, flags), x, y, flux, sigma, mag


@pytest.fixture(scope="module", params=[True, False], ids=["error image", "gain and read noise"])
def series(request):
    """Several frames measured: relative to truth, pulls, and what is needed to choose stars."""
    rows = []
    for seed in range(4):
        frame, x, y, flux, sigma, mag = simulate(seed, with_error=request.param)
        result = measure_stars(frame, x, y, mag, FWHM, OPTIONS)
        attrs, arrays = result.attrs, result.arrays
        found, error = arrays["flux"] * EXPTIME, arrays["flux_err"] * EXPTIME
        alone = arrays["contamination"][:, -1] < 0.001
        with np.errstate(invalid="ignore"):
            bright = alone & (flux / sigma > 100) & (arrays["flags"] == 0).all(axis=1)
        weight = (flux[bright, None] / error[bright]) ** 2
        zero = np.sum(weight * found[bright] / flux[bright, None], axis=0) / np.sum(weight, axis=0)
        rows.append(
            {
                "off": found / zero - flux[:, None],
                "error": error,
                "flux": flux,
                "sigma": sigma,
                "flags": arrays["flags"],
                "alone": alone,
                "zero": zero,
                "attrs": attrs,
            }
        )
    return rows


def select(series, chosen, name):
    return np.concatenate([frame[name][chosen(frame)] for frame in series])


def test_errors_are_right_at_every_brightness(series):
    for low, high in BINS:

        def chosen(frame, low=low, high=high):
            snr = frame["flux"] / frame["sigma"]
            return (snr > low) & (snr < high) & frame["alone"] & (frame["flags"] == 0).all(axis=1)

        pull = select(series, chosen, "off") / select(series, chosen, "error")
        # Allowed beside the limits: three sigma of the sample's own noise.
        n = len(pull)
        assert n > 40
        assert (np.std(pull, axis=0) < 1.10 + 2 / np.sqrt(n)).all()
        assert (np.std(pull, axis=0) > 0.92 - 2 / np.sqrt(n)).all()
        assert (np.abs(np.mean(pull, axis=0)) < 0.1 + 2 / np.sqrt(n)).all()


def test_noise_is_near_that_of_an_ideal_fit(series):
    for low, high, limit in ((20, 50, 1.18), (300, 1e5, 1.40)):

        def chosen(frame, low=low, high=high):
            snr = frame["flux"] / frame["sigma"]
            return (snr > low) & (snr < high) & frame["alone"] & (frame["flags"] == 0).all(axis=1)

        relative = select(series, chosen, "off") / select(series, chosen, "sigma")[:, None]
        assert np.sqrt(np.mean(np.clip(relative, -5, 5) ** 2, axis=0)).min() < limit


def test_flux_is_the_total_of_the_star_at_every_radius(series):
    for frame in series:
        np.testing.assert_allclose(frame["zero"], 1.0, atol=0.004)
        assert frame["attrs"]["correction_measured"]
        assert frame["attrs"]["n_correction_stars"] > 40


def test_filled_stars_have_the_right_errors_too(series):
    def chosen(frame):
        bad = ((frame["flags"] & StarFlag.BAD_PIXEL) != 0).any(axis=1)
        other = ((frame["flags"] & ~np.uint32(StarFlag.BAD_PIXEL)) != 0).any(axis=1)
        return bad & ~other & frame["alone"] & np.isfinite(frame["off"]).all(axis=1)

    pull = select(series, chosen, "off") / select(series, chosen, "error")
    assert len(pull) > 50
    assert (np.std(pull, axis=0) < 1.3).all()
    assert (np.abs(np.mean(pull, axis=0)) < 0.35).all()


def test_error_of_the_sky_is_in_the_error_of_the_flux():
    rng = np.random.default_rng(20)
    frame, *_ = simulate(20, n_stars=0)
    x, y = (grid.ravel() for grid in np.meshgrid([60.0, 150.0, 240.0], [100.0, 200.0]))
    info = replace(frame.info, shape=(300, 300))
    # A thin annulus: half of the variance is the sky's.
    thin = ApertureOptions(RADII[-1:], (20.0, 22.5))
    pulls = []
    for _ in range(60):
        image = rng.normal(500, 22, (300, 300)).astype(np.float32)
        noisy = Frame(info, image, None, np.zeros(image.shape, np.uint8))
        arrays = measure_stars(noisy, x, y, np.full(6, np.nan), FWHM, thin).arrays
        pulls.append(arrays["flux"] / arrays["flux_err"])
    assert np.std(pulls) == pytest.approx(1.0, abs=0.12)
    assert abs(np.mean(pulls)) < 0.15


def test_error_of_the_correction_is_in_the_error_of_the_flux():
    frame, x, y, flux, sigma, mag = simulate(4)
    arrays = measure_stars(frame, x, y, mag, FWHM, OPTIONS).arrays
    bright = (flux / sigma > 500) & (arrays["flags"] == 0).all(axis=1)
    # At 1.6 FWHM hardly any light is in the pixels on the circle, and the correction's scatter shows.
    relative, correction, fraction = (
        values[bright, 4].astype(float)
        for values in (
            arrays["flux_err"] / arrays["flux"],
            arrays["fraction_err"] / arrays["fraction"],
            arrays["fraction"],
        )
    )
    assert (correction > 1e-4).all()
    assert (relative**2 > 0.99 * (correction**2 + 1 / (flux[bright] * fraction))).all()


def test_without_correction_stars_a_model_is_used_and_flagged():
    frame, x, y, flux, sigma, mag = simulate(5)
    result = measure_stars(frame, x, y, mag, FWHM, replace(OPTIONS, min_correction_stars=9999))
    attrs, arrays = result.attrs, result.arrays
    assert attrs["n_correction_stars"] == 0
    assert not attrs["correction_measured"]
    on = (arrays["flags"][:, 0] & StarFlag.OFF_IMAGE) == 0
    assert (arrays["flags"][on] & StarFlag.NO_APERTURE_CORRECTION).all()
    good = on & (flux / sigma > 100) & (arrays["contamination"][:, 0] < 0.01) & (arrays["filled"][:, -1] == 0)
    np.testing.assert_allclose(np.median(arrays["flux"][good] * EXPTIME / flux[good, None], axis=0), 1.0, atol=0.04)


def test_neighbours_are_flagged_with_their_share():
    frame, *_ = simulate(6, n_stars=0)
    x, y = np.array([300.0, 310.0, 700.0, 702.0, 900.0]), np.array([300.0, 300.0, 500.0, 500.0, 900.0])
    flux = np.array([5e4, 5e3, 1e4, 2e5, 3e4])
    light = np.zeros((SIZE, SIZE), np.float32)
    add_stars(light, PSF, x, y, flux, faintest=0.02)
    frame = replace(frame, image=frame.image + light)
    arrays = measure_stars(frame, x, y, 25 - 2.5 * np.log10(flux), FWHM, OPTIONS).arrays
    neighbour = (arrays["flags"] & StarFlag.NEIGHBOUR) != 0
    profile = MoffatProfile.from_fwhm(FWHM, PSF.beta)
    share = [0.1 * light_at_distance(np.array([10.0]), r, profile)[0] / profile.growth(r) for r in RADII]
    np.testing.assert_allclose(arrays["contamination"][0], share, rtol=0.6)
    assert share[0] < 0.009
    assert share[-1] > 0.03
    assert neighbour[0].tolist() == (arrays["contamination"][0] > 0.01).tolist()
    assert neighbour[1:3].all()
    assert not neighbour[4].any()


def test_a_bright_star_behind_a_cloud_keeps_its_light_beside_faint_entries():
    """Few stars stand out of the noise, and most catalogue entries that do are in the light of bright ones."""
    frame, *_ = simulate(8, n_stars=0)
    bright = np.array([[300.0, 300.0], [700.0, 500.0], [900.0, 900.0], [250.0, 800.0]])
    around = bright[:, None, :] + np.array([[2.5, 0.0], [0.0, -3.0], [-2.0, 2.0]])
    x, y = np.concatenate([bright, around.reshape(-1, 2)]).T
    flux = np.concatenate([[6e4, 5e4, 4e4, 3e4], np.full(12, 400.0)])
    light = np.zeros((SIZE, SIZE), np.float32)
    add_stars(light, PSF, x, y, flux, faintest=0.02)
    frame = replace(frame, image=frame.image + light, error=np.sqrt(frame.error**2 + light))
    arrays = measure_stars(frame, x, y, 15.0 - 2.5 * np.log10(flux), FWHM, OPTIONS).arrays
    # By a model of the growth curve, since so few stars measure none.
    found = arrays["flux"][:4] * EXPTIME
    np.testing.assert_allclose(found / flux[:4, None], 1.0, atol=0.1)
    assert (arrays["contamination"][:4] < 0.06).all()


def test_saturated_edge_corner_off_and_unknown_places():
    frame, *_ = simulate(7, n_stars=0)
    x = np.array([200.0, 2.0, 0.0, -3.0, np.nan, 600.0])
    y = np.array([200.0, 600.0, 0.0, 5.0, 5.0, 600.0])
    light = np.zeros((SIZE, SIZE), np.float32)
    add_stars(light, PSF, x[[0, 1, 2, 5]], y[[0, 1, 2, 5]], np.array([5e6, 1e5, 1e5, 1e5]), faintest=0.02)
    image = frame.image + light
    flags = frame.pixel_flags | np.where(image > 100_000, PixelFlag.SATURATED, 0).astype(np.uint8)
    image = np.minimum(image, 100_000)
    frame = replace(frame, image=image, pixel_flags=flags, error=np.sqrt(np.maximum(image, 1)))
    arrays = measure_stars(frame, x, y, np.full(6, np.nan), FWHM, OPTIONS).arrays
    bits = arrays["flags"]
    assert (bits[0] & StarFlag.SATURATED).all()
    assert (bits[[1, 2]] & StarFlag.EDGE).all()
    assert (bits[[3, 4]] == StarFlag.OFF_IMAGE).all()
    assert np.isnan(arrays["flux"][[3, 4]]).all()
    assert (bits[5] == StarFlag.NO_APERTURE_CORRECTION).all()
    np.testing.assert_allclose(arrays["flux"][[1, 5]] * EXPTIME, 1e5, rtol=0.06)
    assert np.isfinite(arrays["flux"][0]).all()


def test_sky_that_cannot_be_measured_is_flagged():
    frame, *_ = simulate(8, n_stars=0)
    flags = frame.pixel_flags.copy()
    yy, xx = np.mgrid[:SIZE, :SIZE]
    distance = np.hypot(xx - 600, yy - 600)
    flags[(distance > 15) & (distance < 35)] = PixelFlag.BAD
    place = np.array([600.0])
    frame = replace(frame, pixel_flags=flags)
    arrays = measure_stars(frame, place, place, np.array([np.nan]), FWHM, OPTIONS).arrays
    assert (arrays["flags"][0] & StarFlag.BACKGROUND).all()
    assert arrays["sky"][0] == pytest.approx(sky_at(600.0, 600.0), abs=3.0)
    assert np.isfinite(arrays["flux"]).all()


@pytest.mark.parametrize("n_stars", [0, 1])
def test_no_star_and_one_star(n_stars):
    frame, *_ = simulate(9, n_stars=0)
    where = np.full(n_stars, 500.5)
    result = measure_stars(frame, where, where, np.full(n_stars, 15.0), FWHM, OPTIONS)
    attrs, arrays = result.attrs, result.arrays
    assert attrs["status"] == "ok"
    assert attrs["n_measured"] == n_stars
    assert arrays["flux"].shape == (n_stars, 6)
    assert np.isfinite(arrays["flux_err"]).all()
    assert (np.abs(arrays["flux"]) < 5 * arrays["flux_err"]).all()


def test_order_of_stars_does_not_matter():
    frame, x, y, _, _, mag = simulate(10, n_stars=300)
    order = np.random.default_rng(1).permutation(len(x))
    first = measure_stars(frame, x, y, mag, FWHM, OPTIONS).arrays
    second = measure_stars(frame, x[order], y[order], mag[order], FWHM, OPTIONS).arrays
    np.testing.assert_array_equal(first["flux"][order], second["flux"])
    np.testing.assert_array_equal(first["flags"][order], second["flags"])


def test_unusable_frames_say_why():
    frame, x, y, _, _, mag = simulate(11, n_stars=5)
    with pytest.raises(BadFrameError, match="no usable pixels"):
        measure_stars(replace(frame, pixel_flags=np.ones_like(frame.pixel_flags)), x, y, mag, FWHM, OPTIONS)
    with pytest.raises(BadFrameError, match="exposure time"):
        measure_stars(replace(frame, info=replace(frame.info, exptime_s=0.0)), x, y, mag, FWHM, OPTIONS)


def make_catalog(wcs, x, y, pmra):
    ra, dec = pixel_to_sky(wcs, x, y)
    n = len(x)
    zero = np.zeros(n)
    return StarCatalog(
        source_id=np.arange(n),
        ra_deg=ra,
        dec_deg=dec,
        ref_epoch=np.full(n, 2016.0),
        pmra=pmra,
        pmdec=zero,
        parallax=zero,
        pos_err=zero,
        pm_err=zero,
        mag=np.full(n, np.nan),
        colour=np.full(n, np.nan),
        place=np.zeros(n, np.int8),
        system="Gaia G",
        source="gaia",
        star_id=np.arange(n),
        x_ref=x,
        y_ref=y,
        mag_ref=np.full(n, np.nan),
    )


def test_stars_are_measured_where_they_have_moved_to():
    scale = 0.4
    cd = np.array([[-scale, 0], [0, scale]]) / 3600
    none = np.zeros((1, 1))
    wcs = TanSip((150.0, 20.0), (599.5, 599.5), cd, none, none, none, none, (SIZE, SIZE))
    frame, *_ = simulate(12, n_stars=0)
    x, y = np.array([400.0, 700.0]), np.array([500.0, 800.0])
    years = 2000.0 + (frame.info.mjd_utc - 51544.5) / 365.25 - 2016.0
    pmra = np.array([0.0, 1500.0])
    light = np.zeros((SIZE, SIZE), np.float32)
    moved = x - pmra * years / 1000 / scale
    add_stars(light, PSF, moved, y, np.array([1e5, 1e5]), faintest=0.02)
    frame = replace(frame, image=frame.image + light)
    settings = complete_section(ApertureSettings, radii_fwhm=[1.0, 2.0], annulus_fwhm=[4.0, 6.0])
    result = measure_frame(place_stars(frame, wcs, make_catalog(wcs, x, y, pmra), FWHM), settings)
    attrs, arrays = result.attrs, result.arrays
    np.testing.assert_allclose(arrays["x"], moved, atol=0.01)
    np.testing.assert_allclose(arrays["flux"][:, 1] * EXPTIME, 1e5, rtol=0.03)
    np.testing.assert_allclose(arrays["radii_pix"], [FWHM, 2 * FWHM])
    assert attrs["unit"] == "electron/s"
    with pytest.raises(BadFrameError, match="seeing"):
        place_stars(frame, wcs, make_catalog(wcs, x, y, pmra), float("nan"))


def test_apertures_are_not_smaller_than_the_pixels_allow():
    settings = complete_section(ApertureSettings, radii_fwhm=[1.0, 2.0], annulus_fwhm=[4.0, 6.0])
    for fwhm, unit in ((1.3, 2.5), (2.49, 2.5), (2.7, 2.7)):
        radii, annulus = radii_in_pixels(settings, fwhm, 0.5)
        np.testing.assert_allclose(radii, [unit, 2 * unit])
        np.testing.assert_allclose(annulus, [4 * unit, 6 * unit])
    # What is asked for on the sky stays as it is.
    arcsec = complete_section(ApertureSettings, radii_arcsec=[0.5], annulus_arcsec=[8.0, 12.0])
    assert radii_in_pixels(arcsec, 1.3, 0.5)[0].tolist() == [1.0]


def test_the_annulus_has_one_size_in_all_frames_of_a_series():
    settings = complete_section(ApertureSettings, radii_fwhm=[1.0, 2.0], annulus_fwhm=[4.0, 6.0])
    # As large as in the usual seeing of 5 pixels, until it would begin within 2.5 times the seeing.
    for fwhm, unit in ((3.0, 5.0), (5.0, 5.0), (8.0, 5.0), (10.0, 6.25)):
        radii, annulus = radii_in_pixels(settings, fwhm, 0.5, 5.0)
        np.testing.assert_allclose(radii, [fwhm, 2 * fwhm])
        np.testing.assert_allclose(annulus, [4 * unit, 6 * unit])
    assert radii_in_pixels(settings, 3.0, 0.5, 1.5)[1] == (10.0, 15.0)
    assert radii_in_pixels(settings, 3.0, 0.5)[1] == (12.0, 18.0)
    # One that is asked for closer by begins there.
    close = complete_section(ApertureSettings, radii_fwhm=[1.0], annulus_fwhm=[2.0, 3.0])
    assert radii_in_pixels(close, 6.0, 0.5, 5.0)[1] == (12.0, 18.0)


def test_radii_in_arcsec_and_in_fwhm():
    fwhm = complete_section(ApertureSettings, radii_fwhm=[2.0, 1.0], annulus_fwhm=[4.0, 6.0])
    radii, annulus = radii_in_pixels(fwhm, 5.0, 0.5)
    assert radii.tolist() == [5.0, 10.0]
    assert annulus == (20.0, 30.0)
    arcsec = complete_section(ApertureSettings, radii_arcsec=[2.0, 3.0], annulus_arcsec=[8.0, 12.0])
    radii, annulus = radii_in_pixels(arcsec, 5.0, 0.5)
    assert radii.tolist() == [4.0, 6.0]
    assert annulus == (16.0, 24.0)
