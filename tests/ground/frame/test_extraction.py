from dataclasses import asdict, replace

import numpy as np
import pytest

from gaiaflux.core.plate.search import SolveSettings, StarTables
from gaiaflux.core.plate.solve import refine_wcs
from gaiaflux.core.sky.epoch import position_error_mas, propagate
from gaiaflux.core.sky.projection import linear_tan, pixel_to_sky, sky_to_pixel
from gaiaflux.ground.frame.extraction import extract_stars
from gaiaflux.ground.frame.plate_solution import solve_frame
from gaiaflux.io.gaia.table import read_gaia_table
from gaiaflux.io.image.banzai_catalog import catalog_positions
from gaiaflux.io.image.frames import FrameSettings, read_frame
from gaiaflux.io.image.placement import origin_from_catalog
from gaiaflux.io.image.wcs_cards import tan_sip_from_cards
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.settings.extract_stars import ExtractStarsSettings
from gaiaflux.model.settings.refine_wcs import RefineWcsSettings
from gaiaflux.model.stars import STAR_DTYPE
from gaiaflux.sim.presets import demo
from gaiaflux.sim.series import Series
from gaiaflux.sim.truth import banzai_catalog
from gaiaflux.workflow.settings import complete_section

SETTINGS = complete_section(ExtractStarsSettings)


@pytest.fixture(scope="module")
def made():
    return Series(demo(n_frames=1)).frame(0)


def seeds_of(made):
    table = banzai_catalog(made)
    names = {name.lower(): name for name in table.dtype.names}
    order = np.argsort(-table[names["flux"]])
    return table[names["x"]][order] - 1.0, table[names["y"]][order] - 1.0


def test_detection_and_catalogue_agree(made):
    detected, arrays = extract_stars(made.frame, None, SETTINGS)
    stars = arrays["stars"]
    seeded, arrays = extract_stars(made.frame, seeds_of(made), SETTINGS)
    from_catalogue = arrays["stars"]
    assert (detected["stars_source"], seeded["stars_source"]) == ("detect", "banzai")
    assert abs(detected["fwhm_pix"] / seeded["fwhm_pix"] - 1) < 0.03
    distance = np.hypot(stars["x"][:, None] - from_catalogue["x"], stars["y"][:, None] - from_catalogue["y"]).min(
        axis=1
    )
    bright = stars["snr"] > 30
    assert (distance[bright] < 0.05).mean() > 0.9
    assert abs(detected["sky"] / np.median(made.frame.image) - 1) < 0.05
    assert detected["sky_rms"] > 0
    assert detected["n_stars"] == len(stars)
    true = {y * 1024 + x for y, x in made.truth.cosmic_pixels.tolist()}
    assert detected["n_cosmic_pixels"] == len(arrays["cosmic_pixels"]) > 20
    assert np.mean([pixel in true for pixel in arrays["cosmic_pixels"].tolist()]) > 0.95


def test_the_catalogue_of_another_image_is_not_believed(made):
    x, y = seeds_of(made)
    attrs, _ = extract_stars(made.frame, (x + 700.0, y + 700.0), SETTINGS)
    assert attrs["stars_source"] == "detect"
    attrs, _ = extract_stars(made.frame, (y, x), SETTINGS)
    assert attrs["stars_source"] == "detect"
    with pytest.raises(BadFrameError, match="CAT extension"):
        extract_stars(made.frame, None, replace(SETTINGS, source="banzai"))


def test_trailed_stars_are_refused(made):
    frame = made.frame
    image = np.mean([np.roll(frame.image, shift, axis=1) for shift in range(16)], axis=0).astype(np.float32)
    with pytest.raises(BadFrameError, match="the stars are trailed: ellipticity 0"):
        extract_stars(replace(frame, image=image), None, SETTINGS)


REFINE = complete_section(RefineWcsSettings)
CROP = "lco_banzai/lsc1m005-fl15-20170614-0130-e91_cropped.v1.fits.gz"
TRAILED = "lco_banzai/neox_banzai_test_frame_tfn0m414-kb29-20160625_WCSERR4.fits.fz"


def as_attrs(info):
    attrs = asdict(info)
    attrs["ny"], attrs["nx"] = attrs.pop("shape")
    return attrs


@pytest.fixture(scope="module")
def two_mass(real_data, tmp_path_factory):
    """The 364 stars of 2MASS in the field as a table with Gaia's names, read like any user's."""
    path = real_data / "lco_banzai" / "lsc1m005-fl15-20170701-0144-e91_cropped_2mass.cat"
    rows = [line.split("\t") for line in path.read_text().splitlines() if line]
    table = tmp_path_factory.mktemp("2mass") / "gaia.csv"
    lines = ["source_id,ra,dec,phot_g_mean_mag,ra_error,dec_error,ref_epoch"]
    lines += [f"{k},{row[0]},{row[1]},{row[5]},80,80,2000.0" for k, row in enumerate(rows[1:], start=1)]
    table.write_text("\n".join(lines) + "\n")
    return read_gaia_table(table)


@pytest.mark.real
def test_a_cropped_image_with_the_mask_and_catalogue_of_the_full_frame(two_mass, real_data):
    """The catalogue tells where the 400 x 400 pixels lie in 4096 x 4096; its stars and the mask are moved there."""
    frame = read_frame(real_data / CROP, "e91", FrameSettings(), want_seeds=True)
    assert len(two_mass) == 364
    attrs, arrays = extract_stars(frame, frame.seeds, SETTINGS)
    own, found = extract_stars(frame, None, SETTINGS)
    assert (attrs["stars_source"], own["stars_source"]) == ("banzai", "detect")
    assert attrs["n_stars"] >= 40
    assert own["n_stars"] >= 100
    stars, detected = arrays["stars"], found["stars"]
    x, y = frame.seeds
    # Centroids of the other pipeline: the place is right to the pixel.
    bright = stars[stars["snr"] > 100]
    nearest = np.hypot(bright["x"][:, None] - x, bright["y"][:, None] - y).min(axis=1)
    assert np.median(nearest) < 0.15
    both = np.hypot(bright["x"][:, None] - detected["x"], bright["y"][:, None] - detected["y"]).min(axis=1)
    assert np.median(both) < 0.05
    header = tan_sip_from_cards(frame.info.wcs_cards, frame.info.shape)
    for stars in (arrays["stars"], found["stars"]):
        fit = solve_frame(as_attrs(frame.info), stars, two_mass, REFINE)
        assert fit.n_stars >= 35
        assert fit.corner_coverage > 0.8
        assert fit.rms_mas < 0.5 * 389
        px, py = sky_to_pixel(fit.wcs, two_mass.ra_deg, two_mass.dec_deg)
        bright = stars[(stars["snr"] > 50)]
        distance = np.hypot(bright["x"][:, None] - px, bright["y"][:, None] - py).min(axis=1)
        assert np.median(distance) < 0.5
        centre = sky_to_pixel(header, *pixel_to_sky(fit.wcs, 199.5, 199.5))
        assert np.hypot(centre[0] - 199.5, centre[1] - 199.5) < 1.5


@pytest.mark.real
def test_where_the_cropped_image_lies(real_data):
    """The header's solution says it to 1.2 pixels; the stars say it to the pixel, and two ways agree."""
    from astropy.io import fits

    with fits.open(real_data / CROP) as hdus:
        catalog = catalog_positions(hdus)
        found = origin_from_catalog(hdus[0].data, hdus[0].header, catalog)
    frame = read_frame(real_data / CROP, "e91", FrameSettings())
    stars = extract_stars(frame, None, SETTINGS)[1]["stars"][:100]
    dx, dy = stars["x"][:, None] - catalog["x"], stars["y"][:, None] - catalog["y"]
    near = (np.abs(dx + found[0]) < 3) & (np.abs(dy + found[1]) < 3)
    assert near.sum() > 30
    assert np.median(dx[near]) == pytest.approx(-found[0], abs=0.02)
    assert np.median(dy[near]) == pytest.approx(-found[1], abs=0.02)


@pytest.mark.real
@pytest.mark.parametrize("source", ["auto", "banzai", "detect"])
def test_an_image_that_its_own_pipeline_could_not_solve_is_flagged(source, real_data):
    frame = read_frame(real_data / TRAILED, "trailed", FrameSettings(), want_seeds=True)
    with pytest.raises(BadFrameError, match=r"the stars are trailed: ellipticity 0\.[89]"):
        extract_stars(frame, frame.seeds, replace(SETTINGS, source=source))


@pytest.mark.real
def test_a_real_matched_catalogue_is_fitted_as_well_as_its_errors_say(real_data, tmp_path):
    """140 stars with pixels, sky, and motion; right ascension is negative, the header's orientation 7.6 deg off."""
    from astropy.io import fits

    table = fits.getdata(real_data / "lco_banzai" / "banzai_ogg2m001-ep04-20201006-0097-matched-cat.fits")
    names = {"ra": "ra", "dec": "dec", "pmra": "pmra", "pmdec": "pmdec", "phot_g_mean_mag": "gmag"}
    columns = [fits.Column("source_id", "K", array=np.arange(1, len(table) + 1))]
    columns += [fits.Column(new, "D", array=table[old]) for new, old in names.items()]
    columns += [fits.Column("ref_epoch", "D", array=np.full(len(table), 2015.5))]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "gaia.fits")
    catalog = read_gaia_table(tmp_path / "gaia.fits")
    assert table["ra"].max() < 0
    assert catalog.ra_deg.min() > 300
    ra, dec = propagate(catalog, 2020.764, None)
    stars = np.zeros(len(table), STAR_DTYPE)
    stars["x"], stars["y"] = table["xwin"] - 1, table["ywin"] - 1
    stars["flux"], stars["snr"], stars["fwhm"] = table["flux"], table["flux"] / table["fluxerr"], table["fwhm"]
    stars["x_err"] = stars["y_err"] = np.median(table["fwhm"]) / 2.355 / stars["snr"]
    scale = 0.267 / 3600
    start = linear_tan((315.0, 0.0), (1023.5, 1023.5), np.array([[-scale, 0.0], [0.0, scale]]), (2048, 2048))
    errors = position_error_mas(catalog, 2020.764)
    wide = SolveSettings(**asdict(replace(REFINE, search_rotation_deg=10.0)))
    fits_of = [
        refine_wcs(StarTables(stars, alpha, dec, catalog.mag, errors), start, wide) for alpha in (ra, ra - 360.0)
    ]
    fit = fits_of[0]
    assert fit.n_stars >= 130
    np.testing.assert_array_equal(fit.star_rows, fit.catalog_rows)
    assert fit.rms_mas < 40.0
    assert fits_of[1].rms_mas == pytest.approx(fit.rms_mas, rel=1e-6)
    # Photons alone explain the faint stars; the bright ones have the few hundredths of a pixel of the air.
    photons = 267.0 * stars["x_err"][fit.star_rows]
    size = np.sqrt(0.5 * (fit.dx_mas.astype(float) ** 2 + fit.dy_mas.astype(float) ** 2))
    expected = np.hypot(np.hypot(photons, errors[fit.catalog_rows]), 0.08 * 267)
    pull = np.sqrt(np.mean(np.minimum(size / expected, 5.0) ** 2))
    assert 0.6 < pull < 1.4
