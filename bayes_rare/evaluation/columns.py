"""The columns of an evaluation: their types, and operations on their rows."""

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
"""Riskiest queries of a behaviour that are kept with identity and text."""

MOST_TRIALS = 2**53
"""Largest number of trials of a query: float64 holds whole numbers up to here."""

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
"""Columns of each table of an evaluation, in order, and their types."""


def nothing(part: str) -> Columns:
    """The columns of an empty table."""
    return {name: np.empty(0, dtype) for name, dtype in COLUMNS[part].items()}


def typed(part: str, columns: Columns) -> Columns:
    """The columns of a table, in order and with their types."""
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
    """The rows of one table of several evaluations, by behaviour."""
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
    """Distinct labels, sorted, and the code of each label given."""
    names = sorted(set(labels))
    code = {name: number for number, name in enumerate(names)}
    return tuple(names), np.array([code[label] for label in labels], np.int32)


def riskiest_first(rows: Columns) -> Columns:
    """The riskiest rows of each behaviour, with the columns of `Evaluation.shown`.

    Ties are ordered by identity, family, text, standard error and trials, so that the
    answer does not depend on the order of the rows.
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
            # NaN, which has no order, stands for a missing one.
            np.nan_to_num(rows["log_risk_se"][near]).tolist(),
            rows["trials"][near].tolist(),
            near,
            strict=True,
        )
        chosen += [key[-1] for key in sorted(keys)[:SHOWN]]
    return typed("shown", chosen_rows(rows, np.array(chosen, np.intp)))


def rank(score: np.ndarray, successes: np.ndarray, trials: np.ndarray) -> np.ndarray:
    """The ranking of rows: their score, or `shown_risk` of counts."""
    counted = trials >= 0
    hits, tried = (np.where(counted, each, 1.0) for each in (successes, trials))
    return np.where(counted, shown_risk(hits, tried, np.sqrt), score)


def shown_risk(successes: Any, trials: Any, root: Callable[[Any], Any]) -> Any:
    """Lower end of Wilson's interval of one standard error for a share of successes.

    The smaller p with ``(s / t - p)**2 = p (1 - p) / t``. It is 0 without successes,
    and approaches their share as trials grow: 0 of 1 ranks below 50 of 1,000, and 1 of
    1 (1/2) between 400 and 600 of 1,000.

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
