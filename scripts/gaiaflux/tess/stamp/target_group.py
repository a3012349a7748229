"""What a batch keeps of a measured target: what the dataset needs, and what the files of its light curves repeat."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from gaiaflux.core.sky.spacecraft import spacecraft_mjd_tdb
from gaiaflux.io.batch_file import BatchReader
from gaiaflux.io.plate_solution import plate_of_record, plate_record
from gaiaflux.io.tess.light_curve_header import LightCurveHeader
from gaiaflux.io.tess.neighbour_table import Neighbours
from gaiaflux.io.tess.weight_map import WeightMap
from gaiaflux.model.cadences import CosmicRays, Detector
from gaiaflux.model.status import OK
from gaiaflux.tess.stamp.light_curve_table import Measurement
from gaiaflux.tess.stamp.measurement import measure_methods
from gaiaflux.tess.stamp.products import Notes, StampFacts, curve_name, stamp_facts
from gaiaflux.tess.stamp.stamp_view import StampView
from gaiaflux.tess.stamp.star_times import times_of_star
from gaiaflux.tess.stamp.status import STATUS

__all__ = ["KeptTarget", "read_kept", "target_group"]

VERSION = 1
"""Of the light curves."""
_FACTS = "light_curve_facts"


class KeptTarget(NamedTuple):
    """What the files of a target's light curves are made of, besides what the dataset says.

    Attributes
    ----------
    facts : StampFacts
        What all of them repeat.
    columns : dict of str to dict of str to ndarray
        Of each method that measured the star, columns as `gaiaflux.tess.stamp.products.write_curve` takes them.
    notes : dict of str to Notes
        Of the same methods.
    """

    facts: StampFacts
    columns: dict[str, dict[str, np.ndarray]]
    notes: dict[str, Notes]


def target_group(
    view: StampView, remarks: Sequence[str], methods: Sequence[str], path: str, saturated: str = "aperture"
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Measure a target, and put together what its group in a batch file holds.

    Parameters
    ----------
    view : StampView
        Of any `PixelSource`.
    remarks : sequence of str
        What the user has to know about the files.
    methods : sequence of str
        Names of `gaiaflux.model.methods.TESS_METHODS`.
    path : str
        Where the pixels are, for tables.
    saturated : str
        See `gaiaflux.tess.stamp.measurement.measure_methods`.

    Returns
    -------
    attrs : dict
        ``status`` and what tables say of the target; ``row``, ``column`` are its place on the CCD [pixel, 0-based],
        None where it is not known.
    arrays : dict of str to ndarray
        Cadences, ``{method}_{array}`` for what a method measured, and what `read_kept` reads.
    """
    source = view.source
    made = measure_methods(view, methods, saturated=saturated)
    measured = {method: one for method, one in made.items() if one.status is not STATUS.ERROR}
    said = [*remarks, *(f"{method}: {text}" for method in methods for text in made[method].remarks)]
    reasons = [one.remarks[-1] for one in made.values() if one.status is STATUS.ERROR]
    place = source.timecorr_place
    facts = stamp_facts(view, VERSION)
    attrs = {
        "status": "; ".join(dict.fromkeys(reasons)) if len(reasons) == len(made) else OK,
        "path": path,
        "starid": view.starid,
        "sector": source.sector,
        "camera": source.camera,
        "ccd": source.ccd,
        "row": view.target_pos_row if source.position_known else None,
        "column": view.target_pos_column if source.position_known else None,
        "tmag": view.target["tmag"],
        "exptime_s": source.exposure_s,
        "zero_point": source.zero_point,
        "timecorr_ra": place[0] if place else None,
        "timecorr_dec": place[1] if place else None,
        "remarks": json.dumps(said),
        "light_curves": ", ".join(curve_name(facts, method) for method in measured),
        **{f"{method}_status": made[method].status.name for method in methods},
    }
    arrays = _arrays(view, made)
    return attrs, arrays | _kept(view, facts, measured, remarks) if measured else arrays


def _arrays(view: StampView, made: Mapping[str, Measurement]) -> dict[str, np.ndarray]:
    """What the dataset needs."""
    source, stamp = view.source, view.stamp
    arrays = {
        "cadenceno": source.cadenceno,
        "mjd_tdb": spacecraft_mjd_tdb(source.time, source.timecorr),
        "timecorr": source.timecorr,
        "quality": source.quality,
    }
    if source.frame_flags.any():
        arrays["frame_flags"] = source.frame_flags
    for method, measured in made.items():
        columns = {
            name: getattr(measured, name).astype(np.float32)
            for name in ("flux", "flux_err", "background", "chi2", "n_clipped", "contamination")
        }
        columns["flags"] = measured.flags
        columns["centroid_column"] = measured.centroid[:, 0] + stamp[2] + 1
        columns["centroid_row"] = measured.centroid[:, 1] + stamp[0] + 1
        arrays |= {f"{method}_{name}": values for name, values in columns.items()}
    return arrays


def _kept(
    view: StampView, facts: StampFacts, measured: Mapping[str, Measurement], remarks: Sequence[str]
) -> dict[str, np.ndarray]:
    """What the files of the light curves need besides."""
    source = view.source
    time, timecorr = times_of_star(source.time, source.timecorr, source.timecorr_place, view.sky)
    record = {
        "header": asdict(facts.header),
        "wcs": plate_record(facts.wcs),
        "notes": {name: {"cards": one.cards, "remarks": [*remarks, *one.remarks]} for name, one in measured.items()},
    }
    masks = {f"{name}_mask": one.mask for name, one in measured.items() if one.mask is not None}
    maps = {name: one.weights for name, one in measured.items() if one.weights is not None}
    weights = {f"{name}_weights": one.weight for name, one in maps.items()}
    beside = {name: one.neighbours for name, one in measured.items() if one.neighbours is not None}
    record["neighbours"] = dict.fromkeys(beside, True)
    neighbours: dict[str, np.ndarray] = {}
    for name, found in beside.items():
        neighbours |= {f"neighbour_{key}": getattr(found, key) for key in ("tmag", "row", "column")}
        neighbours |= {f"{name}_neighbour_{key}": getattr(found, key) for key in ("flux", "flux_err")}
        neighbours["neighbour_ids"] = found.star_id
    record["n_saturated"] = {name: one.n_saturated for name, one in maps.items()}
    return {
        "star_time": time,
        "star_timecorr": timecorr,
        "pos_corr": source.pos_corr.astype(np.float32),
        "sumimage": facts.sumimage,
        "aperture_bits": facts.bits,
        **masks,
        **weights,
        **neighbours,
        **{f"{name}_flux_background": one.flux_background.astype(np.float32) for name, one in measured.items()},
        _FACTS: np.frombuffer(json.dumps(record).encode(), np.uint8),
    }


def read_kept(batch: BatchReader, name: str) -> KeptTarget | None:
    """What a batch keeps for the files of a target's light curves.

    Parameters
    ----------
    batch : BatchReader
        File of groups of `target_group`.
    name : str
        Of the target.

    Returns
    -------
    KeptTarget or None
        None where no method measured it.
    """
    names = batch.names(name)
    if _FACTS not in names:
        return None
    record = json.loads(batch.array(name, _FACTS).tobytes())
    header = record["header"]
    header["detector"] = Detector(**{key: _tuples(value) for key, value in header["detector"].items()})
    header["cosmic_rays"] = CosmicRays(**header["cosmic_rays"])
    header["remarks"] = tuple(header["remarks"])
    sumimage, bits = batch.array(name, "sumimage"), batch.array(name, "aperture_bits")
    facts = StampFacts(LightCurveHeader(**header), sumimage, bits, plate_of_record(record))
    shared = {
        "time": batch.array(name, "star_time"),
        "timecorr": batch.array(name, "star_timecorr"),
        **{key: batch.array(name, key) for key in ("cadenceno", "quality", "pos_corr")},
    }
    columns, notes = {}, {}
    for method, said in record["notes"].items():
        own = {key: batch.array(name, f"{method}_{key}") for key in ("flux", "flux_err", "flux_background", "flags")}
        own["pos_centroid"] = np.stack(
            [batch.array(name, f"{method}_centroid_{axis}") for axis in ("column", "row")], axis=1
        )
        columns[method] = shared | own
        mask = batch.array(name, f"{method}_mask").astype(bool) if f"{method}_mask" in names else None
        cards = {key: tuple(card) for key, card in said["cards"].items()}
        weights = None
        if method in record["n_saturated"]:
            weights = WeightMap(batch.array(name, f"{method}_weights"), record["n_saturated"][method])
        beside = None
        if method in record["neighbours"]:
            shared_keys = (f"neighbour_{key}" for key in ("ids", "tmag", "row", "column"))
            own_keys = (f"{method}_neighbour_{key}" for key in ("flux", "flux_err"))
            beside = Neighbours(*(batch.array(name, key) for key in (*shared_keys, *own_keys)))
        notes[method] = Notes(mask, mask, cards, tuple(said["remarks"]), weights, beside)
    return KeptTarget(facts, columns, notes)


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
