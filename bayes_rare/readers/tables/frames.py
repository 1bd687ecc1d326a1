"""The rows of a table in any engine, with computed columns.

Names of computed columns begin with an underscore. They are expressions that the engine
evaluates when needed: lazy frames stay lazy.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import narwhals as nw

from bayes_rare.errors import InvalidInput, listed
from bayes_rare.evaluation.columns import shown_risk
from bayes_rare.evaluation.estimate_cells import ERROR_STEPS, VARIANCE_UNIT
from bayes_rare.evaluation.score_cells import (
    BIN_WIDTH,
    DEVIATION_UNIT,
    SQUARE_UNIT,
    Columns,
)
from bayes_rare.readers.tables.contract import NUMBERS, near
from bayes_rare.readers.tables.given import Given

__all__ = [
    "ABOVE",
    "BELOW",
    "PROBLEM",
    "SURE",
    "TALLY",
    "arrays",
    "at_or_above",
    "binned",
    "has",
    "is_behaviour",
    "labelled",
    "one_of",
    "selected",
    "value",
]

BELOW, ABOVE, TALLY, PROBLEM = -(2**40), 2**40, 2**41, 2**42
"""Values of ``_cell`` for rows that have no bin of scores; no bin has such a number."""

# Largest number of conditions in one query.
_CONDITIONS = 64

SURE = -(2**40)
"""Value of ``_step`` for a row without a standard error."""


def arrays(frame: nw.LazyFrame[Any]) -> Columns:
    """The columns of a lazy table, collected."""
    rows = frame.collect()
    return {name: rows[name].to_numpy() for name in rows.columns}


def has(name: str) -> nw.Expr:
    """Whether a row has a number."""
    return nw.col(f"_has_{name}")


def value(name: str) -> nw.Expr:
    """A number of a row; -1 if it has none."""
    return nw.col(f"_{name}")


def labelled(table: Given) -> nw.LazyFrame[Any]:
    """The table with labels as text and numbers as float64."""
    return table.rows.with_columns(
        *(text.alias(f"_{name}") for name, text in table.texts.items()),
        *(
            expression
            for name in NUMBERS
            for expression in _number(name, there=name in table.names)
        ),
    )


def _number(name: str, *, there: bool) -> tuple[nw.Expr, nw.Expr]:
    """A number, -1 if it is missing, and whether it is there."""
    if not there:
        return nw.lit(-1.0).alias(f"_{name}"), nw.lit(False).alias(f"_has_{name}")
    number = nw.col(name).cast(nw.Float64)
    return (
        number.fill_null(-1.0).alias(f"_{name}"),
        (~number.is_null()).alias(f"_has_{name}"),
    )


def binned(table: nw.LazyFrame[Any], *, estimates: bool) -> nw.LazyFrame[Any]:
    """The labelled table with the cell of each row, and what it adds to the sums."""
    # Rows without a finite score get the logarithm of 1, as some engines would raise.
    finite = (
        (nw.col("_problem") == 0)
        & has("log_risk")
        & (value("log_risk") < 0)
        & value("log_risk").is_finite()
    )
    table = table.with_columns(finite.alias("_finite")).with_columns(
        nw.when(nw.col("_finite"))
        .then(-value("log_risk"))
        .otherwise(nw.lit(1.0))
        .alias("_hazard")
    )
    table = table.with_columns((-nw.col("_hazard").log(math.e)).alias("_score"))
    table = table.with_columns((nw.col("_score") / BIN_WIDTH).floor().alias("_edge"))
    offset = nw.col("_score") - (nw.col("_edge") + 0.5) * BIN_WIDTH
    table = table.with_columns(
        (offset / DEVIATION_UNIT + 0.5).floor().alias("_deviation"),
        (offset * offset / SQUARE_UNIT + 0.5).floor().alias("_square"),
        nw.when(nw.col("_problem") > 0)
        .then(nw.col("_problem") + PROBLEM)
        .when(has("successes"))
        .then(nw.lit(TALLY))
        .when(nw.col("_finite"))
        .then(nw.col("_edge").cast(nw.Int64))
        .when(value("log_risk") < 0)
        .then(nw.lit(BELOW))
        .otherwise(nw.lit(ABOVE))
        .cast(nw.Int64)
        .alias("_cell"),
        ranked(),
    )
    if not estimates:
        return table.with_columns(
            nw.lit(SURE).cast(nw.Int64).alias("_step"), nw.lit(0.0).alias("_variance")
        )
    return _with_steps(table)


def ranked() -> nw.Expr:
    """The column ``_key``, by which rows of a behaviour are ranked."""
    # Impossible counts are ranked as 0 of 1, as some engines would raise.
    sound = (
        (value("successes") >= 0)
        & (value("trials") >= value("successes"))
        & (value("trials") >= 1)
    )
    successes = nw.when(sound).then(value("successes")).otherwise(nw.lit(0.0))
    trials = nw.when(sound).then(value("trials")).otherwise(nw.lit(1.0))
    return (
        nw.when(has("successes"))
        .then(shown_risk(successes, trials, nw.Expr.sqrt))
        .otherwise(value("log_risk"))
        .alias("_key")
    )


def _with_steps(table: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """The table with the bins of its standard errors."""
    estimated = (
        (nw.col("_problem") == 0) & has("log_risk_se") & (value("log_risk_se") > 0)
    )
    table = table.with_columns(estimated.alias("_estimated")).with_columns(
        nw.when(nw.col("_estimated"))
        .then(value("log_risk_se"))
        .otherwise(nw.lit(1.0))
        .log(math.e)
        .alias("_octave")
    )
    table = table.with_columns(
        (nw.col("_octave") * (ERROR_STEPS / math.log(2))).floor().alias("_floor")
    )
    beyond = 2 * (nw.col("_octave") - nw.col("_floor") * (math.log(2) / ERROR_STEPS))
    return table.with_columns(
        nw.when(nw.col("_estimated"))
        .then(nw.col("_floor").cast(nw.Int64))
        .otherwise(nw.lit(SURE))
        .cast(nw.Int64)
        .alias("_step"),
        ((beyond.exp() - 1) / VARIANCE_UNIT + 0.5).floor().alias("_variance"),
    )


def is_behaviour(names: Sequence[str]) -> nw.Expr:
    """Whether a row has one of the behaviours."""
    return nw.col("_behaviour").is_in(list(names))


def one_of(conditions: Sequence[nw.Expr]) -> nw.Expr:
    """Whether at least one of the conditions holds."""
    return nw.any_horizontal(*conditions, ignore_nulls=True)


def at_or_above(column: str, cuts: Mapping[str, float]) -> nw.Expr:
    """Whether a row's key may be at or above the cut of its behaviour.

    Neighbouring cuts are replaced by the lowest of them if there are very many, since
    engines take minutes for thousands of conditions, or fail.
    """
    ordered = sorted(set(cuts.values()))
    together = math.ceil(len(ordered) / _CONDITIONS)
    lowest = {cut: ordered[k - k % together] for k, cut in enumerate(ordered)}
    names: dict[float, list[str]] = {}
    for name, cut in cuts.items():
        names.setdefault(lowest[cut], []).append(name)
    return one_of(
        [is_behaviour(own) & (nw.col(column) >= cut) for cut, own in names.items()]
    )


def selected(table: Given, behaviours: Sequence[str]) -> Given:
    """The rows of some behaviours."""
    own, names = table.texts["behaviour"], ["behaviour"]
    if "behaviour" in table.names:
        there = table.rows.select("behaviour").unique()
        there = there.select(own.alias("behaviour")).collect()
        names = sorted(set(there["behaviour"].to_list()))
    missing = [name for name in behaviours if name not in names]
    if not behaviours:
        raise InvalidInput(f"no behaviour is named. There are: {listed(names)}.")
    if missing:
        raise InvalidInput(
            f"the table has no behaviour {listed([*map(repr, missing)])}"
            f"{near(missing[0], names)}. There are: {listed(names)}."
        )
    if "behaviour" not in table.names:
        return table
    return replace(table, rows=table.rows.filter(own.is_in(list(behaviours))))
