"""Terms that all frames of a series share: colour, colour times air mass, and what differs from camera to camera.

A term says with which functions of a star the flux changes, in which frames and how, where it can be told at all, and
what it means. `SERIES_TERMS` lists the terms in the order in which they are tried; nothing else names one of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gaiaflux.core.maths.field_basis import FieldBasis
from gaiaflux.core.maths.polynomials import STARS_PER_TERM

__all__ = [
    "SERIES_TERMS",
    "Parameter",
    "SeriesFacts",
    "SharedCoefficients",
    "StarFacts",
    "StarFunctions",
    "Term",
    "TermContext",
    "field_means",
]

_MAP_ORDER = 3
_LEAST_STARS = 20
_LEAST_SPREAD = 0.05  # of the colours [mag], of the air masses
_MOST_CAMERAS = 12
_TURNED = 0.05  # change of the image's axes that makes a map of the detector visible


@dataclass(frozen=True)
class StarFacts:
    """What is known of n stars.

    Attributes
    ----------
    x, y : ndarray, shape (n,)
        Place in the field [pixel of the reference image]; NaN where unknown.
    colour : ndarray, shape (n,)
        [mag]; NaN where unknown.
    aperture : ndarray of int, shape (n,), or None
        Aperture that the star is measured with; None where that means nothing.
    response : ndarray, shape (n, m), or None
        Natural logarithm of the response of the part of the detector that each star fell on in each of m frames; None
        where the response has no steps.
    """

    x: np.ndarray
    y: np.ndarray
    colour: np.ndarray
    aperture: np.ndarray | None = None
    response: np.ndarray | None = None


@dataclass(frozen=True)
class SeriesFacts:
    """What is known of n stars and m frames.

    Attributes
    ----------
    x, y : ndarray, shape (n,)
        Place in the field [pixel of the reference image].
    colour : ndarray, shape (n,)
        [mag]; NaN where unknown.
    airmass : ndarray, shape (m,)
        NaN where unknown.
    camera : ndarray of int, shape (m,)
        Number of the camera.
    camera_names : list of str
        Their names.
    axes : ndarray, shape (m, 2, 2)
        Detector axes of each frame over those of the reference image; the unit matrix where unknown.
    """

    x: np.ndarray
    y: np.ndarray
    colour: np.ndarray
    airmass: np.ndarray
    camera: np.ndarray
    camera_names: list[str]
    axes: np.ndarray

    @property
    def stars(self) -> StarFacts:
        """What is known of the stars alone."""
        return StarFacts(self.x, self.y, self.colour)


@dataclass(frozen=True)
class TermContext:
    """What the terms of a series are made from.

    Attributes
    ----------
    facts : SeriesFacts
        Of the n stars of the ensemble and m frames.
    weigh : ndarray of bool, shape (n,)
        Stars that weigh in the ensemble.
    frames : ndarray of bool, shape (m,)
        Frames that the terms are fitted to: those with spatial terms of the full order.
    basis : FieldBasis
        Scale of the field, and the spatial terms that each frame has of its own.
    colour_zero, airmass_zero : float
        Where terms are zero; NaN where nothing is known.
    """

    facts: SeriesFacts
    weigh: np.ndarray
    frames: np.ndarray
    basis: FieldBasis
    colour_zero: float
    airmass_zero: float

    @property
    def airmass(self) -> np.ndarray:
        """Air mass less `airmass_zero`; 0 where unknown, shape (m,)."""
        return np.nan_to_num(self.facts.airmass - self.airmass_zero)

    @property
    def cameras(self) -> list[int]:
        """Numbers of the cameras that have a frame to fit."""
        return [c for c in range(len(self.facts.camera_names)) if (self.frames & self.by(c)).any()]

    @property
    def others(self) -> list[int]:
        """The cameras without the one with the most frames, whose system of colour is that of the series."""
        cameras = self.cameras
        most = max(cameras, key=lambda camera: ((self.frames & self.by(camera)).sum(), -camera), default=-1)
        return [camera for camera in cameras if camera != most]

    def by(self, camera: int) -> np.ndarray:
        """Which frames a camera took, shape (m,)."""
        return self.facts.camera == camera


@dataclass(frozen=True)
class StarFunctions:
    """Functions of a star, q of them, that terms multiply; a series has one coefficient of each for each frame.

    Attributes
    ----------
    name : str
        The dataset has the coefficients as ``{name}_coefficients``.
    columns : callable
        From the `StarFacts` of any n stars and the `TermContext` of the series to an array of shape (n, q), 0 where a
        fact is not known.
    unit, description : str
        Of a coefficient, a change of the natural logarithm of the flux.
    degree : int
        Where the functions are the terms of one degree (above 0) of the polynomial over the field, that degree: they
        join the spatial terms of the frames and their coefficients, and `description` is not asked for. Else 0.
    """

    name: str
    columns: Callable[[StarFacts, TermContext], np.ndarray]
    unit: str
    description: str
    degree: int = 0


class Parameter(NamedTuple):
    """A number that is fitted: its name in tables, and the coefficients of all frames for the value 1, shape (m, q)."""

    name: str
    frames: np.ndarray


@dataclass(frozen=True)
class Term:
    """A term of the natural logarithm of the flux: the sum over its parameters of value * frames * functions.

    Attributes
    ----------
    name : str
        Unique in a list of terms.
    functions : StarFunctions
        What of a star it goes with.
    parameters : callable
        From the `TermContext` to the list of `Parameter`, which are kept or left out together. Empty where the series
        has nothing that the term could mean.
    refusal : callable
        From the `TermContext` to the reason why the term cannot be told in this series; empty where it is allowed.
    unit : str
        Of a parameter as a change of magnitude.
    description : str
        What it is, for people.
    """

    name: str
    functions: StarFunctions
    parameters: Callable[[TermContext], Sequence[Parameter]]
    refusal: Callable[[TermContext], str]
    unit: str
    description: str


@dataclass(frozen=True)
class SharedCoefficients:
    """Coefficients of each frame for some functions of a star, the sum of all terms that were kept.

    Attributes
    ----------
    functions : StarFunctions
        q functions.
    coefficients : ndarray of float64, shape (m, q)
        0 where no term was kept.
    context : TermContext
        Says where the functions are zero.
    """

    functions: StarFunctions
    coefficients: np.ndarray
    context: TermContext

    def table(self, stars: StarFacts) -> np.ndarray:
        """Change of the natural logarithm of the flux of n stars in each frame, shape (n, m)."""
        return self.functions.columns(stars, self.context) @ self.coefficients.T


def field_means(context: TermContext, degree: int) -> np.ndarray:
    """Means over the stars that weigh of the terms of one degree of the polynomial over the field, shape (degree + 1,).

    Parameters
    ----------
    context : TermContext
        Of the series.
    degree : int
        Degree of the terms u^degree, ..., v^degree.
    """
    if not context.weigh.any():
        return np.zeros(degree + 1)
    return _field_terms(context.facts.stars, context.basis, degree)[context.weigh].mean(axis=0)


def _field_terms(stars: StarFacts, basis: FieldBasis, degree: int) -> np.ndarray:
    u = (stars.x - basis.x0) / basis.half
    v = (stars.y - basis.y0) / basis.half
    return np.stack([u ** (degree - q) * v**q for q in range(degree + 1)], axis=-1)


def _redder(stars: StarFacts, context: TermContext) -> np.ndarray:
    return np.nan_to_num(stars.colour - context.colour_zero)[:, None]


def _cubic(stars: StarFacts, context: TermContext) -> np.ndarray:
    """Terms u^3, u^2 v, u v^2, v^3 less their means over the stars that weigh."""
    known = np.isfinite(stars.x) & np.isfinite(stars.y)
    terms = _field_terms(stars, context.basis, _MAP_ORDER) - field_means(context, _MAP_ORDER)
    return np.where(known[:, None], terms, 0.0)


_COLOUR = StarFunctions(
    "colour",
    _redder,
    unit="1/mag",
    description="change of the natural logarithm of the flux with BP - RP, from the attribute colour_zero on; 0 "
    "without a term of colour. A star without a colour is taken to have that of colour_zero",
)
_FIELD = StarFunctions("map", _cubic, unit="", description="", degree=_MAP_ORDER)


def _colour_airmass(context: TermContext) -> list[Parameter]:
    return [Parameter("colour * airmass", context.airmass[:, None])]


def _camera_colour(context: TermContext) -> list[Parameter]:
    return _each_camera(context, "colour", np.ones(len(context.frames)))


def _camera_colour_airmass(context: TermContext) -> list[Parameter]:
    return _each_camera(context, "colour * airmass", context.airmass)


def _each_camera(context: TermContext, text: str, slope: np.ndarray) -> list[Parameter]:
    """What the other cameras have beyond the camera with the most frames."""
    names = context.facts.camera_names
    return [
        Parameter(f"{text}, camera {names[camera]}", np.where(context.by(camera), slope, 0.0)[:, None])
        for camera in context.others
    ]


def _camera_map(context: TermContext) -> list[Parameter]:
    cameras, others = context.cameras, context.others
    axes = context.facts.axes[context.frames]
    turned = axes.size and np.abs(axes - axes[:1]).max() > _TURNED
    if not (turned or others) or context.basis.order >= _MAP_ORDER:
        return []
    return [
        Parameter(
            f"u^{_MAP_ORDER - power} v^{power}, camera {context.facts.camera_names[camera]}",
            np.where(context.by(camera)[:, None], _turned(context.facts.axes, power), 0.0),
        )
        # Where no camera is turned, one camera's map is in the constants of the stars.
        for camera in (cameras if turned else others)
        for power in range(_MAP_ORDER + 1)
    ]


def _turned(axes: np.ndarray, power: int) -> np.ndarray:
    """A cubic term of the detector in the terms of the reference image, of shape (m, 4).

    Only the linear part of the change matters: what a shift adds is of lower order, and each frame has its own.
    """
    angle = np.arange(8) * np.pi / 8.0
    places = np.stack([np.cos(angle), np.sin(angle)])
    powers = np.stack([places[0] ** (_MAP_ORDER - q) * places[1] ** q for q in range(_MAP_ORDER + 1)], axis=1)
    there = axes @ places
    values = there[:, 0] ** (_MAP_ORDER - power) * there[:, 1] ** power
    return values @ np.linalg.pinv(powers).T


def _no_colour(context: TermContext) -> str:
    coloured = context.weigh & np.isfinite(context.facts.colour)
    if coloured.sum() < _LEAST_STARS:
        return f"{coloured.sum()} stars of the ensemble with a colour, {_LEAST_STARS} needed"
    if np.std(context.facts.colour[coloured]) < _LEAST_SPREAD:
        return "the stars have all the same colour"
    return ""


def _no_airmass(context: TermContext) -> str:
    airmass = context.facts.airmass[context.frames]
    known = airmass[np.isfinite(airmass)]
    if no_colour := _no_colour(context):
        return no_colour
    if known.size < 2:
        return "the air mass is not known"
    return "the air mass does not change" if np.ptp(known) < _LEAST_SPREAD else ""


def _no_map(context: TermContext) -> str:
    if len(context.cameras) > _MOST_CAMERAS:
        return f"{len(context.cameras)} cameras are too many"
    n_used = int(context.weigh.sum())
    few = n_used < max(_LEAST_STARS, 2 * STARS_PER_TERM * (_MAP_ORDER + 1))
    return f"{n_used} stars are too few" if few else ""


SERIES_TERMS = (
    Term(
        name="colour_airmass",
        functions=_COLOUR,
        parameters=_colour_airmass,
        refusal=_no_airmass,
        unit="mag/mag",
        description="extinction of the second order: by how much more a redder star is dimmed in each air mass",
    ),
    Term(
        name="camera_colour",
        functions=_COLOUR,
        parameters=_camera_colour,
        refusal=_no_colour,
        unit="mag/mag",
        description="by how much fainter a redder star is in this camera than in the one with the most frames",
    ),
    Term(
        name="camera_colour_airmass",
        functions=_COLOUR,
        parameters=_camera_colour_airmass,
        refusal=_no_airmass,
        unit="mag/mag",
        description="what extinction of the second order has beyond that of the camera with the most frames",
    ),
    Term(
        name="camera_map",
        functions=_FIELD,
        parameters=_camera_map,
        refusal=_no_map,
        unit="mag",
        description="map of the detector's response, beyond what the spatial terms of each frame follow",
    ),
)
"""All terms, in the order in which they are tried: later ones are fitted along with those that were kept before."""
