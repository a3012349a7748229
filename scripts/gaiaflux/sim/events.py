"""One transit and one microlensing event on stars that suit them."""

from dataclasses import dataclass

import numpy as np

from gaiaflux.sim.field import Kind

__all__ = ["Microlensing", "Transit", "add_microlensing", "add_transit", "quiet_star"]


@dataclass(frozen=True)
class Transit:
    """A transit in front of a bright and isolated star.

    Attributes
    ----------
    centre_h : float
        Time of the centre after the first mid-exposure [h].
    duration_h : float
        First to fourth contact [h].
    ingress_h : float
        First to second contact [h].
    depth : float
        Relative depth.
    snr : tuple of float
        Range of the star's signal-to-noise ratio in a typical frame.
    """

    centre_h: float = 3.6
    duration_h: float = 2.6
    ingress_h: float = 0.3
    depth: float = 0.01
    snr: tuple[float, float] = (450.0, 900.0)


@dataclass(frozen=True)
class Microlensing:
    """A microlensing event, compressed in time so that one night shows all of it.

    Attributes
    ----------
    peak_h : float
        Time of the peak after the first mid-exposure [h].
    t_e_h : float
        Einstein time [h].
    u0 : float
        Impact parameter in Einstein radii.
    snr : tuple of float
        Range of the unlensed star's signal-to-noise ratio in a typical frame.
    """

    peak_h: float = 4.5
    t_e_h: float = 1.5
    u0: float = 0.35
    snr: tuple[float, float] = (60.0, 150.0)


def add_transit(stars: np.ndarray, row: int, event: Transit, t0: float) -> None:
    """Make a star one that is transited, in place.

    Parameters
    ----------
    stars : ndarray of STAR_DTYPE
        Stars.
    row : int
        The star.
    event : Transit
        Shape of the transit.
    t0 : float
        Centre [BJD TDB].
    """
    stars["kind"][row] = Kind.TRANSIT
    stars["t0"][row], stars["depth"][row] = t0, event.depth
    stars["duration"][row], stars["ingress"][row] = event.duration_h / 24.0, event.ingress_h / 24.0


def add_microlensing(stars: np.ndarray, row: int, event: Microlensing, t0: float) -> None:
    """Make a star one that is lensed, in place.

    Parameters
    ----------
    stars : ndarray of STAR_DTYPE
        Stars.
    row : int
        The star.
    event : Microlensing
        Shape of the event.
    t0 : float
        Peak [BJD TDB].
    """
    stars["kind"][row] = Kind.MICROLENSING
    stars["t0"][row], stars["u0"][row], stars["t_e"][row] = t0, event.u0, event.t_e_h / 24.0


def quiet_star(
    stars: np.ndarray,
    plane_arcsec: np.ndarray,
    snr: np.ndarray,
    wanted: tuple[float, float],
    half_size_arcsec: np.ndarray,
    fwhm_arcsec: float,
) -> int:
    """Find the constant star that its neighbours disturb least, well inside of the field.

    Parameters
    ----------
    stars : ndarray of STAR_DTYPE, shape (n_stars,)
        Stars.
    plane_arcsec : ndarray, shape (n_stars, 2)
        Tangent-plane offsets from the field's centre [arcsec].
    snr : ndarray, shape (n_stars,)
        Signal-to-noise ratio in a typical frame.
    wanted : tuple of float
        Range of the ratio; the nearest star in the middle of the field is taken where no star has such a ratio.
    half_size_arcsec : ndarray, shape (2,)
        Half of the frame's sides [arcsec].
    fwhm_arcsec : float
        Typical seeing.

    Returns
    -------
    int
        Row.

    Raises
    ------
    ValueError
        There is no constant star in the middle of the field.
    """
    allowed = (stars["kind"] == Kind.CONSTANT) & np.all(np.abs(plane_arcsec) < 0.75 * half_size_arcsec, axis=1)
    candidates = np.flatnonzero(allowed & (snr >= wanted[0]) & (snr <= wanted[1]))
    if len(candidates) == 0:
        candidates = np.flatnonzero(allowed)
        if len(candidates) == 0:
            raise ValueError("no constant star in the middle of the simulated field")
        distance = np.abs(np.log(snr[candidates]) - 0.5 * np.log(wanted[0] * wanted[1]))
        return int(candidates[np.argmin(distance)])
    light = 10.0 ** (-0.4 * stars["g"])
    disturbance = []
    for row in candidates:
        distance2 = ((plane_arcsec - plane_arcsec[row]) ** 2).sum(axis=1)
        others = light / light[row] * (1.0 + distance2 / fwhm_arcsec**2) ** -3.0
        disturbance.append(others.sum() - others[row])
    return int(candidates[np.argmin(disturbance)])
