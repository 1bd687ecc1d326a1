"""Sampling weights of a table: their ranges, and sums that are the same in any engine.

Ranges are found in a pass of their own, since weights are summed as shares of a scale
that depends on them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import narwhals as nw

from bayes_rare.errors import InvalidData
from bayes_rare.evaluation.sampling_weights import SHARE_UNIT, SUMS, scale_of
from bayes_rare.readers.tables.frames import arrays, labelled
from bayes_rare.readers.tables.given import Given
from bayes_rare.readers.tables.problems import PROBLEMS, WEIGHTS, refuse_first_problem

__all__ = ["Ranges", "ranges_of_weights", "refuse_weights", "shared"]

type Ranges = Mapping[str, tuple[float, float]]
"""Least and largest weight of each behaviour whose weights are unequal."""


def ranges_of_weights(table: Given) -> Ranges:
    """Ranges of the weights of behaviours with unequal weights."""
    if "weight" not in table.names:
        return {}
    # Rows are grouped first and labelled afterwards, as there are few groups.
    rows = table.rows
    if "behaviour" not in table.names:
        rows = rows.with_columns(nw.lit("behaviour").alias("behaviour"))
    weight = nw.col("weight").cast(nw.Float64).fill_null(-1.0)
    fit = (weight > 0) & weight.is_finite()
    ends = arrays(
        rows.select(
            "behaviour",
            nw.when(fit).then(weight).otherwise(nw.lit(1.0)).alias("weight"),
            nw.when(fit).then(nw.lit(0)).otherwise(nw.lit(1)).alias("unfit"),
        )
        .group_by("behaviour")
        .agg(
            nw.col("weight").min().alias("least"),
            nw.col("weight").max().alias("largest"),
            nw.col("unfit").sum(),
        )
        .with_columns(table.texts["behaviour"].alias("behaviour"))
    )
    if ends["unfit"].any():
        refuse_first_problem(labelled(table), table.names, (*PROBLEMS, WEIGHTS))
    ranges: dict[str, tuple[float, float]] = {}
    columns = (ends[name].tolist() for name in ("behaviour", "least", "largest"))
    for name, least, largest in zip(*columns, strict=True):
        other = ranges.get(name, (least, largest))
        ranges[name] = (min(least, other[0]), max(largest, other[1]))
    return {name: (low, high) for name, (low, high) in ranges.items() if low != high}


def shared(table: Given, ranges: Ranges) -> Given:
    """The table with the columns `sampling_weights.SUMS`, if weights are unequal."""
    if not ranges:
        return table
    scales: dict[float, list[str]] = {}
    for name, ends in ranges.items():
        scales.setdefault(scale_of(*ends), []).append(name)
    weight = nw.col("weight").cast(nw.Float64)
    # The other behaviours have equal weights, which are shares of 1.
    share: nw.Expr = nw.lit(1.0)
    for scale, own in scales.items():
        mine = table.texts["behaviour"].is_in(own)
        share = nw.when(mine).then(weight / scale).otherwise(share)
    rows = table.rows.with_columns(share.alias("_share"))
    rows = rows.with_columns(
        *_split(nw.col("_share"), SUMS[:2]),
        *_split(nw.col("_share") * nw.col("_share"), SUMS[2:]),
    )
    return replace(table, rows=rows)


def _split(share: nw.Expr, names: Sequence[str]) -> Iterator[nw.Expr]:
    """A share as whole numbers, as `sampling_weights.shares` splits it."""
    units = share / SHARE_UNIT
    whole = units.floor()
    for name, number in zip(
        names, (whole, ((units - whole) / SHARE_UNIT + 0.5).floor()), strict=True
    ):
        yield number.cast(nw.Float64).alias(f"_{name}")


def refuse_weights(ranges: Ranges, exact: Sequence[str]) -> None:
    """Refuse unequal weights of behaviours with exact risks."""
    for name in exact:
        if name in ranges:
            low, high = ranges[name]
            raise InvalidData(
                f"behaviour {name!r} has exact risks with weights from {low:g} to "
                f"{high:g}, but weights are supported for counts and estimates only. "
                "Resample its rows with probability proportional to weight, and drop "
                "the column weight."
            )
