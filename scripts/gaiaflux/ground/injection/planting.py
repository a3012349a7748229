"""Stars of known flux in copies of a series' images, so that a user can prove the errors of the measurements.

The copies are measured by the same workflow as the images; `gaiaflux.ground.injection.scores` compares. The images
themselves are only read.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gaiaflux.core.sky.projection import sky_to_pixel
from gaiaflux.ground.injection.added_light import find_psf, throughput, with_stars
from gaiaflux.ground.injection.planted_stars import PlantedStars, write_planted
from gaiaflux.ground.injection.star_choice import choose_stars
from gaiaflux.io.batch_file import BatchWriter
from gaiaflux.io.dataset import DatasetReader
from gaiaflux.io.gaia.catalog import read_catalog, write_catalog
from gaiaflux.io.image.banzai_writer import write_banzai
from gaiaflux.io.image.frames import FrameSettings, frame_settings, read_frame
from gaiaflux.io.plate_solution import find_plate
from gaiaflux.io.star_catalog import read_star_catalog
from gaiaflux.model.catalog import SkyCatalog
from gaiaflux.model.errors import BadFrameError, InputError
from gaiaflux.model.frame import Frame
from gaiaflux.model.status import OK
from gaiaflux.series.method_choice import favoured_method

__all__ = ["plant_stars"]

LOG = logging.getLogger(__name__)

_POSITION_ERROR_MAS = 1.0


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
        stars = choose_stars(source, frames, results / "wcs", n_stars, rng, own_stars)
        method = favoured_method(source.methods)
        arriving = throughput(source, method, stars.x_ref, stars.y_ref)
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
                psf = find_psf(results, frame, frame_id, wcs, catalog, float(frames["fwhm_pix"][j]))
            except BadFrameError as reason:
                if frame_id == attributes["reference_frame_id"]:
                    raise InputError(
                        f"{frame_id}: the reference image has no PSF to plant stars with: {reason}"
                    ) from None
                LOG.warning("%s: no copy: %s", frame_id, reason)
                truth.add(frame_id, {"status": str(reason)})
                continue
            electrons = stars.level * relative[:, j] * arriving[:, j] * frame.info.exptime_s
            copy = with_stars(frame, psf, x, y, electrons, float(frames["fwhm_pix"][j]), rng.spawn(1)[0])
            # Not the telescope whose layout the copy has.
            write_banzai(copies / f"{frame_id}.fits", copy, header={"TELESCOP": "INJECTION"})
            truth.add(frame_id, {"status": OK}, {"x": x, "y": y, "electrons": electrons})
            LOG.info("%s: planted %d stars", frame_id, int(np.isfinite(electrons).sum()))
    write_planted(folder / "planted.ecsv", stars, {"series": series, "seed": seed})
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


def _configuration(
    series: str, config: Mapping, attributes: Mapping, frames: Mapping[str, np.ndarray], own_stars: bool
) -> dict:
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
