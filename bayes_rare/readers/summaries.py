"""From a table of queries, in whatever engine holds it, to its summary.

Two passes, each one query that the engine plans and runs: a ``group by`` over bins of
scores that also finds what is wrong, and a fetch of the rows above each behaviour's
cut. Lazy frames stay lazy, and what comes back is a few thousand rows a behaviour.
"""

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import narwhals as nw
import numpy as np
from narwhals.exceptions import DuplicateError

from bayes_rare.cells import (
    BIN_WIDTH,
    DEVIATION_UNIT,
    EXACT_LIMIT,
    SQUARE_UNIT,
    Columns,
    cells_of_bins,
    cells_of_scores,
    joined_cells,
    stacked_cells,
)
from bayes_rare.errors import InvalidData, InvalidInput
from bayes_rare.evaluation import (
    RESOLUTION,
    SHOWN,
    Evaluation,
    checked_resolution,
    coded,
    no_tallies,
    rank,
    riskiest_first,
)
from bayes_rare.scores import score_from_log_risk

__all__ = [
    "FILE",
    "LABELS",
    "NUMBERS",
    "ROW",
    "WRITTEN",
    "arrays",
    "checked",
    "named_columns",
    "summarise",
]

LABELS = ("query_id", "behaviour", "family", "query_text")
"""Columns of the table that are read as text."""

NUMBERS = ("log_risk", "log_risk_se", "successes", "trials")
"""Columns of the table that are read as float64."""

ROW = "row (bayes-rare)"
"""Column that is added where rows have an order: the number of the row, from 1."""

FILE = "file (bayes-rare)"
"""Column that a reader of files adds: the file that the row is from."""

WRITTEN = " as written"
"""Ending of a column that holds the text of one that was made a number."""

# What a row is, beside the number of its bin: no bin is as far out as these.
BELOW, ABOVE, TALLY, PROBLEM = -(2**40), 2**40, 2**41, 2**42

NEAR_LIMIT = 20_000
"""Rows of a behaviour that are fetched to find its riskiest; more are sorted before."""

PROBLEMS = (
    ("behaviour", "a behaviour is missing", "Fill it in, or drop the row."),
    (
        "log_risk",
        "a log risk is not a number",
        "Give the natural logarithm of the risk: -inf for a risk of 0, 0 for a risk of "
        "1; drop rows that were not measured.",
    ),
    (
        "log_risk",
        "a log risk is positive",
        "If these are risks, take their logarithm; if they are negative "
        "log-likelihoods, change their sign.",
    ),
    (
        "log_risk_se",
        "estimated risks are not supported",
        "Drop the column log_risk_se to treat the risks as exact.",
    ),
    (
        "log_risk",
        "a row has both a log risk and counts",
        "Keep one of the two kinds: leave log_risk empty, or successes and trials.",
    ),
    (
        "log_risk",
        "a row has neither a log risk nor counts",
        "Fill in log_risk, or successes and trials, or drop the row.",
    ),
    (
        "successes",
        "a row has trials without successes",
        "Fill in both, or drop the row.",
    ),
    ("trials", "a row has successes without trials", "Fill in both, or drop the row."),
    ("successes", "successes are not a whole number, 0 or more", "Give a count."),
    ("trials", "trials are not a whole number, 0 or more", "Give a count."),
    (
        "trials",
        "a row has 0 trials, which say nothing of its query",
        "Drop such rows.",
    ),
    (
        "successes",
        "there are more successes than trials",
        "Check that the columns are not swapped: --columns successes=...,trials=....",
    ),
)
"""What can be wrong with a row: column, sentence, way out; the first that holds."""


def summarise(
    frame: Any,
    *,
    columns: Mapping[str, str] | None = None,
    behaviours: Sequence[str] | None = None,
    resolution: tuple[float, float] = RESOLUTION,
) -> Evaluation:
    """The summary of a frame of any engine that narwhals takes.

    Parameters
    ----------
    frame
        A pandas, Polars or PyArrow table, a Polars lazy frame, a DuckDB relation, or
        another frame that narwhals takes; a row a query and behaviour.
    columns
        From names of the evaluation table to names in the frame, where they differ.
    behaviours
        The behaviours to read; all where not given.
    resolution
        Smallest risk told from 0, and smallest 1 - risk told from 0.

    Raises
    ------
    InvalidData
        If the frame says something impossible, or says it twice.
    InvalidInput
        If an argument is outside its range, or this is no frame.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"family": ["a", "b"], "log_p": [-2.0, -np.inf]})
    >>> evaluation = summarise(table, columns={"log_risk": "log_p"})
    >>> evaluation.sizes, evaluation.families
    ({'behaviour': 2}, ('a', 'b'))
    """
    resolution = checked_resolution(resolution)
    table, groups = checked(frame, columns or {}, behaviours)
    return _summary(table, groups, resolution)


def checked(
    frame: Any, columns: Mapping[str, str], behaviours: Sequence[str] | None
) -> tuple[nw.LazyFrame[Any], Columns]:
    """The table with the columns of the contract, and its groups, if nothing is wrong.

    Parameters
    ----------
    frame, columns, behaviours
        As of `summarise`.

    Returns
    -------
    The lazy table, whose columns of ours begin with an underscore (``_behaviour``,
    ``_family``, ``_query_id``, ``_query_text``, ``_log_risk``, ``_successes``,
    ``_trials``, and whether a row has them: ``_has_log_risk``, ...); and how many rows
    there are of each behaviour, family and bin of scores or pair of counts.

    Raises
    ------
    InvalidData
        If the table says something impossible, or says it twice.
    InvalidInput
        If ``columns`` or ``behaviours`` name what is not there.
    """
    table = _opened(frame)
    names = named_columns(table.collect_schema().names(), columns)
    _refuse_text(table, names)
    table = _classified(table, names)
    if behaviours is not None:
        table = _selected(table, behaviours)
    groups = _groups(table, names)
    if not len(groups["count"]):
        raise InvalidData("the table has no rows. Give at least one query.")
    if (groups["cell"] >= PROBLEM).any():
        _refuse_first_problem(table, names)
    _refuse_mixed(groups)
    if "query_id" in names and "log_risk" in names:
        _refuse_repeated(table)
    return table, groups


def named_columns(there: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Contract names of the columns of a table, and their names in it.

    Raises
    ------
    InvalidInput
        If ``columns`` maps what is not in the contract, or to what is not there.
    InvalidData
        If the table has neither log risks nor counts.
    """
    contract = (*LABELS, *NUMBERS)
    there = [name for name in there if name not in {ROW, FILE}]
    for name, given in columns.items():
        if name not in contract:
            raise InvalidInput(
                f"{name!r} is not a column of an evaluation table"
                f"{_near(name, contract)}. Known: {', '.join(contract)}."
            )
        if given not in there:
            raise InvalidInput(
                f"{name} is mapped to {given!r}, which is not in the table"
                f"{_near(given, there)}. It has: {', '.join(there)}."
            )
    names = {name: name for name in contract if name in there} | dict(columns)
    if "log_risk" in names or {"successes", "trials"} <= set(names):
        return names
    half = {"successes", "trials"} & set(names)
    if half:
        (other,) = {"successes", "trials"} - half
        raise InvalidData(
            f"the table has {half.pop()} but no {other}{_near(other, there)}. "
            f"It has: {', '.join(there)}. Map it: columns={{{other!r}: ...}}."
        )
    raise InvalidData(
        "the table has neither log_risk nor successes and trials"
        f"{_likely(there)}. It has: {', '.join(there)}."
    )


def _near(name: str, there: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, there, 1, 0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _likely(there: Sequence[str]) -> str:
    """A hint where a column looks like a risk or its logarithm."""
    for name in there:
        if name.lower() in {"risk", "p", "prob", "probability"}:
            return (
                f"; {name!r} looks like a risk: give log_risk, its natural logarithm, "
                f'e.g. table["log_risk"] = numpy.log(table["{name}"])'
            )
    for name in there:
        plain = name.lower().replace("_", "").replace(" ", "")
        if plain in {"logp", "logprob", "logrisk", "logprobability", "lp"}:
            return f"; map it: columns={{'log_risk': {name!r}}}"
    return ""


def _opened(frame: Any) -> nw.LazyFrame[Any]:
    """The frame as a lazy one, its rows numbered where they have an order."""
    try:
        table = cast("nw.DataFrame[Any] | nw.LazyFrame[Any]", nw.from_native(frame))
    except DuplicateError as error:
        raise InvalidData(f"{error} Rename the repeated columns.") from error
    except TypeError as error:
        raise InvalidInput(
            f"{type(frame).__name__} is not a table. Give a path, or a frame that "
            "narwhals takes, such as one of pandas, Polars, PyArrow or DuckDB."
        ) from error
    if isinstance(table, nw.LazyFrame):
        return table
    return table.with_row_index(ROW).with_columns(nw.col(ROW) + 1).lazy()


def _refuse_text(table: nw.LazyFrame[Any], names: Mapping[str, str]) -> None:
    """Refuse a column of numbers that holds anything else, unless it is empty."""
    schema = table.collect_schema()
    for name in NUMBERS:
        if name not in names or schema[names[name]].is_numeric():
            continue
        column = names[name]
        if str(schema[column]) not in {"String", "Object", "Unknown", "Categorical"}:
            raise InvalidData(
                f"column {column!r} ({name}) holds {schema[column]}, not numbers. Map "
                f"the column that holds them: columns={{{name!r}: ...}}."
            )
        filled = table.filter(~nw.col(column).is_null())
        odd = filled.filter(~_looks_numeric(nw.col(column))).head(1).collect()
        shown = odd if len(odd) else filled.head(1).collect()
        if len(shown):
            row = _first(shown)
            raise InvalidData(
                f"column {column!r} ({name}) holds text, not numbers: "
                f"{_place(row, names)}it is {row[column]!r}. Correct such values, then "
                "convert the column to float64."
            )


def _looks_numeric(column: nw.Expr) -> nw.Expr:
    text = column.cast(nw.String)
    return text.str.contains(r"^\s*[+-]?(?:[0-9.]+(?:[eE][+-]?[0-9]+)?|inf|nan)\s*$")


def _classified(
    table: nw.LazyFrame[Any], names: Mapping[str, str]
) -> nw.LazyFrame[Any]:
    """The table with our columns: labels, numbers, ``_cell``, ``_key`` and the rest.

    Ours begin with an underscore and stand beside the table's own, which say in a
    refusal what was written.
    """
    table = table.with_columns(
        *(
            nw.col(names[name]).cast(nw.String).fill_null("").alias(f"_{name}")
            if name in names
            else nw.lit("behaviour" if name == "behaviour" else "").alias(f"_{name}")
            for name in LABELS
        ),
        (
            nw.col(names["behaviour"]).is_null()
            if "behaviour" in names
            else nw.lit(False)
        ).alias("_unnamed"),
        *(
            expression
            for name in NUMBERS
            for expression in _number(names.get(name), name)
        ),
    )
    table = table.with_columns(_problem().alias("_problem"))
    # The logarithm is taken of 1 where there is no finite score: some engines raise.
    finite = (
        (nw.col("_problem") == 0)
        & nw.col("_has_log_risk")
        & (nw.col("_log_risk") < 0)
        & nw.col("_log_risk").is_finite()
    )
    table = table.with_columns(finite.alias("_finite")).with_columns(
        nw.when(nw.col("_finite"))
        .then(-nw.col("_log_risk"))
        .otherwise(nw.lit(1.0))
        .alias("_hazard")
    )
    table = table.with_columns((-nw.col("_hazard").log(math.e)).alias("_score"))
    table = table.with_columns((nw.col("_score") / BIN_WIDTH).floor().alias("_edge"))
    offset = nw.col("_score") - (nw.col("_edge") + 0.5) * BIN_WIDTH
    counted = nw.col("_has_successes")
    return table.with_columns(
        (offset / DEVIATION_UNIT + 0.5).floor().alias("_deviation"),
        (offset * offset / SQUARE_UNIT + 0.5).floor().alias("_square"),
        nw.when(nw.col("_problem") > 0)
        .then(nw.col("_problem") + PROBLEM)
        .when(counted)
        .then(nw.lit(TALLY))
        .when(nw.col("_finite"))
        .then(nw.col("_edge").cast(nw.Int64))
        .when(nw.col("_log_risk") < 0)
        .then(nw.lit(BELOW))
        .otherwise(nw.lit(ABOVE))
        .cast(nw.Int64)
        .alias("_cell"),
        nw.when(counted)
        .then((nw.col("_successes") + 0.5) / (nw.col("_trials") + 1.0))
        .otherwise(nw.col("_log_risk"))
        .alias("_key"),
    )


def _number(column: str | None, name: str) -> tuple[nw.Expr, nw.Expr]:
    """A number, -1 where it is missing, and whether it is there."""
    if column is None:
        return nw.lit(-1.0).alias(f"_{name}"), nw.lit(False).alias(f"_has_{name}")
    number = nw.col(column).cast(nw.Float64)
    return (
        number.fill_null(-1.0).alias(f"_{name}"),
        (~number.is_null()).alias(f"_has_{name}"),
    )


def _problem() -> nw.Expr:
    """Number of the first of `PROBLEMS` that a row has, from 1; 0 for none."""
    has = {name: nw.col(f"_has_{name}") for name in NUMBERS}
    value = {name: nw.col(f"_{name}") for name in NUMBERS}
    counts = has["successes"] | has["trials"]
    holds = (
        nw.col("_unnamed"),
        has["log_risk"] & value["log_risk"].is_nan(),
        has["log_risk"] & (value["log_risk"] > 0),
        has["log_risk_se"] & ~(value["log_risk_se"] == 0),
        has["log_risk"] & counts,
        ~has["log_risk"] & ~counts,
        has["trials"] & ~has["successes"],
        has["successes"] & ~has["trials"],
        *(
            has[name]
            & (
                (value[name] < 0)
                | ~value[name].is_finite()
                | (value[name].floor() != value[name])
            )
            for name in ("successes", "trials")
        ),
        has["trials"] & (value["trials"] == 0),
        has["trials"] & (value["successes"] > value["trials"]),
    )
    answer: nw.Expr = nw.lit(0)
    for number, here in reversed(list(enumerate(holds, start=1))):
        answer = nw.when(here).then(nw.lit(number)).otherwise(answer)
    return answer.cast(nw.Int64)


def _selected(table: nw.LazyFrame[Any], behaviours: Sequence[str]) -> nw.LazyFrame[Any]:
    known = table.select("_behaviour").unique().collect()["_behaviour"].to_list()
    unknown = [name for name in behaviours if name not in known]
    if unknown or not behaviours:
        raise InvalidInput(
            f"no behaviour {', '.join(map(repr, unknown)) or 'is named'} in this table"
            f"{_near(unknown[0], known) if unknown else ''}. "
            f"Known: {', '.join(sorted(known))}."
        )
    return table.filter(nw.col("_behaviour").is_in(list(behaviours)))


def arrays(frame: nw.LazyFrame[Any]) -> Columns:
    """The columns of a lazy table, collected."""
    rows = frame.collect()
    return {name: rows[name].to_numpy() for name in rows.columns}


def _groups(table: nw.LazyFrame[Any], names: Mapping[str, str]) -> Columns:
    """The first pass: a row for each family and bin, tally or problem."""
    keys = ["_behaviour", "_family", "_cell"]
    if "trials" in names:
        keys += ["_successes", "_trials"]
    groups = arrays(
        table.group_by(keys).agg(
            nw.len().alias("count"),
            nw.col("_deviation").sum(),
            nw.col("_square").sum(),
        )
    )
    groups = {name.lstrip("_"): values for name, values in groups.items()}
    for name in ("behaviour", "family"):
        groups[name] = groups[name].astype(object)
    for name in ("cell", "count"):
        groups[name] = groups[name].astype(np.int64)
    return groups


def _refuse_first_problem(table: nw.LazyFrame[Any], names: Mapping[str, str]) -> None:
    wrong = table.filter(nw.col("_problem") > 0)
    ordered = ROW in wrong.collect_schema().names()
    first = wrong.sort(ROW if ordered else "_problem").head(1).collect()
    row = _first(first)
    if FILE in row:
        row[ROW] -= _rows_before(table, row)
    problem = int(row["_problem"])
    name, sentence, way_out = PROBLEMS[problem - 1]
    total = len(
        wrong.select("_problem").filter(nw.col("_problem") == problem).collect()
    )
    others = f" ({total:,} such rows)" if total > 1 else ""
    values = ", ".join(
        f"{names[key]} is {_written(row, names[key])}"
        for key in dict.fromkeys((name, *_involved(problem)))
        if key in names
    )
    raise InvalidData(f"{sentence}: {_place(row, names)}{values}{others}. {way_out}")


def _rows_before(table: nw.LazyFrame[Any], row: Mapping[str, Any]) -> int:
    """Rows of the files before that of a row."""
    before = table.filter((nw.col(ROW) < row[ROW]) & (nw.col(FILE) != row[FILE]))
    return _length(before)


def _length(rows: nw.LazyFrame[Any]) -> int:
    return int(rows.select(nw.len().alias("rows")).collect()["rows"][0])


def _involved(problem: int) -> tuple[str, ...]:
    """The columns to show beside the one at fault."""
    return ("successes", "trials") if problem > 4 else ()


def _first(rows: nw.DataFrame[Any]) -> dict[str, Any]:
    return rows.rows(named=True)[0]


def _written(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column + WRITTEN, row[column])
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return "missing" if value is None else "NaN" if missing else repr(value)


def _place(row: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Where a row is: its number, or else its identity."""
    if ROW in row:
        file = f" of {row[FILE]}" if FILE in row else ""
        return f"in data row {row[ROW]}{file}, "
    labels = [
        f"{names[name]} {row[names[name]]!r}"
        for name in ("query_id", "behaviour", "family")
        if name in names
    ]
    return f"in the row of {', '.join(labels)}, " if labels else "in some row, "


def _refuse_mixed(groups: Columns) -> None:
    counted = set(groups["behaviour"][groups["cell"] == TALLY])
    both = sorted(counted & set(groups["behaviour"][groups["cell"] != TALLY]))
    if both:
        raise InvalidData(
            f"behaviour {both[0]!r} has rows with log risks and rows with counts. Give "
            "the two kinds different names, such as "
            f"'{both[0]} (exact)' and '{both[0]} (counts)'."
        )


def _refuse_repeated(table: nw.LazyFrame[Any]) -> None:
    repeated = (
        table.filter(nw.col("_has_log_risk") & (nw.col("_query_id") != ""))
        .group_by("_behaviour", "_query_id")
        .agg(nw.len().alias("times"))
        .filter(nw.col("times") > 1)
        .sort("_behaviour", "_query_id")
        .head(1)
        .collect()
    )
    if len(repeated):
        behaviour, query, times = repeated.row(0)
        raise InvalidData(
            f"query_id {query!r} stands {times} times under behaviour {behaviour!r}: "
            "an exact risk is one row a query. Drop the repeated rows, or leave "
            "query_id out if these are different queries."
        )


def _summary(
    table: nw.LazyFrame[Any], groups: Columns, resolution: tuple[float, float]
) -> Evaluation:
    behaviours, group = coded(groups["behaviour"].tolist())
    labels, family = coded(groups["family"].tolist())
    groups = groups | {"behaviour": group, "family": family}
    exact = groups["cell"] != TALLY
    return Evaluation(
        behaviours=behaviours,
        labels=labels,
        exact=_exact(table, _rows(groups, exact), behaviours, labels),
        tallied=_tallied(_rows(groups, ~exact)),
        shown=_shown(table, groups, behaviours, labels),
        resolution=resolution,
    )


def _rows(columns: Columns, chosen: np.ndarray) -> Columns:
    return {name: values[chosen] for name, values in columns.items()}


def _tallied(groups: Columns) -> Columns:
    empty = no_tallies()
    if not len(groups["count"]):
        return empty
    order = np.lexsort(
        [groups[n] for n in ("successes", "trials", "family", "behaviour")]
    )
    return {name: groups[name][order].astype(v.dtype) for name, v in empty.items()}


def _exact(
    table: nw.LazyFrame[Any],
    groups: Columns,
    behaviours: tuple[str, ...],
    labels: tuple[str, ...],
) -> Columns:
    """The second pass: the scores above the cuts, joined with the bins below them."""
    groups = groups | {"key": groups["cell"].astype(np.float64)}
    cuts = {code: cut for code, (cut, _) in _cuts(groups, EXACT_LIMIT).items()}
    top = _fetched_scores(table, {behaviours[c]: cut for c, cut in cuts.items()})
    code = {name: number for number, name in enumerate(behaviours)}
    top_group = np.array([code[name] for name in top["behaviour"]], np.int32)
    family = {name: number for number, name in enumerate(labels)}
    top_family = np.array([family[name] for name in top["family"]], np.int32)
    score = score_from_log_risk(top["log_risk"])
    parts = [
        cells_of_scores(np.empty(0), np.empty(0, np.int32), np.empty(0))
        if number not in cuts
        else _cells(
            _rows(groups, groups["behaviour"] == number),
            cuts[number],
            {
                "score": score[top_group == number],
                "family": top_family[top_group == number],
                "count": top["count"][top_group == number],
            },
        )
        for number in range(len(behaviours))
    ]
    return stacked_cells(parts)


def _cells(groups: Columns, cut: float, top: Columns) -> Columns:
    """Cells of one behaviour: its bins below the cut, its scores above."""
    bins = _rows(groups, (groups["cell"] < cut) & (groups["cell"] > BELOW))
    ends = _rows(groups, np.abs(groups["cell"]) == ABOVE)
    largest = cells_of_scores(
        np.concatenate((top["score"], np.where(ends["cell"] < 0, -np.inf, np.inf))),
        np.concatenate((top["family"], ends["family"])),
        np.concatenate((top["count"], ends["count"])).astype(np.float64),
        floor=-math.inf if cut == BELOW else cut,
    )
    low = cells_of_bins(
        bins["cell"].astype(np.float64),
        bins["family"],
        bins["count"].astype(np.float64),
        bins["deviation"],
        bins["square"],
    )
    return joined_cells(largest, low)


def _cuts(groups: Columns, limit: int) -> dict[int, tuple[float, int]]:
    """The key of each behaviour's ``limit``-th row from the top; rows down to it."""
    answer: dict[int, tuple[float, int]] = {}
    for number in np.unique(groups["behaviour"]).tolist():
        mine = _rows(groups, groups["behaviour"] == number)
        order = np.argsort(-mine["key"], kind="stable")
        key, above = mine["key"][order], np.cumsum(mine["count"][order])
        last = min(int(np.searchsorted(above, limit)), len(key) - 1)
        answer[number] = (float(key[last]), int(above[key == key[last]].max()))
    return answer


def _at_or_above(column: str, cuts: Mapping[str, float]) -> nw.Expr:
    """Whether a row's key is at or above the cut of its behaviour."""
    names: dict[float, list[str]] = {}
    for name, cut in cuts.items():
        names.setdefault(cut, []).append(name)
    return nw.any_horizontal(
        *(
            nw.col("_behaviour").is_in(group) & (nw.col(column) >= cut)
            for cut, group in names.items()
        ),
        ignore_nulls=True,
    )


def _fetched_scores(table: nw.LazyFrame[Any], cuts: Mapping[str, float]) -> Columns:
    if not cuts:
        return dict.fromkeys(("behaviour", "family", "log_risk", "count"), np.empty(0))
    fetched = arrays(
        table.filter(nw.col("_finite") & _at_or_above("_cell", cuts))
        .group_by("_behaviour", "_family", "_log_risk")
        .agg(nw.len().alias("count"))
    )
    return {name.lstrip("_"): values for name, values in fetched.items()}


def _shown(
    table: nw.LazyFrame[Any],
    groups: Columns,
    behaviours: tuple[str, ...],
    labels: tuple[str, ...],
) -> Columns:
    """The riskiest rows of each behaviour.

    Those whose cut is shared by many rows are sorted by the engine, one behaviour at a
    time; the others come in one query.
    """
    counted = groups["cell"] == TALLY
    key = groups["cell"].astype(np.float64)
    if counted.any():
        ranks = rank(key, groups["successes"], groups["trials"])
        key = np.where(counted, ranks, key)
    cuts = _cuts(groups | {"key": key}, SHOWN)
    kinds = set(groups["behaviour"][counted].tolist())
    few: dict[str, dict[str, float]] = {"_cell": {}, "_key": {}}
    parts: list[Columns] = []
    for number, (cut, near) in cuts.items():
        column = "_key" if number in kinds else "_cell"
        if near <= NEAR_LIMIT:
            few[column][behaviours[number]] = cut
            continue
        rows = table.filter(_at_or_above(column, {behaviours[number]: cut}))
        parts.append(_fetched_rows(_sorted_by_risk(rows).head(SHOWN)))
    for column, chosen in few.items():
        if chosen:
            parts.append(_fetched_rows(table.filter(_at_or_above(column, chosen))))
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    for name, known in (("behaviour", behaviours), ("family", labels)):
        code = {label: number for number, label in enumerate(known)}
        rows[name] = np.array([code[label] for label in rows[name]], np.int32)
    return riskiest_first(rows)


def _sorted_by_risk(rows: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    return rows.sort(
        "_key",
        "_query_id",
        "_family",
        "_query_text",
        descending=[True, False, False, False],
    )


def _fetched_rows(rows: nw.LazyFrame[Any]) -> Columns:
    fetched = arrays(
        rows.select(
            *(f"_{name}" for name in LABELS),
            *(f"_{name}" for name in ("log_risk", "successes", "trials")),
            "_has_log_risk",
        )
    )
    fetched = {name.lstrip("_"): values for name, values in fetched.items()}
    for name in LABELS:
        fetched[name] = fetched[name].astype(object)
    for name in ("successes", "trials"):
        fetched[name] = fetched[name].astype(np.int64)
    exact = fetched.pop("has_log_risk").astype(bool)
    log_risk = np.where(exact, fetched.pop("log_risk"), -1.0)
    fetched["score"] = np.where(exact, score_from_log_risk(log_risk), np.nan) + 0.0
    return fetched
