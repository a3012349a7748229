import shutil

import pytest

from gaiaflux.io.tess.target_head import TargetHead
from gaiaflux.model.errors import InputError
from gaiaflux.workflow import target_files
from gaiaflux.workflow.frames import FrameFile
from gaiaflux.workflow.ledger import update_ledger, write_ledger
from gaiaflux.workflow.target_files import (
    field_of,
    find_targets,
    ledgers_of_field,
    left_out,
    prf_files,
    series_of,
)

HEADS = {
    "a-1.fits": TargetHead(1, 1, 4, 1, cadence_s=120, data_release=1, tmag=9.0),
    "a-2.fits": TargetHead(2, 1, 4, 1, cadence_s=120, data_release=1, tmag=11.0),
    "a-3.fits.gz": TargetHead(3, 1, 4, 1, cadence_s=20, data_release=1),
    "old/a-1.fits": TargetHead(1, 1, 4, 1, cadence_s=120, data_release=0, tmag=9.0),
    "broken.fits": TargetHead(),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in (*HEADS, "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    monkeypatch.setattr(target_files, "read_head", lambda path: HEADS[path.relative_to(tmp_path).as_posix()])
    return tmp_path


def field(**keys):
    return {"tpfs": "*.fits*", "targets": "all", **keys}


def test_each_cadence_is_a_dataset_of_its_own(folder):
    found = find_targets("F", field(), folder=folder)
    assert found == {
        "tess/F/c120": [FrameFile("a-1", "a-1.fits"), FrameFile("a-2", "a-2.fits"), FrameFile("broken", "broken.fits")],
        "tess/F/c20": [FrameFile("a-3", "a-3.fits.gz")],
    }
    assert (series_of("F", 120), field_of("tess/F/c120")) == ("tess/F/c120", "F")


def test_the_newest_version_counts_and_names_the_others(folder):
    found = find_targets("F", field(tpfs=["old/*.fits", "a-1*"]), folder=folder)
    assert found == {"tess/F/c120": [FrameFile("a-1", "a-1.fits", {"instead_of": "old/a-1.fits"})]}


@pytest.mark.parametrize(
    ("targets", "ids"),
    [
        ([2, 3], ["a-2", "a-3", "broken"]),
        ({"tmag_max": 10}, ["a-1", "a-3", "broken"]),
        ({}, ["a-1", "a-2", "a-3", "broken"]),
    ],
)
def test_targets_choose(folder, targets, ids):
    found = find_targets("F", field(targets=targets), folder=folder)
    assert sorted(one.frame_id for members in found.values() for one in members) == ids


def test_what_the_head_does_not_tell_is_decided_where_the_file_is_measured(folder):
    def told(targets):
        found = find_targets("F", field(targets=targets), folder=folder)
        return {one.frame_id: one.overrides for members in found.values() for one in members}

    assert told([2, 3]) == {"a-2": {}, "a-3": {}, "broken": {"only": "[2, 3]"}}
    only = {"only": '{"tmag_max": 10}'}
    assert told({"tmag_max": 10}) == {"a-1": {}, "a-3": only, "broken": only}


def test_a_run_names_how_many_targets_are_left_out(tmp_path):
    path = tmp_path / "results/tess/F/c120/targets.csv"
    assert left_out("tess/F/c120", tmp_path) == ""
    path.parent.mkdir(parents=True)
    path.write_text('member,status\na,ok\nb,"bad, very"\nc,worse\n')
    assert left_out("tess/F/c120", tmp_path) == f"tess/F/c120: 2 of 3 targets left out; {path} says why"
    path.write_text("member,status\na,ok\n")
    assert left_out("tess/F/c120", tmp_path) == ""


def test_what_is_not_there_is_said(folder):
    with pytest.raises(InputError, match=r"tess.F.tpfs: no image matches 'x\*.fits'"):
        find_targets("F", field(tpfs="x*.fits"), folder=folder)
    with pytest.raises(InputError, match=r"none of the 3 files is of these targets"):
        find_targets("F", field(tpfs="a-?.fits*", targets=[77]), folder=folder)
    shutil.copy(folder / "a-2.fits", folder / "old" / "a-2.fits")
    HEADS["old/a-2.fits"] = TargetHead(5, 1, 4, 1, cadence_s=120)
    with pytest.raises(InputError, match=r"'a-2.fits' and 'old/a-2.fits' have one name"):
        find_targets("F", field(tpfs=["*.fits", "old/a-2*"]), folder=folder)


def test_files_that_the_workflow_makes_count_as_there(tmp_path):
    made = ["demo/tess2018206045859-s0001-0000000000000007-0120-s_tp.fits"]
    found = find_targets("F", field(tpfs="demo/*.fits"), made, tmp_path)
    assert [one.path for one in found["tess/F/c120"]] == made


def test_a_remote_job_reads_what_the_run_wrote(tmp_path):
    ledger = update_ledger(None, [FrameFile("a", "a.fits")], 5)
    write_ledger(tmp_path / "results/tess/F/c120/ledger.json", ledger, {})
    write_ledger(tmp_path / "results/tess/G/c120/ledger.json", ledger, {})
    assert ledgers_of_field("F", tmp_path) == {"tess/F/c120": ledger}


def test_response_functions_at_any_depth(tmp_path):
    deep = tmp_path / "start_s0001" / "cam1_ccd1" / "tess-prf-1-1-row0001-col0045.fits"
    deep.parent.mkdir(parents=True)
    deep.write_text("")
    assert prf_files(str(tmp_path)) == [str(deep)]
    assert prf_files(None) == []
    with pytest.raises(InputError, match=r"no file of a pixel response function"):
        prf_files(str(tmp_path / "elsewhere"))
    with pytest.raises(InputError, match=r"correct prf_folder"):
        find_targets("F", {"tpfs": "x.fits", "targets": "all", "prf_folder": "nowhere"}, folder=tmp_path)
