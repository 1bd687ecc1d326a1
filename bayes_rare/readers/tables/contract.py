"""The columns of an evaluation table, and how they are found in a table."""

import difflib
import re
from collections.abc import Mapping, Sequence

from bayes_rare.errors import InvalidData, InvalidInput, listed

__all__ = [
    "FILE",
    "LABELS",
    "NUMBERS",
    "ROW",
    "SPLIT",
    "WRITTEN",
    "found",
    "named_columns",
    "near",
    "refuse_twice",
]

LABELS = ("query_id", "behaviour", "family", "query_text")
"""Columns that are read as text."""

NUMBERS = ("log_risk", "log_risk_se", "successes", "trials", "weight")
"""Columns that are read as float64."""

SPLIT = "split"
"""Our name for the column that splits a table."""

ROW = "row (bayes-rare)"
"""Column added to tables whose rows have an order: the number of the row, from 1."""

FILE = "file (bayes-rare)"
"""Column added to tables from files: the file of the row."""

WRITTEN = " as written"
"""Ending of the name of a column with the original text of numbers."""


def named_columns(there: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    """The columns of a table that are read: our names, and its names."""
    contract = (*LABELS, *NUMBERS)
    for name, given in columns.items():
        if name not in contract:
            raise InvalidInput(
                f"{name!r} is not a column of an evaluation table"
                f"{near(name, contract)}. There are: {', '.join(contract)}."
            )
        if given not in there:
            raise InvalidInput(
                f"{name} is mapped to {given!r}, which is not in the table"
                f"{near(given, there)}. It has: {listed(there)}."
            )
    names = {name: name for name in contract if name in there} | dict(columns)
    if "log_risk" in names or {"successes", "trials"} <= set(names):
        return names
    half = {"successes", "trials"} & set(names)
    if half:
        (other,) = {"successes", "trials"} - half
        one_each = (
            " If a row is a response, add a column trials of ones: rows with the same "
            "query_id are added up."
            if other == "trials"
            else ""
        )
        raise InvalidData(
            f"the table has {half.pop()} but no {other}{near(other, there)}. "
            f"It has: {listed(there)}. Map it: columns={{{other!r}: ...}}.{one_each}"
        )
    raise InvalidData(
        "the table has neither log_risk nor successes and trials"
        f"{_likely(there)}. It has: {listed(there)}."
    )


def found(split: str | None, there: Sequence[str]) -> dict[str, str]:
    """The column that splits a table: our name, and its name."""
    if split is None:
        return {}
    if split not in there:
        raise InvalidInput(
            f"the table has no column {split!r} to split it by{near(split, there)}. It "
            f"has: {listed(there)}."
        )
    return {SPLIT: split}


def refuse_twice(names: Mapping[str, str], there: Mapping[str, Sequence[str]]) -> None:
    """Refuse a column that is read and occurs twice, ignoring case."""
    for source, columns in there.items():
        plain = [name.strip().casefold() for name in columns]
        for read in dict.fromkeys(names.values()):
            own = read.strip().casefold()
            if own not in plain:  # DuckDB adds a number to a name that occurs twice
                own = re.sub(r"_\d+$", "", own)
            places = [place for place, name in enumerate(plain) if name == own]
            if len(places) > 1:
                first, second = places[:2]
                raise InvalidData(
                    f"{source} has the column {read!r:.60} twice: column {first + 1} "
                    f"is {columns[first]!r:.60} and column {second + 1} is "
                    f"{columns[second]!r:.60}, counted from 1. Some engines ignore the "
                    "case of names. Rename or drop one of them."
                )


def near(name: str, there: Sequence[str]) -> str:
    """A hint at the name that was probably meant, if any."""
    close = difflib.get_close_matches(name, there, 1, 0.6)
    # A very long name would not help.
    return f" (did you mean {close[0]!r}?)" if close and len(close[0]) <= 80 else ""


_LOGS = {
    ("version", "eval", "samples"): ("Inspect", "inspect"),
    ("doc_id", "resps"): ("lm-evaluation-harness", "lm-eval"),
    ("entry_type",): ("garak", "garak"),
}
"""Columns that logs have when they are read as tables: the tool, and its reader."""


def likely_log(tool: str, reader: str) -> str:
    """What to read a log with."""
    return (
        f"it looks like a log of {tool}: read it with "
        f"bayes_rare.import_{reader.replace('-', '_')}, or `bayes-rare import {reader}`"
    )


def _likely(there: Sequence[str]) -> str:
    """A hint if this is a log, or a column looks like a risk or its logarithm."""
    for columns, named in _LOGS.items():
        if {*columns} <= {*there}:
            return f"; {likely_log(*named)}"
    for name in there:
        if name.lower() in {"risk", "p", "prob", "probability"}:
            return (
                f"; {name!r} looks like a risk: give log_risk, its natural logarithm, "
                f'e.g. table["log_risk"] = numpy.log(table["{name}"])'
            )
    for name in there:
        plain = name.lower().replace("_", "").replace(" ", "")
        if plain in {"logp", "logprob", "logrisk", "logprobability", "lp"}:
            return f"; map it: columns={{'log_risk': {name!r}}}"
    return ""
