"""Copies of the images with their results, and the class for datasets, on what a whole run made."""

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from gaiaflux import AperturePhotometryDataset

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def copies(spoiled_run):
    chain, done, _ = spoiled_run
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.name: path for path in (chain.results("field") / "annotated").glob("*/[!.]*")}


@pytest.fixture(scope="module")
def status(spoiled_run):
    with h5py.File(spoiled_run[0].results("field") / "dataset.h5") as file:
        return dict(zip(file["frames/frame_id"].asstr(), file["frames/status"].asstr(), strict=True))


def test_measured_images_have_a_copy_and_the_others_a_line(spoiled_run, copies, status):
    chain, _, _ = spoiled_run
    measured = {name for name, reason in status.items() if reason == "ok"}
    assert {f"good-{number}" for number in range(8)} <= measured < status.keys()
    assert copies.keys() == {f"{name}.fits" for name in measured}
    folders = sorted(path.name for path in (chain.results("field") / "annotated").iterdir())
    assert folders == sorted(path.stem for path in (chain.results("field") / "aperture").glob("*.h5"))
    logs = "".join(path.read_text() for path in (chain.work / "logs/field/annotate_images").glob("*.log"))
    for name in status.keys() - measured:
        assert f"{name}: no copy: {status[name]}" in logs
    assert logs.count("no copy") == len(status) - len(measured)


def test_a_copy_begins_with_every_byte_of_the_image(copies, spoiled_run):
    _, _, sums = spoiled_run
    for name, path in copies.items():
        assert path.read_bytes().startswith(sums[name])


def test_what_the_copies_carry_is_what_the_dataset_has(copies, spoiled_run):
    chain, _, _ = spoiled_run
    with h5py.File(chain.results("field") / "dataset.h5") as file:
        frame_ids = list(file["frames/frame_id"].asstr())
        star_id, source_id = file["stars/star_id"][()], file["stars/source_id"][()]
        radius = file["aperture/recommended_radius"][()]
        flux, radii = file["aperture/flux"][()], file["aperture/radii_pix"][()]
        cards = list(file["frames/wcs_header"].asstr())
        psf = {
            key: file[f"psf/{key}"][()] for key in ("flux", "flux_err", "flags", "chi2", "psf_fwhm_pix", "psf_n_stars")
        }
    for name, path in copies.items():
        column = frame_ids.index(name.removesuffix(".fits"))
        with fits.open(path) as hdus:
            header = hdus["GAIAFLUX_APERTURE"].header
            wcs = WCS(hdus["GAIAFLUX_WCS"].header)
        table = Table.read(path, hdu="GAIAFLUX_APERTURE")
        rows = np.searchsorted(star_id, table["star_id"])
        np.testing.assert_array_equal(source_id[rows], table["source_id"])
        picked = np.asarray(table["flux"])[np.arange(len(table)), radius[rows]]
        np.testing.assert_array_equal(picked, flux[rows, column])
        for key in ("flux", "flux_err", "flags", "chi2"):
            np.testing.assert_array_equal(table[f"psf_{key}"], psf[key][rows, column], err_msg=key)
        assert header["PSFFWHM"] == psf["psf_fwhm_pix"][column]
        assert header["PSFNSTAR"] == psf["psf_n_stars"][column]
        off = np.setdiff1d(np.arange(len(star_id)), rows)
        assert np.isnan(flux[off, column]).all()
        found = [header[f"APRAD{k + 1}"] for k in range(radii.shape[1])]
        np.testing.assert_allclose(found, radii[column])
        stated = WCS(fits.Header.fromstring(cards[column], sep="\n"))
        np.testing.assert_array_equal(wcs.all_pix2world([[7.0, 300.0]], 0), stated.all_pix2world([[7.0, 300.0]], 0))


def test_the_dataset_class_reads_what_the_workflow_wrote(spoiled_run):
    chain, _, _ = spoiled_run
    path = chain.results("field") / "dataset.h5"
    dataset = AperturePhotometryDataset(path)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(dataset.source_id["ID"], file["stars/source_id"][()])
        np.testing.assert_array_equal(dataset.flux, file["aperture/flux"][()])
        calibrated, mjd = file["aperture/flux_cal"][()], file["frames/mjd_utc"][()]
        mags = file["stars/phot_g_mean_mag"][()]
    # A star that is bright and not saturated.
    complete = np.isfinite(calibrated).sum(axis=1) >= 6
    row = int(np.argmin(np.where(complete & (mags > 15), mags, np.inf)))
    curve = dataset.get_lightcurve(row, "rp")
    valid = np.isfinite(calibrated[row]) & np.isfinite(mjd)
    assert valid.sum() >= 6
    np.testing.assert_array_equal(curve["MJD"], mjd[valid])
    np.testing.assert_array_equal(curve["flux"], calibrated[row, valid])
    assert abs(np.median(curve["mag"]) - mags[row]) < 0.3
