import gzip
import warnings
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.timeseries import TimeSeries

from gaiaflux.io.image.wcs_cards import tan_sip_from_cards
from gaiaflux.io.tess.light_curve import light_curve_name, write_light_curve
from gaiaflux.io.tess.light_curve_header import header_of_target
from gaiaflux.io.tess.target_pixels import read_target_pixels

UNITS = {
    **{"TIME": "BJD - 2457000, days", "TIMECORR": "d", "CADENCENO": None, "FLUX_RAW": "e-/s", "FLUX_RAW_ERR": "e-/s"},
    **{"FLUX_BKG": "e-/s", "FLUX_CORR": "ppm", "FLUX_CORR_ERR": "ppm", "QUALITY": None, "PIXEL_QUALITY": None},
    **dict.fromkeys(("MOM_CENTR1", "MOM_CENTR2", "POS_CORR1", "POS_CORR2"), "pixel"),
    **{"PDCSAP_FLUX": "e-/s", "PDCSAP_FLUX_ERR": "e-/s"},
}
PRIMARY = """NEXTEND ORIGIN DATE TELESCOP INSTRUME FILTER OBJECT TICID CAMERA CCD SECTOR PROCVER FILEVER DATA_REL
VERSION PHOTMET RADESYS EQUINOX RA_OBJ DEC_OBJ PMRA PMDEC PMTOTAL TESSMAG TEFF TICVER CRMITEN CRBLKSZ CRSPOC DATAVAL
CHECKSUM"""
TABLE = """INHERIT TIMEREF TIMESYS BJDREFI BJDREFF TIMEUNIT TSTART TSTOP DATE-OBS DATE-END MJD-BEG MJD-END TELAPSE
LIVETIME DEADC EXPOSURE XPOSURE TIMEPIXR TIMEDEL INT_TIME READTIME FRAMETIM NUM_FRM NREADOUT CHECKSUM"""


@pytest.fixture
def target(write_target_pixels):
    return read_target_pixels(write_target_pixels(quality=np.array([0, 8, 0, 4096, 32768, 0], "i4")))


@pytest.fixture
def columns(target):
    series, n = target.series, len(target.series)
    flux = 100.0 + np.arange(n)
    flux[2] = np.nan
    return {
        **{"time": series.time, "timecorr": series.timecorr, "cadenceno": series.cadenceno, "quality": series.quality},
        **{"flux": flux, "flux_err": np.full(n, 2.5), "flux_background": np.full(n, 80.0)},
        **{"flags": np.arange(n, dtype=np.uint32), "pos_corr": series.pos_corr},
        "pos_centroid": np.stack([1004.0 + np.arange(n), np.full(n, 503.5)], axis=1),
    }


def write(path, target, columns, header=None):
    series = target.series
    header = header_of_target(target, "psf", 6) if header is None else header
    write_light_curve(path, columns, series.flux[0], series.aperture, target.wcs, header)
    return path


@pytest.mark.parametrize("ending", [".fits", ".fits.gz"])
def test_extensions_columns_and_units(tmp_path, target, columns, ending):
    path = write(tmp_path / f"new/lc{ending}", target, columns)
    assert path.read_bytes().startswith(b"\x1f\x8b") == (ending == ".fits.gz")
    with fits.open(path, checksum=True) as hdus:
        hdus.verify("exception")
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "LIGHTCURVE", "SUMIMAGE", "APERTURE"]
        assert {column.name: column.unit for column in hdus[1].columns} == UNITS
        data = hdus[1].data
        np.testing.assert_array_equal(data["TIME"], columns["time"])
        np.testing.assert_array_equal(data["FLUX_RAW"], columns["flux"])
        np.testing.assert_array_equal(data["PDCSAP_FLUX"], columns["flux"])
        np.testing.assert_array_equal(data["PDCSAP_FLUX_ERR"], 2.5)
        np.testing.assert_array_equal(data["PIXEL_QUALITY"], [0, 8, 0, 4096, 32768, 0])
        np.testing.assert_array_equal(data["QUALITY"], np.arange(6))
        np.testing.assert_array_equal(data["MOM_CENTR1"], 1004.0 + np.arange(6))
        np.testing.assert_array_equal(data["MOM_CENTR2"], 503.5)
        np.testing.assert_array_equal(data["POS_CORR1"], target.series.pos_corr[:, 0])
        assert not [key for key in hdus[1].header if key.startswith("TZERO")]
        assert np.isnan(data["FLUX_CORR"]).all()
        assert np.isnan(data["FLUX_CORR_ERR"]).all()
        assert "until an ensemble" in hdus[1].header.comments["TTYPE15"]
        np.testing.assert_array_equal(hdus["SUMIMAGE"].data, target.series.flux[0])
        np.testing.assert_array_equal(hdus["APERTURE"].data, target.series.aperture)


def test_keywords(tmp_path, target, columns):
    cards = {"PSF_CONT": (np.float64(0.125), "contamination"), "AP_CONT": (np.nan, "")}
    header = header_of_target(target, "linpsf", 0, cards)
    header = replace(header, remarks=("the header is wrong: 1 px",), teff=np.nan)
    with fits.open(write(tmp_path / "lc.fits", target, columns, header)) as hdus:
        primary, table = hdus[0].header, hdus[1].header
        assert not [key for key in PRIMARY.split() if key not in primary]
        assert not [key for key in TABLE.split() if key not in table]
        assert primary["ORIGIN"] == "gaiaflux"
        assert "lightcurve" in primary["CREATOR"]
        assert (primary["TICID"], primary["OBJECT"], primary["VERSION"]) == (42, "TIC 42", 0)
        assert (primary["PHOTMET"], primary["DATA_REL"], primary["TICVER"]) == ("linpsf", 3, 8)
        assert primary["PSF_CONT"] == 0.125
        assert primary["TEFF"] is None
        assert primary["AP_CONT"] is None
        assert "the header is wrong" in str(primary["HISTORY"])
        assert table["CLKOFFS"] == target.clock_offset_s == pytest.approx(-1.979)
        assert table["TSTART"] == pytest.approx(1400.0 - (60.0 + 1.979) / 86400.0, abs=1e-9)
        assert table["TELAPSE"] == pytest.approx(6 * 120.0 / 86400.0, abs=1e-9)
        assert table["DEADC"] == pytest.approx(0.99 * 0.8)
        assert table["EXPOSURE"] == pytest.approx(6 * 120.0 / 86400.0 * 0.792, abs=1e-9)
        assert (table["TIMESYS"], table["BJDREFI"]) == ("TDB", 2457000)


def test_dates_are_those_that_the_mission_writes(tmp_path, target, columns):
    """TSTART and DATE-OBS of the light curve of TIC 25155310."""
    columns["time"] = columns["time"] - columns["time"][0] + 1325.294565319020 + 60.0 / 86400.0
    with fits.open(write(tmp_path / "lc.fits", target, columns)) as hdus:
        assert hdus[1].header["DATE-OBS"] == "2018-07-25T19:03:01.260Z"


def test_the_stamps_place_comes_back(tmp_path, target, columns):
    with fits.open(write(tmp_path / "lc.fits", target, columns)) as hdus:
        for name in ("SUMIMAGE", "APERTURE"):
            header = hdus[name].header
            wcs = tan_sip_from_cards("\n".join(str(card) for card in header.cards), (5, 7))
            assert (wcs.crval, wcs.crpix) == (target.wcs.crval, target.wcs.crpix)
            np.testing.assert_array_equal(wcs.cd, target.wcs.cd)
            assert (header["CRVAL1P"], header["CRVAL2P"]) == (1001, 501)


def test_the_name_of_the_file(target):
    header = header_of_target(target, "psf", 6)
    assert light_curve_name(header) == "tess00000000042-s002-3-4-c0120-dr03-v06-gaiaflux-psf_lc.fits.gz"
    assert "-v00-" in light_curve_name(replace(header, version=0))


def test_what_an_ensemble_has_corrected_is_shown(tmp_path, target, columns):
    columns |= {"flux_cal": columns["flux"] * 1.1, "flux_cal_err": np.full(6, 3.0)}
    with fits.open(write(tmp_path / "lc.fits", target, columns)) as hdus:
        np.testing.assert_array_equal(hdus[1].data["PDCSAP_FLUX"], columns["flux_cal"])
        np.testing.assert_array_equal(hdus[1].data["FLUX_RAW"], columns["flux"])


def test_columns_that_may_be_missing(tmp_path, target, columns):
    for name in ("timecorr", "flux_background", "flags", "pos_centroid", "pos_corr"):
        del columns[name]
    with fits.open(write(tmp_path / "lc.fits", target, columns)) as hdus:
        assert not hdus[1].data["QUALITY"].any()
        assert np.isnan(hdus[1].data["MOM_CENTR1"]).all()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"flux": None}, "needs the column flux"),
        ({"flux_err": np.zeros(5)}, "column flux_err"),
        ({"time": np.zeros(0)}, "needs rows"),
    ],
)
def test_a_light_curve_that_is_none_leaves_the_old_file(tmp_path, target, columns, changes, reason):
    path = tmp_path / "lc.fits"
    path.write_text("old")
    with pytest.raises(ValueError, match=reason):
        write(path, target, columns | changes)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.glob("*lc*")] == ["lc.fits"]


def test_images_of_another_shape_are_refused(tmp_path, target, columns):
    with pytest.raises(ValueError, match="for a stamp of"):
        write_light_curve(
            *(tmp_path / "lc.fits", columns, np.zeros((5, 5)), target.series.aperture, target.wcs),
            header_of_target(target, "psf", 6),
        )


def test_the_same_content_gives_the_same_bytes(tmp_path, target, columns):
    first = write(tmp_path / "a.fits.gz", target, columns).read_bytes()
    second = write(tmp_path / "b.fits.gz", target, columns).read_bytes()
    # astropy writes the time of day into the comments of the checksums.
    assert len(gzip.decompress(first)) == len(gzip.decompress(second))
    with fits.open(tmp_path / "a.fits.gz") as a, fits.open(tmp_path / "b.fits.gz") as b:
        assert fits.FITSDiff(a, b, ignore_comments=["CHECKSUM", "DATASUM"]).identical


def test_astropy_reads_it_as_a_time_series(tmp_path, target, columns):
    path = write(tmp_path / "lc.fits", target, columns)
    series = TimeSeries.read(path, format="tess.fits", unit_parse_strict="silent")
    assert series.time.scale == "tdb"
    np.testing.assert_allclose(series.time.jd - 2457000.0, columns["time"], rtol=0, atol=1e-9)
    assert series["flux_raw"].unit == "electron/s"


@pytest.mark.real
def test_keplers_files_get_their_own_zero_of_time(tess_data, tmp_path):
    target = read_target_pixels(tess_data / "kepler" / "psfmachine_tpf_test_00.fits")
    series, n = target.series, len(target.series)
    columns = {"time": series.time, "cadenceno": series.cadenceno, "quality": series.quality}
    path = write(tmp_path / "lc.fits", target, columns | {"flux": np.ones(n), "flux_err": np.ones(n)})
    with fits.open(path) as hdus:
        assert hdus[0].header["TELESCOP"] == "Kepler"
        assert hdus[1].header["BJDREFI"] == 2454833
        np.testing.assert_allclose(hdus[1].data["TIME"], series.time + 2167.0)


def test_lightkurve_reads_it(tmp_path, target, columns):
    with warnings.catch_warnings():
        # About what it lacks itself.
        warnings.simplefilter("ignore")
        lightkurve = pytest.importorskip(
            "lightkurve", reason="make test-lightkurve has it, in an environment of its own"
        )
        path = write(tmp_path / light_curve_name(header_of_target(target, "psf", 6)), target, columns)
        curve = lightkurve.read(str(path), quality_bitmask="none")
        plain = lightkurve.read(str(path))
    assert curve.flux.unit == "electron/s"
    assert (curve.time.format, curve.time.scale) == ("btjd", "tdb")
    np.testing.assert_array_equal(curve.time.value, columns["time"])
    np.testing.assert_array_equal(curve.flux.value, columns["flux"])
    np.testing.assert_array_equal(curve["pixel_quality"], columns["quality"])
    np.testing.assert_array_equal(curve["quality"], columns["flags"])
    assert curve.targetid == 42
    assert len(plain) > 0
