"""Numbers as a page says them; its script says them in the same way."""

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas


__all__ = [
    "chance",
    "count",
    "duration",
    "percent",
    "queries",
    "records",
    "risk",
    "safely",
]

type Row = dict[str, Any]

_WORDS = ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"))

# A space that no line is broken at.
_JOINED = "\u00a0"

# Smaller risks are said as one in so many.
_SMALL = 1e-3

# Beyond these, a risk is as good as none, or as certain.
_NONE, _SURE = 1e-15, 1e-9


def count(value: int | float) -> str:
    """A number of queries: to the last one below a million, in words from there.

    Examples
    --------
    >>> [count(value).split() for value in (12_345.6, 123_456_789)]
    [['12,346'], ['123', 'million']]
    """
    for unit, word in _WORDS:
        if value >= unit * (1 - 5e-4):  # what rounds to it is it
            return f"{_significant(value / unit, 3)}{_JOINED}{word}"
    if 0 < value < 10 and round(value, 6) != round(value):
        return _significant(value, 2)
    return f"{math.floor(value + 0.5):,}"


def queries(value: int | float) -> str:
    """A number of queries with its noun.

    Examples
    --------
    >>> queries(1), queries(20_000)
    ('1 query', '20,000 queries')
    """
    return "1 query" if value == 1 else f"{count(value)} queries"


def safely(value: int | float) -> str:
    """A number of queries that is safe, with its two first digits: never rounded up.

    Examples
    --------
    >>> safely(0), safely(9), safely(51_999)
    ('0', '9', '51,000')
    """
    if value < 10:
        return count(math.floor(value))
    power = 10 ** (math.floor(math.log10(value) + 1e-12) - 1)
    return count(math.floor(value / power + 1e-9) * power)


def risk(value: int | float) -> str:
    """A risk in percent; one in so many where it is small, from 100 % where it is not.

    Examples
    --------
    >>> [" ".join(risk(value).split()) for value in (0.0123, 0.99876, 2e-5, 0.0)]
    ['1.2 %', '99.88 %', '1 in 50,000', 'below 1 in 10^15']
    """
    if value < _NONE:
        return "below 1 in 10^15"
    if 1 - value < _SURE:
        return f"over 99.9999999{_JOINED}%"
    if value < _SMALL:
        many = 1 / value
        if many > 1e15:
            return "below 1 in 10^15"
        return f"1 in {_rounded(many)}"
    if value < 0.99:
        return f"{_significant(100 * value, 2)}{_JOINED}%"
    # As many nines as it has, and two digits more.
    digits = 1 - math.floor(math.log10(100 * (1 - value)) + 1e-9)
    text = f"{100 * value:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.')}{_JOINED}%"


def chance(value: int | float) -> str:
    """A chance in percent, between 0.1 % and 99.9 %; beyond, that it is less or more.

    Examples
    --------
    >>> [" ".join(chance(value).split()) for value in (0.0002, 0.023, 1)]
    ['below 0.1 %', '2.3 %', 'over 99.9 %']
    """
    if value < 0.001:
        return f"below 0.1{_JOINED}%"
    if value > 0.999:
        return f"over 99.9{_JOINED}%"
    if value > 0.99:
        return f"{100 * value:.1f}{_JOINED}%"
    return f"{_significant(100 * value, 2)}{_JOINED}%"


def percent(share: int | float) -> str:
    """A share in percent, with all its digits.

    Examples
    --------
    >>> percent(0.995).split()
    ['99.5', '%']
    """
    return f"{100 * share:.6g}{_JOINED}%"


def _rounded(value: float) -> str:
    """A large number with two digits, in words from a million."""
    power = 10 ** (math.floor(math.log10(value) + 1e-9) - 1)
    return count(math.floor(value / power + 0.5) * power)


def _significant(value: float, digits: int) -> str:
    """A number of some digits, without zeros at the end and never as a power.

    Examples
    --------
    >>> _significant(12.345, 2), _significant(0.10, 2), _significant(99.96, 3)
    ('12', '0.1', '100')
    """
    if value == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(value)) + 1e-9)
    scale = 10.0**places
    rounded = math.floor(value * scale + 0.5) / scale
    text = f"{rounded:.{max(places, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def records(frame: "pandas.DataFrame") -> list[Row]:
    """The rows of a frame as plain Python values; None where there is no number.

    Examples
    --------
    >>> import pandas as pd
    >>> records(pd.DataFrame({"queries": [10.0, math.nan], "mean": [math.inf, 1]}))
    [{'queries': 10.0, 'mean': None}, {'queries': None, 'mean': 1.0}]
    """
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{str(name): _plain(value) for name, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def duration(seconds: int | float) -> str:
    """A time in the unit that tells it best.

    Examples
    --------
    >>> duration(0.0123), duration(80), duration(1234), duration(10_000)
    ('0.012 s', '80 s', '21 min', '2.8 h')
    """
    if seconds < 120:
        return f"{seconds:.{2 if seconds < 10 else 3}g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
