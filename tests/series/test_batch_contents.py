"""Batches that do not hold what their method declares are refused in one sentence."""

import numpy as np
import pytest

from gaiaflux.ground.annotation import read_arrays
from gaiaflux.io.batch_file import BatchReader, BatchWriter
from gaiaflux.model.catalog import StarCatalog
from gaiaflux.model.errors import InputError
from gaiaflux.model.method import BATCH_ARRAYS
from gaiaflux.model.methods import APERTURE, PSF
from gaiaflux.series.assembly import assemble_dataset
from gaiaflux.series.batch_contents import check_batch, declared_arrays

N = 4
ATTRS = {"reference_frame_id": "f", "catalog_sha256": "c" * 64}


def psf_batch(path, without=(), facts=(), **arrays):
    whole = {name: np.ones(N, column.dtype) for name, column in {**PSF.arrays, **PSF.star_facts}.items()}
    whole |= {"x": np.ones(N), "y": np.ones(N), "psf_form": np.ones((3, 6)), **arrays}
    attrs = {"status": "ok", "unit": "electron/s", "n_measured": N, "catalog_sha256": ATTRS["catalog_sha256"]}
    with BatchWriter(path, kind="psf") as out:
        out.add("f", attrs | dict(facts), {name: array for name, array in whole.items() if name not in without})
    return path


def assemble(folder, path, method="psf"):
    for kind in ("stars", "wcs"):
        with BatchWriter(folder / f"{kind}.h5", kind=kind) as out:
            out.add("f", {"status": "cannot be read"})
    zero = np.zeros(N)
    columns = {name: zero for name in StarCatalog.column_names()}
    columns |= {name: np.arange(N) for name in ("star_id", "source_id")}
    catalog = StarCatalog(**columns, system="Gaia G", source="gaia")
    single = {kind: [folder / f"{kind}.h5"] for kind in ("stars", "wcs")}
    assemble_dataset(folder / "m.h5", "S", single["stars"], single["wcs"], {method: [path]}, catalog, ATTRS)


WRONG = {
    "lacks an array": ({"without": ("chi2",)}, "has no chi2, which a method of photometry must write"),
    "an array more": ({"guess": np.ones(N)}, "has guess, which its entry in model/methods.py does not declare"),
    "a fact more": ({"facts": {"mood": 1.0}}, "has mood, which its entry in model/methods.py does not declare"),
    "several radii": ({"flux": np.ones((N, 2), "f4")}, r"has flux of shape \(4, 2\), which is not that of its stars"),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_assembly_refuses(case, tmp_path):
    changes, sentence = WRONG[case]
    path = psf_batch(tmp_path / "0001.h5", **changes)
    with pytest.raises(InputError, match=sentence) as refused:
        assemble(tmp_path, path)
    assert str(refused.value).startswith(f"{path}: frame f by the method 'psf' has ")
    assert "\n" not in str(refused.value)


def test_what_is_declared_is_taken(tmp_path):
    assemble(tmp_path, psf_batch(tmp_path / "0001.h5"))


def test_a_method_that_nobody_declares_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"^there is no method of photometry 'sum'; methods: aperture, psf$"):
        assemble(tmp_path, psf_batch(tmp_path / "0001.h5"), method="sum")


def test_only_a_method_that_holds_psfs_has_their_arrays(tmp_path):
    with BatchWriter(tmp_path / "0001.h5", kind="aperture") as out:
        names = (*declared_arrays(APERTURE), *BATCH_ARRAYS, "contamination")
        out.add("f", {"status": "ok", "annulus_inner_pix": 3.0}, {name: np.ones(N) for name in names})
        out.add("g", {"status": "ok"}, {name: np.ones(N) for name in (*names, "psf_form")})
    with BatchReader(tmp_path / "0001.h5") as batch:
        check_batch(APERTURE, tmp_path / "0001.h5", batch, "f", names)
        with pytest.raises(InputError, match=r"the method 'aperture' has psf_form, which"):
            check_batch(APERTURE, tmp_path / "0001.h5", batch, "g", ())


def test_an_annotated_image_needs_positions(tmp_path):
    path = psf_batch(tmp_path / "0001.h5", without=("x",))
    with BatchReader(path) as batch, pytest.raises(InputError, match=r"by the method 'psf' has no x, which"):
        read_arrays(PSF, path, batch, "f")
