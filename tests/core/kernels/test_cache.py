"""Machine code of several processors, users and versions in one folder; files that cannot be trusted or are damaged."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gaiaflux.core.kernels import cache
from gaiaflux.core.kernels.cache import find, store

NAME = "package.module.<locals>.kernel"
CONTENT = b"symbol\0machine code"
DAY_S = 86400.0

# The two kernels of the canary are compiled and kept as every kernel is.
PROGRAM = """
import os, sys
from pathlib import Path
from gaiaflux.core.kernels import cache, canary
folder = cache.Folder(Path(sys.argv[1]), 0o755, frozenset({os.getuid()}))
cache._folders = lambda: iter([folder])
print(canary.machine_code_works(), "numba" in sys.modules)
"""
PROCESSORS = ({}, {"NUMBA_CPU_NAME": "generic"})


def start(folder, variables):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)], env={**os.environ, **variables}, stdout=subprocess.PIPE, text=True
    )


def said(process):
    text, _ = process.communicate()
    assert process.returncode == 0
    return text.split()


def test_two_processors_at_once_and_in_turn_share_a_folder(tmp_path):
    together = [start(tmp_path, variables) for variables in (*PROCESSORS, {})]
    assert [said(process)[0] for process in together] == ["True"] * 3
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert len(kept) == 4
    for variables in PROCESSORS:
        assert said(start(tmp_path, variables)) == ["True", "False"], "compiled again"
    assert sorted(path.name for path in tmp_path.iterdir()) == kept


def test_what_is_kept_is_found_in_the_first_folder_that_has_it(folders):
    assert find(NAME, "1") is None
    path = store(NAME, "1", CONTENT)
    assert path.parent == folders[0].path
    assert find(NAME, "1") == CONTENT
    assert find(NAME, "2") is None
    assert find("package.module.other", "1") is None
    folders[1].path.mkdir(mode=0o700)
    path.rename(folders[1].path / path.name).chmod(0o600)
    assert find(NAME, "1") == CONTENT


def test_other_keys_stay_and_what_is_unused_for_long_goes(folders):
    old, young, foreign = store(NAME, "1", CONTENT), store(NAME, "2", CONTENT), folders[0].path / "notes.txt"
    foreign.write_text("not ours")
    for path, days in ((old, 91), (young, 89), (foreign, 91)):
        os.utime(path, (time.time() - days * DAY_S,) * 2)
    store(NAME, "3", CONTENT)
    assert [find(NAME, key) is None for key in "123"] == [True, False, False]
    assert foreign.exists()
    assert time.time() - young.stat().st_mtime < DAY_S, "a use counts"


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:20],
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: os.urandom(len(content)),
        lambda content: content[:40] + bytes([content[40] ^ 1]) + content[41:],
        lambda content: bytes([content[0] ^ 128]) + content[1:],
    ],
)
def test_a_damaged_file_is_not_found_and_is_replaced(folders, damage):
    path = store(NAME, "1", CONTENT)
    path.write_bytes(damage(path.read_bytes()))
    assert find(NAME, "1") is None
    assert store(NAME, "1", CONTENT) == path
    assert find(NAME, "1") == CONTENT


def test_a_file_stands_for_no_other(folders):
    path = store(NAME, "1", CONTENT)
    path.rename(path.with_name(path.name.replace("-1", "-2")))
    assert find(NAME, "2") is None


def test_a_file_that_vanishes_before_it_is_read_is_not_found(folders, monkeypatch):
    store(NAME, "1", CONTENT)
    whole = Path.open

    def vanish(path, *arguments):
        path.unlink()
        return whole(path, *arguments)

    monkeypatch.setattr(Path, "open", vanish)
    assert find(NAME, "1") is None


def test_readers_see_all_or_nothing_while_others_write_and_remove(folders):
    content, end, seen = os.urandom(200_000), time.monotonic() + 0.5, set()

    def write():
        while time.monotonic() < end:
            store(NAME, "1", content)

    def remove():
        while time.monotonic() < end:
            for path in folders[0].path.glob("*-1.kernel"):
                path.unlink(missing_ok=True)

    def read():
        while time.monotonic() < end:
            seen.add(find(NAME, "1"))

    threads = [threading.Thread(target=target) for target in (write, write, remove, read, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {None, content}


def test_a_checkout_that_cannot_be_written_leaves_the_private_folder(folders, monkeypatch):
    checkout, private = (folder.path for folder in folders)
    whole = cache.tempfile.mkstemp

    def mkstemp(dir, **more):
        if Path(dir) == checkout:
            raise PermissionError(f"{dir} is read-only")
        return whole(dir=dir, **more)

    monkeypatch.setattr(cache.tempfile, "mkstemp", mkstemp)
    path = store(NAME, "1", CONTENT)
    assert path.parent == private
    assert find(NAME, "1") == CONTENT
    assert (private.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)


def test_where_nothing_can_be_written_nothing_is_kept(folders):
    for folder in folders:
        folder.path.write_text("a file where the folder would be")
    assert store(NAME, "1", CONTENT) is None
    assert find(NAME, "1") is None


def test_a_write_that_fails_leaves_nothing(folders, monkeypatch):
    def fail(path, target):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    assert store(NAME, "1", CONTENT) is None
    assert [list(folder.path.iterdir()) for folder in folders] == [[], []]


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
def test_a_folder_that_others_may_write_is_not_used(folders, mode):
    store(NAME, "1", CONTENT)
    folders[0].path.chmod(mode)
    assert find(NAME, "1") is None
    assert store(NAME, "1", CONTENT).parent == folders[1].path


def test_a_private_folder_is_private(folders):
    store(NAME, "1", CONTENT).parent.rename(folders[1].path)
    assert find(NAME, "1") is None, "others may read it"
    folders[1].path.chmod(0o700)
    assert find(NAME, "1") is None, "others may read the file"


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_file_that_others_may_write_is_not_read(folders, mode):
    store(NAME, "1", CONTENT).chmod(mode)
    assert find(NAME, "1") is None


def test_a_link_to_a_folder_is_not_used(folders, tmp_path):
    store(NAME, "1", CONTENT).parent.rename(tmp_path / "elsewhere")
    folders[0].path.symlink_to(tmp_path / "elsewhere")
    assert find(NAME, "1") is None


def with_owner(status, uid):
    fields = list(status)
    fields[4] = uid
    return os.stat_result(fields)


def test_a_file_of_another_user_is_not_read(folders, monkeypatch):
    store(NAME, "1", CONTENT)
    whole = os.fstat
    monkeypatch.setattr(cache.os, "fstat", lambda descriptor: with_owner(whole(descriptor), os.getuid() + 1))
    assert find(NAME, "1") is None


def test_a_folder_of_another_user_is_not_used(folders, monkeypatch):
    path = store(NAME, "1", CONTENT)
    whole = Path.lstat
    monkeypatch.setattr(Path, "lstat", lambda path: with_owner(whole(path), os.getuid() + 1))
    assert find(NAME, "1") is None
    path.unlink()
    assert store(NAME, "1", CONTENT) is None
    assert not path.exists()


def test_the_folders_are_the_checkouts_and_the_users(tmp_path, monkeypatch):
    owner = Path(cache.__file__).stat().st_uid
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    checkout, private = cache._folders()
    assert checkout.path == Path(cache.__file__).parent / "__pycache__" / "machine_code"
    assert (checkout.mode, checkout.owners) == (0o755, {owner, owner + 1})
    assert private.path == tmp_path / "gaiaflux" / "machine_code"
    assert (private.mode, private.owners) == (0o700, {owner + 1})


def test_a_user_without_a_home_has_no_private_folder(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")

    def home():
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", home)
    assert len(list(cache._folders())) == 1
    monkeypatch.setattr(Path, "home", lambda: Path("someone"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert list(cache._folders())[1].path == Path("someone/.cache/gaiaflux/machine_code")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert list(cache._folders())[1].path == Path("someone/Library/Caches/gaiaflux/machine_code")
