"""FITS header cards of a celestial WCS to a `TanSip` and back.

What TAN and TAN-SIP headers say is taken as it stands; `astropy.wcs` is loaded only for other projections, distortions
and coordinate systems, to which a `TanSip` is then fitted.
"""

import re
import warnings
from dataclasses import replace

import numpy as np

from gaiaflux.core.plate.sip import fit_tan_sip
from gaiaflux.core.sky.projection import linear_tan, pixel_to_plane, sip_order, sky_to_plane
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.wcs import TanSip

__all__ = ["cards_from_tan_sip", "is_wcs_keyword", "tan_sip_from_cards"]

GRID = 21
MAX_FIT_ORDER = 5
GOOD_FIT_PIX = 0.01
WORST_FIT_PIX = 1.0
_CARD = re.compile(r"^([A-Z0-9_-]{1,8}) *= +(?:'((?:[^']|'')*)'|([^/ ]+))")
_KEYWORD = re.compile(
    r"^(WCSAXES|WCSDIM|RADESYS|RADECSYS|EQUINOX|EPOCH|LONPOLE|LATPOLE|"
    r"(CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA)\d|(CD|PC|PV)\d_\d+|PC00\d00\d|(A|B|AP|BP)_(ORDER|\d_\d)|WAT\d_\d\d\d)$"
)
_LONGITUDES = ("RA", "GLON", "ELON", "SLON")
_LATITUDES = ("DEC", "GLAT", "ELAT", "SLAT")
# What astropy refuses of these (odd distortion cards, mostly) is a good first guess without the distortion.
_NEARLY_TAN = ("TAN", "TNX", "ZPX", "TPV")

Value = str | float


def is_wcs_keyword(keyword: str) -> bool:
    """Whether a header keyword belongs to the primary celestial WCS (alternative ones are left out)."""
    return _KEYWORD.match(keyword) is not None


def tan_sip_from_cards(cards: str, shape: tuple[int, int]) -> TanSip:
    """Plate solution that a header states.

    Parameters
    ----------
    cards : str
        FITS cards, one a line; cards that say nothing of the WCS are passed over.
    shape : tuple of int
        (ny, nx) of the image.

    Returns
    -------
    TanSip
        TAN and TAN-SIP as they stand (FK5 J2000 is taken for ICRS: 0.02 arcsec), without inverse polynomials; anything
        else fitted on a grid to 0.01 pixel, where an order of up to 5 can do that, and to 1 pixel at worst.

    Raises
    ------
    BadFrameError
        No celestial WCS in the cards, or one that cannot be used.
    """
    values = _parse(cards)
    longitude, latitude = _celestial_axes(values)
    if not _is_plain_tan(values, longitude, latitude):
        return _fitted(cards, values, shape, longitude, latitude)
    return _stated(values, shape, longitude, latitude)


def cards_from_tan_sip(wcs: TanSip) -> str:
    """FITS cards of a plate solution, one a line; numbers are written so that they are read back unchanged.

    Parameters
    ----------
    wcs : TanSip
        Plate solution.

    Returns
    -------
    str
        Lines of 80 characters at most; CTYPE is TAN-SIP, or TAN where there is no distortion.
    """
    distorted = sip_order(wcs) > 1
    suffix = "-SIP" if distorted else ""
    lines = [
        _card("WCSAXES", 2, "number of WCS axes"),
        _card("CTYPE1", f"RA---TAN{suffix}", "gnomonic projection" + (", SIP distortion" if distorted else "")),
        _card("CTYPE2", f"DEC--TAN{suffix}", "gnomonic projection" + (", SIP distortion" if distorted else "")),
        _card("CUNIT1", "deg", ""),
        _card("CUNIT2", "deg", ""),
        _card("CRVAL1", wcs.crval[0], "[deg] right ascension of the reference pixel"),
        _card("CRVAL2", wcs.crval[1], "[deg] declination of the reference pixel"),
        _card("CRPIX1", wcs.crpix[0] + 1.0, "[pixel] reference pixel, first is 1"),
        _card("CRPIX2", wcs.crpix[1] + 1.0, "[pixel] reference pixel, first is 1"),
    ]
    lines += [_card(f"CD{i + 1}_{j + 1}", wcs.cd[i, j], "[deg/pixel]") for i in range(2) for j in range(2)]
    lines += [_card("LONPOLE", 180.0, "[deg]"), _card("RADESYS", "ICRS", "")]
    if distorted:
        for name, coefficients in (("A", wcs.a), ("B", wcs.b), ("AP", wcs.ap), ("BP", wcs.bp)):
            lines += _coefficient_cards(name, coefficients)
    return "\n".join(lines)


def _coefficient_cards(name: str, coefficients: np.ndarray) -> list[str]:
    order = coefficients.shape[0] - 1
    if order < 2:
        return []
    used = [(p, q) for p in range(order + 1) for q in range(order + 1 - p) if coefficients[p, q] != 0.0]
    return [_card(f"{name}_ORDER", order, "order of the SIP polynomial")] + [
        _card(f"{name}_{p}_{q}", coefficients[p, q], "") for p, q in used
    ]


def _card(keyword: str, value: Value | int, comment: str) -> str:
    if isinstance(value, str):
        text = f"'{value:<8}'".ljust(20)
    elif isinstance(value, int):
        text = f"{value:>20d}"
    else:
        text = f"{float(value)!r:>20}".upper()
    return f"{keyword:<8}= {text} / {comment}" if comment else f"{keyword:<8}= {text}".rstrip()


def _parse(cards: str) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for line in cards.splitlines():
        found = _CARD.match(line)
        if found is None or not is_wcs_keyword(found[1]):
            continue
        if found[2] is not None:
            values[found[1]] = found[2].replace("''", "'").strip()
            continue
        try:
            values[found[1]] = float(found[3].upper().replace("D", "E"))
        except ValueError:
            raise BadFrameError(f"the header's {found[1]} is not a number: {found[3]}") from None
    return values


def _celestial_axes(values: dict[str, Value]) -> tuple[int, int]:
    """FITS numbers of the longitude and the latitude axis."""
    types = {axis: str(values.get(f"CTYPE{axis}", "")).strip() for axis in (1, 2)}
    if not any(types.values()):
        raise BadFrameError("no WCS in the header (no CTYPE1 and CTYPE2)")
    names = {axis: text.split("-")[0] for axis, text in types.items()}
    for longitude, latitude in ((1, 2), (2, 1)):
        if names[longitude] in _LONGITUDES and names[latitude] in _LATITUDES:
            return longitude, latitude
    raise BadFrameError(f"the header's WCS is not celestial (CTYPE1 = {types[1]!r}, CTYPE2 = {types[2]!r})")


def _is_plain_tan(values: dict[str, Value], longitude: int, latitude: int) -> bool:
    types = str(values[f"CTYPE{longitude}"]), str(values[f"CTYPE{latitude}"])
    if not (re.fullmatch(r"RA---TAN(-SIP)?", types[0]) and re.fullmatch(r"DEC--TAN(-SIP)?", types[1])):
        return False
    if any(key.startswith("PV") and value != 0.0 for key, value in values.items()):
        return False
    if any(str(values.get(f"CUNIT{axis}", "deg")).lower() not in ("deg", "degree", "degrees", "") for axis in (1, 2)):
        return False
    if values.get("LONPOLE", 180.0) != 180.0 or values.get("CRVAL" + str(latitude)) == 90.0:
        return False
    system = str(values.get("RADESYS", values.get("RADECSYS", ""))).strip().upper()
    equinox = values.get("EQUINOX", values.get("EPOCH", 2000.0))
    return system == "ICRS" or (system in ("", "FK5") and equinox == 2000.0)


def _stated(values: dict[str, Value], shape: tuple[int, int], longitude: int, latitude: int) -> TanSip:
    crval = _number(values, f"CRVAL{longitude}"), _number(values, f"CRVAL{latitude}")
    crpix = _number(values, "CRPIX1") - 1.0, _number(values, "CRPIX2") - 1.0
    cd = _linear_matrix(values)[[longitude - 1, latitude - 1]]
    size = abs(np.linalg.det(cd))
    if not (np.isfinite(cd).all() and np.isfinite(crpix).all() and np.isfinite(crval).all() and abs(crval[1]) <= 90.0):
        raise BadFrameError("the header's WCS has numbers that are not finite or no place on the sky")
    if not 1e-10 < size < 1.0:
        raise BadFrameError(f"the header's WCS has a senseless pixel scale ({3600 * np.sqrt(size):.3g} arcsec)")
    wcs = linear_tan((crval[0] % 360.0, crval[1]), crpix, cd, shape)
    a, b = _coefficients(values, "A"), _coefficients(values, "B")
    return wcs if a.size == b.size == 1 else replace(wcs, a=a, b=b)


def _number(values: dict[str, Value], keyword: str, default: float | None = None) -> float:
    value = values.get(keyword, default)
    if not isinstance(value, float):
        raise BadFrameError(f"the header's WCS has no {keyword}" if value is None else f"{keyword} is not a number")
    return value


def _linear_matrix(values: dict[str, Value]) -> np.ndarray:
    """CD matrix [deg/pixel] from CD, PC and CDELT, or CDELT and CROTA2."""
    keys = [(i, j) for i in (1, 2) for j in (1, 2)]
    if any(f"CD{i}_{j}" in values for i, j in keys):
        return np.array([_number(values, f"CD{i}_{j}", 0.0) for i, j in keys]).reshape(2, 2)
    scale = np.array([_number(values, f"CDELT{i}") for i in (1, 2)])
    if any(f"PC{i}_{j}" in values or f"PC00{i}00{j}" in values for i, j in keys):
        old = [_number(values, f"PC00{i}00{j}", float(i == j)) for i, j in keys]
        turn = np.array([_number(values, f"PC{i}_{j}", old[k]) for k, (i, j) in enumerate(keys)]).reshape(2, 2)
        return scale[:, None] * turn
    angle = np.deg2rad(_number(values, "CROTA2", _number(values, "CROTA1", 0.0)))
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[scale[0] * cos, -scale[1] * sin], [scale[0] * sin, scale[1] * cos]])


def _coefficients(values: dict[str, Value], name: str) -> np.ndarray:
    order = int(_number(values, f"{name}_ORDER", 0.0))
    if order < 2:
        return np.zeros((1, 1))
    square = np.zeros((order + 1, order + 1))
    for p in range(order + 1):
        for q in range(order + 1 - p):
            square[p, q] = _number(values, f"{name}_{p}_{q}", 0.0)
    return square


def _fitted(cards: str, values: dict[str, Value], shape: tuple[int, int], longitude: int, latitude: int) -> TanSip:
    ny, nx = shape
    x, y = (g.ravel() for g in np.meshgrid(np.linspace(0, nx - 1, GRID), np.linspace(0, ny - 1, GRID)))
    projection = str(values["CTYPE1"])[5:8]
    try:
        pixels = np.append(x, (nx - 1) / 2), np.append(y, (ny - 1) / 2)
        # astropy puts the longitude first in the pixels, too.
        ra, dec = _sky_of_any_wcs(cards, *(pixels if longitude == 1 else pixels[::-1]))
    except BadFrameError:
        if projection not in _NEARLY_TAN:
            raise
        return _stated(values, shape, longitude, latitude)
    centre = float(ra[-1]), float(dec[-1])
    xi, eta = sky_to_plane(centre, ra[:-1], dec[:-1])
    good = np.isfinite(xi + eta)
    if good.mean() < 0.5:
        raise BadFrameError("the header's WCS gives most of the image no place on the sky")
    start = linear_tan(
        centre, ((nx - 1) / 2, (ny - 1) / 2), _first_matrix(x[good], y[good], xi[good], eta[good]), shape
    )
    for order in range(1, MAX_FIT_ORDER + 1):
        wcs = fit_tan_sip(start, x[good], y[good], (ra[:-1][good], dec[:-1][good]), order=order, steps=4)
        model = np.stack(pixel_to_plane(wcs, x, y)) - np.stack(sky_to_plane(wcs.crval, ra[:-1], dec[:-1]))
        worst = np.nanmax(np.abs(np.linalg.inv(wcs.cd) @ model))
        if worst < GOOD_FIT_PIX:
            return wcs
    if worst > WORST_FIT_PIX:
        raise BadFrameError(f"the header's {projection} WCS differs from a smooth TAN-SIP by {worst:.1f} pixels")
    return wcs


def _first_matrix(x: np.ndarray, y: np.ndarray, xi: np.ndarray, eta: np.ndarray) -> np.ndarray:
    terms = np.stack([np.ones_like(x), x, y], axis=1)
    matrix = np.linalg.lstsq(terms, np.stack([xi, eta], axis=1), rcond=None)[0][1:].T
    if not abs(np.linalg.det(matrix)) > 1e-16:
        raise BadFrameError("the header's WCS has no area on the sky")
    return matrix


def _sky_of_any_wcs(cards: str, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ICRS positions by astropy, whatever the projection and the coordinate system."""
    from astropy.io import fits
    from astropy.wcs import WCS, FITSFixedWarning
    from astropy.wcs.utils import pixel_to_skycoord

    kept = [line for line in cards.splitlines() if is_wcs_keyword(line[:8].strip())]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        try:
            wcs = WCS(fits.Header.fromstring("\n".join(kept), sep="\n"), naxis=2)
            sky = pixel_to_skycoord(x, y, wcs, origin=0).icrs
        except (ValueError, TypeError, KeyError, MemoryError) as error:
            reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
            raise BadFrameError(f"the header's WCS cannot be understood: {reason}") from None
    return np.atleast_1d(sky.ra.deg), np.atleast_1d(sky.dec.deg)
