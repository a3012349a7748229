from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.io.tess.frame_batch import LostFrame, read_frame_batch
from gaiaflux.model.errors import InputError
from gaiaflux.model.flags import FrameFlag
from gaiaflux.model.prepared_frame import CENTROIDS
from gaiaflux.tess.images.batch import lose_batch
from gaiaflux.tess.images.joined import join_frames


@pytest.fixture(scope="module")
def whole(small):
    return read_frame_batch(small.folder / "b0.h5")


@pytest.fixture
def reference(small):
    return small.reference


def part(batch, rows, **changes):
    """Some frames of a batch, as if they were one of their own."""
    rows = list(rows)
    facts = {
        name: np.asarray(values, dtype=object if name == "path" else None)[rows] for name, values in batch.facts.items()
    }
    return replace(
        batch,
        frame_id=[batch.frame_id[k] for k in rows],
        facts=facts | changes,
        sky={name: values[rows] for name, values in batch.sky.items()},
        centroids=[batch.centroids[k] for k in rows],
        wcs=[batch.wcs[k] for k in rows],
        remarks=[batch.remarks[k] for k in rows],
    )


def assert_same(one, other):
    np.testing.assert_array_equal(one.frame_id, other.frame_id)
    for name in ("mjd_tdb", "cadenceno", "flags"):
        np.testing.assert_array_equal(one.facts[name], other.facts[name])
    for name in one.sky:
        np.testing.assert_array_equal(one.sky[name], other.sky[name])
    for name in CENTROIDS:
        np.testing.assert_array_equal(one.places[name], other.places[name])


def test_frames_are_sorted_by_time_whatever_their_batches(whole, reference):
    one = join_frames([whole], reference)
    assert (np.diff(one.facts["mjd_tdb"]) > 0).all()
    mixed = np.random.default_rng(5).permutation(len(whole.frame_id))
    shuffled = [part(whole, mixed[k::3]) for k in range(3)]
    turns = join_frames(shuffled, reference)
    assert_same(turns, one)
    for batch, rows in zip(shuffled, turns.batches, strict=True):
        assert one.frame_id[rows.rows].tolist() == batch.frame_id


def test_of_one_cadence_the_newer_release_counts(whole, reference):
    old, new = part(whole, range(5)), part(whole, [2], data_release=np.array([65]))
    new.frame_id[0] = "again"
    joined = join_frames([old, new], reference)
    assert joined.frame_id.tolist().count("again") == 1
    assert len(joined) == 5
    (lost,) = joined.lost
    assert lost.frame_id == whole.frame_id[2]
    assert lost.reason.startswith("again is of the same cadence")
    assert [one.rows.tolist() for one in joined.batches] == [[0, 1, -1, 3, 4], [2]]


def test_of_one_cadence_that_without_light_does_not_count(whole, reference):
    dark = part(whole, [2], flags=np.array([int(FrameFlag.NO_LIGHT)]), data_release=np.array([99]))
    dark.frame_id[0] = "a"
    joined = join_frames([part(whole, range(3)), dark], reference)
    assert [one.frame_id for one in joined.lost] == ["a"]


def test_of_two_alike_the_first_name_counts_in_either_order(whole, reference):
    again = part(whole, [1])
    again.frame_id[0] = "zzz"
    for batches in ([part(whole, range(3)), again], [again, part(whole, range(3))]):
        joined = join_frames(batches, reference)
        assert [one.frame_id for one in joined.lost] == ["zzz"]


def test_batches_without_frames_leave_their_reasons(whole, reference, tmp_path):
    lose_batch([{"frame_id": "x", "path": "x.fits", "overrides": {}}], "cut off", tmp_path / "b.h5")
    empty = read_frame_batch(tmp_path / "b.h5")
    joined = join_frames([empty, whole], reference)
    assert_same(joined, join_frames([whole], reference))
    assert joined.lost == [LostFrame("x", "x.fits", "cut off")]
    nothing = join_frames([empty], reference)
    assert len(nothing) == 0
    assert len(nothing.lost) == 1


def test_a_remark_is_said_once(whole, reference):
    many = replace(whole, remarks=[("odd",)] * 23 + [("odd", "odder")])
    assert sorted(join_frames([many], reference).remarks) == ["1 image: odder", "24 images: odd"]


OTHERS = {
    "place": {"corner": (0, 60)},
    "size": {"shape": (64, 60)},
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_batch_of_another_reference_is_refused(whole, reference, case):
    with pytest.raises(InputError, match="was made with another reference than"):
        join_frames([replace(whole, **OTHERS[case])], reference)


def test_a_batch_with_other_stars_is_refused(whole, reference):
    with pytest.raises(InputError, match="another reference"):
        join_frames([whole], replace(reference, tells=reference.tells[:-1]))
