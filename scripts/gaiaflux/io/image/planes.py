"""Pixels of an image file and of what belongs to it: mask, error or weight, and its star catalogue."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyError, VerifyWarning
from astropy.utils.exceptions import AstropyUserWarning

from gaiaflux.io.image.banzai_catalog import catalog_positions
from gaiaflux.model.companions import companion_path
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.settings.companions import CompanionSettings, CompanionsSettings
from gaiaflux.model.typed import typed

__all__ = ["Planes", "read_planes"]

# What astropy raises for a file that is cut short, garbled or not FITS at all.
UNREADABLE = (OSError, EOFError, AstropyUserWarning, VerifyError, ValueError, TypeError, KeyError, IndexError)
NAMES: dict[str, tuple[str, ...]] = {"mask": ("BPM", "MASK", "DQ"), "error": ("ERR", "ERROR", "SIGMA"), "weight": ()}
FEWEST_PIXELS = 16
HDU = Any  # astropy has no public name for the kinds of HDU together
_NOT_SAID = typed(CompanionSettings, {})


@dataclass(frozen=True)
class Planes:
    """What a file holds.

    Attributes
    ----------
    header : Header
        Of the science image, completed by the primary one.
    image : ndarray, shape (ny, nx)
        Numbers of the file.
    mask : ndarray, shape (ny, nx), or None
        Not zero = bad.
    error : ndarray of float32, shape (ny, nx), or None
        One sigma in the numbers of the file; zero or not finite where a pixel has none.
    seeds : tuple of ndarray or None
        x, y of a catalogue that came with the image [0-based pixel of this image], brightest first.
    """

    header: fits.Header
    image: np.ndarray
    mask: np.ndarray | None
    error: np.ndarray | None
    seeds: tuple[np.ndarray, np.ndarray] | None


def read_planes(
    path: str | Path,
    extension: str | int | None,
    companions: CompanionsSettings | None,
    *,
    want_error: bool,
    want_seeds: bool,
) -> Planes:
    """Read an image and what belongs to it.

    Parameters
    ----------
    path : str or Path
        FITS file; compressed by gzip or by tile compression, whatever its ending says.
    extension : str, int or None
        Name or number (0 = first) of the image in the file; None: SCI, or the only one.
    companions : CompanionsSettings or None
        Where mask, weight and error are, by kind: ``replace`` or ``file`` (see `gaiaflux.model.companions`),
        ``extension`` (name or number), ``ignore``; what is not said is looked for in the file by its usual name.
    want_error, want_seeds : bool
        Whether to read errors (a weight that is configured is always read: it masks, too) and the catalogue.

    Returns
    -------
    Planes

    Raises
    ------
    BadFrameError
        The file cannot be used; the text says why.
    FileNotFoundError
        There is no such image.
    """
    with _opened(path) as hdus:
        science = _science_hdu(hdus, extension)
        header = _full_header(hdus, science)
        image = _pixels(science)
        catalog = catalog_positions(hdus) if want_seeds else None
        cropped = _Cropped(science, image, hdus, catalog)
        found: dict[str, np.ndarray] = {}
        for kind in ("mask", "weight", "error"):
            way = getattr(companions, kind, None) or _NOT_SAID
            if way.ignore or (kind == "error" and ("weight" in found or not want_error)):
                continue
            other = companion_path(str(path), way)
            if other is not None:
                found[kind] = _from_file(path, other, kind, way, science, cropped)
            else:
                hdu = _companion(hdus, science, kind, way.extension)
                if hdu is not None:
                    found[kind] = cropped.cut(_pixels(hdu), hdu.header, hdu.name or kind)
        seeds = None if catalog is None else cropped.positions(catalog)
    error = found.get("error")
    if "weight" in found:
        weight = np.asarray(found["weight"], np.float32)
        error = np.zeros(weight.shape, np.float32)
        np.power(weight, -0.5, out=error, where=weight > 0)
    elif error is not None:
        error = np.ascontiguousarray(error, np.float32)
    return Planes(header, image, found.get("mask"), error, seeds)


@contextmanager
def _opened(path: str | Path) -> Iterator[fits.HDUList]:
    with warnings.catch_warnings():
        for category in (VerifyWarning, AstropyUserWarning):
            warnings.simplefilter("ignore", category)
        warnings.filterwarnings("error", message="File may have been truncated")
        try:
            # The stream is ours, so that it is closed even where astropy gives up half way.
            with open(path, "rb") as stream, fits.open(stream, memmap=False) as hdus:
                yield hdus
        except FileNotFoundError:
            raise
        except UNREADABLE as failure:
            raise BadFrameError(f"not a readable FITS file: {_first_line(failure)}") from failure


def _first_line(failure: Exception) -> str:
    lines = str(failure).strip().splitlines()
    # Advice of astropy's that follows is for programmers.
    return lines[0].partition(". ")[0].partition(", this file")[0].rstrip(".") if lines else type(failure).__name__


def _science_hdu(hdus: fits.HDUList, extension: str | int | None) -> HDU:
    """The image to measure: the configured one, else SCI, else the only image of the file."""
    if extension is not None:
        return _by_name_or_number(hdus, extension, "extension")
    images = _images(hdus)
    named = [hdu for hdu in images if _name(hdu) == "SCI"]
    if len(named) > 1:
        raise BadFrameError(
            f"{len(named)} SCI images in one file (amplifiers or detectors that were not put together): "
            f"say which under extension, by its number ({_list(hdus, named)})"
        )
    if named:
        return named[0]
    others = [hdu for hdu in images if _name(hdu) not in (*NAMES["mask"], *NAMES["error"])]
    if not others:
        raise BadFrameError("no image in the file")
    if others[0] is not hdus[0] and len(others) > 1:
        raise BadFrameError(
            f"{len(others)} images in one file and none is named SCI: say which under extension ({_list(hdus, others)})"
        )
    return others[0]


def _images(hdus: fits.HDUList) -> list[HDU]:
    """Images that have pixels."""
    return [
        hdu
        for hdu in hdus
        if hdu.is_image and hdu.header.get("NAXIS", 0) >= 2 and all(hdu.header.get(f"NAXIS{k}", 0) for k in (1, 2))
    ]


def _name(hdu: HDU) -> str:
    # A primary HDU is called PRIMARY by astropy where it has no EXTNAME.
    return str(hdu.header.get("EXTNAME", hdu.name)).strip().upper()


def _list(hdus: fits.HDUList, chosen: list[HDU]) -> str:
    shown = [f"{hdus.index(hdu)} {_name(hdu)}".strip() for hdu in chosen[:8]]
    return ", ".join(shown) + (", ..." if len(chosen) > 8 else "")


def _by_name_or_number(hdus: fits.HDUList, extension: str | int, key: str) -> HDU:
    images = _images(hdus)
    if isinstance(extension, int) or str(extension).isdigit():
        found = [hdu for hdu in images if hdus.index(hdu) == int(extension)]
    else:
        found = [hdu for hdu in images if _name(hdu) == str(extension).strip().upper()]
    if len(found) == 1:
        return found[0]
    there = _list(hdus, images) or "none"
    if found:
        raise BadFrameError(f"{len(found)} images are named {extension}: set {key} to a number ({there})")
    raise BadFrameError(f"no image {extension!r} in the file ({key}); there are: {there}")


def _full_header(hdus: fits.HDUList, science: HDU) -> fits.Header:
    """The science header, completed by the primary one."""
    header = science.header.copy()
    if science is not hdus[0]:
        header.extend(hdus[0].header, unique=True, strip=True)
    return header


def _pixels(hdu: HDU) -> np.ndarray:
    data = hdu.data
    if data is None:
        raise BadFrameError("the image has no pixels")
    while data.ndim > 2 and data.shape[0] == 1:
        data = data[0]
    if data.ndim != 2:
        raise BadFrameError(f"the image has {data.ndim} axes, not 2")
    if min(data.shape) < FEWEST_PIXELS:
        raise BadFrameError(f"the image has only {data.shape[1]} x {data.shape[0]} pixels")
    return data


def _companion(hdus: fits.HDUList, science: HDU, kind: str, extension: str | int | None) -> HDU | None:
    """Mask or error in the image's own file."""
    if extension is not None:
        return _by_name_or_number(hdus, extension, f"companions.{kind}.extension")
    named = [hdu for hdu in hdus if hdu is not science and hdu.is_image and hdu.name in NAMES[kind]]
    if len(named) > 1:
        same = [hdu for hdu in named if hdu.ver == science.ver]
        if len(same) != 1:
            raise BadFrameError(f"{len(named)} images named {named[0].name}: say which under companions.{kind}")
        return same[0]
    return named[0] if named else None


def _from_file(
    path: str | Path, other: str, kind: str, way: CompanionSettings, science: HDU, cropped: "_Cropped"
) -> np.ndarray:
    """Mask, weight or error in a file of its own."""
    if not other and way.replace:
        raise BadFrameError(
            f"no name for its {kind} file: {Path(path).name} lacks {way.replace[0]!r} (companions.{kind}.replace)"
        )
    try:
        with _opened(other) as hdus:
            hdu = _same_extension(hdus, science, kind, way.extension)
            return cropped.cut(_pixels(hdu), hdu.header, f"the {kind} file")
    except FileNotFoundError:
        raise BadFrameError(f"its {kind} file is missing: {other}") from None
    except BadFrameError as failure:
        raise BadFrameError(f"{failure} ({kind} file {Path(other).name})") from failure


def _same_extension(hdus: fits.HDUList, science: HDU, kind: str, extension: str | int | None) -> HDU:
    if extension is not None:
        return _by_name_or_number(hdus, extension, f"companions.{kind}.extension")
    images = _images(hdus)
    same = [hdu for hdu in images if _name(hdu) == _name(science)]
    for group in (same, images):
        if len(group) == 1:
            return group[0]
    raise BadFrameError(f"{len(images)} images in one file: say which under companions.{kind}.extension")


class _Cropped:
    """Puts planes and positions of the full frame onto an image that was cut out of it.

    Where the cut-out lies is looked for once, and only if something does not fit.
    """

    def __init__(
        self, science: HDU, image: np.ndarray, hdus: fits.HDUList, catalog: Mapping[str, np.ndarray] | None
    ) -> None:
        self._science, self._image, self._hdus, self._catalog = science, image, hdus, catalog
        self._looked = False
        self._origin: tuple[int, int] | None = None

    def cut(self, plane: np.ndarray, header: Mapping, name: str) -> np.ndarray:
        """The part of a plane that belongs to the image."""
        shape = self._image.shape
        if plane.shape == shape:
            return plane
        sizes = f"{plane.shape[1]} x {plane.shape[0]} pixels, the image {shape[1]} x {shape[0]}"
        if plane.shape[0] < shape[0] or plane.shape[1] < shape[1]:
            raise BadFrameError(f"{name} has {sizes}")
        origin = self._from_headers(header, plane.shape) or self._from_catalog()
        if origin is None or origin[0] + shape[1] > plane.shape[1] or origin[1] + shape[0] > plane.shape[0]:
            raise BadFrameError(
                f"{name} has {sizes}: it is of the full frame, and neither LTV1 and LTV2, CCDSEC, a common WCS nor a "
                "catalogue says where the image was cut out; cut both alike or set companions"
            )
        return plane[origin[1] : origin[1] + shape[0], origin[0] : origin[0] + shape[1]]

    def positions(self, catalog: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The catalogue's positions, moved where they are of the full frame and its place is known."""
        ny, nx = self._image.shape
        x, y = catalog["x"], catalog["y"]
        reach = (int(np.ceil(y.max(initial=0.0))) + 1, int(np.ceil(x.max(initial=0.0))) + 1)
        if reach[0] > ny + 2 or reach[1] > nx + 2:
            origin = self._from_headers({}, (max(reach[0], ny), max(reach[1], nx))) or self._from_catalog()
            if origin is not None:
                x, y = x - origin[0], y - origin[1]
                inside = (x > -0.5) & (y > -0.5) & (x < nx - 0.5) & (y < ny - 0.5)
                return x[inside], y[inside]
        return x, y

    def _from_headers(self, header: Mapping, full_shape: tuple[int, int]) -> tuple[int, int] | None:
        from gaiaflux.io.image.placement import origin_from_headers

        return origin_from_headers(self._science.header, self._image.shape, header, full_shape)

    def _from_catalog(self) -> tuple[int, int] | None:
        from gaiaflux.io.image.placement import origin_from_catalog

        if not self._looked:
            self._looked = True
            catalog = catalog_positions(self._hdus) if self._catalog is None else self._catalog
            if catalog is not None:
                self._origin = origin_from_catalog(self._image, self._science.header, catalog)
        return self._origin
