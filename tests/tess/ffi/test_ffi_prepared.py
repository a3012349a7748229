"""What the preparation of the images settles for all that is measured in them."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.core.cadences.frame_motion import solve_motion
from gaiaflux.core.cadences.motion_terms import StarPlaces
from gaiaflux.core.sky.projection import pixel_to_sky, sky_to_pixel
from gaiaflux.io.tess.catalog import read_tess_catalog
from gaiaflux.io.tess.frame_batch import read_frame_batch
from gaiaflux.io.tess.prepared_field import PreparedField
from gaiaflux.tess.images.field import _times, prepare_images
from gaiaflux.tess.images.joined import join_frames
from gaiaflux.tess.images.mean_plate import mean_plate
from gaiaflux.tess.images.reference import image_reference


@pytest.fixture(scope="module")
def reference(prepared):
    candidates = [(path.name, str(path)) for path in prepared.frames]
    return image_reference(candidates, (1, 1, 4), read_tess_catalog(prepared.folder / "catalog.csv"))


@pytest.mark.parametrize("quality", [1024, 4096])
def test_without_a_frame_of_quality_zero_the_mean_is_of_the_better_ones(prepared, reference, tmp_path, caplog, quality):
    batches = sorted((prepared.folder / "prepared" / "frames").glob("*.h5"))
    frames = join_frames([read_frame_batch(path) for path in batches], reference)
    bad = prepared.quality & 0b10101111 != 0
    frames.facts["quality"][:] = np.where(bad, 4, quality)
    with caplog.at_level(logging.WARNING):
        prepare_images(tmp_path / "prepared.h5", tmp_path / "images.csv", frames, reference, [])
    assert "no good image has quality 0" in caplog.text
    with PreparedField(tmp_path / "prepared.h5") as field:
        mean = field.array("mean_image")
    with PreparedField(prepared.folder / "prepared" / "prepared.h5") as field:
        usual = field.array("mean_image")
    assert np.isfinite(mean).all()
    # Also frames that do not count usually are in it: the odd one, or those of dumps and of safe mode.
    assert 0 < np.abs(mean - usual).max() < (0.1 if quality == 1024 else 0.5) * usual.max()


def test_one_direction_of_the_light_time_across_the_meridian():
    n = 4
    facts = {
        "timecorr_d": np.full(n, 0.003),
        "timecorr_ra": np.array([359.9999, 0.0001, 359.9998, 0.0002]),
        "timecorr_dec": np.full(n, -20.0),
        "mjd_tdb": 58325.0 + np.arange(n) / 48,
    }
    made = _times(facts, None)
    assert (made["timecorr_ra"] + 180.0) % 360.0 == pytest.approx(np.full(n, 180.0), abs=1e-3)
    assert made["timecorr_dec"] == pytest.approx(np.full(n, -20.0), abs=1e-6)


def moved(x, y, order):
    """Where stars are in the mean of the frames less where the reference has them."""
    u, v = x / 2000.0, y / 2000.0
    curved = 0.2 * u * v**2 - 0.1 * u**2 if order == 3 else 0.0
    return 0.3 + 0.05 * u + curved, -0.2 - 0.04 * v + 0.03 * u


@pytest.mark.parametrize(("n_stars", "order"), [(300, 3), (20, 1)])
def test_the_plate_solution_is_that_of_the_mean(reference, n_stars, order):
    rng = np.random.default_rng(11)
    shape = (2048, 2048)
    x, y = rng.uniform(0, 2047, (2, n_stars))
    whole = replace(
        reference,
        stamp=(0, 2048, 44, 2092),
        wcs=replace(reference.wcs, crpix=(1044.0, 1000.0), shape=shape),
        starry=np.zeros(shape, bool),
        star_id=np.arange(n_stars),
        x=x,
        y=y,
        flux=np.full(n_stars, 1e3),
        tells=np.arange(n_stars),
    )
    shift = rng.normal(0, 0.1, (12, 2))
    shift -= shift.mean(axis=0)
    dx, dy = moved(x, y, order)
    error = np.full((12, n_stars), 0.005)
    seen = [
        place + off + shift[:, [k]] + rng.normal(0, 0.005, error.shape)
        for k, (place, off) in enumerate(((x, dx), (y, dy)))
    ]
    motion = solve_motion(StarPlaces(x, y, *seen, error, error), "affine")
    made = mean_plate(whole, motion)
    gx, gy = (one.ravel() for one in np.meshgrid(np.linspace(0, 2047, 9), np.linspace(0, 2047, 9)))
    found = np.stack(sky_to_pixel(made, *pixel_to_sky(whole.wcs, gx, gy))) - [gx, gy]
    np.testing.assert_allclose(found, moved(gx, gy, order), atol=0.01 if n_stars > 100 else 0.02)


def test_without_motion_the_plate_solution_stays(reference, caplog):
    n = len(reference.tells)
    nothing = np.full((3, n), np.nan)
    tells = reference.tells
    motion = solve_motion(StarPlaces(reference.x[tells], reference.y[tells], *[nothing] * 4), "affine")
    assert mean_plate(reference, motion) is reference.wcs
    assert "no star tells where the images are" in caplog.text
