"""A small field of TESS through the whole workflow: good and bad targets, a second run, one target more."""

import csv

import h5py
import numpy as np
import pytest
from astropy.io import fits

from gaiaflux.sim.tess.stars import tess_flux

pytestmark = pytest.mark.slow

LARGE = 3_000_000_000


def dark(hdus):
    hdus[1].data["FLUX"][:] = np.nan


@pytest.fixture(scope="module")
def run(make_chain, make_field_files, tmp_path_factory):
    """Two targets, one of them in two sectors and in two releases, and three files that cannot be measured."""
    files = make_field_files(tmp_path_factory.mktemp("field"))
    files.write_prf()
    files.write_target(1000, 10.0, name="s1/one.fits")
    files.write_target(1000, 10.0, name="old/one-old.fits", listed=False, place=0, DATA_REL=0)
    files.write_target(LARGE, 11.0, name="s1/large.fits", pack=True)
    files.write_target(2600, spoil=dark, name="s1/dark.fits")
    files.write_target(2500, listed=False, name="s1/foreign.fits")
    cut = files.write_target(2000, pack=True, name="s1/cut.fits")
    cut.write_bytes(cut.read_bytes()[:20000])
    files.write_catalog()
    chain = make_chain(tmp_path_factory.mktemp("work"))
    field = {"catalog_file": str(files.catalog), "prf_folder": str(files.prf)}
    field["tpfs"] = [f"{files.folder}/{name}/*" for name in ("s?", "old")]
    chain.configure(tess={"F": field}, frames_per_batch=3, export={"formats": ["parquet"]})
    return files, chain, chain.run()


def table(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_run_goes_on_and_says_what_it_left_out(run):
    _, chain, done = run
    assert done.returncode == 0, done.stderr
    assert "tess/F/c120: 3 of 5 targets left out; results/tess/F/c120/targets.csv says why" in done.stdout + done.stderr
    rows = {row["member"]: row for row in table(chain.results("tess/F/c120") / "targets.csv")}
    assert {name for name, row in rows.items() if row["status"] == "ok"} == {"one", "large"}
    assert "has a finite flux" in rows["dark"]["status"]
    assert "not in the catalogue" in rows["foreign"]["status"]
    assert "cannot be read" in rows["cut"]["status"]
    assert "of a newer data release than" in rows["one"]["remarks"]
    log = (chain.work / "logs/tess/F/c120/assemble_field.log").read_text()
    assert "2 of 5 targets are in the dataset, 3 left out" in log


def test_its_numbers_are_the_stars(run):
    _, chain, _ = run
    folder = chain.results("tess/F/c120")
    with h5py.File(folder / "dataset.h5") as file:
        assert file["stars/star_id"][()].tolist() == [1000, LARGE]
        for method, within in (("psf", 0.01), ("linpsf", 0.01), ("aperture", 0.15)):
            level = np.nanmedian(file[f"{method}/flux"][()], axis=1)
            assert level == pytest.approx(tess_flux(np.array([10.0, 11.0])), rel=within)
        assert file["frames/n_measured"][()].tolist() == [2] * 59
    files = sorted(path.name for path in (folder / "lightcurves").iterdir())
    assert [row["file"] for row in table(folder / "lightcurves.csv")] == files
    assert len(files) == 6
    with fits.open(folder / "lightcurves" / "tess00000001000-s001-4-1-c0120-dr01-v01-gaiaflux-psf_lc.fits.gz") as hdus:
        assert np.nanmedian(hdus[1].data["FLUX_RAW"]) == pytest.approx(tess_flux(10.0), rel=0.01)


def test_the_products_of_the_ground_are_there(run):
    _, chain, _ = run
    folder = chain.results("tess/F/c120")
    assert {row["star_id"] for row in table(folder / "stars.csv")} == {"1000", str(LARGE)}
    assert (folder / "stars.parquet").is_file()
    assert (folder / "export/parquet/lightcurves.parquet").is_file()
    assert "3 files could not be measured" in (folder / "report.html").read_text()
    assert len(table(folder / "frames.csv")) == 59


def test_a_second_sector_measures_what_is_new(run):
    files, chain, _ = run
    again = chain.run()
    assert "Nothing to be done" in again.stdout + again.stderr
    files.write_target(1000, 10.0, n=50, name="s2/one-s2.fits", listed=False, place=0, SECTOR=2)
    old = chain.results("tess/F/c120") / "targets/0001.h5"
    before = old.stat().st_mtime_ns
    done = chain.run()
    assert done.returncode == 0, done.stderr
    assert old.stat().st_mtime_ns == before
    with h5py.File(chain.results("tess/F/c120") / "dataset.h5") as file:
        assert file["psf/flux"].shape == (2, 59 + 49)
        assert np.isfinite(file["psf/flux"][0]).all()
        assert np.isfinite(file["psf/flux"][1]).sum() == 59


def test_a_field_whose_targets_all_fail_has_an_empty_dataset(make_chain, make_field_files, tmp_path):
    files = make_field_files(tmp_path / "field")
    files.folder.mkdir()
    files.write_target(2600, spoil=dark)
    files.write_catalog()
    (tmp_path / "work").mkdir()
    chain = make_chain(tmp_path / "work")
    chain.configure(tess={"F": {"tpfs": f"{files.folder}/*.fits", "catalog_file": str(files.catalog)}})
    done = chain.run("--quiet", "all")
    assert done.returncode == 0, done.stderr
    with h5py.File(chain.results("tess/F/c120") / "dataset.h5") as file:
        assert file["psf/flux"].shape == (0, 0)
    assert "1 file could not be measured" in (chain.results("tess/F/c120") / "report.html").read_text()
