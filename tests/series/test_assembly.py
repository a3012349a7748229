"""From batch files with known truth to the dataset and the light curves."""

import csv
from dataclasses import asdict, replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.time import Time
from astropy.utils import iers
from snakemake.iocontainers import InputFiles

from gaiaflux.core.sky.bands import standard_magnitude
from gaiaflux.core.sky.projection import linear_tan
from gaiaflux.io.batch_file import BatchWriter
from gaiaflux.io.export.light_curves import read_ecsv
from gaiaflux.io.image.wcs_cards import tan_sip_from_cards
from gaiaflux.io.plate_solution import plate_arrays
from gaiaflux.model.catalog import StarCatalog
from gaiaflux.model.errors import InputError
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.settings.calibrate import CalibrateSettings
from gaiaflux.model.settings.target import TargetSettings
from gaiaflux.model.typed import typed
from gaiaflux.series.assembly import assemble_dataset
from gaiaflux.series.calibration import calibrate_dataset, write_frames_csv
from gaiaflux.series.targets import export_targets
from gaiaflux.workflow.settings import complete_section

SETTINGS = complete_section(CalibrateSettings)
ATTRS = {"reference_frame_id": "f03", "catalog_sha256": "c" * 64}
ZERO_POINT = 25.0
SITE = (-30.1672, -70.8046, 2207.0)
# Noise of the three apertures for a faint star (sky) and a bright one (lost light, added seeing noise).
SKY_ERR, LOSS = np.array([5.0, 8.0, 16.0]), np.array([2.5, 1.05, 1.0])


def target(name, **place):
    return typed(TargetSettings, {"name": name, **place})


class Series:
    """A small series as the per-frame rules leave it, with its truth."""

    def __init__(self, n=90, m=40, seed=1):
        rng = np.random.default_rng(seed)
        self.n, self.m, self.rng = n, m, rng
        x, y = rng.uniform(0, 1000, (2, n))
        mag = rng.uniform(13.5, 19.0, n)
        zero = np.zeros(n)
        self.catalog = StarCatalog(
            source_id=5853498713190525697 + np.arange(n),
            ra_deg=150.0 + (500 - x) * 0.4 / 3600 / np.cos(np.deg2rad(20.0)),
            dec_deg=20.0 + (y - 500) * 0.4 / 3600,
            ref_epoch=zero + 2016.0,
            pmra=zero,
            pmdec=zero,
            parallax=zero,
            pos_err=zero + 0.1,
            pm_err=zero,
            mag=mag,
            colour=zero + 1.0,
            system="Gaia G",
            source="gaia",
            star_id=100 + np.arange(n),
            x_ref=x,
            y_ref=y,
            mag_ref=mag,
        )
        self.ids = [f"f{j:02d}" for j in range(m)]
        self.mjd = 58000.0 + np.arange(m) * 0.01
        self.scale = 10 ** (-0.4 * np.abs(rng.normal(0, 0.3, m)))
        slope = 0.01 * rng.normal(size=(2, m))
        self.field = np.exp(slope[0] * (x / 500 - 1)[:, None] + slope[1] * (y / 500 - 1)[:, None])
        self.star = 10 ** (-0.4 * (mag - ZERO_POINT))
        self.variable = np.argsort(mag)[[2, 5, 9]] if n > 20 else np.zeros(0, dtype=int)
        truth = np.repeat(self.star[:, None], m, axis=1)
        truth[self.variable] *= 1 + 0.1 * np.sin(np.arange(m) * 0.7)
        self.truth = truth
        mean = truth * self.scale * self.field
        self.error = np.hypot(np.sqrt(mean / 100.0)[:, :, None] * LOSS, SKY_ERR)
        self.flux = mean[:, :, None] + self.error * rng.normal(size=(n, m, 1))
        self.flags = np.zeros((n, m, 3), dtype="u4")
        self.status = {kind: ["ok"] * m for kind in ("stars", "wcs", "aperture")}

    def write(self, folder, batches, shuffle_stars=False):
        paths = {"stars": [], "wcs": [], "aperture": []}
        for b, batch in enumerate(batches):
            for kind, found in paths.items():
                path = folder / f"{kind}{b:03d}.h5"
                with BatchWriter(path, kind=kind) as out:
                    for j in batch:
                        self._add(out, kind, j, shuffle_stars)
                found.append(path)
        return paths

    def _add(self, out, kind, j, shuffle_stars):
        attrs, arrays = {"status": self.status[kind][j]}, {}
        if kind == "stars":
            attrs |= {
                "path": f"/data/{self.ids[j]}.fits", "sha256": "0" * 64, "camera": "fa05", "filter": "ip",
                "unit": "electron", "nx": 1000, "ny": 1000, "mjd_utc": self.mjd[j], "exptime_s": 100.0, "airmass": 1.3,
                "fwhm_pix": 4.0, "sky": 300.0, "site_lat_deg": SITE[0], "site_lon_deg": SITE[1],
                "site_height_m": SITE[2], "time_rule": "DATE-OBS + exptime/2",
            }  # fmt: skip
        elif attrs["status"] == "ok" and kind == "wcs":
            attrs |= {"wcs_rms_mas": 3.0, "wcs_n_stars": 50, "wcs_method": "offset"}
            arrays = plate_arrays(self.plate(j))
        elif attrs["status"] == "ok":
            order = np.random.default_rng(j).permutation(self.n) if shuffle_stars else np.arange(self.n)
            attrs |= {"unit": "electron/s", "sky": 1.0, "n_measured": int(np.isfinite(self.flux[:, j, 0]).sum())}
            arrays = {
                "radii_pix": np.array([3.0, 4.0, 6.0]),
                "flux": self.flux[order, j].astype("f4"),
                "flux_err": self.error[order, j].astype("f4"),
                "flags": self.flags[order, j],
            }
            if shuffle_stars:
                arrays["star_id"] = self.catalog.star_id[order]
            else:
                attrs["catalog_sha256"] = ATTRS["catalog_sha256"]
        out.add(self.ids[j], attrs, arrays)

    def plate(self, j):
        cd = np.array([[-1e-4, 2e-6], [3e-6, 1e-4]])
        return linear_tan((150.0 + 0.01 * j, -20.0), (499.5, 499.5), cd, (1000, 1000))

    def run(self, folder, batches=None, shuffle_stars=False, **changes):
        folder.mkdir(exist_ok=True)
        batches = batches or [range(self.m)]
        paths = self.write(folder, batches, shuffle_stars)
        assemble_dataset(
            folder / "measured.h5", "S", paths["stars"], paths["wcs"], {"aperture": paths["aperture"]}, self.catalog,
            ATTRS,
        )  # fmt: skip
        calibrate_dataset(folder / "measured.h5", folder / "dataset.h5", replace(SETTINGS, **changes), {"key": 1})
        return folder / "dataset.h5"


def read(path):
    """Every dataset, texts as lists, and the attributes but for the time of writing."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
        found["attrs"] = {key: value for key, value in file.attrs.items() if key != "created_utc"}
        found["aperture_attrs"] = dict(file["aperture"].attrs)
    return found


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    series = Series()
    series.flux[5, 7] = np.nan
    series.flags[5, 7] = StarFlag.OFF_IMAGE
    series.flux[6, 8] = np.nan  # and the flags say nothing
    series.flags[20:25, :, 2] = StarFlag.NEIGHBOUR
    series.status["wcs"][11] = series.status["aperture"][11] = "no plate solution: 3 stars match"
    series.status["stars"][12] = series.status["wcs"][12] = series.status["aperture"][12] = "cannot be read"
    series.mjd[13] = np.nan
    return series, series.run(tmp_path_factory.mktemp("series"))


def test_frames_and_stars(example):
    series, path = example
    data = read(path)
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
        time = Time(
            series.mjd[:5], format="mjd", scale="utc",
            location=EarthLocation.from_geodetic(SITE[1] * u.deg, SITE[0] * u.deg, SITE[2] * u.m),
        )  # fmt: skip
        np.testing.assert_allclose(data["frames/mjd_tdb"][:5], time.tdb.mjd, rtol=0, atol=1e-9)
    assert data["attrs"]["catalog_sha256"] == "c" * 64
    assert data["attrs"]["config"] == '{"key": 1}'
    assert "numpy" in data["attrs"]["versions"]


def test_measurements_are_those_of_the_recommended_radius(example):
    series, path = example
    data = read(path)
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


def test_calibrated_fluxes_are_right_and_their_errors_hold(example):
    series, path = example
    data = read(path)
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
        data["aperture_attrs"]["zero_point_mag"], ZERO_POINT + 2.5 * np.log10(np.median(scale)), atol=0.01
    )
    np.testing.assert_allclose(data["frames/zero_point"][good], ZERO_POINT + 2.5 * np.log10(scale), atol=0.01)


def same(first, second):
    assert first.keys() == second.keys()
    for name, values in first.items():
        if not name.endswith("attrs"):
            np.testing.assert_array_equal(values, second[name], err_msg=name)
    assert first["attrs"] == second["attrs"]
    np.testing.assert_equal(first["aperture_attrs"], second["aperture_attrs"])


def test_batches_and_order_of_arrival_do_not_matter(tmp_path):
    series = Series(n=40, m=30, seed=3)
    series.status["aperture"][4] = "no usable pixel"
    reference = read(series.run(tmp_path / "one"))
    mixed = np.random.default_rng(0).permutation(30)
    same(reference, read(series.run(tmp_path / "shuffled", np.array_split(mixed, 7))))
    same(reference, read(series.run(tmp_path / "single", [[j] for j in mixed])))
    same(reference, read(series.run(tmp_path / "ids", [range(30)], shuffle_stars=True)))


def test_frames_are_joined_by_name_only(tmp_path):
    series = Series(n=20, m=6)
    paths = series.write(tmp_path, [range(3), range(3, 6)])

    def assemble(**changes):
        given = {**paths, **changes}
        assemble_dataset(
            tmp_path / "m.h5", "S", given["stars"], given["wcs"], {"aperture": given["aperture"]}, series.catalog,
            given.get("attrs", ATTRS),
        )  # fmt: skip

    with pytest.raises(ValueError, match="do not have the same frames: f03"):
        assemble(wcs=paths["wcs"][:1])
    with pytest.raises(ValueError, match="frame f00 is in"):
        assemble(stars=[*paths["stars"], paths["stars"][0]])
    with pytest.raises(ValueError, match="another star catalogue"):
        assemble(attrs={**ATTRS, "catalog_sha256": "d" * 64})
    assert not (tmp_path / "m.h5").exists()


def test_one_frame(tmp_path):
    series = Series(n=60, m=1)
    data = read(series.run(tmp_path))
    assert data["aperture_attrs"]["calibration"] == "not calibrated: one frame; pscale is 1"
    assert data["aperture/pscale"][0] == 1.0
    assert np.isnan(data["aperture/epscale"][0])
    np.testing.assert_array_equal(data["aperture/flux_cal"], data["aperture/flux"])
    expected = ZERO_POINT + 2.5 * np.log10(series.scale[0])
    np.testing.assert_allclose(data["frames/zero_point"][0], expected, atol=0.02)


def test_one_star(tmp_path):
    series = Series(n=1, m=20)
    series.catalog = replace(series.catalog, mag=np.array([15.0]))
    path = series.run(tmp_path)
    data = read(path)
    assert "1 usable stars, 10 needed" in data["aperture_attrs"]["calibration"]
    assert (data["aperture/pscale"] == 1).all()
    np.testing.assert_array_equal(data["aperture/flux_cal"], data["aperture/flux"])
    assert "1 stars" in data["aperture_attrs"]["zero_point_note"]
    assert np.isnan(data["frames/zero_point"]).all()
    export_targets(path, [target("T", star_id=100)], tmp_path / "lc")
    _, meta = read_ecsv(tmp_path / "lc" / "T.ecsv")
    assert "not calibrated" in meta["methods"]["aperture"]["calibration"]


def test_nothing_measured_at_all(tmp_path):
    series = Series(n=12, m=3)
    series.status["aperture"] = ["no usable pixel"] * 3
    data = read(series.run(tmp_path))
    assert np.isnan(data["aperture/flux_cal"]).all()
    assert np.isnan(data["frames/zero_point"]).all()
    assert data["aperture_attrs"]["zero_point_note"] == "0 stars with a magnitude in Gaia G: no zero point"


def test_weak_frame_is_left_out_and_said(tmp_path):
    series = Series(n=60, m=20, seed=5)
    series.flux[8:, 4] = np.nan
    data = read(series.run(tmp_path))
    assert data["aperture/calibration_status"][4].endswith(b"ensemble stars, 10 needed")
    assert np.isnan(data["aperture/flux_cal"][:, 4]).all()
    assert np.isfinite(data["aperture/flux"][:8, 4]).all()
    assert np.isfinite(np.delete(data["aperture/flux_cal"], 4, axis=1)).all()
    np.testing.assert_allclose(data["frames/zero_point"][4], ZERO_POINT + 2.5 * np.log10(series.scale[4]), atol=0.05)


def test_table_of_frames_for_people(example, tmp_path):
    _, path = example
    write_frames_csv(path, tmp_path / "frames.csv")
    with (tmp_path / "frames.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    data = read(path)
    assert [row["frame_id"].encode() for row in rows] == list(data["frames/frame_id"])
    assert [float(row["aperture_pscale"] or "nan") for row in rows] == pytest.approx(
        list(data["aperture/pscale"]), nan_ok=True
    )
    assert float(rows[0]["observer_z_au"]) == data["frames/observer_au"][0, 2]
    assert "wcs_header" not in rows[0]


def test_light_curves_of_targets(example, tmp_path):
    series, path = example
    catalog = series.catalog
    i = int(np.argsort(-series.star)[12])
    targets = [
        target("by_star", star_id=int(catalog.star_id[i])),
        target("by_source", source_id=int(catalog.source_id[i])),
        target("by_sky", ra_deg=catalog.ra_deg[i] + 0.5 / 3600, dec_deg=catalog.dec_deg[i] + 0.5 / 3600),
        target("by_pixel", x_pix=catalog.x_ref[i] + 0.5, y_pix=catalog.y_ref[i] - 0.5),
    ]
    export_targets(path, targets, tmp_path / "lc")
    data = read(path)
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
        place = EarthLocation.from_geodetic(SITE[1] * u.deg, SITE[0] * u.deg, SITE[2] * u.m)
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


def test_a_target_that_moved_is_found(tmp_path):
    series = Series(n=15, m=2)
    pmdec = np.zeros(15)
    pmdec[3] = 1000.0
    series.catalog = replace(series.catalog, pmdec=pmdec)
    path = series.run(tmp_path)
    ra, dec = series.catalog.ra_deg[3], series.catalog.dec_deg[3]
    export_targets(path, [target("j2000", ra_deg=ra, dec_deg=dec - 16.0 / 3600)], tmp_path / "lc")
    assert read_ecsv(tmp_path / "lc" / "j2000.ecsv")[1]["star_id"] == 103


def test_targets_without_a_star(example, tmp_path):
    series, path = example
    x, y = np.meshgrid(np.arange(50, 950, 10.0), np.arange(50, 950, 10.0))
    distance = np.hypot(x[..., None] - series.catalog.x_ref, y[..., None] - series.catalog.y_ref).min(axis=-1)
    k = np.unravel_index(distance.argmax(), distance.shape)
    empty, good = target("empty", x_pix=x[k], y_pix=y[k]), target("good", star_id=100)
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
            export_targets(path, [good, target("T9", **place)], tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_scripts_read_call_and_write(tmp_path):
    import assemble_dataset as assemble
    import calibrate_dataset as calibrate
    import export_lightcurves as export

    from gaiaflux.io.star_catalog import read_star_catalog, write_star_catalog

    series = Series(n=15, m=3)
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
            params=SimpleNamespace(settings=asdict(SETTINGS), config={}),
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
    assert read(out["dataset.h5"])["attrs"]["catalog_sha256"] == attrs["catalog_sha256"]
