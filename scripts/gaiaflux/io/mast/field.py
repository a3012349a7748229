"""All that a field of TESS gets from the archive: what is asked for, in which order, and what is written down of it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gaiaflux.io.checksum import file_sha256
from gaiaflux.io.gaia.archive import ArchiveError, fetch_cone
from gaiaflux.io.gaia.store import join_catalogs
from gaiaflux.io.mast.crossmatch import fetch_crossmatch
from gaiaflux.io.mast.listings import frame_files, prf_set, response_files
from gaiaflux.io.mast.queries import Place, Queries, StoredFile
from gaiaflux.io.mast.star_list import StarList, gaia_rows, tic_rows, write_stars
from gaiaflux.io.mast.store import Cutout, Entry, FileStore
from gaiaflux.io.tess.prf import prf_files
from gaiaflux.io.transport import ServerFailure, Transport
from gaiaflux.model.errors import InputError
from gaiaflux.model.settings.gaia import GaiaSettings
from gaiaflux.model.settings.tess_download import TessDownloadSettings

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["fetch_field"]

CATALOG = "catalog.csv"
_TARGET_FILES = ("tpf", "fast_tpf")
# G - T of the reddest stars: so much fainter in G may a neighbour be.
_REDDEST = 1.6

Given = TypeVar("Given")
Centre = tuple[float, float]


@dataclass
class _Download:
    """One field's download under way."""

    settings: TessDownloadSettings
    gaia: GaiaSettings
    transport: Transport
    queries: Queries
    store: FileStore
    folder: Path
    facts: dict[str, Any]


def fetch_field(settings: TessDownloadSettings, gaia: GaiaSettings, folder: Path) -> dict[str, Any]:
    """Get everything that a field asks for.

    Parameters
    ----------
    settings : TessDownloadSettings
        What is asked for, where, and in which time.
    gaia : GaiaSettings
        How Gaia's archive is asked.
    folder : Path
        Where the files come to.

    Returns
    -------
    dict
        For the manifest: ``files`` (what `FileStore.fetch` says of each), ``places``, ``stars``, ``queries``,
        ``release`` of the TIC and of Gaia, ``date_utc``.

    Raises
    ------
    InputError
        Something did not come, or the archive has nothing: one sentence. What came is kept, and the next run goes on
        there.
    """
    with Transport(settings.timeout_s, settings.deadline_s) as transport:
        queries = Queries(transport, settings.servers.mast.rstrip("/"), settings.servers.tesscut.rstrip("/"))
        store = FileStore(folder, transport, Path(settings.cache_folder) if settings.cache_folder else None)
        run = _Download(settings, gaia, transport, queries, store, folder, {"files": [], "queries": []})
        centres = _said(_centres, run)
        places = _said(_places, run, centres)
        entries = _said(_images, run, centres, places)
        if "prf" in settings.products:
            entries += _said(_responses, run, _seen(run, places, entries))
        if "catalog" in settings.products:
            entries.append(_said(_catalog, run, centres))
    run.facts["files"] = sorted(entries, key=lambda entry: entry["file"])
    return run.facts | {"date_utc": datetime.now(UTC).isoformat(timespec="seconds")}


def _said(step: Callable[..., Given], *arguments: Any) -> Given:
    """What a step gives; its failure as a sentence for the user."""
    try:
        return step(*arguments)
    except ServerFailure as failure:
        raise InputError(f"the archive of TESS: {failure}; what came is kept, run again to go on there") from failure


def _centres(run: _Download) -> list[Centre]:
    """Where the targets are."""
    settings = run.settings
    if settings.centre_deg is not None:
        return [(settings.centre_deg[0], settings.centre_deg[1])]
    if settings.targets is None:
        return []
    table = run.queries.stars(settings.targets)
    found = {int(row["ID"]): (float(row["ra"]), float(row["dec"])) for row in table}
    lacking = [str(number) for number in settings.targets if number not in found]
    if lacking:
        raise InputError(f"the TIC has no star TIC {', TIC '.join(lacking[:5])}: correct download.targets")
    run.facts["stars"] = {str(number): list(found[number]) for number in settings.targets}
    return [found[number] for number in settings.targets]


def _places(run: _Download, centres: Sequence[Centre]) -> list[Place]:
    """Sectors and CCDs of interest; what the archive has is asked where it is not all configured."""
    settings = run.settings
    if not centres:
        assert settings.sectors is not None
        assert settings.camera is not None
        assert settings.ccd is not None
        return [Place(sector, settings.camera, settings.ccd) for sector in sorted(settings.sectors)]
    if not {*settings.products} - {"catalog", "gaia"}:
        return []
    seen = {place for centre in centres for place in run.queries.places(centre)}
    wanted = [place for place in sorted(seen) if _is_wanted(settings, place)]
    if not wanted:
        where = f"ra {centres[0][0]:.5f}, dec {centres[0][1]:.5f}"
        had = ", ".join(f"{place.sector}" for place in sorted(seen)) or "none"
        raise InputError(
            f"no sector that is asked for has seen {where} (TESS has: {had}): correct download.sectors, camera or ccd"
        )
    return wanted


def _is_wanted(settings: TessDownloadSettings, place: Place) -> bool:
    asked = (settings.sectors, place.sector), (settings.camera, place.camera), (settings.ccd, place.ccd)
    return all(
        wanted is None or value == wanted or (isinstance(wanted, tuple) and value in wanted) for wanted, value in asked
    )


def _images(run: _Download, centres: Sequence[Centre], places: Sequence[Place]) -> list[Entry]:
    """Everything that can be measured."""
    settings, entries = run.settings, []
    run.facts["places"] = [[place.sector, place.camera, place.ccd] for place in places]
    for kind in settings.products:
        wanted: list[StoredFile | Cutout] = []
        if kind in _TARGET_FILES:
            assert settings.targets is not None
            sectors = sorted({place.sector for place in places})
            wanted += run.queries.target_files(settings.targets, sectors, kind)
            _note(run, kind, f"target pixel files of {len(settings.targets)} stars, sectors {sectors}")
        elif kind == "ffi":
            for place in places:
                scripts, mast = settings.servers.scripts.rstrip("/"), settings.servers.mast.rstrip("/")
                wanted += frame_files(run.transport, scripts, mast, place)
                _note(run, kind, f"full-frame images of {place}")
        elif kind == "cutout":
            wanted += [_cutout(settings, centre, place) for centre in centres for place in places]
            _note(run, kind, f"cut-outs at {len(centres)} positions")
        else:
            continue
        if not wanted:
            raise InputError(
                f"the archive of TESS has no file of the kind {kind} for this request: correct targets, sectors, "
                "camera and ccd of download, or leave it out of products"
            )
        entries += run.store.fetch(wanted, kind)
    return entries


def _cutout(settings: TessDownloadSettings, centre: Centre, place: Place) -> Cutout:
    size = settings.cutout_size_pix
    query = f"ra={centre[0]}&dec={centre[1]}&y={size}&x={size}&units=px&sector={place.sector}"
    return Cutout(f"{settings.servers.tesscut.rstrip('/')}/api/v0.1/astrocut?{query}", place.sector)


def _note(run: _Download, kind: str, text: str) -> None:
    run.facts["queries"].append(f"{kind}: {text}")


def _seen(run: _Download, places: Sequence[Place], entries: Sequence[Entry]) -> list[Place]:
    """Places of the files that came, by the sector in their names; all where nothing tells them apart."""
    names = [entry["file"] for entry in entries]
    seen = [place for place in places if any(f"-s{place.sector:04d}-" in name for name in names)]
    return seen if names else list(places)


def _responses(run: _Download, places: Sequence[Place]) -> list[Entry]:
    """Response functions of each CCD and set, which are complete."""
    chosen = {(prf_set(place.sector), place.camera, place.ccd): place for place in places}
    entries = []
    for (name, camera, ccd), place in sorted(chosen.items()):
        kind = f"prf/{name}/cam{camera}_ccd{ccd}"
        listed = response_files(run.transport, run.settings.servers.prf.rstrip("/"), place)
        entries += run.store.fetch(listed, kind)
        try:
            prf_files(run.folder / kind, place.sector, camera, ccd)
        except FileNotFoundError as error:
            raise InputError(f"the archive's folder {kind} is not complete: {error}") from error
        _note(run, "prf", kind)
    return entries


def _catalog(run: _Download, centres: Sequence[Centre]) -> Entry:
    """The list of neighbours, written anew."""
    settings = run.settings
    radius, limit = settings.radius_arcmin / 60.0, settings.tmag_max
    tables: list[Table] = [run.queries.stars_around(centre, radius, limit) for centre in centres]
    _note(run, "catalog", f"TIC, {len(centres)} cones of {radius:.5f} deg, Tmag <= {limit:g}")
    if not any(len(table) for table in tables):
        raise InputError(
            f"the TIC has no star brighter than T = {limit:g} within {settings.radius_arcmin:g} arcmin: enlarge "
            "download.radius_arcmin or raise download.tmag_max"
        )
    numbers = [int(text) for table in tables if len(table) for text in _gaia_numbers(table)]
    crossmatch = fetch_crossmatch(numbers, _timed(run))
    stars = tic_rows([table for table in tables if len(table)], crossmatch)
    own = _own_rows(run, settings.targets or (), stars)
    more = _of_gaia(run, centres, radius, own) if "gaia" in settings.products else StarList(())
    run.facts["release"] = {"tic": list(stars.versions), "gaia": run.gaia.release}
    run.facts["catalog"] = {
        "n_tic": len(stars.rows),
        "n_dr2": len(set(numbers)),
        "n_dr3": len(crossmatch.dr3),
        "n_gaia_only": len(more.rows),
        "crossmatch": crossmatch.server,
    }
    path = run.folder / CATALOG
    write_stars(path, [*own.rows, *more.rows])
    facts: dict[str, Any] = {"file": CATALOG, "url": f"{settings.servers.mast} (TIC)", "size": path.stat().st_size}
    return facts | {"sha256": file_sha256(path), "date_utc": datetime.now(UTC).isoformat(timespec="seconds")}


def _own_rows(run: _Download, targets: Sequence[int], stars: StarList) -> StarList:
    lacking = sorted({*targets} - {int(row["starid"]) for row in stars.rows})
    if not lacking:
        return stars
    # A target that is fainter than its neighbours may be is in the list all the same.
    table = run.queries.stars(lacking)
    added = tic_rows([table], fetch_crossmatch([int(text) for text in _gaia_numbers(table)], _timed(run)))
    return replace(stars, rows=(*stars.rows, *added.rows))


def _of_gaia(run: _Download, centres: Sequence[Centre], radius: float, stars: StarList) -> StarList:
    limit = run.settings.tmag_max + _REDDEST
    catalogs = []
    for centre in centres:
        settings = replace(_timed(run), magnitude_limit=min(limit, 25.0))
        answer = fetch_cone(centre, radius, settings, run.folder / "gaia.parts")
        catalogs.append(answer.catalog)
        _note(run, "gaia", f"{answer.query} [{answer.server}]")
    return gaia_rows(join_catalogs(catalogs), stars, run.settings.tmag_max)


def _timed(run: _Download) -> GaiaSettings:
    """Gaia's settings within the time that is left for everything."""
    left = run.transport.remaining_s
    if left <= 0.0:
        raise ArchiveError("the time for the download is over: run again to go on there")
    return replace(run.gaia, deadline_s=min(run.gaia.deadline_s, math.ceil(left)))


def _gaia_numbers(table: "Table") -> list[str]:
    """Numbers of Gaia DR2 of the rows that have one."""
    return [text for value in table["GAIA"] if (text := str(value).strip()).isdigit()]
