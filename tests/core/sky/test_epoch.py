import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import Distance, SkyCoord
from astropy.time import Time

from gaiaflux.core.sky.epoch import jyear_of_mjd, position_error_mas, propagate
from gaiaflux.model.catalog import SkyCatalog


def catalog(n=300, seed=1, parallax=None):
    rng = np.random.default_rng(seed)
    dec = np.rad2deg(np.arcsin(rng.uniform(-1, 1, n)))
    dec[:4] = [89.99, -89.99, 89.5, 0.0]
    ra = rng.uniform(0, 360, n)
    ra[:6] = [0.0, 359.99999, 10.0, 359.9999999, 1e-9, 180.0]
    return SkyCatalog(
        source_id=np.arange(n),
        ra_deg=ra,
        dec_deg=dec,
        ref_epoch=np.full(n, 2016.0),
        pmra=rng.normal(0, 3000, n),
        pmdec=rng.normal(0, 3000, n),
        parallax=np.full(n, 1.0) if parallax is None else parallax,
        pos_err=np.full(n, 0.3),
        pm_err=np.full(n, 0.4),
        mag=np.full(n, 15.0),
        colour=np.full(n, 1.0),
        system="Gaia G",
        source="gaia",
    )


def separation_mas(ra, dec, other):
    return SkyCoord(ra, dec, unit="deg").separation(other).to_value(u.mas)


@pytest.mark.parametrize("epoch", [1995.3, 2016.0, 2026.5])
def test_proper_motion_agrees_with_astropy(epoch):
    stars = catalog(parallax=np.full(300, 150.0))
    ra, dec = propagate(stars, epoch)
    there = SkyCoord(
        stars.ra_deg * u.deg,
        stars.dec_deg * u.deg,
        pm_ra_cosdec=stars.pmra * u.mas / u.yr,
        pm_dec=stars.pmdec * u.mas / u.yr,
        distance=Distance(parallax=stars.parallax * u.mas),
        radial_velocity=np.zeros(len(stars)) * u.km / u.s,
        obstime=Time(2016.0, format="jyear", scale="tcb"),
    ).apply_space_motion(new_obstime=Time(epoch, format="jyear", scale="tcb"))
    # The stars move by up to 100 arcsec; astropy's motion is relativistic.
    limit = 0.05 if epoch != 2016.0 else 1e-4
    assert separation_mas(ra, dec, SkyCoord(there.ra, there.dec)).max() < limit
    assert ((ra >= 0) & (ra < 360)).all()


def test_parallax_agrees_with_three_dimensions():
    parallax = np.random.default_rng(2).uniform(0, 1000, 300)
    stars = catalog(parallax=parallax)
    observer = np.array([0.3, -0.85, -0.37])
    ra, dec = propagate(stars, 2016.0, observer)
    distance = Distance(parallax=np.maximum(parallax, 1e-6) * u.mas)
    place = SkyCoord(stars.ra_deg * u.deg, stars.dec_deg * u.deg, distance=distance).cartesian.xyz.to_value(u.au)
    seen = place - observer[:, None]
    truth = SkyCoord(*seen, representation_type="cartesian").represent_as("unitspherical")
    assert separation_mas(ra, dec, SkyCoord(truth.lon, truth.lat)).max() < 1e-3


def test_julian_year():
    for mjd in (51544.5, 60310.25):
        assert jyear_of_mjd(mjd) == pytest.approx(Time(mjd, format="mjd", scale="tdb").jyear, abs=1e-9)


def test_errors_grow_with_time():
    stars = catalog(8)
    np.testing.assert_allclose(position_error_mas(stars, 2026.0), np.hypot(0.3, 4.0))
    np.testing.assert_allclose(position_error_mas(stars, 2016.0), 0.3)


def test_a_star_without_motion_stays():
    stars = catalog(50)
    still = SkyCatalog(**{**vars(stars), "pmra": np.zeros(50), "pmdec": np.zeros(50), "parallax": np.zeros(50)})
    ra, dec = propagate(still, 2030.0, np.array([1.0, 0.0, 0.0]))
    np.testing.assert_allclose(ra, stars.ra_deg, atol=1e-12)
    np.testing.assert_allclose(dec, stars.dec_deg, atol=1e-12)
