"""What is run in both trees.

Paths of a configuration start at its working directory, which has links to the images: ``made`` to those made of the
demonstration's, ``real`` to the shared real data.
"""

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import archive
import yaml
from astropy.table import Table
from trees import ROOT, Failure

__all__ = ["INPUTS", "Input", "chosen_inputs", "real_data"]

_BOTH = {"methods": ["aperture", "psf"]}
_ALL_FORMATS = {"formats": ["fits", "parquet", "ecsv", "aavso"], "aavso": {"observer_code": "ABC"}}
_TABLES = {"formats": ["fits", "parquet"]}
_OWN_STARS = {"source": "reference_image"}
_COMPANIONS = {"mask": {"replace": ["_ooi_", "_ood_"]}, "weight": {"replace": ["_ooi_", "_oow_"]}}
# Files here that decide what an input of a kind is, besides its configuration.
_CODE = {
    "workflow": ("archive.py", "made.py"),
    "interface": ("interface_driver.py", "made.py"),
    "injection": ("runs.py", "made.py"),
    "simulate": (),
    "jobs": ("jobs.py", "dry_runs.py", "made.py"),
}
# Those with the most stars, one of each camera.
_CUT_OUTS = ("c4d_170316_062107_ooi", "k4m_160319_075112_ooi", "ksb_170430_055945_ooi")
_SAAO_REFERENCE = "AKB13475I0100"


def real_data() -> Path:
    """Folder of the shared real data, which may be absent."""
    return Path(os.environ.get("GAIAFLUX_DATA", ROOT.parent / "shared" / "data")).resolve() / "ground"


@dataclass(frozen=True)
class Input:
    """One thing that is run in both trees.

    Attributes
    ----------
    name, text : str
        For the command line and its list.
    configure : callable, optional
        Gives the configuration of a run of the workflow, for its working directory.
    kind : str
        How it is run: workflow, or a word of `runs.STEPS`.
    after : str
        Input whose working directory this one goes on in.
    real : str
        Folder among the real data without which it is left out.
    served : str
        Table of stars for which a server of the archive runs meanwhile, below the working directory.
    """

    name: str
    text: str
    configure: Callable[[Path], dict] | None = field(default=None, repr=False)
    kind: str = "workflow"
    after: str = ""
    real: str = ""
    served: str = ""

    def server(self, folder: Path) -> AbstractContextManager[str]:
        """A server of the archive, where this input wants one; gives its URL or nothing."""
        if not self.served:
            return nullcontext("")
        return archive.serve(Table.read(folder / self.served).as_array())

    def definition(self, folder: Path) -> str:
        """Checksum of what is run, whose outcome is kept as long as it stays the same."""
        config = self.configure(folder) if self.configure else {}
        code = [Path(__file__).with_name(name).read_text(encoding="utf-8") for name in _CODE[self.kind]]
        return hashlib.sha256("\n".join([repr(self), json.dumps(config), *code]).encode()).hexdigest()

    def write_config(self, folder: Path, server: str) -> None:
        """Write the configuration into the working directory."""
        config = self.configure(folder)
        if server:
            config["gaia"] = {"servers": [server], "magnitude_limit": 20.5, "rows_per_query": 1000}
        (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def chosen_inputs(names: str, inputs: tuple[Input, ...]) -> list[Input]:
    """Inputs that a list of names stands for, with those that they go on from.

    Parameters
    ----------
    names : str
        Names with commas between; empty: all.
    inputs : tuple of Input
        What there is.

    Returns
    -------
    list of Input
        In the order of `inputs`.

    Raises
    ------
    Failure
        A name is not known.
    """
    wanted = {name.strip() for name in names.split(",")} if names else {one.name for one in inputs}
    unknown = wanted - {one.name for one in inputs}
    if unknown:
        raise Failure(f"no input {', '.join(sorted(unknown))}; there are {', '.join(one.name for one in inputs)}")
    wanted |= {one.after for one in inputs if one.name in wanted}
    return [one for one in inputs if one.name in wanted]


def _demo(_: Path) -> dict:
    targets = [
        {"name": "transit", "ra_deg": 288.004208, "dec_deg": -29.019857},
        {"name": "microlensing", "source_id": 4087132848624189903},
        {"name": "variable", "source_id": 4087102541833171600},
    ]
    series = {"images": "made/demo/images/*.fits", "gaia_file": "made/demo/gaia.fits", "targets": targets}
    return {
        "series": {"demo": series},
        "frames_per_batch": 14,
        "photometry": _BOTH,
        "annotate_images": True,
        "export": _ALL_FORMATS,
    }


def _crowded(_: Path) -> dict:
    return {"series": {"crowded": _crowded_series("made/crowded/images/*.fits")}, "photometry": _BOTH}


def _crowded_series(images: str) -> dict:
    targets = [{"name": "microlensing", "source_id": 4087057047727283564}]
    return {"images": images, "gaia_file": "made/crowded/gaia.fits", "targets": targets}


def _saao(folder: Path) -> dict:
    files = sorted((folder / "real" / "moa2013blg475_saao").glob("AKB*.fits.gz"))
    names = [path.name.partition(".")[0] for path in files]
    event = names.index(_SAAO_REFERENCE)
    # All over the season, and some of the night in which the event peaks.
    chosen = sorted({*range(0, len(files), 5), *range(event, event + 6)})[:40]
    series = {
        "images": [str(files[k].relative_to(folder)) for k in chosen],
        "pixel_scale_arcsec": 0.31,
        "reference_image": _SAAO_REFERENCE,
        "targets": [{"name": "event", "x_pix": 287, "y_pix": 215}],
    }
    aperture = {"radii_arcsec": [1.24, 1.55, 1.86], "annulus_arcsec": [6.0, 10.0]}
    return {
        "series": {"moa": series},
        "gaia": _OWN_STARS,
        "frames_per_batch": 20,
        "photometry": {**_BOTH, "aperture": aperture},
        "export": _TABLES,
    }


def _andicam(folder: Path) -> dict:
    """The V image with the star table of another pipeline that measured it."""
    table = Table.read(folder / "real" / "sn2019so_andicam" / "photometry_04735_V.ecsv")
    table = table[table["starid"] > 0]
    names = {"source_id": "starid", "ra": "ra", "dec": "decl", "pmra": "pm_ra", "pmdec": "pm_dec"}
    names |= {f"phot_{band}_mean_mag": f"gaia{'_' + band if band != 'g' else ''}_mag" for band in ("g", "bp", "rp")}
    gaia = Table({new: table[old] for new, old in names.items()})
    gaia["ref_epoch"] = 2015.5
    gaia.write(folder / "gaia.ecsv", overwrite=True)
    series = {
        "images": "real/sn2019so_andicam/*_V.fits.gz",
        "gaia_file": "gaia.ecsv",
        "targets": [{"name": "SN2019so", "ra_deg": 190.65175, "dec_deg": -40.746331}],
    }
    return {"series": {"V": series}, "photometry": _BOTH, "annotate_images": True, "export": _ALL_FORMATS}


def _banzai(folder: Path) -> dict:
    """Products of one pipeline in many states; most are refused, each with its sentence."""
    series = {
        "images": "real/lco_banzai/*",
        "reference_image": "lsc1m005-fl15-20170614-0130-e91_cropped.v1",
    }
    return {"series": {"lco": series}, "gaia": _OWN_STARS, "photometry": _BOTH, "annotate_images": True}


def _decam(folder: Path) -> dict:
    """Cut-outs of surveys, TPV, with masks and weights beside them; the stars that each shows are its catalogue."""
    images = [path for name in _CUT_OUTS for path in (folder / "real" / "legacypipe_decam").glob(f"*/images/{name}*")]
    series = {
        path.name.partition(".")[0]: {"images": str(path.relative_to(folder)), "companions": _COMPANIONS}
        for path in images
    }
    few = {"extract_stars": {"min_snr": 6}, "refine_wcs": {"min_stars": 3}}
    return {"series": series, "gaia": _OWN_STARS, **few, "photometry": _BOTH}


def _companions(_: Path) -> dict:
    series = _crowded_series("made/survey/*_ooi_*.fits") | {"extension": "N2", "companions": _COMPANIONS}
    return {"series": {"survey": series}, "frames_per_batch": 2, "export": _TABLES}


def _packed(_: Path) -> dict:
    pictures = {"residual_pictures": True, "subtracted_images": True}
    return {
        "series": {"packed": _crowded_series("made/packed/*.fits.fz")},
        "photometry": {**_BOTH, "psf": {**pictures, "max_order": 1}},
        "annotate_images": True,
    }


def _cameras(_: Path) -> dict:
    series = {"images": "made/cameras/*.fits", "gaia_file": "made/demo/gaia.fits"}
    return {"series": {"two": series}, "calibrate": {"spatial_order": 1}, "export": {"formats": ["fits"]}}


def _archive(_: Path) -> dict:
    series = _crowded_series("made/crowded/images/crowded-00[0-3]*.fits")
    del series["gaia_file"]
    return {"series": {"served": series}, "export": {"formats": ["ecsv"]}}


# The longest first, so that the last ones of several at once end together.
INPUTS = (
    Input("jobs", "which rules run again after changes of settings, images and code", kind="jobs"),
    Input("demo", "the demonstration's sparse series, all exports", _demo),
    Input("interface", "the Python interface on frames and results of demo", kind="interface", after="demo"),
    Input("crowded", "the demonstration's crowded series", _crowded),
    Input("injection", "stars planted in crowded, measured and compared", kind="injection", after="crowded"),
    Input("saao", "40 bulge frames without WCS by both methods", _saao, real="moa2013blg475_saao"),
    Input("sim", "the images of the demonstration, simulated by each tree", kind="simulate"),
    Input("andicam", "the V image of SN 2019so with a table of its own", _andicam, real="sn2019so_andicam"),
    Input("cameras", "one series by two cameras", _cameras),
    Input("packed", "one .fz series; stars subtracted", _packed),
    Input("companions", "masks and weights in files beside the images", _companions),
    Input("archive", "stars from a server of the archive's protocol", _archive, served="made/crowded/gaia.fits"),
    Input("banzai", "BANZAI's products in many states", _banzai, real="lco_banzai"),
    Input("decam", "cut-outs of surveys with companions", _decam, real="legacypipe_decam"),
)
