"""Which method of photometry suits each star best, by scatter that no choice was made on."""

from collections.abc import Collection, Mapping

import numpy as np

from gaiaflux.io.dataset import DatasetReader, DatasetWriter
from gaiaflux.model.methods import method_named, methods_named
from gaiaflux.model.units import MAG_PER_RELATIVE
from gaiaflux.series.star_summary import ApertureSummary

__all__ = ["REASONS", "favoured_method", "methods_of_stars", "recommend_methods", "write_recommendation"]

REASONS = {
    "no good point": -1,
    "the only method": 0,
    "more good points": 1,
    "less scatter in held-out frames": 2,
    "less predicted error": 3,
    "as good as any other": 4,
}
"""Why a method is recommended, with its code in ``/stars/recommended_method_reason``."""
_AS_MANY = 0.8  # of the good points of the method that has most
_VARIES = 5.0  # times the predicted error: the star varies, and its scatter does not tell how it was measured


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
        Codes of `REASONS`. Of the methods that have at least four fifths of the good points of the one with most,
        the one with the least scatter in frames that did not choose its aperture, relative to the flux; where that is
        not known for all, or is the star's own, with the least predicted error; a favoured one
        (`Method.favoured_within`) that is nearly as good as the best.
    """
    names = list(summaries)
    n_good = np.stack([summaries[name].n_good for name in names])
    held_out = np.stack([summaries[name].held_out for name in names])
    expected = np.stack([summaries[name].expected for name in names])
    enough = (n_good > 0) & (n_good >= _AS_MANY * n_good.max(axis=0))
    with np.errstate(invalid="ignore"):
        varies = ((held_out > _VARIES * expected) | ~enough).all(axis=0)
    seen = (np.isfinite(held_out) | ~enough).all(axis=0) & ~varies
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
    method, reason = recommend_methods(summaries)
    codes = {"none": -1, **{name: k for k, name in enumerate(summaries)}}
    for name, values, names, text in (
        ("recommended_method", method, codes, "method of photometry that suits the star best"),
        ("recommended_method_reason", reason, REASONS, "why it does"),
    ):
        said = ", ".join(f"{code} = {label}" for label, code in names.items())
        dtype = np.dtype("i1", metadata={"enum": names})
        out.array(f"stars/{name}", values.astype(dtype), "", f"{text}: {said}")
    for name, summary in summaries.items():
        for key, values, text in (
            ("held_out_scatter", summary.held_out, "scatter in the frames that did not choose the star's aperture"),
            ("expected_scatter", summary.expected, "error that is predicted for a typical frame, neighbours included"),
        ):
            magnitudes = (values * MAG_PER_RELATIVE).astype("f4")
            out.array(f"{name}/{key}", magnitudes, "mag", f"{text}; NaN where not known")


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
