"""Evaluations in tables: files of the usual formats, and frames of any engine."""

import glob
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import narwhals as nw

from bayes_rare.checking import checked_call
from bayes_rare.errors import InvalidData, InvalidInput
from bayes_rare.evaluation import RESOLUTION, Evaluation
from bayes_rare.readers.carried import record_of
from bayes_rare.readers.contract import (
    FILE,
    NUMBERS,
    ROW,
    WRITTEN,
    found,
    named_columns,
    refuse_twice,
)
from bayes_rare.readers.given import Given, given, quoted
from bayes_rare.readers.surrogates import storable_files, storable_frame

if TYPE_CHECKING:
    import duckdb

__all__ = ["ENDINGS", "MEMORY_LIMIT", "opened", "read_table"]

# Told rather than guessed: a guess could take rows for comments or skip them.
TEXT = (
    "read_csv($files, header = true, all_varchar = true, delim = '{}', quote = '\"', "
    "escape = '\"', comment = '', skip = 0, {{more}})"
)
JSON = "read_json($files, format = '{}', sample_size = -1, {{more}})"
ENDINGS = {
    ".csv": TEXT.format(","),
    ".tsv": TEXT.format("\t"),
    ".parquet": "read_parquet($files, {more})",
    ".jsonl": JSON.format("newline_delimited"),
    ".ndjson": JSON.format("newline_delimited"),
    ".json": JSON.format("auto"),
}
"""File name endings, and how DuckDB reads them; text and JSON also with ``.gz``."""

MEMORY_LIMIT = "800MB"
"""What DuckDB may hold of a file before it spills to a temporary folder."""


@checked_call
def read_table(
    source: Any,
    *,
    columns: Mapping[str, str] | None = None,
    behaviours: Sequence[str] | None = None,
    resolution: tuple[float, float] = RESOLUTION,
) -> Evaluation:
    """The evaluation in a table: files, or a frame of any engine.

    A row is a query under a behaviour. It has ``log_risk``, the natural logarithm of
    the risk where that is known exactly; or this and ``log_risk_se``, its standard
    error, where it is an estimate; or ``successes`` and ``trials``. All rows of a
    behaviour are of one kind. Where the table tells them, a row also has ``query_id``,
    ``behaviour``, ``family``, ``query_text``, and ``weight``: how many queries it
    stands for, up to a factor, where rows were drawn with unequal probabilities.
    Without ``behaviour`` all rows are of one, named "behaviour". Other columns are not
    read. A table that was made of logs carries a record of what was left out.

    Files are read by DuckDB in bounded memory, whatever their size. Lazy frames stay
    lazy: their engine groups the rows, and a few thousand a behaviour are fetched.

    Parameters
    ----------
    source
        Path, glob pattern, or sequence of paths, of files that end in .csv, .tsv,
        .parquet, .jsonl, .ndjson or .json (text also with .gz); or a frame that
        narwhals takes (pandas, Polars, PyArrow, DuckDB, Dask, Spark, ...).
    columns
        From the names above to names in the table, where they differ.
    behaviours
        The behaviours to read; all where not given.
    resolution
        Smallest risk told from 0, and smallest 1 - risk told from 0.

    Raises
    ------
    InvalidData
        If a file cannot be read, or the table says something impossible: its message
        has the row, the column, the value and the way out.
    InvalidInput
        If ``columns`` or ``behaviours`` name what is not there.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"successes": [0, 0, 3], "trials": [10, 10, 10]})
    >>> read_table(table).counts[["successes", "trials", "count"]].values.tolist()
    [[0, 10, 2], [3, 10, 1]]
    """
    from bayes_rare.readers.summaries import summary_of

    def summary(table: Given) -> Evaluation:
        return summary_of(table, behaviours, resolution)

    evaluation = opened(source, columns or {}, summary)
    named = isinstance(source, str | Path | list | tuple)
    files = _files(cast("str | Path | Sequence[str | Path]", source)) if named else []
    record = record_of(source, files)
    if record is None:
        return evaluation
    record = record.select(evaluation.behaviours)
    if evaluation.record is not None:
        record = replace(record, repeats=evaluation.record.repeats)
    return replace(evaluation, record=record)


def opened[T](
    source: Any,
    columns: Mapping[str, str],
    work: Callable[[Given], T],
    split: str | None = None,
) -> T:
    """What some work makes of the table in a source.

    Parameters
    ----------
    source, columns
        As of `read_table`.
    work
        Takes the table; that of files is closed afterwards.
    split
        Column that says which rows are for which set, if one does.

    Raises
    ------
    InvalidData
        If a file cannot be read.
    """
    if not isinstance(source, str | Path | list | tuple):
        with storable_frame():
            return work(given(source, columns, split))
    named = _files(cast("str | Path | Sequence[str | Path]", source))
    with storable_files(named) as files, _connection() as connection:

        def table(*more: str) -> Given:
            relation, names = _relation(connection, files, columns, split)
            rows = nw.from_native(relation.project(", ".join(("*", *more))))
            return Given.of(rows, names)

        # An engine that numbers rows passes over none: only a refusal needs numbers.
        with suppress(InvalidData):
            return _guarded(lambda: work(table()), files)
        number = f"row_number() over () as {quoted(ROW)}"
        return _guarded(lambda: work(table(number)), files)


def _files(source: str | Path | Sequence[str | Path]) -> list[str]:
    patterns = [source] if isinstance(source, str | Path) else list(source)
    if not patterns:
        raise InvalidInput("no file is named. Give at least one path.")
    files: list[str] = []
    for pattern in map(str, patterns):
        # A file of that very name comes first: brackets are common in file names.
        found = [pattern] if Path(pattern).is_file() else sorted(glob.glob(pattern))  # noqa: PTH207
        if not found:
            raise InvalidData(
                f"there is no file {pattern}. Give a path that exists, seen from "
                f"{Path.cwd()}."
            )
        files += found
    return files


def _ending(files: Sequence[str]) -> str:
    """The format that all the files have in common."""
    endings = {_plain(Path(file).name.lower()) for file in files}
    if len(endings) != 1 or not endings <= set(ENDINGS):
        raise InvalidData(
            f"cannot tell one format from {', '.join(files[:3])}. Give files that all "
            f"end in one of {', '.join(ENDINGS)}, or in such an ending of text and .gz."
        )
    return endings.pop()


def _plain(name: str) -> str:
    """The ending that tells the format, before that which compresses."""
    unpacked = name.removesuffix(".gz")
    ending = Path(unpacked).suffix
    return "" if ending == ".parquet" and unpacked != name else ending


@contextmanager
def _connection() -> "Generator[duckdb.DuckDBPyConnection]":
    """A private DuckDB that spills to a folder of its own."""
    import duckdb

    with TemporaryDirectory(prefix="bayes-rare-") as folder:
        connection = duckdb.connect(
            config={
                "memory_limit": MEMORY_LIMIT,
                "temp_directory": folder,
                "preserve_insertion_order": "false",
            }
        )
        # DuckDB would draw its progress on standard output, among the answers.
        connection.execute("set enable_progress_bar = false")
        try:
            yield connection
        finally:
            connection.close()


def _relation(
    connection: "duckdb.DuckDBPyConnection",
    files: list[str],
    columns: Mapping[str, str],
    split: str | None,
) -> "tuple[duckdb.DuckDBPyRelation, dict[str, str]]":
    """The columns that are read, under names of the contract; and their names there.

    Numbers in text become float64. Text that is no number becomes NaN, which is refused
    with the text itself, rather than an error of the engine or, worse, a null.
    """
    scan = ENDINGS[_ending(files)]
    plain = scan.format(more="union_by_name = true")
    described = connection.sql(f"from {plain}", params={"files": files})
    types = dict(zip(described.columns, map(str, described.types), strict=True))
    names = named_columns(described.columns, columns)
    names |= found(split, described.columns)
    refuse_twice(names, _headers(connection, files, scan, names, types))
    file = FILE  # of a name that no column has, whatever the case of its letters
    while file.casefold() in map(str.casefold, types):
        file += "_"
    more = f"union_by_name = true, filename = {_literal(file)}"
    chosen = [f"{quoted(file)} as {quoted(FILE)}"]
    for name, own in names.items():
        column, kind = quoted(own), types[own]
        if name in NUMBERS and kind in {"VARCHAR", "JSON"}:
            chosen.append(f"{_as_number(own)} as {name}")
            chosen.append(f"{column} as {quoted(name + WRITTEN)}")
        elif kind == "JSON":
            chosen.append(f"{_AS_TEXT.format(column)} as {name}")
        else:
            chosen.append(f"{column} as {name}")
    scan = _as_written(scan, names, types).format(more=more)
    chosen_columns = f"select {', '.join(chosen)} from {scan}"
    return connection.sql(chosen_columns, params={"files": files}), names


_AS_TEXT = (
    "case when json_type({0}) = 'DOUBLE' and abs({0}::double) < 1e15 "
    "and {0}::double = floor({0}::double) then {0}::double::bigint::varchar "
    "else {0} ->> '$' end"
)
"""A value of JSON, of a column that holds numbers and text, as text."""


def _as_written(scan: str, names: Mapping[str, str], types: Mapping[str, str]) -> str:
    """The scan of JSON with labels that look like dates or the like kept as text."""
    kept = {own: types[own] for own in names.values()}
    changed = [
        own
        for name, own in names.items()
        if name not in NUMBERS and kept[own].startswith(("DATE", "TIME", "UUID"))
    ]
    if not changed or "read_json" not in scan:
        return scan
    kept |= dict.fromkeys(changed, "VARCHAR")
    kept = {own: "VARCHAR" if kind == '"NULL"' else kind for own, kind in kept.items()}
    pairs = (f"{quoted(own)}: {_literal(kind)}" for own, kind in kept.items())
    columns = f"columns = {{{', '.join(pairs)}}}".replace("{", "{{").replace("}", "}}")
    return scan.replace("{more}", f"{columns}, {{more}}")


def _headers(
    connection: "duckdb.DuckDBPyConnection",
    files: Sequence[str],
    scan: str,
    names: Mapping[str, str],
    types: Mapping[str, str],
) -> dict[str, list[str]]:
    """The names of the columns of each file, as they stand there.

    DuckDB numbers those that stand twice, and reads the first.
    """
    if "read_csv" in scan:
        first = scan.format(more="").replace("header = true", "header = false")
        return {
            file: [str(name or "") for name in row]
            for file in files
            for row in connection.execute(
                f"from {first} limit 1", {"files": [file]}
            ).fetchall()
        }
    if "read_parquet" in scan:
        import pyarrow.parquet as pq

        return {file: pq.read_schema(file).names for file in files}
    read = "|".join(re.escape(name) for name in names.values())
    if not any(re.fullmatch(rf"(?i)({read})_\d+", name) for name in types):
        return {}
    keys = connection.execute(
        "select distinct unnest(json_keys(json)) from "
        + scan.format(more="")
        .replace("read_json(", "read_json_objects(")
        .replace("sample_size = -1, ", ""),
        {"files": list(files)},
    ).fetchall()
    return {files[0]: sorted(str(key) for (key,) in keys)}


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _as_number(name: str) -> str:
    text = f"trim({quoted(name)}::varchar)"
    return (
        f"case when {quoted(name)} is null then null "
        f"else coalesce(try_cast({text} as double), 'nan'::double) end"
    )


def _guarded[T](work: Callable[[], T], files: Sequence[str]) -> T:
    """The answer of DuckDB, or its complaint as a refusal."""
    import duckdb

    try:
        return work()
    except duckdb.Error as error:
        named = ", ".join(files[:3]) + (", ..." if len(files) > 3 else "")
        raise InvalidData(
            f"cannot read {named}: {str(error).strip()} Check that the content is what "
            "the name's ending says."
        ) from error
