"""What a simulated frame really holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gaiaflux.io.image.wcs_cards import cards_from_tan_sip
from gaiaflux.model.frame import Frame
from gaiaflux.model.wcs import TanSip
from gaiaflux.sim.conditions import Conditions
from gaiaflux.sim.moffat_field import PsfField
from gaiaflux.sim.pointing import Moment

__all__ = ["TRUTH_DTYPE", "TRUTH_UNITS", "FrameTruth", "SimFrame", "banzai_catalog", "truth_tables"]

TRUTH_DTYPE = np.dtype(
    [
        ("star", "i8"),
        ("source_id", "i8"),
        ("kind", "u1"),
        ("x", "f8"),
        ("y", "f8"),
        ("flux", "f8"),
        ("sigma", "f8"),
        ("snr", "f8"),
        ("fwhm", "f8"),
        ("relative", "f8"),
    ]
)
"""star: row of `Series.stars`; x, y [pixel]; flux, sigma [electron], sigma being the error of an optimal fit of the
isolated star with the true PSF; snr = flux / sigma; fwhm [pixel]; relative: flux relative to the star's `g`, from its
light curve alone."""


TRUTH_UNITS = {
    **{"x": "pix", "y": "pix", "fwhm": "pix"},
    **{"ra": "deg", "dec": "deg", "pmra": "mas/yr", "pmdec": "mas/yr", "parallax": "mas"},
    **{"g": "mag", "bp": "mag", "rp": "mag", "amplitude": "mag", "phase": "rad"},
    **{"period": "d", "t0": "d", "duration": "d", "ingress": "d", "t_e": "d", "mjd_utc": "d", "mjd_tdb": "d"},
}
"""FITS units of the columns of `truth_tables`; fluxes, their errors and the sky are in electron, no unit in FITS."""


@dataclass(frozen=True)
class FrameTruth:
    """What a frame really holds.

    Attributes
    ----------
    stars : ndarray of TRUTH_DTYPE, shape (n,)
        Stars whose centre lies on the image.
    wcs : TanSip
        True plate solution.
    psf : PsfField
        True point-spread function.
    conditions : Conditions
        Seeing, sky, transparency, pointing.
    when : Moment
        Mid-exposure.
    cosmic_rays : ndarray of COSMIC_DTYPE
        Hits; none of them is flagged.
    cosmic_pixels : ndarray of int64, shape (n_pixels, 2)
        (row, column) of pixels with charge of cosmic rays.
    """

    stars: np.ndarray
    wcs: TanSip
    psf: PsfField
    conditions: Conditions
    when: Moment
    cosmic_rays: np.ndarray
    cosmic_pixels: np.ndarray


@dataclass(frozen=True)
class SimFrame:
    """A frame as a reader would give it, and the truth about it.

    Attributes
    ----------
    index : int
        Number in the series, from 0.
    frame : Frame
        Pixels and header facts.
    header : dict
        Further header cards of a BANZAI file: name to value.
    truth : FrameTruth
        Truth.
    """

    index: int
    frame: Frame
    header: dict[str, Any]
    truth: FrameTruth

    @property
    def frame_id(self) -> str:
        """Name of the frame."""
        return self.frame.info.frame_id


def truth_tables(stars: np.ndarray, truths: Mapping[str, FrameTruth]) -> dict[str, np.ndarray]:
    """Truth of a series as tables.

    Parameters
    ----------
    stars : ndarray of STAR_DTYPE
        `Series.stars`.
    truths : mapping of str to FrameTruth
        frame_id to truth.

    Returns
    -------
    dict of str to structured ndarray
        ``STARS``: one row per star; ``FRAMES``: one row per frame; ``FLUXES``: one row per star and frame, with `frame`
        the row in ``FRAMES``.
    """
    width = max((len(name) for name in truths), default=1)
    numbers = ("mjd_utc", "mjd_tdb", "airmass", "fwhm", "sky", "transparency")
    wcs_texts = [cards_from_tan_sip(truth.wcs) for truth in truths.values()]
    text_width = max((len(text) for text in wcs_texts), default=1)
    frames = np.zeros(
        len(truths),
        dtype=[("frame_id", f"S{width}"), *((name, "f8") for name in numbers), ("wcs_header", f"S{text_width}")],
    )
    fluxes = np.zeros(sum(len(truth.stars) for truth in truths.values()), dtype=[("frame", "i4"), *TRUTH_DTYPE.descr])
    start = 0
    for row, ((frame_id, truth), text) in enumerate(zip(truths.items(), wcs_texts, strict=True)):
        sky = truth.conditions
        frames[row] = (
            *(frame_id.encode(), truth.when.mjd_utc, truth.when.mjd_tdb, sky.airmass),
            *(sky.fwhm_pix, sky.sky, sky.transparency, text.encode()),
        )
        stop = start + len(truth.stars)
        fluxes["frame"][start:stop] = row
        for name in TRUTH_DTYPE.names or ():
            fluxes[name][start:stop] = truth.stars[name]
        start = stop
    return {"STARS": stars, "FRAMES": frames, "FLUXES": fluxes}


def banzai_catalog(made: SimFrame, seed: int = 0, min_snr: float = 10.0) -> np.ndarray:
    """Catalogue such as BANZAI appends to an image, drawn from the truth instead of measured.

    Parameters
    ----------
    made : SimFrame
        Frame.
    seed : int
        Seed of the errors.
    min_snr : float
        Stars below are missing.

    Returns
    -------
    structured ndarray
        A part of BANZAI's columns, in its units; positions are 1-based with the error of a good centroid.
    """
    rng = np.random.default_rng([seed, made.index])
    stars = made.truth.stars[made.truth.stars["snr"] > min_snr]
    number = len(stars)
    names = (
        "X",
        "Y",
        "XWIN",
        "YWIN",
        "FLUX",
        "FLUXERR",
        "PEAK",
        "BACKGROUND",
        "FWHM",
        "A",
        "B",
        "THETA",
        "ELLIPTICITY",
    )
    table = np.zeros(number, dtype=[*((name, "f8") for name in names), ("FLAG", "i8")])
    scatter = 0.5 * stars["fwhm"] / stars["snr"]
    for axis in ("x", "y"):
        table[f"{axis.upper()}WIN"] = stars[axis] + 1.0 + scatter * rng.standard_normal(number)
        table[axis.upper()] = table[f"{axis.upper()}WIN"] + 0.05 * rng.standard_normal(number)
    table["FLUX"] = stars["flux"] + stars["sigma"] * rng.standard_normal(number)
    table["FLUXERR"] = stars["sigma"]
    width, ellipticity, angle = made.truth.psf.at(stars["x"], stars["y"])
    area = made.truth.psf.area(stars["x"], stars["y"])
    table["PEAK"] = stars["flux"] * (made.truth.psf.beta - 1.0) / (np.pi * area)
    table["BACKGROUND"] = made.truth.conditions.sky
    table["FWHM"] = width
    table["A"] = width / 2.3548 / np.sqrt(1.0 - ellipticity)
    table["B"] = width / 2.3548 * np.sqrt(1.0 - ellipticity)
    table["THETA"] = np.degrees(angle)
    table["ELLIPTICITY"] = ellipticity
    return table
