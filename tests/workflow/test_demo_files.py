"""The files of the demonstration are those that its simulation writes."""

from gaiaflux.sim.tess.ccd import simulate_ccd
from gaiaflux.sim.tess.ccd_files import spoc_name
from gaiaflux.sim.tess.ccd_headers import HeaderTimes
from gaiaflux.sim.tess.ccd_presets import demo_ccd
from gaiaflux.sim.tess.files import write_responses
from gaiaflux.workflow.demo_files import demo_images, demo_responses


def test_images_are_those_of_the_simulation():
    ccd = simulate_ccd(demo_ccd())
    times = [HeaderTimes(time, ccd.setup.exposure_d, 0.0) for time in ccd.btjd]
    assert demo_images() == [spoc_name(ccd.setup, one) for one in times]
    assert len(demo_images()) == 120
    # Frames that were never sent, and a gap.
    assert ccd.cadenceno[-1] == 127


def test_responses_are_those_of_the_simulation(tmp_path):
    setup = demo_ccd()
    written = write_responses(tmp_path, setup)
    assert [str(path.relative_to(tmp_path)) for path in written] == demo_responses(setup.camera, setup.ccd)
