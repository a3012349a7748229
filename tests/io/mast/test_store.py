"""Files of the archive: whole and good, or not there; what one run leaves, the next goes on with."""

import hashlib
import io
import json
import zipfile

import pytest
from astropy.io import fits

from gaiaflux.io.mast import store as store_module
from gaiaflux.io.mast.queries import StoredFile, product_url
from gaiaflux.io.mast.store import Cutout, FileStore
from gaiaflux.io.transport import ServerFailure

NAME, OTHER = "a_tp.fits", "b_tp.fits"


@pytest.fixture
def content(make_file):
    return {NAME: make_file(OBJECT="a"), OTHER: make_file(OBJECT="b")}


class Run:
    """One run of a download over a server."""

    def __init__(self, server, carrier, folder, cache=None):
        self.server, self.folder = server, folder
        self.store = FileStore(folder, carrier, cache)

    def fetch(self, *names, **sizes):
        files = [StoredFile(name, product_url(self.server.url, name), sizes.get(name[0], 0)) for name in names]
        return self.store.fetch(files, "tpf")

    def failure(self, *names, **sizes):
        with pytest.raises(ServerFailure) as caught:
            self.fetch(*names, **sizes)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def names(self):
        return sorted(path.name for path in (self.folder / "tpf").iterdir()) if (self.folder / "tpf").is_dir() else []


@pytest.fixture
def run_on(serve, carrier_of, tmp_path, quick, content):
    """Function that begins a run in the folder of the test."""

    def make(server=None, timeout_s=5.0, deadline_s=20.0, cache=None, folder="field", **options):
        server = server or serve(**{"files": content, **options})
        return Run(server, carrier_of(timeout_s, deadline_s), tmp_path / folder, cache)

    return make


def test_files_come_and_are_written_down(run_on, content):
    run = run_on()
    entries = run.fetch(NAME, OTHER)
    assert run.names() == [NAME, OTHER]
    for entry, name in zip(entries, (NAME, OTHER), strict=True):
        path = run.folder / entry["file"]
        assert path.read_bytes() == content[name]
        assert entry["file"] == f"tpf/{name}"
        assert entry["sha256"] == hashlib.sha256(content[name]).hexdigest()
        assert (entry["size"], entry["checksums"]) == (len(content[name]), 2)
        assert entry["url"].endswith(f"uri=mast:TESS/product/{name}")


def test_what_is_there_is_not_fetched_again(run_on):
    first = run_on()
    entries = first.fetch(NAME, OTHER)
    again = run_on(first.server)
    assert again.fetch(NAME, OTHER) == entries
    assert len(first.server.asked) == 2


@pytest.mark.parametrize("change", ["gone", "changed", "shorter"])
def test_what_is_not_what_it_was_is_fetched_again(run_on, content, change):
    first = run_on()
    first.fetch(NAME, OTHER)
    path = first.folder / "tpf" / NAME
    if change == "gone":
        path.unlink()
    else:
        path.write_bytes(content[NAME][:-1] + (b"x" if change == "changed" else b""))
    run_on(first.server).fetch(NAME, OTHER)
    assert path.read_bytes() == content[NAME]
    assert len(first.server.asked) == 3


def test_a_line_of_the_record_that_is_cut_off_counts_for_nothing(run_on):
    first = run_on()
    first.fetch(NAME, OTHER)
    record = first.folder / "files.jsonl"
    record.write_text(record.read_text()[:-30])
    run_on(first.server).fetch(NAME, OTHER)
    assert first.server.kinds() == ["file"] * 3


def test_a_run_goes_on_where_a_file_broke(run_on, content):
    run = run_on(at="file", how="cut", times=1)
    assert run.fetch(NAME)[0]["size"] == len(content[NAME])
    ranges = [headers.get("Range") for _, _, headers in run.server.asked]
    assert ranges == [None, f"bytes={len(content[NAME]) // 2}-"]


def test_a_run_that_ends_leaves_what_came(run_on, content, monkeypatch):
    monkeypatch.setattr("gaiaflux.io.transport.PAUSES_S", ())
    first = run_on(at="file", how="cut", times=1)
    assert "1 of 1 files (tpf) did not come: a_tp.fits: the connection was closed in mid-answer" in first.failure(NAME)
    assert first.names() == [f"{NAME}.part", f"{NAME}.part.json"]
    second = run_on(first.server)
    second.fetch(NAME)
    assert second.names() == [NAME]
    assert first.server.asked[-1][2]["Range"] == f"bytes={len(content[NAME]) // 2}-"
    assert (first.folder / "tpf" / NAME).read_bytes() == content[NAME]


@pytest.mark.parametrize("option", [{"ranges": False}, {"marks": False}, {"marks": False, "ranges": False}])
def test_servers_of_fewer_gifts(run_on, content, monkeypatch, option):
    monkeypatch.setattr("gaiaflux.io.transport.PAUSES_S", ())
    first = run_on(at="file", how="cut", times=1, **option)
    first.failure(NAME)
    run_on(first.server).fetch(NAME)
    assert (first.folder / "tpf" / NAME).read_bytes() == content[NAME]
    resumed = "Range" in first.server.asked[-1][2]
    assert resumed == option.get("ranges", True)


def test_a_part_of_another_version_is_found_out(run_on, content, make_file, monkeypatch):
    """Without a mark nothing but the checksums tells that the halves are of two versions."""
    monkeypatch.setattr("gaiaflux.io.transport.PAUSES_S", ())
    first = run_on(at="file", how="cut", times=1, marks=False)
    first.failure(NAME)
    newer = make_file(shift=1.0, OBJECT="c")
    assert len(newer) == len(content[NAME])
    first.server.files = {NAME: newer}
    run_on(first.server).fetch(NAME)
    assert (first.folder / "tpf" / NAME).read_bytes() == newer
    # The halves, and then all of it.
    assert [headers.get("Range") is None for _, _, headers in first.server.asked] == [True, False, True]


FAULTS = {
    "500": "HTTP 500: the service is down",
    "busy": "HTTP 503: later",
    "silence": "no answer for 0.3 s",
    "drip": "not done after 0.6 s",
    "cut": "the connection was closed in mid-answer",
    "longer": "the connection was closed in mid-answer",
    "shorter": "what came is cut off or damaged",
    "page": "what came is no FITS file (a page for people)",
    "elsewhere": "redirected from http to https://example.org/login, which is not followed",
    "moved": "redirected more than 5 times",
    "drop": "the connection was closed in mid-answer",
}


@pytest.mark.parametrize("how", FAULTS)
def test_what_goes_wrong_is_one_reason_and_leaves_no_file(run_on, how):
    run = run_on(timeout_s=0.3, deadline_s=0.6 if how == "drip" else 20.0, at="file", how=how, ranges=how != "cut")
    assert FAULTS[how] in run.failure(NAME)
    assert NAME not in run.names()
    assert not any("example.org" in place for place in run.server.places("file"))


def test_a_fault_that_passes_does_no_harm(run_on, content):
    for how in ("busy", "cut", "page", "shorter", "drop"):
        run = run_on(folder=how, at="file", how=how, times=1)
        run.fetch(NAME)
        assert (run.folder / "tpf" / NAME).read_bytes() == content[NAME]
        assert run.names() == [NAME]


def test_one_bad_file_does_not_keep_the_others(run_on):
    run = run_on(at="file", how="500", only=NAME)
    assert run.failure(NAME, OTHER) == f"1 of 2 files (tpf) did not come: {NAME}: HTTP 500: the service is down"
    assert OTHER in run.names()


def test_a_server_that_fails_all_the_time_is_left_alone(run_on, monkeypatch):
    monkeypatch.setattr(store_module, "MOST_FAILURES", 2)
    run = run_on(at="file", how="500")
    assert "5 of 5 files" in run.failure(*(f"{letter}_tp.fits" for letter in "abcde"))
    assert len(run.server.asked) == 2


def test_the_size_in_the_list_is_held_to(run_on, content):
    run = run_on()
    size = len(content[NAME])
    assert f"{size} bytes came where the archive's list says 7" in run.failure(NAME, a=7)
    assert run.names() == []
    run.fetch(NAME, a=size)


@pytest.mark.parametrize(("at", "part"), [(-3000, "PIXELS"), (200, "its first part")])
def test_checksums_are_held_to(run_on, content, at, part):
    """A byte is changed in the data, or in a card of the header."""
    bad = bytearray(content[NAME])
    bad[at] ^= 1
    run = run_on(files={NAME: bytes(bad)})
    assert f"the checksum of {part} is wrong" in run.failure(NAME)
    assert run.names() == []


def test_the_sum_of_the_data_alone_is_held_to(run_on, make_file):
    good = make_file(checksum="datasum")
    assert run_on(files={NAME: good}).fetch(NAME)[0]["checksums"] == 2
    bad = bytearray(good)
    bad[-3000] ^= 1
    assert "the checksum of the data of PIXELS is wrong" in run_on(files={NAME: bytes(bad)}, folder="b").failure(NAME)


def test_a_file_without_checksums_has_its_length_alone(run_on, make_file):
    plain = make_file(checksum=False)
    assert run_on(files={NAME: plain}).fetch(NAME)[0]["checksums"] == 0
    assert "cut off" in run_on(files={NAME: plain[:-2880]}, folder="b").failure(NAME)


def test_the_checksums_are_those_of_astropy(tess_data):
    """On real files of the mission, by the library's own way."""
    from gaiaflux.io.mast.checks import check_fits

    found = 0
    for path in sorted(tess_data.rglob("*.fits*"))[:40]:
        with fits.open(path) as hdus:
            stated = sum("CHECKSUM" in hdu.header or "DATASUM" in hdu.header for hdu in hdus)
            right = all(hdu.verify_checksum() != 0 for hdu in hdus)
        if right:
            assert check_fits(path) == stated, path
            found += stated
    assert found > 5


def cutouts(run, **changes):
    url = f"{run.server.url}/tesscut/api/v0.1/astrocut?ra=107.27&dec=-70.0&y=5&x=5&units=px&sector=1"
    return run.store.fetch([Cutout(url, 1)], "cutout")


def test_real_cutouts(run_on, mast):
    run = run_on()
    (entry,) = cutouts(run)
    assert entry["file"] == f"cutout/{mast.REAL_CUTOUT}"
    assert [path.name for path in (run.folder / "cutout").iterdir()] == [mast.REAL_CUTOUT]
    again = run_on(run.server)
    assert cutouts(again) == [entry]
    assert run.server.kinds() == ["astrocut"]


def zipped(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda real: real[: len(real) // 2], "the cut-outs are cut off or damaged"),
        (lambda real: real[:5000] + bytes([real[5000] ^ 255]) + real[5001:], "the cut-outs are cut off or damaged"),
        (lambda real: b'{"msg": "No images for that place"}', "gave no cut-outs (No images for that place)"),
        (lambda real: b"<html>", "gave no cut-outs (a page for people)"),
        (lambda real: zipped({}), "gave other files than cut-outs of sector 1: nothing"),
        (lambda real: zipped({"../../x.fits": b"x"}), "gave other files than cut-outs of sector 1: ../../x.fits"),
        (
            lambda real: zipped({"tess-s0002-4-3_1_2_5x5_astrocut.fits": b"x"}),
            "gave other files than cut-outs of sector 1",
        ),
        (lambda real: zipped({"tess-s0001-4-3_1_2_5x5_astrocut.fits": b"SIMPLE"}), "what came is no FITS file"),
    ],
)
def test_cutouts_that_are_none(run_on, mast, make, reason):
    run = run_on(cutout=make(mast.MastServer.cutout))
    with pytest.raises(ServerFailure) as caught:
        cutouts(run)
    assert reason in str(caught.value)
    assert not list(run.folder.parent.rglob("*.fits"))


@pytest.mark.parametrize("how", ["500", "silence", "cut", "elsewhere", "page"])
def test_tesscut_that_fails(run_on, how):
    run = run_on(timeout_s=0.3, at="astrocut", how=how)
    with pytest.raises(ServerFailure, match=r"1 of 1 files \(cutout\) did not come"):
        cutouts(run)
    assert not list(run.folder.rglob("*.fits"))


def test_a_cache_serves_other_fields(run_on, tmp_path, content):
    cache = tmp_path / "cache"
    first = run_on(cache=cache)
    entries = first.fetch(NAME, OTHER)
    other = run_on(first.server, cache=cache, folder="other")
    assert other.fetch(OTHER, NAME) == entries[::-1]
    assert len(first.server.asked) == 2
    assert (other.folder / "tpf" / NAME).read_bytes() == content[NAME]
    (cache / "tpf" / NAME).write_bytes(b"damaged")
    third = run_on(first.server, cache=cache, folder="third")
    third.fetch(NAME)
    assert len(first.server.asked) == 3
    assert (third.folder / "tpf" / NAME).read_bytes() == content[NAME]


def test_what_is_written_down_is_json(run_on):
    run = run_on()
    entries = run.fetch(NAME)
    assert [json.loads(line) for line in (run.folder / "files.jsonl").read_text().splitlines()] == entries
