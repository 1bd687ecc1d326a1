"""Rows of counts with the same query_id, found and added up by the engine."""

from collections.abc import Mapping
from typing import Any, cast

import narwhals as nw
import numpy as np

from bayes_rare.errors import InvalidData
from bayes_rare.evaluation.checks import contradiction
from bayes_rare.evaluation.import_record import Repeats
from bayes_rare.readers.tables.contract import LABELS, SPLIT
from bayes_rare.readers.tables.frames import has, value
from bayes_rare.readers.tables.given import Given, quoted

__all__ = ["added_up", "repeats_of"]

QUERY = ("_behaviour", "_query_id")
"""Columns that identify a query."""

_MOST_HASHES = 50_000_000
"""Rows whose hashes are held in memory at once, 400 MB; DuckDB groups more on disk."""


def repeats_of(table: Given, sizes: Mapping[str, int]) -> tuple[Repeats, ...]:
    """Behaviours in which some query has several rows of counts."""
    # Rows are grouped first and labelled afterwards, as few groups matter.
    keys = [name for name in ("behaviour", "query_id") if name in table.names]
    rows = table.rows.filter(~nw.col("query_id").is_null())
    if "log_risk" in table.names:
        rows = rows.filter(~nw.col("successes").is_null())
    if sum(sizes.values()) <= _MOST_HASHES and _are_distinct(rows.select(keys)):
        return ()
    times = (
        rows.group_by(keys)
        .agg(nw.len().alias("times"))
        .filter(nw.col("times") > 1)
        .with_columns(*(table.texts[name[1:]].alias(name) for name in QUERY))
        .filter(nw.col("_query_id") != "")
        .group_by("_behaviour")
        .agg(nw.col("times").sum(), nw.len().alias("queries"))
        .sort("_behaviour")
        .collect()
    )
    return tuple(
        Repeats(name, sizes[name], sizes[name] - int(rows) + int(queries))
        for name, rows, queries in times.rows()
    )


def _are_distinct(keys: nw.LazyFrame[Any]) -> bool:
    """Whether DuckDB can tell, without grouping, that no row stands twice.

    Equal rows have equal hashes: where no hash stands twice, no row does.
    """
    if not keys.implementation.is_duckdb():
        return False
    native: Any = keys.to_native()
    columns = ", ".join(map(quoted, native.columns))
    hashed = native.project(f"hash({columns}) as hash").fetchnumpy()
    hashes = cast("np.ndarray", hashed["hash"])
    hashes.sort()
    return not (hashes[1:] == hashes[:-1]).any()


def added_up(table: Given, rows: nw.LazyFrame[Any]) -> Given:
    """The table with the rows of counts of each query added up.

    Each row without a query_id is a query.
    """
    alike = [n for n in ("family", "query_text", "weight") if n in table.names]
    counted = _identified(rows)
    for name in alike:
        _refuse_contradiction(counted, name)
    labels = [name for name in LABELS if name in table.names]
    split = [nw.col(SPLIT)] if SPLIT in table.names else []
    kept = [*labels, *(["weight"] if "weight" in table.names else [])]
    keys = [nw.col(f"_{name}").alias(name) for name in kept]
    counts = [value(name).alias(name) for name in ("successes", "trials")]
    summed = (
        counted.select(*keys, *split, *counts)
        .group_by(*kept, *([SPLIT] if split else []), drop_null_keys=False)
        .agg(nw.col("successes").sum(), nw.col("trials").sum())
    )
    risks = [name for name in ("log_risk", "log_risk_se") if name in table.names]
    others = rows.filter((nw.col("_query_id") == "") | ~has("successes")).select(
        *keys,
        *split,
        *(nw.col(n).cast(nw.Float64) for n in ("successes", "trials")),
        *(nw.col(name).cast(nw.Float64) for name in risks),
    )
    for name in risks:
        summed = summed.with_columns(nw.lit(None, nw.Float64).alias(name))
    both = nw.concat([summed, others.select(summed.collect_schema().names())])
    return Given.of(both, table.names)


def _identified(rows: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """The rows of counts that have a query_id."""
    return rows.filter(has("successes") & (nw.col("_query_id") != ""))


def _refuse_contradiction(counted: nw.LazyFrame[Any], name: str) -> None:
    """Refuse a query whose rows differ in a label or weight."""
    said = counted.group_by(*QUERY, f"_{name}").agg(nw.len().alias("times"))
    several = (
        said.group_by(*QUERY)
        .agg(nw.len().alias("kinds"))
        .filter(nw.col("kinds") > 1)
        .sort(*QUERY)
        .head(1)
        .collect()
    )
    if not len(several):
        return
    behaviour, query, _ = several.row(0)
    mine = (nw.col("_behaviour") == behaviour) & (nw.col("_query_id") == query)
    values = said.filter(mine).select(f"_{name}").sort(f"_{name}").head(2).collect()
    raise InvalidData(
        contradiction(query, behaviour, name, values[f"_{name}"].to_list())
    )
