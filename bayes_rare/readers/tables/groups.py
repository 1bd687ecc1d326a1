"""A table with its groups: the first pass over the rows, which finds errors.

It is one ``group by`` that the engine runs. Counts are grouped as they are in the
table, and only the groups are checked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import narwhals as nw
import numpy as np

from bayes_rare.errors import InvalidData
from bayes_rare.evaluation.import_record import Repeats
from bayes_rare.evaluation.sampling_weights import SUMS
from bayes_rare.evaluation.score_cells import Columns
from bayes_rare.readers.tables.frames import (
    PROBLEM,
    SURE,
    TALLY,
    arrays,
    binned,
    labelled,
    selected,
)
from bayes_rare.readers.tables.given import Given
from bayes_rare.readers.tables.problems import (
    PROBLEMS,
    first_problem,
    refuse_first_problem,
    refuse_half_families,
    refuse_mixed,
    refuse_repeated,
    refuse_text,
)
from bayes_rare.readers.tables.repeats import added_up, repeats_of
from bayes_rare.readers.tables.weights import (
    Ranges,
    ranges_of_weights,
    refuse_weights,
    shared,
)

__all__ = ["Checked", "checked"]


@dataclass(frozen=True, eq=False)
class Checked:
    """A table without errors, and its groups."""

    names: Mapping[str, str]  # from our names to those of the table
    # Number of rows and sums for each behaviour, family, cell, step and pair of counts.
    groups: Columns = field(repr=False)
    ranges: Ranges
    # Labelled, and binned unless there are counts alone: see `frames`.
    rows: nw.LazyFrame[Any] = field(repr=False)
    repeats: tuple[Repeats, ...] = ()  # rows of the table that were added up

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
        """Columns of sums of weights; none if all weights are equal."""
        return SUMS if self.ranges else ()

    @property
    def sizes(self) -> dict[str, int]:
        """Rows of each behaviour."""
        answer: dict[str, int] = {}
        pairs = (self.groups[name].tolist() for name in ("behaviour", "count"))
        for name, count in zip(*pairs, strict=True):
            answer[name] = answer.get(name, 0) + count
        return answer

    def behaviours(self, groups: np.ndarray) -> list[str]:
        """Behaviours of some of the groups."""
        return sorted(set(self.groups["behaviour"][groups].tolist()))


def checked(table: Given, behaviours: Sequence[str] | None) -> Checked:
    """The table with its groups and one row per query, if it has no errors."""
    refuse_text(table)
    if behaviours is not None:
        table = selected(table, behaviours)
    answer = _of_rows(table)
    if "query_id" not in table.names:
        return answer
    if "log_risk" in table.names:
        refuse_repeated(answer.rows, answer.behaviours(answer.estimated))
    repeats = repeats_of(table, answer.sizes) if answer.counted.any() else ()
    if not repeats:
        return answer
    added = added_up(table, answer.rows)
    return replace(_of_rows(added), repeats=repeats)


def _of_rows(table: Given) -> Checked:
    """The table with groups of its rows, if they have no errors."""
    names = table.names
    ranges = ranges_of_weights(table)
    table = shared(table, ranges)
    sums = [f"_{name}" for name in SUMS] if ranges else []
    rows = labelled(table)
    if {"log_risk", "log_risk_se"} & set(names):
        rows = _binned(rows, names)
        groups = _groups(rows, names, sums)
    else:
        groups = _tallies(table, sums)
    if not len(groups["count"]):
        raise InvalidData("the table has no rows. Give at least one query.")
    answer = Checked(names, groups, ranges, rows)
    if (groups["cell"] >= PROBLEM).any():
        refuse_first_problem(rows, names, PROBLEMS)
    refuse_mixed(rows, groups, names)
    refuse_half_families(rows, groups, names)
    refuse_weights(ranges, answer.behaviours(~answer.counted & ~answer.estimated))
    return answer


def _binned(rows: nw.LazyFrame[Any], names: Mapping[str, str]) -> nw.LazyFrame[Any]:
    rows = rows.with_columns(first_problem(PROBLEMS).alias("_problem"))
    return binned(rows, estimates="log_risk_se" in names)


def _groups(
    rows: nw.LazyFrame[Any], names: Mapping[str, str], sums: Sequence[str]
) -> Columns:
    """One row per family and bin, tally or problem."""
    keys = ["_behaviour", "_family", "_cell", "_step"]
    if "trials" in names:
        keys += ["_successes", "_trials"]
    added = ["_deviation", "_square", "_variance", *sums]
    return _collected(
        rows.group_by(keys).agg(
            nw.len().alias("_count"), *(nw.col(name).sum() for name in added)
        )
    )


def _tallies(table: Given, sums: Sequence[str]) -> Columns:
    """The same for a table of counts alone, grouped by its columns.

    Only grouping is done for each row; everything else is computed for the groups.
    """
    held = [
        name
        for name in ("behaviour", "family", "successes", "trials")
        if name in table.names
    ]
    grouped = table.rows.group_by(held).agg(
        nw.len().alias("_count"), *(nw.col(name).sum() for name in sums)
    )
    names = {name: table.names[name] for name in held}
    texts = {name: table.texts[name] for name in ("behaviour", "family")}
    columns = ("behaviour", "family", "cell", "step", "successes", "trials", "count")
    rows = _binned(labelled(Given(grouped, names, texts)), names)
    return _collected(rows.select(*(f"_{name}" for name in columns), *sums))


def _collected(groups: nw.LazyFrame[Any]) -> Columns:
    """The groups as arrays, of the same types for each engine."""
    answer = {name.lstrip("_"): v for name, v in arrays(groups).items()}
    types = {"behaviour": object, "family": object}
    types |= dict.fromkeys(("cell", "step", "count"), np.int64)
    return {name: v.astype(types.get(name, np.float64)) for name, v in answer.items()}
