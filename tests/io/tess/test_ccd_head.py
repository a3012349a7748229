import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gaiaflux.io.tess.ccd_head import CcdHead, frame_cadence_s, head_of_name, read_ccd_head, read_ccd_heads
from gaiaflux.io.tess.ccd_image import read_ccd_image

SPOC = "tess2018206192942-s0001-1-4-0120-s_ffic.fits"
TICA = "hlsp_tica_tess_ffi_s0035-o1-00561894-cam1-ccd1_tess_v01_img.fits"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (SPOC, CcdHead(1, 1, 4, 1800, origin="spoc-ffi", exposure="2018206192942")),
        ("tess2020204120000-s0027-2-3-0189-s_ffic.fits.gz", (27, 2, 3, 600, "spoc-ffi")),
        ("tess2022262120000-s0056-4-1-0243-s_ffic.crop.fits", (56, 4, 1, 200, "spoc-ffi")),
        (TICA, (35, 1, 1, 600, "tica-ffi")),
        ("hlsp_tica_tess_ffi_s0084-o2b-01023889-cam3-ccd2_tess_v01_img.fits", (84, 3, 2, 200, "tica-ffi")),
        ("hlsp_tica_tess_ffi_s0028-00120152-cam1-ccd1_tess_v01_img.fits", (28, 1, 1, 600, "tica-ffi")),
        ("tess2018206045859-s0001-0000000025155310-0120-s_tp.fits", CcdHead()),
        ("renamed.fits", CcdHead()),
        ("tess2018206192942-s0001-5-4-0120-s_ffic.fits", CcdHead()),
    ],
)
def test_names_of_the_mission(name, expected):
    found = head_of_name(name)
    if not isinstance(expected, CcdHead):
        found = (found.sector, found.camera, found.ccd, found.cadence_s, found.origin)
    assert found == expected


@pytest.mark.parametrize(
    ("sector", "cadence"), [(1, 1800), (26, 1800), (27, 600), (55, 600), (56, 200), (99, 200), (0, 0)]
)
def test_the_usual_cadence_of_a_sector(sector, cadence):
    assert frame_cadence_s(sector) == cadence


@pytest.mark.parametrize("packed", [False, True])
def test_a_head_says_what_the_image_is(write_spoc, pack, packed):
    path = write_spoc()
    head = read_ccd_head(pack(path) if packed else path)
    assert head == CcdHead(1, 1, 4, 1800, 1, "spoc-ffi", "2018206192942", (50, 32), 0, 44)
    assert head.observation == ("spoc-ffi", 1, 1, 4, "2018206192942")


def test_heads_and_images_agree(write_spoc, write_tica, ccd_files):
    crop = {"flux": ccd_files.light()[10:30, 50:60], "CRVAL1P": 51, "CRVAL2P": 11}
    trimmed = {"electrons": ccd_files.light((2048, 2048)), "SCIPIXS": "[1:2048,1:2048]"}
    for path in (
        write_spoc(),
        write_spoc(**crop),
        write_spoc(TIMEDEL=200.0 / 86400.0, primary={"DATA_REL": 73}),
        write_spoc(TIMEDEL=None),
        write_tica(),
        write_tica(INT_TIME=200),
        write_tica(**trimmed),
    ):
        head, image = read_ccd_head(path), read_ccd_image(path)
        for name in ("sector", "camera", "ccd", "cadence_s", "data_release", "origin", "first_row", "first_column"):
            assert getattr(head, name) == pytest.approx(getattr(image, name)), name
        assert head.shape == image.flux.shape


def test_files_that_were_renamed_are_known_by_their_head(write_spoc, write_tica):
    assert read_ccd_head(write_spoc(name="a.fits", SECTOR=1)) == read_ccd_head(write_spoc(SECTOR=1))
    head = read_ccd_head(write_tica(name="b.fits"))
    assert (head.sector, head.camera, head.ccd, head.cadence_s, head.exposure) == (0, 1, 1, 600, "00561894")
    assert head.observation == ()


@pytest.mark.parametrize("keep", [0, 100, 3000, 6000])
def test_damaged_files_keep_their_place_by_their_name(write_spoc, write_tica, pack, keep):
    for path in (write_spoc(), write_tica()):
        packed = pack(path, keep // 20)
        # TICA has its image in front: half of its one header is all that is needed, and is cut off, too.
        path.write_bytes(path.read_bytes()[: keep if "ffic" in path.name else min(keep, 2000)])
        assert read_ccd_head(path) == read_ccd_head(packed) == head_of_name(path.name)
    assert read_ccd_head(path.with_name("none.fits")) == CcdHead()


def test_other_files_are_no_images(write_target_pixels, tmp_path):
    assert read_ccd_head(write_target_pixels()).origin == ""
    (tmp_path / "page.fits").write_text("<html>" + 9000 * "x")
    assert read_ccd_head(tmp_path / "page.fits") == CcdHead()


def test_of_images_that_are_alike_one_is_opened(write_spoc, monkeypatch):
    first = write_spoc(TIMEDEL=600.0 / 86400.0)
    paths = [first]
    for k in range(1, 6):
        paths.append(first.with_name(first.name.replace("192942", f"1930{k:02d}")))
        paths[-1].write_bytes(first.read_bytes())
    paths[3].write_bytes(b"")
    paths.append(write_spoc(name="other/" + first.name, primary={"DATA_REL": 9}))
    opened, whole = [], Path.open
    monkeypatch.setattr(Path, "open", lambda path, *a, **k: opened.append(path) or whole(path, *a, **k))
    heads = read_ccd_heads(paths)
    assert list(heads) == paths
    assert opened == [paths[0], paths[3], paths[6]]
    assert [head.cadence_s for head in heads.values()] == [600, 600, 600, 1800, 600, 600, 1800]
    assert [head.data_release for head in heads.values()] == [1, 1, 1, -1, 1, 1, 9]
    assert [head.exposure[-6:] for head in heads.values()][:3] == ["192942", "193001", "193002"]
    assert heads[paths[0]].observation == heads[paths[6]].observation


def test_heads_are_read_fast(write_spoc):
    """11,000 images may take some seconds, however many are opened: 0.3 ms each, and twice that on a busy machine."""
    path = write_spoc()
    start = time.process_time()
    for _ in range(300):
        read_ccd_head(path)
    assert (time.process_time() - start) / 300 < 6e-4


def test_heads_need_the_standard_library_alone():
    code = (
        "import sys, gaiaflux.io.tess.ccd_head, gaiaflux.io.tess.target_head\n"
        "print(*{'numpy', 'astropy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ}, timeout=60
    )
    assert done.stdout.strip() == ""


@pytest.mark.real
def test_the_shared_crop(tess_data):
    path = next((tess_data / "ffi_s01_c1_4").glob("*.fits"))
    head, image = read_ccd_head(path), read_ccd_image(path)
    assert head == CcdHead(1, 1, 4, 1800, 1, "spoc-ffi", "2018206192942", (128, 129), 0, 44)
    assert head.shape == image.flux.shape
