"""A run with PSF photometry alone, and all that may be asked for beside it."""

import csv

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

pytestmark = pytest.mark.slow

GOOD = tuple(f"good-{number}" for number in range(4))


@pytest.fixture(scope="module")
def run(spoiled_folder, small_series, make_chain, tmp_path_factory):
    chain = make_chain(tmp_path_factory.mktemp("alone"))
    truth = small_series.frame(0).truth.stars
    bright = truth[(truth["snr"] > 50) & (truth["snr"] < 200) & (truth["source_id"] > 0)][0]
    chain.configure(
        series={
            "field": {
                "images": [f"{spoiled_folder}/{name}.fits" for name in (*GOOD, "zero")],
                "gaia_file": f"{spoiled_folder}/gaia.fits",
                "targets": [{"name": "T", "source_id": int(bright["source_id"])}],
            }
        },
        frames_per_batch=3,
        photometry={"methods": ["psf"], "psf": {"residual_pictures": True, "subtracted_images": True}},
        annotate_images=True,
    )
    done = chain.run("--quiet", "all")
    assert done.returncode == 0, done.stdout + done.stderr
    return chain


def test_the_dataset_has_no_apertures(run):
    folder = run.results("field")
    assert not (folder / "aperture").exists()
    with h5py.File(folder / "dataset.h5") as file:
        assert sorted(file) == ["frames", "psf", "stars"]
        status = dict(zip(file["frames/frame_id"].asstr(), file["frames/status"].asstr(), strict=True))
        assert status == {**dict.fromkeys(GOOD, "ok"), "zero": status["zero"]}
        assert "exposure time is 0 s" in status["zero"]
        good = np.isin(list(status), GOOD)
        assert (np.isfinite(file["psf/flux_cal"][:, good]).sum(axis=0) > 300).all()
        assert np.isfinite(file["frames/zero_point"][good]).all()
    page = (folder / "report.html").read_text()
    assert "PSF photometry</h2>" in page
    assert "Point-spread function of the reference image" in page
    assert 'id="comparison"' not in page


def test_light_curves_are_the_psfs(run):
    folder = run.results("field") / "lightcurves"
    table = Table.read(folder / "T.ecsv")
    assert table.meta["recommended_method"] == "psf"
    assert not [name for name in table.colnames if name.startswith("aperture")]
    with (folder / "T.csv").open(newline="") as stream:
        written = [float(row["magnitude"]) for row in csv.DictReader(stream)]
    np.testing.assert_allclose(written, table["psf_mag"][np.isfinite(table["psf_mag"])], atol=6e-6)


def test_copies_carry_a_table_of_the_psf(run):
    with h5py.File(run.results("field") / "dataset.h5") as file:
        frame_ids, star_id = list(file["frames/frame_id"].asstr()), file["stars/star_id"][()]
        flux = file["psf/flux"][()]
    copies = {path.stem: path for path in (run.results("field") / "annotated").glob("*/[!.]*")}
    assert copies.keys() == set(GOOD)
    for name, path in copies.items():
        with fits.open(path) as hdus:
            assert [hdu.name for hdu in hdus][-2:] == ["GAIAFLUX_WCS", "GAIAFLUX_PSF"]
            table = hdus["GAIAFLUX_PSF"].data
            rows = np.searchsorted(star_id, table["star_id"])
            np.testing.assert_array_equal(table["psf_flux"], flux[rows, frame_ids.index(name)])
            assert "flux" not in table.names
            assert hdus["GAIAFLUX_PSF"].header["FLUXUNIT"] == "electron/s"


def test_images_without_their_stars(run, spoiled_folder, small_series):
    files = {path.name: path for path in (run.results("field") / "residuals").glob("*/[!.]*")}
    assert files.keys() == {f"{name}{end}" for name in GOOD for end in (".png", "_subtracted.fits")}
    with h5py.File(run.results("field") / "dataset.h5") as file:
        frame_ids, cards = list(file["frames/frame_id"].asstr()), list(file["frames/wcs_header"].asstr())
    for number, name in enumerate(GOOD):
        assert files[f"{name}.png"].read_bytes()[:4] == b"\x89PNG"
        made = small_series.frame(number)
        with fits.open(files[f"{name}_subtracted.fits"]) as hdus:
            header, left = hdus[0].header, hdus[0].data.astype(float)
        assert header["BUNIT"] == "electron"
        assert header["FRAMEID"] == name
        solution = fits.Header.fromstring(cards[frame_ids.index(name)], sep="\n")
        np.testing.assert_array_equal(
            WCS(header).all_pix2world([[9.0, 400.0]], 0), WCS(solution).all_pix2world([[9.0, 400.0]], 0)
        )
        raw = fits.getdata(spoiled_folder / f"{name}.fits").astype(float)
        stars = made.truth.stars
        inner = (np.abs(stars["x"] - 255.5) < 230) & (np.abs(stars["y"] - 255.5) < 230)
        stars = stars[(stars["snr"] > 50) & (stars["snr"] < 300) & inner]
        assert len(stars) > 20
        sky, sigma = np.median(left), 1.4826 * np.median(np.abs(left - np.median(left)))
        x, y = np.rint(stars["x"]).astype(int), np.rint(stars["y"]).astype(int)
        assert np.median(raw[y, x] - sky) > 10 * sigma
        assert np.median(np.abs(left[y, x] - sky)) < 2 * sigma
        assert abs(np.median(left[y, x] - sky)) < 0.7 * sigma
    logs = "".join(path.read_text() for path in (run.work / "logs/field/subtract_stars").glob("*.log"))
    assert "zero: not measured: " in logs


def test_an_image_is_decoded_once_and_no_fitted_plate_solution_parsed(run):
    jobs = [job for job in run.watched() if job["rule"] in ("psf_photometry", "subtract_stars", "annotate_images")]
    assert {job["parsed"] for job in jobs} == {0}
    assert {job["rule"] for job in jobs if job["decoded"]} == {"psf_photometry", "subtract_stars"}
    assert {number for job in jobs for number in job["decoded"].values()} == {1}


def test_a_second_call_has_nothing_to_do(run):
    done = run.run("-n")
    assert "Nothing to be done" in done.stdout + done.stderr
