"""The summary of a table of queries in any engine.

The engine runs a ``group by``, which also finds errors, and fetches the rows above each
behaviour's cut. Lazy frames stay lazy; a few thousand rows per behaviour are fetched.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import narwhals as nw
import numpy as np

from bayes_rare.evaluation import RESOLUTION, Evaluation, checked_resolution
from bayes_rare.evaluation.columns import (
    SHOWN,
    chosen_rows,
    coded,
    nothing,
    rank,
    riskiest_first,
    rows_by_behaviour,
    typed,
)
from bayes_rare.evaluation.estimate_cells import (
    added_up,
    estimates_of_bins,
    joined_estimates,
    kept_from,
)
from bayes_rare.evaluation.import_record import of_repeats
from bayes_rare.evaluation.sampling_weights import SUMS, weighed
from bayes_rare.evaluation.score_cells import (
    EXACT_LIMIT,
    Columns,
    cells_of_bins,
    cells_of_scores,
    joined_cells,
    stacked_cells,
)
from bayes_rare.readers.tables.contract import LABELS
from bayes_rare.readers.tables.frames import ABOVE, BELOW, arrays, at_or_above, ranked
from bayes_rare.readers.tables.given import Given, given
from bayes_rare.readers.tables.groups import Checked, checked
from bayes_rare.scores import score_from_log_risk

__all__ = ["NEAR_LIMIT", "summarise", "summary_of"]

NEAR_LIMIT = 20_000
"""Most rows of a behaviour fetched to find its riskiest; else the engine sorts them."""


def summarise(
    frame: Any,
    *,
    columns: Mapping[str, str] | None = None,
    behaviours: Sequence[str] | None = None,
    resolution: tuple[float, float] = RESOLUTION,
) -> Evaluation:
    """The summary of a frame of any engine that narwhals supports.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"family": ["a", "b"], "log_p": [-2.0, -np.inf]})
    >>> evaluation = summarise(table, columns={"log_risk": "log_p"})
    >>> evaluation.sizes, evaluation.families
    ({'behaviour': 2}, ('a', 'b'))
    """
    return summary_of(given(frame, columns or {}), behaviours, resolution)


def summary_of(
    given: Given, behaviours: Sequence[str] | None, resolution: tuple[float, float]
) -> Evaluation:
    """The summary of a table under our names for its columns."""
    resolution = checked_resolution(resolution)
    table = checked(given, behaviours)
    return _summary(table, resolution)


def _summary(table: Checked, resolution: tuple[float, float]) -> Evaluation:
    behaviours, group = coded(table.groups["behaviour"].tolist())
    labels, family = coded(table.groups["family"].tolist())
    groups = table.groups | {"behaviour": group, "family": family}
    counted, estimated = table.counted, table.estimated
    return Evaluation(
        behaviours=behaviours,
        labels=labels,
        exact=_exact(
            table, chosen_rows(groups, ~counted & ~estimated), behaviours, labels
        ),
        tallied=_tallied(chosen_rows(groups, counted)),
        estimated=_estimated(table, chosen_rows(groups, estimated), behaviours, labels),
        shown=_shown(table, groups, behaviours, labels),
        resolution=resolution,
        record=of_repeats(table.repeats),
    )


def _exact(
    table: Checked,
    groups: Columns,
    behaviours: tuple[str, ...],
    labels: tuple[str, ...],
) -> Columns:
    """The second pass: scores above the cuts, combined with the bins below them."""
    if not len(groups["count"]):
        return nothing("exact")
    groups = groups | {"key": groups["cell"].astype(np.float64)}
    cuts = {code: cut for code, (cut, _) in _cuts(groups, EXACT_LIMIT).items()}
    named = {behaviours[number]: cut for number, cut in cuts.items()}
    fetched = (
        table.rows.filter(nw.col("_finite") & at_or_above("_cell", named))
        .group_by("_behaviour", "_family", "_log_risk")
        .agg(nw.len().alias("count"), nw.col("_cell").max())
    )
    top = _above(_coded(arrays(fetched), behaviours, labels), cuts)
    top["score"] = score_from_log_risk(top.pop("log_risk").astype(np.float64))
    size = len(behaviours)
    mine, high = (rows_by_behaviour(each, size) for each in (groups, top))
    parts = [
        cells_of_scores(np.empty(0), np.empty(0, np.int32), np.empty(0))
        if number not in cuts
        else _cells(mine[number], cuts[number], high[number])
        for number in range(size)
    ]
    return stacked_cells(parts)


def _above(rows: Columns, cuts: Mapping[int, float]) -> Columns:
    """Fetched rows whose cell is at or above the cut of their behaviour."""
    cut = np.array([cuts[number] for number in rows["behaviour"].tolist()])
    return chosen_rows(rows, rows.pop("cell") >= cut)


def _cells(groups: Columns, cut: float, top: Columns) -> Columns:
    """Cells of one behaviour: its bins below the cut, its scores above."""
    bins = chosen_rows(groups, (groups["cell"] < cut) & (groups["cell"] > BELOW))
    ends = chosen_rows(groups, np.abs(groups["cell"]) == ABOVE)
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
    """The key of each behaviour's ``limit``-th row, and the number of rows up to it."""
    answer: dict[int, tuple[float, int]] = {}
    columns = {name: groups[name] for name in ("behaviour", "key", "count")}
    size = int(columns["behaviour"].max(initial=-1)) + 1
    for number, mine in enumerate(rows_by_behaviour(columns, size)):
        if not len(mine["key"]):
            continue
        order = np.argsort(-mine["key"], kind="stable")
        key, above = mine["key"][order], np.cumsum(mine["count"][order])
        last = min(int(np.searchsorted(above, limit)), len(key) - 1)
        answer[number] = (float(key[last]), int(above[key == key[last]].max()))
    return answer


def _coded(
    rows: Columns, behaviours: tuple[str, ...], labels: tuple[str, ...]
) -> Columns:
    """Fetched rows, with codes in place of the names of behaviours and families."""
    rows = {name.lstrip("_"): values for name, values in rows.items()}
    for name, names in (("behaviour", behaviours), ("family", labels)):
        code = {label: number for number, label in enumerate(names)}
        rows[name] = np.array([code[label] for label in rows[name]], np.int32)
    return rows


def _tallied(groups: Columns) -> Columns:
    if not len(groups["count"]):
        return nothing("tallied")
    keys = ("behaviour", "family", "trials", "successes")
    kept = {n: v for n, v in groups.items() if n in {*keys, "count", *SUMS}}
    # Different labels may have the same text: a missing one, and "".
    return typed("tallied", weighed(added_up(kept, keys)))


def _estimated(
    table: Checked,
    groups: Columns,
    behaviours: tuple[str, ...],
    labels: tuple[str, ...],
) -> Columns:
    """The estimates of the uppermost bins, combined with the bins below them."""
    if not len(groups["count"]):
        return nothing("estimated")
    groups = groups | {"edge": groups["cell"].astype(np.float64)}
    groups["count"] = groups["count"].astype(np.float64)
    size = len(behaviours)
    own = rows_by_behaviour(groups, size)
    cuts = {
        number: kept_from(mine["edge"], mine["count"])
        for number, mine in enumerate(own)
        if len(mine["edge"])
    }
    keys = ("family", "log_risk", "log_risk_se")
    named = {behaviours[n]: cut for n, cut in cuts.items() if cut < math.inf}
    top = {name: np.empty(0) for name in ("behaviour", *keys, "count", *table.sums)}
    if named:
        fetched = (
            table.rows.filter(nw.col("_estimated") & at_or_above("_cell", named))
            .group_by("_behaviour", *(f"_{name}" for name in keys))
            .agg(
                nw.len().alias("count"),
                nw.col("_cell").max(),
                *(nw.col(f"_{n}").sum() for n in table.sums),
            )
        )
        top = _above(_coded(arrays(fetched), behaviours, labels), cuts)
        # Adding 0 turns -0.0 into 0.0: they would differ in their bytes.
        top |= {n: v + 0.0 for n, v in top.items() if n not in {"behaviour", "family"}}
    bins = ("family", "edge", "step", "count", "deviation", "square", "variance")
    parts: list[Columns] = []
    for number, high in enumerate(rows_by_behaviour(top, size)):
        mine = own[number]
        low = chosen_rows(mine, mine["edge"] < cuts.get(number, math.inf))
        del high["behaviour"]
        parts.append(
            joined_estimates(
                added_up(high, keys),
                estimates_of_bins({name: low[name] for name in (*bins, *table.sums)}),
            )
        )
    return typed("estimated", weighed(stacked_cells(parts)))


def _shown(
    table: Checked,
    groups: Columns,
    behaviours: tuple[str, ...],
    labels: tuple[str, ...],
) -> Columns:
    """The riskiest rows of each behaviour.

    If many rows share the cut, the engine sorts them, one behaviour at a time; the
    others are fetched in one query. Counts without query_id or text need no rows, as
    those of a group are equal.
    """
    counted = table.counted
    key = groups["cell"].astype(np.float64)
    if counted.any():
        ranks = rank(key, groups["successes"], groups["trials"])
        key = np.where(counted, ranks, key)
    groups = groups | {"key": key}
    cuts = _cuts(groups, SHOWN)
    kinds = set(groups["behaviour"][counted].tolist())
    nameless = not {"query_id", "query_text"} & set(table.names)
    rows = table.rows if "_key" in table.columns else table.rows.with_columns(ranked())

    code = {name: number for number, name in enumerate(behaviours)}
    own = rows_by_behaviour(groups, len(behaviours))

    def near_rows(column: str, chosen: Mapping[str, float]) -> nw.LazyFrame[Any]:
        near = at_or_above(column, chosen)
        if column == "_cell":
            return rows.filter(near)
        mine = np.isin(groups["behaviour"], [code[name] for name in chosen])
        above = mine & (key >= np.array([cuts[n][0] for n in groups["behaviour"]]))
        least = int(groups["successes"][above].min())
        # A condition on a column of the table lets an engine skip most of a file.
        return rows.filter((nw.col("successes") >= least) & near)

    few: dict[str, dict[str, float]] = {"_cell": {}, "_key": {}}
    parts: list[Columns] = []
    for number, (cut, near) in cuts.items():
        column = "_key" if number in kinds else "_cell"
        if column == "_key" and nameless:
            mine = own[number]
            parts.append(_alike(chosen_rows(mine, mine["key"] >= cut)))
        elif near <= NEAR_LIMIT:
            few[column][behaviours[number]] = cut
        else:
            top = near_rows(column, {behaviours[number]: cut})
            fetched = _fetched_rows(_sorted_by_risk(top).head(SHOWN))
            parts.append(_coded(fetched, behaviours, labels))
    for column, chosen in few.items():
        if chosen:
            fetched = _fetched_rows(near_rows(column, chosen))
            parts.append(_coded(fetched, behaviours, labels))
    return riskiest_first(
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    )


def _alike(groups: Columns) -> Columns:
    """Rows of groups of counts, at most `SHOWN` of each."""
    times = np.minimum(groups["count"], SHOWN)
    rows = chosen_rows(groups, np.repeat(np.arange(len(times)), times))
    size = len(rows["count"])
    return {name: rows[name] for name in ("behaviour", "family")} | {
        "query_id": np.full(size, "", object),
        "query_text": np.full(size, "", object),
        "score": np.full(size, np.nan),
        "log_risk_se": np.full(size, np.nan),
        "successes": rows["successes"].astype(np.int64),
        "trials": rows["trials"].astype(np.int64),
    }


def _sorted_by_risk(rows: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    ties = ("_query_id", "_family", "_query_text", "_log_risk_se", "_trials")
    return rows.sort("_key", *ties, descending=[True, *(False for _ in ties)])


def _fetched_rows(rows: nw.LazyFrame[Any]) -> Columns:
    fetched = arrays(
        rows.select(
            *(f"_{name}" for name in LABELS),
            *(f"_{name}" for name in ("log_risk", "log_risk_se")),
            *(f"_{name}" for name in ("successes", "trials")),
            "_has_log_risk",
        )
    )
    fetched = {name.lstrip("_"): values for name, values in fetched.items()}
    for name in LABELS:
        fetched[name] = fetched[name].astype(object)
    for name in ("successes", "trials"):
        fetched[name] = fetched[name].astype(np.int64)
    error = fetched["log_risk_se"].astype(np.float64)
    fetched["log_risk_se"] = np.where(error > 0, error, np.nan)
    exact = fetched.pop("has_log_risk").astype(bool)
    log_risk = np.where(exact, fetched.pop("log_risk"), -1.0)
    fetched["score"] = np.where(exact, score_from_log_risk(log_risk), np.nan) + 0.0
    return fetched
