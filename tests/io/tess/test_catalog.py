import sqlite3

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from gaiaflux.io.tess.catalog import read_tess_catalog
from gaiaflux.model.errors import InputError

COLUMNS = {
    "ID": [30, 10, 20],
    "ra": [10.5, 359.9, 10.0],
    "dec": [-5.0, -5.1, 89.9],
    "pmRA": [1.0, np.nan, -3.0],
    "pmDEC": [2.0, 5.0, 4.0],
    "plx": [0.5, np.nan, 7.0],
    "Tmag": [np.nan, 11.5, np.nan],
    "e_Tmag": [np.nan, 0.02, np.nan],
    "Jmag": [12.0, 11.0, np.nan],
    "Kmag": [11.6, 10.7, np.nan],
    "Vmag": [13.5, np.nan, np.nan],
    "GAIAmag": [np.nan, 11.9, 9.0],
    "gaiabp": [np.nan, np.nan, 9.4],
    "gaiarp": [np.nan, np.nan, 8.5],
    "Teff": [5000.0, np.nan, 6000.0],
    "GAIA": [4657000000000000001, -1, 4657000000000000003],
    "gmag": [1.0, 2.0, 3.0],
}


def write(path, table):
    table = Table({name: list(values) for name, values in table.items()}) if isinstance(table, dict) else table
    if path.suffix == ".sqlite":
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE settings (sector INTEGER)")
            names = ", ".join(f'"{name}"' for name in table.colnames)
            connection.execute(f"CREATE TABLE catalog ({names})")
            cells = zip(*(table[name].tolist() for name in table.colnames), strict=True)
            rows = [[None if value != value else value for value in row] for row in cells]
            connection.executemany(f"INSERT INTO catalog VALUES ({', '.join('?' * len(table.colnames))})", rows)
        connection.close()
    else:
        table.write(path, overwrite=True)
    return path


@pytest.mark.parametrize("ending", [".csv", ".ecsv", ".fits", ".sqlite", ".csv.gz"])
def test_the_same_stars_from_every_format(tmp_path, ending, pack):
    path = write(tmp_path / f"stars{ending.removesuffix('.gz')}", COLUMNS)
    path = pack(path) if ending.endswith(".gz") else path
    catalog = read_tess_catalog(path)
    np.testing.assert_array_equal(catalog.star_id, [10, 20, 30])
    np.testing.assert_array_equal(catalog.source_id, [-1, 4657000000000000003, 4657000000000000001])
    np.testing.assert_array_equal(catalog.ra_deg, [359.9, 10.0, 10.5])
    np.testing.assert_array_equal(catalog.pmra, [0.0, -3.0, 1.0])
    np.testing.assert_array_equal(catalog.pmdec, [0.0, 4.0, 2.0])
    np.testing.assert_array_equal(catalog.parallax, [0.0, 7.0, 0.5])
    np.testing.assert_array_equal(catalog.ref_epoch, 2000.0)
    np.testing.assert_array_equal(catalog.mag_source, ["catalogue", "G, BP-RP", "J, Ks"])
    assert catalog.mag[0] == 11.5
    assert catalog.mag_err[0] == 0.02
    np.testing.assert_array_equal(np.isnan(catalog.teff), [True, False, False])
    assert catalog.pm_err[0] > catalog.pm_err[1]
    assert catalog.left_out == {}
    assert catalog.system == "TESS"


def test_names_in_any_case_and_units_are_understood(tmp_path):
    table = Table({"TICID": ["TIC 5", "tic-6"], "RA": [1.0, 2.0], "DECL": [3.0, 4.0], "PM_RA": [0.001, 0.002]})
    table["PM_DECL"] = [0.0, 0.0]
    table["PM_RA"].unit = table["PM_DECL"].unit = "arcsec / yr"
    table["TESSMAG"] = [9.0, 10.0]
    table["Ref_Epoch"] = [2015.5, np.nan]
    catalog = read_tess_catalog(write(tmp_path / "stars.ecsv", table))
    np.testing.assert_array_equal(catalog.star_id, [5, 6])
    np.testing.assert_allclose(catalog.pmra, [1.0, 2.0])
    np.testing.assert_array_equal(catalog.mag, [9.0, 10.0])
    np.testing.assert_array_equal(catalog.ref_epoch, [2015.5, 2000.0])


def test_positions_of_2000_are_taken_where_there_are_others_too(tmp_path):
    columns = {"starid": [1], "ra": [10.1], "decl": [20.1], "ra_J2000": [10.0], "decl_J2000": [20.0], "tmag": [9.0]}
    catalog = read_tess_catalog(write(tmp_path / "stars.sqlite", columns))
    assert (catalog.ra_deg[0], catalog.dec_deg[0]) == (10.0, 20.0)


@pytest.mark.parametrize("ending", [".ecsv", ".fits", ".csv"])
def test_a_masked_magnitude_is_not_zero(tmp_path, ending):
    table = Table({"ID": [1, 2], "ra": [1.0, 2.0], "dec": [3.0, 4.0]})
    table["Vmag"] = MaskedColumn([12.0, 12.0], mask=[False, True])
    table["Kmag"] = MaskedColumn([10.5, 10.5], mask=[True, True])
    catalog = read_tess_catalog(write(tmp_path / f"stars{ending}", table))
    np.testing.assert_array_equal(catalog.mag_source, ["V", ""])
    assert catalog.mag[0] == pytest.approx(11.4)
    assert np.isnan(catalog.mag[1])


def test_a_filled_magnitude_is_not_zero_either(tmp_path):
    columns = {"ID": [1], "ra": [1.0], "dec": [3.0], "Tmag": [0.0], "Vmag": [12.4], "Kmag": [0.0], "Jmag": [99.0]}
    catalog = read_tess_catalog(write(tmp_path / "stars.csv", columns))
    np.testing.assert_array_equal(catalog.mag_source, ["V"])


def test_the_row_that_says_most_stands_for_a_number_that_repeats(tmp_path):
    columns = {"ID": ["TIC 7", "7", "7", "8"], "ra": [1.0] * 4, "dec": [2.0] * 4, "Tmag": [np.nan, 9.0, 9.5, 1.0]}
    catalog = read_tess_catalog(write(tmp_path / "stars.csv", columns))
    np.testing.assert_array_equal(catalog.star_id, [7, 8])
    assert catalog.mag[0] == 9.0
    np.testing.assert_array_equal(catalog.left_out["repeats a TIC number"], [7, 7])


def test_duplicates_splits_and_artifacts_are_left_out_and_counted(tmp_path):
    columns = {"ID": [1, 2, 3, 4, 5], "ra": [1.0] * 5, "dec": [2.0] * 5, "Tmag": [9.0] * 5}
    columns["disposition"] = ["DUPLICATE", "SPLIT", "ARTIFACT", "", "JOIN"]
    catalog = read_tess_catalog(write(tmp_path / "stars.csv", columns))
    np.testing.assert_array_equal(catalog.star_id, [4, 5])
    assert catalog.why_missing(2) == "disposition split"
    assert sum(len(ids) for ids in catalog.left_out.values()) == 3


def test_rows_without_number_or_position_are_left_out(tmp_path):
    columns = {"ID": ["1", "", "3", "4"], "ra": [1.0, 1.0, np.nan, 1.0], "dec": [2.0, 2.0, 2.0, 95.0]}
    catalog = read_tess_catalog(write(tmp_path / "stars.csv", columns))
    np.testing.assert_array_equal(catalog.star_id, [1])
    assert {reason: len(ids) for reason, ids in catalog.left_out.items()} == {"no TIC number": 1, "no position": 2}


def test_large_numbers_keep_all_digits(tmp_path):
    columns = {"ID": [2**31 + 5, 10**10 + 1], "ra": [1.0, 2.0], "dec": [2.0, 2.0], "source_id": [2**62 + 1, 2**62 + 3]}
    for ending in (".csv", ".fits", ".sqlite"):
        catalog = read_tess_catalog(write(tmp_path / f"stars{ending}", columns))
        np.testing.assert_array_equal(catalog.star_id, columns["ID"])
        np.testing.assert_array_equal(catalog.source_id, columns["source_id"])


def test_whole_numbers_with_a_point_are_numbers(tmp_path):
    columns = {"ID": [25155310.0, 2.0], "ra": [1.0, 2.0], "dec": [2.0, 2.0]}
    for ending in (".csv", ".fits", ".sqlite"):
        catalog = read_tess_catalog(write(tmp_path / f"stars{ending}", columns))
        np.testing.assert_array_equal(catalog.star_id, [2, 25155310])


def test_gaias_numbers_that_lost_digits_are_not_used(tmp_path):
    columns = {"ID": [1, 2], "ra": [1.0, 2.0], "dec": [2.0, 2.0], "GAIA": [4.657e18, 4.658e18]}
    for ending in (".csv", ".fits"):
        catalog = read_tess_catalog(write(tmp_path / f"stars{ending}", columns))
        np.testing.assert_array_equal(catalog.source_id, -1)
        assert "floating point" in catalog.remarks[0]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"ra": [1.0], "dec": [2.0]}, "no column starid"),
        ({"ID": [1], "RA": [1.0]}, "no column ra, dec"),
        ({"ID": ["one"], "ra": [1.0], "dec": [2.0]}, "holds 'one'"),
        ({"ID": [1.5], "ra": [1.0], "dec": [2.0]}, "1.5"),
        ({"ID": [1], "ra": [1.0], "dec": [2.0], "Tmag": ["bright"]}, "column tmag .* holds 'bright'"),
        ({"ID": [1], "ra": ["04:13:30"], "dec": [2.0]}, "column ra .* decimal numbers"),
        ({"ID": [1], "ra": [np.nan], "dec": [2.0]}, "no usable row"),
    ],
)
def test_what_a_catalogue_must_say(tmp_path, columns, reason):
    with pytest.raises(InputError, match=reason):
        read_tess_catalog(write(tmp_path / "stars.csv", columns))


def test_tables_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="correct catalog_file"):
        read_tess_catalog(tmp_path / "none.csv")
    (tmp_path / "stars.csv").write_text("")
    with pytest.raises(InputError, match="empty"):
        read_tess_catalog(tmp_path / "stars.csv")
    (tmp_path / "stars.csv").write_text("starid,ra,dec\n")
    with pytest.raises(InputError, match="no rows"):
        read_tess_catalog(tmp_path / "stars.csv")
    (tmp_path / "stars.csv").write_text("starid,ra,dec\n1,2\n")
    with pytest.raises(InputError, match="cannot be read"):
        read_tess_catalog(tmp_path / "stars.csv")
    (tmp_path / "stars.doc").write_text("starid,ra,dec\n1,2,3\n")
    with pytest.raises(InputError, match="says no format"):
        read_tess_catalog(tmp_path / "stars.doc")
    path = write(tmp_path / "stars.sqlite", COLUMNS)
    path.write_bytes(path.read_bytes()[:6000])
    with pytest.raises(InputError, match="SQLite"):
        read_tess_catalog(path)
    (tmp_path / "no.sqlite").write_bytes(b"SQLite format 3\0" + bytes(200))
    with pytest.raises(InputError, match="SQLite"):
        read_tess_catalog(tmp_path / "no.sqlite")


def test_a_database_without_such_a_table(tmp_path):
    with pytest.raises(InputError, match="no column starid"):
        read_tess_catalog(write(tmp_path / "stars.sqlite", {"name": ["a"], "ra": [1.0]}))


@pytest.mark.real
def test_the_shared_list_of_stars(tess_data):
    catalog = read_tess_catalog(tess_data / "tic25155310_s01" / "TIC25155310_stars.csv")
    assert len(catalog) == 2659
    np.testing.assert_array_equal(catalog.left_out["repeats a TIC number"], [25155310])
    target, neighbour = np.searchsorted(catalog.star_id, [25155310, 25155316])
    assert catalog.mag[target] == pytest.approx(10.535, abs=0.005)
    assert catalog.mag[neighbour] == pytest.approx(14.10, abs=0.005)
    np.testing.assert_array_equal(catalog.mag_source[[target, neighbour]], "J, Ks")
    assert np.isnan(catalog.mag).sum() == 193
    assert np.nanmin(catalog.mag) > 7.0


@pytest.mark.real
def test_the_shared_list_of_targets(tess_data):
    catalog = read_tess_catalog(tess_data / "ffi_s01_c1_4" / "all_targets_S001_v1.csv")
    assert len(catalog) == 15899
    assert set(catalog.mag_source) == {"catalogue"}


@pytest.mark.real
def test_relations_against_the_missions_magnitudes(tess_data):
    """Stars that are in both lists: the one has V, J, Ks, the other the TIC's own magnitude."""
    derived = read_tess_catalog(tess_data / "tic25155310_s01" / "TIC25155310_stars.csv")
    stated = read_tess_catalog(tess_data / "ffi_s01_c1_4" / "all_targets_S001_v1.csv")
    ids, first, second = np.intersect1d(derived.star_id, stated.star_id, return_indices=True)
    assert len(ids) == 3
    off = (derived.mag[first] - stated.mag[second]) / derived.mag_err[first]
    assert np.abs(off).max() < 1.5
