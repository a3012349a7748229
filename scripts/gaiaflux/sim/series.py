"""A simulated series: configuration, stars, catalogue and frames with their truth.

Every frame can be made alone: it depends on the configuration and its own number only.
"""

import dataclasses
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from gaiaflux.core.sky.projection import sky_to_pixel, sky_to_plane
from gaiaflux.io.image.wcs_cards import cards_from_tan_sip
from gaiaflux.model.frame import Frame, FrameInfo
from gaiaflux.model.wcs import TanSip
from gaiaflux.sim.conditions import Conditions, Night, draw_conditions, draw_psf, sky_level
from gaiaflux.sim.detector import Camera, Defects, expose, make_defects
from gaiaflux.sim.events import Microlensing, Transit, add_microlensing, add_transit, quiet_star
from gaiaflux.sim.field import REF_EPOCH, FieldConfig, gaia_table, light_curves, make_stars
from gaiaflux.sim.moffat_field import add_stars, optimal_sigma
from gaiaflux.sim.pointing import Site, apparent_positions, camera_distortion, moment, plate_solution
from gaiaflux.sim.truth import TRUTH_DTYPE, FrameTruth, SimFrame

__all__ = ["Series", "SeriesConfig"]

RENDER_MARGIN_PIX = 64.0
FAINTEST_SIGMA = 0.05


@dataclasses.dataclass(frozen=True)
class SeriesConfig:
    """All that determines a series."""

    seed: int = 1
    n_frames: int = 20
    camera: Camera = dataclasses.field(default_factory=Camera)
    field: FieldConfig = dataclasses.field(default_factory=FieldConfig)
    night: Night = dataclasses.field(default_factory=Night)
    site: Site = dataclasses.field(default_factory=Site)
    transit: Transit | None = dataclasses.field(default_factory=Transit)
    microlensing: Microlensing | None = dataclasses.field(default_factory=Microlensing)
    name: str = "sim"


class Series:
    """Stars, catalogue and frames of a configuration.

    Parameters
    ----------
    config : SeriesConfig
        Configuration.
    """

    def __init__(self, config: SeriesConfig) -> None:
        self.config = config

    def __len__(self) -> int:
        """Number of frames."""
        return self.config.n_frames

    @cached_property
    def stars(self) -> np.ndarray:
        """All stars, also those outside of the frames; STAR_DTYPE, shape (n_stars,)."""
        return self._field[0]

    @cached_property
    def gaia(self) -> np.ndarray:
        """Gaia-like catalogue; GAIA_DTYPE, shape (n_rows,), sorted by source_id."""
        return self._field[1]

    @cached_property
    def defects(self) -> Defects:
        """Bad pixels of the camera."""
        return make_defects(self.config.camera, self._rng(1))

    @cached_property
    def distortion(self) -> tuple[np.ndarray, np.ndarray]:
        """SIP coefficients of the camera."""
        return camera_distortion(self.config.camera, self._rng(2))

    def frames(self) -> Iterator[SimFrame]:
        """All frames in turn."""
        return (self.frame(index) for index in range(len(self)))

    def frame_id(self, index: int) -> str:
        """Name of a frame."""
        return f"{self.config.name}-{index:03d}-e91"

    def conditions(self, index: int) -> Conditions:
        """Circumstances of a frame, without making it."""
        return self._conditions(index, self._frame_rngs(index)[0])

    def frame(self, index: int) -> SimFrame:
        """Make a frame.

        Parameters
        ----------
        index : int
            Frame number, from 0; not limited by `n_frames`.

        Returns
        -------
        SimFrame
            Frame in electron, with BANZAI's kind of error array (from the noisy image itself), and the truth.
        """
        config = self.config
        camera, night = config.camera, config.night
        ny, nx = camera.shape
        condition_rng, psf_rng, star_rng, noise_rng = self._frame_rngs(index)
        conditions = self._conditions(index, condition_rng)
        when = moment(conditions.mjd_utc)
        psf = draw_psf(night, conditions.fwhm_pix, camera.shape, psf_rng)
        wcs = self._plate_solution(conditions.pointing_offset_deg, conditions.rotation_deg, True)
        x, y = sky_to_pixel(wcs, *apparent_positions(self.stars, when, REF_EPOCH))
        relative = light_curves(self.stars, when.bjd_tdb(self.stars["ra"], self.stars["dec"]))
        flux = self._flux(conditions, x, y, star_rng) * relative
        sky_u, sky_v = (conditions.sky_slope[k] * np.linspace(-1.0, 1.0, n) for k, n in enumerate((nx, ny)))
        sky_sigma = np.sqrt(conditions.sky + camera.read_noise**2)
        near = (x > -RENDER_MARGIN_PIX) & (x < nx + RENDER_MARGIN_PIX)
        near &= (y > -RENDER_MARGIN_PIX) & (y < ny + RENDER_MARGIN_PIX)
        light = np.zeros(camera.shape, dtype=np.float32)
        add_stars(light, psf, x[near], y[near], flux[near], faintest=FAINTEST_SIGMA * sky_sigma)
        light += (conditions.sky * (1.0 + sky_v)).astype(np.float32)[:, None]
        light += (conditions.sky * sky_u).astype(np.float32)
        exposure = expose(light, camera, self.defects, noise_rng, poisson=night.poisson)
        error = np.maximum(exposure.image, np.float32(0.0))
        error += np.float32(camera.read_noise**2)
        np.sqrt(error, out=error)
        rows = np.flatnonzero((x >= -0.5) & (x < nx - 0.5) & (y >= -0.5) & (y < ny - 0.5))
        truth = np.zeros(len(rows), dtype=TRUTH_DTYPE)
        for name in ("star", "source_id", "kind"):
            truth[name] = self.stars[name][rows]
        truth["x"], truth["y"], truth["flux"], truth["relative"] = x[rows], y[rows], flux[rows], relative[rows]
        truth["fwhm"] = psf.at(x[rows], y[rows]).fwhm
        sky = conditions.sky * (1.0 + self._slope(conditions.sky_slope, x[rows], y[rows]))
        truth["sigma"] = optimal_sigma(flux[rows], psf.area(x[rows], y[rows]), psf.beta, sky + camera.read_noise**2)
        truth["snr"] = truth["flux"] / truth["sigma"]
        info = self._info(index, conditions)
        return SimFrame(
            index,
            Frame(info, exposure.image, error, exposure.flags),
            self._header(conditions),
            FrameTruth(truth, wcs, psf, conditions, when, exposure.cosmic_rays, exposure.cosmic_pixels),
        )

    def _header(self, conditions: Conditions) -> dict[str, Any]:
        """Cards that BANZAI writes and that `FrameInfo` has no place for."""
        site = self.config.site
        return {
            "SITEID": site.site_id,
            "TELID": f"{site.telescope[:3]}a",
            "TELESCOP": site.telescope,
            "OBJECT": f"gaiaflux {self.config.name}",
            "L1FWHM": round(conditions.fwhm_pix * self.config.camera.pixel_scale_arcsec, 4),
            "L1ELLIP": round(0.5 * self.config.night.ellipticity, 4),
            "L1MEDIAN": round(conditions.sky, 3),
        }

    def _info(self, index: int, conditions: Conditions) -> FrameInfo:
        config = self.config
        camera, night, site = config.camera, config.night, config.site
        header = self._plate_solution(
            conditions.pointing_offset_deg + conditions.header_offset_deg,
            conditions.rotation_deg + conditions.header_rotation_deg,
            night.header_distortion,
        )
        return FrameInfo(
            frame_id=self.frame_id(index),
            path="",
            shape=camera.shape,
            unit="electron",
            exptime_s=night.exptime_s,
            mjd_utc=conditions.mjd_utc,
            time_rule="simulated",
            camera=site.instrument,
            filter=night.filter_name,
            airmass=conditions.airmass,
            gain=1.0,
            read_noise=camera.read_noise,
            saturation=camera.full_well,
            pixel_scale_arcsec=camera.pixel_scale_arcsec,
            wcs_cards=cards_from_tan_sip(header),
            ra_deg=config.field.centre_deg[0],
            dec_deg=config.field.centre_deg[1],
            site_lat_deg=site.lat_deg,
            site_lon_deg=site.lon_deg,
            site_height_m=site.height_m,
            aperture_m=site.aperture_m,
        )

    def _plate_solution(self, offset_deg: np.ndarray, rotation_deg: float, distorted: bool) -> TanSip:
        ra, dec = self.config.field.centre_deg
        centre = ((ra + float(offset_deg[0]) / float(np.cos(np.radians(dec)))) % 360.0, dec + float(offset_deg[1]))
        return plate_solution(self.config.camera, centre, rotation_deg, self.distortion if distorted else None)

    def _flux(self, conditions: Conditions, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Electrons of each star as if it had its mean magnitude; 0 for stars behind the image plane."""
        night, site = self.config.night, self.config.site
        colour = self.stars["bp"] - self.stars["rp"] - 1.0
        magnitude = self.stars["g"] - night.zero_point
        magnitude = magnitude + conditions.airmass * (night.extinction + night.colour_extinction * colour)
        flux = 10.0 ** (-0.4 * magnitude) * night.exptime_s * conditions.transparency
        flux *= np.maximum(1.0 + self._slope(conditions.cloud_slope, x, y), 0.0)
        if night.scintillation:
            sigma = 0.09 * (100.0 * site.aperture_m) ** (-2.0 / 3.0) * conditions.airmass**1.75
            sigma *= np.exp(-site.height_m / 8000.0) / np.sqrt(2.0 * night.exptime_s)
            flux *= np.maximum(1.0 + sigma * rng.standard_normal(len(flux)), 0.0)
        return flux

    def _slope(self, slope: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        ny, nx = self.config.camera.shape
        return slope[0] * (2.0 * x / (nx - 1) - 1.0) + slope[1] * (2.0 * y / (ny - 1) - 1.0)

    def _rng(self, key: int) -> np.random.Generator:
        """Generator of what belongs to the whole series."""
        return np.random.default_rng(np.random.SeedSequence(self.config.seed, spawn_key=(key,)))

    def _frame_rngs(self, index: int) -> list[np.random.Generator]:
        children = np.random.SeedSequence([self.config.seed, index]).spawn(4)
        return [np.random.default_rng(child) for child in children]

    def _conditions(self, index: int, rng: np.random.Generator) -> Conditions:
        config = self.config
        scale = config.camera.pixel_scale_arcsec
        return draw_conditions(config.night, config.site, config.field.centre_deg, scale, index, self._rng(3), rng)

    @cached_property
    def _field(self) -> tuple[np.ndarray, np.ndarray]:
        config = self.config
        camera = config.camera
        size = (
            camera.shape[1] * camera.pixel_scale_arcsec / 3600.0,
            camera.shape[0] * camera.pixel_scale_arcsec / 3600.0,
        )
        border = 2.0 * config.night.dither_arcsec / 3600.0 + RENDER_MARGIN_PIX * camera.pixel_scale_arcsec / 3600.0
        border += 2.0 * camera.distortion_arcsec / 3600.0 + 0.02 * max(size)
        margin = config.field.gaia_margin_arcmin / 60.0
        stars = make_stars(config.field, size, max(border, margin), self._rng(4))
        xi, eta = sky_to_plane(config.field.centre_deg, stars["ra"], stars["dec"])
        snr = self._typical_snr(stars)
        plane = 3600.0 * np.stack([xi, eta], axis=1)
        half = 1800.0 * np.array(size)
        fwhm = 0.5 * sum(config.night.fwhm_pix) * camera.pixel_scale_arcsec
        if config.transit is not None:
            row = quiet_star(stars, plane, snr, config.transit.snr, half, fwhm)
            centre = self._bjd(stars[row : row + 1], config.transit.centre_h)
            add_transit(stars, row, config.transit, centre)
        if config.microlensing is not None:
            row = quiet_star(stars, plane, snr, config.microlensing.snr, half, fwhm)
            add_microlensing(
                stars, row, config.microlensing, self._bjd(stars[row : row + 1], config.microlensing.peak_h)
            )
        outside = (np.abs(xi) > 0.5 * size[0] + margin) | (np.abs(eta) > 0.5 * size[1] + margin)
        xi[outside] = np.nan
        table, rows = gaia_table(config.field, stars, xi, eta, self._rng(5))
        stars["source_id"][rows] = table["source_id"]
        return stars, table

    def _typical_snr(self, stars: np.ndarray) -> np.ndarray:
        """Signal-to-noise ratio with the middle seeing through one air mass."""
        night, camera = self.config.night, self.config.camera
        flux = 10.0 ** (-0.4 * (stars["g"] + night.extinction - night.zero_point)) * night.exptime_s
        width = 0.5 * sum(night.fwhm_pix)
        area = (0.5 * width) ** 2 / (2.0 ** (1.0 / night.beta) - 1.0)
        variance = sky_level(night, camera.pixel_scale_arcsec) + camera.read_noise**2
        return flux / optimal_sigma(flux, area, night.beta, variance)

    def _bjd(self, star: np.ndarray, hours: float) -> float:
        """Barycentric time of a star at some hours after the first mid-exposure."""
        return float(moment(self.config.night.mjd_first + hours / 24.0).bjd_tdb(star["ra"], star["dec"])[0])
