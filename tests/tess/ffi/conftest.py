"""A small CCD: its files, its truth, and the images prepared as the rules do."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from gaiaflux.io.tess.catalog import read_tess_catalog
from gaiaflux.io.tess.frame_batch import read_frame_batch
from gaiaflux.sim.tess.ccd import SimulatedCcd
from gaiaflux.sim.tess.ccd_files import write_ccd_field
from gaiaflux.sim.tess.ccd_setup import CcdSetup
from gaiaflux.sim.tess.stars import StampStar
from gaiaflux.tess.images.batch import prepare_batch
from gaiaflux.tess.images.field import prepare_images
from gaiaflux.tess.images.joined import join_frames
from gaiaflux.tess.images.nominal import response_or_nominal
from gaiaflux.tess.images.reference import image_reference
from gaiaflux.tess.photometry import AperturePhotometry, PSFPhotometry
from gaiaflux.tess.stamp.instrument import InstrumentFiles

CORNER = (1535, 900)  # first column and row; Mars is in the columns from 1580 until the night of the first day
SHAPE = (56, 60)
EMPTY, SAFE, JUMP, ODD = 7, 20, 12, 25  # frames
JUMPING = (slice(16, 32), slice(32, 48))
STARS = (
    StampStar(1001, 22.3, 27.8, 10.5, "waves", 0.03, 0.4),
    StampStar(1002, 4.2, 50.1, 11.5),
    StampStar(1003, 36.0, 9.4, 9.0),
)


@dataclass(frozen=True)
class PreparedCcd:
    """A folder with frames, catalogue, response functions and prepared images."""

    corner, shape = CORNER, SHAPE
    empty, safe, jump, odd = EMPTY, SAFE, JUMP, ODD

    folder: Path
    ccd: SimulatedCcd
    frames: list[Path]

    def science(self, extension, k):
        """Science pixels of an image of a frame: 1 for the calibrated one, 2 for its error."""
        with fits.open(self.frames[k]) as hdus:
            return np.array(hdus[extension].data)

    def calibrated(self, stamp, extension=1):
        """Pixels of a stamp of the CCD in all frames, straight from the files."""
        first, left = self.ccd.setup.first_row, self.ccd.setup.first_column
        row, column = stamp[0] - first, stamp[2] - left
        part = (slice(row, row + stamp[1] - stamp[0]), slice(column, column + stamp[3] - stamp[2]))
        return np.stack([self.science(extension, k)[part] for k in range(len(self.frames))])

    @property
    def quality(self):
        """Bits of the frames, straight from the files."""
        return np.array([fits.getheader(path, 1)["DQUALITY"] for path in self.frames])


def prepare(folder, paths, place, per_batch=15):
    """Prepare images as the rules do; gives the path of the prepared field."""
    folder.mkdir(parents=True)
    (folder / "frames").mkdir()
    members = [{"frame_id": path.name, "path": str(path), "overrides": {}} for path in paths]
    catalog = read_tess_catalog(paths[0].parent.parent / "catalog.csv")
    reference = image_reference([(one["frame_id"], one["path"]) for one in members], place, catalog)
    psf = response_or_nominal(InstrumentFiles(paths[0].parent.parent / "prf", None), reference)
    batches = []
    for first in range(0, len(members), per_batch):
        batches.append(folder / "frames" / f"{first}.h5")
        prepare_batch(members[first : first + per_batch], reference, psf, batches[-1], "key")
    frames = join_frames([read_frame_batch(path) for path in batches], reference)
    prepare_images(folder / "prepared.h5", folder / "images.csv", frames, reference, [])
    return folder / "prepared.h5"


def _jump(hdus):
    for extension in (1, 2):
        hdus[extension].data[JUMPING] += 100.0 if extension == 1 else 0.0


def edit(path, change):
    """Let a function change the HDUs of a file."""
    with fits.open(path, memmap=False) as hdus:
        change(hdus)
        hdus.writeto(path, overwrite=True)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A CCD with an empty frame, one in safe mode, one in which the sky jumps, and one with a harmless bit."""
    folder = tmp_path_factory.mktemp("ffi")
    setup = CcdSetup(
        shape=SHAPE,
        first_column=CORNER[0],
        first_row=CORNER[1],
        ccd=4,
        n_times=44,
        stars=STARS,
        density=0.012,
        missing=1,
        gap_d=0.125,
        orbit_d=0.6,
        dump_every_d=0.35,
        zero_frames=(EMPTY,),
        safe_frames=(SAFE,),
    )
    ccd = write_ccd_field(folder, setup)
    paths = sorted((folder / "ffi").glob("*.fits"))
    edit(paths[JUMP], _jump)
    edit(paths[ODD], lambda hdus: hdus[1].header.set("DQUALITY", 1024))
    prepare(folder / "prepared", paths, (1, 1, 4))
    return PreparedCcd(folder, ccd, paths)


@pytest.fixture(scope="session")
def saturated(tmp_path_factory):
    """A CCD with a star that fills pixels, one 6 pixels from it, and one far away."""
    folder = tmp_path_factory.mktemp("saturated")
    stars = (StampStar(4001, 20.3, 35.6, 4.0), StampStar(4002, 26.1, 36.0, 9.5), StampStar(4003, 40.2, 20.0, 9.5))
    setup = CcdSetup(shape=(72, 48), n_times=16, stars=stars, density=0.004, missing=0, gap_d=0.0, clear_pix=14.0)
    ccd = write_ccd_field(folder, setup)
    paths = sorted((folder / "ffi").glob("*.fits"))
    prepare(folder / "prepared", paths, (1, 1, 3))
    return PreparedCcd(folder, ccd, paths)


@pytest.fixture
def linked(prepared, tmp_path):
    """Function that makes a folder with the parts of the prepared CCD that are named, as links."""

    def make(*names, folder="linked"):
        made = tmp_path / folder
        made.mkdir(exist_ok=True)
        for name in names:
            os.symlink(prepared.folder / name, made / name)
        return made

    return make


@pytest.fixture
def opened(prepared, tmp_path):
    """The star in the middle, opened."""
    with PSFPhotometry(1001, prepared.folder, tmp_path, camera=1, ccd=4) as target:
        yield target


@pytest.fixture(scope="session")
def measured(prepared, tmp_path_factory):
    """The same, measured by the sum of pixels and closed."""
    output = tmp_path_factory.mktemp("measured")
    with AperturePhotometry(1001, prepared.folder, output, camera=1, ccd=4) as target:
        target.photometry()
        return target
