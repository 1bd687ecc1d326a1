"""Files as DuckDB reads them, and its errors as helpful messages.

Headers of text files are read here and passed to DuckDB, so that it does not guess: it
could take a header for a row, or a row for a comment.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bayes_rare.errors import InvalidData, InvalidInput, listed, shortened
from bayes_rare.readers.tables.given import quoted
from bayes_rare.readers.tables.texts import (
    LONGEST_LINE,
    SHOWN,
    Header,
    TextFormat,
    copied_from,
    header_of,
    in_utf8,
    not_utf8,
    opened_bytes,
    place,
    refuse_damaged,
)

if TYPE_CHECKING:
    import duckdb

__all__ = ["ENDINGS", "TEXTS", "Scan", "as_literal"]

TEXTS = (".csv", ".tsv")
"""Endings of text tables."""

_LINES = (".jsonl", ".ndjson")
ENDINGS = (*TEXTS, ".parquet", *_LINES, ".json")
"""Supported endings of file names; those of text and JSON also with ``.gz``."""

_CSV = (
    "read_csv({files}, header = true, auto_detect = false, columns = {columns}, "
    "delim = {delimiter}, quote = '\"', escape = '\"', comment = '', skip = 0, "
    "strict_mode = true, null_padding = false{more})"
)
_JSON = (
    "read_json({files}, format = '{format}', sample_size = -1, "
    "union_by_name = true{more})"
)
_PARQUET = "read_parquet({files}, union_by_name = true{more})"
_MAGIC, _ENCRYPTED = b"PAR1", b"PARE"


def as_literal(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


class Scan:
    """Files of one format, as DuckDB reads them.

    ``mended`` are the files to read in place of ``files``, and ``folder`` is for copies
    in UTF-8; ``wanted`` are names of columns that may be asked for.
    """

    def __init__(
        self,
        files: Sequence[str],
        mended: Sequence[str],
        ending: str,
        text: TextFormat,
        wanted: Collection[str],
        folder: Path,
    ) -> None:
        self.files = files
        self.ending = ending
        self.text = text
        _refuse_options(ending, text)
        self._read = list(mended)
        self._headers: list[Header] = []
        for number, file in enumerate(files if ending != ".parquet" else ()):
            refuse_damaged(file)
            self._read[number] = in_utf8(
                file, mended[number], text.encoding, folder, mark=ending in TEXTS
            )
            if ending not in TEXTS:
                continue
            head = header_of(file, self._read[number], ending, text, wanted)
            if head.offset:
                # DuckDB does not count blank lines in the usual way.
                copy = copied_from(self._read[number], head.offset, folder)
                self._read[number] = copy
            self._headers.append(head)

    def sql(self, file: str = "", types: Mapping[str, str] | None = None) -> str:
        """The source of the rows, for a FROM clause."""
        more = f", filename = {as_literal(file)}" if file else ""
        if self.ending in TEXTS:
            alike: dict[tuple[tuple[str, ...], str], list[str]] = {}
            for head, read in zip(self._headers, self._read, strict=True):
                alike.setdefault((head.names, head.delimiter), []).append(read)
            parts = [_csv(read, *head, more=more) for head, read in alike.items()]
            if len(parts) == 1:
                return parts[0]
            joined = " union all by name ".join(f"(from {part})" for part in parts)
            return f"({joined})"
        if types:
            pairs = (f"{quoted(n)}: {as_literal(kind)}" for n, kind in types.items())
            more += f", columns = {{{', '.join(pairs)}}}"
        pattern = _PARQUET if self.ending == ".parquet" else _JSON
        return pattern.format(files=_list(self._read), format=self._form, more=more)

    @property
    def _form(self) -> str:
        return "newline_delimited" if self.ending in _LINES else "auto"

    def headers(
        self,
        connection: "duckdb.DuckDBPyConnection",
        names: Mapping[str, str],
        types: Mapping[str, str],
    ) -> dict[str, list[str]]:
        """The original names of the columns of each file.

        DuckDB would number a name that occurs twice, and read the first.
        """
        if self.ending in TEXTS:
            heads = zip(self.files, self._headers, strict=True)
            return {file: list(head.written) for file, head in heads}
        if self.ending == ".parquet":
            import pyarrow.parquet as pq

            return {file: pq.read_schema(file).names for file in self.files}
        plain = (re.sub(r"_\d+$", "", name) for name in names.values())
        read = "|".join(map(re.escape, plain))
        if not any(re.fullmatch(rf"(?i)({read})_\d+", name) for name in types):
            return {}
        keys = connection.execute(
            "select distinct unnest(json_keys(json)) from read_json_objects("
            f"{_list(self._read)}, format = '{self._form}')"
        ).fetchall()
        return {self.files[0]: sorted(str(key) for (key,) in keys)}

    @property
    def origins(self) -> Mapping[str, str]:
        """From the paths of copies to those of the original files."""
        pairs = zip(self._read, self.files, strict=True)
        return {copy: file for copy, file in pairs if copy != file}

    def hint(self, there: Sequence[str]) -> str:
        """What may be wrong with a file that lacks all known columns."""
        if self.ending not in TEXTS:
            if self.ending != ".parquet":
                for file, read in zip(self.files, self._read, strict=True):
                    self._refuse_json(file, read)
            return ""
        if all(re.fullmatch(r"\s*[+-]?[\d.,]+(e[+-]?\d+)?\s*", n) for n in there[:1]):
            return " Its first line has values: write the names of columns above it."
        for one in (";", "\t", "|", ","):
            if any(one in name for name in there):
                shown = {"\t": "tab"}.get(one, one)
                return (
                    f" If {shown!r} separates its values: delimiter={shown!r} "
                    f"(--delimiter {as_literal(shown)})."
                )
        return ""

    def refusal(
        self, connection: "duckdb.DuckDBPyConnection", error: Exception
    ) -> InvalidData:
        """An error of DuckDB as our own, with the line and a way out."""
        try:
            for number, file in enumerate(self.files):
                read = self._read[number]
                if self.ending in TEXTS:
                    self._refuse_row(connection, file, read, self._headers[number])
                elif self.ending == ".parquet":
                    _refuse_parquet(file)
                else:
                    self._refuse_json(file, read)
        except InvalidData as found:
            return found
        except OSError as found:
            return InvalidData(
                f"cannot read {listed(self.files, each=100)}: "
                f"{found.strerror or found}. Give files that you may read."
            )
        # The first sentence is about the file, the others are options of DuckDB.
        said = re.split(r"\n|(?<=[.!]) ", str(error).strip())[0]
        said = said.partition("Error: ")[2] or said
        return InvalidData(
            f"cannot read {listed(self.files, each=100)}: {shortened(said, 200)} Check "
            "that the content fits the ending of the name."
        )

    def _refuse_row(
        self,
        connection: "duckdb.DuckDBPyConnection",
        file: str,
        read: str,
        header: Header,
    ) -> None:
        """Refuse a text file for the first line that cannot be read, if any."""
        import duckdb

        connection.execute("set threads = 1")  # so that the first error is found
        connection.execute("drop table if exists reject_errors")
        connection.execute("drop table if exists reject_scans")
        more = ", store_rejects = true, rejects_limit = 100"
        scan = _csv([read], header.names, header.delimiter, more)
        columns = "line, error_type, csv_line"
        try:
            connection.execute(f"select count(columns(*)) from {scan}").fetchall()
            rows = connection.execute(
                f"select {columns} from reject_errors order by line limit 1"
            ).fetchall()
        except (duckdb.Error, UnicodeDecodeError) as error:
            if "line size" in str(error).lower():
                raise InvalidData(_too_long(file)) from error
            raise InvalidData(_line_ends(file, read)) from error
        if not rows:
            return
        line, kind, text = cast("tuple[int, str, str]", rows[0])
        line += header.blank
        raise InvalidData(self._about_row(file, header, line, kind, text or ""))

    def _about_row(
        self, file: str, header: Header, line: int, kind: str, text: str
    ) -> str:
        at = f"line {line:,} of {place(file)}"
        shown = repr(shortened(text, SHOWN))
        between = {"\t": "tab"}.get(header.delimiter, header.delimiter)
        number = len(header.names)
        if kind in ("TOO MANY COLUMNS", "MISSING COLUMNS"):
            more = kind.startswith("TOO")
            quoted = (
                f'Put values that contain {between!r} in double quotes, as in "-1,5",'
                if more
                else "Complete the line,"
            )
            return (
                f"{at} has {'more' if more else 'fewer'} values than the header has "
                f"names, {number:,}: {shown}. {quoted} or name the character that "
                "separates values: delimiter=';' (--delimiter ';')."
            )
        if kind == "INVALID ENCODING":
            return not_utf8(file, line, text)
        if kind == "UNQUOTED VALUE":
            return (
                f"{at} has a double quote that is not closed, or text after a closing "
                f"one: {shown}. Close it; within a quoted value, write double quotes "
                'twice: "say ""no""".'
            )
        if kind == "LINE SIZE OVER MAXIMUM":
            return _too_long(file, at)
        return (
            f"{at} cannot be read: {shown}. Correct it, or write the table as Parquet."
        )

    def _refuse_json(self, file: str, read: str) -> None:
        """Refuse a JSON file for the first line that is not an object, if any."""
        way_out = 'Correct or drop it: each line is an object, {"log_risk": -9.2}.'
        if self.ending == ".json":
            self._refuse_document(file, read)
            return
        rows = 0
        with opened_bytes(read) as source:
            for number, raw in enumerate(_limited(source), start=1):
                rows += bool(raw.strip())
                wrong = _wrong_line(raw)
                if wrong:
                    text = shortened(raw.decode("utf-8", "replace"), SHOWN)
                    if wrong == _NOT_UTF8:
                        raise InvalidData(not_utf8(file, number, text))
                    raise InvalidData(
                        f"line {number:,} of {place(file)} is {wrong}: {text!r}. "
                        f"{way_out}"
                    )
        if not rows:
            raise InvalidData(
                f"{place(file)} is empty. Give a file with one object per line."
            )

    def _refuse_document(self, file: str, read: str) -> None:
        with opened_bytes(read) as source:
            raw = source.read()
        if not raw.strip():
            raise InvalidData(f"{place(file)} is empty. Give a list of objects.")
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            written = raw.split(b"\n")[line - 1].decode("utf-8", "replace")
            raise InvalidData(not_utf8(file, line, written)) from error
        decoder = json.JSONDecoder(object_pairs_hook=_once)
        try:
            # A sequence of objects is accepted too.
            at = _blank(text, 0)
            while at < len(text):
                _, at = decoder.raw_decode(text, at)
                at = _blank(text, at)
        except (ValueError, RecursionError) as error:
            line = getattr(error, "lineno", 1)
            written = text.split("\n")[line - 1]
            raise InvalidData(
                f"line {line:,} of {place(file)} is not valid JSON "
                f"({shortened(error, 80)}): {shortened(written, SHOWN)!r}. Correct it: "
                'the file should be a list of objects, [{"log_risk": -9.2}].'
            ) from error


def _refuse_options(ending: str, text: TextFormat) -> None:
    if text.delimiter is not None and ending not in TEXTS:
        raise InvalidInput(
            f"{ending} files have no delimiter. Leave delimiter (--delimiter) out."
        )
    if text.encoding is not None and ending == ".parquet":
        raise InvalidInput(
            "text in .parquet files is UTF-8. Leave encoding (--encoding) out."
        )


def _csv(files: Sequence[str], names: Sequence[str], delimiter: str, more: str) -> str:
    columns = ", ".join(f"{as_literal(name)}: 'VARCHAR'" for name in names)
    return _CSV.format(
        files=_list(files),
        columns=f"{{{columns}}}",
        delimiter=as_literal(delimiter),
        more=more,
    )


def _list(files: Sequence[str]) -> str:
    # A class of one character matches that character: names may look like patterns.
    plain = (re.sub(r"([*?\[])", r"[\1]", file) for file in files)
    return f"[{', '.join(map(as_literal, plain))}]"


def _too_long(file: str, at: str = "") -> str:
    return (
        f"{at or f'a line of {place(file)}'} is longer than {LONGEST_LINE:,} bytes. "
        "Close its quotes, or write the table as Parquet."
    )


def _line_ends(file: str, copy: str) -> str:
    """A message for a file with several kinds of line ends."""
    found: dict[str, int] = {}
    with opened_bytes(copy) as source:
        line = 1
        for raw in _limited(source):
            for end in re.findall(rb"\r\n|\r|\n", raw):
                found.setdefault(end.decode(), line)
                line += 1
    kinds = " and ".join(f"{end!r} in line {line:,}" for end, line in found.items())
    return (
        f"{place(file)} has several kinds of line ends: {kinds}. Write it with one "
        "kind, for example with dos2unix."
    )


def _limited(source: Any) -> Iterator[bytes]:
    """Lines, or parts of very long ones, so that memory is bounded."""
    while line := source.readline(1 << 24):
        yield line


_NOT_UTF8 = "not UTF-8"


def _wrong_line(raw: bytes) -> str:
    """What is wrong with a line that should be a JSON object; "" for nothing."""
    if not raw.strip():
        return ""
    try:
        found = json.loads(raw.decode("utf-8"), object_pairs_hook=_once)
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeDecodeError:
        return _NOT_UTF8
    except UnicodeEncodeError:
        return "not valid text, as it has a lone surrogate (half of a character)"
    except (ValueError, RecursionError) as error:
        return f"not valid JSON ({shortened(error, 80)})"
    return "" if isinstance(found, dict) else "not an object"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {shortened(name, 30)!r} occurs twice")
        found[name] = value
    return found


def _blank(text: str, at: int) -> int:
    return len(text) - len(text[at:].lstrip()) if at < len(text) else at


def _refuse_parquet(file: str) -> None:
    """Refuse a file that is not a Parquet file, or not complete."""
    with Path(file).open("rb") as source:
        start = source.read(4)
        size = source.seek(0, 2)
        source.seek(max(size - 4, 0))
        end = source.read(4)
    if _ENCRYPTED in (start, end):
        what, way_out = "is encrypted", "Write it again without encryption."
    elif start != _MAGIC:
        what, way_out = (
            f"is not a Parquet file: it begins with {start!r}",
            "Check that the content fits the ending of the name.",
        )
    elif end != _MAGIC:
        what, way_out = "is cut off at its end", "Copy or write it again."
    else:
        return
    raise InvalidData(f"{place(file)} {what}. {way_out}")
