import gzip
import json
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from gaiaflux.io.gaia.catalog import read_catalog, verify_pin, write_catalog, write_pin
from gaiaflux.io.gaia.table import load_gaia_table, read_gaia_table, select_cone
from gaiaflux.model.catalog import SkyCatalog
from gaiaflux.model.errors import InputError

ENDINGS = [".fits", ".vot", ".ecsv", ".csv", ".parquet"]
FORMATS = {".fits": "fits", ".vot": "votable", ".ecsv": "ascii.ecsv", ".csv": "ascii.csv", ".parquet": "parquet"}
# Differ by 1 beyond the 53 bits of a float64.
IDS = np.array([5853498713190525697, 5853498713190525696, 4295806720], dtype=np.int64)


def small(**columns):
    table = {
        "source_id": IDS,
        "ra": [10.0, 10.1, 10.2],
        "dec": [-5.0, -5.1, -5.2],
        "phot_g_mean_mag": [12.0, 13.0, 14.0],
    }
    table = Table(table | columns)
    table.remove_columns([name for name in table.colnames if columns.get(name, ...) is None])
    return table


def write(table, path):
    # astropy's writer of XML rows (8.0) writes one byte beyond its buffer; the binary one does not.
    options = {"tabledata_format": "binary2"} if path.suffix.lower() == ".vot" else {}
    table.write(path, format=FORMATS[path.suffix.lower()], overwrite=True, **options)
    return path


def refusal(path):
    with pytest.raises(InputError) as caught:
        read_gaia_table(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


@pytest.mark.parametrize("ending", [*ENDINGS, ".FITS", ".CSV", ".Vot"])
def test_all_formats_give_the_same_catalogue(tmp_path, gaia_rows, ending):
    table = Table(gaia_rows)
    for name in ("pmra", "pmdec", "parallax", "pmra_error", "pmdec_error", "ruwe"):
        gone = np.isnan(table[name])
        table[name] = MaskedColumn(np.where(gone, 999.0, table[name]), mask=gone)  # no value under the mask counts
    table["ra"].unit = table["dec"].unit = "deg"
    table["pmra"].unit = table["pmdec"].unit = "mas / yr"
    table["designation"] = [f"Gaia DR3 {n}" for n in table["source_id"]]
    catalog = read_gaia_table(write(table, tmp_path / f"stars{ending}"))
    truth = np.sort(gaia_rows, order="source_id")
    unknown = np.isnan(truth["pmra"])
    assert catalog.source_id.dtype == np.int64
    np.testing.assert_array_equal(catalog.source_id, truth["source_id"])
    np.testing.assert_allclose(catalog.ra_deg, truth["ra"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(catalog.dec_deg, truth["dec"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(catalog.pmra, np.nan_to_num(truth["pmra"]), rtol=1e-14)
    np.testing.assert_allclose(catalog.pmdec, np.nan_to_num(truth["pmdec"]), rtol=1e-14)
    np.testing.assert_allclose(catalog.parallax, np.nan_to_num(truth["parallax"]), rtol=1e-14)
    np.testing.assert_allclose(catalog.colour, 1.25)
    position = np.sqrt((truth["ra_error"] ** 2 + truth["dec_error"] ** 2) / 2)
    np.testing.assert_allclose(catalog.pos_err, np.where(unknown, np.hypot(position, 1.0), position))
    motion = np.sqrt((truth["pmra_error"] ** 2 + truth["pmdec_error"] ** 2) / 2)
    np.testing.assert_allclose(catalog.pm_err, np.where(unknown, 10.0, motion))
    for name in SkyCatalog.column_names():
        values = getattr(catalog, name)
        assert values.dtype.isnative
        assert np.isfinite(values).all()


@pytest.mark.parametrize("ending", [".csv", ".ecsv", ".vot", ".fits"])
def test_gzip(tmp_path, ending):
    path = write(small(), tmp_path / f"stars{ending}")
    packed = tmp_path / f"stars{ending}.GZ"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert len(read_gaia_table(packed)) == 3
    packed.write_bytes(gzip.compress(path.read_bytes())[:-20])
    assert "cannot be read" in refusal(packed)


@pytest.mark.parametrize("ending", ENDINGS)
def test_identifiers_never_pass_through_floats(tmp_path, ending):
    assert read_gaia_table(write(small(), tmp_path / f"a{ending}")).source_id.tolist() == sorted(IDS.tolist())
    text = small(source_id=[str(n) for n in IDS])
    assert read_gaia_table(write(text, tmp_path / f"b{ending}")).source_id.tolist() == sorted(IDS.tolist())
    gone = small(source_id=MaskedColumn(IDS, mask=[False, True, False]))
    assert read_gaia_table(write(gone, tmp_path / f"c{ending}")).source_id.tolist() == [-1, 4295806720, IDS[0]]
    message = refusal(write(small(source_id=IDS.astype(float)), tmp_path / f"d{ending}"))
    assert "source_id" in message
    assert "digits" in message


def test_unsigned_identifiers(tmp_path):
    path = write(small(source_id=IDS.astype(np.uint64)), tmp_path / "a.fits")
    assert read_gaia_table(path).source_id.tolist() == sorted(IDS.tolist())
    path = write(small(source_id=np.array([1, 2, 2**63 + 5], dtype=np.uint64)), tmp_path / "b.parquet")
    assert "2^63" in refusal(path)
    path = write(small(source_id=[5, 6, -7]), tmp_path / "c.csv")
    assert "holds -7" in refusal(path)


def test_all_missing_columns_are_named_with_the_nearest(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("starid,RA_ICRS,decl,Gmag\n1,2,3,4\n")
    message = refusal(path)
    assert "has no columns source_id, ra, dec, phot_g_mean_mag" in message
    assert "starid, RA_ICRS, decl, Gmag" in message
    path.write_text("Source_ID, RA ,dec\n1,2,3\n")
    assert "has no column phot_g_mean_mag" in refusal(path)


def test_case_of_names_and_spaces(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("# made by hand\n\nSOURCE_ID, Ra ,DEC,Phot_G_Mean_Mag,pmRA,PMDEC\n7, 370.5,-5,12.5,1,2\n")
    catalog = read_gaia_table(path)
    assert (catalog.source_id[0], catalog.ra_deg[0], catalog.pmra[0], catalog.pmdec[0]) == (7, 10.5, 1.0, 2.0)


def test_what_is_missing_gets_defaults(tmp_path):
    table = load_gaia_table(write(small(), tmp_path / "a.fits"))
    catalog = table.catalog
    assert (catalog.ref_epoch == 2016.0).all()
    assert (catalog.pmra == 0.0).all()
    assert (catalog.pm_err == 10.0).all()
    np.testing.assert_allclose(catalog.pos_err, np.sqrt(2.0))
    assert np.isnan(catalog.colour).all()
    assert table.n_without_motion == 3
    moving = small(pmra=[1.0, np.nan, 2.0], pmdec=[1.0, 5.0, 2.0], parallax=[1.0, 1.0, 1.0], ruwe=[1.3, 1.0, 4.0])
    catalog = read_gaia_table(write(moving, tmp_path / "b.fits"))
    assert catalog.source_id.tolist() == sorted(IDS.tolist())
    assert catalog.pmdec.tolist() == [2.0, 0.0, 1.0]
    assert catalog.pm_err.tolist() == [4.0, 10.0, 1.0]
    assert catalog.pos_err.tolist() == [4.0, 1.0, 1.0]


@pytest.mark.parametrize("ending", [".fits", ".vot", ".ecsv", ".parquet"])
def test_units(tmp_path, ending):
    table = small(pmra=[0.001, 0.002, 0.003], pmdec=[0.0, 0.0, 0.0], ra_error=[1e-3] * 3, dec_error=[1e-3] * 3)
    table["ra"] = np.radians(table["ra"])
    table["ra"].unit, table["dec"].unit = "rad", "deg"
    table["pmra"].unit = table["pmdec"].unit = "arcsec / yr"
    table["ra_error"].unit = table["dec_error"].unit = "arcsec"
    catalog = read_gaia_table(write(table, tmp_path / f"a{ending}"))
    np.testing.assert_allclose(catalog.ra_deg, [10.2, 10.1, 10.0])
    np.testing.assert_allclose(catalog.pmra, [3.0, 2.0, 1.0])
    np.testing.assert_allclose(catalog.pos_err, np.sqrt(2.0))
    if ending == ".vot":  # the format has no such unit
        return
    table["ra"] = np.array([1.0, 2.0, 3.0])
    table["ra"].unit = None if ending == ".fits" else "hourangle"
    write(table, tmp_path / f"b{ending}")
    if ending == ".fits":
        fits.setval(tmp_path / "b.fits", "TUNIT2", value="h", ext=1)
    np.testing.assert_allclose(read_gaia_table(tmp_path / f"b{ending}").ra_deg, [45.0, 30.0, 15.0])


def test_units_that_are_not_understood(tmp_path):
    path = write(small(), tmp_path / "a.fits")
    fits.setval(path, "TUNIT2", value="furlong", ext=1)
    assert "unit 'furlong' of column ra" in refusal(path)
    fits.setval(path, "TUNIT2", value="Angle[deg]", ext=1)
    fits.setval(path, "TUNIT4", value="Magnitude[mag]", ext=1)
    assert len(read_gaia_table(path)) == 3


def test_right_ascension_is_wrapped(tmp_path):
    catalog = read_gaia_table(write(small(ra=[-0.25, -1e-15, 359.5]), tmp_path / "a.fits"))
    assert sorted(catalog.ra_deg.tolist()) == [0.0, 359.5, 359.75]


def test_rows_without_position_are_counted(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "source_id,ra,dec,phot_g_mean_mag\n1,10,5,12\n2,,5,12\n3,10,null,12\n4,10,91,12\n5,11,5,\n6,inf,5,9\n"
    )
    table = load_gaia_table(path)
    assert table.catalog.source_id.tolist() == [1, 5]
    assert np.isnan(table.catalog.mag[1])
    assert (table.n_rows, table.n_without_position) == (6, 4)
    path.write_text("source_id,ra,dec,phot_g_mean_mag\n1,,5,12\n")
    assert "no row with a usable ra and dec" in refusal(path)
    path.write_text("source_id,ra,dec,phot_g_mean_mag\n")
    assert "has no rows" in refusal(path)


def test_repeated_stars(tmp_path):
    path = tmp_path / "a.csv"
    rows = "7,10,5,12\n8,11,5,13\n7,10,5,12\n-1,12,5,12\n-1,13,5,12\n"
    path.write_text("source_id,ra,dec,phot_g_mean_mag\n" + rows)
    table = load_gaia_table(path)
    assert table.catalog.source_id.tolist() == [-1, -1, 7, 8]
    assert table.n_repeated == 1
    path.write_text("source_id,ra,dec,phot_g_mean_mag\n" + rows + "8,11.001,5,13\n")
    assert "source_id 8 stands in several rows" in refusal(path)
    path.write_text("source_id,ra,dec,phot_g_mean_mag\n" + rows + "8,11,5,13.5\n")
    assert "source_id 8 stands in several rows" in refusal(path)


def test_row_order_does_not_matter(tmp_path, gaia_rows):
    shuffled = np.random.default_rng(1).permutation(gaia_rows)
    first = read_gaia_table(write(Table(gaia_rows), tmp_path / "a.fits"))
    second = read_gaia_table(write(Table(shuffled), tmp_path / "b.fits"))
    for name in SkyCatalog.column_names():
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_text_that_is_no_number(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("source_id,ra,dec,phot_g_mean_mag\n1,12:30:00.5,5,12\n")
    assert "column ra" in refusal(path)
    path.write_text("source_id,ra,dec,phot_g_mean_mag\n5.85e18,12,5,12\n")
    assert "'5.85e18'" in refusal(path)
    path.write_text("source_id,ra,dec,phot_g_mean_mag,ref_epoch\n5,12,5,12,57388\n")
    assert "Julian years" in refusal(path)


@pytest.mark.parametrize("real", ENDINGS)
@pytest.mark.parametrize("name", ENDINGS)
def test_ending_and_content_must_agree(tmp_path, real, name):
    path = write(small(), tmp_path / f"a{real}")
    path = path.rename(tmp_path / f"b{name}")
    if real == name or (real, name) == (".ecsv", ".csv"):  # Gaia's own files are ECSV under that name
        assert len(read_gaia_table(path)) == 3
    else:
        assert "table but holds a" in refusal(path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", b"x", "says no format"),
        ("a.parquet.gz", b"x", "says no format"),
        ("a.csv", b"", "it is empty"),
        ("a.vot", b"<html><body>404</body></html>", "HTML"),
        ("a.vot", b"<?xml version='1.0'?><VOTABLE><RESOURCE><TABLE><FI", "broken off"),
        ("a.fits", b"\0" * 5000, "binary data"),
        ("a.csv", b"source_id,ra,dec,phot_g_mean_mag\n1,2,3,4\n1,2,3,4,5,6,7\n", "cannot be read as a CSV table"),
        ("a.csv", b"source_id,ra,dec,phot_g_mean_mag\n1,2,3,\xff\xfe\n", "cannot be read as a CSV table"),
        ("a.ecsv", b"# %ECSV 1.0\n# ---\n# datatype: [\nra\n1\n", "cannot be read as a ECSV table"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    assert words in refusal(path)


@pytest.mark.parametrize("ending", [".fits", ".vot", ".parquet"])
def test_truncated_files(tmp_path, gaia_rows, ending):
    path = write(Table(gaia_rows), tmp_path / f"a{ending}")
    path.write_bytes(path.read_bytes()[:-9000])
    assert "cannot be read" in refusal(path)


def test_missing_file(tmp_path):
    assert "does not exist" in refusal(tmp_path / "none.fits")


def test_table_in_a_later_extension(tmp_path):
    other = fits.BinTableHDU.from_columns([fits.Column("x", "D", array=[1.0])])
    stars = fits.BinTableHDU(small())
    fits.HDUList([fits.PrimaryHDU(np.zeros((3, 3))), other, stars]).writeto(tmp_path / "a.fits")
    assert len(read_gaia_table(tmp_path / "a.fits")) == 3
    fits.HDUList([fits.PrimaryHDU(np.zeros((3, 3)))]).writeto(tmp_path / "b.fits")
    assert "no table extension" in refusal(tmp_path / "b.fits")


def test_select_cone(tap, tmp_path, gaia_rows):
    path = write(Table(gaia_rows), tmp_path / "a.fits")
    table = load_gaia_table(path)
    chosen = select_cone(table, (0.1, -30.0), 0.2, 18.0, "a.fits")
    inside = tap.haversine_deg(gaia_rows["ra"], gaia_rows["dec"], 0.1, -30.0) <= 0.2
    truth = gaia_rows["source_id"][inside & (gaia_rows["phot_g_mean_mag"] <= 18.0)]
    assert len(truth) > 20
    np.testing.assert_array_equal(chosen.source_id, np.sort(truth))
    with pytest.raises(InputError, match=r"its stars lie around ra 0\.\d+, dec -\d+.*give the table") as caught:
        select_cone(table, (180.0, 20.0), 0.2, 18.0, "the table a.fits")
    with pytest.raises(InputError, match=r"ra 180.0000, dec 20.0000 deg \(radius 0.200 deg\)"):
        select_cone(table, (180.0, 20.0), 0.2, 18.0, "a.fits")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"brighter than gaia\.magnitude_limit = 9"):
        select_cone(table, (0.1, -30.0), 0.2, 9, "a.fits")


def test_catalogue_file_round_trip(tmp_path, gaia_rows):
    catalog = read_gaia_table(write(Table(gaia_rows), tmp_path / "table.fits"))
    path = tmp_path / "deep" / "gaia.fits"
    write_catalog(path, catalog, {"RELEASE": "gaiadr3", "MAGLIM": 21.0})
    again = read_catalog(path)
    for name in SkyCatalog.column_names():
        values = getattr(again, name)
        np.testing.assert_array_equal(values, getattr(catalog, name))
        assert values.dtype == getattr(catalog, name).dtype
        assert values.flags.c_contiguous
        assert values.dtype.isnative
    with fits.open(path) as hdus:
        header = hdus["GAIA"].header
        assert header["RELEASE"] == "gaiadr3"
        units = {header[f"TTYPE{k}"]: header.get(f"TUNIT{k}") for k in range(1, header["TFIELDS"] + 1)}
    assert units["ra"] == "deg"
    assert units["pm_err"] == "mas/yr"
    # It is itself a table that a user can bring, and keeps its errors.
    table = read_gaia_table(path)
    np.testing.assert_array_equal(table.pm_err, catalog.pm_err)
    np.testing.assert_array_equal(table.pos_err, catalog.pos_err)
    first = path.read_bytes()
    write_catalog(path, catalog, {"RELEASE": "gaiadr3", "MAGLIM": 21.0})
    assert path.read_bytes() == first
    assert [p.name for p in path.parent.iterdir()] == ["gaia.fits"]


def test_pin(tmp_path, gaia_rows):
    catalog = read_gaia_table(write(Table(gaia_rows), tmp_path / "table.fits"))
    path, pin_path = tmp_path / "gaia.fits", tmp_path / "gaia.json"
    write_catalog(path, catalog)
    write_pin(pin_path, path, {"query": "SELECT 1", "server": "https://x/tap"})
    pin = verify_pin(path, pin_path)
    assert pin["n_rows"] == len(gaia_rows)
    assert pin["query"] == json.loads(pin_path.read_text())["query"] == "SELECT 1"
    write_catalog(path, catalog[1:])
    with pytest.raises(InputError, match="sha256 differs"):
        verify_pin(path, pin_path)


def test_failed_write_leaves_nothing(tmp_path, gaia_rows):
    catalog = read_gaia_table(write(Table(gaia_rows), tmp_path / "table.fits"))
    with pytest.raises(ValueError, match=r"keyword|KEY"):
        write_catalog(tmp_path / "gaia.fits", catalog, {"BAD\nKEY": 1})
    assert [p.name for p in tmp_path.iterdir()] == ["table.fits"]


def test_reading_the_catalogue_is_light():
    code = (
        "import sys, gaiaflux.io.gaia.catalog; "
        "print([m for m in ('astropy.table', 'astropy.wcs', 'pandas', 'scipy', 'astroquery') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.real
def test_real_tables(real_data):
    catalog = read_gaia_table(real_data / "gaia_tables" / "gaia_ngc188_field_4938.fits")
    assert len(catalog) == len(np.unique(catalog.source_id)) == 4938
    path = real_data / "legacypipe_decam" / "testcase6" / "gaia" / "chunk-03687.fits"
    catalog = read_gaia_table(path)
    with fits.open(path, memmap=False) as hdus:
        data = hdus[1].data[np.argsort(hdus[1].data["source_id"])]
        np.testing.assert_array_equal(catalog.source_id, data["source_id"])
        np.testing.assert_array_equal(catalog.ra_deg, data["ra"])
        np.testing.assert_array_equal(catalog.ref_epoch, data["ref_epoch"])
        np.testing.assert_array_equal(
            catalog.colour.astype("f4") > 1, data["phot_bp_mean_mag"] - data["phot_rp_mean_mag"] > 1
        )
        assert np.isnan(data["pmra"]).sum() == np.sum(catalog.pm_err == 10.0) > 0
    folder = real_data / "gaia_tap" / "astroquery" / "utils" / "tap" / "xmlparser" / "tests" / "data"
    answers = [read_gaia_table(folder / f"1714556098855O-result.{kind}") for kind in ("csv", "ecsv", "fits", "vot")]
    for answer in answers:
        assert answer.source_id.tolist() == [5929246508730155392]
        for name in SkyCatalog.column_names():
            np.testing.assert_allclose(getattr(answer, name), getattr(answers[0], name), rtol=1e-6)


@pytest.mark.real
def test_real_table_with_other_names_is_refused(real_data):
    message = refusal(real_data / "sn2019so_andicam" / "photometry_04735_V.ecsv")
    assert "has no columns source_id, dec, phot_g_mean_mag" in message
    assert "starid, decl, gaia_mag" in message
