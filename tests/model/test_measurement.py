import numpy as np
import pytest

from gaiaflux.model.measurement import FrameResult

STARS = {"flux": np.ones((3, 2)), "flux_err": np.ones((3, 2)), "flags": np.zeros((3, 2), np.uint16), "x": np.arange(3)}


def test_a_result_knows_its_stars_and_its_arrays():
    result = FrameResult({"status": "ok"}, STARS, {"radii_pix": np.ones(2)})
    assert result.n_stars == 3
    assert set(result.arrays) == {*STARS, "radii_pix"}
    np.testing.assert_array_equal(result.arrays["x"], [0, 1, 2])


@pytest.mark.parametrize(
    ("stars", "further", "message"),
    [
        ({**STARS, "chi2": np.ones(2)}, {}, "chi2"),
        ({key: STARS[key] for key in ("flux", "flags")}, {}, "without flux_err"),
        (STARS, {"x": np.ones(3)}, "x of the stars and of the frame"),
    ],
)
def test_a_result_whose_rows_are_not_the_stars_is_refused(stars, further, message):
    with pytest.raises(ValueError, match=message):
        FrameResult({"status": "ok"}, stars, further)
