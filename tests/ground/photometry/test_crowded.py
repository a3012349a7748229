"""Stars with neighbours, in good and in bad seeing: the neighbours' light comes and goes, the flux must not."""

import numpy as np
import pytest

from gaiaflux.core.aperture.choice import choose_apertures, fold_scatter
from gaiaflux.core.aperture.scatter import frame_trends, predicted_error, recommend_radius
from gaiaflux.ground.photometry.aperture import ApertureOptions, measure_stars
from gaiaflux.model.frame import Frame, FrameInfo
from gaiaflux.sim.moffat_field import PsfField, add_stars

SIZE = 400


def crowded(fwhm, seed=7):
    """A frame of a crowded field: 1500 stars in 400 x 400 pixels."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, SIZE, (2, 1500))
    flux = 10 ** (3.5 + np.minimum(rng.exponential(0.45, 1500), 2.3))
    psf = PsfField((SIZE, SIZE), 3.0, fwhm * np.eye(6)[0], np.zeros(6), np.zeros(6))
    light = np.zeros((SIZE, SIZE), np.float32)
    add_stars(light, psf, x, y, flux, faintest=0.02)
    image = rng.poisson(light + 200.0).astype(np.float32)
    info = FrameInfo("f", "f.fits", image.shape, "electron", 10.0, 59000.0, "test", read_noise=0.0)
    return Frame(info, image, None, np.zeros(image.shape, np.uint8)), x, y, flux


@pytest.fixture(scope="module")
def two_nights():
    """Fluxes relative to the truth in seeing of 3.5 and of 5.5 pixels, with and without the neighbours taken off."""
    result = {}
    for subtract in (True, False):
        ratios = []
        for fwhm in (3.5, 5.5):
            frame, x, y, flux = crowded(fwhm)
            radii = np.array([0.6, 0.8, 1.0, 1.25, 1.6, 2.2]) * fwhm
            options = ApertureOptions(radii, (4 * fwhm, 6 * fwhm), subtract_neighbours=subtract)
            measured = measure_stars(frame, x, y, 25.0 - 2.5 * np.log10(flux), fwhm, options)
            assert measured.attrs["correction_measured"]
            ratios.append(measured.stars["flux"] * 10.0 / flux[:, None])
        result[subtract] = np.array(ratios)
    inside = (x > 40) & (x < SIZE - 40) & (y > 40) & (y < SIZE - 40)
    return result, inside & (flux > np.sort(flux)[-150])


def test_neighbours_are_taken_off(two_nights):
    ratios, bright = two_nights
    change = {key: np.log(value[1, bright, 2] / value[0, bright, 2]) for key, value in ratios.items()}
    change = {key: np.median(np.abs(value - np.median(value))) for key, value in change.items()}
    assert change[True] < 0.35 * change[False]
    for night in ratios[True]:
        # Nothing is known that the catalogue does not have: the fluxes are right but for the profile's model.
        assert np.median(night[bright, 2]) == pytest.approx(1.0, abs=0.03)


def test_scatter_over_a_series_chooses_the_radius():
    rng = np.random.default_rng(3)
    n_frames, n_stars = 60, 80
    x, y = rng.uniform(0, 500, (2, n_stars))
    trend = np.exp(rng.normal(0, 0.3, (n_frames, 1)) + 0.1 * rng.normal(size=(n_frames, 1)) * (x / 500))
    seeing = rng.uniform(0, 1, (n_frames, 1, 1))
    # Light of neighbours in three radii: none for most of the stars.
    near = np.array([0.002, 0.02, 0.2]) * (np.arange(n_stars) >= 65)[:, None]
    error = np.array([0.010, 0.006, 0.004])
    flux = 1e4 * trend[:, :, None] * (1 + near * seeing + error * rng.normal(size=(n_frames, n_stars, 1)))
    flux[:, 3] *= 1 + 0.3 * np.sin(np.arange(n_frames))[:, None]  # a variable
    usable = np.ones(flux.shape, bool)
    stated = 1e4 * trend[:, :, None] * np.broadcast_to(error, flux.shape)
    trends = frame_trends(flux, usable, x, y)
    common = np.log(trend.mean(axis=1))
    at_centre = trends[0][:, 0] - trends[0][0, 0] - (common - common[0])
    assert np.std(at_centre) < 0.03
    scatter, count = fold_scatter(flux, usable, x, y, trends, (x, y))
    assert np.median(scatter[:, :65, 2]) / 1e4 / np.median(trend) == pytest.approx(error[2], rel=0.15)
    none = np.zeros(flux.shape, bool)
    expected = predicted_error(flux.astype("f4"), stated.astype("f4"), usable, none)
    level = np.median(flux[:, :, 0], axis=0)
    choice = choose_apertures(scatter, count, np.median(stated, axis=0), level, expected)
    assert (choice.index[:65] == 2).all()
    assert (choice.index[65:] < 2).all()
    # In the half of the frames that did not choose, the scatter is what it is.
    assert np.median(choice.held_out[:65] / level[:65]) == pytest.approx(error[2], rel=0.05)
    assert choice.agreed[:65].mean() > 0.9
    assert (recommend_radius(flux.astype("f4"), stated.astype("f4"), usable, none)[0] == 2).all()
    few, _ = fold_scatter(flux[:20], usable[:20], x, y, trends[:, :20], (x, y))
    assert np.isnan(few).all()
    alone = choose_apertures(np.full(scatter.shape, np.nan), count, np.median(stated, axis=0), level, expected)
    assert (alone.index == 2).all()
    assert np.isnan(alone.held_out).all()
