"""Stars of known flux in copies of a series' images, so that a user can prove the errors of the measurements.

The copies are measured by the same workflow as the images; `gaiaflux.ground.injection.scores` compares. The images
themselves are only read.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gaiaflux.core.calibration.event_shapes import paczynski, transit
from gaiaflux.core.maths.surface import frame_terms
from gaiaflux.core.psf.model import PsfModel
from gaiaflux.core.psf.stamps import add_light, make_stamps
from gaiaflux.core.sky.projection import pixel_to_sky, sky_to_pixel
from gaiaflux.core.sky.star_positions import places_on_image
from gaiaflux.core.sky.timing import barycentric_jd_tdb
from gaiaflux.ground.interface.psf_reader import read_psf
from gaiaflux.ground.photometry.psf import measure_stars
from gaiaflux.io.batch_file import BatchWriter
from gaiaflux.io.dataset import DatasetReader
from gaiaflux.io.export.light_curves import read_ecsv, write_ecsv
from gaiaflux.io.gaia.catalog import read_catalog, write_catalog
from gaiaflux.io.image.banzai_writer import write_banzai
from gaiaflux.io.image.frames import FrameSettings, frame_settings, read_frame
from gaiaflux.io.plate_solution import find_plate
from gaiaflux.io.psf_model import psf_of_arrays
from gaiaflux.io.star_catalog import read_star_catalog
from gaiaflux.model.catalog import SkyCatalog, StarCatalog
from gaiaflux.model.errors import BadFrameError, InputError
from gaiaflux.model.flags import PixelFlag
from gaiaflux.model.frame import Frame
from gaiaflux.model.methods import METHODS
from gaiaflux.model.status import OK
from gaiaflux.model.wcs import TanSip
from gaiaflux.series.method_choice import favoured_method
from gaiaflux.series.variability_table import rank_stars

__all__ = ["KINDS", "PlantedStars", "plant_stars", "read_planted"]

LOG = logging.getLogger(__name__)

KINDS = ("constant", "transit", "microlensing")
_PARTS = (0.6, 0.2, 0.2)  # of the stars, by kind
_SEPARATION_FWHM = 10.0  # planted stars do not disturb each other
_TRIALS = 50  # places that are tried for each star
_FAINTEST_ERROR = 0.5  # predicted error of the faintest planted star [mag]
_STAMP_FWHM, _REACH_FWHM = 5.0, 15.0  # radius of the stamps, and to which the PSF's wings are added
_FIRST_ID = 9_100_000_000_000_000_000  # no Gaia source has such a number
_POSITION_ERROR_MAS = 1.0
_BRIGHTEST = 5  # so many unsaturated stars may be brighter than any planted one
_LEAST_STARS = 20  # of a frame, that say how much light arrives where

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class PlantedStars:
    """Stars to plant; n of them.

    Attributes
    ----------
    source_id : ndarray of int64
        Their numbers; also where the catalogue is not told.
    known : ndarray of bool
        Whether the catalogue of the copies has the star; else it has to be found on the reference image.
    kind : ndarray of str objects
        One of `KINDS`.
    ra_deg, dec_deg, x_ref, y_ref : ndarray of float64
        Place [deg, ICRS; pixel of the reference image].
    mag, level : ndarray of float64
        Magnitude on the scale of Gaia G, and calibrated flux outside of the event [unit of the series].
    t0, duration, depth, u0, t_e : ndarray of float64
        Of a transit: centre [BJD TDB], duration [d], depth; of a microlensing event: t0, impact parameter, Einstein
        time [d]; else NaN.
    """

    source_id: np.ndarray
    known: np.ndarray
    kind: np.ndarray
    ra_deg: np.ndarray
    dec_deg: np.ndarray
    x_ref: np.ndarray
    y_ref: np.ndarray
    mag: np.ndarray
    level: np.ndarray
    t0: np.ndarray
    duration: np.ndarray
    depth: np.ndarray
    u0: np.ndarray
    t_e: np.ndarray

    def __len__(self) -> int:
        """Number of stars."""
        return len(self.mag)

    def relative(self, frames: Mapping[str, np.ndarray]) -> np.ndarray:
        """Flux over `level` in each frame (columns mjd_tdb and observer_au), shape (n, n_frames)."""
        shape = np.ones((len(self), len(frames["mjd_tdb"])))
        for k, kind in enumerate(self.kind):
            bjd = barycentric_jd_tdb(frames["mjd_tdb"], frames["observer_au"], self.ra_deg[k], self.dec_deg[k])
            if kind == "transit":
                shape[k] = transit(bjd, self.t0[k], self.duration[k], self.depth[k], 0.15 * self.duration[k])
            elif kind == "microlensing":
                shape[k] = paczynski(bjd, self.t0[k], self.u0[k], self.t_e[k])
        return shape


def plant_stars(work: str | Path, series: str, folder: str | Path, n_stars: int, seed: int) -> PlantedStars:
    """Write copies of a measured series' images with more stars, their truth, and a configuration to measure them.

    Parameters
    ----------
    work : str or Path
        Working directory with ``results/{series}``.
    series : str
        Name of the series.
    folder : str or Path
        Gets ``images/``, ``gaia.fits``, ``planted.ecsv``, ``planted.h5`` and ``config.yaml``; it is made. Copies of a
        former call are removed. A frame that has no PSF gets no copy, and its reason in ``planted.h5``.
    n_stars : int
        Stars to plant; fewer where they would come closer than ten seeing disks to each other.
    seed : int
        Of places, magnitudes, events and photon noise.

    Returns
    -------
    PlantedStars
        What was planted.

    Raises
    ------
    InputError
        The series has not been measured, or by too few stars or at one time only; its reference image has no PSF; or
        its gain is not known, so that planted light would have no noise.
    """
    work, folder = Path(work), Path(folder)
    results = work / "results" / series
    if not (results / "dataset.h5").is_file():
        raise InputError(f"{results / 'dataset.h5'}: missing; run the workflow on the series first")
    ledger = json.loads((results / "ledger.json").read_text(encoding="utf-8"))
    entries = {entry["frame_id"]: entry for entry in ledger["frames"]}
    rng = np.random.default_rng(seed)
    with DatasetReader(results / "dataset.h5") as source:
        frames, attributes = source.table("frames"), source.attributes()
        config = json.loads(str(attributes["config"]))
        own_stars = attributes.get("magnitude_system", "Gaia G") != "Gaia G"
        stars = _choose_stars(source, frames, results / "wcs", n_stars, rng, own_stars)
        method = favoured_method(source.methods)
        arriving = _throughput(source, method, stars.x_ref, stars.y_ref)
    copies = folder / "images"
    copies.mkdir(parents=True, exist_ok=True)
    for former in copies.glob("*.fits"):
        former.unlink()
    catalog, _ = read_star_catalog(results / "star_catalog.h5")
    reading = frame_settings(config["series"])
    relative = stars.relative(frames)
    with BatchWriter(folder / "planted.h5", kind="planted") as truth:
        for j, frame_id in enumerate(frames["frame_id"]):
            if frames["status"][j] != OK:
                truth.add(frame_id, {"status": str(frames["status"][j])})
                continue
            frame = _read(work, entries[frame_id], frame_id, reading)
            wcs = find_plate(results / "wcs", frame_id)
            x, y = sky_to_pixel(wcs, stars.ra_deg, stars.dec_deg)
            try:
                psf = _psf(results, frame, frame_id, wcs, catalog, float(frames["fwhm_pix"][j]))
            except BadFrameError as reason:
                if frame_id == attributes["reference_frame_id"]:
                    raise InputError(
                        f"{frame_id}: the reference image has no PSF to plant stars with: {reason}"
                    ) from None
                LOG.warning("%s: no copy: %s", frame_id, reason)
                truth.add(frame_id, {"status": str(reason)})
                continue
            electrons = stars.level * relative[:, j] * arriving[:, j] * frame.info.exptime_s
            copy = _with_stars(frame, psf, x, y, electrons, float(frames["fwhm_pix"][j]), rng.spawn(1)[0])
            # Not the telescope whose layout the copy has.
            write_banzai(copies / f"{frame_id}.fits", copy, header={"TELESCOP": "INJECTION"})
            truth.add(frame_id, {"status": OK}, {"x": x, "y": y, "electrons": electrons})
            LOG.info("%s: planted %d stars", frame_id, int(np.isfinite(electrons).sum()))
    _write_planted(folder / "planted.ecsv", stars, {"series": series, "seed": seed})
    if not own_stars:
        write_catalog(folder / "gaia.fits", _extended(read_catalog(results / "gaia.fits"), stars))
    settings = _configuration(series, config, attributes, frames, own_stars)
    (folder / "config.yaml").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    return stars


def _read(work: Path, entry: Mapping, frame_id: str, reading: FrameSettings) -> Frame:
    frame = read_frame(work / entry["path"], frame_id, reading, entry["overrides"])
    if frame.info.unit != "electron":
        raise InputError(
            f"{frame_id}: its gain is not known, so planted light would have no noise; set header.gain and run again"
        )
    return frame


def _choose_stars(
    source: DatasetReader, frames: Columns, plates: Path, n_stars: int, rng: np.random.Generator, own_stars: bool
) -> PlantedStars:
    """Places away from each other, magnitudes from the brightest unsaturated to the faintest useful star, events."""
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
    bright, faint, zero_point = _brightness(source)
    mag = rng.permutation(np.linspace(bright, faint, n))
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
        level=10 ** (-0.4 * (mag - zero_point)),
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


def _brightness(source: DatasetReader) -> tuple[float, float, float]:
    """Brightest and faintest magnitude to plant, on the scale of Gaia G, and its zero point."""
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
    return float(brightest), float(np.percentile(useful, 98)), zero_point


def _throughput(source: DatasetReader, method: str, x_new: np.ndarray, y_new: np.ndarray) -> np.ndarray:
    """Flux as measured over calibrated flux at places of the reference image, in each frame; NaN where not known.

    Both fluxes of a star have the same noise, so that their ratio has none: it is the calibration itself, which is
    smooth over the field.
    """
    flux, calibrated = source.grid(f"{method}/flux")[()], source.grid(f"{method}/flux_cal")[()]
    x, y = source.array("stars/x_ref"), source.array("stars/y_ref")
    placed = np.isfinite(x) & np.isfinite(y)
    shape = int(np.ceil(y[placed].max())) + 1, int(np.ceil(x[placed].max())) + 1
    here, new = (frame_terms(u, v, shape, 3) for u, v in ((x[placed], y[placed]), (x_new, y_new)))
    found = np.full((len(x_new), flux.shape[1]), np.nan)
    for j in range(flux.shape[1]):
        known = (flux[placed, j] > 0) & (calibrated[placed, j] > 0)
        if known.sum() >= _LEAST_STARS:
            value = np.log(flux[placed, j][known].astype(float) / calibrated[placed, j][known])
            found[:, j] = np.exp(new @ np.linalg.lstsq(here[known], value, rcond=None)[0])
    return found


def _psf(results: Path, frame: Frame, frame_id: str, wcs: TanSip, catalog: StarCatalog, fwhm: float) -> PsfModel:
    """The frame's PSF as the run measured it; measured now where it did not."""
    for folder in (results / method.name for method in METHODS if method.holds_psf):
        if not folder.is_dir():
            continue
        try:
            return read_psf(folder, frame_id)
        except InputError:
            LOG.info("%s: has no PSF of its own yet", frame_id)
    x, y = places_on_image(catalog, wcs, frame.info.mjd_utc)
    return psf_of_arrays(measure_stars(frame, x, y, fwhm).arrays)


def _with_stars(
    frame: Frame,
    psf: PsfModel,
    x: np.ndarray,
    y: np.ndarray,
    electrons: np.ndarray,
    fwhm: float,
    rng: np.random.Generator,
) -> Frame:
    """Copy of a frame with the stars' light and its photon noise; what saturates does."""
    ny, nx = frame.image.shape
    reach = _REACH_FWHM * fwhm
    inside = np.isfinite(x) & np.isfinite(electrons) & (x > -reach) & (x < nx + reach) & (y > -reach) & (y < ny + reach)
    light = np.zeros((ny, nx), dtype=np.float32)
    stamps = make_stamps(psf, x[inside], y[inside], _STAMP_FWHM * fwhm)
    add_light(light, stamps, electrons[inside], np.full(int(inside.sum()), reach))
    light = np.maximum(light, 0.0)
    image = frame.image + rng.poisson(light).astype(np.float32)
    flags = frame.pixel_flags & ~np.uint8(PixelFlag.COSMIC_RAY)
    if np.isfinite(frame.info.saturation):
        full = image >= frame.info.saturation
        image[full] = np.float32(frame.info.saturation)
        flags = np.where(full, flags | np.uint8(PixelFlag.SATURATED), flags)
    error = None if frame.error is None else np.sqrt(frame.error**2 + light)
    return replace(frame, image=image, error=error, pixel_flags=flags, seeds=None)


def _extended(catalog: SkyCatalog, stars: PlantedStars) -> SkyCatalog:
    """The catalogue with those planted stars that it is told of."""
    rows = np.flatnonzero(stars.known)
    zero = np.zeros(rows.size)
    colour = float(np.nanmedian(catalog.colour)) if np.isfinite(catalog.colour).any() else float("nan")
    # At the epoch of the catalogue, at rest.
    epoch = float(np.median(catalog.ref_epoch)) if len(catalog) else 2016.0
    new = {
        "source_id": stars.source_id[rows],
        "ra_deg": stars.ra_deg[rows],
        "dec_deg": stars.dec_deg[rows],
        "ref_epoch": zero + epoch,
        "pos_err": zero + _POSITION_ERROR_MAS,
        "pm_err": zero + _POSITION_ERROR_MAS,
        "mag": stars.mag[rows],
        "colour": zero + colour,
        **{name: zero for name in ("pmra", "pmdec", "parallax")},
    }
    return catalog.with_columns(
        {name: np.concatenate([getattr(catalog, name), values]) for name, values in new.items()}
    )


def _configuration(series: str, config: Mapping, attributes: Mapping, frames: Columns, own_stars: bool) -> dict:
    """Settings of the series, for the copies."""
    own = config["series"]
    apertures = {float(value) for value in frames["aperture_m"][np.isfinite(frames["aperture_m"])]}
    settings = {
        "images": "images/*.fits",
        "reference_image": attributes["reference_frame_id"],
        **{key: own[key] for key in ("centre_deg", "radius_arcmin", "pixel_scale_arcsec") if own.get(key) is not None},
    }
    if len(apertures) == 1:
        settings["site"] = {"aperture_m": apertures.pop()}
    if not own_stars:
        settings["gaia_file"] = "gaia.fits"
    sections = {key: config[key] for key in ("refine_wcs", "star_catalog", "photometry", "calibrate")}
    extraction = {**config["extract_stars"], "source": "detect"}
    source = "reference_image" if own_stars else "file"
    gaia: dict[str, Any] = {"source": source}
    if "magnitude_limit" in config["gaia"]:
        gaia["magnitude_limit"] = 25.0
    return {"series": {series: settings}, "gaia": gaia, "extract_stars": extraction, **sections}


_COLUMNS = {
    "source_id": ("", "number of the star"),
    "known": ("", "whether the catalogue has the star"),
    "kind": ("", "constant, transit or microlensing"),
    "ra_deg": ("deg", "right ascension, ICRS"),
    "dec_deg": ("deg", "declination, ICRS"),
    "x_ref": ("pixel", "column on the reference image"),
    "y_ref": ("pixel", "row on the reference image"),
    "mag": ("mag", "magnitude on the scale of Gaia G"),
    "level": ("", "calibrated flux outside of the event, in the series' unit"),
    "t0": ("d", "centre of the event, BJD TDB"),
    "duration": ("d", "of the transit, first to fourth contact"),
    "depth": ("", "of the transit"),
    "u0": ("", "impact parameter of the microlensing event"),
    "t_e": ("d", "Einstein time"),
}


def _write_planted(path: Path, stars: PlantedStars, meta: Mapping[str, Any]) -> None:
    columns = {name: (getattr(stars, name), unit, text) for name, (unit, text) in _COLUMNS.items()}
    write_ecsv(path, columns, dict(meta))


def read_planted(path: str | Path) -> PlantedStars:
    """Stars of ``planted.ecsv``."""
    columns, _ = read_ecsv(path)
    kind = np.array([str(text) for text in columns["kind"]], dtype=object)
    return PlantedStars(**{**{name: np.asarray(columns[name]) for name in _COLUMNS}, "kind": kind})
