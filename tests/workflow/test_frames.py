from pathlib import Path

import pytest

from gaiaflux.model.errors import InputError
from gaiaflux.workflow.config import load_schema
from gaiaflux.workflow.frames import find_frames, frame_id_of

ROWS = load_schema(Path(__file__).parents[2] / "schemas" / "frames.schema.yaml")


@pytest.fixture
def folder(tmp_path):
    for name in ("n1/b.fits", "n1/a.FITS.FZ", "n2/c.d.fts", "n2/notes.txt", "n2/table.csv", "n2/.fits"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


def found(folder, made=(), **series):
    frames = find_frames("s", series, ROWS, made, folder)
    return [(frame.frame_id, frame.path) for frame in frames]


@pytest.mark.parametrize(
    ("name", "frame_id"),
    [
        ("/x/a.fits", "a"),
        ("a.b.FIT.gz", "a.b"),
        ("a.fts.fz", "a"),
        ("a.Fits.Fz", "a"),
        ("a.fits.fits", "a.fits"),
        ("a.fits.bz2", ""),
        ("a.txt", ""),
        (".fits", ""),
    ],
)
def test_the_base_name_without_its_endings(name, frame_id):
    assert frame_id_of(name) == frame_id


def test_globs_in_any_order_skip_other_files_and_count_a_file_once(folder):
    expected = [("a", "n1/a.FITS.FZ"), ("b", "n1/b.fits"), ("c.d", "n2/c.d.fts")]
    assert found(folder, images="n*/*") == expected
    assert found(folder, images=["n2/*", "n1/*", "./n1/b.*"]) == expected
    assert found(folder, images="**/*.fits") == [("b", "n1/b.fits")]
    assert found(folder, images=str(folder / "n1" / "b*")) == [("b", str(folder / "n1" / "b.fits"))]


def test_images_that_the_workflow_makes_count_as_there(folder):
    made = ["demo/images/x.fits", "demo/images/y.fits"]
    assert found(folder, made, images="demo/images/*.fits") == [("x", made[0]), ("y", made[1])]
    assert found(folder, made, images="n1/b.fits") == [("b", "n1/b.fits")]


@pytest.mark.parametrize("pattern", ["n3/*", "n2/*.txt", ["n1/*", "n3/*"]])
def test_a_pattern_without_images_is_refused(folder, pattern):
    with pytest.raises(InputError, match=r"series.s.images: no image matches '(n3/\*|n2/\*.txt)'"):
        found(folder, images=pattern)


def test_one_identifier_for_two_images_is_refused(folder):
    (folder / "n2" / "b.fits.gz").touch()
    with pytest.raises(InputError, match=r"'n1/b.fits' and 'n2/b.fits.gz' both have the frame_id 'b'.*series.s.frames"):
        found(folder, images="n*/*")


def test_a_sheet_names_frames_and_overrides_headers(folder):
    (folder / "sheet.csv").write_text(
        "\ufeffpath, frame_id, exptime, filter, mjd_utc\nn1/b.fits, first, 30, V,\nn2/table.csv, second,,, 59000.5\n"
        "n1/a.FITS.FZ,,,,\n",
        encoding="utf-8",
    )
    frames = find_frames("s", {"frames": "sheet.csv"}, ROWS, (), folder)
    assert [(frame.frame_id, frame.path, frame.overrides) for frame in frames] == [
        ("a", "n1/a.FITS.FZ", {}),
        ("first", "n1/b.fits", {"exptime": 30.0, "filter": "V"}),
        ("second", "n2/table.csv", {"mjd_utc": 59000.5}),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no rows"),
        ("path\n", "has no rows"),
        ("file\nn1/b.fits\n", "line 2: file: unknown key"),
        ("path,exptim\nn1/b.fits,3\n", "line 2: exptim: unknown key; did you mean 'exptime'"),
        ("path,exptime\nn1/b.fits,long\n", "line 2: exptime: must be a number (s), not 'long'"),
        ("path,exptime\nn1/b.fits,-3\n", "line 2: exptime: -3.0 is outside of the allowed range: greater than 0 s"),
        ("path\nn1/z.fits\n", "line 2: path: there is no file 'n1/z.fits'"),
        ("path,frame_id\nn1/b.fits,a/b\n", "line 2: frame_id: 'a/b' is not allowed here"),
        ("path\nn2/table.csv\n", "line 2: frame_id: missing, and 'n2/table.csv' does not end like a FITS file"),
        ("path\nn1/b.fits,3\n", "line 2: more cells than the first line has columns"),
        ("path,frame_id\nn1/b.fits,x\nn1/a.FITS.FZ,x\n", "both have the frame_id 'x'"),
    ],
)
def test_a_sheet_that_cannot_be_used(folder, text, sentence):
    (folder / "sheet.csv").write_text(text)
    with pytest.raises(InputError, match=r"^series\.s[.:]") as refused:
        found(folder, frames="sheet.csv")
    assert sentence in str(refused.value)
