import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from gaiaflux.core.psf.model import PsfModel
from gaiaflux.ground.frame.psf_options import psf_options
from gaiaflux.ground.photometry.psf import measure_stars
from gaiaflux.model.flags import PixelFlag, StarFlag
from gaiaflux.model.frame import Frame, FrameInfo
from gaiaflux.model.settings.psf import PsfSettings
from gaiaflux.sim.moffat_field import add_stars
from gaiaflux.workflow.settings import complete_section

DEFAULTS = psf_options(complete_section(PsfSettings))
SHAPE = (440, 480)
FWHM = 4.6
BETA = 3.0
READ_NOISE = 8.0
EXPTIME = 40.0
SKY = 300.0
WELL = 90_000.0
# Flags that say that a star is near another one, not that its measurement has suffered.
COMPANY = np.uint32(StarFlag.NEIGHBOUR | StarFlag.BLENDED)


class ScenePsf:
    """Moffat function whose coefficients are parabolas over the field, as `add_stars` of the simulation wants it.

    The simulation's own fields have parabolas of the width instead, which differ from these by 0.2 % in the corners.
    """

    beta = BETA

    def __init__(self, shape=SHAPE, fwhm=FWHM, slopes=1.0, stretch=1.0):
        self.shape = shape
        self.form = np.array(
            [
                [0.94, *(slopes * np.array([-0.05, 0.04, -0.03, -0.02, 0.03]))],
                [-0.03, *(slopes * np.array([0.01, -0.02, 0.01, 0.0, 0.0]))],
                [1.07, *(slopes * np.array([-0.04, 0.05, -0.02, -0.02, 0.03]))],
            ]
        ) * (4 * (2 ** (1 / BETA) - 1) / fwhm**2)
        self.form[2] /= stretch**2

    def _quadratic_form(self, x, y):
        u = np.clip(2 * x / (self.shape[1] - 1) - 1, -1, 1)
        v = np.clip(2 * y / (self.shape[0] - 1) - 1, -1, 1)
        return np.ascontiguousarray(np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1) @ self.form.T)

    def area(self, x, y):
        a, b, c = self._quadratic_form(x, y).T
        return (a * c - b * b) ** -0.5

    def at(self, x, y):
        a, b, c = self._quadratic_form(x, y).T
        half = np.hypot(0.5 * (a - c), b) / (0.5 * (a + c))
        width = 2 * np.sqrt((2 ** (1 / BETA) - 1) * self.area(x, y))
        return width, 1 - np.sqrt((1 - half) / (1 + half)), None

    def values(self, x, y, dx, dy):
        a, b, c = self._quadratic_form(np.array([x]), np.array([y]))[0]
        u = 1 + a * dx**2 + 2 * b * dx * dy + c * dy**2
        return (BETA - 1) / np.pi * np.sqrt(a * c - b * b) * u**-BETA

    def model(self):
        """The same as a model of the pipeline."""
        return PsfModel(self.shape, BETA, self.form.copy(), 2, np.zeros((0, 1, 1)), -1)


def make_frame(x, y, flux, seed, *, psf=None, sky=SKY, bad=None, cosmic=None, with_error=True, adu=None, **info):
    """Exposure with known stars [electron]; error image as BANZAI's, from the noisy pixels themselves.

    `bad`, `cosmic`: pixels with nonsense in them, flagged. `adu`: electrons per count of a frame that does not tell.
    """
    psf = psf or ScenePsf()
    rng = np.random.default_rng([9, seed])
    light = np.zeros(psf.shape, np.float32)
    add_stars(light, psf, x, y, flux, faintest=0.02)
    image = (rng.poisson(light + sky) + rng.normal(0, READ_NOISE, psf.shape)).astype(np.float32)
    flags = np.zeros(psf.shape, np.uint8)
    for pixels, bit, value in ((bad, PixelFlag.BAD, -1000.0), (cosmic, PixelFlag.COSMIC_RAY, 30_000.0)):
        if pixels is not None:
            flags[pixels] |= bit
            image[pixels] = value
    flags[image > WELL] |= PixelFlag.SATURATED
    image = np.minimum(image, np.float32(WELL))
    error = np.sqrt(np.maximum(image, 0) + np.float32(READ_NOISE**2)) if with_error else None
    facts = {"unit": "electron", "read_noise": READ_NOISE, "exptime_s": EXPTIME, **info}
    if adu:
        image, error = image / np.float32(adu), None
        facts["unit"] = "adu"
    return Frame(FrameInfo("f1", "f1.fits", psf.shape, mjd_utc=59000.0, time_rule="test", **facts), image, error, flags)


def measure(frame, x, y, fwhm=FWHM, reference_psf=None, **options):
    """Fluxes and errors [electron], flags and all else."""
    result = measure_stars(frame, x, y, fwhm, replace(DEFAULTS, **{"min_stars": 12, **options}), reference_psf)
    attrs, arrays = result.attrs, result.arrays
    flux, error = (arrays[name].astype(float) * EXPTIME for name in ("flux", "flux_err"))
    return SimpleNamespace(attrs=attrs, arrays=arrays, flux=flux, error=error, flags=arrays["flags"])


def random_stars(seed, n, faintest=2.9, brightest=5.4, margin=6.0, shape=SHAPE):
    rng = np.random.default_rng([8, seed])
    x, y = rng.uniform(-margin, shape[1] - 1 + margin, n), rng.uniform(-margin, shape[0] - 1 + margin, n)
    return x, y, 10 ** rng.uniform(faintest, brightest, n)


def loose_grid(seed, step=40, jitter=8.0, shape=SHAPE):
    """Positions so far apart that they do not disturb each other, none of them cut by the edge."""
    rng = np.random.default_rng([7, seed])
    gx, gy = np.meshgrid(np.arange(step / 2, shape[1], step), np.arange(step / 2, shape[0], step))
    return gx.ravel() + rng.uniform(-jitter, jitter, gx.size), gy.ravel() + rng.uniform(-jitter, jitter, gx.size)


def is_clean(flags):
    return (flags & ~COMPANY) == 0


def zero_of(found, flux, clean):
    """Common factor of the bright stars' fluxes: the zero point of the frame, which calibration measures."""
    bright = clean & (flux > 3e4)
    weight = (flux[bright] / found.error[bright]) ** 2
    return np.sum(weight * found.flux[bright] / flux[bright]) / np.sum(weight)


def check_pulls(pull, *, least=30, spread=0.06, bias=0.0):
    """Mean 0 and standard deviation 1, within 3.2 sigma of what so many can tell, and allowances.

    `spread`: the errors of the PSF and of the sky under a single star are in its error only in part. `bias`: an error
    that all stars of a box of the sky have in common.
    """
    n = len(pull)
    assert n >= least
    assert abs(np.mean(pull)) < bias + 3.2 * max(np.std(pull), 1.0) / np.sqrt(n), (np.mean(pull), n)
    assert abs(np.std(pull) - 1.0) < spread + 3.2 / np.sqrt(2 * n), (np.std(pull), n)


def check_arrays(found, n):
    """What is true of every result: shapes and kinds, no NaN without a flag, errors of all fluxes."""
    attrs, arrays = found.attrs, found.arrays
    kinds = {"x": "f8", "y": "f8", "flux": "f4", "flux_err": "f4", "flags": "u4", "sky": "f4"}
    kinds |= dict.fromkeys(("chi2", "psf_fraction", "crowding"), "f2")
    for name, kind in kinds.items():
        assert arrays[name].shape == (n,)
        assert arrays[name].dtype == np.dtype(kind), name
    measured = np.isfinite(arrays["flux"])
    off = (arrays["flags"] & (StarFlag.OFF_IMAGE | StarFlag.NOT_MEASURED)) != 0
    assert (measured == ~off).all()
    for name in ("flux_err", "x", "y", "chi2", "psf_fraction", "crowding", "sky"):
        assert np.isfinite(arrays[name][measured]).all(), name
    assert (arrays["flux_err"][measured] > 0).all()
    assert np.isnan(arrays["flux_err"][~measured]).all()
    assert attrs["n_measured"] == np.count_nonzero(measured)
    assert attrs["status"] == "ok"
    assert json.loads(json.dumps(attrs)).keys() == attrs.keys()
    names = {"status", "unit", "n_measured", "sky", "pixel_noise", "noise", "psf_status", "psf_n_stars", "psf_order"}
    names |= {"psf_residual_order", "psf_residual_rms", "psf_fwhm_pix", "psf_ellipticity", "psf_beta", "shift_x_pix"}
    assert names | {"shift_y_pix", "centroid_rms_pix"} <= attrs.keys()
    assert {type(value) for value in attrs.values()} <= {str, int, float, bool}


@pytest.fixture(scope="session")
def scene():
    """What makes and measures frames of known stars, and what is true of the results."""
    return SimpleNamespace(
        shape=SHAPE, fwhm=FWHM, read_noise=READ_NOISE, exptime=EXPTIME, sky=SKY, Psf=ScenePsf,
        make_frame=make_frame, measure=measure, random_stars=random_stars, loose_grid=loose_grid,
        company=COMPANY, is_clean=is_clean, zero_of=zero_of, check_pulls=check_pulls, check_arrays=check_arrays,
    )  # fmt: skip
