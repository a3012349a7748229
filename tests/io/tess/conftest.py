import gzip
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits


def target_pixels(n=6, shape=(5, 7), **changes):
    """HDUs of a small file like SPOC's; `changes` replace columns (small letters) or keywords (capitals)."""
    ny, nx = shape
    rng = np.random.default_rng(1)
    columns = {
        "time": 1400.0 + np.arange(n) / 720.0,
        "timecorr": np.full(n, 0.001, "f4"),
        "cadenceno": np.arange(100, 100 + n),
        "flux": rng.normal(100.0, 5.0, (n, ny, nx)).astype("f4"),
        "flux_err": np.full((n, ny, nx), 5.0, "f4"),
        "flux_bkg": np.full((n, ny, nx), 80.0, "f4"),
        "flux_bkg_err": np.full((n, ny, nx), 0.5, "f4"),
        "quality": np.zeros(n, "i4"),
        "pos_corr1": np.linspace(-0.1, 0.1, n).astype("f4"),
        "pos_corr2": np.full(n, np.nan, "f4"),
    } | {name: values for name, values in changes.items() if name.islower()}
    forms = {"time": "D", "timecorr": "E", "cadenceno": "J", "quality": "J", "pos_corr1": "E", "pos_corr2": "E"}
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column(name.upper(), forms[name], array=values)
            if name in forms
            else fits.Column(name.upper(), f"{ny * nx}E", dim=f"({nx},{ny})", array=values, unit="e-/s")
            for name, values in columns.items()
            if values is not None
        ],
        name="PIXELS",
    )
    primary = fits.PrimaryHDU()
    image = fits.ImageHDU(np.ones(shape, "i4"), name="APERTURE")
    stated = {
        **{"TELESCOP": "TESS", "ORIGIN": "NASA/Ames", "TICID": 42, "OBJECT": "TIC 42", "SECTOR": 2, "CAMERA": 3},
        **{"CCD": 4, "RA_OBJ": 10.0, "DEC_OBJ": 20.0, "PMRA": 0.0, "PMDEC": 0.0, "TESSMAG": 9.5, "TEFF": 5000.0},
        **{"DATA_REL": 3, "PROCVER": "spoc-1", "CRMITEN": True, "CRBLKSZ": 10, "CRSPOC": False, "TICVER": 8},
    }
    of_table = {"TIMEDEL": 120.0 / 86400.0, "NUM_FRM": 60, "NREADOUT": 48, "BJDREFI": 2457000}
    for key, value in of_table.items():
        if changes.get(key, value) is not None:
            table.header[key] = changes.get(key, value)
    plate = {
        **{"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0, "CRPIX1": 4.0, "CRPIX2": 3.0},
        **{"CD1_1": -0.0058, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.0058, "CRVAL1P": 1001, "CRVAL2P": 501},
    }
    others = {key: value for key, value in changes.items() if key.isupper() and key not in plate | of_table}
    for key, value in (stated | others).items():
        primary.header[key] = value
    for key, value in plate.items():
        if changes.get(key, value) is not None:
            image.header[key] = changes.get(key, value)
    return fits.HDUList([primary, table, image])


@pytest.fixture
def write_target_pixels(tmp_path):
    """Function that writes such a file and gives its path."""

    def write(name="tpf.fits", **changes):
        path = tmp_path / name
        target_pixels(**changes).writeto(path, overwrite=True)
        return path

    return write


@pytest.fixture
def pack():
    """Function that packs a file by gzip."""

    def compress(path, keep=None):
        packed = path.with_name(path.name + ".gz")
        packed.write_bytes(gzip.compress(path.read_bytes())[:keep])
        return packed

    return compress


@pytest.fixture(scope="session")
def ccd_files():
    """Module that makes full-frame images (``ccd_files.py`` beside this one)."""
    spec = spec_from_file_location("ccd_files", Path(__file__).with_name("ccd_files.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def write_spoc(tmp_path, ccd_files):
    """Function that writes an image like SPOC's and gives its path."""

    def write(name=ccd_files.SPOC_NAME, **changes):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        ccd_files.spoc(**changes).writeto(path, overwrite=True)
        return path

    return write


@pytest.fixture
def write_tica(tmp_path, ccd_files):
    """Function that writes an image like TICA's and gives its path."""

    def write(name=ccd_files.TICA_NAME, **changes):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        ccd_files.tica(**changes).writeto(path, overwrite=True)
        return path

    return write
