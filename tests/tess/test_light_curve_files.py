"""Light curves of a batch after the ensemble, and the same file by the documented class."""

import json
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from gaiaflux.io.batch_file import BatchReader, BatchWriter
from gaiaflux.io.dataset import DatasetReader
from gaiaflux.io.tess.catalog import read_tess_catalog
from gaiaflux.model.methods import TESS_METHODS, methods_named
from gaiaflux.tess.field_dataset import Provenance, assemble_field
from gaiaflux.tess.light_curve_files import remove_others, write_light_curves
from gaiaflux.tess.photometry import AperturePhotometry
from gaiaflux.tess.stamp.target_group import read_kept, target_group

METHODS = methods_named(["aperture"], TESS_METHODS)
FIRST, N_STARS = 1001, 30


@pytest.fixture(scope="module")
def measured(quiet, tmp_path_factory):
    """The documented class, what it saved, and what a batch keeps of the same star."""
    folder = tmp_path_factory.mktemp("measured")
    with AperturePhotometry(FIRST, quiet.folder, folder, datasource="tpf") as target:
        target.photometry()
        saved = target.save_lightcurve(version=1)
        return saved, *target_group(target, ("a remark of the file",), ["aperture"], str(quiet.pixels))


@pytest.fixture(scope="module")
def write(measured, quiet, tmp_path_factory):
    """Function that makes a field of copies of the star with other fluxes, and writes its light curves."""
    _, attrs, arrays = measured
    rng = np.random.default_rng(4)
    one = read_tess_catalog(quiet.folder / "catalog.csv")[:1]
    ids = FIRST + np.arange(N_STARS)
    columns = {name: np.repeat(getattr(one, name), N_STARS) for name in vars(one) if np.ndim(getattr(one, name)) == 1}
    catalog = replace(one, **columns | {"star_id": ids, "mag": np.linspace(8.5, 11.5, N_STARS)})
    common = 1.0 + 0.02 * np.sin(np.arange(len(arrays["cadenceno"])))

    def run(*, ensemble=True, twice=False):
        folder = tmp_path_factory.mktemp("field")
        with BatchWriter(folder / "1.h5", kind="targets") as out:
            for k, star in enumerate(ids.tolist()):
                own = {**arrays}
                record = json.loads(arrays["light_curve_facts"].tobytes())
                record["header"]["starid"] = star
                own["light_curve_facts"] = np.frombuffer(json.dumps(record).encode(), np.uint8)
                if ensemble:
                    flux = 1e4 * common * (1.0 + 5e-4 * rng.standard_normal(len(common)))
                    own["aperture_flux"], own["aperture_flux_err"] = flux.astype("f4"), np.full(len(flux), 5.0, "f4")
                place = {"column": 44.0 + 60.0 * k, "row": 100.0 + (k * 977) % 1900}
                out.add(f"t{k:02d}", attrs | {"starid": star} | place, own)
            if twice:
                out.add("t99", attrs, arrays)
        settings = {"methods": ["aperture"], "ensemble": ensemble}
        path = folder / "dataset.h5"
        table = assemble_field(path, "tess/F/c120", [folder / "1.h5"], catalog, METHODS, settings, Provenance("abc"))
        return folder, write_light_curves(folder / "1.h5", path, folder / "curves"), table

    return run


@pytest.fixture(scope="module")
def calibrated(write):
    return write()


def test_a_light_curve_is_that_of_the_documented_class(write, measured):
    folder, rows, _ = write(ensemble=False)
    with fits.open(measured[0]) as wanted, fits.open(folder / "curves" / rows[0]["file"]) as found:
        assert [hdu.name for hdu in found] == [hdu.name for hdu in wanted]
        for name in wanted["LIGHTCURVE"].columns.names:
            values, same = found[1].data[name], wanted[1].data[name]
            assert np.allclose(values, same, rtol=1e-7, atol=0.0, equal_nan=True), name
        for name in ("SUMIMAGE", "APERTURE"):
            assert np.array_equal(found[name].data, wanted[name].data, equal_nan=True)
        ignored = ["CHECKSUM", "DATASUM", "DATE"]
        for hdu, same in zip(found, wanted, strict=True):
            heads = [one.header.copy() for one in (hdu, same)]
            for head in heads:
                head.remove("HISTORY", ignore_missing=True, remove_all=True)
            diff = fits.HeaderDiff(*heads, ignore_keywords=ignored, ignore_comments=ignored)
            assert diff.identical, diff.report()
        history = str(found[0].header["HISTORY"]).replace("\n", " ")
        assert "a remark of the file" in history
        assert "not calibrated: the ensemble is switched off" in history
        assert np.isnan(found[1].data["FLUX_CORR"]).all()
        assert np.array_equal(found[1].data["PDCSAP_FLUX"], found[1].data["FLUX_RAW"], equal_nan=True)


def test_calibrated_fluxes_are_in_the_file(calibrated):
    folder, rows, _ = calibrated
    assert len(rows) == N_STARS
    with DatasetReader(folder / "dataset.h5") as source, BatchReader(folder / "1.h5") as batch:
        for row in (0, 17):
            cal, error = (source.array(f"aperture/{name}")[row] for name in ("flux_cal", "flux_cal_err"))
            with fits.open(folder / "curves" / rows[row]["file"]) as hdus:
                data, head = hdus[1].data, hdus[0].header
                assert head["TICID"] == FIRST + row
                assert np.array_equal(data["FLUX_RAW"].astype("f4"), batch.array(f"t{row:02d}", "aperture_flux"))
                assert np.array_equal(data["PDCSAP_FLUX"], cal, equal_nan=True)
                assert np.array_equal(data["PDCSAP_FLUX_ERR"], error, equal_nan=True)
                # The cadence in which the spacecraft looks elsewhere has no scale.
                assert np.array_equal(np.isnan(cal), data["PIXEL_QUALITY"] == 8)
                level = np.nanmedian(cal.astype(float))
                assert data["FLUX_CORR"] == pytest.approx(1e6 * (cal / level - 1.0), abs=0.2, nan_ok=True)
                assert data["FLUX_CORR_ERR"] == pytest.approx(1e6 * error / level, rel=1e-6, nan_ok=True)
                assert np.nanstd(data["FLUX_CORR"]) < 700.0 < 1e6 * np.std(data["FLUX_RAW"] / level)
            assert rows[row]["calibration"].startswith("corrected by an ensemble of ")


def test_of_two_files_of_one_star_one_light_curve_is_written(write):
    _, rows, table = write(twice=True)
    assert [row["member"] for row in rows] == [f"t{k:02d}" for k in range(N_STARS)]
    assert table[-1]["light_curves"] == ""


def test_a_target_that_no_method_measured_keeps_nothing(measured, tmp_path):
    _, attrs, arrays = measured
    with BatchWriter(tmp_path / "1.h5", kind="targets") as out:
        out.add("a", attrs, {name: arrays[name] for name in ("cadenceno", "mjd_tdb")})
    with BatchReader(tmp_path / "1.h5") as batch:
        assert read_kept(batch, "a") is None


def test_what_a_field_has_no_more_is_removed(tmp_path):
    curves = tmp_path / "curves"
    curves.mkdir()
    for name in ("tess1_lc.fits.gz", "tess2_lc.fits.gz", "tess3_lc.fits.gz", "notes.txt"):
        (curves / name).touch()
    tables = [tmp_path / "1.csv", tmp_path / "2.csv"]
    tables[0].write_text("file,method\ntess3_lc.fits.gz,psf\n")
    tables[1].write_text("file,method\ntess1_lc.fits.gz,psf\n")
    rows = remove_others(curves, tables)
    assert [row["file"] for row in rows] == ["tess1_lc.fits.gz", "tess3_lc.fits.gz"]
    assert sorted(path.name for path in curves.iterdir()) == ["notes.txt", "tess1_lc.fits.gz", "tess3_lc.fits.gz"]
    assert remove_others(tmp_path / "missing", []) == []


def test_weights_of_the_pixels_go_into_the_file(measured, calibrated, tmp_path):
    """As of a halo: of a flux that is no plain sum."""
    folder, _, _ = calibrated
    arrays = {**measured[2]}
    record = json.loads(arrays["light_curve_facts"].tobytes()) | {"n_saturated": {"aperture": 3}}
    arrays["light_curve_facts"] = np.frombuffer(json.dumps(record).encode(), np.uint8)
    arrays["aperture_weights"] = np.random.default_rng(2).random(arrays["sumimage"].shape)
    with BatchWriter(tmp_path / "1.h5", kind="targets") as out:
        out.add("t00", measured[1], arrays)
    (curve,) = write_light_curves(tmp_path / "1.h5", folder / "dataset.h5", tmp_path / "curves")
    with fits.open(tmp_path / "curves" / curve["file"]) as hdus:
        row = hdus["WEIGHTMAP"].data[0]
        assert row["SAT_PIXELS"] == 3
        np.testing.assert_allclose(row["WEIGHTMAP"], arrays["aperture_weights"], rtol=1e-6)
