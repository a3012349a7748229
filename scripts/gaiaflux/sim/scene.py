"""Frames of a scenario, with their truth."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from gaiaflux.core.sky.projection import sky_to_pixel, sky_to_plane
from gaiaflux.model.frame import Frame
from gaiaflux.model.wcs import TanSip
from gaiaflux.sim.conditions import Conditions
from gaiaflux.sim.detector import expose
from gaiaflux.sim.field import REF_EPOCH, light_curves
from gaiaflux.sim.imperfect_camera import (
    HotPixels,
    add_ghosts,
    add_trail,
    amplifiers,
    bleed,
    flat_errors,
    hot_pixels,
)
from gaiaflux.sim.optics import REACH_PIX
from gaiaflux.sim.pointing import apparent_positions, moment
from gaiaflux.sim.scenario import Scenario
from gaiaflux.sim.scene_stars import scene_catalog, scene_stars
from gaiaflux.sim.series import Series, SeriesConfig
from gaiaflux.sim.structure import fringes, nebula, on_frame
from gaiaflux.sim.table_psf import TablePsf, optimal_error

__all__ = ["SCENE_DTYPE", "Scene", "SceneFrame"]

FAINTEST_SIGMA = 0.03
MARGIN_PIX = 40.0
SCENE_DTYPE = np.dtype([("star", "i8"), *((name, "f8") for name in ("x", "y", "flux", "sigma", "relative", "width"))])
"""star: row of `Scene.stars`; x, y [pixel]; flux, sigma [electron], sigma being the error of an optimal fit with the
true PSF and the true noise, infinite outside of the image; relative: flux over that at the star's mean magnitude; width
[pixel], with pixel and defocus."""


@dataclass(frozen=True)
class SceneFrame:
    """A frame as a reader would give it, and the truth about it.

    Attributes
    ----------
    index : int
        Number in the series, from 0.
    frame : Frame
        Pixels in electron, and header facts.
    header : dict
        Further header cards.
    stars : ndarray of SCENE_DTYPE, shape (n,)
        Stars on the image and up to 40 pixels beside it.
    wcs : TanSip
        True plate solution.
    psf : TablePsf
        True PSF.
    conditions : Conditions
        Seeing, sky, transparency, pointing.
    """

    index: int
    frame: Frame
    header: dict[str, Any]
    stars: np.ndarray
    wcs: TanSip
    psf: TablePsf
    conditions: Conditions


class Scene(Series):
    """Stars, catalogue and frames of a scenario.

    Parameters
    ----------
    scenario : Scenario
        What is simulated.
    seed : int
        Seed of all that is drawn.
    """

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        super().__init__(
            SeriesConfig(
                seed=seed,
                n_frames=scenario.n_frames,
                camera=scenario.chip.camera,
                field=scenario.stars.field,
                night=scenario.night,
                transit=None,
                microlensing=None,
                name=scenario.name,
            )
        )

    def true_wcs(self, index: int) -> TanSip:
        """True plate solution of a frame, without making it."""
        conditions = self.conditions(index)
        return self._plate_solution(conditions.pointing_offset_deg, conditions.rotation_deg, True)

    def camera_number(self, index: int) -> int:
        """Which of the cameras took a frame."""
        return index * self.scenario.chip.n_cameras // len(self)

    def frame(self, index: int) -> SceneFrame:  # type: ignore[override]
        """Make a frame.

        Parameters
        ----------
        index : int
            Frame number, from 0.

        Returns
        -------
        SceneFrame
        """
        condition_rng, psf_rng, star_rng, noise_rng = self._frame_rngs(index)
        conditions = self._conditions(index, condition_rng)
        camera = self.config.camera
        ny, nx = camera.shape
        when = moment(conditions.mjd_utc)
        wcs = self.true_wcs(index)
        psf = TablePsf(self.scenario.optics, camera.shape, conditions.fwhm_pix, float(psf_rng.uniform(0.0, np.pi)))
        x, y = sky_to_pixel(wcs, *apparent_positions(self.stars, when, REF_EPOCH))
        relative = light_curves(self.stars, when.bjd_tdb(self.stars["ra"], self.stars["dec"]))
        flux = self._flux(conditions, x, y, star_rng) * relative * self._colour_term(index)
        beside = np.maximum(np.maximum(-x, x - nx + 1), np.maximum(-y, y - ny + 1))
        near = np.flatnonzero(beside < REACH_PIX)
        light = self._light(index, conditions, psf, (x[near], y[near], flux[near]))
        variance = light.astype(np.float64) + camera.read_noise**2
        rows = np.flatnonzero(beside < MARGIN_PIX)
        truth = np.zeros(len(rows), dtype=SCENE_DTYPE)
        truth["star"], truth["x"], truth["y"] = rows, x[rows], y[rows]
        truth["flux"], truth["relative"] = flux[rows], relative[rows]
        truth["width"] = psf.width(x[rows], y[rows])
        truth["sigma"] = optimal_error(psf, x[rows], y[rows], variance, psf.half)
        info = replace(self._info(index, conditions), camera=self._camera_name(index))
        return SceneFrame(
            index,
            Frame(info, *self._read_out(index, light, noise_rng)),
            self._header(conditions),
            truth,
            wcs,
            psf,
            conditions,
        )

    def _light(
        self,
        index: int,
        conditions: Conditions,
        psf: TablePsf,
        stars: tuple[np.ndarray, np.ndarray, np.ndarray],
    ) -> np.ndarray:
        """Expected charge of stars (x, y, flux) and sky in each pixel; float32 [electron]."""
        chip, camera = self.scenario.chip, self.config.camera
        ny, nx = camera.shape
        faintest = FAINTEST_SIGMA * float(np.sqrt(conditions.sky + camera.read_noise**2))
        light = np.zeros(camera.shape, dtype=np.float32)
        psf.add_stars(light, *stars, faintest=faintest)
        if chip.ghost:
            add_ghosts(light, stars[0], stars[1], chip.ghost * stars[2], faintest)
        if index in self._frames_with_trails:
            add_trail(light, conditions.fwhm_pix, self._frame_rng(index, 1))
        sky_u, sky_v = (conditions.sky_slope[k] * np.linspace(-1.0, 1.0, n) for k, n in enumerate((nx, ny)))
        sky = 1.0 + sky_v[:, None] + sky_u[None, :] + self._fringes
        if self._nebula is not None:
            scale = camera.pixel_scale_arcsec
            sky += on_frame(self._nebula, self.config.field.centre_deg, scale, self.true_wcs(index))
        light += (conditions.sky * sky).astype(np.float32)
        light *= self._flats[self.camera_number(index)]
        hot = self._hot_pixels
        np.add.at(light, (hot.rows, hot.columns), hot.charge.astype(np.float32))
        return light

    def _read_out(
        self, index: int, light: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Image [electron], its stated error and its flags."""
        chip, camera = self.scenario.chip, self.config.camera
        charge = bleed(light, camera.full_well) if chip.bleeding else light.copy()
        image, flags, _, _ = expose(charge, camera, self.defects, rng)
        full = image >= camera.full_well
        image -= np.float32(chip.nonlinearity / camera.full_well) * image**2
        if chip.gain_step or chip.bias_step:
            gain, bias = amplifiers(chip)
            image = (image * gain + bias).astype(np.float32)
        image[full] = camera.full_well
        np.minimum(image, np.float32(camera.full_well), out=image)
        error = np.sqrt(np.maximum(image, np.float32(0.0)) + np.float32(camera.read_noise**2))
        return image, error, flags

    def _colour_term(self, index: int) -> np.ndarray:
        """Change of each star's flux in the camera of a frame."""
        chip = self.scenario.chip
        if chip.n_cameras == 1:
            return np.ones(len(self.stars))
        term = chip.colour_terms_mag * np.linspace(-1.0, 1.0, chip.n_cameras)[self.camera_number(index)]
        return 10.0 ** (-0.4 * term * (self.stars["bp"] - self.stars["rp"] - 1.0))

    def _camera_name(self, index: int) -> str:
        name = self.config.site.instrument
        number = self.camera_number(index)
        return f"{name[:-1]}{(int(name[-1]) + number) % 10}"

    def _frame_rng(self, index: int, key: int) -> np.random.Generator:
        """Generator of what only some scenarios have, so that all others draw the same numbers."""
        return np.random.default_rng(np.random.SeedSequence(self.config.seed, spawn_key=(20 + key, index)))

    @cached_property
    def _frames_with_trails(self) -> set[int]:
        order = self._rng(11).permutation(len(self))
        return {int(index) for index in order[: self.scenario.chip.trails]}

    @cached_property
    def _flats(self) -> list[np.ndarray]:
        rng = self._rng(12)
        chip = self.scenario.chip
        return [flat_errors(chip, rng).astype(np.float32) for _ in range(chip.n_cameras)]

    @cached_property
    def _fringes(self) -> np.ndarray | float:
        sky = self.scenario.sky
        return fringes(sky, self.config.camera.shape, self._rng(13)) if sky.fringes else 0.0

    @cached_property
    def _nebula(self) -> np.ndarray | None:
        """Map of the sky around the field's centre that holds all frames."""
        sky, camera = self.scenario.sky, self.config.camera
        if not sky.nebula:
            return None
        margin = 2.0 * (self.config.night.dither_arcsec + camera.distortion_arcsec) / camera.pixel_scale_arcsec + 50.0
        ny, nx = (int(1.05 * n + 2.0 * margin) for n in camera.shape)
        return nebula(sky, (ny, nx), self._rng(14))

    @cached_property
    def _hot_pixels(self) -> HotPixels:
        return hot_pixels(self.scenario.chip, self._rng(15))

    @cached_property
    def _field(self) -> tuple[np.ndarray, np.ndarray]:
        config, wanted = self.config, self.scenario.stars
        camera, night = config.camera, config.night
        scale = camera.pixel_scale_arcsec / 3600.0
        size = (camera.shape[1] * scale, camera.shape[0] * scale)
        border = (2.0 * night.dither_arcsec + 2.0 * camera.distortion_arcsec) / 3600.0
        border += REACH_PIX * scale + 0.02 * max(size)
        margin = config.field.gaia_margin_arcmin / 60.0
        times = [night.mjd_first + k * night.cadence_min / 1440.0 for k in (0, len(self) - 1)]
        stars = scene_stars(wanted, size, max(border, margin), times, self._rng(4))
        xi, eta = sky_to_plane(config.field.centre_deg, stars["ra"], stars["dec"])
        # The catalogue has to hold the frames wherever the telescope was pointed.
        margin += night.dither_arcsec / 3600.0
        outside = (np.abs(xi) > 0.5 * size[0] + margin) | (np.abs(eta) > 0.5 * size[1] + margin)
        xi[outside] = np.nan
        return stars, scene_catalog(wanted, stars, xi, eta, self._rng(5))
