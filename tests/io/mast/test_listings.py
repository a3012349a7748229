"""Names that folders and scripts of the archive list."""

import pytest

from gaiaflux.io.mast.listings import frame_files, prf_set, response_files
from gaiaflux.io.mast.queries import Place
from gaiaflux.io.transport import ServerFailure

FRAMES = [
    f"tess20182061929{k}2-s0001-{camera}-{ccd}-0120-s_ffic.fits" for k in (5, 4) for camera, ccd in ((1, 4), (4, 1))
]


def frames(server, transport, place):
    return frame_files(transport, f"{server.url}/scripts", server.url, place)


def responses(server, transport, place):
    return response_files(transport, f"{server.url}/prf", place)


def test_frames_of_a_ccd(serve, carrier_of):
    server = serve(files=dict.fromkeys(FRAMES, b"x"))
    found = frames(server, carrier_of(), Place(1, 1, 4))
    assert [file.name for file in found] == sorted(name for name in FRAMES if "-1-4-" in name)
    # The script names the archive; the bytes are asked for where it is configured to be.
    assert all(file.url.startswith(f"{server.url}/api/v0.1/Download/file?uri=mast:TESS/product/tess") for file in found)
    assert frames(server, carrier_of(), Place(1, 2, 2)) == []


@pytest.mark.parametrize(
    ("how", "reason"), [("page", "has no full-frame images"), ("500", "HTTP 500"), ("", "HTTP 404")]
)
def test_a_list_that_is_none(serve, carrier_of, quick, how, reason):
    server = serve(at="scripts" if how else "", how=how)
    with pytest.raises(ServerFailure, match=reason):
        frames(server, carrier_of(), Place(1, 1, 4))


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("-o ../../tess2018206192942-s0001-1-4-0120-s_ffic.fits x", ["tess2018206192942-s0001-1-4-0120-s_ffic.fits"]),
        ("-o tess2018206192942-s0001-1-4-0120-s_ffic.fits.evil", []),
        ("-o xtess2018206192942-s0001-1-4-0120-s_ffic.fits", []),
        ("-o tess2018206192942-s0001-1-4-0120-s_ffir.fits", []),
    ],
)
def test_only_names_are_taken_from_a_list(serve, carrier_of, line, names):
    good = "tess2018206192942-s0001-2-2-0120-s_ffic.fits"
    server = serve(at="scripts", how="raw", raw=f"{line}\n{good}\n".encode())
    assert [file.name for file in frames(server, carrier_of(), Place(1, 1, 4))] == names


@pytest.mark.parametrize(
    ("sector", "name"), [(1, "start_s0001"), (3, "start_s0001"), (4, "start_s0004"), (90, "start_s0004")]
)
def test_the_set_of_a_sector(sector, name):
    assert prf_set(sector) == name


def test_response_functions_of_a_ccd(serve, carrier_of, prf_folder):
    server = serve(prf=prf_folder() | prf_folder("start_s0004"))
    found = responses(server, carrier_of(), Place(2, 4, 1))
    assert len(found) == 25
    assert all(file.name.startswith("tess2018243163601-prf-4-1-row") for file in found)
    assert {file.url.rpartition("/")[0] for file in found} == {f"{server.url}/prf/start_s0001/cam4_ccd1"}
    assert "start_s0004" in responses(server, carrier_of(), Place(5, 4, 1))[0].url


@pytest.mark.parametrize(
    "link", ["http://example.org/{0}", "/deep/{0}", "{0}?x=1", "%74ess2018243163601-prf-4-1-row0001-col0045.fits"]
)
def test_a_link_that_leads_elsewhere_is_a_name(serve, carrier_of, link):
    name = "tess2018243163601-prf-4-1-row0001-col0045.fits"
    server = serve(at="prf", how="raw", raw=f'<html><a href="{link.format(name)}">x</a></html>'.encode())
    (file,) = responses(server, carrier_of(), Place(2, 4, 1))
    assert file.url == f"{server.url}/prf/start_s0001/cam4_ccd1/{name}"


@pytest.mark.parametrize(
    ("how", "reason"), [("page", "lists no response functions of camera 4, CCD 1"), ("", "HTTP 404")]
)
def test_a_folder_that_is_none(serve, carrier_of, how, reason):
    server = serve(at="prf" if how else "", how=how)
    with pytest.raises(ServerFailure, match=reason):
        responses(server, carrier_of(), Place(2, 4, 1))
