"""The results of a backtest, as a table and a file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_rare.arguments.checking import checked_call
from bayes_rare.arguments.near_words import no_file
from bayes_rare.backtesting.scoring import INTERVALS, PREDICTIVE
from bayes_rare.errors import InvalidData
from bayes_rare.files import replacing

if TYPE_CHECKING:
    import pandas

__all__ = ["COLUMNS", "PREDICTIVE", "Backtest", "finished", "load_backtest"]

COLUMNS = (
    "method",
    "behaviour",
    "repeat",
    "evaluation_size",
    "deployment_size",
    "samples_per_query",
    "target",
    "risk_threshold",
    "status",
    "reason",
    "is_point",
    "truth",
    "median",
    "lower_90",
    "upper_90",
    "abs_log10_error",
    "abs_error",
    "within_one_order",
    "underestimated",
    "crps",
    "log_score",
    *(f"interval_score_{round(100 * p)}" for p in INTERVALS),
    "pit",
    *(f"covered_{round(100 * p)}" for p in INTERVALS),
    "seconds",
    PREDICTIVE,
)
"""Columns of a backtest's table.

``truth``, ``median``, ``lower_90``, ``upper_90`` and ``abs_error`` are risks; of the
target ``behaviour_frequency`` they are numbers of queries, the share times the
deployment. `PREDICTIVE` is a list of equally likely scores of the worst query, clamped;
one of a point forecast, and None of the other targets.
"""

_KEY = b"bayes_rare"


@checked_call
@dataclass(frozen=True, eq=False, repr=False)
class Backtest:
    """Scores of forecasts on held-out queries.

    Parameters
    ----------
    table
        A row for each method, behaviour, split, sizes, target and risk threshold; its
        columns are `COLUMNS`. Where a method refused or did not converge, ``status``
        says so and the numbers are those of ``evaluation_maximum`` in its place.
    origin
        Data, options, methods and versions from which it was made.
    """

    table: "pandas.DataFrame" = field(repr=False)
    origin: Mapping[str, Any] = field(repr=False)

    def __repr__(self) -> str:
        methods = ", ".join(self.table["method"].unique())
        return (
            f"Backtest of {methods} on {self.table['behaviour'].nunique()} behaviours, "
            f"{len(self.table):,} scored forecasts. See table, origin and "
            "bayes_rare.compare(...)."
        )

    def save(self, path: str | Path) -> Path:
        """Write it as a Parquet file atomically; replaces an existing file.

        Parameters
        ----------
        path
            Where.
        """
        path = Path(path)
        table_type = import_module("pyarrow").Table
        table = table_type.from_pandas(self.table, preserve_index=False)
        origin = json.dumps(self.origin).encode()
        table = table.replace_schema_metadata(
            {**(table.schema.metadata or {}), _KEY: origin}
        )
        with replacing(path) as written:
            import_module("pyarrow.parquet").write_table(table, written)
        return path


@checked_call
def load_backtest(path: str | Path) -> Backtest:
    """Read a backtest that `Backtest.save` or the command wrote.

    Parameters
    ----------
    path
        The Parquet file.

    Raises
    ------
    InvalidData
        If the file is not there, or holds no backtest.
    """
    path = Path(path)
    if not path.is_file():
        raise InvalidData(f"{no_file(path)} Make one with `bayes-rare backtest`.")
    try:
        table = import_module("pyarrow.parquet").read_table(path)
    except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
        raise InvalidData(
            f"{path} is not a Parquet file that can be read ({error!s}). Give a file "
            "that `bayes-rare backtest` wrote."
        ) from error
    needed = [name for name in COLUMNS if name != PREDICTIVE]  # newer than the others
    missing = [name for name in needed if name not in table.column_names]
    if missing or _KEY not in (table.schema.metadata or {}):
        raise InvalidData(
            f"{path} holds no backtest of this package"
            f"{f': it has no column {missing[0]!r}' if missing else ''}. Give a file "
            "that `bayes-rare backtest` wrote."
        )
    return Backtest(table.to_pandas(), json.loads(table.schema.metadata[_KEY]))


def finished(path: Path, origin: Mapping[str, Any]) -> Backtest | None:
    """The backtest in a file, if there is one and it is of the same origin."""
    if not path.is_file():
        return None
    try:
        made = load_backtest(path)
    except InvalidData:  # something else, which is to be replaced
        return None
    whole = set(COLUMNS) <= {*made.table}
    return made if whole and made.origin == origin else None
