"""Plate solutions under stress: how many frames are solved, flagged, or wrong; ``python benchmarks/wcs_stress.py``.

Lists of stars are simulated directly, hundreds of them; a few frames are images that are made and measured. A solution
is wrong if it is more than 1 pixel from the truth anywhere in the image.
"""

import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.scene import Scene, default_settings
from benchmarks.table import Figure, print_table
from gaiaflux.core.plate.search import SolveSettings, StarTables
from gaiaflux.core.plate.solve import refine_wcs
from gaiaflux.core.sky.projection import pixel_to_sky, sky_to_pixel
from gaiaflux.ground.frame.extraction import extract_stars
from gaiaflux.ground.frame.plate_solution import solve_frame
from gaiaflux.io.image.frames import FrameSettings, read_frame
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.settings.extract_stars import ExtractStarsSettings
from gaiaflux.model.settings.refine_wcs import RefineWcsSettings
from gaiaflux.model.typed import typed
from gaiaflux.sim import presets
from gaiaflux.sim.starlists import StarField, few_star_field, simulate_stars, spoiled_field, stress_field

__all__ = ["Outcome", "figures", "image_outcomes", "list_outcome"]

WRONG_PIX = 1.0


@dataclass(frozen=True)
class Outcome:
    """What became of a frame.

    Attributes
    ----------
    method : str
        How it was solved; empty where it was not.
    reason : str
        Why not.
    error_pix : float
        Largest distance from the truth over the image [pixel]; NaN where it was not solved.
    seconds : float
        CPU time of the plate solution [s].
    """

    method: str
    reason: str
    error_pix: float
    seconds: float

    @property
    def wrong(self) -> bool:
        """Whether a wrong solution was accepted."""
        return self.method != "" and not self.error_pix <= WRONG_PIX


def list_outcome(field: StarField, settings: dict) -> Outcome:
    """Solve a simulated list of stars.

    Parameters
    ----------
    field : StarField
        What is simulated.
    settings : dict
        Section ``refine_wcs``.

    Returns
    -------
    Outcome
    """
    lists = simulate_stars(field)
    started = time.process_time()
    try:
        given = StarTables(lists.stars, lists.ra_deg, lists.dec_deg, lists.mag, lists.pos_err_mas)
        fit = refine_wcs(given, lists.header, SolveSettings(**settings), lists.nominal)
    except BadFrameError as reason:
        return Outcome("", str(reason), np.nan, time.process_time() - started)
    seconds = time.process_time() - started
    return Outcome(fit.method, "", float(lists.error_pix(fit.wcs).max()), seconds)


def image_outcomes(folder: Path, n_fields: int, settings: dict) -> Iterator[Outcome]:
    """Measure simulated images at any rotation, and solve each with its header and without any.

    Parameters
    ----------
    folder : Path
        Where images go.
    n_fields : int
        Number of images; every third is crowded.
    settings : dict
        Complete configuration.

    Yields
    ------
    Outcome
        Two for each image.
    """
    refine = typed(RefineWcsSettings, settings["refine_wcs"])
    for index in range(n_fields):
        rng = np.random.default_rng([index, 17])
        preset = presets.crowded if index % 3 == 2 else presets.sparse
        config = preset(1, seed=500 + index)
        config = replace(config, camera=replace(config.camera, rotation_deg=float(rng.uniform(0, 360))))
        scene = Scene(folder / f"stress{index}", config)
        truth = scene.truth[0].wcs
        frame = read_frame(scene.paths[0], scene.frame_ids[0], FrameSettings(), {}, want_error=False)
        attrs, arrays = extract_stars(frame, None, typed(ExtractStarsSettings, settings["extract_stars"]))
        ny, nx = frame.info.shape
        facts = {**asdict(frame.info), "ny": ny, "nx": nx, **attrs}
        shift = 0.25 * ny * config.camera.pixel_scale_arcsec / 3600.0
        lost = {
            "wcs_cards": "",
            "ra_deg": facts["ra_deg"] + shift,
            "dec_deg": facts["dec_deg"] - shift,
            "pixel_scale_arcsec": 1.03 * config.camera.pixel_scale_arcsec,
        }
        x, y = np.meshgrid(np.linspace(0, nx - 1, 17), np.linspace(0, ny - 1, 17))
        for change in ({}, lost):
            started = time.process_time()
            try:
                fit = solve_frame({**facts, **change}, arrays["stars"], scene.gaia, refine)
            except BadFrameError as reason:
                yield Outcome("", str(reason), np.nan, time.process_time() - started)
                continue
            seconds = time.process_time() - started
            found_x, found_y = sky_to_pixel(fit.wcs, *pixel_to_sky(truth, x, y))
            yield Outcome(fit.method, "", float(np.hypot(found_x - x, found_y - y).max()), seconds)


def figures(folder: Path, settings: dict, *, n_lists: int, n_images: int) -> list[Figure]:
    """Figures of all parts.

    Parameters
    ----------
    folder : Path
        Where images go.
    settings : dict
        Complete configuration.
    n_lists : int
        Number of frames of the stress test.
    n_images : int
        Number of images.

    Returns
    -------
    list of Figure
    """
    refine = settings["refine_wcs"]
    list_outcome(stress_field(1), refine)  # loads the kernels
    fields = [stress_field(seed) for seed in range(n_lists)]
    stressed = [list_outcome(field, refine) for field in fields]
    many = [outcome for field, outcome in zip(fields, stressed, strict=True) if field.n_stars > 30]
    dirty = [spoiled_field(seed) for seed in range(n_lists)]
    spoiled = [list_outcome(field, refine) for field in dirty]
    enough = [outcome for field, outcome in zip(dirty, spoiled, strict=True) if n_good(field) > 30]
    lost = [outcome for field, outcome in zip(fields, stressed, strict=True) if field.header != "offset"]
    n_few = max(n_lists // 3, 3)
    few = [list_outcome(few_star_field(seed, (0.0, 0.3)), refine) for seed in range(n_few)]
    distorted = [list_outcome(few_star_field(seed), refine) for seed in range(n_few)]
    images = list(image_outcomes(folder, n_images, settings))
    right = [outcome.error_pix for outcome in stressed if outcome.method and not outcome.wrong]
    return [
        *_counts(f"{n_lists} stress frames", stressed, 0.99),
        Figure("  more than 30 stars: solved [share]", _solved(many), at_least=0.99),
        Figure("  largest error of those solved [pixel]", max(right, default=np.nan)),
        *_counts(f"{n_lists} of them with saturated and spoiled stars, wrong rows, trails", spoiled, 0.99),
        Figure("  more than 30 good stars: solved [share]", _solved(enough), at_least=0.99),
        Figure("  lost half: CPU of a frame, mean [s]", float(np.mean([one.seconds for one in lost]))),
        Figure("  lost half: CPU of a frame, largest [s]", max(one.seconds for one in lost), at_most=0.3),
        *_counts(f"{n_few} frames of 8 to 30 stars, small distortion", few, 0.99),
        *_counts(
            f"{n_few} frames of 8 to 30 stars, distortion of 10 to 30 pixels that no header knows", distorted, 0.99
        ),
        *_counts(f"{n_images} images, with and without header", images, 0.99),
    ]


def n_good(field: StarField) -> int:
    """Stars of a field whose centroids nothing spoils."""
    return round(field.n_stars * (1.0 - field.saturated_share) * (1.0 - field.spoiled_share))


def _counts(name: str, outcomes: Iterable[Outcome], handled: float) -> list[Figure]:
    outcomes = list(outcomes)
    n_wrong = sum(outcome.wrong for outcome in outcomes)
    return [
        Figure(f"{name}: solved or flagged [share]", 1.0 - n_wrong / len(outcomes), at_least=handled),
        Figure("  solved [share]", _solved(outcomes)),
        Figure("  wrong ones accepted", n_wrong, at_most=0, digits=0),
    ]


def _solved(outcomes: list[Outcome]) -> float:
    return float(np.mean([bool(outcome.method) and not outcome.wrong for outcome in outcomes]))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="gaiaflux-bench-") as temporary:
        rows = figures(Path(temporary), default_settings(), n_lists=300, n_images=3)
    print_table([("plate solutions under stress", rows)])
