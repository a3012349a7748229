from dataclasses import asdict, replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from gaiaflux.core.sky.sphere import directions, separation_deg, sky_of_direction
from gaiaflux.core.stars.doubt import FARTHEST_RING_FWHM
from gaiaflux.ground.catalog.footprint import HALO_FWHM, series_footprint
from gaiaflux.io.batch_file import BatchWriter
from gaiaflux.io.checksum import file_sha256
from gaiaflux.io.gaia.catalog import read_catalog, verify_pin
from gaiaflux.model.errors import InputError
from gaiaflux.model.settings.gaia import GaiaSettings
from gaiaflux.workflow.settings import complete_section

NX, NY, SCALE = 1000, 600, 0.4


def header(ra, dec, angle_deg=0.0, scale=SCALE):
    cos, sin = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    cards = fits.Header()
    cards["CTYPE1"], cards["CTYPE2"] = "RA---TAN", "DEC--TAN"
    cards["CRVAL1"], cards["CRVAL2"] = ra, dec
    cards["CRPIX1"], cards["CRPIX2"] = 500.5, 300.5
    cards["CD1_1"], cards["CD1_2"] = -cos * scale / 3600, sin * scale / 3600
    cards["CD2_1"], cards["CD2_2"] = sin * scale / 3600, cos * scale / 3600
    return cards


def attrs(cards=None, status="ok", ra=np.nan, dec=np.nan, scale=np.nan):
    text = "" if cards is None else cards.tostring(sep="\n", padding=False)
    facts = {"status": status, "nx": NX, "ny": NY, "wcs_cards": text, "ra_deg": ra, "dec_deg": dec}
    return facts | {"pixel_scale_arcsec": scale}


def batch(path, frames):
    with BatchWriter(path, kind="stars") as out:
        for frame_id, facts in frames.items():
            out.add(frame_id, facts)
    return path


def corners(cards):
    x, y = [-0.5, NX - 0.5, NX - 0.5, -0.5], [-0.5, -0.5, NY - 0.5, NY - 0.5]
    return directions(*WCS(cards).all_pix2world(x, y, 0))


def test_directions():
    assert sky_of_direction(directions(359.0, -89.0)) == pytest.approx((359.0, -89.0))
    assert separation_deg(directions(10.0, 0.0), directions(190.0, 0.0)) == pytest.approx(180.0)
    assert separation_deg(directions(0.0, 0.0), directions(1e-9, 0.0)) == pytest.approx(1e-9)


@pytest.mark.parametrize("dec", [-30.0, 89.95])
def test_footprint_covers_every_corner(tmp_path, dec):
    rng = np.random.default_rng(3)
    headers = [header(0.01 * rng.normal(), dec + 0.01 * rng.normal(), angle) for angle in (0.0, 20.0, 90.0, 200.0, 3.0)]
    frames = {f"f{k}": attrs(cards) for k, cards in enumerate(headers)}
    frames["g1"] = attrs(header(150.0, 2.0))  # slewed elsewhere
    frames["g2"] = attrs(status="no stars")
    frames["g3"] = attrs()
    frames["g4"] = attrs(header(0.0, dec, scale=400.0))  # senseless
    path = batch(tmp_path / "a.h5", frames)
    field = series_footprint([path], 1.5)
    reach = max(separation_deg(corners(cards), directions(*field.centre_deg)).max() for cards in headers)
    assert field.radius_deg == pytest.approx(reach + 1.5 / 60.0, abs=1e-9)
    assert separation_deg(directions(*field.centre_deg), directions(0.0, dec)) < 0.02
    assert (field.n_frames, field.n_elsewhere, field.n_unknown) == (5, 2, 1)


@pytest.mark.parametrize("where", [{"cards": header(20.0, 40.0)}, {"ra": 20.0, "dec": 40.0, "scale": SCALE}])
def test_stars_whose_halos_reach_the_images_are_in_the_footprint(tmp_path, where):
    assert HALO_FWHM == FARTHEST_RING_FWHM
    frames = {f"f{k}": attrs(**where) | {"fwhm_pix": width} for k, width in enumerate([5.0, 6.0, 90.0, np.nan])}
    path = batch(tmp_path / "a.h5", frames)
    halo = HALO_FWHM * 6.0 * SCALE / 60.0
    bare = series_footprint([batch(tmp_path / "b.h5", {"f0": attrs(**where)})], 0.0).radius_deg
    for margin in (0.0, halo - 0.2, halo + 0.2):
        radius = series_footprint([path], margin).radius_deg
        assert radius == pytest.approx(bare + max(margin, halo) / 60.0, rel=1e-6)


def test_footprint_does_not_depend_on_batches(tmp_path):
    frames = {f"f{k}": attrs(header(10.0 + 0.003 * k, 5.0)) for k in range(6)}
    whole = series_footprint([batch(tmp_path / "a.h5", frames)], 1.0)
    items = list(frames.items())
    parts = [batch(tmp_path / f"b{k}.h5", dict(items[k::3])) for k in range(3)]
    assert series_footprint(parts[::-1], 1.0) == whole


def test_pointing_and_scale_instead_of_wcs(tmp_path):
    frames = {"a": attrs(ra=20.0, dec=40.0, scale=SCALE), "b": attrs(ra=20.001, dec=40.0)}
    field = series_footprint([batch(tmp_path / "a.h5", frames)], 0.0)
    assert field.centre_deg == pytest.approx((20.0, 40.0))
    assert field.radius_deg == pytest.approx(0.5 * np.hypot(NX, NY) * SCALE / 3600)
    assert (field.n_frames, field.n_unknown) == (1, 1)


def test_two_pointings_far_apart_give_one_of_them(tmp_path):
    frames = {"a": attrs(header(20.0, 40.0)), "b": attrs(header(30.0, 40.0))}
    field = series_footprint([batch(tmp_path / "a.h5", frames)], 0.0)
    assert field.n_frames == 1
    assert field.radius_deg < 0.1


def test_given_centre(tmp_path):
    path = batch(tmp_path / "a.h5", {"a": attrs(header(20.0, 40.0))})
    field = series_footprint([path], 0.0, (20.01, 40.0))
    assert field.centre_deg == (20.01, 40.0)
    assert field.radius_deg == pytest.approx(separation_deg(corners(header(20.0, 40.0)), directions(20.01, 40.0)).max())
    with pytest.raises(InputError, match=r"centre_deg \(25.0000, 40.0000\) is far from .* \(20.0000, 40.0000\)"):
        series_footprint([path], 0.0, (25.0, 40.0))


def test_nothing_usable(tmp_path):
    path = batch(tmp_path / "a.h5", {"a": attrs(), "b": attrs(status="truncated")})
    with pytest.raises(InputError, match=r"none of the 1 usable images .* set centre_deg and radius_arcmin"):
        series_footprint([path], 1.0)


def test_rule_with_a_local_table(tmp_path, gaia_rows):
    spec = spec_from_file_location("download_gaia", Path(__file__).parents[3] / "scripts" / "download_gaia.py")
    rule = module_from_spec(spec)
    spec.loader.exec_module(rule)
    table = tmp_path / "table.fits"
    fits.BinTableHDU(gaia_rows).writeto(table)
    stars = batch(tmp_path / "0001.h5", {"a": attrs(header(0.1, -30.0))})
    settings = replace(complete_section(GaiaSettings, magnitude_limit=20.0, margin_arcmin=2.0), source="file")
    params = SimpleNamespace(settings=asdict(settings), centre_deg=None, radius_arcmin=None)
    output = SimpleNamespace(catalog=str(tmp_path / "gaia.fits"), pin=str(tmp_path / "gaia.json"))
    rule.main(SimpleNamespace(input=SimpleNamespace(stars=[stars], gaia_file=str(table)), output=output, params=params))
    pin = verify_pin(output.catalog, output.pin)
    catalog = read_catalog(output.catalog)
    reach = separation_deg(corners(header(0.1, -30.0)), directions(0.1, -30.0)).max() + 2.0 / 60.0
    away = separation_deg(directions(gaia_rows["ra"], gaia_rows["dec"]), directions(0.1, -30.0))
    expected = np.sort(gaia_rows["source_id"][(away <= reach) & (gaia_rows["phot_g_mean_mag"] <= 20.0)])
    assert len(expected) > 10
    np.testing.assert_array_equal(catalog.source_id, expected)
    assert pin["file_sha256"] == file_sha256(table)
    assert pin["radius_deg"] == pytest.approx(reach)
    assert (pin["source"], pin["file_rows"], pin["query"]) == ("file", len(gaia_rows), None)
    with pytest.raises(InputError, match="no gaia_file"):
        rule.main(SimpleNamespace(input=SimpleNamespace(stars=[stars]), output=output, params=params))
