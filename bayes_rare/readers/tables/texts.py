"""The format of text files, and copies of them in UTF-8.

Only what is certain is taken from a file: the encoding from a byte order mark, tabs
from the ending .tsv, and the delimiter from a header without commas. Nothing else is
guessed; there are options for it.
"""

import codecs
import csv
import gzip
import io
import re
import shutil
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from bayes_rare.errors import InvalidData, InvalidInput, shortened, within

__all__ = [
    "LONGEST_LINE",
    "SHOWN",
    "Header",
    "TextFormat",
    "copied_from",
    "header_of",
    "in_utf8",
    "not_utf8",
    "opened_bytes",
    "place",
    "refuse_damaged",
]

LONGEST_LINE = 2_000_000
"""Largest number of bytes of a line, or of a header with the blank lines before it."""

SHOWN = 60
"""Number of characters of a line that a message shows."""

# Longer marks come first: that of UTF-32 begins like that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_READ_AS_IT_IS = {"utf-8", "utf-8-sig"}
_CHUNK = 1 << 20
# Delimiters that are recognised in a header without commas.
_OTHERS = ";\t|"
_TAB = {"\\t", "tab", "TAB"}
# Number of characters of a file's name that a message shows.
_PATH = 100


@dataclass(frozen=True)
class TextFormat:
    """How a text file is written, as far as the user says so; see `read_table`."""

    encoding: str | None = None
    delimiter: str | None = None
    decimal: str = "."

    def __post_init__(self) -> None:
        if self.encoding is not None:
            try:
                # Codecs that do not encode text, such as base64, have names too.
                self.encoding.encode().decode(self.encoding, "ignore")
                b"".decode(self.encoding)
            except (LookupError, ValueError, TypeError) as error:
                raise InvalidInput(
                    f"there is no text encoding {within(self.encoding, SHOWN)!r}. Give "
                    "one that Python knows, such as encoding='latin-1', 'cp1252' or "
                    "'utf-16' (--encoding latin-1)."
                ) from error
        if self.delimiter in _TAB:
            object.__setattr__(self, "delimiter", "\t")
        between = self.delimiter
        if between is not None and (
            len(between) != 1
            or between in "\"'\r\n\0 .+-"
            or between.isalnum()
            or not between.isascii()
        ):
            raise InvalidInput(
                f"{within(between, SHOWN)!r} cannot be a delimiter. Give one "
                "character, such as delimiter=';' or 'tab' (--delimiter ';')."
            )
        if self.decimal not in (".", ","):
            raise InvalidInput(
                f"{within(self.decimal, SHOWN)!r} cannot be a decimal mark. Give "
                "decimal='.' or decimal=',' (--decimal ',')."
            )


@dataclass(frozen=True)
class Header:
    """The first line of a text table."""

    names: tuple[str, ...]  # unique, and without surrounding blanks
    written: tuple[str, ...]  # as they are in the file
    delimiter: str
    blank: int = 0  # number of blank lines before it
    offset: int = 0  # bytes before it, if there are blank lines


def copied_from(file: str, offset: int, folder: Path) -> str:
    """Path of a copy of the end of a file."""
    copy = _new_in(folder, file)
    with opened_bytes(file) as source, copy.open("wb") as target:
        source.seek(offset)
        shutil.copyfileobj(source, target)
    return str(copy)


def _new_in(folder: Path, file: str) -> Path:
    """A path in a folder for copies."""
    ending = Path(file.lower().removesuffix(".gz")).suffix
    return folder / f"{len(list(folder.iterdir()))}{ending}"


def place(file: str) -> str:
    """A file's name in messages."""
    return within(file, _PATH)


def _packed(file: str) -> bool:
    return file.lower().endswith(".gz")


def opened_bytes(file: str) -> BinaryIO:
    """The content of a file, decompressed if it ends in .gz."""
    return cast("BinaryIO", gzip.open(file) if _packed(file) else Path(file).open("rb"))


def refuse_damaged(file: str) -> None:
    """Refuse a damaged .gz file.

    The whole file is decompressed once, as DuckDB does not compare checksums.
    """
    if not _packed(file):
        return
    try:
        with gzip.open(file) as content:
            while content.read(_CHUNK):
                pass
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        what = "is cut off" if isinstance(error, EOFError) else "is damaged"
        with Path(file).open("rb") as start:
            if start.read(2) != b"\x1f\x8b":
                what = "ends in .gz but is not a gzip file"
        raise InvalidData(
            f"{place(file)} {what} ({error}). Copy or compress it again."
        ) from error


def in_utf8(
    file: str, mended: str, encoding: str | None, folder: Path, *, mark: bool
) -> str:
    """Path of the file with its text in UTF-8: the file itself, or a copy."""
    with opened_bytes(mended) as source:
        start = source.read(4)
    marked = next((name for bom, name in _MARKS if start.startswith(bom)), None)
    named = codecs.lookup(encoding or marked or "utf-8").name
    if named in _READ_AS_IT_IS and (mark or marked != "utf-8-sig"):
        return mended
    # UTF-8 may still begin with a byte order mark.
    named = "utf-8-sig" if named in _READ_AS_IT_IS else named
    copy = _new_in(folder, mended)
    decoder = codecs.getincrementaldecoder(named)()
    lines = 1
    with opened_bytes(mended) as source, copy.open("wb") as target:
        while True:
            piece = source.read(_CHUNK)
            try:
                text = decoder.decode(piece, final=not piece)
                target.write(text.encode())
            except UnicodeError as error:
                raise InvalidData(
                    f"{place(file)} is not encoded in {encoding or named}: "
                    f"{_about(error, lines)}. Give its encoding, such as "
                    "encoding='latin-1' (--encoding latin-1), or write it as UTF-8."
                ) from error
            lines += text.count("\n")
            if not piece:
                return str(copy)


def _about(error: UnicodeError, lines: int) -> str:
    """Where a text is not in an encoding, approximately."""
    if isinstance(error, UnicodeDecodeError):
        before = error.object[: error.start].decode(error.encoding, "ignore")
        lines += before.count("\n")
    return f"about line {lines}, {shortened(error, 80)}"


def header_of(
    file: str, copy: str, ending: str, text: TextFormat, wanted: Collection[str]
) -> Header:
    """The header of a text table."""
    with opened_bytes(copy) as source:
        start = source.read(LONGEST_LINE + 1)
    whole = len(start) <= LONGEST_LINE
    # The limit may cut a character after the header in two.
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    try:
        content = decoder.decode(start, final=whole)
    except UnicodeDecodeError as error:
        # The text before the error; DuckDB reports errors after the header.
        content, whole = start[: error.start].decode("utf-8-sig", "replace"), True
        if not re.search(r"[^ \r\n] *[\r\n]", content):
            written = start.decode("utf-8", "replace").lstrip(" \r\n").splitlines()[0]
            line = len(content.splitlines()) + content.endswith(("\r", "\n"))
            raise InvalidData(not_utf8(file, max(line, 1), written)) from error
    kept = content.lstrip(" \r\n")
    if not kept and whole:
        raise InvalidData(
            f"{place(file)} is empty. Give a table whose first line names its columns."
        )
    before = content[: len(content) - len(kept)]
    # Blanks before the first name are not a line.
    before = before[: len(before.rstrip(" "))]
    blank = len(before.splitlines())
    given = text.delimiter or ("\t" if ending == ".tsv" else ",")
    names, line = _names(kept, given)
    if not names or (not whole and len(line) == len(kept)):
        raise InvalidData(
            f"the header of {place(file)} cannot be read: its quotes are not closed, "
            f"or it is longer than {LONGEST_LINE:,} bytes ({len(before):,} of them "
            "blank). Write the table with the names of its columns in the first line."
        )
    if text.delimiter is None and ending == ".csv" and "," not in line:
        others = [one for one in _OTHERS if one in line]
        if len(others) == 1 and names[0].strip() not in wanted:
            given = others[0]
            names, _ = _names(kept, given)
    if "\0" in line:
        raise InvalidData(
            f"{place(file)} has zero bytes in its first line, so it is probably "
            "UTF-16. Give encoding='utf-16-le' or 'utf-16-be' (--encoding utf-16-le)."
        )
    mark = len(codecs.BOM_UTF8) * start.startswith(codecs.BOM_UTF8)
    offset = mark + len(before) if blank else 0
    return Header(_unique(names), tuple(names), given, blank, offset)


def _names(content: str, delimiter: str) -> tuple[list[str], str]:
    """Names in the first line of a text, and the line itself."""
    lines = io.StringIO(content, newline="")
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        names = next(reader)
    except (csv.Error, StopIteration):
        return [], ""
    return names, content[: lines.tell()]


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """Names made unique, ignoring case as DuckDB does."""
    found: dict[str, str] = {}
    for number, name in enumerate(names):
        base = key = name.strip(" ") or f"column{number}"
        more = 0
        while key.lower() in found:
            more += 1
            key = f"{base}_{more}"
        found[key.lower()] = key
    return tuple(found.values())


def not_utf8(file: str, line: int, text: str) -> str:
    """A message for text that is not UTF-8."""
    return (
        f"{place(file)} is not UTF-8: line {line:,} is {shortened(text, SHOWN)!r}. "
        "Give its encoding: encoding='cp1252' for Windows, 'latin-1' or another "
        "(--encoding cp1252)."
    )
