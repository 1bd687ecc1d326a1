"""Numbers, tables and notes printed in a terminal."""

import math
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from itertools import batched
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from bayes_rare.errors import shortened
from bayes_rare.reporting.wording import duration, records

if TYPE_CHECKING:
    import pandas

    from bayes_rare.backtesting import Comparison
    from bayes_rare.evaluation import Evaluation
    from bayes_rare.evaluation.import_record import Dropped, Judgement
    from bayes_rare.forecasting import Forecast
    from bayes_rare.inference.stack import Stack
    from bayes_rare.posterior import Average, Fitted, Posterior
    from bayes_rare.posterior.query_risks import QueryRisks

__all__ = [
    "bullets",
    "comparison_report",
    "console",
    "count",
    "dropped_report",
    "evaluation_table",
    "families_report",
    "forecast_report",
    "percent",
    "progress_bar",
    "queries_report",
    "risk",
    "span",
    "stack_report",
    "table",
    "tail_table",
    "verdict",
]

type Row = dict[str, Any]

# A progress bar for less than this would only flicker.
_PATIENCE_SECONDS = 2.0

_HOUR = 3600.0

# Seconds between lines of progress in a log.
_PLAIN_SECONDS = 20.0

# Deployment sizes per table, so that it fits into 80 columns.
_ABREAST = 3

# Values of a score that are shown.
_JUDGEMENTS = 8

# Reasons why rows were lost that are shown.
_REASONS = 10

# Characters of a query's text that are shown.
_TEXT = 60

# Above this, two digits would round a risk to 1.
_NEAR_ONE = 0.99

_FINEST_GAP = 1e-6


def console(*, stderr: bool = False) -> Console:
    """A console without markup, as names of behaviours may look like it."""
    return Console(markup=False, highlight=False, emoji=False, stderr=stderr)


def risk(value: int | float) -> str:
    """A risk with two digits, or two digits of its distance from 1 if it is near 1.

    Examples
    --------
    >>> risk(0.01234), risk(1e-30), risk(0.9987), risk(1 - 1e-9), risk(1.0)
    ('0.012', '1e-30', '0.9987', '1 - 1e-09', '1')
    """
    gap = 1 - value
    if value <= _NEAR_ONE or gap <= 0:
        return f"{value:.2g}"
    if gap < _FINEST_GAP:
        return f"1 - {gap:.1g}"
    return f"{value:.{1 - math.floor(math.log10(gap))}f}"


def count(value: int | float) -> str:
    """A number of queries: in full up to a million, with two digits above.

    Examples
    --------
    >>> count(24_000), count(10**6), count(123_456_789), count(10**9)
    ('24,000', '1,000,000', '1.2e8', '1e9')
    """
    if value <= 1e6:
        return f"{value:,.0f}"
    return f"{value:.2g}".replace("e+0", "e").replace("e+", "e")


def percent(share: int | float) -> str:
    """A share in percent.

    Examples
    --------
    >>> percent(0.9), percent(0.995)
    ('90 %', '99.5 %')
    """
    return f"{100 * share:.6g} %"


def span(row: Row, written: Callable[[float], str]) -> str:
    """The interval of a row of a forecast's summary."""
    return f"{written(row['lower'])} to {written(row['upper'])}"


def table(*headings: str) -> Table:
    """An empty table with its first column aligned left and the others right."""
    made = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    for number, heading in enumerate(headings):
        made.add_column(heading, justify="right" if number else "left")
    return made


def bullets(notes: Iterable[str]) -> Table:
    """Notes as a list, each once."""
    made = Table.grid(padding=(0, 1))
    for note in dict.fromkeys(notes):
        made.add_row("-", note)
    return made


def evaluation_table(evaluation: "Evaluation") -> Table:
    """The evaluation, one row per behaviour."""
    rows = records(evaluation.summary())
    counted = [
        (heading, name)
        for heading, name in (
            ("families", "families"),
            ("risks of 0", "risks_of_0"),
            ("risks of 1", "risks_of_1"),
        )
        if any(row[name] for row in rows)
    ]
    made = table(
        "behaviour", "queries", *(heading for heading, _ in counted), "riskiest"
    )
    for row in rows:
        made.add_row(
            row["behaviour"],
            f"{row['queries']:,}",
            *(f"{row[name]:,}" for _, name in counted),
            risk(row["riskiest"]),
        )
    return made


def dropped_report(record: "Dropped") -> Generator[Any]:
    """Rows that an import read, kept and left out, as parts to print."""
    yield from record.added_up
    if not record.reader:
        return
    yield f"Imported from logs ({record.reader}). Read as the behaviour: {record.rule}."
    frame = record.frame()
    made = table(*(str(name).removeprefix("share ") for name in frame.columns))
    for row in records(frame):
        share = percent(float(f"{row.pop('share lost'):.2g}"))
        name, *numbers = (row[key] for key in row)
        *numbers, queries = (f"{number:,}" for number in numbers)
        made.add_row(name, *numbers, share, queries)
    yield made
    several = len(record.tallies) > 1
    judged: dict[str, list[Judgement]] = {}
    for one in record.judgements:
        judged.setdefault(one.behaviour, []).append(one)
    for behaviour, values in list(judged.items())[:_JUDGEMENTS]:
        said = (
            f"{one.value!r}: {one.rows:,}, {'' if one.shows else 'not '}the behaviour"
            for one in values[:_JUDGEMENTS]
        )
        more = "; ..." if len(values) > _JUDGEMENTS else ""
        whose = f" of {behaviour}" if several and behaviour else ""
        yield f"Scores{whose}: {'; '.join(said)}{more}."
    if len(judged) > _JUDGEMENTS:
        yield f"Scores of {len(judged) - _JUDGEMENTS:,} more behaviours are not shown."
    if record.reasons:
        yield "Lost rows, and why:"
        shown = record.reasons[:_REASONS]
        left = len(record.reasons) - len(shown)
        yield bullets(
            [
                f"{one.rows:,} {one.reason}"
                f"{f' of {one.behaviour}' if several and one.behaviour else ''}"
                f"{f': {one.message}' if one.message else ''}"
                for one in shown
            ]
            + ([f"... and {left:,} more"] if left else [])
        )
    if record.warnings:
        yield "What to bear in mind:"
        yield bullets(record.warnings)


def tail_table(posterior: "Posterior") -> Table | None:
    """The threshold of each behaviour, for a model that has one."""
    from bayes_rare.scores import risk_from_score

    if not {"exceeding", "threshold"} <= set(posterior.data):
        return None
    made = table("behaviour", "threshold, as a risk", "queries above")
    for behaviour, exceeding, threshold in zip(
        posterior.behaviours,
        posterior.data["exceeding"],
        posterior.data["threshold"],
        strict=True,
    ):
        made.add_row(
            behaviour,
            risk(float(risk_from_score(threshold))),
            f"{float(exceeding):,.0f}",
        )
    return made


def weight_table(average: "Average") -> Table:
    """The weight of each model, by behaviour."""
    weights = average.weights()
    labels = [member.label for member in average.members]
    made = table("behaviour", *labels)
    for behaviour, shares in weights.items():
        made.add_row(behaviour, *(f"{100 * shares[label]:.0f} %" for label in labels))
    return made


def verdict(posterior: "Fitted") -> str:
    """Whether the draws can be trusted, with the diagnostics."""
    found = posterior.verdict
    numbers = (
        f"R-hat {found.max_rhat:.3f}, effective sample size {found.min_ess:.0f}, "
        f"{found.divergences} of {found.transitions:,} transitions diverged"
    )
    if found.converged:
        return f"Converged: {numbers}."
    return f"NOT CONVERGED: {'; '.join(found.reasons)} ({numbers})."


def forecast_report(
    forecast: "Forecast", rows: Sequence[Row], interval: float
) -> Generator[Any]:
    """A forecast, the worst query first, as parts to print."""
    level = float(forecast.draws.attrs["level"])
    found = {
        (row["behaviour"], row["target"], row["queries"], row["risk_threshold"]): row
        for row in rows
    }
    sizes = forecast.deployment.queries
    yield from _sentence(forecast, found, interval)
    for abreast in batched(sizes, _ABREAST, strict=False):
        yield f"Risk of the riskiest query: median, {percent(interval)} interval"
        made = table("behaviour", *(f"{count(size)} queries" for size in abreast))
        for behaviour in forecast.behaviours:
            cells = [found[behaviour, "worst_query_risk", n, None] for n in abreast]
            made.add_row(
                behaviour,
                *(f"{risk(row['median'])}\n{span(row, risk)}" for row in cells),
            )
        yield made
        yield ""
    for behaviour in forecast.behaviours:
        for abreast in batched(sizes, _ABREAST, strict=False):
            yield f"{behaviour}: probabilities, and numbers of queries with intervals"
            yield _risky_table(forecast, found, behaviour, abreast)
            yield ""
        yield bullets(_whatever_the_size(found, behaviour, interval, level))
        yield ""


def _sentence(
    forecast: "Forecast", found: dict[Any, Row], interval: float
) -> Generator[str]:
    """A sentence on the largest risk."""
    size = forecast.deployment.queries[-1]
    row = max(
        (found[name, "worst_query_risk", size, None] for name in forecast.behaviours),
        key=lambda row: row["median"],
    )
    yield (
        f"The riskiest of {count(size)} queries is forecast to show "
        f"{row['behaviour']!r} with probability {risk(row['median'])} in each response "
        f"({percent(interval)} interval {span(row, risk)})"
        + (
            ", the highest of all behaviours.\n"
            if len(forecast.behaviours) > 1
            else ".\n"
        )
    )


def _risky_table(
    forecast: "Forecast", found: dict[Any, Row], behaviour: str, sizes: Sequence[int]
) -> Table:
    """Probabilities and numbers of risky queries of one behaviour."""
    made = table("", *(f"{count(size)} queries" for size in sizes))

    def cells(target: str, threshold: float | None = None) -> list[Row]:
        return [found[behaviour, target, size, threshold] for size in sizes]

    for limit in forecast.draws["risk_threshold"].to_numpy().tolist():
        made.add_row(
            f"probability of a risk above {limit:g}",
            *(risk(row["mean"]) for row in cells("exceedance_probability", limit)),
        )
        made.add_row(
            f"queries above {limit:g}",
            *(
                f"{count(row['median'])}\n{span(row, count)}"
                for row in cells("risky_queries", limit)
            ),
        )
    made.add_row(
        "probability that it is shown at all",
        *(risk(row["mean"]) for row in cells("aggregate_risk")),
    )
    return made


def _whatever_the_size(
    found: dict[Any, Row], behaviour: str, interval: float, level: float
) -> Generator[str]:
    """Sentences that do not depend on the size of the deployment."""
    first = found[behaviour, "queries_to_first_failure", None, None]
    yield (
        f"The first response that shows it comes after {_at_least(first['median'])} "
        f"queries ({percent(interval)} interval {span(first, _at_least)})."
    )
    for (name, target, _, limit), row in found.items():
        if (name, target) == (behaviour, "largest_safe_deployment"):
            yield (
                f"Up to {_at_least(row['mean'])} queries, the probability of a risk "
                f"above {limit:g} stays below {percent(level)}."
            )


def queries_report(
    risks: "QueryRisks", rows: Sequence[Row], samples: int, interval: float
) -> Generator[Any]:
    """Risks of single queries, riskiest first, as parts to print."""
    for behaviour in dict.fromkeys(risks.behaviour):
        yield (
            f"{behaviour}: risk of a response, mean and {percent(interval)} interval"
        )
        made = table(
            "query",
            "observed",
            "risk",
            *(
                [f"fails in\n{count(samples)} responses", "fails in\nall of them"]
                if samples > 1
                else []
            ),
        )
        made.columns[0].overflow = "fold"
        for column in made.columns[1:]:
            column.no_wrap = True  # only the text of a query is wrapped
        for row in rows:
            if row["behaviour"] != behaviour:
                continue
            made.add_row(
                _query(row),
                _observed(row),
                f"{risk(row['mean'])}\n{span(row, risk)}",
                *(
                    risk(row[name])
                    for name in ("fails_at_least_once", "fails_always")
                    if samples > 1
                ),
            )
        yield made
        yield ""


def _query(row: Row) -> str:
    """Id and text of a query, one line each, without control characters."""
    lines = (shortened(row[name], _TEXT) for name in ("query_id", "query_text"))
    return "\n".join(filter(None, lines)) or "-"


def _observed(row: Row) -> str:
    """The observed outcome of a query."""
    if row.get("trials") is not None:
        return f"{count(row['successes'])} of {count(row['trials'])}"
    return risk(row["observed"])


def families_report(rows: Sequence[Row], most: int) -> Generator[Any]:
    """Families that probably contain the riskiest query, as parts to print."""
    sizes = list(dict.fromkeys(row["queries"] for row in rows))
    for behaviour in dict.fromkeys(row["behaviour"] for row in rows):
        for size in sizes:
            own = [
                row
                for row in rows
                if (row["behaviour"], row["queries"]) == (behaviour, size)
            ]
            yield f"{behaviour}: families that contain the riskiest of {count(size)}"
            made = table("family", "probability", "share of queries")
            made.columns[0].overflow = "fold"
            for row in own[:most]:
                made.add_row(
                    shortened(row["family"], _TEXT),
                    _percent_of(row["chance_of_worst"]),
                    _percent_of(row["share_of_queries"]),
                )
            others = own[most:]
            if others:
                made.add_row(
                    f"{len(others)} others",
                    _percent_of(sum(row["chance_of_worst"] for row in others)),
                    _percent_of(sum(row["share_of_queries"] for row in others)),
                )
            yield made
            yield ""


def _percent_of(share: float) -> str:
    """A share in percent, to two digits."""
    return f"{100 * share:.2g} %"


def comparison_report(comparison: "Comparison") -> Generator[Any]:
    """The results of a backtest, best method first, as parts to print."""
    for cell, rows, _ in comparison.cells():
        [forecasts] = set(rows["forecasts"])
        yield f"{cell}: {forecasts:,} forecast{'s'[: forecasts != 1]} per method"
        yield _comparison_table(rows)
        yield ""
    yield bullets(comparison.verdicts())
    if comparison.notes:
        yield ""
        yield bullets(comparison.notes)


def _comparison_table(frame: "pandas.DataFrame") -> Table:
    """Scores of methods; `-` for the interval of a point forecast."""
    made = table(
        "method",
        "CRPS",
        "error,\ndecades",
        "within\none order",
        "under-\nestimated",
        "90 %\ncovers",
        "time",
    )
    made.columns[0].overflow = "fold"
    for row in records(frame):
        made.add_row(
            row["method"],
            _or_dash(row["mean_crps"], lambda crps: f"{crps:.3g}"),
            _or_dash(row["mean_abs_log10_error"], lambda error: f"{error:.2f}"),
            _or_dash(row["within_one_order"], _whole_percent),
            _or_dash(row["underestimated"], _whole_percent),
            _or_dash(row["coverage_90"], _whole_percent),
            _or_dash(row["seconds_per_forecast"], duration),
        )
    return made


def stack_report(stack: "Stack") -> Generator[Any]:
    """Learned weights and their scores, as parts to print."""
    for size, weights in stack.weights.items():
        made = table("", "weight", "held-out\nCRPS")
        held_out = stack.held_out[size]
        for name in sorted(held_out, key=lambda name: held_out[name]):
            weight = weights.get(name)
            made.add_row(
                name,
                "" if weight is None else _whole_percent(weight),
                f"{held_out[name]:.3g}",
            )
        yield f"Evaluations of {size:,} queries:"
        yield made
        yield ""
    if stack.notes:
        yield bullets(stack.notes)


def _whole_percent(share: int | float) -> str:
    return percent(round(share, 2))


def _or_dash(value: int | float | None, written: Callable[[float], str]) -> str:
    return "-" if value is None else written(value)


def _at_least(value: int | float) -> str:
    """A number of queries, which is known up to a limit."""
    from bayes_rare.forecasting.outcomes import FOREVER

    return f"{count(value)}{' or more' if value >= FOREVER else ''}"


@contextmanager
def progress_bar(
    description: str, *, time_left: bool = False, plain: bool = False
) -> Generator[Callable[[int, int], None]]:
    """A progress bar on standard error, in a terminal and if it takes a while.

    Yields a function to call with the numbers of parts done and of all parts. Parts
    done at the first call were done before, and do not count for the pace.
    """
    target = console(stderr=True)
    if not target.is_terminal:
        yield _Lines(description, target).tell if plain else lambda _done, _total: None
        return
    from rich.progress import (
        BarColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns: list[ProgressColumn] = [
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
    ]
    if time_left:
        columns += [TimeRemainingColumn(), TextColumn("left")]
    bar = Progress(
        *columns,
        console=target,
        transient=True,
        # A part may take longer than the 30 seconds of rich's default.
        speed_estimate_period=_HOUR if time_left else 30.0,
    )
    task = bar.add_task(description, total=None)
    timer = threading.Timer(_PATIENCE_SECONDS, bar.start)
    timer.daemon = True
    timer.start()
    try:
        yield lambda done, total: bar.update(task, completed=done, total=total)
    finally:
        timer.cancel()
        timer.join()
        bar.stop()


class _Lines:
    """Progress as a line of text now and then."""

    def __init__(self, description: str, target: Console) -> None:
        self.description = description
        self.target = target
        self.written = time.monotonic()
        self.start: tuple[float, int] | None = None

    def tell(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self.start is None:
            self.start = now, done
        if now - self.written < _PLAIN_SECONDS:
            return
        self.written = now
        began, before = self.start
        left = ""
        if done > before:
            seconds = (now - began) / (done - before) * (total - done)
            left = f", about {duration(round(seconds))} left"
        line = f"{self.description}: {done:,} of {total:,} parts{left}"
        self.target.print(line, soft_wrap=True)
