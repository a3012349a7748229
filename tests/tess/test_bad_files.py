"""Files that are not there, or twice, or of something else: the documented error, which says what to do."""

import shutil

import pytest
from astropy.io import fits

from gaiaflux.tess.photometry import LinPSFPhotometry, PSFPhotometry
from gaiaflux.tess.stamp.status import STATUS


def opened(field, kind=LinPSFPhotometry, starid=1001, datasource="tpf", **chosen):
    return kind(starid, field.folder, field.folder.parent / "out", datasource=datasource, **chosen)


def one_sentence(error):
    text = str(error.value)
    return "\n" not in text and len(text) < 400


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        PSFPhotometry(1001, tmp_path / "none", tmp_path, datasource="tpf")


def test_a_star_that_is_not_in_the_catalogue(field):
    field.catalog("\n".join(row for row in field.rows() if not row.startswith("1001,")))
    with pytest.raises(RuntimeError, match="TIC 1001 is not in the catalogue") as error:
        opened(field)
    assert one_sentence(error)


def test_a_star_that_the_catalogue_takes_back(field):
    rows = field.rows()
    field.catalog("\n".join(row + "DUPLICATE" if row.startswith("1001,") else row for row in rows))
    with pytest.raises(RuntimeError, match="disposition duplicate"):
        opened(field)


def test_no_target_pixel_file(field):
    with pytest.raises(FileNotFoundError, match="no target pixel file of TIC 1002"):
        opened(field, starid=1002)
    with pytest.raises(FileNotFoundError, match=r"no target pixel file of TIC 1001, sector 2 .*of TIC 1001"):
        opened(field, sector=2)
    with pytest.raises(FileNotFoundError, match="cadence 20 "):
        opened(field, cadence=20)
    field.pixels.unlink()
    with pytest.raises(FileNotFoundError, match="no target pixel file of TIC 1001"):
        opened(field)


def test_several_target_pixel_files_are_listed(field):
    again = field.folder / "copy" / field.pixels.name
    again.parent.mkdir()
    shutil.copy(field.pixels, again)
    with pytest.raises(FileNotFoundError, match="2 target pixel files") as error:
        opened(field)
    assert str(again) in str(error.value)
    assert str(field.pixels) in str(error.value)


def test_a_newer_release_stands_for_the_older(field):
    older = field.folder / "older" / field.pixels.name
    older.parent.mkdir()
    field.pixels.rename(older)
    with fits.open(older) as hdus:
        hdus[0].header["DATA_REL"] = 7
        hdus.writeto(field.pixels)
    assert opened(field).source.file.data_release == 7


def test_another_sector_is_no_newer_release(field):
    with fits.open(field.pixels) as hdus:
        hdus[0].header["SECTOR"], hdus[0].header["DATA_REL"] = 2, 9
        hdus.writeto(field.folder / "tess2-0000000000001001-tp.fits")
    with pytest.raises(FileNotFoundError, match="choose with sector"):
        opened(field)
    assert opened(field, sector=1).source.sector == 1


@pytest.mark.parametrize(("key", "value", "chosen"), [("SECTOR", 2, {"sector": 2}), ("CCD", 2, {"ccd": 1})])
def test_several_fields_are_told_apart(field, key, value, chosen):
    other = field.folder / "tess2-0000000000001001-tp.fits"
    with fits.open(field.pixels) as hdus:
        hdus[0].header[key] = value
        hdus.writeto(other)
    with pytest.raises(FileNotFoundError, match="choose with sector, camera, ccd"):
        opened(field)
    assert opened(field, **chosen).source.file.path == str(other if "sector" in chosen else field.pixels)


def test_no_catalogue_or_several(field):
    shutil.copy(field.folder / "catalog.csv", field.folder / "catalog2.csv")
    with pytest.raises(FileNotFoundError, match=r"there are 2: .*catalog\.csv.*catalog2\.csv"):
        opened(field)
    for name in ("catalog.csv", "catalog2.csv"):
        (field.folder / name).unlink()
    with pytest.raises(FileNotFoundError, match="there are 0"):
        opened(field)


def test_light_curves_and_plots_in_the_input_folder_do_not_matter(field):
    for _ in range(2):
        target = LinPSFPhotometry(1001, field.folder, field.folder, datasource="tpf", plot=True)
        target.photometry()
        target.save_lightcurve()


# Response functions


def responses_of(field):
    return sorted((field.folder / "prf").rglob("*.fits"))


def rewrite(path, change):
    """Change a file that has other names elsewhere."""
    with fits.open(path) as hdus:
        change(hdus)
        path.unlink()
        hdus.writeto(path)


def test_response_functions_of_another_ccd(field):
    field.edit(lambda hdus: hdus[0].header.set("CCD", 2))
    with pytest.raises(FileNotFoundError, match="no PRF files of camera 4, CCD 2") as error:
        opened(field)
    assert one_sentence(error)


def test_missing_response_functions(field):
    responses_of(field)[3].unlink()
    with pytest.raises(FileNotFoundError, match="are not all there"):
        opened(field)


def test_mixed_response_functions(field):
    rewrite(responses_of(field)[3], lambda hdus: hdus[0].header.set("CCD", 3.0))
    with pytest.raises(ValueError, match="mixed up"):
        opened(field)


def test_transposed_response_functions(field):
    for path in responses_of(field):
        rewrite(path, lambda hdus: hdus[0].header.set("CTYPE1P", "RAWY"))
    with pytest.raises(ValueError, match="exchanged"):
        opened(field)


def test_without_response_functions_an_effective_one_is_said(field):
    shutil.rmtree(field.folder / "prf")
    target = opened(field)
    with pytest.raises(FileNotFoundError, match="no pixel response function of camera 4, CCD 1"):
        target.psf  # noqa: B018
    assert target.photometry() is STATUS.WARNING
    assert any("response function" in text for text in target.details["errors"])
    assert target.details["mean_flux"] == pytest.approx(field.truth.star_flux[0, 0], rel=0.1)
    with fits.open(target.save_lightcurve()) as hdus:
        assert "response function" in str(hdus[0].header["HISTORY"])
