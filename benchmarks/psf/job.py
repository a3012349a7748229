"""PSF photometry of one frame in a process of its own, by us or by a peer.

``python -m benchmarks.psf.job ours|photutils TASK RESULT``; TASK and RESULT are pickle files. A process
of its own has its own peak memory.
"""

import os
import pickle
import resource
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":  # before numpy is loaded
    os.environ.update(
        dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"], "1")
    )

import numpy as np

from gaiaflux.ground.frame.extraction import mark_spoiled_pixels
from gaiaflux.io.image.frames import FrameSettings, read_frame
from gaiaflux.model.catalog import StarCatalog
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.frame import Frame
from gaiaflux.model.settings.psf import PsfSettings
from gaiaflux.model.wcs import TanSip

__all__ = ["Task", "Used", "read_marked", "run"]

REPOSITORY = Path(__file__).resolve().parents[2]
GROUP_FWHM = 1.5
BETA_STARS = 50  # brightest clean stars that the peer's profile is fitted to
# Photutils' flags of a result that its documentation warns of: part of the pixels, off the image, no convergence or
# covariance, no overlap, masked, too few pixels, not finite.
PHOTUTILS_BAD = 1 | 2 | 8 | 16 | 64 | 128 | 256 | 512 | 1024


@dataclass(frozen=True)
class Task:
    """One frame to measure.

    Attributes
    ----------
    path : Path
        Image.
    frame_id : str
        Its name.
    cosmic_pixels : ndarray
        As `mark_spoiled_pixels` takes them.
    wcs : TanSip
        Plate solution.
    catalog : StarCatalog
        Stars.
    fwhm_pix : float
        Seeing.
    settings : PsfSettings
    x, y : ndarray, shape (n_stars,)
        Where the stars are in the frame, for the peer [pixel].
    inside : tuple of int
        (first, stop) of the rows and columns that the peer measures.
    hold_positions : bool
        Whether the peer fits fluxes alone.
    """

    path: Path
    frame_id: str
    cosmic_pixels: np.ndarray
    wcs: TanSip
    catalog: StarCatalog
    fwhm_pix: float
    settings: PsfSettings
    x: np.ndarray
    y: np.ndarray
    inside: tuple[int, int]
    hold_positions: bool = False


@dataclass
class Used:
    """What a process used, and what it found.

    Attributes
    ----------
    cpu_s : float
        CPU seconds of the photometry without reading the image.
    peak_mb : float
        Peak resident memory of the whole process.
    n_stars : int
        Stars that were measured.
    arrays : dict of str to ndarray
        x, y, flux, flux_err and flags of the stars of the catalogue.
    """

    cpu_s: float
    peak_mb: float
    n_stars: int
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


def run(program: str, task: Task, folder: Path) -> Used:
    """Measure a frame in a process of its own.

    Parameters
    ----------
    program : str
        ``ours`` or ``photutils``.
    task : Task
    folder : Path
        For the files in which task and result are handed over.

    Returns
    -------
    Used
    """
    files = [folder / f"{program}-{kind}.pickle" for kind in ("task", "result")]
    files[0].write_bytes(pickle.dumps(task))
    subprocess.run([sys.executable, "-m", "benchmarks.psf.job", program, *map(str, files)], check=True, cwd=REPOSITORY)
    return pickle.loads(files[1].read_bytes())


def read_marked(path: Path, frame_id: str, cosmic_pixels: np.ndarray) -> Frame:
    """Read a frame as the rules of the photometry do.

    Parameters
    ----------
    path : Path
    frame_id : str
    cosmic_pixels : ndarray
        Pixels with cosmic rays.

    Returns
    -------
    Frame
    """
    frame = read_frame(path, frame_id, FrameSettings(), {})
    return mark_spoiled_pixels(frame, cosmic_pixels, np.empty(0, np.int64))


def _ours(task: Task, frame: Frame) -> tuple[int, dict[str, np.ndarray]]:
    from gaiaflux.ground.frame.star_places import place_stars
    from gaiaflux.ground.photometry.psf import measure_frame

    placed = place_stars(frame, task.wcs, task.catalog, task.fwhm_pix)
    arrays = measure_frame(placed, task.settings).arrays
    return int(np.isfinite(arrays["flux"]).sum()), {key: arrays[key] for key in ("x", "y", "flux", "flux_err", "flags")}


def _photutils(task: Task, frame: Frame) -> tuple[int, dict[str, np.ndarray]]:
    """Sky mesh, one Moffat profile that the brightest stars agree on, stars in groups, all as its manual shows."""
    from astropy.table import Table
    from photutils.background import Background2D, SExtractorBackground
    from photutils.psf import MoffatPSF, PSFPhotometry, SourceGrouper

    warnings.simplefilter("ignore")  # of groups, and of fits that did not converge
    first, stop = task.inside
    part = np.s_[first:stop, first:stop]
    image, error, mask = frame.image[part].astype(float), frame.error[part].astype(float), frame.pixel_flags[part] != 0
    image -= Background2D(image, 64, mask=mask, filter_size=3, bkg_estimator=SExtractorBackground()).background
    rows = np.flatnonzero(
        (task.x > first - 0.5) & (task.x < stop - 0.5) & (task.y > first - 0.5) & (task.y < stop - 0.5)
    )
    places = Table({"x": task.x[rows] - first, "y": task.y[rows] - first})
    side = 2 * round(task.fwhm_pix) + 1
    beta = 3.0
    profile = MoffatPSF(alpha=0.5 * task.fwhm_pix / np.sqrt(2.0 ** (1.0 / beta) - 1.0), beta=beta)
    profile.alpha.fixed = profile.beta.fixed = False
    # The catalogue has the brightest first.
    look = PSFPhotometry(profile, side, aperture_radius=task.fwhm_pix)
    bright = look(image, error=error, mask=mask, init_params=places[: 2 * BETA_STARS])
    clean = bright[(bright["flags"] & PHOTUTILS_BAD) == 0][:BETA_STARS]
    profile = MoffatPSF(alpha=np.median(clean["alpha_fit"]), beta=np.median(clean["beta_fit"]))
    profile.x_0.fixed = profile.y_0.fixed = task.hold_positions
    grouper = SourceGrouper(GROUP_FWHM * task.fwhm_pix)
    fit = PSFPhotometry(profile, side, grouper=grouper, aperture_radius=task.fwhm_pix)
    found = fit(image, error=error, mask=mask, init_params=places)
    arrays = {key: np.full(len(task.x), np.nan) for key in ("flux", "flux_err")}
    arrays |= {"x": task.x, "y": task.y, "flags": np.full(len(task.x), StarFlag.NOT_MEASURED, np.uint32)}
    arrays["flux"][rows], arrays["flux_err"][rows] = found["flux_fit"], found["flux_err"]
    arrays["flags"][rows[(found["flags"] & PHOTUTILS_BAD) == 0]] = 0
    return len(rows), arrays


def _peak_mb() -> float:
    """Peak memory of this process; what `getrusage` says would count what its parent had when it was forked."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024.0**2 if sys.platform == "darwin" else 1024.0)


def main() -> None:
    """Measure, and write what was found and used."""
    program, task_file, result_file = sys.argv[1:]
    task = pickle.loads(Path(task_file).read_bytes())
    frame = read_marked(task.path, task.frame_id, task.cosmic_pixels)
    start = time.process_time()
    n_stars, arrays = {"ours": _ours, "photutils": _photutils}[program](task, frame)
    used = Used(time.process_time() - start, _peak_mb(), n_stars, arrays)
    Path(result_file).write_bytes(pickle.dumps(used))


if __name__ == "__main__":
    # Under its own name, so that the pickles of both processes know the same classes.
    from benchmarks.psf import job

    job.main()
