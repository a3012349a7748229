"""Member by member what the interface promises, on simulated frames in BANZAI's layout."""

import logging
import shutil
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from gaiaflux import AperturePhotometryAnalyst, run_aperture_photometry
from gaiaflux.io.gaia.columns import Column, catalog_from_columns
from gaiaflux.io.image.banzai_writer import write_banzai, write_plain
from gaiaflux.model.errors import InputError

CONFIG = {"photometry": {"aperture_arcsec": 2.0}}


@pytest.fixture(scope="module")
def processed(masters, gaia):
    path = masters[".fits"]
    analyst = AperturePhotometryAnalyst(path.name, path.parent, gaia, CONFIG)
    analyst.process_image()
    return analyst


def matched(analyst, made, min_snr=30.0):
    """Rows of the table and of the truth of clean bright stars."""
    table, truth = analyst.aperture_photometry_table, made.truth.stars
    rows = {source: row for row, source in enumerate(table["source_id"])}
    truth = truth[(truth["snr"] > min_snr) & np.isin(truth["source_id"], list(rows))]
    table = table[[rows[source] for source in truth["source_id"]]]
    clean = np.asarray(table["flags"]) == 0
    return table[clean], truth[clean]


def test_the_constructor_opens_the_image(masters, gaia, made):
    path = masters[".fits"]
    log = logging.getLogger("test")
    analyst = AperturePhotometryAnalyst(path.name, str(path.parent), gaia, CONFIG, log=log)
    assert analyst.image_name == path.name
    assert analyst.image_path == str(path)
    assert analyst.log is log
    assert (analyst.status, analyst.reason) == ("OK", "")
    assert analyst.gaia_catalog is gaia
    np.testing.assert_array_equal(analyst.image_data, made.frame.image)
    np.testing.assert_array_equal(analyst.image_errors, made.frame.error)
    assert isinstance(analyst.image_original_wcs, WCS)
    header = fits.getheader(path)
    assert analyst.phot_aperture == pytest.approx(2.0 / header["PIXSCALE"])
    np.testing.assert_allclose(analyst.image_original_wcs.wcs.crval, [header["CRVAL1"], header["CRVAL2"]])
    assert analyst.image_original_wcs.array_shape == analyst.image_data.shape
    # Nothing has been done yet.
    assert analyst.star_catalog is analyst.image_new_wcs is analyst.aperture_photometry_table is None


def test_the_path_may_be_the_file(masters, gaia):
    path = masters[".fits"]
    analyst = AperturePhotometryAnalyst("any name", path, gaia, CONFIG)
    assert (analyst.image_name, analyst.image_path) == ("any name", str(path))
    assert analyst.log is None


def test_the_catalogue_of_banzai_is_used_where_there_is_one(masters, gaia, made):
    found = {}
    for kind in (".fits", "bare"):
        analyst = AperturePhotometryAnalyst(kind, masters[kind], gaia, CONFIG)
        assert analyst.find_star_catalog() is None
        found[kind] = analyst.star_catalog
    assert found[".fits"].meta["stars_source"] == "banzai"
    assert found["bare"].meta["stars_source"] == "detect"
    for table in found.values():
        assert {"x", "y", "flux"} <= set(table.colnames)
        assert table.meta["fwhm_pix"] == pytest.approx(made.truth.conditions.fwhm_pix, rel=0.15)
        truth = made.truth.stars
        separation = np.hypot(truth["x"][:, None] - np.asarray(table["x"][:50]), truth["y"][:, None] - table["y"][:50])
        assert np.median(separation.min(axis=0)) < 0.05


def test_the_refined_solution_is_better_than_the_header(processed, made):
    truth = made.truth.stars
    ny, nx = made.frame.image.shape
    x, y = np.meshgrid(np.linspace(0, nx - 1, 5), np.linspace(0, ny - 1, 5))
    good = WCS(fits.Header.fromstring(_cards(made.truth.wcs), sep="\n"))
    sky = good.all_pix2world(x.ravel(), y.ravel(), 0)

    def offset(wcs):
        return np.hypot(*(np.array(wcs.all_world2pix(*sky, 0)) - [x.ravel(), y.ravel()])).max()

    assert offset(processed.image_original_wcs) > 1.0
    assert offset(processed.image_new_wcs) < 0.15
    assert len(truth) > 100


def _cards(wcs):
    from gaiaflux.io.image.wcs_cards import cards_from_tan_sip

    return cards_from_tan_sip(wcs)


def test_the_table_of_fluxes(processed, made, gaia):
    table = processed.aperture_photometry_table
    assert isinstance(table, Table)
    names = ["id", "source_id", "ra", "dec", "x_center", "y_center", "aperture_sum", "aperture_sum_err"]
    assert table.colnames == [*names, "flux", "flux_err", "flags"]
    np.testing.assert_array_equal(table["source_id"], gaia["source_id"])
    rows, truth = matched(processed, made)
    assert len(rows) > 40
    # Positions belong to the epoch of the image: some of these stars have moved by pixels since Gaia's.
    distance = np.hypot(rows["x_center"] - truth["x"], rows["y_center"] - truth["y"])
    assert np.median(distance) < 0.05
    seconds = made.frame.info.exptime_s
    total = np.asarray(rows["flux"]) * seconds / truth["flux"]
    assert np.median(total) == pytest.approx(1.0, abs=0.02)
    # An aperture without correction has a part of the light.
    part = np.asarray(rows["aperture_sum"]) * seconds / truth["flux"]
    assert 0.7 < np.median(part) < 0.97
    again = run_aperture_photometry(
        processed.image_data,
        processed.image_errors,
        np.stack([table["x_center"], table["y_center"]], axis=1),
        processed.phot_aperture,
    )
    np.testing.assert_allclose(again["aperture_sum"] / seconds, table["aperture_sum"])


def test_each_step_does_the_steps_that_it_needs(masters, gaia, processed):
    path = masters[".fits"]
    analyst = AperturePhotometryAnalyst(path.name, path, gaia, CONFIG)
    analyst.run_aperture_photometry()
    for name, column in analyst.aperture_photometry_table.columns.items():
        np.testing.assert_array_equal(column, processed.aperture_photometry_table[name])


def test_processing_writes_nothing(masters, processed):
    path = masters[".fits"]
    assert processed.find_image_layer("GAIAFLUX_WCS") == -1
    assert sorted(item.name for item in path.parent.iterdir()) == sorted(item.name for item in masters.values())


def test_layers_are_found_by_name(processed, masters, gaia):
    assert [processed.find_image_layer(name) for name in ("SCI", "CAT", "bpm", "ERR")] == [0, 1, 2, 3]
    assert processed.find_image_layer("NONE") == -1
    packed = AperturePhotometryAnalyst("packed", masters[".fits.fz"], gaia, CONFIG)
    assert [packed.find_image_layer(name) for name in ("PRIMARY", "SCI", "ERR")] == [0, 1, 4]


@pytest.mark.parametrize("ending", [".fits", ".fits.fz", ".fits.gz"])
def test_products_are_saved_in_the_image_or_a_copy(ending, masters, gaia, tmp_path):
    path = tmp_path / f"frame{ending}"
    shutil.copy2(masters[ending], path)
    analyst = AperturePhotometryAnalyst(path.name, tmp_path, gaia, CONFIG)
    analyst.process_image()
    before = path.read_bytes()
    copy = tmp_path / "copies" / path.name
    analyst.save_new_products_in_image(copy)
    copy.parent.joinpath("more").mkdir()
    analyst.save_new_products_in_image(output_path=copy.parent / "more")
    assert path.read_bytes() == before
    assert copy.read_bytes() == (copy.parent / "more" / path.name).read_bytes()
    analyst.save_new_products_in_image()
    number = analyst.find_image_layer("GAIAFLUX_APERTURE")
    assert number == analyst.find_image_layer("GAIAFLUX_WCS") + 1
    # Again, with another result: replaced, not added.
    analyst.aperture_photometry_table["flux"][0] = 123.0
    analyst.save_new_products_in_image()
    with fits.open(path) as new, fits.open(masters[ending]) as old:
        assert [hdu.name for hdu in new] == [*(hdu.name for hdu in old), "GAIAFLUX_WCS", "GAIAFLUX_APERTURE"]
        for name in ("SCI", "BPM", "ERR"):
            np.testing.assert_array_equal(new[name].data, old[name].data)
            assert new[name].header.tostring() == old[name].header.tostring()
        np.testing.assert_allclose(
            WCS(new["GAIAFLUX_WCS"].header).all_pix2world([[3.0, 400.0]], 0),
            analyst.image_new_wcs.all_pix2world([[3.0, 400.0]], 0),
            rtol=1e-14,
        )
        assert new["GAIAFLUX_WCS"].header["WCSNSTAR"] > 50
        assert new["GAIAFLUX_APERTURE"].header["FLUXUNIT"] == "electron/s"
    table = Table.read(path, hdu=number)
    assert table["flux"][0] == 123.0
    for name in table.colnames:
        np.testing.assert_array_equal(table[name], analyst.aperture_photometry_table[name])
    # The image can still be used, with the same result.
    again = AperturePhotometryAnalyst(path.name, tmp_path, gaia, CONFIG)
    again.process_image()
    np.testing.assert_array_equal(again.image_data, analyst.image_data)
    np.testing.assert_array_equal(again.aperture_photometry_table["flux"][1:], table["flux"][1:])


def test_nothing_can_be_saved_before_it_is_there(masters, gaia):
    analyst = AperturePhotometryAnalyst("frame", masters[".fits"], gaia, CONFIG)
    with pytest.raises(RuntimeError, match="nothing to save: call process_image"):
        analyst.save_new_products_in_image()


def broken(kind, folder, made):
    path = folder / "broken.fits"
    if kind == "text":
        path.write_text("this is no image\n")
    elif kind == "blank":
        noise = np.random.default_rng(1).normal(200, 15, made.frame.image.shape).astype(np.float32)
        write_banzai(path, replace(made.frame, image=noise), header=made.header)
    elif kind == "elsewhere":
        write_banzai(path, made.frame, header={**made.header, "CRVAL1": 100.0, "RA": "06:40:00.0"})
    elif kind == "scaleless":
        write_banzai(path, made.frame, header={**made.header, "PIXSCALE": "N/A", "CTYPE1": "", "CTYPE2": ""})
    return path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("text", "not a readable FITS file"),
        ("blank", "no stars found"),
        ("elsewhere", "catalogue stars"),
        ("scaleless", "set pixel_scale_arcsec"),
    ],
)
def test_an_image_that_cannot_be_used_has_a_status(kind, reason, made, gaia, tmp_path, caplog):
    path = broken(kind, tmp_path, made)
    before = path.read_bytes()
    analyst = AperturePhotometryAnalyst(path.name, tmp_path, gaia, CONFIG, log=logging.getLogger("mine"))
    analyst.process_image()
    assert analyst.status == "ERROR"
    assert reason in analyst.reason
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.name for record in errors] == ["mine"]
    assert reason in errors[0].getMessage()
    assert analyst.aperture_photometry_table is None
    with pytest.raises(RuntimeError, match=reason):
        analyst.save_new_products_in_image()
    assert path.read_bytes() == before


def test_a_bug_is_no_status(masters, gaia, monkeypatch):
    analyst = AperturePhotometryAnalyst("frame", masters[".fits"], gaia, CONFIG)
    monkeypatch.setattr("gaiaflux.ground.interface.analyst.refine_frame_wcs", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        analyst.process_image()
    assert analyst.status == "OK"


def test_what_is_not_there_or_wrong_raises(masters, gaia, tmp_path):
    path = masters[".fits"]
    for folder in (tmp_path, tmp_path / "no folder"):
        with pytest.raises(FileNotFoundError, match="no image"):
            AperturePhotometryAnalyst("frame.fits", folder, gaia, CONFIG)
    with pytest.raises(InputError, match="gaia_catalog has no column phot_g_mean_mag"):
        AperturePhotometryAnalyst("frame", path, gaia["source_id", "ra", "dec"], CONFIG)
    with pytest.raises(InputError, match=r"aperture_arcsec: must be a number from 0\.1 to 100"):
        AperturePhotometryAnalyst("frame", path, gaia, {"photometry": {"aperture_arcsec": "2"}})
    with pytest.raises(InputError, match=r"refine_wcs\.min_star: unknown key"):
        AperturePhotometryAnalyst("frame", path, gaia, {"refine_wcs": {"min_star": 4}})
    with pytest.raises(InputError, match="one series"):
        AperturePhotometryAnalyst("frame", path, gaia, {"series": {name: {"images": "x.fits"} for name in "ab"}})


def test_settings_of_the_workflow(masters, gaia, made):
    path = masters[".fits"]
    config = {
        "series": {"field": {"images": "x.fits", "header": {"gain": 2.0}}},
        "photometry": {"aperture": {"radii_arcsec": [1.0, 3.0, 1.5], "annulus_arcsec": [6, 9]}},
        "extract_stars": {"source": "detect"},
    }
    analyst = AperturePhotometryAnalyst("frame", path, gaia, config)
    assert analyst.phot_aperture == pytest.approx(1.5 / made.frame.info.pixel_scale_arcsec)
    np.testing.assert_array_equal(analyst.image_data, 2 * made.frame.image)
    analyst.find_star_catalog()
    assert analyst.star_catalog.meta["stars_source"] == "detect"
    # As shipped, radii are in units of the seeing: the middle one is the FWHM.
    default = AperturePhotometryAnalyst("frame", path, gaia, {})
    assert default.phot_aperture == pytest.approx(made.truth.conditions.fwhm_pix, rel=0.15)
    default.process_image()
    rows, truth = matched(default, made)
    total = np.asarray(rows["flux"]) * made.frame.info.exptime_s / truth["flux"]
    assert np.median(total) == pytest.approx(1.0, abs=0.02)


def test_the_catalogue_may_come_in_any_order_and_kind(masters, gaia, processed):
    columns = {name: Column(np.asarray(gaia[name]), np.zeros(len(gaia), bool)) for name in gaia.colnames}
    sky = catalog_from_columns(columns, gaia.colnames, "test").catalog
    shuffled = Table(gaia[np.random.default_rng(2).permutation(len(gaia))], masked=True)
    shuffled["phot_g_mean_mag"].mask[:3] = True
    shuffled["ra"] = shuffled["ra"] / 15.0
    shuffled["ra"].unit = "hourangle"
    for catalog in (sky, shuffled):
        analyst = AperturePhotometryAnalyst("frame", masters[".fits"], catalog, CONFIG)
        analyst.process_image()
        table = analyst.aperture_photometry_table
        if catalog is shuffled:
            np.testing.assert_array_equal(table["source_id"], shuffled["source_id"])
        order = np.argsort(table["source_id"])
        np.testing.assert_allclose(
            table["aperture_sum"][order], processed.aperture_photometry_table["aperture_sum"], rtol=1e-3, atol=1.0
        )


def test_errors_are_made_where_the_file_has_none(gaia, made, tmp_path):
    write_plain(tmp_path / "plain.fits", made.frame, gain=1.7)
    config = {
        "series": {
            "field": {
                "images": "x.fits",
                "header": {"gain": "GAIN", "read_noise": "RDNOISE", "saturation": "SATURATE"},
                "pixel_scale_arcsec": 0.389,
            }
        },
        "photometry": {"aperture": {"radii_arcsec": [2.0], "annulus_arcsec": [7, 10]}},
    }
    analyst = AperturePhotometryAnalyst("plain.fits", tmp_path, gaia, config)
    assert analyst.image_errors.shape == analyst.image_data.shape
    assert analyst.image_errors.min() > 0
    ratio = analyst.image_errors / made.frame.error
    assert np.median(ratio) == pytest.approx(1.0, abs=0.05)
    analyst.process_image()
    assert analyst.status == "OK"
