"""Light curves of targets, and which star each of them is."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.time import Time
from astropy.utils import iers

from gaiaflux.core.sky.bands import standard_magnitude
from gaiaflux.io.export.light_curves import read_ecsv
from gaiaflux.model.errors import InputError
from gaiaflux.series.targets import export_targets


def test_light_curves_of_targets(measured, example, tmp_path):
    series, path = example
    catalog = series.catalog
    i = int(np.argsort(-series.star)[12])
    targets = [
        measured.target("by_star", star_id=int(catalog.star_id[i])),
        measured.target("by_source", source_id=int(catalog.source_id[i])),
        measured.target("by_sky", ra_deg=catalog.ra_deg[i] + 0.5 / 3600, dec_deg=catalog.dec_deg[i] + 0.5 / 3600),
        measured.target("by_pixel", x_pix=catalog.x_ref[i] + 0.5, y_pix=catalog.y_ref[i] - 0.5),
    ]
    export_targets(path, targets, tmp_path / "lc")
    data = measured.read(path)
    for one in targets:
        columns, meta = read_ecsv(tmp_path / "lc" / f"{one.name}.ecsv")
        assert meta["star_id"] == catalog.star_id[i]
        assert meta["source_id"] == catalog.source_id[i]
        assert meta["magnitude_system"].startswith("SDSS i, from Gaia DR3")
        for name, stored in (
            ("flux", "flux_cal"),
            ("flux_err", "flux_cal_err"),
            ("flux_raw", "flux"),
            ("flags", "flags"),
        ):
            np.testing.assert_array_equal(columns[f"aperture_{name}"], data[f"aperture/{stored}"][i])
        np.testing.assert_array_equal(columns["mjd_utc"], data["frames/mjd_utc"])
        np.testing.assert_array_equal(columns["frame_flags"], data["frames/flags"])
    known = np.isfinite(columns["aperture_mag"])
    assert known.sum() == 38
    facts = meta["methods"]["aperture"]
    standard, _ = standard_magnitude(catalog.mag[i : i + 1], catalog.colour[i : i + 1], "i")
    assert facts["zero_point_scatter_mag"] < 0.05
    np.testing.assert_allclose(np.median(columns["aperture_mag"][known]), standard[0], atol=0.05)
    instrumental = facts["zero_point_mag"] - 2.5 * np.log10(columns["aperture_flux"][known])
    term = facts["colour_term"] * (catalog.colour[i] - facts["pivot_bp_rp"])
    np.testing.assert_allclose(columns["aperture_mag"][known], instrumental + term, atol=1e-6)
    expected = 1.0857362 * columns["aperture_flux_err"][known] / columns["aperture_flux"][known]
    np.testing.assert_allclose(columns["aperture_mag_err"][known], expected, rtol=1e-5)
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("auto_max_age", None):
        place = EarthLocation.from_geodetic(measured.site[1] * u.deg, measured.site[0] * u.deg, measured.site[2] * u.m)
        time = Time(data["frames/mjd_utc"][:10], format="mjd", scale="utc", location=place)
        bjd = time.tdb + time.light_travel_time(SkyCoord(catalog.ra_deg[i] * u.deg, catalog.dec_deg[i] * u.deg))
        assert np.abs((columns["bjd_tdb"][:10] - 2400000.5 - bjd.mjd) * 86400).max() < 1e-3
    with (tmp_path / "lc" / "by_sky.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 37  # neither the two frames without a flux nor the one without a time
    assert rows[0]["filter"] == "ip"
    np.testing.assert_allclose(float(rows[0]["magnitude"]), columns["aperture_mag"][0], atol=1e-5)
    with (tmp_path / "lc" / "_targets.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [row["status"] for row in table] == ["ok"] * 4
    assert float(table[3]["distance"]) == pytest.approx(np.hypot(0.5, 0.5), abs=1e-3)


def test_a_target_that_moved_is_found(measured, tmp_path):
    series = measured.Series(n=15, m=2)
    pmdec = np.zeros(15)
    pmdec[3] = 1000.0
    series.catalog = replace(series.catalog, pmdec=pmdec)
    path = series.run(tmp_path)
    ra, dec = series.catalog.ra_deg[3], series.catalog.dec_deg[3]
    export_targets(path, [measured.target("j2000", ra_deg=ra, dec_deg=dec - 16.0 / 3600)], tmp_path / "lc")
    assert read_ecsv(tmp_path / "lc" / "j2000.ecsv")[1]["star_id"] == 103


def test_targets_without_a_star(measured, example, tmp_path):
    series, path = example
    x, y = np.meshgrid(np.arange(50, 950, 10.0), np.arange(50, 950, 10.0))
    distance = np.hypot(x[..., None] - series.catalog.x_ref, y[..., None] - series.catalog.y_ref).min(axis=-1)
    k = np.unravel_index(distance.argmax(), distance.shape)
    empty, good = measured.target("empty", x_pix=x[k], y_pix=y[k]), measured.target("good", star_id=100)
    export_targets(path, [empty, good], tmp_path / "lc")
    assert sorted(p.name for p in (tmp_path / "lc").iterdir()) == ["_targets.csv", "good.csv", "good.ecsv"]
    assert "no star within 2 pixel" in (tmp_path / "lc" / "_targets.csv").read_text()
    sky = {"ra_deg": 150.0, "dec_deg": 20.0}
    for place, text in (
        ({"x_pix": 1200.0, "y_pix": 10.0}, "outside of the reference image"),
        ({**sky, "dec_deg": 20.5}, "outside of the reference image"),
        ({**sky, "ra_deg": 330.0, "dec_deg": -20.0}, "outside of the reference image"),
        ({"star_id": 5}, "no star of this series has star_id 5"),
        ({"source_id": 7}, "no star of this series has source_id 7"),
        ({"x_pix": 7.0}, "give source_id, star_id, ra_deg and dec_deg, or x_pix and y_pix"),
    ):
        with pytest.raises(InputError, match=f"target T9: .*{text}"):
            export_targets(path, [good, measured.target("T9", **place)], tmp_path / "never")
    assert not (tmp_path / "never").exists()
