"""Opens what a target needs: pixels, catalogue, response function."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, SupportsIndex, TypeVar

from gaiaflux.core.psf.sampled import SampledPsf
from gaiaflux.io.tess.catalog import read_tess_catalog
from gaiaflux.io.tess.prepared_catalog import read_prepared_catalog
from gaiaflux.io.tess.prepared_field import PreparedField
from gaiaflux.io.tess.scene_file import read_scene
from gaiaflux.io.tess.target_pixels import read_target_pixels
from gaiaflux.model.errors import InputError
from gaiaflux.model.tess_catalog import TessCatalog
from gaiaflux.tess.images.pixels import FieldPixels
from gaiaflux.tess.input_folder import PREPARED, TargetInputs, find_images, find_inputs, images_of_ccd
from gaiaflux.tess.stamp.instrument import InstrumentFiles
from gaiaflux.tess.stamp.kept import CACHES
from gaiaflux.tess.stamp.pixel_source import PixelSource
from gaiaflux.tess.stamp.stamps import common_part
from gaiaflux.tess.stamp.target_pixels import TargetPixels

__all__ = [
    "SCENE",
    "Opened",
    "input_errors_as_documented",
    "open_images",
    "open_inputs",
    "open_prepared",
    "open_target",
    "tic_number",
    "with_response",
]

SCENE = "scene.h5"
"""Name of the file with the stars of a CCD, solved for together, beside its prepared images."""
_IMAGES, _TARGETS = "ffi", "tpf"


Source = TypeVar("Source", bound=PixelSource, covariant=True)


@dataclass(frozen=True)
class Opened(Generic[Source]):
    """What is needed to measure a target.

    Attributes
    ----------
    source : PixelSource
        Pixels.
    catalog : TessCatalog
        Stars.
    samples : SampledPsf or None
        Pixel response function of the CCD; None where it has to be measured in the data.
    remarks : tuple of str
        What the user has to know about the files.
    """

    source: Source
    catalog: TessCatalog
    samples: SampledPsf | None
    remarks: tuple[str, ...] = field(default=())


def open_target(pixels: str | Path, catalog: TessCatalog, instrument: InstrumentFiles) -> Opened[TargetPixels]:
    """Open the files of a target.

    Parameters
    ----------
    pixels : str or Path
        Target pixel file or cut-out.
    catalog : TessCatalog
    instrument : InstrumentFiles

    Returns
    -------
    Opened

    Raises
    ------
    FileNotFoundError
        A file is missing, or the response function of the CCD.
    InputError
        A file cannot be used.
    """
    target = read_target_pixels(pixels, instrument.pointings)
    remarks = [*target.remarks]
    if target.timecorr_place is None:
        remarks.append(
            "the times are corrected for the middle of the CCD, which is not known, and not for the star: they are up "
            "to a minute off; give a table of pointings"
        )
    samples = None
    if instrument.prf_folder is None:
        remarks.append("no pixel response function was given: an effective one is measured in the data")
    elif not target.position_known:
        remarks.append("the place on the CCD is not known: an effective response function is measured in the data")
    else:
        samples = instrument.response(target.sector, target.camera, target.ccd)
    return Opened(TargetPixels(target), catalog, samples, tuple(remarks))


def open_inputs(
    starid: int, input_folder: str | Path, datasource: str, cache: str, where: dict[str, int | None]
) -> Opened[PixelSource]:
    """Find and open the files of a target.

    Parameters
    ----------
    starid : int
        TIC number.
    input_folder : str or Path
        See `gaiaflux.tess.input_folder.find_inputs`.
    datasource : str
        ``tpf``, ``tpf:TIC`` for the pixels of another star's file, or ``ffi``.
    cache : str
        One of `gaiaflux.tess.stamp.kept.CACHES`.
    where : dict
        ``camera``, ``ccd``, ``sector``, ``cadence``; None where not given.

    Returns
    -------
    Opened

    Raises
    ------
    ValueError
        Another `datasource` or `cache`, or full-frame images without camera and CCD.
    FileNotFoundError
        A file is missing.
    """
    kind, with_star, other = datasource.partition(":")
    if kind not in (_IMAGES, _TARGETS) or (with_star and (kind == _IMAGES or not other.isdecimal())):
        raise ValueError(f"datasource '{datasource}': it is 'ffi', 'tpf' or 'tpf:TIC'")
    if cache not in CACHES:
        raise ValueError(f"cache '{cache}': it is one of {', '.join(CACHES)}")
    opened: Opened[PixelSource]
    if kind == _IMAGES:
        camera, ccd = where["camera"], where["ccd"]
        if camera is None or ccd is None:
            raise ValueError("datasource 'ffi' needs camera and ccd")
        with input_errors_as_documented():
            files = find_images(input_folder, camera=camera, ccd=ccd, sector=where["sector"], cadence=where["cadence"])
            catalog = _catalog(files)
            instrument = InstrumentFiles(files.prf_folder, None)
            opened = open_images(files.pixels, catalog, instrument)
    else:
        with input_errors_as_documented():
            files = find_inputs(int(other) if other else starid, input_folder, **where)
            catalog = _catalog(files)
            target = open_target(files.pixels, catalog, InstrumentFiles(files.prf_folder, files.pointing))
            opened = _with_full_frames(target, files.images)
    return replace(opened, remarks=(*opened.remarks, *catalog.remarks))


def open_images(prepared: str | Path, catalog: TessCatalog, instrument: InstrumentFiles) -> Opened[FieldPixels]:
    """Open prepared full-frame images.

    Parameters
    ----------
    prepared : str or Path
        File of the rule `prepare_images`; the scene that the rule `solve_field_scene` made is beside it.
    catalog : TessCatalog
    instrument : InstrumentFiles

    Returns
    -------
    Opened
        `FieldPixels.close` closes it.

    Raises
    ------
    FileNotFoundError
        A file is missing, or the response function of the CCD.
    InputError
        A file cannot be used.
    """
    with ExitStack() as files:
        source = open_prepared(prepared)
        files.callback(source.close)
        opened = with_response(source, catalog, instrument)
        files.pop_all()
    return opened


def open_prepared(prepared: str | Path) -> FieldPixels:
    """Open prepared full-frame images alone; parameters and errors as of `open_images`."""
    field = PreparedField(prepared)
    if not field.n_frames:
        field.close()
        raise InputError(f"no image could be used of those that {prepared} is of: images.csv beside it says why")
    return FieldPixels(field)


def with_response(source: FieldPixels, catalog: TessCatalog, instrument: InstrumentFiles) -> Opened[FieldPixels]:
    """Images with catalogue and response function; parameters and errors as of `open_images`."""
    samples = instrument.response(source.sector, source.camera, source.ccd)
    solved = source.field.path.parent / SCENE
    if samples is not None and solved.is_file():
        source = replace(source, scene=read_scene(solved))
    remarks = [*source.remarks]
    if samples is None:
        remarks.append("no pixel response function was given: an effective one is measured in the data")
    return Opened(source, catalog, samples, tuple(remarks))


def _with_full_frames(opened: Opened[TargetPixels], images: tuple[Path, ...]) -> Opened[TargetPixels]:
    """Give a target pixel file the full-frame images of its CCD, where there are any that show its pixels."""
    file, remarks = opened.source.file, list(opened.remarks)
    if not file.position_known or not images:
        return opened
    try:
        found = images_of_ccd(images, {"sector": file.sector, "camera": file.camera, "ccd": file.ccd})
        full_frames = open_prepared(found[0]) if found else None
    except (InputError, FileNotFoundError) as reason:
        return replace(opened, remarks=(*remarks, f"no full-frame image tells the flags of the pixels: {reason}"))
    if full_frames is None:
        return opened
    first, last, left, right = common_part(file.stamp, full_frames.limits)
    if first >= last or left >= right:
        full_frames.close()
        return opened
    source = replace(opened.source, full_frames=full_frames)
    untold = int((source.image_of_time < 0).sum())
    if untold:
        remarks.append(
            f"{untold} of {len(source.time)} cadences have no full-frame image within {full_frames.cadence_s:.0f} s: "
            "the flags of their pixels are zero"
        )
    return replace(opened, source=source, remarks=tuple(remarks))


def _catalog(files: TargetInputs) -> TessCatalog:
    prepared = files.catalog.name.lower().endswith(PREPARED)
    return (read_prepared_catalog if prepared else read_tess_catalog)(files.catalog)


@contextmanager
def input_errors_as_documented() -> Iterator[None]:
    """Within it a file that cannot be used raises ValueError, as the TASOC photometry module documents."""
    try:
        yield
    except InputError as error:
        raise ValueError(str(error)) from error


def tic_number(starid: object) -> int:
    """TIC number from a whole number or from text such as ``123`` or ``TIC 123``.

    Parameters
    ----------
    starid : int or str

    Returns
    -------
    int

    Raises
    ------
    ValueError
        Anything else, or none from 1 to 2**63 - 1.
    """
    text = starid.upper().removeprefix("TIC").strip() if isinstance(starid, str) else ""
    number = int(text) if text.isdecimal() else 0
    if isinstance(starid, SupportsIndex) and not isinstance(starid, bool):
        number = starid.__index__()
    if not 0 < number < 2**63:
        raise ValueError(f"starid {starid!r} is no TIC number: give a whole number")
    return number
