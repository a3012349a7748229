import itertools
import json
import random

import pytest

from gaiaflux.model.errors import InputError
from gaiaflux.workflow.frames import FrameFile
from gaiaflux.workflow.ledger import read_ledger, update_ledger, write_ledger


def files(names):
    return [FrameFile(name, f"images/{name}.fits") for name in names]


def batches(ledger):
    return {batch: "".join(frame.frame_id for frame in members) for batch, members in ledger.by_batch.items()}


def test_new_frames_fill_the_last_batch_and_then_open_others():
    ledger = update_ledger(None, files("bcd"), 2)
    assert batches(ledger) == {"0001": "bc", "0002": "d"}
    ledger = update_ledger(ledger, files("abcdef"), 2)
    assert batches(ledger) == {"0001": "bc", "0002": "da", "0003": "ef"}
    assert ledger.first_batches == ["0001", "0002"]
    assert [frame.frame_id for frame in ledger.first_run] == ["b", "c", "d"]


def test_full_batches_stay_in_whatever_order_images_arrive():
    names = "abcdefghijkl"
    order = list(names)
    random.Random(5).shuffle(order)
    ledger = None
    for arrived in itertools.accumulate(order, lambda there, new: there + new):
        before = batches(ledger) if ledger else {}
        ledger = update_ledger(ledger, files(sorted(arrived)), 3)
        for batch, members in before.items():
            assert batches(ledger)[batch].startswith(members)
        assert all(len(members) <= 3 for members in batches(ledger).values())
    assert sorted("".join(batches(ledger).values())) == list(names)


def test_absent_frames_keep_their_places():
    ledger = update_ledger(update_ledger(None, files("abcd"), 2), files("bde"), 2)
    assert batches(ledger) == {"0001": "b", "0002": "d", "0003": "e"}
    ledger = update_ledger(ledger, files("e"), 2)
    assert batches(ledger) == {"0001": "", "0002": "", "0003": "e"}
    assert ledger.batches == ["0003"]
    assert ledger.first_batches == ["0001", "0002"]
    assert batches(update_ledger(ledger, files("abcde"), 2)) == {"0001": "ab", "0002": "cd", "0003": "e"}


def test_another_room_counts_for_new_frames_only():
    ledger = update_ledger(None, files("abc"), 2)
    assert batches(update_ledger(ledger, files("abcdefg"), 4)) == {"0001": "ab", "0002": "cdef", "0003": "g"}
    assert batches(update_ledger(ledger, files("abcde"), 1)) == {"0001": "ab", "0002": "c", "0003": "d", "0004": "e"}


def test_a_moved_image_keeps_its_place_and_gets_its_new_path():
    ledger = update_ledger(None, files("ab"), 1)
    moved = update_ledger(ledger, [FrameFile("a", "new/a.fits", {"exptime": 3.0}), *files("b")], 1)
    assert batches(moved) == batches(ledger)
    assert (moved.frames[0].path, moved.frames[0].overrides) == ("new/a.fits", {"exptime": 3.0})


def test_what_is_written_comes_back(tmp_path):
    path = tmp_path / "results" / "s" / "ledger.json"
    assert read_ledger(path) is None
    ledger = update_ledger(None, [FrameFile("ä", "x/ä.fits", {"filter": "V"}), *files("b")], 5)
    write_ledger(path, ledger, {"extract_stars": "12"})
    back = read_ledger(path)
    assert back.frames == ledger.frames
    assert back.n_first_run == 2
    assert back.code == {"extract_stars": "12"}
    assert [file.name for file in path.parent.iterdir()] == ["ledger.json"]
    write_ledger(path, update_ledger(None, [], 5), {})
    assert read_ledger(path).frames == ()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format_version": 99, "frames": []}', '{"format_version": 1, "frames": [{"a": 1}]}']
)
def test_a_damaged_ledger_is_named(tmp_path, text):
    path = tmp_path / "ledger.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"ledger.json: not a ledger that can be read .*restore it, or delete it"):
        read_ledger(path)


def test_a_write_that_fails_leaves_the_old_ledger(tmp_path, monkeypatch):
    path = tmp_path / "ledger.json"
    write_ledger(path, update_ledger(None, files("a"), 5), {})
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_ledger(path, update_ledger(None, files("ab"), 5), {})
    assert len(json.loads(path.read_text())["frames"]) == 1


def test_ten_thousand_frames_are_two_hundred_batches_with_little_work():
    ledger = update_ledger(None, files(map(str, range(10_000))), 50)
    assert len(ledger.batches) == 200
    assert {len(members) for members in ledger.by_batch.values()} == {50}
    assert ledger.by_batch is ledger.by_batch
