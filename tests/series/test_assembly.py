"""From batch files with known truth to the dataset and the light curves."""

import csv
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import EarthLocation
from astropy.time import Time
from astropy.utils import iers
from snakemake.iocontainers import InputFiles

from gaiaflux.io.export.light_curves import read_ecsv
from gaiaflux.io.image.wcs_cards import tan_sip_from_cards
from gaiaflux.model.flags import StarFlag
from gaiaflux.series.assembly import assemble_dataset
from gaiaflux.series.frames_table import write_frames_csv
from gaiaflux.series.targets import export_targets


def test_frames_and_stars(measured, example):
    series, path = example
    data = measured.read(path)
    order = [j for j in range(40) if j != 13] + [13]
    assert [name.decode() for name in data["frames/frame_id"]] == [series.ids[j] for j in order]
    np.testing.assert_array_equal(data["stars/source_id"], series.catalog.source_id)
    np.testing.assert_array_equal(data["stars/star_id"], series.catalog.star_id)
    status = [text.decode() for text in data["frames/status"]]
    assert status[11] == "no plate solution: 3 stars match"
    assert status[12] == "cannot be read"
    assert status.count("ok") == 38
    assert tan_sip_from_cards(data["frames/wcs_header"][5].decode(), (1000, 1000)).crval == (150.05, -20.0)
    assert data["frames/wcs_header"][11] == b""
    matrix = np.stack([data[f"frames/wcs_cd{k}"] for k in ("1_1", "1_2", "2_1", "2_2")], axis=1)
    np.testing.assert_array_equal(matrix[5], [-1e-4, 2e-6, 3e-6, 1e-4])
    assert np.isnan(matrix[11:13]).all()
    np.testing.assert_allclose(data["frames/centre_ra_deg"][5], 150.05, rtol=1e-12)
    np.testing.assert_allclose(data["frames/centre_dec_deg"][5], -20.0, rtol=1e-12)
    assert data["frames/n_measured"][11] == 0
    assert data["frames/sky"][0] == 300.0
    assert np.isnan(data["frames/mjd_tdb"][39])
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("auto_max_age", None):
        lat, lon, height = measured.site
        place = EarthLocation.from_geodetic(lon * u.deg, lat * u.deg, height * u.m)
        time = Time(series.mjd[:5], format="mjd", scale="utc", location=place)
        np.testing.assert_allclose(data["frames/mjd_tdb"][:5], time.tdb.mjd, rtol=0, atol=1e-9)
    assert data["attrs"]["catalog_sha256"] == "c" * 64
    assert data["attrs"]["config"] == '{"key": 1}'
    assert "numpy" in data["attrs"]["versions"]


def test_measurements_are_those_of_the_recommended_radius(measured, example):
    series, path = example
    data = measured.read(path)
    radius = data["aperture/recommended_radius"]
    columns = [j for j in range(40) if j not in (11, 12, 13)]
    place = [j if j < 13 else j - 1 for j in columns]
    picked = np.take_along_axis(series.flux, radius[:, None, None], axis=2)[:, :, 0]
    np.testing.assert_array_equal(data["aperture/flux"][:, place], picked[:, columns].astype("f4"))
    # The truth of the errors: faint stars want the small aperture, bright ones a larger one.
    assert (radius[series.star < 300] == 0).all()
    assert (radius[series.star > 10000] >= 1).all()
    # A neighbour in the largest aperture keeps bright stars out of it.
    assert (radius[20:25] < 2).all()
    for column in (11, 12):
        assert np.isnan(data["aperture/flux"][:, column]).all()
        assert (data["aperture/flags"][:, column] == StarFlag.NOT_MEASURED).all()
        assert np.isnan(data["aperture/pscale"][column])
    assert data["aperture/flags"][5, 7] == StarFlag.OFF_IMAGE
    assert data["aperture/flags"][6, 8] == StarFlag.NOT_MEASURED
    assert data["aperture/radii_pix"].shape == (40, 3)
    assert data["aperture/flux"].shape == (90, 40)


def test_calibrated_fluxes_are_right_and_their_errors_hold(measured, example):
    series, path = example
    data = measured.read(path)
    order = [j for j in range(40) if j != 13] + [13]
    good = [k for k, j in enumerate(order) if j not in (11, 12)]
    scale = (series.scale * np.exp(np.log(series.field).mean(axis=0)))[order][good]
    ratio = data["aperture/pscale"][good] / scale
    np.testing.assert_allclose(ratio / np.median(ratio), 1.0, atol=3e-3)
    constant = np.setdiff1d(np.arange(90), series.variable)
    flux, error = data["aperture/flux_cal"][constant][:, good], data["aperture/flux_cal_err"][constant][:, good]
    known = np.isfinite(flux)
    assert known.sum() == flux.size - 2
    weight = np.where(known, error, np.inf) ** -2.0
    mean = (np.where(known, flux, 0.0) * weight).sum(axis=1) / weight.sum(axis=1)
    pull = ((flux - mean[:, None]) / error)[known] * np.sqrt(38 / 37)
    assert 0.95 < pull.std() < 1.10
    assert abs(pull.mean()) < 0.1
    bright = (np.repeat(series.star[constant][:, None], flux.shape[1], axis=1) > 3000)[known]
    assert 0.93 < pull[bright].std() < 1.12
    # Variables stay what they are, and are not in the ensemble.
    status = [text.decode() for text in data["aperture/ensemble_status"]]
    assert all(status[i].startswith("left out") for i in series.variable)
    for i in series.variable:
        relative = data["aperture/flux_cal"][i, good] / series.star[i]
        expected = (series.truth[i] / series.star[i])[order][good]
        assert np.std(relative / np.median(relative) - expected / np.median(expected)) < 0.02
    # Against Gaia G.
    np.testing.assert_allclose(
        data["aperture_attrs"]["zero_point_mag"], measured.zero_point + 2.5 * np.log10(np.median(scale)), atol=0.01
    )
    np.testing.assert_allclose(data["frames/zero_point"][good], measured.zero_point + 2.5 * np.log10(scale), atol=0.01)


def same(first, second):
    assert first.keys() == second.keys()
    for name, values in first.items():
        if not name.endswith("attrs"):
            np.testing.assert_array_equal(values, second[name], err_msg=name)
    assert first["attrs"] == second["attrs"]
    np.testing.assert_equal(first["aperture_attrs"], second["aperture_attrs"])


def test_batches_and_order_of_arrival_do_not_matter(measured, tmp_path):
    series = measured.Series(n=40, m=30, seed=3)
    series.status["aperture"][4] = "no usable pixel"
    reference = measured.read(series.run(tmp_path / "one"))
    mixed = np.random.default_rng(0).permutation(30)
    same(reference, measured.read(series.run(tmp_path / "shuffled", np.array_split(mixed, 7))))
    same(reference, measured.read(series.run(tmp_path / "single", [[j] for j in mixed])))
    same(reference, measured.read(series.run(tmp_path / "ids", [range(30)], shuffle_stars=True)))


def test_frames_are_joined_by_name_only(measured, tmp_path):
    series = measured.Series(n=20, m=6)
    paths = series.write(tmp_path, [range(3), range(3, 6)])

    def assemble(**changes):
        given = {**paths, **changes}
        assemble_dataset(
            tmp_path / "m.h5", "S", given["stars"], given["wcs"], {"aperture": given["aperture"]}, series.catalog,
            given.get("attrs", measured.attrs),
        )  # fmt: skip

    with pytest.raises(ValueError, match="do not have the same frames: f03"):
        assemble(wcs=paths["wcs"][:1])
    with pytest.raises(ValueError, match="frame f00 is in"):
        assemble(stars=[*paths["stars"], paths["stars"][0]])
    with pytest.raises(ValueError, match="another star catalogue"):
        assemble(attrs={**measured.attrs, "catalog_sha256": "d" * 64})
    assert not (tmp_path / "m.h5").exists()


def test_one_frame(measured, tmp_path):
    series = measured.Series(n=60, m=1)
    data = measured.read(series.run(tmp_path))
    assert data["aperture_attrs"]["calibration"] == "not calibrated: one frame; pscale is 1"
    assert data["aperture/pscale"][0] == 1.0
    assert np.isnan(data["aperture/epscale"][0])
    np.testing.assert_array_equal(data["aperture/flux_cal"], data["aperture/flux"])
    expected = measured.zero_point + 2.5 * np.log10(series.scale[0])
    np.testing.assert_allclose(data["frames/zero_point"][0], expected, atol=0.02)


def test_one_star(measured, tmp_path):
    series = measured.Series(n=1, m=20)
    series.catalog = replace(series.catalog, mag=np.array([15.0]))
    path = series.run(tmp_path)
    data = measured.read(path)
    assert "1 usable stars, 10 needed" in data["aperture_attrs"]["calibration"]
    assert (data["aperture/pscale"] == 1).all()
    np.testing.assert_array_equal(data["aperture/flux_cal"], data["aperture/flux"])
    assert "1 stars" in data["aperture_attrs"]["zero_point_note"]
    assert np.isnan(data["frames/zero_point"]).all()
    export_targets(path, [measured.target("T", star_id=100)], tmp_path / "lc")
    _, meta = read_ecsv(tmp_path / "lc" / "T.ecsv")
    assert "not calibrated" in meta["methods"]["aperture"]["calibration"]


def test_nothing_measured_at_all(measured, tmp_path):
    series = measured.Series(n=12, m=3)
    series.status["aperture"] = ["no usable pixel"] * 3
    data = measured.read(series.run(tmp_path))
    assert np.isnan(data["aperture/flux_cal"]).all()
    assert np.isnan(data["frames/zero_point"]).all()
    assert data["aperture_attrs"]["zero_point_note"] == "0 stars with a magnitude in Gaia G: no zero point"


def test_weak_frame_is_left_out_and_said(measured, tmp_path):
    series = measured.Series(n=60, m=20, seed=5)
    series.flux[8:, 4] = np.nan
    data = measured.read(series.run(tmp_path))
    assert data["aperture/calibration_status"][4].endswith(b"ensemble stars, 10 needed")
    assert np.isnan(data["aperture/flux_cal"][:, 4]).all()
    assert np.isfinite(data["aperture/flux"][:8, 4]).all()
    assert np.isfinite(np.delete(data["aperture/flux_cal"], 4, axis=1)).all()
    np.testing.assert_allclose(
        data["frames/zero_point"][4], measured.zero_point + 2.5 * np.log10(series.scale[4]), atol=0.05
    )


def test_table_of_frames_for_people(measured, example, tmp_path):
    _, path = example
    write_frames_csv(path, tmp_path / "frames.csv")
    with (tmp_path / "frames.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    data = measured.read(path)
    assert [row["frame_id"].encode() for row in rows] == list(data["frames/frame_id"])
    assert [float(row["aperture_pscale"] or "nan") for row in rows] == pytest.approx(
        list(data["aperture/pscale"]), nan_ok=True
    )
    assert float(rows[0]["observer_z_au"]) == data["frames/observer_au"][0, 2]
    assert "wcs_header" not in rows[0]


def test_scripts_read_call_and_write(measured, tmp_path):
    import assemble_dataset as assemble
    import calibrate_dataset as calibrate
    import export_lightcurves as export

    from gaiaflux.io.star_catalog import read_star_catalog, write_star_catalog

    series = measured.Series(n=15, m=3)
    write_star_catalog(tmp_path / "stars.h5", series.catalog, {"frame_id": "f00", "filter": "V", "ny": 9, "nx": 9})
    attrs = read_star_catalog(tmp_path / "stars.h5")[1]
    paths = series.write(tmp_path, [range(3)], shuffle_stars=True)
    out = {name: str(tmp_path / name) for name in ("measured.h5", "dataset.h5", "frames.csv", "lightcurves")}
    assemble.main(
        SimpleNamespace(
            input=InputFiles(fromdict={**paths, "catalog": tmp_path / "stars.h5"}),
            output=SimpleNamespace(measured=out["measured.h5"]),
            wildcards=SimpleNamespace(series="S"),
        )
    )
    calibrate.main(
        SimpleNamespace(
            input=SimpleNamespace(measured=out["measured.h5"]),
            output=SimpleNamespace(dataset=out["dataset.h5"], frames=out["frames.csv"]),
            params=SimpleNamespace(settings=asdict(measured.settings), config={}),
        )
    )
    export.main(
        SimpleNamespace(
            input=SimpleNamespace(dataset=out["dataset.h5"]),
            output=SimpleNamespace(lightcurves=out["lightcurves"]),
            params=SimpleNamespace(targets=[{"name": "T", "star_id": 101}]),
        )
    )
    assert (tmp_path / "lightcurves" / "T.ecsv").exists()
    assert measured.read(out["dataset.h5"])["attrs"]["catalog_sha256"] == attrs["catalog_sha256"]
