"""Good and bad files of one field, measured in one batch."""

import json
import logging

import numpy as np
import pytest
from astropy.io import fits

from gaiaflux.io.batch_file import BatchReader, BatchWriter
from gaiaflux.io.tess.catalog import read_tess_catalog
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.methods import TESS_METHODS, methods_named
from gaiaflux.model.status import OK
from gaiaflux.sim.tess.stars import tess_flux
from gaiaflux.tess.batch import TargetFiles, measure_targets
from gaiaflux.tess.field_dataset import Provenance, assemble_field
from gaiaflux.tess.light_curve_files import write_light_curves
from gaiaflux.tess.stamp import instrument
from gaiaflux.tess.stamp.instrument import InstrumentFiles

LARGE = 3_000_000_000
METHODS = ["psf", "linpsf", "aperture"]


def without_light(hdus):
    hdus[1].data["FLUX"][:] = np.nan


def without_times(hdus):
    hdus[1].data["TIME"][:] = np.nan


def as_cutout(dec):
    """As TESScut writes it: without the star's number."""

    def change(hdus):
        hdus[0].header.update({"TICID": 0, "OBJECT": "", "ORIGIN": "STScI/MAST", "CREATOR": "astrocut"})
        hdus[0].header["DEC_OBJ"] = hdus[2].header["CRVAL2"] = dec

    return change


def moved(hdus):
    """Pixels of another place of the sky than the star's."""
    for header, key in ((hdus[0].header, "RA_OBJ"), (hdus[2].header, "CRVAL1")):
        header[key] += 0.1


@pytest.fixture(scope="module")
def field(make_field_files, tmp_path_factory):
    files = make_field_files(tmp_path_factory.mktemp("field"))
    files.write_prf()
    paths = {
        "good": files.write_target(1000, 10.0),
        "large": files.write_target(LARGE, 11.0, n=80),
        "saturated": files.write_target(2800, 5.5),
        "dark": files.write_target(2600, spoil=without_light),
        "timeless": files.write_target(2650, spoil=without_times),
        "elsewhere": files.write_target(2700, CAMERA=1),
        "moved": files.write_target(2750, spoil=moved),
        "cut": files.write_target(2000, pack=True),
        "foreign": files.write_target(2500, listed=False),
        "starless": files.write_target(2900, spoil=as_cutout(-70.0), listed=False),
        "cutout": files.write_target(2950, spoil=as_cutout(-66.0)),
        "text": files.folder / "text.fits",
        "gone": files.folder / "gone.fits",
    }
    paths["cut"].write_bytes(paths["cut"].read_bytes()[:20000])
    paths["text"].write_text("no FITS file\n")
    files.write_catalog()
    return files, paths


@pytest.fixture(scope="module")
def measure(field, tmp_path_factory):
    """Function that measures some of the files, and gives attributes and arrays by name."""
    files, paths = field

    def run(*names, methods=METHODS, prf=True, **overrides):
        folder = tmp_path_factory.mktemp("batch")
        members = [{"frame_id": name, "path": str(paths[name]), "overrides": overrides} for name in names]
        instrument = InstrumentFiles(str(files.prf) if prf else None, None)
        given = TargetFiles(read_tess_catalog(files.catalog), instrument)
        with BatchWriter(folder / "1.h5", kind="targets") as out:
            measure_targets(members, given, methods, out)
        settings = {"methods": methods, "ensemble": True}
        declared = methods_named(methods, TESS_METHODS)
        assemble_field(
            folder / "d.h5", "tess/F/c120", [folder / "1.h5"], given.catalog, declared, settings, Provenance("abc")
        )
        listed = write_light_curves(folder / "1.h5", folder / "d.h5", folder / "curves")
        assert sorted(row["file"] for row in listed) == sorted(path.name for path in folder.glob("curves/*"))
        with BatchReader(folder / "1.h5") as batch:
            return {
                name: (batch.attrs(name), {array: batch.array(name, array) for array in batch.names(name)})
                for name in batch.frame_ids
            }, folder / "curves"

    return run


@pytest.fixture(scope="module")
def measured(measure, field):
    return measure(*field[1])


REASONS = {
    "dark": "no pixel of .* has a finite flux",
    "timeless": "no row of .* has a time",
    "elsewhere": "no PRF files of camera 1, CCD 1",
    "moved": r"by the catalogue TIC 2750 lies at column .* of a stamp of 11 x 11 pixels: outside of it",
    "cut": "cannot be read .* fetch it again",
    "foreign": "TIC 2500 of .* is not in the catalogue; add it, or leave the file out",
    "starless": "is of no star: the nearest of the catalogue",
    "text": "cannot be read",
    "gone": "does not exist",
}


@pytest.mark.parametrize("name", REASONS)
def test_a_bad_target_says_why_and_has_no_numbers(measured, name):
    attrs, arrays = measured[0][name]
    assert attrs["path"].endswith((".fits", ".fits.gz"))
    assert not arrays
    with pytest.raises(AssertionError, match=REASONS[name]):
        raise AssertionError(attrs["status"])


def test_a_batch_reads_the_response_of_a_ccd_once(measure, monkeypatch):
    read, places = instrument.read_prf, []

    def counted(folder, *place):
        places.append(place)
        return read(folder, *place)

    monkeypatch.setattr(instrument, "read_prf", counted)
    found, _ = measure("good", "large", "elsewhere", methods=["aperture"])
    assert [name for name, (attrs, _) in found.items() if attrs["status"] == OK] == ["good", "large"]
    assert sorted(places) == [(1, 1, 1), (1, 4, 1)]


def test_what_the_head_of_a_bad_file_states_is_known(measured):
    stated = {key: measured[0]["dark"][0][key] for key in ("starid", "sector", "camera", "ccd", "tmag")}
    assert stated == {"starid": 2600, "sector": 1, "camera": 4, "ccd": 1, "tmag": 10.0}
    assert "starid" not in measured[0]["starless"][0]


@pytest.mark.parametrize(("name", "starid", "tmag", "n"), [("good", 1000, 10.0, 59), ("large", LARGE, 11.0, 79)])
def test_a_good_target_is_measured(measured, name, starid, tmag, n):
    attrs, arrays = measured[0][name]
    assert (attrs["status"], attrs["starid"], attrs["sector"], attrs["camera"], attrs["ccd"]) == (OK, starid, 1, 4, 1)
    assert len(arrays["cadenceno"]) == n  # without the row that has no time
    assert 1003 not in arrays["cadenceno"]
    for method in METHODS:
        flux, error = arrays[f"{method}_flux"], arrays[f"{method}_flux_err"]
        assert flux.dtype == np.float32
        assert np.isfinite(flux).all()
        assert (error > 0).all()
        assert np.median(flux) == pytest.approx(tess_flux(tmag), rel=0.01 if method != "aperture" else 0.15)
    # One-based, on the CCD.
    assert np.median(arrays["psf_centroid_column"]) == pytest.approx(1206.0, abs=0.5)
    assert np.median(arrays["psf_centroid_row"]) == pytest.approx(706.0, abs=0.5)


def test_numbers_do_not_depend_on_the_others(measure, measured):
    alone, _ = measure("good")
    for name, values in measured[0]["good"][1].items():
        assert np.array_equal(alone["good"][1][name], values, equal_nan=values.dtype.kind == "f"), name


def test_of_a_saturated_star_the_pixels_are_summed_up(measured):
    attrs, arrays = measured[0]["saturated"]
    assert attrs["status"] == OK
    assert "saturated" in attrs["remarks"]
    assert not np.isfinite(arrays["psf_flux"]).any()
    assert np.median(arrays["aperture_flux"]) == pytest.approx(tess_flux(5.5), rel=0.01)
    assert not (arrays["aperture_flags"] & StarFlag.SATURATED).any()
    assert (arrays["psf_flags"] & StarFlag.SATURATED).all()
    assert (attrs["psf_status"], attrs["aperture_status"]) == ("ERROR", "WARNING")
    assert attrs["light_curves"] == "tess00000002800-s001-4-1-c0120-dr01-v01-gaiaflux-aperture_lc.fits.gz"


def test_a_star_that_no_method_measures_is_left_out_with_the_reason(measure):
    found, curves = measure("saturated", methods=["psf", "linpsf"])
    attrs, arrays = found["saturated"]
    assert attrs["status"].startswith("nothing could be measured")
    assert attrs["light_curves"] == ""
    assert not curves.exists()
    assert len(arrays["cadenceno"]) == 59


def test_a_cutout_is_of_the_star_in_its_middle(measured):
    attrs, _ = measured[0]["cutout"]
    assert (attrs["status"], attrs["starid"]) == (OK, 2950)


def test_light_curves_are_files(measured):
    found, curves = measured
    written = {name for attrs, _ in found.values() for name in attrs.get("light_curves", "").split(", ") if name}
    assert written == {path.name for path in curves.iterdir()}
    assert len(written) == 3 * 3 + 1
    with fits.open(curves / "tess03000000000-s001-4-1-c0120-dr01-v01-gaiaflux-psf_lc.fits.gz") as hdus:
        assert hdus[0].header["TICID"] == LARGE
        assert np.array_equal(hdus[1].data["FLUX_RAW"].astype("f4"), found["large"][1]["psf_flux"])


def test_without_response_functions_they_are_made_of_the_data(measure):
    found, _ = measure("good", "elsewhere", methods=["psf"], prf=False)
    assert {name: attrs["status"] for name, (attrs, _) in found.items()} == {"good": OK, "elsewhere": OK}
    assert "no pixel response function was given" in found["good"][0]["remarks"]


def test_targets_of_the_field_are_told_by_the_catalogue(measure):
    found, _ = measure("good", "cutout", methods=["aperture"], only=json.dumps([1000, 7]))
    assert found["good"][0]["status"] == OK
    assert found["cutout"][0]["status"] == "of TIC 2950 by its place, which is not among the targets of the field"
    found, _ = measure("large", "cutout", methods=["aperture"], only=json.dumps({"tmag_max": 10.5}))
    assert found["cutout"][0]["status"] == OK
    assert found["large"][0]["status"] == f"TIC {LARGE} has T = 11.00 by the catalogue, fainter than tmag_max"


def test_what_stands_in_the_place_of_others_says_so(measure, caplog):
    with caplog.at_level(logging.WARNING):
        found, _ = measure("good", "gone", methods=["aperture"], instead_of="old/good.fits")
    remark = "of a newer data release than old/good.fits"
    assert remark in json.loads(found["good"][0]["remarks"])
    assert remark in json.loads(found["gone"][0]["remarks"])
    assert "gone: the target pixel file" in caplog.text
