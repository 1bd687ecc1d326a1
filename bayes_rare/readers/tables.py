"""Evaluations in tables: files of the usual formats, and frames of any engine."""

import glob
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

from bayes_rare.errors import InvalidData, InvalidInput
from bayes_rare.evaluation import RESOLUTION, Evaluation
from bayes_rare.readers.carried import record_of
from bayes_rare.readers.contract import FILE, NUMBERS, ROW, WRITTEN, named_columns

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
    from bayes_rare.readers.summaries import summarise

    def summary(frame: Any) -> Evaluation:
        return summarise(
            frame, columns=columns, behaviours=behaviours, resolution=resolution
        )

    evaluation = opened(source, columns or {}, summary)
    named = isinstance(source, str | Path | list | tuple)
    files = _files(cast("str | Path | Sequence[str | Path]", source)) if named else []
    record = record_of(source, files)
    if record is None:
        return evaluation
    return replace(evaluation, record=record.select(evaluation.behaviours))


def opened[T](source: Any, columns: Mapping[str, str], work: Callable[[Any], T]) -> T:
    """What some work makes of the table in a source, as a frame.

    Parameters
    ----------
    source, columns
        As of `read_table`.
    work
        Takes a frame that narwhals takes; of files, one that is closed afterwards.

    Raises
    ------
    InvalidData
        If a file cannot be read.
    """
    if not isinstance(source, str | Path | list | tuple):
        return work(source)
    files = _files(cast("str | Path | Sequence[str | Path]", source))
    with _connection() as connection:
        relation = _guarded(lambda: _relation(connection, files, columns), files)
        # An engine that numbers rows passes over none: only a refusal needs numbers.
        with suppress(InvalidData):
            return _guarded(lambda: work(relation), files)
        numbered = relation.project(f"*, row_number() over () as {_quoted(ROW)}")
        return _guarded(lambda: work(numbered), files)


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
) -> "duckdb.DuckDBPyRelation":
    """The files as one relation, with text for numbers as float64.

    Text that is no number becomes NaN, which is refused with the text itself, rather
    than an error of the engine or, worse, a null.
    """
    more = f"union_by_name = true, filename = '{FILE}'"
    scan = ENDINGS[_ending(files)].format(more=more)
    described = connection.sql(f"from {scan}", params={"files": files})
    types = dict(zip(described.columns, map(str, described.types), strict=True))
    names = named_columns(described.columns, columns)
    texts = [
        names[name]
        for name in NUMBERS
        if name in names and types[names[name]] in {"VARCHAR", "JSON"}
    ]
    replaced = ", ".join(f"{_as_number(name)} as {_quoted(name)}" for name in texts)
    written = "".join(f", {_quoted(n)} as {_quoted(n + WRITTEN)}" for n in texts)
    return connection.sql(
        f"select * {f'replace ({replaced})' if texts else ''}{written} from {scan}",
        params={"files": files},
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _as_number(name: str) -> str:
    text = f"trim({_quoted(name)}::varchar)"
    return (
        f"case when {_quoted(name)} is null then null "
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
