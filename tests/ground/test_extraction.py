import numpy as np
import pytest

from gaiaflux.ground.extraction import extract_stars
from gaiaflux.model.errors import BadFrameError
from gaiaflux.sim.presets import demo
from gaiaflux.sim.series import Series
from gaiaflux.sim.truth import banzai_catalog

SETTINGS = {"source": "auto", "min_snr": 12.0, "max_stars": 4000, "background_box_pix": 64}


@pytest.fixture(scope="module")
def made():
    return Series(demo(n_frames=1)).frame(0)


def seeds_of(made):
    table = banzai_catalog(made)
    names = {name.lower(): name for name in table.dtype.names}
    order = np.argsort(-table[names["flux"]])
    return table[names["x"]][order] - 1.0, table[names["y"]][order] - 1.0


def test_detection_and_catalogue_agree(made):
    detected, arrays = extract_stars(made.frame, None, SETTINGS)
    stars = arrays["stars"]
    seeded, arrays = extract_stars(made.frame, seeds_of(made), SETTINGS)
    from_catalogue = arrays["stars"]
    assert (detected["stars_source"], seeded["stars_source"]) == ("detect", "banzai")
    assert abs(detected["fwhm_pix"] / seeded["fwhm_pix"] - 1) < 0.03
    distance = np.hypot(stars["x"][:, None] - from_catalogue["x"], stars["y"][:, None] - from_catalogue["y"]).min(
        axis=1
    )
    bright = stars["snr"] > 30
    assert (distance[bright] < 0.05).mean() > 0.9
    assert abs(detected["sky"] / np.median(made.frame.image) - 1) < 0.05
    assert detected["sky_rms"] > 0
    assert detected["n_stars"] == len(stars)
    true = {y * 1024 + x for y, x in made.truth.cosmic_pixels.tolist()}
    assert detected["n_cosmic_pixels"] == len(arrays["cosmic_pixels"]) > 20
    assert np.mean([pixel in true for pixel in arrays["cosmic_pixels"].tolist()]) > 0.95


def test_the_catalogue_of_another_image_is_not_believed(made):
    x, y = seeds_of(made)
    attrs, _ = extract_stars(made.frame, (x + 700.0, y + 700.0), SETTINGS)
    assert attrs["stars_source"] == "detect"
    attrs, _ = extract_stars(made.frame, (y, x), SETTINGS)
    assert attrs["stars_source"] == "detect"
    with pytest.raises(BadFrameError, match="CAT extension"):
        extract_stars(made.frame, None, SETTINGS | {"source": "banzai"})
