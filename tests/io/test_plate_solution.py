import json
from dataclasses import fields

import numpy as np
import pytest

from gaiaflux.core.sky.projection import invert_distortion
from gaiaflux.io.batch_file import BatchReader, BatchWriter
from gaiaflux.io.plate_solution import find_plate, plate_arrays, plate_of_record, plate_record, read_plate
from gaiaflux.model.errors import InputError
from gaiaflux.model.wcs import TanSip


@pytest.fixture
def wcs():
    rng = np.random.default_rng(1)
    a, b = np.zeros((4, 4)), np.zeros((4, 4))
    a[2, 0], a[1, 1], b[0, 2], b[0, 3] = 1e-7 * rng.normal(size=4)
    none = np.zeros((1, 1))
    # CRPIX + 1, as FITS wants it, has other last digits.
    cd = rng.normal(size=(2, 2)) / 3600.0
    return invert_distortion(TanSip((1 / 3, -20 / 7), (0.1 + 2 / 3, 511.1), cd, a, b, none, none, (512, 480)))


def assert_same(found, wcs):
    for field in fields(TanSip):
        value, wanted = getattr(found, field.name), getattr(wcs, field.name)
        assert np.shape(value) == np.shape(wanted)
        np.testing.assert_array_equal(value, wanted, err_msg=field.name)
    assert all(isinstance(value, float) for value in (*found.crval, *found.crpix))
    assert all(isinstance(value, int) for value in found.shape)


def test_every_bit_of_a_solution_is_kept(wcs, tmp_path):
    with BatchWriter(tmp_path / "0001.h5", "wcs") as out:
        out.add("f1", {"status": "ok"}, {"matches": np.zeros(3), **plate_arrays(wcs)})
        out.add("f2", {"status": "no stars"})
    with BatchReader(tmp_path / "0001.h5") as batch:
        assert_same(read_plate(batch, "f1"), wcs)
    assert_same(find_plate(tmp_path, "f1"), wcs)
    assert_same(plate_of_record(json.loads(json.dumps({"wcs": plate_record(wcs)}))), wcs)
    for name in ("f2", "f3"):
        with pytest.raises(InputError, match=f"no plate solution of the frame {name}"):
            find_plate(tmp_path, name)


def test_files_of_before_say_how_to_make_them_again(tmp_path):
    with BatchWriter(tmp_path / "0001.h5", "wcs") as out:
        out.add("f1", {"status": "ok", "wcs_header": "CRVAL1  = 1"}, {"matches": np.zeros(3)})
    with BatchReader(tmp_path / "0001.h5") as batch, pytest.raises(InputError, match="remove the series' folder wcs"):
        read_plate(batch, "f1")
    with pytest.raises(InputError, match=r"reference\.json .*remove it"):
        plate_of_record({"wcs_header": "CRVAL1  = 1"})
