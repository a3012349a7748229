"""Settings `calibrate`, made from the schema by `gaiaflux.workflow.sections`; edit that instead."""

from dataclasses import dataclass

__all__ = ["CalibrateSettings"]


@dataclass(frozen=True, kw_only=True)
class CalibrateSettings:
    """Zero points of the frames from an ensemble of stars.

    Attributes
    ----------
    spatial_order : int
        Highest order of the polynomial of a frame's zero point over the field; lower where the stars do not support it
        or points that are held out are predicted better.
    max_iterations : int
        Iterations at most.
    min_stars : int
        Stars that a frame's spatial term needs [stars].
    clip_sigma : float
        Deviation at which a measurement is left out of the ensemble [sigma].
    """

    spatial_order: int
    max_iterations: int
    min_stars: int
    clip_sigma: float
