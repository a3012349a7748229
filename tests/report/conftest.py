"""Small datasets with known truth."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from gaiaflux.io.dataset import FRAME_COLUMNS, STAR_COLUMNS, DatasetWriter, empty_frames
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.wcs import TanSip

ZERO_POINT = 25.0
CD = np.array([[-0.0001, 0.0], [0.0, 0.0001]])


def plate(ra):
    """Plate solution with a distortion."""
    a, b, none = np.zeros((3, 3)), np.zeros((3, 3)), np.zeros((1, 1))
    a[2, 0], b[0, 2] = 1e-6, 2e-6
    return TanSip((ra, -20.0), (499.0, 399.0), CD, a, b, none, none, (800, 1000))


class Truth:
    """A series of n stars in m frames; `variable` rows vary by a fifth."""

    def __init__(self, n=120, m=40, seed=5, variable=(17, 40)):
        rng = np.random.default_rng(seed)
        self.n, self.m = n, m
        self.mag = np.sort(rng.uniform(13, 19, n))
        self.level = 10 ** (-0.4 * (self.mag - ZERO_POINT))
        self.error = np.repeat(np.hypot(np.sqrt(self.level / 50), 3.0)[:, None], m, axis=1)
        shape = np.ones((n, m))
        for row in variable:
            shape[row] += 0.2 * np.sin(np.arange(m) * 0.6)
        self.mean = self.level[:, None] * shape
        self.flux = self.mean + self.error * rng.normal(size=(n, m))
        self.flags = np.zeros((n, m), dtype="u4")
        self.frames = empty_frames(m)
        self.frames["frame_id"][:] = [f"f{j:03d}" for j in range(m)]
        self.frames["status"][:] = "ok"
        self.frames["wcs_header"][:] = "CTYPE1  = 'RA---TAN-SIP'"
        self.frames |= {f"wcs_cd{i + 1}_{k + 1}": np.full(m, CD[i, k]) for i in range(2) for k in range(2)}
        self.frames |= {"centre_ra_deg": 150 + 0.001 * np.arange(m), "centre_dec_deg": np.full(m, -20.0)}
        self.plate = plate(150.0)
        self.frames["mjd_utc"] = 60000.0 + np.arange(m) * 0.01
        for name, value in (("fwhm_pix", 4.0), ("sky", 200.0), ("exptime_s", 60.0), ("wcs_rms_mas", 5.0)):
            self.frames[name] = value + 0.1 * rng.random(m)
        for name, value in (("nx", 1000), ("ny", 800), ("n_measured", n), ("wcs_n_stars", 50)):
            self.frames[name] = np.full(m, value)
        self.frames["unit"][:] = "electron"
        self.stars = {name: np.zeros(n) for name in STAR_COLUMNS}
        self.stars |= {"star_id": 1000 + np.arange(n), "source_id": 4087000865421648000 + np.arange(n)}
        self.stars |= {"phot_g_mean_mag": self.mag, "ra_deg": np.full(n, 150.0), "dec_deg": np.full(n, -20.0)}
        self.stars["x_ref"], self.stars["y_ref"] = rng.uniform(0, 1000, n), rng.uniform(0, 800, n)
        self.notes, self.psf_status, self.psf_origin = ["ok"] * m, ["ok"] * m, ["ok"] * m
        self.group = {
            "calibration": "ok",
            "magnitude_system": "Gaia G",
            "zero_point_mag": ZERO_POINT,
            "zero_point_scatter_mag": 0.01,
            "zero_point_n_stars": n,
            "zero_point_note": "ok",
        }

    def lose(self, j, reason):
        """Frame `j` was not measured."""
        self.frames["status"][j] = reason
        self.flux[:, j] = self.error[:, j] = np.nan
        self.flags[:, j] = StarFlag.NOT_MEASURED

    def write(self, path, psf=None):
        """Dataset of apertures; with `psf` also of a PSF whose errors are so many times smaller."""
        with DatasetWriter(path) as out:
            out.attributes({"format": "gaiaflux", "schema_version": 2, "series": "S <1>", "catalog_sha256": "c" * 64})
            out.attributes({"reference_frame_id": "f001", "created_utc": "2026-01-02T03:04:05Z"})
            out.attributes({"config": json.dumps({"calibrate": {"spatial_order": 2}})})
            out.attributes({"versions": json.dumps({"gaiaflux": "0.1.0", "numpy": "2.4"})})
            out.table("frames", self.frames, FRAME_COLUMNS)
            out.table("stars", self.stars, STAR_COLUMNS)
            self._write_method(out, "aperture", self.flux, self.error)
            if psf is not None:
                self._write_method(out, "psf", self.mean + psf * (self.flux - self.mean), psf * self.error)
                self._write_psf(out)
        return path

    def _write_method(self, out, method, flux, error):
        for name, values in (("flux_cal", flux), ("flux_cal_err", error), ("flags", self.flags)):
            kind = "u4" if name == "flags" else "f4"
            grid = out.grid(f"{method}/{name}", (self.n, self.m), kind, "" if kind == "u4" else "electron/s", "")
            if values.size:
                grid[...] = values
        scale = np.where(np.isfinite(flux).any(axis=0), 1.0, np.nan)
        for name, values in (("pscale", scale), ("epscale", 0.001 * scale)):
            out.array(f"{method}/{name}", values, "", "")
        for name, texts in (("calibration_status", self.notes), ("ensemble_status", ["used"] * self.n)):
            out.array(f"{method}/{name}", np.array(texts, dtype=object), "", "")
        out.attributes(self.group, method)

    def _write_psf(self, out):
        out.array("psf/status", np.array(self.psf_status, dtype=object), "", "")
        out.array("psf/psf_status", np.array(self.psf_origin, dtype=object), "", "")
        numbers = {"psf_n_stars": 50, "psf_order": 2, "psf_residual_rms": 0.01, "psf_fwhm_pix": 4.5}
        for name, value in {**numbers, "psf_ellipticity": 0.03, "centroid_rms_pix": 0.02}.items():
            out.array(f"psf/{name}", np.full(self.m, value), "", "")


@pytest.fixture(scope="session")
def make_truth():
    return Truth


@pytest.fixture(scope="session")
def load_script():
    """Function that loads the script of a rule as a module."""

    def load(name):
        path = Path(__file__).parents[2] / "scripts" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"script_{name}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
