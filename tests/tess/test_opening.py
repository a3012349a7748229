"""What is opened for a target, and how long it is kept; the documented interface member by member."""

import gc
import weakref

import numpy as np
import pytest

from gaiaflux.sim.tess.field import light_time_d
from gaiaflux.tess.base_photometry import BasePhotometry
from gaiaflux.tess.photometry import AperturePhotometry, LinPSFPhotometry, PSFPhotometry
from gaiaflux.tess.stamp.status import STATUS

STAMP = (700, 711, 1200, 1211)
CUBES = ("images_cube", "images_err_cube", "backgrounds_cube")
KINDS = (PSFPhotometry, LinPSFPhotometry, AperturePhotometry)


@pytest.mark.parametrize("starid", [1001, np.int64(1001), np.uint16(1001), "1001", "TIC 1001"])
def test_a_number_of_any_kind_is_a_starid(quiet, tmp_path, starid):
    target = PSFPhotometry(starid, quiet.folder, tmp_path, datasource="tpf")
    assert target.starid == 1001
    assert type(target.starid) is int


@pytest.mark.parametrize("starid", [1001.5, 1001.0, "abc", "", -1, 0, True, None, 2**63])
def test_anything_else_is_none(quiet, tmp_path, starid):
    with pytest.raises(ValueError, match="is no TIC number"):
        PSFPhotometry(starid, quiet.folder, tmp_path, datasource="tpf")


def test_numbers_of_64_bits_stay_whole(field, tmp_path):
    large = 9_007_199_254_740_993  # not a float64
    field.catalog("\n".join(field.rows()).replace("1001,", f"{large},", 1))
    field.edit(lambda hdus: hdus[0].header.set("TICID", large))
    field.pixels.rename(field.folder / "pixels.fits.gz")
    target = PSFPhotometry(large, field.folder, tmp_path, datasource="tpf")
    assert large in target.catalog["starid"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_documented_arguments(quiet, tmp_path, kind):
    target = kind(
        starid=1001,
        input_folder=str(quiet.folder),
        output_folder=str(tmp_path),
        datasource="tpf",
        plot=False,
        camera=4,
        ccd=1,
        sector=1,
        cadence=120,
        cache="basic",
        version=0,
    )
    assert (target.status, target.version, target.plot_folder) == (STATUS.UNKNOWN, 0, None)
    assert (target.output_folder, target.datasource) == (str(tmp_path), "tpf")
    assert target.method == kind.__name__.removesuffix("Photometry").lower()


def test_defaults_are_those_of_the_documentation(quiet, tmp_path):
    assert PSFPhotometry(1001, quiet.folder, tmp_path, datasource="tpf").version == 6
    with pytest.raises(ValueError, match="'ffi' needs camera and ccd"):
        PSFPhotometry(1001, quiet.folder, tmp_path)
    with pytest.raises(ValueError, match="needs camera and ccd"):
        PSFPhotometry(1001, quiet.folder, tmp_path, camera=4)


def test_full_frames_that_are_not_there_are_named(quiet, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"camera 4, CCD 1.*datasource='tpf'"):
        PSFPhotometry(1001, quiet.folder, tmp_path, camera=4, ccd=1, cadence=1800)


@pytest.mark.parametrize("name", ["", "tess", "TPF ", "tpf:", "tpf:x", "ffi:1001", "tpf:1001:2"])
def test_another_source_is_refused(quiet, tmp_path, name):
    with pytest.raises(ValueError, match="it is 'ffi', 'tpf' or 'tpf:TIC'"):
        PSFPhotometry(1001, quiet.folder, tmp_path, datasource=name)


def test_another_cache_is_refused(quiet, tmp_path):
    with pytest.raises(ValueError, match="one of none, basic, full"):
        PSFPhotometry(1001, quiet.folder, tmp_path, datasource="tpf", cache="some")


def test_a_file_stands_for_its_folder(quiet, tmp_path):
    assert PSFPhotometry(1001, quiet.pixels, tmp_path, datasource="tpf").stamp == STAMP


def test_a_neighbour_from_the_pixels_of_another_star(quiet, tmp_path):
    target = LinPSFPhotometry(1002, quiet.folder, tmp_path, datasource="tpf:1001")
    assert (target.starid, target.datasource) == (1002, "tpf")
    assert target.photometry() in (STATUS.OK, STATUS.WARNING)
    expected = quiet.truth.star_flux[0, 1]
    assert np.nanmedian(target.lightcurve["flux"]) == pytest.approx(expected, rel=0.01)


def test_an_aperture_of_another_star_is_not_taken(quiet, tmp_path):
    own = AperturePhotometry(1001, quiet.folder, tmp_path, datasource="tpf")
    other = AperturePhotometry(1002, quiet.folder, tmp_path, datasource="tpf:1001")
    for target in (own, other):
        assert target.photometry() in (STATUS.OK, STATUS.WARNING)
    assert other.final_phot_mask[7, 8]
    assert not other.final_phot_mask[5, 5]
    assert own.final_phot_mask[5, 5]
    expected = quiet.truth.star_flux[0, 1]
    assert np.nanmedian(other.lightcurve["flux"]) == pytest.approx(expected, rel=0.3)


def test_times_are_those_of_the_star(quiet, tmp_path):
    own = BasePhotometry(1001, quiet.folder, tmp_path, datasource="tpf")
    other = BasePhotometry(1002, quiet.folder, tmp_path, datasource="tpf:1001")
    columns = quiet.columns()
    np.testing.assert_allclose(own.lightcurve["time"], columns["TIME"], rtol=0.0, atol=1e-9)
    seen = own.lightcurve["time"] - own.lightcurve["timecorr"]
    expected = light_time_d(np.asarray(seen), *other.sky)
    difference = other.lightcurve["time"] - own.lightcurve["time"]
    assert abs(difference[0]) * 86400 > 0.01
    np.testing.assert_allclose(difference, expected - columns["TIMECORR"], atol=1e-3 / 86400)
    np.testing.assert_allclose(other.lightcurve["time"] - other.lightcurve["timecorr"], seen, atol=1e-9)


def test_the_target(opened, quiet):
    facts = opened.target
    assert set(facts) == {"ra", "decl", "ra_J2000", "decl_J2000", "pm_ra", "pm_decl", "tmag", "teff"}
    assert facts["tmag"] == 10.5
    assert opened.target_pos_column_stamp == pytest.approx(5.2, abs=1e-4)
    assert opened.target_pos_row_stamp == pytest.approx(4.9, abs=1e-4)
    assert opened.target_pos_column == pytest.approx(1205.2, abs=1e-4)


def test_closing_twice_and_asking_afterwards(quiet, tmp_path):
    with LinPSFPhotometry(1001, quiet.folder, tmp_path, datasource="tpf") as target:
        mean, stars = target.sumimage, target.catalog
        target.photometry()
    target.close()
    np.testing.assert_array_equal(target.sumimage, mean)
    np.testing.assert_array_equal(target.catalog["row"], stars["row"])
    assert target.stamp == STAMP
    assert np.isfinite(target.lightcurve["flux"]).any()
    for name in (*CUBES, "images", "images_err", "backgrounds", "pixelflags_cube"):
        with pytest.raises(ValueError, match="were closed; open the target again"):
            getattr(target, name)
    with pytest.raises(ValueError, match="closed"):
        target.save_lightcurve()
    with pytest.raises(ValueError, match="closed"):
        target.photometry()


def test_closing_lets_the_pixels_go(quiet, tmp_path):
    target = PSFPhotometry(1001, quiet.folder, tmp_path, datasource="tpf")
    gone = weakref.ref(target.source.file.series.flux)
    assert len(target.sumimage) == 11
    target.close()
    gc.collect()
    assert gone() is None
    assert target.catalog_attime(target.spacecraft_time[0])["starid"][0] == 1001


@pytest.mark.parametrize("cache", ["none", "basic", "full"])
def test_clearing_changes_no_value(quiet, tmp_path, cache):
    target = PSFPhotometry(1001, quiet.folder, tmp_path, datasource="tpf", cache=cache)
    names = ("sumimage", "aperture", *CUBES)
    before = {name: np.array(getattr(target, name)) for name in names}
    target.clear_cache()
    target.clear_cache()
    for name in names:
        np.testing.assert_array_equal(getattr(target, name), before[name])


def test_each_cache_keeps_what_it_says(quiet, tmp_path):
    made = {
        cache: PSFPhotometry(1001, quiet.folder, tmp_path, "tpf", cache=cache) for cache in ("none", "basic", "full")
    }
    assert made["none"].psf is not made["none"].psf
    assert made["basic"].psf is made["basic"].psf
    for target in made.values():
        assert np.isfinite(target.images_cube).any()
        assert np.isfinite(target.sumimage).any()
        target.close()
    assert made["full"].images_cube.shape == (11, 11, 39)
    assert len(made["full"].images) == 39
    assert made["basic"].sumimage.shape == (11, 11)
    for cache, name in (("none", "sumimage"), ("none", "images_cube"), ("basic", "images_cube")):
        with pytest.raises(ValueError, match="closed"):
            getattr(made[cache], name)
    made["full"].clear_cache()
    with pytest.raises(ValueError, match="closed"):
        made["full"].images_cube  # noqa: B018
