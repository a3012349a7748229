"""What must hold in the section `download` of a field of TESS, which a schema cannot say."""

from collections.abc import Mapping

__all__ = ["KEYS", "brought_keys", "download_problems"]

KEYS: dict[str, dict[str, str]] = {
    "tpfs": {"tpf": "tpf/*.fits", "fast_tpf": "fast_tpf/*.fits"},
    "cutouts": {"cutout": "cutout/*.fits"},
    "ffis": {"ffi": "ffi/*.fits"},
    "catalog_file": {"catalog": "catalog.csv"},
    "prf_folder": {"prf": "prf"},
}
"""Keys of a field that a download fills: the products, and where they are below the field's folder."""
_OF_TARGETS = ("tpf", "fast_tpf")
_OF_A_PLACE = ("cutout", "catalog")


def brought_keys(field: Mapping) -> set[str]:
    """Keys that a field's download fills where the field does not name them itself.

    Parameters
    ----------
    field : mapping
        Its section of the configuration.

    Returns
    -------
    set of str
    """
    products = field["download"]["products"] if "download" in field else ()
    return {key for key, places in KEYS.items() if not places.keys().isdisjoint(products)}


def download_problems(name: str, field: Mapping) -> list[str]:
    """What does not fit together in the section `download` of a field.

    Parameters
    ----------
    name : str
        Of the field.
    field : mapping
        Its section of the configuration.

    Returns
    -------
    list of str
        One sentence each.
    """
    if "download" not in field:
        return []
    path, asked = f"tess.{name}.download", field["download"]
    products, problems = asked["products"], []
    whole_ccd = all(key in asked for key in ("sectors", "camera", "ccd"))
    around = "targets" in asked or "centre_deg" in asked
    if "targets" in asked and "centre_deg" in asked:
        problems.append(f"{path}: give one of targets and centre_deg, not both")
    if not around and not whole_ccd:
        problems.append(f"{path}: nothing to look for; give targets, or centre_deg, or sectors, camera and ccd")
    for product in products:
        if product in _OF_TARGETS and "targets" not in asked:
            problems.append(f"{path}.products: {product} needs the stars' TIC numbers as targets")
        elif product in _OF_A_PLACE and not around:
            problems.append(f"{path}.products: {product} needs targets or centre_deg")
    if "ffi" in products and "sectors" not in asked:
        problems.append(f"{path}.sectors: missing; a sector of full-frame images is 45 GB and more, so name them")
    if "gaia" in products and "catalog" not in products:
        problems.append(f"{path}.products: gaia goes only together with catalog")
    return problems
