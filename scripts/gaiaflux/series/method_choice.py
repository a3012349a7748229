"""Which method of photometry suits each star best, by scatter that no choice was made on."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from gaiaflux.io.dataset import DatasetReader, DatasetWriter
from gaiaflux.model.methods import method_named, methods_named
from gaiaflux.model.units import MAG_PER_RELATIVE
from gaiaflux.series.star_summary import ApertureSummary

__all__ = [
    "REASONS",
    "favoured_method",
    "first_method_that_measures",
    "methods_of_stars",
    "recommend_methods",
    "write_choice",
    "write_recommendation",
]

REASONS = {
    "no good point": -1,
    "the only method": 0,
    "more good points": 1,
    "less scatter in held-out frames": 2,
    "less predicted error": 3,
    "as good as any other": 4,
    "it takes the neighbours' light off": 5,
}
"""Why a method is recommended, with its code in ``/stars/recommended_method_reason``."""
_VARIES = 5.0  # scatter over what stars of that brightness scatter by, by all methods: the star's own
_AS_MANY = 0.8  # of the good points of the method that has most


def recommend_methods(summaries: Mapping[str, ApertureSummary]) -> tuple[np.ndarray, np.ndarray]:
    """Best method of each star.

    Parameters
    ----------
    summaries : mapping of str to ApertureSummary
        By method, of the same n stars.

    Returns
    -------
    method : ndarray of int8, shape (n,)
        Position in `summaries`; -1 for a star without a good point.
    reason : ndarray of int8, shape (n,)
        Codes of `REASONS`. Of the methods that have at least four fifths of the points of the one with most that may be
        exported, the one with the least scatter in frames that did not choose its aperture, relative to the flux; where
        that is not known for all, or is the star's own by far (it varies), with the least predicted error, that of
        stars of its brightness; a favoured one (`Method.favoured_within`) that is nearly as good as the best.
    """
    names = list(summaries)
    n_good = np.stack([summaries[name].n_sound for name in names])
    held_out = np.stack([summaries[name].held_out for name in names])
    expected = np.stack([summaries[name].expected for name in names])
    enough = (n_good > 0) & (n_good >= _AS_MANY * n_good.max(axis=0))
    seen = (np.isfinite(held_out) | ~enough).all(axis=0)
    # What a variable star does is in all methods, and hides what their noise is.
    with np.errstate(invalid="ignore"):
        seen &= ~(enough.any(axis=0) & ((held_out > _VARIES * expected) | ~enough).all(axis=0))
    score = np.where(enough, np.where(seen, held_out, expected), np.inf)
    score = np.where(np.isfinite(score), score, np.inf)
    best = np.argmin(score, axis=0)
    reason = np.where(seen, REASONS["less scatter in held-out frames"], REASONS["less predicted error"])
    columns = np.arange(score.shape[1])
    # Of those that are close to the best, the one that is favoured most, then the better one.
    favour = np.array([method_named(name).favoured_within for name in names])[:, None]
    close = enough & (score <= favour * score[best, columns])
    wanted = np.where(close, favour, 0.0)
    chosen = np.argmin(np.where(wanted == wanted.max(axis=0), score, np.inf), axis=0)
    reason = np.where(chosen != best, REASONS["as good as any other"], reason)
    best = chosen
    # Without any score, the most points.
    unknown = ~np.isfinite(score).any(axis=0)
    best = np.where(unknown, np.argmax(n_good, axis=0), best)
    reason = np.where(unknown | (enough.sum(axis=0) == 1), REASONS["more good points"], reason)
    if len(names) == 1:
        reason = np.full(len(best), REASONS["the only method"])
    none = (n_good == 0).all(axis=0)
    return (
        np.where(none, -1, best).astype(np.int8),
        np.where(none, REASONS["no good point"], reason).astype(np.int8),
    )


def favoured_method(names: Collection[str]) -> str:
    """Name of the method that is recommended where nothing else decides."""
    return max(methods_named(names), key=lambda method: method.favoured_within).name


def write_recommendation(out: DatasetWriter, summaries: Mapping[str, ApertureSummary]) -> None:
    """Write ``/stars/recommended_method`` and its reason as enumerations (HDF5 keeps their names), and the scatters.

    Parameters
    ----------
    out : DatasetWriter
        Dataset.
    summaries : mapping of str to ApertureSummary
        By method.
    """
    write_choice(out, list(summaries), *recommend_methods(summaries))
    for name, summary in summaries.items():
        for key, values, text in (
            ("held_out_scatter", summary.held_out, "scatter in the frames that did not choose the star's aperture"),
            ("expected_scatter", summary.expected, "scatter that stars of that brightness have, neighbours included"),
        ):
            magnitudes = (values * MAG_PER_RELATIVE).astype("f4")
            out.array(f"{name}/{key}", magnitudes, "mag", f"{text}; NaN where not known")


def write_choice(out: DatasetWriter, methods: Sequence[str], method: np.ndarray, reason: np.ndarray) -> None:
    """Write ``/stars/recommended_method`` and its reason as enumerations.

    Parameters
    ----------
    out : DatasetWriter
        Dataset.
    methods : sequence of str
        Their names.
    method : ndarray of int, shape (n,)
        Position in `methods`; -1 for a star without a good point.
    reason : ndarray of int, shape (n,)
        Codes of `REASONS`.
    """
    codes = {"none": -1, **{name: k for k, name in enumerate(methods)}}
    for name, values, names, text in (
        ("recommended_method", method, codes, "method of photometry that suits the star best"),
        ("recommended_method_reason", reason, REASONS, "why it does"),
    ):
        said = ", ".join(f"{code} = {label}" for label, code in names.items())
        dtype = np.dtype("i1", metadata={"enum": names})
        out.array(f"stars/{name}", values.astype(dtype), "", f"{text}: {said}")


def first_method_that_measures(n_points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Choice among methods that are listed best first, where no ensemble says how they scatter.

    Parameters
    ----------
    n_points : ndarray of int, shape (n_methods, n)
        Points of each star by each method.

    Returns
    -------
    method, reason : ndarray of int8, shape (n,)
        As of `recommend_methods`: the first method with four fifths of the points of the one that has most.
    """
    most = n_points.max(axis=0)
    method = np.argmax((n_points > 0) & (n_points >= _AS_MANY * most), axis=0)
    only, more = REASONS["the only method"], REASONS["more good points"]
    reason = np.where(method == 0, REASONS["it takes the neighbours' light off"] if len(n_points) > 1 else only, more)
    return (
        np.where(most > 0, method, -1).astype(np.int8),
        np.where(most > 0, reason, REASONS["no good point"]).astype(np.int8),
    )


def methods_of_stars(source: DatasetReader) -> tuple[np.ndarray, np.ndarray]:
    """Method that a dataset recommends for each star, and why.

    Parameters
    ----------
    source : DatasetReader
        Dataset; of one that says nothing, because it is older, the first method holds for all stars.

    Returns
    -------
    method : ndarray of str objects, shape (n,)
        Name of the method's group; empty for a star without a good point.
    reason : ndarray of str objects, shape (n,)
        One of `REASONS`, or ``not said``.
    """
    if "stars/recommended_method" not in source:
        n_stars = source.grid("stars/star_id").shape[0]
        first = source.methods[0] if source.methods else ""
        return np.full(n_stars, first, dtype=object), np.full(n_stars, "not said", dtype=object)
    method = source.labels("stars/recommended_method")
    return np.where(method == "none", "", method).astype(object), source.labels("stars/recommended_method_reason")
