"""Settings `gaia`, made from the schema by `gaiaflux.workflow.sections`; edit that instead."""

from dataclasses import dataclass

__all__ = ["GaiaSettings"]


@dataclass(frozen=True, kw_only=True)
class GaiaSettings:
    """Where the catalogue of reference stars comes from.

    Attributes
    ----------
    source : str
        `tap` asks the archive (a series with `gaia_file` uses its file); `file` never asks the archive;
        `reference_image` takes the reference image's own stars instead of Gaia's, with instrumental magnitudes, and
        nominal sky coordinates (centre_deg, pixel_scale_arcsec) where its header has no WCS.
    release : str
        Data release of Gaia that the archive is asked for.
    servers : tuple[str, ...]
        Archives, tried in turn; names (esa, ari, vizier, noirlab) or URLs of TAP services.
    magnitude_limit : float
        Faintest Gaia G magnitude that is taken [mag].
    cache_folder : str, optional
        Folder where answers of the archive are kept, for other series, other working directories and runs without a
        network; with it a download that breaks off goes on where it stopped.
    rows_per_query : int
        Stars that a server is asked for at once; larger fields are fetched in slices of magnitude [stars].
    timeout_s : float
        Longest silence of a server before the next one is tried [s].
    deadline_s : float
        Longest time for the whole download, all servers together [s].
    margin_arcmin : float
        Margin around the images' footprint [arcmin].
    """

    source: str
    release: str
    servers: tuple[str, ...]
    magnitude_limit: float
    cache_folder: str | None
    rows_per_query: int
    timeout_s: float
    deadline_s: float
    margin_arcmin: float
