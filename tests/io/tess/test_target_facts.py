import pytest

from gaiaflux.io.tess.target_facts import find_target_files, newest
from gaiaflux.io.tess.target_pixels import read_target_pixels


def test_files_are_found_at_any_depth_by_what_is_in_them(tmp_path, write_target_pixels, pack):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    plain = write_target_pixels("deep/a.fits", TICID=7)
    packed = pack(write_target_pixels("deep/er/b.fits", TICID=8, TIMEDEL=20.0 / 86400.0))
    packed.with_name("b.fits").unlink()
    (tmp_path / "c.fits").write_text("no FITS file")
    (tmp_path / "d.csv").write_text("starid,ra,dec")
    write_target_pixels("odd.fits", SECTOR="")
    found, problems = find_target_files(tmp_path)
    assert [(file.path, file.starid, file.cadence_s) for file in found] == [
        (str(plain), 7, 120.0),
        (str(packed), 8, 20.0),
    ]
    assert [path.name for path in problems] == ["odd.fits"]
    assert "does not say its sector" in problems[tmp_path / "odd.fits"]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        find_target_files(tmp_path / "none")


def test_the_newest_data_release_of_each_target_counts(tmp_path, write_target_pixels):
    write_target_pixels("a.fits", DATA_REL=30)
    write_target_pixels("b.fits", DATA_REL=9)
    write_target_pixels("c.fits", DATA_REL=1, TIMEDEL=20.0 / 86400.0)
    write_target_pixels("d.fits", DATA_REL=1, SECTOR=3)
    write_target_pixels("e.fits", DATA_REL=1, SECTOR=3)
    kept, superseded = newest(find_target_files(tmp_path)[0])
    assert [file.path[-6] for file in kept] == ["a", "c", "e"]
    assert [file.path[-6] for file in superseded] == ["b", "d"]


@pytest.mark.real
def test_facts_are_those_of_the_whole_file(tess_data):
    found, problems = find_target_files(tess_data)
    assert len(found) == 8
    assert problems == {}
    for facts in found:
        target = read_target_pixels(facts.path)
        for name, value in vars(facts).items():
            assert getattr(target, name) == value, (facts.path, name)
