"""Real stamps of the shared data, read here in the plainest way."""

import csv
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from gaiaflux.core.cadences.frames import StampFrames
from gaiaflux.core.cadences.measure import MeasureOptions, StampTarget, measure_stamp
from gaiaflux.core.cadences.motion import measured_shifts
from gaiaflux.core.cadences.scene import SceneStars
from gaiaflux.core.psf.sampled import sampled_psf
from gaiaflux.model.flags import StarFlag

pytestmark = pytest.mark.real

REFERENCE = np.array([9240.0, 9267.0, 9283.0, 9251.0])  # SAP_FLUX x CROWDSAP / FLFRCSAP
TARGET, NEIGHBOUR = 25155310, 25155316
NEIGHBOUR_FLUX = 347.0
YEARS = 18.6


@pytest.fixture(scope="module")
def tess(real_data):
    return real_data.parent / "tess"


def read_frames(path):
    with warnings.catch_warnings(), fits.open(path) as file:
        warnings.simplefilter("ignore")
        table = file[1].data[np.isfinite(file[1].data["TIME"])]
        shifts = measured_shifts(np.stack([table["POS_CORR1"], table["POS_CORR2"]], axis=1), table["TIME"])
        cubes = [np.ascontiguousarray(table[name].astype(np.float32)) for name in ("FLUX", "FLUX_ERR", "FLUX_BKG_ERR")]
        good = (table["QUALITY"] == 0) & shifts.known & np.isfinite(cubes[0]).any(axis=(1, 2))
        header = dict(file[0].header)
        header.pop("COMMENT", None)
        aperture = (file[2].data & 2) > 0
        corner = file[2].header["CRVAL1P"] - 1, file[2].header["CRVAL2P"] - 1
        return StampFrames(*cubes, good, shifts.shift), shifts.known, header, aperture, corner, WCS(file[2].header)


def read_response(folder):
    found = {}
    for path in sorted(folder.glob("*.fits")):
        header = fits.getheader(path)
        found[header["CCD_RREF"], header["CCD_CREF"]] = fits.getdata(path).astype(np.float64)
    rows, columns = (sorted({key[axis] for key in found}) for axis in (0, 1))
    samples = np.array([[found[row, column] for column in columns] for row in rows])
    return sampled_psf(samples, 9, np.array(columns) - 1, np.array(rows) - 1, (2048, 2092))


def magnitude(row):
    """TIC 8's relation with J and Ks, where there are both."""
    j, k, v = (float(row[name] or "nan") for name in ("j", "k", "v"))
    c = j - k
    if -0.1 <= c <= 1.2:
        return j + 1.22163 * c**3 - 1.74299 * c**2 + 1.89115 * c + 0.0563
    return j + 0.7 if np.isfinite(j) else v - 0.6


def read_stars(path, wcs):
    """Stars near the stamp, the target first and where its proper motion has brought it."""
    rows = {}
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows.setdefault(int(row["id"].removeprefix("TIC ")), row)
    stars = np.array([[i, float(r["ra"]), float(r["dec"]), magnitude(r)] for i, r in rows.items()])
    stars = stars[np.isfinite(stars[:, 3])]
    stars = np.concatenate([stars[stars[:, 0] == TARGET], stars[stars[:, 0] != TARGET]])
    ra, dec = stars[:, 1].copy(), stars[:, 2].copy()
    dec[0] += 53.67 / 3.6e6 * YEARS
    ra[0] += 63.07 / 3.6e6 * YEARS / np.cos(np.radians(dec[0]))
    x, y = wcs.all_world2pix(np.stack([ra, dec], axis=1), 0).T
    unmoved = wcs.all_world2pix(stars[:1, 1:3], 0)[0]
    near = (np.abs(x - 5) < 16) & (np.abs(y - 5) < 16)
    flux = 10 ** (-0.4 * (stars[near, 3] - 20.44))
    scene = SceneStars(x[near], y[near], flux, 0.1 * flux, np.full(near.sum(), 0.02))
    return stars[near, 0].astype(int), scene, unmoved


def test_a_real_star_has_the_light_of_the_missions_pipeline(tess):
    folder = tess / "tic25155310_s01"
    frames, known, _, aperture, corner, wcs = read_frames(folder / "tess25155310-s01-first-cadences.fits.gz")
    starid, stars, unmoved = read_stars(folder / "TIC25155310_stars.csv", wcs)
    response = read_response(tess / "prf" / "start_s0001" / "cam4_ccd1")
    target = StampTarget(frames, known, stars, corner, aperture)
    made = measure_stamp(target, response, MeasureOptions())
    for method in ("psf", "linpsf"):
        table = made.tables[method]
        ratio = table.flux[1:] / REFERENCE
        assert np.abs(ratio - 1).max() < 0.010
        assert np.std(ratio, ddof=1) < 0.0015
        assert np.isfinite(table.flux[0])  # coarse pointing: measured, and told
        assert ((table.flags & StarFlag.POINTING) > 0).tolist() == [True, False, False, False, False]
        assert np.abs(table.flux_err[1:] - 13).max() < 1.5
        place = np.median(table.centroid[1:], axis=0)
        assert np.hypot(*(place - unmoved - [-0.40, 0.17])) < 0.05
        # The place as the proper motion has it is where the mission's own shift says.
        assert np.hypot(*(made.scene.common)) < 0.05
    row = list(starid[made.scene.rows]).index(NEIGHBOUR)
    assert made.scene.flux[row] == pytest.approx(NEIGHBOUR_FLUX, rel=0.12)
    assert np.abs(made.tables["aperture"].flux[1:] * 0.97268403 / 0.84488732 - REFERENCE).max() < 2.0


def test_stamps_of_another_mission_without_a_response_function(tess):
    """Point-to-point scatter against the sum over the pipeline's aperture."""
    ratios = []
    for path in sorted((tess / "kepler").glob("*.fits")):
        frames, known, header, aperture, corner, wcs = read_frames(path)
        place = wcs.all_world2pix([[header["RA_OBJ"], header["DEC_OBJ"]]], 0)[0]
        flux = np.array([1.74e5 * 10 ** (-0.4 * (header["KEPMAG"] - 12))])
        stars = SceneStars(place[:1], place[1:], flux, 0.1 * flux, np.array([0.1]))
        target = StampTarget(frames, known, stars, corner, aperture)
        made = measure_stamp(target, None, MeasureOptions())
        assert made.effective
        scatter = []
        for method in ("psf", "linpsf", "aperture"):
            light = made.tables[method].flux[frames.good]
            steps = np.diff(light)
            scatter.append(np.median(np.abs(steps - np.median(steps))) / np.median(light))
        ratios.append([scatter[0] / scatter[2], scatter[1] / scatter[2]])
    assert len(ratios) == 6
    assert np.median(ratios, axis=0).max() < 1.1
    assert np.max(ratios) < 1.3
