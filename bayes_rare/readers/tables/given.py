"""A table reduced to the columns that are read, under our names for them.

No other column is kept, so that names of computed columns cannot clash with it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import narwhals as nw
import numpy as np
from narwhals.exceptions import DuplicateError

from bayes_rare.errors import InvalidData, InvalidInput
from bayes_rare.evaluation.checks import BLANKS, MOST_WHOLE, text_of
from bayes_rare.readers.tables.contract import (
    LABELS,
    NUMBERS,
    ROW,
    SPLIT,
    found,
    named_columns,
    refuse_twice,
)

__all__ = ["Given", "given", "is_nan", "is_whole", "quoted", "texts_of"]

ODD = 1_000
"""Largest number of distinct labels that engines would write differently."""

type Texts = Mapping[str, nw.Expr]


@dataclass(frozen=True, eq=False)
class Given:
    """The columns of a table that are read, under our names for them."""

    rows: nw.LazyFrame[Any] = field(repr=False)
    names: Mapping[str, str]  # from our names to those of the table, for messages
    texts: Texts = field(repr=False)  # the text of labels; "" if missing

    @classmethod
    def of(cls, rows: nw.LazyFrame[Any], names: Mapping[str, str]) -> "Given":
        """The table, with the text of its labels."""
        return cls(rows, names, texts_of(rows, names))


def given(frame: Any, columns: Mapping[str, str], split: str | None = None) -> Given:
    """The table in a frame, its rows numbered if they have an order."""
    try:
        table = cast("nw.DataFrame[Any] | nw.LazyFrame[Any]", nw.from_native(frame))
        there = list(map(str, table.collect_schema().names()))
    except DuplicateError as error:
        raise InvalidData(f"{error} Rename the repeated columns.") from error
    except TypeError as error:
        raise InvalidInput(
            f"{type(frame).__name__} is not a table. Give a path, or a frame that "
            "narwhals supports: pandas, Polars, PyArrow, DuckDB, Dask, Spark, ..."
        ) from error
    names = named_columns(there, columns) | found(split, there)
    refuse_twice(names, {"the table": there})
    chosen = _projected(table, {name: there.index(own) for name, own in names.items()})
    if isinstance(chosen, nw.DataFrame):
        chosen = chosen.with_row_index(ROW).with_columns(nw.col(ROW) + 1).lazy()
    return Given.of(chosen, names)


def quoted(name: str) -> str:
    """A name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def _projected(
    table: nw.DataFrame[Any] | nw.LazyFrame[Any], places: Mapping[str, int]
) -> nw.DataFrame[Any] | nw.LazyFrame[Any]:
    """Some columns of a table under other names, chosen by position.

    Some engines interpret dots, stars and patterns in names.
    """
    native: Any = table.to_native()
    kind = table.implementation
    if kind.is_duckdb():
        chosen = (f"{quoted(native.columns[i])} as {n}" for n, i in places.items())
        return nw.from_native(native.project(", ".join(chosen)))
    if kind.is_pyspark() or kind.is_pyspark_connect():
        native = native.toDF(
            *(f"column{place}" for place in range(len(native.columns)))
        )
        table = nw.from_native(native)
    chosen = table.select(*(nw.nth(i).alias(name) for name, i in places.items()))
    decode = _DECODED.get(kind)
    return chosen if decode is None else decode(chosen)


def _decoded_arrow(table: Any) -> Any:
    """A PyArrow table without dictionaries, whose numbers would become text."""
    import pyarrow as pa

    native: Any = table.to_native()
    types: Any = pa.types
    for place, own in enumerate(native.schema):
        if types.is_dictionary(own.type):
            plain = native.column(place).cast(own.type.value_type)
            native = native.set_column(place, own.name, plain)
    return nw.from_native(native)


def _decoded_pandas(table: Any) -> Any:
    """A pandas table whose objects and categories are text or numbers."""
    native = table.to_native()
    plain = {name: _plain(native[name], name) for name in native.columns}
    changed = {n: held for n, held in plain.items() if held is not native[n]}
    return nw.from_native(native.assign(**changed)) if changed else table


def _decoded_dask(table: Any) -> Any:
    """A Dask table whose categories are text or numbers."""
    native = table.to_native()
    for name, dtype in native.dtypes.items():
        if str(dtype) == "category":
            part = native[name].map_partitions(
                _plain, name, meta=(name, _plain(native[name]._meta, name).dtype)
            )
            native = native.assign(**{name: part})
    return nw.from_native(native)


_DECODED: dict[Any, Callable[[Any], Any]] = {
    nw.Implementation.PANDAS: _decoded_pandas,
    nw.Implementation.DASK: _decoded_dask,
    nw.Implementation.PYARROW: _decoded_arrow,
}


def _plain(column: Any, name: str) -> Any:
    """A pandas column of objects or categories as text or numbers."""
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        categories = column.cat.categories
        if pd.api.types.infer_dtype(categories) in {"string", "empty"}:
            return column
        codes = column.cat.codes.to_numpy()
        if name in NUMBERS:
            # In a dtype that has missing values: whole numbers of NumPy's have none.
            frames = cast("Any", pd)
            numbers = frames.array(categories).take(codes, allow_fill=True)
            return frames.Series(numbers, column.index)
        held = np.array([*map(text_of, categories.to_numpy()), ""], object)
        return pd.Series(held[codes], column.index)
    if isinstance(column.dtype, pd.ArrowDtype):
        dtype: Any = cast("Any", column.dtype).pyarrow_dtype
        is_coded = str(dtype).startswith("dictionary")
        return column.astype(pd.ArrowDtype(dtype.value_type)) if is_coded else column
    if column.dtype != object:
        return column
    held = pd.api.types.infer_dtype(column, skipna=True)
    if held in {"string", "empty"} or name == SPLIT:
        return column
    if name in LABELS:
        return column.map(text_of)
    if held in {"integer", "floating", "decimal", "mixed-integer-float"}:
        return column.map(float, na_action="ignore").astype(np.float64)
    return column


def is_nan(number: nw.Expr) -> nw.Expr:
    """Whether a number that is not missing is NaN.

    DuckDB would answer ``isnan``, or a comparison, from the statistics of a Parquet
    file; those of PyArrow and Polars ignore NaN.
    """
    return ~number.is_finite() & (number != float("inf")) & (number != float("-inf"))


def is_whole(number: nw.Expr) -> nw.Expr:
    """Whether a number is whole; numbers too large for an integer count as whole."""
    # Spark raises for numbers too large for an integer.
    held = nw.when(number.abs() < MOST_WHOLE).then(number).otherwise(nw.lit(0.0))
    return held.floor() == held


def texts_of(rows: nw.LazyFrame[Any], names: Mapping[str, str]) -> Texts:
    """The text of each row's labels, the same as by `evaluation.checks.text_of`."""
    schema = rows.collect_schema()
    answer: dict[str, nw.Expr] = {}
    for name in LABELS:
        if name not in names:
            missing = "behaviour" if name == "behaviour" else ""
            answer[name] = nw.lit(missing)
            continue
        dtype = schema[name]
        if dtype.is_nested() or _is_textless(dtype):
            raise InvalidData(
                f"column {names[name]!r} ({name}) holds {dtype}, which cannot be read "
                "as text. Convert it to text first, or map another column: "
                f"columns={{{name!r}: ...}}."
            )
        text = nw.col(name).cast(nw.String)
        if dtype.is_float():
            text = _of_floats(rows, name, single=dtype == nw.Float32)
        elif dtype == nw.Boolean:
            text = text.str.to_lowercase()
        elif dtype.is_decimal() or isinstance(dtype, nw.Datetime | nw.Time):
            text = (
                nw.when(text.str.contains(r"\."))
                .then(text.str.replace_all(r"\.?0+$", ""))
                .otherwise(text)
                .str.replace_all(r" 00:00:00$", "")
            )
        text = text.fill_null("")
        if not dtype.is_numeric():
            blank = text.str.strip_chars(BLANKS) == ""
            text = nw.when(blank).then(nw.lit("")).otherwise(text)
        answer[name] = text
    return answer


def _is_textless(dtype: Any) -> bool:
    zoned = isinstance(dtype, nw.Datetime) and dtype.time_zone is not None
    return zoned or isinstance(dtype, nw.Binary | nw.Duration | nw.Object)


def _of_floats(rows: nw.LazyFrame[Any], name: str, *, single: bool) -> nw.Expr:
    """The text of floats; those that engines write differently are listed."""
    column = nw.col(name)
    number = column.cast(nw.Float64).fill_null(0.0)
    finite = number.is_finite()
    missing = column.is_null() | is_nan(number)
    whole = finite & (number.abs() < MOST_WHOLE) & is_whole(number)
    plain = finite & (number.abs() >= 1e-3) & (number.abs() < 1e7)
    odd = ~missing & ~whole & ~plain
    values = rows.filter(odd).select(number.alias(name)).unique().head(ODD + 1)
    found: Sequence[float] = values.collect()[name].to_list()
    if len(found) > ODD:
        raise InvalidData(
            f"{name} has more than {ODD:,} different values that are very small or "
            "very large fractional numbers. Convert them to text first."
        )
    text = column.cast(nw.String)
    for value in found:
        own = text_of(np.float32(value) if single else value)
        text = nw.when(number == value).then(nw.lit(own)).otherwise(text)
    # An engine may evaluate both branches, and cannot convert some numbers.
    safe = nw.when(whole).then(number).otherwise(nw.lit(0.0))
    text = nw.when(whole).then(safe.cast(nw.Int64).cast(nw.String)).otherwise(text)
    return nw.when(missing).then(nw.lit("")).otherwise(text)
