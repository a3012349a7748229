import numpy as np
import pytest
from astropy.io import fits

from gaiaflux.model.errors import InputError
from gaiaflux.workflow.ccd_frames import (
    cadence_series,
    candidate_images,
    ccd_of_series,
    find_images,
    image_entries,
    is_images,
    prepared_of,
    star_batches,
    targets_of_batch,
)
from gaiaflux.workflow.frames import FrameFile
from gaiaflux.workflow.ledger import Ledger, update_ledger, write_ledger
from gaiaflux.workflow.target_files import ledgers_of_field, left_out

SPOC = "tess2018206{:06d}-s{:04d}-{}-{}-0120-s_ffic.fits"
TICA = "hlsp_tica_tess_ffi_s0001-o1-{:08d}-cam{}-ccd{}_tess_v01_img.fits"


@pytest.fixture
def folder(tmp_path):
    """Empty files: their names tell."""
    names = [SPOC.format(k, 1, 1, 4) for k in (1000, 2000)] + [SPOC.format(1000, 30, 2, 3)]
    names += [TICA.format(k, 1, 4) for k in (4700, 4701)] + [TICA.format(4700, 3, 1)]
    for name in names:
        (tmp_path / name).touch()
    return tmp_path


def found(folder, **field):
    return find_images("F", {"ffis": "*.fits", **field}, folder=folder)


def test_images_are_sorted_by_ccd_and_cadence(folder):
    groups = found(folder)
    assert {series: len(frames) for series, frames in groups.items()} == {
        "tess/F/s0001-1-4/c1800": 4,
        "tess/F/s0001-3-1/c1800": 1,
        "tess/F/s0030-2-3/c600": 1,
    }
    assert {cadence_series(series) for series in groups} == {"tess/F/c1800", "tess/F/c600"}
    assert ccd_of_series("tess/F/s0030-2-3/c600") == (30, 2, 3)


def test_images_of_the_other_pipeline_count_only_where_there_are_no_better_ones(folder):
    groups = found(folder)
    both, alone = groups["tess/F/s0001-1-4/c1800"], groups["tess/F/s0001-3-1/c1800"]
    assert [one.frame_id.startswith("tess2018") for one in both] == [True, True, False, False]
    assert [one.overrides.get("unused", "") for one in both] == ["", ""] + 2 * [
        "of TICA, where there are images of SPOC"
    ]
    assert alone[0].overrides == {}


def test_the_reference_is_sought_among_the_images_that_count(folder):
    spoc = sorted(folder.glob("tess*-1-4-*"))
    away = [path.rename(folder / f"{path.name}.later") for path in spoc]
    series = "tess/F/s0001-1-4/c1800"
    first = update_ledger(None, found(folder)[series], 10)
    assert [one.frame_id[:9] for one in candidate_images(first)] == ["hlsp_tica"] * 2
    for path, old in zip(away, spoc, strict=True):
        path.rename(old)
    both = update_ledger(first, found(folder)[series], 10)
    assert [one.frame_id[:8] for one in candidate_images(both)] == ["tess2018"] * 2


def test_a_name_that_no_rule_can_take_is_refused(folder):
    (folder / "a{b}.fits").touch()
    with pytest.raises(InputError, match=r"a\{b\}\.fits' has a brace"):
        found(folder)


def test_of_two_files_of_an_exposure_the_newer_release_counts(tmp_path):
    name = SPOC.format(1000, 1, 1, 4)
    for release in (1, 26):
        header = fits.Header({"DATA_REL": release, "DATE-OBS": "2018-07-25T00:10:00Z"})
        (tmp_path / f"r{release}").mkdir()
        image = fits.ImageHDU(np.zeros((4, 4), np.float32), fits.Header({"CAMERA": 1, "CCD": 4}))
        fits.HDUList([fits.PrimaryHDU(header=header), image]).writeto(tmp_path / f"r{release}" / name)
    (frame,) = find_images("F", {"ffis": "r*/*.fits"}, folder=tmp_path)["tess/F/s0001-1-4/c1800"]
    assert frame.path == f"r26/{name}"
    assert frame.overrides == {"instead_of": f"r1/{name}"}


def test_a_file_that_says_nothing_is_lost_with_the_others(folder):
    (folder / "strange.fits").touch()
    groups = found(folder)
    assert any(one.frame_id == "strange" for one in groups["tess/F/s0001-1-4/c1800"])


def test_only_such_files_are_refused(tmp_path):
    (tmp_path / "strange.fits").touch()
    with pytest.raises(InputError, match=r"tess\.F\.ffis.*sector, camera and CCD"):
        found(tmp_path)


def test_no_images_are_no_groups(tmp_path):
    assert find_images("F", {}, folder=tmp_path) == {}


def test_series_of_images_and_of_datasets_are_told_apart():
    assert is_images("tess/F/s0001-1-4/c1800")
    assert not is_images("tess/F/c1800")
    assert not is_images("demo")


def test_a_dataset_is_made_from_all_ccds_of_its_cadence():
    names = ("tess/F/s0001-1-4/c1800", "tess/F/s0002-1-3/c1800", "tess/F/s0030-2-3/c600", "tess/G/s0001-1-4/c1800")
    ledgers = dict.fromkeys((*names, "tess/F/c1800"), Ledger())
    assert prepared_of("tess/F/c1800", ledgers) == [f"results/{name}/prepared.h5" for name in names[:2]]


def field_of_images(pixels):
    frames = [FrameFile("f1", "f1.fits", {"pixels": pixels}), FrameFile("f2", "f2.fits")]
    return {"tess/F/s0001-1-4/c1800": update_ledger(None, frames, 10), "tess/F/c1800": Ledger()}


def test_a_batch_of_images_does_not_ask_how_large_they_are():
    """An image that is still to be made, or was cut off and is whole now, is the same image."""
    unknown, known = FrameFile("f1", "f1.fits"), FrameFile("f1", "f1.fits", {"pixels": 9, "instead_of": "f0.fits"})
    entries = [image_entries(update_ledger(None, [one], 10), "0001") for one in (unknown, known)]
    assert entries[0] == [{"frame_id": "f1", "path": "f1.fits", "overrides": {}}]
    assert entries[1] == [{"frame_id": "f1", "path": "f1.fits", "overrides": {"instead_of": "f0.fits"}}]


def test_a_new_target_changes_one_batch():
    ledgers = field_of_images(2048**2)
    targets = [10**9 + 7 * k for k in range(100)]
    more = [*targets, 31]
    batches = star_batches("tess/F/c1800", more, ledgers)
    changed = [b for b in batches if targets_of_batch(targets, b) != targets_of_batch(more, b)]
    assert changed == ["3164"]
    assert sorted(star for b in batches for star in targets_of_batch(more, b)["stars"]) == sorted(more)


def test_stars_by_magnitude_are_shared_out_to_batches_by_the_size_of_the_images():
    batches = star_batches("tess/F/c1800", {"tmag_max": 12}, field_of_images(512**2))
    parts = [targets_of_batch({"tmag_max": 12}, batch) for batch in batches]
    assert parts == [{"tmag_max": 12, "part": part, "parts": 4} for part in range(4)]
    assert star_batches("tess/F/c1800", "all", field_of_images(100**2)) == ["0001"]
    assert targets_of_batch("all", "0001") == {"tmag_max": None, "part": 0, "parts": 1}
    listed = {"file": "list.csv", "tmag_max": 13}
    assert targets_of_batch(listed, "0102") == {"tmag_max": 13, "listed": True, "part": 1, "parts": 2}
    assert star_batches("tess/F/c600", "all", field_of_images(100**2)) == []


def test_the_reference_is_sought_from_the_middle_of_the_first_run_and_for_ever():
    frames = [FrameFile(f"f{k:03d}", f"f{k:03d}.fits") for k in range(40)]
    ledger = update_ledger(None, frames, 10)
    chosen = [one.frame_id for one in candidate_images(ledger)]
    assert len(chosen) == 15
    assert 15 < int(chosen[0][1:]) < 25
    distance = [abs(int(one[1:]) - int(chosen[0][1:])) for one in chosen]
    assert distance == sorted(distance)
    later = update_ledger(ledger, [*frames, FrameFile("f000a", "f000a.fits")], 10)
    assert [one.frame_id for one in candidate_images(later)] == chosen
    assert [one.frame_id for one in candidate_images(update_ledger(None, frames[:1], 10))] == ["f000"]


def test_a_job_of_a_cluster_finds_the_ledgers_of_images_too(tmp_path):
    for series in ("tess/F/c1800", "tess/F/s0001-1-4/c1800"):
        write_ledger(tmp_path / "results" / series / "ledger.json", Ledger(), {})
    assert sorted(ledgers_of_field("F", tmp_path)) == ["tess/F/c1800", "tess/F/s0001-1-4/c1800"]


def test_lost_images_are_said(tmp_path):
    folder = tmp_path / "results" / "tess/F/s0001-1-4/c1800"
    folder.mkdir(parents=True)
    (folder / "images.csv").write_text("frame_id,status\na,ok\nb,cut off\n")
    assert left_out("tess/F/s0001-1-4/c1800", tmp_path).startswith("tess/F/s0001-1-4/c1800: 1 of 2 images left out")
