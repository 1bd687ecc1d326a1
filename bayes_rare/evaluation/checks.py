"""Checks of the labels and outcomes that an evaluation is made from."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, time
from decimal import Decimal
from typing import Any, cast

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from bayes_rare.errors import InvalidData, listed
from bayes_rare.evaluation.columns import MOST_TRIALS, coded, riskiest_first
from bayes_rare.evaluation.import_record import Repeats
from bayes_rare.evaluation.score_cells import Columns

__all__ = [
    "BLANKS",
    "FILL_IN_FAMILIES",
    "MOST_WHOLE",
    "Labels",
    "behaviour_codes",
    "checked_counts",
    "checked_estimates",
    "checked_scores",
    "checked_weights",
    "contradiction",
    "family_codes",
    "half_told",
    "joined_labels",
    "one_a_query",
    "refuse_repeated_ids",
    "shown_of",
    "text_of",
    "texts",
]

BLANKS = " \t\n\r\v\f"
"""A label of nothing but these characters is missing."""

MOST_WHOLE = 2.0**63
"""Whole numbers below this, in a column of floats, are written as integers."""

type Labels = Sequence[Any] | np.ndarray
type Rows = Float[np.ndarray, " row"]
type Codes = Int[np.ndarray, " row"]


def text_of(label: Any) -> str:
    """The text of a label, whatever its type; "" if it is missing.

    Examples
    --------
    >>> [text_of(label) for label in ("a", 1, 1.0, np.float32(0.1), True, None, " ")]
    ['a', '1', '1', '0.1', 'true', '', '']
    """
    kind = cast("type[Any]", type(label))
    if label is None or kind.__name__ in {"NAType", "NaTType"}:
        return ""
    if issubclass(kind, str):
        return str(label) if label.strip(BLANKS) else ""
    if issubclass(kind, bool | np.bool):
        return str(label).lower()
    if issubclass(kind, float | np.floating):
        whole = abs(label) < MOST_WHOLE and label == math.floor(label)
        return "" if math.isnan(label) else str(int(label) if whole else label)
    if issubclass(kind, Decimal):
        return "" if label.is_nan() else _shortened(f"{label:f}")
    if issubclass(kind, np.datetime64):
        label = "" if np.isnat(label) else str(label).replace("T", " ")
        return _shortened(label).removesuffix(" 00:00:00")
    if issubclass(kind, datetime | time):
        return _shortened(str(label)).removesuffix(" 00:00:00")
    return str(label)


def _shortened(text: str) -> str:
    """Digits without trailing zeros after the point."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def checked_scores(scores: ArrayLike) -> Rows:
    """Scores as float64."""
    score = _numbers(scores, "scores")
    if score.ndim != 1 or not len(score):
        raise InvalidData(
            f"scores have shape {score.shape}. Give a one-dimensional array with at "
            "least one score."
        )
    missing = np.isnan(score)
    if missing.any():
        raise InvalidData(
            f"score {int(np.argmax(missing))} (counted from 0) is NaN; there are "
            f"{int(missing.sum())} in all. Give -inf for a risk of 0, inf for a risk "
            "of 1, and leave out queries that were not measured."
        )
    return score


def checked_counts(successes: ArrayLike, trials: ArrayLike) -> tuple[Codes, Codes]:
    """Successes and trials as whole numbers."""
    hits, tried = _numbers(successes, "successes"), _numbers(trials, "trials")
    if hits.ndim != 1 or hits.shape != tried.shape or not len(hits):
        raise InvalidData(
            f"successes have shape {hits.shape} and trials {tried.shape}. Give "
            "one-dimensional arrays of equal length, with at least one query."
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


def _numbers(values: ArrayLike, what: str) -> Float[np.ndarray, "..."]:
    """Values as float64, which holds whole numbers up to `MOST_TRIALS` exactly."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidData(
            f"{what} are not all numbers ({error}). Give one number per query, and "
            "leave out queries that were not sampled."
        ) from error


def checked_estimates(log_risk: ArrayLike, log_risk_se: ArrayLike) -> tuple[Rows, Rows]:
    """Estimates and their standard errors as float64."""
    risk, error = _numbers(log_risk, "log_risk"), _numbers(log_risk_se, "log_risk_se")
    if risk.ndim != 1 or risk.shape != error.shape or not len(risk):
        raise InvalidData(
            f"log_risk has shape {risk.shape} and log_risk_se {error.shape}. Give "
            "one-dimensional arrays of equal length, with at least one query."
        )
    wrong = ~(np.isfinite(risk) & (risk <= 0))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InvalidData(
            f"query {first} (counted from 0) has an estimated log_risk of "
            f"{float(risk[first])!r}. Give the natural logarithm of the risk, finite "
            "and at most 0. For a risk estimated as 0, give successes and trials "
            "instead."
        )
    wrong = ~((error > 0) & np.isfinite(error))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InvalidData(
            f"query {first} (counted from 0) has a log_risk_se of "
            f"{float(error[first])!r}. Give a positive standard error of log_risk. For "
            "risks known exactly, use Evaluation.from_scores."
        )
    return risk + 0.0, error


def checked_weights(weight: ArrayLike | None, size: int) -> Rows:
    """Weights as float64, one per query; ones if none are given."""
    if weight is None:
        return np.ones(size)
    given = _numbers(weight, "weights")
    if given.shape != (size,):
        raise InvalidData(
            f"weights have shape {given.shape} for {size} queries. Give one per query."
        )
    wrong = ~((given > 0) & np.isfinite(given))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InvalidData(
            f"weight {first} (counted from 0) is {float(given[first])!r}; "
            f"{int(wrong.sum())} in all are not positive numbers. Give the number of "
            "queries that each stands for, such as 1 / its sampling probability, and "
            "leave out queries that were not sampled."
        )
    return given


def behaviour_codes(
    behaviour: str | Labels | None, size: int
) -> tuple[tuple[str, ...], Codes]:
    """Names of the behaviours, sorted, and the code of each query."""
    if behaviour is None or isinstance(behaviour, str):
        name = "behaviour" if behaviour is None else behaviour
        return (name,), np.zeros(size, np.int32)
    names, group = coded(_one_each(behaviour, size, "behaviour"))
    if "" in names:
        raise InvalidData(
            f"the behaviour of query {int(np.argmin(group))} (counted from 0) is "
            "missing. Name it, or leave the query out."
        )
    return names, group


def family_codes(
    family: Any, behaviours: tuple[str, ...], group: np.ndarray
) -> tuple[tuple[str, ...], Codes]:
    """Names of the families, sorted, and the code of each query."""
    if family is None:
        return ("",), np.zeros(len(group), np.int32)
    names, code = coded(_one_each(family, len(group), "family"))
    missing = code == 0 if names and names[0] == "" else np.zeros(len(group), bool)
    half = missing & np.isin(group, group[~missing])
    if half.any():
        first = int(np.argmax(half))
        told = half_told(behaviours[int(group[first])])
        raise InvalidData(
            f"{told}: that of query {first} (counted from 0) is missing. "
            f"{FILL_IN_FAMILIES}"
        )
    return names, code


FILL_IN_FAMILIES = (
    "Fill it in (for example 'none', as a family of their own), or leave families out."
)
"""What to do if only some queries have a family."""


def half_told(behaviour: str) -> str:
    """A refusal's first words if only some queries of a behaviour have a family."""
    return f"only some queries of behaviour {behaviour!r} have a family"


def contradiction(query: str, behaviour: str, what: str, said: Sequence[Any]) -> str:
    """A refusal of rows with one query_id that differ in what they say of the query."""
    first, second = (f"{value if value else 'none'!s:.60}" for value in said[:2])
    return (
        f"rows with query_id {query!r:.60} and behaviour {behaviour!r:.60} differ in "
        f"{what}: {first!r} and {second!r}. Rows with one query_id are added up to one "
        f"query, which has one {what}. Correct {what}, give different queries "
        "different query_ids, or leave query_id out."
    )


def one_a_query(
    rows: Columns, behaviours: tuple[str, ...], labels: tuple[str, ...]
) -> tuple[Columns, tuple[Repeats, ...]]:
    """Counts with the rows of each query added up, and the behaviours with several."""
    nameless = rows["query_id"] == ""
    query = coded(rows["query_id"].tolist())[1].astype(np.int64)
    query[nameless] = -1 - np.arange(int(nameless.sum()))
    order = np.lexsort((query, rows["behaviour"]))
    sorted_rows = {name: values[order] for name, values in rows.items()}
    query, group = query[order], sorted_rows["behaviour"]
    same = (query[1:] == query[:-1]) & (group[1:] == group[:-1])
    if not same.any():
        return rows, ()
    for name in ("family", "query_text", "weight"):
        values = sorted_rows[name]
        differ = np.flatnonzero(same & (values[1:] != values[:-1]))
        if differ.size:
            at = int(differ[0])
            said: list[Any] = values[at : at + 2].tolist()
            said = [labels[code] for code in said] if name == "family" else said
            own = str(sorted_rows["query_id"][at]), behaviours[int(group[at])]
            raise InvalidData(contradiction(*own, name, said))
    starts = np.flatnonzero(np.append(True, ~same))
    added = {
        name: np.add.reduceat(values, starts)
        if name in ("successes", "trials")
        else values[starts]
        for name, values in sorted_rows.items()
    }
    checked_counts(added["successes"], added["trials"])
    several = [
        Repeats(
            name, int((group == code).sum()), int((added["behaviour"] == code).sum())
        )
        for code, name in enumerate(behaviours)
    ]
    return added, tuple(one for one in several if one.rows > one.queries)


def refuse_repeated_ids(
    query_id: Any, behaviours: tuple[str, ...], group: np.ndarray, what: str
) -> None:
    """Refuse a query with more than one risk under a behaviour."""
    if query_id is None:
        return
    ids = _one_each(query_id, len(group), "query_id")
    seen: set[tuple[int, str]] = set()
    for pair in zip(group.tolist(), ids, strict=True):
        if pair[1] and pair in seen:
            raise InvalidData(
                f"query_id {pair[1]!r:.60} occurs more than once under behaviour "
                f"{behaviours[pair[0]]!r:.60}, but a query has only one {what}. Drop "
                "the repeated rows, or, if they are different queries, leave query_id "
                "out."
            )
        seen.add(pair)


def shown_of(
    behaviour: np.ndarray,
    family: np.ndarray,
    query_id: Any,
    query_text: Any,
    **outcomes: np.ndarray,
) -> Columns:
    """The riskiest queries, as the table ``shown`` of an evaluation."""
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
            "query_id": texts(query_id, size, "query_id"),
            "query_text": texts(query_text, size, "query_text"),
        }
        | {name: np.full(size, value) for name, value in missing.items()}
        | outcomes
    )


def _one_each(labels: Any, size: int, what: str) -> list[str]:
    texts = [text_of(label) for label in labels]
    if len(texts) != size:
        raise InvalidData(
            f"{len(texts)} values of {what} for {size} queries. Give one per query."
        )
    return texts


def texts(labels: Any, size: int, what: str) -> np.ndarray:
    """Labels as text; empty if none are given."""
    if labels is None:
        return np.full(size, "", object)
    return np.array(_one_each(labels, size, what), object)


def joined_labels(labels: Any, sizes: Mapping[str, int], what: str) -> list[str] | None:
    """Labels by behaviour as one list, in the order of the behaviours."""
    if labels is None:
        return None
    if not isinstance(labels, Mapping) or {*cast("Labels", labels)} != set(sizes):
        raise InvalidData(
            f"scores are given by behaviour, so {what} must be too. Give a mapping "
            f"with the same names: {listed(sizes)}."
        )
    return [
        x for name, size in sizes.items() for x in _one_each(labels[name], size, what)
    ]
