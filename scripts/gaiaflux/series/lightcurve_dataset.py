"""The dataset of a series as tables and arrays in memory, and light curves from it."""

import logging
import operator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gaiaflux.core.sky.bands import MagnitudeScale
from gaiaflux.io.dataset import DatasetReader
from gaiaflux.model.methods import APERTURE
from gaiaflux.series.magnitudes import magnitudes_of_star, method_scale

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["AperturePhotometryDataset"]

LOG = logging.getLogger(__name__)
_METHOD = APERTURE.name


class AperturePhotometryDataset:
    """Aperture photometry of all stars in all frames of a series.

    Rows of `source_id`, `wcs_positions`, `positions` and of the arrays are stars; rows of `timestamps` and `exptimes`,
    columns of `flux` and `err_flux`, and entries of `pscale` and `epscale` are frames, sorted by time.

    Parameters
    ----------
    file_path : str or Path, optional
        Dataset of a series (``dataset.h5``); without one everything is empty.

    Attributes
    ----------
    source_id : astropy.table.Table
        ``ID``: Gaia source identifier, int64; -1 = not in Gaia.
    wcs_positions : astropy.table.Table
        ``ra``, ``dec`` at the reference epoch, ICRS [deg].
    positions : astropy.table.Table
        ``x``, ``y`` on the reference image [pixel; 0-based, integer = pixel centre].
    timestamps : astropy.table.Table
        ``MJD`` of mid-exposure at the observatory, UTC [d].
    exptimes : astropy.table.Table
        ``exptime`` [s].
    flux, err_flux : ndarray of float32, shape (n_stars, n_frames)
        Total flux as measured and its error, in the unit of the dataset (electron/s or adu/s); NaN where not measured.
    pscale, epscale : ndarray of float64, shape (n_frames,)
        Photometric scale of each frame (1 = typical, above 1 = more flux arrives) and its error; NaN where unknown.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is not a dataset with aperture photometry.
    InputError
        The version of its schema is not one that is read (`gaiaflux.io.dataset.READABLE_VERSIONS`).
    """

    def __init__(self, file_path: str | Path | None = None) -> None:
        self.flux = self.err_flux = np.empty((0, 0), np.float32)
        self.pscale = self.epscale = np.empty(0)
        self._calibrated: tuple[np.ndarray, np.ndarray] = (self.flux, self.err_flux)
        self._scale: MagnitudeScale | None = None
        self._colour = np.empty(0)
        nothing = np.empty(0)
        self._set_tables(np.empty(0, np.int64), *([nothing] * 6))
        if file_path is not None:
            self.load_hdf5(file_path)

    def load_hdf5(self, file_path: str | Path) -> "AperturePhotometryDataset":
        """Read a dataset; on an error the object stays as it was.

        Parameters
        ----------
        file_path : str or Path
            Dataset of a series (``dataset.h5``).

        Returns
        -------
        AperturePhotometryDataset
            This object.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ValueError
            The file is not a dataset with aperture photometry.
        InputError
            The version of its schema is not one that is read.
        """
        if not Path(file_path).is_file():
            raise FileNotFoundError(f"there is no dataset {file_path}")
        with DatasetReader(file_path) as source:
            if _METHOD not in source.methods:
                raise ValueError(
                    f"{file_path} has no aperture photometry, only {', '.join(source.methods) or 'nothing'}"
                )
            stars = [source.array(f"stars/{name}") for name in ("source_id", "ra_deg", "dec_deg", "x_ref", "y_ref")]
            frames = [source.array(f"frames/{name}") for name in ("mjd_utc", "exptime_s")]
            names = ("flux", "flux_err", "pscale", "epscale", "flux_cal", "flux_cal_err")
            arrays = [source.array(f"{_METHOD}/{name}") for name in names]
            scale, colour = method_scale(source, _METHOD), source.stars()["colour"]
        self._scale, self._colour = scale, colour
        self._set_tables(*stars, *frames)
        self.flux, self.err_flux, self.pscale, self.epscale, flux_cal, flux_cal_err = arrays
        self._calibrated = flux_cal, flux_cal_err
        return self

    def get_lightcurve(self, star_idx: int, filter: str, log: logging.Logger | None = None) -> "Table":
        """Calibrated light curve of a star.

        Parameters
        ----------
        star_idx : int
            Row of the star, from 0 (not its ID).
        filter : str
            Name of the filter, which labels the table (``meta["filter"]``).
        log : logging.Logger, optional
            Gets the number of measurements.

        Returns
        -------
        astropy.table.Table
            ``MJD`` [d, UTC], ``flux``, ``err_flux`` on the common scale of the series, ``mag``, ``err_mag`` (of
            ``meta["magnitude_system"]``). Frames without a calibrated flux and its error are left out. ``mag`` and
            ``err_mag`` are NaN where noise makes the flux negative, or where the series has no zero point.

        Raises
        ------
        IndexError
            There is no such row; a negative number does not count from the end.
        """
        row, number = operator.index(star_idx), len(self.source_id)
        if not 0 <= row < number:
            raise IndexError(f"star_idx {row} is not a row of the {number} stars (it counts from 0 and is not the ID)")
        assert self._scale is not None  # it came with the stars
        from astropy.table import Table

        mjd = np.asarray(self.timestamps["MJD"])
        flux, error = (array[row].astype(np.float64) for array in self._calibrated)
        valid = np.isfinite(mjd) & np.isfinite(flux) & np.isfinite(error) & (error > 0)
        mjd, flux, error = mjd[valid], flux[valid], error[valid]
        mag, mag_err = magnitudes_of_star(self._scale, flux, error, self._colour[row])
        source_id = int(self.source_id["ID"][row])
        (log or LOG).info("star %d (ID %d): %d of %d frames", row, source_id, len(mjd), len(valid))
        return Table(
            {
                "MJD": mjd,
                "flux": flux,
                "err_flux": error,
                "mag": mag,
                "err_mag": np.where(np.isfinite(mag), mag_err, np.nan),
            },
            units={"MJD": "d", "mag": "mag", "err_mag": "mag"},
            meta={"filter": filter, "star_idx": row, "source_id": source_id, "magnitude_system": self._scale.system},
        )

    def _set_tables(
        self,
        source_id: np.ndarray,
        ra: np.ndarray,
        dec: np.ndarray,
        x: np.ndarray,
        y: np.ndarray,
        mjd: np.ndarray,
        exptime: np.ndarray,
    ) -> None:
        from astropy.table import Table

        self.source_id = Table({"ID": source_id})
        self.wcs_positions = Table({"ra": ra, "dec": dec}, units={"ra": "deg", "dec": "deg"})
        self.positions = Table({"x": x, "y": y}, units={"x": "pix", "y": "pix"})
        self.timestamps = Table({"MJD": mjd}, units={"MJD": "d"})
        self.exptimes = Table({"exptime": exptime}, units={"exptime": "s"})
