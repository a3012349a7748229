"""Images that both trees read: the demonstration's, made once by the older tree, and kinds of files made of them."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
from astropy.io import fits
from trees import Failure, Tree

__all__ = ["GAIN", "make_images"]

# Electrons per count of the images of a survey.
GAIN = 2.5
N_DEMO, N_CROWDED = 28, 14


def make_images(tree: Tree, folder: Path) -> None:
    """Fill a folder with the inputs of all runs, unless it has them.

    Parameters
    ----------
    tree : Tree
        Simulates the demonstration.
    folder : Path
        Gets ``demo``, ``crowded``, ``packed``, ``cameras`` and ``survey``.

    Raises
    ------
    Failure
        The tree could not simulate its demonstration.
    """
    today = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    ready = folder / "ready"
    if ready.is_file() and ready.read_text() == today:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    done = tree.snakemake(folder, "--cores", "1", "demo/truth.fits", "--quiet", "all")
    if done.returncode:
        raise Failure(f"the demonstration's images: {done.stderr[-2000:]}")
    shutil.move(folder / "demo" / "crowded", folder / "crowded")
    sparse, crowded = (sorted((folder / name / "images").glob("*.fits")) for name in ("demo", "crowded"))
    for name, make, images in (
        ("packed", _packed, crowded[:5]),
        ("cameras", _two_cameras, sparse[::3]),
        ("survey", _survey, crowded[:4]),
    ):
        (folder / name).mkdir()
        for number, image in enumerate(images):
            make(image, folder / name, number)
    for leftover in (".snakemake", "logs"):
        shutil.rmtree(folder / leftover, ignore_errors=True)
    ready.write_text(today)


def _packed(image: Path, folder: Path, number: int) -> None:
    """Compressed with loss, as BANZAI packs its images."""
    with fits.open(image) as hdus:
        packed = [
            fits.CompImageHDU(hdu.data, hdu.header, name=hdu.name, quantize_level=64, quantize_method=1, dither_seed=1)
            for hdu in hdus
            if hdu.name in ("SCI", "ERR", "BPM")
        ]
        fits.HDUList([fits.PrimaryHDU(), *packed]).writeto(folder / f"{image.name}.fz")


def _two_cameras(image: Path, folder: Path, number: int) -> None:
    """Every other image by a second camera, whose sensitivity changes over its detector."""
    with fits.open(image) as hdus:
        if number % 2:
            hdus["SCI"].header["INSTRUME"] = "fa99"
            part = 1.0 - 0.06 * np.linspace(-1.0, 1.0, hdus["SCI"].data.shape[1], dtype=np.float32) ** 3
            for name in ("SCI", "ERR"):
                hdus[name].data = hdus[name].data * part
        hdus.writeto(folder / image.name)


def _survey(image: Path, folder: Path, number: int) -> None:
    """Two detectors in a file, in counts; mask and weight in files beside it."""
    with fits.open(image) as hdus:
        facts, error = hdus["SCI"].header, hdus["ERR"].data
        primary = fits.PrimaryHDU()
        primary.header.update({key: facts[key] for key in ("EXPTIME", "RDNOISE", "FILTER", "MJD-OBS")})
        primary.header.update({"GAIN": GAIN, "TELESCOP": "survey", "INSTRUME": "cam", "BUNIT": "adu"})
        primary.header["SATURATE"] = facts["SATURATE"] / GAIN
        weight = np.where(error > 0, (GAIN / np.maximum(error, 1e-9)) ** 2, 0.0).astype(np.float32)
        bad = ((hdus["BPM"].data & 1) != 0).astype(np.int32) * 7
        for word, plane in (("ooi", hdus["SCI"].data / GAIN), ("ood", bad), ("oow", weight)):
            detectors = [fits.ImageHDU(np.ones((100, 100), plane.dtype), name="N1")]
            detectors.append(fits.ImageHDU(plane, _plate(facts), name="N2"))
            fits.HDUList([primary, *detectors]).writeto(folder / f"exp{number}_{word}_r.fits")


def _plate(header: fits.Header) -> fits.Header:
    """The cards of the plate solution."""
    words = ("CTYPE", "CRVAL", "CRPIX", "CD1_", "CD2_", "CUNIT", "A_", "B_", "AP_", "BP_", "LONPOLE", "RADESYS")
    return fits.Header([card for card in header.cards if card.keyword.startswith(words)])
