import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest

from gaiaflux.io.gaia.archive import SERVERS, ArchiveError, Server, cone_query, fetch_cone
from gaiaflux.io.gaia.catalog import read_catalog, verify_pin
from gaiaflux.model.errors import InputError
from gaiaflux.model.settings.gaia import GaiaSettings
from gaiaflux.workflow.settings import complete_section

CENTRE, RADIUS, LIMIT = (0.1, -30.0), 0.3, 19.5


SETTINGS = complete_section(GaiaSettings, magnitude_limit=LIMIT, timeout_s=5.0, deadline_s=20.0)


def fetch(*servers, centre=CENTRE, radius=RADIUS, limit=LIMIT, **settings):
    urls = tuple(getattr(server, "url", server) for server in servers)
    return fetch_cone(centre, radius, replace(SETTINGS, servers=urls, magnitude_limit=limit, **settings))


def expected(tap, rows, radius=RADIUS, limit=LIMIT):
    inside = tap.haversine_deg(rows["ra"], rows["dec"], *CENTRE) <= radius
    return np.sort(rows[inside & (rows["phot_g_mean_mag"] <= limit)], order="source_id")


def failure(*servers, **limits):
    with pytest.raises(ArchiveError) as caught:
        fetch(*servers, **limits)
    text = str(caught.value)
    assert "gaia_file" in text
    assert "\n" not in text
    return text


def test_good_answer(tap, serve, gaia_rows):
    server = serve(executing=2)
    answer = fetch(server)
    truth = expected(tap, gaia_rows)
    assert 50 < len(truth) < len(gaia_rows)
    catalog = answer.catalog
    assert catalog.source_id.dtype == np.int64
    np.testing.assert_array_equal(catalog.source_id, truth["source_id"])
    np.testing.assert_array_equal(catalog.ra_deg, truth["ra"])
    np.testing.assert_array_equal(catalog.dec_deg, truth["dec"])
    np.testing.assert_array_equal(catalog.pmra, np.nan_to_num(truth["pmra"]))
    np.testing.assert_array_equal(catalog.parallax, np.nan_to_num(truth["parallax"]))
    np.testing.assert_array_equal(catalog.mag, truth["phot_g_mean_mag"])
    np.testing.assert_allclose(catalog.colour, 1.25)
    unknown = np.isnan(truth["pmra"])
    assert unknown.any()
    assert (catalog.pm_err[unknown] == 10.0).all()
    assert (catalog.pm_err[~unknown] < 0.5).all()
    assert answer.server == server.url
    assert answer.failures == ()
    assert "CIRCLE('ICRS', 0.10000000, -30.00000000, 0.30000000)" in answer.query
    assert "TOP" not in answer.query


def test_steps_of_the_conversation(serve):
    server = serve(executing=3)
    fetch(server)
    assert server.paths() == [
        "POST sync",
        "POST async",
        *["GET async/1O/phase"] * 4,
        "GET async/1O/results/result",
    ]
    count, rows = server.requests[0][2], server.requests[1][2]
    assert count["QUERY"].startswith("SELECT COUNT(*)")
    assert count["QUERY"].split(" FROM ")[1] == rows["QUERY"].split(" FROM ")[1]
    assert rows["PHASE"] == "RUN"


@pytest.mark.parametrize("behaviour", [{"pending_until_run": True}, {"compress": True}, {"redirect_result": True}])
def test_variants_of_good_servers(tap, serve, gaia_rows, behaviour):
    assert len(fetch(serve(**behaviour)).catalog) == len(expected(tap, gaia_rows))


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ({"http_status": 500}, "HTTP 500: the service is down"),
        ({"http_status": 404}, "HTTP 404"),
        ({"page": b"<!DOCTYPE html><html><body>Maintenance until Monday</body></html>"}, "the answer is an HTML page"),
        ({"page": b"sorry"}, "not a VOTable"),
        ({"page": b""}, None),
        ({"drop": "sync"}, "closed in mid-answer"),
        ({"drop": "async"}, "closed in mid-answer"),
        ({"drop": "phase"}, "closed in mid-answer"),
        ({"drop": "result"}, "closed in mid-answer"),
        ({"cut": "length"}, "closed in mid-answer"),
        ({"cut": "silent"}, "broken off"),
        ({"overflow": "flag"}, "OVERFLOW"),
        ({"overflow": "whole"}, "OVERFLOW"),
        ({"max_rows": 20}, "OVERFLOW"),
        ({"status_error": "unknown column ruwe"}, "refused the query: unknown column ruwe"),
        ({"final_phase": "ERROR"}, "ended in phase ERROR: disk quota of the service exceeded"),
        ({"final_phase": "ABORTED"}, "ended in phase ABORTED"),
        ({"final_phase": "WHATEVER"}, "the job has no phase"),
        ({"count_offset": 1}, "rows came where COUNT"),
        ({"count_offset": -3}, "OVERFLOW"),
        ({"lose_rows": 1}, "rows came where COUNT"),
        ({"count_text": "<VOTABLE><RESOURCE></RESOURCE></VOTABLE>"}, "the answer has no table"),
        ({"table_name": "gaiadr2.gaia_source"}, "HTTP 400: cannot parse SELECT COUNT"),
    ],
)
def test_bad_answers_are_refused_and_the_mirror_takes_over(tap, serve, gaia_rows, behaviour, reason):
    if reason is None:
        behaviour = {"count_text": "\n"}
        reason = "not a VOTable"
    bad, good = serve(**behaviour), serve()
    answer = fetch(bad, good)
    assert answer.server == good.url
    assert len(answer.catalog) == len(expected(tap, gaia_rows))
    assert len(answer.failures) == 1
    assert reason in answer.failures[0]
    assert reason in failure(bad)
    assert len(bad.requests) <= 12


def test_wrong_bytes_in_the_result(serve, tap, gaia_rows):
    body = tap.votable(expected(tap, gaia_rows))
    broken = body.replace(b"<TR>", b"<TR", 1)
    assert "a VOTable that cannot be read" in failure(serve(raw_result=broken))
    few = tap.votable(
        expected(tap, gaia_rows)[[name for name in gaia_rows.dtype.names if name not in ("ra", "phot_g_mean_mag")]]
    )
    assert "the answer lacks ra, phot_g_mean_mag" in failure(serve(raw_result=few))
    assert "gzip" in failure(serve(raw_result=b"\x1f\x8b" + body))
    double = expected(tap, gaia_rows)
    double["source_id"][1] = double["source_id"][0]
    assert "several rows" in failure(serve(raw_result=tap.votable(double)))


def test_silent_server(serve):
    server = serve(silent_s=30.0)
    begin = time.monotonic()
    assert "no answer for 0.3 s" in failure(server, timeout_s=0.3)
    assert time.monotonic() - begin < 10.0
    assert len(server.requests) == 1


def test_stuck_job_leaves_time_for_the_mirror(serve):
    stuck, good = serve(executing=-1), serve()
    answer = fetch(stuck, good, deadline_s=3.0)
    assert answer.server == good.url
    assert "still EXECUTING after 1.5 s" in answer.failures[0]
    assert stuck.paths()[-1] == "POST async/1O/phase"
    assert stuck.requests[-1][2] == {"PHASE": "ABORT"}
    assert len(stuck.requests) < 20


def test_dripping_result_is_cut_at_the_deadline(serve):
    begin = time.monotonic()
    assert "not done after 1 s" in failure(serve(drip_s=0.05), deadline_s=1.0)
    assert time.monotonic() - begin < 10.0


def test_no_thread_is_left(serve):
    server = serve()
    before = threading.active_count()
    fetch(server)
    failure(serve(http_status=500))
    servers = sum(
        "serve_forever" in thread.name or "process_request" in thread.name for thread in threading.enumerate()
    )
    assert threading.active_count() - servers <= before


def test_all_fail_in_one_sentence(serve):
    bad, worse = serve(http_status=503), serve(overflow="whole")
    closed = serve()
    closed.close()
    text = failure(bad, worse, closed)
    for server, reason in ((bad, "HTTP 503"), (worse, "OVERFLOW"), (closed, "connection refused")):
        assert f"{server.url.split('/')[2]}: " in text
        assert reason in text
    assert "0.3000 deg around ra 0.10000, dec -30.00000" in text


def test_empty_cone_is_not_an_answer(serve):
    assert "it has no star there" in failure(serve(), centre=(100.0, 40.0))


def test_server_that_ignores_the_cone(tap, serve, gaia_rows):
    server = serve(ignore_circle=True)
    np.testing.assert_array_equal(fetch(server).catalog.source_id, expected(tap, gaia_rows)["source_id"])
    assert "none of its rows lies in the cone" in failure(server, centre=(100.0, 40.0))


def test_vizier_names(tap, serve, gaia_rows):
    vizier = SERVERS["vizier"]
    columns = [name for name in gaia_rows.dtype.names if name != "ref_epoch"]
    server = serve(table=gaia_rows[columns], table_name='"I/355/gaiadr3"', names=vizier.columns)
    mirror = Server("vizier", server.url, vizier.tables, vizier.columns, vizier.constants)
    answer = fetch_cone(CENTRE, RADIUS, SETTINGS, servers=[mirror])
    plain = fetch(serve())
    for name in ("source_id", "ra_deg", "ref_epoch", "pmdec", "pm_err", "pos_err", "colour"):
        np.testing.assert_array_equal(getattr(answer.catalog, name), getattr(plain.catalog, name))
    assert "RA_ICRS, DE_ICRS), CIRCLE('ICRS', 0.1" in answer.query


def test_queries_of_the_named_servers():
    for server in SERVERS.values():
        query = cone_query(server, "gaiadr3", (266.4, -29.0), 0.25, 21)
        assert query.startswith(
            "SELECT source_id, ra, dec, " if server.name != "vizier" else "SELECT Source, RA_ICRS, "
        )
        assert f"FROM {server.tables['gaiadr3']} WHERE 1 = CONTAINS" in query
        assert "e-" not in cone_query(server, "gaiadr3", (1e-7, -1e-7), 1e-5, 21)


@pytest.mark.parametrize(
    ("servers", "release", "words"),
    [
        (["essa"], "gaiadr3", "did you mean esa"),
        (["ftp://x/tap"], "gaiadr3", "begins with https://"),
        ([], "gaiadr3", "gaia.servers is empty"),
        (["esa"], "gaiadr9", "gaia.release 'gaiadr9' is not known"),
    ],
)
def test_settings_are_checked_before_any_request(servers, release, words):
    with pytest.raises(InputError, match=words) as caught:
        fetch(*servers, release=release)
    assert not isinstance(caught.value, ArchiveError)


def test_nothing_of_astroquery_is_loaded_before_it_is_needed():
    code = "import sys, gaiaflux.io.gaia.archive; print([m for m in sys.modules if 'astroquery' in m or 'pandas' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.real
def test_real_answer_of_the_archive(serve, real_data):
    path = real_data / "gaia_tap" / "astroquery" / "gaia" / "tests" / "data" / "1710099405832VAL-result.vot"
    server = serve(raw_result=path.read_bytes(), raw_count=2)
    # The two stars of that answer are 114 deg apart.
    answer = fetch(server, centre=(231.0, -18.0), radius=60.0, limit=21.0)
    assert answer.catalog.source_id.tolist() == [4583627001381815936, 5348723816842275584]
    assert "OVERFLOW" not in str(answer.failures)
    assert "rows came" in failure(serve(raw_result=path.read_bytes(), raw_count=3), centre=(231.0, -18.0), radius=60.0)


@pytest.mark.real
def test_real_stars_near_the_pole(tap, serve, real_data):
    from astropy.io import fits

    with fits.open(real_data / "gaia_tables" / "gaia_ngc188_field_4938.fits", memmap=False) as hdus:
        data = hdus[1].data
        names = ["source_id", "ra", "dec", "parallax", "pmra", "pmdec"]
        names += ["phot_g_mean_mag", "phot_bp_mean_mag", "phot_rp_mean_mag"]
        kinds = [(name, "i8" if name == "source_id" else "f8") for name in names]
        kinds += [(name, "f8") for name in ("ref_epoch", "ra_error", "dec_error", "pmra_error", "pmdec_error", "ruwe")]
        rows = np.zeros(len(data), dtype=kinds)
        for name in names:
            rows[name] = data[name]
    rows["ref_epoch"] = 2016.0
    answer = fetch(serve(table=rows), centre=(12.1, 85.25), radius=0.4, limit=18.0)
    inside = tap.haversine_deg(rows["ra"], rows["dec"], 12.1, 85.25) <= 0.4
    truth = rows[inside & (rows["phot_g_mean_mag"] <= 18.0)]
    assert len(truth) > 500
    np.testing.assert_array_equal(answer.catalog.source_id, np.sort(truth["source_id"]))


def test_rule_pins_the_answer(tmp_path, serve):
    from importlib.util import module_from_spec, spec_from_file_location
    from pathlib import Path

    spec = spec_from_file_location("download_gaia", Path(__file__).parents[3] / "scripts" / "download_gaia.py")
    rule = module_from_spec(spec)
    spec.loader.exec_module(rule)
    server = serve()
    settings = asdict(replace(SETTINGS, servers=[server.url]))
    output = SimpleNamespace(catalog=str(tmp_path / "gaia.fits"), pin=str(tmp_path / "gaia.json"))
    params = SimpleNamespace(settings=settings, centre_deg=list(CENTRE), radius_arcmin=18.0)
    rule.main(SimpleNamespace(input=SimpleNamespace(), output=output, params=params))
    pin = verify_pin(output.catalog, output.pin)
    catalog = read_catalog(output.catalog)
    assert pin["n_rows"] == len(catalog) == len(fetch(server).catalog)
    assert pin["source"] == "tap"
    assert pin["server"] == server.url
    assert pin["release"] == "gaiadr3"
    assert pin["query"].startswith("SELECT source_id, ra")
    assert (pin["centre_deg"], pin["radius_deg"], pin["magnitude_limit"]) == ([0.1, -30.0], 0.3, 19.5)
    assert pin["date_utc"].endswith("+00:00")
    first = (tmp_path / "gaia.fits").read_bytes()
    settings["servers"] = [serve(http_status=500).url]
    with pytest.raises(ArchiveError):
        rule.main(SimpleNamespace(input=SimpleNamespace(), output=output, params=params))
    assert (tmp_path / "gaia.fits").read_bytes() == first
    assert sorted(p.name for p in tmp_path.iterdir()) == ["gaia.fits", "gaia.json"]
