"""Running, plotting, saving; the documented interface member by member."""

import gc
import json

import numpy as np
import pytest
from astropy.io import fits

from gaiaflux.tess.base_photometry import BasePhotometry
from gaiaflux.tess.photometry import AperturePhotometry, LinPSFPhotometry, PSFPhotometry
from gaiaflux.tess.stamp.pictures import picture_of_target
from gaiaflux.tess.stamp.status import STATUS

KINDS = (PSFPhotometry, LinPSFPhotometry, AperturePhotometry)


@pytest.mark.parametrize("kind", KINDS)
def test_photometry(quiet, tmp_path, kind):
    target = kind(1001, quiet.folder, tmp_path, datasource="tpf")
    status = target.photometry()
    assert status is target.status
    assert status in (STATUS.OK, STATUS.WARNING)
    table = target.lightcurve
    assert np.isfinite(table["flux"][10:]).all()
    assert (table["flux_err"][10:] > 0).all()
    assert (table["flux_background"][10:] > 0).all()
    # Column first, counted from 1, on the CCD: the star is at 0-based column 1205.2, row 704.9 and its jitter.
    known = np.isfinite(table["pos_corr"]).all(axis=1)
    np.testing.assert_allclose(
        np.nanmedian(table["pos_centroid"][known] - table["pos_corr"][known], axis=0), [1206.2, 705.9], atol=0.3
    )
    figures = ("mean_flux", "variance", "rms_hour", "ptp", "variability", "pos_centroid", "contamination")
    assert all(name in target.details for name in figures)
    if kind is AperturePhotometry:
        assert target.details["mask_size"] == target.final_phot_mask.sum()
        assert np.isfinite(target.details["edge_flux"])
        assert target.final_phot_mask.dtype == bool
    else:
        expected = quiet.truth.star_flux[0, 0]
        assert target.details["mean_flux"] == pytest.approx(expected, rel=0.005)
    assert json.loads(json.dumps(target.details))


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_run_gives_the_same(quiet, tmp_path, kind):
    target = kind(1001, quiet.folder, tmp_path, datasource="tpf")
    target.report_details(error="mine")
    target.photometry()
    table, details, cards = target.lightcurve.copy(), json.dumps(target.details), dict(target.additional_headers)
    target.photometry()
    for name in table.colnames:
        np.testing.assert_array_equal(np.asarray(target.lightcurve[name]), np.asarray(table[name]))
    assert json.dumps(target.details) == details
    assert target.additional_headers == cards
    assert target.details["errors"].count("mine") == 1


@pytest.mark.parametrize("kind", KINDS[:2])
def test_a_correction_by_the_residual_is_applied(quiet, tmp_path, kind):
    target = kind(1001, quiet.folder, tmp_path, datasource="tpf")
    target.photometry()
    plain = target.lightcurve.copy()
    target.photometry(residual_correction=True)
    change = np.asarray(target.lightcurve["flux"] - plain["flux"])
    assert np.nanmax(np.abs(change)) > 0.1
    np.testing.assert_allclose(target.lightcurve["flux"][10:], plain["flux"][10:], rtol=0.02)
    assert (target.lightcurve["flux_err"][10:] >= plain["flux_err"][10:]).all()


def test_metrics_are_of_quality_zero(quiet, tmp_path):
    target = LinPSFPhotometry(1001, quiet.folder, tmp_path, datasource="tpf")
    target.photometry()
    table = target.lightcurve
    good = np.asarray(table["quality"]) == 0
    assert target.details["mean_flux"] == np.median(table["flux"][good])


class Own(BasePhotometry):
    """Gives what the test tells it to."""

    gives, fill, error = STATUS.OK, 1.0, 1.0

    def do_photometry(self):
        self.lightcurve["flux"][:] = self.fill
        self.lightcurve["flux_err"][:] = self.error
        return self.gives


@pytest.fixture
def own(quiet, tmp_path):
    return Own(1001, quiet.folder, tmp_path, datasource="tpf")


def test_the_base_measures_nothing(quiet, tmp_path):
    target = BasePhotometry(1001, quiet.folder, tmp_path, datasource="tpf")
    with pytest.raises(NotImplementedError):
        target.do_photometry()
    with pytest.raises(NotImplementedError):
        target.photometry()
    with pytest.raises(ValueError, match="run photometry"):
        target.save_lightcurve()


@pytest.mark.parametrize("gives", [STATUS.UNKNOWN, None, "OK", 17])
def test_a_status_is_due(own, gives):
    own.gives = gives
    with pytest.raises(ValueError, match="UNKNOWN"):
        own.photometry()


@pytest.mark.parametrize("name", ["fill", "error"])
@pytest.mark.parametrize("gives", [STATUS.OK, STATUS.WARNING])
def test_a_light_curve_of_nothing_is_no_light_curve(own, name, gives):
    own.gives = gives
    setattr(own, name, np.nan)
    with pytest.raises(ValueError, match=f"no flux{'' if name == 'fill' else '_err'} is finite"):
        own.photometry()
    assert own.status is STATUS.ERROR
    with pytest.raises(ValueError, match="there is no light curve to save"):
        own.save_lightcurve()


@pytest.mark.parametrize("gives", [STATUS.ERROR, STATUS.ABORT, STATUS.SKIPPED])
def test_other_states_have_no_figures(own, gives):
    own.gives, own.fill = gives, np.nan
    assert own.photometry() is gives
    assert "mean_flux" not in own.details


def test_an_own_method(own):
    own.additional_headers["AP_CONT"] = (0.25, "mine")
    assert own.photometry() is STATUS.OK
    assert own.details["contamination"] == 0.25
    path = own.save_lightcurve()
    assert "-gaiaflux-base_lc" in path
    assert fits.getheader(path)["AP_CONT"] == 0.25


def test_states_have_the_documented_numbers():
    assert [(state.name, int(state)) for state in STATUS] == [
        *(("UNKNOWN", 0), ("OK", 1), ("ERROR", 2), ("WARNING", 3), ("ABORT", 4), ("SKIPPED", 5), ("STARTED", 6)),
    ]


def test_reports(opened):
    opened.report_details()
    assert "skip_targets" not in opened.details
    opened.report_details(error="first", skip_targets=np.array([5, 6]))
    opened.report_details(error=ValueError("second"))
    opened.report_details(skip_targets=[np.int64(7)])
    assert opened.details["errors"][-2:] == ["first", "second"]
    assert opened.details["skip_targets"] == [7]
    assert json.loads(json.dumps(opened.details))["skip_targets"] == [7]
    opened.report_details(skip_targets=[])
    assert opened.details["skip_targets"] == []


def test_plots_are_made_and_deleted(quiet, tmp_path):
    target = LinPSFPhotometry(1001, quiet.folder, tmp_path, datasource="tpf", plot=True)
    assert target.plot_folder.startswith(str(tmp_path))
    target.delete_plots()  # nothing is there yet
    target.photometry()
    folder = tmp_path / target.plot_folder
    made = list(folder.iterdir())
    assert [path.suffix for path in made] == [".png"]
    (folder / "notes.txt").write_text("mine")
    (folder / "mine.png").write_text("mine")
    target.delete_plots()
    assert sorted(path.name for path in folder.iterdir()) == ["mine.png", "notes.txt"]


def test_a_plot_of_a_row_of_pixels_or_without_any_light(quiet, tmp_path):
    target = AperturePhotometry(1001, quiet.folder, tmp_path, datasource="tpf", plot=True)
    target.resize_stamp(height=1)
    target.photometry()
    assert len(list((tmp_path / target.plot_folder).iterdir())) == 1
    table = target.lightcurve.copy()
    table["flux"] = np.nan
    for mask in (None, target.final_phot_mask):
        assert picture_of_target(
            "none", np.full((1, 11), np.nan), np.full((1, 11), np.nan), mask, target.catalog, table
        )


def test_without_plots_none_is_made_or_deleted(quiet, tmp_path):
    with_plots = LinPSFPhotometry(1001, quiet.folder, tmp_path, datasource="tpf", plot=True)
    with_plots.photometry()
    target = LinPSFPhotometry(1001, quiet.folder, tmp_path, datasource="tpf")
    target.photometry()
    target.delete_plots()
    assert len(list((tmp_path / with_plots.plot_folder).iterdir())) == 1


def test_plots_of_a_linked_folder_stay(quiet, tmp_path):
    target = LinPSFPhotometry(1001, quiet.folder, tmp_path / "out", datasource="tpf", plot=True)
    target.photometry()
    folder = tmp_path / "elsewhere"
    (tmp_path / target.plot_folder).rename(folder)
    (tmp_path / target.plot_folder).symlink_to(folder)
    target.delete_plots()
    assert len(list(folder.iterdir())) == 1


def test_saving(quiet, tmp_path):
    target = AperturePhotometry(1001, quiet.folder, tmp_path / "out", datasource="tpf")
    with pytest.raises(ValueError, match="run photometry"):
        target.save_lightcurve()
    target.photometry()
    bits = target.aperture
    path = target.save_lightcurve()
    assert path == str(
        tmp_path / "out/c0120/00000" / "tess00000001001-s001-4-1-c0120-dr01-v06-gaiaflux-aperture_lc.fits.gz"
    )
    assert target.details["filepath_lightcurve"] == path.removeprefix(f"{tmp_path / 'out'}/")
    np.testing.assert_array_equal(target.aperture, bits)
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "LIGHTCURVE", "SUMIMAGE", "APERTURE"]
        assert hdus[0].header["VERSION"] == 6
        table = hdus["LIGHTCURVE"].data
        np.testing.assert_array_equal(table["PIXEL_QUALITY"], target.lightcurve["quality"])
        np.testing.assert_array_equal(table["QUALITY"], target.lightcurve["flags"])
        np.testing.assert_array_equal(table["FLUX_RAW"], target.lightcurve["flux"])
        np.testing.assert_array_equal(table["MOM_CENTR1"], target.lightcurve["pos_centroid"][:, 0])
        np.testing.assert_array_equal(hdus["APERTURE"].data & 2 > 0, target.final_phot_mask)
        np.testing.assert_array_equal(hdus["APERTURE"].data & ~10, bits)
        np.testing.assert_allclose(hdus["SUMIMAGE"].data, target.sumimage)
    assert [other.name for other in (tmp_path / "out/c0120/00000").iterdir()] == [path.rpartition("/")[2]]


def test_a_light_curve_of_a_neighbour_is_its_own(quiet, tmp_path):
    target = LinPSFPhotometry(1002, quiet.folder, tmp_path, datasource="tpf:1001")
    target.photometry()
    path = target.save_lightcurve()
    assert "tess00000001002-" in path
    header = fits.getheader(path)
    assert (header["TICID"], header["OBJECT"], header["TESSMAG"]) == (1002, "TIC 1002", 12.0)
    assert header["RA_OBJ"] == pytest.approx(target.target["ra_J2000"])
    assert header["PSF_CONT"] == target.details["contamination"]
    assert target.save_lightcurve() == path, "a second time it stands for the first"


@pytest.mark.parametrize("version", [0, 12])
def test_another_folder_and_version(quiet, tmp_path, version):
    target = LinPSFPhotometry(1001, quiet.folder, tmp_path / "out", datasource="tpf")
    target.photometry()
    path = target.save_lightcurve(tmp_path / "other", version=version)
    assert path.startswith(str(tmp_path / "other"))
    assert f"-v{version:02d}-" in path
    assert fits.getheader(path)["VERSION"] == version
    assert not (tmp_path / "out").exists()
    assert target.version == 6


def test_a_version_is_due(quiet, tmp_path):
    target = LinPSFPhotometry(1001, quiet.folder, tmp_path, datasource="tpf", version=None)
    target.photometry()
    with pytest.raises(ValueError, match="version None"):
        target.save_lightcurve()
    assert "-v00-" in target.save_lightcurve(version=0)


def test_a_light_curve_of_a_smaller_stamp_lies_where_it_is(quiet, tmp_path):
    target = LinPSFPhotometry(1001, quiet.folder, tmp_path, datasource="tpf")
    target.resize_stamp(down=-1, left=-2)
    target.photometry()
    with fits.open(target.save_lightcurve()) as hdus:
        header = hdus["APERTURE"].header
        assert (header["CRVAL1P"], header["CRVAL2P"]) == (1203, 702)
        assert hdus["APERTURE"].data.shape == (10, 9)


def test_a_run_without_loose_ends(quiet, tmp_path):
    """Warnings are errors here: no file stays open, no mean of nothing is taken."""
    for kind in KINDS:
        with kind(1001, quiet.folder, tmp_path, datasource="tpf", plot=True) as target:
            target.photometry()
            target.save_lightcurve()
    del target
    gc.collect()
