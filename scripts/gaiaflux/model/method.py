"""What a method of photometry has to declare, and what is missing where it does not."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gaiaflux.model.columns import Column
from gaiaflux.model.errors import InputError

__all__ = [
    "BATCH_ARRAYS",
    "BATCH_FACTS",
    "COMMON_FACTS",
    "MEASUREMENTS",
    "NOT_ANNOTATED",
    "SKY_SHARE",
    "Annotation",
    "Look",
    "Method",
    "OnRequest",
    "Reported",
    "check_together",
]

MEASUREMENTS = {
    "flux": Column("f4", "count/s", "total flux of the star"),
    "flux_err": Column("f4", "count/s", "one-sigma error of flux"),
    "flags": Column("u4", "", "bits of the star flags"),
}
"""Arrays that every method has, of one value for each star and frame, and for each radius where it has several."""
BATCH_ARRAYS = {
    "x": Column("f8", "pixel", "column at which the star was measured"),
    "y": Column("f8", "pixel", "row at which the star was measured"),
    "star_id": Column("i8", "", "star of each row, where the rows are not those of the star catalogue"),
}
"""Arrays that the batches of every method may have besides; annotated images need the positions."""
BATCH_FACTS = {
    "unit": Column("text", "", "of the fluxes: electron/s, or adu/s where no gain is known"),
    "catalog_sha256": Column("text", "", "checksum of the star catalogue that the rows are of"),
}
"""What the batches of every method say of a measured frame, besides `COMMON_FACTS`."""
COMMON_FACTS = {
    "status": Column("text", "", "ok, or the reason why this method did not measure the frame"),
    "n_measured": Column("i4", "", "stars with a flux by this method; -1 where the frame was not measured"),
}
"""What every method says of each frame."""
SKY_SHARE = "sky_share"
"""Fact of stars of a method whose errors hold structure of the sky; what of it stays from frame to frame is no error of
a light curve."""

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
    radii : (str, str), optional
        Header keyword, to which a number from 1 is added, and comment of the radii of a method that has several.
    """

    extension: str
    prefix: str
    columns: tuple[str, ...]
    keywords: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    radii: tuple[str, str] | None = None


NOT_ANNOTATED = Annotation("", "", ())
"""Of a method that measures no images that could be annotated."""


@dataclass(frozen=True)
class Reported:
    """What the report says of a fact of the frames.

    Attributes
    ----------
    label : str
        What the fact is called.
    words : mapping of str to str
        Of a text, what is said of the frames with each value: ``12 frames {words}``; else the value itself.
    axis : str
        Title with the unit where the fact is drawn frame by frame; without one it is not.
    """

    label: str
    words: Mapping[str, str] = field(default_factory=dict)
    axis: str = ""


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
    label, title, by, sentence : str
        What it is called in a legend and in a heading and as the means (``scatter by {by}``), and what it does.
    look : Look
    blend : (str, str)
        Star flag by which a star counts as blended, and what that means.
    annotation : Annotation
    arrays : mapping of str to Column
        What its batches hold for each star of a frame, and for each radius; `MEASUREMENTS` are among them.
    star_facts : mapping of str to Column
        What it says further of each star in each frame; NaN where not measured.
    frame_facts : mapping of str to Column
        What it says of each frame; `COMMON_FACTS` are among them. -1, NaN or empty where it does not.
    intermediate : mapping of str to Column
        Further arrays and facts of its batches, which stay there: no dataset takes them over.
    radii : Column, optional
        ``radii_pix`` of a method that measures each star with several radii.
    calibrated : tuple of (flux, error)
        Arrays that are fluxes with their errors, and are brought to the common scale, which the first pair (flux,
        flux_err) defines.
    in_light_curves : tuple of str
        Facts of stars that the light curves of targets have.
    reported : mapping of str to Reported
        Facts of frames that the report shows.
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
        Whether its batches hold each frame's point-spread function (arrays of `gaiaflux.io.psf_model`).

    Raises
    ------
    InputError
        Something is missing or contradicts itself; one sentence says what.
    """

    name: str
    label: str
    title: str
    by: str
    sentence: str
    look: Look
    blend: tuple[str, str]
    annotation: Annotation = NOT_ANNOTATED
    arrays: Mapping[str, Column] = field(default_factory=lambda: dict(MEASUREMENTS))
    star_facts: Mapping[str, Column] = field(default_factory=dict)
    frame_facts: Mapping[str, Column] = field(default_factory=lambda: dict(COMMON_FACTS))
    intermediate: Mapping[str, Column] = field(default_factory=dict)
    radii: Column | None = None
    calibrated: tuple[tuple[str, str], ...] = (("flux", "flux_err"),)
    in_light_curves: tuple[str, ...] = ()
    reported: Mapping[str, Reported] = field(default_factory=dict)
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

    @property
    def further_arrays(self) -> dict[str, Column]:
        """Arrays besides `MEASUREMENTS`."""
        return {name: column for name, column in self.arrays.items() if name not in MEASUREMENTS}


def check_together(methods: Sequence[Method]) -> None:
    """Refuse methods that would write into each other's files, or that need one that is not there.

    Parameters
    ----------
    methods : sequence of Method
        All that there are.

    Raises
    ------
    InputError
        One sentence says what.
    """
    problems = []
    annotated = [method for method in methods if method.annotation is not NOT_ANNOTATED]
    for what, used in (
        ("the name", [method.name for method in methods]),
        ("the rule", [method.rule for method in methods]),
        ("the table of an annotated image", [method.annotation.extension for method in annotated]),
        ("the column of an annotated image", [name for method in methods for name in _annotated_columns(method)]),
        ("the keyword of an annotated image", [name for method in methods for name in _annotated_keywords(method)]),
    ):
        problems += [f"{what} {name} is that of two" for name, count in Counter(used).items() if count > 1]
    names = {method.name for method in methods}
    problems += [
        f"{method.name} needs {needed}, which is not declared"
        for method in methods
        for needed in method.needs
        if needed not in names - {method.name}
    ]
    if problems:
        raise InputError(f"the methods of photometry do not go together: {'; '.join(problems)}")


def _annotated_columns(method: Method) -> list[str]:
    return [f"{method.annotation.prefix}{name}" for name in method.annotation.columns]


def _annotated_keywords(method: Method) -> list[str]:
    radii = method.annotation.radii
    return [*method.annotation.keywords, *([f"{radii[0]}n"] if radii else [])]


def _problems_of_names(method: Method) -> Iterator[str]:
    if not _NAME.fullmatch(method.name):
        yield "its name must be of small letters, digits and _"
    if method.name in _TAKEN:
        yield "its name is that of other files"
    for what in ("label", "title", "by", "sentence"):
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
    columns = {name: column for table in (method.intermediate, *tables) for name, column in table.items()}
    for name, column in {**columns, **({"radii_pix": method.radii} if method.radii else {})}.items():
        if not _DTYPE.fullmatch(column.dtype):
            yield f"{name} has no type that is known"
        if not column.description:
            yield f"{name} has no description"
    for name, column in method.star_facts.items():
        if column.dtype[0] != "f":
            yield f"{name} cannot be NaN"
    if method.radii and method.further_arrays:
        yield "a method with several radii has no further arrays: what they are at a star's own radius is not known"
    if not method.calibrated:
        yield "no flux is calibrated"
    elif method.calibrated[0] != ("flux", "flux_err"):
        yield "the first flux that is calibrated must be flux with flux_err"
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
    if not annotation.extension and annotation is not NOT_ANNOTATED:
        yield "its table in an annotated image has no name"
    for name in annotation.columns:
        if name not in {*method.arrays, *method.star_facts}:
            yield f"{name} is annotated and not among its arrays or star_facts"
    for keyword, (fact, _) in annotation.keywords.items():
        if not _KEYWORD.fullmatch(keyword):
            yield f"'{keyword}' is no keyword of FITS"
        if fact not in method.frame_facts:
            yield f"{fact} is annotated and not among its frame_facts"
    if annotation is not NOT_ANNOTATED and (annotation.radii is None) != (method.radii is None):
        yield "its radii need a column and a keyword of an annotated image"
    for fact, reported in method.reported.items():
        if fact not in method.frame_facts:
            yield f"{fact} is reported and not among its frame_facts"
        elif reported.axis and method.frame_facts[fact].dtype[0] != "f":
            yield f"{fact} is drawn and no number that can be NaN"
        if not reported.label:
            yield f"{fact} is reported without a label"
    for fact in method.in_light_curves:
        if fact not in method.star_facts:
            yield f"{fact} is in light curves and not among its star_facts"
    if not all(method.blend):
        yield "blend needs a flag and what it means"
