"""Lists of stars with known plate solutions, without images: many fields in little time, to try plate solutions."""

from dataclasses import dataclass, field, replace

import numpy as np

from gaiaflux.core.sky.projection import (
    linear_tan,
    pixel_to_plane,
    pixel_to_sky,
    plane_to_sky,
    sky_to_pixel,
    sky_to_plane,
)
from gaiaflux.model.flags import StarFlag
from gaiaflux.model.stars import STAR_DTYPE
from gaiaflux.model.wcs import TanSip
from gaiaflux.sim.detector import Camera
from gaiaflux.sim.pointing import camera_distortion

__all__ = ["StarField", "StarList", "few_star_field", "simulate_stars", "spoiled_field", "stress_field"]

FWHM_PIX = 5.0
BRIGHTEST_MAG = 13.0


@dataclass(frozen=True)
class StarField:
    """What is simulated.

    Attributes
    ----------
    seed : int
        Seed of everything.
    n_stars : int
        Stars that are found in the image and real.
    min_snr : float
        Signal-to-noise ratio of the faintest star that is found.
    spurious : float
        Fraction of the found stars that are none.
    distortion_arcsec : float
        At the worst corner [arcsec]; mostly radial, of third order.
    header : str
        ``offset``: right but for `header_offset_arcsec` and `header_rotation_deg`; ``none``; ``wrong``: any rotation
        and parity, half a field away at most.
    header_distorted : bool
        Whether the header knows the distortion.
    header_offset_arcsec, header_rotation_deg : float
        Largest error of an ``offset`` header.
    scale_error : float
        Largest relative error of the nominal pixel scale.
    catalog_depth_mag : float
        How much fainter than the image's faintest star the catalogue reaches [mag]; negative = shallower.
    catalog_share : float
        Part of the real stars that the catalogue has.
    catalog_radius_fields : float
        Radius of the catalogue's cone around the pointing, in half diagonals of the image.
    magnitude_scatter : float
        Of the image's magnitudes around the catalogue's: colours and variables [mag].
    mirrored : bool
        Other parity than the usual.
    saturated_share : float
        Part of the stars, the brightest, that are saturated: their centroids scatter by 0.2 pixel, and are flagged.
    spoiled_share : float
        Part of the others with a bad pixel or a cosmic ray: flagged, off by up to 1 pixel.
    catalog_wrong_share : float
        Part of the catalogue's rows whose position is wrong by 0.3 to 6 arcsec.
    n_trails : int
        Satellite trails: straight lines of found pieces.
    camera : Camera
        Shape and nominal scale are used.
    """

    seed: int
    n_stars: int = 500
    min_snr: float = 8.0
    spurious: float = 0.05
    distortion_arcsec: float = 5.0
    header: str = "offset"
    header_distorted: bool = False
    header_offset_arcsec: float = 60.0
    header_rotation_deg: float = 0.3
    scale_error: float = 0.0
    catalog_depth_mag: float = 0.5
    catalog_share: float = 0.95
    catalog_radius_fields: float = 2.0
    magnitude_scatter: float = 0.25
    mirrored: bool = False
    saturated_share: float = 0.0
    spoiled_share: float = 0.0
    catalog_wrong_share: float = 0.0
    n_trails: int = 0
    camera: Camera = field(default_factory=Camera)


@dataclass(frozen=True)
class StarList:
    """A simulated image's stars, the catalogue, and the truth.

    Attributes
    ----------
    stars : ndarray of STAR_DTYPE
        Real and spurious, in no order.
    ra_deg, dec_deg, mag, pos_err_mas : ndarray, shape (n_catalog,)
        Catalogue at the epoch of the image.
    truth : TanSip
        True solution.
    header : TanSip or None
        What the header says.
    nominal : TanSip
        Tangent plane at the pointing, with the nominal scale, north up.
    """

    stars: np.ndarray
    ra_deg: np.ndarray
    dec_deg: np.ndarray
    mag: np.ndarray
    pos_err_mas: np.ndarray
    truth: TanSip
    header: TanSip | None
    nominal: TanSip

    def error_pix(self, wcs: TanSip) -> np.ndarray:
        """Distance of a solution from the truth on a grid over the whole image.

        Parameters
        ----------
        wcs : TanSip
            Solution.

        Returns
        -------
        ndarray of float64, shape (289,)
            [pixel].
        """
        ny, nx = self.truth.shape
        x, y = (g.ravel() for g in np.meshgrid(np.linspace(0, nx - 1, 17), np.linspace(0, ny - 1, 17)))
        found = np.stack(sky_to_plane(self.truth.crval, *pixel_to_sky(wcs, x, y)))
        miss = np.linalg.inv(self.truth.cd) @ (found - np.stack(pixel_to_plane(self.truth, x, y)))
        return np.where(np.isfinite(miss).all(axis=0), np.hypot(*miss), np.inf)


def simulate_stars(config: StarField) -> StarList:
    """Make the lists of one field.

    Parameters
    ----------
    config : StarField
        What to simulate.

    Returns
    -------
    StarList
    """
    rng = np.random.default_rng([config.seed, 20260711])
    camera = config.camera
    ny, nx = camera.shape
    truth = _truth(config, rng)
    pointing, header, nominal = _stated(config, truth, rng)

    # Stars on a disc that holds the catalogue's cone, wherever the image lies in it.
    half = 0.5 * float(np.hypot(nx, ny))
    x0, y0 = (float(v) for v in sky_to_pixel(replace(truth, a=np.zeros((1, 1)), b=np.zeros((1, 1))), *pointing))
    radius = config.catalog_radius_fields * half
    reach = max(radius, np.hypot(x0 - nx / 2, y0 - ny / 2) + 1.05 * half) + 50.0
    deeper = max(config.catalog_depth_mag, 0.0)
    faintest = BRIGHTEST_MAG + 5.0
    n_total = int(config.n_stars * np.pi * reach**2 / (nx * ny) * 10 ** (0.3 * deeper))
    distance, angle = reach * np.sqrt(rng.uniform(size=n_total)), rng.uniform(0, 2 * np.pi, n_total)
    x, y = x0 + distance * np.cos(angle), y0 + distance * np.sin(angle)
    # Counts grow by 10^0.3 each magnitude.
    mag = faintest + deeper + np.log10(rng.uniform(1e-3, 1.0, n_total)) / 0.3
    seen_mag = mag + rng.normal(0.0, config.magnitude_scatter, n_total)
    inside = np.flatnonzero((x > 0) & (x < nx - 1) & (y > 0) & (y < ny - 1))
    found = inside[np.argsort(seen_mag[inside])[: config.n_stars]]
    limit = float(seen_mag[found].max())
    snr = config.min_snr * 10 ** (-0.4 * (seen_mag[found] - limit))
    snr = snr / np.sqrt(1.0 + snr / 3000.0)
    error = np.hypot(0.46 * FWHM_PIX / snr, 0.02)

    n_false = round(config.spurious * len(found) / (1.0 - config.spurious))
    k = len(found)
    stars = np.zeros(k + n_false, STAR_DTYPE)
    stars["x"][:k] = x[found] + rng.normal(size=k) * error
    stars["y"][:k] = y[found] + rng.normal(size=k) * error
    stars["snr"][:k], stars["flux"][:k] = snr, 10 ** (-0.4 * (seen_mag[found] - 25.0))
    stars["x"][k:], stars["y"][k:] = rng.uniform(0, nx - 1, n_false), rng.uniform(0, ny - 1, n_false)
    copied = rng.integers(0, k, n_false)
    for name in ("snr", "flux"):
        stars[name][k:] = stars[name][copied]
    stars["x_err"] = stars["y_err"] = 0.46 * FWHM_PIX / stars["snr"]
    stars["fwhm"] = FWHM_PIX
    # Of its own generator: a field stays the same without.
    spoiled_rng = np.random.default_rng([config.seed, 20261130])
    _spoil(stars[:k], config, spoiled_rng)
    stars = np.concatenate([stars, *(_trail(stars[:k], camera.shape, spoiled_rng) for _ in range(config.n_trails))])

    within = np.hypot(x - x0, y - y0) < radius
    listed = within & (mag < limit + config.catalog_depth_mag) & (rng.uniform(size=n_total) < config.catalog_share)
    known = np.flatnonzero(listed)
    pos_err = np.full(len(known), 2.0)
    ra, dec = pixel_to_sky(truth, x[known], y[known])
    xi, eta = sky_to_plane(truth.crval, ra, dec) + rng.normal(size=(2, len(known))) * pos_err / 3.6e6
    wrong = spoiled_rng.uniform(size=len(known)) < config.catalog_wrong_share
    far = 10 ** spoiled_rng.uniform(np.log10(0.3), np.log10(6.0), len(known)) / 3600.0 * wrong
    turned = spoiled_rng.uniform(0, 2 * np.pi, len(known))
    ra, dec = plane_to_sky(truth.crval, xi + far * np.cos(turned), eta + far * np.sin(turned))
    good = np.isfinite(ra)
    known, ra, dec, pos_err = known[good], ra[good], dec[good], pos_err[good]
    return StarList(rng.permutation(stars), ra, dec, mag[known], pos_err, truth, header, nominal)


def _spoil(stars: np.ndarray, config: StarField, rng: np.random.Generator) -> None:
    """Saturate the brightest stars and hit some of the others, in place."""
    n = len(stars)
    order = np.argsort(-stars["flux"], kind="stable")
    bright = order[: round(config.saturated_share * n)]
    others = order[len(bright) :]
    hit = others[rng.uniform(size=len(others)) < config.spoiled_share]
    stars["flags"][bright] |= StarFlag.SATURATED
    stars["flags"][hit] |= rng.choice([StarFlag.BAD_PIXEL, StarFlag.COSMIC_RAY], len(hit)).astype(np.uint32)
    for axis in ("x", "y"):
        stars[axis][bright] += rng.normal(0.0, 0.2, len(bright))
        stars[axis][hit] += rng.uniform(-0.7, 0.7, len(hit))


def _trail(stars: np.ndarray, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Pieces of a satellite's trail across the image, each taken for a star."""
    ny, nx = shape
    angle, middle = rng.uniform(0, np.pi), rng.uniform(0.2, 0.8, 2) * (nx, ny)
    along = np.arange(-2.0 * max(nx, ny), 2.0 * max(nx, ny), 2.0 * FWHM_PIX)
    along = along + rng.normal(0.0, 0.5 * FWHM_PIX, len(along))
    x, y = middle[0] + along * np.cos(angle), middle[1] + along * np.sin(angle)
    x, y = x + rng.normal(0.0, 0.3, len(x)), y + rng.normal(0.0, 0.3, len(x))
    inside = (x > 0) & (x < nx - 1) & (y > 0) & (y < ny - 1)
    pieces = np.zeros(int(inside.sum()), stars.dtype)
    pieces["x"], pieces["y"], pieces["fwhm"] = x[inside], y[inside], FWHM_PIX
    pieces["flux"] = np.quantile(stars["flux"], 0.9) * 10 ** rng.normal(0.0, 0.2, len(pieces))
    pieces["snr"] = np.quantile(stars["snr"], 0.9)
    pieces["x_err"] = pieces["y_err"] = 0.46 * FWHM_PIX / pieces["snr"]
    return pieces


def spoiled_field(seed: int) -> StarField:
    """Field number `seed` of the stress test with what real images bring along.

    Parameters
    ----------
    seed : int
        From 0.

    Returns
    -------
    StarField
        That of `stress_field`, with up to 12 % saturated stars, 10 % with bad pixels or cosmic rays, 12 % wrong rows of
        the catalogue, and one trail in every third.
    """
    rng = np.random.default_rng([seed, 23])
    return replace(
        stress_field(seed),
        saturated_share=float(rng.uniform(0.0, 0.12)),
        spoiled_share=float(rng.uniform(0.0, 0.10)),
        catalog_wrong_share=float(rng.choice([0.0, rng.uniform(0.0, 0.12)])),
        n_trails=int(rng.integers(3) == 0),
    )


def stress_field(seed: int) -> StarField:
    """Field number `seed` of the stress test: even ones have a header that is nearly right, odd ones are lost.

    Parameters
    ----------
    seed : int
        From 0.

    Returns
    -------
    StarField
        In turn few (8 to 30), hundreds and crowded stars (more than 1e5 per square degree); 0 to 30 % spurious ones;
        catalogues from 1.5 mag shallower to 3 mag deeper; 5 arcsec of distortion.
    """
    rng = np.random.default_rng([seed, 7])
    kind = (seed // 2) % 3
    n_stars = (int(rng.integers(8, 31)), int(rng.integers(60, 1500)), int(rng.integers(5500, 9000)))[kind]
    lost = seed % 2 == 1
    depth = float(rng.uniform(0.0 if kind == 0 else -1.5, 3.0 if kind < 2 else 1.0))
    return StarField(
        seed=seed,
        n_stars=n_stars,
        spurious=float(rng.choice([0.0, 0.1, 0.3])),
        min_snr=float(rng.uniform(5.0, 15.0)),
        header=("none", "wrong")[int(rng.integers(2))] if lost else "offset",
        header_distorted=not lost and bool(rng.integers(2)),
        header_rotation_deg=0.5,
        scale_error=0.01 if lost else 0.0,
        catalog_depth_mag=depth,
        catalog_share=float(rng.uniform(0.9, 1.0)),
        catalog_radius_fields=float(rng.uniform(1.15, 2.2)) if lost else float(rng.uniform(1.15, 1.5)),
        magnitude_scatter=float(rng.uniform(0.1, 0.4)),
        mirrored=lost and bool(rng.integers(2)),
    )


def few_star_field(seed: int, distortion_arcsec: tuple[float, float] = (4.0, 12.0)) -> StarField:
    """Field of 8 to 30 stars whose header knows nothing of the distortion.

    Parameters
    ----------
    seed : int
        From 0.
    distortion_arcsec : tuple of float
        Smallest and largest distortion at the worst corner.

    Returns
    -------
    StarField
        In turn without a header's solution, with a wrong one, and with one that is nearly right.
    """
    rng = np.random.default_rng([seed, 11])
    header = ("none", "wrong", "offset")[seed % 3]
    return StarField(
        seed=seed + 7000,
        n_stars=int(rng.integers(8, 31)),
        spurious=float(rng.choice([0.0, 0.1, 0.3])),
        distortion_arcsec=float(rng.uniform(*distortion_arcsec)),
        header=header,
        scale_error=0.0 if header == "offset" else 0.05,
        catalog_depth_mag=float(rng.uniform(0.0, 4.0)),
        catalog_share=1.0,
        catalog_radius_fields=float(rng.uniform(1.2, 2.2)),
        mirrored=seed % 2 == 0,
    )


def _truth(config: StarField, rng: np.random.Generator) -> TanSip:
    camera = config.camera
    ny, nx = camera.shape
    ra, dec = rng.uniform(0, 360), np.degrees(np.arcsin(rng.uniform(-0.99, 0.99)))
    angle = rng.uniform(0, 2 * np.pi)
    scale = camera.pixel_scale_arcsec / 3600.0 * (1.0 + config.scale_error * rng.uniform(-1, 1))
    cd = scale * np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if config.mirrored:
        cd = cd @ np.diag([-1.0, 1.0])
    wcs = linear_tan((ra, dec), (0.5 * (nx - 1), 0.5 * (ny - 1)), cd, camera.shape)
    if config.distortion_arcsec == 0.0:
        return wcs
    a, b = camera_distortion(replace(camera, distortion_arcsec=config.distortion_arcsec), rng)
    return replace(wcs, a=a, b=b)


def _stated(
    config: StarField, truth: TanSip, rng: np.random.Generator
) -> tuple[tuple[float, float], TanSip | None, TanSip]:
    """Pointing, what the header says, and the nominal tangent plane."""
    camera = config.camera
    scale = camera.pixel_scale_arcsec / 3600.0
    direction = rng.uniform(0, 2 * np.pi)
    if config.header == "offset":
        distance = config.header_offset_arcsec / 3600.0 * np.sqrt(rng.uniform())
        turn = np.radians(config.header_rotation_deg * rng.uniform(-1, 1))
    else:
        distance = 0.5 * min(camera.shape) * scale * np.sqrt(rng.uniform())
        turn = rng.uniform(0, 2 * np.pi)
    ra, dec = (float(v) for v in plane_to_sky(truth.crval, distance * np.cos(direction), distance * np.sin(direction)))
    nominal = linear_tan((ra, dec), truth.crpix, scale * np.diag([-1.0, 1.0]), truth.shape)
    if config.header == "none":
        return (ra, dec), None, nominal
    cd = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ truth.cd
    if config.header == "wrong":
        cd = cd @ np.diag([rng.choice([-1.0, 1.0]), 1.0]) * (1.0 + 0.02 * rng.uniform(-1, 1))
    header = linear_tan((ra, dec), truth.crpix, cd, truth.shape)
    return (ra, dec), replace(header, a=truth.a, b=truth.b) if config.header_distorted else header, nominal
