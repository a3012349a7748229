"""What atmosphere, telescope and pixels make of a star, as tables on an oversampled grid.

Light of the seeing is spread by the geometrical aberrations of the pupil (defocus, coma), an aureole is added, and the
whole is integrated over the pixel with its response. Nothing is fitted and no formula of a PSF model is used.
"""

from dataclasses import dataclass

import numpy as np

from gaiaflux.sim.round_profiles import ROUND_PROFILES, RoundProfile

__all__ = ["OVERSAMPLING", "REACH_PIX", "Optics", "Spread", "pixel_weights", "spread_table"]

OVERSAMPLING = 9
"""Points of a table in a pixel, along each axis; odd, so that a pixel is a whole number of points about its middle."""

REACH_PIX = 150.0
"""No light of a star falls farther than this from it; "total" means within it [pixel]."""

OBSTRUCTION = 0.35
PUPIL_POINTS = 201
UNEVENNESS = 0.2
AUREOLE_CORE_FWHM = 1.5


@dataclass(frozen=True)
class Optics:
    """How the stars of a series look.

    Attributes
    ----------
    profile : str
        Seeing: a key of `ROUND_PROFILES`.
    ellipticity : float
        1 - b/a of the seeing, with an angle of its own in each frame.
    widening : float
        Relative growth of the FWHM from the middle of the image to its corners.
    aureole : float
        Part of the light in an aureole whose brightness falls as r^-2 from 1.5 FWHM to `REACH_PIX` (King 1971, PASP
        83, 199).
    coma : float
        Coma in the corners, in units of the FWHM; the flare is three times as long. It grows with the distance from
        the middle and points away from it.
    defocus_pix : float
        Outer radius of the pupil's image [pixel]; 0 in focus.
    edge_loss : float
        Sensitivity that a pixel lacks at its edges; its mean response is 1.
    """

    profile: str = "moffat"
    ellipticity: float = 0.06
    widening: float = 0.0
    aureole: float = 0.0
    coma: float = 0.0
    defocus_pix: float = 0.0
    edge_loss: float = 0.0

    @property
    def varies(self) -> bool:
        """Whether stars look different in different parts of the image."""
        return self.widening != 0.0 or self.coma != 0.0


@dataclass(frozen=True)
class Spread:
    """A star's light at one place of one frame.

    Attributes
    ----------
    optics : Optics
        Telescope.
    fwhm : float
        Geometric mean of the widths of the seeing, before aberrations and pixels [pixel].
    angle : float
        Long axis of the seeing, from x towards y [rad].
    aureole_fwhm : float
        FWHM of the frame in its middle, to which the aureole is scaled [pixel].
    place : tuple of float
        (u, v) from -1 to 1 over the image.
    """

    optics: Optics
    fwhm: float
    angle: float
    aureole_fwhm: float
    place: tuple[float, float] = (0.0, 0.0)

    def seeing(self, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
        """Brightness of the seeing alone; its light within `REACH_PIX` is 1 [1/pixel^2]."""
        profile = self._profile
        stretch = np.sqrt(1.0 - self.optics.ellipticity)
        along = (np.cos(self.angle) * dx + np.sin(self.angle) * dy) * stretch
        across = (np.cos(self.angle) * dy - np.sin(self.angle) * dx) / stretch
        total = self.fwhm**2 * profile.light_within(REACH_PIX / self.fwhm)
        return profile.at(np.hypot(along, across) / self.fwhm) / total

    def aureole(self, radius: np.ndarray) -> np.ndarray:
        """Brightness of the aureole alone; its light within `REACH_PIX` is 1 [1/pixel^2]."""
        core = AUREOLE_CORE_FWHM * self.aureole_fwhm
        total = np.pi * core**2 * np.log1p((REACH_PIX / core) ** 2)
        return 1.0 / ((1.0 + (radius / core) ** 2) * total)

    def wing(self, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
        """Brightness far from the middle, where aberrations and pixels do not matter; 0 beyond `REACH_PIX`."""
        radius = np.hypot(dx, dy)
        share = self.optics.aureole
        value = (1.0 - share) * self.seeing(dx, dy)
        if share:
            value += share * self.aureole(radius)
        return np.where(radius <= REACH_PIX, value, 0.0)

    @property
    def aberrations_pix(self) -> float:
        """Largest distance by which pupil aberrations move light [pixel]."""
        return self.optics.defocus_pix + 3.0 * self._coma_pix

    @property
    def _profile(self) -> RoundProfile:
        return ROUND_PROFILES[self.optics.profile]()

    @property
    def _coma_pix(self) -> float:
        return self.optics.coma * self.fwhm * float(np.hypot(*self.place)) / np.sqrt(2.0)

    def pupil_image(self, size: int) -> np.ndarray:
        """Where an annular pupil sends the light of a point, with its centroid in the middle of the table.

        Coma moves light from the pupil's point (r, t) by C r^2 (2 + cos 2t) along its direction and by C r^2 sin 2t
        across it, defocus in proportion to r.

        Parameters
        ----------
        size : int
            Points along each axis, odd.

        Returns
        -------
        ndarray, shape (size, size)
            Sums to 1.
        """
        axis = np.linspace(-1.0, 1.0, PUPIL_POINTS)
        px, py = (a.ravel() for a in np.meshgrid(axis, axis))
        radius, angle = np.hypot(px, py), np.arctan2(py, px)
        open_ = (radius <= 1.0) & (radius >= OBSTRUCTION)
        radius, angle = radius[open_], angle[open_]
        weight = 1.0 + UNEVENNESS * (radius * np.cos(angle - self.angle) if self.optics.defocus_pix else 0.0)
        weight = np.broadcast_to(weight, radius.shape) / np.sum(np.broadcast_to(weight, radius.shape))
        along = self._coma_pix * radius**2 * (2.0 + np.cos(2.0 * angle))
        across = self._coma_pix * radius**2 * np.sin(2.0 * angle)
        turn = np.arctan2(self.place[1], self.place[0])
        x = along * np.cos(turn) - across * np.sin(turn) + self.optics.defocus_pix * radius * np.cos(angle)
        y = along * np.sin(turn) + across * np.cos(turn) + self.optics.defocus_pix * radius * np.sin(angle)
        table = np.zeros((size, size))
        middle = size // 2
        x, y = ((a - np.sum(a * weight)) * OVERSAMPLING + middle for a in (x, y))
        column, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
        right, up = x - column, y - row
        for j, part_y in ((row, 1.0 - up), (row + 1, up)):
            for i, part_x in ((column, 1.0 - right), (column + 1, right)):
                np.add.at(table, (j, i), weight * part_x * part_y)
        return table


def pixel_weights(edge_loss: float) -> np.ndarray:
    """Response along one axis of a pixel at the points of a table, times the step; the sum is 1.

    Parameters
    ----------
    edge_loss : float
        Relative loss at the edge against the middle, growing with the square of the distance from the middle.

    Returns
    -------
    ndarray, shape (OVERSAMPLING,)
    """
    place = (np.arange(OVERSAMPLING) - OVERSAMPLING // 2) / OVERSAMPLING
    weight = 1.0 - edge_loss * (2.0 * place) ** 2
    return weight / weight.sum()


def spread_table(spread: Spread, half: int) -> np.ndarray:
    """Light that a pixel receives, over the offset of its centre from the star.

    Parameters
    ----------
    spread : Spread
        Star.
    half : int
        The table reaches this far from the star [pixel].

    Returns
    -------
    ndarray of float32, shape (n, n), n = 2 half OVERSAMPLING + 1
        The offset is (index - half OVERSAMPLING) / OVERSAMPLING. Every OVERSAMPLING-th point sums to the star's light
        inside; the rest is the wing's.
    """
    pad = OVERSAMPLING * (int(np.ceil(spread.aberrations_pix)) + 1)
    count = half * OVERSAMPLING + pad
    axis = np.arange(-count, count + 1) / OVERSAMPLING
    dx, dy = np.meshgrid(axis, axis)
    share = spread.optics.aureole
    light = spread.seeing(dx, dy)
    if spread.aberrations_pix > 0:
        pupil = spread.pupil_image(len(axis))
        blurred = np.fft.irfft2(np.fft.rfft2(light) * np.fft.rfft2(np.fft.ifftshift(pupil)), s=light.shape)
        light = np.maximum(blurred, 0.0)
    light *= 1.0 - share
    if share:
        light += share * spread.aureole(np.hypot(dx, dy))
    weights = pixel_weights(spread.optics.edge_loss)
    reach = OVERSAMPLING // 2
    for turn in range(2):
        light = sum(w * np.roll(light, k - reach, axis=turn) for k, w in enumerate(weights))
    return np.ascontiguousarray(light[pad:-pad, pad:-pad], dtype=np.float32)
