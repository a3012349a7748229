import os
import shutil

import h5py
import numpy as np
import pytest

from gaiaflux.io.tess.frame_batch import read_frame_batch
from gaiaflux.model.image_reference import ImageReference
from gaiaflux.tess.images import batch as module
from gaiaflux.tess.images.batch import lose_batch, prepare_batch
from gaiaflux.tess.images.nominal import response_or_nominal


@pytest.fixture
def job(copy, monkeypatch):
    """Function that prepares the first frames of the copy; it returns the images that were read."""
    reference = copy.settle()
    psf, read = response_or_nominal(copy.instrument, reference), []
    true_read = module.read_ccd_image

    def watched(path):
        read.append(os.path.basename(path))
        return true_read(path)

    monkeypatch.setattr(module, "read_ccd_image", watched)

    def run(members=None, key="key"):
        read.clear()
        prepare_batch(members or copy.members[:4], reference, psf, copy.folder / "b.h5", key)
        return list(read)

    run.files = copy
    return run


def killed(job, monkeypatch):
    """Let a job end before it puts the frames together."""
    with monkeypatch.context() as patch:

        def kill(*arguments):
            raise KeyboardInterrupt

        patch.setattr(module, "write_frame_batch", kill)
        with pytest.raises(KeyboardInterrupt):
            job()


def test_each_image_is_read_once_and_no_part_stays(job):
    assert len(job()) == 4
    folder = job.files.folder
    assert not (folder / "b.h5.parts").exists()
    made = read_frame_batch(folder / "b.h5")
    assert made.frame_id == [path.stem for path in job.files.paths[:4]]
    assert made.lost == []
    with h5py.File(folder / "b.h5") as file:
        assert file["images"].shape == (4, 64, 64)


def test_a_killed_run_goes_on_at_the_frame_that_is_missing(job, monkeypatch):
    job()
    with h5py.File(job.files.folder / "b.h5") as file:
        whole = file["images"][()], file["sky/level"][()]
    killed(job, monkeypatch)
    parts = job.files.folder / "b.h5.parts"
    lost = job.files.paths[2].stem
    (parts / f"{lost}.npz").unlink()
    assert job() == [f"{lost}.fits"]
    with h5py.File(job.files.folder / "b.h5") as file:
        np.testing.assert_array_equal(file["images"][()], whole[0])
        np.testing.assert_array_equal(file["sky/level"][()], whole[1])


def test_another_key_or_file_is_made_anew(job, monkeypatch):
    killed(job, monkeypatch)
    assert len(job(key="other")) == 4
    killed(job, monkeypatch)
    path = job.files.paths[1]
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))
    assert job() == [path.name]


def test_a_part_that_was_cut_off_is_no_frame(job, monkeypatch):
    """As a machine that went down may leave it."""
    killed(job, monkeypatch)
    names = [path.stem for path in job.files.paths[:4]]
    parts = job.files.folder / "b.h5.parts"
    (parts / f"{names[0]}.npz").write_bytes(b"")
    (parts / f"{names[1]}.flux.npy").unlink()
    whole = (parts / f"{names[3]}.npz").read_bytes()
    (parts / f"{names[3]}.npz").write_bytes(whole[: len(whole) // 2])
    assert job() == [f"{names[k]}.fits" for k in (0, 1, 3)]


def test_bad_files_have_their_reasons_and_the_others_go_on(job):
    paths = job.files.paths
    paths[0].write_bytes(paths[0].read_bytes()[:30000])
    paths[1].write_bytes(b"")
    members = job.files.members[:5]
    paths[2].unlink()
    members[3]["overrides"] = {"instead_of": "/old/one.fits, /older/one.fits"}
    members[4]["overrides"] = {"unused": "of TICA, where there are images of SPOC"}
    job(members)
    made = read_frame_batch(job.files.folder / "b.h5")
    assert made.frame_id == [paths[3].stem]
    reasons = {one.path: one.reason for one in made.lost}
    assert "cannot be read" in reasons[str(paths[0])]
    assert "cannot be read" in reasons[str(paths[1])]
    assert str(paths[2]) in reasons
    assert reasons["/older/one.fits"].startswith(f"{paths[3].stem} is of the same exposure")
    assert reasons[str(paths[4])] == "of TICA, where there are images of SPOC"
    assert len(reasons) == 6


def test_a_batch_without_any_frame_names_its_files(job, tmp_path):
    for path in job.files.paths[:4]:
        path.write_bytes(b"")
    job()
    made = read_frame_batch(job.files.folder / "b.h5")
    assert (made.frame_id, len(made.lost)) == ([], 4)


def test_without_a_reference_all_images_are_lost(copy, tmp_path):
    members = copy.members[:3]
    members[1]["overrides"] = {"instead_of": "/old/one.fits"}
    lose_batch(members, "no light", tmp_path / "b.h5")
    made = read_frame_batch(tmp_path / "b.h5")
    assert [one.reason for one in made.lost[:3]] == ["no light"] * 3
    assert made.lost[3].path == "/old/one.fits"
    assert [path.name for path in tmp_path.glob("b.h5*")] == ["b.h5"]


def test_without_a_response_of_the_ccd_its_images_are_prepared_all_the_same(copy, caplog):
    shutil.rmtree(copy.folder / "prf")
    (copy.folder / "prf").mkdir()
    reference = copy.settle()
    assert isinstance(reference, ImageReference)
    nominal = response_or_nominal(copy.instrument, reference)
    prepare_batch(copy.members[:2], reference, nominal, copy.folder / "b.h5", "key")
    made = read_frame_batch(copy.folder / "b.h5")
    assert np.isfinite(made.centroids[0].x).mean() > 0.8
    assert "nominal" in caplog.text
