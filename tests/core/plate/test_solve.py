from dataclasses import dataclass, replace

import numpy as np
import pytest

from gaiaflux.core.maths.polynomials import exponents
from gaiaflux.core.plate.matching import neighbour_pull
from gaiaflux.core.plate.search import SolveSettings, StarTables
from gaiaflux.core.plate.solve import refine_wcs
from gaiaflux.core.sky.epoch import position_error_mas, propagate
from gaiaflux.core.sky.projection import (
    linear_tan,
    pixel_to_plane,
    pixel_to_sky,
    plane_to_sky,
    sky_to_pixel,
    sky_to_plane,
)
from gaiaflux.core.sky.timing import earth_position_au
from gaiaflux.model.catalog import SkyCatalog
from gaiaflux.model.errors import BadFrameError
from gaiaflux.model.stars import STAR_DTYPE

SIZE = 2048
MARGIN = 300
SCALE = 0.389
SETTINGS = {
    "search_radius_arcsec": 90.0,
    "search_rotation_deg": 0.6,
    "max_sip_order": 3,
    "min_stars": 8,
    "max_rms_pix": 0.5,
}


@dataclass
class Field:
    """Stars of an image, the catalogue, the true solution and the header's."""

    stars: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    mag: np.ndarray
    error: np.ndarray
    truth: object
    header: object

    def solve(self, **settings):
        given = StarTables(self.stars, self.ra, self.dec, self.mag, self.error)
        nominal = settings.pop("nominal", None)
        return refine_wcs(given, self.header, SolveSettings(**{**SETTINGS, **settings}), nominal)

    def rms_mas(self, wcs):
        """Difference of a solution from the truth, both axes, rms over the image."""
        x, y = (g.ravel() for g in np.meshgrid(np.linspace(0, SIZE - 1, 25), np.linspace(0, SIZE - 1, 25)))
        found = np.stack(sky_to_plane(self.truth.crval, *pixel_to_sky(wcs, x, y)))
        return 3.6e6 * np.sqrt(np.mean(np.sum((found - np.stack(pixel_to_plane(self.truth, x, y))) ** 2, axis=0)))


def true_solution(rng, ra=150.0, dec=20.0, distortion_pix=13.0):
    angle = rng.uniform(0, 2 * np.pi)
    cd = np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * SCALE / 3600
    a, b = rng.normal(size=(2, 4, 4))
    half = SIZE / 2
    for matrix in (a, b):
        for p in range(4):
            for q in range(4):
                matrix[p, q] *= (2 <= p + q <= 3) / half ** (p + q)
    total = np.hypot(*(sum(m[p, q] * half ** (p + q) for p, q in exponents(3)) for m in (a, b)))
    factor = distortion_pix / max(total, 1.0)
    wcs = linear_tan((ra, dec), (half - 0.5, half - 0.5), cd, (SIZE, SIZE))
    return replace(wcs, a=factor * a, b=factor * b)


def wrong_header(rng, wcs, offset_arcsec=60.0, rotation_deg=0.3, distorted=False):
    direction, angle = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.uniform(-rotation_deg, rotation_deg))
    distance = offset_arcsec * np.sqrt(rng.uniform()) / 3600
    ra, dec = plane_to_sky(wcs.crval, distance * np.cos(direction), distance * np.sin(direction))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    header = linear_tan((float(ra), float(dec)), wcs.crpix, turn @ wcs.cd, wcs.shape)
    return replace(header, a=wcs.a, b=wcs.b) if distorted else header


def make(
    seed=1,
    n_in_frame=2970,
    *,
    centre=(150.0, 20.0),
    min_snr=5.0,
    max_stars=None,
    faintest=21.2,
    gaia_limit=22.0,
    gaia_fraction=0.9,
    spurious=0.05,
    fwhm=5.0,
    **header,
):
    """A field whose centroids have the errors of the sky's noise and are pulled by their neighbours."""
    rng = np.random.default_rng(seed)
    wcs = true_solution(rng, *centre)
    n = int(n_in_frame * ((SIZE + 2 * MARGIN) / SIZE) ** 2)
    x, y = rng.uniform(-MARGIN, SIZE + MARGIN, (2, n))
    mag = 14.5 + np.log10(1 + rng.uniform(size=n) * (10 ** (0.25 * (faintest - 14.5)) - 1)) / 0.25
    flux = 1000.0 * 10 ** (-0.4 * (mag - faintest + 0.7))
    snr = flux / np.sqrt(flux + 200.0**2)
    error = 0.42 * 1.1 * fwhm / snr
    pull = neighbour_pull(np.stack([x, y, flux]), np.arange(n), np.stack([x, y, flux]), 0.85 * fwhm)
    direction = rng.uniform(0, 2 * np.pi, n)
    seen_x = x + rng.normal(size=n) * error + pull * np.cos(direction)
    seen_y = y + rng.normal(size=n) * error + pull * np.sin(direction)
    found = np.flatnonzero((x > 0) & (x < SIZE) & (y > 0) & (y < SIZE) & (snr > min_snr))
    found = found[np.argsort(-flux[found])][:max_stars]
    n_false = int(spurious * len(found) / (1 - spurious))
    stars = np.zeros(len(found) + n_false, STAR_DTYPE)
    k = len(found)
    stars["x"][:k], stars["y"][:k], stars["snr"][:k] = seen_x[found], seen_y[found], snr[found]
    stars["flux"][:k] = flux[found] * 10 ** (-0.4 * rng.normal(0, 0.15, k))
    stars["x"][k:], stars["y"][k:] = rng.uniform(0, SIZE, (2, n_false))
    for name in ("flux", "snr"):
        stars[name][k:] = rng.choice(stars[name][:k], n_false)
    stars["x_err"] = stars["y_err"] = 0.42 * 1.1 * fwhm / stars["snr"]
    stars["fwhm"] = fwhm
    known = np.flatnonzero((mag < gaia_limit) & (rng.uniform(size=n) < gaia_fraction))
    ra, dec = pixel_to_sky(wcs, x[known], y[known])
    catalog_error = 3.0 * 10 ** (0.2 * (np.maximum(mag[known], 15) - 20))
    xi, eta = sky_to_plane(wcs.crval, ra, dec) + rng.normal(size=(2, len(known))) * catalog_error / 3.6e6
    ra, dec = plane_to_sky(wcs.crval, xi, eta)
    return Field(rng.permutation(stars), ra, dec, mag[known], catalog_error, wcs, wrong_header(rng, wcs, **header))


CROWDED = {"n_in_frame": 20000, "gaia_limit": 20.4}


def test_sparse_frames_are_as_good_as_their_stars_allow():
    rms, stated = [], []
    for seed in range(8):
        field = make(seed)
        fit = field.solve()
        rms.append(field.rms_mas(fit.wcs))
        stated.append(fit.solution_err_mas)
        assert (fit.method, fit.sip_order, fit.corner_coverage) == ("offset", 3, 1.0)
        assert fit.n_stars > 1200
    assert np.mean(rms) < 2.5
    assert 0.6 < np.mean(rms) / np.mean(stated) < 1.5


def test_crowded_frames():
    rms = []
    for seed in range(3):
        field = make(seed, **CROWDED)
        rms.append(field.rms_mas(field.solve().wcs))
    assert np.mean(rms) < 1.5


def test_the_rows_and_residuals_of_the_fit_are_those_of_the_lists():
    field = make(3)
    fit = field.solve()
    x, y = sky_to_pixel(fit.wcs, field.ra[fit.catalog_rows], field.dec[fit.catalog_rows])
    np.testing.assert_allclose(fit.dx_mas, (field.stars["x"][fit.star_rows] - x) * 1000 * SCALE, rtol=0.05, atol=4.0)
    np.testing.assert_allclose(fit.dy_mas, (field.stars["y"][fit.star_rows] - y) * 1000 * SCALE, rtol=0.05, atol=4.0)
    assert len(np.unique(fit.star_rows)) == len(np.unique(fit.catalog_rows)) == fit.n_stars
    assert fit.wcs.ap.shape[0] > 3
    again = field.solve()
    assert again.wcs.crval == fit.wcs.crval


def test_the_order_of_the_stars_does_not_matter():
    field = make(4, spurious=0.3)
    first = field.solve()
    rng = np.random.default_rng(0)
    stars, catalog = rng.permutation(len(field.stars)), rng.permutation(len(field.ra))
    mixed = replace(
        field,
        stars=field.stars[stars],
        ra=field.ra[catalog],
        dec=field.dec[catalog],
        mag=field.mag[catalog],
        error=field.error[catalog],
    ).solve()
    assert mixed.n_stars == pytest.approx(first.n_stars, abs=3)
    # Spurious stars have exactly the flux of others, so that ties are broken otherwise.
    assert field.rms_mas(mixed.wcs) == pytest.approx(field.rms_mas(first.wcs), abs=0.1)


def test_thirty_per_cent_spurious_stars():
    field = make(5, spurious=0.3)
    assert field.rms_mas(field.solve().wcs) < 3.5


@pytest.mark.parametrize("centre", [(0.001, 5.0), (359.999, 5.0), (77.0, 89.5), (310.0, -89.9)])
def test_wrap_of_right_ascension_and_the_poles(centre):
    field = make(6, centre=centre)
    fit = field.solve()
    assert field.rms_mas(fit.wcs) < 3.5
    assert 0.0 <= fit.wcs.crval[0] < 360.0


@pytest.mark.parametrize("seed", range(6))
def test_few_stars(seed):
    field = make(seed, 60, max_stars=9, spurious=0.0, gaia_fraction=1.0, distorted=True)
    fit = field.solve()
    assert fit.n_stars >= 8
    assert field.rms_mas(fit.wcs) < max(5.0 * fit.solution_err_mas, 20.0)


def test_a_good_header_is_taken_as_it_is():
    fit = make(7, offset_arcsec=0.3, rotation_deg=0.001, distorted=True).solve()
    assert fit.method == "header"


def test_the_header_distortion_is_kept_where_it_is_right():
    field = make(8, distorted=True)
    assert field.rms_mas(field.solve().wcs) < 1.3


def test_nonsense_distortion_in_the_header_does_not_spoil_a_frame():
    field = make(9)
    field.header = replace(field.header, a=np.full((5, 5), 1e-7), b=np.full((5, 5), -1e-7))
    assert field.rms_mas(field.solve().wcs) < 3.5


@pytest.mark.parametrize("gaia", ["deeper", "shallower"])
def test_depth_of_the_catalogue(gaia):
    field = make(10, gaia_limit=17.0) if gaia == "shallower" else make(10)
    if gaia == "deeper":
        x, y = np.random.default_rng(1).uniform(-MARGIN, SIZE + MARGIN, (2, 30000))
        ra, dec = pixel_to_sky(field.truth, x, y)
        field.ra, field.dec = np.append(field.ra, ra), np.append(field.dec, dec)
        field.mag = np.append(field.mag, np.full(30000, 21.5))
        field.error = np.append(field.error, np.full(30000, 5.0))
    assert field.rms_mas(field.solve().wcs) < 3.5


def test_unknown_magnitudes_and_errors():
    field = make(11)
    field.mag[::3] = np.nan
    field.error[::5] = np.nan
    field.stars["x_err"][::7] = np.nan
    field.stars["x"][:3] = np.nan
    assert field.rms_mas(field.solve().wcs) < 3.5


def test_proper_motions_at_a_late_epoch():
    field = make(12)
    n = len(field.ra)
    rng = np.random.default_rng(5)
    # The list at 2026.5 is what an earlier catalogue becomes.
    catalog = SkyCatalog(
        np.arange(n), field.ra, field.dec, np.full(n, 2026.5), *rng.normal(0, 15, (2, n)), rng.uniform(0, 20, n),
        np.full(n, 0.2), np.full(n, 0.1), field.mag, np.ones(n), system="Gaia G", source="gaia",
    )  # fmt: skip
    earth = earth_position_au(61223.625)
    away = replace(catalog, pmra=catalog.pmra, parallax=-catalog.parallax)
    ra, dec = propagate(replace(away, ref_epoch=np.full(n, 2037.0)), 2026.5, earth)
    catalog = replace(catalog, ra_deg=ra, dec_deg=dec, ref_epoch=np.full(n, 2016.0))
    field.ra, field.dec = propagate(catalog, 2026.5, earth)
    field.error = np.hypot(field.error, position_error_mas(catalog, 2026.5))
    moved = field.rms_mas(field.solve().wcs)
    field.ra, field.dec = ra, dec
    still = field.rms_mas(field.solve(max_rms_pix=5.0).wcs)
    assert moved < 3.5
    assert still > 2.0 * moved


def test_a_frame_that_points_elsewhere():
    field = make(13)
    field.header = replace(field.header, crval=(field.header.crval[0] + 3.0, field.header.crval[1]))
    with pytest.raises(BadFrameError, match="only 0 catalogue stars where the header says"):
        field.solve()


@pytest.mark.parametrize(("seed", "n"), [(14, 2970), (15, 20000), (16, 300), (17, 40), (18, 15)])
def test_another_field_is_never_accepted(seed, n):
    rng = np.random.default_rng(seed)
    for k in range(3 if n > 1000 else 30):
        field = make(100 * seed + k, n)
        x, y = rng.uniform(-MARGIN, SIZE + MARGIN, (2, len(field.ra)))
        field.ra, field.dec = pixel_to_sky(field.truth, x, y)
        with pytest.raises(BadFrameError, match=r"no offset within 90 arcsec|only \d+"):
            field.solve(min_stars=5)


def test_brightness_must_agree():
    field = make(19)
    rng = np.random.default_rng(1)
    # As bright as the right ones, but paired at random: the search sees nothing of it, the check does.
    field.header = replace(field.truth)
    field.mag = rng.permutation(field.mag) * 3.0
    with pytest.raises(BadFrameError):
        field.solve()


def test_a_mirrored_header_is_put_right_and_one_of_another_scale_is_refused():
    field = make(20)
    mirrored = replace(field.header, cd=field.header.cd @ np.diag([-1.0, 1.0]))
    fit = replace(field, header=mirrored).solve()
    assert fit.method == "asterism"
    assert field.rms_mas(fit.wcs) < 3.5
    larger = replace(field.header, crval=field.truth.crval, cd=1.08 * field.truth.cd)
    with pytest.raises(BadFrameError):
        replace(field, header=larger).solve()


def test_a_solution_of_a_part_of_the_image_is_refused():
    field = make(21, distorted=True, offset_arcsec=1.0, rotation_deg=0.0)
    # Half of the catalogue is shifted by some pixels, as by a distortion that no low order follows.
    x, y = sky_to_pixel(field.truth, field.ra, field.dec)
    field.ra, field.dec = pixel_to_sky(field.truth, x + np.where(y > 1100, 7.0, 0.0), y)
    with pytest.raises(BadFrameError, match=r"a part of the image|scatter"):
        field.solve(max_sip_order=1)


def test_too_few_stars():
    field = make(22)
    with pytest.raises(BadFrameError, match="only 5 stars in the image"):
        replace(field, stars=field.stars[:5]).solve()


def test_stars_in_one_quarter_do_not_carry_a_distortion():
    field = make(23, distorted=True)
    quarter = (field.stars["x"] < 1020) & (field.stars["y"] < 1020)
    fit = replace(field, stars=field.stars[quarter]).solve()
    assert fit.corner_coverage <= 0.25
    np.testing.assert_allclose(fit.wcs.a, field.truth.a, atol=1e-15)
    # Further away nothing is known.
    corner = (field.stars["x"] < 400) & (field.stars["y"] < 400)
    with pytest.raises(BadFrameError, match=r"leave the plate solution uncertain by \d\.\d pixels"):
        replace(field, stars=field.stars[corner]).solve()


def test_a_reference_pixel_far_outside():
    field = make(24)
    ra, dec = pixel_to_sky(field.header, -9000.0, 8000.0)
    far = linear_tan((float(ra), float(dec)), (-9000.0, 8000.0), field.header.cd, (SIZE, SIZE))
    # North turns by half a degree on the way, which the search allows.
    fit = replace(field, header=far).solve(search_rotation_deg=1.0)
    assert field.rms_mas(fit.wcs) < 3.5


def test_neighbours_make_a_star_count_less():
    # Each second star has a companion that pulls it by a fifth of a pixel to the right.
    rng = np.random.default_rng(26)
    field = make(26, n_in_frame=300, fwhm=4.0, spurious=0.0, gaia_limit=30.0, gaia_fraction=1.0, distorted=True)
    x, y = sky_to_pixel(field.truth, field.ra, field.dec)
    inside = np.flatnonzero((x > 20) & (y > 20) & (x < SIZE - 20) & (y < SIZE - 20))[:160]
    stars = np.zeros(len(inside), STAR_DTYPE)
    stars["x"], stars["y"] = x[inside] + rng.normal(0, 0.01, 160), y[inside] + rng.normal(0, 0.01, 160)
    stars["flux"], stars["snr"], stars["fwhm"] = 10 ** (-0.4 * (field.mag[inside] - 25)), 200.0, 4.0
    stars["x_err"] = stars["y_err"] = 0.01
    pulled = inside[::2]
    stars["x"][::2] += 0.2
    ra, dec = pixel_to_sky(field.truth, x[pulled] + 4.0, y[pulled])
    with_companions = replace(
        field, stars=stars, header=field.truth, ra=np.append(field.ra, ra), dec=np.append(field.dec, dec),
        mag=np.append(field.mag, field.mag[pulled] + 0.5), error=np.append(field.error, field.error[pulled]),
    )  # fmt: skip
    known = with_companions.rms_mas(with_companions.solve(max_sip_order=1).wcs)
    unknown = replace(with_companions, ra=field.ra, dec=field.dec, mag=field.mag, error=field.error)
    assert known < 0.02 * 1000 * SCALE
    assert unknown.rms_mas(unknown.solve(max_sip_order=1).wcs) > 2.0 * known
