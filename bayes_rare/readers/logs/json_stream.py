"""JSON read from a stream of bytes, in bounded memory.

Logs may be larger than memory: wanted values are parsed one by one, and the others are
skipped without being built. Bare ``NaN`` and ``Infinity``, which Python's own writer
produces, are read as numbers.
"""

import codecs
import json
import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from bayes_rare.errors import InvalidData

__all__ = [
    "CHUNK",
    "MOST",
    "Json",
    "JsonStream",
    "as_list",
    "as_object",
    "file_chunks",
    "json_lines",
    "opened",
]

type Json = Mapping[str, Any]
"""A JSON object."""

CHUNK = 1 << 20
"""Number of bytes read at once."""

MOST = 1 << 26
"""Largest number of characters of a value, or bytes of a line."""

_BLANK = " \t\r\n"
# Last characters of strings, arrays and objects; a number may continue in the next
# piece.
_CLOSED = '"]}'
_DECODE = json.JSONDecoder().raw_decode
# Characters that matter when JSON is skipped: outside of strings, and within them.
_MARKS = re.compile(r'["\[\]{}]')
_TEXT_MARKS = re.compile(r'["\\]')
_SCALAR_END = re.compile(r"[,\]}\s]")


def as_object(value: Any) -> Json:
    """The value if it is an object, else an empty one."""
    return cast("Json", value) if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """The value if it is an array, else an empty one."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def file_chunks(path: Path) -> Generator[bytes]:
    """The bytes of a file, a piece at a time."""
    with opened(path) as file:
        while chunk := file.read(CHUNK):
            yield chunk


class JsonStream:
    """A JSON text that is read once, from beginning to end.

    ``chunks`` are its bytes, in UTF-8; ``place`` is its file, for messages.

    Examples
    --------
    >>> stream = JsonStream([b'{"skipped": [1, {"a": ', b'"]"}], "kept": NaN}'], "x")
    >>> for key in stream.object_keys():
    ...     if key == "kept":
    ...         print(stream.value())
    ...     else:
    ...         stream.skip()
    nan
    """

    def __init__(self, chunks: Iterable[bytes], place: str) -> None:
        self._chunks = iter(chunks)
        self._place = place
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0
        # Number of characters dropped from the front of the text.
        self._gone = 0
        self._bytes = 0
        self._ended = False

    def object_keys(self) -> Generator[str]:
        """The keys of an object; the caller takes or skips each value."""
        for closing in self._parts("{", "}"):
            if closing:
                return
            key = self.value()
            if not isinstance(key, str):
                raise self._broken("a key is not text")
            self._expect(":")
            yield key

    def elements(self) -> Generator[None]:
        """One turn per element of an array; the caller takes or skips it."""
        for closing in self._parts("[", "]"):
            if closing:
                return
            yield

    def values(self) -> Generator[Any]:
        """The elements of an array, parsed."""
        for _ in self.elements():
            yield self.value()

    def next_is(self, mark: str) -> bool:
        """Whether this is the next character that is not blank."""
        return self._peek() == mark

    def value(self) -> Any:
        """The next value, parsed."""
        self._peek()
        while True:
            try:
                found, end = _DECODE(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._ended:
                    raise self._broken(error.msg, error.pos) from error
                if len(self._text) - self._at > MOST:
                    raise self._broken(
                        f"a value has no end within {MOST:,} characters"
                    ) from error
            except (ValueError, RecursionError) as error:
                raise self._broken(str(error)) from error
            else:
                # A number near the end of the text may continue: "1e+" is read as 1 so
                # far.
                closed = self._text[end - 1] in _CLOSED
                if closed or end + 2 < len(self._text) or self._ended:
                    self._at = end
                    return found
            # Doubling keeps the work proportional to the length of the value.
            self._fill(len(self._text) - self._at)

    def skip(self) -> None:
        """Skip the next value, however large it is."""
        first = self._peek()
        if first not in '"[{':
            while not (end := _SCALAR_END.search(self._text, self._at)):
                self._at = len(self._text)
                if not self._fill():
                    return
            self._at = end.start()
            return
        depth = 0
        while True:
            found = _MARKS.search(self._text, self._at)
            if found is None:
                self._at = len(self._text)
                self._more()
                continue
            self._at = found.end()
            mark = found.group()
            if mark == '"':
                self._skip_text()
            else:
                depth += 1 if mark in "[{" else -1
            if depth == 0:
                return

    def end(self) -> None:
        """Refuse anything but blanks after what was read."""
        if self._peek():
            raise self._broken("there is more after its end")

    def _skip_text(self) -> None:
        while True:
            found = _TEXT_MARKS.search(self._text, self._at)
            if found is None:
                self._at = len(self._text)
                self._more()
                continue
            self._at = found.end()
            if found.group() == '"':
                return
            while self._at >= len(self._text):
                self._more()
            self._at += 1

    def _parts(self, opening: str, closing: str) -> Iterator[bool]:
        """False before each element of an array or object, True at its end."""
        self._expect(opening)
        if self._peek() == closing:
            self._at += 1
            yield True
            return
        while True:
            yield False
            mark = self._peek()
            if mark not in {",", closing}:
                raise self._broken(f"{closing!r} or ',' is missing")
            self._at += 1
            if mark == closing:
                yield True
                return

    def _expect(self, mark: str) -> None:
        if self._peek() != mark:
            raise self._broken(f"{mark!r} is missing")
        self._at += 1

    def _peek(self) -> str:
        """The next character that is not blank; none at the end."""
        while True:
            while self._at < len(self._text):
                mark = self._text[self._at]
                if mark not in _BLANK:
                    return mark
                self._at += 1
            if not self._fill():
                return ""

    def _more(self) -> None:
        if not self._fill():
            raise self._broken("it is cut off")

    def _fill(self, least: int = 0) -> bool:
        """Read on, at least this many characters if possible; whether any were read."""
        pieces = [self._text[self._at :]]
        self._gone += self._at
        self._at = 0
        new = 0
        while not self._ended and (new == 0 or new < least):
            piece = self._decoded(next(self._chunks, b""))
            new += len(piece)
            pieces.append(piece)
        self._text = "".join(pieces)
        return new > 0

    def _decoded(self, chunk: bytes) -> str:
        self._ended = not chunk
        try:
            text = self._decoder.decode(chunk, final=self._ended)
        except UnicodeDecodeError as error:
            held = len(error.object) - len(chunk)
            raise InvalidData(
                f"{self._place} " + _not_utf8(error, self._bytes - held + error.start)
            ) from error
        if self._bytes == 0:
            text = text.removeprefix("\ufeff")
        self._bytes += len(chunk)
        return text

    def _broken(self, what: str, at: int | None = None) -> InvalidData:
        at = self._at if at is None else at
        near = self._text[max(at - 20, 0) : at + 20]
        return InvalidData(
            f"{self._place} is not valid JSON at character {self._gone + at:,}: "
            f"{what}, near {near!r}. It may be cut off: copy it again."
        )


def json_lines(path: Path) -> Generator[tuple[int, Any]]:
    """The values of a JSON Lines file, each with the number of its line, from 1."""
    with opened(path) as file:
        number = 0
        while line := file.readline(MOST + 1):
            number += 1
            if len(line) > MOST:
                raise InvalidData(
                    f"{path}, line {number:,} is longer than {MOST:,} bytes. Give a "
                    "file of JSON lines."
                )
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                if text:
                    yield number, json.loads(text)
            except UnicodeDecodeError as error:
                raise InvalidData(
                    f"{path}, line {number:,} {_not_utf8(error, error.start)}"
                ) from error
            except (ValueError, RecursionError) as error:
                last = "" if line.endswith(b"\n") else " The last line may be cut off."
                raise InvalidData(
                    f"{path}, line {number:,} is not valid JSON ({error}).{last} Give "
                    "the log as it was written, or delete the line."
                ) from error


def opened(path: Path) -> BinaryIO:
    """A file to read bytes from."""
    try:
        return path.open("rb")
    except OSError as error:
        raise InvalidData(
            f"cannot read {path}: {error.strerror or error}. Give a file that you may "
            "read."
        ) from error


def _not_utf8(error: UnicodeDecodeError, at: int) -> str:
    return (
        f"is not UTF-8 at byte {at:,} (0x{error.object[error.start]:02x}). Give the "
        "log as it was written, or convert it: iconv -t UTF-8."
    )
