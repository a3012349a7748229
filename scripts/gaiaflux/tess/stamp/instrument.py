"""Response functions and pointings of the cameras."""

from functools import cached_property
from pathlib import Path

from gaiaflux.core.psf.sampled import SampledPsf
from gaiaflux.core.sky.focal_plane import Pointing
from gaiaflux.io.tess.pointing import read_pointing
from gaiaflux.io.tess.prf import read_prf

__all__ = ["InstrumentFiles"]


class InstrumentFiles:
    """Response functions and pointings, each read once, when the first target asks for it.

    Parameters
    ----------
    prf_folder : str or Path, optional
        Folder below which there are pixel response functions.
    pointing : str or Path, optional
        CSV with the pointings.
    """

    def __init__(self, prf_folder: str | Path | None, pointing: str | Path | None) -> None:
        self.prf_folder = prf_folder
        self._pointing = pointing
        self._responses: dict[tuple[int, int, int], SampledPsf] = {}

    @cached_property
    def pointings(self) -> dict[tuple[int, int], Pointing] | None:
        """By sector and camera; None where there is no table. Raises as `read_pointing`."""
        return read_pointing(self._pointing) if self._pointing else None

    def response(self, sector: int, camera: int, ccd: int) -> SampledPsf | None:
        """Pixel response function of a CCD; None where there is no folder. Raises as `read_prf`."""
        if self.prf_folder is None:
            return None
        place = (sector, camera, ccd)
        if place not in self._responses:
            self._responses[place] = read_prf(self.prf_folder, *place)
        return self._responses[place]
