"""Target pixel files beside prepared images of their CCD: these tell the flags of the pixels."""

import os
import shutil

import h5py
import numpy as np
import pytest

from gaiaflux.model.flags import StarFlag
from gaiaflux.tess.input_folder import find_inputs
from gaiaflux.tess.photometry import AperturePhotometry, PSFPhotometry

CADENCE_D = 1800 / 86400
N_IMAGES = 44


@pytest.fixture(scope="module")
def beside(tmp_path_factory, make_field, prepared):
    """A target of 10 minutes' cadence over all images and the times around them; its stamp is on the images."""

    def make(name, place=(1, 4), **corner):
        folder = tmp_path_factory.mktemp(name)
        field = make_field(folder, prf=False, n_times=190, cadence_s=600.0, start_btjd=1325.2, **corner)

        def move(hdus):
            hdus[0].header["CAMERA"], hdus[0].header["CCD"] = place

        field.edit(move)
        os.symlink(prepared.folder / "prepared", folder / "images")
        return field

    return make


@pytest.fixture(scope="module")
def inside(beside):
    return beside("inside", first_column=1570, first_row=914)


def nearest(field, prepared):
    """Image nearest to each cadence and its distance in time, by brute force from the files."""
    columns = field.columns()
    seen = columns["TIME"] - columns["TIMECORR"].astype(float)
    distance = np.abs(seen[:, None] - prepared.ccd.btjd)
    return distance.argmin(axis=1), distance.min(axis=1)


def opened(field, output, kind=PSFPhotometry):
    return kind(1001, field.folder, output, datasource="tpf")


def flags_of_images(prepared, output, stamp):
    """Flags of the pixels of a stamp as the images have them, shape (images, rows, columns)."""
    with PSFPhotometry(1001, prepared.folder, output, camera=1, ccd=4) as target:
        target.resize_stamp(width=200, height=200)
        cube = target.pixelflags_cube
    first, left = stamp[0] - 900, stamp[2] - 1535
    part = cube[first : first + stamp[1] - stamp[0], left : left + stamp[3] - stamp[2]]
    return np.moveaxis(part, -1, 0)


def test_the_cube_is_on_the_times_of_the_images(inside, prepared, tmp_path):
    with opened(inside, tmp_path) as target:
        assert target.stamp == (914, 925, 1570, 1581)
        cube = target.pixelflags_cube
        assert cube.shape == (11, 11, N_IMAGES)
        assert cube.dtype == np.uint8
        assert target.images_cube.shape == (11, 11, 190)
        expected = flags_of_images(prepared, tmp_path, target.stamp)
    np.testing.assert_array_equal(np.moveaxis(cube, -1, 0), expected)
    assert (cube[2:, :, prepared.jump] & 4).all()
    assert (cube[:, 10, 0] & 2).all()


def test_each_cadence_has_the_flags_of_the_nearest_image(inside, prepared, tmp_path):
    image, distance = nearest(inside, prepared)
    with opened(inside, tmp_path) as target:
        flags, cube = list(target.pixelflags), np.moveaxis(target.pixelflags_cube, -1, 0)
        assert len(flags) == len(target.lightcurve) == 190
    told = distance <= CADENCE_D
    assert 0.6 < told.mean() < 0.95, "there are times before, in the gap and behind the images"
    for k, one in enumerate(flags):
        np.testing.assert_array_equal(one, cube[image[k]] if told[k] else np.zeros((11, 11)))
    marked = [k for k in range(190) if (flags[k] & 4).any()]
    assert 2 <= len(marked) <= 4
    assert {int(image[k]) for k in marked} == {prepared.jump}


def test_what_is_not_told_is_said(inside, prepared, tmp_path):
    untold = int((nearest(inside, prepared)[1] > CADENCE_D).sum())
    with opened(inside, tmp_path) as target:
        assert any(
            f"{untold} of 190 cadences have no full-frame image within 1800 s" in text
            for text in target.details["errors"]
        )


def test_cadences_in_which_the_sky_jumps_are_marked(inside, prepared, tmp_path):
    image, distance = nearest(inside, prepared)
    with opened(inside, tmp_path, AperturePhotometry) as target:
        target.photometry()
        marked = (np.asarray(target.lightcurve["flags"]) & StarFlag.SKY_JUMP) > 0
    np.testing.assert_array_equal(marked, (image == prepared.jump) & (distance <= CADENCE_D))
    assert marked.any()


def test_a_smaller_stamp_has_its_part(inside, tmp_path):
    with opened(inside, tmp_path) as target:
        whole = target.pixelflags_cube
        target.resize_stamp(down=-2, right=-3)
        np.testing.assert_array_equal(target.pixelflags_cube, whole[2:, :-3])


def test_pixels_beyond_the_images_have_no_flags(beside, prepared, tmp_path):
    with opened(beside("over", first_column=1540, first_row=950), tmp_path) as target:
        cube = target.pixelflags_cube
        expected = flags_of_images(prepared, tmp_path, (950, 956, 1540, 1551))
    assert cube.shape == (11, 11, N_IMAGES)
    assert not cube[6:].any()
    np.testing.assert_array_equal(np.moveaxis(cube[:6], -1, 0), expected)


@pytest.mark.parametrize("corner", [{"first_column": 1200}, {"first_row": 956, "first_column": 1540}])
def test_images_that_do_not_show_the_pixels_count_for_nothing(beside, tmp_path, corner):
    with opened(beside("away", **corner), tmp_path) as target:
        assert target.pixelflags_cube.shape == (11, 11, 0)
        assert len(list(target.pixelflags)) == 190


def test_images_of_another_ccd_count_for_nothing(beside, tmp_path):
    with opened(beside("other", (1, 3), first_column=1570, first_row=914), tmp_path) as target:
        assert target.pixelflags_cube.shape == (11, 11, 0)
        assert not any("full-frame" in text for text in target.details["errors"])


def test_damaged_images_are_no_obstacle(inside, prepared, tmp_path):
    folder = tmp_path / "in"
    shutil.copytree(inside.folder, folder, ignore=lambda *_: ["images"])
    (folder / "prepared.h5").write_bytes(b"nothing")
    with PSFPhotometry(1001, folder, tmp_path, datasource="tpf") as target:
        assert target.pixelflags_cube.shape == (11, 11, 0)
        assert any("no full-frame image tells the flags" in text for text in target.details["errors"])


def test_the_images_are_closed_with_the_file(inside, prepared, tmp_path):
    with opened(inside, tmp_path) as target:
        assert target.pixelflags_cube.any()
    still = [h5py.File(one).filename for one in h5py.h5f.get_obj_ids(types=h5py.h5f.OBJ_FILE)]
    assert not [name for name in still if name.startswith(str(prepared.folder))]
    with pytest.raises(ValueError, match="closed"):
        target.pixelflags_cube  # noqa: B018


def test_what_is_kept_answers_after_closing(inside, tmp_path):
    with PSFPhotometry(1001, inside.folder, tmp_path, datasource="tpf", cache="full") as target:
        before = np.array(list(target.pixelflags))
    np.testing.assert_array_equal(np.array(list(target.pixelflags)), before)
    assert target.pixelflags_cube.shape == (11, 11, N_IMAGES)


def test_images_are_no_target_files(inside, prepared, tmp_path):
    """Their raw files may lie beside a target pixel file: they name no star, as a cut-out does not."""
    folder = tmp_path / "in"
    shutil.copytree(inside.folder, folder, ignore=lambda *_: ["images"])
    for path in prepared.frames[:2]:
        os.symlink(path, folder / path.name)
    assert find_inputs(1001, folder).pixels.name == inside.pixels.name
    with pytest.raises(FileNotFoundError, match="There is no target pixel file of TIC 1002"):
        find_inputs(1002, folder)
