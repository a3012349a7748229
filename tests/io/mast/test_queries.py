"""What astroquery asks and reads, over our transport: real answers of MAST, and answers that are none."""

import time

import pytest

from gaiaflux.io.mast.queries import Place, Queries
from gaiaflux.io.transport import ServerFailure

TARGET, RA, DEC = 25155310, 63.37389, -69.22680
NAME = "tess2018206045859-s0001-0000000025155310-0120-s_tp.fits"
FAST = "tess2020186164531-s0027-0000000025155310-0189-a_fast-tp.fits"
LATER = "tess2018234235059-s0002-0000000025155310-0121-s_tp.fits"
OTHERS = (NAME.replace("_tp", "_lc"), "tess2018206045859-s0001-0000000025155311-0120-s_tp.fits")


@pytest.fixture
def stars(mast):
    rows = [mast.tic_row(TARGET, RA, DEC, 10.6, gaia=4676041915767041280, Teff=5600.0)]
    return rows + [mast.tic_row(100 + k, RA + 0.01 * k, DEC, 11.0 + k) for k in range(8)]


@pytest.fixture
def ask(serve, stars, carrier_of, quick):
    """Function that makes a server and asks it; `ask.server` is the last one."""

    def make(timeout_s=5.0, deadline_s=20.0, **options):
        options = {"stars": stars, "files": dict.fromkeys((NAME, FAST, LATER, *OTHERS), b"x" * 100)} | options
        make.server = serve(**options)
        return Queries(carrier_of(timeout_s, deadline_s), make.server.url, f"{make.server.url}/tesscut")

    return make


def test_a_star_of_the_tic(ask):
    (row,) = ask().stars([TARGET])
    assert (row["ID"], float(row["ra"]), float(row["dec"])) == (str(TARGET), RA, DEC)
    assert row["GAIA"] == "4676041915767041280"
    assert ask.server.kinds() == ["columns", "invoke", "invoke"]


def test_no_star_is_no_failure(ask):
    assert len(ask().stars([5])) == 0


def test_many_stars_are_asked_for_in_parts(ask, monkeypatch):
    monkeypatch.setattr("gaiaflux.io.mast.queries.STARS_AT_ONCE", 3)
    found = ask().stars([TARGET, *range(100, 108)])
    assert sorted(map(int, found["ID"])) == [*range(100, 108), TARGET]
    assert ask.server.kinds().count("invoke") == 4


def test_stars_around_a_position(ask):
    found = ask().stars_around((RA, DEC), 0.0101, 14.5)
    # A step in right ascension is 0.0036 deg on the sky there.
    assert sorted(map(int, found["ID"])) == [100, 101, 102, TARGET]


def test_pages_are_put_together(ask):
    assert len(ask(page_size=2).stars_around((RA, DEC), 1.0, 30.0)) == 9


def test_the_real_answers_are_read(ask, mast):
    queries = ask(at="invoke", how="raw", raw=(mast.DATA / "tic.json").read_bytes(), only="Tic.Position")
    assert len(queries.stars_around((254.38, -4.09), 0.1, 20.0)) == 7
    queries = ask(at="sector", how="raw", raw=(mast.DATA / "tess_sector.json").read_bytes())
    assert queries.places((RA, DEC)) == [Place(1, 1, 3)]
    queries = ask(at="invoke", how="raw", raw=(mast.DATA / "products.json").read_bytes(), only="Products")
    assert queries.target_files([TARGET], [], "tpf") == []  # they are of the HST


def test_sectors_that_see_a_position(ask):
    assert ask(sectors=[(28, 4, 1), (1, 4, 1), (1, 4, 1)]).places((RA, DEC)) == [Place(1, 4, 1), Place(28, 4, 1)]
    assert ask(sectors=[]).places((RA, DEC)) == []


def test_target_files(ask):
    queries = ask(sizes={NAME: None})
    assert [(file.name, file.size) for file in queries.target_files([TARGET], [], "tpf")] == [(NAME, 0), (LATER, 100)]
    assert [file.name for file in queries.target_files([TARGET], [2, 3], "tpf")] == [LATER]
    (fast,) = queries.target_files([TARGET], [], "fast_tpf")
    assert fast.name == FAST
    assert fast.url == f"{ask.server.url}/api/v0.1/Download/file?uri=mast:TESS/product/{FAST}"
    assert queries.target_files([77], [], "tpf") == []


def test_a_query_that_is_under_way_is_asked_again(ask):
    assert len(ask(executing=3).stars([TARGET])) == 1
    assert ask.server.kinds().count("invoke") == 5


def test_a_query_that_never_ends(ask):
    begin = time.monotonic()
    with pytest.raises(ServerFailure, match=r"under way when the time is over|not done after 0\.5 s"):
        ask(executing=10**6, deadline_s=0.5).stars([TARGET])
    assert time.monotonic() - begin < 5.0


FAULTS = {
    "500": "HTTP 500: the service is down",
    "silence": "no answer for 0.3 s",
    "drip": "not done after 0.8 s",
    "cut": "closed in mid-answer",
    "longer": "closed in mid-answer",
    "page": r"no JSON \(a page for people\)",
    "shorter": "no JSON",
    "elsewhere": "HTTP 302",
    "drop": "closed in mid-answer",
}


@pytest.mark.parametrize("how", FAULTS)
@pytest.mark.parametrize("at", ["columns", "invoke", "sector"])
def test_what_goes_wrong_is_one_reason(ask, at, how):
    queries = ask(timeout_s=0.3, deadline_s=0.8, at=at, how=how, sectors=[(1, 4, 1)])
    with pytest.raises(ServerFailure, match=FAULTS[how]) as caught:
        queries.places((RA, DEC)) if at == "sector" else queries.target_files([TARGET], [], "tpf")
    assert "\n" not in str(caught.value)
    assert not any("example.org" in place for _, place, _ in ask.server.asked)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"[]", "not what MAST answers|the query failed"),
        (b"{}", "the query failed"),
        (b'{"status": "ERROR", "msg": "too many\\n rows"}', "the query failed: too many rows"),
        (b'{"status": "COMPLETE", "msg": "", "data": [{"ID": 1}]}', "not what MAST answers"),
        (
            b'{"status": "COMPLETE", "data": [], "paging": {"rowsFiltered": 3, "page": 1, "pagesFiltered": 1}}',
            "0 rows came where",
        ),
    ],
)
def test_json_that_is_no_answer(ask, raw, reason):
    with pytest.raises(ServerFailure, match=reason):
        ask(at="invoke", how="raw", raw=raw, only="Tic.Rows").stars([TARGET])


def test_lost_rows_are_noticed(ask):
    with pytest.raises(ServerFailure, match="8 rows came where the server counts 9"):
        ask(lose_rows=1).stars_around((RA, DEC), 1.0, 30.0)
