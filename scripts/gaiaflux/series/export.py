"""The whole dataset in other formats, and light curves of the targets for the AAVSO."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from gaiaflux.io.dataset import DatasetReader
from gaiaflux.io.export.aavso import AAVSO_FILTERS, AavsoFile, write_aavso
from gaiaflux.io.export.ecsv import write_ecsv_export
from gaiaflux.io.export.fits_file import write_fits_export
from gaiaflux.io.export.parquet import write_parquet_export
from gaiaflux.model.errors import InputError
from gaiaflux.model.flags import NOT_GOOD, UNUSABLE
from gaiaflux.model.settings.export import AavsoSettings, ExportSettings
from gaiaflux.model.settings.target import TargetSettings
from gaiaflux.model.status import OK, StarUse
from gaiaflux.series.magnitudes import magnitudes_of_star, method_scale, scale_facts
from gaiaflux.series.method_choice import methods_of_stars
from gaiaflux.series.targets import match_targets

__all__ = ["export_aavso", "export_dataset"]

_CANDIDATES = 50  # stars of like brightness among which the check star is chosen

Columns = Mapping[str, np.ndarray]


def export_dataset(
    dataset: str | Path, folder: str | Path, settings: ExportSettings, targets: Sequence[TargetSettings]
) -> None:
    """Write a dataset in each of the formats that are asked for.

    Parameters
    ----------
    dataset : str or Path
        Dataset of the series.
    folder : str or Path
        Gets ``dataset.fits``, ``parquet/``, ``ecsv/`` and ``aavso/``; it is made.
    settings : ExportSettings
        Formats, and what the AAVSO's needs where it is one of them.
    targets : sequence of TargetSettings
        Targets of the series, for the AAVSO.

    Raises
    ------
    InputError
        A target that cannot be in this series; a dataset that is too large for text; no code of the observer for the
        AAVSO.
    """
    folder, formats = Path(folder), settings.formats
    folder.mkdir(parents=True, exist_ok=True)
    with DatasetReader(dataset) as source:
        if "fits" in formats:
            write_fits_export(source, folder / "dataset.fits")
        if "parquet" in formats:
            write_parquet_export(source, folder / "parquet")
        if "ecsv" in formats:
            write_ecsv_export(source, folder / "ecsv")
        if "aavso" in formats:
            if settings.aavso is None:
                raise InputError("export.aavso: missing; the format aavso needs it")
            export_aavso(source, folder / "aavso", targets, settings.aavso)


def export_aavso(
    source: DatasetReader, folder: str | Path, targets: Sequence[TargetSettings], settings: AavsoSettings
) -> None:
    """Write ``{target}.txt`` of each target that has a star with good points.

    Only good points are reported, by the method that is recommended for the star. The comparison star is the ensemble;
    the check star is the least variable one of the ensemble among those of like brightness.

    Parameters
    ----------
    source : DatasetReader
        Open dataset.
    folder : str or Path
        Where to write; it is made.
    targets : sequence of TargetSettings
        Targets of the series; the name of each has to be one that the AAVSO knows.
    settings : AavsoSettings

    Raises
    ------
    InputError
        A target that cannot be in this series, or no code of the observer.
    """
    if settings.observer_code is None:
        raise InputError("export.aavso.observer_code: missing; the format aavso needs it")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    frames, stars = source.table("frames"), source.stars()
    for target, match in zip(targets, match_targets(source, targets), strict=True):
        if match.row >= 0:
            _write_target(source, folder / f"{target.name}.txt", target.name, match.row, frames, stars, settings)


def _write_target(
    source: DatasetReader, path: Path, name: str, row: int, frames: Columns, stars: Columns, settings: AavsoSettings
) -> None:
    usable = (frames["flags"] & UNUSABLE) == 0
    good = {method: _good(source, method, row) & usable for method in source.methods}
    method = str(methods_of_stars(source)[0][row])
    if not method:
        return
    scale = method_scale(source, method)
    facts = scale_facts(scale, stars["colour"][row])
    mag, mag_err = _magnitudes(source, method, row, stars)
    check = _check_star(source, method, row)
    check_mag, check_name = np.full(len(mag), np.nan), ""
    if check >= 0:
        check_mag, _ = _magnitudes(source, method, check, stars)
        check_mag = np.where(_good(source, method, check) & usable, check_mag, np.nan)
        source_id = int(stars["source_id"][check])
        check_name = str(source_id) if source_id >= 0 else f"star {stars['star_id'][check]}"
    transformed = scale.colour_term != 0.0 and facts["bp_rp_note"] == OK
    text = [f"{method} photometry", f"zero point from {scale.n_stars} stars with magnitudes of Gaia DR3"]
    text += ["check star by its number in Gaia DR3"] if check_name else []
    if scale.band not in AAVSO_FILTERS:
        text.insert(0, f"magnitudes are {scale.system}")
    terms = f"|Tc_bprp={scale.colour_term:.4f}|Tc_bprpErr={scale.colour_term_err:.4f}" if transformed else ""
    write_aavso(
        path,
        AavsoFile(
            observer_code=settings.observer_code or "",
            software=f"gaiaflux {version('gaiaflux')}",
            obstype=settings.obstype,
            star=name.replace("_", " "),
            band=AAVSO_FILTERS.get(scale.band, "O"),
            transformed=transformed,
            chart=settings.chart,
            check_star=check_name,
            notes="; ".join(text) + terms,
            comments=(
                f"Magnitudes: {facts['magnitude_system']}",
                f"Zero point: +- {scale.zero_point_err:.4f} mag; scatter of its stars {scale.scatter:.4f} mag",
            ),
        ),
        frames["mjd_utc"],
        np.where(good[method], mag, np.nan),
        mag_err,
        check_mag,
        frames["airmass"],
    )


def _good(source: DatasetReader, method: str, row: int) -> np.ndarray:
    return (source.grid(f"{method}/flags")[row] & NOT_GOOD) == 0


def _magnitudes(source: DatasetReader, method: str, row: int, stars: Columns) -> tuple[np.ndarray, np.ndarray]:
    flux, error = (source.grid(f"{method}/{name}")[row] for name in ("flux_cal", "flux_cal_err"))
    return magnitudes_of_star(method_scale(source, method), flux, error, stars["colour"][row])


def _check_star(source: DatasetReader, method: str, row: int) -> int:
    """Row of the ensemble's star that scatters least for its errors among those of like brightness; -1 = none."""
    members = np.flatnonzero(source.array(f"{method}/ensemble_status") == StarUse.USED)
    members = members[members != row]
    if not members.size:
        return -1
    level = np.array([_level(source, method, k) for k in (row, *members)])
    log_level = np.log(np.where(level > 0, level, np.nan))
    distance = np.abs(log_level[1:] - log_level[0])
    near = members[np.argsort(np.nan_to_num(distance, nan=np.inf), kind="stable")[:_CANDIDATES]]
    spread = []
    for k in near:
        flux, error = (source.grid(f"{method}/{name}")[k] for name in ("flux_cal", "flux_cal_err"))
        use = _good(source, method, k) & np.isfinite(flux) & (error > 0)
        pull = (flux[use] - np.median(flux[use])) / error[use] if use.any() else np.array([np.inf])
        spread.append(float(np.median(np.abs(pull))))
    return int(near[int(np.argmin(spread))])


def _level(source: DatasetReader, method: str, row: int) -> float:
    flux = source.grid(f"{method}/flux_cal")[row]
    known = flux[np.isfinite(flux)]
    return float(np.median(known)) if known.size else float("nan")
