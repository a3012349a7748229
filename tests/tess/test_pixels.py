"""Pixels and what is made from them; the documented interface member by member."""

import numpy as np
import pytest
from astropy.io import fits

from gaiaflux.core.maths.robust import finite_mean
from gaiaflux.tess.photometry import LinPSFPhotometry, PSFPhotometry
from gaiaflux.tess.stamp.psf import PSF
from gaiaflux.tess.stamp.status import STATUS

STAMP = (700, 711, 1200, 1211)
CUBES = ("images_cube", "images_err_cube", "backgrounds_cube")


def test_cubes_have_time_last_and_cannot_be_written(opened, quiet):
    known = quiet.columns()
    for name, column in zip(CUBES, ("FLUX", "FLUX_ERR", "FLUX_BKG"), strict=True):
        cube = getattr(opened, name)
        assert cube.shape == (11, 11, 39)
        assert cube.dtype == np.float32
        np.testing.assert_array_equal(np.moveaxis(cube, -1, 0), known[column])
        assert np.shares_memory(cube, getattr(opened, name)), "a view, not a copy"
        with pytest.raises(ValueError, match="read-only"):
            cube[0, 0, 0] = 1.0


def test_images_are_those_of_the_light_curve(opened, quiet):
    known = quiet.columns()
    assert len(opened.lightcurve) == 39  # the row without a time is not there
    np.testing.assert_array_equal(opened.lightcurve["cadenceno"], known["CADENCENO"])
    np.testing.assert_allclose(opened.lightcurve["time"], known["TIME"], rtol=0.0, atol=1e-9)
    for name, column in (("images", "FLUX"), ("images_err", "FLUX_ERR"), ("backgrounds", "FLUX_BKG")):
        frames = getattr(opened, name)
        assert len(frames) == 39
        first = next(frames)
        assert len(frames) == 38
        np.testing.assert_array_equal(first, known[column][0])
        assert not first.flags.writeable
        assert len(list(frames)) == 38
        assert list(frames) == []
        assert len(list(getattr(opened, name))) == 39, "each is a new one"


def test_a_target_file_has_no_flags_of_full_frames(opened):
    assert opened.pixelflags_cube.shape == (11, 11, 0)
    assert opened.pixelflags_cube.dtype == np.uint8
    flags = opened.pixelflags
    assert len(flags) == 39
    assert all(image.shape == (11, 11) and image.dtype == np.uint8 and not image.any() for image in flags)


def test_the_mean_is_of_quality_zero(opened, quiet):
    known = quiet.columns()
    good = known["QUALITY"] == 0  # among those with a bit is one that the mission's usual choice keeps
    expected = known["FLUX"][good].astype(float).mean(axis=0)
    assert opened.sumimage.dtype == np.float64
    np.testing.assert_allclose(opened.sumimage, expected, rtol=1e-12)
    opened.sumimage[:] = 0
    np.testing.assert_allclose(opened.sumimage, expected, rtol=1e-12)


def test_the_mean_leaves_out_and_changes_nothing(field, tmp_path):
    def spoil(hdus):
        hdus["PIXELS"].data["FLUX"][:, 0, 0] = np.nan
        hdus["PIXELS"].data["FLUX"][2:5, 1, 1] = np.nan

    field.edit(spoil)
    target = PSFPhotometry(1001, field.folder, tmp_path, datasource="tpf")
    mean = target.sumimage
    assert np.isnan(mean[0, 0])
    good = np.asarray(target.lightcurve["quality"]) == 0
    assert mean[1, 1] == pytest.approx(np.nanmean(target.images_cube[1, 1, good].astype(float)), rel=1e-12)
    assert np.isnan(target.images_cube[0, 0]).all()
    assert np.isnan(target.images_cube[1, 1, 2:5]).all()


def test_the_mean_is_summed_in_double_precision(tmp_path):
    frames = np.full((20000, 2, 2), 1e5 + 0.0078125, np.float32)
    np.testing.assert_allclose(finite_mean(frames), 1e5 + 0.0078125, rtol=1e-12)


def test_without_a_frame_of_quality_zero_the_mean_is_of_the_better_ones(field, tmp_path):
    field.edit(lambda hdus: hdus["PIXELS"].data["QUALITY"].__setitem__(slice(None), [16384, 8] * 20))
    target = LinPSFPhotometry(1001, field.folder, tmp_path, datasource="tpf")
    expected = target.images_cube[..., ::2].astype(float).mean(axis=-1)
    np.testing.assert_allclose(target.sumimage, expected, rtol=1e-12)
    assert target.photometry() is STATUS.WARNING
    assert any("no cadence has quality 0" in text for text in target.details["errors"])
    assert np.isnan(target.details["mean_flux"])
    said = list(target.details["errors"])
    target.report_details(error="mine")
    target.photometry()
    assert sorted(target.details["errors"]) == sorted([*said, "mine"]), "what a second run says does not add up"
    target.resize_stamp(left=-1)
    assert target.details["errors"] == ["mine"]


def test_bits_of_the_pixels(opened, quiet):
    with fits.open(quiet.pixels) as hdus:
        stated = np.array(hdus["APERTURE"].data)
    bits = opened.aperture
    assert bits.dtype == np.int32
    np.testing.assert_array_equal(bits, stated & ~(2 | 8))
    assert ((bits & 128) > 0).all()  # output C: columns 1069 to 1580, counted from 1
    bits[:] = 0
    assert (opened.aperture & 1).all()


def test_the_response_function(opened):
    psf = opened.psf
    assert isinstance(psf, PSF)
    assert (psf.sector, psf.camera, psf.ccd, psf.stamp) == (1, 4, 1, STAMP)
    assert opened.psf is psf
    image = psf.integrate_to_image([(4.9, 5.2, 1000.0)], cutoff_radius=None)
    assert image.shape == (11, 11)
    assert image.sum() == pytest.approx(1000.0, rel=0.02)
    assert np.unravel_index(image.argmax(), image.shape) == (5, 5)
    assert psf.integrate_to_image([(4.9, 5.2, 1000.0)], cutoff_radius=2).sum() < image.sum()


def test_settings_are_those_in_force(opened):
    settings = opened.settings
    assert settings["photometry"]["method"] == "psf"
    settings["photometry"]["method"] = "other"
    settings.add_section("new")
    assert opened.settings["photometry"]["method"] == "psf"
    assert "new" not in opened.settings
    assert all(text for section in opened.settings.sections() for text in opened.settings[section].values())
    opened.close()
    assert opened.settings["photometry"]["zero_point"] == "20.44"
