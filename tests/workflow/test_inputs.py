import pytest

from gaiaflux.model.errors import InputError
from gaiaflux.workflow.frames import FrameFile
from gaiaflux.workflow.inputs import (
    batch_files,
    check_reference,
    configured_reference,
    first_batches,
    image_files,
    own_stars,
)
from gaiaflux.workflow.ledger import update_ledger


def config(**series):
    return {"series": {"a": series}}


def ledger_of(names, then=""):
    """Frames of the first run, and of the runs after it, in batches of two."""
    ledger = update_ledger(None, [FrameFile(name, f"images/{name}.fits") for name in names], 2)
    return update_ledger(ledger, [FrameFile(name, f"images/{name}.fits") for name in names + then], 2)


def test_a_reference_image_has_to_be_there():
    check_reference(config(), "a", ledger_of("xy"))
    check_reference(config(reference_image="y"), "a", ledger_of("xy"))
    with pytest.raises(InputError, match=r"^series.a.reference_image: there is no frame 'z'; frames: x, y$"):
        check_reference(config(reference_image="z"), "a", ledger_of("xy"))
    # One that was there once does not do.
    gone = update_ledger(ledger_of("xyz"), [FrameFile("x", "images/x.fits")], 2)
    with pytest.raises(InputError, match="there is no frame 'z'"):
        check_reference(config(reference_image="z"), "a", gone)


def test_the_configured_reference_is_one_frame_or_none():
    assert configured_reference(config(), "a", ledger_of("xy")) == []
    assert [frame.path for frame in configured_reference(config(reference_image="y"), "a", ledger_of("xy"))] == [
        "images/y.fits"
    ]


def test_images_of_a_batch_come_with_the_companions_that_are_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ledger = ledger_of("xyz")
    ways = {"weight": {"replace": ["images", "weights"]}, "mask": {"file": "bad.fits"}}
    assert image_files(config(), "a", ledger, "0001") == ["images/x.fits", "images/y.fits"]
    assert image_files(config(companions=ways), "a", ledger, "0001") == ["images/x.fits", "images/y.fits"]
    for name in ("weights/y.fits", "weights/z.fits", "bad.fits"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    # The mask of all images counts once.
    found = image_files(config(companions=ways), "a", ledger, "0001")
    assert found[:2] == ["images/x.fits", "images/y.fits"]
    assert sorted(found[2:]) == ["bad.fits", "weights/y.fits"]
    assert image_files(config(), "a", ledger, "0009") == []


def test_files_of_batches():
    assert batch_files("wcs", "a", ["0001", "0003"]) == ["results/a/wcs/0001.h5", "results/a/wcs/0003.h5"]


def test_the_first_batches_stay_and_the_reference_image_adds_its_own():
    ledger = ledger_of("xy", then="zuvw")
    assert ledger.batches == ["0001", "0002", "0003"]
    assert first_batches(config(), "a", ledger) == ["0001"]
    assert first_batches(config(reference_image="w"), "a", ledger) == ["0001", "0003"]
    assert first_batches(config(reference_image="x"), "a", ledger) == ["0001"]


def test_whose_stars_are_the_catalogue():
    assert own_stars({"gaia": {"source": "reference_image"}})
    assert not own_stars({"gaia": {"source": "tap"}})
