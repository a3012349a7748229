"""The PSF in files, and the image without its stars."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

import gaiaflux
from gaiaflux.core.psf.model import PsfModel
from gaiaflux.core.psf.stamps import add_light, make_stamps
from gaiaflux.ground.frame.psf_options import psf_options
from gaiaflux.ground.interface.psf_reader import read_psf
from gaiaflux.ground.photometry.psf import subtract_stars
from gaiaflux.io.batch_file import BatchReader, BatchWriter
from gaiaflux.io.psf_model import psf_arrays, psf_of_arrays, read_reference_psf, write_reference_psf
from gaiaflux.model.errors import InputError
from gaiaflux.model.settings.psf import PsfSettings
from gaiaflux.workflow.settings import complete_section

DEFAULTS = psf_options(complete_section(PsfSettings))


@pytest.fixture(scope="module")
def measured(scene):
    # Stars that are not Moffat functions are needed for a table that is not zero.
    x, y, flux = scene.random_stars(301, 300, margin=-8)
    frame = scene.make_frame(x, y, flux, 301)
    return frame, scene.measure(frame, x, y)


def model_with_table(shape):
    rng = np.random.default_rng(302)
    form = np.array([[0.05, 0.001, 0.002], [0.004, 0.0, 0.001], [0.06, -0.001, 0.0]])
    table = np.zeros((3, 21, 21))
    table[:, 3:-3, 3:-3] = 1e-4 * rng.standard_normal((3, 15, 15))
    return PsfModel(shape, 2.9, form, 1, table, 1)


def same_values(one, other):
    dx, dy = np.meshgrid(np.linspace(-9, 9, 13), np.linspace(-9, 9, 13))
    for x, y in ((0.0, 0.0), (200.3, 100.8), (479.0, 439.0)):
        expected = other.values(x, y, dx, dy)
        # The table is kept in single precision.
        np.testing.assert_allclose(one.values(x, y, dx, dy), expected, rtol=0, atol=3e-7 * expected.max())


def test_a_model_survives_its_arrays(scene):
    psf = model_with_table(scene.shape)
    back = psf_of_arrays(psf_arrays(psf))
    assert (back.shape, back.beta, back.order, back.residual_order) == (psf.shape, psf.beta, 1, 1)
    np.testing.assert_array_equal(back.form, psf.form)
    same_values(back, psf)
    bare = scene.Psf().model()
    back = psf_of_arrays(psf_arrays(bare))
    assert back.residual_order == -1
    same_values(back, bare)


def test_the_psf_of_a_frame_is_read_from_its_batch(measured, tmp_path, scene):
    _, found = measured
    extra = model_with_table(scene.shape)
    for name, frames in (("b0", {"f1": found.arrays}), ("b1", {"f2": psf_arrays(extra), "f3": None})):
        with BatchWriter(tmp_path / "psf" / f"{name}.h5", kind="psf") as out:
            for frame_id, arrays in frames.items():
                out.add(frame_id, found.attrs if arrays else {"status": "no star to measure the seeing with"}, arrays)
    psf = read_psf(tmp_path / "psf" / "b0.h5", "f1")
    same_values(psf, psf_of_arrays(found.arrays))
    assert psf.fwhm == pytest.approx(found.attrs["psf_fwhm_pix"], rel=1e-12)
    assert psf.stamp(100.2, 99.7, 4).shape == (9, 9)
    # A folder, as text.
    for frame_id, expected in (("f1", psf), ("f2", extra)):
        same_values(gaiaflux.read_psf(str(tmp_path / "psf"), frame_id), expected)
    with pytest.raises(InputError, match="f3 has no PSF: no star to measure the seeing with"):
        read_psf(tmp_path / "psf", "f3")
    with pytest.raises(InputError, match="there is no frame f9"):
        read_psf(tmp_path / "psf", "f9")
    with BatchReader(tmp_path / "psf" / "b0.h5") as batch:
        assert batch.attrs("f1") == found.attrs
        np.testing.assert_array_equal(batch.array("f1", "flux"), found.arrays["flux"])


def test_a_borrowed_psf_is_written_like_any_other(scene, tmp_path):
    none = np.zeros(0)
    found = scene.measure(scene.make_frame(none, none, none, 303), none, none)
    with BatchWriter(tmp_path / "b.h5", kind="psf") as out:
        out.add("f1", found.attrs, found.arrays)
    assert read_psf(tmp_path / "b.h5", "f1").fwhm == pytest.approx(scene.fwhm)


@pytest.mark.parametrize("with_psf", [True, False])
def test_the_psf_of_the_reference_image_is_in_the_star_catalogue(scene, tmp_path, with_psf):
    psf = model_with_table(scene.shape) if with_psf else None
    with h5py.File(tmp_path / "star_catalog.h5", "w") as file:
        write_reference_psf(file, psf)
    back = read_reference_psf(tmp_path / "star_catalog.h5")
    if with_psf:
        same_values(back, psf)
        wider = back.scaled(1.3)
        assert wider.fwhm == pytest.approx(1.3 * psf.fwhm, rel=1e-9)
    else:
        assert back is None


@pytest.mark.parametrize(("n_stars", "with_error"), [(300, True), (1200, False), (3000, True)])
def test_an_image_without_its_stars_is_noise(scene, n_stars, with_error):
    x, y, flux = scene.random_stars(310, n_stars, margin=-1)
    frame = scene.make_frame(x, y, flux, 310, with_error=with_error)
    found = scene.measure(frame, x, y)
    subtracted, residual, sigma = subtract_stars(frame, found.arrays, DEFAULTS)
    assert subtracted.dtype == residual.dtype == sigma.dtype == np.float32
    used = np.isfinite(sigma)
    assert used.mean() > 0.99
    deviation = (residual / np.where(used, sigma, 1))[used]
    # 211,000 pixels; each star and each box of the sky takes a degree of freedom.
    assert np.std(deviation) == pytest.approx(1.0, abs=0.02)
    assert abs(np.mean(deviation)) < 0.03
    assert np.abs(deviation).max() < 6.5
    # The image has its sky still.
    level = subtracted[used] - residual[used]
    assert np.ptp(level) < 0.05 * scene.sky
    assert np.mean(level) == pytest.approx(found.attrs["sky"], abs=1.0)
    # The same where the stars were.
    centre = np.rint(y).astype(int), np.rint(x).astype(int)
    of_stars = (residual / sigma)[centre][flux > 1e4]
    assert abs(np.mean(of_stars)) < 3.2 / np.sqrt(len(of_stars)) + 0.03
    assert np.std(of_stars) < 1.0 + 3.2 / np.sqrt(2 * len(of_stars))


def test_masked_pixels_have_no_noise_and_stars_without_flux_stay(scene):
    x, y, flux = scene.random_stars(320, 200, margin=-15)
    bad = np.zeros(scene.shape, bool)
    bad[100:160, 100:180] = True
    frame = scene.make_frame(x, y, flux, 320, bad=bad)
    found = scene.measure(frame, x, y)
    _, residual, sigma = subtract_stars(frame, found.arrays, DEFAULTS)
    np.testing.assert_array_equal(np.isinf(sigma), frame.pixel_flags != 0)
    assert np.isfinite(residual).all()
    assert np.std((residual / sigma)[sigma < np.inf]) == pytest.approx(1.0, abs=0.03)


def test_no_stars_leave_the_image_as_it_is(scene):
    none = np.zeros(0)
    frame = scene.make_frame(none, none, none, 330)
    found = scene.measure(frame, none, none)
    subtracted, residual, sigma = subtract_stars(frame, found.arrays, DEFAULTS)
    np.testing.assert_array_equal(subtracted, frame.image)
    assert np.std(residual / sigma) == pytest.approx(1.0, abs=0.02)


def test_all_of_a_wide_table_is_subtracted(scene):
    # As a wider circle of the fit than the usual one leaves it: a ring of 7 FWHM in diameter.
    distance = np.hypot(*np.meshgrid(np.arange(-20, 21), np.arange(-20, 21)))
    ring = np.exp(-0.5 * ((distance - 16.0) / 1.2) ** 2) * (distance < 19.5)
    psf = replace(scene.Psf().model(), residual=2e-4 * ring[None], residual_order=0)
    x, y, flux = np.array([240.3]), np.array([219.8]), np.array([1e6])
    none = np.zeros(0)
    frame = scene.make_frame(none, none, none, 340)
    light = np.zeros(scene.shape, np.float32)
    add_light(light, make_stamps(psf, x, y, 20.0), flux, np.array([100.0]))
    rates = {"x": x, "y": y, "flux": flux / scene.exptime, "beyond": np.zeros((0, 3)), **psf_arrays(psf)}
    subtracted, _, _ = subtract_stars(replace(frame, image=frame.image + light), rates, DEFAULTS)
    np.testing.assert_allclose(subtracted, frame.image, rtol=0, atol=1.0)
