"""CPU seconds of a frame by stage, against the script with sep, on the same frames in turn."""

from dataclasses import dataclass
from statistics import median

from benchmarks.chain import Measured, make_star_catalog, measure
from benchmarks.peers import sep_script
from benchmarks.peers.sep_script import SepResult
from benchmarks.scene import Scene
from benchmarks.table import Figure
from gaiaflux.model.catalog import StarCatalog

__all__ = ["STAGES", "Pairs", "figures", "run_pairs"]

STAGES = ("read", "extract", "wcs", "aperture")


@dataclass
class Pairs:
    """The frames of a scene as both programs measured them.

    Attributes
    ----------
    scene : Scene
        Frames and truth.
    catalog : StarCatalog
        Stars that both measured.
    ours : list of Measured
    peer : list of SepResult
    """

    scene: Scene
    catalog: StarCatalog
    ours: list[Measured]
    peer: list[SepResult]


def run_pairs(scene: Scene, settings: dict) -> Pairs:
    """Measure each frame with both programs, one after the other; the first pair is done once before, not counted.

    Parameters
    ----------
    scene : Scene
        Frames.
    settings : dict
        Complete configuration.

    Returns
    -------
    Pairs
    """
    pairs = Pairs(scene, make_star_catalog(scene, settings), [], [])
    names = list(zip(scene.paths, scene.frame_ids, strict=True))
    for path, frame_id in [names[0], *names]:
        pairs.ours.append(measure(path, frame_id, scene, pairs.catalog, settings))
        pairs.peer.append(sep_script.run(path, scene.gaia, pairs.catalog))
    del pairs.ours[0], pairs.peer[0]
    return pairs


def figures(sparse: Pairs, crowded: Pairs) -> list[Figure]:
    """Medians over the frames.

    Parameters
    ----------
    sparse, crowded : Pairs

    Returns
    -------
    list of Figure
    """
    rows = []
    for name, pairs in (("sparse", sparse), ("crowded", crowded)):
        ours, peer = (median(one.clock.total for one in results) for results in (pairs.ours, pairs.peer))
        budget = {"at_most": 0.25, "ratio_at_most": 0.6} if name == "sparse" else {}
        rows.append(Figure(f"{name} frame, all stages [CPU s]", ours, peer, **budget))
        for stage in STAGES:
            ours, peer = (
                median(one.clock.seconds.get(stage, 0.0) for one in results) for results in (pairs.ours, pairs.peer)
            )
            limit = 0.05 if stage == "wcs" else None
            rows.append(Figure(f"  {name}: {stage}", ours, peer, at_most=limit))
        rows.append(
            Figure(
                f"  {name}: stars extracted",
                median(len(one.stars) for one in pairs.ours),
                median(one.n_stars for one in pairs.peer),
                digits=0,
            )
        )
    return rows
