from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.core.image.ccd_sky import FrameSky
from gaiaflux.model.cadences import Detector
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.flags import FrameFlag
from gaiaflux.tess.images.frame import prepare_frame, sky_grid

NOTHING = (float("nan"),) * 4


def test_sky_stars_and_errors_of_a_good_image(image, kit, small):
    frame = prepare_frame(image, kit)
    assert frame.facts["flags"] == 0
    rest = FrameSky(**frame.sky).subtract(frame.flux, kit.grid) - small.truth.star_light(3)
    assert abs(np.median(rest)) < 1.0
    assert np.median(np.abs(rest)) < 2.0
    tells = kit.reference.tells
    x = kit.reference.x[tells] - frame.centroids.x
    assert np.isfinite(x).all()
    # All stars have moved alike, and not by a pixel.
    assert np.std(x) < 0.05
    assert abs(np.median(x)) < 0.5
    np.testing.assert_array_equal(frame.flux, image.flux)


def test_without_stated_errors_they_are_modelled_and_flagged(image, kit):
    stated = prepare_frame(image, kit)
    modelled = prepare_frame(replace(image, flux_err=np.full_like(image.flux, np.nan)), kit)
    assert modelled.facts["flags"] == FrameFlag.MODELLED_ERRORS
    assert np.median(modelled.flux_err / stated.flux_err) == pytest.approx(1.0, abs=0.12)


def test_an_image_without_light_is_a_frame_with_a_flag(image, kit):
    for value in (0.0, np.nan):
        frame = prepare_frame(replace(image, flux=np.full_like(image.flux, value)), kit)
        assert frame.facts["flags"] == FrameFlag.NO_LIGHT
        assert frame.facts["cadenceno"] == image.cadenceno
        assert np.isnan(frame.flux).all()
        assert np.isnan(frame.centroids.x).all()
        assert frame.sky["level"].shape == sky_grid(kit.reference).mesh_shape


def test_pixels_without_a_number_do_not_spoil_the_others(image, kit):
    flux = image.flux.copy()
    flux[:, :32] = np.nan
    flux[40, 50] = np.inf
    frame = prepare_frame(replace(image, flux=flux), kit)
    assert np.isnan(frame.flux[:, :32]).all()
    assert np.isnan(frame.flux[40, 50])
    there = kit.reference.x[kit.reference.tells] > 38
    whole = prepare_frame(image, kit)
    np.testing.assert_allclose(frame.centroids.x[there], whole.centroids.x[there], atol=0.02)
    assert np.isnan(frame.centroids.x[kit.reference.x[kit.reference.tells] < 26]).all()


REFUSED = {
    "another sector": (lambda image: replace(image, sector=2), "of sector 2, camera 1, CCD 3, where"),
    "no sector": (lambda image: replace(image, sector=0), "neither its header nor its name says the sector"),
    "another CCD": (lambda image: replace(image, ccd=4), "of sector 1, camera 1, CCD 4, where"),
    "another cadence": (lambda image: replace(image, cadence_s=600.0), "every 600 s, where the others are every 1800"),
    "another crop": (
        lambda image: replace(image, flux=image.flux[:60], flux_err=image.flux_err[:60]),
        "it shows rows 0 to 60, columns 44 to 108 of the CCD, where the others show rows 0 to 64",
    ),
    "no time": (lambda image: replace(image, mjd_tdb=float("nan")), "states no time"),
    "no number": (lambda image: replace(image, cadenceno=-1), "number of its cadence"),
    "one value": (lambda image: replace(image, flux=np.full_like(image.flux, 123.0)), "the same value"),
    "no exposure": (
        lambda image: replace(
            image,
            flux_err=np.full_like(image.flux, np.nan),
            exptime_s=0.0,
            detector=Detector(0, 0, 0.0, 0.0, NOTHING, NOTHING),
        ),
        "errors of its pixels cannot be told",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_one_of_the_images_is_refused_with_the_reason(image, kit, case):
    change, said = REFUSED[case]
    with pytest.raises(BadFrameError, match=said):
        prepare_frame(change(image), kit)


def test_an_image_all_of_stars_is_refused(image, kit):
    starry = replace(kit.reference, starry=np.ones_like(kit.reference.starry))
    with pytest.raises(BadFrameError, match="no clean pixels"):
        prepare_frame(image, replace(kit, reference=starry))
