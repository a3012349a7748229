"""The peer: what a careful user of sep writes in an afternoon for the same frames and the same stars.

Nothing of gaiaflux is used here but the list of stars to measure. It knows that the header's pointing may be wrong by
60 arcsec, uses proper motions, and takes a polynomial of third order, weighted and clipped, for the plate solution.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import sep
from astropy.io import fits
from scipy.spatial import cKDTree

from benchmarks.chain import Clock
from gaiaflux.model.catalog import SkyCatalog

__all__ = ["SepResult", "detect_deep", "run"]

BOX = 64
THRESHOLD = 1.5
RADII_FWHM = (0.6, 0.8, 1.0, 1.25, 1.6, 2.2)
ANNULUS_FWHM = (4.0, 6.0)
SEARCH_ARCSEC = 90.0
KERNEL = np.exp(-0.5 * np.add.outer(np.arange(-3, 4) ** 2, np.arange(-3, 4) ** 2) / 1.7**2)

Projection = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass
class SepResult:
    """What the script made of a frame: CPU seconds; sky to pixel; fluxes, errors, sep's flags (n_stars, n_radii)."""

    clock: Clock
    n_stars: int
    sky_to_pixel: Projection
    flux: np.ndarray
    flux_err: np.ndarray
    flags: np.ndarray


class _Detections(NamedTuple):
    """Places [pixel] and signal-to-noise ratios of the stars that were found; their width [pixel]."""

    x: np.ndarray
    y: np.ndarray
    snr: np.ndarray
    fwhm: float


def run(path: Path, gaia: SkyCatalog, catalog: SkyCatalog) -> SepResult:
    """Read, find stars, solve the plate, sum the apertures.

    Parameters
    ----------
    path : Path
        BANZAI file with SCI, BPM and ERR.
    gaia : SkyCatalog
        Stars to match.
    catalog : SkyCatalog
        Stars to measure.

    Returns
    -------
    SepResult
    """
    clock = Clock()
    with clock.stage("read"):
        image, mask, error, header = _read(path)
    with clock.stage("extract"):
        background = sep.Background(image, mask=mask, bw=BOX, bh=BOX)
        image -= background.back()
        noise = background.globalrms
        found, segments = sep.extract(
            image, THRESHOLD, err=noise, mask=mask, filter_kernel=KERNEL, filter_type="conv", segmentation_map=True
        )
        snr = found["flux"] / np.sqrt(found["npix"] * noise**2 + np.maximum(found["flux"], 0.0))
        fwhm = _seeing(found, snr)
        x, y, _ = sep.winpos(image, found["x"], found["y"], np.full(len(found), fwhm / 2.355))
    with clock.stage("wcs"):
        years = 2000.0 + (header["MJD-OBS"] - 51544.5) / 365.25
        sky_to_pixel = _solve(_Detections(x, y, snr, fwhm), header, *_moved(gaia, years), gaia.mag)
    with clock.stage("aperture"):
        px, py = sky_to_pixel(*_moved(catalog, years))
        on = np.flatnonzero((px > -0.5) & (px < image.shape[1] - 0.5) & (py > -0.5) & (py < image.shape[0] - 0.5))
        shape = (len(catalog), len(RADII_FWHM))
        flux, flux_err, flags = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, -1)
        flux[on], flux_err[on], flags[on] = _sum(image, error, mask, segments, px[on], py[on], fwhm)
    return SepResult(clock, len(found), sky_to_pixel, flux, flux_err, flags)


def detect_deep(path: Path, snr: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """Positions down to a signal-to-noise ratio; kernel and deblending are those that did best on such frames.

    Parameters
    ----------
    path : Path
        Image.
    snr : float
        Nominal, of the filtered image.

    Returns
    -------
    x, y : ndarray
        Positions [pixel].
    """
    image, mask, _, _ = _read(path)
    background = sep.Background(image, mask=mask, bw=BOX, bh=BOX)
    threshold = snr * np.sqrt(np.sum(KERNEL**2)) / KERNEL.sum()
    found = sep.extract(
        image - background.back(),
        threshold,
        err=background.globalrms,
        mask=mask,
        filter_kernel=KERNEL,
        filter_type="conv",
        deblend_cont=0.0005,
    )
    return found["x"], found["y"]


def _read(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, fits.Header]:
    with fits.open(path, memmap=False) as hdus:
        image = hdus["SCI"].data.astype(np.float32)
        mask = hdus["BPM"].data != 0
        error = hdus["ERR"].data.astype(np.float32)
        return image, mask, error, hdus["SCI"].header


def _seeing(found: np.ndarray, snr: np.ndarray) -> float:
    """FWHM of a Gaussian with the median moments of the unflagged detections with a S/N above 20 [pixel]."""
    clean = found[(found["flag"] == 0) & (snr > 20.0)]
    return float(np.median(2.0 * np.sqrt(np.log(2.0) * (clean["a"] ** 2 + clean["b"] ** 2))))


def _moved(stars: SkyCatalog, epoch: float) -> tuple[np.ndarray, np.ndarray]:
    years = epoch - stars.ref_epoch
    dec = stars.dec_deg + years * stars.pmdec / 3.6e6
    return stars.ra_deg + years * stars.pmra / 3.6e6 / np.cos(np.radians(dec)), dec


def _terms(u: np.ndarray, v: np.ndarray, order: int) -> np.ndarray:
    return np.stack([u**p * v**q for p in range(order + 1) for q in range(order + 1 - p)], axis=1)


def _solve(found: _Detections, header: fits.Header, ra: np.ndarray, dec: np.ndarray, mag: np.ndarray) -> Projection:
    """Offset by votes, then matches and polynomial fits with a shrinking radius."""
    x, y, snr, fwhm = found
    inverse = np.linalg.inv([[header["CD1_1"], header["CD1_2"]], [header["CD2_1"], header["CD2_2"]]])
    ra0, dec0 = np.radians(header["CRVAL1"]), np.radians(header["CRVAL2"])
    size = float(header["NAXIS1"])

    def nominal(ra_deg: np.ndarray, dec_deg: np.ndarray) -> np.ndarray:
        """Pixels by the header, shape (n, 2)."""
        a, d = np.radians(ra_deg) - ra0, np.radians(dec_deg)
        depth = np.sin(d) * np.sin(dec0) + np.cos(d) * np.cos(dec0) * np.cos(a)
        xi = np.cos(d) * np.sin(a) / depth
        eta = (np.sin(d) * np.cos(dec0) - np.cos(d) * np.sin(dec0) * np.cos(a)) / depth
        return np.degrees(np.stack([xi, eta], axis=1)) @ inverse.T + (header["CRPIX1"] - 1.0, header["CRPIX2"] - 1.0)

    known = nominal(ra, dec)
    reach = SEARCH_ARCSEC / 3600.0 * np.sqrt(abs(np.linalg.det(inverse))) + 10.0
    rows = np.flatnonzero((np.abs(known - size / 2) < size / 2 + reach).all(axis=1))
    rows = rows[np.argsort(mag[rows])]
    by_snr = np.argsort(-snr)
    shift = known[rows[:300]][None, :, :] - np.stack([x, y], axis=1)[by_snr[:300]][:, None, :]
    edges = np.arange(-reach, reach + 6.0, 6.0)
    votes, _, _ = np.histogram2d(shift[..., 0].ravel(), shift[..., 1].ravel(), bins=(edges, edges))
    smooth = sum(np.roll(votes, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1))
    peak = np.unravel_index(np.argmax(smooth), smooth.shape)
    # Measured to nominal pixels, u = x + polynomial(x, y), as SIP does it.
    u, v = 2.0 * x / size - 1.0, 2.0 * y / size - 1.0
    change, order = np.array([[edges[peak[0]] + 3.0, edges[peak[1]] + 3.0]]), 0
    sigma = np.hypot(0.5 * fwhm / np.maximum(snr, 1.0), 0.015)
    for radius, new_order, number in ((14.0, 1, 400), (6.0, 3, 1000), (2.0, 3, 4000), (1.0, 3, None), (1.0, 3, None)):
        stars, partners = by_snr[:number], rows[:number]
        moved = np.stack([x, y], axis=1)[stars] + _terms(u[stars], v[stars], order) @ change
        distance, nearest = cKDTree(known[partners]).query(moved, distance_upper_bound=radius)
        near = np.isfinite(distance)
        stars, partners, order = stars[near], partners[nearest[near]], new_order
        design = _terms(u[stars], v[stars], order)
        target, weight = known[partners] - np.stack([x, y], axis=1)[stars], 1.0 / sigma[stars]
        for _ in range(4):
            change = np.linalg.lstsq(design * weight[:, None], target * weight[:, None], rcond=None)[0]
            pull = np.abs(target - design @ change).max(axis=1) / sigma[stars]
            weight = (pull < 3.0 * max(1.0, 1.4826 * np.median(pull))) / sigma[stars]

    def sky_to_pixel(ra_deg: np.ndarray, dec_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        goal = nominal(ra_deg, dec_deg)
        place = goal - change[0]
        for _ in range(6):
            place = goal - _terms(2.0 * place[:, 0] / size - 1.0, 2.0 * place[:, 1] / size - 1.0, order) @ change
        return place[:, 0], place[:, 1]

    return sky_to_pixel


def _sum(
    image: np.ndarray,
    error: np.ndarray,
    mask: np.ndarray,
    segments: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    fwhm: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fluxes less the local sky, their errors and sep's flags; shape (n_stars, n_radii).

    The sky is the mean of the annulus without the pixels of detected stars.
    """
    inner, outer = (k * fwhm for k in ANNULUS_FWHM)
    total, total_err, _ = sep.sum_circann(image, x, y, inner, outer, err=error, mask=mask | (segments > 0))
    ring = np.pi * (outer**2 - inner**2)
    shape = (len(x), len(RADII_FWHM))
    flux, flux_err, flags = np.empty(shape), np.empty(shape), np.empty(shape, int)
    for k, factor in enumerate(RADII_FWHM):
        radius = factor * fwhm
        share = np.pi * radius**2 / ring
        value, value_err, flags[:, k] = sep.sum_circle(image, x, y, radius, err=error, mask=mask)
        flux[:, k] = value - share * total
        flux_err[:, k] = np.hypot(value_err, share * total_err)
    return flux, flux_err, flags
