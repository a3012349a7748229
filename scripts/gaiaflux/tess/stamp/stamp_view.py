"""Pixels, stars and movement of one stamp: the parts that a photometry of a target is composed of."""

from types import TracebackType
from typing import Self

import numpy as np
from astropy.table import Table

from gaiaflux.core.cadences.motion import measured_shifts
from gaiaflux.core.psf.sampled import SampledPsf
from gaiaflux.core.sky.epoch import jyear_of_mjd, propagate
from gaiaflux.model.cadences import BTJD_ZERO_JD, BTJD_ZERO_MJD
from gaiaflux.model.errors import InputError
from gaiaflux.model.tess_catalog import TessCatalog
from gaiaflux.tess.stamp.frames import FrameIterator
from gaiaflux.tess.stamp.kept import FULL, Kept
from gaiaflux.tess.stamp.movement import ImageMovementKernel
from gaiaflux.tess.stamp.pixel_source import ClosedPixels, PixelSource, spacecraft_time
from gaiaflux.tess.stamp.placed_stars import PlacedStars
from gaiaflux.tess.stamp.psf import PSF
from gaiaflux.tess.stamp.stamps import Stamp, around, default_size, resized
from gaiaflux.tess.stamp.star_table import BUFFER_PIX, star_table, target_facts

__all__ = ["StampView"]

_LARGEST_BTJD = 2.0e4  # a time that is larger is an MJD
_LARGEST_MJD = 2.0e6  # a time that is larger is a JD
_ROUNDING_D = 1e-8


class StampView:
    """A rectangle of the pixels of a source, with the stars in it, around one of them.

    Parameters
    ----------
    source : PixelSource
        Pixels.
    catalog : TessCatalog
        Stars, also around the pixels.
    starid : int
        The target, a star of the catalogue.
    samples : SampledPsf, optional
        Pixel response function of the CCD; without it `psf` raises.
    cache : str
        One of `gaiaflux.tess.stamp.kept.CACHES`. What is kept is there after `close`, too.

    Attributes
    ----------
    source
        As given.
    all_stars, samples
        The catalogue and the response function, as given.
    starid : int
        The target.
    target : dict
        ra, decl (at the epoch of the observation), ra_J2000, decl_J2000 [deg], pm_ra, pm_decl [mas/yr], tmag, teff.
    target_pos_row, target_pos_column : float
        Place of the target on the CCD [pixel, 0-based].
    target_pos_row_stamp, target_pos_column_stamp : float
        The same in the stamp.
    stamp_resizes : int
        How often the stamp was changed.

    Raises
    ------
    RuntimeError
        The target is not in the catalogue.
    InputError
        It is not in the pixels.
    """

    def __init__(
        self,
        source: PixelSource,
        catalog: TessCatalog,
        starid: int,
        samples: SampledPsf | None,
        cache: str = "basic",
    ) -> None:
        self.source, self.starid, self.stamp_resizes = source, starid, 0
        self._kept = Kept(cache)
        self._placed: PlacedStars | None = None
        self.all_stars, self.samples = catalog, samples
        rows = np.flatnonzero(catalog.star_id == starid)
        if rows.size == 0:
            reason = catalog.why_missing(starid)
            raise RuntimeError(
                f"TIC {starid} is not in the catalogue{f' ({reason})' if reason else ''}; add it, or correct the number"
            )
        one = catalog[rows[:1]]
        ra, dec = propagate(one, self.epoch)
        self.target = target_facts(one, float(ra[0]), float(dec[0]))
        row, column = source.place(ra, dec)
        self.target_pos_row, self.target_pos_column = float(row[0]), float(column[0])
        self.source = source.seen_at(self.target_pos_row, self.target_pos_column)
        self._stamp = source.limits
        self._refuse_far()
        if not source.whole:
            self._stamp = around(self.target_pos_row, self.target_pos_column, self.default_stamp(), source.limits)

    def _refuse_far(self) -> None:
        """A star that puts no light into the pixels would be measured as whatever is there."""
        first, last, left, right = self.source.limits
        row, column = self.target_pos_row, self.target_pos_column
        high = first - 0.5 - BUFFER_PIX <= row <= last - 0.5 + BUFFER_PIX
        if not (high and left - 0.5 - BUFFER_PIX <= column <= right - 0.5 + BUFFER_PIX):
            raise InputError(
                f"TIC {self.starid} is at row {row:.1f}, column {column:.1f}, and the pixels are of rows {first} to "
                f"{last - 1}, columns {left} to {right - 1}: give a file that it is in, or correct its position"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the pixels: to ask for them raises ValueError then. A second time does nothing."""
        source = self.source
        if not isinstance(source, ClosedPixels):
            self.source = ClosedPixels.of(source)
            source.close()

    def clear_cache(self) -> None:
        """Forget what was made from the pixels; it is made again when it is asked for."""
        self._kept.clear()

    @property
    def epoch(self) -> float:
        """Julian year of the middle of the observation."""
        return jyear_of_mjd(BTJD_ZERO_MJD + float(np.mean(self.source.time)))

    @property
    def placed_stars(self) -> PlacedStars:
        """`all_stars` at the time of observation, with their places; made once for a catalogue."""
        if self._placed is None or self._placed.catalog is not self.all_stars:
            self._placed = PlacedStars.of(self.all_stars, self.source, self.epoch)
        return self._placed

    @property
    def sky(self) -> tuple[float, float]:
        """Right ascension and declination of the target at the time of observation [deg]."""
        return self.target["ra"], self.target["decl"]

    @property
    def stamp(self) -> Stamp:
        """(row_min, row_max, col_min, col_max) on the CCD, 0-based, half-open."""
        return self._stamp

    @property
    def target_pos_row_stamp(self) -> float:
        """Row of the target in the stamp [pixel, 0-based]."""
        return self.target_pos_row - self._stamp[0]

    @property
    def target_pos_column_stamp(self) -> float:
        """Column of the target in the stamp [pixel, 0-based]."""
        return self.target_pos_column - self._stamp[2]

    def default_stamp(self) -> tuple[int, int]:
        """Rows and columns of the target's stamp in full-frame images; of a target file all are taken."""
        return default_size(self.target["tmag"])

    def resize_stamp(
        self,
        down: int | None = None,
        up: int | None = None,
        left: int | None = None,
        right: int | None = None,
        width: int | None = None,
        height: int | None = None,
    ) -> bool:
        """Change the stamp; everything that is made from its pixels follows.

        Parameters
        ----------
        down, up, left, right : int, optional
            Pixels by which it grows on a side; negative ones shrink it.
        width, height : int, optional
            Columns and rows around the target, made odd; they win over the sides.

        Returns
        -------
        bool
            Whether the stamp is another one now: it is cut off at the limits of the data.

        Raises
        ------
        ValueError
            No pixel would remain; the stamp stays as it is.
        """
        target = (self.target_pos_row, self.target_pos_column)
        sides = (down or 0, up or 0, left or 0, right or 0)
        new = resized(self._stamp, self.source.limits, target, sides=sides, width=width, height=height)
        if new == self._stamp:
            return False
        self._stamp = new
        self.stamp_resizes += 1
        self._kept.clear()
        return True

    def get_pixel_grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Columns and rows of the pixels on the CCD, 1-based: two arrays of int32 of the shape of the stamp."""
        row_min, row_max, col_min, col_max = self._stamp
        columns, rows = np.meshgrid(
            np.arange(col_min + 1, col_max + 1, dtype=np.int32), np.arange(row_min + 1, row_max + 1, dtype=np.int32)
        )
        return columns, rows

    @property
    def images_cube(self) -> np.ndarray:
        """Flux without the background [electron/s], float32, shape (rows, cols, times), read-only."""
        return _cube(self._frames("images"))

    @property
    def images_err_cube(self) -> np.ndarray:
        """One-sigma error of `images_cube` [electron/s], as it."""
        return _cube(self._frames("stated_errors"))

    @property
    def backgrounds_cube(self) -> np.ndarray:
        """Background that was subtracted [electron/s], as `images_cube`; zeros in a cut-out, where nothing was."""
        return _cube(self._frames("backgrounds"))

    @property
    def pixelflags_cube(self) -> np.ndarray:
        """Flags of the pixels of full-frame images, uint8, shape (rows, cols, images).

        Of a target pixel file the images are those beside it that were prepared of its CCD; without them there is none.
        """
        return _cube(self._frames("pixel_flags"))

    @property
    def images(self) -> FrameIterator:
        """Images one after the other, shape (rows, cols); see `images_cube`."""
        return FrameIterator(self._frames("images"))

    @property
    def images_err(self) -> FrameIterator:
        """Errors one after the other; see `images_err_cube`."""
        return FrameIterator(self._frames("stated_errors"))

    @property
    def backgrounds(self) -> FrameIterator:
        """Backgrounds one after the other; see `backgrounds_cube`."""
        return FrameIterator(self._frames("backgrounds"))

    @property
    def pixelflags(self) -> FrameIterator:
        """Flags of the pixels at the time of each image: those of the full-frame image nearest at the spacecraft.

        Zeros where none is within one of its cadences.
        """
        return FrameIterator(self._frames("pixel_flags"), self.source.image_of_time)

    def _frames(self, name: str) -> np.ndarray:
        """Frames of the source in the stamp, read-only: what is kept would change with them."""

        def read() -> np.ndarray:
            frames: np.ndarray = getattr(self.source, name)(self._stamp).view()
            frames.flags.writeable = False
            return frames

        return self._kept.get(name, read, FULL)

    @property
    def aperture(self) -> np.ndarray:
        """Bits of each pixel, int32, shape (rows, cols); a copy."""
        return self._kept.get("aperture", lambda: self.source.aperture(self._stamp)).copy()

    @property
    def sumimage(self) -> np.ndarray:
        """Mean of the images of quality 0 [electron/s], float64, shape (rows, cols); a copy.

        Where there is none, of those without a disqualifying bit, and `photometry` warns.
        """
        return self._kept.get("sumimage", lambda: self.source.mean_image(self._stamp)).copy()

    @property
    def catalog(self) -> Table:
        """Stars within the stamp and 5 pixels around it: starid, tmag, ra, dec, row, column, row_stamp, column_stamp.

        Places are 0-based; ``meta["in_stamp"]`` says of each row whether it is within the stamp itself. A copy.
        """
        return self._kept.get("catalog", lambda: star_table(self.placed_stars, self._stamp)).copy()

    @property
    def spacecraft_time(self) -> np.ndarray:
        """Mid-exposures at the spacecraft, BTJD [d], shape (times,); barycentric where the correction is unknown."""
        return spacecraft_time(self.source)

    def catalog_attime(self, time: float) -> Table:
        """`catalog` with the stars where the movement of the spacecraft has put them.

        Parameters
        ----------
        time : float
            At the spacecraft: MJD (TDB); BTJD and JD are told by their size. A barycentric time is up to 500 s off, in
            which stars move by 0.01 pixel at most but for a momentum dump.

        Returns
        -------
        astropy.table.Table

        Raises
        ------
        ValueError
            The time is not finite, or more than a cadence outside of the observation.
        """
        if not np.isfinite(time):
            raise ValueError(f"time {time} is not finite")
        btjd = time - BTJD_ZERO_JD if time > _LARGEST_MJD else time - BTJD_ZERO_MJD if time > _LARGEST_BTJD else time
        seen = self.spacecraft_time
        first, last, step = float(seen.min()), float(seen.max()), np.nan_to_num(self.source.cadence_s) / 86400.0
        # The last bit of an MJD is a microsecond.
        if not first - step - _ROUNDING_D <= btjd <= last + step + _ROUNDING_D:
            raise ValueError(
                f"time {time} (BTJD {btjd:.5f}) is more than a cadence outside of the observation, BTJD {first:.5f} to "
                f"{last:.5f} at the spacecraft"
            )
        table = self.catalog
        places = np.stack([table["column"], table["row"]], axis=1)
        offsets = self.MovementKernel.interpolate(min(max(btjd, first), last), places)
        for name, offset in zip(("column", "row"), offsets.T, strict=True):
            table[name] += offset
            table[f"{name}_stamp"] += offset
        return table

    @property
    def MovementKernel(self) -> ImageMovementKernel:
        """Movement of the stars with the time at the spacecraft [BTJD]; ``unchanged`` where the file tells nothing.

        A cadence without a shift has one between those of its neighbours, at the ends that of the next.
        """
        return self._kept.get("movement", self._movement)

    def _movement(self) -> ImageMovementKernel:
        seen, movement = self.spacecraft_time, self.source.movement
        if movement is not None:
            kernel = ImageMovementKernel(movement.mode)
            kernel.load_series(seen, movement.parameters)
            return kernel
        shifts = measured_shifts(self.source.pos_corr, seen)
        if not shifts.known.any():
            return ImageMovementKernel("unchanged")
        kernel = ImageMovementKernel("translation")
        kernel.load_series(seen, shifts.shift)
        return kernel

    @property
    def psf(self) -> PSF:
        """Pixel response function on the stamp.

        Raises
        ------
        FileNotFoundError
            There are no files of it for this CCD.
        """
        return self._kept.get("psf", self._response)

    def _response(self) -> PSF:
        source = self.source
        if self.samples is None:
            raise FileNotFoundError(
                f"no pixel response function of camera {source.camera}, CCD {source.ccd}: put its files (*prf*.fits) "
                "into the input folder"
            )
        return PSF(source.sector, source.camera, source.ccd, self._stamp, self.samples)


def _cube(frames: np.ndarray) -> np.ndarray:
    """Time as the last axis: a view."""
    return np.moveaxis(frames, 0, -1)
