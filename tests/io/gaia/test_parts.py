"""Fields with more stars than a query may have, downloads that break off, and the cache."""

import json
from dataclasses import asdict, replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gaiaflux.core.sky.sphere import directions, separation_deg
from gaiaflux.io.gaia.archive import ArchiveError, fetch_cone
from gaiaflux.io.gaia.catalog import read_catalog, verify_pin
from gaiaflux.model.settings.gaia import GaiaSettings
from gaiaflux.workflow.settings import complete_section

CENTRE, RADIUS, LIMIT = (0.1, -30.0), 0.3, 19.5


SETTINGS = complete_section(GaiaSettings, magnitude_limit=LIMIT, timeout_s=5.0, deadline_s=20.0)


def fetch(*servers, centre=CENTRE, radius=RADIUS, limit=LIMIT, rows=10**6, parts_folder=None, cache_folder=None):
    urls = tuple(getattr(server, "url", server) for server in servers)
    wanted = {"servers": urls, "magnitude_limit": limit, "rows_per_query": rows, "cache_folder": cache_folder}
    return fetch_cone(centre, radius, replace(SETTINGS, **wanted), parts_folder)


def expected(rows, centre=CENTRE, radius=RADIUS, limit=LIMIT):
    away = separation_deg(directions(rows["ra"], rows["dec"]), directions(*centre))
    return np.sort(rows["source_id"][(away <= radius) & (rows["phot_g_mean_mag"] <= limit)])


def jobs(server):
    return [form["QUERY"] for _, path, form in server.requests if path.endswith("/async")]


def test_a_large_cone_comes_in_slices(serve, gaia_rows, tmp_path):
    server = serve()
    answer = fetch(server, rows=40, parts_folder=tmp_path / "parts")
    truth = expected(gaia_rows)
    assert len(truth) > 150
    np.testing.assert_array_equal(answer.catalog.source_id, truth)
    asked = jobs(server)
    assert len(asked) == len(answer.parts) > 5
    assert len(set(asked)) == len(asked)
    assert all(server.url in part for part in answer.parts)
    assert "phot_g_mean_mag >" not in answer.query
    assert not (tmp_path / "parts").exists()


def test_one_query_where_it_is_enough(serve, tmp_path):
    answer = fetch(serve(), parts_folder=tmp_path / "parts")
    assert answer.parts == ()
    assert list(tmp_path.iterdir()) == []


def test_slices_without_stars(serve, gaia_rows):
    rows = gaia_rows.copy()
    rows["phot_g_mean_mag"] = np.where(np.arange(len(rows)) < 300, 19.3, 12.0) + np.linspace(0, 0.1, len(rows))
    np.testing.assert_array_equal(fetch(serve(table=rows), rows=90).catalog.source_id, expected(rows))


def test_a_place_with_too_many_stars_of_one_magnitude(serve, gaia_rows):
    rows = gaia_rows.copy()
    rows["phot_g_mean_mag"] = 18.0
    with pytest.raises(ArchiveError, match=r"stars of G = 18\.00 are too many for gaia\.rows_per_query"):
        fetch(serve(table=rows), rows=40)


def test_the_next_run_goes_on_where_this_one_stopped(serve, gaia_rows, tmp_path):
    folder = tmp_path / "gaia.fits.parts"
    dying, whole = serve(jobs_until_down=3), serve()
    with pytest.raises(ArchiveError, match=r"HTTP 503.*stars that came are kept, the next run goes on there"):
        fetch(dying, rows=40, parts_folder=folder)
    assert len(list(folder.glob("*.fits"))) == 3
    answer = fetch(whole, rows=40, parts_folder=folder)
    np.testing.assert_array_equal(answer.catalog.source_id, expected(gaia_rows))
    first, second = jobs(dying), jobs(whole)
    assert len(first) == 3
    assert not set(first) & set(second)
    assert len(answer.parts) == len(first) + len(second)
    assert not folder.exists()


def test_the_mirror_goes_on_where_the_server_stopped(serve, gaia_rows):
    dying, mirror = serve(jobs_until_down=3), serve()
    answer = fetch(dying, mirror, rows=40)
    np.testing.assert_array_equal(answer.catalog.source_id, expected(gaia_rows))
    assert not set(jobs(dying)) & set(jobs(mirror))
    assert "HTTP 503" in answer.failures[0]


def test_a_damaged_part_is_fetched_again(serve, gaia_rows, tmp_path):
    folder = tmp_path / "parts"
    with pytest.raises(ArchiveError):
        fetch(serve(jobs_until_down=3), rows=40, parts_folder=folder)
    spoiled = sorted(folder.glob("*.fits"))
    spoiled[0].write_bytes(spoiled[0].read_bytes()[:-2880] + b"\1" * 2880)
    spoiled[1].unlink()
    json_of_third = spoiled[2].with_suffix(".json")
    json_of_third.write_text("not JSON")
    server = serve()
    np.testing.assert_array_equal(fetch(server, rows=40, parts_folder=folder).catalog.source_id, expected(gaia_rows))
    assert len(jobs(server)) == len(fetch(serve(), rows=40).parts)


def test_slices_that_contradict_the_whole_are_refused_and_forgotten(serve, gaia_rows, tmp_path):
    folder = tmp_path / "parts"
    with pytest.raises(ArchiveError, match=r"rows came in parts where COUNT\(\*\) says"):
        fetch(serve(slice_offset=7), rows=40, parts_folder=folder)
    assert not list(folder.glob("gaia-*"))
    np.testing.assert_array_equal(fetch(serve(), rows=40, parts_folder=folder).catalog.source_id, expected(gaia_rows))


def test_the_cache_serves_other_series_without_a_network(serve, gaia_rows, tmp_path):
    server, cache = serve(), tmp_path / "cache"
    first = fetch(server, rows=40, cache_folder=cache)
    np.testing.assert_array_equal(first.catalog.source_id, expected(gaia_rows))
    assert first.cached_utc == ""
    assert sorted(path.suffix for path in cache.iterdir()) == [".fits", ".json"]
    server.close()
    number = len(server.requests)
    for centre, radius, limit in ((CENTRE, RADIUS, LIMIT), ((0.11, -30.005), 0.305, 18.0), (CENTRE, 0.1, 19.0)):
        answer = fetch(server, centre=centre, radius=radius, limit=limit, cache_folder=cache)
        np.testing.assert_array_equal(answer.catalog.source_id, expected(gaia_rows, centre, radius, limit))
        assert answer.cached_utc.endswith("+00:00")
        assert answer.server == server.url
    assert len(server.requests) == number
    for wanted in ({"centre": (0.3, -30.0)}, {"radius": 0.4}, {"limit": 19.6}):
        with pytest.raises(ArchiveError, match="connection refused"):
            fetch(server, cache_folder=cache, **wanted)


def test_a_damaged_cache_is_not_believed(serve, gaia_rows, tmp_path):
    cache = tmp_path / "cache"
    fetch(serve(), cache_folder=cache)
    (table,) = cache.glob("*.fits")
    (facts,) = cache.glob("*.json")
    (cache / "gaia-notes.json").write_text('{"part": 3}')
    whole = table.read_bytes()
    for spoil in (lambda: table.write_bytes(whole[:-5760]), table.unlink, lambda: facts.write_text("{")):
        spoil()
        server = serve()
        answer = fetch(server, cache_folder=cache)
        assert len(jobs(server)) == 1
        np.testing.assert_array_equal(answer.catalog.source_id, expected(gaia_rows))
        assert table.read_bytes() == whole
        assert json.loads(facts.read_text())["part"]["release"] == "gaiadr3"


def test_a_field_of_the_cache_without_stars(serve, tmp_path):
    fetch(serve(), cache_folder=tmp_path)
    with pytest.raises(ArchiveError, match=r"no star of Gaia brighter than G = 9 lies within 0\.0010 deg"):
        fetch(serve(), radius=0.001, limit=9.0, cache_folder=tmp_path)


def test_the_rule_uses_the_cache(serve, tmp_path):
    spec = spec_from_file_location("download_gaia", Path(__file__).parents[3] / "scripts" / "download_gaia.py")
    rule = module_from_spec(spec)
    spec.loader.exec_module(rule)
    server = serve()
    settings = asdict(replace(SETTINGS, servers=[server.url], rows_per_query=1000))
    settings |= {"cache_folder": str(tmp_path / "cache")}
    pins, tables = [], []
    for name in ("a", "b"):
        output = SimpleNamespace(catalog=str(tmp_path / name / "gaia.fits"), pin=str(tmp_path / name / "gaia.json"))
        params = SimpleNamespace(settings=settings, centre_deg=list(CENTRE), radius_arcmin=18.0)
        rule.main(SimpleNamespace(input=SimpleNamespace(), output=output, params=params))
        pins.append(verify_pin(output.catalog, output.pin))
        tables.append(Path(output.catalog).read_bytes())
        server.close()
    assert tables[0] == tables[1]
    assert len(read_catalog(tmp_path / "b" / "gaia.fits")) == pins[1]["n_rows"]
    assert "cached_utc" not in pins[0]
    assert pins[1]["cached_utc"]
    assert (pins[1]["server"], pins[1]["radius_deg"]) == (server.url, 0.3)
