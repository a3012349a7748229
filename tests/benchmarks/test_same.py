"""What `make same` sees and what it does not mind, on files that are changed in one place each."""

import base64
import importlib
import io
import json
import os
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from PIL import Image

FOLDER = Path(__file__).parents[2] / "benchmarks" / "same"


@pytest.fixture(scope="module")
def same():
    """Import a module of the comparison by its name."""
    before = set(sys.modules)
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module
    sys.path.remove(str(FOLDER))
    for name in set(sys.modules) - before:
        if str(FOLDER) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def differences(same, tmp_path):
    """Write a file twice, by `write(path, *one)` and `write(path, *other)`: differences and remarks."""

    def compare(name, write, one, other):
        for folder, content in (("old", one), ("new", other)):
            (tmp_path / folder).mkdir(exist_ok=True)
            write(tmp_path / folder / name, content)
        found = same("compare").compare_folders(tmp_path / "old", tmp_path / "new", ("*",), [str, str])
        assert found.n_files == 1
        return found.differences, found.remarks

    return compare


def dataset(path, changes):
    """A small dataset with the changes of a dictionary: name -> array, or attribute -> value."""
    content = {
        "aperture/flux": np.arange(6, dtype=np.float32).reshape(3, 2),
        "aperture/flux_err": np.full((3, 2), 0.5, np.float32),
        "aperture/flags": np.array([[0, 1], [2, 0], [0, 0]], np.uint16),
        "stars/source_id": np.array([5853498713190525696, 5853498713190525697], np.int64),
        "frames/status": np.array(["ok", "no stars found"], dtype=object),
        "@created_utc": "2026-01-01T00:00:00Z",
        "@versions": '{"numpy": "2.1"}',
        "@config": '{"calibrate": {"clip_sigma": 4.0}}',
        "@schema_version": 1,
    } | changes
    with h5py.File(path, "w") as file:
        for name, value in content.items():
            if value is None:
                continue
            if name.startswith("@"):
                file.attrs[name[1:]] = value
            else:
                file[name] = value
                file[name].attrs["unit"] = "electron/s"


def changed(name, place, value, start=None):
    """The dataset's array with another value at one place."""
    array = {"aperture/flux": np.arange(6, dtype=np.float32).reshape(3, 2)}.get(name) if start is None else start
    array = array.copy()
    array[place] = value
    return {name: array}


def test_the_same_dataset_of_another_moment(differences):
    later = {"@created_utc": "2027-01-01T00:00:00Z", "@versions": '{"numpy": "2.2", "scipy": "1"}'}
    assert differences("dataset.h5", dataset, {}, later) == ([], [])


def test_a_changed_value_with_its_size_and_error(differences):
    (text,), remarks = differences("dataset.h5", dataset, {}, changed("aperture/flux", (2, 1), 5.25))
    assert "dataset.h5 aperture/flux: 1 of 6 values" in text
    assert "largest difference 0.25 at [2, 1] (5.0 is now 5.25), 0.5 of flux_err" in text
    assert remarks == []


def test_the_last_bit_of_a_value_counts(differences):
    (text,), _ = differences(
        "dataset.h5", dataset, {}, changed("aperture/flux", (2, 1), np.nextafter(np.float32(5), np.float32(6)))
    )
    assert "1 of 6 values" in text


def test_a_changed_flag_and_another_type_of_the_same_flags(differences):
    flags = np.array([[0, 1], [2, 0], [0, 0]])
    wider = {"aperture/flags": flags.astype(np.uint32)}
    assert differences("dataset.h5", dataset, {}, wider) == ([], ["dataset.h5 aperture/flags: uint16 is now uint32"])
    other = changed("aperture/flags", (1, 1), 4, flags.astype(np.uint32))
    (text,), (_,) = differences("dataset.h5", dataset, {}, other)
    assert "aperture/flags: 1 of 6 values, largest difference 4" in text


def test_nan_is_no_number(differences):
    hole = changed("aperture/flux", (0, 1), np.nan)
    assert differences("dataset.h5", dataset, hole, hole) == ([], [])
    (text,), _ = differences("dataset.h5", dataset, {}, hole)
    assert "1 of 6 values, 1 of them NaN now" in text
    (text,), _ = differences("dataset.h5", dataset, hole, {})
    assert "1 of 6 values, 1 no longer NaN" in text


def test_identifiers_beyond_what_a_float_holds(differences):
    other = {"stars/source_id": np.array([5853498713190525696, 5853498713190525698], np.int64)}
    (text,), _ = differences("dataset.h5", dataset, {}, other)
    assert "stars/source_id: 1 of 2 values" in text


def test_text_attributes_settings_and_the_schema(differences):
    other = {"frames/status": np.array(["ok", "only 3 stars"], dtype=object)}
    (text,), _ = differences("dataset.h5", dataset, {}, other)
    assert "frames/status: 1 of 2 texts, the first: 'no stars found' is now 'only 3 stars'" in text
    (text,), _ = differences("dataset.h5", dataset, {}, {"@config": '{"calibrate": {"clip_sigma": 5.0}}'})
    assert "/@config/calibrate/clip_sigma: 4.0 is now 5.0" in text
    assert differences("dataset.h5", dataset, {}, {"@schema_version": 2})[0] == []
    assert differences("dataset.h5", dataset, {}, {"@schema_version": 2})[1]


def test_a_dataset_that_is_gone_or_new_or_of_another_shape(differences):
    (text,), _ = differences("dataset.h5", dataset, {}, {"aperture/flags": None})
    assert "aperture/flags: missing now (it was uint16 (3, 2))" in text
    (text,), _ = differences("dataset.h5", dataset, {}, {"aperture/flux": np.zeros((3, 3), np.float32)})
    assert "aperture/flux: shape (3, 2) is now (3, 3)" in text
    found, _ = differences("dataset.h5", dataset, {}, {"aperture/chi2": np.zeros(2)})
    assert any("aperture/chi2: new" in text for text in found)


def image(path, changes):
    """An image with an extension and a table; changes: pixel, card, comment, column, flags."""
    pixels = np.arange(12, dtype=np.float32).reshape(3, 4)
    pixels[1, 1] = changes.get("pixel", pixels[1, 1])
    columns = {"flux": np.arange(3.0), "flags": np.array([0, 1, 2], changes.get("flags", np.uint16))}
    table = fits.BinTableHDU(Table({name: columns[name] for name in columns if name != changes.get("gone")}))
    table.name = "GAIAFLUX_APERTURE"
    hdus = fits.HDUList([fits.PrimaryHDU(pixels), fits.ImageHDU(name="GAIAFLUX_WCS"), table])
    hdus[1].header["CRVAL1"] = (changes.get("card", 10.5), changes.get("comment", "[deg] right ascension"))
    hdus[1].header["DATE"] = changes.get("date", "2026-01-01")
    hdus.writeto(path, overwrite=True, checksum=True)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"pixel": 7.0}, "[PRIMARY] pixels: 1 of 12 values, largest difference 2 at [1, 1]"),
        ({"card": 10.25}, "[GAIAFLUX_WCS] CRVAL1: 10.5 is now 10.25"),
        ({"comment": "right ascension"}, "[GAIAFLUX_WCS] CRVAL1@comment: '[deg] right ascension' is now"),
        ({"gone": "flux"}, "[GAIAFLUX_APERTURE] flux: missing now (it was float64 (3,))"),
    ],
)
def test_an_image(differences, changes, expected):
    found, _ = differences("a.fits", image, {}, changes)
    assert any(f"a.fits {expected}" in text for text in found), found
    if "gone" not in changes:
        assert len(found) == 1


def test_an_image_of_another_day_and_with_wider_flags(differences):
    assert differences("a.fits", image, {}, {"date": "2027-05-05"}) == ([], [])
    found, remarks = differences("a.fits", image, {}, {"flags": np.uint32})
    assert found == []
    assert "a.fits [GAIAFLUX_APERTURE] flags: uint16 is now uint32" in remarks


def write_text(path, content):
    path.write_text(content)


def test_tables_as_text(differences):
    before = "frame_id,flux,flux_err,source_id\na,1.50,0.25,5853498713190525696\nb,,0.25,-1\n"
    assert differences("t.csv", write_text, before, before.replace("1.50", "1.5")) == ([], [])
    (text,), _ = differences("t.csv", write_text, before, before.replace("1.50", "1.75"))
    assert "t.csv flux: 1 of 2 values, largest difference 0.25 at [0] (1.5 is now 1.75), 1 of flux_err" in text
    (text,), _ = differences("t.csv", write_text, before, before.replace("b,,", "b,3,"))
    assert "1 no longer NaN" in text
    (text,), _ = differences("t.csv", write_text, before, before.replace("25696", "25697"))
    assert "source_id: 1 of 2 values" in text
    found, _ = differences("t.csv", write_text, before, before.replace("flux_err", "error"))
    assert any("flux_err: missing now" in text for text in found)


def ecsv(path, changes):
    table = Table(
        {"mag": np.array([1.0, np.nan]), "flags": np.array([0, 1])}, units={"mag": changes.get("unit", "mag")}
    )
    table.meta = {"series": {"name": "a", "versions": changes.get("versions", "1")}, "term": changes.get("term", 0.5)}
    table.write(path, format="ascii.ecsv", overwrite=True)


def test_tables_with_facts(differences):
    assert differences("t.ecsv", ecsv, {}, {"versions": "2"}) == ([], [])
    (text,), _ = differences("t.ecsv", ecsv, {}, {"term": 0.25})
    assert "t.ecsv @meta/term: 0.5 is now 0.25" in text
    (text,), _ = differences("t.ecsv", ecsv, {}, {"unit": "m"})
    assert "@mag/unit: 'mag' is now 'm'" in text


def parquet(path, changes):
    import pyarrow as pa
    from pyarrow import parquet as pq

    columns = {"score": pa.array([1.0, changes.get("score", 2.0)]), "star_id": pa.array([1, 2])}
    columns = {name: column for name, column in columns.items() if name != changes.get("gone")}
    fields = [pa.field(name, column.type, metadata={"unit": "mag"}) for name, column in columns.items()]
    attributes = json.dumps({"/": {"created_utc": changes.get("created", "a"), "series": "x"}})
    schema = pa.schema(fields, metadata={"attributes": attributes})
    pq.write_table(pa.Table.from_arrays(list(columns.values()), schema=schema), path)


def test_a_parquet_file(differences):
    assert differences("stars.parquet", parquet, {}, {"created": "b"}) == ([], [])
    (text,), _ = differences("stars.parquet", parquet, {}, {"score": 2.5})
    assert "stars.parquet score: 1 of 2 values, largest difference 0.5" in text
    found, _ = differences("stars.parquet", parquet, {}, {"gone": "score"})
    assert any("score: missing now" in text for text in found)


def page(path, changes):
    """A report with a text, a PNG, and a drawing that has a PNG in it."""

    def png(value):
        stream = io.BytesIO()
        Image.fromarray(np.full((2, 2), value, np.uint8)).save(stream, "png")
        return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()

    inside = png(changes.get("inside", 1))
    path_in_it = f'<path id="{changes.get("id", "p1")}" d="M {changes.get("at", 1.5)} 2"/>'
    drawing = f'<svg>\n{path_in_it}\n<image href="{inside}"/></svg>'
    uri = "data:image/svg+xml;base64," + base64.b64encode(drawing.encode()).decode()
    path.write_text(
        f"<html><style>p {{}}</style><p>gaiaflux {changes.get('version', '0.1.0')}, dataset of "
        f"{changes.get('created', '2026-01-01T00:00:00Z')}</p><p>{changes.get('text', 'scatter 1.5 mmag')}</p>"
        f'<img src="{png(changes.get("pixel", 0))}"><img src="{uri}"></html>'
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"text": "scatter 2.5 mmag"}, "text: 1 of 1 of its 1 numbers"),
        ({"pixel": 9}, "picture 1: 12 of 16 values, largest difference 9"),
        ({"inside": 4}, "picture 2, picture 1 in it: 12 of 16 values"),
        ({"at": 1.75}, "picture 2: 1 of its 2 numbers, largest difference 0.25"),
    ],
)
def test_a_report(same, tmp_path, changes, expected):
    compare = same("compare")
    clean = compare.cleaner(tmp_path / "work", tmp_path / "tree")
    page(tmp_path / "old.html", {})
    page(tmp_path / "new.html", {"created": "2027-01-01T00:00:00Z", "version": "0.2.0", "id": "p7"})
    assert compare.compare_files(tmp_path / "old.html", tmp_path / "new.html", [clean, clean])[1] == []
    page(tmp_path / "new.html", changes)
    _, found = compare.compare_files(tmp_path / "old.html", tmp_path / "new.html", [clean, clean])
    said = " ".join(f"{one.place}: {one.text}" for one in found)
    assert expected.split(": ")[0] in said
    assert expected.split(": ")[1].removeprefix("1 of ") in said


def test_places_of_the_trees_do_not_count(same, tmp_path):
    compare = same("compare")
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        content = {
            "path": f"{tmp_path / name}/images/a.fits",
            "server": f"http://127.0.0.1:{len(name) + ord(name[0])}/tap",
        }
        content |= {"date_utc": name, "sha256": "x"}
        (tmp_path / name / "gaia.json").write_text(json.dumps(content))
    clean = [compare.cleaner(tmp_path / name, tmp_path / "tree") for name in ("old", "new")]
    found = compare.compare_folders(tmp_path / "old", tmp_path / "new", ("*",), clean)
    assert (found.differences, found.n_files) == ([], 1)


def test_files_that_are_gone_or_new_and_nothing_at_all(same, tmp_path):
    compare = same("compare").compare_folders
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    assert compare(tmp_path / "old", tmp_path / "new", ("*",), [str, str]).differences == [
        "there is nothing to compare"
    ]
    (tmp_path / "old" / "a.txt").write_text("a")
    (tmp_path / "new" / "b.txt").write_text("a")
    found = compare(tmp_path / "old", tmp_path / "new", ("*.txt",), [str, str])
    assert found.differences == ["a.txt: missing now", "b.txt: new"]


def test_the_largest_difference_in_units_of_the_error(same, tmp_path):
    for name, flux, mag in (("old", 5.0, 1.0), ("new", 5.125, 1.5)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "t.csv").write_text(f"flux,flux_err,mag,mag_err\n{flux},0.5,{mag},1\n2,0,3,\n")
    found = same("compare").compare_folders(tmp_path / "old", tmp_path / "new", ("*",), [str, str])
    assert found.worst == (0.5, "t.csv mag")


def test_lists_of_jobs(differences):
    before = {"targets": {"export_lightcurves": 1, "all": 1}, "nothing": {}}
    after = {"targets": {"export_lightcurves": 2, "report": 1, "all": 1}, "nothing": {}}
    found, _ = differences("jobs.json", write_text, json.dumps(before), json.dumps(after))
    assert any("targets/export_lightcurves: 1 is now 2" in text for text in found)
    assert any("targets/report: new (it is 1)" in text for text in found)


def test_a_tree_that_failed_differs(same, tmp_path):
    inputs, compare = same("inputs"), same("compare")
    one = next(one for one in inputs.INPUTS if one.name == "demo")
    for name in ("old", "new"):
        results = tmp_path / name / "demo" / "results" / "demo"
        results.mkdir(parents=True)
        (results / "frames.csv").write_text("a\n1\n")
        (tmp_path / name / "demo" / "results" / "demo" / "ledger.json").write_text(name)
    assert compare.compare_input(one, tmp_path / "old", tmp_path / "new", (tmp_path, tmp_path)).differences == []
    (tmp_path / "new" / "demo.failure.txt").write_text("exit code 1: a bug")
    (text,) = compare.compare_input(one, tmp_path / "old", tmp_path / "new", (tmp_path, tmp_path)).differences
    assert text == "the new tree failed: exit code 1: a bug"


def test_inputs_are_chosen_with_what_they_go_on_from(same):
    inputs = same("inputs")
    assert [one.name for one in inputs.chosen_inputs("interface", inputs.INPUTS)] == ["demo", "interface"]
    assert inputs.chosen_inputs("", inputs.INPUTS) == list(inputs.INPUTS)
    with pytest.raises(same("trees").Failure, match="no input dmeo; there are"):
        inputs.chosen_inputs("dmeo,saao", inputs.INPUTS)


def test_the_server_of_the_archive(same):
    rows = np.zeros(3, dtype=[("source_id", "i8"), ("ra", "f8"), ("dec", "f8"), ("phot_g_mean_mag", "f8")])
    rows["source_id"], rows["ra"], rows["phot_g_mean_mag"] = [7, 8, 9], [10.0, 10.1, 14.0], [15.0, 17.0, 15.0]
    where = "CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', 10.0, 0.0, 0.5)) AND phot_g_mean_mag <= 16.0"
    with same("archive").serve(rows) as url:

        def ask(select, circle=where):
            query = f"SELECT {select} FROM gaiadr3.gaia_source WHERE 1 = {circle}"
            form = urllib.parse.urlencode({"QUERY": query}).encode()
            with urllib.request.urlopen(f"{url}/sync", form, timeout=10) as answer:
                return answer.read().decode()

        assert "<TD>1</TD>" in ask("COUNT(*)")
        assert "<TR><TD>7</TD><TD></TD></TR>" in ask("source_id, pmra")
        assert "<TD>8</TD>" in ask("source_id", where.replace("16.0", "18.0 AND phot_g_mean_mag > 16.0"))
        with pytest.raises(urllib.error.HTTPError, match="400"):
            ask("source_id", "1")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--list"], 0, "saao "),
        ([], 2, "which commit?"),
        (["no-such-commit"], 2, "there is no commit 'no-such-commit'"),
        (["HEAD", "--inputs", "dmeo"], 2, "no input dmeo; there are"),
        (["HEAD", "--inputs", "saao"], 2, "no input is left to run"),
        (["HEAD", "--inputs", "saao"], 2, "left out: no "),
    ],
)
def test_the_command(arguments, code, said, tmp_path):
    done = subprocess.run(
        [sys.executable, FOLDER / "run.py", *arguments, "--out", tmp_path],
        env={**os.environ, "GAIAFLUX_DATA": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert said in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
