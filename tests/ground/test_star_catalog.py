from dataclasses import fields

import numpy as np
import pytest

from gaiaflux.core.epoch import jyear_of_mjd, propagate
from gaiaflux.core.projection import linear_tan, pixel_to_sky, sky_to_pixel
from gaiaflux.ground.star_catalog import combine_catalogs, find_reference_stars
from gaiaflux.io.star_catalog import COLUMNS, read_star_catalog, write_star_catalog
from gaiaflux.model.catalog import SkyCatalog, StarCatalog
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.stars import STAR_DTYPE
from gaiaflux.sim.presets import demo
from gaiaflux.sim.series import Series

MJD = 61223.1
SCALE = 0.4 / 3600
WCS = linear_tan((150.0, 20.0), (255.5, 255.5), np.diag([-SCALE, SCALE]), (512, 512))


def gaia_at(x, y, mags):
    n = len(x)
    ra, dec = pixel_to_sky(WCS, np.array(x), np.array(y))
    zero = np.zeros(n)
    ids = np.arange(n, dtype=np.int64) + 4_000_000_000_000_000_001
    epoch = np.full(n, jyear_of_mjd(MJD))
    return SkyCatalog(ids, ra, dec, epoch, zero, zero, zero, zero, zero, np.array(mags), zero)


def stars_at(x, y, flux, flags=0):
    stars = np.zeros(len(x), STAR_DTYPE)
    stars["x"], stars["y"], stars["flux"], stars["flags"] = x, y, flux, flags
    stars["x_err"] = stars["y_err"] = 0.1
    return stars


def test_gaia_first_then_what_gaia_lacks():
    gaia = gaia_at([100.0, 200.0, 700.0, 530.0], [100.0, 200.0, 100.0, 10.0], [15.0, 12.0, 10.0, np.nan])
    stars = stars_at(
        [100.1, 300.0, 350.0, 5.0, 200.2], [99.9, 300.0, 350.0, 5.0, 201.0], [5.0, 7.0, 9.0, 3.0, 2.0],
        [0, 0, 0, StarFlag.EDGE, 0],
    )  # fmt: skip
    catalog = combine_catalogs(gaia, stars, WCS, MJD, fwhm_pix=4.0, add_reference_stars=True, margin_pix=30.0)
    assert catalog.star_id.tolist() == [0, 1, 2, 3, 4]
    # Bright to faint, unknown magnitude last; the one 190 pixels outside is gone, the one 19 outside stays.
    assert catalog.source_id[:3].tolist() == [gaia.source_id[1], gaia.source_id[0], gaia.source_id[3]]
    assert catalog.source_id[3:].tolist() == [-1, -1]
    np.testing.assert_allclose(catalog.x_ref[3:], [350.0, 300.0])
    assert np.isnan(catalog.phot_g_mean_mag[3:]).all()
    epoch = jyear_of_mjd(MJD)
    x, y = sky_to_pixel(WCS, *propagate(catalog, epoch))
    np.testing.assert_allclose(x, catalog.x_ref, atol=2e-3)
    np.testing.assert_allclose(y, catalog.y_ref, atol=2e-3)


def test_order_of_the_catalogue_does_not_matter():
    rng = np.random.default_rng(1)
    gaia = gaia_at(rng.uniform(0, 511, 50), rng.uniform(0, 511, 50), rng.choice([14.0, 15.0, np.nan], 50))
    stars = stars_at([10.0], [20.0], [1.0])
    one = combine_catalogs(gaia, stars, WCS, MJD, fwhm_pix=4.0, add_reference_stars=True, margin_pix=0.0)
    order = rng.permutation(50)
    other = combine_catalogs(gaia[order], stars, WCS, MJD, fwhm_pix=4.0, add_reference_stars=True, margin_pix=0.0)
    for column in fields(StarCatalog):
        np.testing.assert_array_equal(getattr(one, column.name), getattr(other, column.name))
    without = combine_catalogs(gaia, stars, WCS, MJD, fwhm_pix=4.0, add_reference_stars=False, margin_pix=0.0)
    assert len(one) == len(without) + 1


def test_file_keeps_everything(tmp_path):
    gaia = gaia_at([10.0, 20.0], [30.0, 40.0], [15.0, 16.0])
    catalog = combine_catalogs(
        gaia, stars_at([99.0], [99.0], [1.0]), WCS, MJD, fwhm_pix=4.0, add_reference_stars=True, margin_pix=0.0
    )
    reference = {"frame_id": "frame-7", "filter": "V", "ny": 512, "nx": 600, "path": "x"}
    write_star_catalog(tmp_path / "a" / "stars.h5", catalog, reference)
    back, attrs = read_star_catalog(tmp_path / "a" / "stars.h5")
    assert {name: attrs[f"reference_{name}"] for name in ("frame_id", "filter", "ny", "nx")} == {
        name: value for name, value in reference.items() if name != "path"
    }
    assert len(attrs["catalog_sha256"]) == 64
    assert set(COLUMNS) == {column.name for column in fields(StarCatalog)}
    for column in fields(StarCatalog):
        assert getattr(back, column.name).dtype == getattr(catalog, column.name).dtype
        np.testing.assert_array_equal(getattr(back, column.name), getattr(catalog, column.name))


@pytest.mark.parametrize("unit", ["electron", "adu"])
def test_reference_stars_of_a_simulated_frame(unit):
    made = Series(demo(n_frames=1)).frame(0)
    frame = made.frame
    if unit == "adu":
        info = type(frame.info)(**{**frame.info.__dict__, "unit": "adu", "gain": float("nan")})
        frame = type(frame)(info, frame.image / np.float32(2.3), None, frame.pixel_flags)
    stars, fwhm = find_reference_stars(frame, 4.2, 64)
    truth = made.truth.stars
    assert abs(fwhm / made.truth.conditions.fwhm_pix - 1) < 0.06
    bright = truth[truth["snr"] > 20]
    distance = np.hypot(stars["x"][:, None] - bright["x"], stars["y"][:, None] - bright["y"]).min(axis=0)
    assert (distance < 1.5).mean() > 0.98
