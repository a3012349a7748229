import csv

import numpy as np
from astropy.table import Table

from gaiaflux.io.export.light_curves import read_ecsv, write_ecsv, write_tom_csv


def test_ecsv_keeps_every_digit_and_the_facts(tmp_path):
    rng = np.random.default_rng(0)
    columns = {
        "frame_id": (np.array(["a", "longer name", "é"], dtype=object), "", "frame"),
        "bjd_tdb": (2458000.0 + rng.uniform(size=3), "d", "time"),
        "flux": (rng.normal(size=3).astype("f4"), "electron/s", "flux"),
        "other": (np.array([1.0, np.nan, 3.0]), "electron/s or adu/s", "mixed"),
        "flags": (np.array([0, 3, 2**32 - 1], dtype="u4"), "", "bits"),
    }
    meta = {"source_id": 5853498713190525697, "methods": {"aperture": {"zero_point_mag": float("nan")}}}
    path = tmp_path / "T.ecsv"
    write_ecsv(path, columns, meta)
    found, facts = read_ecsv(path)
    for name, (values, _, _) in columns.items():
        np.testing.assert_array_equal(found[name], values.astype(str) if values.dtype == object else values)
        if values.dtype != object:
            assert found[name].dtype == values.dtype
    assert facts["source_id"] == 5853498713190525697
    table = Table.read(path)
    assert str(table["flux"].unit) == "electron / s"
    assert table["other"].unit is None
    assert table["other"].description == "mixed [electron/s or adu/s]"


def test_tom_csv_has_the_columns_and_no_nan(tmp_path):
    path = tmp_path / "T.csv"
    time = np.array([58000.123456789, np.nan, 58002.0, 58003.0])
    mag = np.array([15.0, 15.0, np.nan, 15.25])
    error = np.array([0.01, 0.01, 0.01, np.nan])
    write_tom_csv(path, time, ["ip", "ip", "ip", "V"], mag, error)
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [list(row) for row in rows] == [["time", "filter", "magnitude", "error"]]
    assert float(rows[0]["time"]) == time[0]
    assert rows[0]["filter"] == "ip"
    assert float(rows[0]["magnitude"]) == 15.0
    assert float(rows[0]["error"]) == 0.01
