"""Simulated full-frame images through preparation and measurement, without the workflow around them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from gaiaflux.io.batch_file import BatchReader, BatchWriter
from gaiaflux.io.tess.catalog import read_tess_catalog
from gaiaflux.io.tess.frame_batch import read_frame_batch
from gaiaflux.model.methods import TESS_METHODS
from gaiaflux.model.tess_catalog import TessCatalog
from gaiaflux.sim.tess.ccd import SimulatedCcd
from gaiaflux.sim.tess.ccd_files import write_ccd_field
from gaiaflux.sim.tess.ccd_setup import CcdSetup
from gaiaflux.tess.batch import TargetFiles
from gaiaflux.tess.field_dataset import assemble_field
from gaiaflux.tess.image_targets import measure_stars
from gaiaflux.tess.images.batch import prepare_batch
from gaiaflux.tess.images.field import prepare_images
from gaiaflux.tess.images.joined import join_frames
from gaiaflux.tess.images.nominal import response_or_nominal
from gaiaflux.tess.images.reference import image_reference
from gaiaflux.tess.stamp.instrument import InstrumentFiles

__all__ = ["METHODS", "Curve", "PreparedCcd", "prepare_ccd", "prepare_written"]

METHODS = tuple(method.name for method in TESS_METHODS)
FRAMES_PER_BATCH = 100


@dataclass(frozen=True)
class Curve:
    """What a method measured of a star.

    Attributes
    ----------
    flux, error : ndarray of float64, shape (n,)
        [electron/s].
    flags : ndarray of uint32, shape (n,)
    """

    flux: np.ndarray
    error: np.ndarray
    flags: np.ndarray


@dataclass
class PreparedCcd:
    """A simulated CCD whose images are prepared.

    Attributes
    ----------
    ccd : SimulatedCcd
        What is true.
    folder : Path
    catalog : TessCatalog
    instrument : InstrumentFiles
    prepared : Path
        File of the prepared field.
    batches_s, together_s : float
        CPU time of the preparation of all frames: one by one, and of what is learnt from all together.
    """

    ccd: SimulatedCcd
    folder: Path
    catalog: TessCatalog
    instrument: InstrumentFiles
    prepared: Path
    batches_s: float
    together_s: float

    @property
    def good(self) -> np.ndarray:
        """Frames that are sound by the mission's bits and by our own, shape (n,)."""
        with h5py.File(self.prepared) as file:
            return (file["frames/quality"][:] == 0) & (file["frames/flags"][:] == 0)

    def measure(self, stars: Sequence[int], methods: Sequence[str] = METHODS) -> float:
        """Measure stars; CPU seconds. Their light curves are those of `curve` then."""
        start = time.process_time()
        with BatchWriter(self.batch, kind="targets") as out:
            files = TargetFiles(self.catalog, self.instrument)
            measure_stars({"stars": list(stars)}, [self.prepared], files, methods, out)
        return time.process_time() - start

    def true_flux(self, k: int) -> np.ndarray:
        """Light of a placed star in each frame, shape (n,) [electron/s]."""
        return np.asarray(self.ccd.catalogued.flux[k] * self.ccd.relative[:, k])

    @property
    def batch(self) -> Path:
        """Batch of the measured stars."""
        return self.folder / "targets.h5"

    def curve(self, star: int, method: str) -> Curve | None:
        """Light curve of a star as measured; None where there is none."""
        with BatchReader(self.batch) as batch:
            for name in batch.frame_ids:
                if name.startswith(f"{star:011d}") and f"{method}_flux" in batch.names(name):
                    flux, error, flags = (batch.array(name, f"{method}_{one}") for one in ("flux", "flux_err", "flags"))
                    return Curve(flux.astype(np.float64), error.astype(np.float64), flags)
        return None

    def calibrate(self, common: np.ndarray) -> dict[str, dict[int, Curve]]:
        """Light curves of all measured stars after the ensemble, by method and star.

        Parameters
        ----------
        common : ndarray, shape (n,)
            What all stars do alike, which the simulation does not have: their light is multiplied with it before.
        """
        changed = self.folder / "changed.h5"
        with BatchReader(self.batch) as batch, BatchWriter(changed, kind="targets") as out:
            for name in batch.frame_ids:
                arrays = {one: batch.array(name, one) for one in batch.names(name)}
                for one in arrays:
                    if one.endswith(("_flux", "_flux_err")):
                        arrays[one] = (arrays[one] * common).astype(arrays[one].dtype)
                out.add(name, batch.attrs(name), arrays)
        path = self.folder / "dataset.h5"
        config = {"methods": list(METHODS), "ensemble": True}
        assemble_field(path, "benchmark", [changed], self.catalog, TESS_METHODS, config, "")
        with h5py.File(path) as file:
            stars = file["stars/star_id"][:].tolist()
            return {
                method: {
                    star: Curve(*(file[f"{method}/{one}"][k] for one in ("flux_cal", "flux_cal_err", "flags")))
                    for k, star in enumerate(stars)
                }
                for method in METHODS
            }


def prepare_ccd(folder: Path, setup: CcdSetup) -> PreparedCcd:
    """Simulate images, and prepare them.

    Parameters
    ----------
    folder : Path
        For all files.
    setup : CcdSetup

    Returns
    -------
    PreparedCcd
    """
    ccd = write_ccd_field(folder, setup)
    catalog, instrument, batches_s, together_s = prepare_written(folder, setup)
    return PreparedCcd(ccd, folder, catalog, instrument, folder / "prepared.h5", batches_s, together_s)


class Prepared(NamedTuple):
    """What `prepare_written` found and how long it took, as of `PreparedCcd`."""

    catalog: TessCatalog
    instrument: InstrumentFiles
    batches_s: float
    together_s: float


def prepare_written(folder: Path, setup: CcdSetup) -> Prepared:
    """Prepare the images that `write_ccd_field` wrote."""
    catalog = read_tess_catalog(folder / "catalog.csv")
    instrument = InstrumentFiles(folder / "prf", None)
    images = sorted((folder / "ffi").glob("*.fits"))
    members = [{"frame_id": path.stem, "path": str(path), "overrides": {}} for path in images]
    candidates = [(one["frame_id"], one["path"]) for one in members[:20]]
    reference = image_reference(candidates, (setup.sector, setup.camera, setup.ccd), catalog)
    psf = response_or_nominal(instrument, reference)
    # What is made once is no time of the frames.
    prepare_batch(members[:2], reference, psf, folder / "first.h5", "")
    start, batches = time.process_time(), []
    for first in range(0, len(members), FRAMES_PER_BATCH):
        batches.append(folder / f"frames{first:05d}.h5")
        prepare_batch(members[first : first + FRAMES_PER_BATCH], reference, psf, batches[-1], "")
    between = time.process_time()
    frames = join_frames([read_frame_batch(path) for path in batches], reference)
    prepare_images(folder / "prepared.h5", folder / "images.csv", frames, reference, ())
    return Prepared(catalog, instrument, between - start, time.process_time() - between)
