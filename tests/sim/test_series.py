import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy import units as u
from astropy.coordinates import get_body_barycentric
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS

from gaiaflux.core.sky.projection import pixel_to_sky
from gaiaflux.io.image.wcs_cards import tan_sip_from_cards
from gaiaflux.model.flags import PixelFlag
from gaiaflux.sim.conditions import Night
from gaiaflux.sim.detector import Camera
from gaiaflux.sim.field import FieldConfig, Kind
from gaiaflux.sim.presets import crowded, demo, demo_crowded, sparse
from gaiaflux.sim.series import Series, SeriesConfig

SMALL = SeriesConfig(
    seed=5,
    n_frames=30,
    camera=Camera(shape=(400, 500), distortion_arcsec=2.0),
    field=FieldConfig(stars_in_frame=250),
)
CLEAN = Camera(shape=(400, 500), distortion_arcsec=2.0, bad_columns=0, bad_pixel_fraction=0.0, cosmic_rays_per_mpix=0.0)


def digest(made):
    parts = made.frame.image, made.frame.error, made.frame.pixel_flags, made.truth.stars
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest(), made.frame.info.wcs_cards


def empty(**changes):
    """Sky and noise alone."""
    night = replace(Night(sky_gradient=0.0), **changes)
    field = FieldConfig(stars_in_frame=0)
    return Series(SeriesConfig(seed=3, camera=CLEAN, field=field, night=night, transit=None, microlensing=None))


def test_a_frame_depends_on_its_number_alone():
    one, other = Series(SMALL), Series(replace(SMALL, n_frames=2))
    others = [digest(made) for made in other.frames()]
    assert digest(one.frame(1)) == others[1]
    assert digest(one.frame(0)) == others[0] == digest(one.frame(0))
    assert others[0] != others[1]
    assert digest(Series(replace(SMALL, seed=6)).frame(0)) != others[0]
    assert one.conditions(1).fwhm_pix == one.frame(1).truth.conditions.fwhm_pix


@pytest.mark.parametrize("poisson", [False, True])
def test_noise_of_the_sky(poisson):
    made = empty(poisson=poisson).frame(0)
    image = made.frame.image.astype(float)
    sky = made.truth.conditions.sky
    assert image.mean() == pytest.approx(sky, abs=5 * np.sqrt(sky / image.size))
    expected = sky + 8.0**2
    assert image.var() == pytest.approx(expected, rel=5 * np.sqrt(2 / image.size))
    assert np.median(made.frame.error) == pytest.approx(np.sqrt(expected), rel=0.005)
    neighbours = np.mean((image[:, 1:] - sky) * (image[:, :-1] - sky)) / expected
    assert abs(neighbours) < 5 / np.sqrt(image.size)


def test_sky_gradient_and_scatter_of_its_level():
    series = empty(sky_gradient=0.2)
    made = series.frame(1)
    rows, columns = np.mgrid[-1:1:400j, -1:1:500j]
    design = np.stack([np.ones(rows.size), columns.ravel(), rows.ravel()], axis=1)
    level, along_x, along_y = np.linalg.lstsq(design, made.frame.image.ravel().astype(float), rcond=None)[0]
    np.testing.assert_allclose([along_x / level, along_y / level], made.truth.conditions.sky_slope, atol=0.002)
    assert np.hypot(*made.truth.conditions.sky_slope) == pytest.approx(0.2)


def test_fluxes_and_their_errors_are_what_an_optimal_fit_finds():
    config = replace(SMALL, camera=CLEAN, field=FieldConfig(stars_in_frame=40, faintest=19.5), transit=None)
    pulls = []
    for made in (Series(config).frame(index) for index in range(8)):
        stars, psf = made.truth.stars, made.truth.psf
        sky = made.truth.conditions
        for star in stars:
            x, y = star["x"], star["y"]
            distance = np.hypot(stars["x"] - x, stars["y"] - y)
            inside = 15 < x < 484 and 15 < y < 384
            if not inside or np.any((distance > 0) & (distance < 40)) or star["flux"] > 1e6:
                continue
            column, row = round(x), round(y)
            window = np.s_[row - 14 : row + 15, column - 14 : column + 15]
            rows, columns = np.mgrid[window]
            profile = psf.values(x, y, columns - x, rows - y)
            slope = sky.sky_slope[0] * (columns / 249.5 - 1) + sky.sky_slope[1] * (rows / 199.5 - 1)
            background = sky.sky * (1 + slope)
            variance = background + 64.0 + star["flux"] * profile
            weight = profile / variance
            flux = (weight * (made.frame.image[window] - background)).sum() / (weight * profile).sum()
            pulls.append((flux - star["flux"]) / star["sigma"])
    assert len(pulls) > 60
    # The farther neighbours' wings lift the mean a little.
    assert np.std(pulls) == pytest.approx(1.0, abs=4 / np.sqrt(2 * len(pulls)))
    assert abs(np.median(pulls)) < 5 / np.sqrt(len(pulls))


def test_positions_agree_with_astropy_through_an_exact_header():
    night = Night(header_offset_arcsec=0.0, header_rotation_deg=0.0, header_distortion=True)
    series = Series(replace(SMALL, night=night))
    made = series.frame(4)
    stars = made.truth.stars
    catalog = series.stars[stars["star"]]
    when = Time(made.frame.info.mjd_utc, format="mjd", scale="utc")
    years = when.tdb.jyear - 2016.0
    x, y, z = get_body_barycentric("earth", when.tdb).xyz.to_value(u.au)
    ra, dec = np.radians(catalog["ra"]), np.radians(catalog["dec"])
    # Astronomical Almanac, section B: parallax factors from the observer's barycentric position.
    east = x * np.sin(ra) - y * np.cos(ra)
    north = x * np.cos(ra) * np.sin(dec) + y * np.sin(ra) * np.sin(dec) - z * np.cos(dec)
    ra_now = catalog["ra"] + (catalog["pmra"] * years + catalog["parallax"] * east) / 3.6e6 / np.cos(dec)
    dec_now = catalog["dec"] + (catalog["pmdec"] * years + catalog["parallax"] * north) / 3.6e6
    wcs = WCS(fits.Header.fromstring(made.frame.info.wcs_cards, sep="\n"))
    assert wcs.sip is not None
    sky = wcs.all_pix2world(np.stack([stars["x"], stars["y"]], axis=1), 0)
    np.testing.assert_allclose((sky[:, 0] - ra_now) * np.cos(dec) * 3.6e6, 0, atol=0.05)
    np.testing.assert_allclose((sky[:, 1] - dec_now) * 3.6e6, 0, atol=0.05)
    moved = np.hypot((ra_now - catalog["ra"]) * np.cos(dec), dec_now - catalog["dec"]) * 3.6e6
    assert 15 < np.median(moved) < 150
    undistorted = wcs.wcs_pix2world(np.array([[0, 0], [499, 0], [0, 399], [499, 399]]), 0)
    distorted = wcs.all_pix2world(np.array([[0, 0], [499, 0], [0, 399], [499, 399]]), 0)
    shift = (distorted - undistorted) * [np.cos(np.radians(29)), 1] * 3600
    assert np.hypot(*shift.T).max() == pytest.approx(2.0, rel=0.02)


def test_header_errors_stay_within_their_limits():
    series = Series(SMALL)
    middle = np.array([249.5]), np.array([199.5])
    offsets, turns = [], []
    for index in range(25):
        conditions = series.conditions(index)
        offsets.append(np.hypot(*conditions.header_offset_deg) * 3600)
        turns.append(conditions.header_rotation_deg)
    assert 40 < max(offsets) <= 60
    assert 0.2 < np.max(np.abs(turns)) <= 0.3
    made = series.frame(7)
    header = tan_sip_from_cards(made.frame.info.wcs_cards, made.frame.info.shape)
    (ra, dec), (ra_h, dec_h) = pixel_to_sky(made.truth.wcs, *middle), pixel_to_sky(header, *middle)
    offset = np.hypot((ra_h - ra) * np.cos(np.radians(dec)), dec_h - dec) * 3600
    assert offset[0] == pytest.approx(offsets[7], rel=1e-3)
    turn = np.degrees(np.arctan2(header.cd[0, 1], header.cd[1, 1]) - np.arctan2(*made.truth.wcs.cd[:, 1]))
    assert turn == pytest.approx(turns[7], abs=1e-6)


def test_bad_and_saturated_pixels():
    config = replace(SMALL, camera=Camera(shape=(400, 500), bad_columns=2, bad_pixel_fraction=1e-3, full_well=20_000.0))
    series = Series(config)
    made = series.frame(0)
    image, flags = made.frame.image, made.frame.pixel_flags
    assert image.max() == 20_000.0
    np.testing.assert_array_equal(flags & PixelFlag.SATURATED != 0, image >= 20_000.0)
    assert (image >= 20_000.0).any()
    bad = np.zeros(image.shape, dtype=bool)
    bad[series.defects.rows, series.defects.columns] = True
    np.testing.assert_array_equal(flags & PixelFlag.BAD != 0, bad)
    assert 200 <= bad.sum() < 1300
    assert ((bad.sum(axis=0)) > 20).sum() <= 2
    good = ~bad & (flags == 0)
    sigma = np.sqrt(made.truth.conditions.sky + 64)
    assert np.mean(np.abs(image[bad] - made.truth.conditions.sky) > 5 * sigma) > 0.5
    assert np.mean(np.abs(image[good] - made.truth.conditions.sky) > 5 * sigma) < 0.2


def test_cosmic_rays_are_where_the_truth_says_and_sharp():
    quiet = empty()
    camera = replace(CLEAN, cosmic_rays_per_mpix=200.0)
    hit = Series(replace(quiet.config, camera=camera))
    made = hit.frame(0)
    image, sky = made.frame.image, made.truth.conditions.sky
    rows, columns = made.truth.cosmic_pixels.T
    touched = np.zeros(image.shape, dtype=bool)
    touched[rows, columns] = True
    excess = (image[touched] - sky).sum(dtype=float)
    hits = made.truth.cosmic_rays
    inside = (hits["x"] > 20) & (hits["x"] < 480) & (hits["y"] > 20) & (hits["y"] < 380)
    assert hits["energy"][inside].sum() <= excess * 1.05
    assert excess == pytest.approx(hits["energy"].sum(), rel=0.1)
    assert len(hits) == pytest.approx(200 * 400 * 500 / 2**20, abs=20)
    assert np.abs(image[~touched] - sky).max() < 6.5 * np.sqrt(sky + 64)
    assert not made.frame.pixel_flags.any()
    singles = hits[hits["length"] == 0]
    for one in singles:
        row, column = round(float(one["y"])), round(float(one["x"]))
        assert image[row, column] - sky == pytest.approx(one["energy"], abs=6 * np.sqrt(sky + 64))


def test_brightness_follows_extinction_clouds_and_colour():
    base = Night(scintillation=False)
    plain = Series(replace(SMALL, night=base))
    changed = Series(replace(SMALL, night=replace(base, clouds_mag=1.0, cloud_gradient=0.05, colour_extinction=0.03)))
    depths = []
    for index in (0, 4, 7):
        one, other = plain.frame(index), changed.frame(index)
        conditions = other.truth.conditions
        np.testing.assert_array_equal(one.truth.stars["star"], other.truth.stars["star"])
        stars = plain.stars[one.truth.stars["star"]]
        slope_x, slope_y = conditions.cloud_slope
        cloud = conditions.transparency * (
            1 + slope_x * (2 * one.truth.stars["x"] / 499 - 1) + slope_y * (2 * one.truth.stars["y"] / 399 - 1)
        )
        colour = 10 ** (-0.4 * 0.03 * conditions.airmass * (stars["bp"] - stars["rp"] - 1))
        np.testing.assert_allclose(other.truth.stars["flux"] / one.truth.stars["flux"], cloud * colour, rtol=1e-10)
        depths.append(conditions.transparency)
        absolute = 10 ** (-0.4 * (stars["g"] + 0.1 * conditions.airmass - 23.4)) * 60 * one.truth.stars["relative"]
        np.testing.assert_allclose(one.truth.stars["flux"], absolute, rtol=1e-10)
    assert min(depths) < 0.9


def test_scintillation_is_noise_of_each_star():
    night = Night(scintillation=True)
    noisy, still = Series(replace(SMALL, night=night)).frame(0), Series(SMALL).frame(0)
    ratio = noisy.truth.stars["flux"] / still.truth.stars["flux"]
    airmass = noisy.truth.conditions.airmass
    expected = 0.09 * 100 ** (-2 / 3) * airmass**1.75 * np.exp(-2201 / 8000) / np.sqrt(120)
    assert ratio.std() == pytest.approx(expected, rel=0.2)


def test_transit_and_microlensing_have_their_closed_forms():
    series = Series(replace(SMALL, night=Night(cadence_min=16.0)))
    (transit,) = series.stars[series.stars["kind"] == Kind.TRANSIT]
    (lens,) = series.stars[series.stars["kind"] == Kind.MICROLENSING]
    curves = {Kind.TRANSIT: [], Kind.MICROLENSING: []}
    times = {Kind.TRANSIT: [], Kind.MICROLENSING: []}
    for index in range(28):
        made = series.frame(index)
        when = Time(made.frame.info.mjd_utc, format="mjd", scale="utc")
        earth = get_body_barycentric("earth", when.tdb).xyz
        for star in (transit, lens):
            row = made.truth.stars[made.truth.stars["star"] == star["star"]][0]
            ra, dec = np.radians(star["ra"]), np.radians(star["dec"])
            unit = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
            delay = (unit @ earth.to_value(u.lightyear)) * 365.25
            curves[star["kind"]].append(row["relative"])
            times[star["kind"]].append(when.tdb.jd + delay)
    t, f = np.array(times[Kind.TRANSIT]), np.array(curves[Kind.TRANSIT])
    phase = np.abs(t - transit["t0"]) * 24
    np.testing.assert_allclose(f[phase > 1.3], 1.0)
    np.testing.assert_allclose(f[phase < 1.0], 0.99)
    partial = (phase > 1.0) & (phase < 1.3)
    np.testing.assert_allclose(f[partial], 1 - 0.01 * (1.3 - phase[partial]) / 0.3, atol=1e-5)
    assert (phase < 1.0).sum() >= 6
    assert (t < transit["t0"] - 1.3 / 24).sum() >= 5
    assert (t > transit["t0"] + 1.3 / 24).sum() >= 5
    t, f = np.array(times[Kind.MICROLENSING]), np.array(curves[Kind.MICROLENSING])
    distance = np.hypot(lens["u0"], (t - lens["t0"]) / lens["t_e"])
    np.testing.assert_allclose(f, (distance**2 + 2) / (distance * np.sqrt(distance**2 + 4)), rtol=1e-4)
    assert f.max() > 2.5
    assert f.min() < 1.1


def test_variables():
    series = Series(SMALL)
    share = np.mean(series.stars["kind"] == Kind.VARIABLE)
    assert 0 < share < 0.06
    truth = series.frame(0).truth.stars
    relative, kinds = truth["relative"], truth["kind"]
    assert np.all(relative[kinds == Kind.CONSTANT] == 1)
    assert np.all(np.abs(-2.5 * np.log10(relative[kinds == Kind.VARIABLE])) <= 0.3)
    assert np.any(relative[kinds == Kind.VARIABLE] != 1)


def test_gaia_table_is_incomplete_and_has_its_errors():
    series = Series(crowded(1))
    stars, table = series.stars, series.gaia
    assert np.all(np.diff(table["source_id"]) > 0)
    assert table["source_id"].min() > 2**53
    matched = stars[stars["source_id"] >= 0]
    assert len(matched) == len(table)
    matched = matched[np.argsort(matched["source_id"])]
    np.testing.assert_array_equal(matched["source_id"], table["source_id"])
    limit = series.config.field.gaia_limit
    known = stars["source_id"] >= 0
    step = np.abs(stars["g"] - limit) < 0.15
    assert known[step].mean() == pytest.approx(0.5, abs=0.06)
    assert known[stars["g"] < limit - 1.5].mean() > 0.98
    assert known[stars["g"] > limit + 1.2].mean() < 0.01
    assert known[stars["kind"] >= Kind.TRANSIT].all()
    for name in ("ra", "dec", "pmra", "pmdec", "parallax"):
        good = np.isfinite(table[name])
        factor = 3.6e6 * (np.cos(np.radians(matched["dec"])) if name == "ra" else 1) if name in ("ra", "dec") else 1
        pull = ((table[name] - matched[name]) * factor / table[f"{name}_error"])[good]
        assert pull.std() == pytest.approx(1.0, abs=0.04)
    assert 0 < np.mean(np.isnan(table["pmra"])) < 0.1
    assert np.all(table["ref_epoch"] == 2016.0)


def test_gaia_lacks_the_fainter_of_close_pairs():
    series = Series(crowded(1))
    stars = series.stars[series.stars["g"] < series.config.field.gaia_limit - 0.8]
    x = (stars["ra"] - 288.0) * np.cos(np.radians(stars["dec"])) * 3600
    y = stars["dec"] * 3600
    order = np.argsort(y)
    x, y, g, known = x[order], y[order], stars["g"][order], stars["source_id"][order] >= 0
    close, wide = [], []
    for shift in range(1, 60):
        separation = np.hypot(x[shift:] - x[:-shift], y[shift:] - y[:-shift])
        fainter = np.where(g[shift:] > g[:-shift], known[shift:], known[:-shift])
        close.append(fainter[separation < 0.5])
        wide.append(fainter[(separation > 2.0) & (separation < 4.0)])
    close, wide = np.concatenate(close), np.concatenate(wide)
    assert len(close) >= 5
    assert close.mean() < 0.5
    assert wide.mean() > 0.95


def test_sizes_of_the_sparse_series():
    series = Series(sparse())
    made = series.frame(10)
    assert len(made.truth.stars) == pytest.approx(2970, rel=0.03)
    assert (made.truth.stars["snr"] > 5).sum() == pytest.approx(2000, rel=0.2)
    assert len(series.gaia) == pytest.approx(2650, rel=0.04)
    assert len(made.truth.cosmic_rays) == pytest.approx(80, abs=35)
    fwhm = [series.conditions(index).fwhm_pix for index in range(20)]
    assert min(fwhm) >= 4.1
    assert max(fwhm) <= 6.4
    assert max(fwhm) - min(fwhm) > 1.7
    over_field = made.truth.stars["fwhm"] / made.truth.conditions.fwhm_pix
    assert 0.005 < np.ptp(over_field) <= 0.06
    ellipticity = made.truth.psf.at(made.truth.stars["x"], made.truth.stars["y"])[1]
    assert 0.003 < ellipticity.max() <= 0.03


def test_sizes_of_the_crowded_series():
    series = Series(crowded())
    made = series.frame(0)
    assert len(made.truth.stars) == pytest.approx(20_000, rel=0.02)
    assert 11_000 < (made.truth.stars["snr"] > 5).sum() < 17_000
    assert len(series.gaia) == pytest.approx(10_100, rel=0.03)


def test_the_demo_holds_what_it_promises():
    series = Series(demo())
    conditions = [series.conditions(index) for index in range(len(series))]
    seeing = np.array([one.fwhm_pix for one in conditions]) * 0.389
    assert seeing.min() == pytest.approx(1.6, abs=0.1)
    assert seeing.max() == pytest.approx(2.6, abs=0.1)
    clouds = -2.5 * np.log10([one.transparency for one in conditions])
    assert 0.7 < clouds.max() <= 1.0
    assert np.mean(clouds < 0.05) > 0.4
    assert max(one.airmass for one in conditions) < 2
    (host,) = np.flatnonzero(series.stars["kind"] == Kind.TRANSIT)
    in_transit = 0
    for index in range(len(series)):
        star = series.frame(index).truth.stars
        star = star[star["star"] == host][0]
        assert star["snr"] > 300
        in_transit += star["relative"] == pytest.approx(0.99)
    assert in_transit >= 5


def test_the_crowded_demo_is_as_dense_as_the_crowded_preset_and_has_an_event():
    series = Series(demo_crowded())
    made = series.frame(0)
    assert made.frame.image.shape == (512, 512)
    assert len(made.truth.stars) == pytest.approx(20_000 / 16, rel=0.06)
    (host,) = np.flatnonzero(series.stars["kind"] == Kind.MICROLENSING)
    assert series.stars["source_id"][host] > 0
    relative = []
    for index in range(len(series)):
        star = series.frame(index).truth.stars
        star = star[star["star"] == host][0]
        assert star["snr"] > 50
        relative.append(star["relative"])
    assert max(relative) > 2.0
    assert min(relative) < 1.2
    assert series.stars["source_id"][host] == _configured_target("demo_crowded", "microlensing")


def _configured_target(name, target):
    shipped = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text())
    return next(entry["source_id"] for entry in shipped["series"][name]["targets"] if entry["name"] == target)
