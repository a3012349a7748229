"""What a method of photometry gets of a frame, and what it gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from gaiaflux.model.catalog import SkyCatalog
from gaiaflux.model.frame import Frame
from gaiaflux.model.wcs import TanSip

__all__ = ["FrameResult", "PlacedFrame"]

_REQUIRED = ("flux", "flux_err", "flags")


@dataclass(frozen=True)
class PlacedFrame:
    """A frame and the places of the catalogue's stars in it.

    Attributes
    ----------
    frame : Frame
        Pixels; those hit by cosmic rays are flagged.
    wcs : TanSip
        Refined plate solution of the frame.
    catalog : SkyCatalog
        The n_stars stars.
    x, y : ndarray of float64, shape (n_stars,)
        Their places at the frame's epoch [pixel, 0-based]; NaN = off the image.
    fwhm_pix : float
        Seeing of the frame, positive.
    """

    frame: Frame
    wcs: TanSip
    catalog: SkyCatalog
    x: np.ndarray
    y: np.ndarray
    fwhm_pix: float


@dataclass(frozen=True)
class FrameResult:
    """What a method has measured in a frame.

    Attributes
    ----------
    attrs : mapping of str to str, bool, int or float
        Facts of the frame; ``status`` is ``ok``.
    stars : mapping of str to ndarray, shape (n_stars, ...)
        One row for each star that was given, in their order: ``flux``, ``flux_err``, ``flags`` and what else the method
        says of each.
    further : mapping of str to ndarray
        Arrays of another kind.

    Raises
    ------
    ValueError
        An array of the stars is missing, has another number of rows, or a name is there twice.
    """

    attrs: Mapping[str, str | bool | int | float]
    stars: Mapping[str, np.ndarray]
    further: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check names and lengths."""
        missing = [name for name in _REQUIRED if name not in self.stars]
        if missing:
            raise ValueError(f"a result without {', '.join(missing)}")
        odd = {name: len(values) for name, values in self.stars.items() if len(values) != self.n_stars}
        if odd:
            raise ValueError(f"{self.n_stars} stars have a flux, but there are rows of others: {odd}")
        twice = self.stars.keys() & self.further.keys()
        if twice:
            raise ValueError(f"{', '.join(sorted(twice))} of the stars and of the frame")

    @property
    def n_stars(self) -> int:
        """Number of stars, measured or not."""
        return len(self.stars["flux"])

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name."""
        return {**self.stars, **self.further}
