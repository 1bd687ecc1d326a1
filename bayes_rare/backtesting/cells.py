"""Cells of a backtest's table: forecasts that may be averaged together."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bayes_rare.backtesting.bootstrap import Clusters
from bayes_rare.backtesting.table import Backtest
from bayes_rare.errors import InvalidData

if TYPE_CHECKING:
    import pandas

__all__ = ["CELL", "Cell", "by_cell", "checked", "codes", "groups", "numbers"]

CELL = ["target", "risk_threshold", "evaluation_size", "deployment_size"]
"""Columns that tell one cell from another."""


class Cell(NamedTuple):
    """Target, threshold and sizes that averaged forecasts have in common.

    Parameters
    ----------
    target
        What is forecast.
    risk_threshold
        Risk above which queries count; NaN for the target's own.
    evaluation_size, deployment_size
        Numbers of queries.

    Examples
    --------
    >>> str(Cell("worst_query_risk", math.nan, 300, 30_000))
    'worst_query_risk, 300 -> 30,000'
    >>> str(Cell("behaviour_frequency", 0.01, 300, 30_000))
    'behaviour_frequency above 0.01, 300 -> 30,000'
    """

    target: str
    risk_threshold: float
    evaluation_size: int
    deployment_size: int

    def __str__(self) -> str:
        above = (
            "" if math.isnan(self.risk_threshold) else f" above {self.risk_threshold:g}"
        )
        return (
            f"{self.target}{above}, "
            f"{self.evaluation_size:,} -> {self.deployment_size:,}"
        )


def checked(
    table: "Backtest | pandas.DataFrame", needed: Sequence[str]
) -> "pandas.DataFrame":
    """The table of a backtest, with plain texts for names."""
    table = table.table if isinstance(table, Backtest) else table
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise InvalidData(
            f"this is not the table of a backtest: it lacks the columns "
            f"{', '.join(missing)}. Give what backtest(...) returned, or the Parquet "
            "file that it wrote."
        )
    if table.empty:
        raise InvalidData(
            "there is nothing to compare: the table has no row. Give a backtest of at "
            "least one method."
        )
    texts = [name for name in ("method", "behaviour", "target") if name in needed]
    # Plain texts: groups of a categorical would include those of no row.
    table = table.astype(dict.fromkeys(texts, str))
    if "crps" in needed:
        wrong = ~np.isfinite(table["crps"].to_numpy(dtype=float))
        if wrong.any():
            row = table.iloc[int(np.flatnonzero(wrong)[0])]
            raise InvalidData(
                f"each forecast needs a finite CRPS, and that of {row['method']} for "
                f"{row['behaviour']!r}, repeat {row['repeat']}, has {row['crps']} "
                f"({wrong.sum()} in all). Leave the method out: "
                f"compare(table[table['method'] != {row['method']!r}])."
            )
    return table


def groups(frame: Any, by: list[str]) -> Any:
    """Groups in the order of their first row, those of NaN included."""
    return frame.groupby(by, dropna=False, sort=False)


def numbers(frame: Any, by: list[str]) -> Clusters:
    """The number of the group of each row, from 0."""
    return np.asarray(groups(frame, by).ngroup(), dtype=np.intp)


def codes(frame: Any) -> Clusters:
    """The number of the behaviour of each row, from 0."""
    return numbers(frame, ["behaviour"])


def by_cell(frame: Any) -> list[tuple[Cell, Any]]:
    """The rows of each cell: targets as they came, thresholds and sizes in order."""
    found = [
        (Cell(str(target), float(threshold), int(evaluated), int(deployed)), part)
        for (target, threshold, evaluated, deployed), part in groups(frame, CELL)
    ]
    rank = {name: number for number, name in enumerate(dict.fromkeys(frame["target"]))}

    def place(item: tuple[Cell, Any]) -> tuple[int | float, ...]:
        cell = item[0]
        limit = cell.risk_threshold
        return (
            rank[cell.target],
            -math.inf if math.isnan(limit) else limit,
            cell.evaluation_size,
            cell.deployment_size,
        )

    # One object for all cells without a threshold: a dictionary finds NaN by identity.
    return sorted(
        (
            (cell._replace(risk_threshold=math.nan), part)
            if math.isnan(cell.risk_threshold)
            else (cell, part)
            for cell, part in found
        ),
        key=place,
    )
