#!/usr/bin/env bash
# DuckDB 2.0.0 answers `WHERE isnan(x)` from the column statistics of a Parquet file.
# Writers that leave NaN out of the minimum and maximum (PyArrow 26.0.1, Polars 2.1.0; the
# format asks for it) so make NaN invisible to a filter, while an aggregate over the same
# column sees it. `WHERE x > 100` loses the row too, though DuckDB sorts NaN above all numbers.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/env"
"$folder/env/bin/pip" install -q duckdb==2.0.0 pyarrow==26.0.1 polars==2.1.0
cd "$folder"
env/bin/python - <<'PY'
import sys

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

values = [1.0, 2.0, float("nan")]
pq.write_table(pa.table({"x": values}), "pyarrow.parquet")
pl.DataFrame({"x": values}).write_parquet("polars.parquet")
duckdb.sql(
    "COPY (SELECT unnest([1.0, 2.0, 'nan'::DOUBLE]) AS x) TO 'duckdb.parquet'"
)
found = {}
for writer in ("pyarrow", "polars", "duckdb"):
    file = f"'{writer}.parquet'"
    found[writer] = [
        duckdb.sql(query).fetchall()[0][0]
        for query in (
            f"SELECT count(*) FROM {file} WHERE isnan(x)",
            f"SELECT count(*) FROM {file} WHERE x > 100",
            f"SELECT count(*) FILTER (WHERE isnan(x)) FROM {file}",
        )
    ]
    print(f"duckdb {duckdb.__version__}, written by {writer}:", found[writer])
expected = {"pyarrow": [0, 0, 1], "polars": [0, 0, 1], "duckdb": [1, 1, 1]}
sys.exit(found != expected)
PY
