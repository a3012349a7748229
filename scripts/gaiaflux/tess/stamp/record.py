"""What became of a target, and whether that can be so."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from astropy.table import Table

from gaiaflux.io.tess.weight_map import WeightMap
from gaiaflux.tess.stamp.light_curve_table import Measurement
from gaiaflux.tess.stamp.metrics import edge_flux, performance
from gaiaflux.tess.stamp.status import STATUS

__all__ = ["MEASURED", "Record", "Recorded"]

MEASURED = (STATUS.OK, STATUS.WARNING)
"""States in which there is a light curve."""
_CONTAMINATION = ("AP_CONT", "PSF_CONT")
_COLUMNS = ("time", "flux", "flux_err", "pos_centroid", "quality")


@dataclass
class Record:
    """Results of the photometry of a target.

    Attributes
    ----------
    lightcurve : Table
        See `gaiaflux.tess.stamp.light_curve_table`.
    details : dict
        ``errors`` (list of str), ``skip_targets`` (list of int), and the figures of the light curve.
    status : STATUS
        What became of it.
    final_phot_mask, final_position_mask : ndarray of bool, shape (rows, cols)
        Pixels of the flux and of the centroid; None where no mask was used.
    additional_headers : dict
        Keyword -> (value, comment) for the light curve's file.
    model : ndarray, shape (rows, cols)
        Mean image as the fit has it [electron/s]; None without a fit.
    weights : WeightMap
        Of the pixels; None where the flux is a plain sum of them, or a fit.
    """

    lightcurve: Table
    details: dict[str, Any]
    status: STATUS = STATUS.UNKNOWN
    final_phot_mask: np.ndarray | None = None
    final_position_mask: np.ndarray | None = None
    additional_headers: dict[str, tuple[Any, str]] = field(default_factory=dict)
    model: np.ndarray | None = None
    weights: WeightMap | None = None

    def __post_init__(self) -> None:
        self._remarks: tuple[str, ...] = ()
        self._keys: tuple[str, ...] = ()
        self._figures: tuple[str, ...] = ()

    def restart(self, lightcurve: Table) -> None:
        """Forget the last measurement, and nothing that the user has added.

        Parameters
        ----------
        lightcurve : Table
            With nothing measured.
        """
        for remark in self._remarks:
            if remark in self.details["errors"]:
                self.details["errors"].remove(remark)
        for key in self._keys:
            self.additional_headers.pop(key, None)
        for name in self._figures:
            self.details.pop(name, None)
        self._remarks, self._keys, self._figures = (), (), ()
        self.status, self.lightcurve = STATUS.UNKNOWN, lightcurve
        self.final_phot_mask, self.final_position_mask, self.model, self.weights = None, None, None, None

    def take(self, measured: Measurement, lightcurve: Table) -> STATUS:
        """Take over what a method measured.

        Parameters
        ----------
        measured : Measurement
        lightcurve : Table
            The same as a table.

        Returns
        -------
        STATUS
        """
        self.lightcurve, self.model, self.weights = lightcurve, measured.model, measured.weights
        self.final_phot_mask, self.final_position_mask = measured.mask, measured.mask
        self.additional_headers |= measured.cards
        self._remarks, self._keys = measured.remarks, tuple(measured.cards)
        self.details["errors"] += measured.remarks
        return measured.status

    def report(self, error: str | None = None, skip_targets: Iterable[int] | None = None) -> None:
        """Add a message, or replace the targets that need no photometry.

        Parameters
        ----------
        error : str, optional
        skip_targets : iterable of int, optional
            TIC numbers.
        """
        if error is not None:
            self.details["errors"].append(str(error))
        if skip_targets is not None:
            self.details["skip_targets"] = [int(star) for star in skip_targets]

    def finish(self, status: object, mean_image: np.ndarray | None) -> None:
        """Check what a measurement says, and add its figures to `details`.

        Parameters
        ----------
        status : STATUS
            As `do_photometry` returned it.
        mean_image : ndarray, shape (rows, cols), optional
            Needed where there is a mask [electron/s].

        Raises
        ------
        ValueError
            No status, UNKNOWN, or one of `MEASURED` without a finite flux or error.
        """
        if not isinstance(status, int) or status not in list(STATUS) or status == STATUS.UNKNOWN:
            raise ValueError(f"do_photometry left the status UNKNOWN: it has to return a STATUS, and gave {status!r}")
        self.status = STATUS(status)
        if self.status not in MEASURED:
            return
        for name in ("flux", "flux_err"):
            if not np.isfinite(self.lightcurve[name]).any():
                self.status = STATUS.ERROR
                raise ValueError(f"the status is {STATUS(status).name}, and no {name} is finite")
        figures: dict[str, Any] = dict(performance(*(np.asarray(self.lightcurve[name]) for name in _COLUMNS)))
        mask = self.final_phot_mask
        if mask is not None and mean_image is not None:
            figures |= {"mask_size": int(mask.sum()), "edge_flux": edge_flux(mean_image, mask)}
        stated = [self.additional_headers[key][0] for key in _CONTAMINATION if key in self.additional_headers]
        if stated:
            figures["contamination"] = float(stated[0])
        self.details |= figures
        self._figures = tuple(figures)


class Recorded:
    """An attribute of the `Record` that an object has as ``record``, as an attribute of the object."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else getattr(instance.record, self._name)

    def __set__(self, instance: Any, value: object) -> None:
        setattr(instance.record, self._name, value)
