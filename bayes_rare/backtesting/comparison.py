"""Scores of all methods, and their pairwise differences."""

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_rare import plotting
from bayes_rare.arguments.checking import checked_call
from bayes_rare.backtesting.bootstrap import (
    Bootstrap,
    Clusters,
    Columns,
    bootstrap,
    resampled_means,
)
from bayes_rare.backtesting.cells import (
    CELL,
    Cell,
    by_cell,
    checked,
    codes,
    groups,
    numbers,
)
from bayes_rare.backtesting.table import Backtest
from bayes_rare.backtesting.verdicts import notes_on_origin, notes_on_table, verdict
from bayes_rare.errors import InvalidData

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = ["Comparison", "compare"]

# Columns of rows, and of which column of the table each is the mean.
_MEANS = {
    "mean_abs_log10_error": "abs_log10_error",
    "mean_abs_error": "abs_error",
    "within_one_order": "within_one_order",
    "underestimated": "underestimated",
    "mean_crps": "crps",
    "coverage_50": "covered_50",
    "coverage_80": "covered_80",
    "coverage_90": "covered_90",
    "coverage_95": "covered_95",
    "seconds_per_forecast": "seconds",
    "mean_log_score": "log_score",
    "mean_interval_score_90": "interval_score_90",
}
_ROWS = [
    "method",
    *CELL,
    "forecasts",
    *_MEANS,
    "substituted",
]
_PAIRS = [
    "method",
    "against",
    *CELL,
    "crps_difference",
    "lower",
    "upper",
    "behaviours",
    "behaviours_better",
]
_NOT_IN_JSON = {
    "risk_threshold",
    "substituted",
    "mean_log_score",
    "mean_interval_score_90",
    "behaviours",
    "behaviours_better",
}
# The columns that a comparison cannot do without.
_NEEDED = ["method", "behaviour", "repeat", *CELL, "status", "reason"]


@checked_call
@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Scores of all methods, and their pairwise differences.

    Parameters
    ----------
    rows
        A row for each method and cell: ``method, target, risk_threshold,
        evaluation_size, deployment_size, forecasts``, means over the forecasts, and
        ``substituted``, the number that the method refused or did not converge on.
        Coverage, log score and interval score are means over the forecasts that have
        an interval, NaN where none has.
    pairs
        A row for each ordered pair of methods and cell: ``method, against``, the cell,
        ``crps_difference`` (negative: the method is better), ``lower, upper`` of its
        interval, ``behaviours``, and ``behaviours_better``: on how many the method's
        mean CRPS is lower.
    notes
        Caveats for the reader, in sentences.
    interval
        Probability of the intervals.
    """

    rows: "pandas.DataFrame"
    pairs: "pandas.DataFrame"
    notes: tuple[str, ...]
    interval: int | float

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods."""
        return tuple(dict.fromkeys(self.rows["method"]))

    def cells(self) -> Generator[tuple[Cell, "pandas.DataFrame", "pandas.DataFrame"]]:
        """Each cell with its rows, the lowest CRPS first, and its pairs."""
        pairs = dict(by_cell(self.pairs))
        for cell, rows in by_cell(self.rows):
            yield (
                cell,
                rows.sort_values("mean_crps", kind="stable"),
                pairs.get(cell, self.pairs.iloc[:0]),
            )

    def json(self) -> dict[str, list[dict[str, Any]]]:
        """The comparison as plain Python values, None for a missing number.

        Under ``rows`` and ``pairs`` a dictionary for each row of the frames; with
        ``risk_threshold`` if and only if some row has one.
        """
        left_out = set(_NOT_IN_JSON)
        if self.rows["risk_threshold"].notna().any():
            left_out.remove("risk_threshold")
        return {
            name: [
                {key: _plain(row[key]) for key in columns if key not in left_out}
                for row in frame.to_dict("records")
            ]
            for name, frame, columns in (
                ("rows", self.rows, _ROWS),
                ("pairs", self.pairs, _PAIRS),
            )
        }

    def verdicts(self) -> list[str]:
        """Which method is best, and whether the others differ from it significantly.

        A paragraph for each cell. Methods differ significantly if the interval of
        their difference excludes 0; there is no correction for multiple comparisons.
        """
        return [
            f"{cell}: {verdict(rows, pairs, self.interval)}"
            for cell, rows, pairs in self.cells()
        ]

    def plot_skill(
        self, path: str | Path | None = None, against: str | None = None
    ) -> "Figure":
        """Differences of CRPS from one reference method, with their intervals.

        Parameters
        ----------
        path
            Where to write the picture, if anywhere.
        against
            The reference method: by default ``gumbel_ols``, or else the best of the
            point methods.

        Raises
        ------
        InvalidInput
            If there is no such method.
        """
        figure = plotting.skill(
            self.rows, self.pairs, against=against, interval=self.interval
        )
        return plotting.written(figure, path)

    def __repr__(self) -> str:
        cells = sum(1 for _ in by_cell(self.rows))
        return (
            f"Comparison of {', '.join(self.methods)} in {cells} "
            f"cell{'s'[: cells != 1]} of target and sizes. See rows, pairs, "
            "verdicts(), plot_skill() and notes."
        )


@checked_call
def compare(
    table: "Backtest | pandas.DataFrame",
    *,
    interval: int | float = 0.95,
    resamples: int = 10_000,
    seed: int | np.random.Generator = 0,
) -> Comparison:
    """Compare all methods of a backtest.

    The difference of two methods is ``mean over splits of CRPS(a) - CRPS(b)`` [1]_;
    its interval is the percentile interval of that mean where the behaviours are
    resampled with replacement, each with all its splits [2]_. With a single
    behaviour the splits are resampled.

    Parameters
    ----------
    table
        A backtest, or its table: a row for each method, behaviour, repeat, target,
        threshold and sizes, and all methods on the same ones.
    interval
        Probability of the intervals, in (0, 1).
    resamples
        Number of times that behaviours are resampled.
    seed
        Source of randomness.

    Raises
    ------
    InvalidData
        If a method lacks a split that another has, a forecast is there twice or has no
        CRPS, or the table is not that of a backtest.
    InvalidInput
        If the interval or the number of resamples is out of range.

    References
    ----------
    .. [1] F. X. Diebold, R. S. Mariano (1995).
    .. [2] A. C. Davison, D. V. Hinkley (1997), section 3.8; A. C. Cameron, J. B.
       Gelbach, D. L. Miller (2008).
    """
    import pandas as pd

    resample = bootstrap(interval, resamples, seed)
    origin: Mapping[str, Any] = table.origin if isinstance(table, Backtest) else {}
    table = checked(table, [*_NEEDED, *_MEANS.values()])
    methods = list(dict.fromkeys(table["method"]))
    rows: list[dict[str, Any]] = []
    pairs: list[dict[str, Any]] = []
    for cell, part in by_cell(table):
        scores, behaviours = _paired(cell, part, methods)
        rows += _rows(cell, part, methods)
        pairs += _pairs(cell, methods, scores, behaviours, resample)
    return Comparison(
        rows=pd.DataFrame(rows, columns=_ROWS),
        pairs=pd.DataFrame(pairs, columns=_PAIRS),
        notes=(*notes_on_table(table), *notes_on_origin(origin)),
        interval=interval,
    )


def _rows(
    cell: Cell, part: "pandas.DataFrame", methods: Sequence[str]
) -> Generator[dict[str, Any]]:
    own: Any = dict(iter(groups(part, ["method"])))
    for method in methods:
        found = own[method,]
        yield {
            "method": method,
            **cell._asdict(),
            "forecasts": len(found),
            **{name: found[of].mean() for name, of in _MEANS.items()},
            "substituted": int((found["status"] != "forecast").sum()),
        }


def _pairs(
    cell: Cell,
    methods: Sequence[str],
    scores: Columns,
    behaviours: Clusters,
    resample: Bootstrap,
) -> Generator[dict[str, Any]]:
    """Both directions of each pair: the one is the other with its sign changed."""
    couples = list(combinations(range(len(methods)), 2))
    if not couples:
        return
    one, other = np.array(couples).T
    differences = scores[:, one] - scores[:, other]
    lower, upper = resample(differences, behaviours)
    count = int(behaviours.max()) + 1
    each = resampled_means(differences, behaviours, np.eye(count))
    mean = differences.mean(axis=0)
    for place, (a, b) in enumerate(couples):
        for method, against, sign, low, high in (
            (a, b, 1, lower[place], upper[place]),
            (b, a, -1, -upper[place], -lower[place]),
        ):
            yield {
                "method": methods[method],
                "against": methods[against],
                **cell._asdict(),
                "crps_difference": sign * mean[place],
                "lower": low,
                "upper": high,
                "behaviours": count,
                "behaviours_better": int((sign * each[:, place] < 0).sum()),
            }


def _paired(
    cell: Cell, part: "pandas.DataFrame", methods: Sequence[str]
) -> tuple[Columns, Clusters]:
    """The CRPS of each split by each method, and each split's behaviour."""
    split = numbers(part, ["behaviour", "repeat"])
    place = {method: number for number, method in enumerate(methods)}
    column = np.array([place[method] for method in part["method"]])
    times = np.zeros((int(split.max()) + 1, len(methods)), dtype=int)
    np.add.at(times, (split, column), 1)
    _refuse_unpaired(cell, part, methods, split, times)
    scores = np.full(times.shape, math.nan)
    scores[split, column] = part["crps"].to_numpy(dtype=float)
    behaviours = np.zeros(len(times), dtype=np.intp)
    behaviours[split] = codes(part)
    return scores, behaviours


def _refuse_unpaired(
    cell: Cell,
    part: "pandas.DataFrame",
    methods: Sequence[str],
    split: Clusters,
    times: np.ndarray,
) -> None:
    def named(number: int) -> str:
        row = part.iloc[int(np.flatnonzero(split == number)[0])]
        return f"{row['behaviour']!r}, repeat {row['repeat']}, {cell}"

    if (times > 1).any():
        number, column = np.argwhere(times > 1)[0].tolist()
        raise InvalidData(
            f"each forecast may occur only once, but that of {methods[column]} for "
            f"{named(number)} is there {times[number, column]} times. Compare one "
            "backtest at a time, or give table.drop_duplicates() if a part of it was "
            "read twice."
        )
    if (times == 0).any():
        number, column = np.argwhere(times == 0)[0].tolist()
        other = methods[int(np.flatnonzero(times[number])[0])]
        raise InvalidData(
            f"methods are compared on the same splits, and {methods[column]} has no "
            f"forecast of {named(number)}, which {other} has. Let the backtest end, or "
            "leave the method out: "
            f"compare(table[table['method'] != {methods[column]!r}])."
        )


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
