"""CSV tables in which spreadsheets find no formulas.

A spreadsheet may run a text that begins like a formula when the file is opened, and
prompts of an evaluation may be written by attackers. An apostrophe is put before such a
text; `bayes_rare.read_table` removes it.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

__all__ = ["GUARDED", "guarded", "write_csv"]

# Texts that already have apostrophes get one more, so that none is lost.
_RISKY = re.compile(r"'*[=+\-@\t\r]")
# A number is harmless and stays as it is.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

GUARDED = r"^'+[=+\-@\t\r]"
"""Regular expression for a text to which `guarded` added an apostrophe."""


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
    """Write a table as CSV without formulas."""
    texts = table.select_dtypes(exclude="number").columns
    safe = table.assign(**{name: table[name].map(guarded) for name in texts})
    safe.to_csv(path, index=False)
