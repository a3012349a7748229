import importlib.util
import json
import logging
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from gaiaflux.core.sky.epoch import jyear_of_mjd, propagate
from gaiaflux.core.sky.projection import linear_tan, pixel_to_sky, sky_to_pixel
from gaiaflux.ground.catalog.star_catalog import (
    ReferenceStars,
    combine_catalogs,
    complete_catalog,
    find_reference_stars,
)
from gaiaflux.ground.frame.psf_options import psf_options
from gaiaflux.io.gaia.catalog import write_catalog
from gaiaflux.io.image.banzai_writer import write_banzai
from gaiaflux.io.plate_solution import plate_record
from gaiaflux.io.psf_model import read_reference_psf
from gaiaflux.io.star_catalog import COLUMNS, read_star_catalog, write_star_catalog
from gaiaflux.model.catalog import SkyCatalog, StarCatalog
from gaiaflux.model.settings.psf import PsfSettings
from gaiaflux.sim.imperfect_camera import add_ghosts
from gaiaflux.sim.presets import demo, demo_crowded
from gaiaflux.sim.series import Series
from gaiaflux.workflow.settings import complete_section

DEFAULTS = psf_options(complete_section(PsfSettings))
MJD = 61223.1
SCALE = 0.4 / 3600
WCS = linear_tan((150.0, 20.0), (255.5, 255.5), np.diag([-SCALE, SCALE]), (512, 512))


def gaia_at(x, y, mags, wcs=WCS, mjd=MJD):
    n = len(x)
    ra, dec = pixel_to_sky(wcs, np.array(x), np.array(y))
    zero = np.zeros(n)
    ids = np.arange(n, dtype=np.int64) + 4_000_000_000_000_000_001
    epoch = np.full(n, jyear_of_mjd(mjd))
    origin = {"system": "Gaia G", "source": "gaia"}
    return SkyCatalog(ids, ra, dec, epoch, zero, zero, zero, zero, zero, np.array(mags), zero, **origin)


def found_at(x, y, mags, known_mag, unseen=(), meant=()):
    """Found stars, and of the catalogue's those that are not seen, with the found star that each is."""
    x, y, mags = (np.array(values, float) for values in (x, y, mags))
    n = len(known_mag)
    no_light, stars = np.zeros(n, bool), np.full(n, -1)
    no_light[list(unseen)] = True
    stars[list(unseen)[: len(meant)]] = meant
    return ReferenceStars(x, y, np.full(len(x), 0.1), mags, np.array(known_mag, float), None, 4.0, no_light, stars)


def test_gaia_first_then_what_gaia_lacks():
    gaia = gaia_at([100.0, 200.0, 700.0, 530.0], [100.0, 200.0, 100.0, 10.0], [15.0, 12.0, 10.0, np.nan])
    found = found_at([350.0, 300.0], [350.0, 300.0], [19.0, 20.0], [15.1, 12.1, np.nan, 18.0])
    catalog = combine_catalogs(gaia, found, WCS, MJD, add_reference_stars=True, margin_pix=30.0)
    assert catalog.star_id.tolist() == [0, 1, 2, 3, 4]
    # Bright to faint, unknown magnitude last; the one 190 pixels outside is gone, the one 19 outside stays.
    assert catalog.source_id[:3].tolist() == [gaia.source_id[1], gaia.source_id[0], gaia.source_id[3]]
    assert catalog.source_id[3:].tolist() == [-1, -1]
    np.testing.assert_allclose(catalog.x_ref[3:], [350.0, 300.0])
    assert np.isnan(catalog.mag[3:]).all()
    np.testing.assert_array_equal(catalog.mag_ref, [12.1, 15.1, 18.0, 19.0, 20.0])
    np.testing.assert_allclose(catalog.pos_err[3:], 1000.0 * 0.4 * 0.1)
    epoch = jyear_of_mjd(MJD)
    x, y = sky_to_pixel(WCS, *propagate(catalog, epoch))
    np.testing.assert_allclose(x, catalog.x_ref, atol=2e-3)
    np.testing.assert_allclose(y, catalog.y_ref, atol=2e-3)


def test_order_of_the_catalogue_does_not_matter():
    rng = np.random.default_rng(1)
    gaia = gaia_at(rng.uniform(0, 511, 50), rng.uniform(0, 511, 50), rng.choice([14.0, 15.0, np.nan], 50))
    known_mag = rng.uniform(14, 15, 50)
    found = found_at([10.0], [20.0], [19.0], known_mag)
    one = combine_catalogs(gaia, found, WCS, MJD, add_reference_stars=True, margin_pix=0.0)
    order = rng.permutation(50)
    shuffled = found_at([10.0], [20.0], [19.0], known_mag[order])
    other = combine_catalogs(gaia[order], shuffled, WCS, MJD, add_reference_stars=True, margin_pix=0.0)
    for column in StarCatalog.column_names():
        np.testing.assert_array_equal(getattr(one, column), getattr(other, column))
    without = combine_catalogs(gaia, found, WCS, MJD, add_reference_stars=False, margin_pix=0.0)
    assert len(one) == len(without) + 1
    np.testing.assert_array_equal(one.mag_ref[:-1], without.mag_ref)


def test_a_star_that_is_found_elsewhere_keeps_its_identifier(caplog):
    """Without a motion in the catalogue the two places give one; one that is not found stays with a mark."""
    years = jyear_of_mjd(MJD) - 2016.0
    gaia = gaia_at([100.0, 200.0, 300.0, 400.0], [100.0, 200.0, 300.0, 400.0], [15.0, 16.0, 17.0, 18.0])
    gaia = replace(gaia, ref_epoch=np.full(4, 2016.0), parallax=np.full(4, 3.0), pm_err=np.full(4, 10.0))
    gaia = replace(gaia, pmra=np.array([0.0, 0.0, 2.0, 0.0]))
    found = found_at([50.0, 205.0, 303.0], [50.0, 203.0, 296.0], [19.0, 16.1, 17.1], [15.0, 22.0, np.nan, np.nan],
                     unseen=[1, 2, 3], meant=[1, 2])  # fmt: skip
    for add in (True, False):
        with caplog.at_level(logging.WARNING):
            catalog = combine_catalogs(gaia, found, WCS, MJD, add_reference_stars=add, margin_pix=0.0)
        assert catalog.source_id.tolist() == [*gaia.source_id, -1][: 4 + add]
        assert catalog.place.tolist() == [0, 1, 1, 2, 1][: 4 + add]
        np.testing.assert_allclose(catalog.mag_ref, [15.0, 16.1, 17.1, np.nan, 19.0][: 4 + add])
    assert "3 stars of the catalogue are not where it has them: 2 are taken for" in caplog.text
    np.testing.assert_allclose(catalog.x_ref[1:3], [205.0, 303.0], atol=1e-6)
    np.testing.assert_allclose(catalog.y_ref[1:3], [203.0, 296.0], atol=1e-6)
    # East is to the left, 0.4 arcsec a pixel. Now, and carried back to the catalogue's epoch:
    np.testing.assert_allclose(catalog.pmra[1:3], [-2000.0 / years, 0.0], rtol=1e-3)
    np.testing.assert_allclose(catalog.pmdec[1:3], [1200.0 / years, 0.0], rtol=1e-3)
    assert catalog.parallax.tolist() == [3.0, 0.0, 0.0, 3.0]
    np.testing.assert_allclose(catalog.pos_err[1:3], 40.0)
    np.testing.assert_allclose(catalog.pm_err[1:3], [40.0 / years, 10.0], rtol=1e-3)
    x, y = sky_to_pixel(WCS, *propagate(catalog, 2016.0))
    np.testing.assert_allclose([x[1], y[1]], [200.0, 200.0], atol=0.05)
    # The magnitude of a star that is not there is nobody's light.
    np.testing.assert_array_equal(catalog.best_mag, [15.0, 16.0, 17.0, np.nan])


def test_file_keeps_everything(tmp_path):
    gaia = gaia_at([10.0, 20.0], [30.0, 40.0], [15.0, 16.0])
    found = found_at([99.0, 30.0], [99.0, 42.0], [19.0, 15.0], [15.0, np.nan], unseen=[0, 1], meant=[1])
    catalog = combine_catalogs(gaia, found, WCS, MJD, add_reference_stars=True, margin_pix=0.0)
    reference = {"frame_id": "frame-7", "filter": "V", "ny": 512, "nx": 600, "path": "x"}
    write_star_catalog(tmp_path / "b.h5", catalog, {**reference, "series_fwhm_arcsec": 1.75})
    assert read_star_catalog(tmp_path / "b.h5")[1]["series_fwhm_arcsec"] == 1.75
    write_star_catalog(tmp_path / "a" / "stars.h5", catalog, reference)
    back, attrs = read_star_catalog(tmp_path / "a" / "stars.h5")
    assert np.isnan(attrs["series_fwhm_arcsec"])
    assert {name: attrs[f"reference_{name}"] for name in ("frame_id", "filter", "ny", "nx")} == {
        name: value for name, value in reference.items() if name != "path"
    }
    assert len(attrs["catalog_sha256"]) == 64
    with h5py.File(tmp_path / "a" / "stars.h5") as file:
        assert (file.attrs["n_found_elsewhere"], file.attrs["n_not_found"]) == (1, 1)
    assert set(COLUMNS) == set(StarCatalog.column_names())
    for column in StarCatalog.column_names():
        assert getattr(back, column).dtype == getattr(catalog, column).dtype
        np.testing.assert_array_equal(getattr(back, column), getattr(catalog, column))


@pytest.mark.parametrize("unit", ["electron", "adu"])
def test_reference_stars_of_a_simulated_frame(unit):
    made = Series(demo(n_frames=1)).frame(0)
    frame = made.frame
    if unit == "adu":
        info = type(frame.info)(**{**frame.info.__dict__, "unit": "adu", "gain": float("nan")})
        frame = type(frame)(info, frame.image / np.float32(2.3), None, frame.pixel_flags)
    stars, fwhm = find_reference_stars(frame, 4.2, DEFAULTS)
    truth = made.truth.stars
    assert abs(fwhm / made.truth.conditions.fwhm_pix - 1) < 0.06
    bright = truth[truth["snr"] > 20]
    distance = np.hypot(stars["x"][:, None] - bright["x"], stars["y"][:, None] - bright["y"]).min(axis=0)
    assert (distance < 1.5).mean() > 0.98


@pytest.fixture(scope="module")
def field():
    """Four frames of a crowded field, the sharpest first, and Gaia's stars on it."""
    series = Series(demo_crowded(n_frames=12))
    order = np.argsort([series.conditions(k).fwhm_pix for k in range(12)], kind="stable")[:4]
    made = [series.frame(int(k)) for k in order]
    truth = made[0].truth
    known = truth.stars[truth.stars["source_id"] > 0]
    mags = 25.0 - 2.5 * np.log10(known["flux"])
    return made, gaia_at(known["x"], known["y"], mags, truth.wcs, made[0].frame.info.mjd_utc)


def complete(field, n_others):
    made, gaia = field
    others = [(one.frame, one.truth.wcs) for one in made[1 : 1 + n_others]]
    options = {"detection_snr": 3.5, "options": DEFAULTS}
    return complete_catalog(gaia, made[0].frame, made[0].truth.wcs, others=others, **options)


def found_stars(found, truth):
    """Whether each star without a Gaia identifier is found, and whether each found one is a star."""
    stars = truth.stars[truth.stars["source_id"] <= 0]
    distance = np.hypot(np.subtract.outer(stars["x"], found.x), np.subtract.outer(stars["y"], found.y))
    real = distance[stars["snr"] > 1].min(axis=0) < 2.5
    return stars, distance.min(axis=1) < 2.5, real


@pytest.fixture(scope="module")
def alone(field):
    return complete(field, 0)


@pytest.fixture(scope="module")
def stacked(field):
    return complete(field, 3)


def test_more_stars_are_found_on_a_stack(field, alone, stacked):
    truth = field[0][0].truth
    missed = {}
    for name, found in (("alone", alone), ("stacked", stacked)):
        stars, there, real = found_stars(found, truth)
        missed[name] = 1 - there[stars["snr"] > 5].mean()
        assert np.count_nonzero(~real) < 0.02 * (len(found.x) + len(field[1]))
    assert missed["stacked"] < 0.6 * missed["alone"]
    assert len(stacked.x) > 1.05 * len(alone.x)


def test_places_magnitudes_and_psf_are_those_of_the_reference_image(field, alone, stacked):
    made, gaia = field
    truth = made[0].truth.stars
    width = np.median(truth["fwhm"])
    assert all(np.median(one.truth.stars["fwhm"]) > 1.02 * width for one in made[2:])
    np.testing.assert_allclose([stacked.fwhm_pix, stacked.psf.fwhm], alone.fwhm_pix, rtol=0.01)
    assert abs(stacked.fwhm_pix / width - 1) < 0.02
    bright = gaia.mag < np.quantile(gaia.mag, 0.3)
    # The neighbours that were missed had put their light into others.
    assert np.nanmedian(np.abs(stacked.known_mag - alone.known_mag)[bright]) < 0.01
    distance = np.hypot(np.subtract.outer(truth["x"], stacked.x), np.subtract.outer(truth["y"], stacked.y))
    row = distance.argmin(axis=0)
    sure = (distance.min(axis=0) < 1.0) & (truth["snr"][row] > 10)
    assert np.count_nonzero(sure) > 100
    offset = np.stack([stacked.x - truth["x"][row], stacked.y - truth["y"][row]])[:, sure]
    assert np.abs(np.median(offset, axis=1)).max() < 0.03
    assert abs(np.nanmedian(stacked.mag[sure] - (25.0 - 2.5 * np.log10(truth["flux"][row][sure])))) < 0.03


def test_a_frame_of_another_field_is_left_out(field, alone, caplog):
    made, gaia = field
    elsewhere = linear_tan((10.0, 60.0), (255.5, 255.5), np.diag([-SCALE, SCALE]), (512, 512))
    options = {"detection_snr": 3.5, "options": DEFAULTS}
    others = [(made[1].frame, elsewhere)]
    with caplog.at_level(logging.WARNING):
        found = complete_catalog(gaia, made[0].frame, made[0].truth.wcs, others=others, **options)
    assert "left out of the stack: no star in common" in caplog.text
    np.testing.assert_array_equal(found.x, alone.x)
    np.testing.assert_array_equal(found.mag, alone.mag)


def test_script_reads_the_stack_and_does_without_a_frame_that_is_gone(field, tmp_path, caplog):
    made, gaia = field
    path = Path(__file__).parents[3] / "scripts" / "build_star_catalog.py"
    spec = importlib.util.spec_from_file_location("build_star_catalog", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    stack = []
    for k, one in enumerate(made[:3]):
        image = tmp_path / f"frame-{k}.fits"
        write_banzai(image, one.frame, header=one.header)
        stack.append({"frame_id": f"frame-{k}", "path": str(image), "wcs": plate_record(one.truth.wcs)})
    write_catalog(tmp_path / "gaia.fits", gaia, {})
    reference = stack[0] | {"filter": "rp", "ny": 512, "nx": 512, "margin_pix": 0.0, "stack": stack}
    settings = {"detection_snr": 3.5, "add_reference_stars": True}
    psf = asdict(complete_section(PsfSettings))
    # The third has moved; its new place is known.
    moved = (tmp_path / "frame-2.fits").rename(tmp_path / "new.fits")
    numbers = {}
    own = {"magnitude_system": "instrumental magnitude", "sky_coordinates": "nominal", "stack": stack[:1]}
    for name, paths in (("own", {}), ("all", {"frame-2": str(moved)}), ("without", {})):
        (tmp_path / "reference.json").write_text(json.dumps(reference | (own if name == "own" else {})))
        smk = SimpleNamespace(
            input=SimpleNamespace(reference=tmp_path / "reference.json", gaia=tmp_path / "gaia.fits"),
            output=SimpleNamespace(catalog=tmp_path / f"{name}.h5"),
            params=SimpleNamespace(settings=settings, psf=psf, paths=paths, overrides={}, reading={}),
        )
        with caplog.at_level(logging.WARNING):
            script.main(smk)
        assert ("frame-2 is left out of the stack" in caplog.text) == (name == "without")
        catalog, attrs = read_star_catalog(tmp_path / f"{name}.h5")
        assert attrs["reference_frame_id"] == "frame-0"
        numbers[name] = np.count_nonzero(catalog.source_id < 0)
        width = np.median(made[0].truth.stars["fwhm"])
        assert abs(read_reference_psf(tmp_path / f"{name}.h5").fwhm / width - 1) < 0.02
    assert numbers["all"] != numbers["without"]
    # A catalogue that the reference image has made itself is not added to.
    assert numbers["own"] == 0 < min(numbers["all"], numbers["without"])


def test_halo_of_a_bright_star_beside_the_image_makes_no_stars(field):
    made, _ = field
    frame, truth = made[0].frame, made[0].truth
    known = truth.stars[truth.stars["source_id"] > 0]
    place, flux = (256.0, -25.0), 3e7
    image = frame.image.copy()
    add_ghosts(image, *np.array([[place[0]], [place[1]], [0.01 * flux]]), 0.1)
    frame = type(frame)(frame.info, image, None, frame.pixel_flags)
    near = {}
    for name, rows in (("without", []), ("with", [place])):
        places = np.array([*zip(known["x"], known["y"], strict=True), *rows])
        mags = 25.0 - 2.5 * np.log10([*known["flux"], *[flux] * len(rows)])
        gaia = gaia_at(*places.T, mags, truth.wcs, frame.info.mjd_utc)
        found = complete_catalog(gaia, frame, truth.wcs, detection_snr=3.5, options=DEFAULTS)
        distance = np.hypot(np.subtract.outer(found.x, truth.stars["x"]), np.subtract.outer(found.y, truth.stars["y"]))
        false = distance.min(axis=1) > 2.5
        near[name] = np.count_nonzero(false & (np.abs(np.hypot(found.x - 256, found.y + 25) - 50) < 20))
    assert near["without"] > 15
    assert near["with"] <= 0.2 * near["without"]


def test_misplaced_stars_are_found_and_the_others_are_marked():
    """Fast stars without a motion, one that is gone, and one that hides beside its place; all others stay."""
    made = Series(demo(n_frames=1)).frame(0)
    truth = made.truth.stars
    ny, nx = made.frame.image.shape
    inner = (np.minimum(truth["x"], nx - truth["x"]) > 30) & (np.minimum(truth["y"], ny - truth["y"]) > 30)
    distance = np.hypot(np.subtract.outer(truth["x"], truth["x"]), np.subtract.outer(truth["y"], truth["y"]))
    np.fill_diagonal(distance, np.inf)
    alone = (distance + np.where(truth["flux"] > 0.05 * truth["flux"][:, None], 0, np.inf)).min(axis=1) > 30
    known = truth[(truth["source_id"] > 0) & (truth["snr"] > 8)]
    good = np.flatnonzero((inner & alone)[(truth["source_id"] > 0) & (truth["snr"] > 8)] & (known["snr"] > 25))
    assert len(good) > 12
    fast, beside, gone = good[:6], good[6:8], good[9:11]
    x, y = known["x"].copy(), known["y"].copy()
    x[fast] += np.array([5.0, -6.0, 8.0, 0.0, 4.0, -7.0])
    y[fast] += np.array([3.0, 4.0, 0.0, -9.0, -4.0, 1.0])
    x[beside] += 1.8
    mags = 25.0 - 2.5 * np.log10(known["flux"])
    x, y, mags = np.append(x, x[gone] + 14.0), np.append(y, y[gone] - 14.0), np.append(mags, [13.0, 14.0])
    gaia = gaia_at(x, y, mags, made.truth.wcs, made.frame.info.mjd_utc)
    found = complete_catalog(gaia, made.frame, made.truth.wcs, detection_snr=3.5, options=DEFAULTS)
    n = len(known)
    assert np.flatnonzero(found.unseen).tolist() == sorted([*fast, *beside, n, n + 1])
    moved = np.concatenate([fast, beside])
    assert np.flatnonzero(found.meant >= 0).tolist() == sorted(moved)
    star = found.meant[moved]
    assert np.hypot(found.x[star] - known["x"][moved], found.y[star] - known["y"][moved]).max() < 0.5
    np.testing.assert_allclose(found.mag[star], mags[moved], atol=0.2)
