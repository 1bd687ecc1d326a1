"""Files of text with random damage: the table that stands there, or a refusal.

What stands there is read a second time by Python's own csv and json.
"""

import codecs
import csv
import gzip
import io
import json
import math
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzzing import fuzz, refusals
from hypothesis import given
from hypothesis import strategies as st

from bayes_rare.errors import InvalidData
from bayes_rare.evaluation.checks import BLANKS
from bayes_rare.readers.tables.given import Given
from bayes_rare.readers.tables.read_table import opened, read_table

COLUMNS = ("query_id", "family", "log_risk")
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

type Rows = list[tuple[str, str, float]]

TEXTS = """a|b c|q,1|x;y|say "no"|two
lines|é|€|=1+1|-5|'@b||tab\there|'|NA|007|😀| led|trailed | """
texts = st.sampled_from([*TEXTS.split("|"), "a|b"])
numbers = st.sampled_from(
    ["-1", "-2.5", "-1e-3", "0", "-inf", "-0.125", "-7", "-12.0625", " -3 ", "-.5"]
)
tables = st.lists(st.tuples(texts, texts, numbers), min_size=1, max_size=6)
WORDS = b"""; , " "" | ' -1,5 { } : null \\ NaN 1 log_risk [] # = \\ud83d"""
OTHERS = b"\t \n \r\n \r \n\n \0 \xe9 \xff\xfe \xef\xbb\xbf \xc2\x85 \xe2\x80\xa8"
bits = st.sampled_from([*WORDS.split(b" "), *OTHERS.split(b" "), b" "])


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Some bytes with a few changes of the kinds that happen to files."""
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(content)))
        kind = draw(
            st.sampled_from(["flip", "insert", "delete", "cut", "line", "swap"])
        )
        if kind == "flip" and at < len(content):
            bit = 1 << draw(st.integers(0, 7))
            content = content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]
        elif kind == "insert":
            content = content[:at] + draw(bits) + content[at:]
        elif kind == "delete":
            content = content[:at] + content[at + draw(st.integers(1, 4)) :]
        elif kind == "cut":
            content = content[:at]
        elif kind == "line":
            lines = content.splitlines(keepends=True)
            chosen = draw(st.integers(0, max(len(lines) - 1, 0)))
            lines[chosen : chosen + 1] = lines[chosen : chosen + 1] * 2
            content = b"".join(lines)
        else:
            content = content.replace(draw(bits), draw(bits))
    return content


@st.composite
def csv_files(draw: st.DrawFn) -> tuple[str, bytes]:
    """An ending, and bytes that were a table in text."""
    ending = draw(st.sampled_from([".csv", ".tsv"]))
    buffer = io.StringIO(newline="")
    writer = csv.writer(
        buffer,
        delimiter="\t" if ending == ".tsv" else draw(st.sampled_from(",,,;\t")),
        lineterminator=draw(st.sampled_from(["\n", "\r\n", "\r"])),
        quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
    )
    order = draw(st.permutations(range(3)))
    for row in (COLUMNS, *draw(tables)):
        writer.writerow([row[place] for place in order])
    encoding = draw(
        st.sampled_from(["utf-8"] * 4 + ["utf-8-sig", "utf-16", "utf-32", "cp1252"])
    )
    return ending, draw(damaged(buffer.getvalue().encode(encoding, "replace")))


@st.composite
def json_files(draw: st.DrawFn) -> bytes:
    """Bytes that were a table in lines of JSON."""
    lines = [
        json.dumps(
            {"query_id": query, "family": family, "log_risk": float(number)}
            if draw(st.booleans())
            else {"log_risk": number.strip(), "query_id": query, "family": family},
            ensure_ascii=draw(st.booleans()),
        )
        for query, family, number in draw(tables)
    ]
    encoding = draw(st.sampled_from(["utf-8"] * 4 + ["utf-8-sig", "utf-16"]))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return draw(damaged((end.join(lines) + end).encode(encoding, "replace")))


def decoded(content: bytes) -> str:
    for mark, encoding in sorted(MARKS.items(), key=lambda pair: -len(pair[0])):
        if content.startswith(mark):
            return content.decode(encoding)
    return content.decode("utf-8")


NUMBER = re.compile(
    r"(?i)[+-]?(\d[\d_]*\.?\d*(e[+-]?\d+)?|\.\d+(e[+-]?\d+)?|inf(inity)?)"
)


def number(text: str) -> float:
    """As numbers of tables are written; nothing else is one."""
    plain = text.strip(" \t\r\n\v\f")
    if not NUMBER.fullmatch(plain):
        raise ValueError(text)
    return float(plain)


def row_of(query: str, family: str, log_risk: str) -> tuple[str, str, float]:
    return unguarded(query), unguarded(family), number(log_risk)


def unguarded(text: str) -> str:
    plain = text[1:] if re.match(r"'+[=+\-@\t\r]", text) else text
    return labelled(plain)


def rows_of_csv(content: bytes, ending: str) -> Rows:
    """What Python's csv reads, with the few rules that the documentation states."""
    text = decoded(content).lstrip(" \r\n")
    first = next(csv.reader(io.StringIO(text, newline=""), delimiter="\0"), [""])
    header = "\0".join(first)
    between = "\t" if ending == ".tsv" else ","
    others = [one for one in ";\t|" if one in header]
    if ending == ".csv" and "," not in header and len(others) == 1:
        between = others[0]
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=between, strict=True)
    names, *rows = [row for row in lines if row]
    plain = [name.strip(" ") for name in names]
    found: Rows = []
    for row in rows:
        if row[len(names) :] not in ([], [""]) or len(row) < len(names):
            raise ValueError(row)
        values = dict(zip(plain, row, strict=False))
        query, family = (values.get(name, "") for name in COLUMNS[:2])
        found.append(row_of(query, family, values["log_risk"]))
    return found


def labelled(value: Any) -> str:
    """A label as text, as the documentation says."""
    if value is None or isinstance(value, str):
        whole = (value or "").encode("utf-16-le", "surrogatepass")
        text = whole.decode("utf-16-le", "replace")
        return text if text.strip(BLANKS) else ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def rows_of_json(content: bytes) -> Rows:
    found: Rows = []
    for line in re.split(r"\r?\n", decoded(content)):
        if line.strip():
            row = json.loads(line)
            query, family = (labelled(row.get(name)) for name in COLUMNS[:2])
            risk = row["log_risk"]
            found.append(
                (query, family, number(risk) if isinstance(risk, str) else float(risk))
            )
    return found


def rows_of(path: Path) -> Rows:
    """The rows that are read, before they are summarised."""

    def fetched(given: Given) -> Rows:
        labels = [given.texts[name].alias(name) for name in COLUMNS[:2]]
        table = given.rows.select(*labels, "log_risk").collect()
        rows = [row for row in table.iter_rows()]
        if not all(isinstance(row[2], float | int) for row in rows):
            raise InvalidData("text or nothing")  # as the summary says it
        if any(math.isnan(row[2]) for row in rows):
            raise InvalidData("no number")
        return rows

    return opened(path, {name: name for name in COLUMNS}, fetched)


def compare(path: Path, content: bytes, rows: Callable[[], Rows]) -> None:
    path.write_bytes(content)
    with refusals() as refused, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*lone surrogate")
        read = rows_of(path)
    if not refused:
        assert sorted(read) == sorted(rows())


@fuzz(0.5)
@given(csv_files())
def test_csv(tmp_path: Path, made: tuple[str, bytes]) -> None:
    ending, content = made
    compare(tmp_path / f"t{ending}", content, lambda: rows_of_csv(content, ending))


@fuzz(0.5)
@given(json_files())
def test_json_lines(tmp_path: Path, content: bytes) -> None:
    compare(tmp_path / "t.jsonl", content, lambda: rows_of_json(content))


ROWS = [(f"q{n}", "", float(-n)) for n in range(1, 40)]
PACKED = gzip.compress(
    "\n".join(
        ["query_id,family,log_risk", *(f"{q},{f},{r}" for q, f, r in ROWS)]
    ).encode(),
    mtime=0,
)


@fuzz(0.25)
@given(damaged(PACKED))
def test_packed(tmp_path: Path, content: bytes) -> None:
    """A packed file with a fault is refused, or none of what it holds has changed."""
    compare(tmp_path / "t.csv.gz", content, lambda: ROWS)


@fuzz(0.05)
@given(csv_files())
def test_what_is_read_is_summarised(tmp_path: Path, made: tuple[str, bytes]) -> None:
    ending, content = made
    path = tmp_path / f"t{ending}"
    path.write_bytes(content)
    with refusals() as refused:
        evaluation = read_table(path)
    if not refused:
        assert sum(evaluation.sizes.values()) == len(rows_of_csv(content, ending))
