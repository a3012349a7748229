"""Which stars are planted: places, magnitudes and events that a series can tell something of."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from gaiaflux.core.sky.projection import pixel_to_sky
from gaiaflux.core.sky.timing import barycentric_jd_tdb
from gaiaflux.ground.injection.planted_stars import KINDS, PlantedStars
from gaiaflux.io.dataset import DatasetReader
from gaiaflux.io.plate_solution import find_plate
from gaiaflux.model.errors import InputError
from gaiaflux.model.status import OK
from gaiaflux.series.method_choice import favoured_method
from gaiaflux.series.variability_table import rank_stars

__all__ = ["choose_stars"]

_PARTS = (0.6, 0.2, 0.2)  # of the stars, by kind
_SEPARATION_FWHM = 10.0  # planted stars do not disturb each other
_TRIALS = 50  # places that are tried for each star
_FAINTEST_ERROR = 0.5  # predicted error of the faintest planted star [mag]
_FIRST_ID = 9_100_000_000_000_000_000  # no Gaia source has such a number
_BRIGHTEST = 5  # so many unsaturated stars may be brighter than any planted one
_LEAST_STARS = 20  # with a calibrated flux, that say what can be measured


class _Scale(NamedTuple):
    """Brightest and faintest magnitude to plant, on the scale of Gaia G, and the zero point of that scale [mag]."""

    bright: float
    faint: float
    zero_point: float


def choose_stars(
    source: DatasetReader,
    frames: dict[str, np.ndarray],
    plates: Path,
    n_stars: int,
    rng: np.random.Generator,
    own_stars: bool,
) -> PlantedStars:
    """Places away from each other, magnitudes from the brightest unsaturated to the faintest useful star, events.

    Parameters
    ----------
    source : DatasetReader
        Dataset of the series.
    frames : dict of str to ndarray, shape (n_frames,)
        Its table of frames.
    plates : Path
        Folder with the plate solutions.
    n_stars : int
        How many are wanted; there are fewer where they would come too close to each other.
    rng : numpy.random.Generator
        Source of random numbers.
    own_stars : bool
        Whether the reference image is the catalogue, which then knows none of them.

    Returns
    -------
    PlantedStars

    Raises
    ------
    InputError
        The series was not measured well enough to tell anything of planted stars.
    """
    attributes = source.attributes()
    reference = np.flatnonzero(frames["frame_id"] == attributes["reference_frame_id"])
    if not reference.size or frames["status"][reference[0]] != OK:
        raise InputError("the reference image was not measured: there is nothing to compare with")
    wcs = find_plate(plates, str(attributes["reference_frame_id"]))
    fwhm = float(np.nanmedian(frames["fwhm_pix"]))
    x, y = _places(n_stars, wcs.shape, fwhm, rng)
    n = len(x)
    if not n:
        raise InputError("no star to plant: ask for at least one")
    ra, dec = pixel_to_sky(wcs, x, y)
    scale = _brightness(source)
    mag = rng.permutation(np.linspace(scale.bright, scale.faint, n))
    kind = np.array(KINDS, dtype=object)[_kinds(n, rng)]
    time = barycentric_jd_tdb(frames["mjd_tdb"], frames["observer_au"], float(ra.mean()), float(dec.mean()))
    time = time[np.isfinite(time)]
    span = float(np.ptp(time)) if time.size else 0.0
    if not span > 0:
        raise InputError("all measured frames are of one time: transits and microlensing events need a series")
    t0 = time.min() + span * rng.uniform(0.25, 0.75, n)
    is_transit, is_lens = kind == "transit", kind == "microlensing"
    return PlantedStars(
        source_id=_FIRST_ID + np.arange(n),
        known=np.zeros(n, dtype=bool) if own_stars else rng.permutation(np.arange(n) % 2 == 0),
        kind=kind,
        ra_deg=ra,
        dec_deg=dec,
        x_ref=x,
        y_ref=y,
        mag=mag,
        level=10 ** (-0.4 * (mag - scale.zero_point)),
        t0=np.where(is_transit | is_lens, t0, np.nan),
        duration=np.where(is_transit, span * rng.uniform(0.2, 0.4, n), np.nan),
        depth=np.where(is_transit, 10 ** rng.uniform(-2.0, -0.7, n), np.nan),
        u0=np.where(is_lens, rng.uniform(0.1, 0.9, n), np.nan),
        t_e=np.where(is_lens, span * rng.uniform(0.1, 0.4, n), np.nan),
    )


def _kinds(n: int, rng: np.random.Generator) -> np.ndarray:
    """Number of each star's kind, in the wanted parts."""
    ends = np.round(np.cumsum(_PARTS) * n).astype(int)
    return rng.permutation(np.searchsorted(ends, np.arange(n), side="right").clip(0, len(KINDS) - 1))


def _places(n: int, shape: tuple[int, int], fwhm: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Positions on the reference image that keep away from its edges and from each other."""
    ny, nx = shape
    edge, apart = 4.0 * fwhm, _SEPARATION_FWHM * fwhm
    x, y = np.zeros(0), np.zeros(0)
    for _ in range(n * _TRIALS):
        if len(x) == n:
            break
        new = rng.uniform(edge, nx - 1 - edge), rng.uniform(edge, ny - 1 - edge)
        if (np.hypot(x - new[0], y - new[1]) > apart).all():
            x, y = np.append(x, new[0]), np.append(y, new[1])
    return x, y


def _brightness(source: DatasetReader) -> _Scale:
    method = favoured_method(source.methods)
    table = rank_stars(source)
    zero_point = float(source.attributes(method)["zero_point_mag"])
    level, expected, saturated = (table[f"{method}_{name}"][0] for name in ("level", "expected_mag", "saturated"))
    clean = (level > 0) & (saturated == 0) & np.isfinite(expected)
    if clean.sum() < _LEAST_STARS or not np.isfinite(zero_point):
        raise InputError("too few stars have a calibrated flux: there is no scale on which stars could be planted")
    mag = zero_point - 2.5 * np.log10(level[clean])
    useful = mag[expected[clean] < _FAINTEST_ERROR]
    if not useful.size:
        raise InputError(f"all stars have errors above {_FAINTEST_ERROR} mag: no planted star could be measured")
    brightest = np.sort(mag)[min(_BRIGHTEST, len(mag) - 1)]
    return _Scale(float(brightest), float(np.percentile(useful, 98)), zero_point)
