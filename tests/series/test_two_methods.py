"""Aperture and PSF photometry in one dataset: what each says stays its own, and one's failure is not the other's."""

import csv
import shutil
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from snakemake.iocontainers import InputFiles

from gaiaflux.core.sky.projection import linear_tan
from gaiaflux.io.batch_file import BatchWriter
from gaiaflux.io.dataset import DatasetReader
from gaiaflux.io.export.dataset_tables import PER_STAR
from gaiaflux.io.export.light_curves import read_ecsv
from gaiaflux.io.plate_solution import plate_arrays
from gaiaflux.model.catalog import StarCatalog
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.methods import METHODS, PSF
from gaiaflux.model.settings.calibrate import CalibrateSettings
from gaiaflux.model.settings.target import TargetSettings
from gaiaflux.model.typed import typed
from gaiaflux.series.assembly import assemble_dataset
from gaiaflux.series.calibration import calibrate_dataset
from gaiaflux.series.frames_table import write_frames_csv
from gaiaflux.series.lightcurve_dataset import AperturePhotometryDataset
from gaiaflux.series.method_choice import REASONS, methods_of_stars
from gaiaflux.series.targets import export_targets
from gaiaflux.series.variability_table import rank_stars
from gaiaflux.workflow.settings import complete_section

SETTINGS = complete_section(CalibrateSettings)
ATTRS = {"reference_frame_id": "f03", "catalog_sha256": "c" * 64}
N, M = 60, 30
KINDS = ("stars", "wcs", "aperture", "psf")


class Series:
    """What the per-frame rules leave: the PSF's errors are half of the apertures'."""

    def __init__(self, seed=2):
        rng = np.random.default_rng(seed)
        x, y = rng.uniform(0, 1000, (2, N))
        mag = np.sort(rng.uniform(13.5, 18.0, N))
        zero = np.zeros(N)
        columns = dict.fromkeys(("pmra", "pmdec", "parallax", "pos_err", "pm_err", "colour"), zero)
        self.catalog = StarCatalog(
            **columns,
            source_id=5853498713190525697 + np.arange(N),
            ra_deg=150.0 + x / 9000,
            dec_deg=20.0 + y / 9000,
            ref_epoch=zero + 2016.0,
            mag=mag,
            system="Gaia G",
            source="gaia",
            mag_ref=mag,
            place=np.zeros(N, np.int8),
            star_id=100 + np.arange(N),
            x_ref=x,
            y_ref=y,
        )
        self.ids = [f"f{j:02d}" for j in range(M)]
        mean = 10 ** (-0.4 * (mag - 25.0))[:, None] * 10 ** (-0.4 * np.abs(rng.normal(0, 0.3, M)))
        self.error = np.sqrt(mean / 50.0)
        noise = self.error * rng.normal(size=(N, M))
        self.flux = {"aperture": mean + noise, "psf": mean + 0.5 * noise}
        self.flags = {"aperture": np.zeros((N, M, 2), "u4"), "psf": np.zeros((N, M), "u4")}
        self.facts = {name: rng.uniform(0.5, 1.5, (N, M)).astype("f2") for name in PSF.star_facts}
        self.facts["sky_share"] *= np.float16(0.1)
        self.status = {kind: ["ok"] * M for kind in KINDS}

    def write(self, folder, batches, shuffle_stars=False, kinds=KINDS):
        paths = {kind: [] for kind in kinds}
        for b, batch in enumerate(batches):
            for kind, found in paths.items():
                found.append(folder / f"{kind}{b:03d}.h5")
                with BatchWriter(found[-1], kind=kind) as out:
                    for j in batch:
                        self._add(out, kind, j, shuffle_stars)
        return paths

    def _add(self, out, kind, j, shuffle_stars):
        attrs, arrays = {"status": self.status[kind][j]}, {}
        if kind == "stars":
            attrs |= {"unit": "electron", "nx": 1000, "ny": 1000, "mjd_utc": 58000.0 + 0.01 * j, "exptime_s": 100.0}
            attrs |= {"filter": "ip", "sky": 300.0, "site_lat_deg": -30.0, "site_lon_deg": -70.0, "site_height_m": 2e3}
        elif attrs["status"] == "ok" and kind == "wcs":
            attrs |= {"wcs_rms_mas": 3.0, "wcs_n_stars": 50, "wcs_method": "offset"}
            arrays = plate_arrays(linear_tan((150.0, -20.0), (499.5, 499.5), np.diag([-1e-4, 1e-4]), (1000, 1000)))
        elif attrs["status"] == "ok":
            order = np.random.default_rng(j).permutation(N) if shuffle_stars else np.arange(N)
            attrs |= {"unit": "electron/s", "sky": 1.0, "catalog_sha256": ATTRS["catalog_sha256"], "n_measured": N - j}
            flux, error = self.flux[kind][order, j], self.error[order, j]
            arrays = {"flags": self.flags[kind][order, j]}
            if kind == "aperture":
                flux, error = np.stack([flux, flux], axis=1), np.stack([error, 3 * error], axis=1)
                arrays |= {"radii_pix": np.array([3.0, 6.0]), "sky_share": self.facts["sky_share"][order, j]}
                attrs |= {"n_correction_stars": 40, "profile_fwhm_pix": 4.5}
            else:
                error = 0.5 * error
                arrays |= {name: values[order, j] for name, values in self.facts.items()}
                arrays["psf_form"] = np.ones((3, 6))
                attrs |= {"psf_status": "lower order" if j % 2 else "ok", "psf_n_stars": 30 + j, "psf_order": j % 3}
                attrs |= {"psf_residual_order": -1, "psf_fwhm_pix": 4.0 + 0.1 * j, "centroid_rms_pix": 0.02}
            arrays |= {"flux": flux.astype("f4"), "flux_err": error.astype("f4")}
            if shuffle_stars:
                arrays["star_id"] = self.catalog.star_id[order]
        out.add(self.ids[j], attrs, arrays)

    def run(self, folder, batches=None, methods=("aperture", "psf"), shuffle_stars=False):
        folder.mkdir(exist_ok=True)
        paths = self.write(folder, batches or [range(M)], shuffle_stars)
        photometry = {method: paths[method] for method in methods}
        assemble_dataset(
            folder / "measured.h5", "S", paths["stars"], paths["wcs"], photometry, self.catalog, ATTRS
        )  # fmt: skip
        calibrate_dataset(folder / "measured.h5", folder / "dataset.h5", SETTINGS, {})
        return folder / "dataset.h5"


def read(path):
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def texts(values):
    return [value.decode() for value in values]


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    series = Series()
    series.status["psf"][4] = "no star for the PSF"
    series.status["aperture"][5] = "no usable pixel"
    series.status["aperture"][6], series.status["psf"][6] = "no usable pixel", "no star for the PSF"
    for kind in ("wcs", "aperture", "psf"):
        series.status[kind][7] = "no plate solution"
    series.flags["psf"][20] = StarFlag.POOR_FIT
    series.flags["psf"][21, ::2] = StarFlag.SATURATED
    series.flags["psf"][22, :3] = StarFlag.SATURATED
    return series, series.run(tmp_path_factory.mktemp("both"))


def test_a_frame_that_one_method_cannot_measure_is_good_for_the_other(example):
    _, path = example
    data = read(path)
    assert texts(data["frames/status"])[4:9] == ["ok", "ok", "no usable pixel", "no plate solution", "ok"]
    assert texts(data["psf/status"])[3:8] == [
        *("ok", "no star for the PSF", "ok", "no star for the PSF", "no plate solution")
    ]
    assert texts(data["aperture/status"])[3:8] == [
        *("ok", "ok", "no usable pixel", "no usable pixel", "no plate solution")
    ]
    for method, bad in (("psf", [4, 6, 7]), ("aperture", [5, 6, 7])):
        lost = np.isnan(data[f"{method}/flux"]).all(axis=0)
        assert list(np.flatnonzero(lost)) == bad
        assert list(np.flatnonzero(np.isnan(data[f"{method}/flux_cal"]).all(axis=0))) == bad
        assert (data[f"{method}/flags"][:, bad] == StarFlag.NOT_MEASURED).all()
        assert list(np.flatnonzero(np.isnan(data[f"{method}/pscale"]))) == bad
    # Apertures say it first; where they have failed, the PSF's count stands.
    assert list(data["frames/n_measured"][3:8]) == [N - 3, N - 4, N - 5, 0, 0]
    assert np.isfinite(data["frames/zero_point"]).sum() == M - 2


def test_what_the_psf_says_of_stars_and_frames_is_kept(example):
    series, path = example
    data = read(path)
    good = np.setdiff1d(np.arange(M), [4, 6, 7])
    np.testing.assert_array_equal(data["psf/flux"][:, good], series.flux["psf"][:, good].astype("f4"))
    for name, values in series.facts.items():
        found = data[f"psf/{name}"]
        assert (found.shape, found.dtype) == ((N, M), np.dtype("f2"))
        np.testing.assert_array_equal(found[:, good], values[:, good])
        assert np.isnan(found[:, [4, 6, 7]]).all()
    assert texts(data["psf/psf_status"])[3:6] == ["lower order", "", "lower order"]
    np.testing.assert_array_equal(data["psf/psf_n_stars"][3:6], [33, -1, 35])
    np.testing.assert_array_equal(data["psf/psf_order"][3:6], [0, -1, 2])
    np.testing.assert_array_equal(data["psf/psf_fwhm_pix"][3:6], [4.3, np.nan, 4.5])
    np.testing.assert_array_equal(data["psf/n_measured"][3:6], [N - 3, -1, N - 5])
    assert not {"psf/radii_pix", "psf/recommended_radius"} & data.keys()
    assert data["aperture/radii_pix"].shape == (M, 2)
    with h5py.File(path) as file:
        for method in METHODS:
            for name, column in {**method.frame_facts, **method.star_facts}.items():
                attrs = file[f"{method.name}/{name}"].attrs
                assert (attrs["unit"], attrs["description"]) == (column.unit, column.description)
        assert "radius" not in file["psf/flux"].attrs["description"]
        assert "radius" in file["aperture/flux"].attrs["description"]


def test_errors_hold_for_both(example):
    _, path = example
    data = read(path)
    for method in ("aperture", "psf"):
        flux, error = data[f"{method}/flux_cal"], data[f"{method}/flux_cal_err"]
        good = np.isfinite(flux) & (data[f"{method}/flags"] == 0)
        good &= good.sum(axis=1, keepdims=True) > 20
        weight = np.where(good, error, np.inf) ** -2.0
        mean = (np.where(good, flux, 0) * weight).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-30)
        pull = ((flux - mean[:, None]) / error)[good] * np.sqrt(27 / 26)
        assert 0.9 < pull.std() < 1.1, method


def test_one_method_changes_nothing_of_the_other(example, tmp_path):
    series, path = example
    both, alone = (
        read(path),
        {method: read(series.run(tmp_path / method, methods=(method,))) for method in ("aperture", "psf")},
    )
    for method, data in alone.items():
        names = [name for name in both if name.startswith(f"{method}/")]
        assert {name for name in data if "/" in name and not name.startswith(("frames/", "stars/"))} == set(names)
        for name in names:
            np.testing.assert_array_equal(data[name], both[name], err_msg=name)
    assert texts(alone["psf"]["frames/status"])[4:7] == ["no star for the PSF", "ok", "no star for the PSF"]


def test_batches_and_order_of_arrival_do_not_matter(example, tmp_path):
    series, path = example
    expected = read(path)
    mixed = np.random.default_rng(0).permutation(M)
    for name, batches, shuffled in (
        ("mixed", np.array_split(mixed, 5), False),
        ("single", [[j] for j in mixed], False),
        ("ids", [range(M)], True),
    ):
        found = read(series.run(tmp_path / name, batches, shuffle_stars=shuffled))
        assert found.keys() == expected.keys()
        for key, values in expected.items():
            np.testing.assert_array_equal(found[key], values, err_msg=f"{name}: {key}")


def test_light_curves_have_both_and_recommend_one(example, tmp_path):
    _, path = example
    rows = {"good": 10, "poor": 20, "half": 21, "few": 22}
    targets = [typed(TargetSettings, {"name": name, "star_id": 100 + row}) for name, row in rows.items()]
    export_targets(path, targets, tmp_path / "lc")
    data = read(path)
    expected = {"good": "psf", "poor": "aperture", "half": "aperture", "few": "psf"}
    with (tmp_path / "lc" / "_targets.csv").open(newline="") as stream:
        assert {row["name"]: row["method"] for row in csv.DictReader(stream)} == expected
    for name, row in rows.items():
        columns, meta = read_ecsv(tmp_path / "lc" / f"{name}.ecsv")
        assert meta["recommended_method"] == expected[name]
        for method in ("aperture", "psf"):
            np.testing.assert_array_equal(columns[f"{method}_flux"], data[f"{method}/flux_cal"][row])
            np.testing.assert_array_equal(columns[f"{method}_flags"], data[f"{method}/flags"][row])
        np.testing.assert_array_equal(columns["psf_chi2"], data["psf/chi2"][row])
        assert "radius_index" not in meta["methods"]["psf"]
        assert "radius_index" in meta["methods"]["aperture"]
        with (tmp_path / "lc" / f"{name}.csv").open(newline="") as stream:
            written = [float(line["magnitude"]) for line in csv.DictReader(stream)]
        mag = columns[f"{expected[name]}_mag"]
        np.testing.assert_allclose(written, mag[np.isfinite(mag)], atol=6e-6)


@pytest.mark.parametrize("method", ["aperture", "psf", "none"])
def test_what_the_dataset_recommends_is_taken_everywhere(example, tmp_path, method):
    _, path = example
    copy = tmp_path / "dataset.h5"
    shutil.copy(path, copy)
    star = 10
    with h5py.File(copy, "r+") as file:
        column = file["stars/recommended_method"]
        column[star] = h5py.check_enum_dtype(column.dtype)[method]
        file["stars/recommended_method_reason"][star] = REASONS["less predicted error"]
    with DatasetReader(copy) as source:
        methods, reasons = methods_of_stars(source)
        table = rank_stars(source)
    wanted = "" if method == "none" else method
    assert (methods[star], reasons[star]) == (wanted, "less predicted error")
    row = np.flatnonzero(table["star_id"][0] == 100 + star)[0]
    assert table["recommended_method"][0][row] == wanted
    assert table["recommended_method_reason"][0][row] == "less predicted error"
    expected = table[f"{method}_score"][0][row] if wanted else np.nan
    np.testing.assert_allclose(table["score"][0][row], expected)
    export_targets(copy, [typed(TargetSettings, {"name": "T", "star_id": 100 + star})], tmp_path / "lc")
    columns, meta = read_ecsv(tmp_path / "lc" / "T.ecsv")
    assert (meta["recommended_method"], meta["recommended_method_reason"]) == (wanted, "less predicted error")
    with (tmp_path / "lc" / "_targets.csv").open(newline="") as stream:
        (target,) = csv.DictReader(stream)
    assert (target["method"], target["method_reason"]) == (wanted, "less predicted error")
    with (tmp_path / "lc" / "T.csv").open(newline="") as stream:
        written = [float(line["magnitude"]) for line in csv.DictReader(stream)]
    mag = columns[f"{method}_mag"] if wanted else np.zeros(0)
    np.testing.assert_allclose(written, mag[np.isfinite(mag)], atol=6e-6)


def test_a_dataset_that_recommends_nothing(example, tmp_path):
    _, path = example
    copy = tmp_path / "dataset.h5"
    shutil.copy(path, copy)
    with h5py.File(copy, "r+") as file:
        del file["stars/recommended_method"], file["stars/recommended_method_reason"]
    with DatasetReader(copy) as source:
        methods, reasons = methods_of_stars(source)
    assert (set(methods), set(reasons), len(methods)) == ({"aperture"}, {"not said"}, N)


def test_table_of_frames_for_people(example, tmp_path):
    _, path = example
    write_frames_csv(path, tmp_path / "frames.csv")
    with (tmp_path / "frames.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(set(rows[0])) == len(rows[0])
    assert [rows[4][name] for name in ("status", "aperture_status", "psf_status")] == [
        "ok",
        "ok",
        "no star for the PSF",
    ]
    assert (rows[3]["psf_psf_status"], rows[3]["psf_psf_n_stars"]) == ("lower order", "33")


def test_the_class_for_notebooks_reads_apertures(example):
    _, path = example
    np.testing.assert_array_equal(AperturePhotometryDataset(path).flux, read(path)["aperture/flux"])


def test_the_class_for_notebooks_says_that_there_are_none(example, tmp_path):
    series, _ = example
    with pytest.raises(ValueError, match="no aperture photometry, only psf"):
        AperturePhotometryDataset(series.run(tmp_path / "psf", methods=("psf",)))


def test_the_script_takes_the_methods_that_it_is_given(tmp_path):
    import assemble_dataset as assemble

    from gaiaflux.io.star_catalog import write_star_catalog

    series = Series()
    write_star_catalog(tmp_path / "stars.h5", series.catalog, {"frame_id": "f00", "filter": "V", "ny": 9, "nx": 9})
    paths = series.write(tmp_path, [range(3)], shuffle_stars=True)
    for name in ("aperture", "psf"):
        given = {**paths, "aperture": [], "psf": [], name: paths[name], "catalog": tmp_path / "stars.h5"}
        assemble.main(
            SimpleNamespace(
                input=InputFiles(fromdict=given),
                output=SimpleNamespace(measured=tmp_path / f"{name}.h5"),
                wildcards=SimpleNamespace(series="S"),
            )
        )
        with h5py.File(tmp_path / f"{name}.h5") as file:
            assert sorted(file) == sorted([name, "frames", "stars"])


def test_arrays_of_stars_are_known_by_name_where_the_shape_does_not_tell(example):
    _, path = example
    with DatasetReader(path) as source:
        for method in source.methods:
            shapes = source.shapes(method)
            per_star = {name for name, shape in shapes.items() if shape[:1] == (N,) and shape != (N, M)}
            assert {"scatter", "noise_total", "ensemble_status"} <= per_star <= set(PER_STAR)
            assert not {name for name, shape in shapes.items() if shape[:1] == (M,)} & set(PER_STAR)


def test_it_is_said_which_radii_are_measured(example):
    _, path = example
    with h5py.File(path) as file:
        text = file["aperture/radii_pix"].attrs["description"]
    assert text.startswith("radii of the apertures in each frame; those behind the measured ones have one size")
    assert text.endswith("interpolated between the two measured ones next to them")
