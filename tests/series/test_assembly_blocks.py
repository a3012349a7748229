"""Measurements of few frames and stars on their way into one file."""

import h5py
import numpy as np
import pytest

from gaiaflux.core.sky.projection import linear_tan
from gaiaflux.io.batch_file import BatchWriter
from gaiaflux.io.plate_solution import plate_arrays
from gaiaflux.model.catalog import StarCatalog
from gaiaflux.model.errors import InputError
from gaiaflux.model.flags import StarFlag
from gaiaflux.series.assembly import assemble_dataset

M = 5
ATTRS = {"reference_frame_id": "f1", "catalog_sha256": "c" * 64}
STATUS = {"stars": ["ok"] * M, "wcs": ["ok"] * M, "aperture": ["ok"] * M}


def catalog(n):
    zero = np.zeros(n)
    names = ("pmra", "pmdec", "parallax", "pos_err", "pm_err", "colour", "mag", "mag_ref")
    return StarCatalog(
        **dict.fromkeys(names, zero), source_id=70 + np.arange(n), ra_deg=150.0 + zero, dec_deg=20.0 + zero,
        ref_epoch=2016.0 + zero, system="Gaia G", source="gaia", star_id=np.arange(100, 100 + n)[::-1].copy(),
        x_ref=zero, y_ref=zero, place=np.zeros(n, np.int8),
    )  # fmt: skip


def measured(n):
    """Fluxes that tell frame, star and radius."""
    frame, star, radius = np.meshgrid(np.arange(M), np.arange(n), np.arange(3), indexing="ij")
    return 1000.0 * frame + 10.0 * star + radius


def assemble(folder, n, *, rows=None, ids=None, status=STATUS, flux=None, flags=None, radii=3):
    """The file's contents; `rows`: which stars each frame has, by the numbers `ids` of the catalogue."""
    made, stars = measured(n) if flux is None else flux, catalog(n)
    bits = np.zeros(made.shape, "u4") if flags is None else flags
    paths = {}
    for kind in STATUS:
        paths[kind] = [folder / f"{kind}.h5"]
        with BatchWriter(paths[kind][0], kind=kind) as out:
            for j in range(M):
                attrs, arrays = {"status": status[kind][j]}, {}
                if kind == "stars":
                    attrs |= {"unit": "electron", "mjd_utc": 60000.0 + j, "exptime_s": 60.0, "nx": 90, "ny": 80}
                elif attrs["status"] == "ok" and kind == "wcs":
                    cd = np.diag([-1e-4, 1e-4])
                    arrays = plate_arrays(linear_tan((150.0, 20.0), (44.5, 39.5), cd, (80, 90)))
                elif attrs["status"] == "ok":
                    some = np.arange(n) if rows is None else rows
                    attrs |= {"unit": "electron/s", "n_measured": len(some)}
                    arrays = {"radii_pix": np.array([2.0, 3.0, 5.0])[:radii], "flux": made[j][some].astype("f4")}
                    arrays |= {"flux_err": np.ones(arrays["flux"].shape, "f4"), "flags": bits[j][some]}
                    arrays["sky_share"] = np.zeros(len(some), "f2")
                    if rows is None:
                        attrs["catalog_sha256"] = ATTRS["catalog_sha256"]
                    else:
                        arrays["star_id"] = stars.star_id[some] if ids is None else np.asarray(ids)
                out.add(f"f{j}", attrs, arrays)
    photometry = {"aperture": paths["aperture"]}
    assemble_dataset(folder / "m.h5", "S", paths["stars"], paths["wcs"], photometry, stars, ATTRS)
    with h5py.File(folder / "m.h5") as file:
        found = {name: file[f"aperture/{name}"][()] for name in ("flux", "flux_err", "flags", "radii_pix")}
        return found | {"status": [text.decode() for text in file["frames/status"][()]]}


def test_a_series_without_a_star(tmp_path):
    found = assemble(tmp_path, 0)
    assert found["flux"].shape == (M, 0, 3)
    assert found["radii_pix"].tolist() == [[2.0, 3.0, 5.0]] * M
    assert found["status"] == ["ok"] * M


@pytest.mark.parametrize("frames", [1, 2, 3, 5])
def test_blocks_of_frames_give_the_same(tmp_path, monkeypatch, frames):
    monkeypatch.setattr("gaiaflux.series.assembly._BLOCK_FRAMES", frames)
    status = {**STATUS, "aperture": ["ok", "no sky", "ok", "ok", "no star"]}
    found = assemble(tmp_path, 4, status=status)
    expected = measured(4)
    expected[[1, 4]] = np.nan
    np.testing.assert_array_equal(found["flux"], expected)
    assert (found["flags"][[1, 4]] == StarFlag.NOT_MEASURED).all()
    assert not found["flags"][[0, 2, 3]].any()
    assert np.isnan(found["radii_pix"]).all(axis=1).tolist() == [False, True, False, False, True]
    assert found["status"] == ["ok", "no sky", "ok", "ok", "no star"]


def test_memory_limits_the_frames_of_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr("gaiaflux.series.assembly._BLOCK_VALUES", 25)
    np.testing.assert_array_equal(assemble(tmp_path, 4)["flux"], measured(4))
    with h5py.File(tmp_path / "m.h5") as file:
        assert file["aperture/flux"].chunks[0] == 2  # of four stars by three radii


def test_stars_are_found_by_their_numbers_and_others_were_not_measured(tmp_path):
    found = assemble(tmp_path, 6, rows=np.array([4, 0, 3]))
    expected = np.full((M, 6, 3), np.nan)
    expected[:, [0, 3, 4]] = measured(6)[:, [0, 3, 4]]
    np.testing.assert_array_equal(found["flux"], expected)
    np.testing.assert_array_equal(found["flags"], np.where(np.isnan(expected), StarFlag.NOT_MEASURED, 0))


@pytest.mark.parametrize("ids", [[105, 103, 99], [105, 103, 106], [105, 105, 103]])
def test_numbers_that_the_catalogue_does_not_have_or_twice(tmp_path, ids):
    with pytest.raises(ValueError, match="star_id that the star catalogue does not have, or twice"):
        assemble(tmp_path, 6, rows=np.array([0, 1, 2]), ids=ids)


@pytest.mark.parametrize("bit", [StarFlag.OFF_IMAGE, StarFlag.NOT_MEASURED, StarFlag.NEIGHBOUR, 0])
def test_a_point_without_a_flux_says_why(tmp_path, bit):
    flux, flags = measured(3), np.zeros((M, 3, 3), "u4")
    flux[2, 1, 0], flags[2, 1, 0] = np.nan, bit
    flags[3, 1, 0] = StarFlag.NEIGHBOUR
    found = assemble(tmp_path, 3, flux=flux, flags=flags)
    explained = bit in (StarFlag.OFF_IMAGE, StarFlag.NOT_MEASURED)
    assert found["flags"][2, 1, 0] == (bit if explained else bit | StarFlag.NOT_MEASURED)
    assert found["flags"][3, 1, 0] == StarFlag.NEIGHBOUR
    assert np.count_nonzero(found["flags"]) == 2


def test_the_first_step_that_failed_tells_of_the_frame(tmp_path):
    status = {
        "stars": ["ok", "cannot be read", "ok", "ok", "ok"], "wcs": ["ok", "no stars", "no plate", "ok", "ok"],
        "aperture": ["ok", "no plate", "no plate", "no sky", "ok"],
    }  # fmt: skip
    assert assemble(tmp_path, 3, status=status)["status"] == ["ok", "cannot be read", "no plate", "no sky", "ok"]


def test_arrays_that_do_not_belong_to_the_stars_and_radii_are_refused(tmp_path):
    with pytest.raises(InputError, match="has flux of shape"):
        assemble(tmp_path, 3, radii=2)
