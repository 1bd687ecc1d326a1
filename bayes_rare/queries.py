"""What an evaluation is made of, one a query: labels and outcomes, checked."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from bayes_rare.cells import Columns
from bayes_rare.errors import InvalidData
from bayes_rare.parts import MOST_TRIALS, coded, riskiest_first
from bayes_rare.shortening import listed

__all__ = [
    "Labels",
    "behaviour_codes",
    "checked_counts",
    "checked_estimates",
    "checked_scores",
    "checked_weights",
    "family_codes",
    "joined_labels",
    "shown_of",
]

type Labels = Sequence[Any] | np.ndarray
type Rows = Float[np.ndarray, " row"]
type Codes = Int[np.ndarray, " row"]


def checked_scores(scores: ArrayLike) -> Rows:
    """Scores as float64.

    Parameters
    ----------
    scores
        One a query.

    Raises
    ------
    InvalidData
        If there are none, or one is NaN.
    """
    score = _numbers(scores, "scores")
    if score.ndim != 1 or not len(score):
        raise InvalidData(
            f"scores have shape {score.shape}. Give one dimension, and at least one "
            "score."
        )
    missing = np.isnan(score)
    if missing.any():
        raise InvalidData(
            f"score {int(np.argmax(missing))} (counted from 0) is NaN, and "
            f"{int(missing.sum())} in all. Give -inf for a risk of 0, inf for a risk "
            "of 1, and leave out what was not measured."
        )
    return score


def checked_counts(successes: ArrayLike, trials: ArrayLike) -> tuple[Codes, Codes]:
    """Successes and trials as whole numbers.

    Parameters
    ----------
    successes, trials
        One a query.

    Raises
    ------
    InvalidData
        If there are none, or one is no whole number in its range.
    """
    hits, tried = _numbers(successes, "successes"), _numbers(trials, "trials")
    if hits.ndim != 1 or hits.shape != tried.shape or not len(hits):
        raise InvalidData(
            f"successes have shape {hits.shape} and trials {tried.shape}. Give one "
            "dimension and one number of each a query, at least one."
        )
    whole = (hits == np.floor(hits)) & (tried == np.floor(tried))
    in_range = (hits >= 0) & (tried >= 1) & (hits <= tried) & (tried <= MOST_TRIALS)
    wrong = ~(whole & in_range)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InvalidData(
            f"query {first} (counted from 0) has {hits[first]:.16g} successes of "
            f"{tried[first]:.16g} trials. Give whole numbers with 0 <= successes <= "
            f"trials and 1 <= trials <= {MOST_TRIALS:,}."
        )
    return hits.astype(np.int64), tried.astype(np.int64)


def _numbers(values: ArrayLike, what: str) -> Rows:
    """Values as float64, which holds whole numbers up to `MOST_TRIALS` exactly."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidData(
            f"{what} are not all numbers ({error}). Give one number a query, and leave "
            "out queries that were not sampled."
        ) from error


def checked_estimates(log_risk: ArrayLike, log_risk_se: ArrayLike) -> tuple[Rows, Rows]:
    """Estimates and their standard errors as float64.

    Parameters
    ----------
    log_risk, log_risk_se
        One of each a query.

    Raises
    ------
    InvalidData
        If there are none, or one is outside its range.
    """
    risk, error = _numbers(log_risk, "log_risk"), _numbers(log_risk_se, "log_risk_se")
    if risk.ndim != 1 or risk.shape != error.shape or not len(risk):
        raise InvalidData(
            f"log_risk has shape {risk.shape} and log_risk_se {error.shape}. Give one "
            "dimension and one number of each a query, at least one."
        )
    wrong = ~(np.isfinite(risk) & (risk <= 0))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InvalidData(
            f"query {first} (counted from 0) has an estimated log_risk of "
            f"{float(risk[first])!r}. Give the natural logarithm of the risk, finite "
            "and at most 0; where nothing was seen, give successes and trials instead."
        )
    wrong = ~((error > 0) & np.isfinite(error))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InvalidData(
            f"query {first} (counted from 0) has a log_risk_se of "
            f"{float(error[first])!r}. Give a positive standard error of log_risk; of "
            "risks known exactly make an evaluation with Evaluation.from_scores."
        )
    return risk + 0.0, error


def checked_weights(weight: ArrayLike | None, size: int) -> Rows:
    """Weights as float64, one a query; ones where none are given.

    Parameters
    ----------
    weight
        One a query, or none.
    size
        Number of queries.

    Raises
    ------
    InvalidData
        If one is no positive number, or there are not as many as queries.
    """
    if weight is None:
        return np.ones(size)
    given = _numbers(weight, "weights")
    if given.shape != (size,):
        raise InvalidData(
            f"weights have shape {given.shape} for {size} queries. Give one a query."
        )
    wrong = ~((given > 0) & np.isfinite(given))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InvalidData(
            f"weight {first} (counted from 0) is {float(given[first])!r}, and "
            f"{int(wrong.sum())} in all are no positive number. Give the number of "
            "queries that each stands for, such as 1 / its sampling probability, and "
            "leave out what was not sampled."
        )
    return given


def behaviour_codes(
    behaviour: str | Labels | None, size: int
) -> tuple[tuple[str, ...], Codes]:
    """Names of the behaviours, sorted, and the code of each query.

    Parameters
    ----------
    behaviour
        One name of all, or one a query; "behaviour" where none is given.
    size
        Number of queries.

    Raises
    ------
    InvalidData
        If there are not as many names.
    """
    if behaviour is None or isinstance(behaviour, str):
        name = "behaviour" if behaviour is None else behaviour
        return (name,), np.zeros(size, np.int32)
    return coded(_one_each(behaviour, size, "behaviour"))


def family_codes(family: Any, size: int) -> tuple[tuple[str, ...], Codes]:
    """Names of the families, sorted, and the code of each query.

    Parameters
    ----------
    family
        One name a query; one empty name where none are given.
    size
        Number of queries.

    Raises
    ------
    InvalidData
        If there are not as many names.
    """
    if family is None:
        return ("",), np.zeros(size, np.int32)
    return coded(_one_each(family, size, "family"))


def shown_of(
    behaviour: np.ndarray,
    family: np.ndarray,
    query_id: Any,
    query_text: Any,
    **outcomes: np.ndarray,
) -> Columns:
    """The riskiest of all queries, as part "shown" of an evaluation.

    Parameters
    ----------
    behaviour, family
        Codes, one a query.
    query_id, query_text
        One a query; empty where none are given.
    **outcomes
        Those of the columns ``score``, ``log_risk_se``, ``successes`` and ``trials``
        that the queries have.
    """
    size = len(behaviour)
    missing = {
        "score": math.nan,
        "log_risk_se": math.nan,
        "successes": -1,
        "trials": -1,
    }
    return riskiest_first(
        {
            "behaviour": behaviour,
            "family": family,
            "query_id": _texts(query_id, size, "query_id"),
            "query_text": _texts(query_text, size, "query_text"),
        }
        | {name: np.full(size, value) for name, value in missing.items()}
        | outcomes
    )


def _one_each(labels: Any, size: int, what: str) -> list[str]:
    texts = [str(label) for label in labels]
    if len(texts) != size:
        raise InvalidData(
            f"{len(texts)} values of {what} for {size} scores. Give one a score."
        )
    return texts


def _texts(labels: Any, size: int, what: str) -> np.ndarray:
    if labels is None:
        return np.full(size, "", object)
    return np.array(_one_each(labels, size, what), object)


def joined_labels(labels: Any, sizes: Mapping[str, int], what: str) -> list[str] | None:
    """Labels by behaviour as one list, in the order of the behaviours.

    Parameters
    ----------
    labels
        From the name of each behaviour to one label a query; or none.
    sizes
        Number of queries of each behaviour.
    what
        What the labels are.

    Raises
    ------
    InvalidData
        If behaviours or numbers differ.
    """
    if labels is None:
        return None
    if not isinstance(labels, Mapping) or {*cast("Labels", labels)} != set(sizes):
        raise InvalidData(
            f"scores come by behaviour, {what} does not. Give a mapping with the same "
            f"names: {listed(sizes)}."
        )
    return [
        x for name, size in sizes.items() for x in _one_each(labels[name], size, what)
    ]
