"""Evaluations in tables: files of the common formats, and frames of any engine."""

import glob
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import narwhals as nw

from bayes_rare.arguments.checking import checked_call
from bayes_rare.arguments.near_words import no_file, shown
from bayes_rare.errors import InvalidData, InvalidInput, listed, within
from bayes_rare.evaluation import RESOLUTION, Evaluation
from bayes_rare.evaluation.import_record import record_of
from bayes_rare.readers.surrogates import storable_files, storable_frame
from bayes_rare.readers.tables.contract import (
    FILE,
    LABELS,
    NUMBERS,
    ROW,
    WRITTEN,
    found,
    likely_log,
    named_columns,
    refuse_twice,
)
from bayes_rare.readers.tables.given import Given, given, quoted
from bayes_rare.readers.tables.scans import ENDINGS, TEXTS, Scan, as_literal
from bayes_rare.readers.tables.spreadsheets import GUARDED
from bayes_rare.readers.tables.texts import TextFormat, place

if TYPE_CHECKING:
    import duckdb

__all__ = ["MEMORY_LIMIT", "opened", "read_columns", "read_table"]

MEMORY_LIMIT = "800MB"
"""Memory that DuckDB may use for a file before it spills to a temporary folder."""

# From a file with more columns, those that are read are copied to a table first: each
# query of the file would name them all.
_WIDE = 1_000


@checked_call
def read_table(
    source: Any,
    *,
    columns: Mapping[str, str] | None = None,
    behaviours: Sequence[str] | None = None,
    resolution: tuple[float, float] = RESOLUTION,
    encoding: str | None = None,
    delimiter: str | None = None,
    decimal: str = ".",
) -> Evaluation:
    """The evaluation in a table: files, or a frame of any engine.

    A row is a query under a behaviour. It has ``log_risk``, the natural logarithm of
    its risk, if that is known exactly; ``log_risk`` and its standard error
    ``log_risk_se``, if it is an estimate; or ``successes`` and ``trials``. All rows of
    a behaviour are of the same kind. Optional columns are ``query_id``, ``behaviour``,
    ``family``, ``query_text``, and ``weight``: the number of queries that a row stands
    for, up to a common factor, if rows were sampled with unequal probabilities. Without
    ``behaviour``, all rows have one, named "behaviour". Other columns are not read. A
    table that was imported from logs carries a record of what was left out.

    Files are read by DuckDB in bounded memory, whatever their size. Lazy frames stay
    lazy: their engine groups the rows, and a few thousand per behaviour are fetched.

    Parameters
    ----------
    source
        Path, glob pattern, or sequence of paths, of files that end in .csv, .tsv,
        .parquet, .jsonl, .ndjson or .json (text files also in .gz); or a frame that
        narwhals supports (pandas, Polars, PyArrow, DuckDB, Dask, Spark, ...).
    columns
        From the names above to the names in the table, if they differ.
    behaviours
        The behaviours to read. By default all.
    resolution
        Smallest risk, and smallest 1 - risk, that can be told from 0.
    encoding
        Encoding of text files, such as latin-1, cp1252 or utf-16. By default taken from
        the byte order mark, or else UTF-8.
    delimiter
        Character that separates values in .csv and .tsv files, ``"tab"`` for a tab. By
        default a tab in .tsv files and a comma in .csv files; if the header of a .csv
        file has no comma, a semicolon, tab or bar is recognised.
    decimal
        Decimal mark of numbers in text: ``"."`` or ``","``.

    Raises
    ------
    InvalidData
        If a file cannot be read, or the table contradicts itself; the message names the
        line or row, the column, the value and a way out.
    InvalidInput
        If there is no such column, behaviour or encoding, or an option does not suit
        the format.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"successes": [0, 0, 3], "trials": [10, 10, 10]})
    >>> read_table(table).counts[["successes", "trials", "count"]].values.tolist()
    [[0, 10, 2], [3, 10, 1]]
    """
    from bayes_rare.readers.tables.summarise import summary_of

    def summary(table: Given) -> Evaluation:
        return summary_of(table, behaviours, resolution)

    text = TextFormat(encoding, delimiter, decimal)
    evaluation = opened(source, columns or {}, summary, text=text)
    named = isinstance(source, str | Path | list | tuple)
    files = _files(cast("str | Path | Sequence[Any]", source)) if named else []
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
    *,
    text: TextFormat | None = None,
) -> T:
    """The result of a function of the table in a source, which is then closed."""
    if not isinstance(source, str | Path | list | tuple):
        if text not in (None, TextFormat()):
            raise InvalidInput(
                "encoding, delimiter and decimal are for text files, and "
                f"{type(source).__name__} is not a file. Leave them out."
            )
        with storable_frame():
            return work(given(source, columns, split))
    files = _files(cast("str | Path | Sequence[Any]", source))
    wanted = {*LABELS, *NUMBERS, *columns.values()}
    with _scanned(files, text or TextFormat(), wanted) as (connection, scan):
        import duckdb

        try:
            relation, names = _relation(connection, scan, columns, split)

            def table(*more: str) -> Given:
                rows = relation.project(", ".join(("*", *more)))
                return Given.of(nw.from_native(rows), names)

            # Rows are numbered only for a message, as an engine that numbers them
            # cannot skip any.
            try:
                return work(table())
            except (InvalidData, duckdb.Error, UnicodeDecodeError):
                return work(table(f"row_number() over () as {quoted(ROW)}"))
        # DuckDB may cut a character of its message in two.
        except (duckdb.Error, UnicodeDecodeError) as error:
            raise scan.refusal(connection, error) from error


def read_columns(
    path: str | Path, names: Sequence[str], text: TextFormat
) -> dict[str, list[Any]]:
    """Some columns of a small table in a file, as lists."""
    files = _files(path)
    with _scanned(files, text, names) as (connection, scan):
        import duckdb

        try:
            described = connection.sql(f"from {scan.sql()}")
            types = dict(zip(described.columns, map(str, described.types), strict=True))
            for name in names:
                if name not in types:
                    raise InvalidData(
                        f"{place(files[0])} has no column {name!r}; it has "
                        f"{listed(types)}.{scan.hint(list(types))}"
                    )
            own = {name: name for name in names}
            refuse_twice(own, scan.headers(connection, own, types))
            chosen = ", ".join(_label(name, scan, types[name]) for name in names)
            rows = connection.sql(f"select {chosen} from {scan.sql()}").fetchall()
        except (duckdb.Error, UnicodeDecodeError) as error:
            raise scan.refusal(connection, error) from error
    return {name: [row[k] for row in rows] for k, name in enumerate(names)}


@contextmanager
def _scanned(
    files: list[str], text: TextFormat, wanted: Collection[str]
) -> "Generator[tuple[duckdb.DuckDBPyConnection, Scan]]":
    """A connection to DuckDB, and the files that it reads."""
    ending = _ending(files)
    with storable_files(files) as mended, _connection() as (connection, folder):
        try:
            scan = Scan(files, mended, ending, text, wanted, folder)
        except OSError as error:
            raise InvalidData(
                f"cannot read {listed(files, each=100)}: {error.strerror or error}. "
                "Give files that you may read, and room for a copy where they are not "
                "UTF-8."
            ) from error
        yield connection, scan


def _files(source: str | Path | Sequence[Any]) -> list[str]:
    patterns: list[Any] = [source] if isinstance(source, str | Path) else [*source]
    for pattern in patterns:
        if not isinstance(pattern, str | Path):
            raise InvalidInput(
                f"a list of files has {shown(pattern)} in it, which is no path. Give "
                "paths; of numbers make an evaluation, with Evaluation.from_scores or "
                "Evaluation.from_counts."
            )
    if not patterns:
        raise InvalidInput("no file is named. Give at least one path.")
    files: list[str] = []
    for pattern in map(str, patterns):
        # A file with exactly this name comes first: file names may have brackets.
        try:
            found = [pattern] if Path(pattern).is_file() else sorted(glob.glob(pattern))  # noqa: PTH207
        except (OSError, ValueError):  # not a possible file name
            found = []
        if not found:
            raise InvalidData(
                f"{no_file(pattern)} Give a path that exists, seen "
                f"from {place(str(Path.cwd()))}."
            )
        folders = [name for name in found if Path(name).is_dir()]
        if folders:
            raise InvalidData(
                f"{place(folders[0])} is a folder. Give the files in it: "
                f"{within(folders[0], 100)}/*{ENDINGS[0]}"
            )
        files += found
    return files


def _ending(files: Sequence[str]) -> str:
    """The format that all files have in common."""
    endings = {_plain(Path(file).name.lower()) for file in files}
    if len(endings) != 1 or not endings <= set(ENDINGS):
        log = f"; {likely_log('Inspect', 'inspect')}" if endings == {".eval"} else ""
        format_ = "one known format" if len(files) > 1 else "a known format"
        raise InvalidData(
            f"{listed(files, each=100)}: not of {format_}{log}. Give files that all "
            f"end in one of {', '.join(ENDINGS)}; text files may also end in .gz."
        )
    return endings.pop()


def _plain(name: str) -> str:
    """The ending for the format, before .gz."""
    unpacked = name.removesuffix(".gz")
    ending = Path(unpacked).suffix
    return "" if ending == ".parquet" and unpacked != name else ending


@contextmanager
def _connection() -> "Generator[tuple[duckdb.DuckDBPyConnection, Path]]":
    """A private DuckDB that spills to a temporary folder, and a folder for copies."""
    import duckdb

    with TemporaryDirectory(prefix="bayes-rare-") as folder:
        copies = Path(folder) / "copies"
        copies.mkdir()
        connection = duckdb.connect(
            config={
                "memory_limit": MEMORY_LIMIT,
                "temp_directory": str(Path(folder) / "spilled"),
                "preserve_insertion_order": "false",
            }
        )
        # DuckDB would print its progress on standard output.
        connection.execute("set enable_progress_bar = false")
        try:
            yield connection, copies
        finally:
            connection.close()


def _relation(
    connection: "duckdb.DuckDBPyConnection",
    scan: Scan,
    columns: Mapping[str, str],
    split: str | None,
) -> "tuple[duckdb.DuckDBPyRelation, dict[str, str]]":
    """The columns that are read, under our names; and their names in the table.

    Numbers in text become float64. Text that is not a number becomes NaN, which is
    refused later with a message that shows the text.
    """
    described = connection.sql(f"from {scan.sql()}")
    types = dict(zip(described.columns, map(str, described.types), strict=True))
    asked = {name: columns.get(name, name) for name in (*LABELS, *NUMBERS)}
    asked |= found(split, list(types))
    refuse_twice(asked, scan.headers(connection, asked, types))
    try:
        names = named_columns(list(types), columns)
    except InvalidData as error:
        raise InvalidData(f"{error}{scan.hint(list(types))}") from error
    names |= found(split, list(types))
    file = FILE  # a name that no column has, ignoring case
    while file.casefold() in map(str.casefold, types):
        file += "_"
    chosen = [f"{_origin(file, scan)} as {quoted(FILE)}"]
    for name, own in names.items():
        kind, label = types[own], _label(own, scan, types[own])
        if name in NUMBERS and kind in {"VARCHAR", "JSON"}:
            number = _as_number(own, kind, scan.text.decimal)
            chosen.append(f"{number} as {name}")
            chosen.append(f"{quoted(own)} as {quoted(name + WRITTEN)}")
        else:
            chosen.append(f"{label} as {name}")
    source = scan.sql(file, _as_written(scan, names, types))
    query = f"select {', '.join(chosen)} from {source}"
    if len(types) <= _WIDE:
        return connection.sql(query), names
    connection.execute("set preserve_insertion_order = true")
    connection.execute(f"create temp table narrow as {query}")
    return connection.sql("from narrow"), names


_AS_TEXT = (
    "case when json_type({0}) = 'DOUBLE' and abs({0}::double) < 1e15 "
    "and {0}::double = floor({0}::double) then {0}::double::bigint::varchar "
    "else {0} ->> '$' end"
)
"""A JSON value, in a column of numbers and text, as text."""


def _as_written(
    scan: Scan, names: Mapping[str, str], types: Mapping[str, str]
) -> dict[str, str] | None:
    """Types of JSON columns, if labels look like dates or similar."""
    kept = {own: types[own] for own in names.values()}
    changed = [
        own
        for name, own in names.items()
        if name not in NUMBERS and kept[own].startswith(("DATE", "TIME", "UUID"))
    ]
    if not changed or scan.ending in (*TEXTS, ".parquet"):
        return None
    kept |= dict.fromkeys(changed, "VARCHAR")
    return {own: "VARCHAR" if kind == '"NULL"' else kind for own, kind in kept.items()}


def _origin(file: str, scan: Scan) -> str:
    """The file of a row, by the name that the user gave."""
    cases = " ".join(
        f"when {as_literal(copy)} then {as_literal(origin)}"
        for copy, origin in scan.origins.items()
    )
    return (
        f"case {quoted(file)} {cases} else {quoted(file)} end"
        if cases
        else quoted(file)
    )


def _label(name: str, scan: Scan, kind: str) -> str:
    """A text column, as it was before it was written as CSV or JSON.

    A number that is missing is written as nan by some writers of CSV.
    """
    column = quoted(name)
    if scan.ending in TEXTS:
        return (
            f"case when lower({column}) = 'nan' then null "
            f"when starts_with({column}, '''') and regexp_matches({column}, "
            f"{as_literal(GUARDED)}) then {column}[2:] else {column} end"
        )
    return _AS_TEXT.format(column) if kind == "JSON" else column


def _as_number(name: str, kind: str, decimal: str) -> str:
    """A text as a number; NaN if it is not a number."""
    text = f"({quoted(name)} ->> '$')" if kind == "JSON" else quoted(name)
    number = f"trim({text})"
    if decimal != ".":
        # A point would separate thousands, which is not supported.
        changed = f"replace(replace({number}, '.', '?'), ',', '.')"
        if kind == "JSON":  # numbers in JSON have points
            is_text = f"json_type({quoted(name)}) = 'VARCHAR'"
            changed = f"case when {is_text} then {changed} else {number} end"
        number = changed
    return (
        f"case when {text} is null then null "
        f"else coalesce(try_cast({number} as double), 'nan'::double) end"
    )
