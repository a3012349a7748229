"""Small series with known truth: as the per-frame rules leave them, and as they are assembled."""

import json
from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from gaiaflux.core.calibration.scintillation import scintillation
from gaiaflux.core.calibration.terms import SERIES_TERMS
from gaiaflux.core.sky.projection import linear_tan
from gaiaflux.io.batch_file import BatchWriter
from gaiaflux.io.dataset import FORMAT, FRAME_COLUMNS, SCHEMA_VERSION, STAR_COLUMNS, DatasetWriter, empty_frames
from gaiaflux.io.plate_solution import plate_arrays
from gaiaflux.model.catalog import StarCatalog
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.methods import method_named
from gaiaflux.model.settings.calibrate import CalibrateSettings
from gaiaflux.model.settings.target import TargetSettings
from gaiaflux.model.typed import typed
from gaiaflux.series.assembly import assemble_dataset
from gaiaflux.series.calibration import calibrate_dataset
from gaiaflux.series.method_facts import write_frame_facts
from gaiaflux.workflow.settings import complete_section

SETTINGS = complete_section(CalibrateSettings)
ATTRS = {"reference_frame_id": "f03", "catalog_sha256": "c" * 64}
MEASURED_ZERO_POINT, ASSEMBLED_ZERO_POINT = 25.0, 24.0
SITE = (-30.1672, -70.8046, 2207.0)
# Noise of the three apertures for a faint star (sky) and a bright one (lost light, added seeing noise).
SKY_ERR, MEASURED_LOSS = np.array([5.0, 8.0, 16.0]), np.array([2.5, 1.05, 1.0])
ASSEMBLED_LOSS = np.array([1.6, 1.2, 1.0])
SKY = np.array([3.0, 4.5, 9.0])
VARIABLES = [1, 4, 7]


def target(name, **place):
    return typed(TargetSettings, {"name": name, **place})


class MeasuredSeries:
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
            place=np.zeros(n, np.int8),
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
        self.star = 10 ** (-0.4 * (mag - MEASURED_ZERO_POINT))
        self.variable = np.argsort(mag)[[2, 5, 9]] if n > 20 else np.zeros(0, dtype=int)
        truth = np.repeat(self.star[:, None], m, axis=1)
        truth[self.variable] *= 1 + 0.1 * np.sin(np.arange(m) * 0.7)
        self.truth = truth
        mean = truth * self.scale * self.field
        self.error = np.hypot(np.sqrt(mean / 100.0)[:, :, None] * MEASURED_LOSS, SKY_ERR)
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
                "sky_share": np.zeros(self.n, "f2"),
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


def read_whole(path):
    """Every dataset, texts as lists, and the attributes but for the time of writing."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
        found["attrs"] = {key: value for key, value in file.attrs.items() if key != "created_utc"}
        found["aperture_attrs"] = dict(file["aperture"].attrs)
    return found


class AssembledSeries:
    """What `assemble_dataset` writes; stars from bright to faint, three of the ten brightest vary."""

    def __init__(self, n=200, m=64, seed=1, floor=0.0, clouds=1.0, tint=0.02, **site):
        rng = np.random.default_rng(seed)
        self.n, self.m, self.rng = n, m, rng
        self.stars = {name: np.full(n, np.nan) for name in STAR_COLUMNS}
        mag = np.sort(np.log10(rng.uniform(10 ** (0.15 * 12.5), 10 ** (0.15 * 19.0), n)) / 0.15)
        x, y = rng.uniform(0, 1000, (2, n))
        colour = rng.normal(1.0, 0.4, n)
        self.stars |= {"star_id": np.arange(n), "source_id": 10**17 + np.arange(n), "phot_g_mean_mag": mag}
        self.stars["place"] = np.zeros(n, np.int8)
        self.stars |= {"bp_rp": colour, "x_ref": x, "y_ref": y}
        self.frames = empty_frames(m)
        facts = {"exptime_s": 60.0, "airmass": 1.0, "fwhm_pix": 4.0, "aperture_m": 1.0, "site_height_m": 2000.0, **site}
        for name, value in facts.items():
            self.frames[name] = np.full(m, value)
        if m > 1 and "airmass" not in site:
            self.frames["airmass"] = 1.0 + 0.8 * np.linspace(-1, 1, m) ** 2
        self.frames |= {
            "frame_id": np.array([f"f{j:03d}" for j in range(m)], dtype=object),
            "status": np.full(m, "ok", dtype=object),
            "camera": np.full(m, "fa15", dtype=object),
            "filter": np.full(m, "rp", dtype=object),
            "mjd_utc": 60000.0 + np.arange(m) / 200.0,
        }
        airmass = np.nan_to_num(self.frames["airmass"], nan=1.2)
        cloud = clouds * np.clip(np.sin(np.arange(m) / 5.0), 0, 1)
        self.scale = 10 ** (-0.4 * cloud)
        slope = 0.01 * cloud * rng.normal(size=(2, m))
        self.field = slope[0] * (x / 500 - 1)[:, None] + slope[1] * (y / 500 - 1)[:, None]
        self.field = self.field - (tint * airmass / 1.0857) * (colour - 1.0)[:, None]
        self.star = 10 ** (-0.4 * (mag - ASSEMBLED_ZERO_POINT))
        self.truth = np.ones((n, m))
        self.variable = rng.uniform(size=n) < 0.02
        self.variable[[k for k in VARIABLES if k < n - 10]] = True
        wave = np.sin(np.arange(m) * rng.uniform(0.1, 1.0, (n, 1)) + rng.uniform(0, 6, (n, 1)))
        self.truth += 0.05 * wave * self.variable[:, None]
        self.noise_factor, self.floor = 1.0, floor
        self.flags = np.zeros((n, m, 3), dtype="u4")
        self.missing = np.zeros((n, m), dtype=bool)
        self.methods = {"aperture": 3}

    def draw(self):
        mean = self.star[:, None] * self.truth * self.scale * np.exp(self.field)
        twinkling = np.nan_to_num(self.twinkling)
        shape = (self.n, self.m, 1)
        error = np.sqrt((mean / 60.0)[:, :, None] * ASSEMBLED_LOSS + SKY**2 / 60.0)
        extra = np.hypot(twinkling, self.floor) * self.rng.normal(size=(self.n, self.m))
        noise = np.sqrt((mean / 60.0)[:, :, None] * ASSEMBLED_LOSS * self.noise_factor + SKY**2 / 60.0)
        flux = mean[:, :, None] * (1 + extra[:, :, None]) + noise * self.rng.normal(size=shape)
        flux[self.missing] = np.nan
        return flux, error

    @property
    def twinkling(self):
        return scintillation(*(self.frames[k] for k in ("aperture_m", "airmass", "exptime_s", "site_height_m")))

    def run(self, folder, unit="electron/s", shared=SERIES_TERMS, **settings):
        flux, error = self.draw()
        flags = self.flags | (self.missing[:, :, None] * np.uint32(StarFlag.NOT_MEASURED))
        with DatasetWriter(folder / "measured.h5") as out:
            out.attributes({"format": FORMAT, "schema_version": SCHEMA_VERSION, "series": "S"})
            out.attributes({"reference_frame_id": "f000", "catalog_sha256": "0" * 64})
            out.table("frames", self.frames, FRAME_COLUMNS)
            out.table("stars", self.stars, STAR_COLUMNS)
            for method, k in self.methods.items():
                shape = (self.m, self.n, k)
                for name, values in (("flux", flux), ("flux_err", error), ("flags", flags)):
                    dtype = "u4" if name == "flags" else "f4"
                    grid = out.grid(f"{method}/{name}", shape, dtype, unit, name, (10, 256, k))
                    if self.n and self.m:
                        grid[:] = np.swapaxes(values[:, :, -k:], 0, 1)
                if k > 1:
                    radii = self.frames["fwhm_pix"][:, None] * np.array([0.8, 1.0, 1.5])
                    out.array(f"{method}/radii_pix", radii, "pixel", "radii")
                for name, column in method_named(method).star_facts.items():
                    out.array(f"{method}/{name}", np.zeros((self.n, self.m), column.dtype), "", name)
                write_frame_facts(out, method, [{"status": "ok", "n_measured": self.n}] * self.m)
        chosen = replace(SETTINGS, **{"max_iterations": 10, **settings})
        calibrate_dataset(folder / "measured.h5", folder / "dataset.h5", chosen, {}, shared)
        return read_calibrated(folder / "dataset.h5")


def read_calibrated(path):
    with h5py.File(path) as file:
        found = {}
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
        found |= {f"{group}.{key}": value for group in file for key, value in file[group].attrs.items()}
        found["names"] = {name: h5py.check_enum_dtype(file[f"stars/{name}"].dtype) for name in file["stars"]}
    return found


def terms_of(data, method="aperture"):
    return {row["term"]: row for row in json.loads(data[f"{method}.series_terms"])}


def texts(values):
    return np.array([value.decode() for value in values])


def pulls(data, rows, method="aperture"):
    flux, error = data[f"{method}/flux_cal"][rows].astype(float), data[f"{method}/flux_cal_err"][rows].astype(float)
    known = np.isfinite(flux)
    weight = np.where(known, error, np.inf) ** -2.0
    mean = (np.where(known, flux, 0) * weight).sum(axis=1) / weight.sum(axis=1)
    n = known.sum(axis=1)
    return ((flux - mean[:, None]) / error * np.sqrt(n / (n - 1))[:, None])[known]


def complete(data, method="aperture"):
    """No NaN without a flag or a frame that says why."""
    flux, cal = data[f"{method}/flux"], data[f"{method}/flux_cal"]
    known = np.isfinite(flux)
    assert (data[f"{method}/flags"][~known] != 0).all()
    calibrated = np.isfinite(data[f"{method}/pscale"])
    status = texts(data[f"{method}/calibration_status"])
    assert (status[~calibrated] != "ok").all()
    np.testing.assert_array_equal(np.isfinite(cal), known & calibrated)
    error = data[f"{method}/flux_cal_err"]
    assert (error[np.isfinite(cal)] > 0).all()
    return status


@pytest.fixture(scope="session")
def measured():
    """Series of batch files, and what reads the dataset that is made of them."""
    return SimpleNamespace(
        Series=MeasuredSeries, read=read_whole, settings=SETTINGS, attrs=ATTRS, site=SITE,
        zero_point=MEASURED_ZERO_POINT, target=target,
    )  # fmt: skip


@pytest.fixture(scope="session")
def example(tmp_path_factory):
    """A series with frames and points of all kinds that are missing, and its dataset."""
    series = MeasuredSeries()
    series.flux[5, 7] = np.nan
    series.flags[5, 7] = StarFlag.OFF_IMAGE
    series.flux[6, 8] = np.nan  # and the flags say nothing
    series.flags[20:25, :, 2] = StarFlag.NEIGHBOUR
    series.status["wcs"][11] = series.status["aperture"][11] = "no plate solution: 3 stars match"
    series.status["stars"][12] = series.status["wcs"][12] = series.status["aperture"][12] = "cannot be read"
    series.mjd[13] = np.nan
    return series, series.run(tmp_path_factory.mktemp("series"))


@pytest.fixture(scope="session")
def assembled():
    """Assembled series, and what is asked of their calibration."""
    return SimpleNamespace(
        Series=AssembledSeries, terms_of=terms_of, texts=texts, pulls=pulls, complete=complete,
        loss=ASSEMBLED_LOSS, sky=SKY, variables=VARIABLES,
    )  # fmt: skip
