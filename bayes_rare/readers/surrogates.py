r"""Lone surrogates: halves of characters, which JSON can contain but UTF-8 cannot.

JSON escapes a character such as an emoji as two surrogates, ``"\ud83d\ude00"``; if a
tool cuts a text between them, one half is left. Python reads it, but it cannot be
encoded in UTF-8, and so not stored in Parquet or NetCDF, or printed.
"""

import gzip
import inspect
import re
import traceback
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bayes_rare.errors import InvalidData

__all__ = ["REPLACEMENT", "Storable", "storable", "storable_files", "storable_frame"]

REPLACEMENT = "\ufffd"
"""Unicode's replacement character, which replaces a lone surrogate."""

# A JSON escape: two surrogates, one, or anything else after a backslash.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_PIECE = 1 << 20
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


def storable(text: str) -> str:
    r"""A text whose surrogates are joined to characters, or replaced if alone.

    Examples
    --------
    >>> storable("a\ud83d") == "a\ufffd", storable("\ud83d\ude00") == "\U0001f600"
    (True, True)
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


class Storable:
    r"""Names without lone surrogates; different names remain different.

    Examples
    --------
    >>> names = Storable()
    >>> names.name("a"), names.name("\ud83d"), names.name("\ud83e")
    ('a', '�', '� (2)')
    >>> names.replaced
    2
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._taken: set[str] = set()
        self.replaced = 0
        """Number of names that had a lone surrogate."""

    def name(self, text: str) -> str:
        """The name without lone surrogates."""
        plain = storable(text)
        # Other names cannot be equal to one that was made here.
        if REPLACEMENT not in plain:
            return plain
        if text not in self._names:
            name, number = plain, 1
            while name in self._taken:
                number += 1
                name = f"{plain} ({number})"
            self._names[text] = name
            self._taken.add(name)
            self.replaced += plain != text
        return self._names[text]

    @property
    def example(self) -> str:
        """A name that was made; "" if none was."""
        return next((made for text, made in self._names.items() if made != text), "")


def _levels_to_caller() -> int:
    """Frames from the function that asks to the line that called the package."""
    package = str(Path(__file__).parents[1])
    frames = traceback.walk_stack(inspect.currentframe())
    files = [frame.f_code.co_filename for frame, _ in frames]
    return 1 + max(n for n, file in enumerate(files) if file.startswith(package))


@contextmanager
def storable_files(files: Sequence[str]) -> Generator[list[str]]:
    """The files, or, of JSON files with lone surrogates, copies without them.

    A warning says how many there were. Ids that differ in nothing else become equal,
    and are refused or added up like any repeated id.
    """
    with TemporaryDirectory(prefix="bayes-rare-") as folder:
        found: list[str] = []
        total = 0
        for number, file in enumerate(files):
            name = Path(file).name.lower().removesuffix(".gz")
            halves = 0
            if name.endswith((".json", ".jsonl", ".ndjson")):
                halves = _mended(file, Path(folder) / f"{number}-{Path(file).name}")
            found.append(f"{folder}/{number}-{Path(file).name}" if halves else file)
            total += halves
        if total:
            warnings.warn(
                f"{total:,} lone surrogate{'s' * (total > 1)} in the text, halves of "
                f"characters that cannot be stored, {'were' if total > 1 else 'was'} "
                "replaced by U+FFFD.",
                stacklevel=_levels_to_caller(),
            )
        yield found


def _mended(file: str, target: Path) -> int:
    """Number of lone surrogates in a file; a copy without them is written."""
    opened = gzip.open if file.lower().endswith(".gz") else open
    try:
        with opened(file, "rb") as source:
            end = b""
            while piece := source.read(_PIECE):
                if _HALF.search(end + piece):
                    break
                end = piece[-len(rb"\ud800") :]
            else:
                return 0
        total = 0
        with opened(file, "rb") as source, opened(target, "wb") as made:
            for line in source:
                mended, halves = _replaced(line)
                made.write(mended)
                total += halves
    except (OSError, EOFError):
        return 0  # the error is reported when the file is read
    return total


def _replaced(line: bytes) -> tuple[bytes, int]:
    total = 0

    def other(found: re.Match[bytes]) -> bytes:
        nonlocal total
        if found["half"] is None:
            return found[0]
        total += 1
        return rb"\ufffd"

    return _ESCAPE.sub(other, line), total


@contextmanager
def storable_frame() -> Generator[None]:
    """Refuse a frame whose text has a lone surrogate."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise InvalidData(
            f"the text {storable(error.object)[:60]!r} in the frame has a lone "
            "surrogate (half of a character), which cannot be stored. Replace it in "
            "each text column: frame[name] = frame[name].str.encode('utf-16', "
            "'surrogatepass').str.decode('utf-16', 'replace')."
        ) from error
