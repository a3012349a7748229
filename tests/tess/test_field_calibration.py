"""Ensemble of a CCD: arrays of stars whose truth is known, from batches to the dataset."""

import json

import h5py
import numpy as np
import pytest

from gaiaflux.model.flags import FrameFlag, StarFlag
from gaiaflux.model.methods import TESS_METHODS, methods_named
from gaiaflux.report.html.page import write_report
from gaiaflux.tess import field_calibration
from gaiaflux.tess.field_dataset import Provenance, assemble_field

METHODS = methods_named(["psf"], TESS_METHODS)
N_STARS, N_FRAMES, FEW = 60, 1300, 60
SINE, TRANSIT, VARIABLE = 20, 30, range(0, 60, 10)  # rows; T 10, T 10.5, and every tenth


class Truth:
    """Stars T 8 to 13 on a CCD: drifts of 1 % that all share, slopes over the CCD, photon noise, and what varies."""

    def __init__(self, seed, n_stars=N_STARS, n_frames=N_FRAMES):
        days = np.arange(n_frames) / 48.0
        self.sine, self.transit = np.sin(2 * np.pi * days / 2.0), np.abs((days - 3.0 + 2.1) % 4.2 - 2.1) < 0.1
        rng = np.random.default_rng(seed)
        self.tmag = 8.0 + 5.0 * (np.arange(n_stars) / N_STARS)
        self.column, self.row = 44.0 + 2048.0 * rng.random(n_stars), 2048.0 * rng.random(n_stars)
        level = 10.0 ** (-0.4 * (self.tmag - 20.44))
        u, v = (self.column - 1068.0) / 1024.0, (self.row - 1024.0) / 1024.0
        slow = 0.01 * np.sin(2 * np.pi * days / 13.0) + 0.004 * np.where(days > 13.5, np.exp(13.5 - days), 0.0)
        slow += 0.001 * rng.standard_normal(n_frames)
        slope = 0.003 * np.stack([np.sin(2 * np.pi * days / 9.0), np.cos(2 * np.pi * days / 17.0)])
        self.common = np.exp(slow + u[:, None] * slope[0] + v[:, None] * slope[1])
        own = np.ones((n_stars, n_frames))
        for k in VARIABLE:
            if k < n_stars and k not in (SINE, TRANSIT):
                own[k] += 0.02 * np.sin(2 * np.pi * days / rng.uniform(0.3, 8.0) + rng.uniform(0, 6))
        if n_stars > TRANSIT:
            own[SINE] += 0.005 * self.sine
            own[TRANSIT] -= 0.01 * self.transit
        self.own, self.level = own, level
        light = level[:, None] * own * self.common
        self.error = np.sqrt((light + 400.0) / 1425.0)
        self.flux = (light + self.error * rng.standard_normal(light.shape)).astype("f4")
        varies = [k for k in {*VARIABLE, SINE, TRANSIT} if k < n_stars]
        self.constant = np.setdiff1d(np.arange(n_stars), varies)


@pytest.fixture(scope="module")
def assemble(field_parts, tmp_path_factory):
    """Function that makes the dataset of a field of such stars."""
    catalog, target, write_batch = field_parts

    def make(truth, *, ensemble=True, change=None, **attrs):
        folder = tmp_path_factory.mktemp("field")
        ids = 1000 + np.arange(len(truth.tmag))
        zero = np.full(len(ids), 0.0)
        stars = catalog(ids, mag=truth.tmag, ra_deg=90.0 + 0.01 * np.arange(len(ids)), dec_deg=-66.0 + zero)
        targets = {}
        for k, star in enumerate(ids):
            facts = {"column": truth.column[k], "row": truth.row[k], **attrs}
            made = target(stars, star, np.arange(truth.flux.shape[1]), methods=("psf",), **facts)
            made[1]["psf_flux"], made[1]["psf_flux_err"] = truth.flux[k].copy(), truth.error[k].astype("f4")
            targets[f"t{star}"] = made
        if change:
            change(targets)
        half = dict(list(targets.items())[::2]), dict(list(targets.items())[1::2])
        batches = [write_batch(folder / f"{j}.h5", part) for j, part in enumerate(half)]
        settings = {"methods": ["psf"], "ensemble": ensemble}
        assemble_field(folder / "dataset.h5", "tess/F/c1800", batches, stars, METHODS, settings, Provenance("abc"))
        return folder / "dataset.h5"

    return make


@pytest.fixture(scope="module")
def truth():
    return Truth(11)


@pytest.fixture(scope="module")
def calibrated(assemble, truth):
    with h5py.File(assemble(truth)) as file:
        arrays = {name: item[()] for name, item in file["psf"].items() if h5py.check_string_dtype(item.dtype) is None}
        texts = {name: file[f"psf/{name}"].asstr()[()] for name in ("calibration_status", "ensemble_status")}
        return {**arrays, **texts, "attrs": dict(file["psf"].attrs), "frames": file["frames/flags"][()]}


def amplitude(flux, shape):
    """Of a shape in the relative flux, by least squares."""
    design = np.stack([np.ones(len(shape)), shape], axis=1)
    constant, size = np.linalg.lstsq(design, flux, rcond=None)[0]
    return size / constant


def test_raw_fluxes_stay_bit_by_bit(calibrated, truth):
    assert np.array_equal(calibrated["flux"], truth.flux)
    assert np.array_equal(calibrated["flux_err"], truth.error.astype("f4"))


def least_zero_point(truth):
    """Relative error of the zero point of each star by the best weights of all others of the ensemble."""
    error = np.median(truth.error / truth.flux, axis=1)
    terms = np.stack([np.ones(len(error)), truth.column / 1024.0, truth.row / 1024.0], axis=1)
    found = []
    for k in range(len(error)):
        others = [j for j in truth.constant if truth.tmag[j] <= 12.0 and j != k]
        weighted = terms[others].T / error[others] ** 2
        found.append(np.sqrt(terms[k] @ np.linalg.inv(weighted @ terms[others]) @ terms[k]))
    return np.array(found)


def test_constant_stars_scatter_by_their_photons(calibrated, truth):
    cal, raw = calibrated["flux_cal"][truth.constant].astype(float), truth.flux[truth.constant].astype(float)
    photons = np.median(truth.error / truth.flux, axis=1)
    possible = np.hypot(photons, least_zero_point(truth))[truth.constant]
    found = np.std(cal, axis=1) / np.mean(cal, axis=1)
    assert np.median(np.std(raw, axis=1) / np.mean(raw, axis=1) / possible) > 5.0
    assert np.median(found / photons[truth.constant]) <= 1.05
    # A bright star is known as well as the others tell the zero point at its place.
    assert (found / possible).max() <= 1.10


def test_errors_are_what_the_stars_scatter_by(calibrated, truth):
    cal, error = (calibrated[name][truth.constant].astype(float) for name in ("flux_cal", "flux_cal_err"))
    pull = np.std((cal - np.median(cal, axis=1, keepdims=True)) / error, axis=1)
    assert pull.min() > 0.9
    assert pull.max() < 1.1


def test_a_slow_sine_and_a_transit_survive(calibrated, truth):
    sine = amplitude(calibrated["flux_cal"][SINE], truth.sine) / 0.005
    depth = -amplitude(calibrated["flux_cal"][TRANSIT], truth.transit.astype(float)) / 0.01
    assert 0.95 <= sine <= 1.05
    assert 0.95 <= depth <= 1.05


def test_each_star_keeps_its_level(calibrated, truth):
    ratio = np.median(calibrated["flux_cal"], axis=1) / np.median(truth.flux, axis=1)
    assert np.abs(ratio - 1.0).max() < 3e-3


def test_variable_stars_are_not_of_the_ensemble(calibrated, truth):
    status = calibrated["ensemble_status"]
    assert (status[truth.tmag > 12.0] == "not a candidate: T outside of 8 to 12").all()
    assert [k for k in VARIABLE if status[k] == "used"] == [TRANSIT]  # which does not count in its transits
    constant = truth.constant[truth.tmag[truth.constant] <= 12.0]
    assert (status[constant] == "used").mean() > 0.9


@pytest.fixture(scope="module")
def few():
    """The same stars in few frames."""
    return Truth(12, n_frames=FEW)


@pytest.fixture(scope="module")
def file(assemble):
    """Function that opens the dataset of such stars."""

    def opened(*args, **kwargs):
        return h5py.File(assemble(*args, **kwargs))

    return opened


def as_measured(group, reason):
    assert np.array_equal(group["flux_cal"], group["flux"], equal_nan=True)
    assert np.array_equal(group["flux_cal_err"], group["flux_err"], equal_nan=True)
    assert (group["pscale"][()] == 1.0).all()
    assert not group["epscale"][()].any()
    assert set(group["calibration_status"].asstr()[()]) == {reason}
    assert group.attrs["calibration"] == reason
    return True


def test_six_stars_are_no_ensemble(file):
    with file(Truth(3, n_stars=6, n_frames=FEW)) as found:
        assert as_measured(found["psf"], "not calibrated: the CCD needs 20 suitable stars and has 6; pscale is 1")
        assert not found["frames/flags"][()].any()


def test_stars_that_have_nothing_in_common_stay_as_they_are(file):
    """The noise of a small ensemble would only make them worse."""
    truth = Truth(7, n_stars=24, n_frames=400)
    truth.flux = (truth.flux / truth.common).astype("f4")
    note = "not calibrated: the stars of the CCD have less in common than their ensemble can tell; pscale is 1"
    with file(truth) as found:
        assert as_measured(found["psf"], note)
        assert (found["psf/ensemble_status"].asstr()[()] == "used").sum() > 15
    # Of two tenths of the noise of the brightest star they have something.
    truth.flux = (truth.flux * truth.common**0.1).astype("f4")
    with file(truth) as found:
        assert found["psf"].attrs["calibration"] == "ok"


def test_it_can_be_switched_off(file, few):
    with file(few, ensemble=False) as found:
        assert as_measured(found["psf"], "not calibrated: the ensemble is switched off")
        assert json.loads(found.attrs["config"])["ensemble"] is False


UNSUITABLE = {
    "contaminated": ("contamination", 0.3, "f4"),
    "saturated": ("flags", StarFlag.SATURATED, "u4"),
    "blended": ("flags", StarFlag.BLENDED, "u4"),
}


@pytest.mark.parametrize("case", UNSUITABLE)
def test_stars_that_say_nothing_of_the_ccd_are_not_asked(file, few, case):
    array, value, dtype = UNSUITABLE[case]

    def change(targets):
        for name in list(targets)[15:]:
            targets[name][1][f"psf_{array}"] = np.full(FEW, value, dtype)

    with file(few, change=change) as found:
        assert as_measured(found["psf"], "not calibrated: the CCD needs 20 suitable stars and has 15; pscale is 1")


def test_stars_at_unknown_places_are_no_ensemble(file, few):
    with file(few, column=None, row=None) as found:
        assert as_measured(found["psf"], "not calibrated: the CCD needs 20 suitable stars and has 0; pscale is 1")
        assert found["stars/ccd_places"].asstr()[0] == "s0001-4-1 nan nan"


def test_a_frame_without_stars_says_so(file, few):
    def change(targets):
        for name in targets:
            targets[name][1]["psf_flags"][7] = StarFlag.BACKGROUND
            targets[name][1]["psf_flux"][8] = np.nan
        for name in list(targets)[9:]:
            targets[name][1]["psf_flags"][9] = StarFlag.COSMIC_RAY

    with file(few, change=change) as found, file(few) as whole:
        psf = found["psf"]
        status = psf["calibration_status"].asstr()[()]
        assert status[6:11].tolist() == ["ok", "no usable star", "no usable star", "9 ensemble stars, 10 needed", "ok"]
        assert np.isnan(psf["pscale"][7:10]).all()
        assert np.isnan(psf["flux_cal"][:, 7:10]).all()
        assert found["frames/flags"][6:11].tolist() == [
            0,
            FrameFlag.NO_CALIBRATION,
            FrameFlag.NOT_MEASURED,
            FrameFlag.NO_CALIBRATION,
            0,
        ]
        # Nothing else is touched by it.
        assert psf["flux_cal"][:, 20:] == pytest.approx(whole["psf/flux_cal"][:, 20:], rel=2e-4)


@pytest.mark.parametrize("told_by", ["quality", "frame_flags"])
def test_a_frame_that_is_given_up_has_no_scale_and_spoils_no_other(file, few, told_by):
    """In safe mode the stars are elsewhere, and their places still have some light."""
    said = {"quality": 2, "frame_flags": FrameFlag.NO_POINTING}[told_by]

    def change(targets):
        for k, name in enumerate(targets):
            arrays = targets[name][1]
            arrays["psf_flux"][7] *= (0.001, 0.01, 0.1)[k % 3]
            if told_by not in arrays:
                arrays[told_by] = np.zeros(len(arrays["quality"]), np.uint32)
            arrays[told_by][7] = said

    with file(few, change=change) as found, file(few) as whole:
        psf = found["psf"]
        assert psf["calibration_status"].asstr()[6:9].tolist() == ["ok", "no usable star", "ok"]
        assert np.isnan(psf["flux_cal"][:, 7]).all()
        assert np.isfinite(psf["flux"][:, 7]).all()
        others = np.delete(np.arange(len(psf["pscale"])), 7)
        for name, near in (("flux_cal", 2e-4), ("flux_cal_err", 0.1)):
            assert psf[name][:, others] == pytest.approx(whole[f"psf/{name}"][:, others], rel=near)


def test_each_ccd_has_its_own_scales(file, few):
    """The last stars are on another CCD, too few for an ensemble; a star of the first is in a second sector, too."""

    def change(targets):
        for name in list(targets)[50:]:
            targets[name][0]["ccd"] = 2
        facts, arrays, _ = targets["t1003"]
        targets["again"] = ({**facts, "sector": 2, "row": 3.0, "column": 99.5}, {**arrays}, None)

    with file(few, change=change) as found:
        psf, ids = found["psf"], found["frames/frame_id"].asstr()[()]
        ccds = {name: np.flatnonzero(np.char.startswith(ids.astype(str), name)) for name in ("s0001-4-1", "s0001-4-2")}
        second = np.flatnonzero(np.char.startswith(ids.astype(str), "s0002-4-1"))
        assert [len(columns) for columns in (*ccds.values(), second)] == [FEW] * 3
        reasons = {"s0001-4-2": "not calibrated: the CCD needs 20 suitable stars and has 0; pscale is 1"}
        reasons["s0002-4-1"] = "not calibrated: the CCD needs 20 suitable stars and has 1; pscale is 1"
        assert psf.attrs["calibration"] == "ok"
        assert json.loads(psf.attrs["ccds_as_measured"]) == reasons
        assert [*json.loads(psf.attrs["ensembles"])] == [*json.loads(psf.attrs["spatial_terms"])] == ["s0001-4-1"]
        status = psf["calibration_status"].asstr()[()]
        assert set(status[ccds["s0001-4-1"]]) == {"ok"}
        assert set(status[second]) == {reasons["s0002-4-1"]}
        for columns in (ccds["s0001-4-2"], second):
            assert np.array_equal(psf["flux_cal"][()][:, columns], psf["flux"][()][:, columns], equal_nan=True)
        assert np.isnan(psf["flux_cal"][()][:50, ccds["s0001-4-2"]]).all()
        assert np.std(psf["pscale"][()][ccds["s0001-4-1"]]) > 1e-3
        assert psf["ensemble_status"].asstr()[3] == "used"
        places = found["stars/ccd_places"].asstr()[3]
        assert places == f"s0001-4-1 {few.column[3]:.2f} {few.row[3]:.2f}, s0002-4-1 99.50 3.00"


def test_the_spatial_terms_give_the_light_curve(calibrated, truth):
    """By what the dataset says of itself, for a star that is not of the ensemble."""
    terms = json.loads(calibrated["attrs"]["spatial_terms"])["s0001-4-1"]
    star = 59
    column, row = round(truth.column[star], 2), round(truth.row[star], 2)
    u, v = (eval(terms[axis], {"column": column, "row": row}) for axis in "uv")
    assert terms["terms"] == ["u^0 v^0", "u^1 v^0", "u^0 v^1"]
    values = np.array([1.0, u, v]) - terms["means"]
    factor = np.exp(calibrated["spatial_coefficients"] @ values)
    assert calibrated["flux_cal"][star] == pytest.approx(truth.flux[star] / factor, rel=1e-5)


def test_blocks_of_stars_change_nothing(file, few, monkeypatch):
    with file(few) as whole:
        monkeypatch.setattr(field_calibration, "star_blocks", lambda n, m: (slice(k, k + 1) for k in range(n)))
        with file(few) as found:
            for name in ("flux_cal", "flux_cal_err"):
                assert np.array_equal(found[f"psf/{name}"], whole[f"psf/{name}"])


def test_what_is_injected_comes_out(file):
    """Of stars of a small ensemble, with and without: the noise is the same."""
    truth = Truth(21, n_stars=25, n_frames=400)
    sine, transit = 8, 14

    def inject(targets):
        targets["t1008"][1]["psf_flux"] *= (1.0 + 0.002 * truth.sine).astype("f4")
        targets["t1014"][1]["psf_flux"] *= (1.0 - 0.002 * truth.transit).astype("f4")

    with file(truth) as before, file(truth, change=inject) as after:
        assert after["psf/ensemble_status"].asstr()[transit] == "used"
        quiet, cal = (found["psf/flux_cal"][()].astype(float) for found in (before, after))
    for star, shape, size in ((sine, truth.sine, 0.002), (transit, truth.transit.astype(float), -0.002)):
        assert amplitude(cal[star], shape) - amplitude(quiet[star], shape) == pytest.approx(size, rel=0.05)
    others = np.delete(np.arange(25), [sine, transit])
    assert cal[others] == pytest.approx(quiet[others], rel=2e-4)


def test_the_page_says_once_what_is_as_measured(assemble, few, tmp_path):
    def change(targets):
        for name in list(targets)[50:]:
            targets[name][0]["ccd"] = 2
        for name in targets:
            targets[name][1]["psf_flags"][7] = StarFlag.BACKGROUND

    write_report(tmp_path / "report.html", assemble(few, change=change))
    page = (tmp_path / "report.html").read_text()
    assert "59 frames brought to one scale by an ensemble of " in page
    assert "1 frame measured but not calibrated" in page
    assert page.count("not calibrated: the CCD needs 20 suitable stars and has 0; pscale is 1") == 1
