"""A small simulated part of a CCD as files, and what is made of it without the workflow; for tests."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io import fits

from gaiaflux.io.batch_file import BatchReader, BatchWriter
from gaiaflux.io.tess.catalog import read_tess_catalog
from gaiaflux.io.tess.frame_batch import read_frame_batch
from gaiaflux.io.tess.image_reference import read_image_reference, write_image_reference
from gaiaflux.io.tess.prepared_field import PreparedField
from gaiaflux.sim.tess.ccd_files import write_ccd_field
from gaiaflux.sim.tess.ccd_setup import CcdSetup
from gaiaflux.sim.tess.stars import StampStar
from gaiaflux.tess.batch import TargetFiles
from gaiaflux.tess.image_targets import measure_stars
from gaiaflux.tess.images.batch import prepare_batch
from gaiaflux.tess.images.field import prepare_images
from gaiaflux.tess.images.joined import join_frames
from gaiaflux.tess.images.nominal import response_or_nominal
from gaiaflux.tess.images.reference import image_reference
from gaiaflux.tess.stamp.instrument import InstrumentFiles

STARS = (
    StampStar(1001, 20.3, 30.6, 9.5),
    StampStar(1002, 41.2, 44.8, 10.5),
    StampStar(1003, 50.1, 12.4, 11.0),
    StampStar(1004, 12.0, 52.2, 10.0),
    StampStar(1005, 33.3, 18.9, 11.5),
)
SETUP = CcdSetup(
    shape=(64, 64),
    first_column=44,
    first_row=0,
    n_times=24,
    stars=STARS,
    density=0.004,
    gap_d=0.0,
    missing=0,
    orbit_d=1.0,
    dump_every_d=1.0,
    zero_frames=(7,),
    safe_frames=(15,),
    seed=3,
)
ZERO, SAFE = 7, 15  # frames that are no good


def small_ccd(**changes):
    return replace(SETUP, **changes)


def edit(path, change):
    """Let a function change the HDUs of an image."""
    with fits.open(path, memmap=False) as hdus:
        change(hdus)
        hdus.writeto(path, overwrite=True, output_verify="ignore")


def fill(value):
    """Change that makes all pixels one value."""
    return lambda hdus: hdus[1].data.fill(value)


def smear(hdus):
    """Draw the stars out along the rows by three pixels."""
    hdus[1].data = sum(np.roll(hdus[1].data, step, axis=1) for step in (-1, 0, 1)).astype(np.float32) / 3


def without_wcs(hdus):
    for hdu in hdus[1:]:
        for key in [key for key in hdu.header if key.startswith(("CTYPE", "CRVAL", "CRPIX", "CD"))]:
            del hdu.header[key]


def without_errors(hdus):
    del hdus[2]


def stated(**cards):
    """Change of cards in all headers that have them."""

    def change(hdus):
        for hdu in hdus:
            hdu.header.update({key: value for key, value in cards.items() if key in hdu.header})

    return change


@dataclass
class CcdFiles:
    """Files of a simulated part of a CCD in a folder, and what is prepared of them there."""

    folder: Path
    truth: object
    setup: CcdSetup = SETUP

    @classmethod
    def make(cls, folder, setup=SETUP, **how):
        return cls(folder, write_ccd_field(folder, setup, **how), setup)

    def copy(self, folder):
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("*.h5"))
        return CcdFiles(folder, self.truth, self.setup)

    @property
    def paths(self):
        return sorted((self.folder / "ffi").iterdir())

    @property
    def catalog(self):
        return read_tess_catalog(self.folder / "catalog.csv")

    @property
    def instrument(self):
        return InstrumentFiles(self.folder / "prf", None)

    @property
    def ccd(self):
        return self.setup.sector, self.setup.camera, self.setup.ccd

    @property
    def members(self):
        return [{"frame_id": path.stem, "path": str(path), "overrides": {}} for path in self.paths]

    def settle(self):
        """Reference, sought from the middle on."""
        paths = self.paths
        candidates = [(path.stem, str(path)) for path in paths[len(paths) // 2 :]]
        return image_reference(candidates, self.ccd, self.catalog)

    @property
    def reference(self):
        return read_image_reference(self.folder / "reference.h5")

    def prepare(self, parts=1, reference=None, members=None, targets=()):
        """Batches, each of every so many members, and the prepared field; returns what was joined."""
        reference = reference or self.settle()
        write_image_reference(self.folder / "reference.h5", reference)
        members = self.members if members is None else members
        psf = response_or_nominal(self.instrument, reference)
        batches = []
        for part in range(parts):
            batches.append(self.folder / f"b{part}.h5")
            prepare_batch(members[part::parts], reference, psf, batches[-1], "key")
        frames = join_frames([read_frame_batch(path) for path in batches], reference)
        prepare_images(self.prepared, self.folder / "images.csv", frames, reference, targets)
        return frames

    @property
    def prepared(self):
        return self.folder / "prepared.h5"

    def open(self):
        return PreparedField(self.prepared)

    def array(self, name):
        with self.open() as opened:
            return opened.array(name)

    def measure(self, wanted, methods=("linpsf",), catalog=None, prepared=None, instrument=None):
        """Attributes and arrays of targets by name."""
        path = self.folder / "targets.h5"
        files = TargetFiles(catalog or self.catalog, instrument or self.instrument)
        with BatchWriter(path, kind="targets") as out:
            measure_stars(wanted, prepared or [self.prepared], files, list(methods), out)
        with BatchReader(path) as batch:
            return {
                name: (batch.attrs(name), {key: batch.array(name, key) for key in batch.names(name)})
                for name in batch.frame_ids
            }
