"""What the shared terms of a series are made from, and where they cannot be told."""

from dataclasses import replace

import numpy as np

from gaiaflux.core.calibration.terms import SERIES_TERMS, SeriesFacts, StarFacts, TermContext, field_means
from gaiaflux.core.maths.field_basis import make_basis

N, M = 60, 12
TERMS = {term.name: term for term in SERIES_TERMS}


def series(cameras=(12,), order=2, **changed):
    """Stars of all colours over a night; so many frames by each camera."""
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, 1000, (2, N))
    facts = SeriesFacts(
        x, y, np.linspace(0.5, 1.5, N), np.linspace(1.0, 1.8, M), np.repeat(np.arange(len(cameras)), cameras),
        [f"camera{k}" for k in range(len(cameras))], np.repeat(np.eye(2)[None], M, axis=0),
    )  # fmt: skip
    own = {name: changed.pop(name) for name in list(changed) if hasattr(facts, name)}
    facts = replace(facts, **own)
    basis = make_basis(x, y, np.ones(N, bool), order)
    given = {"weigh": np.ones(N, bool), "frames": np.ones(M, bool), "colour_zero": 1.0, "airmass_zero": 1.4}
    return TermContext(facts=facts, basis=basis, **given | changed)


def refusal(name, context):
    return TERMS[name].refusal(context)


def test_twenty_stars_with_colours_that_differ():
    colour = np.linspace(0.5, 1.5, N)
    for n, said in ((20, ""), (19, "19 stars of the ensemble with a colour, 20 needed")):
        known = np.where(np.arange(N) < n, colour, np.nan)
        for name in ("colour_airmass", "camera_colour", "camera_colour_airmass"):
            assert refusal(name, series(colour=known)) == said
        # Those that weigh count.
        assert refusal("camera_colour", series(weigh=np.arange(N) < n)) == said
    alternate = np.where(np.arange(N) % 2, 1.0, -1.0)
    assert refusal("camera_colour", series(colour=1.0 + 0.051 * alternate)) == ""
    assert refusal("camera_colour", series(colour=1.0 + 0.049 * alternate)) == "the stars have all the same colour"


def test_an_air_mass_that_is_known_and_changes():
    some = np.full(M, np.nan)
    some[4] = 1.0
    assert refusal("colour_airmass", series(airmass=some)) == "the air mass is not known"
    some[7] = 1.051
    assert refusal("colour_airmass", series(airmass=some)) == ""
    some[7] = 1.049
    assert refusal("camera_colour_airmass", series(airmass=some)) == "the air mass does not change"
    # In frames that are not fitted it may be anything.
    some[7], some[9] = 1.02, 3.0
    assert refusal("colour_airmass", series(airmass=some, frames=np.arange(M) != 9)) == "the air mass does not change"


def test_a_map_needs_ten_stars_a_term_and_not_too_many_cameras():
    for n, said in ((40, ""), (39, "39 stars are too few")):
        assert refusal("camera_map", series(weigh=np.arange(N) < n)) == said
    assert refusal("camera_map", series(cameras=(1,) * 12)) == ""
    long = replace(series().facts, camera=np.arange(13), camera_names=[str(k) for k in range(13)])
    context = replace(series(), facts=long, frames=np.ones(13, bool))
    assert refusal("camera_map", context) == "13 cameras are too many"


def test_the_camera_with_most_frames_sets_the_system_of_colour():
    assert series(cameras=(5, 7)).others == [0]
    assert series(cameras=(7, 5)).others == [1]
    assert series(cameras=(6, 6)).others == [1]  # of equal ones the first
    assert series(cameras=(2, 6, 4)).others == [0, 2]
    # Frames that are not fitted do not count, nor a camera without any other.
    late = series(cameras=(5, 7), frames=np.arange(M) < 8)
    assert (late.cameras, late.others) == ([0, 1], [1])
    assert (series(cameras=(5, 7), frames=np.arange(M) < 5).cameras) == [0]
    assert series(frames=np.zeros(M, bool)).others == []


def test_parameters_of_colour():
    airmass = np.linspace(1.0, 1.8, M)
    airmass[3] = np.nan
    context = series(cameras=(3, 7, 2), airmass=airmass)
    slope = np.where(np.arange(M) == 3, 0.0, np.nan_to_num(airmass) - 1.4)
    (one,) = TERMS["colour_airmass"].parameters(context)
    np.testing.assert_allclose(one.frames, slope[:, None])
    plain, with_airmass = (TERMS[f"camera_colour{end}"].parameters(context) for end in ("", "_airmass"))
    assert [p.name for p in plain] == ["colour, camera camera0", "colour, camera camera2"]
    assert [p.name for p in with_airmass] == [f"colour * airmass, camera camera{k}" for k in (0, 2)]
    for camera, first, second in zip((0, 2), plain, with_airmass, strict=True):
        own = context.facts.camera == camera
        np.testing.assert_array_equal(first.frames[:, 0], own.astype(float))
        np.testing.assert_allclose(second.frames[:, 0], np.where(own, slope, 0.0))
    columns = TERMS["camera_colour"].functions.columns
    stars = StarFacts(np.zeros(3), np.zeros(3), np.array([1.3, np.nan, 0.4]))
    np.testing.assert_allclose(columns(stars, context), [[0.3], [0.0], [-0.6]])


def test_functions_of_the_map_are_the_cubic_terms_less_their_means():
    context = series(weigh=np.arange(N) < 50)
    x, y, basis = context.facts.x.copy(), context.facts.y, context.basis
    u, v = (x - basis.x0) / basis.half, (y - basis.y0) / basis.half
    raw = np.stack([u**3, u**2 * v, u * v**2, v**3], axis=1)
    np.testing.assert_allclose(field_means(context, 3), raw[:50].mean(axis=0))
    x[4] = np.nan
    found = TERMS["camera_map"].functions.columns(StarFacts(x, y, context.facts.colour), context)
    expected = raw - raw[:50].mean(axis=0)
    expected[4] = 0.0
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert field_means(series(weigh=np.zeros(N, bool)), 3).tolist() == [0.0] * 4


def test_a_map_shows_where_the_camera_turns_or_another_one_is_there():
    def names(context):
        return [parameter.name for parameter in TERMS["camera_map"].parameters(context)]

    assert names(series()) == []
    cubic = [f"u^{3 - k} v^{k}" for k in range(4)]
    assert names(series(cameras=(5, 7))) == [f"{one}, camera camera0" for one in cubic]
    # The spatial terms of each frame may have it already.
    assert names(series(cameras=(5, 7), order=3)) == []
    for change, number in ((0.04, 0), (0.06, 4)):
        axes = np.repeat(np.eye(2)[None], M, axis=0)
        axes[5, 0, 1] = change
        assert len(names(series(axes=axes))) == number
        # With the other camera beside it each one has its map where the images turn.
        assert len(names(series(cameras=(5, 7), axes=axes))) == (8 if number else 4)
        assert names(series(axes=axes, frames=np.arange(M) != 5)) == []


def test_a_cubic_term_of_the_detector_in_those_of_the_reference_image():
    rng = np.random.default_rng(3)
    axes = np.eye(2) + 0.4 * rng.normal(size=(M, 2, 2))
    context = series(cameras=(5, 7), axes=axes)
    u, v = rng.uniform(-1, 1, (2, 30))
    powers = np.stack([u**3, u**2 * v, u * v**2, v**3], axis=1)
    for parameter in TERMS["camera_map"].parameters(context):
        power = int(parameter.name[6])
        own = context.facts.camera == int(parameter.name[-1])
        there = axes @ np.stack([u, v])
        expected = there[:, 0] ** (3 - power) * there[:, 1] ** power
        np.testing.assert_allclose(parameter.frames @ powers.T, np.where(own[:, None], expected, 0.0), atol=1e-9)
