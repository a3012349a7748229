"""Figures of the real images that are shared: a part of a full-frame image, and a cut-out of a sector."""

import csv
import os
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from benchmarks.table import Figure
from gaiaflux.core.cadences.sky_response import fit_response, plane_series
from gaiaflux.core.stars.prf_list import PrfStars, find_prf_stars
from gaiaflux.io.tess.prf import read_prf
from gaiaflux.io.tess.target_pixels import read_target_pixels
from gaiaflux.model.flags import StarFlag

__all__ = ["real_figures"]

FIRST_COLUMN = 44
ZERO_POINT = 20.45
VARIANCE = 1.0 / 1343.0, 0.0395  # of a pixel by its light, where the file does not state it
BLENDED, SINGLE = ("439366537", 8.84), ("439387373", 9.14)
BESIDE_BRIGHTEST = 52 - FIRST_COLUMN, 22


def real_figures() -> list[Figure]:
    """All figures; without the data none, and a line that says so."""
    found = []
    root = Path(os.environ.get("GAIAFLUX_DATA", Path(__file__).parents[3] / "shared" / "data")) / "tess"
    for path, measure in ((root / "ffi_s01_c1_4", _crop), (root / "tesscut_s01_c4_3", _cut_out)):
        if path.is_dir():
            found += measure(path)
        else:
            print(f"{path}: NOT RUN, the data are absent (GAIAFLUX_DATA names their folder)")
    return found


def _cut_out(folder: Path) -> list[Figure]:
    """What the sky of a sector leaves in pixels without stars."""
    series = read_target_pixels(next(folder.glob("*astrocut.fits"))).series
    good, images = series.quality == 0, series.flux.astype(np.float64)
    planes = plane_series(images)
    left = images - planes.values()
    variance = np.median(series.flux_err.astype(np.float64) ** 2, axis=0)
    no_shifts = np.zeros((len(images), 2))
    response = fit_response(left.astype(np.float32), planes.mean, planes.slopes, no_shifts, variance, good)
    left -= response.light(planes.mean, planes.slopes)
    pull = (left - np.median(left[good], axis=0)) / series.flux_err
    n = images[0].size
    pull *= np.sqrt(n / (n - 3.0))  # a plane takes three degrees of freedom
    calm = good & (np.abs(pull) < 6.0).all(axis=(1, 2))
    loud = planes.mean >= np.percentile(planes.mean[good], 90.0)
    found = []
    for name, use in (("all frames", calm), ("a tenth with most sky", calm & loud)):
        each = np.sqrt((pull[use] ** 2).mean(axis=0))
        found += [
            Figure(f"sky of a real sector, {name}: median pixel over its error", np.median(each), at_most=1.05),
            Figure(f"sky of a real sector, {name}: worst pixel", each.max(), at_most=1.25),
        ]
    return found


def _crop(folder: Path) -> list[Figure]:
    """Stars that are found without a catalogue."""
    with warnings.catch_warnings(), fits.open(next(folder.glob("*_ffic.crop128.fits"))) as file:
        warnings.simplefilter("ignore")
        image = np.ascontiguousarray(file[1].data[:, FIRST_COLUMN:], np.float32)
        known, wcs = file[2].data[:, FIRST_COLUMN:].astype(float), WCS(file[1].header)
    variance = image * VARIANCE[0] + VARIANCE[1]
    variance[:, : known.shape[1]] = known**2
    stars = find_prf_stars(image, variance, read_prf(folder.parent / "prf", 1, 1, 4), (FIRST_COLUMN, 0)).stars
    tmag = ZERO_POINT - 2.5 * np.log10(stars.flux)
    apart = np.hypot(np.subtract.outer(stars.x, stars.x), np.subtract.outer(stars.y, stars.y))
    np.fill_diagonal(apart, np.inf)
    near = (apart < 5) & (stars.flux[None, :] > 0.02 * stars.flux[:, None])
    sound = (tmag < 11) & (stars.flags == 0)
    lone = sound & ~near.any(axis=1)
    beside = int(np.argmin(np.hypot(stars.x - BESIDE_BRIGHTEST[0], stars.y - BESIDE_BRIGHTEST[1])))
    paired = np.count_nonzero((apart[np.ix_(sound, sound | ~sound)] < 1.2).any(axis=1))
    return [
        Figure("real crop: stars T < 13", np.count_nonzero(tmag < 13), at_least=72, at_most=79, digits=0),
        Figure("real crop, lone T < 11: rms of the residual [%]", 100 * np.median(stars.rms[lone]), at_most=0.12),
        Figure("the same: largest pixel [%]", 100 * stars.largest[lone].max(), at_most=0.5),
        Figure("the same: sum, in the median [%]", 100 * np.median(np.abs(stars.total[lone])), at_most=1.0),
        Figure("the same: sum, the worst [%]", 100 * np.abs(stars.total[lone]).max(), at_most=1.0),
        Figure("real crop, T < 11: stars with another within 1.2 px", paired, at_most=3, digits=0),
        Figure("the star beside that of T 6.8 is flagged", bool(stars.flags[beside] & StarFlag.POOR_FIT), at_least=1),
        *_targets(folder, stars, tmag, wcs),
    ]


def _targets(folder: Path, stars: PrfStars, tmag: np.ndarray, wcs: WCS) -> list[Figure]:
    """Magnitudes and places of the two targets of the mission in the crop."""
    places = {}
    with (folder / "TIC_2min_targets_in_crop.csv").open(encoding="utf-8") as table:
        for row in csv.DictReader(table):
            x, y = wcs.all_world2pix(float(row["RA"]), float(row["Dec"]), 0)
            places[row["TICID"]] = float(x) - FIRST_COLUMN, float(y)
    found = []
    for name, (target, catalogued) in (("with a neighbour at 0.8 px", BLENDED), ("alone", SINGLE)):
        x, y = places[target]
        k = int(np.argmin(np.hypot(stars.x - x, stars.y - y)))
        away = float(np.hypot(stars.x[k] - x, stars.y[k] - y))
        found.append(Figure(f"TIC {target}, {name}: T off the catalogue", tmag[k] - catalogued, within=0.03))
        found.append(Figure(f"TIC {target}: distance from the WCS [pixel]", away, at_most=0.1))
    return found
