"""Time and memory of the preparation of full-frame images, and of the reading of stamps."""

import resource
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.images.field import PreparedCcd, prepare_ccd, prepare_written
from gaiaflux.io.tess.prepared_field import BatchRows, FramePixels, PreparedField
from gaiaflux.sim.tess.ccd_files import write_ccd_field
from gaiaflux.sim.tess.ccd_setup import CcdSetup

__all__ = ["copies_read_ms", "frame_seconds", "peak_memory_gb", "read_ms", "worker_memory_gb"]

SIDE = 15  # of a stamp [pixel]
TURNS = 5


def frame_seconds(folder: Path, setups: Sequence[CcdSetup]) -> float:
    """CPU time in which a frame is read, its sky and stars are measured and it is written [s].

    Parameters
    ----------
    folder : Path
        For all files, which are deleted.
    setups : sequence of CcdSetup
        Two, that differ in the number of frames: what is done once for all frames is left out.
    """
    totals = []
    for setup in setups:
        made = prepare_ccd(folder / "frames", setup)
        totals.append(made.batches_s)
        shutil.rmtree(made.folder)
    return (totals[1] - totals[0]) / (setups[1].n_times - setups[0].n_times)


def worker_memory_gb(folder: Path, setup: CcdSetup) -> float:
    """Largest memory of a process that does nothing but prepare frames [GB].

    Parameters
    ----------
    folder : Path
        For all files, which are deleted.
    setup : CcdSetup
    """
    folder = folder / "memory"
    write_ccd_field(folder, setup)
    # A new process: the simulation needs memory of its own.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        largest = pool.submit(_memory_of, folder, setup).result()
    shutil.rmtree(folder)
    return largest


def _memory_of(folder: Path, setup: CcdSetup) -> float:
    prepare_written(folder, setup)
    return peak_memory_gb()


def peak_memory_gb() -> float:
    """Largest memory of this process so far [GB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def read_ms(made: PreparedCcd) -> float:
    """Wall time in which the raw pixels and errors of a stamp come from open files [ms]."""
    with PreparedField(made.prepared) as field:
        return _median_ms(field.pixels)


def copies_read_ms(made: PreparedCcd, n_frames: int) -> float:
    """The same of many frames, in copies of the batches that there are [ms]."""
    batches = sorted(made.folder.glob("frames*.h5"))
    with PreparedField(made.prepared) as field:
        sizes = [len(one.rows) for one in field.batches]
    folder = made.folder / "copies"
    folder.mkdir()
    listed: list[BatchRows] = []
    first = 0
    while first < n_frames:
        number = min(sizes[0], n_frames - first)
        path = Path(shutil.copy(batches[0], folder / f"{first}.h5"))
        rows = np.where(np.arange(sizes[0]) < number, first + np.arange(sizes[0]), -1)
        listed.append(BatchRows(path, rows))
        first += number
    with FramePixels(listed, n_frames) as pixels:
        found = _median_ms(pixels.read)
    shutil.rmtree(folder)
    return found


def _median_ms(read: Callable[[str, slice, slice], np.ndarray]) -> float:
    times = []
    for k in range(TURNS + 1):
        part = slice(20 + 9 * k, 20 + 9 * k + SIDE), slice(30 + 7 * k, 30 + 7 * k + SIDE)
        start = time.perf_counter()
        read("images", *part)
        read("images_err", *part)
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times[1:]))
