"""A large evaluation in a table, query by query, for backtests."""

from collections.abc import Mapping, Sequence
from typing import Any

import narwhals as nw
import numpy as np

from bayes_rare.arguments.checking import checked_call
from bayes_rare.errors import InvalidData
from bayes_rare.evaluation import RESOLUTION, QueryPool, checked_resolution
from bayes_rare.evaluation.columns import coded
from bayes_rare.evaluation.pool import PARTS
from bayes_rare.evaluation.score_cells import Columns
from bayes_rare.readers.tables.contract import SPLIT
from bayes_rare.readers.tables.frames import arrays
from bayes_rare.readers.tables.given import Given
from bayes_rare.readers.tables.groups import Checked, checked
from bayes_rare.readers.tables.read_table import opened
from bayes_rare.readers.tables.texts import TextFormat
from bayes_rare.scores import score_from_log_risk, score_from_risk

__all__ = ["read_pool"]


@checked_call
def read_pool(
    source: Any,
    *,
    columns: Mapping[str, str] | None = None,
    behaviours: Sequence[str] | None = None,
    split: str | None = None,
    resolution: tuple[float, float] = RESOLUTION,
    text: TextFormat | None = None,
) -> QueryPool:
    """All queries of an evaluation table, each with its risk.

    The table is that of `bayes_rare.read_table`. Rows of counts with the same query_id
    and behaviour are added up. A backtest draws queries of a pool with equal
    probability and takes their risks as the truth, so unequal weights and estimated
    risks are refused.

    Parameters
    ----------
    source, columns, behaviours, resolution
        As of `bayes_rare.read_table`.
    split
        Column that says "evaluation" or "deployment" for each query; rows with neither
        are not used.
    text
        How text files are written.

    Raises
    ------
    InvalidData
        If the table contradicts itself, has estimated risks or unequal weights, or the
        column ``split`` has other values.
    InvalidInput
        If there is no such column or behaviour.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"log_risk": [-2.0, -5.0], "query_id": ["b", "a"]})
    >>> read_pool(table).rows["score"].round(3)
    array([-1.609, -0.693])
    """
    resolution = checked_resolution(resolution)

    def pool(given: Given) -> QueryPool:
        table = checked(given, behaviours)
        _refuse_without_truth(table)
        return _pool(_fetched(table.rows, split), split, resolution)

    return opened(source, columns or {}, pool, split, text=text)


def _refuse_without_truth(table: Checked) -> None:
    """Refuse tables that do not have the truth for a backtest."""
    estimated = table.behaviours(table.estimated)
    if estimated:
        raise InvalidData(
            f"behaviour {estimated[0]!r} has estimated risks (log_risk_se), but a "
            "backtest compares forecasts with known risks. Choose behaviours with "
            "exact risks or counts (--behaviours), or drop the column log_risk_se to "
            "treat the estimates as the truth."
        )
    if table.ranges:
        name, (low, high) = min(table.ranges.items())
        raise InvalidData(
            f"behaviour {name!r} has weights from {low:g} to {high:g}, but a backtest "
            "draws each query with the same probability. Drop the column weight, or "
            "choose behaviours with equal weights (--behaviours)."
        )


def _fetched(table: nw.LazyFrame[Any], split: str | None) -> Columns:
    part = nw.lit("") if split is None else nw.col(SPLIT).cast(nw.String).fill_null("")
    names = ("behaviour", "family", "query_id", "log_risk", "successes", "trials")
    rows = arrays(
        table.select(
            *(nw.col(f"_{name}").alias(name) for name in names),
            nw.col("_has_log_risk").alias("exact"),
            part.alias("part"),
        )
    )
    for name in ("behaviour", "family", "query_id", "part"):
        rows[name] = rows[name].astype(object)
    return rows


def _pool(
    rows: Columns, split: str | None, resolution: tuple[float, float]
) -> QueryPool:
    names, behaviour = coded(rows["behaviour"].tolist())
    labels, family = coded(rows["family"].tolist())
    exact = rows["exact"].astype(bool)
    successes = np.where(exact, -1, rows["successes"]).astype(np.int64)
    trials = np.where(exact, -1, rows["trials"]).astype(np.int64)
    log_risk = np.where(exact, rows["log_risk"], 0.0)
    part = _parts(rows["part"], split)
    identity, query = coded(rows["query_id"].tolist())
    # The order depends on the content alone, as engines give rows in any order.
    order = np.lexsort((part, trials, successes, log_risk, family, query, behaviour))
    query = query[order].astype(np.int64)
    if identity[0] == "":  # each row without a query_id is a query
        nameless = query == 0
        query[nameless] = len(identity) + np.arange(int(nameless.sum()))
    columns: Columns = {
        "behaviour": behaviour[order],
        "family": family[order],
        "query": query,
        "log_risk": log_risk[order],
        "successes": successes[order],
        "trials": trials[order],
        "part": part[order],
    }
    _refuse_in_both(columns, names, identity, split)
    counted = columns["trials"] >= 0
    share = columns["successes"] / np.where(counted, columns["trials"], 1)
    log_risk = columns.pop("log_risk")
    columns["score"] = np.where(
        counted,
        score_from_risk(np.where(counted, share, 0.5)),
        score_from_log_risk(log_risk),
    )
    return QueryPool(names, labels, columns, resolution)


def _parts(texts: np.ndarray, split: str | None) -> np.ndarray:
    """Codes of the sets of rows; -1 for neither."""
    if split is None:
        return np.full(len(texts), -1)
    words, code = coded(texts.tolist())
    unknown = [word for word in words if word not in (*PARTS, "")]
    if unknown:
        raise InvalidData(
            f"column {split!r} is {unknown[0]!r} in "
            f"{int((texts == unknown[0]).sum())} rows, but must be 'evaluation', "
            "'deployment' or empty. Rename its values."
        )
    parts = np.array([PARTS.index(word) if word else -1 for word in words])
    return parts[code]


def _refuse_in_both(
    columns: Columns,
    behaviours: tuple[str, ...],
    identity: tuple[str, ...],
    split: str | None,
) -> None:
    """Refuse a query whose rows are in different sets."""
    same = np.ones(len(columns["query"]), bool)
    for name in ("behaviour", "query"):
        same[1:] &= columns[name][1:] == columns[name][:-1]
    same[:1] = False
    mixed = np.flatnonzero(same & (np.diff(columns["part"], prepend=-1) != 0))
    if mixed.size:
        row = int(mixed[0])
        raise InvalidData(
            f"query_id {identity[columns['query'][row]]!r} under behaviour "
            f"{behaviours[columns['behaviour'][row]]!r} has rows on both sides of the "
            f"split (column {split!r}). Mark all rows of a query alike."
        )
