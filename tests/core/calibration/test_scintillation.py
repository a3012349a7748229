import numpy as np
import pytest

from gaiaflux.core.calibration.scintillation import scintillation


def test_a_metre_at_two_kilometres():
    # 0.09 * 100^(-2/3) * exp(-2201 / 8000) / sqrt(120)
    assert scintillation(1.0, 1.0, 60.0, 2201.0) == pytest.approx(2.896e-4, rel=1e-3)
    grows = scintillation(1.0, [1.0, 2.0], 60.0, 2201.0)
    assert grows[1] / grows[0] == pytest.approx(2**1.75)
    assert scintillation(1.0, 1.0, 240.0, 0.0) == pytest.approx(0.5 * scintillation(1.0, 1.0, 60.0, 0.0))
    assert scintillation(8.0, 1.0, 60.0, 0.0) == pytest.approx(0.25 * scintillation(1.0, 1.0, 60.0, 0.0))


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("value", [np.nan, -1.0, 0.0])
def test_what_is_not_known_is_nan(place, value):
    facts = [np.ones(3), np.array([1.0, 1.2, 1.4]), np.full(3, 60.0), np.full(3, 500.0)]
    facts[place][1] = value
    relative = scintillation(*facts)
    possible = place == 3 and np.isfinite(value)  # a telescope may stand at the sea or below it
    assert np.isfinite(relative[1]) == possible
    assert np.isfinite(relative[[0, 2]]).all()
