"""What is true of a simulated CCD, as a file: light of the stars, sky, motion, times."""

from pathlib import Path

import numpy as np

from gaiaflux.sim.tess.ccd import SimulatedCcd, SimulatedFrame

__all__ = ["TruthWriter"]

SKY_STEP = 32  # of the grid on which the sky is kept [pixel]


class TruthWriter:
    """Gathers what is true of each frame while they are made.

    Parameters
    ----------
    ccd : SimulatedCcd
    """

    def __init__(self, ccd: SimulatedCcd) -> None:
        self.ccd = ccd
        ny, nx = ccd.setup.shape
        self.columns, self.rows = (
            first + np.unique(np.append(np.arange(0, n, SKY_STEP), n - 1))
            for first, n in ((ccd.setup.first_column, nx), (ccd.setup.first_row, ny))
        )
        self.sky: list[np.ndarray] = []
        self.names: list[str] = []
        self.numbers: list[int] = []

    def add(self, frame: SimulatedFrame, name: str, cadenceno: int) -> None:
        """Take a frame, the name of its file and the mission's number of its cadence."""
        light = self.ccd.sky_at(frame.index, self.columns, self.rows)
        self.sky.append((light.steady + light.scattered).astype(np.float32))
        self.names.append(name)
        self.numbers.append(cadenceno)

    def write(self, path: Path) -> None:
        """Write ``truth.npz``.

        Parameters
        ----------
        path : Path

        Notes
        -----
        ``star_*`` are of all stars: their number, place in the part that is imaged at shift 0 [pixel, 0-based],
        magnitude, light where nothing happens [electron/s] and whether the catalogue has it. ``relative`` is the light
        of the first of them in each frame, 1 where nothing happens; all others are constant. ``sky`` [electron/s] is
        what a column without strap and a pixel of response 1 see, at ``sky_columns``, ``sky_rows`` of the CCD;
        ``sky_response`` and ``straps`` are of the pixels and columns. A place (column, row) of the CCD is moved by
        ``shift`` + (turn and stretch about ``centre``).
        """
        ccd = self.ccd
        stars, motion = ccd.catalogued, ccd.motion
        np.savez_compressed(
            path,
            names=np.array(self.names),
            cadenceno=np.array(self.numbers, np.int64),
            btjd=ccd.btjd,
            quality=ccd.quality,
            star_id=stars.starid,
            star_x=stars.x,
            star_y=stars.y,
            star_tmag=stars.tmag,
            star_flux=stars.flux,
            star_listed=stars.listed,
            relative=ccd.relative,
            shift=motion.shift,
            turn=motion.turn,
            stretch=motion.stretch,
            path=motion.path,
            centre=np.array(motion.centre),
            sky=np.array(self.sky),
            sky_columns=self.columns,
            sky_rows=self.rows,
            sky_response=(ccd.response.pixels - 1.0).astype(np.float16),
            straps=ccd.response.straps,
            corner=np.array([ccd.setup.first_column, ccd.setup.first_row]),
        )
