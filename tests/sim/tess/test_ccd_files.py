import csv
import warnings
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS, FITSFixedWarning

from gaiaflux.core.psf.stamp_light import stamp_light, star_tables
from gaiaflux.io.tess.catalog import read_tess_catalog
from gaiaflux.io.tess.prf import read_prf
from gaiaflux.sim.tess.ccd_files import FLUX_STEP, Layout, write_ccd_field
from gaiaflux.sim.tess.ccd_light import add_stars, star_shapes
from gaiaflux.sim.tess.ccd_presets import demo_ccd
from gaiaflux.sim.tess.ccd_setup import CcdSetup
from gaiaflux.sim.tess.field import light_time_d
from gaiaflux.sim.tess.stars import StampStar

STARS = (StampStar(11, 30.2, 40.7, 9.0), StampStar(12, 12.1, 20.4, 10.0, pm_mas=(900.0, -700.0)))
SETUP = CcdSetup(
    shape=(64, 72), first_column=44, first_row=0, n_times=5, stars=STARS, zero_frames=(3,), dump_every_d=0.1
)


@pytest.fixture(scope="module")
def spoc(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spoc")
    return folder, write_ccd_field(folder, SETUP, packed=True)


def wcs_of(header):
    with warnings.catch_warnings():
        # Of the dates, as for the mission's files.
        warnings.simplefilter("ignore", FITSFixedWarning)
        return WCS(header)


def test_frames_are_like_the_missions(spoc):
    folder, ccd = spoc
    paths = sorted((folder / "ffi").iterdir())
    assert len(paths) == 5
    for k, path in enumerate(paths):
        frame = ccd.frame(k)
        with fits.open(path) as file:
            file.verify("exception")
            assert [hdu.header["IMAGTYPE"] for hdu in file[1:]] == ["cal", "uncert"]
            assert [hdu.name for hdu in file] == ["PRIMARY", "CAMERA.CCD 1.3 cal", "CAMERA.CCD 1.3 uncert"]
            for hdu, truth, step in ((file[1], frame.flux, FLUX_STEP), (file[2], frame.flux_err, 1 / 1024)):
                assert hdu.data.shape == (64, 44 + 72)
                assert hdu.data.dtype == np.dtype(">f4")
                np.testing.assert_allclose(hdu.data[:, 44:], truth, rtol=1e-7, atol=0.51 * step)
                assert np.abs(hdu.data[:, :44]).max() < 0.5
                assert hdu.header["DQUALITY"] == ccd.quality[k]
                assert (hdu.header["CRVAL1P"], hdu.header["CRVAL2P"]) == (1, 1)
            if k == 3:
                assert not file[1].data.any()
            else:
                assert file[2].data[:, 44:].min() > 0.15
    assert 32 in ccd.quality


def test_times_agree(spoc):
    folder, ccd = spoc
    truth = np.load(folder / "truth.npz")
    for k, name in enumerate(truth["names"]):
        with fits.open(folder / "ffi" / str(name)) as file:
            primary, image = file[0].header, file[1].header
        middle = 0.5 * (primary["TSTART"] + primary["TSTOP"])
        assert middle == pytest.approx(ccd.btjd[k], abs=1e-9)
        assert truth["btjd"][k] == ccd.btjd[k]
        assert primary["TSTOP"] - primary["TSTART"] == pytest.approx(1 / 48, abs=1e-9)
        for header, scale in ((primary, 0.0), (image, image["BARYCORR"])):
            for what, date in (("TSTART", "DATE-OBS"), ("TSTOP", "DATE-END")):
                assert header[what] == pytest.approx(primary[what] + scale, abs=1e-9)
                utc = Time(2457000.0, header[what], format="jd", scale="tdb").utc
                assert abs((utc - Time(header[date].rstrip("Z"), scale="utc")).sec) < 2e-3
        start = Time(primary["DATE-OBS"].rstrip("Z"), scale="utc")
        assert name.startswith(start.strftime("tess%Y%j%H%M%S-s0001-1-3-0120-s_ffic.fits"))
        assert image["EXPOSURE"] * 86400 == pytest.approx(1425.6)
        assert image["INT_TIME"] * image["NREADOUT"] == pytest.approx(1425.6)
        # Light of the direction in the middle of the CCD, by its pixel in the header.
        wcs = wcs_of(image)
        place = wcs.all_pix2world(image["BTC_PIX1"], image["BTC_PIX2"], 1)
        assert light_time_d(ccd.btjd[k : k + 1], *map(float, place))[0] == pytest.approx(image["BARYCORR"], abs=5e-7)
        assert abs(image["BARYCORR"]) < 0.006


def test_headers_have_the_keywords_of_a_real_one(spoc, tess_data):
    folder, _ = spoc
    original = next((tess_data / "ffi_s01_c1_4").glob("*.fits"))
    with fits.open(original) as theirs, fits.open(next((folder / "ffi").iterdir())) as ours:
        for one, other in zip(theirs, ours, strict=True):
            missing = set(one.header) - set(other.header) - {"CHECKSUM", "TMOFST14"}
            assert missing == set()
            more = set(other.header) - set(one.header) - {"TMOFST13"}
            assert not [key for key in more if not key.startswith(("AP_", "BP_"))]
            assert {type(other.header[key]) for key in one.header if key in other.header} <= {bool, int, float, str}
            for key in one.header:
                if key.startswith(
                    ("LVC", "TVC", "SCC", "SCI", "VROW", "SMROW", "BFROW", "BTC_", "NUM_FRM", "NREADOUT")
                ):
                    assert other.header[key] == one.header[key], key


def test_plate_solutions_follow_the_pointing(spoc):
    folder, ccd = spoc
    with (folder / "catalog.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == ccd.catalogued.listed.sum()
    ids = ccd.catalogued.starid.tolist()
    own = [ids.index(int(row["starid"])) for row in rows]
    years = 2000.0 + (ccd.btjd[0] + 2457000.0 - 2451545.0) / 365.25 - 2000.0
    sky = np.array([[float(row[key]) for key in ("ra", "dec", "pmra", "pmdec")] for row in rows])
    dec = sky[:, 1] + sky[:, 3] * years / 3.6e6
    ra = sky[:, 0] + sky[:, 2] * years / 3.6e6 / np.cos(np.radians(dec))
    assert float(rows[0]["ref_epoch"]) == 2000.0
    offsets = []
    for k, path in enumerate(sorted((folder / "ffi").iterdir())):
        wcs = wcs_of(fits.getheader(path, 1))
        x, y = wcs.all_world2pix(ra, dec, 0)
        there = ccd.star_places(k)
        off = np.stack([x - 44 - there[0][own], y - there[1][own]])
        # All stars are off by the same: the solution's error.
        assert np.std(off, axis=1).max() < 3e-3
        offsets.append(off.mean(axis=1))
        assert np.abs(offsets[-1]).max() < 0.1
    assert 0.005 < np.std(offsets) < 0.05


def test_truth_is_written(spoc):
    folder, ccd = spoc
    truth = np.load(folder / "truth.npz")
    n = len(ccd.catalogued.starid)
    assert truth["star_x"].shape == truth["star_flux"].shape == (n,)
    assert truth["relative"].shape == (5, 2)
    columns, rows = truth["sky_columns"], truth["sky_rows"]
    assert (columns[0], columns[-1], rows[0], rows[-1]) == (44, 115, 0, 63)
    assert truth["sky"].shape == (5, len(rows), len(columns))
    # The sky of the frames is that, by response and straps.
    k, j, i = 2, 1, 1
    frame = ccd.frame(k)
    pixel = frame.sky[rows[j], columns[i] - 44] / (1 + float(truth["sky_response"][rows[j], columns[i] - 44]))
    assert truth["straps"][columns[i] - 44] == 0
    assert pixel == pytest.approx(truth["sky"][k, j, i], rel=1e-5)
    np.testing.assert_array_equal(truth["shift"], ccd.motion.shift)


def test_catalogue_and_responses_are_read_as_the_users_are(spoc):
    folder, ccd = spoc
    catalog = read_tess_catalog(folder / "catalog.csv")
    stars = ccd.catalogued
    assert sorted(catalog.star_id) == sorted(stars.starid[stars.listed])
    np.testing.assert_allclose(np.sort(catalog.mag), np.sort(stars.tmag[stars.listed]), atol=1e-4)
    assert catalog.pmra[list(catalog.star_id).index(12)] == 900.0
    # Its function in a place between those of the files is the light that the frames are made of.
    psf = read_prf(folder / "prf", 1, 1, 3)
    x, y = 77.2, 40.7
    image = np.zeros((31, 31))
    add_stars(image, np.array([[15.2, 14.7, 1.0]]), star_shapes(np.array([x]), np.array([y])))
    light = stamp_light(star_tables(psf, np.array([x]), np.array([y])), np.array([15.2]), np.array([14.7]), (31, 31))
    np.testing.assert_allclose(light.light[0], image, atol=2e-3 * image.max())


def test_tica_counts_electrons_of_the_exposure(tmp_path):
    setup = replace(SETUP, cadence_s=200.0, sector=70, start_btjd=3208.0, n_times=4, zero_frames=(), safe_frames=(2,))
    ccd = write_ccd_field(tmp_path, setup, "tica")
    paths = sorted((tmp_path / "ffi").iterdir())
    assert paths[0].name.startswith("hlsp_tica_tess_ffi_s0070-o1-")
    assert paths[0].name.endswith("-cam1-ccd3_tess_v01_img.fits")
    for k, path in enumerate(paths):
        with fits.open(path) as file:
            file.verify("exception")
            assert len(file) == 1
            header, data = file[0].header, file[0].data
        assert header["UNITS"] == "electrons"
        assert header["EXPTIME"] == pytest.approx(200 * 0.99 * 0.8)
        assert header["INT_TIME"] == 200
        np.testing.assert_allclose(
            data[:, 44:] / header["EXPTIME"], ccd.frame(k).flux, rtol=1e-6, atol=0.51 * FLUX_STEP
        )
        assert header["MIDTJD"] == pytest.approx(ccd.btjd[k], abs=1e-9)
        assert header["ENDTJD"] - header["STARTTJD"] == pytest.approx(200 / 86400, abs=1e-9)
        gps = Time(2457000.0, header["STARTTJD"], format="jd", scale="tdb").gps
        assert header["TIME"] == pytest.approx(gps, abs=2e-3)
        assert header["SCIPIXS"] == "[45:116,1:64]"
        assert header["QUAL_BIT"] == int(ccd.quality[k] > 0)
        assert header["RW_DESAT"] == int(ccd.quality[k] & 32 > 0)
        assert header["COARSE"] == int(k == 2)
        assert int(path.name.split("-")[2]) == header["CADENCE"]
        wcs = wcs_of(header)
        x, y = wcs.all_world2pix(*wcs.all_pix2world(80.0, 30.0, 0), 0)
        assert (float(x), float(y)) == pytest.approx((80.0, 30.0), abs=1e-3)


def test_numbers_of_cadences_are_stated_from_sector_6_on(spoc, tmp_path):
    folder, _ = spoc
    assert "FFIINDEX" not in fits.getheader(next((folder / "ffi").iterdir()))
    setup = replace(SETUP, sector=27, cadence_s=600.0, start_btjd=2036.28, n_times=3, zero_frames=())
    write_ccd_field(tmp_path, setup)
    truth = np.load(tmp_path / "truth.npz")
    for name, number in zip(truth["names"], truth["cadenceno"], strict=True):
        assert fits.getheader(tmp_path / "ffi" / str(name))["FFIINDEX"] == number
    # As the mission counted the first frame of that sector.
    assert truth["cadenceno"][0] == pytest.approx(116470, abs=3)


def test_virtual_columns_and_rows_are_where_the_part_reaches_them():
    full = Layout.of(CcdSetup(shape=(2048, 2048), first_column=44, first_row=0))
    assert (full.shape, full.before, full.corner) == ((2078, 2136), 44, (0, 0))
    middle = Layout.of(CcdSetup(shape=(100, 90), first_column=700, first_row=300))
    assert (middle.shape, middle.before, middle.corner) == ((100, 90), 0, (700, 300))
    corner = Layout.of(CcdSetup(shape=(48, 92), first_column=2000, first_row=2000))
    assert (corner.shape, corner.before, corner.corner) == ((78, 136), 0, (2000, 2000))
    image = corner.filled(np.ones((48, 92)), 7.0)
    assert image[:48, :92].min() == image[:48, :92].max() == 1
    assert image[48:].min() == image[:, 92:].min() == 7


def test_a_part_says_where_it_is(tmp_path):
    setup = replace(SETUP, first_column=700, first_row=300, n_times=2, zero_frames=())
    ccd = write_ccd_field(tmp_path, setup, error_pix=0.0)
    header = fits.getheader(min((tmp_path / "ffi").iterdir()), 1)
    assert (header["CRVAL1P"], header["CRVAL2P"]) == (701, 301)
    assert header["NAXIS1"] == 72
    assert (header["SCCSA"], header["SCCED"]) == (45, 2092)
    shift = ccd.motion.moved(0, np.array([1044.0]), np.array([1000.0]))
    assert header["CRPIX1"] == pytest.approx(1045 - 700 + shift[0][0])
    assert header["CRPIX2"] == pytest.approx(1001 - 300 + shift[1][0])


def test_the_same_seed_writes_the_same_files(tmp_path):
    for name in ("a", "b"):
        write_ccd_field(tmp_path / name, replace(SETUP, n_times=2, zero_frames=()), packed=True)
    written = [sorted((tmp_path / name / "ffi").iterdir()) for name in ("a", "b")]
    for one, other in zip(*written, strict=True):
        assert one.name == other.name
        assert one.read_bytes() == other.read_bytes()


def test_the_demo_is_small():
    setup = demo_ccd()
    ny, nx = Layout.of(setup).shape
    assert setup.n_times * ny * nx * 2 * 4 < 22e6
    assert {star.variation for star in setup.stars} == {"constant", "eclipses", "transits", "waves"}
