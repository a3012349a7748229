from dataclasses import replace

import numpy as np
import pytest

from gaiaflux.core.sky.projection import linear_tan, pixel_to_sky
from gaiaflux.ground.frame import star_places
from gaiaflux.ground.photometry.batch import SolvedBatch, measure_batch
from gaiaflux.io.batch_file import BatchReader, BatchWriter
from gaiaflux.io.image.banzai_writer import write_banzai
from gaiaflux.io.image.frames import FrameSettings
from gaiaflux.io.plate_solution import plate_arrays
from gaiaflux.model.catalog import StarCatalog
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.measurement import FrameResult

FACTS = {"catalog_sha256": "abc", "reference_filter": "", "reference_nx": 480, "reference_ny": 440}
NAMES = ("good", "lost", "blurred")
X, Y = np.array([30.0, 200.5, 900.0]), np.array([40.0, 210.25, 50.0])


@pytest.fixture
def wcs(scene):
    return linear_tan((150.0, -20.0), (239.5, 219.5), np.diag([-1e-4, 1e-4]), scene.shape)


@pytest.fixture
def catalog(wcs):
    ra, dec = pixel_to_sky(wcs, X, Y)
    zero, unknown = np.zeros(len(X)), np.full(len(X), np.nan)
    still = dict.fromkeys(("pmra", "pmdec", "parallax", "pos_err", "pm_err"), zero)
    names = dict.fromkeys(("mag", "colour", "mag_ref"), unknown)
    origin = {"system": "Gaia G", "source": "gaia"}
    epoch, number = np.full(len(X), 2016.0), np.arange(len(X))
    return StarCatalog(
        source_id=number,
        ra_deg=ra,
        dec_deg=dec,
        ref_epoch=epoch,
        **still,
        **names,
        star_id=number,
        x_ref=X,
        y_ref=Y,
        place=np.zeros(len(X), np.int8),
        **origin,
    )


@pytest.fixture
def measured(scene, wcs, catalog, tmp_path):
    """Measure three frames with a method: solved, without a plate solution, without seeing."""
    frame = scene.make_frame(X[:2], Y[:2], np.array([1e5, 1e5]), 1)
    write_banzai(tmp_path / "f.fits", replace(frame, info=replace(frame.info, camera="c", filter="V")))
    facts = {"status": "ok", "filter": "V", "nx": 480, "ny": 440, "fwhm_pix": scene.fwhm}
    with BatchWriter(tmp_path / "stars.h5", "stars") as stars, BatchWriter(tmp_path / "wcs.h5", "wcs") as plates:
        for name in NAMES:
            seeing = np.nan if name == "blurred" else scene.fwhm
            stars.add(
                name,
                {**facts, "fwhm_pix": seeing},
                {"cosmic_pixels": np.array([7], np.int64), "trail_pixels": np.array([9], np.int64)},
            )
            if name == "lost":
                plates.add(name, {"status": "no match"})
            else:
                plates.add(name, {"status": "ok"}, plate_arrays(wcs))

    def run(method):
        entries = [
            {"frame_id": name, "path": tmp_path / "f.fits", "overrides": {}} for name in ("good", "lost", "blurred")
        ]
        with (
            BatchReader(tmp_path / "stars.h5") as stars,
            BatchReader(tmp_path / "wcs.h5") as plates,
            BatchWriter(tmp_path / "out.h5", "toy") as out,
        ):
            measure_batch(SolvedBatch(entries, FrameSettings(), stars, plates), catalog, FACTS, method, out)
        with BatchReader(tmp_path / "out.h5") as batch:
            arrays = {name: {key: batch.array(name, key) for key in batch.names(name)} for name in NAMES}
            return {name: (batch.attrs(name), arrays[name]) for name in NAMES}

    return run


def toy(placed):
    values = placed.frame.image.astype(float)[np.rint(np.clip(placed.y, 0, 439)).astype(int), 0]
    stars = {"x": placed.x, "y": placed.y, "flux": values, "flux_err": values, "flags": values.astype(np.uint16)}
    return FrameResult({"status": "ok", "fwhm": placed.fwhm_pix}, stars)


def test_a_method_gets_the_stars_at_their_places_and_every_frame_a_row(measured, scene, catalog):
    found = measured(toy)
    attrs, arrays = found["good"]
    np.testing.assert_allclose(arrays["x"], X, atol=1e-6)
    np.testing.assert_allclose(arrays["y"], Y, atol=1e-6)
    assert attrs == {"status": "ok", "fwhm": scene.fwhm, "catalog_sha256": "abc"}
    assert found["lost"][0] == {"status": "no match"}
    assert found["blurred"][0] == {"status": "no star to measure the seeing with"}


def test_places_are_computed_once_a_frame(measured, monkeypatch):
    calls = []
    original = star_places.places_on_image
    monkeypatch.setattr(star_places, "places_on_image", lambda *given: calls.append(given) or original(*given))
    measured(toy)
    assert len(calls) == 2


def test_cosmic_rays_and_trails_are_marked_in_what_the_method_gets(measured):
    marked = []
    measured(lambda placed: marked.append(np.flatnonzero(placed.frame.pixel_flags)) or toy(placed))
    np.testing.assert_array_equal(marked, [[7, 9]])


def test_a_frame_that_the_method_refuses_has_its_reason(measured):
    def refuse(placed):
        raise BadFrameError("too cloudy")

    assert measured(refuse)["good"][0] == {"status": "too cloudy"}


def test_another_number_of_rows_is_a_bug(measured):
    def short(placed):
        return FrameResult({"status": "ok"}, {name: values[:2] for name, values in toy(placed).stars.items()})

    with pytest.raises(ValueError, match="2 rows for 3 stars"):
        measured(short)
