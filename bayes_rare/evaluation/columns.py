"""The parts of an evaluation, column by column: their types, labels and order."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Int

from bayes_rare.evaluation.score_cells import Columns

__all__ = [
    "COLUMNS",
    "MOST_TRIALS",
    "SHOWN",
    "chosen_rows",
    "coded",
    "joined_rows",
    "most_shown",
    "nothing",
    "rank",
    "riskiest_first",
    "rows_by_behaviour",
    "shown_risk",
    "typed",
]

SHOWN = 100
"""Riskiest queries of a behaviour that are kept whole, with identity and text."""

MOST_TRIALS = 2**53
"""Most trials of a query: up to here float64 tells whole numbers apart."""

COLUMNS: dict[str, dict[str, type]] = {
    "exact": {
        "behaviour": np.int32,
        "family": np.int32,
        "score": np.float64,
        "count": np.float64,
        "squares": np.float64,
    },
    "tallied": {
        "behaviour": np.int32,
        "family": np.int32,
        "successes": np.int64,
        "trials": np.int64,
        "count": np.int64,
        "weight": np.float64,
    },
    "estimated": {
        "behaviour": np.int32,
        "family": np.int32,
        "log_risk": np.float64,
        "log_risk_se": np.float64,
        "count": np.int64,
        "weight": np.float64,
    },
    "shown": {
        "behaviour": np.int32,
        "family": np.int32,
        "query_id": object,
        "query_text": object,
        "score": np.float64,
        "log_risk_se": np.float64,
        "successes": np.int64,
        "trials": np.int64,
    },
}
"""Columns of each part of an evaluation, in order, and their types."""


def nothing(part: str) -> Columns:
    """The columns of a part that is empty."""
    return {name: np.empty(0, dtype) for name, dtype in COLUMNS[part].items()}


def typed(part: str, columns: Columns) -> Columns:
    """The columns of a part, in its order and with its types."""
    return {
        name: columns[name].astype(dtype, copy=False)
        for name, dtype in COLUMNS[part].items()
    }


def chosen_rows(columns: Columns, chosen: np.ndarray) -> Columns:
    """Some of the rows."""
    return {name: values[chosen] for name, values in columns.items()}


def rows_by_behaviour(columns: Columns, size: int) -> list[Columns]:
    """The rows of each behaviour, in their order."""
    order = np.argsort(columns["behaviour"], kind="stable")
    ends = np.searchsorted(columns["behaviour"][order], np.arange(size + 1)).tolist()
    ordered = chosen_rows(columns, order)
    return [
        {name: values[first:last] for name, values in ordered.items()}
        for first, last in pairwise(ends)
    ]


def joined_rows(
    part: str,
    parts: Sequence[Columns],
    codes: Mapping[str, Sequence[Int[np.ndarray, "..."]]],
) -> Columns:
    """The rows of one part of several evaluations, by behaviour."""
    whole = {
        name: np.concatenate(
            [
                codes[name][number][rows[name]] if name in codes else rows[name]
                for number, rows in enumerate(parts)
            ]
        )
        for name in COLUMNS[part]
    }
    order = np.argsort(whole["behaviour"], kind="stable")
    return typed(part, chosen_rows(whole, order))


def coded(labels: Sequence[str]) -> tuple[tuple[str, ...], Int[np.ndarray, " row"]]:
    """Distinct labels, sorted, and the code of each one given."""
    names = sorted(set(labels))
    code = {name: number for number, name in enumerate(names)}
    return tuple(names), np.array([code[label] for label in labels], np.int32)


def riskiest_first(rows: Columns) -> Columns:
    """The riskiest rows of each behaviour, of the columns of `Evaluation.shown`.

    Ties are in the order of identity, family and text, so that the answer does not
    depend on the order of the rows; and then in that of standard errors and trials.
    """
    level = rank(rows["score"], rows["successes"], rows["trials"])
    chosen: list[int] = []
    order = np.lexsort((-level, rows["behaviour"]))
    starts = np.flatnonzero(np.diff(rows["behaviour"][order], prepend=-1))
    for group in np.split(order, starts[1:]):
        cut = level[group[min(SHOWN, len(group)) - 1]]
        near = group[level[group] >= cut].tolist()
        keys = zip(
            (-level[near]).tolist(),
            rows["query_id"][near].tolist(),
            rows["family"][near].tolist(),
            rows["query_text"][near].tolist(),
            # A missing one is NaN, which has no order.
            np.nan_to_num(rows["log_risk_se"][near]).tolist(),
            rows["trials"][near].tolist(),
            near,
            strict=True,
        )
        chosen += [key[-1] for key in sorted(keys)[:SHOWN]]
    return typed("shown", chosen_rows(rows, np.array(chosen, np.intp)))


def rank(score: np.ndarray, successes: np.ndarray, trials: np.ndarray) -> np.ndarray:
    """What the riskiest rows are ranked by: score, or `shown_risk` of counts."""
    counted = trials >= 0
    hits, tried = (np.where(counted, each, 1.0) for each in (successes, trials))
    return np.where(counted, shown_risk(hits, tried, np.sqrt), score)


def shown_risk(successes: Any, trials: Any, root: Callable[[Any], Any]) -> Any:
    """The least risk within one standard error of counts: Wilson's lower limit.

    The smaller p with ``(s / t - p)**2 = p (1 - p) / t``. It is 0 of no success, rises
    with the successes, and nears their share as trials do: 0 of 1 comes after 50 of
    1,000, and 1 of 1 (1/2) before 400 of 1,000 and after 600.

    References
    ----------
    E. B. Wilson (1927). Probable inference, the law of succession, and statistical
    inference. Journal of the American Statistical Association 22.
    """
    spread = root(4.0 * successes * (trials - successes) / trials + 1.0)
    return 2.0 * successes * successes / (trials * (2.0 * successes + 1.0 + spread))


def most_shown(risk: float, trials: np.ndarray) -> np.ndarray:
    """Most successes whose `shown_risk` is not above a risk."""
    return np.floor(trials * risk + np.sqrt(trials * risk * (1.0 - risk)))
