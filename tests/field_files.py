"""Batches of a field of TESS whose numbers are known, and the files of targets; `conftest.py` hands them out."""

import gzip
import json
from functools import lru_cache

import numpy as np
from astropy.io import fits

from gaiaflux.core.sky.spacecraft import barycentric_btjd
from gaiaflux.core.sky.timing import earth_position_au
from gaiaflux.io.batch_file import BatchWriter
from gaiaflux.model.cadences import BTJD_ZERO_MJD
from gaiaflux.model.tess_catalog import STATED, TessCatalog
from gaiaflux.sim.tess.response import response_grid
from gaiaflux.sim.tess.stamp import StampSetup, simulate_stamp
from gaiaflux.sim.tess.stars import StampStar

FIELD_RA, FIELD_DEC = 90.0, -66.0
OUT_OF_PLACE_AU = np.array([0.0011, -0.0019, 0.0008])  # of the spacecraft from the Earth's centre
CORNER = (1200, 700)  # column and row of the stamps
PIXEL_DEG = 21.0 / 3600.0


def spacecraft_au(mjd_tdb):
    return _earth_au(np.asarray(mjd_tdb, np.float64).tobytes()) + OUT_OF_PLACE_AU


@lru_cache(maxsize=8)
def _earth_au(mjd_tdb):
    return earth_position_au(np.frombuffer(mjd_tdb))


def btjd(mjd_tdb, ra, dec):
    return barycentric_btjd(mjd_tdb, spacecraft_au(mjd_tdb), ra, dec)


def catalog(star_ids, **changes):
    """Stars half a degree apart from one another."""
    star_id = np.sort(np.array(star_ids, np.int64))
    n = len(star_id)
    zero = np.zeros(n)
    columns = {
        "star_id": star_id,
        "source_id": star_id * 1000 + 7,
        "ra_deg": FIELD_RA + 0.5 * np.arange(n),
        "dec_deg": FIELD_DEC + 0.25 * np.arange(n),
        "ref_epoch": np.full(n, 2015.5),
        **{name: zero for name in ("pmra", "pmdec", "parallax", "pos_err", "pm_err")},
        "mag": np.linspace(9.0, 12.0, n),
        "colour": np.full(n, np.nan),
        "mag_err": np.full(n, 0.02),
        "mag_source": np.full(n, STATED),
        "teff": np.full(n, np.nan),
    } | changes
    return TessCatalog(**columns, system="TESS", source="made up")


def target(stars, star_id, cadenceno, *, sector=1, camera=4, ccd=1, methods=("psf", "aperture"), **attrs):
    """Attributes and arrays of a target as the batches hold them; the flux is 1000 star + the number of the cadence."""
    row = int(np.flatnonzero(stars.star_id == star_id)[0])
    ra, dec = float(stars.ra_deg[row]), float(stars.dec_deg[row])
    n = len(cadenceno)
    mjd = BTJD_ZERO_MJD + 1325.0 + 27.4 * (sector - 1) + np.asarray(cadenceno) / 720.0
    time = btjd(mjd, ra, dec)
    timecorr = ((time - mjd) + BTJD_ZERO_MJD).astype(np.float32).astype(np.float64)
    arrays = {
        "cadenceno": np.asarray(cadenceno, np.int32),
        "mjd_tdb": time - timecorr + BTJD_ZERO_MJD,
        "timecorr": timecorr,
        "quality": np.where(np.asarray(cadenceno) % 10 == 0, 128 | (row + 1), 0).astype(np.int32),
    }
    for method in methods:
        flux = 1000.0 * (row + 1) + np.asarray(cadenceno)
        columns = {"flux": flux, "flux_err": np.ones(n), "background": np.zeros(n), "chi2": np.ones(n)}
        columns |= {"n_clipped": np.zeros(n), "contamination": np.full(n, 0.01)}
        arrays |= {f"{method}_{name}": values.astype(np.float32) for name, values in columns.items()}
        arrays[f"{method}_flags"] = np.zeros(n, np.uint32)
        arrays[f"{method}_centroid_column"] = arrays[f"{method}_centroid_row"] = np.full(n, 600.25)
    facts = {
        **{"status": "ok", "path": f"/data/{star_id}-s{sector}.fits", "starid": star_id, "sector": sector},
        **{
            "camera": camera,
            "ccd": ccd,
            "row": 700.0 + row,
            "column": 600.0 + row,
            "tmag": float(stars.mag[row]),
            "zero_point": 20.44,
            "exptime_s": 95.0,
            "timecorr_ra": ra,
        },
        **{"timecorr_dec": dec, "remarks": json.dumps(["a remark"]), "light_curves": "one.fits.gz"},
    }
    return facts | attrs, arrays, time


def write_batch(path, targets):
    """`targets`: by name attributes and arrays, and whatever follows them."""
    with BatchWriter(path, kind="targets") as out:
        for name, (attrs, arrays, *_) in targets.items():
            out.add(name, attrs, arrays)
    return path


class FieldFiles:
    """A small field as files in a folder: response functions of camera 4, CCD 1, a catalogue, target pixel files.

    Each star is at the middle of the stamp of its own file; a neighbour 1.5 pixels away is in the catalogue.
    """

    def __init__(self, folder):
        self.folder = folder
        self.prf, self.catalog = folder / "prf", folder / "catalog.csv"
        self.rows = []

    def write_prf(self, camera=4, ccd=1):
        samples, columns, rows = response_grid()
        self.prf.mkdir(parents=True, exist_ok=True)
        for k, row in enumerate(rows.astype(int) + 1):
            for j, column in enumerate(columns.astype(int) + 1):
                hdu = fits.PrimaryHDU(samples[k, j])
                keys = {"CAM": camera, "CCD": ccd, "CCD_RREF": float(row), "CCD_CREF": float(column), "NSAMP": 9}
                hdu.header.update(keys)
                name = f"tess2018243163600-prf-{camera}-{ccd}-row{row:04d}-col{column:04d}.fits"
                hdu.writeto(self.prf / name)

    def write_catalog(self):
        lines = ["ID,ra,dec,Tmag", *(f"{star},{ra!r},{dec!r},{tmag}" for star, ra, dec, tmag in self.rows)]
        self.catalog.write_text("\n".join(lines) + "\n")

    def write_target(self, star, tmag=10.0, *, n=60, name=None, pack=False, spoil=None, listed=True, **keywords):
        """A target pixel file like SPOC's; `spoil` changes its HDUs, `keywords` those of its headers.

        ``place`` counts along the field; a file of a star that has one already is given the same.
        """
        sector, cadence_s = keywords.get("SECTOR", 1), keywords.pop("cadence_s", 120.0)
        stars = (StampStar(star, 5.0, 5.0, tmag), StampStar(star + 1, 6.5, 5.0, 13.0))
        setup = StampSetup(stars, n_times=n, first_column=CORNER[0], first_row=CORNER[1], seed=star % 1000)
        made = simulate_stamp(setup)
        place = keywords.pop("place", len(self.rows) // 2)
        ra, dec = FIELD_RA + 0.1 * place, FIELD_DEC
        if listed:
            self.rows += [(star, ra, dec, tmag)]
            self.rows += [(star + 1, float(ra - 1.5 * PIXEL_DEG / np.cos(np.radians(dec))), dec, 13.0)]
        mjd = BTJD_ZERO_MJD + 1325.3 + 27.4 * (sector - 1) + np.arange(n) * cadence_s / 86400.0
        time = btjd(mjd, ra, dec)
        timecorr = (time - mjd + BTJD_ZERO_MJD).astype("f4")
        time[3] = np.nan
        hdus = self._hdus(made, time, timecorr)
        keys = {"TELESCOP": "TESS", "ORIGIN": "NASA/Ames", "TICID": star, "OBJECT": f"TIC {star}", "SECTOR": sector}
        keys |= {"CAMERA": 4, "CCD": 1, "RA_OBJ": ra, "DEC_OBJ": dec, "TESSMAG": tmag, "DATA_REL": 1, "TICVER": 8}
        hdus[0].header.update(keys | {key: value for key, value in keywords.items() if key.isupper()})
        hdus[1].header.update({"TIMEDEL": cadence_s / 86400.0, "NUM_FRM": 60, "NREADOUT": 48, "BJDREFI": 2457000})
        hdus[2].header.update(_plate(ra, dec))
        if spoil:
            spoil(hdus)
        path = self.folder / (name or f"tess-s{sector:04d}-{star}.fits")
        path.parent.mkdir(parents=True, exist_ok=True)
        hdus.writeto(path)
        if pack:
            packed = path.with_name(path.name + ".gz")
            packed.write_bytes(gzip.compress(path.read_bytes(), 1))
            path.unlink()
            path = packed
        return path

    @staticmethod
    def _hdus(made, time, timecorr):
        n, ny, nx = made.flux.shape
        cubes = {"FLUX": made.flux, "FLUX_ERR": made.flux_err, "FLUX_BKG": made.background}
        cubes["FLUX_BKG_ERR"] = made.background_err
        columns = [
            fits.Column("TIME", "D", array=time),
            fits.Column("TIMECORR", "E", array=timecorr),
            fits.Column("CADENCENO", "J", array=1000 + np.arange(n)),
            *(
                fits.Column(name, f"{ny * nx}E", dim=f"({nx},{ny})", unit="e-/s", array=values)
                for name, values in cubes.items()
            ),
            fits.Column("QUALITY", "J", array=made.quality),
            *(fits.Column(f"POS_CORR{k + 1}", "E", array=made.pos_corr[:, k].astype("f4")) for k in (0, 1)),
        ]
        mask = np.ones((ny, nx), "i4")
        mask[4:7, 4:7] |= 2
        table = fits.BinTableHDU.from_columns(columns, name="PIXELS")
        return fits.HDUList([fits.PrimaryHDU(), table, fits.ImageHDU(mask, name="APERTURE")])


def _plate(ra, dec):
    return {
        **{"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": ra, "CRVAL2": dec, "CRPIX1": 6.0, "CRPIX2": 6.0},
        **{"CD1_1": -PIXEL_DEG, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": PIXEL_DEG},
        **{"CRVAL1P": CORNER[0] + 1, "CRVAL2P": CORNER[1] + 1},
    }
