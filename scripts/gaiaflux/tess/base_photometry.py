"""Photometry of one target of TESS, with the documented interface of the TASOC photometry module."""

import configparser
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from gaiaflux.tess.inputs import input_errors_as_documented, open_inputs, tic_number
from gaiaflux.tess.stamp.light_curve_table import Measurement, empty_table, light_curve_table
from gaiaflux.tess.stamp.measurement import effective_settings
from gaiaflux.tess.stamp.pictures import delete_pictures, picture_of_target, save_picture
from gaiaflux.tess.stamp.products import save_record
from gaiaflux.tess.stamp.record import MEASURED, Record, Recorded
from gaiaflux.tess.stamp.stamp_view import StampView
from gaiaflux.tess.stamp.status import STATUS

__all__ = ["BasePhotometry"]


class BasePhotometry(StampView):
    """A target, its light curve and its files; a subclass measures it in `do_photometry`.

    Pixels and stars are those of `StampView`, results those of `Record`: see there for more attributes.

    Parameters
    ----------
    starid : int
        TIC number.
    input_folder, output_folder : str or Path
        Where target pixel files or prepared images (``prepared.h5`` and the batches that it names), a catalogue and
        pixel response functions are, in it or below (or the folder of a field of the workflow); where light curves and
        plots go. Prepared images of its CCD tell the flags of the pixels of a target pixel file.
    datasource : str
        ``ffi``, ``tpf``, or ``tpf:TIC`` for the pixels of another star's target pixel file.
    plot : bool
        Whether `photometry` makes plots.
    camera, ccd, sector, cadence : int, optional
        Choose between several; full-frame images need camera and ccd. `cadence` [s].
    cache : str
        See `gaiaflux.tess.stamp.kept.CACHES`; a target pixel file is in memory in any case, until `close`.
    version : int
        Of the light curves, for headers and names.

    Raises
    ------
    RuntimeError
        The star is not in the catalogue.
    FileNotFoundError
        A file is missing, or there are several.
    ValueError
        Another `datasource` or `cache`, ``ffi`` without camera and ccd, or a file that cannot be used.
    """

    method = "base"
    status, lightcurve, details, additional_headers = Recorded(), Recorded(), Recorded(), Recorded()
    final_phot_mask, final_position_mask = Recorded(), Recorded()

    def __init__(
        self,
        starid: int,
        input_folder: str | Path,
        output_folder: str | Path,
        datasource: str = "ffi",
        *,
        plot: bool = False,
        camera: int | None = None,
        ccd: int | None = None,
        sector: int | None = None,
        cadence: int | None = None,
        cache: str = "basic",
        version: int = 6,
    ) -> None:
        where = {"camera": camera, "ccd": ccd, "sector": sector, "cadence": cadence}
        opened = open_inputs(tic_number(starid), input_folder, datasource, cache, where)
        with ExitStack() as files, input_errors_as_documented():
            files.callback(opened.source.close)
            super().__init__(opened.source, opened.catalog, tic_number(starid), opened.samples, cache)
            files.pop_all()
        self.input_folder, self.output_folder = str(input_folder), str(output_folder)
        self.datasource, self.cache, self.version = datasource.partition(":")[0], cache, version
        self.plot_folder = str(Path(output_folder) / "plots" / f"{self.starid:011d}") if plot else None
        self.record = Record(empty_table(self.source, self.sky), {"errors": list(opened.remarks)})
        self._restart()

    def _restart(self) -> None:
        self.record.restart(empty_table(self.source, self.sky))
        self.details |= {"stamp": self.stamp, "stamp_resizes": self.stamp_resizes}

    def resize_stamp(self, *args: int | None, **kwargs: int | None) -> bool:
        """See `StampView.resize_stamp`; after a change nothing is measured."""
        changed = super().resize_stamp(*args, **kwargs)
        if changed:
            self._restart()
        return changed

    def _frames(self, name: str) -> np.ndarray:
        with input_errors_as_documented():
            return super()._frames(name)

    @property
    def settings(self) -> configparser.ConfigParser:
        """Settings and constants that are in force; changing them changes nothing."""
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_dict(effective_settings(self.method, self.source.zero_point))
        return parser

    def do_photometry(self) -> STATUS:
        """Fill `lightcurve`; a subclass does it and says what became of it."""
        raise NotImplementedError("a subclass of BasePhotometry has to measure")

    def take(self, measured: Measurement) -> STATUS:
        """Take over what a method measured."""
        return self.record.take(measured, light_curve_table(self.source, self.stamp, measured, self.sky))

    def photometry(self, *args: Any, **kwargs: Any) -> STATUS:
        """Run `do_photometry` with the arguments, check what it gave, add its figures to `details`, and make the plot.

        It raises ValueError where the status stays unknown, or says that there is a light curve and none is finite.
        """
        self._restart()
        with input_errors_as_documented():
            status = self.do_photometry(*args, **kwargs)
        mask = self.final_phot_mask
        self.record.finish(status, None if mask is None else self.sumimage)
        if self.plot_folder and self.status in MEASURED:
            title = f"TIC {self.starid}, {self.method}"
            figure = picture_of_target(title, self.sumimage, self.record.model, mask, self.catalog, self.lightcurve)
            save_picture(figure, self.plot_folder, f"{self.starid:011d}-{self.method}")
        return self.record.status

    def report_details(self, error: str | None = None, skip_targets: list[int] | None = None) -> None:
        """Add a text to ``details["errors"]``, or set ``details["skip_targets"]``: targets that need no photometry."""
        self.record.report(error, skip_targets)

    def delete_plots(self) -> None:
        """Remove the plots that this package made in `plot_folder`; nothing where plots are off."""
        if self.plot_folder:
            delete_pictures(self.plot_folder)

    def save_lightcurve(self, output_folder: str | Path | None = None, version: int | None = None) -> str:
        """Write the light curve as FITS and return its path; folder and version are those of the object without them.

        It raises ValueError where nothing was measured, the pixels are closed, or there is no version.
        """
        folder = self.output_folder if output_folder is None else output_folder
        path = save_record(self, self.record, self.method, folder, self.version if version is None else version)
        self.details["filepath_lightcurve"] = path.relative_to(folder).as_posix()
        return str(path)
