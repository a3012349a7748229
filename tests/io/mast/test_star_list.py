"""The list of neighbours, read back by the reader of catalogues."""

import csv

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from gaiaflux.core.sky.tess_magnitude import tess_magnitudes
from gaiaflux.io.mast.crossmatch import Crossmatch
from gaiaflux.io.mast.star_list import StarList, gaia_rows, tic_rows, write_stars
from gaiaflux.io.tess.catalog import read_tess_catalog
from gaiaflux.model.catalog import SkyCatalog

DR2, DR3 = 4676041915767041280, 4676041915767041281
RA, DEC = 63.37389, -69.22680


def table(*rows, bands=True):
    """Columns of the TIC as astroquery gives them, with what lacks masked."""
    names = (
        "ID",
        "ra",
        "dec",
        "GAIA",
        "Tmag",
        "e_Tmag",
        "pmRA",
        "pmDEC",
        "plx",
        "Teff",
        "GAIAmag",
        "disposition",
        "version",
    )
    names += ("gaiabp", "gaiarp") if bands else ()
    texts = ("ID", "GAIA", "disposition", "version")
    columns = []
    for name in names:
        values = [row.get(name) for row in rows]
        filled = [("" if name in texts else -999.0) if value is None else value for value in values]
        mask = [value is None for value in values]
        columns.append(MaskedColumn(np.array(filled, dtype=str if name in texts else float), name=name, mask=mask))
    return Table(columns, masked=True)


@pytest.fixture
def stars():
    first = {
        "ID": "12",
        "ra": RA,
        "dec": DEC,
        "GAIA": str(DR2),
        "Tmag": 10.5,
        "e_Tmag": 0.007,
        "pmRA": 3.5,
        "pmDEC": -2.0,
    }
    first |= {"plx": 5.25, "Teff": 5700.0, "GAIAmag": 11.0, "gaiabp": 11.4, "gaiarp": 10.4, "version": "20210122"}
    plain = {"ID": "7", "ra": RA + 0.02, "dec": DEC, "Tmag": 15.0, "version": "20190415"}
    return table(first, plain | {"GAIA": str(DR2 + 50)})


@pytest.fixture
def crossmatch():
    return Crossmatch(np.array([DR2]), np.array([DR3]), "", ())


def catalogue(**columns):
    n = len(next(iter(columns.values())))
    default = {name: np.zeros(n) for name in SkyCatalog.column_names()} | {"ref_epoch": np.full(n, 2016.0)}
    made = {name: np.asarray(value) for name, value in (default | columns).items()}
    return SkyCatalog(**made, source="gaiadr3", system="Gaia")


def test_what_is_written_is_read_back(stars, crossmatch, tmp_path):
    found = tic_rows([stars, stars], crossmatch)
    assert found.versions == ("20190415", "20210122")
    path = tmp_path / "new" / "catalog.csv"
    write_stars(path, found.rows)
    read = read_tess_catalog(path)
    np.testing.assert_array_equal(read.star_id, [7, 12])
    # DR2's number is never taken for one of DR3, and a star without a match has none.
    np.testing.assert_array_equal(read.source_id, [-1, DR3])
    np.testing.assert_array_equal(read.ref_epoch, [2000.0, 2000.0])
    np.testing.assert_array_equal(read.ra_deg, [RA + 0.02, RA])
    np.testing.assert_array_equal(read.mag, [15.0, 10.5])
    np.testing.assert_array_equal(read.pmra, [0.0, 3.5])
    np.testing.assert_allclose(read.colour, [np.nan, 1.0], rtol=1e-12)
    np.testing.assert_array_equal(read.teff, [np.nan, 5700.0])
    np.testing.assert_array_equal(read.parallax, [0.0, 5.25])


def test_no_column_of_colours_is_needed(crossmatch):
    row = {"ID": "12", "ra": RA, "dec": DEC, "Tmag": 10.5}
    (found,) = tic_rows([table(row, bands=False)], crossmatch).rows
    assert "bp_rp" not in found
    assert "gaia_dr2" not in found


def test_stars_of_gaia_that_the_tic_lacks(stars, crossmatch, tmp_path):
    tic = tic_rows([stars], crossmatch)
    arcsec = 1.0 / 3600.0
    catalog = catalogue(
        source_id=np.array([DR3, DR3 + 1, DR3 + 2, DR3 + 3, DR3 + 4]),
        # The TIC's own star; a companion of it; the TIC's star without a number; a star alone; a faint one.
        ra_deg=np.array([RA, RA + 0.8 * arcsec, RA + 0.02 + 0.5 * arcsec, RA + 0.01, RA + 0.03]),
        dec_deg=np.full(5, DEC),
        mag=np.array([11.0, 13.0, 15.5, 14.0, 19.5]),
        colour=np.array([1.0, 1.2, 0.8, np.nan, 1.0]),
    )
    more = gaia_rows(catalog, tic, 18.0)
    assert [int(row["source_id"]) for row in more.rows] == [DR3 + 1, DR3 + 3]
    path = tmp_path / "catalog.csv"
    write_stars(path, [*tic.rows, *more.rows])
    read = read_tess_catalog(path)
    np.testing.assert_array_equal(read.star_id, [7, 12, DR3 + 1, DR3 + 3])
    np.testing.assert_array_equal(read.source_id[2:], [DR3 + 1, DR3 + 3])
    np.testing.assert_array_equal(read.ref_epoch[2:], 2016.0)
    derived = tess_magnitudes({"G": np.array([13.0, 14.0]), "BP_RP": np.array([1.2, np.nan])}, 2)
    np.testing.assert_allclose(read.mag[2:], derived.mag, atol=1e-5)
    np.testing.assert_allclose(read.ra_deg[2:], catalog.ra_deg[[1, 3]], atol=1e-9)


def test_a_star_that_has_moved_is_the_same(crossmatch):
    """2 arcsec in the 16 years between the catalogues."""
    row = {"ID": "9", "ra": RA, "dec": DEC, "Tmag": 12.0, "pmRA": 0.0, "pmDEC": 125.0}
    tic = tic_rows([table(row)], crossmatch)
    there = {
        "source_id": np.array([DR3 + 5]),
        "mag": np.array([12.4]),
        "colour": np.array([0.9]),
        "ra_deg": np.array([RA]),
    }
    assert gaia_rows(catalogue(dec_deg=np.array([DEC + 2.0 / 3600.0]), **there), tic, 18.0).rows == ()
    assert len(gaia_rows(catalogue(dec_deg=np.array([DEC]), **there), tic, 18.0).rows) == 1


def test_no_star_of_gaia(crossmatch):
    assert gaia_rows(catalogue(source_id=np.zeros(0, int)), StarList(()), 18.0).rows == ()


def test_the_file_is_plain(stars, crossmatch, tmp_path):
    write_stars(tmp_path / "c.csv", tic_rows([stars], crossmatch).rows)
    with (tmp_path / "c.csv").open(newline="") as stream:
        first, second = csv.DictReader(stream)
    assert (first["starid"], second["source_id"], second["gaia_dr2"]) == ("7", str(DR3), str(DR2))
