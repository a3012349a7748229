"""Files of a simulated field in the forms of the mission: target pixel files, response functions, and a catalogue."""

import csv
from pathlib import Path

import numpy as np
from astropy.io import fits

from gaiaflux.core.sky.clock_offset import clock_offset_s
from gaiaflux.model.wcs import TanSip
from gaiaflux.sim.tess.ccd_setup import CcdSetup
from gaiaflux.sim.tess.field import CatalogRow, FieldSetup, catalog_rows, light_time_d, stamp_wcs
from gaiaflux.sim.tess.response import OVERSAMPLING, response_grid
from gaiaflux.sim.tess.stamp import SimulatedStamp, StampSetup

__all__ = ["write_catalog", "write_catalog_rows", "write_field", "write_responses", "write_target_pixels"]

STARTED = "2018206045859"
PIPELINE = "spoc-simulated"
FIRST_CADENCE = 70444
COLLECTED, OPTIMAL, IN_CENTROID = 1, 2, 8
OUTPUTS = ((44, 32), (556, 64), (1068, 128), (1580, 256))  # first column of each, and its bit
DETECTOR = {
    "INT_TIME": 1.98,
    "READTIME": 0.02,
    "FRAMETIM": 2.0,
    "GAINA": 5.26,
    "GAINB": 5.18,
    "GAINC": 5.2,
    "GAIND": 5.2,
    "READNOIA": 10.0466,
    "READNOIB": 7.7182,
    "READNOIC": 7.54,
    "READNOID": 9.88,
}
APERTURE_PART, APERTURE_PURITY = 0.02, 0.3


def write_field(folder: Path, field: FieldSetup, *, data_release: int = 1) -> tuple[SimulatedStamp, ...]:
    """Write all files of a field: `*_tp.fits.gz`, `prf/`, `catalog.csv`.

    Parameters
    ----------
    folder : Path
        Is made where it is missing.
    field : FieldSetup
    data_release : int

    Returns
    -------
    tuple of SimulatedStamp
        The frames, with their truth.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stamps = field.simulate()
    for stamp in stamps:
        write_target_pixels(folder, field, stamp, data_release=data_release)
    write_responses(folder / "prf", field)
    write_catalog(folder / "catalog.csv", field)
    return stamps


def write_target_pixels(folder: Path, field: FieldSetup, stamp: SimulatedStamp, *, data_release: int = 1) -> Path:
    """Write a target pixel file as the mission's pipeline does, with the clock error of its data release.

    Parameters
    ----------
    folder : Path
    field : FieldSetup
    stamp : SimulatedStamp
        Of the field; its first star is the target.
    data_release : int

    Returns
    -------
    Path
        The file.
    """
    setup, target = stamp.setup, stamp.setup.stars[0]
    row = next(row for row in catalog_rows(field) if row.starid == target.starid)
    wcs = stamp_wcs(field, setup)
    primary = fits.PrimaryHDU()
    header = {
        "ORIGIN": "gaiaflux simulation",
        "TELESCOP": "TESS",
        "INSTRUME": "TESS Photometer",
        "SIMDATA": True,
        "PROCVER": PIPELINE,
        "DATA_REL": data_release,
        "OBJECT": f"TIC {target.starid}",
        "TICID": target.starid,
        "SECTOR": field.sector,
        "CAMERA": field.camera,
        "CCD": field.ccd,
        "RADESYS": "ICRS",
        "EQUINOX": 2000.0,
        "RA_OBJ": row.ra_deg,
        "DEC_OBJ": row.dec_deg,
        "PMRA": row.pmra,
        "PMDEC": row.pmdec,
        "TESSMAG": row.tmag,
        "TEFF": 5800.0,
        "TICVER": 8,
        "CRMITEN": True,
        "CRBLKSZ": 10,
        "CRSPOC": False,
    }
    primary.header.update(header)
    clock_s = clock_offset_s(data_release, PIPELINE)
    files = fits.HDUList([primary, _pixels(field, stamp, wcs, clock_s), _aperture(stamp, wcs)])
    name = f"tess{STARTED}-s{field.sector:04d}-{target.starid:016d}-{round(setup.cadence_s):04d}-s_tp.fits.gz"
    path = folder / name
    files.writeto(path, overwrite=True)
    return path


def write_responses(folder: Path, field: FieldSetup | CcdSetup) -> list[Path]:
    """Write the response functions of a CCD, one file for each of 25 places.

    Parameters
    ----------
    folder : Path
        Of the response functions of all CCDs.
    field : FieldSetup or CcdSetup

    Returns
    -------
    list of Path
    """
    epoch = "start_s0001" if field.sector < 4 else "start_s0004"
    place = folder / epoch / f"cam{field.camera}_ccd{field.ccd}"
    place.mkdir(parents=True, exist_ok=True)
    samples, columns, rows = response_grid()
    paths = []
    for j, row in enumerate(rows):
        for i, column in enumerate(columns):
            number = (int(row) + 1, int(column) + 1)
            header = {
                "TELESCOP": "TESS",
                "CAM": float(field.camera),
                "CCD": float(field.ccd),
                "CCD_RREF": float(number[0]),
                "CCD_CREF": float(number[1]),
                "NSAMP": float(OVERSAMPLING),
            }
            files = fits.HDUList()
            for kind, data in (("PRF", samples[j, i]), ("Uncertainties", np.zeros_like(samples[j, i]))):
                hdu = fits.ImageHDU(data) if len(files) else fits.PrimaryHDU(data)
                hdu.header.update({"ORIGIN": "gaiaflux simulation", "DATATYPE": kind, **header})
                files.append(hdu)
            name = f"tess{STARTED}-prf-{field.camera}-{field.ccd}-row{number[0]:04d}-col{number[1]:04d}.fits"
            files.writeto(place / name, overwrite=True)
            paths.append(place / name)
    return paths


def write_catalog(path: Path, field: FieldSetup) -> None:
    """Write the catalogue of a field as CSV.

    Parameters
    ----------
    path : Path
    field : FieldSetup
    """
    write_catalog_rows(path, catalog_rows(field))


def write_catalog_rows(path: Path, rows: list[CatalogRow]) -> None:
    """Write rows of a catalogue as CSV.

    Parameters
    ----------
    path : Path
    rows : list of CatalogRow
        A magnitude beyond 30 is left out.
    """
    names = ("starid", "ra", "dec", "pmra", "pmdec", "ref_epoch", "tmag", "disposition")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for row in rows:
            place = (f"{row.ra_deg:.9f}", f"{row.dec_deg:.9f}", row.pmra, row.pmdec, 2000.0)
            writer.writerow((row.starid, *place, row.tmag if row.tmag < 30 else "", row.disposition))


def _pixels(field: FieldSetup, stamp: SimulatedStamp, wcs: TanSip, clock_s: float) -> fits.BinTableHDU:
    setup = stamp.setup
    n, (ny, nx) = len(stamp.time), setup.shape
    row = next(row for row in catalog_rows(field) if row.starid == setup.stars[0].starid)
    correction = light_time_d(stamp.time, row.ra_deg, row.dec_deg)
    stated = stamp.time + correction - clock_s / 86400.0
    size, shape = f"{ny * nx}E", f"({nx},{ny})"
    cubes = (
        ("FLUX", stamp.flux),
        ("FLUX_ERR", stamp.flux_err),
        ("FLUX_BKG", stamp.background),
        ("FLUX_BKG_ERR", stamp.background_err),
    )
    counts = np.full((n, ny, nx), -1, np.int32)
    columns = [
        fits.Column("TIME", "D", "BJD - 2457000, days", array=stated),
        fits.Column("TIMECORR", "E", "d", array=correction),
        fits.Column("CADENCENO", "J", array=FIRST_CADENCE + np.arange(n)),
        fits.Column("RAW_CNTS", f"{ny * nx}J", "count", null=-1, dim=shape, array=counts),
        *(fits.Column(name, size, "e-/s", dim=shape, array=cube) for name, cube in cubes),
        fits.Column("QUALITY", "J", array=stamp.quality),
        fits.Column("POS_CORR1", "E", "pixel", array=stamp.pos_corr[:, 0]),
        fits.Column("POS_CORR2", "E", "pixel", array=stamp.pos_corr[:, 1]),
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name="PIXELS")
    length = setup.cadence_s / 86400.0
    seen = stated[np.isfinite(stated)]
    hdu.header.update(
        {
            "RADESYS": "ICRS",
            "BJDREFI": 2457000,
            "BJDREFF": 0.0,
            "TIMESYS": "TDB",
            "TIMEUNIT": "d",
            "TIMEREF": "SOLARSYSTEM",
            "TASSIGN": "SPACECRAFT",
            "TIMEPIXR": 0.5,
            "TIMEDEL": length,
            "TSTART": float(seen[0] - 0.5 * length) if len(seen) else 0.0,
            "TSTOP": float(seen[-1] + 0.5 * length) if len(seen) else 0.0,
            "DEADC": 0.792,
            "NUM_FRM": round(setup.cadence_s / 2.0),
            "NREADOUT": round(0.4 * setup.cadence_s),
            **DETECTOR,
            "BACKAPP": True,
        }
    )
    for number in (4, 5, 6, 7, 8):
        _column_wcs(hdu.header, number, setup, wcs)
    return hdu


def _column_wcs(header: fits.Header, number: int, setup: StampSetup, wcs: TanSip) -> None:
    """Plate solution and corner of a column of images."""
    for axis, first in ((1, setup.first_column), (2, setup.first_row)):
        header[f"{axis}CRV{number}P"] = first + 1
        header[f"{axis}CRP{number}P"] = 1
        header[f"{axis}CDL{number}P"] = 1.0
        header[f"{axis}CRPX{number}"] = wcs.crpix[axis - 1] + 1.0
        header[f"{axis}CRVL{number}"] = wcs.crval[axis - 1]
        header[f"{axis}CTYP{number}"] = ("RA---TAN", "DEC--TAN")[axis - 1]
        header[f"{axis}CUNI{number}"] = "deg"
        header[f"{axis}CDLT{number}"] = 1.0
        for other in (1, 2):
            header[f"{axis}{other}PC{number}"] = float(wcs.cd[axis - 1, other - 1])


def _aperture(stamp: SimulatedStamp, wcs: TanSip) -> fits.ImageHDU:
    """Bits of the pixels: collected, output, and those around the target that are mostly its own light."""
    setup = stamp.setup
    response = stamp.response()
    light = np.array([response.light(np.array([star.x]), np.array([star.y]), setup.shape)[0] for star in setup.stars])
    shines = light * stamp.star_flux[0][:, None, None]
    own = (light[0] > APERTURE_PART) & (shines[0] > APERTURE_PURITY * shines.sum(axis=0))
    column = setup.first_column + np.arange(setup.shape[1])
    output = np.array([max((first, bit) for first, bit in OUTPUTS if first <= c)[1] for c in column])
    bits = COLLECTED + np.broadcast_to(output, setup.shape) + np.where(own, OPTIMAL + IN_CENTROID, 0)
    hdu = fits.ImageHDU(bits.astype(np.int32), name="APERTURE")
    cards = {"RADESYS": "ICRS", "WCSAXES": 2, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": 1.0, "CDELT2": 1.0}
    cards |= {"CUNIT1": "deg", "CUNIT2": "deg", "NPIXSAP": int(own.sum())}
    for axis, first in ((1, setup.first_column), (2, setup.first_row)):
        cards |= {f"CRPIX{axis}": wcs.crpix[axis - 1] + 1.0, f"CRVAL{axis}": wcs.crval[axis - 1]}
        cards |= {f"PC{axis}_{other}": float(wcs.cd[axis - 1, other - 1]) for other in (1, 2)}
        cards |= {f"CTYPE{axis}P": ("RAWX", "RAWY")[axis - 1], f"CRPIX{axis}P": 1, f"CRVAL{axis}P": first + 1}
        cards[f"CDELT{axis}P"] = 1.0
    hdu.header.update(cards)
    return hdu
