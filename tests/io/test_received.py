"""Bodies in files: what one run leaves, another goes on with."""

import tracemalloc

import pytest

from gaiaflux.io.transport import ServerFailure, Transport

LIMIT = 10**6


def fetch(url, path, timeout_s=5.0, deadline_s=20.0, limit=LIMIT):
    with Transport(timeout_s, deadline_s) as carrier:
        return carrier.fetch(url, path, limit)


def no_file(url, path, **options):
    with pytest.raises(ServerFailure) as caught:
        fetch(url, path, **options)
    return str(caught.value)


@pytest.fixture
def part(tmp_path):
    return tmp_path / "new" / "x.fits.part"


@pytest.mark.parametrize("place", ["file", "dated", "unmarked", "plain"])
def test_a_body_goes_to_a_file(server, part, place):
    whole = fetch(f"{server.url}/{place}", part)
    assert part.read_bytes() == server.content
    whole.keep_as(part.with_name("x.fits"))
    assert [path.name for path in part.parent.iterdir()] == ["x.fits"]
    assert part.with_name("x.fits").read_bytes() == server.content


def test_a_file_that_is_dropped_leaves_nothing(server, part):
    fetch(f"{server.url}/file", part).drop()
    assert list(part.parent.iterdir()) == []


def test_a_broken_file_goes_on_within_a_run(server, quick, part):
    server.break_after = [100_000, 50_000, 0, 1, 70_000]
    fetch(f"{server.url}/file", part)
    assert part.read_bytes() == server.content
    assert server.ranges() == [None, *(f"bytes={n}-" for n in (100_000, 150_000, 150_000, 150_001, 220_001))]


@pytest.mark.parametrize(("place", "mark"), [("file", '"a"'), ("unmarked", None)])
def test_another_run_goes_on_where_the_first_broke(server, quick, part, place, mark):
    server.break_after = [100_000, 0, 0]
    assert no_file(f"{server.url}/{place}", part) == "the connection was closed in mid-answer"
    assert part.read_bytes() == server.content[:100_000]
    server.asked.clear()
    whole = fetch(f"{server.url}/{place}", part)
    assert part.read_bytes() == server.content
    assert server.ranges() == ["bytes=100000-"]
    assert server.asked[0][1].get("If-Range") == mark
    assert whole.is_whole


def test_a_whole_file_that_was_not_named_yet_is_not_asked_for(server, part):
    fetch(f"{server.url}/file", part)
    server.asked.clear()
    fetch(f"{server.url}/file", part).keep_as(part.with_name("x.fits"))
    assert server.asked == []
    assert part.with_name("x.fits").read_bytes() == server.content


@pytest.mark.parametrize("place", ["changes", "unmarked/changes"])
def test_a_changed_file_is_begun_anew(server, quick, part, place):
    server.break_after = [100_000, 0, 0]
    no_file(f"{server.url}/{place}", part)
    fetch(f"{server.url}/{place}", part)
    assert part.read_bytes() == (server.other[:-1] if "unmarked" in place else server.other)


def test_a_server_that_ignores_ranges_sends_all_again(server, quick, part):
    server.break_after = [100_000, 0, 0]
    assert no_file(f"{server.url}/plain", part) == "the connection was closed in mid-answer"
    server.asked.clear()
    fetch(f"{server.url}/plain", part)
    assert part.read_bytes() == server.content
    assert server.ranges() == [None]


def test_what_was_left_of_another_place_is_not_gone_on_with(server, quick, part):
    server.break_after = [100_000, 0, 0]
    no_file(f"{server.url}/file", part)
    server.asked.clear()
    fetch(f"{server.url}/dated", part)
    assert part.read_bytes() == server.content
    assert server.ranges() == [None]


@pytest.mark.parametrize("note", ["{", "[]", '{"place": 1}', None])
def test_a_note_that_says_nothing_counts_for_nothing(server, quick, part, note):
    server.break_after = [100_000, 0, 0]
    no_file(f"{server.url}/file", part)
    path = part.with_name(f"{part.name}.json")
    path.unlink() if note is None else path.write_text(note)
    server.asked.clear()
    fetch(f"{server.url}/file", part)
    assert part.read_bytes() == server.content
    assert server.ranges() == [None]


def test_limits_of_a_file(server, quick, part):
    assert no_file(f"{server.url}/huge", part) == "the answer is longer than 1 MB"
    assert no_file(f"{server.url}/endless", part) == "the answer is longer than 1 MB"
    assert part.stat().st_size <= LIMIT + 1
    assert no_file(f"{server.url}/silent", part, timeout_s=0.3) == "no answer for 0.3 s"
    assert no_file(f"{server.url}/drip", part, deadline_s=0.4) == "not done after 0.4 s"
    assert no_file(f"{server.url}/missing", part) == "HTTP 404"


def test_a_file_is_not_held_in_memory(server, part):
    tracemalloc.start()
    fetch(f"{server.url}/long", part, limit=10**8)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert part.stat().st_size == 40 * len(server.content)
    assert peak < 2e6
