"""Tables in CSV that a spreadsheet shows and does not run.

A spreadsheet takes a text that begins like a formula for one, and may run it when the
file is opened; prompts of an evaluation may be written by attackers. Such a text gets
an apostrophe before it, which `bayes_rare.read_table` takes away again.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

__all__ = ["GUARDED", "guarded", "write_csv"]

# What begins so after apostrophes gets one more, so that none is lost.
_RISKY = re.compile(r"'*[=+\-@\t\r]")
# A text that is a number is one in a spreadsheet too, and stays as it is.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

GUARDED = r"^'+[=+\-@\t\r]"
"""Regular expression of a text that `guarded` put an apostrophe before."""


def guarded(value: Any) -> Any:
    """A text with an apostrophe before it if it begins like a formula.

    Examples
    --------
    >>> guarded("=1+1"), guarded("'=1+1"), guarded("-5"), guarded(-5), guarded("it's")
    ("'=1+1", "''=1+1", '-5', -5, "it's")
    """
    if not isinstance(value, str) or not _RISKY.match(value):
        return value
    return value if _NUMBER.fullmatch(value) else f"'{value}"


def write_csv(table: "pandas.DataFrame", path: Path) -> None:
    """Write a table as CSV whose texts are none that a spreadsheet runs."""
    texts = table.select_dtypes(exclude="number").columns
    safe = table.assign(**{name: table[name].map(guarded) for name in texts})
    # What has a carriage return is in quotes too, or it would end the line.
    safe.to_csv(path, index=False)
