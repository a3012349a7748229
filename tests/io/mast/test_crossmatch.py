"""Numbers of DR2 as numbers of DR3, by what the archive says of them."""

import numpy as np
import pytest

from gaiaflux.io.gaia.archive import ArchiveError
from gaiaflux.io.mast.crossmatch import best_neighbours, fetch_crossmatch

FIRST = 5853498713190525696
ROWS = [
    # A number that another star has in DR3: never by equal numbers.
    (FIRST, FIRST + 7, 3.0, 0.01),
    (FIRST + 7, FIRST + 9, 2.0, 0.0),
    # The nearest is too bright; the second is the star.
    (FIRST + 1, FIRST + 20, 30.0, -3.0),
    (FIRST + 1, FIRST + 21, 60.0, 0.05),
    # One star of DR3 was two of DR2: it goes to the more alike.
    (FIRST + 2, FIRST + 30, 90.0, 0.3),
    (FIRST + 3, FIRST + 30, 10.0, 0.1),
    # Nothing near enough.
    (FIRST + 4, FIRST + 40, 1500.0, 0.0),
    # A difference that is not known.
    (FIRST + 5, FIRST + 50, 20.0, np.nan),
]
TRUTH = {0: 7, 1: 21, 3: 30, 5: 50, 7: 9}


@pytest.fixture
def neighbours():
    kinds = [
        ("dr2_source_id", "i8"),
        ("dr3_source_id", "i8"),
        ("angular_distance", "f8"),
        ("magnitude_difference", "f8"),
    ]
    return np.array(ROWS, dtype=kinds)


@pytest.fixture
def serve_gaia(tap, neighbours):
    servers = []

    def start(**behaviour):
        empty = np.zeros(0, dtype=[("source_id", "i8")])
        servers.append(tap.TapServer(empty, behaviour=tap.Behaviour(**behaviour), neighbours=neighbours))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def as_steps(dr2, dr3):
    return {int(a - FIRST): int(b - FIRST) for a, b in zip(dr2, dr3, strict=True)}


def test_the_pairs_that_are_one_star(neighbours):
    rng = np.random.default_rng(4)
    for _ in range(5):
        rng.shuffle(neighbours)
        assert as_steps(*best_neighbours(*(neighbours[name] for name in neighbours.dtype.names))) == TRUTH


def test_the_archive_is_asked(serve_gaia, gaia_settings, monkeypatch):
    monkeypatch.setattr("gaiaflux.io.mast.crossmatch.NUMBERS_AT_ONCE", 3)
    server = serve_gaia()
    found = fetch_crossmatch([FIRST + k for k in (*range(8), 99, 0)], gaia_settings(server))
    assert as_steps(found.dr2, found.dr3) == TRUTH
    assert found.server == server.url
    assert found.dr2.dtype == found.dr3.dtype == np.int64
    assert server.paths().count("POST sync") == 3


def test_nothing_is_asked_for_nothing(gaia_settings):
    assert len(fetch_crossmatch([], gaia_settings("http://127.0.0.1:9/tap")).dr2) == 0


def test_the_next_server_is_asked(serve_gaia, gaia_settings):
    bad, good = serve_gaia(http_status=500), serve_gaia()
    found = fetch_crossmatch([FIRST], gaia_settings(bad, good))
    assert as_steps(found.dr2, found.dr3) == {0: 7}
    assert found.server == good.url
    assert len(found.failures) == 1


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ({"http_status": 500}, "HTTP 500"),
        ({"lose_rows": 1}, "0 rows came where"),
        ({"page": b"<html>closed</html>"}, "the answer is"),
        ({"final_phase": "ERROR"}, "ended in phase ERROR"),
        ({"cut": "length"}, "closed in mid-answer"),
    ],
)
def test_no_answer_is_one_sentence(serve_gaia, gaia_settings, quick, behaviour, reason):
    with pytest.raises(ArchiveError, match=reason) as caught:
        fetch_crossmatch([FIRST], gaia_settings(serve_gaia(**behaviour)))
    assert "\n" not in str(caught.value)


def test_servers_without_the_table_are_not_asked(serve_gaia, gaia_settings, monkeypatch):
    server = serve_gaia()
    monkeypatch.setattr("gaiaflux.io.mast.crossmatch._USUAL", (server.url,))
    found = fetch_crossmatch([FIRST], gaia_settings("vizier", "noirlab"))
    assert found.server == server.url
