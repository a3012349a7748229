"""Full-frame images of TESS: those of the mission's pipeline (SPOC), those of TICA, and crops of both."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io import fits

from gaiaflux.core.sky.projection import pixel_scale_arcsec, pixel_to_sky, sky_of_pixel, sky_to_pixel
from gaiaflux.io.image.wcs_cards import tan_sip_from_cards
from gaiaflux.io.tess.ccd_head import CcdHead, frame_cadence_s, head_of_name
from gaiaflux.io.tess.ccd_section import CcdSection, science_section
from gaiaflux.io.tess.ccd_times import CcdTime, cadence_number, spoc_time, tica_time
from gaiaflux.io.tess.fits_file import Headers, float_of, int_of, opened, text_of
from gaiaflux.io.tess.readout import cosmic_rays_of, detector_of
from gaiaflux.model.cadences import CosmicRays, Detector
from gaiaflux.model.ccd_image import CcdImage
from gaiaflux.model.errors import BadFrameError, InputError
from gaiaflux.model.wcs import TanSip

__all__ = ["read_ccd_image"]

_WHAT = "full-frame image"
_DAY_S = 86400.0
_FRAME_S = 2.0
# TICA sums the light of the frames that the cosmic-ray mitigation on board leaves of every ten.
_TICA_BLOCK = 10
_LIVE = 0.99  # of a frame
_EXPOSURE_AGREES = 0.02
# Bits of the mission for what TICA's headers flag: coarse pointing, desaturation, stray light; else "excluded by hand".
_COARSE, _DESATURATION, _STRAY_LIGHT, _EXCLUDED = 1 << 2, 1 << 5, 1 << 11, 1 << 7
_SCALES_ARCSEC = (15.0, 30.0)
_ROUND_TRIP_PIX = 0.05


@dataclass(frozen=True)
class _Plane:
    """An image of the file, its header with the file's, and where its science pixels are."""

    hdu: fits.ImageHDU | fits.PrimaryHDU
    headers: Headers
    section: CcdSection


def read_ccd_image(path: str | Path) -> CcdImage:
    """Read a full-frame image.

    What is odd but does not prevent the use is said in `CcdImage.remarks`: other numbers in the name than in the
    header, no plate solution that can be used, no or too few errors, times that disagree, nothing but zeros or NaN.

    Parameters
    ----------
    path : str or Path
        ``*_ffic.fits`` of the mission or ``hlsp_tica_*.fits``, or a crop of one; packed by gzip or not.

    Returns
    -------
    CcdImage
        Which pixels see the sky is taken from the header (`gaiaflux.io.tess.ccd_section`).

    Raises
    ------
    FileNotFoundError
        No such file.
    InputError
        Not such a file, not calibrated, of several CCDs, cut off or damaged; camera, CCD or time not stated; no science
        pixel.
    """
    path = Path(path)
    named = head_of_name(path.name)
    with opened(path, _WHAT) as hdus:
        tica = isinstance(hdus[0], fits.PrimaryHDU) and hdus[0].header.get("NAXIS") == 2
        return _tica_image(hdus[0], path, named) if tica else _spoc_image(hdus, path, named)


def _spoc_image(hdus: fits.HDUList, path: Path, named: CcdHead) -> CcdImage:
    primary = hdus[0].header
    image, uncertainty = _spoc_planes(hdus, path)
    headers: Headers = (image.header, primary)
    camera, ccd = _place(headers, ("CAMERA", "CCD"), path)
    plane = _plane(image, headers, "spoc-ffi", path)
    flux = _pixels(plane.hdu, plane.section.in_file)
    flux_err, unsure = _errors(plane.section, uncertainty, primary)
    time = spoc_time((primary,), (image.header,), (camera, ccd), f"the {_WHAT} {path}")
    cadence_s = _spoc_cadence_s(headers, named)
    number, source, odd = cadence_number(headers, time, cadence_s, "FFIINDEX", "")
    exposure_s = float_of(headers, "EXPOSURE") * _DAY_S
    detector = detector_of((primary, image.header), cadence_s)
    wcs, crooked = _plate(plane)
    sector, other = _sector(headers, named, (camera, ccd))
    remarks = (*plane.section.remarks, *other, *unsure, *time.remarks, *odd, *crooked, *_emptiness(flux))
    place = _timecorr_place(headers, wcs, plane.section) if np.isfinite(time.timecorr_d) else None
    return CcdImage(
        path=str(path),
        sector=sector,
        camera=camera,
        ccd=ccd,
        cadence_s=cadence_s,
        cadenceno=number,
        data_release=int_of(headers, "DATA_REL", -1),
        origin="spoc-ffi",
        procver=text_of(headers, "PROCVER"),
        flux=flux,
        flux_err=flux_err,
        exptime_s=exposure_s if exposure_s > 0.0 else detector.nreadout * detector.int_time_s,
        quality=int_of(headers, "DQUALITY"),
        detector=detector,
        cosmic_rays=cosmic_rays_of((primary, image.header)),
        subtracted=image.header.get("BACKAPP") is True,
        cadenceno_from=source,
        timecorr_place=place,
        remarks=remarks,
        **_of_time_and_place(time, plane.section, wcs),
    )


def _tica_image(image: fits.PrimaryHDU, path: Path, named: CcdHead) -> CcdImage:
    headers: Headers = (image.header,)
    if not ("SCIPIXS" in image.header or "TICAVER" in image.header):
        raise InputError(
            f"{path} is no {_WHAT} of TESS (no SCIPIXS and TICAVER beside its image): give calibrated images "
            "(*_ffic.fits) or TICA's"
        )
    if text_of(headers, "UNITS").lower() == "adu":
        raise InputError(f"the {_WHAT} {path} is not calibrated (UNITS is ADU): give the calibrated one of TICA")
    camera, ccd = _place(headers, ("CAMNUM", "CCDNUM"), path)
    plane = _plane(image, headers, "tica-ffi", path)
    time = tica_time(headers, f"the {_WHAT} {path}")
    sector, other = _sector(headers, named, (camera, ccd))
    cadence_s = float_of(headers, "INT_TIME", float(frame_cadence_s(sector) or np.nan))
    number, source, odd = cadence_number(
        headers, time, cadence_s, "CADENCE", named.exposure if named.origin == "tica-ffi" else ""
    )
    detector, rays, exposure_s, unlike = _tica_readout(headers, cadence_s, path)
    flux = _pixels(plane.hdu, plane.section.in_file)
    flux /= np.float32(exposure_s)
    wcs, crooked = _plate(plane)
    return CcdImage(
        path=str(path),
        sector=sector,
        camera=camera,
        ccd=ccd,
        cadence_s=cadence_s,
        cadenceno=number,
        data_release=-1,
        origin="tica-ffi",
        procver=f"tica-{image.header['TICAVER']}".strip() if "TICAVER" in image.header else "",
        flux=flux,
        flux_err=np.full_like(flux, np.nan),
        exptime_s=exposure_s,
        quality=_tica_quality(image.header, camera),
        detector=detector,
        cosmic_rays=rays,
        cadenceno_from=source,
        timecorr_place=None,
        remarks=(*plane.section.remarks, *other, *time.remarks, *odd, *unlike, *crooked, *_emptiness(flux)),
        **_of_time_and_place(time, plane.section, wcs),
    )


def _of_time_and_place(time: CcdTime, section: CcdSection, wcs: TanSip | None) -> dict:
    return {
        "mjd_tdb": time.mjd_tdb,
        "timecorr_d": time.timecorr_d,
        "clock_offset_s": time.clock_offset_s,
        "first_row": section.first_row,
        "first_column": section.first_column,
        "wcs": wcs,
    }


def _spoc_planes(hdus: fits.HDUList, path: Path) -> tuple[fits.ImageHDU, fits.ImageHDU | None]:
    """Calibrated image and its uncertainty."""
    images = [hdu for hdu in hdus[1:] if isinstance(hdu, fits.ImageHDU) and hdu.header.get("NAXIS") == 2]
    found = {kind: [hdu for hdu in images if _kind(hdu) == kind] for kind in ("cal", "raw", "uncert")}
    calibrated = found["cal"]
    if not calibrated and found["raw"]:
        raise InputError(f"the {_WHAT} {path} is not calibrated: give the calibrated one (*_ffic.fits)")
    if not calibrated or any(isinstance(hdu, fits.BinTableHDU) for hdu in hdus[1:2]):
        raise InputError(
            f"{path} is no calibrated {_WHAT} of TESS (no image of the kind 'cal'): give *_ffic.fits, or images of TICA"
        )
    if len(calibrated) > 1:
        raise InputError(
            f"the {_WHAT} {path} holds {len(calibrated)} calibrated images, of {_enumerated(calibrated)}: split it "
            "into a file for each CCD"
        )
    place = [calibrated[0].header.get(key) for key in ("CAMERA", "CCD")]
    same = [hdu for hdu in found["uncert"] if [hdu.header.get(key) for key in ("CAMERA", "CCD")] == place]
    return calibrated[0], same[0] if same else None


def _kind(hdu: fits.ImageHDU) -> str:
    stated = str(hdu.header.get("IMAGTYPE", "")).strip().lower()
    return stated or (hdu.name.lower().split() or [""])[-1]


def _enumerated(images: Iterable[fits.ImageHDU]) -> str:
    return " and ".join(f"camera {hdu.header.get('CAMERA')}, CCD {hdu.header.get('CCD')}" for hdu in images)


def _place(headers: Headers, keys: tuple[str, str], path: Path) -> tuple[int, int]:
    camera, ccd = (int_of(headers, key) for key in keys)
    if not (1 <= camera <= 4 and 1 <= ccd <= 4):
        raise InputError(
            f"the header of the {_WHAT} {path} does not say of which CCD it is ({keys[0]}, {keys[1]}): fetch it again"
        )
    return camera, ccd


def _plane(hdu: fits.ImageHDU | fits.PrimaryHDU, headers: Headers, kind: str, path: Path) -> _Plane:
    ny, nx = hdu.shape
    found = science_section(
        (ny, nx), kind, lambda key: float_of((hdu.header,), key, 0.0), lambda key: text_of((hdu.header,), key)
    )
    if not all(found.shape):
        raise InputError(
            f"none of the {ny} x {nx} pixels of the {_WHAT} {path} sees the sky (it begins at column "
            f"{found.origin[1] + 1}, row {found.origin[0] + 1} of the CCD): give one with science pixels"
        )
    return _Plane(hdu, headers, found)


def _pixels(hdu: fits.ImageHDU | fits.PrimaryHDU, part: tuple[slice, slice]) -> np.ndarray:
    """A copy, as float32 of this machine."""
    return hdu.data[part].astype(np.float32)


def _errors(
    section: CcdSection, uncertainty: fits.ImageHDU | None, primary: fits.Header
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Stated errors of the science pixels; NaN where there are none."""
    if uncertainty is None:
        return np.full(section.shape, np.nan, np.float32), ("it states no errors of its pixels",)
    headers = (uncertainty.header, primary)
    ny, nx = uncertainty.shape
    own = science_section(
        (ny, nx), "spoc-ffi", lambda key: float_of(headers, key, 0.0), lambda key: text_of(headers, key)
    )
    if (own.shape, own.first_row, own.first_column) == (section.shape, section.first_row, section.first_column):
        errors, n = _pixels(uncertainty, own.in_file), own.shape[0] * own.shape[1]
    else:
        errors, n = np.full(section.shape, np.nan, np.float32), 0
        rows, columns = (
            slice(max(a.start, b.start), min(a.stop, b.stop))
            for a, b in zip(_on_ccd(section), _on_ccd(own), strict=True)
        )
        if rows.start < rows.stop and columns.start < columns.stop:
            n = (rows.stop - rows.start) * (columns.stop - columns.start)
            errors[_less(rows, section.first_row), _less(columns, section.first_column)] = _pixels(
                uncertainty, (_less(rows, own.origin[0]), _less(columns, own.origin[1]))
            )
    errors[~(errors > 0.0)] = np.nan
    size = section.shape[0] * section.shape[1]
    few = f"it states errors of {n} of its {size} pixels only"
    return errors, () if n == size else (few,)


def _on_ccd(section: CcdSection) -> tuple[slice, slice]:
    return section.overlap((0, 0))


def _less(part: slice, first: int) -> slice:
    return slice(part.start - first, part.stop - first)


def _spoc_cadence_s(headers: Headers, named: CcdHead) -> float:
    stated = float_of(headers, "TIMEDEL") * _DAY_S
    if stated > 0.0:
        return round(stated, 3)
    frames = int_of(headers, "NUM_FRM") * float_of(headers, "FRAMETIM", _FRAME_S)
    return frames if frames > 0.0 else float(named.cadence_s or np.nan)


def _sector(headers: Headers, named: CcdHead, place: tuple[int, int]) -> tuple[int, tuple[str, ...]]:
    """Sector by the header or else by the name, and where the two disagree about anything."""
    stated, remarks = int_of(headers, "SECTOR"), []
    if stated and named.sector not in (0, stated):
        remarks.append(f"its header says sector {stated}, its name {named.sector}: the header counts")
    if named.origin and (named.camera, named.ccd) != place:
        remarks.append(
            f"its header says camera {place[0]}, CCD {place[1]}, its name camera {named.camera}, CCD {named.ccd}: the "
            "header counts"
        )
    if not (stated or named.sector):
        remarks.append("neither header nor name say its sector")
    return stated or named.sector, tuple(remarks)


def _tica_readout(
    headers: Headers, cadence_s: float, path: Path
) -> tuple[Detector, CosmicRays, float, tuple[str, ...]]:
    """How an image of TICA was read, and the exposure time that makes rates of its electrons."""
    on_board = headers[0].get("CRM") is not False
    block = int_of(headers, "CRM_N", _TICA_BLOCK) if on_board else 0
    num_frm = round(cadence_s / _FRAME_S) if np.isfinite(cadence_s) else 0
    nreadout = round(num_frm * (block - 2) / block) if block > 2 else num_frm
    expected, stated = nreadout * _FRAME_S * _LIVE, float_of(headers, "EXPTIME")
    exposure_s = stated if stated > 0.0 else expected
    remarks: tuple[str, ...] = ()
    if not exposure_s > 0.0:
        raise InputError(f"the {_WHAT} {path} does not say its exposure time (EXPTIME, INT_TIME): fetch it again")
    if not stated > 0.0:
        remarks = (f"the header has no EXPTIME: its electrons are taken to be of {expected:.1f} s",)
    elif expected and abs(stated / expected - 1.0) > _EXPOSURE_AGREES:
        remarks = (
            f"EXPTIME is {stated:.1f} s, where {nreadout} readouts have {expected:.1f} s: its fluxes may be wrong by "
            "their ratio",
        )
    frame_s = exposure_s / nreadout if nreadout else np.nan
    detector = Detector(
        num_frm=num_frm,
        nreadout=nreadout,
        int_time_s=frame_s,
        readtime_s=_FRAME_S - frame_s,
        gain=tuple(float_of(headers, f"GAIN_{output}") for output in "ABCD"),
        read_noise=(float("nan"),) * 4,
    )
    return detector, CosmicRays(on_board, block, on_ground=False), exposure_s, remarks


def _tica_quality(header: fits.Header, camera: int) -> int:
    """The mission's bits for what the header flags; sectors before 67 have QUAL_BIT alone."""
    flagged = {"COARSE": _COARSE, "RW_DESAT": _DESATURATION, f"STRAYLT{camera}": _STRAY_LIGHT}
    bits = sum(bit for keyword, bit in flagged.items() if header.get(keyword) in (True, 1))
    return bits or (_EXCLUDED if header.get("QUAL_BIT") in (True, 1) else 0)


def _plate(plane: _Plane) -> tuple[TanSip | None, tuple[str, ...]]:
    """Plate solution in coordinates of the science pixels, or why there is none."""
    header, (ny, nx) = plane.hdu.header, plane.section.shape
    cards = "\n".join(str(card) for card in header.cards if len(str(card)) == 80)
    rows, columns = plane.section.in_file
    try:
        stated = tan_sip_from_cards(cards, plane.hdu.shape)
        crpix = stated.crpix[0] - columns.start, stated.crpix[1] - rows.start
        wcs = replace(stated, crpix=crpix, shape=(ny, nx))
        _check_plate(wcs, header)
    except BadFrameError as error:
        return None, (f"it has no plate solution that can be used ({error})",)
    return wcs, ()


def _check_plate(wcs: TanSip, header: fits.Header) -> None:
    terms = [f"{name}_{p}_{q}" for name in "AB" for p in range(7) for q in range(7) if f"{name}_{p}_{q}" in header]
    lost = [term for term in terms if int(term[2]) + int(term[4]) >= len(wcs.a if term[0] == "A" else wcs.b)]
    if lost:
        raise BadFrameError(f"{lost[0]} is of a higher order than {lost[0][0]}_ORDER says")
    scale = pixel_scale_arcsec(wcs)
    if not _SCALES_ARCSEC[0] < scale < _SCALES_ARCSEC[1]:
        raise BadFrameError(f"its pixels are {scale:.3g} arcsec")
    ny, nx = wcs.shape
    x, y = np.array([0.0, nx - 1.0, 0.0, nx - 1.0, nx / 2]), np.array([0.0, 0.0, ny - 1.0, ny - 1.0, ny / 2])
    x_back, y_back = sky_to_pixel(wcs, *pixel_to_sky(wcs, x, y))
    if not (np.hypot(x_back - x, y_back - y) < _ROUND_TRIP_PIX).all():
        raise BadFrameError("its distortion cannot be inverted")


def _timecorr_place(headers: Headers, wcs: TanSip | None, section: CcdSection) -> tuple[float, float] | None:
    """Direction for which the correction to the barycentre holds: that of the header's reference for it."""
    column, row = float_of(headers, "BTC_PIX1"), float_of(headers, "BTC_PIX2")
    if wcs is None or not np.isfinite(column + row):
        return None
    return sky_of_pixel(wcs, column - 1.0 - section.first_column, row - 1.0 - section.first_row)


def _emptiness(flux: np.ndarray) -> tuple[str, ...]:
    """Whether an image holds anything."""
    finite = np.isfinite(flux)
    if not finite.any():
        return ("none of its pixels has a value",)
    if not flux.any(where=finite):
        return ("all of its pixels are zero",)
    return ()
