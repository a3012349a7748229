"""Files of all kinds: each is measured, flagged or refused in one clear line; and masks and weights beside images."""

import re
from dataclasses import asdict
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from astropy.io import fits

from gaiaflux.ground.frame.plate_solution import solve_frame
from gaiaflux.io.batch_file import BatchReader
from gaiaflux.io.fits_table import write_fits_tables
from gaiaflux.io.gaia.store import join_catalogs
from gaiaflux.io.gaia.table import load_gaia_table
from gaiaflux.io.image.wcs_cards import tan_sip_from_cards
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.settings.extract_stars import ExtractStarsSettings
from gaiaflux.model.settings.refine_wcs import RefineWcsSettings
from gaiaflux.sim.field import GAIA_UNITS
from gaiaflux.workflow.config import load_schema
from gaiaflux.workflow.frames import find_frames, frame_id_of
from gaiaflux.workflow.settings import complete_section

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SETTINGS = complete_section(ExtractStarsSettings)
REFINE = complete_section(RefineWcsSettings)

UNREADABLE = "not a readable FITS file: "
# Folder and file: what happens to it without any setting, then with the settings of SETTLED. `ok` = measured.
FILES = {
    "awkward/ccdproc_a8280271.fits": "ok",  # raw, no WCS, time only in MJD-OBS
    "awkward/ccdproc_sip-wcs.fit": "no stars found",  # 100 x 50 pixels of noise
    "awkward/galsim_DECam_00154912_12_header.fits": "no image in the file",
    "awkward/galsim_pole.fits": "no observation time with a time of day in the header: set header.time",
    "awkward/galsim_region.fits": "all pixels have the same value",
    "awkward/galsim_sipsample.fits": "no observation time with a time of day in the header: set header.time",
    "awkward/galsim_tanflip.fits.gz": "no exposure time (EXPTIME is missing): set header.exptime",
    "awkward/galsim_tanpv.fits.gz": "ok",
    "awkward/galsim_tnx.fits": "ok",
    "awkward/neox_swope_test_frame_header.fits": "the image has only 10 x 10 pixels",
    "awkward/astropy_wcs/defunct_keywords.hdr": UNREADABLE + "Empty or corrupt FITS file",
    "awkward/astropy_wcs/dist.fits": "no image in the file",
    "awkward/astropy_wcs/header_newlines.fits": "the image has only 1 x 1 pixels",
    "awkward/astropy_wcs/invalid_header.hdr": UNREADABLE + "Empty or corrupt FITS file",
    "awkward/astropy_wcs/sip-broken.hdr": UNREADABLE + "No SIMPLE card found",
    "awkward/astropy_wcs/sip.fits": "no image in the file",
    "awkward/astropy_wcs/siponly.hdr": UNREADABLE + "File may have been truncated",
    "awkward/astropy_wcs/too_many_pv.hdr": UNREADABLE + "File may have been truncated",
    "awkward/astropy_wcs/tpvonly.hdr": UNREADABLE + "File may have been truncated",
    "awkward/astropy_wcs/validate.fits": "no image in the file",
    "lco_banzai/banzai_ogg2m001-ep04-20201006-0097-matched-cat.fits": "no image in the file",
    "lco_banzai/bpm_fl15_20180731.fits.fz": "not an image of the sky (OBSTYPE = SKYFLAT)",
    "lco_banzai/datalab_fits_1.fits.fz": "no exposure time (EXPTIME is missing): set header.exptime",
    "lco_banzai/lsc1m005-fl15-20170614-0130-e91_cropped.v1.fits.gz": "ok",
    "lco_banzai/lsc1m005-fl15-20170701-0144-e91_cropped_2mass.cat": UNREADABLE + "No SIMPLE card found",
    "lco_banzai/neox_GAIA-DR2_ldac.cat": "no image in the file",
    "lco_banzai/neox_banzai_test_frame_tfn0m414-kb29-20160625_WCSERR4.fits.fz": "the stars are trailed: ellipticity",
    "lco_banzai/neox_hotpants_test_frame.rms.fits": "no stars found",
    "lco_banzai/neox_hotpants_test_frame_coj2m002-ep07.fits": "ok",
    "lco_banzai/neox_ldac_test_catalog.fits": "no image in the file",
    "lco_banzai/neox_mef_raw_test_frame_elp1m008-fa05.fits": "4 SCI images in one file (amplifiers or detectors that",
    "lco_banzai/rome02_pyDANDIA_metadata.fits": "no image in the file",
    "lco_banzai/rome02_pyDANDIA_star_catalog.fits": "no image in the file",
}
ANY_TIME = {"exptime": 60.0, "time": {"keyword": "MJD-OBS", "format": "mjd", "marks": "start"}}
# The lines of configuration with which a file that was flagged is read.
SETTLED = {
    "awkward/galsim_pole.fits": ({"header": {"time": {"keyword": "MJD_OBS", "format": "mjd", "marks": "start"}}}, "ok"),
    "awkward/galsim_sipsample.fits": (
        {"header": {"time": {"keyword": "MJD_OBS", "format": "mjd", "marks": "start"}}},
        "ok",
    ),
    "awkward/galsim_tanflip.fits.gz": ({"header": {"exptime": 420.0}}, "ok"),
    "lco_banzai/neox_mef_raw_test_frame_elp1m008-fa05.fits": ({"extension": 3}, "ok"),
    "lco_banzai/datalab_fits_1.fits.fz": (
        {"header": ANY_TIME},
        "no time in MJD-OBS (format mjd): set header.time",
    ),
}


@pytest.fixture(scope="module")
def extract():
    """The rule's script on some files: frame_id -> attributes."""
    spec = spec_from_file_location("extract_stars", ROOT / "scripts" / "extract_stars.py")
    rule = module_from_spec(spec)
    spec.loader.exec_module(rule)

    def run(paths, folder, **reading):
        frames = [{"frame_id": path.name, "path": str(path), "overrides": {}} for path in paths]
        params = SimpleNamespace(frames=frames, reading=reading, settings=asdict(SETTINGS))
        output = SimpleNamespace(stars=str(folder / "stars.h5"))
        rule.main(SimpleNamespace(params=params, output=output))
        with BatchReader(output.stars) as batch:
            found = {frame_id: dict(batch.attrs(frame_id)) for frame_id in batch.frame_ids}
            for frame_id, attrs in found.items():
                if attrs["status"] == "ok":
                    attrs["stars"] = batch.array(frame_id, "stars")
        return found

    return run


@pytest.mark.real
def test_the_table_has_every_file(real_data):
    there = {
        str(path.relative_to(real_data))
        for folder in ("awkward", "lco_banzai")
        for path in (real_data / folder).rglob("*")
        if path.is_file()
    }
    assert there == set(FILES)


@pytest.mark.real
def test_each_file_is_measured_flagged_or_refused(real_data, extract, tmp_path):
    found = extract([real_data / name for name in FILES], tmp_path)
    for name, expected in FILES.items():
        attrs = found[Path(name).name]
        status = attrs["status"]
        assert status == "ok" if expected == "ok" else status.startswith(expected), name
        assert "\n" not in status
        assert len(status) < 250
        if expected == "ok":
            assert attrs["n_stars"] > 0
            assert np.isfinite([attrs["fwhm_pix"], attrs["sky"], attrs["mjd_utc"]]).all()


@pytest.mark.real
@pytest.mark.parametrize("name", SETTLED)
def test_with_a_few_lines_of_configuration(name, real_data, extract, tmp_path):
    reading, expected = SETTLED[name]
    (attrs,) = extract([real_data / name], tmp_path, **reading).values()
    if expected != "ok":
        assert attrs["status"] == expected
        return
    # Infrared images of an empty field have no stars to be found; they are read, and that is all there is to do.
    assert attrs["status"] in ("ok", "no stars found")
    assert np.isfinite(attrs["mjd_utc"]) if "mjd_utc" in attrs else True


@pytest.mark.real
def test_a_glob_takes_only_what_is_named_like_an_image(real_data):
    row_schema = load_schema(ROOT / "schemas" / "frames.schema.yaml")
    frames = find_frames("a", {"images": f"{real_data}/awkward/**/*"}, row_schema)
    names = {Path(frame.path).name for frame in frames}
    expected = {Path(name).name for name in FILES if name.startswith("awkward") and frame_id_of(name)}
    assert names == expected
    assert not any(name.endswith(".hdr") for name in names)


@pytest.mark.real
@pytest.mark.parametrize("name", ["galsim_tnx.fits", "galsim_tanpv.fits.gz"])
def test_awkward_plate_solutions_are_understood(name, real_data, extract, tmp_path):
    (attrs,) = extract([real_data / "awkward" / name], tmp_path).values()
    wcs = tan_sip_from_cards(attrs["wcs_cards"], (attrs["ny"], attrs["nx"]))
    scale = 3600 * np.sqrt(abs(np.linalg.det(wcs.cd)))
    assert 0.2 < scale < 0.3


@pytest.mark.real
def test_survey_images_against_real_gaia_tables(real_data, extract, tmp_path):
    """Masks and weights beside the image, TPV, real tables of DR2: stars lie where Gaia says, at the image's epoch."""
    from gaiaflux.core.sky.epoch import jyear_of_mjd, propagate
    from gaiaflux.core.sky.projection import sky_to_pixel

    companions = {"mask": {"replace": ["_ooi_", "_ood_"]}, "weight": {"replace": ["_ooi_", "_oow_"]}}
    solved, offsets, statuses = 0, [], []
    for case in sorted((real_data / "legacypipe_decam").iterdir()):
        paths = [path for path in sorted((case / "gaia").glob("*.fits")) if fits.getval(path, "NAXIS2", 1)]
        tables = [load_gaia_table(path).catalog for path in paths]
        catalog = join_catalogs(tables)
        assert set(catalog.ref_epoch) == {2015.5}
        found = extract(sorted((case / "images").glob("*_ooi_*")), tmp_path, companions=companions)
        for attrs in found.values():
            if attrs["status"] != "ok":
                statuses.append(attrs["status"])
                continue
            stars = attrs["stars"]
            wcs = tan_sip_from_cards(attrs["wcs_cards"], (attrs["ny"], attrs["nx"]))
            ra, dec = propagate(catalog, jyear_of_mjd(attrs["mjd_utc"]), None)
            x, y = sky_to_pixel(wcs, ra, dec)
            near = (x > 5) & (x < attrs["nx"] - 6) & (y > 5) & (y < attrs["ny"] - 6) & (catalog.mag < 20)
            distance = np.hypot(stars["x"][:, None] - x[near], stars["y"][:, None] - y[near])
            offsets += distance.min(axis=0).tolist()
            try:
                solve_frame(attrs, stars, catalog, REFINE)
                solved += 1
            except BadFrameError as reason:
                statuses.append(str(reason))
    # These are cut-outs of 40 to 90 arcsec around one galaxy or bright star: too few stars for a solution of their own.
    assert solved == 0
    assert len(statuses) == 11
    assert all(re.match(r"no stars found|only \d+ stars|no offset|the stars", status) for status in statuses), statuses
    assert len(offsets) >= 10
    assert np.median(offsets) < 0.2


@pytest.fixture(scope="module")
def survey(small_series, tmp_path_factory):
    """Four frames as a survey delivers them: two detectors in a file, mask and weight in files beside it."""
    folder = tmp_path_factory.mktemp("survey")
    for made in list(small_series.frames())[:4]:
        frame, info = made.frame, made.frame.info
        header = fits.Header.fromstring(info.wcs_cards, sep="\n")
        gain = 2.5
        primary = fits.PrimaryHDU()
        primary.header.update(
            {"EXPTIME": info.exptime_s, "GAIN": gain, "RDNOISE": info.read_noise, "FILTER": info.filter}
            | {"TELESCOP": "survey", "INSTRUME": "cam", "MJD-OBS": info.mjd_utc - 0.5 * info.exptime_s / 86400}
            | {"BUNIT": "adu", "SATURATE": 0.95 * float(np.nanmax(frame.image)) / gain}
        )
        bad = ((frame.pixel_flags & 1) != 0).astype(np.int32) * 7
        planes = {
            "ooi": frame.image / gain,
            "ood": bad,
            "oow": np.where(frame.error > 0, (gain / np.maximum(frame.error, 1e-9)) ** 2, 0.0).astype(np.float32),
        }
        for word, plane in planes.items():
            other = np.ones((100, 100), plane.dtype)
            hdus = [primary, fits.ImageHDU(other, name="N1"), fits.ImageHDU(plane, header, name="N2")]
            fits.HDUList(hdus).writeto(folder / f"exp{made.index}_{word}_r.fits")
    write_fits_tables(folder / "gaia.fits", {"GAIA": small_series.gaia}, GAIA_UNITS)
    return folder


def test_masks_and_weights_through_the_chain(survey, make_chain, tmp_path):
    """A frame whose mask is missing has that status; when the mask comes, its batch alone is measured again."""
    (survey / "exp2_ood_r.fits").rename(tmp_path / "later.fits")
    chain = make_chain(tmp_path)
    chain.configure(
        series={
            "field": {
                "images": f"{survey}/*_ooi_*.fits",
                "gaia_file": f"{survey}/gaia.fits",
                "extension": "N2",
                "companions": {"mask": {"replace": ["_ooi_", "_ood_"]}, "weight": {"replace": ["_ooi_", "_oow_"]}},
            }
        },
        frames_per_batch=2,
    )
    done = chain.run("--quiet", "all")
    assert done.returncode == 0, done.stdout + done.stderr

    def statuses():
        with h5py.File(chain.results("field") / "dataset.h5") as file:
            names = file["frames/frame_id"].asstr()[()]
            return dict(zip(names, file["frames/status"].asstr()[()], strict=True))

    missing = statuses().pop("exp2_ooi_r")
    assert missing.startswith("its mask file is missing: ")
    assert [status for name, status in statuses().items() if name != "exp2_ooi_r"] == ["ok"] * 3
    first = (chain.results("field") / "aperture" / "0001.h5").stat().st_mtime_ns
    (tmp_path / "later.fits").rename(survey / "exp2_ood_r.fits")
    done = chain.run("--quiet", "all")
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(statuses().values()) == {"ok"}
    assert (chain.results("field") / "aperture" / "0001.h5").stat().st_mtime_ns == first
    with h5py.File(chain.results("field") / "dataset.h5") as file:
        magnitude, flux = file["stars/phot_g_mean_mag"][()], file["aperture/flux"][()]
    bright = (magnitude < np.nanpercentile(magnitude, 20)) & np.isfinite(flux).all(axis=1)
    scatter = np.std(np.log(flux[bright] / np.median(flux[bright], axis=1, keepdims=True)), axis=0)
    assert bright.sum() > 10
    assert scatter.max() < 0.1
