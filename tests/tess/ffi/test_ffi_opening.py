"""What is opened for a star of full-frame images, and how long it is kept; the documented interface."""

import gc
import json
import shutil

import h5py
import numpy as np
import pytest

from gaiaflux.io.tess.catalog import read_tess_catalog
from gaiaflux.io.tess.prepared_catalog import write_prepared_catalog
from gaiaflux.sim.tess.field import light_time_d
from gaiaflux.tess.base_photometry import BasePhotometry
from gaiaflux.tess.photometry import AperturePhotometry, LinPSFPhotometry, PSFPhotometry
from gaiaflux.tess.stamp.status import STATUS

KINDS = (PSFPhotometry, LinPSFPhotometry, AperturePhotometry)
WHERE = {"camera": 1, "ccd": 4}
CUBES = ("images_cube", "images_err_cube", "backgrounds_cube", "pixelflags_cube")


def open_files(folder):
    """HDF5 files below a folder that are open in this process."""
    found = (h5py.File(one) for one in h5py.h5f.get_obj_ids(types=h5py.h5f.OBJ_FILE))
    names = [file.filename for file in found]
    return [name for name in names if name.startswith(str(folder))]


@pytest.mark.parametrize("kind", KINDS)
def test_the_documented_arguments(prepared, tmp_path, kind):
    with kind(
        starid=1001,
        input_folder=str(prepared.folder),
        output_folder=str(tmp_path),
        datasource="ffi",
        plot=False,
        camera=1,
        ccd=4,
        cadence=None,
        cache="basic",
        version=5,
    ) as target:
        assert (target.starid, target.datasource, target.version) == (1001, "ffi", 5)
        assert (target.status, target.plot_folder) == (STATUS.UNKNOWN, None)
        assert target.details["stamp"] == target.stamp
        assert len(target.lightcurve) == 44


def test_the_default_is_full_frames_and_needs_the_ccd(prepared, tmp_path):
    with PSFPhotometry(1001, prepared.folder, tmp_path, **WHERE) as target:
        assert target.datasource == "ffi"
    for where in ({}, {"camera": 1}, {"ccd": 4}):
        with pytest.raises(ValueError, match="'ffi' needs camera and ccd"):
            PSFPhotometry(1001, prepared.folder, tmp_path, **where)


def test_another_ccd_sector_or_cadence_is_not_there(prepared, tmp_path):
    for other in ({"ccd": 3}, {"camera": 2}, {"sector": 2}, {"cadence": 600}):
        with pytest.raises(FileNotFoundError, match=r"There are no prepared full-frame images.*but 1 of others"):
            PSFPhotometry(1001, prepared.folder, tmp_path, **(WHERE | other))
    with PSFPhotometry(1001, prepared.folder, tmp_path, sector=1, cadence=1800, **WHERE) as target:
        assert target.source.cadence_s == 1800


def test_nothing_prepared(linked, tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        PSFPhotometry(1001, tmp_path / "nowhere", tmp_path, **WHERE)
    folder = linked("catalog.csv", "prf", "ffi")
    with pytest.raises(FileNotFoundError, match="There are no prepared full-frame images of camera 1, CCD 4"):
        PSFPhotometry(1001, folder, tmp_path, **WHERE)


def test_several_are_told_apart_by_their_cadence(prepared, linked, tmp_path):
    folder = linked("catalog.csv", "prf", "prepared")
    (folder / "other").mkdir()
    other = folder / "other" / "prepared.h5"
    shutil.copy(prepared.folder / "prepared" / "prepared.h5", other)
    with pytest.raises(FileNotFoundError, match=r"2 sets of prepared images.*choose with sector and cadence"):
        PSFPhotometry(1001, folder, tmp_path, **WHERE)
    with h5py.File(other, "r+") as file:
        head = json.loads(file["head"][()].tobytes()) | {"cadence_s": 600.0}
        del file["head"]
        file.create_dataset("head", data=np.frombuffer(json.dumps(head).encode(), np.uint8))
    for cadence in (1800, 600):
        with PSFPhotometry(1001, folder, tmp_path, cadence=cadence, **WHERE) as target:
            assert target.source.cadence_s == cadence
    with pytest.raises(FileNotFoundError, match="2 sets"):
        PSFPhotometry(1001, folder, tmp_path, **WHERE)


def test_without_a_catalogue(linked, tmp_path):
    with pytest.raises(FileNotFoundError, match="There must be one catalogue"):
        PSFPhotometry(1001, linked("prepared", "prf"), tmp_path, **WHERE)


def test_tables_of_the_workflow_are_no_catalogues(prepared, linked, tmp_path):
    folder = linked("prepared", "prf")
    assert (folder / "prepared" / "images.csv").is_file()
    shutil.copy(prepared.folder / "catalog.csv", folder / "stars.csv")
    with PSFPhotometry(1001, folder, tmp_path, **WHERE) as target:
        assert len(target.all_stars) > 30


def test_another_ccd_may_be_damaged(linked, tmp_path):
    folder = linked("prepared", "prf", "catalog.csv")
    (folder / "another").mkdir()
    (folder / "another" / "prepared.h5").write_bytes(b"nothing")
    with PSFPhotometry(1001, folder, tmp_path, **WHERE) as target:
        assert target.source.ccd == 4
    with pytest.raises(ValueError, match=r"another/prepared.h5 cannot be read"):
        PSFPhotometry(1001, folder, tmp_path, camera=1, ccd=3)


def test_a_batch_that_was_made_again_is_not_taken(prepared, linked, tmp_path):
    folder = linked("prf", "catalog.csv")
    shutil.copytree(prepared.folder / "prepared", folder / "prepared")
    batches = folder / "prepared" / "frames"
    shutil.copy(batches / "30.h5", batches / "15.h5")  # of 14 images in the place of 15
    with (
        PSFPhotometry(1001, folder, tmp_path, **WHERE) as target,
        pytest.raises(ValueError, match=r"14 frames instead of 15.*prepare its images anew"),
    ):
        target.images_cube  # noqa: B018


def test_a_star_that_no_catalogue_has(prepared, tmp_path):
    with pytest.raises(RuntimeError, match="TIC 77 is not in the catalogue"):
        PSFPhotometry(77, prepared.folder, tmp_path, **WHERE)
    gc.collect()
    assert open_files(prepared.folder) == []


def far(rows, number, where):
    """Catalogue with a star that is moved by degrees."""
    fields = rows[1].split(",")
    fields[0], fields[2] = str(number), str(float(fields[2]) + where)
    return "\n".join([*rows, ",".join(fields)])


def test_a_star_that_is_not_on_the_pixels(prepared, linked, tmp_path):
    folder = linked("prepared", "prf")
    rows = (prepared.folder / "catalog.csv").read_text().splitlines()
    (folder / "catalog.csv").write_text(far(rows, 77, 0.5))
    with pytest.raises(ValueError, match=r"TIC 77 is at row .*and the pixels are of rows 900 to 955"):
        PSFPhotometry(77, folder, tmp_path, **WHERE)
    assert open_files(prepared.folder) == []


@pytest.mark.parametrize("name", ["prepared.h5", "frames/15.h5"])
def test_a_damaged_file_is_named(prepared, linked, tmp_path, name):
    folder = linked("catalog.csv", "prf")
    shutil.copytree(prepared.folder / "prepared", folder / "prepared")
    (folder / "prepared" / name).write_bytes(b"nothing")

    def measure(how):
        with PSFPhotometry(1001, folder, tmp_path, **WHERE) as target:
            return how(target)

    for how in (lambda target: target.images_cube, lambda target: target.photometry()):
        with pytest.raises(ValueError, match=f"{name} cannot be read|cannot be read from .*{name}"):
            measure(how)


def test_the_folder_of_a_field_of_the_workflow(prepared, tmp_path):
    folder = tmp_path / "FIELD"
    folder.mkdir()
    write_prepared_catalog(folder / "catalog.h5", read_tess_catalog(prepared.folder / "catalog.csv"))
    stated = {
        "targets": [],
        "images": [str(prepared.folder / "prepared" / "prepared.h5")],
        "catalog": str(folder / "catalog.h5"),
        "prf": str(prepared.folder / "prf"),
        "pointing": "",
    }
    (folder / "field.json").write_text(json.dumps(stated))
    found, other = (LinPSFPhotometry(1001, one, tmp_path, **WHERE) for one in (folder, prepared.folder))
    with found, other:
        assert list(found.catalog["starid"]) == list(other.catalog["starid"])
        found.photometry()
        other.photometry()
    np.testing.assert_array_equal(found.lightcurve["flux"], other.lightcurve["flux"])


def test_times_are_those_of_the_star(opened, prepared):
    table = opened.lightcurve
    np.testing.assert_allclose(table["time"] - table["timecorr"], prepared.ccd.btjd, atol=1e-9)
    expected = light_time_d(prepared.ccd.btjd, *opened.sky)
    # The files state the light time for the middle of the CCD, degrees away.
    assert np.abs(opened.source.timecorr - expected).max() * 86400 > 2
    # Where the spacecraft is on its orbit is known along that direction alone.
    np.testing.assert_allclose(table["timecorr"], expected, rtol=0, atol=0.05 / 86400)
    assert table["cadenceno"].dtype == np.int32
    assert (np.diff(table["cadenceno"]) > 0).all()
    np.testing.assert_array_equal(table["quality"], prepared.quality)


def test_the_target(opened):
    facts = opened.target
    assert set(facts) == {"ra", "decl", "ra_J2000", "decl_J2000", "pm_ra", "pm_decl", "tmag", "teff"}
    assert facts["tmag"] == 10.5


def test_closing_twice_and_asking_afterwards(prepared, tmp_path):
    with LinPSFPhotometry(1001, prepared.folder, tmp_path, **WHERE) as target:
        mean, stars, bits = target.sumimage, target.catalog, target.aperture
        target.photometry()
        assert len(open_files(prepared.folder)) == 4
    target.close()
    assert open_files(prepared.folder) == []
    np.testing.assert_array_equal(target.sumimage, mean)
    np.testing.assert_array_equal(target.catalog["row"], stars["row"])
    np.testing.assert_array_equal(target.aperture, bits)
    assert np.isfinite(target.lightcurve["flux"]).any()
    assert target.catalog_attime(target.spacecraft_time[5])["starid"][0] == stars["starid"][0]
    for name in (*CUBES, "images", "images_err", "backgrounds", "pixelflags"):
        with pytest.raises(ValueError, match="were closed; open the target again"):
            getattr(target, name)
    with pytest.raises(ValueError, match="closed"):
        target.save_lightcurve()
    with pytest.raises(ValueError, match="closed"):
        target.photometry()


@pytest.mark.parametrize("cache", ["none", "basic", "full"])
def test_clearing_changes_no_value(prepared, tmp_path, cache):
    with PSFPhotometry(1001, prepared.folder, tmp_path, cache=cache, **WHERE) as target:
        names = ("sumimage", "aperture", *CUBES)
        before = {name: np.array(getattr(target, name)) for name in names}
        target.clear_cache()
        target.clear_cache()
        for name in names:
            np.testing.assert_array_equal(getattr(target, name), before[name])


def test_each_cache_keeps_what_it_says(prepared, tmp_path):
    made = {
        one: PSFPhotometry(1001, prepared.folder, tmp_path, cache=one, **WHERE) for one in ("none", "basic", "full")
    }
    assert made["none"].psf is not made["none"].psf
    assert made["basic"].psf is made["basic"].psf
    for target in made.values():
        assert np.isfinite(target.images_cube).any()
        assert np.isfinite(target.sumimage).any()
        assert target.pixelflags_cube.any()
        target.close()
    assert made["full"].images_cube.shape == (15, 15, 44)
    assert len(list(made["full"].pixelflags)) == 44
    assert made["basic"].sumimage.shape == (15, 15)
    for cache, name in (("none", "sumimage"), ("none", "images_cube"), ("basic", "images_cube")):
        with pytest.raises(ValueError, match="closed"):
            getattr(made[cache], name)
    made["full"].clear_cache()
    with pytest.raises(ValueError, match="closed"):
        made["full"].images_cube  # noqa: B018


def test_what_is_kept_cannot_be_changed(prepared, tmp_path):
    with PSFPhotometry(1001, prepared.folder, tmp_path, cache="full", **WHERE) as target:
        for name in ("images", "pixelflags"):
            with pytest.raises(ValueError, match="read-only"):
                next(getattr(target, name))[:] = 0
        target.lightcurve["timecorr"][:] = 0
        assert target.source.timecorr.any()


def test_stars_of_one_ccd_do_not_share_their_place(prepared, tmp_path):
    """The shifts are of the star's own place, also where the files are read once for both."""
    first, second = (BasePhotometry(star, prepared.folder, tmp_path, **WHERE) for star in (1001, 1002))
    with first, second:
        away = first.lightcurve["pos_corr"] - second.lightcurve["pos_corr"]
        assert 0 < np.nanmax(np.abs(away)) < 0.15
        same = first.source.seen_at(second.target_pos_row, second.target_pos_column)
        np.testing.assert_array_equal(same.pos_corr, second.source.pos_corr)
