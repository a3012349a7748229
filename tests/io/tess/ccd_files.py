"""Small full-frame images in the forms of SPOC and of TICA."""

import numpy as np
from astropy.io import fits

SPOC_NAME = "tess2018206192942-s0001-1-4-0120-s_ffic.fits"
TICA_NAME = "hlsp_tica_tess_ffi_s0035-o1-00561894-cam1-ccd1_tess_v01_img.fits"
# A CCD of 50 x 32 science pixels behind 44 virtual columns, with rows above and columns behind that see nothing.
SHAPE, SCIENCE = (56, 84), (slice(0, 50), slice(44, 76))
PLATE = {
    **{"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "CRVAL1": 315.4, "CRVAL2": -28.9, "CRPIX1": 1045.0},
    **{"CRPIX2": 1001.0, "CD1_1": -0.0055, "CD1_2": 0.0014, "CD2_1": -0.0016, "CD2_2": -0.0055, "A_ORDER": 2},
    **{"B_ORDER": 2, "A_2_0": -1.9e-05, "A_1_1": 1.7e-05, "B_0_2": 2.0e-05, "B_1_1": -1.6e-05, "RADESYS": "ICRS"},
}
_SECTIONS = {f"SCCS{output}": 45 + 8 * k for k, output in enumerate("ABCD")}
_SECTIONS |= {f"SCCE{output}": 52 + 8 * k for k, output in enumerate("ABCD")}
_START = 1325.3131006
_PHYSICAL = {"CRPIX1P": 1, "CRVAL1P": 1, "CRPIX2P": 1, "CRVAL2P": 1}


def light(shape=SHAPE):
    """Fluxes that tell where a pixel was: row + column / 1000, on a sky [electron/s]."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return (100.0 + rows + columns / 1000.0).astype(np.float32)


def _filled(header, stated, changes):
    """Cards of a header; a change to None leaves one out."""
    for key, value in (stated | {key: changes[key] for key in changes if key in stated}).items():
        if value is not None:
            header[key] = value


def spoc(flux=None, uncertainty=True, primary=None, **changes):
    """HDUs like the mission's; `changes` are keywords of the image, `primary` those of the file's header."""
    flux = light() if flux is None else flux
    first = fits.PrimaryHDU()
    stated = {"TSTART": _START, "TSTOP": _START + 1 / 48, "DATA_REL": 1, "PROCVER": "spoc-3.3.31", "CRMITEN": True}
    stated |= {"CRBLKSZ": 10, "CRSPOC": False, "DATE-OBS": "2018-07-25T19:29:42.708Z", "TELESCOP": "TESS"}
    _filled(first.header, stated | (primary or {}), {})
    cards = {"CAMERA": 1, "CCD": 4, "TSTART": _START + 0.0056, "TSTOP": _START + 0.0056 + 1 / 48, "BARYCORR": 0.0056}
    cards |= {"EXPOSURE": 0.0165, "TIMEDEL": 1 / 48, "NUM_FRM": 900, "NREADOUT": 720, "INT_TIME": 1.98}
    cards |= {"READTIME": 0.02, "FRAMETIM": 2.0, "BACKAPP": False, "DQUALITY": 0, "BTC_PIX1": 60.0, "BTC_PIX2": 25.0}
    cards |= {"GAINA": 5.35, "READNOIA": 10.06, "SCIROWS": 1, "SCIROWE": 50, **_SECTIONS, **_PHYSICAL, **PLATE}
    cards |= {key: value for key, value in changes.items() if key not in cards}
    hdus = fits.HDUList([first])
    planes = {"cal": flux} | ({} if uncertainty is False else {"uncert": uncertainty})
    for kind, data in planes.items():
        data = np.sqrt(flux / 1343.0 + 0.04).astype(np.float32) if data is True else data
        hdu = fits.ImageHDU(data, name=f"CAMERA.CCD 1.4 {kind}")
        hdu.header["IMAGTYPE"] = kind
        _filled(hdu.header, cards, changes)
        hdus.append(hdu)
    return hdus


def tica(electrons=None, **changes):
    """HDUs like TICA's; `changes` are keywords."""
    electrons = light((2078, 90)) * 475.2 if electrons is None else electrons
    cards = {"CAMNUM": 1, "CCDNUM": 1, "INT_TIME": 600, "EXPTIME": 475.2, "STARTTJD": 2255.0, "TJD_ZERO": 2457000.0}
    cards |= {"MIDTJD": 2255.0 + 1 / 288, "ENDTJD": 2255.0 + 1 / 144, "CADENCE": 561894, "CRM": True, "CRM_N": 10}
    cards |= {"QUAL_BIT": 0, "UNITS": "electrons", "SCIPIXS": "[45:2092,1:2048]", "TICAVER": "1.1.0", "GAIN_A": 5.22}
    cards |= PLATE | {"CRPIX1": 1069.0, "CRPIX2": 1024.0, "RADESYS": None}
    cards |= {key: value for key, value in changes.items() if key not in cards}
    image = fits.PrimaryHDU(electrons.astype(np.float32))
    _filled(image.header, cards, changes)
    return fits.HDUList([image, fits.BinTableHDU.from_columns([fits.Column("dRA", "E", array=np.zeros(3))])])
