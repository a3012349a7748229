"""A notebook's cells: public names, an image, a table of Gaia stars; nothing else of the package."""

import shutil
import subprocess
import sys

import pytest

CELLS = """
import logging, sys, warnings
from pathlib import Path
warnings.simplefilter("error")

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from gaiaflux import AperturePhotometryAnalyst, AperturePhotometryDataset, run_aperture_photometry

folder, name = sys.argv[1:]
gaia = Table.read(Path(folder) / "gaia.fits")
log = logging.getLogger("notebook")

# %% One image from end to end
analyst = AperturePhotometryAnalyst(name, folder, gaia, {"photometry": {"aperture_arcsec": 2.0}}, log=log)
assert analyst.status == "OK"
analyst.process_image()
assert analyst.status == "OK"
analyst.save_new_products_in_image(Path(folder) / "copy.fits")
assert analyst.find_image_layer("GAIAFLUX_WCS") == -1
analyst.save_new_products_in_image()
assert analyst.find_image_layer("GAIAFLUX_WCS") > 0

# %% What was saved
for path in (Path(folder) / name, Path(folder) / "copy.fits"):
    with fits.open(path) as hdus:
        wcs = WCS(hdus["GAIAFLUX_WCS"].header)
        table = Table(hdus["GAIAFLUX_APERTURE"].data)
    bright = table[np.nan_to_num(table["flux"] / table["flux_err"]) > 50]
    assert len(bright) > 30
    assert np.isin(bright["source_id"], gaia["source_id"]).all()
    x, y = wcs.all_world2pix(bright["ra"], bright["dec"], 0)
    assert np.median(np.hypot(x - bright["x_center"], y - bright["y_center"])) < 0.5

# %% The same stars by hand
positions = np.column_stack([bright["x_center"], bright["y_center"]])
by_hand = run_aperture_photometry(analyst.image_data, analyst.image_errors, positions, analyst.phot_aperture)
exptime = fits.getheader(Path(folder) / "copy.fits", analyst.find_image_layer("SCI"))["EXPTIME"]
assert np.allclose(by_hand["aperture_sum"] / exptime, bright["aperture_sum"])
assert np.all(by_hand["aperture_sum_err"] > 0)

# %% No dataset yet
dataset = AperturePhotometryDataset()
assert len(dataset.source_id) == 0
"""


@pytest.mark.parametrize("ending", [".fits", ".fits.fz"])
def test_a_notebook_runs(ending, masters, gaia, tmp_path):
    shutil.copy2(masters[ending], tmp_path / f"night{ending}")
    gaia.write(tmp_path / "gaia.fits")
    done = subprocess.run(
        [sys.executable, "-c", CELLS, tmp_path, f"night{ending}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
