import os
import stat
import subprocess
import sys

import pytest

from gaiaflux.io.atomic import replacing

WRITE_OFTEN = """
import sys
from gaiaflux.io.atomic import replacing
for number in range(200):
    with replacing(sys.argv[1]) as part:
        part.write_text(sys.argv[2] * (20000 + number))
"""


@pytest.fixture
def mask():
    before = os.umask(0o027)
    yield 0o666 & ~0o027
    os.umask(before)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_and_its_folder(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with replacing(str(path)) as part:
        assert part.parent == path.parent
        assert not part.exists()
        part.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert names(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def stop_half_way():
        with replacing(path) as part:
            part.write_text("ne")
            raise error

    with pytest.raises(error):
        stop_half_way()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_nothing_written_is_an_error(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), replacing(path):
        pass
    assert path.read_text() == "old"


def test_permissions_of_an_ordinary_new_file(tmp_path, mask):
    path = tmp_path / "a.txt"
    with replacing(path) as part:
        part.write_text("new")
    assert stat.S_IMODE(path.stat().st_mode) == mask


def test_a_link_stays_and_leads_to_the_new_file(tmp_path):
    disk, results = tmp_path / "disk", tmp_path / "results"
    disk.mkdir()
    results.mkdir()
    (disk / "a.txt").write_text("old")
    (results / "a.txt").symlink_to(disk / "a.txt")
    (results / "later.txt").symlink_to("../disk/later.txt")
    for name in ("a.txt", "later.txt"):
        with replacing(results / name) as part:
            part.write_text("new")
        assert (results / name).is_symlink()
        assert (disk / name).read_text() == "new"
    assert names(disk) == names(results) == ["a.txt", "later.txt"]


def test_an_ending_says_nothing_to_a_library(tmp_path):
    with replacing(tmp_path / "a.fits.gz") as part:
        assert part.suffix == ".part"
        part.write_text("x")


def test_writers_at_once_never_mix(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a" * 20000)
    command = [sys.executable, "-c", WRITE_OFTEN, str(path)]
    writers = [subprocess.Popen([*command, letter]) for letter in "ab"]
    while any(writer.poll() is None for writer in writers):
        text = path.read_text()
        assert len(text) >= 20000
        assert len(set(text)) == 1
    assert [writer.returncode for writer in writers] == [0, 0]
    assert names(tmp_path) == ["a.txt"]


def test_two_in_one_process_do_not_meet(tmp_path):
    with replacing(tmp_path / "a.txt") as first, replacing(tmp_path / "a.txt") as second:
        first.write_text("outer")
        second.write_text("inner")
    assert (tmp_path / "a.txt").read_text() == "outer"
