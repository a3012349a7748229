import numpy as np
import pytest

from gaiaflux.core.sky.clock_offset import clock_offset_s, readout_delay_s


@pytest.mark.parametrize("release", [0, 1, 12, 26])
def test_early_releases_are_late(release):
    """Start 1.969 s and end 1.989 s early (data release notes 25, section 3.3): their middle is 1.979 s."""
    assert clock_offset_s(release, "") == pytest.approx(0.5 * (-1.969 - 1.989))


def test_full_frames_have_the_time_of_the_first_ccd():
    assert clock_offset_s(5, "", full_frame_of=(1, 1)) == pytest.approx(-1.979)
    assert clock_offset_s(5, "", full_frame_of=(2, 3)) == pytest.approx(-1.979 + 1.5 + 0.04)


@pytest.mark.parametrize(
    ("release", "procver", "expected"),
    [
        (27, "spoc-4.0.14-20200108", -1.979 + 1.02),
        (27, "spoc-4.0.15-20200114", -1.979 + 1.02),
        (27, "spoc-4.0.17-20200130", -1.979 + 1.02),
        (27, "spoc-4.0.21-20200227", 0.0),
        (29, "spoc-4.0.17-20200130", -1.979),  # the stagger was right by then
        (29, "spoc-4.0.20-20200220", -1.979),
        (29, "spoc-4.0.21-20200227", -1.979),
        (29, "spoc-4.0.26-20200323", 0.0),
        (28, "spoc-4.0.17-20200130", 0.0),
        (30, "", 0.0),
        (73, "spoc-5.0.20", 0.0),
        (-1, "", 0.0),
    ],
)
def test_later_releases(release, procver, expected):
    assert clock_offset_s(release, procver, full_frame_of=(4, 2)) == pytest.approx(expected)


@pytest.mark.parametrize("release", [27, 29])
def test_without_the_pipeline_two_deliveries_cannot_be_told_apart(release):
    assert np.isnan(clock_offset_s(release, ""))


def test_cameras_are_read_in_the_order_1_3_4_2():
    delays = {(camera, ccd): readout_delay_s(camera, ccd) for camera in (1, 2, 3, 4) for ccd in (1, 2, 3, 4)}
    order = sorted(delays, key=delays.get)
    assert order == [(camera, ccd) for camera in (1, 3, 4, 2) for ccd in (1, 2, 3, 4)]
    assert len(set(np.round(list(delays.values()), 6))) == 16


@pytest.mark.parametrize("place", [(0, 1), (5, 1), (1, 0), (1, 5)])
def test_there_are_four_of_each(place):
    with pytest.raises(ValueError, match="cameras 1 to 4"):
        readout_delay_s(*place)
