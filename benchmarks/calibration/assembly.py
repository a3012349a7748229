"""How fast the batches of a long series are put together; the measurements are random numbers."""

import shutil
import time
from pathlib import Path

import numpy as np

from benchmarks.table import Figure
from gaiaflux.core.sky.projection import linear_tan
from gaiaflux.io.batch_file import BatchWriter
from gaiaflux.io.plate_solution import plate_arrays
from gaiaflux.model.catalog import StarCatalog
from gaiaflux.series.assembly import assemble_dataset

__all__ = ["figures"]

N_RADII = 6
FRAMES_PER_BATCH = 50
FACTS = {
    **{"status": "ok", "path": "", "sha256": "", "filter": "r", "camera": "", "unit": "electron", "wcs_cards": ""},
    **{"exptime_s": 60.0, "airmass": 1.2, "fwhm_pix": 4.0, "sky": 100.0, "ny": 2048, "nx": 2048, "n_stars": 1000},
    **dict.fromkeys(("site_lat_deg", "site_lon_deg", "site_height_m", "aperture_m"), float("nan")),
}


def figures(work: Path, n_stars: int, n_frames: int) -> list[Figure]:
    """CPU time of the assembly of each method.

    Parameters
    ----------
    work : Path
        Folder for the batches; removed afterwards.
    n_stars, n_frames : int
        Size of the series.

    Returns
    -------
    list of Figure
    """
    zero = np.zeros(n_stars)
    columns = dict.fromkeys(StarCatalog.column_names(), zero)
    columns |= {"star_id": np.arange(n_stars), "source_id": np.arange(n_stars)}
    catalog = StarCatalog(**columns, system="Gaia G", source="gaia")
    full = n_stars * n_frames >= 20_000_000
    rows = []
    for method, title in (("psf", "psf"), ("aperture", f"aperture, {N_RADII} radii")):
        paths = _write_batches(work, method, n_stars, n_frames)
        names = {"reference_frame_id": "f00000", "catalog_sha256": "bench"}
        start = time.process_time()
        assemble_dataset(
            work / "measured.h5", "bench", paths["stars"], paths["wcs"], {method: paths[method]}, catalog, names
        )
        seconds = time.process_time() - start
        size = (work / "measured.h5").stat().st_size / 1e6
        shutil.rmtree(work)
        name = f"{n_stars} stars in {n_frames} frames assembled, {title}"
        rows += [
            Figure(f"{name} [CPU s]", seconds, at_most=2.0 if full else None, digits=2),
            Figure("  temporary file [MB]", size, digits=0),
        ]
    return rows


def _write_batches(work: Path, method: str, n_stars: int, n_frames: int) -> dict[str, list[Path]]:
    shape = (n_stars, N_RADII) if method == "aperture" else (n_stars,)
    flux = np.random.default_rng(0).lognormal(5.0, 1.0, shape).astype(np.float32)
    arrays = {"flux": flux, "flux_err": np.float32(0.01) * flux, "flags": np.zeros(shape, np.uint32)}
    if method == "aperture":
        arrays["radii_pix"] = np.arange(1.0, N_RADII + 1)
    else:
        arrays |= {name: np.ones(n_stars, np.float16) for name in ("chi2", "psf_fraction", "crowding")}
    plate = plate_arrays(linear_tan((150.0, -20.0), (1023.5, 1023.5), np.diag([-1e-4, 1e-4]), (2048, 2048)))
    photometry = {"status": "ok", "unit": "electron/s", "n_measured": n_stars, "catalog_sha256": "bench", "sky": 100.0}
    paths: dict[str, list[Path]] = {"stars": [], "wcs": [], method: []}
    for first in range(0, n_frames, FRAMES_PER_BATCH):
        here = {kind: work / kind / f"{first:05d}.h5" for kind in paths}
        with (
            BatchWriter(here["stars"], "stars") as stars,
            BatchWriter(here["wcs"], "wcs") as plates,
            BatchWriter(here[method], method) as fluxes,
        ):
            for k in range(first, min(first + FRAMES_PER_BATCH, n_frames)):
                frame_id = f"f{k:05d}"
                stars.add(frame_id, {**FACTS, "mjd_utc": 60000.0 + 0.01 * k})
                plates.add(frame_id, {"status": "ok", "wcs_rms_mas": 5.0, "wcs_n_stars": 100}, plate)
                fluxes.add(frame_id, photometry, arrays)
        for kind, path in here.items():
            paths[kind].append(path)
    return paths
