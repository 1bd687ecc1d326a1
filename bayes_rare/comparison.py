"""Methods against each other: a backtest's table as means and paired differences.

Forecasts of one behaviour err together, so every interval here resamples whole
behaviours and not forecasts [1]_ [2]_; and all methods forecast the same splits, so
methods are compared by their differences, split by split [3]_.

.. [1] A. C. Davison, D. V. Hinkley (1997). Bootstrap methods and their application,
   section 3.8. Cambridge University Press.
.. [2] A. C. Cameron, J. B. Gelbach, D. L. Miller (2008). Bootstrap-based improvements
   for inference with clustered errors. Review of Economics and Statistics 90, 414-427.
.. [3] F. X. Diebold, R. S. Mariano (1995). Comparing predictive accuracy. Journal of
   Business & Economic Statistics 13, 253-263.
"""

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bayes_rare.backtesting import Backtest
from bayes_rare.errors import InvalidData, InvalidInput

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = [
    "Cell",
    "Comparison",
    "compare",
    "coverage_interval",
    "plot_coverage",
    "plot_pit",
    "resampled_means",
]

type Columns = Float[np.ndarray, "split column"]
type Clusters = Int[np.ndarray, " split"]

_CELL = ["target", "risk_threshold", "evaluation_size", "deployment_size"]
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
_NOMINAL = {0.5: "covered_50", 0.8: "covered_80", 0.9: "covered_90", 0.95: "covered_95"}
_ROWS = [
    "method",
    *_CELL,
    "forecasts",
    *_MEANS,
    "substituted",
]
_PAIRS = [
    "method",
    "against",
    *_CELL,
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
# Below six clusters a bootstrap rejects far too often: Cameron, Gelbach & Miller
# (2008) find it still so with five.
_FEW_BEHAVIOURS = 6
# The columns that a comparison cannot do without.
_NEEDED = ["method", "behaviour", "repeat", *_CELL, "status", "reason"]


class Cell(NamedTuple):
    """What forecasts have in common that may be averaged.

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


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Methods side by side, and each against each.

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
        mean CRPS is the lower.
    notes
        What a reader should know, in sentences.
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
        pairs = dict(_by_cell(self.pairs))
        for cell, rows in _by_cell(self.rows):
            yield (
                cell,
                rows.sort_values("mean_crps", kind="stable"),
                pairs.get(cell, self.pairs.iloc[:0]),
            )

    def json(self) -> dict[str, list[dict[str, Any]]]:
        """The comparison as plain Python values, None where there is no number.

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
        """Which method is best, and whether the others are told apart from it.

        A paragraph for each cell. Told apart are methods whose interval of the
        difference excludes 0; no correction is made for the number of intervals.
        """
        return [
            f"{cell}: {_verdict(rows, pairs, self.interval)}"
            for cell, rows, pairs in self.cells()
        ]

    def plot_skill(
        self, path: str | Path | None = None, against: str | None = None
    ) -> "Figure":
        """Differences of CRPS to one method, with their intervals.

        Parameters
        ----------
        path
            Where to write the picture, if anywhere.
        against
            The method that the others are held against: by default ``gumbel_ols``, or
            else the best of the point methods.

        Raises
        ------
        InvalidInput
            If there is no such method.
        """
        from bayes_rare import plotting

        figure = plotting.skill(
            self.rows, self.pairs, against=against, interval=self.interval
        )
        return _written(figure, path)

    def __repr__(self) -> str:
        cells = sum(1 for _ in _by_cell(self.rows))
        return (
            f"Comparison of {', '.join(self.methods)} in {cells} "
            f"cell{'s'[: cells != 1]} of target and sizes. See rows, pairs, "
            "verdicts(), plot_skill() and notes."
        )


def compare(
    table: "Backtest | pandas.DataFrame",
    *,
    interval: int | float = 0.95,
    resamples: int = 10_000,
    seed: int | np.random.Generator = 0,
) -> Comparison:
    """The comparison of all methods of a backtest.

    The difference of two methods is ``mean over splits of CRPS(a) - CRPS(b)`` [1]_;
    its interval is the percentile interval of that mean where the behaviours are
    resampled with replacement, each with all its splits [2]_. Of a single behaviour
    the splits are resampled.

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

    bootstrap = _bootstrap(interval, resamples, seed)
    origin: Mapping[str, Any] = table.origin if isinstance(table, Backtest) else {}
    table = _checked(table, [*_NEEDED, *_MEANS.values()])
    methods = list(dict.fromkeys(table["method"]))
    rows: list[dict[str, Any]] = []
    pairs: list[dict[str, Any]] = []
    for cell, part in _by_cell(table):
        scores, behaviours = _paired(cell, part, methods)
        rows += _rows(cell, part, methods)
        pairs += _pairs(cell, methods, scores, behaviours, bootstrap)
    return Comparison(
        rows=pd.DataFrame(rows, columns=_ROWS),
        pairs=pd.DataFrame(pairs, columns=_PAIRS),
        notes=(*_notes(table), *_notes_on_origin(origin)),
        interval=interval,
    )


def coverage_interval(
    table: "Backtest | pandas.DataFrame",
    *,
    interval: int | float = 0.95,
    resamples: int = 10_000,
    seed: int | np.random.Generator = 0,
) -> "pandas.DataFrame":
    """How often intervals held the truth, and how sure that is.

    The share of truths in the central 50, 80, 90 and 95 % intervals, with the
    percentile interval of that share where behaviours are resampled, each with all its
    forecasts; of a single behaviour the forecasts are. A share of 0 or 1 has no width:
    the bootstrap knows of no other outcome.

    Parameters
    ----------
    table
        The table of a backtest. Forecasts without an interval do not count.
    interval
        Probability of the interval of each share, in (0, 1).
    resamples
        Number of times that behaviours are resampled.
    seed
        Source of randomness.

    Returns
    -------
    pandas.DataFrame
        Columns ``method``, those of the cell, ``nominal, forecasts, behaviours,
        coverage, lower, upper``; methods without intervals have no row.

    Raises
    ------
    InvalidData
        If the table is not that of a backtest.
    InvalidInput
        If the interval or the number of resamples is out of range.

    References
    ----------
    .. [1] A. C. Davison, D. V. Hinkley (1997), section 3.8.
    """
    import pandas as pd

    bootstrap = _bootstrap(interval, resamples, seed)
    table = _checked(table, ["method", "behaviour", *_CELL, *_NOMINAL.values()])
    rows: list[dict[str, Any]] = []
    for cell, part in _by_cell(table):
        for method, found in _groups(part, ["method"]):
            own = found[found[list(_NOMINAL.values())].notna().all(axis=1)]
            if own.empty:
                continue
            covered = own[list(_NOMINAL.values())].to_numpy(dtype=float)
            lower, upper = bootstrap(covered, _codes(own))
            rows += [
                {
                    "method": method[0],
                    **cell._asdict(),
                    "nominal": nominal,
                    "forecasts": len(own),
                    "behaviours": own["behaviour"].nunique(),
                    "coverage": covered[:, place].mean(),
                    "lower": lower[place],
                    "upper": upper[place],
                }
                for place, nominal in enumerate(_NOMINAL)
            ]
    columns = [
        "method",
        *_CELL,
        "nominal",
        "forecasts",
        "behaviours",
        "coverage",
        "lower",
        "upper",
    ]
    return pd.DataFrame(rows, columns=columns)


def plot_coverage(
    table: "Backtest | pandas.DataFrame",
    *,
    target: str = "worst_query_risk",
    path: str | Path | None = None,
    interval: int | float = 0.95,
    resamples: int = 10_000,
    seed: int | np.random.Generator = 0,
) -> "Figure":
    """The share of truths that intervals held, against what they claim.

    Parameters
    ----------
    table
        A backtest, or its table.
    target
        What is forecast.
    path
        Where to write the picture, if anywhere.
    interval
        Probability of the interval of each share.
    resamples
        Number of times that behaviours are resampled.
    seed
        Source of randomness.
    """
    from bayes_rare import plotting

    shares = coverage_interval(table, interval=interval, resamples=resamples, seed=seed)
    figure = plotting.coverage(shares, target=target, interval=interval)
    return _written(figure, path)


def plot_pit(
    table: "Backtest | pandas.DataFrame",
    *,
    target: str = "worst_query_risk",
    path: str | Path | None = None,
) -> "Figure":
    """Where the truths lay in the forecasts: flat where the forecasts are right.

    Parameters
    ----------
    table
        A backtest, or its table.
    target
        What is forecast.
    path
        Where to write the picture, if anywhere.
    """
    from bayes_rare import plotting

    checked = _checked(table, ["method", *_CELL, "pit"])
    return _written(plotting.pit(checked, target=target), path)


def resampled_means(
    values: Columns, cluster: Clusters, weights: Float[np.ndarray, "resample cluster"]
) -> Float[np.ndarray, "resample column"]:
    """Means of columns where each cluster counts as often as it was drawn.

    ``sum_k w_bk S_k / sum_k w_bk N_k``, with ``S_k`` the sum of cluster k and ``N_k``
    its size: what remains to be done of a bootstrap once each resample is written as
    how often it drew each cluster.

    Parameters
    ----------
    values
        What is averaged.
    cluster
        Number of the cluster of each split, from 0.
    weights
        How often each resample drew each cluster.

    Examples
    --------
    The second cluster drawn twice, and the first not at all:

    >>> values, cluster = np.array([[1.0], [2.0], [4.0]]), np.array([0, 1, 1])
    >>> resampled_means(values, cluster, np.array([[0.0, 2.0]]))
    array([[3.]])
    """
    sums = np.zeros((weights.shape[1], values.shape[1]))
    np.add.at(sums, cluster, values)
    sizes = np.bincount(cluster, minlength=weights.shape[1])
    return (weights @ sums) / (weights @ sizes)[:, None]


@dataclass(frozen=True, eq=False)
class _Bootstrap:
    """Percentile intervals of means, by resampling behaviours.

    Every cell starts from the same seed: its interval does not hang on which others
    there are, and what is drawn for one serves for all with as many behaviours.
    """

    interval: int | float
    resamples: int
    entropy: Sequence[int]
    drawn: dict[int, np.ndarray] = field(default_factory=dict[int, np.ndarray])

    def __call__(
        self, values: Columns, behaviours: Clusters
    ) -> tuple[Float[np.ndarray, " column"], Float[np.ndarray, " column"]]:
        """Both ends, for each column; of a single behaviour the splits are drawn."""
        several = behaviours.max() > 0
        cluster = behaviours if several else np.arange(behaviours.size)
        count = int(cluster.max()) + 1
        if count == 1:
            # One split says nothing of how much another would differ.
            nothing = np.full(values.shape[1], math.nan)
            return nothing, nothing
        means = resampled_means(values, cluster, self._weights(count))
        tail = (1 - self.interval) / 2
        lower, upper = np.quantile(means, [tail, 1 - tail], axis=0)
        return lower, upper

    def _weights(self, count: int) -> Float[np.ndarray, "resample cluster"]:
        """How often each resample draws each of so many clusters."""
        if count not in self.drawn:
            rng = np.random.default_rng(self.entropy)
            even = np.full(count, 1 / count)
            drawn = rng.multinomial(count, even, size=self.resamples)
            self.drawn[count] = drawn.astype(float)
        return self.drawn[count]


def _bootstrap(
    interval: int | float, resamples: int, seed: int | np.random.Generator
) -> _Bootstrap:
    if not 0 < interval < 1:
        raise InvalidInput(
            f"an interval's probability is in (0, 1), got {interval}. For 95 % give "
            "0.95."
        )
    if resamples < 1:
        raise InvalidInput(
            f"behaviours are resampled at least once, got resamples={resamples}. Give "
            "10_000."
        )
    if isinstance(seed, np.random.Generator):
        entropy = [int(word) for word in seed.integers(2**32, size=4)]
    else:
        entropy = [seed]
    return _Bootstrap(interval, resamples, entropy)


def _rows(
    cell: Cell, part: "pandas.DataFrame", methods: Sequence[str]
) -> Generator[dict[str, Any]]:
    own: Any = dict(iter(_groups(part, ["method"])))
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
    bootstrap: _Bootstrap,
) -> Generator[dict[str, Any]]:
    """Both directions of each pair: the one is the other with its sign changed."""
    couples = list(combinations(range(len(methods)), 2))
    if not couples:
        return
    one, other = np.array(couples).T
    differences = scores[:, one] - scores[:, other]
    lower, upper = bootstrap(differences, behaviours)
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
    split = _numbers(part, ["behaviour", "repeat"])
    place = {method: number for number, method in enumerate(methods)}
    column = np.array([place[method] for method in part["method"]])
    times = np.zeros((int(split.max()) + 1, len(methods)), dtype=int)
    np.add.at(times, (split, column), 1)
    _refuse_unpaired(cell, part, methods, split, times)
    scores = np.full(times.shape, math.nan)
    scores[split, column] = part["crps"].to_numpy(dtype=float)
    behaviours = np.zeros(len(times), dtype=np.intp)
    behaviours[split] = _codes(part)
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
            f"a forecast counts once, and that of {methods[column]} for "
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


def _checked(
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
                f"each forecast has a finite CRPS, and that of {row['method']} for "
                f"{row['behaviour']!r}, repeat {row['repeat']}, has {row['crps']} "
                f"({wrong.sum()} in all). Leave the method out: "
                f"compare(table[table['method'] != {row['method']!r}])."
            )
    return table


def _groups(frame: Any, by: list[str]) -> Any:
    """Groups in the order of their first row, those of NaN included."""
    return frame.groupby(by, dropna=False, sort=False)


def _numbers(frame: Any, by: list[str]) -> Clusters:
    """The number of the group of each row, from 0."""
    return np.asarray(_groups(frame, by).ngroup(), dtype=np.intp)


def _codes(frame: Any) -> Clusters:
    """The number of the behaviour of each row, from 0."""
    return _numbers(frame, ["behaviour"])


def _by_cell(frame: Any) -> list[tuple[Cell, Any]]:
    """The rows of each cell: targets as they came, thresholds and sizes in order."""
    found = [
        (Cell(str(target), float(threshold), int(evaluated), int(deployed)), part)
        for (target, threshold, evaluated, deployed), part in _groups(frame, _CELL)
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


def _verdict(rows: Any, pairs: Any, interval: int | float) -> str:
    """The best method of a cell, and how the others compare with it, in sentences."""
    best = rows["method"].iloc[0]
    least = _number(rows["mean_crps"].iloc[0])
    if len(rows) == 1:
        return f"{best} has a CRPS of {least}, and there is no other method."
    own = pairs[pairs["method"] == best].set_index("against")
    apart: list[str] = []
    together: list[str] = []
    unknown: list[str] = []
    for against in rows["method"].iloc[1:]:
        pair = own.loc[against]
        difference = _signed(pair["crps_difference"])
        if math.isnan(pair["lower"]):
            unknown.append(f"{against} (difference {difference})")
            continue
        excluded = pair["lower"] > 0 or pair["upper"] < 0
        found = apart if excluded else together
        numbers = [
            difference,
            f"{_signed(pair['lower'])} to {_signed(pair['upper'])}",
        ]
        on = f"{pair['behaviours_better']} of {pair['behaviours']}"
        if not found:
            # The first of a list says what the numbers of the others are.
            on = f"{on if excluded else f'better on {on}'} behaviours"
            numbers = [
                f"difference {numbers[0]}",
                f"{100 * interval:g} % interval {numbers[1]}",
                f"which {'excludes' if excluded else 'includes'} 0",
            ]
        if pair["behaviours"] == 1:
            name = against
        elif excluded:
            name = f"{against} on {on}"
        else:
            name, numbers = against, [on, *numbers]
        found.append(f"{name} ({', '.join(numbers)})")
    sentences = [f"{best} has the smallest CRPS, {least}"]
    if apart:
        sentences[0] += f"; better than {_listed(apart)}"
    if together:
        sentences.append(f"Not told apart from {_listed(together)}")
    if unknown:
        sentences.append(f"From a single split no more is known of {_listed(unknown)}")
    return ". ".join(sentences) + "."


def _listed(items: Sequence[str]) -> str:
    """Items as a list in words."""
    if len(items) < 3:
        return " and ".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def _number(value: int | float) -> str:
    """A score with three digits, and whole where it is large.

    Examples
    --------
    >>> _number(0.12345), _number(12345.6), _number(3e-9)
    ('0.123', '12,346', '3e-09')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _signed(value: int | float) -> str:
    """A difference with two digits.

    Examples
    --------
    >>> _signed(-0.4512), _signed(1234.5), _signed(-0.0)
    ('-0.45', '1,234', '0')
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value + 0.0:.2g}"


def _notes(table: Any) -> Generator[str]:
    own = table[table["status"] != "forecast"]
    for (method, status), part in _groups(own, ["method", "status"]):
        reasons = part["reason"].astype(str).value_counts(sort=True)
        first = str(reasons.index[0]).strip().rstrip(".")
        others = len(reasons) - 1
        more = f" (and {others} other reason{'s'[: others != 1]})" if others else ""
        what = "were refused" if status == "refused" else "did not converge"
        joint = " and" if status == "refused" else " and were"
        yield (
            f"{method}: {len(part):,} of {(table['method'] == method).sum():,} "
            f"forecasts {what}{joint} scored as evaluation_maximum: {first}{more}."
        )
    counts = _groups(table, _CELL)["behaviour"].nunique()
    if (counts == 1).any():
        where = "" if (counts == 1).all() else " in some cells"
        yield (
            f"There is a single behaviour{where}: there the splits are resampled, and "
            "intervals say nothing about other behaviours. Splits of one table "
            "overlap, so intervals are too short even for this one, the more so the "
            "larger the deployment is beside the table."
        )
    few = counts[(counts > 1) & (counts < _FEW_BEHAVIOURS)]
    if len(few):
        yield (
            f"With {few.min()} behaviours, intervals are too short: a bootstrap that "
            "resamples so few clusters is optimistic (Cameron, Gelbach & Miller 2008)."
        )
    if table["covered_90"].notna().any():
        yield (
            "Coverage is over the forecasts that have an interval. Those of one "
            "behaviour err together, so coverage is less sure than their number "
            "suggests: see plot_coverage."
        )


def _notes_on_origin(origin: Mapping[str, Any]) -> Generator[str]:
    """What the way that a backtest was made means for its comparison."""
    if origin.get("options", {}).get("pool"):
        yield (
            "The behaviours of a split were fitted together, on the same queries: they "
            "are no independent clusters, and intervals are too short."
        )
    if origin.get("counted"):
        yield (
            f"The truth of {', '.join(map(repr, origin['counted']))} is a share of "
            "trials, not a known risk: the largest of many shares overstates the "
            "largest risk, most where trials are few, and a method that allows for "
            "that is marked down for it."
        )


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _written(figure: "Figure", path: str | Path | None) -> "Figure":
    from bayes_rare import plotting

    if path is not None:
        plotting.save(figure, path)
    return figure
