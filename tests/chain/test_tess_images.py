"""Full-frame images through the whole workflow: bad ones among good ones, later images and targets, two cadences."""

import csv
import json

import h5py
import numpy as np
import pytest

from gaiaflux.sim.tess.stars import tess_flux

pytestmark = pytest.mark.slow
CCD, DATASET = "tess/F/s0001-1-3/c1800", "tess/F/c1800"


def table(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def arrays(chain, names, series=DATASET):
    with h5py.File(chain.results(series) / "dataset.h5") as file:
        return [file[name].asstr()[()] if file[name].dtype == object else file[name][()] for name in names]


@pytest.fixture(scope="module")
def files(ccd_files, tmp_path_factory):
    """The small part of a CCD, spoiled: of 24 images four are lost and four are flagged; an image of another CCD."""
    made = ccd_files.CcdFiles.make(tmp_path_factory.mktemp("images") / "ccd")
    paths = made.paths
    away = made.folder / "later"
    away.mkdir()
    paths[23].rename(away / paths[23].name)
    paths[2].write_bytes(paths[2].read_bytes()[:20000])
    paths[4].write_bytes(b"")
    ccd_files.edit(paths[9], ccd_files.without_wcs)
    ccd_files.edit(paths[10], ccd_files.without_errors)
    ccd_files.edit(paths[11], ccd_files.smear)
    ccd_files.edit(paths[17], ccd_files.fill(100.0))
    (made.folder / "ffi2").mkdir()
    (made.folder / "ffi2" / paths[20].name).write_bytes(paths[20].read_bytes())
    (made.folder / "ffi" / "strange.fits").write_text("this is no image\n")
    dark = made.folder / "ffi" / paths[7].name.replace("-1-3-", "-2-2-")
    dark.write_bytes(b"")
    tica = ccd_files.CcdFiles.make(
        made.folder / "tica", ccd_files.small_ccd(n_times=1, zero_frames=(), safe_frames=()), origin="tica"
    )
    tica.paths[0].rename(made.folder / "ffi" / tica.paths[0].name)
    made.all = paths
    return made


@pytest.fixture(scope="module")
def run(make_chain, files, tmp_path_factory):
    chain = make_chain(tmp_path_factory.mktemp("work"))
    chain.targets = [1001, 1002, 1004, 77]
    configure(chain, files, chain.targets)
    return chain, chain.run()


def configure(chain, files, targets, frames_per_batch=50, **more):
    field = {"ffis": f"{files.folder}/ffi*/*.fits", "catalog_file": str(files.folder / "catalog.csv")}
    field |= {"prf_folder": str(files.folder / "prf"), "targets": targets, "methods": ["linpsf", "aperture"], **more}
    chain.configure(
        tess={"F": {key: value for key, value in field.items() if value}}, frames_per_batch=frames_per_batch
    )


def test_the_run_goes_on_and_counts_every_file(run, files):
    chain, done = run
    assert done.returncode == 0, done.stderr
    text = done.stdout + done.stderr
    assert f"{CCD}: 6 of 26 images left out; results/{CCD}/images.csv says why" in text
    assert "tess/F/s0001-2-2/c1800: 1 of 1 images left out" in text
    assert f"{DATASET}: 1 of 4 targets left out" in text
    paths = files.all
    rows = {row["frame_id"]: row for row in table(chain.results(CCD) / "images.csv")}
    status = {name: row["status"] for name, row in rows.items()}
    assert "cannot be read" in status[paths[2].stem]
    assert "cannot be read" in status[paths[4].stem]
    assert "cannot be read" in status["strange"]
    assert "the same value" in status[paths[17].stem]
    assert sum("TICA" in text for text in status.values()) == 1
    assert sum("counts in its place" in text for text in status.values()) == 1
    said = {name: row["remarks"] for name, row in rows.items() if row["remarks"]}
    flagged = {7: "no_light", 10: "modelled_errors", 11: "smeared, no_pointing", 15: "no_pointing"}
    assert said == {paths[k].stem: text for k, text in flagged.items()}
    (other,) = table(chain.results("tess/F/s0001-2-2/c1800") / "images.csv")
    assert "1 not readable" in other["status"]


def test_targets_and_dataset_say_the_same(run, files):
    chain, _ = run
    status = {int(row["starid"]): row["status"] for row in table(chain.results(DATASET) / "targets.csv")}
    assert {star for star, text in status.items() if text == "ok"} == {1001, 1002, 1004}
    assert status[77].startswith("not in the catalogue")
    with h5py.File(chain.results(DATASET) / "dataset.h5") as file:
        left_out = json.loads(file.attrs["left_out"])
        assert file["stars/star_id"][()].tolist() == [1001, 1002, 1004]
        flux = file["linpsf/flux"][()]
        assert flux.shape == (3, 20)
        assert np.nanmedian(flux, axis=1) == pytest.approx(tess_flux(np.array([9.5, 10.5, 10.0])), rel=0.01)
    lost = {row["frame_id"] for row in table(chain.results(CCD) / "images.csv") if row["status"] != "ok"}
    assert len(left_out) == 6 + 1 + 1
    assert lost < left_out.keys()
    page = (chain.results(DATASET) / "report.html").read_text()
    assert "8 files could not be measured" in page
    assert all(name in page for name in lost)


def test_nothing_is_done_twice_and_batches_change_no_number(run, files, make_chain, tmp_path):
    chain, _ = run
    again = chain.run("--dry-run")
    assert "Nothing to be done" in again.stdout + again.stderr
    small = make_chain(tmp_path)
    configure(small, files, [1001, 1002, 1004], frames_per_batch=7)
    done = small.run("--until", "assemble_field")
    assert done.returncode == 0, done.stderr
    assert len(list((small.results(CCD) / "frames").iterdir())) == 4
    names = ("frames/frame_id", "frames/flags", "linpsf/flux", "linpsf/flux_err", "aperture/flux", "linpsf/flags")
    for one, other in zip(arrays(small, names), arrays(chain, names), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_new_target_measures_its_batch_and_a_new_image_all(run, files):
    chain, _ = run
    before = (chain.results(CCD) / "prepared.h5").stat().st_mtime_ns
    configure(chain, files, [*chain.targets, 1003])
    new_target = chain.run("--dry-run").stdout
    assert "prepare_images" not in new_target
    assert "image_photometry" in new_target
    later = files.folder / "later" / files.all[23].name
    later.rename(files.folder / "ffi" / later.name)
    new_image = chain.run("--dry-run").stdout
    assert all(rule in new_image for rule in ("prepare_frames", "prepare_images", "image_photometry"))
    assert "settle_images" not in new_image
    done = chain.run("--until", "assemble_field")
    assert done.returncode == 0, done.stderr
    assert (chain.results(CCD) / "prepared.h5").stat().st_mtime_ns > before
    stars, flux = arrays(chain, ("stars/star_id", "linpsf/flux"))
    assert stars.tolist() == [1001, 1002, 1003, 1004]
    assert flux.shape == (4, 21)


@pytest.fixture(scope="module")
def two_cadences(ccd_files, tmp_path_factory):
    """The same stars in two sectors of 1800 s and one of 600 s, that one by TICA."""
    folder = tmp_path_factory.mktemp("sectors")
    sectors = [(1, 1800.0, 1325.3231, "spoc"), (2, 1800.0, 1354.1, "spoc"), (27, 600.0, 2036.3, "tica")]
    for sector, cadence_s, start, origin in sectors:
        setup = ccd_files.small_ccd(
            sector=sector, cadence_s=cadence_s, start_btjd=start, n_times=5, zero_frames=(), safe_frames=()
        )
        made = ccd_files.CcdFiles.make(folder / f"s{sector}", setup, origin=origin)
    listed = (folder / "s1" / "catalog.csv").read_text().splitlines()
    (folder / "list.csv").write_text("\n".join([*listed[:3], "99,10.0,-10.0,0,0,2000,9.0,"]) + "\n")
    return made, folder


def test_own_stars_of_two_cadences_and_two_sectors(two_cadences, make_chain, tmp_path):
    """No catalogue: stars are found, two have the list's numbers, and those to T 10.2 are measured besides."""
    made, folder = two_cadences
    chain = make_chain(tmp_path)
    targets = {"file": str(folder / "list.csv"), "tmag_max": 10.2}
    # The response functions are of two epochs.
    configure(
        chain,
        made,
        targets,
        catalog_file=None,
        ffis=[f"{folder}/s*/ffi/*.fits"],
        methods=["linpsf"],
        prf_folder=str(folder),
    )
    done = chain.run("--until", "assemble_field")
    assert done.returncode == 0, done.stderr
    for cadence, n in (("c1800", 10), ("c600", 5)):
        stars, flux = arrays(chain, ("stars/star_id", "linpsf/flux"), f"tess/F/{cadence}")
        assert stars[:2].tolist() == [1001, 1002]
        assert len(stars) == 3
        assert stars[2] >= 90_000_000_001
        assert flux.shape == (3, n)
        assert np.isfinite(flux).all()
        assert np.median(flux, axis=1) == pytest.approx(tess_flux(np.array([9.5, 10.5, 10.0])), rel=0.02)
        rows = {row["starid"]: row for row in table(chain.results(f"tess/F/{cadence}") / "targets.csv")}
        assert "outside of the images" in rows["99"]["status"]
    with h5py.File(chain.results("tess/F/c1800") / "dataset.h5") as file:
        assert {text[:9] for text in file["frames/frame_id"].asstr()[()]} == {"s0001-1-3", "s0002-1-3"}
