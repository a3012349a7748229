"""What the workflow made of a scenario, beside its truth: entries of the star catalogue joined to true stars."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from scipy.spatial import cKDTree

from benchmarks.truth.series import SERIES
from gaiaflux.sim.scene import Scene

__all__ = [
    "MATCH_WIDTHS",
    "METHODS",
    "REAL_SNR",
    "Fluxes",
    "Measured",
    "Truth",
    "joined",
    "match_by_place",
    "read_measured",
]

METHODS = ("aperture", "psf")
MATCH_WIDTHS = 0.7
REAL_SNR = 1.5
NEAR_WIDTHS, NEAR_SHARE = 2.0, 0.1
ALONE_WIDTHS, ALONE_SHARE = 3.0, 0.01


@dataclass(frozen=True)
class Truth:
    """True stars; arrays of shape (n_stars, n_frames) unless said otherwise, NaN where a star is far from the frame.

    Attributes
    ----------
    source_id : ndarray of int64, shape (n_stars,)
        Of the catalogue; -1 for stars that it lacks.
    kind : ndarray of uint8, shape (n_stars,)
        0 for constant stars.
    x, y : ndarray
        Places [pixel].
    flux, sigma : ndarray
        Total flux and the error of an optimal fit [electron].
    relative : ndarray
        Flux over that at the mean magnitude.
    width : ndarray
        Width of the star [pixel].
    """

    source_id: np.ndarray
    kind: np.ndarray
    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    sigma: np.ndarray
    relative: np.ndarray
    width: np.ndarray

    @property
    def snr(self) -> np.ndarray:
        """Signal-to-noise ratio of the optimal fit."""
        return self.flux / self.sigma


@dataclass(frozen=True)
class Fluxes:
    """One method's results; arrays of shape (n_entries, n_frames) in the dataset's units."""

    flux: np.ndarray
    flux_err: np.ndarray
    flux_cal: np.ndarray
    flux_cal_err: np.ndarray
    flags: np.ndarray


@dataclass(frozen=True)
class Measured:
    """Everything that is scored.

    Attributes
    ----------
    truth : Truth
        With the columns of the scene's frames.
    shape : tuple of int
        (ny, nx) of the images.
    scale : mapping of str to float
        Electron of a unit of each method's fluxes in one exposure, with the true gain.
    status : list of str
        Of each frame.
    frame_flags : ndarray of uint32, shape (n_frames,)
        Bits of `gaiaflux.model.flags.FrameFlag`.
    wcs_header : list of str
        FITS cards of each frame's plate solution.
    reference : int
        Frame of the reference image.
    x_ref, y_ref : ndarray, shape (n_entries,)
        Places of the entries on the reference image [pixel].
    source_id : ndarray of int64, shape (n_entries,)
        Of the entries.
    methods : mapping of str to Fluxes
        By method.
    star : ndarray of int64, shape (n_entries,)
        True star that an entry stands for: by its source_id, else by its place; -1 for none.
    """

    truth: Truth
    shape: tuple[int, int]
    scale: Mapping[str, float]
    status: list[str]
    frame_flags: np.ndarray
    wcs_header: list[str]
    reference: int
    x_ref: np.ndarray
    y_ref: np.ndarray
    source_id: np.ndarray
    methods: Mapping[str, Fluxes]
    star: np.ndarray

    @property
    def on_reference(self) -> np.ndarray:
        """Entries whose place is on the reference image; of bool, shape (n_entries,)."""
        ny, nx = self.shape
        with np.errstate(invalid="ignore"):
            return (self.x_ref > -0.5) & (self.x_ref < nx - 0.5) & (self.y_ref > -0.5) & (self.y_ref < ny - 0.5)

    def by_place(self) -> np.ndarray:
        """True star at the place of each entry on the reference image, -1 for none; shape (n_entries,)."""
        rows = np.flatnonzero(self.on_reference)
        found = np.full(len(self.x_ref), -1)
        found[rows] = match_by_place(self.truth, self.reference, self.x_ref[rows], self.y_ref[rows])
        return found

    def quiet(self, widths: float = NEAR_WIDTHS, share: float = NEAR_SHARE) -> np.ndarray:
        """True stars on the reference image that in no frame have a neighbour of more than a share of their light.

        Parameters
        ----------
        widths : float
            So near [width of the star in the frame of the poorest seeing].
        share : float
            Light of a neighbour over the star's.

        Returns
        -------
        ndarray of bool, shape (n_stars,)
        """
        truth, j = self.truth, self.reference
        rows = np.flatnonzero(np.isfinite(truth.x[:, j]))
        x, y, flux = (a[rows, j] for a in (truth.x, truth.y, truth.flux))
        width = np.nanmax(truth.width[rows], axis=1)
        pairs = cKDTree(np.c_[x, y]).query_pairs(widths * width.max(), output_type="ndarray")
        quiet = np.zeros(len(truth.source_id), dtype=bool)
        quiet[rows] = True
        for one, other in ((0, 1), (1, 0)):
            i, k = pairs[:, one], pairs[:, other]
            near = np.hypot(x[i] - x[k], y[i] - y[k]) < widths * width[i]
            quiet[rows[i[near & (flux[k] > share * flux[i])]]] = False
        return quiet

    def alone(self) -> np.ndarray:
        """True stars whose neighbours cannot put more than 1 % of their light into an aperture; shape (n_stars,)."""
        return self.quiet(ALONE_WIDTHS, ALONE_SHARE)


def match_by_place(truth: Truth, frame: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Join places to true stars of a frame, one to one, the brightest stars first and each with the nearest place.

    Parameters
    ----------
    truth : Truth
        Stars; those of a signal-to-noise ratio below `REAL_SNR` count only outside of the image, where no ratio is
        known.
    frame : int
        Frame.
    x, y : ndarray, shape (n,)
        Places [pixel].

    Returns
    -------
    ndarray of int64, shape (n,)
        Row of the star within 0.7 of its width, -1 for none.
    """
    found = np.full(len(x), -1)
    with np.errstate(invalid="ignore"):
        real = np.isfinite(truth.x[:, frame]) & ~(truth.snr[:, frame] < REAL_SNR) | (truth.sigma[:, frame] == np.inf)
    rows = np.flatnonzero(real & np.isfinite(truth.x[:, frame]))
    rows = rows[np.argsort(-truth.flux[rows, frame])]
    if len(x) == 0 or len(rows) == 0:
        return found
    tree = cKDTree(np.c_[x, y])
    for row in rows:
        place = truth.x[row, frame], truth.y[row, frame]
        near = [k for k in tree.query_ball_point(place, MATCH_WIDTHS * truth.width[row, frame]) if found[k] < 0]
        if near:
            found[min(near, key=lambda k: np.hypot(x[k] - place[0], y[k] - place[1]))] = row
    return found


def read_measured(folder: Path, scene: Scene) -> Measured:
    """Read the dataset and the truth of a scenario.

    Parameters
    ----------
    folder : Path
        Files and results.
    scene : Scene
        What was simulated.

    Returns
    -------
    Measured
    """
    results = folder / "results" / SERIES
    with np.load(folder / "truth.npz") as file:
        truth = Truth(**{name: file[name] for name in Truth.__dataclass_fields__})
    reference = json.loads((results / "reference.json").read_text(encoding="utf-8"))["frame_id"]
    names = [scene.frame_id(index) for index in range(len(scene))]
    with h5py.File(results / "dataset.h5") as file:
        listed = list(file["frames/frame_id"].asstr())
        columns = [listed.index(name) for name in names]
        texts = {name: list(file[f"frames/{name}"].asstr()) for name in ("status", "wcs_header")}
        frame_flags = file["frames/flags"][()][columns]
        source_id, x_ref, y_ref = (file[f"stars/{name}"][()] for name in ("source_id", "x_ref", "y_ref"))
        methods, scale = {}, {}
        units = {"electron/s": 1.0, "adu/s": scene.config.camera.gain}
        for method in METHODS:
            group = file[method]
            methods[method] = Fluxes(*(group[name][()][:, columns] for name in Fluxes.__dataclass_fields__))
            scale[method] = scene.config.night.exptime_s * units[group["flux"].attrs["unit"]]
    made = Measured(
        truth=truth,
        shape=scene.config.camera.shape,
        scale=scale,
        status=[texts["status"][k] for k in columns],
        frame_flags=frame_flags,
        wcs_header=[texts["wcs_header"][k] for k in columns],
        reference=names.index(reference),
        x_ref=x_ref,
        y_ref=y_ref,
        source_id=source_id,
        methods=methods,
        star=np.full(len(source_id), -1),
    )
    made.star[:] = joined(made)
    return made


def joined(measured: Measured) -> np.ndarray:
    """True star of each entry: what an astronomer who asks for a Gaia star gets, and the star at the place else.

    Parameters
    ----------
    measured : Measured
        Its `star` does not count.

    Returns
    -------
    ndarray of int64, shape (n_entries,)
        Row of the truth, -1 for none.
    """
    truth = measured.truth
    place = {int(number): row for row, number in enumerate(truth.source_id) if number > 0}
    star = np.array([place.get(int(number), -1) for number in measured.source_id], dtype=np.int64)
    taken = set(star[star >= 0])
    rows = np.flatnonzero((measured.source_id <= 0) & measured.on_reference)
    found = match_by_place(truth, measured.reference, measured.x_ref[rows], measured.y_ref[rows])
    star[rows] = [row if row not in taken else -1 for row in found]
    return star
