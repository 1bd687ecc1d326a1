"""The sample data of the package: exact risks of a small language model.

25,000 queries from 50 templates, with the risk of each of six behaviours of
SmolLM2-135M-Instruct, from frequent to very rare. ``bayes_rare/data/README.md`` says
how they were made.
"""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bayes_rare.arguments.checking import checked_call
from bayes_rare.errors import InvalidInput
from bayes_rare.evaluation import Evaluation

if TYPE_CHECKING:
    import pandas

__all__ = ["SAMPLE", "sample_evaluation", "sample_split", "sample_table"]

SAMPLE = Path(str(files("bayes_rare"))) / "data" / "smollm2_sample.parquet"
"""Path of the sample, an ordinary evaluation table."""


@checked_call
def sample_table() -> "pandas.DataFrame":
    """The sample as a table: query_id, behaviour, family, query_text, log_risk.

    Examples
    --------
    Each query has one row per behaviour:

    >>> table = sample_table()
    >>> table.groupby("query_id").behaviour.nunique().unique()
    array([6])
    """
    return _table().copy()


@checked_call
def sample_evaluation(queries: int | None = None, *, seed: int = 0) -> Evaluation:
    """The evaluation of the whole sample, or of a random subset of its queries.

    Parameters
    ----------
    queries
        Number of queries, the same ones for each behaviour. By default all.
    seed
        Random seed, from 0.

    Raises
    ------
    InvalidInput
        If the sample does not have that many.

    Examples
    --------
    >>> sample_evaluation(100).sizes["I'm sorry"]
    100
    """
    table = _table()
    if queries is None:
        return _evaluation(table)
    return _evaluation(table[_drawn(queries, seed)])


@checked_call
def sample_split(
    queries: int = 1_000, *, seed: int = 0
) -> tuple[Evaluation, Evaluation]:
    """A small evaluation drawn from the sample, and the held-out rest.

    Parameters
    ----------
    queries
        Number of queries of the small one, the same ones for each behaviour.
    seed
        Random seed, from 0.

    Raises
    ------
    InvalidInput
        If there would be no queries on one side.

    Examples
    --------
    >>> seen, unseen = sample_split(1_000)
    >>> seen.sizes["Death"] + unseen.sizes["Death"]
    25000
    """
    table = _table()
    seen = _drawn(queries, seed)
    if seen.all():
        raise InvalidInput(
            f"{queries} queries are the whole sample, so none would be held out. Give "
            f"queries={queries - 1} or fewer."
        )
    return _evaluation(table[seen]), _evaluation(table[~seen])


def _drawn(queries: int, seed: int) -> np.ndarray:
    """Which rows of the table belong to the queries drawn."""
    query = _table()["query_id"].to_numpy()
    distinct = np.unique(query)
    if not 1 <= queries <= len(distinct):
        raise InvalidInput(
            f"cannot draw {queries} queries from a sample of {len(distinct)}. Give a "
            f"number from 1 to {len(distinct)}."
        )
    drawn = np.random.default_rng(seed).choice(distinct, queries, replace=False)
    return np.isin(query, drawn)


def _evaluation(table: "pandas.DataFrame") -> Evaluation:
    from bayes_rare.readers.tables.summarise import summarise

    return summarise(table)


@cache
def _table() -> "pandas.DataFrame":
    import pandas as pd

    return pd.read_parquet(SAMPLE)
