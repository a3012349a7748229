"""Files of several images, masks and weights of their own, and cut-outs of a full frame."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits
from astropy.wcs import WCS

from gaiaflux.core.image.cutout import find_cutout
from gaiaflux.io.image.frames import FrameSettings, frame_settings, read_frame
from gaiaflux.io.image.placement import origin_from_headers
from gaiaflux.io.image.section import section
from gaiaflux.model.companions import companion_path, companion_paths
from gaiaflux.model.errors import BadFrameError, InputError
from gaiaflux.model.flags import PixelFlag
from gaiaflux.model.settings.companions import CompanionSettings, CompanionsSettings
from gaiaflux.model.typed import typed
from gaiaflux.workflow.config import check, load_schema

PLAIN = {"EXPTIME": 30.0, "DATE-OBS": "2026-07-02T03:00:00", "GAIN": 2.0, "RDNOISE": 5.0, "SATURATE": 60000.0}
FULL, CORNER, SHAPE = (300, 340), (61, 47), (200, 220)  # ny, nx; x, y; ny, nx
COMPANIONS = {"mask": {"replace": ["_ooi_", "_ood_"]}, "weight": {"replace": ["_ooi_", "_oow_"]}}
BAD = PixelFlag.BAD


def plate(crpix=(170.0, 150.0)):
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 83.0, "CRVAL2": -20.0}
    cards |= {"CRPIX1": crpix[0], "CRPIX2": crpix[1], "CD1_1": -1e-4, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 1e-4}
    return cards


@pytest.fixture(scope="module")
def sky():
    """A full frame of stars with its mask, and the catalogue of its stars: x, y (0-based), flux."""
    rng = np.random.default_rng(7)
    ny, nx = FULL
    x, y = rng.uniform(5, nx - 6, 160), rng.uniform(5, ny - 6, 160)
    flux = 10 ** rng.uniform(3.5, 5.5, 160)
    rows, columns = np.mgrid[:ny, :nx]
    image = rng.normal(200.0, 10.0, FULL)
    for x0, y0, f in zip(x, y, flux, strict=True):
        image += f / (2 * np.pi * 2.25) * np.exp(-((columns - x0) ** 2 + (rows - y0) ** 2) / 4.5)
    mask = np.zeros(FULL, np.uint8)
    mask[rng.integers(0, ny, 400), rng.integers(0, nx, 400)] = 1
    return image.astype(np.float32), mask, (x, y, flux)


def cut(plane):
    return plane[CORNER[1] : CORNER[1] + SHAPE[0], CORNER[0] : CORNER[0] + SHAPE[1]].copy()


def banzai(path, sky, header, mask_header=None, catalog_sky=True, wrong_stars=False):
    """A cropped image whose BPM and CAT are those of the full frame."""
    image, mask, (x, y, flux) = sky
    if wrong_stars:
        rng = np.random.default_rng(1)
        x, y = rng.permutation(x), rng.permutation(y)
    ra, dec = WCS(fits.Header(plate())).all_pix2world(x, y, 0)
    columns = [("X", x + 1), ("Y", y + 1), ("FLUX", flux)] + ([("RA", ra), ("DEC", dec)] if catalog_sky else [])
    table = fits.BinTableHDU.from_columns([fits.Column(name, "D", array=v) for name, v in columns], name="CAT")
    science = fits.PrimaryHDU(cut(image))
    science.header.update(PLAIN | {"EXTNAME": "SCI"} | header)
    bpm = fits.ImageHDU(mask, name="BPM")
    bpm.header.update(mask_header or {})
    fits.HDUList([science, table, bpm]).writeto(path)
    return path


@pytest.mark.parametrize(
    ("header", "mask_header"),
    [
        ({"LTV1": -61.0, "LTV2": -47.0}, {}),
        ({"LTV1": -71.0, "LTV2": -50.0, "LTM1_1": 1.0}, {"LTV1": -10, "LTV2": -3}),
        ({"CCDSEC": "[62:281,48:247]"}, {}),
        ({"DETSEC": "[1062:1281,2048:2247]"}, {"DETSEC": "[1001:1340,2001:2300]"}),
        (plate((170.0 - 61, 150.0 - 47)), plate()),
        # Only the catalogue says it; the header's solution is 3 and 2 pixels off.
        (plate((170.0 - 61 + 3.3, 150.0 - 47 - 1.8)), {}),
        # Offsets that cannot be are passed over.
        (plate((170.0 - 61, 150.0 - 47)) | {"LTV1": -200.0, "LTV2": -47.0, "CCDSEC": "[1:340,1:300]"}, {}),
    ],
)
def test_mask_and_catalogue_of_the_full_frame_are_placed(tmp_path, sky, header, mask_header):
    path = banzai(tmp_path / "a.fits", sky, header, mask_header)
    frame = read_frame(path, "a", FrameSettings(), want_seeds=True)
    np.testing.assert_array_equal((frame.pixel_flags & BAD) != 0, cut(sky[1]) != 0)
    image, (x, y) = frame.image, frame.seeds
    if not {"LTV1", "DETSEC"} & set(mask_header):
        assert 20 < len(x) < 160
        assert x.max() < SHAPE[1]
        assert y.max() < SHAPE[0]
        peak = image[np.rint(y).astype(int), np.rint(x).astype(int)]
        assert np.mean(peak > np.median(image) + 100) > 0.95


def test_a_cut_out_that_nothing_places_is_refused_by_name(tmp_path, sky):
    words = "BPM has 340 x 300 pixels, the image 220 x 200: it is of the full frame"
    for number, (header, more) in enumerate(
        [
            ({}, {}),
            (plate((170.0 - 61, 150.0 - 47)), {"catalog_sky": False}),
            (plate((170.0 - 61, 150.0 - 47)), {"wrong_stars": True}),
            (plate((170.0 - 61 + 40, 150.0 - 47)), {}),
        ]
    ):
        path = banzai(tmp_path / f"{number}.fits", sky, header, **more)
        with pytest.raises(BadFrameError, match=words):
            read_frame(path, "a", FrameSettings(), want_seeds=True)
        frame = read_frame(path, "a", frame_settings({"companions": {"mask": {"ignore": True}}}), want_seeds=True)
        assert not (frame.pixel_flags & BAD).any()
        assert len(frame.seeds[0]) == 160


def test_where_a_cut_out_lies_is_told_to_the_pixel_or_not_at_all(sky):
    image, _, (x, y, flux) = sky
    order = np.argsort(-flux)
    x, y, part = x[order], y[order], cut(image)
    for guess in ((61.0, 47.0), (61.4, 46.6), (69.3, 40.2)):
        assert find_cutout(part, x, y, guess) == CORNER
    part[50:60] = np.nan
    assert find_cutout(part, x, y, (61.0, 47.0)) == CORNER
    assert find_cutout(part, x, y, (90.0, 47.0)) is None
    assert find_cutout(part, x[:5], y[:5], (61.0, 47.0)) is None
    assert find_cutout(part, x + 0.5, y, (61.0, 47.0)) is None
    rng = np.random.default_rng(3)
    for _ in range(20):
        noise = rng.normal(0.0, 1.0, SHAPE).astype(np.float32)
        assert find_cutout(noise, x, y, (61.0, 47.0)) is None
        assert find_cutout(part, rng.permutation(x), rng.permutation(y), (61.0, 47.0)) is None


def test_sections_and_headers():
    assert section("[1:2048, 5:4096]") == (1, 2048, 5, 4096)
    for text in ("UNKNOWN", "[1:0", None, "[-1:5,1:5]"):
        assert section(text) is None
    assert origin_from_headers({"LTV1": -5.5, "LTV2": -3.0}, (10, 10), {}, (30, 30)) is None
    assert origin_from_headers({"LTV1": -5.0, "LTV2": -3.0, "LTM1_1": 0.5}, (10, 10), {}, (30, 30)) is None
    assert origin_from_headers({"LTV1": "x", "LTV2": -3.0}, (10, 10), {}, (30, 30)) is None
    assert origin_from_headers({"LTV1": -5.0, "LTV2": -3.0}, (10, 10), {}, (30, 30)) == (5, 3)
    # What the readout calls its sections says nothing of the trimmed image.
    assert origin_from_headers({"DATASEC": "[6:15,4:13]", "TRIMSEC": "[6:15,4:13]"}, (10, 10), {}, (30, 30)) is None


def mosaic(folder, stem="c4d_1_ooi_r.fits", number=2, compressed=False, names=None):
    """An image of several detectors with mask and weight in files beside it; detector k has the level 100 k."""
    kind = fits.CompImageHDU if compressed else fits.ImageHDU
    rng = np.random.default_rng(5)
    for word in ("_ooi_", "_ood_", "_oow_"):
        primary = fits.PrimaryHDU()
        primary.header.update(PLAIN)
        hdus = [primary]
        for k in range(1, number + 1):
            data = {
                "_ooi_": rng.normal(100.0 * k, 1.0, (40, 50)).astype(np.float32),
                "_ood_": np.zeros((40, 50), np.int32),
                "_oow_": np.full((40, 50), 0.25 / k, np.float32),
            }[word]
            if word == "_ood_":
                data[k, 2 * k] = 3
            if word == "_oow_":
                data[20, 10 + k] = 0.0
            hdus.append(kind(data, name=names[k - 1] if names else f"N{k}"))
        fits.HDUList(hdus).writeto(folder / stem.replace("_ooi_", word))
    return folder / stem


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("extension", ["N2", "n2", 2])
def test_a_detector_of_a_mosaic_with_mask_and_weight_beside_it(tmp_path, extension, compressed):
    path = mosaic(tmp_path, compressed=compressed)
    with pytest.raises(BadFrameError, match=r"2 images in one file .* say which under extension \(1 N1, 2 N2\)"):
        read_frame(path, "a", FrameSettings())
    reading = frame_settings({"extension": extension, "companions": COMPANIONS})
    frame = read_frame(path, "a", reading)
    assert np.median(frame.image) == pytest.approx(400.0, rel=0.01)
    # Weight 0.125 per adu^2 is an error of 2.83 adu, with 2 electrons each.
    good = frame.pixel_flags == 0
    np.testing.assert_allclose(frame.error[good], 2.0 * 8.0**0.5, rtol=0.02 if compressed else 1e-6)
    assert np.argwhere(frame.pixel_flags & BAD).tolist() == [[2, 4]]
    assert np.argwhere(frame.pixel_flags & PixelFlag.NONFINITE).tolist() == [[20, 12]]
    # The mask in the weight counts where errors are not asked for.
    quick = read_frame(path, "a", reading, want_error=False)
    assert quick.error is None
    np.testing.assert_array_equal(quick.pixel_flags, frame.pixel_flags)


def test_companions_that_are_not_right_say_so(tmp_path):
    path = mosaic(tmp_path)

    def reason(extension="N1", **companions):
        with pytest.raises(BadFrameError) as caught:
            read_frame(path, "a", frame_settings({"extension": extension, "companions": companions}))
        return str(caught.value)

    assert "lacks '_xyz_' (companions.mask.replace)" in reason(mask={"replace": ["_xyz_", "_ood_"]})
    assert "its mask file is missing" in reason(mask={"replace": ["_ooi_", "_ooq_"]})
    assert "its mask file is missing" in reason(mask={"file": str(tmp_path / "bpm.fits")})
    assert "no image 'N7' in the file (extension); there are: 1 N1, 2 N2" in reason(extension="N7")
    assert "no image 0 in the file" in reason(extension=0)
    text = reason(mask={"replace": ["_ooi_", "_ood_"], "extension": "X"})
    assert "no image 'X' in the file (companions.mask.extension)" in text
    assert "c4d_1_ood_r.fits" in text
    (tmp_path / "c4d_1_oow_r.fits").write_text("x")
    assert "not a readable FITS file" in reason(weight={"replace": ["_ooi_", "_oow_"]})
    fits.PrimaryHDU(np.zeros((20, 20), np.uint8)).writeto(tmp_path / "small.fits")
    assert "the mask file has 20 x 20 pixels, the image 50 x 40" in reason(mask={"file": str(tmp_path / "small.fits")})


def test_one_mask_for_all_and_masks_in_the_same_file(tmp_path):
    bad = np.zeros((40, 50), np.uint8)
    bad[5, 6] = 1
    fits.PrimaryHDU(bad).writeto(tmp_path / "bpm.fits.gz")
    path = mosaic(tmp_path)
    reading = frame_settings({"extension": 1, "companions": {"mask": {"file": str(tmp_path / "bpm.fits.gz")}}})
    assert np.argwhere(read_frame(path, "a", reading).pixel_flags).tolist() == [[5, 6]]
    sigma = np.full((40, 50), 3.0, np.float32)
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(sigma * 30, name="SCI"), fits.ImageHDU(bad, name="QUALITY")]
    hdus += [fits.ImageHDU(sigma, name="NOISE")]
    hdus[0].header.update(PLAIN)
    fits.HDUList(hdus).writeto(tmp_path / "b.fits")
    plain = read_frame(tmp_path / "b.fits", "b", FrameSettings())
    assert plain.error is None
    assert not plain.pixel_flags.any()
    reading = frame_settings({"companions": {"mask": {"extension": "QUALITY"}, "error": {"extension": 3}}})
    frame = read_frame(tmp_path / "b.fits", "b", reading)
    assert np.argwhere(frame.pixel_flags).tolist() == [[5, 6]]
    np.testing.assert_array_equal(frame.error, 6.0)


def test_amplifiers_with_masks_of_their_own(tmp_path):
    hdus = [fits.PrimaryHDU()]
    hdus[0].header.update(PLAIN)
    for version in (1, 2):
        bad = np.zeros((40, 50), np.uint8)
        bad[version, 3] = 1
        hdus.append(fits.ImageHDU(np.full((40, 50), 10.0 * version), name="SCI", ver=version))
        hdus.append(fits.ImageHDU(bad, name="BPM", ver=version))
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    with pytest.raises(BadFrameError, match=r"2 SCI images .* by its number \(1 SCI, 3 SCI\)"):
        read_frame(tmp_path / "a.fits", "a", FrameSettings())
    with pytest.raises(BadFrameError, match="2 images are named sci: set extension to a number"):
        read_frame(tmp_path / "a.fits", "a", FrameSettings(extension="sci"))
    frame = read_frame(tmp_path / "a.fits", "a", FrameSettings(extension=3))
    assert frame.image[0, 0] == 40.0
    assert np.argwhere(frame.pixel_flags).tolist() == [[2, 3]]


def test_names_of_companions():
    way = COMPANIONS["mask"]
    assert companion_path("/d_ooi_x/c4d_ooi_r.fits", typed(CompanionSettings, way)) == "/d_ooi_x/c4d_ood_r.fits"
    assert companion_path("/data/a.fits", typed(CompanionSettings, way)) == ""
    assert (
        companion_path("/data/images/a.fits", typed(CompanionSettings, {"replace": ["/images/", "/masks/"]}))
        == "/data/masks/a.fits"
    )
    assert companion_path("a.fits", typed(CompanionSettings, {"replace": ["a", "a"]})) == ""
    assert companion_path("a.fits", typed(CompanionSettings, {"extension": 2})) is None
    assert companion_paths("c_ooi_r.fits", typed(CompanionsSettings, COMPANIONS)) == ["c_ood_r.fits", "c_oow_r.fits"]
    assert companion_paths("c.fits", typed(CompanionsSettings, COMPANIONS | {"mask": {"file": "m.fits"}})) == ["m.fits"]


@pytest.mark.parametrize(
    ("unit", "extra", "gain", "factor", "saturation"),
    [
        ("electron/s", {}, 1.0, 30.0, 60000.0),
        ("counts/s", {}, 2.0, 60.0, 120000.0),
        ("ADU/sec", {}, 2.0, 60.0, 120000.0),
        ("e- per second", {}, 1.0, 30.0, 60000.0),
        ("electron s-1", {}, 1.0, 30.0, 60000.0),
        ("ELECTRONS", {}, 1.0, 1.0, 60000.0),
        ("counts", {}, 2.0, 2.0, 120000.0),
        ("ADU", {"unit": "electron/s"}, 1.0, 30.0, 60000.0),
        ("electron", {"unit": "adu"}, 2.0, 2.0, 120000.0),
        ("electron/s", {"gain": 1.5}, 1.5, 45.0, 90000.0),
    ],
)
def test_units_of_the_numbers(tmp_path, unit, extra, gain, factor, saturation):
    hdus = fits.HDUList([fits.PrimaryHDU(np.full((32, 32), 7.0)), fits.ImageHDU(np.ones((32, 32)), name="ERR")])
    hdus[0].header.update(PLAIN | {"BUNIT": unit})
    hdus.writeto(tmp_path / "a.fits")
    frame = read_frame(tmp_path / "a.fits", "a", frame_settings({"header": extra}))
    assert (frame.info.gain, frame.info.saturation, frame.info.unit) == (gain, saturation, "electron")
    assert frame.image[0, 0] == pytest.approx(7.0 * factor)
    assert frame.error[0, 0] == pytest.approx(factor)


GOOD = """
extension: N4
companions: {mask: {replace: [_ooi_, _ood_], extension: 2}, weight: {replace: [_ooi_, _oow_]}}
header: {unit: electron/s}
"""
BAD_LINES = {
    "companions: {mask: {}}": "series.a.companions.mask: empty; give at least one entry",
    "companions: {mask: {replace: [_ooi_]}}": "series.a.companions.mask.replace: has 1 entries where 2 are needed",
    "companions: {masks: {ignore: true}}": "series.a.companions.masks: unknown key; did you mean",
    "companions: {mask: {file: b, ignore: true}}": "series.a.companions.mask: give one of file and ignore, not both",
    "companions: {weight: {file: b}, error: {file: c}}": "series.a.companions: give one of weight and error, not both",
    "extension: -1": "series.a.extension: -1 is outside of the allowed range: 0 or more",
    "header: {unit: counts}": "series.a.header.unit: 'counts' is not one of: adu, electron, adu/s, electron/s",
}


@pytest.mark.parametrize("lines", [GOOD, *BAD_LINES])
def test_the_configuration_of_files_of_several_images(lines):
    schema = load_schema(Path(__file__).parents[3] / "schemas" / "config.schema.yaml")
    config = {"series": {"a": {"images": "x.fits"} | yaml.safe_load(lines)}}
    if lines in BAD_LINES:
        with pytest.raises(InputError) as caught:
            check(config, schema)
        assert BAD_LINES[lines] in str(caught.value)
        return
    reading = frame_settings(check(config, schema)["series"]["a"])
    assert reading.extension == "N4"
    assert (reading.companions.mask.replace, reading.companions.mask.extension) == (("_ooi_", "_ood_"), 2)
    assert reading.header.unit == "electron/s"


@pytest.mark.parametrize("keyword", ["OBSTYPE", "IMAGETYP"])
def test_calibration_images_are_refused(tmp_path, keyword):
    hdu = fits.PrimaryHDU(np.ones((32, 32)))
    hdu.header.update(PLAIN | {keyword: "Dark Frame"})
    hdu.writeto(tmp_path / "a.fits")
    with pytest.raises(BadFrameError, match=f"not an image of the sky \\({keyword} = Dark Frame\\)"):
        read_frame(tmp_path / "a.fits", "a", FrameSettings())


@pytest.mark.real
def test_real_images_with_masks_and_weights_come_out_in_electrons(survey_image):
    """The unit and the gain are right if the sky's shot noise and the read noise make up the stated error."""
    frame = read_frame(survey_image, "a", frame_settings({"companions": COMPANIONS}))
    info = frame.info
    assert info.unit == "electron"
    assert info.camera in ("DECam", "90prime", "Mosaic3")
    good = frame.pixel_flags == 0
    sky = np.median(frame.image[good])
    expected = np.sqrt(sky + info.read_noise**2)
    assert np.median(frame.error[good]) == pytest.approx(expected, rel=0.1 if info.camera == "Mosaic3" else 0.05)
    with fits.open(str(survey_image).replace("_ooi_", "_ood_")) as hdus:
        np.testing.assert_array_equal((frame.pixel_flags & BAD) != 0, hdus[1].data != 0)
    assert all(np.isfinite([info.mjd_utc, info.airmass, info.site_lat_deg, info.aperture_m, info.ra_deg]))
