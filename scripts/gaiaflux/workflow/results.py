"""What a run is asked for, and which rules lead to a dataset."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from gaiaflux.model.method import Method
from gaiaflux.model.methods import METHODS
from gaiaflux.workflow.ccd_frames import is_images
from gaiaflux.workflow.chosen import chosen_methods
from gaiaflux.workflow.ledger import Ledger

__all__ = ["PRODUCTS", "Product", "upstream_rules", "wanted_files"]

# Its images are settled by requests (gaiaflux.workflow.requests), as the user's are.
_MAKES_IMAGES = ("make_demo", "make_tess_demo", "make_tess_images_demo")
_OF_FIELDS = (
    *("tess_catalog", "settle_images", "prepare_frames", "prepare_images", "prepare_field"),
    *("solve_field_scene", "tess_photometry", "image_photometry", "assemble_field"),
    *("export_field_lightcurves", "list_field_lightcurves"),
)
_FILES_OF_FIELD = ("dataset.h5", "frames.csv", "targets.csv", "lightcurves.csv")


@dataclass(frozen=True)
class Product:
    """What is made with a dataset or beside it, so that no dataset depends on it.

    Attributes
    ----------
    rule : str
        Rule that makes it.
    file : str
        Below the results of a series; with ``{batch}`` there is one for each batch.
    is_wanted : callable
        Takes the configuration and the section of a series; of a field, an empty one.
    of_fields : bool
        Whether datasets of fields of TESS have it too.
    """

    rule: str
    file: str
    is_wanted: Callable[[Mapping, Mapping], bool]
    of_fields: bool = False


def _on_request(method: Method) -> list[Product]:
    request = method.on_request
    if request is None:
        return []

    def is_wanted(config: Mapping, series: Mapping) -> bool:
        return any(config["photometry"][method.section][key] for key in request.settings)

    return [Product(request.rule, f"{request.folder}/{{batch}}", is_wanted)]


PRODUCTS = (
    Product("rank_variables", "stars.parquet", lambda config, series: True, of_fields=True),
    Product("report", "report.html", lambda config, series: True, of_fields=True),
    Product("export_lightcurves", "lightcurves", lambda config, series: bool(series["targets"])),
    Product("export_dataset", "export", lambda config, series: bool(config["export"]["formats"]), of_fields=True),
    Product("annotate_images", "annotated/{batch}", lambda config, series: config["annotate_images"]),
    *(product for method in METHODS for product in _on_request(method)),
)


def wanted_files(config: Mapping, ledgers: Mapping[str, Ledger]) -> list[str]:
    """Files that a run is asked for.

    Parameters
    ----------
    config : mapping
        Complete configuration.
    ledgers : mapping of str to Ledger
        Of each series, and of each field and cadence of TESS.

    Returns
    -------
    list of str
        Of all series and fields.
    """
    files = []
    for name, series in config["series"].items():
        wanted = [product.file for product in PRODUCTS if product.is_wanted(config, series)]
        for file in ("dataset.h5", "frames.csv", *wanted):
            batches = ledgers[name].batches if "{batch}" in file else [""]
            files += [f"results/{name}/{file.format(batch=batch)}" for batch in batches]
    fields = [series for series in ledgers if series not in config["series"] and not is_images(series)]
    wanted = [product.file for product in PRODUCTS if product.of_fields and product.is_wanted(config, {})]
    files += [f"results/{series}/{file}" for series in fields for file in (*_FILES_OF_FIELD, *wanted)]
    return files + [f"results/tess/{name}/field.json" for name in config["tess"]]


def upstream_rules(config: Mapping, rules: Iterable[str]) -> list[str]:
    """Rules that lead to a dataset.

    Parameters
    ----------
    config : mapping
        Complete configuration.
    rules : iterable of str
        All that have a digest of their code.

    Returns
    -------
    list of str
        Sorted; without those of methods that are not chosen.
    """
    unused = {*_OF_FIELDS} | {method.rule for method in METHODS} - {method.rule for method in chosen_methods(config)}
    return sorted({*rules} - {product.rule for product in PRODUCTS} - unused - {*_MAKES_IMAGES})
