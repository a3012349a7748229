import json
import shutil

import h5py
import numpy as np
import pytest

REASONS = {
    "cut": "not a readable FITS file",
    "text": "not a readable FITS file",
    "nan": "no finite pixel",
    "zero": "exposure time is 0 s",
    "blank": "no stars found",
    "red": "filter ip, but the reference image has rp",
    "cropped": "480 x 400 pixels, but the reference image has 512 x 512",
    "unmapped": "no WCS",
    "elsewhere": "catalogue stars where the header says the image is",
    "gaia": "no image in the file",
}


def read(path):
    with h5py.File(path) as file:
        return {
            f"{group}/{name}": file[group][name].asstr()[()]
            if h5py.check_string_dtype(file[group][name].dtype)
            else file[group][name][()]
            for group in ("frames", "stars", "aperture", "psf")
            for name in file[group]
        }


def by_frame(data):
    return dict(zip(data["frames/frame_id"], data["frames/status"], strict=True))


def test_bad_frames_are_flagged_and_the_others_measured(spoiled_run, small_series):
    chain, done, _ = spoiled_run
    assert done.returncode == 0, done.stdout + done.stderr
    data = read(chain.results("field") / "dataset.h5")
    status = by_frame(data)
    assert len(status) == len(small_series) + len(REASONS)
    for name, reason in REASONS.items():
        assert reason in status[name], name
    good = [name for name in status if name.startswith("good-")]
    assert len(good) == 8
    assert {status[name] for name in good} == {"ok"}
    for method in ("aperture", "psf"):
        measured = np.isfinite(data[f"{method}/flux"]).any(axis=0)
        assert {name for name, there in zip(status, measured, strict=True) if there} == set(good)
        assert list(data[f"{method}/status"]) == list(status.values())


def test_raw_files_are_untouched(spoiled_run, spoiled_folder):
    _, _, sums = spoiled_run
    assert {path.name: path.read_bytes() for path in spoiled_folder.iterdir()} == sums


@pytest.mark.parametrize("method", ["aperture", "psf"])
def test_fluxes_and_errors_agree_with_the_truth(spoiled_run, small_series, method):
    chain, _, _ = spoiled_run
    data = read(chain.results("field") / "dataset.h5")
    row = {source: k for k, source in enumerate(data["stars/source_id"]) if source >= 0}
    pulls, offsets = [], []
    for made in small_series.frames():
        column = list(data["frames/frame_id"]).index(f"good-{made.index}")
        truth = made.truth.stars
        truth = truth[(truth["snr"] > 20) & np.isin(truth["source_id"], list(row))]
        rows = np.array([row[source] for source in truth["source_id"]])
        clean = data[f"{method}/flags"][rows, column] == 0
        rows, truth = rows[clean], truth[clean]
        flux = data[f"{method}/flux"][rows, column] * data["frames/exptime_s"][column]
        error = data[f"{method}/flux_err"][rows, column] * data["frames/exptime_s"][column]
        offsets.append(np.median(flux / truth["flux"]))
        pulls.append((flux / offsets[-1] - truth["flux"]) / error)
    pulls = np.concatenate(pulls)
    assert len(pulls) > 150
    assert np.abs(np.array(offsets) - 1).max() < 0.02
    assert abs(pulls.mean()) < 0.25
    assert 0.85 < 1.4826 * np.median(np.abs(pulls)) < 1.2


def test_the_contract_of_the_dataset(spoiled_run):
    chain, _, _ = spoiled_run
    folder = chain.results("field")
    with h5py.File(folder / "dataset.h5") as file:
        assert file.attrs["format"] == "gaiaflux"
        for name in ("schema_version", "series", "catalog_sha256", "created_utc"):
            assert name in file.attrs
        settings = json.loads(file.attrs["config"])["photometry"]
        assert settings["methods"] == ["aperture", "psf"]
        assert "residual_pictures" not in settings["psf"]
        for name in ("chi2", "psf_fraction", "crowding"):
            assert file[f"psf/{name}"].dtype == np.float16
            assert file[f"psf/{name}"].shape == file["psf/flux"].shape
        assert "numpy" in json.loads(file.attrs["versions"])
        described = []
        file.visititems(
            lambda name, item: described.append((name, dict(item.attrs))) if hasattr(item, "dtype") else None
        )
        assert all({"unit", "description"} <= set(attrs) for _, attrs in described)
        mjd = file["frames/mjd_utc"][()]
        known = mjd[np.isfinite(mjd)]
        assert np.all(np.diff(known) >= 0)
    for name in ("frames.csv", "reference.json", "report.html", "gaia.fits", "gaia.json"):
        assert (folder / name).stat().st_size > 0


def test_a_second_call_has_nothing_to_do(spoiled_run):
    chain, _, _ = spoiled_run
    done = chain.run("-n")
    assert "Nothing to be done" in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 200])
def test_batches_and_arrival_change_no_number(size, spoiled_run, spoiled_folder, tmp_path, make_chain):
    """The same frames, some of them later and in other batches, give the same dataset."""
    first, _, _ = spoiled_run
    reference = json.loads((first.results("field") / "reference.json").read_text())["frame_id"]
    chain = make_chain(tmp_path)
    images = tmp_path / "images"
    images.mkdir()
    names = sorted(path.name for path in spoiled_folder.glob("*.fits") if path.name != "gaia.fits")
    if size == 1:
        # All that have stars: the usual seeing of the series is theirs.
        some = ("good", "cut", "red", "zero", "unmapped", "elsewhere")
        names = [name for name in names if name.startswith(some)]
    late = [name for name in names[::2] if name != f"{reference}.fits"][:3] if size == 200 else []
    for name in names:
        if name not in late:
            shutil.copy2(spoiled_folder / name, images / name)
    chain.configure(
        series={
            "field": {
                "images": f"{images}/*.fits",
                "gaia_file": f"{spoiled_folder}/gaia.fits",
                "reference_image": reference,
            }
        },
        frames_per_batch=size,
        photometry={"methods": ["psf", "aperture"]},
    )
    if late:
        assert chain.run("--quiet", "all").returncode == 0
        for name in late:
            shutil.copy2(spoiled_folder / name, images / name)
    done = chain.run("--quiet", "all")
    assert done.returncode == 0, done.stdout + done.stderr
    one, other = read(first.results("field") / "dataset.h5"), read(chain.results("field") / "dataset.h5")
    columns = [k for k, name in enumerate(one["frames/frame_id"]) if f"{name}.fits" in names]
    for name in ("frames/frame_id", "frames/mjd_utc", "frames/fwhm_pix", "frames/wcs_rms_mas", "frames/sha256"):
        np.testing.assert_array_equal(one[name][columns], other[name])
    for name in ("stars/source_id", "stars/x_ref", "aperture/recommended_radius"):
        np.testing.assert_array_equal(one[name], other[name])
    for method in ("aperture", "psf"):
        for name in ("flux", "flux_err", "flags", "flux_cal", "flux_cal_err"):
            np.testing.assert_array_equal(one[f"{method}/{name}"][:, columns], other[f"{method}/{name}"])
    for name in ("chi2", "psf_fraction", "crowding"):
        np.testing.assert_array_equal(one[f"psf/{name}"][:, columns], other[f"psf/{name}"])
    for name in ("psf_fwhm_pix", "psf_ellipticity", "psf_n_stars", "psf_status", "centroid_rms_pix", "sky"):
        np.testing.assert_array_equal(one[f"psf/{name}"][columns], other[f"psf/{name}"])
