"""List of an image's stars of which each is proven against the point-spread function of the others.

A deep list takes a Moffat profile for the stars' own; real wings, rings and coarse pixels leave peaks beside its bright
stars. Here only what cannot be such a peak is taken of it. The rest is found on what these stars leave of the image
when they are fitted with the image's own function, as the stars that a catalogue lacks.
"""

import numpy as np

from gaiaflux.core.image.pixels import Pixels
from gaiaflux.core.kernels.compile import kernel
from gaiaflux.core.psf.fluxes import PsfOptions, stars_per_beam
from gaiaflux.core.stars.completion import Completed, prove_stars
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.stars import STAR_DTYPE

__all__ = ["prove_list"]

# Parts of a star's light that may be peaks of its own within these radii [FWHM].
PEAK_SHARES = np.array([[1.5, 0.3], [3.0, 0.1], [6.0, 0.02], [28.0, 0.001]])
SAME_FWHM = 0.5
CROWDED = 0.05  # stars a beam that cannot be peaks, above which all of the deep list is taken
UNPROVEN = StarFlag.COSMIC_RAY | StarFlag.TRAIL


def prove_list(pixels: Pixels, stars: np.ndarray, fwhm: float, options: PsfOptions, min_snr: float) -> np.ndarray:
    """Keep what is a star, and find what was hidden.

    Parameters
    ----------
    pixels : Pixels
        The image.
    stars : ndarray of STAR_DTYPE, shape (n_stars,)
        A deep list of it. Saturated stars stay in any case.
    fwhm : float
        Seeing [pixel].
    options : PsfOptions
    min_snr : float
        Signal-to-noise ratio of the faintest star; raised to `gaiaflux.core.stars.completion.detection_limit`.

    Returns
    -------
    ndarray of STAR_DTYPE, shape (n,)
        Brightest first; places, fluxes and their errors are of the fit. The given list, where the image has too few
        stars for a point-spread function, or so many that no place between them shows what that leaves.

    Raises
    ------
    BadFrameError
        No clean pixels.
    """
    usable = stars[((stars["flags"] & UNPROVEN) == 0) & np.isfinite(stars["x"] + stars["y"]) & (stars["flux"] > 0)]
    saturated = (usable["flags"] & StarFlag.SATURATED) != 0
    sure = _cannot_be_peaks(usable["x"], usable["y"], usable["flux"], fwhm) | saturated
    n_pixels = int(np.count_nonzero(pixels.flags == 0))
    if stars_per_beam(int(np.count_nonzero(sure)), n_pixels, fwhm) > CROWDED:
        return stars
    seeds = usable[sure][np.argsort(~saturated[sure], kind="stable")]
    n_saturated = int(np.count_nonzero(saturated))
    found = prove_stars(pixels, seeds["x"], seeds["y"], n_saturated, fwhm, options, min_snr)
    if found.fit.stars is None:
        return stars
    proven = _table(found, usable)
    # The fit knows little of a star without its middle.
    proven["flux"][:n_saturated] = np.fmax(proven["flux"][:n_saturated], seeds["flux"][:n_saturated])
    proven["flags"][:n_saturated] = seeds["flags"][:n_saturated]
    ny, nx = pixels.image.shape
    on = (np.abs(proven["x"] - 0.5 * (nx - 1)) < 0.5 * nx) & (np.abs(proven["y"] - 0.5 * (ny - 1)) < 0.5 * ny)
    proven = proven[on & (proven["flux"] > 0)]
    return proven[np.argsort(-proven["flux"], kind="stable")]


def _table(found: Completed, stars: np.ndarray) -> np.ndarray:
    """Fitted stars as a table, with what the given list says of the shape of the same ones."""
    psf = found.fit.psf
    table = np.zeros(len(found.x), dtype=STAR_DTYPE)
    table["x"], table["y"], table["x_err"], table["y_err"] = found.x, found.y, found.error, found.error
    table["flux"], table["snr"] = found.solution.flux, found.snr
    table["peak"] = found.solution.flux * found.solution.stamps.values.max(axis=(1, 2))
    table["fwhm"] = psf.fwhm_at(found.x, found.y)
    table["ellipticity"] = psf.ellipticity_at(found.x, found.y)[0]
    # Whether the edge cuts a star is a matter of the fit, which has judged it.
    row = np.full(len(table), -1, np.int64)
    order = np.argsort(stars["y"], kind="stable")
    x, y = (np.ascontiguousarray(stars[name][order]) for name in ("x", "y"))
    _nearest(x, y, found.x, found.y, SAME_FWHM * psf.fwhm, row)
    same, given = row >= 0, stars[order[row]]
    for name in ("peak", "fwhm", "ellipticity", "flags"):
        table[name][same] = given[name][same]
    table["flags"] &= ~np.uint32(StarFlag.EDGE)
    return table


def _cannot_be_peaks(x: np.ndarray, y: np.ndarray, flux: np.ndarray, fwhm: float) -> np.ndarray:
    """Stars that are too bright to be peaks of the wings of others."""
    order = np.argsort(y, kind="stable")
    x, y, flux = (np.ascontiguousarray(values[order], np.float64) for values in (x, y, flux))
    sure = np.ones(len(x), np.bool_)
    _mark_peaks(x, y, flux, PEAK_SHARES[:, 0] * fwhm, np.ascontiguousarray(PEAK_SHARES[:, 1]), sure)
    result = np.empty_like(sure)
    result[order] = sure
    return result


@kernel("void(float64[::1], float64[::1], float64[::1], float64[::1], float64[::1], boolean[::1])")
def _mark_peaks(
    x: np.ndarray, y: np.ndarray, flux: np.ndarray, radius: np.ndarray, share: np.ndarray, sure: np.ndarray
) -> None:
    """Mark the stars, sorted by y, that are near a star of which they are less than a share."""
    n, last = len(x), len(radius) - 1
    for i in range(n):
        for way in (-1, 1):
            k = i + way
            while 0 <= k < n and abs(y[k] - y[i]) < radius[last]:
                r = np.sqrt((x[k] - x[i]) ** 2 + (y[k] - y[i]) ** 2)
                for ring in range(last + 1):
                    if r < radius[ring]:
                        if flux[i] < share[ring] * flux[k]:
                            sure[i] = False
                        break
                k += way


@kernel("void(float64[::1], float64[::1], float64[::1], float64[::1], float64, int64[::1])")
def _nearest(
    x: np.ndarray, y: np.ndarray, found_x: np.ndarray, found_y: np.ndarray, radius: float, row: np.ndarray
) -> None:
    """Row of the nearest star (x, y), sorted by y, within a radius of each found one; the others are left alone."""
    for k in range(len(found_x)):
        best = radius * radius
        for i in range(np.searchsorted(y, found_y[k] - radius), len(y)):
            if y[i] > found_y[k] + radius:
                break
            r2 = (x[i] - found_x[k]) ** 2 + (y[i] - found_y[k]) ** 2
            if r2 < best:
                best = r2
                row[k] = i
