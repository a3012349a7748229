import types
from dataclasses import replace

import make_demo
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time
from astropy.wcs import WCS

from gaiaflux.io.image.banzai_writer import write_banzai, write_plain
from gaiaflux.model.flags import PixelFlag
from gaiaflux.sim.detector import Camera
from gaiaflux.sim.field import FieldConfig
from gaiaflux.sim.series import Series, SeriesConfig
from gaiaflux.sim.truth import banzai_catalog


@pytest.fixture(scope="module")
def made():
    camera = Camera(shape=(200, 300), full_well=2_000.0, bad_columns=1)
    return Series(SeriesConfig(seed=8, camera=camera, field=FieldConfig(stars_in_frame=120))).frame(2)


@pytest.mark.parametrize("primary", [True, False])
@pytest.mark.parametrize("ending", [".fits", ".fits.gz"])
def test_banzai_layout(made, tmp_path, primary, ending):
    path = tmp_path / f"frame{ending}"
    write_banzai(path, made.frame, header=made.header, science_in_primary=primary, catalog=banzai_catalog(made))
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus] == ([] if primary else ["PRIMARY"]) + ["SCI", "CAT", "BPM", "ERR"]
        header = hdus["SCI"].header
        np.testing.assert_array_equal(hdus["SCI"].data, made.frame.image)
        np.testing.assert_array_equal(hdus["ERR"].data, made.frame.error)
        mask = hdus["BPM"].data
        np.testing.assert_array_equal(mask & 1 != 0, made.frame.pixel_flags & PixelFlag.BAD != 0)
        np.testing.assert_array_equal(mask & 2 != 0, made.frame.pixel_flags & PixelFlag.SATURATED != 0)
        assert mask.dtype == np.uint8
        assert (mask & 2).any()
        table = hdus["CAT"].data
        stars = made.truth.stars[made.truth.stars["snr"] > 10]
        assert len(table) == len(stars)
        np.testing.assert_allclose(table["XWIN"] - 1, stars["x"], atol=2.0)
        assert abs(np.median(table["XWIN"] - 1 - stars["x"])) < 0.05
    info = made.frame.info
    middle = Time(header["DATE-OBS"], scale="utc").mjd + 0.5 * header["EXPTIME"] / 86400
    assert middle == pytest.approx(info.mjd_utc, abs=1e-8)
    assert header["MJD-OBS"] + 0.5 * header["EXPTIME"] / 86400 == pytest.approx(info.mjd_utc, abs=1e-7)
    assert header["L1FWHM"] == pytest.approx(made.truth.conditions.fwhm_pix * 0.389, abs=1e-4)
    assert header["AIRMASS"] == pytest.approx(info.airmass)
    assert (header["GAIN"], header["RDNOISE"], header["SATURATE"]) == (1.0, 8.0, 2_000.0)
    assert (header["BUNIT"], header["SITEID"], header["RLEVEL"]) == ("electron", "lsc", 91)
    assert header.comments["SITEID"] == "ID code of the site"
    assert header["RA"] == "19:12:00.0000"
    assert header["DEC"] == "-29:00:00.000"
    sky = WCS(header).pixel_to_world_values(149.5, 99.5)
    np.testing.assert_allclose(sky, [header["CRVAL1"], header["CRVAL2"]])


def test_compressed_images_keep_the_noise(made, tmp_path):
    path = tmp_path / "frame.fits.fz"
    write_banzai(path, made.frame, header=made.header)
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "BPM", "ERR"]
        difference = hdus["SCI"].data - made.frame.image
        np.testing.assert_array_equal(hdus["BPM"].data != 0, made.frame.pixel_flags != 0)
        assert hdus["SCI"].header["FILTER"] == "rp"
    assert 0 < np.std(difference) < 0.05 * np.median(made.frame.error)


def test_only_electron_is_banzai(made, tmp_path):
    frame = replace(made.frame, info=replace(made.frame.info, unit="adu"))
    with pytest.raises(ValueError, match="in electron"):
        write_banzai(tmp_path / "x.fits", frame)


def test_plain_image(made, tmp_path):
    path = tmp_path / "plain.fits"
    write_plain(path, made.frame, gain=2.3, header={"AIRMASS": None, "OBSERVER": "nobody"})
    with fits.open(path) as hdus:
        assert len(hdus) == 1
        data, header = hdus[0].data, hdus[0].header
    assert data.dtype.kind == "u"
    np.testing.assert_allclose(data * 2.3, np.maximum(made.frame.image, 0), atol=1.16)
    assert "AIRMASS" not in header
    assert header["OBSERVER"] == "nobody"
    assert header["GAIN"] == 2.3
    saturated = made.frame.pixel_flags & PixelFlag.SATURATED != 0
    assert np.all(data[saturated] >= header["SATURATE"])


def test_make_demo_writes_images_catalogue_and_truth_of_each_series(tmp_path):
    folders = {"demo": tmp_path, "crowded": tmp_path / "crowded"}
    for folder in folders.values():
        (folder / "images").mkdir(parents=True)
    images = {
        name: [str(folder / "images" / f"{name}-{index:03d}-e91.fits") for index in range(2)]
        for name, folder in folders.items()
    }
    output = types.SimpleNamespace(
        images=[*images["demo"], *images["crowded"]],
        gaia=[str(folder / "gaia.fits") for folder in folders.values()],
        truth=[str(folder / "truth.fits") for folder in folders.values()],
    )
    make_demo.main(types.SimpleNamespace(output=output))
    for (name, folder), kind, size in zip(folders.items(), (2, 3), (1024, 512), strict=True):
        gaia = Table.read(folder / "gaia.fits")
        needed = {"source_id", "ra", "dec", "phot_g_mean_mag", "pmra", "pmdec", "parallax", "ref_epoch", "ruwe"}
        assert needed <= set(gaia.colnames)
        assert gaia["source_id"].dtype.kind == "i"
        frames = Table.read(folder / "truth.fits", hdu="FRAMES")
        fluxes = Table.read(folder / "truth.fits", hdu="FLUXES")
        stars = Table.read(folder / "truth.fits", hdu="STARS")
        names = [name.decode() if isinstance(name, bytes) else str(name) for name in frames["frame_id"]]
        assert names == [f"{name}-000-e91", f"{name}-001-e91"]
        assert len(stars) > fluxes["star"].max()
        event = stars[stars["kind"] == kind]
        assert len(event) == 1
        assert event["source_id"][0] in set(gaia["source_id"])
        for index, path in enumerate(images[name]):
            image = fits.getdata(path, "SCI")
            assert image.shape == (size, size)
            here = fluxes[(fluxes["frame"] == index) & (fluxes["snr"] > 200)]
            rows, columns = np.rint(here["y"]).astype(int), np.rint(here["x"]).astype(int)
            inside = (rows < size - 1) & (columns < size - 1)
            assert np.mean(image[rows[inside], columns[inside]] > frames["sky"][index] + 300) > 0.98
