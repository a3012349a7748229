"""Files of a simulated CCD in the forms of the mission and of TICA, with its catalogue, responses and truth."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from astropy.io import fits

from gaiaflux.core.sky.focal_plane import CCD_SHAPE, FIRST_SCIENCE_COLUMN
from gaiaflux.core.sky.projection import pixel_to_sky
from gaiaflux.model.wcs import TanSip
from gaiaflux.sim.tess.ccd import SimulatedCcd, SimulatedFrame, exposure_s, simulate_ccd
from gaiaflux.sim.tess.ccd_headers import HeaderTimes, header_of, image_cards, primary_cards, sip_cards, utc_date
from gaiaflux.sim.tess.ccd_setup import CcdSetup
from gaiaflux.sim.tess.ccd_stars import catalog_of
from gaiaflux.sim.tess.ccd_tica import tica_cards, tica_name
from gaiaflux.sim.tess.ccd_truth import TruthWriter
from gaiaflux.sim.tess.field import light_time_d
from gaiaflux.sim.tess.files import write_catalog_rows, write_responses

__all__ = [
    *("FRAME_WRITERS", "Layout", "spoc_name", "stated_wcs"),
    *("write_ccd_field", "write_spoc_frame", "write_tica_frame"),
]

TRAILING_COLUMNS, TRAILING_ROWS = 44, 30
# Noise of pixels that see no sky, and what is stated of it [electron/s].
VIRTUAL_SCATTER, VIRTUAL_ERR = 0.05, 0.0344
# What is sent down is rounded; so that files pack well, the errors are as well [electron/s].
FLUX_STEP, ERR_STEP = 1 / 64, 1 / 1024
MIDDLE = (1067.0, 1023.0)  # for which the barycentric correction holds, 0-based
# The numbers of cadences began then [BTJD].
COUNTED_FROM = 1227.46
SOLUTION, VIRTUAL = 10, 11  # second numbers of the seeds
PACK_LEVEL = 5


@dataclass(frozen=True)
class Layout:
    """Where the science pixels are in a file.

    Attributes
    ----------
    shape : tuple of int
        (rows, columns) of the file's images.
    before : int
        Virtual columns before the science pixels.
    corner : tuple of int
        Column and row of the CCD of the file's first pixel, 0-based.
    """

    shape: tuple[int, int]
    before: int
    corner: tuple[int, int]

    @classmethod
    def of(cls, setup: CcdSetup) -> "Layout":
        """The layout of a part of the CCD: virtual columns and rows are there where it reaches to them."""
        ny, nx = setup.shape
        before = FIRST_SCIENCE_COLUMN if setup.first_column == FIRST_SCIENCE_COLUMN else 0
        behind = TRAILING_COLUMNS if setup.first_column + nx == FIRST_SCIENCE_COLUMN + CCD_SHAPE[1] else 0
        above = TRAILING_ROWS if setup.first_row + ny == CCD_SHAPE[0] else 0
        return cls((ny + above, before + nx + behind), before, (setup.first_column - before, setup.first_row))

    def filled(self, science: np.ndarray, around: np.ndarray | float) -> np.ndarray:
        """An image of the file, float32: science pixels with something around them."""
        image = np.empty(self.shape, np.float32)
        image[:] = around
        image[: science.shape[0], self.before : self.before + science.shape[1]] = science
        return image


def stated_wcs(ccd: SimulatedCcd, k: int, corner: tuple[int, int], error_pix: float) -> TanSip:
    """Plate solution that a file states: of the frame's pointing, with an error.

    Parameters
    ----------
    ccd : SimulatedCcd
    k : int
        Frame.
    corner : tuple of int
        Column and row of the CCD that are the solution's first pixel.
    error_pix : float
        Scatter of the error in x and y.

    Returns
    -------
    TanSip
    """
    plate, motion = ccd.plate, ccd.motion
    shift = np.ravel(motion.moved(k, *(np.array([one]) for one in plate.crpix)))
    shift = shift + np.random.default_rng([ccd.setup.seed, SOLUTION, k]).normal(0.0, error_pix, 2)
    cos, sin = np.cos(motion.turn[k]), np.sin(motion.turn[k])
    grown = (1.0 + motion.stretch[k]) * np.array([[cos, -sin], [sin, cos]])
    crpix = (float(plate.crpix[0] + shift[0]) - corner[0], float(plate.crpix[1] + shift[1]) - corner[1])
    return replace(plate, crpix=crpix, cd=plate.cd @ np.linalg.inv(grown))


@dataclass(frozen=True)
class FrameFile:
    """What a file of a frame is made from.

    Attributes
    ----------
    ccd : SimulatedCcd
    frame : SimulatedFrame
    layout : Layout
    wcs : TanSip
        That it states, in coordinates of the file.
    times : HeaderTimes
    cadenceno : int
        As the mission counts.
    data_release : int
    """

    ccd: SimulatedCcd
    frame: SimulatedFrame
    layout: Layout
    wcs: TanSip
    times: HeaderTimes
    cadenceno: int
    data_release: int

    def image(self, science: np.ndarray, around: np.ndarray | float, step: float) -> np.ndarray:
        """An image of the file, rounded."""
        empty = self.frame.index in self.ccd.setup.zero_frames
        image = self.layout.filled(science, 0.0 if empty else around)
        return np.round(image / np.float32(step)) * np.float32(step)

    def calibrated(self) -> np.ndarray:
        """The frame as the mission calibrates it [electron/s]."""
        rng = np.random.default_rng([self.ccd.setup.seed, VIRTUAL, self.frame.index])
        around = rng.standard_normal(self.layout.shape, np.float32) * np.float32(VIRTUAL_SCATTER)
        return self.image(self.frame.flux, around, FLUX_STEP)


def write_spoc_frame(folder: Path, made: FrameFile, *, packed: bool) -> Path:
    """Write a frame as the mission's pipeline does.

    Parameters
    ----------
    folder : Path
    made : FrameFile
    packed : bool
        Whether by gzip.

    Returns
    -------
    Path
    """
    setup, times = made.ccd.setup, made.times
    files = fits.HDUList([fits.PrimaryHDU()])
    files[0].header.extend(header_of(primary_cards(setup, times, made.cadenceno, made.data_release)))
    head = header_of(image_cards(setup, times, made.frame.quality, made.layout.corner))
    head.extend(header_of(sip_cards(made.wcs)))
    images = (("cal", made.calibrated()), ("uncert", made.image(made.frame.flux_err, VIRTUAL_ERR, ERR_STEP)))
    for kind, image in images:
        hdu = fits.ImageHDU(image)
        hdu.header.extend(head.copy())
        hdu.header["EXTNAME"], hdu.header["IMAGTYPE"] = f"CAMERA.CCD {setup.camera}.{setup.ccd} {kind}", kind
        files.append(hdu)
    return _write(folder / spoc_name(setup, times), files, packed)


def spoc_name(setup: CcdSetup, times: HeaderTimes) -> str:
    """Name of a frame's file as the mission gives it, not packed.

    Parameters
    ----------
    setup : CcdSetup
    times : HeaderTimes
        The start counts.

    Returns
    -------
    str
    """
    stamp = utc_date(times.start).strftime("%Y%j%H%M%S")
    return f"tess{stamp}-s{setup.sector:04d}-{setup.camera}-{setup.ccd}-0120-s_ffic.fits"


def write_tica_frame(folder: Path, made: FrameFile, *, packed: bool) -> Path:
    """Write a frame as TICA does: electrons of an exposure, times at the spacecraft, no errors.

    Parameters
    ----------
    folder : Path
    made : FrameFile
    packed : bool
        Whether by gzip.

    Returns
    -------
    Path
    """
    hdu = fits.PrimaryHDU(made.calibrated() * np.float32(exposure_s(made.ccd.setup)))
    hdu.header.extend(header_of(tica_cards(made.ccd, made.frame, made.cadenceno, made.layout.corner)))
    hdu.header.extend(header_of(sip_cards(made.wcs)))
    return _write(folder / tica_name(made.ccd, made.frame, made.cadenceno), fits.HDUList([hdu]), packed)


FRAME_WRITERS: dict[str, Callable[..., Path]] = {"spoc": write_spoc_frame, "tica": write_tica_frame}
"""Who writes a frame, by the origin of its form."""


def write_ccd_field(
    folder: Path,
    setup: CcdSetup,
    origin: str = "spoc",
    *,
    packed: bool = False,
    data_release: int = 64,
    error_pix: float = 0.02,
) -> SimulatedCcd:
    """Write all files of a CCD: its frames in ``ffi/``, ``catalog.csv``, ``prf/`` and ``truth.npz``.

    Parameters
    ----------
    folder : Path
        Is made where it is missing.
    setup : CcdSetup
    origin : str
        Of the form of the frames, one of `FRAME_WRITERS`.
    packed : bool
        Whether frames are packed by gzip.
    data_release : int
        Of one whose clock is right: the times are the true ones.
    error_pix : float
        Scatter of the plate solutions' errors in x and y.

    Returns
    -------
    SimulatedCcd
        What is true.
    """
    write = FRAME_WRITERS[origin]
    (folder / "ffi").mkdir(parents=True, exist_ok=True)
    ccd, layout = simulate_ccd(setup), Layout.of(setup)
    place = [float(np.squeeze(one)) for one in pixel_to_sky(ccd.plate, *MIDDLE)]
    corrections = light_time_d(ccd.btjd, *place)
    truth = TruthWriter(ccd)
    for k in range(setup.n_times):
        frame = ccd.frame(k)
        times = HeaderTimes(frame.btjd, setup.exposure_d, float(corrections[k]))
        number = round((setup.start_btjd - 0.5 * setup.exposure_d - COUNTED_FROM) / setup.exposure_d) + frame.cadenceno
        wcs = stated_wcs(ccd, k, layout.corner, error_pix)
        path = write(folder / "ffi", FrameFile(ccd, frame, layout, wcs, times, number, data_release), packed=packed)
        truth.add(frame, path.name, number)
    truth.write(folder / "truth.npz")
    write_catalog_rows(folder / "catalog.csv", catalog_of(setup, ccd.catalogued, ccd.plate))
    write_responses(folder / "prf", setup)
    return ccd


def _write(path: Path, files: fits.HDUList, packed: bool) -> Path:
    # What astropy would verify is tested; it takes longer than to make the frame.
    if not packed:
        files.writeto(path, overwrite=True, output_verify="ignore")
        return path
    stream = BytesIO()
    files.writeto(stream, output_verify="ignore")
    path = path.with_name(path.name + ".gz")
    # Without the time of packing the same frame is the same file.
    path.write_bytes(gzip.compress(stream.getvalue(), PACK_LEVEL, mtime=0))
    return path
