"""Series that tests, benchmarks and the demo use."""

from dataclasses import replace

from gaiaflux.sim.conditions import Night
from gaiaflux.sim.detector import Camera
from gaiaflux.sim.field import FieldConfig
from gaiaflux.sim.series import SeriesConfig

__all__ = ["crowded", "demo", "sparse"]


def sparse(n_frames: int = 20, seed: int = 1, **night: object) -> SeriesConfig:
    """A high-latitude kind of field on 2048 x 2048 pixels.

    Parameters
    ----------
    n_frames : int
        Number of frames.
    seed : int
        Seed.
    **night : object
        Fields of `Night` that differ from its defaults.

    Returns
    -------
    SeriesConfig
        Some 2970 stars a frame, 2000 of them above a signal-to-noise ratio of 5, and 2650 in the catalogue.
    """
    return SeriesConfig(seed=seed, n_frames=n_frames, night=replace(Night(), **night), name="sparse")


def crowded(n_frames: int = 5, seed: int = 2, **night: object) -> SeriesConfig:
    """A field in the Galactic bulge on 2048 x 2048 pixels.

    Parameters
    ----------
    n_frames : int
        Number of frames.
    seed : int
        Seed.
    **night : object
        Fields of `Night` that differ from its defaults.

    Returns
    -------
    SeriesConfig
        Some 20,000 stars a frame, 11,000 to 17,000 above a signal-to-noise ratio of 5, and 10,100 in the catalogue.
    """
    field = FieldConfig(stars_in_frame=20_000, gaia_limit=19.5, gaia_width=0.2)
    return SeriesConfig(seed=seed, n_frames=n_frames, field=field, night=replace(Night(), **night), name="crowded")


def demo(n_frames: int = 28, seed: int = 20260702) -> SeriesConfig:
    """The series that the shipped configuration runs on: one night of a variable sky, 1024 x 1024 pixels.

    Parameters
    ----------
    n_frames : int
        Number of frames.
    seed : int
        Seed.

    Returns
    -------
    SeriesConfig
        Seeing of 1.6 to 2.6 arcsec, clouds of up to 1 mag, a 1 % transit, and a microlensing event compressed into
        hours.
    """
    camera = Camera(shape=(1024, 1024), distortion_arcsec=3.0, bad_columns=3)
    night = Night(
        fwhm_pix=(1.6 / 0.389, 2.6 / 0.389),
        clouds_mag=1.0,
        cloud_gradient=0.02,
        colour_extinction=0.01,
        scintillation=True,
    )
    field = FieldConfig(stars_in_frame=1100)
    return SeriesConfig(seed=seed, n_frames=n_frames, camera=camera, field=field, night=night, name="demo")
