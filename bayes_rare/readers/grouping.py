"""A table with its groups: the first pass over the rows, which finds what is wrong.

One ``group by`` that the engine plans and runs. Counts are grouped as they stand in the
table, and only the groups are looked at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import narwhals as nw
import numpy as np

from bayes_rare.cells import Columns
from bayes_rare.errors import InvalidData
from bayes_rare.readers.contract import (
    FILE,
    ROW,
    WRITTEN,
    named_columns,
    refuse_no_column,
)
from bayes_rare.readers.frames import (
    PROBLEM,
    SURE,
    TALLY,
    arrays,
    binned,
    labelled,
    opened_frame,
    selected,
)
from bayes_rare.readers.problems import (
    PROBLEMS,
    first_problem,
    refuse_first_problem,
    refuse_mixed,
    refuse_repeated,
    refuse_text,
)
from bayes_rare.readers.weighing import (
    Ranges,
    ranges_of_weights,
    refuse_weights,
    shared,
)
from bayes_rare.weights import SUMS

__all__ = ["Checked", "checked"]


@dataclass(frozen=True, eq=False)
class Checked:
    """A table in which nothing is wrong, and its groups.

    Parameters
    ----------
    names
        From contract names to names in the table.
    groups
        How many rows there are (``count``) of each behaviour, family, cell, step, pair
        of counts, and their sums.
    ranges
        Range of the weights of each behaviour where they are unequal.
    rows
        The rows of the table, labelled; and binned, unless it has counts alone (see
        `bayes_rare.readers.frames`).
    """

    names: Mapping[str, str]
    groups: Columns = field(repr=False)
    ranges: Ranges
    rows: nw.LazyFrame[Any] = field(repr=False)

    @cached_property
    def counted(self) -> np.ndarray:
        """Which groups are of counts."""
        return self.groups["cell"] == TALLY

    @cached_property
    def estimated(self) -> np.ndarray:
        """Which groups are of estimates."""
        return self.groups["step"] != SURE

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the rows."""
        return tuple(self.rows.collect_schema().names())

    @property
    def sums(self) -> tuple[str, ...]:
        """What is added up of weights: nothing where they are equal."""
        return SUMS if self.ranges else ()

    def behaviours(self, groups: np.ndarray) -> list[str]:
        """Behaviours of some of the groups.

        Parameters
        ----------
        groups
            Which groups.
        """
        return sorted(set(self.groups["behaviour"][groups].tolist()))


def checked(
    frame: Any,
    columns: Mapping[str, str],
    behaviours: Sequence[str] | None,
    keep: Sequence[str] = (),
) -> Checked:
    """The table with its groups, if nothing is wrong.

    Parameters
    ----------
    frame, columns, behaviours
        As of `summarise`.
    keep
        Further columns that the rows are to have.

    Raises
    ------
    InvalidData
        If the table says something impossible, or says it twice.
    InvalidInput
        If ``columns`` or ``behaviours`` name what is not there.
    """
    table = opened_frame(frame)
    there = table.collect_schema().names()
    names = named_columns(there, columns)
    for name in keep:
        refuse_no_column(name, [one for one in there if one not in {ROW, FILE}])
    # Of thousands of columns few are of an evaluation.
    read = {*names.values(), *keep, ROW, FILE}
    read |= {name + WRITTEN for name in read}
    table = table.select(*(name for name in there if name in read))
    refuse_text(table, names)
    if behaviours is not None:
        table = selected(table, names, behaviours)
    ranges = ranges_of_weights(table, names)
    table = shared(table, names, ranges)
    sums = [f"_{name}" for name in SUMS] if ranges else []
    rows = labelled(table, names)
    if {"log_risk", "log_risk_se"} & set(names):
        rows = _binned(rows, names)
        groups = _groups(rows, names, sums)
    else:
        groups = _tallies(table, names, sums)
    if not len(groups["count"]):
        raise InvalidData("the table has no rows. Give at least one query.")
    answer = Checked(names, groups, ranges, rows)
    if (groups["cell"] >= PROBLEM).any():
        refuse_first_problem(rows, names, PROBLEMS)
    refuse_mixed(rows, groups, names)
    refuse_weights(ranges, answer.behaviours(~answer.counted & ~answer.estimated))
    if "query_id" in names and "log_risk" in names:
        refuse_repeated(rows, answer.behaviours(answer.estimated))
    return answer


def _binned(rows: nw.LazyFrame[Any], names: Mapping[str, str]) -> nw.LazyFrame[Any]:
    rows = rows.with_columns(first_problem(PROBLEMS).alias("_problem"))
    return binned(rows, estimates="log_risk_se" in names)


def _groups(
    rows: nw.LazyFrame[Any], names: Mapping[str, str], sums: Sequence[str]
) -> Columns:
    """A row for each family and bin, tally or problem."""
    keys = ["_behaviour", "_family", "_cell", "_step"]
    if "trials" in names:
        keys += ["_successes", "_trials"]
    added = ["_deviation", "_square", "_variance", *sums]
    return _collected(
        rows.group_by(keys).agg(
            nw.len().alias("_count"), *(nw.col(name).sum() for name in added)
        )
    )


def _tallies(
    table: nw.LazyFrame[Any], names: Mapping[str, str], sums: Sequence[str]
) -> Columns:
    """The same of a table of counts alone, grouped by what its columns hold.

    A row costs what it costs the engine to group it: whatever else is asked of it is
    asked of its group.
    """
    held = ("behaviour", "family", "successes", "trials")
    keys = list(dict.fromkeys(names[name] for name in held if name in names))
    grouped = table.group_by(keys).agg(
        nw.len().alias("_count"), *(nw.col(name).sum() for name in sums)
    )
    known = {name: column for name, column in names.items() if name in held}
    columns = ("behaviour", "family", "cell", "step", "successes", "trials", "count")
    rows = _binned(labelled(grouped, known), known)
    return _collected(rows.select(*(f"_{name}" for name in columns), *sums))


def _collected(groups: nw.LazyFrame[Any]) -> Columns:
    """The groups as arrays, of one type whatever the engine."""
    answer = {name.lstrip("_"): v for name, v in arrays(groups).items()}
    types = {"behaviour": object, "family": object}
    types |= dict.fromkeys(("cell", "step", "count"), np.int64)
    return {name: v.astype(types.get(name, np.float64)) for name, v in answer.items()}
