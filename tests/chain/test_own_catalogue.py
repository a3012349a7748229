"""A field without Gaia and without WCS through the whole workflow: microlensing in the bulge, 1 m, 512 x 512 pixels."""

import json

import h5py
import numpy as np
import pytest
from astropy.table import Table

from gaiaflux.model.flags import StarFlag

REFERENCE = "AKB13475I0100"
SPOILED = StarFlag.BAD_PIXEL | StarFlag.EDGE | StarFlag.OFF_IMAGE | StarFlag.NOT_MEASURED | StarFlag.COSMIC_RAY

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def results(real_data, tmp_path_factory, make_chain):
    """Every third frame."""
    folder = real_data / "moa2013blg475_saao"
    chain = make_chain(tmp_path_factory.mktemp("moa"))
    files = sorted(folder.glob("AKB*.fits.gz"))
    chosen = [path for k, path in enumerate(files) if k % 3 == 0 or path.name.startswith(REFERENCE)]
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
        photometry={"aperture": {"radii_arcsec": [1.24, 1.55, 1.86], "annulus_arcsec": [6.0, 10.0]}},
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


def test_the_event(results):
    folder, _ = results
    curve = Table.read(folder / "lightcurves" / "event.ecsv")
    assert curve.meta["magnitude_system"].startswith("instrumental")
    assert curve.meta["sky_coordinates"].startswith("nominal")
    known = np.isfinite(curve["aperture_mag"]) & (curve["aperture_mag_err"] < 0.2)
    time, mag = curve["bjd_tdb"][known] - 2456508.0, curve["aperture_mag"][known]
    assert time[np.argmin(mag)] == pytest.approx(0.25, abs=0.06)
    assert mag[np.abs(time - 0.5) < 0.02].mean() - mag.min() > 1.2
