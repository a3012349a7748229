import hashlib
from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.model.flags import PixelFlag
from gaiaflux.sim.field import Kind
from gaiaflux.sim.imperfect_camera import ImperfectCamera
from gaiaflux.sim.optics import Optics
from gaiaflux.sim.scenario import FIELD, NIGHT, Scenario, Stars
from gaiaflux.sim.scenarios import SCENARIOS
from gaiaflux.sim.scene import Scene
from gaiaflux.sim.structure import SkyStructure


def small(**changes):
    night = replace(NIGHT, dither_arcsec=5.0)
    return replace(Scenario("small", "for tests", night=night), **changes).resized(256, 6)


def digest(made):
    parts = made.frame.image, made.frame.error, made.frame.pixel_flags, made.stars
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest(), made.frame.info.wcs_cards


def test_a_seed_determines_everything():
    whole = small(
        stars=Stars(bright=20, events=40, bad_rows=0.2),
        sky=SkyStructure(nebula=0.1, fringes=0.02),
        chip=ImperfectCamera(flat=0.01, ghost=0.01, bleeding=True, trails=3, hot_pixels=20),
    )
    first, second, other = (Scene(whole, seed) for seed in (3, 3, 4))
    second.frame(1)  # frames do not depend on those made before
    assert digest(first.frame(2)) == digest(second.frame(2))
    assert first.gaia.tobytes() == second.gaia.tobytes()
    assert digest(first.frame(2)) != digest(other.frame(2))


def test_truth_stands_in_the_pixels():
    scene = Scene(small(optics=Optics("kolmogorov", aureole=0.04)), 5)
    made = scene.frame(0)
    stars = made.stars[made.stars["flux"] / made.stars["sigma"] > 300]
    inside = (np.abs(stars["x"] - 127.5) < 90) & (np.abs(stars["y"] - 127.5) < 90)
    star = stars[inside][np.argmax(stars["flux"][inside])]
    rows, columns = np.mgrid[:256, :256]
    near = np.hypot(columns - star["x"], rows - star["y"]) < 1.0 * star["width"]
    _, _, part = made.psf.stamp(star["x"], star["y"], made.psf.half)
    sky = np.median(made.frame.image)
    share = float(np.sort(part.ravel())[::-1][: near.sum()].sum())
    assert (made.frame.image[near] - sky).sum() == pytest.approx(star["flux"] * share, rel=0.05)


def test_noise_is_what_the_variance_says():
    scene = Scene(small(stars=Stars(replace(FIELD, stars_in_frame=0))), 1)
    made = scene.frame(0)
    good = made.frame.pixel_flags == 0
    residual = (made.frame.image - scene._light(0, made.conditions, made.psf, (np.zeros(0),) * 3))[good]
    spread = 1.4826 * np.median(np.abs(residual))
    assert spread == pytest.approx(np.sqrt(made.conditions.sky + 64.0), rel=0.02)
    assert len(made.stars) == 0


def test_saturated_stars_have_flat_tops_and_their_flags():
    made = Scene(small(stars=Stars(bright=32), chip=ImperfectCamera(bleeding=True)), 2).frame(0)
    full = made.frame.image >= 120_000.0
    assert full.sum() > 100
    assert np.all(made.frame.pixel_flags[full] & PixelFlag.SATURATED)
    assert made.frame.image.max() == 120_000.0


def test_counts_that_are_not_linear_and_steps_of_gain():
    plain, bent, stepped = (
        Scene(small(chip=chip), 2).frame(0).frame.image
        for chip in (ImperfectCamera(), ImperfectCamera(nonlinearity=0.02), ImperfectCamera(gain_step=0.06))
    )
    fair = plain < 60_000
    np.testing.assert_allclose(bent[fair], (plain * (1 - 0.02 * plain / 120_000.0))[fair], rtol=1e-5, atol=0.01)
    np.testing.assert_allclose(
        stepped[:128, :128][fair[:128, :128]], 0.94 * plain[:128, :128][fair[:128, :128]], rtol=1e-5
    )


def test_bad_rows_of_the_catalogue():
    scene = Scene(small(stars=Stars(FIELD, bad_rows=0.5)), 6)
    place = {int(number): k for k, number in enumerate(scene.stars["source_id"]) if number > 0}
    stars = scene.stars[[place[int(number)] for number in scene.gaia["source_id"]]]
    distance = 3600.0 * np.hypot(
        (scene.gaia["ra"] - stars["ra"]) * np.cos(np.radians(stars["dec"])), scene.gaia["dec"] - stars["dec"]
    )
    wrong_mag = np.abs(scene.gaia["phot_g_mean_mag"] - stars["g"]) > 0.5
    fast = np.hypot(stars["pmra"], stars["pmdec"]) > 149.0
    for bad in (distance > 0.5, wrong_mag, fast & np.isnan(scene.gaia["pmra"])):
        assert bad.mean() == pytest.approx(0.5 / 3.0, abs=0.06)
    assert distance.max() < 4.1


def test_events_have_companions():
    scene = Scene(small(stars=Stars(events=64)), 7)
    rows = np.flatnonzero(scene.stars["kind"] == Kind.MICROLENSING)
    assert 0 < len(rows) <= 4
    relative = np.array([scene.frame(index).stars["relative"].max() for index in range(6)])
    assert relative.max() > 1.2
    for row in rows:
        distance = 3600.0 * np.hypot(
            (scene.stars["ra"] - scene.stars["ra"][row]) * np.cos(np.radians(scene.stars["dec"][row])),
            scene.stars["dec"] - scene.stars["dec"][row],
        )
        assert np.sort(distance)[1] < 1.6


def test_cameras_in_turn():
    scene = Scene(small(chip=ImperfectCamera(n_cameras=3, colour_terms_mag=0.05)), 8)
    names = [scene._camera_name(index) for index in range(6)]
    assert names == ["fa15", "fa15", "fa16", "fa16", "fa17", "fa17"]
    colour = scene.stars["bp"] - scene.stars["rp"] - 1.0
    np.testing.assert_allclose(scene._colour_term(5) / scene._colour_term(0), 10 ** (-0.04 * colour))


def test_table_of_scenarios():
    assert len(SCENARIOS) >= 16
    assert all(row.sentence and row.n_frames >= 10 for row in SCENARIOS.values())
    assert all(row.chip.camera.shape == (1024, 1024) for row in SCENARIOS.values())
    assert {row.kind for row in SCENARIOS.values()} == {"sparse", "crowded"}
