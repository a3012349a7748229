"""Where a cropped image lies in the full frame that its mask or its star catalogue still describes."""

import math
from collections.abc import Mapping

import numpy as np
from astropy.io import fits

from gaiaflux.core.image.cutout import find_cutout
from gaiaflux.io.image.section import section
from gaiaflux.io.image.wcs_cards import is_wcs_keyword, tan_sip_from_cards
from gaiaflux.model.errors import BadFrameError

__all__ = ["origin_from_catalog", "origin_from_headers"]

# Sections of the detector; DATASEC and TRIMSEC are those of the readout, before it was trimmed.
SECTIONS = ("CCDSEC", "DETSEC")
WHOLE_PIX = 0.02
SAME_SKY_DEG = 1e-9
MAX_SPREAD_PIX = 5.0


def origin_from_headers(
    image: Mapping, shape: tuple[int, int], full: Mapping, full_shape: tuple[int, int]
) -> tuple[int, int] | None:
    """First pixel of the image in the full frame, as the headers of both say.

    Parameters
    ----------
    image, full : mapping
        Headers of the image and of the full frame; the second may be empty.
    shape, full_shape : tuple of int
        (ny, nx) of each.

    Returns
    -------
    tuple of int or None
        0-based (x, y); None where the headers do not say it, or something that cannot be.
    """
    for candidate in (_from_ltv(image, full), _from_sections(image, shape, full), _from_wcs(image, full)):
        if candidate is None:
            continue
        x, y = candidate
        fits_in = 0 <= x <= full_shape[1] - shape[1] and 0 <= y <= full_shape[0] - shape[0]
        if fits_in and abs(x - round(x)) < WHOLE_PIX and abs(y - round(y)) < WHOLE_PIX:
            return round(x), round(y)
    return None


def _from_ltv(image: Mapping, full: Mapping) -> tuple[float, float] | None:
    """IRAF's offsets: position in the image = LTM x position in the original + LTV."""
    if "LTV1" not in image and "LTV2" not in image:
        return None
    for header in (image, full):
        if any(_value(header, key, 1.0) != 1.0 for key in ("LTM1_1", "LTM2_2")):
            return None
    x, y = (_value(full, key, 0.0) - _value(image, key, 0.0) for key in ("LTV1", "LTV2"))
    return (x, y) if math.isfinite(x + y) else None


def _from_sections(image: Mapping, shape: tuple[int, int], full: Mapping) -> tuple[float, float] | None:
    for key in SECTIONS:
        part, whole = section(image.get(key)), section(full.get(key))
        if part is None or (part[1] - part[0] + 1, part[3] - part[2] + 1) != (shape[1], shape[0]):
            continue
        first = (whole[0], whole[2]) if whole else (1, 1)
        return part[0] - first[0], part[2] - first[1]
    return None


def _from_wcs(image: Mapping, full: Mapping) -> tuple[float, float] | None:
    """Difference of the reference pixels of two headers with the same plate solution."""
    keys = ("CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2", "CDELT1", "CDELT2", "CROTA2")
    given = [key for key in keys if key in image or key in full]
    if not {"CRVAL1", "CRVAL2"} <= set(given):
        return None
    if any(not abs(_value(image, key, math.nan) - _value(full, key, math.nan)) <= SAME_SKY_DEG for key in given):
        return None
    x, y = (_value(full, key, math.nan) - _value(image, key, math.nan) for key in ("CRPIX1", "CRPIX2"))
    return (x, y) if math.isfinite(x + y) else None


def _value(header: Mapping, key: str, default: float) -> float:
    value = header.get(key, default)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def origin_from_catalog(
    image: np.ndarray, header: fits.Header, catalog: Mapping[str, np.ndarray]
) -> tuple[int, int] | None:
    """First pixel of the image in the full frame, from a catalogue that has the sky and the full frame's pixels.

    The header's plate solution says it roughly; the stars in the image must confirm it to the pixel.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        Pixels.
    header : Header
        Its header.
    catalog : mapping of str to ndarray
        x, y: 0-based positions in the full frame, brightest first; ra, dec: the same stars' sky [deg].

    Returns
    -------
    tuple of int or None
        0-based (x, y); None where it cannot be told.
    """
    from gaiaflux.core.sky.projection import sky_to_pixel

    if "ra" not in catalog or "dec" not in catalog:
        return None
    cards = "\n".join(card.image for card in header.cards if is_wcs_keyword(card.keyword))
    try:
        wcs = tan_sip_from_cards(cards, image.shape)
    except BadFrameError:
        return None
    x, y = sky_to_pixel(wcs, catalog["ra"], catalog["dec"])
    ny, nx = image.shape
    inside = (x > 0) & (x < nx - 1) & (y > 0) & (y < ny - 1)
    if not inside.any():
        return None
    dx, dy = catalog["x"][inside] - x[inside], catalog["y"][inside] - y[inside]
    if max(dx.std(), dy.std()) > MAX_SPREAD_PIX:
        return None
    return find_cutout(image, catalog["x"], catalog["y"], (float(np.median(dx)), float(np.median(dy))))
