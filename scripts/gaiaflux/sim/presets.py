"""Series that tests, benchmarks and the demo use."""

from dataclasses import replace
from typing import Any

from gaiaflux.sim.conditions import Night
from gaiaflux.sim.detector import Camera
from gaiaflux.sim.field import FieldConfig
from gaiaflux.sim.series import SeriesConfig

__all__ = ["crowded", "demo", "demo_crowded", "sparse", "timeseries"]


def sparse(n_frames: int = 20, seed: int = 1, **night: Any) -> SeriesConfig:
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


def crowded(n_frames: int = 5, seed: int = 2, **night: Any) -> SeriesConfig:
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


def demo_crowded(n_frames: int = 14, seed: int = 20260703) -> SeriesConfig:
    """The crowded series of the demonstration: the density of `crowded` on 512 x 512 pixels.

    Parameters
    ----------
    n_frames : int
        Number of frames.
    seed : int
        Seed.

    Returns
    -------
    SeriesConfig
        Some 1250 stars a frame, half of them in the catalogue; seeing of 1.6 to 2.4 arcsec, clouds of up to 0.5 mag,
        and a microlensing event compressed into hours.
    """
    camera = Camera(shape=(512, 512), distortion_arcsec=1.5, bad_columns=1)
    night = Night(
        cadence_min=32.0,
        fwhm_pix=(1.6 / 0.389, 2.4 / 0.389),
        clouds_mag=0.5,
        cloud_gradient=0.01,
        colour_extinction=0.01,
        scintillation=True,
    )
    field = FieldConfig(centre_deg=(269.9, -28.6), stars_in_frame=1250, gaia_limit=19.5, gaia_width=0.2)
    return SeriesConfig(
        seed=seed, n_frames=n_frames, camera=camera, field=field, night=night, transit=None, name="crowded"
    )


def timeseries(n_frames: int = 100, seed: int = 7) -> SeriesConfig:
    """A night of a variable sky for the calibration of light curves: 1024 x 1024 pixels, one frame in 5 minutes.

    Parameters
    ----------
    n_frames : int
        Number of frames.
    seed : int
        Seed.

    Returns
    -------
    SeriesConfig
        Seeing of 1.6 to 2.5 arcsec, clouds of up to 1 mag with a gradient of 10 mmag for each magnitude, a colour term
        of 20 mmag per magnitude of BP - RP and air mass, scintillation of a 1 m telescope (0.3 mmag through one air
        mass), and more bright stars than the sky has, so that each range of brightness can be judged.
    """
    camera = Camera(shape=(1024, 1024), distortion_arcsec=3.0, bad_columns=3)
    night = Night(
        cadence_min=5.0,
        fwhm_pix=(1.6 / 0.389, 2.5 / 0.389),
        clouds_mag=1.0,
        cloud_gradient=0.01,
        colour_extinction=0.02,
        scintillation=True,
    )
    field = FieldConfig(stars_in_frame=900, brightest=12.0, slope=0.2)
    return SeriesConfig(
        seed=seed, n_frames=n_frames, camera=camera, field=field, night=night, transit=None, name="timeseries"
    )
