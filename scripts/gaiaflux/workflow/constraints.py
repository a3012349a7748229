"""What must hold between several settings, which a schema cannot say."""

import math
from collections.abc import Mapping, Sequence

from gaiaflux.model.method import Method
from gaiaflux.model.methods import METHODS
from gaiaflux.workflow.download_checks import brought_keys, download_problems

__all__ = ["further_problems", "method_problems"]


def further_problems(config: Mapping) -> list[str]:
    """Problems of a configuration that its schema accepts.

    Parameters
    ----------
    config : mapping
        Complete configuration.

    Returns
    -------
    list of str
        One sentence each.
    """
    photometry = config["photometry"]
    problems = _aperture(photometry) + _psf(photometry) + method_problems(photometry)
    problems += _export(config["export"], config["gaia"])
    problems += _fields(config["tess"])
    lowered: dict[str, str] = {}
    for name, series in config["series"].items():
        path = f"series.{name}"
        other = lowered.setdefault(name.lower(), name)
        if other != name:
            problems.append(
                f"{path}: differs from series.{other} only in case; files of both would have the same names"
            )
        if "radius_arcmin" in series and "centre_deg" not in series:
            problems.append(f"{path}.radius_arcmin: goes only together with centre_deg")
        if config["gaia"]["source"] == "file" and "gaia_file" not in series:
            problems.append(f"{path}.gaia_file: missing; gaia.source is 'file', so every series needs one")
        if config["gaia"]["source"] == "reference_image" and "gaia_file" in series:
            problems.append(f"{path}.gaia_file: not used where gaia.source is 'reference_image'; leave one of them out")
        problems += _targets(path, series)
    return problems


def _fields(fields: Mapping) -> list[str]:
    problems = []
    lowered: dict[str, str] = {}
    for name, field in fields.items():
        other = lowered.setdefault(name.lower(), name)
        if other != name:
            problems.append(
                f"tess.{name}: differs from tess.{other} only in case; files of both would have the same names"
            )
        problems += download_problems(name, field)
        given = {*field, *brought_keys(field)}
        if not {"tpfs", "cutouts", "ffis"} & given:
            problems.append(
                f"tess.{name}: nothing to measure; give target pixel files (tpfs), cut-outs (cutouts) or full-frame "
                "images (ffis)"
            )
        if "catalog_file" not in given and "ffis" not in given:
            problems.append(
                f"tess.{name}.catalog_file: missing; only in full-frame images are stars found without a catalogue"
            )
        if "catalog_file" not in given and "prf_folder" not in given:
            problems.append(
                f"tess.{name}.prf_folder: missing; without a catalogue stars are found by the pixel response function"
            )
        if field["targets"] == []:
            problems.append(f"tess.{name}.targets: empty; give TIC numbers, or leave it out to measure all files")
        listed = isinstance(field["targets"], Mapping) and "file" in field["targets"]
        if listed and ("catalog_file" in given or "ffis" not in given):
            problems.append(
                f"tess.{name}.targets.file: goes only together with ffis and without catalog_file; name the stars by "
                "their TIC numbers"
            )
        if "pointing_file" in field and "cutouts" not in given:
            problems.append(f"tess.{name}.pointing_file: goes only together with cutouts")
    return problems


def _aperture(photometry: Mapping) -> list[str]:
    path, settings = "photometry.aperture", photometry["aperture"]
    problems = []
    for unit in ("fwhm", "arcsec"):
        radii, annulus = settings.get(f"radii_{unit}"), settings.get(f"annulus_{unit}")
        if annulus and annulus[0] >= annulus[1]:
            problems.append(
                f"{path}.annulus_{unit}: the inner radius {annulus[0]} must be smaller than the outer {annulus[1]}"
            )
        elif radii and annulus and max(radii) > annulus[0]:
            problems.append(
                f"{path}.radii_{unit}: the largest radius {max(radii)} reaches into the annulus, which begins at "
                f"{annulus[0]} (annulus_{unit})"
            )
    return problems


def _psf(photometry: Mapping) -> list[str]:
    path, settings = "photometry.psf", photometry["psf"]
    problems = []
    if settings["min_stars"] > settings["max_psf_stars"]:
        problems.append(
            f"{path}.min_stars: {settings['min_stars']} stars are needed, but max_psf_stars allows "
            f"{settings['max_psf_stars']}"
        )
    return problems


def method_problems(photometry: Mapping, methods: Sequence[Method] = METHODS) -> list[str]:
    """Methods of photometry that lack another, and files of methods that are not chosen.

    Parameters
    ----------
    photometry : mapping
        Section of a complete configuration.
    methods : sequence of Method
        All that there are.

    Returns
    -------
    list of str
        One sentence each.
    """
    problems = []
    for method in methods:
        if method.name in photometry["methods"]:
            problems += [
                f"photometry.methods: {method.name} needs {needed}; add it"
                for needed in method.needs
                if needed not in photometry["methods"]
            ]
        elif method.on_request:
            problems += [
                f"photometry.{method.section}.{key}: goes only together with {method.name} among photometry.methods"
                for key in method.on_request.settings
                if photometry[method.section][key]
            ]
    return problems


def _export(export: Mapping, gaia: Mapping) -> list[str]:
    if "aavso" not in export["formats"]:
        return []
    if gaia["source"] == "reference_image":
        return ["export.formats: aavso needs standard magnitudes; with gaia.source 'reference_image' there are none"]
    if "observer_code" not in export["aavso"]:
        return ["export.aavso.observer_code: missing; the format aavso needs it"]
    return []


def _targets(path: str, series: Mapping) -> list[str]:
    problems = []
    names: set[str] = set()
    for target in series["targets"]:
        name = target["name"]
        if name.lower() in names:
            problems.append(f"{path}.targets: two targets are named '{name}' (upper and lower case count as the same)")
        names.add(name.lower())
        if "ra_deg" in target and "radius_arcmin" in series and "centre_deg" in series:
            distance = _separation_arcmin(series["centre_deg"], (target["ra_deg"], target["dec_deg"]))
            if distance > series["radius_arcmin"]:
                problems.append(
                    f"{path}.targets, {name}: {distance:.1f} arcmin from centre_deg, outside of radius_arcmin "
                    f"{series['radius_arcmin']}; correct its position or leave it out"
                )
    return problems


def _separation_arcmin(first: tuple[float, float], second: tuple[float, float]) -> float:
    ra1, dec1, ra2, dec2 = (math.radians(value) for value in (*first, *second))
    haversine = math.sin((dec2 - dec1) / 2) ** 2 + math.cos(dec1) * math.cos(dec2) * math.sin((ra2 - ra1) / 2) ** 2
    return math.degrees(2 * math.asin(min(1.0, math.sqrt(haversine)))) * 60
