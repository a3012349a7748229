"""The table of scenarios. A new one is a row of `SCENARIOS`: only what differs from the control is written."""

from dataclasses import replace

from gaiaflux.sim.field import FieldConfig
from gaiaflux.sim.imperfect_camera import ImperfectCamera
from gaiaflux.sim.optics import Optics
from gaiaflux.sim.scenario import FIELD, NIGHT, Scenario, Stars
from gaiaflux.sim.structure import SkyStructure

__all__ = ["SCENARIOS"]

CAMERA = ImperfectCamera().camera
AUREOLE = Optics("kolmogorov", aureole=0.04)


def _dense(number: int) -> Stars:
    """Stars of the Galactic bulge, `number` on 2048 x 2048 pixels."""
    return Stars(FieldConfig(stars_in_frame=number // 4, gaia_limit=19.5, gaia_width=0.2))


DIRTY = replace(CAMERA, cosmic_rays_per_mpix=500.0)
ROWS = (
    Scenario("control", "Moffat profile, clouds that leave 0.45 to 1 of the light"),
    Scenario("control_crowded", "Moffat profile, 20,000 stars on 2048 x 2048", _dense(20_000), kind="crowded"),
    Scenario("aureole", "Kolmogorov seeing, 4 % of the light in an aureole", optics=AUREOLE),
    Scenario("aureole_crowded", "the same, 20,000 stars on 2048 x 2048", _dense(20_000), AUREOLE, kind="crowded"),
    Scenario(
        "double_gaussian",
        "two Gaussians, FWHM 20 % larger in the corners",
        optics=Optics("double_gaussian", widening=0.2),
    ),
    Scenario(
        "coma",
        "Kolmogorov seeing, aureole of 4 %, coma, FWHM 20 % larger in the corners",
        optics=replace(AUREOLE, coma=0.5, widening=0.2),
    ),
    Scenario(
        "donut",
        "out of focus: rings of 15 to 17 pixels",
        optics=Optics("kolmogorov", defocus_pix=7.0, aureole=0.02),
        night=replace(NIGHT, fwhm_pix=(2.0, 3.0)),
    ),
    Scenario(
        "undersampled",
        "FWHM 1.2 to 1.7 pixels, pixels 8 % less sensitive at their edges",
        optics=Optics("double_gaussian", edge_loss=0.08),
        night=replace(NIGHT, fwhm_pix=(1.2, 1.7)),
    ),
    Scenario(
        "undersampled_plain",
        "the same; 16-bit integers, headers without gain, read noise and saturation",
        optics=Optics("double_gaussian", edge_loss=0.08),
        chip=ImperfectCamera(plain=True, silent=True),
        night=replace(NIGHT, fwhm_pix=(1.2, 1.7)),
    ),
    Scenario(
        "coarse",
        "Kolmogorov seeing of 1.7 to 2.5 pixels, aureole of 4 %, pixels 8 % less sensitive at their edges",
        optics=replace(AUREOLE, edge_loss=0.08),
        night=replace(NIGHT, fwhm_pix=(1.7, 2.5)),
    ),
    Scenario(
        "broad",
        "Kolmogorov seeing of 11 to 13 pixels",
        optics=Optics("kolmogorov"),
        night=replace(NIGHT, fwhm_pix=(11.0, 13.0)),
    ),
    Scenario("gradient", "sky 20 % brighter at one side", night=replace(NIGHT, sky_gradient=0.2)),
    Scenario("flat", "flat field wrong by 1 % on scales of 100 pixels", chip=ImperfectCamera(flat=0.01)),
    Scenario("nebula5", "nebula of 5 % of the sky", sky=SkyStructure(nebula=0.05)),
    Scenario("nebula15", "nebula of 15 % of the sky", sky=SkyStructure(nebula=0.15)),
    Scenario("nebula60", "nebula of 60 % of the sky", sky=SkyStructure(nebula=0.6)),
    Scenario("fringes", "fringes of 3 % of the sky, 55 pixels apart", sky=SkyStructure(fringes=0.03)),
    Scenario("bias_steps", "4 amplifiers, bias wrong by up to 25 electron", chip=ImperfectCamera(bias_step=25.0)),
    Scenario(
        "gain_steps",
        "4 amplifiers, bias wrong by up to 25 electron and gain by up to 6 %, no ERR, no BPM",
        chip=ImperfectCamera(bias_step=25.0, gain_step=0.06, plain=True),
    ),
    Scenario(
        "saturated",
        "6 stars of G = 7.5 to 9.5 with bleeding columns and halos",
        Stars(bright=6),
        chip=ImperfectCamera(bleeding=True, ghost=0.01),
    ),
    Scenario(
        "saturated_plain",
        "the same, no ERR, no BPM",
        Stars(bright=6),
        chip=ImperfectCamera(bleeding=True, ghost=0.01, plain=True),
    ),
    Scenario(
        "dirt",
        "500 cosmic rays, 300 hot pixels, satellite trails in 4 frames",
        chip=ImperfectCamera(DIRTY, hot_pixels=300, trails=4),
    ),
    Scenario("bad_catalogue", "one row of the catalogue in ten is wrong", Stars(bad_rows=0.1)),
    Scenario("nonlinear", "counts 2 % low at full well", chip=ImperfectCamera(nonlinearity=0.02)),
    Scenario("clouds", "clouds of up to 3 mag", night=replace(NIGHT, clouds_mag=3.0, cloud_gradient=0.01)),
    Scenario("crowded60k", "60,000 stars on 2048 x 2048", _dense(60_000), kind="crowded"),
    Scenario(
        "globular",
        "4000 stars of a globular cluster, core radius 15 arcsec",
        Stars(replace(FIELD, gaia_limit=19.5, gaia_width=0.3), cluster=4000),
        kind="crowded",
    ),
    Scenario(
        "cameras",
        "3 cameras with flat errors of 0.5 % and colour terms of 0.05",
        chip=ImperfectCamera(n_cameras=3, flat=0.005, colour_terms_mag=0.05),
    ),
    Scenario("events", "12 microlensing events of blended stars", Stars(events=12), n_frames=20),
)

SCENARIOS = {row.name: row for row in ROWS}
"""All scenarios by name."""
