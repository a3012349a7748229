"""Settings `tess_download`, made from the schema by `gaiaflux.workflow.sections`; edit that instead."""

from dataclasses import dataclass

__all__ = ["ServersSettings", "TessDownloadSettings"]


@dataclass(frozen=True, kw_only=True)
class ServersSettings:
    """Where the archive is.

    Attributes
    ----------
    mast : str
        Queries and files; a URL that begins with http.
    tesscut : str
        Cut-outs, and the sectors that see a position; a URL that begins with http.
    scripts : str
        The archive's download scripts of whole sectors, which list the full-frame images; a URL that begins with http.
    prf : str
        Folder of the pixel response functions; a URL that begins with http.
    """

    mast: str
    tesscut: str
    scripts: str
    prf: str


@dataclass(frozen=True, kw_only=True)
class TessDownloadSettings:
    """What is fetched from the archive of TESS (MAST) to downloads/tess, once.

    What the field does not name itself of tpfs, cutouts, ffis, catalog_file and prf_folder is then what came.

    Attributes
    ----------
    targets : tuple[int, ...], optional
        TIC numbers of the stars whose files, sectors and neighbours are looked for.
    centre_deg : tuple[float, ...], optional
        Instead of `targets`: position around which is looked, right ascension and declination (ICRS) [deg].
    sectors : tuple[int, ...], optional
        Sectors of interest; all in which the archive has something where it is left out.
    camera : int, optional
        The only camera of interest.
    ccd : int, optional
        The only CCD of interest.
    products : tuple[str, ...]
        `tpf` target pixel files of 120 s, `fast_tpf` of 20 s, `ffi` calibrated full-frame images, `cutout` their cut-
        outs (TESScut), `catalog` the neighbours from the TIC, `gaia` those of Gaia DR3 that the TIC lacks besides,
        `prf` pixel response functions.
    cutout_size_pix : int
        Width and height of a cut-out [pixel].
    radius_arcmin : float
        Reach of the list of neighbours around each target, or around `centre_deg` [arcmin].
    tmag_max : float
        Faintest neighbour in the band of TESS [mag].
    servers : ServersSettings
        Where the archive is.
    cache_folder : str, optional
        Folder where files are kept for other fields and other working directories.
    timeout_s : float
        Longest silence of a server [s].
    deadline_s : float
        Longest time for all downloads of a run; the next run goes on there [s].
    """

    targets: tuple[int, ...] | None
    centre_deg: tuple[float, ...] | None
    sectors: tuple[int, ...] | None
    camera: int | None
    ccd: int | None
    products: tuple[str, ...]
    cutout_size_pix: int
    radius_arcmin: float
    tmag_max: float
    servers: ServersSettings
    cache_folder: str | None
    timeout_s: float
    deadline_s: float
