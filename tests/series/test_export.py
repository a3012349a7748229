import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from gaiaflux.core.sky.bands import fit_magnitude_scale, scale_attributes
from gaiaflux.io.dataset import FRAME_COLUMNS, STAR_COLUMNS, DatasetReader, DatasetWriter, empty_frames
from gaiaflux.io.export.aavso import AavsoFile, write_aavso
from gaiaflux.io.export.fits_file import read_fits_export
from gaiaflux.model.flags import FrameFlag, StarFlag
from gaiaflux.model.settings.export import ExportSettings
from gaiaflux.model.settings.target import TargetSettings
from gaiaflux.model.typed import typed
from gaiaflux.series.export import export_dataset
from gaiaflux.workflow.settings import complete_section

N, M = 40, 12
AAVSO = complete_section(ExportSettings, formats=["aavso"], aavso={"observer_code": "ABC"})
NAMES = "#NAME,DATE,MAG,MERR,FILT,TRANS,MTYPE,CNAME,CMAG,KNAME,KMAG,AMASS,GROUP,CHART,NOTES"
LIMITS = (30, 16, 8, 6, 5, 3, 3, 20, 8, 20, 8, 7, 5, 20, 4000)
BIG_ID = 4087000865421648899


def write(path, band="r"):
    rng = np.random.default_rng(3)
    g, colour = rng.uniform(13, 16, N), rng.uniform(0.7, 1.6, N)
    level = 10 ** (-0.4 * (g - 25))
    frames = empty_frames(M)
    frames["frame_id"][:] = [f"f{j}" for j in range(M)]
    frames["filter"][:] = "rp"
    frames["mjd_utc"] = 60000.123456 + np.arange(M) * 0.01
    frames["airmass"] = np.where(np.arange(M) == 1, np.nan, 1.2345)
    frames["flags"][3] = FrameFlag.NO_CALIBRATION
    frames["flags"][4] = FrameFlag.CLOUDY
    stars = {name: np.zeros(N) for name in STAR_COLUMNS} | {"star_id": np.arange(N), "source_id": BIG_ID + np.arange(N)}
    stars |= {"phot_g_mean_mag": g, "bp_rp": colour, "ra_deg": 10 + np.arange(N), "x_ref": np.arange(N) * 50.0}
    flux = level[:, None] * (1 + 0.01 * rng.normal(size=(N, M)))
    flux[7] = level[7]  # the least variable one
    flags = np.zeros((N, M), "u4")
    flags[5, 6] = StarFlag.SATURATED
    flux[5, 8] = -1.0
    with DatasetWriter(path) as out:
        facts = {"format": "gaiaflux", "schema_version": 2, "series": "S", "versions": "{}", "catalog_sha256": ""}
        out.attributes({**facts, "config": json.dumps({})})
        out.table("frames", frames, FRAME_COLUMNS)
        out.table("stars", stars, STAR_COLUMNS)
        for name, values in (("flux_cal", flux), ("flux_cal_err", 0.01 * np.abs(flux)), ("flags", flags)):
            out.grid(f"aperture/{name}", (N, M), "u4" if name == "flags" else "f4", "electron/s", "")[...] = values
        out.array("aperture/ensemble_status", np.array(["used"] * N, dtype=object), "", "")
        out.attributes({"zero_point_mag": 25.0, "magnitude_system": "Gaia G"}, "aperture")
        if band:
            out.attributes(scale_attributes(fit_magnitude_scale(level, g, colour, band)), "aperture")
    return path


def rows_of(path):
    lines = path.read_text(encoding="ascii").splitlines()
    head = [line for line in lines if line.startswith("#")]
    return head, [line.split(",") for line in lines[len(head) :]]


def test_a_target_for_the_aavso(tmp_path):
    path = write(tmp_path / "d.h5")
    targets = [{"name": "V1117_Her", "star_id": 5}, {"name": "lost", "ra_deg": 200.0, "dec_deg": 80.0}]
    export_dataset(path, tmp_path / "export", AAVSO, [typed(TargetSettings, target) for target in targets])
    assert [file.name for file in (tmp_path / "export" / "aavso").iterdir()] == ["V1117_Her.txt"]
    head, rows = rows_of(tmp_path / "export" / "aavso" / "V1117_Her.txt")
    assert head[0] == "#TYPE=Extended"
    assert head[1] == "#OBSCODE=ABC"
    assert head[2].startswith("#SOFTWARE=gaiaflux ")
    assert head[3:6] == ["#DELIM=,", "#DATE=JD", "#OBSTYPE=CCD"]
    assert head[-1] == NAMES
    assert any("SDSS r" in line for line in head)
    # Neither the uncalibrated frame nor the saturated or negative point.
    assert len(rows) == M - 3
    for row in rows:
        assert len(row) == len(LIMITS)
        assert all(0 < len(field) <= limit for field, limit in zip(row, LIMITS, strict=True))
        assert row[0] == "V1117 Her"
        assert row[4:9] == ["SR", "YES", "STD", "ENSEMBLE", "na"]
        assert row[9] == str(BIG_ID + 7)
        assert row[12:14] == ["na", "Gaia DR3"]
        assert "Tc_bprp=" in row[14]
    assert float(rows[0][1]) == pytest.approx(2460000.623456, abs=1e-6)
    assert [row[11] for row in rows[:3]] == ["1.234", "na", "1.234"]
    with DatasetReader(path) as source:
        flux = source.grid("aperture/flux_cal")[5][0]
        attrs, colour = source.attributes("aperture"), source.array("stars/bp_rp")[5]
    term = attrs["band_colour_term"] * (colour - attrs["band_pivot_bp_rp"])
    assert float(rows[0][2]) == pytest.approx(attrs["band_zero_point_mag"] - 2.5 * np.log10(flux) + term, abs=1e-4)
    assert float(rows[0][3]) == pytest.approx(0.0109, abs=1e-4)
    check = [float(row[10]) for row in rows]
    assert max(check) == min(check)


def test_gaia_g_is_a_filter_of_its_own(tmp_path):
    path = write(tmp_path / "d.h5", band="")
    settings = replace(AAVSO, aavso=replace(AAVSO.aavso, chart=""))
    export_dataset(path, tmp_path / "e", settings, [typed(TargetSettings, {"name": "X", "star_id": 5})])
    _, rows = rows_of(tmp_path / "e" / "aavso" / "X.txt")
    assert rows[0][4:6] == ["O", "NO"]
    assert "magnitudes are Gaia G" in rows[0][14]
    assert rows[0][13] == "na"


def test_a_target_whose_typical_flux_is_negative(tmp_path):
    path = write(tmp_path / "d.h5")
    with h5py.File(path, "r+") as file:
        file["aperture/flux_cal"][9, 2:] *= -1
    export_dataset(path, tmp_path / "e", AAVSO, [typed(TargetSettings, {"name": "faint", "star_id": 9})])
    _, rows = rows_of(tmp_path / "e" / "aavso" / "faint.txt")
    assert len(rows) == 2
    # No star is of like brightness: the quietest of all.
    assert {row[9] for row in rows} == {str(BIG_ID + 7)}


def test_what_is_not_known_is_na_and_the_delimiter_stays_out_of_the_texts(tmp_path):
    file = AavsoFile(
        "ABC", "a, b", "DSLR", "star, é" + "x" * 40, "V", False, notes="one, two\nthree", comments=["c,d\n"]
    )
    nan = np.array([np.nan, 1.0, np.nan])
    number = write_aavso(
        tmp_path / "a.txt", file, np.array([60000.0, 60001.0, np.nan]), np.full(3, 9.0), np.full(3, 1e-9), nan, nan
    )
    head, rows = rows_of(tmp_path / "a.txt")
    assert number == len(rows) == 2
    assert len(rows[0]) == len(LIMITS)
    assert rows[0][0] == "star; ?" + "x" * 23
    assert rows[0][2:4] == ["9.0000", "0.0001"]
    assert rows[0][9:14] == ["na", "na", "na", "na", "na"]
    assert rows[1][9:12] == ["na", "na", "1.000"]
    assert rows[0][14] == "one; two three"
    assert "#c;d" in head


def test_all_formats_at_once(tmp_path):
    path = write(tmp_path / "d.h5")
    export_dataset(path, tmp_path / "e", ExportSettings(formats=("fits", "parquet", "ecsv"), aavso=None), [])
    assert sorted(file.name for file in (tmp_path / "e").iterdir()) == ["dataset.fits", "ecsv", "parquet"]
    names = {"frames", "stars", "aperture_frames", "aperture_stars", "aperture_lightcurves"}
    assert set(read_fits_export(tmp_path / "e" / "dataset.fits")[0]) == names
    for kind in ("ecsv", "parquet"):
        assert {file.stem for file in (tmp_path / "e" / kind).iterdir()} == names


@pytest.mark.parametrize("rule", ["export_dataset", "rank_variables"])
def test_scripts_of_the_rules(rule, tmp_path):
    path = Path(__file__).parents[2] / "scripts" / f"{rule}.py"
    spec = importlib.util.spec_from_file_location(f"script_{rule}", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    output = SimpleNamespace(export=tmp_path / "e", table=tmp_path / "stars.parquet", csv=tmp_path / "stars.csv")
    params = SimpleNamespace(settings={"formats": ["fits"]}, targets=[])
    dataset = write(tmp_path / "d.h5")
    script.main(SimpleNamespace(input=SimpleNamespace(dataset=dataset), output=output, params=params))
    made = {file.name for file in tmp_path.iterdir()} - {"d.h5"}
    assert made == ({"e"} if rule == "export_dataset" else {"stars.parquet", "stars.csv"})
