"""How the stars move over a CCD: shift, turn about the camera's centre, and scale, from frame to frame."""

from dataclasses import dataclass

import numpy as np

from gaiaflux.sim.tess.ccd_setup import CcdSetup, camera_centre
from gaiaflux.sim.tess.pointing import simulate_pointing

__all__ = ["CcdMotion", "simulate_motion"]

JITTER_PIX = (0.005, 0.005)
JITTER_TURN = 1.5e-7
# Lengths of the paths of dumps [pixel], and the places on one at which the light is made.
SMEARED_PIX = (0.5, 1.2)
PLACES = 16
SAFE_PIX = (37.3, -21.6)


@dataclass(frozen=True)
class CcdMotion:
    """Where stars are in each frame against their reference.

    Attributes
    ----------
    shift : ndarray of float64, shape (n, 2)
        Of the camera's centre, the mean of the exposure [pixel].
    turn : ndarray of float64, shape (n,)
        About the camera's centre, from x to y [rad].
    stretch : ndarray of float64, shape (n,)
        Change of scale.
    path : ndarray of float64, shape (n, 2)
        How far the image moves during the exposure [pixel]; 0 but in dumps.
    dump : ndarray of bool, shape (n,)
    centre : tuple of float
        Column and row of the camera's axis.
    """

    shift: np.ndarray
    turn: np.ndarray
    stretch: np.ndarray
    path: np.ndarray
    dump: np.ndarray
    centre: tuple[float, float]

    def moved(self, k: int, column: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean shift in x and y of places of the CCD in frame k [pixel]."""
        across, along = column - self.centre[0], row - self.centre[1]
        turn, stretch = self.turn[k], self.stretch[k]
        # An exact turn, then the change of scale.
        cos, sin = np.cos(turn) - 1.0, np.sin(turn)
        x, y = cos * across - sin * along, sin * across + cos * along
        return (
            self.shift[k, 0] + x + stretch * (across + x),
            self.shift[k, 1] + y + stretch * (along + y),
        )

    def places(self, k: int) -> np.ndarray:
        """Offsets from the mean at which frame k sees its stars for equal times, shape (n_places, 2) [pixel]."""
        if not self.path[k].any():
            return np.zeros((1, 2))
        return ((np.arange(PLACES) + 0.5) / PLACES - 0.5)[:, None] * self.path[k]


def simulate_motion(setup: CcdSetup, elapsed_d: np.ndarray, rng: np.random.Generator) -> CcdMotion:
    """Draw the motion.

    Parameters
    ----------
    setup : CcdSetup
    elapsed_d : ndarray, shape (n,)
        Increasing, from the first frame [d].
    rng : Generator

    Returns
    -------
    CcdMotion
    """
    n = len(elapsed_d)
    pointing = simulate_pointing(
        elapsed_d,
        rng,
        jitter_pix=JITTER_PIX,
        error_pix=0.0,
        exposure_d=setup.exposure_d,
        dump_every_d=setup.dump_every_d,
    )
    phase = 2.0 * np.pi * elapsed_d / setup.orbit_d
    start = rng.uniform(0.0, 2.0 * np.pi, 3)
    turn = setup.roll_rad * (0.7 * np.sin(phase + start[0]) + 0.3 * np.sin(3.7 * phase + start[1]))
    turn += rng.normal(0.0, JITTER_TURN, n)
    angle, length = rng.uniform(0.0, 2.0 * np.pi, n), rng.uniform(*SMEARED_PIX, n) * pointing.dump
    shift = pointing.shift.copy()
    safe = list(setup.safe_frames)
    shift[safe] += SAFE_PIX
    return CcdMotion(
        shift,
        turn,
        setup.stretch * np.sin(0.5 * phase + start[2]),
        length[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1),
        pointing.dump,
        camera_centre(setup),
    )
