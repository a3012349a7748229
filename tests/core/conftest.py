from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

from gaiaflux.core.image.background import estimate_background, subtract_background
from gaiaflux.sim.presets import sparse
from gaiaflux.sim.series import Series


@pytest.fixture(scope="session")
def sparse_frame():
    """A simulated sparse frame (BPM, unflagged cosmic rays) with its sky subtracted."""
    made = Series(sparse(n_frames=1, seed=11)).frame(0)
    frame = made.frame
    background = estimate_background(frame.image, frame.pixel_flags, 64)
    return made, background, subtract_background(frame.image, background)


def match_stars(found, truth, radius=2.5):
    """One-to-one, brightest true star first: row of `found` for each row of `truth`, or -1."""
    rows = np.full(len(truth), -1)
    free = np.ones(len(found), bool)
    for i in np.argsort(-truth["flux"]):
        distance = np.hypot(found["x"] - truth["x"][i], found["y"] - truth["y"][i])
        distance[~free] = np.inf
        j = int(np.argmin(distance))
        if distance[j] < radius:
            rows[i] = j
            free[j] = False
    return rows


@pytest.fixture(scope="session")
def matcher():
    return match_stars


@pytest.fixture(scope="session")
def ccd_image():
    """Module that makes parts of full-frame images (``ccd_image.py`` beside this one)."""
    spec = spec_from_file_location("ccd_image", Path(__file__).with_name("ccd_image.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def ccd_psf(ccd_image):
    """What the files of the mission would give for these images."""
    return ccd_image.response_psf()
