import math

import numpy as np
import pytest

from gaiaflux.io.tess.target_head import TargetHead, cadence_of_times, read_head
from gaiaflux.io.tess.target_pixels import read_target_pixels

NAME = "tess2018206045859-s0001-0000000025155310-0120-s_tp.fits"


def test_a_head_says_what_the_file_is(write_target_pixels, pack):
    path = write_target_pixels()
    expected = TargetHead(42, 2, 3, 4, cadence_s=120, data_release=3, tmag=9.5)
    assert read_head(path) == expected
    assert read_head(pack(path)) == expected
    assert expected.observation == (42, 2, 3, 4, 120)


@pytest.mark.parametrize("keep", [100, 3000, 20000])
def test_what_cannot_be_read_is_told_by_the_name(write_target_pixels, pack, keep):
    path = write_target_pixels(NAME)
    path.write_bytes(path.read_bytes()[: keep // 8])
    assert read_head(path) == TargetHead(25155310, 1, cadence_s=120)
    assert read_head(path.with_name("missing.fits")) == TargetHead()
    assert read_head(pack(write_target_pixels(NAME), keep // 100)) == TargetHead(25155310, 1, cadence_s=120)


@pytest.mark.parametrize(
    ("name", "cadence"),
    [(NAME, 120), (NAME.replace("-s_tp", "-a_fast-tp"), 20), ("other.fits", 0)],
)
def test_the_mission_names_its_cadence(tmp_path, name, cadence):
    path = tmp_path / name
    path.write_bytes(b"")
    assert read_head(path).cadence_s == cadence


def test_a_file_without_a_cadence_is_asked_for_its_times(write_target_pixels):
    # Times of cut-outs are rounded, and frames may be missing.
    time = 1400.0 + np.array([0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12]) * 600.0 / 86400.0
    time[1::2] += 3.0 / 86400.0
    path = write_target_pixels(n=12, time=time, TIMEDEL=None)
    assert read_head(path).cadence_s == 600
    assert read_target_pixels(path).cadence_s == 600.0


def test_the_cadence_of_times():
    assert cadence_of_times([1400.0, 1400.0 + 199.2 / 86400.0, 1400.0 + 398.5 / 86400.0]) == 200.0
    assert cadence_of_times([1400.0, math.nan, 1401.0]) == 0.0
    assert cadence_of_times([1400.0]) == 0.0


def test_empty_and_odd_values_count_as_missing(write_target_pixels):
    found = read_head(write_target_pixels(SECTOR="", TICID="none", DATA_REL="", TESSMAG=float(0)))
    assert (found.starid, found.sector, found.data_release) == (0, 0, -1)
    assert math.isnan(found.tmag)
    assert found.observation == ()


@pytest.mark.real
def test_the_head_says_what_the_whole_file_says(tess_data):
    names = ("kepler/*.fits", "tesscut_s01_c4_3/*.fits", "tic25155310_s01/*first-cadences.fits.gz")
    paths = [path for name in names for path in tess_data.glob(name)]
    assert len(paths) == 8
    for path in paths:
        head, target = read_head(path), read_target_pixels(path)
        assert (head.starid, head.cadence_s) == (target.starid, round(target.cadence_s))
        if target.origin == "spoc-tpf":
            assert head.observation == (target.starid, target.sector, target.camera, target.ccd, 120)
            assert (head.data_release, head.tmag) == (target.data_release, target.tmag)
