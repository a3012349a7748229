"""A star that fills pixels, from its file to its light curve's."""

import numpy as np
import pytest
from astropy.io import fits

from gaiaflux.model.cadences import ApertureBit
from gaiaflux.model.flags import StarFlag
from gaiaflux.sim.tess.stars import StampStar
from gaiaflux.tess.photometry import AperturePhotometry, LinPSFPhotometry
from gaiaflux.tess.stamp.status import STATUS

ROWS = 49
STARS = (StampStar(1001, 6.2, 24.1, 4.0), StampStar(1002, 10.0, 5.0, 11.0))


@pytest.fixture(scope="module")
def bright(tmp_path_factory, make_field):
    return make_field(tmp_path_factory.mktemp("bright"), STARS, shape=(ROWS, 13), bleed_up=0.6)


def opened(field, kind, output):
    return kind(1001, field.folder, output, datasource="tpf")


def test_the_stamp_grows_until_it_holds_the_charge(bright, tmp_path):
    with opened(bright, AperturePhotometry, tmp_path) as target:
        target.resize_stamp(height=15)
        assert target.stamp[1] - target.stamp[0] == 15
        assert target.photometry() is STATUS.WARNING
        rows = target.stamp[1] - target.stamp[0]
        assert 25 < rows < ROWS
        assert target.final_phot_mask.shape == (rows, 13)
        flux = np.asarray(target.lightcurve["flux"])
        np.testing.assert_allclose(flux / bright.truth.star_flux[:, 0], 1.0, atol=3e-3)
        assert not (np.asarray(target.lightcurve["flags"]) & StarFlag.SATURATED).any()
        assert any("all that hold its charge are summed up" in text for text in target.details["errors"])
        assert 0.97 < target.additional_headers["AP_IN"][0] < 1.0
        assert 0.0 < target.additional_headers["AP_INERR"][0] < 0.005


def test_the_mask_of_the_mission_gives_way(bright, tmp_path):
    with opened(bright, AperturePhotometry, tmp_path) as target:
        mission = target.source.mission_mask(target.stamp, 1001)
        target.photometry()
        assert mission.any()
        assert (target.final_phot_mask & ~mission).any()


def test_fits_send_to_the_sum(bright, tmp_path):
    with opened(bright, LinPSFPhotometry, tmp_path) as target:
        assert target.photometry() is STATUS.ERROR
        assert any("given by aperture alone" in text for text in target.details["errors"])


def test_a_halo_writes_its_weights(bright, tmp_path):
    with opened(bright, AperturePhotometry, tmp_path) as target:
        assert target.photometry(saturated="halo") is STATUS.WARNING
        path = target.save_lightcurve()
        mask, mean = target.final_phot_mask, np.nanmean(target.source.images(target.stamp), axis=0)
    assert mean[mask].max() < 9e4
    with fits.open(path, checksum=True) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "LIGHTCURVE", "SUMIMAGE", "APERTURE", "WEIGHTMAP"]
        assert hdus[0].header["NEXTEND"] == 4
        row = hdus["WEIGHTMAP"].data[0]
        cadences = hdus["LIGHTCURVE"].data["CADENCENO"]
        assert (row["CADENCENO1"], row["CADENCENO2"]) == (cadences.min(), cadences.max())
        assert row["SAT_PIXELS"] >= (mean > 9e4).sum() > 10
        assert row["WEIGHTMAP"].shape == mask.shape
        np.testing.assert_array_equal(row["WEIGHTMAP"] > 0, mask)
        np.testing.assert_array_equal((hdus["APERTURE"].data & ApertureBit.PHOTOMETRY) > 0, mask)
        light = (row["WEIGHTMAP"][mask] * mean[mask]).sum()
        assert light == pytest.approx(bright.truth.star_flux[0, 0], rel=0.01)
        assert np.nanmedian(hdus["LIGHTCURVE"].data["FLUX_RAW"]) == pytest.approx(light, rel=0.01)


def test_a_sum_has_no_weights(bright, tmp_path):
    with opened(bright, AperturePhotometry, tmp_path) as target:
        target.photometry(saturated="halo")
        target.photometry()
        with fits.open(target.save_lightcurve()) as hdus:
            assert "WEIGHTMAP" not in hdus
            assert hdus[0].header["NEXTEND"] == 3
