"""Simulated fields as files, and the shipped defaults of all settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from gaiaflux.io.fits_table import write_fits_tables
from gaiaflux.io.gaia.table import load_gaia_table, select_cone
from gaiaflux.io.image.banzai_writer import write_banzai
from gaiaflux.model.catalog import SkyCatalog
from gaiaflux.sim.field import GAIA_UNITS
from gaiaflux.sim.series import Series, SeriesConfig
from gaiaflux.sim.truth import FrameTruth
from gaiaflux.workflow.config import check, load_schema

__all__ = ["CROWDED_FRAMES", "REPOSITORY", "Scene", "default_settings", "link_copies"]

# Frames of the crowded series, whose seeing covers its range: 6.4, 5.7, 5.1, 4.6 and 4.1 pixels.
CROWDED_FRAMES = (0, 4, 5, 8, 10)
REPOSITORY = Path(__file__).resolve().parents[1]


def default_settings() -> dict[str, dict]:
    """Sections of the configuration with the defaults of the schema."""
    schema = load_schema(REPOSITORY / "schemas" / "config.schema.yaml")
    return check({"series": {"bench": {"images": "*.fits"}}}, schema)


@dataclass
class Scene:
    """A simulated series in BANZAI files.

    Parameters
    ----------
    folder : Path
        Where the files go.
    config : SeriesConfig
        What is simulated.
    indices : sequence of int, optional
        Numbers of the frames; else the first ones.
    """

    folder: Path
    config: SeriesConfig
    indices: Sequence[int] = ()

    def __post_init__(self) -> None:
        self.series = Series(self.config)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.truth: list[FrameTruth] = []
        self.indices = self.indices or range(self.config.n_frames)
        for index, path in zip(self.indices, self.paths, strict=True):
            made = self.series.frame(index)
            write_banzai(path, made.frame, header=made.header)
            self.truth.append(made.truth)
        write_fits_tables(self.gaia_path, {"GAIA": self.series.gaia}, GAIA_UNITS)

    @property
    def frame_ids(self) -> list[str]:
        """Names of the frames."""
        return [self.series.frame_id(index) for index in self.indices]

    @property
    def paths(self) -> list[Path]:
        """Files of the frames."""
        return [self.folder / f"{frame_id}.fits" for frame_id in self.frame_ids]

    @property
    def gaia_path(self) -> Path:
        """Table of the Gaia-like catalogue."""
        return self.folder / "gaia.fits"

    @cached_property
    def gaia(self) -> SkyCatalog:
        """The catalogue as `download_gaia` cuts it out of the table."""
        camera = self.config.camera
        radius = 0.5 * np.hypot(*camera.shape) * camera.pixel_scale_arcsec / 3600.0 + 1.5 / 60.0
        table = load_gaia_table(self.gaia_path)
        return select_cone(table, self.config.field.centre_deg, float(radius), 21.0, str(self.gaia_path))


def link_copies(sources: Sequence[Path], folder: Path, number: int) -> list[Path]:
    """Give files many names without needing more disk.

    Parameters
    ----------
    sources : sequence of Path
        Files; repeated in turn.
    folder : Path
        Where the names go; made, and emptied of FITS files.
    number : int
        How many names.

    Returns
    -------
    list of Path
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.fits"):
        old.unlink()
    paths = [folder / f"copy-{index:04d}-e91.fits" for index in range(number)]
    for index, path in enumerate(paths):
        path.hardlink_to(sources[index % len(sources)])
    return paths
