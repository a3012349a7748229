"""The per-frame chain of the rules in one process, with the CPU time of each stage."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.scene import Scene
from gaiaflux.ground.catalog.reference import choose_reference
from gaiaflux.ground.catalog.star_catalog import combine_catalogs, complete_catalog
from gaiaflux.ground.frame.extraction import extract_stars, mark_cosmic_rays
from gaiaflux.ground.frame.plate_solution import refine_frame_wcs
from gaiaflux.ground.frame.psf_options import psf_options
from gaiaflux.ground.frame.star_places import place_stars
from gaiaflux.ground.photometry.aperture import measure_frame
from gaiaflux.io.image.frames import FrameSettings, read_frame
from gaiaflux.model.catalog import StarCatalog
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.frame import Frame
from gaiaflux.model.settings.aperture import ApertureSettings
from gaiaflux.model.settings.extract_stars import ExtractStarsSettings
from gaiaflux.model.settings.psf import PsfSettings
from gaiaflux.model.settings.refine_wcs import RefineWcsSettings
from gaiaflux.model.typed import typed
from gaiaflux.model.wcs import TanSip

__all__ = ["Clock", "Measured", "build_catalog", "make_star_catalog", "measure"]


@dataclass
class Clock:
    """CPU seconds (user and system) of this process by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add what is spent inside to a stage."""
        start = time.process_time()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - start

    @property
    def total(self) -> float:
        """All stages."""
        return sum(self.seconds.values())


@dataclass
class Measured:
    """What the chain made of a frame.

    Attributes
    ----------
    clock : Clock
        CPU seconds of read, extract, wcs and aperture.
    facts : dict
        What `extract_stars` writes about the frame.
    stars : ndarray of STAR_DTYPE
        Its stars.
    cosmic_pixels : ndarray
        Its pixels with cosmic rays, as `mark_cosmic_rays` takes them.
    wcs : TanSip or None
        Refined plate solution; None where there is none.
    aperture : dict
        Arrays of `measure_frame`; empty without a plate solution.
    reason : str
        Why there is none.
    """

    clock: Clock
    facts: dict[str, object]
    stars: np.ndarray
    cosmic_pixels: np.ndarray
    wcs: TanSip | None = None
    aperture: dict[str, np.ndarray] = field(default_factory=dict)
    reason: str = ""


def measure(path: Path, frame_id: str, scene: Scene, catalog: StarCatalog | None, settings: dict) -> Measured:
    """Do what the rules extract_stars, refine_wcs and aperture_photometry do for one frame.

    The image is read twice, as by two rules, and its checksum computed. Writing the batch files is left out.

    Parameters
    ----------
    path : Path
        Image.
    frame_id : str
        Its name.
    scene : Scene
        For the Gaia catalogue.
    catalog : StarCatalog or None
        Stars to measure; None stops after the plate solution.
    settings : dict
        Complete configuration.

    Returns
    -------
    Measured
    """
    clock, reading = Clock(), FrameSettings()
    refine = typed(RefineWcsSettings, settings["refine_wcs"])
    with clock.stage("read"):
        frame = read_frame(path, frame_id, reading, {}, want_error=False, want_seeds=True, want_checksum=True)
    with clock.stage("extract"):
        attrs, arrays = extract_stars(frame, frame.seeds, typed(ExtractStarsSettings, settings["extract_stars"]))
        facts = {**asdict(frame.info), "ny": frame.info.shape[0], "nx": frame.info.shape[1], "status": "ok", **attrs}
    result = Measured(clock, facts, arrays["stars"], arrays["cosmic_pixels"])
    try:
        with clock.stage("wcs"):
            result.wcs = refine_frame_wcs(facts, arrays["stars"], scene.gaia, refine).wcs
    except BadFrameError as reason:
        result.reason = str(reason)
        return result
    if catalog is not None:
        with clock.stage("read"):
            frame = read_frame(path, frame_id, reading, {})
        with clock.stage("aperture"):
            frame = mark_cosmic_rays(frame, arrays["cosmic_pixels"])
            placed = place_stars(frame, result.wcs, catalog, attrs["fwhm_pix"])
            radii = typed(ApertureSettings, settings["photometry"]["aperture"])
            result.aperture = measure_frame(placed, radii).arrays
    return result


def make_star_catalog(scene: Scene, settings: dict) -> StarCatalog:
    """Do what the rules choose_reference and build_star_catalog do for a series.

    Parameters
    ----------
    scene : Scene
        Series.
    settings : dict
        Complete configuration.

    Returns
    -------
    StarCatalog
    """
    names = zip(scene.paths, scene.frame_ids, strict=True)
    return build_catalog(
        scene, {frame_id: measure(path, frame_id, scene, None, settings) for path, frame_id in names}, settings
    )


def build_catalog(scene: Scene, measured: dict[str, Measured], settings: dict) -> StarCatalog:
    """The star catalogue from frames that are measured already.

    Parameters
    ----------
    scene : Scene
        Series.
    measured : dict of str to Measured
        All frames by name.
    settings : dict
        Complete configuration.

    Returns
    -------
    StarCatalog
    """
    facts = {frame_id: one.facts for frame_id, one in measured.items()}

    def place(frame_id: str) -> tuple[TanSip, dict[str, object]]:
        if measured[frame_id].wcs is None:
            raise BadFrameError(measured[frame_id].reason)
        return measured[frame_id].wcs, {}

    reference, _ = choose_reference(facts, None, place)
    images = iter(_read(scene, measured, [entry["frame_id"] for entry in reference["stack"]]))
    frame, wcs = next(images)
    detection_snr = settings["star_catalog"]["detection_snr"]
    options = psf_options(typed(PsfSettings, settings["photometry"]["psf"]))
    found = complete_catalog(scene.gaia, frame, wcs, detection_snr=detection_snr, options=options, others=images)
    return combine_catalogs(
        scene.gaia,
        found,
        wcs,
        frame.info.mjd_utc,
        add_reference_stars=settings["star_catalog"]["add_reference_stars"],
        margin_pix=reference["margin_pix"],
    )


def _read(scene: Scene, measured: dict[str, Measured], frame_ids: list[str]) -> Iterator[tuple[Frame, TanSip]]:
    for frame_id in frame_ids:
        path = scene.paths[scene.frame_ids.index(frame_id)]
        yield read_frame(path, frame_id, FrameSettings(), {}, want_error=False), measured[frame_id].wcs
