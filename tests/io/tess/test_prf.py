import gzip
import shutil

import numpy as np
import pytest
from astropy.io import fits

from gaiaflux.io.tess.prf import prf_files, read_prf
from gaiaflux.model.errors import InputError

ROWS, COLUMNS = (1, 513, 1025, 1536, 2048), (45, 557, 1069, 1580, 2092)
STAMP = "2018243163601"


def samples(row, column, factor=9, pixels=13, longer=0.0):
    """A Gaussian that grows over the CCD, longer along one of its axes; total 1 per pixel's samples only nearly."""
    size = factor * pixels
    v, u = (np.mgrid[:size, :size] - (size - 1) / 2) / factor
    width = 0.6 + 0.1 * (row + column) / 4096
    return (
        np.exp(-0.5 * ((u / (width + longer)) ** 2 + (v / width) ** 2)) / (2 * np.pi * width * (width + longer)) * 0.999
    )


def write_prf(folder, row, column, image, camera=4, ccd=1, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    header = {"DATATYPE": "PRF", "TELESCOP": "TESS", "CAM": float(camera), "CCD": float(ccd)}
    header |= {"CCD_RREF": float(row), "CCD_CREF": float(column), "NSAMP": 9.0, "CTYPE1P": "RAWX", "CTYPE2P": "RAWY"}
    hdu = fits.PrimaryHDU(image, header=fits.Header(list((header | changes).items())))
    path = folder / f"tess{STAMP}-prf-{camera}-{ccd}-row{row:04d}-col{column:04d}.fits"
    hdu.writeto(path, overwrite=True)
    return path


@pytest.fixture
def folder(tmp_path):
    """The files of one CCD in their usual place."""
    home = tmp_path / "start_s0001" / "cam4_ccd1"
    for row in ROWS:
        for column in COLUMNS:
            write_prf(home, row, column, samples(row, column))
    return tmp_path


@pytest.fixture
def home(folder):
    return folder / "start_s0001" / "cam4_ccd1"


def test_places_and_samples(folder):
    psf = read_prf(folder, 2, 4, 1)
    np.testing.assert_array_equal(psf.x, np.array(COLUMNS) - 1.0)
    np.testing.assert_array_equal(psf.y, np.array(ROWS) - 1.0)
    assert psf.oversampling == 9
    np.testing.assert_allclose(psf.samples.sum(axis=(2, 3)) / 81, 1.0, rtol=1e-12)
    expected = samples(1025, 557)
    np.testing.assert_allclose(psf.samples[2, 1], expected / expected.sum() * 81, rtol=1e-12)
    assert len(prf_files(folder, 2, 4, 1)) == 25


def test_files_may_be_packed_and_lie_at_any_depth(folder, home):
    path = home / f"tess{STAMP}-prf-4-1-row0513-col0557.fits"
    deeper = home / "more"
    deeper.mkdir()
    (deeper / (path.name + ".gz")).write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert read_prf(folder, 1, 4, 1).samples.shape == (5, 5, 117, 117)


@pytest.mark.parametrize(("sector", "camera", "ccd"), [(0, 4, 1), (1, 0, 1), (1, 5, 1), (1, 4, 0), (1, 4, 5)])
def test_what_there_is_not_is_refused(folder, sector, camera, ccd):
    with pytest.raises(ValueError, match="sectors count from 1"):
        read_prf(folder, sector, camera, ccd)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="correct prf_folder"):
        read_prf(tmp_path / "none", 1, 4, 1)


def test_another_ccd_or_epoch_is_not_there(folder):
    with pytest.raises(FileNotFoundError, match=r"camera 1, CCD 1 for sector 1 .* which holds camera 4, CCD 1"):
        read_prf(folder, 1, 1, 1)
    with pytest.raises(FileNotFoundError, match=r"set start_s0004.* another epoch"):
        read_prf(folder, 4, 4, 1)
    (folder / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no PRF files"):
        read_prf(folder / "empty", 1, 4, 1)


def test_the_set_is_told_by_the_date_where_no_folder_says_it(folder, home, tmp_path):
    plain = tmp_path / "plain"
    shutil.copytree(home, plain)
    shutil.rmtree(folder / "start_s0001")
    assert read_prf(plain, 3, 4, 1).samples.shape[:2] == (5, 5)
    with pytest.raises(FileNotFoundError, match="another epoch"):
        read_prf(plain, 4, 4, 1)


def test_each_sector_gets_its_set(folder, home):
    later = folder / "start_s0004" / "cam4_ccd1"
    for row in ROWS:
        for column in COLUMNS:
            write_prf(later, row, column, samples(row, column) ** 1.2)
    first, second = read_prf(folder, 3, 4, 1), read_prf(folder, 30, 4, 1)
    assert first.samples.max() < second.samples.max()


@pytest.mark.parametrize(
    ("gone", "reason"),
    [
        ([(513, 557)], "missing row 513, column 557"),
        ([(row, 2092) for row in ROWS], "a column between 1580 and 2092"),
        ([(1025, column) for column in COLUMNS], "a row between 513 and 1536"),
    ],
)
def test_a_missing_file_is_named(folder, home, gone, reason):
    for row, column in gone:
        (home / f"tess{STAMP}-prf-4-1-row{row:04d}-col{column:04d}.fits").unlink()
    with pytest.raises(FileNotFoundError, match=reason):
        read_prf(folder, 1, 4, 1)


def test_a_file_of_another_ccd_under_this_ones_name(folder, home):
    write_prf(home, 513, 557, samples(513, 557), CCD=2.0)
    for ccd in (1, 2):
        with pytest.raises(InputError, match=r"CCD 2, row 513.*by its header and of camera 4, CCD 1"):
            read_prf(folder, 1, 4, ccd)


def test_a_file_of_another_place_under_this_ones_name(folder, home):
    write_prf(home, 513, 557, samples(513, 557), CCD_RREF=1025.0)
    with pytest.raises(InputError, match="files are mixed up"):
        read_prf(folder, 1, 4, 1)


def test_two_different_files_of_one_place(folder, home):
    write_prf(home / "other", 513, 557, samples(513, 557, longer=0.1))
    with pytest.raises(InputError, match="two different PRF files for row 513, column 557"):
        read_prf(folder, 1, 4, 1)


def test_a_second_copy_and_foreign_files_do_no_harm(folder, home):
    path = home / f"tess{STAMP}-prf-4-1-row0513-col0557.fits"
    (home / "copy").mkdir()
    shutil.copy(path, home / "copy" / path.name)
    # As in the mission's own folder of one CCD.
    foreign = write_prf(home / "foreign", 513, 557, samples(513, 557, longer=0.1))
    foreign.rename(home / "tess-prf-phot-4-1.fits")
    (home / "tess-prf-list.fits").write_text("no FITS file")
    assert read_prf(folder, 1, 4, 1).samples.shape[:2] == (5, 5)


def test_different_samplings_are_refused(folder, home):
    write_prf(home, 513, 557, samples(513, 557, factor=7), NSAMP=7.0)
    with pytest.raises(InputError, match="sampled in different ways"):
        read_prf(folder, 1, 4, 1)


@pytest.mark.parametrize("image", [np.zeros((117, 117)), np.full((117, 117), np.nan)])
def test_files_without_light_are_refused(folder, home, image):
    write_prf(home, 513, 557, image)
    with pytest.raises(InputError, match="not usable"):
        read_prf(folder, 1, 4, 1)


def test_a_file_that_is_cut_off_is_refused(folder, home):
    path = home / f"tess{STAMP}-prf-4-1-row0513-col0557.fits"
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(InputError, match="cut off"):
        read_prf(folder, 1, 4, 1)


def test_places_with_rows_and_columns_exchanged(tmp_path):
    for row in ROWS:
        for column in COLUMNS:
            write_prf(tmp_path, column, row, samples(row, column))
    with pytest.raises(InputError, match="rows and columns exchanged"):
        read_prf(tmp_path, 1, 4, 1)


def test_axes_that_the_header_exchanges(folder, home):
    write_prf(home, 513, 557, samples(513, 557), CTYPE1P="RAWY")
    with pytest.raises(InputError, match="rows and columns exchanged"):
        read_prf(folder, 1, 4, 1)


@pytest.mark.real
@pytest.mark.parametrize(("camera", "ccd"), [(4, 1), (1, 4)])
def test_the_missions_files_and_the_same_transposed(tess_data, tmp_path, camera, ccd):
    psf = read_prf(tess_data / "prf", 1, camera, ccd)
    np.testing.assert_allclose(psf.samples.sum(axis=(2, 3)) / 81, 1.0, rtol=1e-12)
    assert 1.2 < psf.fwhm_at(np.array([1000.0]), np.array([1000.0]))[0] < 2.0
    assert psf.edge == pytest.approx(58 / 9)
    for path in prf_files(tess_data / "prf", 1, camera, ccd):
        image, header = fits.getdata(path, header=True)
        fits.writeto(tmp_path / path.name, image.T, header)
    with pytest.raises(InputError, match="seem to be transposed"):
        read_prf(tmp_path, 1, camera, ccd)
