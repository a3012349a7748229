"""What scores the scenarios: results that are perfect, or wrong in one known way."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.truth.limits import LIMITS, Limit, verdicts
from benchmarks.truth.measured import METHODS, Fluxes, Measured, Truth, joined
from benchmarks.truth.report import print_limits, print_score
from benchmarks.truth.run import chosen
from benchmarks.truth.scores import BINS, Points, Score, score_entries, score_points
from benchmarks.truth.series import make_files, seeded_scene
from gaiaflux.model.flags import FrameFlag, StarFlag
from gaiaflux.sim.scenarios import SCENARIOS

N_STARS, N_FRAMES, SIDE, EXPTIME = 400, 12, 1000, 60.0


def perfect(seed=1, error_factor=1.0):
    """Stars on a jittered grid, measured with exactly the noise of the floor; every second one is in Gaia."""
    rng = np.random.default_rng(seed)
    grid = np.linspace(30, SIDE - 30, 20)
    x, y = (a.ravel() + rng.uniform(-3, 3, N_STARS) for a in np.meshgrid(grid, grid))
    snr = 10.0 ** rng.uniform(0.8, 3.0, N_STARS)
    flux = 100.0 * snr
    shape = (N_STARS, N_FRAMES)
    wide = [np.broadcast_to(a[:, None], shape).copy() for a in (x, y, flux, flux / snr)]
    source_id = np.where(np.arange(N_STARS) % 2 == 0, 1000 + np.arange(N_STARS), -1)
    truth = Truth(source_id, np.zeros(N_STARS, np.uint8), *wide, np.ones(shape), np.full(shape, 5.0))
    methods = {}
    for method in METHODS:
        noisy = truth.flux + truth.sigma * rng.standard_normal(shape)
        error = error_factor * truth.sigma
        flags = np.zeros(shape, np.uint32)
        methods[method] = Fluxes(noisy / EXPTIME, error / EXPTIME, noisy / 7.0, error / 7.0, flags)
    measured = Measured(
        truth,
        (SIDE, SIDE),
        dict.fromkeys(METHODS, EXPTIME),
        ["ok"] * N_FRAMES,
        np.zeros(N_FRAMES, np.uint32),
        [""] * N_FRAMES,
        3,
        x + rng.normal(0, 0.1, N_STARS),
        y + rng.normal(0, 0.1, N_STARS),
        source_id,
        methods,
        np.full(N_STARS, -1),
    )
    measured.star[:] = joined(measured)
    return measured


def scored(measured):
    result = Score("control", frames=N_FRAMES)
    score_entries(result, measured)
    score_points(result, measured)
    return result


def test_perfect_results_score_perfectly():
    result = scored(perfect())
    assert (result.false, result.false_all, result.complete5, result.complete20) == (0.0, 0.0, 1.0, 1.0)
    assert result.neighbour == 0.0
    for method in METHODS:
        assert result.total[method] == pytest.approx(0.0, abs=0.1)
        for series in ("single", "curve"):
            for low, _ in BINS:
                point = result.points[f"{method} {series} {low}"]
                assert point.n > 200
                assert point.far == 0.0
                for value in (point.over_floor, point.pull, point.pull_std):
                    assert value == pytest.approx(1.0, abs=0.15)


def test_errors_that_are_too_small_show():
    point = scored(perfect(error_factor=0.25)).points["psf curve 20"]
    assert point.over_floor == pytest.approx(1.0, abs=0.15)
    assert point.pull == pytest.approx(4.0, abs=0.5)
    assert point.far > 10.0


def test_one_star_is_one_entry():
    """Three entries on one star: two are false, with or without a flag."""
    whole = perfect()
    bright = int(np.argmax(whole.truth.snr[:, 3]))
    rows = np.r_[np.arange(N_STARS), bright, bright]
    x = whole.x_ref[rows] + np.r_[np.zeros(N_STARS), 1.5, -1.5]
    methods = {m: Fluxes(*(getattr(f, n)[rows] for n in Fluxes.__dataclass_fields__)) for m, f in whole.methods.items()}
    source_id = np.r_[whole.source_id, -1, -1]
    split = replace(
        whole, x_ref=x, y_ref=whole.y_ref[rows], source_id=source_id, methods=methods, star=np.zeros(len(rows), int)
    )
    split.star[:] = joined(split)
    result = Score("control")
    score_entries(result, split)
    assert result.false == result.false_all == pytest.approx(100.0 * 2 / result.entries)
    for method in METHODS:
        assert result.false > 0.0  # a flag of one method alone does not warn all users
        methods[method].flags[N_STARS:] = StarFlag.POOR_FIT
        score_entries(result, split)
    assert result.false == 0.0
    assert result.false_all > 0.0
    methods["psf"].flags[N_STARS:] = StarFlag.NEIGHBOUR
    score_entries(result, split)
    assert result.false > 0.0


def test_a_gaia_star_at_a_wrong_place_counts_as_what_it_gives():
    whole = perfect()
    row = int(np.flatnonzero((whole.source_id > 0) & (whole.truth.snr[:, 3] > 200))[0])
    whole.x_ref[row] += 20.0
    whole.methods["psf"].flux[row] = 0.0
    whole.star[:] = joined(whole)
    assert whole.star[row] == row
    result = scored(whole)
    assert sum(result.points[f"psf single {low}"].far > 0 for low, _ in BINS) == 1


def test_stars_with_neighbours_are_left_out():
    whole = perfect()
    truth = whole.truth
    truth.x[1], truth.y[1], truth.flux[1] = truth.x[0] + 8.0, truth.y[0], 0.5 * truth.flux[0]
    truth.x[3], truth.y[3], truth.flux[3] = truth.x[2] + 12.0, truth.y[2], 0.5 * truth.flux[2]
    isolated, alone = whole.quiet(), whole.alone()
    assert not isolated[0]
    assert not isolated[1]
    assert isolated[2]
    assert not alone[2]
    points = Points(whole, "psf", isolated, alone)
    assert points.single(1, np.inf, close=True).n == points.single(1, np.inf).n + 2 * N_FRAMES


def test_a_frames_zero_point_is_no_error():
    whole = perfect()
    for array in (whole.methods["psf"].flux, whole.methods["psf"].flux_err):
        array[:, 4] *= 0.5
    assert scored(whole).points["psf single 50"].pull_std == pytest.approx(1.0, abs=0.15)


def test_limits():
    good, bad, stopped = scored(perfect()), scored(perfect(error_factor=0.2)), Score("flat", stopped="no")
    bad.name = "aureole"
    found = {(v.scenario, v.limit.figure): v for v in verdicts([good, bad, stopped])}
    assert found["control", "curve.far"].met
    assert found["aureole", "curve.far"].met is False
    assert found["aureole", "curve.far"].value > 1.0
    assert found["flat", "lost"].met is False
    assert found["control", "wrong"].met
    assert {limit.part for limit in LIMITS} == {1, 2, 4, 5, 6}
    for limit in LIMITS:
        assert set(limit.scenarios) <= set(SCENARIOS)
        assert (limit.at_most is None) != (limit.at_least is None)
    least = Limit(2, "completeness", ("control",), "complete5", at_least=0.9)
    assert list(least.values(good)) == [("", 1.0)]


def test_tables_are_printed(capsys):
    result = scored(perfect())
    print_score(result, SCENARIOS["control"], 3.0)
    print_score(Score("flat", stopped="no stars"), SCENARIOS["flat"], 3.0)
    print_limits(verdicts([result]), 7)
    text = capsys.readouterr().out
    assert "psf 20-50" in text
    assert "no stars" in text
    assert "seed 7" in text
    assert "NOT MET" in text


def test_scenarios_are_chosen_by_name():
    assert [row.name for row in chosen("flat,control")] == ["flat", "control"]
    assert len(chosen(None)) == len(SCENARIOS)
    with pytest.raises(ValueError, match="no scenario nothing"):
        chosen("flat,nothing")


def test_files_are_made_once(tmp_path):
    scenario = SCENARIOS["undersampled_plain"].resized(128, 2)
    scene = make_files(scenario, 5, tmp_path / "one")
    images = sorted((tmp_path / "one" / "images").glob("*.fits"))
    assert [path.stem for path in images] == [scene.frame_id(0), scene.frame_id(1)]
    header = fits.getheader(images[0])
    assert "GAIN" not in header
    with np.load(tmp_path / "one" / "truth.npz") as file:
        truth = Truth(**{name: file[name] for name in Truth.__dataclass_fields__})
    assert truth.flux.shape == (len(scene.stars), 2)
    before = images[0].stat().st_mtime_ns
    make_files(scenario, 5, tmp_path / "one")
    assert images[0].stat().st_mtime_ns == before
    make_files(scenario, 6, tmp_path / "one")
    assert images[0].stat().st_mtime_ns != before


def test_scenarios_of_a_seed_share_no_stars():
    first, second = (seeded_scene(SCENARIOS[name].resized(128, 2), 5) for name in ("control", "gradient"))
    assert not np.isin(first.stars["ra"], second.stars["ra"]).any()


def test_frames_with_an_uneven_detector_warn_of_their_fluxes_and_not_of_their_light_curves():
    measured = perfect()
    measured.frame_flags[: N_FRAMES // 2] = FrameFlag.UNEVEN_RESPONSE | FrameFlag.CLOUDY
    measured.frame_flags[-1] = FrameFlag.CLOUDY
    flagged, plain = scored(measured), scored(perfect())
    for method in METHODS:
        for low, _ in BINS:
            single, curve = f"{method} single {low}", f"{method} curve {low}"
            assert flagged.points[single].n == pytest.approx(
                plain.points[single].n * (N_FRAMES - N_FRAMES // 2) / N_FRAMES
            )
            assert flagged.points[single].flagged == pytest.approx((N_FRAMES // 2) / N_FRAMES)
            assert flagged.points[curve] == plain.points[curve]
