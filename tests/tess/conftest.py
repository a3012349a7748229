import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from gaiaflux.sim.tess.field import FieldSetup
from gaiaflux.sim.tess.files import write_catalog, write_responses, write_target_pixels
from gaiaflux.sim.tess.stamp import StampSetup, simulate_stamp
from gaiaflux.sim.tess.stars import StampStar
from gaiaflux.tess.photometry import PSFPhotometry

STARS = (StampStar(1001, 5.2, 4.9, 10.5), StampStar(1002, 8.1, 6.8, 12.0), StampStar(1003, -3.0, 2.0, 11.0))
CORNER = (1200, 700)  # first column and row


@dataclass(frozen=True)
class Field:
    """Folder with a target pixel file, a catalogue and response functions."""

    folder: Path
    pixels: Path
    truth: object

    def edit(self, change):
        """Let a function change the HDUs of the target pixel file."""
        with fits.open(self.pixels, memmap=False) as hdus:
            change(hdus)
            hdus.writeto(self.pixels, overwrite=True)

    def catalog(self, text):
        """Replace the catalogue's rows."""
        (self.folder / "catalog.csv").write_text(text, encoding="utf-8")

    def columns(self):
        """Rows of the target pixel file that have a time, by column; TIME without the clock error of data release 1."""
        with fits.open(self.pixels) as hdus:
            table = hdus["PIXELS"].data
            columns = {name: np.array(table[name][np.isfinite(table["TIME"])]) for name in table.names}
        return columns | {"TIME": columns["TIME"] - 1.979 / 86400.0}

    def rows(self):
        """Lines of the catalogue, the header first."""
        return (self.folder / "catalog.csv").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="session")
def responses(tmp_path_factory):
    """Folder with the response functions of camera 4, CCD 1."""
    folder = tmp_path_factory.mktemp("responses")
    write_responses(folder, FieldSetup((StampSetup(STARS),)))
    return folder


@pytest.fixture(scope="session")
def make_field(responses):
    """Function that writes a field of one target into a folder."""

    def make(folder, stars=STARS, *, prf=True, centre=(63.4, -69.2), **setup):
        stated = {"n_times": 40, "rays": 0.0, "first_column": CORNER[0], "first_row": CORNER[1]} | setup
        field = FieldSetup((StampSetup(stars, **stated),), centre_deg=centre)
        folder.mkdir(parents=True, exist_ok=True)
        truth = simulate_stamp(field.stamps[0])
        pixels = write_target_pixels(folder, field, truth)
        write_catalog(folder / "catalog.csv", field)
        for path in responses.rglob("*.fits") if prf else ():
            link = folder / "prf" / path.relative_to(responses)
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, link)
        return Field(folder, pixels, truth)

    return make


@pytest.fixture(scope="session")
def quiet(tmp_path_factory, make_field):
    """A field that no test changes; half of its quality bits are set in the first frames."""
    field = make_field(tmp_path_factory.mktemp("quiet"))

    def mark(hdus):
        table = hdus["PIXELS"].data
        table["QUALITY"][:6] = [0, 8, 4096, 0, 16384, 0]
        table["TIME"][3] = np.nan
        table["POS_CORR1"][4:6] = np.nan

    field.edit(mark)
    return field


@pytest.fixture
def field(tmp_path, make_field):
    """A field that a test may change."""
    return make_field(tmp_path / "input")


@pytest.fixture
def opened(quiet, tmp_path):
    """The quiet field's target, opened."""
    with PSFPhotometry(1001, quiet.folder, tmp_path, datasource="tpf") as target:
        yield target
