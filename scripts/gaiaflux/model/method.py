"""What a method of photometry has to declare, and what is missing where it does not."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gaiaflux.model.columns import Column
from gaiaflux.model.errors import InputError

__all__ = ["COMMON_FACTS", "MEASUREMENTS", "Annotation", "Look", "Method", "OnRequest"]

MEASUREMENTS = {
    "flux": Column("f4", "count/s", "total flux of the star, by each radius where the method has several"),
    "flux_err": Column("f4", "count/s", "one-sigma error of flux"),
    "flags": Column("u2", "", "bits of the star flags"),
}
"""Arrays that every method has, of one value for each star and frame, and for each radius where it has several."""
COMMON_FACTS = {
    "status": Column("text", "", "ok, or the reason why this method did not measure the frame"),
    "n_measured": Column("i4", "", "stars with a flux by this method; -1 where the frame was not measured"),
}
"""What every method says of each frame."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")
# Folders of a series' results and groups of its dataset that are no method's.
_TAKEN = ("annotated", "export", "frames", "lightcurves", "residuals", "stars", "wcs")
_DTYPE = re.compile(r"text|f[248]|[iu][1248]")
_KEYWORD = re.compile(r"[A-Z][A-Z0-9_-]{0,7}")
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")


@dataclass(frozen=True)
class Look:
    """How a method is drawn.

    Attributes
    ----------
    colour, companion : str
        ``#rrggbb``; the second where a figure draws two kinds of the method's stars.
    marker : str
        Of matplotlib.
    """

    colour: str
    companion: str
    marker: str


@dataclass(frozen=True)
class Annotation:
    """What an annotated image says of a method.

    Attributes
    ----------
    extension : str
        Name of the table of fluxes where this method is the first that measured the frame.
    prefix : str
        Before the names of its columns.
    columns : tuple of str
        Arrays and facts of stars that are columns; positions are not among them.
    keywords : mapping of str to (fact, comment)
        Header keywords, and the facts of frames that they hold.
    """

    extension: str
    prefix: str
    columns: tuple[str, ...]
    keywords: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class OnRequest:
    """Further files of a method, one folder for each batch; no number of a dataset depends on them.

    Attributes
    ----------
    rule : str
        Rule that makes them.
    folder : str
        Their place below the results of a series.
    settings : tuple of str
        Settings of the method each of which asks for some of them.
    """

    rule: str
    folder: str
    settings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Method:
    """A method of photometry; one that is only half declared cannot be made.

    Attributes
    ----------
    name : str
        Of its folder of batches, ``results/{series}/{name}/{batch}.h5``, and of its group in the dataset.
    label, title, sentence : str
        What it is called in a legend and in a heading, and what it does.
    look : Look
    annotation : Annotation
    blend : (str, str)
        Star flag by which a star counts as blended, and what that means.
    arrays : mapping of str to Column
        What its batches hold for each star of a frame, and for each radius; `MEASUREMENTS` are among them.
    star_facts : mapping of str to Column
        What it says further of each star in each frame; NaN where not measured.
    frame_facts : mapping of str to Column
        What it says of each frame; `COMMON_FACTS` are among them.
    radii : Column, optional
        ``radii_pix`` of a method that measures each star with several radii.
    calibrated : tuple of (flux, error)
        Arrays that are fluxes with their errors, and are brought to the common scale.
    reported : mapping of str to str
        Facts of frames that the report shows, and what they are called there.
    needs : tuple of str
        Methods whose batches it reads.
    reads : tuple of str
        Other batches that it reads, besides the images and the star catalogue.
    rule, section : str
        Rule that measures (``{name}_photometry``) and section of ``photometry`` in the configuration (`name`).
    on_request : OnRequest, optional
    favoured_within : float
        It is recommended for a star that it measures with at most this much more scatter than the best method.
    holds_psf : bool
        Whether its batches hold each frame's point-spread function (`gaiaflux.io.psf_model`).

    Raises
    ------
    InputError
        Something is missing or contradicts itself; one sentence says what.
    """

    name: str
    label: str
    title: str
    sentence: str
    look: Look
    annotation: Annotation
    blend: tuple[str, str]
    arrays: Mapping[str, Column] = field(default_factory=lambda: dict(MEASUREMENTS))
    star_facts: Mapping[str, Column] = field(default_factory=dict)
    frame_facts: Mapping[str, Column] = field(default_factory=lambda: dict(COMMON_FACTS))
    radii: Column | None = None
    calibrated: tuple[tuple[str, str], ...] = (("flux", "flux_err"),)
    reported: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    reads: tuple[str, ...] = ("stars", "wcs")
    rule: str = ""
    section: str = ""
    on_request: OnRequest | None = None
    favoured_within: float = 1.0
    holds_psf: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "rule", self.rule or f"{self.name}_photometry")
        object.__setattr__(self, "section", self.section or self.name)
        problems = [*_problems_of_names(self), *_problems_of_columns(self), *_problems_of_pictures(self)]
        if problems:
            raise InputError(f"the method of photometry '{self.name}' is only half declared: {'; '.join(problems)}")


def _problems_of_names(method: Method) -> Iterator[str]:
    if not _NAME.fullmatch(method.name):
        yield "its name must be of small letters, digits and _"
    if method.name in _TAKEN:
        yield "its name is that of other files"
    for what in ("label", "title", "sentence"):
        if not getattr(method, what):
            yield f"it has no {what}"
    if method.on_request and not method.on_request.settings:
        yield "no setting asks for its files on request"
    if not method.favoured_within >= 1.0:
        yield "favoured_within must be 1 or more"


def _problems_of_columns(method: Method) -> Iterator[str]:
    for wanted, what, there in (
        (MEASUREMENTS, "arrays", method.arrays),
        (COMMON_FACTS, "frame_facts", method.frame_facts),
    ):
        for name in wanted.keys() - there.keys():
            yield f"{name} is not among its {what}"
    tables = (method.arrays, method.star_facts, method.frame_facts)
    names = [name for table in tables for name in table]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{name} is declared twice"
    columns = {name: column for table in tables for name, column in table.items()}
    for name, column in {**columns, **({"radii_pix": method.radii} if method.radii else {})}.items():
        if not _DTYPE.fullmatch(column.dtype):
            yield f"{name} has no type that is known"
        if not column.description:
            yield f"{name} has no description"
    for name, column in method.star_facts.items():
        if column.dtype[0] != "f":
            yield f"{name} cannot be NaN"
    if not method.calibrated:
        yield "no flux is calibrated"
    for name in (name for pair in method.calibrated for name in pair):
        if name not in method.arrays:
            yield f"{name} is calibrated and not among its arrays"
        elif method.arrays[name].dtype[0] != "f" or not method.arrays[name].unit:
            yield f"{name} is calibrated and no flux: it needs a unit and a floating type"


def _problems_of_pictures(method: Method) -> Iterator[str]:
    look, annotation = method.look, method.annotation
    for colour in (look.colour, look.companion):
        if not _COLOUR.fullmatch(colour):
            yield f"'{colour}' is no colour (#rrggbb)"
    if not look.marker:
        yield "it has no marker"
    if not annotation.extension:
        yield "its table in an annotated image has no name"
    for name in annotation.columns:
        if name not in {*method.arrays, *method.star_facts}:
            yield f"{name} is annotated and not among its arrays or star_facts"
    for keyword, (fact, _) in annotation.keywords.items():
        if not _KEYWORD.fullmatch(keyword):
            yield f"'{keyword}' is no keyword of FITS"
        if fact not in method.frame_facts:
            yield f"{fact} is annotated and not among its frame_facts"
    for fact in method.reported:
        if fact not in method.frame_facts:
            yield f"{fact} is reported and not among its frame_facts"
    if not all(method.blend):
        yield "blend needs a flag and what it means"
