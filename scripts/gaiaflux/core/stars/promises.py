"""Stars of a catalogue that an image does not show where they should be, and the found stars that they may be."""

from typing import NamedTuple

import numpy as np

from gaiaflux.core.stars.completion import LEAST_LIGHT, Completed, zero_point

__all__ = ["PROMISED_SNR", "SEEN_SHARE", "SEEN_SNR", "Promises", "check_promises", "promised_flux"]

PROMISED_SNR = 7.0
"""Of the faintest flux that a magnitude allows: such a star must be seen."""
SEEN_SNR = 3.0
SEEN_SHARE = 0.03
"""Part of the promised light: less may be the misfit of a neighbour."""
TOLERANCE_MAG = (0.3, 1.5)  # least and largest difference that colours and variability explain
TOLERANCE_SIGMA = 3.0
FOLLOWED_MAG, FOLLOWED_SNR = 0.5, 15.0  # of a star whose light was followed
MAG_OF_SNR = 2.5 / np.log(10.0)


class Promises(NamedTuple):
    """What became of the stars that a catalogue promises; arrays of shape (n_known,).

    Attributes
    ----------
    unseen : ndarray of bool
        The star would be clear, but is not at its place.
    meant : ndarray of int64
        Row of the star that it must be: its own where its light is close beside and was followed; else that of a found
        star, the only one near of about its brightness, and near to no other unseen one; -1 for none.
    """

    unseen: np.ndarray
    meant: np.ndarray


def promised_flux(flux: np.ndarray, error: np.ndarray, magnitudes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fluxes that stars should have by their magnitudes.

    Parameters
    ----------
    flux, error : ndarray, shape (n,)
        Measured fluxes, whose bright ones give zero point and scatter; NaN where unknown.
    magnitudes : ndarray, shape (n,)
        NaN where unknown.

    Returns
    -------
    promised, faintest : ndarray, shape (n,)
        What is to be expected, and how faint a star may be by the scatter that colours make; NaN where unknown.
    """
    zero = zero_point(flux, error, magnitudes)
    scatter = TOLERANCE_SIGMA * zero.scatter if np.isfinite(zero.scatter) else np.inf
    promised = 10.0 ** (0.4 * (zero.mean - magnitudes))
    return promised, 10.0 ** (-0.4 * float(np.clip(scatter, *TOLERANCE_MAG))) * promised


def check_promises(completed: Completed, magnitudes: np.ndarray, reach: np.ndarray) -> Promises:
    """Look whether the light is there that a catalogue promises.

    Parameters
    ----------
    completed : Completed
        Catalogue and found stars, fitted together.
    magnitudes : ndarray, shape (n_known,)
        Of the catalogue's stars; NaN where unknown: nothing is promised.
    reach : ndarray, shape (n_known,)
        How far from its place a star may be [pixel].

    Returns
    -------
    Promises
        Stars on the edge of the image or on bad pixels are never unseen.
    """
    n, solution = completed.n_known, completed.solution
    promised, faintest = promised_flux(solution.flux[:n], solution.error[:n], magnitudes)
    flux, noise = completed.proof
    full = solution.stamps.values.sum(axis=(1, 2), dtype=np.float64)
    whole = solution.sums.light[:n] > LEAST_LIGHT * full[:n]
    with np.errstate(invalid="ignore"):
        clear = faintest > PROMISED_SNR * noise[:n]
        unseen = whole & clear & (flux[:n] < np.maximum(SEEN_SNR * noise[:n], SEEN_SHARE * promised))
    rows = np.flatnonzero(unseen)
    near = np.hypot(
        np.subtract.outer(completed.x[rows], completed.x[n:]), np.subtract.outer(completed.y[rows], completed.y[n:])
    )
    tolerance = 2.5 * np.log10(promised / faintest)
    # Measured fluxes have their errors beside those of the magnitude.
    with np.errstate(divide="ignore", invalid="ignore"):
        error = TOLERANCE_SIGMA * MAG_OF_SNR * noise / flux
        difference, allowed = (
            2.5 * np.log10(flux[n:] / promised[rows, None]),
            np.hypot(tolerance[rows, None], error[n:]),
        )
        fits = (near < reach[rows, None]) & (np.abs(difference) < allowed)
        # What a star leaves that is brighter by far may have drawn a faint one away.
        agrees = np.abs(2.5 * np.log10(flux[:n] / promised)) < np.hypot(np.minimum(tolerance, FOLLOWED_MAG), error[:n])
        agrees &= flux[:n] > FOLLOWED_SNR * noise[:n]
    meant = np.full(n, -1)
    row, star = np.nonzero(fits)
    sure = (fits.sum(axis=1)[row] == 1) & (fits.sum(axis=0)[star] == 1)
    meant[rows[row[sure]]] = n + star[sure]
    beside = completed.free & agrees & ~unseen
    meant[beside] = np.flatnonzero(beside)
    return Promises(unseen | beside, meant)
