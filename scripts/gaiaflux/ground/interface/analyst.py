"""Plate solution and aperture photometry of one image, step by step, for notebooks and scripts of the user's own.

The numbers come from the library that the workflow's rules use.
"""

import logging
import math
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gaiaflux.ground.annotation import TABLE_UNITS, plate_facts, table_facts
from gaiaflux.ground.frame.extraction import extract_stars, mark_spoiled_pixels
from gaiaflux.ground.frame.noise import frame_noise
from gaiaflux.ground.frame.plate_solution import refine_frame_wcs
from gaiaflux.ground.frame.star_places import place_stars
from gaiaflux.ground.interface.aperture_table import run_aperture_photometry
from gaiaflux.ground.photometry.aperture import measure_frame, radii_in_pixels
from gaiaflux.io.gaia.columns import Column, catalog_from_columns, wanted_names
from gaiaflux.io.image.annotated_image import PlateExtension, TableExtension, layer_names, write_annotated
from gaiaflux.io.image.frames import frame_settings, read_frame
from gaiaflux.io.image.wcs_cards import cards_from_tan_sip, tan_sip_from_cards
from gaiaflux.model.catalog import SkyCatalog
from gaiaflux.model.errors import BadFrameError, InputError
from gaiaflux.model.flags import PixelFlag
from gaiaflux.model.frame import Frame
from gaiaflux.model.methods import APERTURE
from gaiaflux.model.settings.aperture import ApertureSettings
from gaiaflux.model.settings.extract_stars import ExtractStarsSettings
from gaiaflux.model.settings.refine_wcs import RefineWcsSettings
from gaiaflux.model.stars import STAR_UNITS
from gaiaflux.model.typed import typed
from gaiaflux.workflow.settings import complete_settings

if TYPE_CHECKING:
    from astropy.table import Table
    from astropy.wcs import WCS

__all__ = ["AperturePhotometryAnalyst"]

LOG = logging.getLogger(__name__)
# Least distance between the aperture and the annulus of the total flux [pixel].
_GAP = 1.0


class AperturePhotometryAnalyst:
    """Refines the plate solution of one image with Gaia and measures its stars.

    The constructor opens the image; `process_image` does the rest, and each step can be called alone (it first does
    the steps that it needs). What makes the image unusable sets `status` to ``ERROR``, is logged and kept in `reason`;
    later steps then do nothing. Everything else raises. No step writes a file.

    Parameters
    ----------
    image_name : str
        Name of the image.
    image_path : str or Path
        Its folder, or the file.
    gaia_catalog : astropy.table.Table or SkyCatalog
        Stars of the field, with Gaia's names and units: source_id, ra, dec, phot_g_mean_mag; further ones are used
        where they are there (ref_epoch, pmra, pmdec, parallax, errors, ruwe).
    config : mapping
        ``{"photometry": {"aperture_arcsec": 2.0}}``, or a configuration of the workflow or any part of it, with one
        series at most. Of several aperture radii the middle one is taken.
    log : logging.Logger, optional
        Gets what happens; else the logger of this module.

    Attributes
    ----------
    image_name, image_path, log, gaia_catalog
        As given; `image_path` is the file.
    status : str
        ``OK`` or ``ERROR``.
    reason : str
        Why the image cannot be used; empty while `status` is ``OK``.
    image_data : ndarray of float32, shape (ny, nx)
        Counts [electron; adu where no gain is known]; pixels that are not finite in the file are 0. None where the
        image could not be read, as are the next two.
    image_errors : ndarray of float32, shape (ny, nx)
        One sigma of each pixel: the file's, else from gain, read noise and the noise of the sky.
    image_original_wcs : astropy.wcs.WCS
        Plate solution of the header; None where it has none that can be understood.
    phot_aperture : float
        Radius of the aperture [pixel]; NaN where it cannot be known.
    star_catalog : astropy.table.Table
        Stars of the image that the plate solution is fitted to, brightest first; None before `find_star_catalog`.
    image_new_wcs : astropy.wcs.WCS
        Refined plate solution; None before `refine_wcs`.
    aperture_photometry_table : astropy.table.Table
        See `run_aperture_photometry`; None before it.

    Raises
    ------
    FileNotFoundError
        There is no such image.
    InputError
        Settings or catalogue cannot be used.
    """

    def __init__(
        self,
        image_name: str,
        image_path: str | Path,
        gaia_catalog: "Table | SkyCatalog",
        config: Mapping[str, Any],
        log: logging.Logger | None = None,
    ) -> None:
        self.image_name = image_name
        self.image_path = _file_of(image_name, image_path)
        self.log = log
        self.status = "OK"
        self.reason = ""
        self.gaia_catalog = gaia_catalog
        self.image_data: np.ndarray | None = None
        self.image_errors: np.ndarray | None = None
        self.image_original_wcs: WCS | None = None
        self.phot_aperture = math.nan
        self.star_catalog: Table | None = None
        self.image_new_wcs: WCS | None = None
        self.aperture_photometry_table: Table | None = None
        settings = _settings(config)
        self._reading = frame_settings(next(iter(settings.get("series", {}).values()), {}))
        self._extract_stars = typed(ExtractStarsSettings, settings["extract_stars"])
        self._refine_wcs = typed(RefineWcsSettings, settings["refine_wcs"])
        self._radii = typed(ApertureSettings, settings["photometry"][APERTURE.section])
        self._catalog = _sky_catalog(gaia_catalog)
        self._attempt("open the image", self._open)

    def process_image(self) -> None:
        """Find the stars, refine the plate solution and measure the fluxes; nothing is saved."""
        self.find_star_catalog()
        self.refine_wcs()
        self.run_aperture_photometry()

    def find_star_catalog(self) -> None:
        """Set `star_catalog`: measured at the places of BANZAI's catalogue if the file has a good one, else detected.

        Columns: ``x``, ``y`` [pixel; 0-based], ``x_err``, ``y_err``, ``flux`` [image unit], ``snr``, ``peak``, ``fwhm``
        [pixel], ``ellipticity``, ``flags``. The table's `meta` has ``stars_source`` (``banzai`` or ``detect``),
        ``fwhm_pix``, ``sky`` and ``sky_rms``.
        """
        if self.star_catalog is None:
            self._attempt("find the stars", self._find_stars)

    def refine_wcs(self) -> None:
        """Set `image_new_wcs`: the plate solution fitted to Gaia at the epoch of the image, with distortion (SIP)."""
        self.find_star_catalog()
        self._attempt("refine the plate solution", self._refine)

    def run_aperture_photometry(self) -> None:
        """Set `aperture_photometry_table`: fluxes at the places of Gaia's stars at the epoch of the image.

        One row for each star of `gaia_catalog` in its order (rows without a usable position, and repeated ones, are
        left out): ``id`` (from 1), ``source_id``, ``ra``, ``dec`` (of the catalogue [deg]); ``x_center``, ``y_center``
        [pixel; 0-based]; ``aperture_sum``, ``aperture_sum_err`` (`gaiaflux.run_aperture_photometry` with
        `phot_aperture`, divided by the exposure time [count/s]); ``flux``, ``flux_err`` (total light as the workflow
        measures it, with the aperture correction [count/s]); ``flags`` (bits of `StarFlag`). Not measured = NaN.
        """
        if self.image_new_wcs is None:
            self.refine_wcs()
        self._attempt("measure the fluxes", self._measure)

    def find_image_layer(self, layer_name: str) -> int:
        """Index of an extension of the file.

        Parameters
        ----------
        layer_name : str
            Name; capital and small letters are the same.

        Returns
        -------
        int
            Place in the file, 0 = primary; -1 where there is none of this name.
        """
        names = layer_names(self.image_path)
        wanted = layer_name.strip().upper()
        return names.index(wanted) if wanted in names else -1

    def save_new_products_in_image(self, output_path: str | Path | None = None) -> None:
        """Save the refined plate solution and the table of fluxes as extensions of the image.

        The extensions ``GAIAFLUX_WCS`` (a header) and ``GAIAFLUX_APERTURE`` (a table) are replaced where the image has
        them; of all others every byte stays. The file changes at once or not at all.

        Parameters
        ----------
        output_path : str or Path, optional
            File or existing folder for a copy, which gets them; without it the image itself is changed.

        Raises
        ------
        RuntimeError
            There is nothing to save: the image has not been processed, or could not be.
        """
        table = self.aperture_photometry_table
        if self.status != "OK" or table is None:
            raise RuntimeError(f"{self.image_name}: nothing to save: {self.reason or 'call process_image() first'}")
        target = Path(self.image_path if output_path is None else output_path)
        if target.is_dir():
            target /= os.path.basename(self.image_path)
        radii = {APERTURE.name: np.array([self.phot_aperture])}
        facts = table_facts(self.image_name, f"{self._frame.info.unit}/s", radii, {})
        write_annotated(
            self.image_path,
            target,
            PlateExtension(cards_from_tan_sip(self._plate.wcs), plate_facts(self._plate.facts)),
            TableExtension(APERTURE.annotation.extension, table.as_array(), TABLE_UNITS, facts),
        )
        self._logger.info("%s: products saved in %s", self.image_name, target)

    @property
    def _logger(self) -> logging.Logger:
        return self.log or LOG

    def _attempt(self, what: str, step: Callable[[], None]) -> None:
        """Do a step; a frame that cannot be used is a status, everything else raises."""
        if self.status != "OK":
            self._logger.debug("%s: did not try to %s: %s", self.image_name, what, self.reason)
            return
        try:
            step()
        except BadFrameError as reason:
            self.status, self.reason = "ERROR", str(reason)
            self._logger.error("%s: could not %s: %s", self.image_name, what, reason)

    def _open(self) -> None:
        seeds = self._extract_stars.source != "detect"
        self._frame = frame = read_frame(self.image_path, self.image_name, self._reading, want_seeds=seeds)
        self.image_data = frame.image
        self.image_errors = frame.error if frame.error is not None else _pixel_errors(frame)
        try:
            self.image_original_wcs = _astropy_wcs(frame.info.wcs_cards, frame.info.shape)
        except (ValueError, TypeError, KeyError) as error:
            # The refinement may still find its way, or will say why not.
            self._logger.warning("%s: the header's WCS cannot be understood: %s", self.image_name, error)
        self._logger.info("%s: image opened, %d x %d pixels", self.image_name, *frame.info.shape[::-1])
        if self._radii.radii_arcsec is None:
            # Radii in units of the seeing, which the stars tell.
            self._find_stars()
        else:
            self.phot_aperture, _ = self._aperture(math.nan)

    def _find_stars(self) -> None:
        found, arrays = extract_stars(self._frame, self._frame.seeds, self._extract_stars)
        self._stars = arrays["stars"]
        self._frame = mark_spoiled_pixels(self._frame, arrays["cosmic_pixels"], arrays["trail_pixels"])
        facts = asdict(self._frame.info)
        facts["ny"], facts["nx"] = facts.pop("shape")
        self._facts = {**facts, **found}
        self.phot_aperture, self._annulus = self._aperture(found["fwhm_pix"])
        self.star_catalog = _table(self._stars, found)
        self._logger.info("%s: %d stars (%s)", self.image_name, len(self._stars), found["stars_source"])

    def _aperture(self, fwhm_pix: float) -> tuple[float, tuple[float, float]]:
        """Radius and annulus [pixel]."""
        info = self._frame.info
        scale = info.pixel_scale_arcsec
        if not scale > 0 and info.wcs_cards:
            wcs = tan_sip_from_cards(info.wcs_cards, info.shape)
            scale = 3600.0 * float(np.sqrt(abs(np.linalg.det(wcs.cd))))
        radii, (inner, outer) = radii_in_pixels(self._radii, fwhm_pix, scale)
        radius = float(radii[(len(radii) - 1) // 2])
        if not np.isfinite(radius):
            raise BadFrameError("the size of a pixel is unknown: set pixel_scale_arcsec of the series")
        outwards = max(radius + _GAP - inner, 0.0)
        return radius, (inner + outwards, outer + outwards)

    def _refine(self) -> None:
        self._plate = refine_frame_wcs(self._facts, self._stars, self._catalog, self._refine_wcs)
        self.image_new_wcs = _astropy_wcs(cards_from_tan_sip(self._plate.wcs), self._frame.info.shape)
        message = "%s: plate solution of %d stars, rms %.1f mas"
        self._logger.info(message, self.image_name, self._plate.facts["wcs_n_stars"], self._plate.facts["wcs_rms_mas"])

    def _measure(self) -> None:
        frame, catalog, fwhm = self._frame, self._catalog, self._facts["fwhm_pix"]
        in_fwhm = replace(
            self._radii,
            radii_fwhm=(self.phot_aperture / fwhm,),
            annulus_fwhm=tuple(radius / fwhm for radius in self._annulus),
            radii_arcsec=None,
            annulus_arcsec=None,
        )
        arrays = measure_frame(place_stars(frame, self._plate.wcs, catalog, fwhm), in_fwhm).stars
        # Else the image was not opened, and this step is not done.
        assert self.image_data is not None
        assert self.image_errors is not None
        image = np.where(frame.pixel_flags & PixelFlag.NONFINITE, np.nan, self.image_data)
        positions = np.stack([arrays["x"], arrays["y"]], axis=1)
        table = run_aperture_photometry(image, self.image_errors, positions, self.phot_aperture)
        for name in ("aperture_sum", "aperture_sum_err"):
            table[name] /= frame.info.exptime_s
        table.add_columns([catalog.source_id, catalog.ra_deg, catalog.dec_deg], [1] * 3, ["source_id", "ra", "dec"])
        for name in ("flux", "flux_err", "flags"):
            table[name] = arrays[name][:, 0]
        self.aperture_photometry_table = table
        number = int(np.isfinite(arrays["flux"]).sum())
        self._logger.info("%s: %d stars measured, radius %.2f pixel", self.image_name, number, self.phot_aperture)


def _file_of(image_name: str, image_path: str | Path) -> str:
    path = os.path.join(image_path, image_name) if os.path.isdir(image_path) else os.fspath(image_path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no image {path}")
    return path


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Complete settings from either kind of configuration."""
    photometry = config.get("photometry")
    if isinstance(photometry, Mapping) and "aperture_arcsec" in photometry:
        radius = photometry["aperture_arcsec"]
        if isinstance(radius, bool) or not isinstance(radius, Real) or not 0.1 <= float(radius) <= 100:
            raise InputError(f"photometry.aperture_arcsec: must be a number from 0.1 to 100 (arcsec), not {radius!r}")
        return complete_settings({"photometry": {APERTURE.section: {"radii_arcsec": [float(radius)]}}})
    if len(config.get("series") or ()) > 1:
        raise InputError("series: give the configuration of one series, the one of this image")
    return complete_settings(config)


def _sky_catalog(given: "Table | SkyCatalog") -> SkyCatalog:
    """Catalogue in the order of the table."""
    if isinstance(given, SkyCatalog):
        return given
    from astropy.table import Table

    table = given if isinstance(given, Table) else Table(given)
    columns = {}
    for key, name in wanted_names(table.colnames).items():
        column = table[name]
        values = np.asarray(np.ma.getdata(getattr(column, "value", column)))
        missing = np.broadcast_to(getattr(column, "mask", False), values.shape)
        columns[key] = Column(values, missing, str(column.unit or ""))
    catalog = catalog_from_columns(columns, table.colnames, "gaia_catalog").catalog
    # Stars that Gaia lacks have no name to find their row by: they come last.
    rows: dict[int, int] = {}
    for row in np.flatnonzero(~columns["source_id"].missing):
        rows.setdefault(int(columns["source_id"].values[row]), int(row))
    place = [rows[source_id] if source_id >= 0 else len(table) for source_id in catalog.source_id.tolist()]
    return catalog[np.argsort(place, kind="stable")]


def _pixel_errors(frame: Frame) -> np.ndarray:
    """One sigma of each pixel from gain, read noise and the noise of the sky."""
    noise = frame_noise(frame).model
    return np.sqrt(noise.floor + noise.slope * np.maximum(frame.image, 0.0)).astype(np.float32)


def _astropy_wcs(cards: str, shape: tuple[int, int]) -> "WCS | None":
    if not cards:
        return None
    from astropy.io import fits
    from astropy.wcs import WCS, FITSFixedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        wcs = WCS(fits.Header.fromstring(cards, sep="\n"), naxis=2)
    wcs.array_shape = shape
    return wcs


def _table(stars: np.ndarray, found: Mapping[str, object]) -> "Table":
    from astropy.table import Table

    units = {name: "pix" for name in stars.dtype.names or () if STAR_UNITS[name] == "pixel"}
    names = ("stars_source", "fwhm_pix", "sky", "sky_rms")
    return Table(stars, units=units, meta={name: found[name] for name in names})
