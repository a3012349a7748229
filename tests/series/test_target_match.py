"""Which star a target is."""

import numpy as np
import pytest

from gaiaflux.model.errors import InputError
from gaiaflux.model.settings.target import TargetSettings
from gaiaflux.model.typed import typed
from gaiaflux.series.targets import Match, match_target

SHAPE = (400, 600)  # rows, columns
SCALE = 0.5 / 3600  # deg per pixel
J2000 = 51544.5


def stars(**changed):
    """Five stars on an image of the equator, north up and east to the left."""
    x, y = np.array([300.0, 100.0, 500.0, 100.0, 500.0]), np.array([200.0, 50.0, 50.0, 350.0, 350.0])
    zero = np.zeros(5)
    columns = {
        "x_ref": x, "y_ref": y, "ra_deg": 150.0 - (x - 300.0) * SCALE, "dec_deg": (y - 200.0) * SCALE,
        "star_id": np.arange(10, 15), "source_id": np.arange(70, 75), "ref_epoch": zero + 2016.0, "pmra": zero,
        "pmdec": zero,
    }  # fmt: skip
    return columns | {name: np.asarray(values) for name, values in changed.items()}


def match(mid=J2000, shape=SHAPE, columns=None, **place):
    return match_target(typed(TargetSettings, {"name": "T", **place}), columns or stars(), mid, shape)


def test_a_number_is_a_star():
    assert match(star_id=12) == Match(2, 0.0, "", "ok")
    assert match(source_id=73) == Match(3, 0.0, "", "ok")
    with pytest.raises(InputError, match="no star of this series has star_id 3"):
        match(star_id=3)


def test_two_pixels_or_two_arcseconds_are_near():
    assert match(x_pix=501.9, y_pix=50.0).row == 2
    found = match(x_pix=502.1, y_pix=50.0)
    assert (found.row, found.unit) == (-1, "pixel")
    assert found.status == "no star within 2 pixel of x_pix 502.1, y_pix 50; the nearest is star_id 12 at 2.1 pixel"
    found = match(ra_deg=150.0, dec_deg=1.9 / 3600)
    assert (found.row, found.unit, found.status) == (0, "arcsec", "ok")
    assert found.distance == pytest.approx(1.9, abs=1e-6)
    assert match(ra_deg=150.0 + 1.4 / 3600, dec_deg=1.4 / 3600).distance == pytest.approx(1.4 * np.sqrt(2), abs=1e-5)
    assert match(ra_deg=150.0, dec_deg=2.1 / 3600).row == -1
    # At a declination of 60 degrees a second of right ascension is half as long.
    high = stars(dec_deg=60.0 + stars()["dec_deg"], ra_deg=150.0 - 2.0 * (stars()["x_ref"] - 300.0) * SCALE)
    assert match(columns=high, ra_deg=150.0 + 3.8 / 3600, dec_deg=60.0).distance == pytest.approx(1.9, abs=1e-4)


@pytest.mark.parametrize(
    ("x", "y", "inside"),
    [
        (-0.4, 20.0, True), (-0.6, 20.0, False), (599.4, 20.0, True), (599.6, 20.0, False),
        (20.0, -0.4, True), (20.0, -0.6, False), (20.0, 399.4, True), (20.0, 399.6, False),
    ],
)  # fmt: skip
def test_pixels_reach_half_a_pixel_beyond_their_centres(x, y, inside):
    if inside:
        assert match(x_pix=x, y_pix=y).row == -1
        assert match(ra_deg=150.0 - (x - 300.0) * SCALE, dec_deg=(y - 200.0) * SCALE).row == -1
    else:
        with pytest.raises(InputError, match=r"outside of the reference image \(column .*, row .* of 600 x 400\)"):
            match(x_pix=x, y_pix=y)
        with pytest.raises(InputError, match="outside of the reference image"):
            match(ra_deg=150.0 - (x - 300.0) * SCALE, dec_deg=(y - 200.0) * SCALE)
    # Of an unknown image nothing is outside.
    assert match(shape=None, x_pix=x, y_pix=y).row == -1


def test_three_stars_tell_where_a_position_is_on_the_image():
    outside = {"ra_deg": 150.0, "dec_deg": 0.1}
    places = {n: np.where(np.arange(5) < n, stars()["x_ref"], np.nan) for n in (2, 3)}
    with pytest.raises(InputError, match="column 300, row 920 of 600 x 400"):
        match(columns=stars(x_ref=places[3]), **outside)
    assert match(columns=stars(x_ref=places[2]), **outside).row == -1
    # On the other side of the sky there is no place.
    with pytest.raises(InputError, match="outside of the reference image; correct"):
        match(ra_deg=330.0, dec_deg=0.0)


def test_a_star_that_moves_is_found_at_three_epochs():
    moving = stars(pmdec=[1000.0, 0, 0, 0, 0], pmra=[0, 2000.0, 0, 0, np.nan])
    # One second a year: 16 south at J2000, 10 north after ten years.
    mid = J2000 + 26 * 365.25
    for north, found in ((-16.0, True), (0.0, True), (10.0, True), (-8.0, False), (20.0, False)):
        assert (match(mid, columns=moving, ra_deg=150.0, dec_deg=north / 3600).row == 0) == found
    # Two seconds a year eastwards; without a time the middle is that of the catalogue.
    ra, dec = moving["ra_deg"][1], moving["dec_deg"][1]
    for east, found in ((-32.0, True), (20.0, True), (10.0, False)):
        assert (match(mid, columns=moving, ra_deg=ra + east / 3600, dec_deg=dec).row == 1) == found
    assert match(np.nan, columns=moving, ra_deg=ra, dec_deg=dec).row == 1
    assert match(np.nan, columns=moving, ra_deg=ra + 20.0 / 3600, dec_deg=dec).row == -1


def test_a_target_needs_a_whole_position():
    for place in ({}, {"x_pix": 3.0}, {"y_pix": 3.0}, {"ra_deg": 150.0}, {"dec_deg": 0.0}):
        with pytest.raises(InputError, match="give source_id, star_id, ra_deg and dec_deg, or x_pix and y_pix"):
            match(**place)
    nobody = {name: values[:0] for name, values in stars().items()}
    assert match(columns=nobody, x_pix=3.0, y_pix=4.0).status == "no star within 2 pixel of x_pix 3, y_pix 4"
    lost = stars(x_ref=np.full(5, np.nan))
    assert match(columns=lost, x_pix=300.0, y_pix=200.0).row == -1
