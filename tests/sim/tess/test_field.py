import csv
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from gaiaflux.core.sky.projection import sky_to_pixel
from gaiaflux.sim.tess.field import catalog_rows, demo_field, light_time_d, spacecraft_au, stamp_wcs
from gaiaflux.sim.tess.files import write_field
from gaiaflux.sim.tess.pointing import simulate_pointing
from gaiaflux.sim.tess.response import Response, response_grid
from gaiaflux.sim.tess.stamp import SATURATION, StampSetup, simulate_stamp
from gaiaflux.sim.tess.stars import StampStar, relative_light, tess_flux


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("field")
    field = demo_field(300)
    return folder, field, write_field(folder, field)


def test_the_response_is_a_function_of_light_one_that_changes_over_the_ccd():
    samples, columns, rows = response_grid()
    np.testing.assert_allclose(samples.sum(axis=(2, 3)), 81.0)
    middle = Response.at(columns[2], rows[2])
    light = middle.light(np.array([10.0, 10.3]), np.array([10.0, 9.6]), (21, 21))
    np.testing.assert_allclose(light.sum(axis=(1, 2)), 1.0, atol=2e-3)
    # Samples are the light of pixels around the star.
    own = middle.samples()
    assert own[58, 58] == pytest.approx(light[0, 10, 10], rel=1e-3)
    assert own[58, 58 + 9] == pytest.approx(light[0, 10, 11], rel=1e-3)
    assert own[58 + 18, 58] == pytest.approx(light[0, 12, 10], rel=1e-3)
    assert samples[0, 0].max() > 1.15 * samples[4, 4].max()


def test_the_pointing_drifts_shakes_and_is_kicked():
    time = np.arange(20000) / 720.0
    made = simulate_pointing(time, np.random.default_rng(1), error_pix=0.002)
    assert 0.3 < np.ptp(made.shift[~made.dump], axis=0).min() < 1.5
    steps = np.median(np.abs(np.diff(made.shift[~made.dump], axis=0)), axis=0) * 1.4826
    np.testing.assert_allclose(steps, [0.005, 0.009], rtol=0.2)
    assert 8 <= np.diff(made.dump.astype(int)).clip(0).sum() <= 12
    assert np.isnan(made.stated[made.dump]).all()
    assert np.std((made.stated - made.shift)[~made.dump]) == pytest.approx(0.002, rel=0.05)


def test_light_changes_as_it_is_told():
    time = np.linspace(0, 3, 3001)
    assert (relative_light(StampStar(1, 0, 0, 10), time) == 1).all()
    for kind in ("eclipses", "transits"):
        light = relative_light(StampStar(1, 0, 0, 10, kind, 0.2, 1.0, 0.1, 0.5), time)
        assert light.min() == pytest.approx(0.8, abs=1e-3)
        assert light[500] == pytest.approx(0.8)
        assert (light[:440] == 1).all()
    sine = relative_light(StampStar(1, 0, 0, 10, "waves", 0.01, 1.0, epoch_d=0.25), time)
    assert sine[[0, 250, 500, 750]] == pytest.approx([0.99, 1.0, 1.01, 1.0])
    assert tess_flux(20.44) == 1


def test_noise_is_what_the_variance_says():
    setup = replace(demo_field(2000).stamps[1], moves=False, rays=0.0, missing=0.0)
    setup = replace(setup, stars=(replace(setup.stars[0], variation="constant"),))
    made = simulate_stamp(setup)
    assert not made.hit.any()
    light = made.flux - made.flux.mean(axis=(1, 2), keepdims=True)
    ratio = light.var(axis=0) / made.variance
    assert np.median(ratio) == pytest.approx(1.0, abs=0.03)
    assert np.mean(made.flux_err**2) == pytest.approx(made.variance.mean(), rel=0.02)


def test_full_pixels_run_over_along_the_column():
    made = simulate_stamp(demo_field(5).stamps[3])
    image = np.nanmean(made.flux, axis=0)
    assert image.max() == pytest.approx(SATURATION, rel=0.01)
    full = image > 0.98 * SATURATION
    assert np.ptp(np.nonzero(full)[0]) > 2 * np.ptp(np.nonzero(full)[1])


@pytest.mark.parametrize("up", [0.0, 0.25, 0.5])
def test_charge_of_full_pixels_is_kept_and_runs_as_it_is_told(up):
    star = StampStar(1, 6.0, 40.0, 4.0)
    setup = StampSetup((star,), n_times=4, shape=(81, 13), rays=0.0, moves=False, bleed_up=up)
    made = simulate_stamp(setup)
    assert made.flux.sum(axis=(1, 2)) == pytest.approx(made.star_flux[:, 0], rel=1e-3)
    full = (made.flux[0] > 0.98 * SATURATION).any(axis=1)
    assert full[41:].sum() / full.sum() == pytest.approx(up, abs=0.1)


def test_files_are_like_the_missions(written):
    folder, field, stamps = written
    paths = sorted(folder.glob("*_tp.fits.gz"))
    assert len(paths) == len(stamps) == 5
    for path, stamp in zip(paths, stamps, strict=True):
        setup = stamp.setup
        with fits.open(path) as file:
            assert [hdu.name for hdu in file] == ["PRIMARY", "PIXELS", "APERTURE"]
            assert file[0].header["TICID"] == setup.stars[0].starid
            table = file[1].data
            np.testing.assert_array_equal(table["FLUX"], stamp.flux)
            assert table["FLUX"].shape == (300, *setup.shape)
            late = stamp.time + 1.979 / 86400.0  # the clock error of data release 1
            np.testing.assert_allclose(table["TIME"] - table["TIMECORR"], late, rtol=0.0, atol=1e-8)
            assert np.abs(table["TIMECORR"][np.isfinite(stamp.time)]).max() < 0.006
            assert (np.isnan(table["TIME"]) == np.isnan(stamp.time)).all()
            assert file[1].header["1CRV5P"] == setup.first_column + 1
            assert ((file[2].data & 2) > 0).sum() >= 3
            wcs = WCS(file[2].header)
        for row, star in zip(
            [row for row in catalog_rows(field) if row.starid // 1000 == setup.stars[0].starid // 1000],
            setup.stars,
            strict=True,
        ):
            years = 18.56
            ra = row.ra_deg + row.pmra * years / 3.6e6 / np.cos(np.radians(row.dec_deg))
            place = wcs.all_world2pix([[ra, row.dec_deg + row.pmdec * years / 3.6e6]], 0)[0]
            np.testing.assert_allclose(place, [star.x, star.y], atol=0.02)
            np.testing.assert_allclose(
                np.ravel(sky_to_pixel(stamp_wcs(field, setup), ra, row.dec_deg + row.pmdec * years / 3.6e6)),
                place,
                atol=1e-4,
            )


def test_responses_and_catalogue_are_written(written):
    folder, field, _ = written
    paths = sorted((folder / "prf" / "start_s0001" / "cam4_ccd1").glob("*.fits"))
    assert len(paths) == 25
    header = fits.getheader(paths[0])
    assert (header["CAM"], header["CCD"], header["CCD_RREF"], header["CCD_CREF"]) == (4, 1, 1, 45)
    assert fits.getdata(paths[0]).shape == (117, 117)
    with (folder / "catalog.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(setup.stars) for setup in field.stamps)
    assert [row["disposition"] for row in rows].count("DUPLICATE") == 1


def test_light_arrives_at_the_spacecraft_when_its_place_says():
    btjd = np.array([1325.3, np.nan, 1330.0])
    towards = light_time_d(btjd, 63.4, -69.2)
    away = light_time_d(btjd, 63.4 + 180, 69.2)
    assert np.isnan(towards[1])
    np.testing.assert_allclose(towards[[0, 2]], -away[[0, 2]], atol=1e-12)
    assert np.linalg.norm(spacecraft_au(btjd[[0]])) == pytest.approx(1.016, abs=0.01)
