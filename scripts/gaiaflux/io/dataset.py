"""The dataset of a series as an HDF5 file: rows are stars, columns are frames; opened with h5py alone.

The tables of frames and of stars are columns of one length under ``/frames`` and ``/stars``; each method of photometry
has a group of its own. Every dataset has the attributes ``unit`` and ``description``. Texts are UTF-8 strings of
variable length.
"""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import h5py
import numpy as np

from gaiaflux.io.hdf5 import new_hdf5
from gaiaflux.model.columns import Column
from gaiaflux.model.errors import InputError

__all__ = [
    "FORMAT",
    "FRAME_COLUMNS",
    "READABLE_VERSIONS",
    "SCHEMA_VERSION",
    "STAR_COLUMNS",
    "DatasetReader",
    "DatasetWriter",
    "empty_frames",
]

FORMAT = "gaiaflux"
SCHEMA_VERSION = 2
READABLE_VERSIONS = (1, 2)
"""Versions of the schema that `DatasetReader` reads. In the first one flags had 16 bits."""
GROUND = "ground"
"""Family of a dataset that states none."""
_TEXT = h5py.string_dtype("utf-8")
_CHUNK = (256, 100)  # rows, columns of many stars


FRAME_COLUMNS = {
    "frame_id": Column("text", "", "name of the frame, unique in the series"),
    "path": Column("text", "", "file of the image"),
    "sha256": Column("text", "", "checksum of the file's bytes"),
    "status": Column("text", "", "ok, or the reason why the frame was not measured"),
    "flags": Column("u4", "", "bits of the frame flags (gaiaflux.model.flags.FRAME_FLAGS)"),
    "mission_quality": Column("i4", "", "quality bits that a space mission gives the frame; 0 from the ground"),
    "camera": Column("text", "", "camera"),
    "filter": Column("text", "", "filter"),
    "unit": Column("text", "", "unit of the frame's counts: electron, or adu where no gain is known"),
    "nx": Column("i4", "pixel", "columns of the image"),
    "ny": Column("i4", "pixel", "rows of the image"),
    "mjd_utc": Column("f8", "d", "mid-exposure at the observatory, Modified Julian Date, UTC"),
    "mjd_tdb": Column("f8", "d", "mid-exposure at the observatory, Modified Julian Date, TDB"),
    "observer_au": Column(
        "f8",
        "au",
        "position of the observer from the barycentre of the solar system, ICRS axes; "
        "BJD_TDB of a star = mjd_tdb + 2400000.5 + (observer_au . unit vector to the star) * 499.004784 s",
    ),
    "time_rule": Column("text", "", "how mid-exposure was found in the header"),
    "exptime_s": Column("f8", "s", "exposure time"),
    "airmass": Column("f8", "", "airmass"),
    "fwhm_pix": Column("f8", "pixel", "full width at half maximum of the stars"),
    "ellipticity": Column("f8", "", "1 - minor / major axis of the stars"),
    "sky": Column("f8", "count/pixel", "level of the sky in the frame's unit"),
    "sky_rms": Column("f8", "count/pixel", "noise of one pixel of sky in the frame's unit"),
    "zero_point": Column(
        "f8", "mag", "to Gaia G: magnitude = zero_point - 2.5 log10(flux as measured); NaN where not known"
    ),
    "wcs_header": Column("text", "", "refined plate solution, FITS cards, one a line"),
    "wcs_cd1_1": Column("f8", "deg/pixel", "refined plate solution, CD1_1: change of xi (to the east) along x"),
    "wcs_cd1_2": Column("f8", "deg/pixel", "refined plate solution, CD1_2: change of xi (to the east) along y"),
    "wcs_cd2_1": Column("f8", "deg/pixel", "refined plate solution, CD2_1: change of eta (to the north) along x"),
    "wcs_cd2_2": Column("f8", "deg/pixel", "refined plate solution, CD2_2: change of eta (to the north) along y"),
    "centre_ra_deg": Column("f8", "deg", "right ascension of the image's centre by the refined plate solution, ICRS"),
    "centre_dec_deg": Column("f8", "deg", "declination of the image's centre by the refined plate solution, ICRS"),
    "wcs_rms_mas": Column("f8", "mas", "rms of the stars about the plate solution"),
    "wcs_n_stars": Column("i4", "", "stars of the plate solution"),
    "wcs_method": Column("text", "", "how the stars were matched"),
    "sip_order": Column("i4", "", "order of the distortion of the plate solution"),
    "corner_coverage": Column("f8", "", "part of the image's corner regions with stars of the plate solution, 0 to 1"),
    "n_measured": Column("i4", "", "stars with a flux"),
    "gain": Column("f8", "electron/adu", "gain that the counts were multiplied by; NaN where unknown"),
    "read_noise": Column("f8", "electron", "read noise"),
    "saturation": Column("f8", "count", "saturation level in the frame's unit"),
    "site_lat_deg": Column("f8", "deg", "latitude of the observatory"),
    "site_lon_deg": Column("f8", "deg", "longitude of the observatory, positive to the east"),
    "site_height_m": Column("f8", "m", "height of the observatory"),
    "aperture_m": Column("f8", "m", "diameter of the telescope"),
}
"""Columns of ``/frames``."""

STAR_COLUMNS = {
    "star_id": Column("i8", "", "number of the star, fixed for the series"),
    "source_id": Column("i8", "", "Gaia source identifier; -1 = not in Gaia"),
    "ra_deg": Column("f8", "deg", "right ascension at ref_epoch, ICRS"),
    "dec_deg": Column("f8", "deg", "declination at ref_epoch, ICRS"),
    "ref_epoch": Column("f8", "yr", "Julian year of the position"),
    "pmra": Column("f8", "mas/yr", "proper motion in right ascension, times cos(dec)"),
    "pmdec": Column("f8", "mas/yr", "proper motion in declination"),
    "parallax": Column("f8", "mas", "parallax"),
    "phot_g_mean_mag": Column("f8", "mag", "Gaia G; NaN where unknown"),
    "bp_rp": Column("f8", "mag", "Gaia BP - RP; NaN where unknown"),
    "x_ref": Column("f8", "pixel", "column on the reference image, 0-based, integer = pixel centre"),
    "y_ref": Column("f8", "pixel", "row on the reference image, 0-based, integer = pixel centre"),
    "mag_ref": Column(
        "f8", "mag", "magnitude on the reference image, as Gaia G without a colour term; NaN where unknown"
    ),
    "place": Column(
        "i1",
        "",
        "where the position is from: 0 = the catalogue, 1 = measured on the reference image, 2 = the catalogue, but "
        "nothing is there",
    ),
}
"""Columns of ``/stars``."""


_STAR_NAMES = {"mag": "phot_g_mean_mag", "colour": "bp_rp"}
"""Columns of ``/stars`` whose name in the file is that of Gaia, whatever the source of the stars is."""


def empty_frames(n_frames: int) -> dict[str, np.ndarray]:
    """Columns of ``/frames`` with nothing known: NaN, 0 and empty texts; `observer_au` has shape (n_frames, 3)."""
    columns = {}
    for name, column in FRAME_COLUMNS.items():
        shape = (n_frames, 3) if name == "observer_au" else (n_frames,)
        if column.dtype == "text":
            columns[name] = np.full(shape, "", dtype=object)
        else:
            columns[name] = np.full(shape, np.nan if column.dtype[0] == "f" else 0, dtype=column.dtype)
    return columns


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Rows and columns that are stored together: as many numbers for few stars with many columns as for many stars."""
    rows = min(_CHUNK[0], max(shape[0], 1))
    return rows, max(_CHUNK[1], _CHUNK[0] * _CHUNK[1] // rows)


def _values(dataset: h5py.Dataset, rows: slice | tuple = ()) -> np.ndarray:
    return dataset.asstr()[rows] if h5py.check_string_dtype(dataset.dtype) else dataset[rows]


class DatasetWriter:
    """Write a dataset piece by piece in a ``with`` block, at whose end the file appears under its name.

    Parameters
    ----------
    path : str or Path
        File to write; its folder is made.
    """

    def __init__(self, path: str | Path) -> None:
        self._opened = new_hdf5(path, libver=("v110", "v110"))

    def attributes(self, values: Mapping[str, str | int | float], group: str = "/") -> None:
        """Set attributes of the file or of a group."""
        self._file.require_group(group).attrs.update(values)

    def table(self, group: str, columns: Mapping[str, np.ndarray], schema: Mapping[str, Column]) -> None:
        """Write the columns of a schema as the datasets of a group.

        Parameters
        ----------
        group : str
            ``frames`` or ``stars``.
        columns : mapping of str to ndarray
            Arrays of one length, by name; all columns of the schema.
        schema : mapping of str to Column
            `FRAME_COLUMNS` or `STAR_COLUMNS`.
        """
        for name, column in schema.items():
            values = np.asarray(columns[name])
            values = values.astype(object if column.dtype == "text" else column.dtype)
            self.array(f"{group}/{name}", values, column.unit, column.description)

    def stars(self, columns: Mapping[str, np.ndarray], schema: Mapping[str, Column]) -> None:
        """Write the table of the stars, by the names of `gaiaflux.model.catalog.StarCatalog`."""
        self.table("stars", {_STAR_NAMES.get(name, name): values for name, values in columns.items()}, schema)

    def array(self, name: str, values: np.ndarray, unit: str, description: str) -> None:
        """Write a whole dataset; an array of objects holds texts."""
        dtype = _TEXT if values.dtype == object else values.dtype
        self._describe(self._file.create_dataset(name, data=values, dtype=dtype), unit, description)

    def grid(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: str,
        unit: str,
        description: str,
        chunks: tuple[int, ...] | None = None,
    ) -> h5py.Dataset:
        """Make a chunked dataset to be filled in blocks; what is never written is NaN or 0."""
        fill = np.nan if dtype[0] == "f" else 0
        chunks = chunks or _chunks(shape)
        chunks = tuple(max(1, min(c, s)) for c, s in zip(chunks, shape, strict=True))
        # An array without elements cannot be chunked.
        options = {"chunks": chunks, "fillvalue": fill} if all(shape) else {}
        dataset = self._file.create_dataset(name, shape, dtype, **options)
        self._describe(dataset, unit, description)
        return dataset

    def read(self, name: str) -> np.ndarray:
        """A dataset that was written; texts as an array of str objects."""
        return _values(self._file[name])

    def made(self, name: str) -> h5py.Dataset:
        """A dataset that was made, to be read and written in pieces."""
        return self._file[name]

    def __contains__(self, name: str) -> bool:
        """Whether a dataset or group of this name was written."""
        return name in self._file

    @staticmethod
    def _describe(dataset: h5py.Dataset, unit: str, description: str) -> None:
        dataset.attrs["unit"] = unit
        dataset.attrs["description"] = description

    def __enter__(self) -> "DatasetWriter":
        self._file = self._opened.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.__exit__(kind, error, trace)


class _WiderFlags:
    """Flags of 16 bits in a file as the 32 bits that they have now: no new bit fits into what a numpy integer was."""

    dtype = np.dtype(np.uint32)

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._dataset, self.shape, self.attrs = dataset, dataset.shape, dataset.attrs

    def __getitem__(self, rows: slice | tuple) -> np.ndarray | np.uint32:
        return self._dataset[rows].astype(self.dtype)


class DatasetReader:
    """Read a dataset of this version of the schema or of an earlier one, flags as uint32.

    Parameters
    ----------
    path : str or Path
        File that `DatasetWriter` wrote.

    Raises
    ------
    ValueError
        The file is not a dataset of this project.
    InputError
        The version of its schema is not in `READABLE_VERSIONS`.
    """

    def __init__(self, path: str | Path) -> None:
        self._file = h5py.File(path, "r")
        found = (self._file.attrs.get("format"), self._file.attrs.get("schema_version"))
        if found[0] != FORMAT or found[1] not in READABLE_VERSIONS:
            self._file.close()
            if found[0] != FORMAT:
                raise ValueError(f"{path} is not a {FORMAT} dataset: its format is {found[0]}")
            raise InputError(
                f"{path} is a dataset of schema version {found[1]}, and this gaiaflux reads "
                f"{' and '.join(map(str, READABLE_VERSIONS))}: install a gaiaflux that knows it, or remove the file "
                "and run the workflow, which makes it again"
            )

    @property
    def methods(self) -> list[str]:
        """Methods of photometry that the file has, sorted."""
        groups = {name for name, item in self._file.items() if isinstance(item, h5py.Group)}
        return sorted(groups - {"frames", "stars"})

    @property
    def arrays(self) -> list[str]:
        """Arrays of stars and frames that belong to no method, sorted."""
        return sorted(name for name, item in self._file.items() if isinstance(item, h5py.Dataset))

    @property
    def family(self) -> str:
        """Kind of the instruments, by which `gaiaflux.model.methods.METHODS_OF` knows the methods."""
        return str(self._file.attrs.get("family", GROUND))

    def attributes(self, group: str = "/") -> dict[str, str | int | float]:
        """Attributes of the file or of a group."""
        return {
            key: value.item() if isinstance(value, np.generic) else value
            for key, value in self._file[group].attrs.items()
        }

    def table(self, group: str) -> dict[str, np.ndarray]:
        """All columns of ``frames`` or ``stars``; texts as arrays of str objects."""
        return {name: self.array(f"{group}/{name}") for name in self._file[group]}

    def stars(self) -> dict[str, np.ndarray]:
        """All columns of ``stars``, by the names of `gaiaflux.model.catalog.StarCatalog`: ``mag``, ``colour`` ..."""
        names = {in_file: name for name, in_file in _STAR_NAMES.items()}
        return {names.get(name, name): values for name, values in self.table("stars").items()}

    def array(self, name: str) -> np.ndarray:
        """A whole dataset; texts as an array of str objects."""
        return _values(self.grid(name))

    def labels(self, name: str) -> np.ndarray:
        """Names of an enumeration's values, as an array of str objects."""
        dataset = self._file[name]
        names = {code: label for label, code in h5py.check_enum_dtype(dataset.dtype).items()}
        return np.array([names[code] for code in dataset[()].tolist()], dtype=object)

    def rows(self, name: str, first: int, last: int) -> np.ndarray:
        """Some rows of a dataset; texts as an array of str objects."""
        return _values(self.grid(name), slice(first, last))

    def described(self, name: str) -> tuple[str, str]:
        """Unit and description of a dataset."""
        attrs = self._file[name].attrs
        return str(attrs["unit"]), str(attrs["description"])

    def shapes(self, group: str) -> dict[str, tuple[int, ...]]:
        """Shape of each dataset of a group."""
        return {name: item.shape for name, item in self._file[group].items()}

    def grid(self, name: str) -> h5py.Dataset:
        """A dataset to be read in pieces; it lives as long as the reader."""
        dataset = self._file[name]
        return _WiderFlags(dataset) if name.endswith("/flags") and dataset.dtype == np.uint16 else dataset

    def __contains__(self, name: str) -> bool:
        """Whether the file has a dataset or group of this name."""
        return name in self._file

    def __enter__(self) -> "DatasetReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
