"""Budgets of the calibration on a small series that is drawn from a truth, without images."""

import json

import h5py
import numpy as np
import pytest

from gaiaflux.core.calibration.noise_budget import noise_curves
from gaiaflux.core.calibration.terms import SERIES_TERMS, Parameter, StarFunctions, Term
from gaiaflux.model.flags import StarFlag
from gaiaflux.series.light_curves import NOISE_TERMS
from gaiaflux.series.method_choice import REASONS


@pytest.fixture(scope="module")
def typical(assembled, tmp_path_factory):
    series = assembled.Series(floor=0.002)
    series.star[-1] *= 0.02
    series.flags[2, :, :] = StarFlag.SATURATED
    series.flags[11, :40, :] = StarFlag.BAD_PIXEL
    return series, series.run(tmp_path_factory.mktemp("typical"))


def test_pulls_are_one_at_every_brightness(assembled, typical):
    series, data = typical
    constant = ~series.variable
    constant[[2, 11]] = False
    mag = series.stars["phot_g_mean_mag"]
    for low, high in ((12.0, 14.5), (14.5, 16.0), (16.0, 17.0), (17.0, 18.0), (18.0, 19.1)):
        rows = np.flatnonzero(constant & (mag >= low) & (mag < high))
        values = assembled.pulls(data, rows)
        assert values.size > 600
        assert 0.95 < values.std() < 1.10, (low, values.std())
        assert abs(values.mean()) < 0.1


def test_the_scatter_is_at_the_floor(assembled, typical):
    series, data = typical
    noise = np.sqrt(series.star[:, None] * series.scale / 60.0 * assembled.loss[2] + assembled.sky[2] ** 2 / 60.0)
    other = np.sqrt(series.star[:, None] * series.scale / 60.0 * assembled.loss[0] + assembled.sky[0] ** 2 / 60.0)
    best = np.minimum(noise, other) / (series.star[:, None] * series.scale)
    floor = np.sqrt(best**2 + series.twinkling**2 + series.floor**2)
    level = np.median(data["aperture/flux_cal"], axis=1, keepdims=True)
    over = np.std((data["aperture/flux_cal"] / level - 1) / floor, axis=1)
    constant = ~series.variable
    constant[[2, 11]] = False
    assert np.median(over[constant]) < 1.05
    assert np.median(over[constant & (np.arange(series.n) < 60)]) < 1.06


def test_terms_of_the_noise_are_stored_and_add_up(typical):
    series, data = typical
    assert data["aperture.noise_floor_mag"] == pytest.approx(1.0857 * series.floor, rel=0.2)
    np.testing.assert_allclose(data["aperture/scintillation"], 1.0857 * series.twinkling, rtol=1e-3)
    assert data["aperture.scintillation_note"] == "ok"
    assert data["aperture.photon_noise_note"] == "ok"
    terms = {name: data[f"aperture/{name}"] for name in NOISE_TERMS}
    whole = sum(terms[f"noise_{name}"] ** 2 for name in ("photon", "background", "zero_point", "scintillation"))
    whole = np.sqrt(whole + data["aperture.noise_floor_mag"] ** 2)
    some = np.isfinite(terms["noise_total"]) & (series.stars["phot_g_mean_mag"] < 18)
    some[11] = False
    np.testing.assert_allclose(terms["noise_total"][some], whole[some], rtol=0.06)
    curves = noise_curves(series.stars["phot_g_mean_mag"], terms)
    assert curves["magnitude"].size >= 8
    np.testing.assert_allclose(curves["scatter"], curves["noise_total"], rtol=0.25)
    assert (np.diff(curves["noise_photon"]) > 0).all()


def test_comparison_stars_are_constant_and_the_others_have_a_reason(assembled, typical):
    series, data = typical
    status = assembled.texts(data["aperture/ensemble_status"])
    used = status == "used"
    assert used.sum() > 60
    assert not used[assembled.variables].any()
    excess = 0.035 / np.hypot(data["aperture/noise_total"] / 1.0857, 1e-9)
    assert not (used & series.variable & (excess > 3)).any()
    assert all("scatter" in status[k] for k in assembled.variables)
    assert status[2] == "not a candidate: saturated in most frames"
    assert status[11] == "not a candidate: flagged in most frames"
    assert (status != "").all()
    assert status[-1] in ("not a candidate: too faint", "not a candidate: S/N below 5")


def test_the_colour_term_is_stored_and_applied(assembled, typical):
    series, data = typical
    term = assembled.terms_of(data)["colour * airmass"]
    assert term["value_mag"] == pytest.approx(0.02, abs=4 * term["error_mag"])
    assert term["note"].startswith("kept")
    slope = term["value_mag"] * (series.frames["airmass"] - data["aperture.airmass_zero"])
    np.testing.assert_allclose(data["aperture/colour_coefficients"], -slope / 1.085736, rtol=1e-6, atol=1e-12)
    # flux_cal follows from what is stored, for a star that is not in the ensemble.
    row = assembled.variables[0]
    spatial = json.loads(data["aperture.spatial_terms"])
    u, v = (
        eval(spatial[key], {"x_ref": series.stars["x_ref"][row], "y_ref": series.stars["y_ref"][row]}) for key in "uv"
    )
    values = np.array([eval(name.replace("^", "**").replace(" ", "*"), {"u": u, "v": v}) for name in spatial["terms"]])
    values[1:] -= np.array(spatial["means"])[1:]
    factor = data["aperture/spatial_coefficients"] @ values
    factor += data["aperture/colour_coefficients"] * (series.stars["bp_rp"][row] - data["aperture.colour_zero"])
    expected = data["aperture/flux"][row] / np.exp(factor)
    own = data["aperture/flux_cal"][row]
    # Leave-one-out: the star was offered, and weighs nothing.
    np.testing.assert_allclose(own, expected, rtol=2e-6)
    assert np.median(data["aperture/pscale"]) == pytest.approx(1.0, abs=1e-3)


def test_a_term_of_ones_own_arrives_in_the_dataset_with_its_description(assembled, tmp_path):
    def towards_one_side(stars, context):
        u = np.nan_to_num(stars.x / 500 - 1)
        return np.stack([u**3, np.cos(3 * np.pi * u)], axis=1)

    def with_airmass(context):
        names = ("side: x^3", "side: waves")
        return [Parameter(name, context.airmass[:, None] * np.eye(2)[k]) for k, name in enumerate(names)]

    own = Term(
        name="side",
        functions=StarFunctions("side", towards_one_side, "1/airmass", "with x^3, and with waves"),
        parameters=with_airmass,
        refusal=lambda context: "",
        unit="mag/airmass",
        description="dimming towards one side",
    )
    series = assembled.Series(n=150, m=50, seed=14, clouds=0.3)
    u = (series.stars["x_ref"] / 500 - 1)[:, None]
    series.field = series.field - 0.04 / 1.0857 * u**3 * series.frames["airmass"]
    flux, error = series.draw()
    series.draw = lambda: (flux, error)
    data = series.run(tmp_path, shared=(*SERIES_TERMS, own))
    rows = assembled.terms_of(data)
    own_rows = [rows["side: x^3"], rows["side: waves"]]
    for row, expected in zip(own_rows, (0.04, 0.0), strict=True):
        assert row["note"].startswith("kept")
        assert row["value_mag"] == pytest.approx(expected, abs=4 * row["error_mag"])
        assert row["error_mag"] < 0.01
        assert (row["unit"], row["description"]) == ("mag/airmass", "dimming towards one side")
    total = [row["value_mag"] for row in own_rows]
    slope = series.frames["airmass"] - data["aperture.airmass_zero"]
    np.testing.assert_allclose(data["aperture/side_coefficients"], -np.outer(slope, total) / 1.085736, rtol=1e-6)
    with h5py.File(tmp_path / "dataset.h5") as file:
        attributes = dict(file["aperture/side_coefficients"].attrs)
    assert attributes == {"unit": "1/airmass", "description": "with x^3, and with waves"}
    constant = np.flatnonzero(~series.variable)[:60]
    assert 0.93 < assembled.pulls(data, constant).std() < 1.10
    without = series.run(tmp_path)
    assert "aperture/side_coefficients" not in without
    # How the stars go with the air mass, over the field.
    cubic = []
    for found in (data, without):
        flux = found["aperture/flux_cal"][constant]
        slopes = np.polyfit(slope, (flux / np.median(flux, axis=1, keepdims=True)).T, 1)[0]
        cubic.append(-1.0857 * np.polyfit(u[constant, 0], slopes, 3)[0])
    assert abs(cubic[0]) < 0.008
    assert cubic[1] == pytest.approx(0.04, abs=0.008)


def test_transits_keep_their_depth(assembled, tmp_path):
    series = assembled.Series(n=150, m=150, seed=3, clouds=0.5)
    rows = np.setdiff1d(np.arange(12, 60), np.flatnonzero(series.variable))[::2][:20]
    depth = np.where(np.arange(20) % 2, 0.010, 0.005)
    shape = np.zeros((20, 150))
    for k in range(20):
        first = 3 + (k * 124) // 20
        shape[k, first : first + 20] = 1.0
    series.truth[rows] -= depth[:, None] * shape
    data = series.run(tmp_path)
    found, errors = [], []
    for row, inside in zip(rows, shape, strict=True):
        flux, error = data["aperture/flux_cal"][row], data["aperture/flux_cal_err"][row]
        mean = [np.average(flux[inside == k], weights=error[inside == k] ** -2.0) for k in (0, 1)]
        sigma = [np.sum(error[inside == k] ** -2.0) ** -0.5 for k in (0, 1)]
        found.append(1 - mean[1] / mean[0])
        errors.append(np.hypot(*sigma) / mean[0])
    found, errors = np.array(found), np.array(errors)
    ratio = np.average(found / depth, weights=(errors / depth) ** -2.0)
    floor = np.sum((errors / depth) ** -2.0) ** -0.5
    assert floor < 0.02
    assert abs(ratio - 1) < 2 * floor
    assert abs(ratio - 1) < 0.03
    assert 0.7 < np.std((found - depth) / errors) < 1.4


@pytest.mark.parametrize(("factor", "text"), [(2.0, "too large"), (0.5, "too small")])
def test_a_wrong_gain_in_the_header_is_noticed(assembled, tmp_path, factor, text):
    series = assembled.Series(seed=4)
    series.noise_factor = factor
    data = series.run(tmp_path)
    assert text in data["aperture.photon_noise_note"]
    assert data["aperture.photon_noise_factor"] == pytest.approx(factor, rel=0.25)


def test_without_a_gain_none_is_judged(assembled, tmp_path):
    data = assembled.Series(n=60, m=30, seed=4).run(tmp_path, unit="adu/s")
    assert data["aperture.photon_noise_note"] == "too little is known of the gain"
    assert np.isnan(data["aperture/noise_photon"]).all()
    assert np.isfinite(data["aperture/noise_background"]).all()


def test_cameras_are_brought_to_one_scale(assembled, tmp_path):
    series = assembled.Series(seed=5, clouds=0.3)
    second = np.arange(series.m) % 5 < 2
    series.frames["camera"][second] = "fa05"
    series.scale[second] *= 0.7
    series.field[:, second] -= 0.03 / 1.0857 * (series.stars["bp_rp"] - 1.0)[:, None]
    data = series.run(tmp_path)
    term = assembled.terms_of(data)["colour, camera fa05"]
    assert term["value_mag"] == pytest.approx(0.03, abs=4 * term["error_mag"])
    constant = np.flatnonzero(~series.variable)[:80]
    flux = data["aperture/flux_cal"][constant]
    step = np.median(flux[:, second], axis=1) / np.median(flux[:, ~second], axis=1)
    assert abs(np.median(step) - 1) < 5e-4
    assert abs(np.polyfit(series.stars["bp_rp"][constant], step, 1)[0]) < 2e-3
    assert 0.95 < assembled.pulls(data, constant).std() < 1.10


def test_the_psf_has_no_radii_and_is_recommended_where_it_is_better(assembled, tmp_path):
    series = assembled.Series(n=120, m=40, seed=6)
    series.methods = {"aperture": 3, "psf": 1}
    series.flags[3, :, 0] = StarFlag.BAD_PIXEL
    data = series.run(tmp_path)
    assert "psf/radii_pix" not in data
    assert "psf/recommended_radius" not in data
    assert data["psf/flux_cal"].shape == (120, 40)
    codes, reasons = data["names"]["recommended_method"], data["names"]["recommended_method_reason"]
    assert codes == {"none": -1, "aperture": 0, "psf": 1}
    assert reasons == REASONS
    best = data["stars/recommended_method"]
    # The PSF's error here is that of the largest aperture: less for the bright stars, more for the faint.
    assert (best[:8] == codes["psf"]).all()
    assert (best[-30:] == codes["aperture"]).mean() > 0.9
    why = data["stars/recommended_method_reason"]
    assert set(why[-30:]) <= {REASONS["less scatter in held-out frames"], REASONS["as good as any other"]}
    assert np.isfinite(data["psf/held_out_scatter"]).all()
    short = assembled.Series(n=40, m=8, seed=6)
    short.methods = {"aperture": 3, "psf": 1}
    again = short.run(tmp_path)
    assert set(again["stars/recommended_method_reason"]) <= {
        REASONS["less predicted error"],
        REASONS["as good as any other"],
    }
    assert np.isnan(again["psf/held_out_scatter"]).all()


def test_order_of_frames_in_the_table_does_not_matter(assembled, tmp_path):
    """Stars and frames in another order: the same light curves to 0.1 mmag."""
    series = assembled.Series(n=80, m=40, seed=7)
    flux, error = series.draw()
    series.draw = lambda: (flux, error)
    first = series.run(tmp_path)
    rng = np.random.default_rng(0)
    stars, frames = rng.permutation(80), rng.permutation(40)
    series.stars = {name: values[stars] for name, values in series.stars.items()}
    series.frames = {name: values[frames] for name, values in series.frames.items()}
    series.flags, series.missing = series.flags[stars][:, frames], series.missing[stars][:, frames]
    series.draw = lambda: (flux[stars][:, frames], error[stars][:, frames])
    second = series.run(tmp_path)
    same = first["aperture/recommended_radius"][stars] == second["aperture/recommended_radius"]
    assert same.mean() > 0.9  # halves of the frames are other halves
    ratio = second["aperture/flux_cal"][same] / first["aperture/flux_cal"][stars][:, frames][same]
    used = assembled.texts(first["aperture/ensemble_status"])[stars][same] == "used"
    assert np.median(np.abs(2.5 * np.log10(ratio[used]))) < 1e-4
    assert np.abs(2.5 * np.log10(second["aperture/pscale"] / first["aperture/pscale"][frames])).max() < 3e-4
