"""The columns of an evaluation table, and where a table has them."""

import difflib
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
"""Columns of the table that are read as text."""

NUMBERS = ("log_risk", "log_risk_se", "successes", "trials", "weight")
"""Columns of the table that are read as float64."""

SPLIT = "split"
"""Column that says which rows are for which set, under whatever name it has."""

ROW = "row (bayes-rare)"
"""Column that is added where rows have an order: the number of the row, from 1."""

FILE = "file (bayes-rare)"
"""Column that a reader of files adds: the file that the row is from."""

WRITTEN = " as written"
"""Ending of a column that holds the text of one that was made a number."""


def named_columns(there: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Contract names of the columns of a table, and their names in it."""
    contract = (*LABELS, *NUMBERS)
    for name, given in columns.items():
        if name not in contract:
            raise InvalidInput(
                f"{name!r} is not a column of an evaluation table"
                f"{near(name, contract)}. Known: {', '.join(contract)}."
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
            " If a row is a response, add a column trials of 1: rows of one query_id "
            "are added up."
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
    """The column that splits a table, under the name that it has from here on."""
    if split is None:
        return {}
    if split not in there:
        raise InvalidInput(
            f"the table has no column {split!r} to split it by{near(split, there)}. It "
            f"has: {listed(there)}."
        )
    return {SPLIT: split}


def refuse_twice(names: Mapping[str, str], there: Mapping[str, Sequence[str]]) -> None:
    """Refuse a column that is read and stands twice, whatever its case."""
    for source, columns in there.items():
        plain = [name.strip().casefold() for name in columns]
        for read in dict.fromkeys(names.values()):
            own = read.strip().casefold()
            places = [place for place, name in enumerate(plain) if name == own]
            if len(places) > 1:
                first, second = places[:2]
                raise InvalidData(
                    f"{source} has the column {read!r:.60} twice: column {first + 1} "
                    f"is {columns[first]!r:.60} and column {second + 1} is "
                    f"{columns[second]!r:.60}, counted from 1. Names that differ in "
                    "the case of letters alone are one name to some engines. Rename "
                    "or drop one of them."
                )


def near(name: str, there: Sequence[str]) -> str:
    """A hint at the name that was meant, if one is near."""
    close = difflib.get_close_matches(name, there, 1, 0.6)
    # What is too long to be read is no hint.
    return f" (did you mean {close[0]!r}?)" if close and len(close[0]) <= 80 else ""


def _likely(there: Sequence[str]) -> str:
    """A hint where a column looks like a risk or its logarithm."""
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
