"""The transport against a server that breaks off, drips, repeats itself and sends elsewhere: bodies in memory."""

import threading
import time

import pytest

from gaiaflux.io import transport
from gaiaflux.io.received import Received
from gaiaflux.io.transport import ServerFailure, Transport, redirected


def get(url, timeout_s=5.0, deadline_s=20.0, **options):
    with Transport(timeout_s, deadline_s) as carrier:
        return carrier.get(url, **{"limit": 10**6, **options})


def failure(url, **options):
    with pytest.raises(ServerFailure) as caught:
        get(url, **options)
    return str(caught.value)


def test_a_body_as_it_is(server):
    assert get(f"{server.url}/file") == server.content
    assert b"identity" in get(f"{server.url}/head")
    assert server.ranges() == [None, None]


def test_no_proxy_is_used(server, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert get(f"{server.url}/file") == server.content


@pytest.mark.parametrize("place", ["file", "dated"])
def test_a_broken_download_goes_on_where_it_broke(server, quick, place):
    # More breaks than attempts: each brings the download on.
    server.break_after = [100_000, 50_000, 0, 1, 70_000]
    assert get(f"{server.url}/{place}") == server.content
    assert server.ranges() == [None, *(f"bytes={n}-" for n in (100_000, 150_000, 150_000, 150_001, 220_001))]


def test_a_download_that_does_not_come_on_is_given_up(server, quick):
    server.break_after = [100_000] + [0] * 20
    assert failure(f"{server.url}/file") == "the connection was closed in mid-answer"
    assert len(server.asked) == 3


@pytest.mark.parametrize(("place", "content"), [("plain", "content"), ("changes", "other"), ("lies", "content")])
def test_what_cannot_go_on_begins_anew(server, quick, place, content):
    server.break_after = [100_000]
    assert get(f"{server.url}/{place}") == getattr(server, content)
    assert [None, "bytes=100000-"][place != "plain"] == server.ranges()[1]


def test_a_stalled_download_goes_on(server, quick):
    server.break_after, server.stalls = [1000], True
    assert get(f"{server.url}/file", timeout_s=0.3) == server.content
    assert server.ranges() == [None, "bytes=1000-"]


@pytest.mark.parametrize("place", ["short", "drop", "endless/2"])
def test_truncated_bodies_are_refused(server, quick, place):
    assert failure(f"{server.url}/{place}") == "the connection was closed in mid-answer"
    assert len(server.asked) == 3


@pytest.mark.parametrize("place", ["huge", "endless", "file"])
def test_oversize(server, place):
    assert failure(f"{server.url}/{place}", limit=299_999) == "the answer is longer than 0.3 MB"
    assert len(server.asked) == 1


def test_the_limit_itself_is_allowed(server, quick):
    server.break_after = [200_000]
    assert get(f"{server.url}/file", limit=300_000) == server.content


def test_a_resumed_download_keeps_to_the_limit(server):
    with Transport(5.0, 20.0) as carrier:
        download = Received(bytearray(250_000), '"a"', None)
        with pytest.raises(ServerFailure, match="longer than"):
            carrier._followed(f"{server.url}/file", 299_999, download)


def test_silence_and_deadline(server):
    begin = time.monotonic()
    assert failure(f"{server.url}/silent", timeout_s=0.3) == "no answer for 0.3 s"
    assert failure(f"{server.url}/silent", deadline_s=0.3) == "not done after 0.3 s"
    assert failure(f"{server.url}/drip", timeout_s=5.0, deadline_s=0.5) == "not done after 0.5 s"
    assert time.monotonic() - begin < 10.0
    assert len(server.asked) == 3


def test_the_deadline_is_one_for_everything(server, quick):
    with Transport(5.0, 0.4) as carrier:
        assert carrier.get(f"{server.url}/plain", 10**6) == server.content
        time.sleep(0.5)
        with pytest.raises(ServerFailure, match=r"not done after 0\.4 s"):
            carrier.get(f"{server.url}/plain", 10**6)
    assert server.paths() == ["/plain"]


def test_no_pause_beyond_the_deadline(server, monkeypatch):
    monkeypatch.setattr(transport, "PAUSES_S", (30.0,))
    begin = time.monotonic()
    assert failure(f"{server.url}/drop", deadline_s=5.0) == "the connection was closed in mid-answer"
    assert time.monotonic() - begin < 4.0


def test_busy_and_bad_answers(server, quick):
    assert get(f"{server.url}/busy/2") == server.content
    server.asked.clear()
    assert failure(f"{server.url}/busy/9") == "HTTP 503: later"
    assert len(server.asked) == 3
    server.asked.clear()
    assert failure(f"{server.url}/missing") == "HTTP 404"
    assert failure(f"{server.url}/empty") == "HTTP 204"
    assert len(server.asked) == 2


def test_redirections(server):
    assert get(f"{server.url}/hops/5") == server.content
    assert server.paths() == [f"/hops/{n}" for n in (5, 4, 3, 2, 1, 0)]
    assert get(f"{server.url}/inside") == server.content
    assert failure(f"{server.url}/hops/6") == "redirected more than 5 times"
    server.asked.clear()
    assert failure(f"{server.url}/loop") == "redirected more than 5 times"
    assert len(server.asked) == 6
    assert failure(f"{server.url}/away") == "a redirection without a place"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("https://example.org/a", "redirected from http to https://example.org/a, which is not followed"),
        ("ftp://example.org/a", "'ftp://example.org/a' is no address of the web"),
        ("file:///etc/hosts", "'file:///etc/hosts' is no address of the web"),
        ("http://a:b/x", "'http://a:b/x' is no address of the web"),
    ],
)
def test_no_redirection_leaves_the_scheme(server, target, reason):
    assert failure(f"{server.url}/away/{target}") == reason
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("url", "location", "there"),
    [
        ("https://a.org/x/y", "z?q=1", "https://a.org/x/z?q=1"),
        ("https://a.org/x", "https://b.org:444/z", "https://b.org:444/z"),
        ("https://a.org:8443/x", "http://a.org:8080/z", "https://a.org:8443/z"),
        ("http://a.org:81/x", "http://A.org/z", "http://a.org:81/z"),
        ("https://a.org/x", "http://b.org/z", None),
        ("http://a.org/x", "https://b.org/z", None),
        ("http://a.org/x", "https://a.org/z", None),
        ("https://a.org/x", "ftp://a.org/z", None),
        ("https://a.org/x", "https://a.org:99999/z", None),
        ("https://a.org/x", "https://[/z", None),
    ],
)
def test_where_a_redirection_leads(url, location, there):
    if there is None:
        with pytest.raises(ServerFailure, match=r"redirected from|no address"):
            redirected(url, location)
    else:
        assert redirected(url, location) == there


@pytest.mark.parametrize(
    "url", ["file:///etc/hosts", "127.0.0.1/x", "http://", "http://a b/", "http://a:b/", "http://["]
)
def test_what_is_no_address(url):
    assert "no address" in failure(url)


def test_hosts_that_are_not_there(server):
    server.close()
    assert failure(f"{server.url}/file") == "connection refused"
    assert failure(f"http://{'a' * 70}.invalid/") == "the host's name is not known here"


def test_odd_characters_in_a_place(server):
    assert failure(f"{server.url}/missing/a b/é%20?q=a b&r=[1]") == "HTTP 404"
    assert server.paths() == ["/missing/a%20b/%C3%A9%20?q=a%20b&r=%5B1%5D"]


def test_a_form_is_sent_once_and_not_followed(server, quick):
    with Transport(5.0, 20.0) as carrier:
        answer = carrier.post(f"{server.url}/form", "a=1&b=%20")
        assert (answer.status, answer.location, answer.body) == (303, "/plain", b"a=1&b=%20")
        with pytest.raises(ServerFailure, match="closed in mid-answer"):
            carrier.post(f"{server.url}/drop", "a=1")
        assert carrier.post(f"{server.url}/busy/9", "a=1").reason == "HTTP 503: later"
    assert server.paths() == ["/form", "/drop", "/busy/9"]


def test_no_thread_and_no_connection_is_left(server):
    before = set(threading.enumerate())
    assert get(f"{server.url}/file") == server.content
    failure(f"{server.url}/missing")
    assert not [t for t in set(threading.enumerate()) - before if "process_request" not in t.name]
