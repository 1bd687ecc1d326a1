"""Errors that a table can have, and messages that name the row and a way out."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw

from bayes_rare.errors import InvalidData
from bayes_rare.evaluation.checks import FILL_IN_FAMILIES, half_told
from bayes_rare.evaluation.columns import MOST_TRIALS
from bayes_rare.evaluation.score_cells import Columns
from bayes_rare.readers.tables.contract import FILE, NUMBERS, ROW, WRITTEN
from bayes_rare.readers.tables.frames import SURE, TALLY, has, value
from bayes_rare.readers.tables.given import Given, is_nan, is_whole

__all__ = [
    "PROBLEMS",
    "WEIGHTS",
    "Problem",
    "first_problem",
    "refuse_first_problem",
    "refuse_half_families",
    "refuse_mixed",
    "refuse_repeated",
    "refuse_text",
]


@dataclass(frozen=True)
class Problem:
    """An error that a row can have."""

    column: str  # the column at fault
    sentence: str  # what is wrong
    way_out: str
    holds: nw.Expr  # whether a labelled row has this error
    beside: tuple[str, ...] = ()  # other columns whose values are shown


def _is_no_count(name: str) -> nw.Expr:
    return has(name) & (
        (value(name) < 0) | ~value(name).is_finite() | ~is_whole(value(name))
    )


_COUNTS = ("successes", "trials")
_counted = has("successes") | has("trials")

PROBLEMS = (
    Problem(
        "behaviour",
        "a behaviour is missing",
        "Fill it in, or drop the row.",
        nw.col("_behaviour") == "",
    ),
    Problem(
        "log_risk",
        "a log risk is not a number",
        "Give the natural logarithm of the risk (-inf for a risk of 0, 0 for a risk of "
        "1), and drop rows that were not measured.",
        has("log_risk") & is_nan(value("log_risk")),
    ),
    Problem(
        "log_risk",
        "a log risk is positive",
        "If these are risks, take their logarithm; if they are negative "
        "log-likelihoods, change their sign.",
        has("log_risk") & (value("log_risk") > 0),
    ),
    Problem(
        "log_risk_se",
        "a standard error is negative or not finite",
        "Give the standard error of log_risk (that of the risk, divided by the risk); "
        "leave it empty for all rows of a behaviour with exact risks.",
        has("log_risk_se")
        & ((value("log_risk_se") < 0) | ~value("log_risk_se").is_finite()),
        ("log_risk",),
    ),
    Problem(
        "log_risk",
        "an estimated risk is 0, whose logarithm has no standard error",
        "Give an estimate above 0, give successes and trials instead, or drop the row.",
        has("log_risk_se")
        & (value("log_risk_se") > 0)
        & has("log_risk")
        & (value("log_risk") < 0)
        & ~value("log_risk").is_finite(),
        ("log_risk_se",),
    ),
    Problem(
        "log_risk",
        "a row has both a log risk and counts",
        "Keep one of the two: leave log_risk empty, or successes and trials.",
        has("log_risk") & _counted,
        _COUNTS,
    ),
    Problem(
        "log_risk",
        "a row has neither a log risk nor counts",
        "Fill in log_risk, or successes and trials, or drop the row.",
        ~has("log_risk") & ~_counted,
        _COUNTS,
    ),
    Problem(
        "log_risk_se",
        "a row has a standard error but no log risk",
        "Fill in log_risk, or leave log_risk_se empty for counts.",
        has("log_risk_se") & (value("log_risk_se") > 0) & ~has("log_risk"),
        ("log_risk",),
    ),
    Problem(
        "successes",
        "a row has trials but no successes",
        "Fill in both, or drop the row.",
        has("trials") & ~has("successes"),
        _COUNTS,
    ),
    Problem(
        "trials",
        "a row has successes but no trials",
        "Fill in both, or drop the row.",
        has("successes") & ~has("trials"),
        _COUNTS,
    ),
    Problem(
        "successes",
        "successes are not a whole number from 0",
        "Give a count.",
        _is_no_count("successes"),
        _COUNTS,
    ),
    Problem(
        "trials",
        "trials are not a whole number from 0",
        "Give a count.",
        _is_no_count("trials"),
        _COUNTS,
    ),
    Problem(
        "trials",
        f"trials are more than {MOST_TRIALS:,}, above which numbers are rounded",
        "Give the number of trials of this one query.",
        has("trials") & (value("trials") > MOST_TRIALS),
        _COUNTS,
    ),
    Problem(
        "trials",
        "a row has 0 trials",
        "Drop such rows: they say nothing about their query.",
        has("trials") & (value("trials") == 0),
        _COUNTS,
    ),
    Problem(
        "successes",
        "there are more successes than trials",
        "Check that the columns are not swapped: --columns successes=...,trials=....",
        has("trials") & (value("successes") > value("trials")),
        _COUNTS,
    ),
)
"""Errors of a row, in the order in which they are reported."""

WEIGHTS = Problem(
    "weight",
    "a weight is not a positive number",
    "Give the number of queries that the row stands for, such as 1 / its sampling "
    "probability, or drop the row. If all queries count the same, drop the column.",
    ~(value("weight") > 0) | ~value("weight").is_finite(),
)
"""The error of a weight, in a table with weights."""


def first_problem(problems: Sequence[Problem]) -> nw.Expr:
    """Number of the first problem that a row has, from 1; 0 for none."""
    answer: nw.Expr = nw.lit(0)
    for number, problem in reversed(list(enumerate(problems, start=1))):
        answer = nw.when(problem.holds).then(nw.lit(number)).otherwise(answer)
    return answer.cast(nw.Int64)


def refuse_first_problem(
    rows: nw.LazyFrame[Any], names: Mapping[str, str], problems: Sequence[Problem]
) -> None:
    """Refuse a table for the first row with an error."""
    rows = rows.with_columns(first_problem(problems).alias("_problem"))
    wrong = rows.filter(nw.col("_problem") > 0)
    row = _first(rows, wrong, "_problem")
    problem = problems[int(row["_problem"]) - 1]
    total = _length(wrong.filter(nw.col("_problem") == row["_problem"]))
    raise InvalidData(
        f"{problem.sentence}: {_place(row, names)}"
        f"{_values(row, names, problem)}{_others(total)}. {problem.way_out}"
        f"{_decimal_comma(row, problem.column)}"
    )


def refuse_mixed(
    rows: nw.LazyFrame[Any], groups: Columns, names: Mapping[str, str]
) -> None:
    """Refuse a behaviour with different kinds of rows."""
    counted = groups["cell"] == TALLY
    estimated = groups["step"] != SURE
    behaviour = groups["behaviour"]
    both = sorted(set(behaviour[counted]) & set(behaviour[~counted]))
    if both:
        raise InvalidData(
            f"behaviour {both[0]!r} has rows with log risks and rows with counts. Give "
            "the two kinds different names, such as "
            f"'{both[0]} (exact)' and '{both[0]} (counts)'."
        )
    exact = ~counted & ~estimated
    both = sorted(set(behaviour[exact]) & set(behaviour[estimated]))
    if not both:
        return
    sure = (nw.col("_behaviour") == both[0]) & (
        ~has("log_risk_se") | (value("log_risk_se") == 0)
    )
    wrong = rows.filter(sure)
    row = _first(rows, wrong, "_query_id")
    raise InvalidData(
        f"behaviour {both[0]!r} has estimated risks with a standard error, and a risk "
        f"without: {_place(row, names)}{names['log_risk_se']} is "
        f"{_written(row, 'log_risk_se')}"
        f"{_others(_length(wrong))}. Fill it in, or give exact risks another "
        f"behaviour, such as '{both[0]} (exact)'."
    )


def refuse_half_families(
    rows: nw.LazyFrame[Any], groups: Columns, names: Mapping[str, str]
) -> None:
    """Refuse a behaviour of which only some queries have a family."""
    missing = groups["family"] == ""
    behaviour = groups["behaviour"]
    half = sorted(set(behaviour[missing]) & set(behaviour[~missing]))
    if not half:
        return
    wrong = rows.filter((nw.col("_behaviour") == half[0]) & (nw.col("_family") == ""))
    row = _first(rows, wrong, "_query_id")
    raise InvalidData(
        f"{half_told(half[0])}: {_place(row, names)}{names['family']} is "
        f"{_written(row, 'family')}{_others(_length(wrong))}. {FILL_IN_FAMILIES}"
    )


def refuse_repeated(rows: nw.LazyFrame[Any], estimated: Sequence[str]) -> None:
    """Refuse a query with more than one risk under a behaviour."""
    repeated = (
        rows.filter(has("log_risk") & (nw.col("_query_id") != ""))
        .group_by("_behaviour", "_query_id")
        .agg(nw.len().alias("times"))
        .filter(nw.col("times") > 1)
        .sort("_behaviour", "_query_id")
        .head(1)
        .collect()
    )
    if not len(repeated):
        return
    behaviour, query, times = repeated.row(0)
    way_out = (
        "a query has one estimated risk. Combine its estimates into one, such as the "
        "logarithm of their mean risk with its standard error"
        if behaviour in estimated
        else "a query has one exact risk. Drop the repeated rows"
    )
    raise InvalidData(
        f"query_id {query!r} occurs {times} times under behaviour {behaviour!r}, but "
        f"{way_out}; or, if they are different queries, leave query_id out."
    )


def refuse_text(table: Given) -> None:
    """Refuse a column of numbers that holds anything else, unless it is empty."""
    schema = table.rows.collect_schema()
    for name in NUMBERS:
        if name not in table.names or schema[name].is_numeric():
            continue
        column = table.names[name]
        if schema[name] == nw.Boolean and name in _COUNTS:
            raise InvalidData(
                f"column {column!r} ({name}) holds true and false, not counts. If a "
                "row is a response, give successes of 0 and 1 and trials of 1: rows "
                "with the same query_id are added up. In pandas: "
                f"table[{column!r}].astype(int)."
            )
        if str(schema[name]) not in {"String", "Object", "Unknown", "Categorical"}:
            raise InvalidData(
                f"column {column!r} ({name}) holds {schema[name]}, not numbers. Map "
                f"the column that holds them: columns={{{name!r}: ...}}."
            )
        filled = table.rows.filter(~nw.col(name).is_null())
        odd = filled.filter(~_looks_numeric(nw.col(name))).head(1).collect()
        shown = odd if len(odd) else filled.head(1).collect()
        if len(shown):
            row = shown.rows(named=True)[0]
            raise InvalidData(
                f"column {column!r} ({name}) holds text, not numbers: "
                f"{_place(row, table.names)}it is {row[name]!r}. Correct such values, "
                "then convert the column to float64."
            )


def _looks_numeric(column: nw.Expr) -> nw.Expr:
    text = column.cast(nw.String)
    return text.str.contains(r"^\s*[+-]?(?:[0-9.]+(?:[eE][+-]?[0-9]+)?|inf|nan)\s*$")


def _first(
    rows: nw.LazyFrame[Any], wrong: nw.LazyFrame[Any], otherwise: str
) -> dict[str, Any]:
    """The first wrong row, with its number in its file.

    Rows without an order are sorted by another column.
    """
    by = ROW if ROW in wrong.collect_schema().names() else otherwise
    row = wrong.sort(by).head(1).collect().rows(named=True)[0]
    if ROW in row and FILE in row:
        before = (nw.col(ROW) < row[ROW]) & (nw.col(FILE) != row[FILE])
        row[ROW] -= _length(rows.filter(before))
    return row


def _length(rows: nw.LazyFrame[Any]) -> int:
    return int(rows.select(nw.len().alias("rows")).collect()["rows"][0])


def _others(total: int) -> str:
    return f" ({total:,} such rows)" if total > 1 else ""


def _values(row: Mapping[str, Any], names: Mapping[str, str], problem: Problem) -> str:
    return ", ".join(
        f"{names[name]} is {_written(row, name)}"
        for name in dict.fromkeys((problem.column, *problem.beside))
        if name in names
    )


def _written(row: Mapping[str, Any], column: str) -> str:
    written = row.get(column + WRITTEN, row[column])
    missing = written is None or (isinstance(written, float) and math.isnan(written))
    return "missing" if written is None else "NaN" if missing else repr(written)


def _decimal_comma(row: Mapping[str, Any], column: str) -> str:
    """A way out if a text has a comma that may be a decimal mark."""
    if not re.fullmatch(r"\s*[+-]?\d*,\d+\s*", str(row.get(column + WRITTEN, ""))):
        return ""
    return " If the comma is a decimal mark: decimal=',' (--decimal ',')."


def _place(row: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Where a row is: its number, or else its labels."""
    if ROW in row:
        file = f" of {row[FILE]}" if FILE in row else ""
        return f"in data row {row[ROW]}{file}, "
    labels = [
        f"{names[name]} {row[name]!r}"
        for name in ("query_id", "behaviour", "family")
        if name in names
    ]
    return f"in the row of {', '.join(labels)}, " if labels else "in some row, "
