"""Small tables of every kind, read through every engine: one answer, and a right one.

What the engines give is held against a count in plain Python that knows none of them.
"""

import csv
import io
import json
import math
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fuzzing import fuzz, refusals
from hypothesis import given
from hypothesis import strategies as st

from bayes_rare.evaluation import Evaluation
from bayes_rare.evaluation.checks import text_of
from bayes_rare.readers.tables.read_table import read_table

ODD = ("_key", "_cell", "_family", "Trials", 'a"b', "a.b", "[x]", "row (bayes-rare)")
"""Names of columns that nobody asked for."""

WORDS = st.sampled_from(["q", "Q", "q 1", "ÿ", "1", "01", "true", "=1+1", 'a"b', "x'y"])
BLANK = st.sampled_from([None, "", " ", "\t"])


def mostly(usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> Any:
    return st.integers(0, 19).flatmap(lambda n: odd if n == 0 else usual)


LABELS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "text": (pa.string(), mostly(WORDS, BLANK)),
    "dictionary": (pa.dictionary(pa.int32(), pa.string()), mostly(WORDS, st.none())),
    "integer": (pa.int64(), mostly(st.integers(-3, 3), st.just(2**53 + 1))),
    "large": (pa.uint64(), st.sampled_from([0, 2**63, 2**64 - 1])),
    "float": (
        pa.float64(),
        mostly(
            st.sampled_from([0.0, -0.0, 1.0, 0.5, 0.1, 1e-5, 2.5e-7, 1e20, 12345678.5]),
            st.sampled_from([None, math.nan, math.inf, -math.inf]),
        ),
    ),
    "single": (pa.float32(), st.sampled_from([0.1, 1.0, 1e-5, 3.3e-3, 1e20, 0.25])),
    "decimal": (
        pa.decimal128(8, 2),
        st.sampled_from(["1.50", "1.00", "0.05", "100.00"]).map(Decimal),
    ),
    "truth": (pa.bool_(), st.booleans()),
    "date": (pa.date32(), st.dates(min_value=pd.Timestamp(2026, 1, 1).date())),
    "time": (
        pa.timestamp("us"),
        st.sampled_from(
            [
                pd.Timestamp("2026-01-02").to_pydatetime(),
                pd.Timestamp("2026-01-02 03:04:05.5").to_pydatetime(),
                pd.Timestamp("2026-01-02 10:00:00").to_pydatetime(),
            ]
        ),
    ),
}
COUNTS: dict[str, pa.DataType] = {
    "int64": pa.int64(),
    "int32": pa.int32(),
    "float64": pa.float64(),
    "float32": pa.float32(),
    "decimal": pa.decimal128(20, 2),
    "dictionary": pa.dictionary(pa.int32(), pa.int64()),
}
RISKS = mostly(
    st.sampled_from([-1.0, -2.5, -2.5, -1e-9, -700.0, 0.0, -math.inf, -0.1]),
    st.sampled_from([math.nan, math.inf, 0.5, None]),
)


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """A table of PyArrow: it says what type each column has, and others follow."""
    rows = draw(st.integers(1, 12))

    def column(values: st.SearchStrategy[Any], dtype: pa.DataType) -> pa.Array:
        held = draw(st.lists(values, min_size=rows, max_size=rows))
        if pa.types.is_dictionary(dtype):
            return pa.array(held, dtype.value_type).dictionary_encode()
        return pa.array(held, dtype)

    made: dict[str, pa.Array] = {}
    for name in ("query_id", "behaviour", "family"):
        kind = draw(st.sampled_from([None, *LABELS]))
        if kind is not None:
            dtype, values = LABELS[kind]
            if name != "query_id":  # few, so that some come together
                few = draw(st.lists(values, min_size=1, max_size=2))
                values = st.sampled_from(few)
            made[name] = column(values, dtype)
    if draw(st.booleans()):
        trials = mostly(st.integers(1, 4), st.sampled_from([0, -1, None]))
        successes = mostly(st.integers(0, 1), st.sampled_from([0.5, 9, None]))
        dtype = COUNTS[draw(st.sampled_from(sorted(COUNTS)))]
        whole = pa.types.is_integer(dtype) or pa.types.is_dictionary(dtype)
        if whole:
            successes = successes.map(lambda n: 0 if n == 0.5 else n)
        if pa.types.is_decimal(dtype):
            trials, successes = (
                values.map(lambda n: None if n is None else Decimal(str(n)))
                for values in (trials, successes)
            )
        made["successes"] = column(successes, dtype)
        made["trials"] = column(trials, dtype)
    else:
        dtype = draw(st.sampled_from([pa.float64(), pa.float32()]))
        made["log_risk"] = column(RISKS, dtype)
        if draw(st.integers(0, 3)) == 0:
            errors = mostly(st.sampled_from([0.5, 0.25]), st.sampled_from([-1.0, None]))
            made["log_risk_se"] = column(errors, pa.float64())
    if draw(st.integers(0, 3)) == 0:
        weights = mostly(
            st.sampled_from([1.0, 1.0, 2.0]), st.sampled_from([0.0, math.nan, None])
        )
        made["weight"] = column(weights, pa.float64())
    for name in draw(st.lists(st.sampled_from(ODD), max_size=2, unique=True)):
        if name.lower() not in made:
            made[name] = column(st.integers(0, 3), pa.int64())
    return pa.table(made)


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """The rows, with single precision told from double."""
    named = {"query_id", "behaviour", "family"}
    single = {c.name for c in table.schema if pa.types.is_float32(c.type)} & named
    return [
        {n: np.float32(v) if n in single and v is not None else v for n, v in r.items()}
        for r in table.to_pylist()
    ]


def relation(table: pa.Table, _: Path) -> Any:
    connection = duckdb.connect()
    connection.register("held", table)
    return connection.sql("select * from held")


def plain(value: Any) -> Any:
    """A value as text formats hold it."""
    if isinstance(value, np.floating):
        return float(str(value))
    return value if isinstance(value, str | int | float | None) else text_of(value)


def as_csv(table: pa.Table, folder: Path) -> Path:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(table.column_names)
    for row in rows_of(table):
        writer.writerow(
            ["" if value is None else written(value) for value in row.values()]
        )
    path = folder / "t.csv"
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    return path


def written(value: Any) -> Any:
    """A label as a person writes it: 1 and not 1.0."""
    return "" if value is None else text_of(value) or str(value)


def as_lines(table: pa.Table, folder: Path) -> Path:
    path = folder / "t.jsonl"
    rows = ({name: plain(v) for name, v in row.items()} for row in rows_of(table))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def by_arrow(table: pa.Table, folder: Path) -> Path:
    pq.write_table(table, folder / "a.parquet", row_group_size=3)
    return folder / "a.parquet"


def without_statistics(table: pa.Table, folder: Path) -> Path:
    pq.write_table(table, folder / "n.parquet", write_statistics=False)
    return folder / "n.parquet"


def by_polars(table: pa.Table, folder: Path) -> Path:
    made = pl.DataFrame(table)
    made.write_parquet(folder / "p.parquet", row_group_size=3)
    return folder / "p.parquet"


def by_duckdb(table: pa.Table, folder: Path) -> Path:
    path = folder / "d.parquet"
    relation(table, folder).write_parquet(str(path))
    return path


def of_file(table: pa.Table, folder: Path) -> Any:
    return duckdb.connect().sql(f"from '{by_arrow(table, folder)}'")


READERS: dict[str, Callable[[pa.Table, Path], Any]] = {
    "pyarrow": lambda table, _: table,
    "pandas": lambda table, _: table.to_pandas(),
    "pandas, nullable": lambda table, _: table.to_pandas().convert_dtypes(),
    "pandas, of arrow": lambda table, _: table.to_pandas(types_mapper=pd.ArrowDtype),
    "polars": lambda table, _: pl.DataFrame(table),
    "polars, lazy": lambda table, _: pl.DataFrame(table).lazy(),
    "polars, scanned": lambda table, folder: pl.scan_parquet(by_arrow(table, folder)),
    "duckdb": relation,
    "duckdb, of a file": of_file,
    "parquet of pyarrow": by_arrow,
    "parquet without statistics": without_statistics,
    "parquet of polars": by_polars,
    "parquet of duckdb": by_duckdb,
    "csv": as_csv,
    "json lines": as_lines,
}


def told(evaluation: Evaluation) -> dict[str, Any]:
    """What an evaluation says, in values that can be compared."""
    return {
        "digest": evaluation.digest,
        "sizes": evaluation.sizes,
        "families": evaluation.families,
        "counts": evaluation.counts.to_dict("list"),
        "riskiest": evaluation.riskiest.fillna("none").to_dict("list"),
        "added up": evaluation.record and evaluation.record.repeats,
    }


def counted(table: pa.Table) -> dict[str, Any] | None:
    """What a table says by a count of its rows, one by one; None where it is wrong."""
    queries: dict[Any, dict[str, Any]] = {}
    for number, row in enumerate(rows_of(table)):
        name = text_of(row["behaviour"]) if "behaviour" in row else "behaviour"
        identity = text_of(row.get("query_id"))
        family, weight = text_of(row.get("family")), row.get("weight", 1.0)
        if not name or weight is None or not 0 < weight < math.inf:
            return None
        if "trials" in row:
            hits, tried = row["successes"], row["trials"]
            if hits is None or tried is None or not 0 <= hits <= tried or not tried:
                return None
            if hits != math.floor(hits) or tried != math.floor(tried):
                return None
        else:
            risk, error = row["log_risk"], row.get("log_risk_se")
            hits = tried = 0
            if risk is None or not risk <= 0 or (error is not None and error < 0):
                return None
            if error is not None and risk == -math.inf:
                return None
        query = {"name": name, "family": family, "weight": weight, "rows": 1}
        query |= {"successes": int(hits), "trials": int(tried)}
        key = (name, identity) if identity else number
        known = queries.setdefault(key, query)
        if known is query:
            continue
        if (
            "trials" not in row
            or known["family"] != family
            or known["weight"] != weight
        ):
            return None
        for what in ("successes", "trials", "rows"):
            known[what] += query[what]
    behaviours: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for query in queries.values():
        behaviours[query["name"]].append(query)
    for own in behaviours.values():
        if len({query["family"] == "" for query in own}) > 1:
            return None
        exact = {"log_risk", "log_risk_se"} & {*table.column_names} == {"log_risk"}
        if exact and len({query["weight"] for query in own}) > 1:
            return None
    if "log_risk_se" in table.column_names:
        for name in behaviours:
            errors = {
                row["log_risk_se"] is None
                for row in rows_of(table)
                if (text_of(row["behaviour"]) if "behaviour" in row else name) == name
            }
            weights = {query["weight"] for query in behaviours[name]}
            if len(errors) > 1 or (errors == {True} and len(weights) > 1):
                return None
    return {
        "queries": {name: len(own) for name, own in behaviours.items()},
        "rows": {name: sum(q["rows"] for q in own) for name, own in behaviours.items()},
        "families": {query["family"] for query in queries.values()},
        "counts": {
            name: sorted((q["family"], q["successes"], q["trials"]) for q in own)
            for name, own in behaviours.items()
        },
    }


def agrees(evaluation: Evaluation, expected: dict[str, Any]) -> None:
    assert evaluation.sizes == expected["queries"]
    assert set(evaluation.labels) == expected["families"]
    repeats = evaluation.record.repeats if evaluation.record else ()
    rows, queries = expected["rows"], expected["queries"]
    assert {one.behaviour: (one.rows, one.queries) for one in repeats} == {
        name: (rows[name], queries[name]) for name in rows if rows[name] > queries[name]
    }
    for name, own in expected["counts"].items():
        if evaluation.kind(name) != "counts":
            continue
        table = evaluation.counts
        cells = table[table["behaviour"] == name]
        columns = ("family", "successes", "trials", "count")
        found = sorted(
            (family, successes, trials)
            for family, successes, trials, count in zip(
                *(cells[column].tolist() for column in columns), strict=True
            )
            for _ in range(count)
        )
        assert found == own


def read(reader: Callable[..., Any], source: Any) -> Any:
    """What a reader makes of a source; None where it refuses."""
    with refusals() as seen:
        return reader(source)
    assert seen
    return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


@given(table=tables(), form=st.sampled_from(sorted(READERS)))
@fuzz(0.25)
def test_all_readers_agree_with_one_another_and_with_a_count(
    table: pa.Table, form: str, folder: Path
) -> None:
    expected = counted(table)
    answers: list[dict[str, Any]] = []
    for name in ("polars", form):
        made = read(read_table, READERS[name](table, folder))
        assert (made is None) == (expected is None), name
        if expected is not None:
            agrees(made, expected)
            answers.append(told(made))
    assert answers[1:] == answers[:1] or not answers
