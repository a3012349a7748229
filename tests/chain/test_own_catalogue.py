"""A field without Gaia and without WCS through the whole workflow: microlensing in the bulge, 1 m, 512 x 512 pixels.

77 of the 173 frames are of one night, in which the event peaks at a caustic and falls by more than two magnitudes.
"""

import json

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from gaiaflux.io.dataset import DatasetReader
from gaiaflux.model.flags import StarFlag
from gaiaflux.series.method_choice import methods_of_stars

REFERENCE = "AKB13475I0100"
SPOILED = StarFlag.BAD_PIXEL | StarFlag.EDGE | StarFlag.OFF_IMAGE | StarFlag.NOT_MEASURED | StarFlag.COSMIC_RAY

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(scope="module")
def results(real_data, tmp_path_factory, make_chain):
    """All frames of the long night and every fourth of the others, by both methods."""
    folder = real_data / "moa2013blg475_saao"
    chain = make_chain(tmp_path_factory.mktemp("moa"))
    files = sorted(folder.glob("AKB*.fits.gz"))
    long_night = {path for path in files if abs(fits.getval(path, "MJD-OBS") - 56507.87) < 0.2}
    chosen = [path for k, path in enumerate(files) if k % 4 == 0 or path in long_night or REFERENCE in path.name]
    chain.configure(
        series={
            "moa": {
                "images": [str(path) for path in chosen],
                "pixel_scale_arcsec": 0.31,
                "reference_image": REFERENCE,
                "targets": [{"name": "event", "x_pix": 287, "y_pix": 215}],
            }
        },
        gaia={"source": "reference_image"},
        # The same pixels in good and bad seeing: neighbours come and go less than in apertures that grow with it.
        photometry={
            "methods": ["aperture", "psf"],
            "aperture": {"radii_arcsec": [1.24, 1.55, 1.86], "annulus_arcsec": [6.0, 10.0]},
        },
    )
    done = chain.run("--quiet", "all")
    assert done.returncode == 0, done.stdout + done.stderr
    return chain.results("moa"), len(chosen)


def test_every_frame_is_aligned(results):
    folder, n_frames = results
    with h5py.File(folder / "dataset.h5") as file:
        assert file["frames/status"].asstr()[()].tolist() == ["ok"] * n_frames
        rms_pix = file["frames/wcs_rms_mas"][()] / 310.0
        assert (file["frames/wcs_n_stars"][()] > 80).all()
    assert np.median(rms_pix) < 0.07
    assert rms_pix.max() < 0.2


def test_what_is_nominal_and_instrumental_says_so(results):
    folder, _ = results
    with h5py.File(folder / "dataset.h5") as file:
        assert file.attrs["sky_coordinates"].startswith("nominal")
        assert file.attrs["magnitude_system"] == "instrumental magnitude"
        assert file["aperture"].attrs["magnitude_system"] == "instrumental magnitude"
        for name in ("frames/zero_point", "stars/phot_g_mean_mag"):
            assert "instrumental" in file[name].attrs["description"]
        assert (file["stars/source_id"][()] == -1).all()
    pin = json.loads((folder / "gaia.json").read_text())
    assert (pin["source"], pin["frame_id"]) == ("reference_image", REFERENCE)


def test_bright_stars_of_the_long_night(results):
    folder, _ = results
    with h5py.File(folder / "dataset.h5") as file:
        night = np.abs(file["frames/mjd_utc"][()] - 56507.87) < 0.2
        flux, flags = file["aperture/flux_cal"][:, night], file["aperture/flags"][:, night].astype(int)
    good = np.isfinite(flux) & ((flags & SPOILED) == 0)
    possible = (good.mean(axis=1) > 0.75) & ((flags & StarFlag.SATURATED) == 0).all(axis=1)
    flux = np.where(good, flux, np.nan)[possible]
    level = np.nanmedian(flux, axis=1)
    scatter = 1.4826 * np.nanmedian(np.abs(flux / level[:, None] - 1), axis=1)
    assert np.median(scatter[np.argsort(-level)[:20]]) < 3.8e-3


class LightCurves:
    """Robust scatter [mag] and brightness of all stars that are never saturated, by each method."""

    def __init__(self, path):
        with DatasetReader(path) as source:
            self.recommended, _ = methods_of_stars(source)
            self.night = np.abs(source.array("frames/mjd_utc") - 56507.87) < 0.2
            self.crowding = np.nanmedian(source.array("psf/crowding"), axis=1)
            self.flux, self.flags = (
                {method: source.array(f"{method}/{name}") for method in ("aperture", "psf")}
                for name in ("flux_cal", "flags")
            )

    def scatter(self, method, frames):
        flux, flags = self.flux[method][:, frames].astype(float), self.flags[method][:, frames].astype(int)
        good = np.isfinite(flux) & ((flags & SPOILED) == 0)
        possible = (good.mean(axis=1) > 0.75) & ((flags & StarFlag.SATURATED) == 0).all(axis=1)
        flux = np.where(good & possible[:, None], flux, np.nan)
        with np.errstate(invalid="ignore"):
            level = np.array([np.nanmedian(row) if use else np.nan for row, use in zip(flux, possible, strict=True)])
            deviation = np.abs(flux / level[:, None] - 1.0)
        spread = [np.nanmedian(row) if use else np.nan for row, use in zip(deviation, possible, strict=True)]
        return 1.0857 * 1.4826 * np.array(spread), np.where(possible, level, 0.0)


@pytest.fixture(scope="module")
def light_curves(results):
    return LightCurves(results[0] / "dataset.h5")


@pytest.mark.parametrize(("where", "at_most"), [("night", 3.5e-3), ("all", 5e-3)])
def test_the_brightest_stars_by_their_recommended_method(light_curves, where, at_most):
    frames = light_curves.night if where == "night" else np.ones(light_curves.night.size, dtype=bool)
    found = {method: light_curves.scatter(method, frames) for method in ("aperture", "psf")}
    by_psf = light_curves.recommended == "psf"
    scatter, level = (np.where(by_psf, *pair) for pair in zip(found["psf"], found["aperture"], strict=True))
    assert np.median(scatter[np.argsort(-level)[:20]]) <= at_most
    assert 0.5 < by_psf[np.argsort(-level)[:200]].mean() < 1.0


@pytest.mark.parametrize("where", ["night", "all"])
def test_the_psf_scatters_less_where_stars_are_crowded_and_no_more_where_not(light_curves, where):
    frames = light_curves.night if where == "night" else np.ones(light_curves.night.size, dtype=bool)
    (psf, level), (aperture, other) = (light_curves.scatter(method, frames) for method in ("psf", "aperture"))
    brightest = np.argsort(-np.where(other > 0, level, 0.0))[:200]
    ratio, crowding = (psf / aperture)[brightest], light_curves.crowding[brightest]
    assert np.median(ratio[crowding < 0.02]) <= 1.1
    assert np.median(ratio[crowding > 0.1]) < 0.9
    assert np.median(ratio[crowding > 0.3]) < 0.75


def test_the_event(results):
    folder, _ = results
    curve = Table.read(folder / "lightcurves" / "event.ecsv")
    assert curve.meta["magnitude_system"].startswith("instrumental")
    assert curve.meta["sky_coordinates"].startswith("nominal")
    for method in ("aperture", "psf"):
        known = np.isfinite(curve[f"{method}_mag"]) & (curve[f"{method}_mag_err"] < 0.2)
        time, mag = curve["bjd_tdb"][known] - 2456508.0, curve[f"{method}_mag"][known]
        assert time[np.argmin(mag)] == pytest.approx(0.25, abs=0.06)
        assert mag[np.abs(time - 0.5) < 0.02].mean() - mag.min() > 1.2
    assert mag[np.abs(time - 0.54) < 0.012].mean() - mag.min() == pytest.approx(2.3, abs=0.15)


def test_the_errors_and_the_scatter_of_the_event(results):
    folder, _ = results
    curve = Table.read(folder / "lightcurves" / "event.ecsv")
    assert curve.meta["recommended_method"] == "psf"
    time = np.asarray(curve["bjd_tdb"]) - 2456508.0
    # Stretches in which the light curve is smooth, and the order of a polynomial that follows it there.
    stretches = ((-37, -34, 2), (-33, -26, 3), (-26, -24, 2), (-10, -3, 2), (-3, -1.4, 2), (-0.85, -0.44, 2))
    stretches += ((0.19, 0.40, 6), (0.40, 0.53, 6), (0.524, 0.56, 1), (1.2, 8, 1))
    chi2, freedom, scatter = {}, {}, {}
    for method in ("aperture", "psf"):
        flux, error = (np.asarray(curve[f"{method}_{name}"], dtype=float) for name in ("flux", "flux_err"))
        good = np.isfinite(flux) & ((np.asarray(curve[f"{method}_flags"]) & SPOILED) == 0)
        chi2[method], freedom[method], spread = 0.0, 0, []
        for first, last, order in stretches:
            use = good & (time > first) & (time < last)
            if use.sum() < order + 3:
                continue
            place = 2.0 * (time[use] - first) / (last - first) - 1.0
            fit = np.polynomial.Chebyshev.fit(place, flux[use], order, domain=[-1, 1], w=1.0 / error[use])
            pull = (flux[use] - fit(place)) / error[use]
            chi2[method] += (pull**2).sum()
            freedom[method] += use.sum() - order - 1
            if (first, last) in ((0.19, 0.40), (0.40, 0.53)):
                spread.append(np.std((flux[use] - fit(place)) / fit(place)))
        scatter[method] = np.array(spread)
    for method in ("aperture", "psf"):
        assert 0.7 < chi2[method] / freedom[method] < 1.5, method
    assert freedom["psf"] > 60
    assert (scatter["psf"] < 0.8 * scatter["aperture"]).all()
    assert scatter["psf"][0] < 8e-3
