"""A scenario: what a series of images is made of, apart from its seed."""

import dataclasses

from gaiaflux.sim.conditions import Night
from gaiaflux.sim.field import FieldConfig
from gaiaflux.sim.imperfect_camera import ImperfectCamera
from gaiaflux.sim.optics import Optics
from gaiaflux.sim.structure import SkyStructure

__all__ = ["FIELD", "NIGHT", "Scenario", "Stars"]

NIGHT = Night(exptime_s=120.0, sky_mag=19.3, clouds_mag=0.85, cloud_gradient=0.01, dither_arcsec=60.0)
"""A night with the Moon and thin clouds: the sky makes most of the noise. The telescope is pointed anew each time."""

FIELD = FieldConfig(stars_in_frame=800, brightest=11.5, slope=0.24)
"""A field of intermediate latitude: 30 to 40 stars above a signal-to-noise ratio of 300 in a frame of 1024 x 1024."""


@dataclasses.dataclass(frozen=True)
class Stars:
    """Stars, and what the catalogue says of them.

    Attributes
    ----------
    field : FieldConfig
        Stars all over the field, and the catalogue's limits.
    bright : int
        Further stars of G = 7.5 to 9.5 on the frame.
    cluster : int
        Further stars in a globular cluster in the middle of the frame.
    cluster_core_arcsec : float
        Its core radius [arcsec].
    events : int
        Microlensing events of stars with a companion that is 0.5 to 1.5 arcsec away and up to 1 mag fainter.
    bad_rows : float
        Part of the catalogue's rows that are wrong: in turn misplaced by 1 to 4 arcsec, wrong by 1 to 3 mag, and of a
        fast star without its motion.
    """

    field: FieldConfig = FIELD
    bright: int = 0
    cluster: int = 0
    cluster_core_arcsec: float = 15.0
    events: int = 0
    bad_rows: float = 0.0


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A series of images.

    Attributes
    ----------
    name : str
        Letters, digits and _.
    sentence : str
        What is special, for tables.
    stars : Stars
        Stars and catalogue.
    optics : Optics
        Point-spread function.
    sky : SkyStructure
        Structure of the sky.
    chip : ImperfectCamera
        Camera.
    night : Night
        Seeing, clouds, sky, pointing; its Moffat exponent, ellipticity and width over the field do not count.
    n_frames : int
        Frames.
    kind : str
        ``sparse`` or ``crowded``.
    """

    name: str
    sentence: str
    stars: Stars = dataclasses.field(default_factory=Stars)
    optics: Optics = dataclasses.field(default_factory=Optics)
    sky: SkyStructure = dataclasses.field(default_factory=SkyStructure)
    chip: ImperfectCamera = dataclasses.field(default_factory=ImperfectCamera)
    night: Night = NIGHT
    n_frames: int = 12
    kind: str = "sparse"

    def resized(self, side: int | None, n_frames: int | None) -> "Scenario":
        """The same sky on a square image of another side [pixel], or with another number of frames; None: as it is."""
        result = self if n_frames is None else dataclasses.replace(self, n_frames=n_frames)
        camera, stars = self.chip.camera, self.stars
        if side is None or (side, side) == camera.shape:
            return result
        share = side * side / (camera.shape[0] * camera.shape[1])
        small = dataclasses.replace(
            camera, shape=(side, side), distortion_arcsec=camera.distortion_arcsec * (side / camera.shape[1]) ** 3
        )
        numbers = {name: round(getattr(stars, name) * share) for name in ("bright", "cluster", "events")}
        field = dataclasses.replace(stars.field, stars_in_frame=round(stars.field.stars_in_frame * share))
        return dataclasses.replace(
            result,
            chip=dataclasses.replace(self.chip, camera=small),
            stars=dataclasses.replace(stars, field=field, **numbers),
        )
