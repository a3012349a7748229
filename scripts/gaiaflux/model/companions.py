"""Names of the files that belong to an image: its mask, weight or error image."""

from gaiaflux.model.settings.companions import CompanionSettings, CompanionsSettings

__all__ = ["companion_path", "companion_paths"]


def companion_path(path: str, way: CompanionSettings) -> str | None:
    """Path of a companion that is a file of its own.

    Parameters
    ----------
    path : str
        Image.
    way : CompanionSettings
        ``file``: one for all images; or ``replace``: text of the image's path and what stands there instead, where the
        last place counts if there are several.

    Returns
    -------
    str or None
        Empty where the image's path lacks the text or nothing would change; None where the way names no file.
    """
    if way.file:
        return way.file
    if not way.replace:
        return None
    old, new = way.replace
    before, found, after = path.rpartition(old)
    other = before + new + after
    return other if found and other != path else ""


def companion_paths(path: str, companions: CompanionsSettings) -> list[str]:
    """Paths of an image's companions that are files of their own; those whose path cannot be made are left out.

    Parameters
    ----------
    path : str
        Image.
    companions : CompanionsSettings
        Setting of the series.

    Returns
    -------
    list of str
    """
    ways = (companions.mask, companions.weight, companions.error)
    found = (companion_path(path, way) for way in ways if way is not None)
    return [other for other in found if other]
