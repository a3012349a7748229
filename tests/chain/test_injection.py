"""Stars planted in copies of a measured series come out as they went in."""

import csv
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits

from gaiaflux.cli.main import main
from gaiaflux.ground.injection import planting
from gaiaflux.ground.injection.planted_stars import KINDS, read_planted
from gaiaflux.ground.injection.planting import plant_stars
from gaiaflux.ground.injection.scores import score_injection
from gaiaflux.io.batch_file import BatchReader
from gaiaflux.io.dataset import DatasetReader
from gaiaflux.model.errors import BadFrameError, InputError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def injected(spoiled_run, make_chain):
    """Thirty stars in copies of the eight good frames, measured by the workflow."""
    original, _, _ = spoiled_run
    arguments = ["--directory", str(original.work), "--series", "field"]
    main(["inject", "plant", *arguments, "--stars", "30", "--seed", "3"])
    folder = original.work / "injection" / "field"
    chain = make_chain(folder)
    done = chain.run("--quiet", "all")
    assert done.returncode == 0, done.stdout + done.stderr
    main(["inject", "compare", *arguments])
    return original, folder


def rows_of(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_images_are_only_read(injected, spoiled_run, spoiled_folder):
    _, _, sums = spoiled_run
    assert {path.name: path.read_bytes() for path in spoiled_folder.iterdir()} == sums


def test_a_copy_is_the_image_and_the_stars(injected, spoiled_folder):
    original, folder = injected
    planted = read_planted(folder / "planted.ecsv")
    assert len(planted) == 30
    assert set(planted.kind) == set(KINDS)
    assert planted.known.sum() == 15
    names = sorted(path.name for path in (folder / "images").iterdir())
    assert names == [f"good-{k}.fits" for k in range(8)]
    bright = int(np.argmin(planted.mag))
    with DatasetReader(original.results("field") / "dataset.h5") as source:
        frames = source.table("frames")
    with BatchReader(folder / "planted.h5") as truth:
        for name in ("good-0", "good-5"):
            j = list(frames["frame_id"]).index(name)
            before, after = (
                fits.getdata(path / f"{name}.fits", "SCI").astype(float) for path in (spoiled_folder, folder / "images")
            )
            change = after - before
            x, y = (round(truth.array(name, key)[bright]) for key in ("x", "y"))
            light = change[max(y - 30, 0) : y + 31, max(x - 30, 0) : x + 31].sum()
            assert light / truth.array(name, "electrons")[bright] == pytest.approx(1.0, abs=0.06)
            # Far from all planted stars nothing changed.
            xs, ys = truth.array(name, "x"), truth.array(name, "y")
            grid_y, grid_x = np.mgrid[:512, :512]
            far = np.min([np.hypot(grid_x - a, grid_y - b) for a, b in zip(xs, ys, strict=True)], axis=0)
            reach = 16 * frames["fwhm_pix"][j]
            assert (change[far > reach] == 0).all()


def test_measured_as_planted(injected):
    _, folder = injected
    stars = rows_of(folder / "injection_stars.csv")
    known = [row for row in stars if row["known"] == "True"]
    assert all(row["found"] == "True" for row in known)
    bright = [row for row in stars if row["expected_mag"] and float(row["expected_mag"]) < 0.05]
    assert len(bright) >= 8
    bias = np.array([float(row["bias_mag"]) for row in bright])
    assert abs(np.median(bias)) < 0.01
    pulls = np.array([float(row["pull_scatter"]) for row in stars if row["pull_scatter"]])
    assert 0.75 < np.median(pulls) < 1.3
    found = [row["found"] == "True" for row in stars if row["known"] == "False" and float(row["mag"]) < 18]
    assert np.mean(found) > 0.8


def test_the_table_per_magnitude_adds_up(injected):
    _, folder = injected
    bins = rows_of(folder / "injection.csv")
    stars = rows_of(folder / "injection_stars.csv")
    methods = {row["method"] for row in stars}
    for method in methods:
        own = [row for row in bins if row["method"] == method]
        assert sum(int(row["n_stars"]) for row in own) == 30
        assert sum(int(row["n_found"]) for row in own) == sum(
            row["found"] == "True" for row in stars if row["method"] == method
        )
        assert all(0 <= float(row["completeness"]) <= 1 for row in own)
    assert (folder / "injection.png").read_bytes().startswith(b"\x89PNG")


def test_the_truth_of_the_events(injected):
    _, folder = injected
    planted = read_planted(folder / "planted.ecsv")
    with DatasetReader(folder / "results" / "field" / "dataset.h5") as source:
        relative = planted.relative(source.table("frames"))
    constant = planted.kind == "constant"
    assert (relative[constant] == 1).all()
    assert (relative[planted.kind == "microlensing"] > 1).all()
    shallow = relative[planted.kind == "transit"]
    assert (shallow <= 1).all()
    assert (shallow >= 1 - planted.depth[planted.kind == "transit", None] - 1e-12).all()


def test_planting_again_gives_the_same(injected, tmp_path):
    original, folder = injected
    plant_stars(original.work, "field", tmp_path / "again", 30, 3)
    for name in ("planted.ecsv", "config.yaml", "gaia.fits", "images/good-2.fits"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes(), name


def test_what_has_not_been_measured_is_said(injected, tmp_path):
    original, _ = injected
    with pytest.raises(InputError, match=r"dataset\.h5: missing; run the workflow on the series first"):
        plant_stars(tmp_path, "field", tmp_path / "x", 5, 1)
    plant_stars(original.work, "field", tmp_path / "new", 5, 1)
    with pytest.raises(InputError, match="run the workflow on the copies first"):
        score_injection(original.results("field") / "dataset.h5", tmp_path / "new", "field")
    with pytest.raises(SystemExit, match=r"^gaiaflux inject: .*dataset\.h5: missing; run the workflow"):
        main(["inject", "plant", "--directory", str(tmp_path), "--series", "field"])
    done = subprocess.run(
        [sys.executable, "-m", "gaiaflux.cli", "inject", "plant"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--series" in done.stderr


def test_a_frame_without_a_psf_gets_no_copy(injected, tmp_path, monkeypatch):
    original, _ = injected

    def no_psf_of(*names):
        def found(results, frame, frame_id, *rest):
            if frame_id in names:
                raise BadFrameError("the stars are trailed")
            return psf_of_frame(results, frame, frame_id, *rest)

        return found

    psf_of_frame = planting.find_psf
    folder = tmp_path / "few"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "good-5.fits").write_bytes(b"of a former call")
    with DatasetReader(original.results("field") / "dataset.h5") as source:
        reference = source.attributes()["reference_frame_id"]
    other = "good-5" if reference != "good-5" else "good-4"
    monkeypatch.setattr(planting, "find_psf", no_psf_of(other))
    plant_stars(original.work, "field", folder, 5, 1)
    assert sorted(path.stem for path in (folder / "images").iterdir()) == sorted(
        {f"good-{k}" for k in range(8)} - {other}
    )
    with BatchReader(folder / "planted.h5") as truth:
        assert truth.attrs(other)["status"] == "the stars are trailed"
    monkeypatch.setattr(planting, "find_psf", no_psf_of(reference))
    with pytest.raises(InputError, match=f"{reference}: the reference image has no PSF.*trailed"):
        plant_stars(original.work, "field", folder, 5, 1)
