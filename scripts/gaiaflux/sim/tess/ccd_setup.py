"""What is simulated of a CCD: its setup, and the plate solution and the places that follow from it."""

from dataclasses import dataclass, field

import numpy as np

from gaiaflux.core.plate.sip import fit_tan_sip
from gaiaflux.core.sky.focal_plane import (
    CCD_SHAPE,
    FIRST_SCIENCE_COLUMN,
    Pointing,
    camera_pointing,
    ccd_of_sky,
    sky_of_ccd,
)
from gaiaflux.core.sky.projection import invert_distortion, linear_tan
from gaiaflux.model.wcs import TanSip
from gaiaflux.sim.tess.ccd_sky import SkySetup
from gaiaflux.sim.tess.stars import StampStar

__all__ = ["CcdSetup", "camera_centre", "plate_solution"]

# Reference pixel of the mission's solutions, 0-based, and the order of their distortion.
REFERENCE = (1044.0, 1000.0)
ORDER = 4
GRID = 25


@dataclass(frozen=True)
class CcdSetup:
    """Full-frame images of a CCD, or of a part of it.

    Attributes
    ----------
    shape : tuple of int
        (ny, nx) of the science pixels that are imaged.
    first_column, first_row : int
        CCD coordinates of the first of them, 0-based, with the 44 virtual columns.
    n_times : int
        Frames that there are; those in gaps and missing ones do not count.
    cadence_s : float
        1800, 600 or 200 on TESS.
    sector, camera, ccd : int
    stars : tuple of StampStar
        Placed by the user, x and y in coordinates of the part [pixel]; no other star is closer than `clear_pix`.
    density : float
        Stars per pixel down to `listed_tmag`; ten times more in three magnitudes. A real frame 42 degrees from the
        plane of the Galaxy (sector 1, camera 1, CCD 4) has 0.05 to T 16.
    brightest, listed_tmag, faintest : float
        TESS magnitudes of the stars that are drawn; those beyond `listed_tmag` are in no catalogue.
    clear_pix : float
    halo : float
        Light that falls wide around a star, in parts of its own and in addition to it; the response ends at 6.5 pixels.
    sky : SkySetup
    rays : float
        Cosmic rays per pixel and second, before anything is done about them.
    mitigated : bool
        Whether they are rejected on board, but for a hundredth.
    gap_d : float
        Length of the gap between two orbits [d].
    missing : int
        Frames that were never sent; fewer where there are few frames.
    orbit_d : float
        Of the spacecraft [d].
    dump_every_d : float
        From one momentum dump to the next [d].
    roll_rad, stretch : float
        Amplitudes of the turn about the camera's centre and of the change of scale.
    zero_frames, safe_frames : tuple of int
        Frames all zero with quality 0, and frames in safe mode, pointed elsewhere.
    start_btjd : float
        Mid-exposure of the first frame at the spacecraft [BTJD].
    spacecraft : Pointing
    seed : int
    """

    shape: tuple[int, int] = (256, 256)
    first_column: int = 944
    first_row: int = 900
    n_times: int = 300
    cadence_s: float = 1800.0
    sector: int = 1
    camera: int = 1
    ccd: int = 3
    stars: tuple[StampStar, ...] = ()
    density: float = 0.01
    brightest: float = 8.0
    listed_tmag: float = 16.0
    faintest: float = 17.0
    clear_pix: float = 6.0
    halo: float = 0.0
    sky: SkySetup = field(default_factory=SkySetup)
    rays: float = 1.1e-5
    mitigated: bool = True
    gap_d: float = 1.0
    missing: int = 2
    orbit_d: float = 13.7
    dump_every_d: float = 2.5
    roll_rad: float = 1.5e-5
    stretch: float = 1e-5
    zero_frames: tuple[int, ...] = ()
    safe_frames: tuple[int, ...] = ()
    start_btjd: float = 1325.3231
    spacecraft: Pointing = field(default_factory=lambda: Pointing(352.6844, -64.8531, 222.1532))
    seed: int = 1

    @property
    def exposure_d(self) -> float:
        """Time from one frame to the next [d]."""
        return self.cadence_s / 86400.0


def camera_centre(setup: CcdSetup) -> tuple[float, float]:
    """Column and row of the camera's axis in coordinates of the CCD, beyond a corner of it [pixel]."""
    axis = camera_pointing(setup.spacecraft, setup.camera)
    column, row = ccd_of_sky(axis, setup.camera, setup.ccd, axis.ra_deg, axis.dec_deg)
    return float(column), float(row)


def plate_solution(setup: CcdSetup) -> TanSip:
    """True plate solution at shift 0, in coordinates of the CCD: the camera's optics as TAN-SIP.

    Parameters
    ----------
    setup : CcdSetup

    Returns
    -------
    TanSip
        With the inverse polynomials; CCD coordinates, 0-based, with the virtual columns.
    """
    axis = camera_pointing(setup.spacecraft, setup.camera)

    def sky(column: float, row: float) -> tuple[float, float]:
        return sky_of_ccd(axis, setup.camera, setup.ccd, column, row)

    columns = FIRST_SCIENCE_COLUMN + np.linspace(0, CCD_SHAPE[1] - 1, GRID)
    rows = np.linspace(0, CCD_SHAPE[0] - 1, GRID)
    x, y = (one.ravel() for one in np.meshgrid(columns, rows))
    ra, dec = np.array([sky(*place) for place in zip(x, y, strict=True)]).T
    middle = sky(*REFERENCE)
    # One pixel along each axis gives scale and turn of the start.
    steps = np.array([sky(REFERENCE[0] + 1.0, REFERENCE[1]), sky(REFERENCE[0], REFERENCE[1] + 1.0)]) - middle
    cd = np.stack([steps[:, 0] * np.cos(np.radians(middle[1])), steps[:, 1]])
    shape = (CCD_SHAPE[0], FIRST_SCIENCE_COLUMN + CCD_SHAPE[1])
    start = linear_tan(middle, REFERENCE, cd, shape)
    return invert_distortion(fit_tan_sip(start, x, y, (ra, dec), order=ORDER, steps=4))
