"""What commands say, and how they begin."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from bayes_rare.cli.signals import at_once

__all__ = [
    "INTERRUPTED",
    "import_slowly",
    "print_answer",
    "print_json",
    "warn_if_unconverged",
    "write_table",
]

INTERRUPTED = 130
"""Exit code of a command that was interrupted."""


def import_slowly(*names: str) -> None:
    """Import what is slow to import, so that an interruption ends it at once.

    A library that is interrupted while it is imported may swallow the interruption or
    fail in a way of its own.
    """
    with at_once():
        for name in names:
            import_module(name)


def write_table(table: Any, output: Path | None) -> None:
    """Write a table as CSV, if anywhere: whole or not at all."""
    from bayes_rare import files
    from bayes_rare.readers.tables.spreadsheets import write_csv

    if output is not None:
        with files.replacing(output) as written:
            write_csv(table, written)


def print_answer(
    made: Any,
    model: str,
    rows: Sequence[dict[str, Any]],
    parts: Iterable[Any],
    written: Sequence[Path | None],
    *,
    as_json: bool,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Print a table and the notes of what was made: as JSON, or in parts of text.

    ``more`` is what JSON has beside them.
    """
    from bayes_rare.cli import tables

    if as_json:
        print_json(
            {
                "rows": rows,
                "converged": made.converged,
                "model": model,
                "notes": list(dict.fromkeys(made.notes)),
                **(more or {}),
            }
        )
        return
    out = tables.console()
    for part in parts:
        out.print(part)
    out.print(tables.bullets(made.notes))
    for place in written:
        if place is not None:
            out.print(f"\nWrote {place}", soft_wrap=True)


def print_json(content: dict[str, Any]) -> None:
    """Print one JSON object on standard output."""
    import json

    print(json.dumps(content, allow_nan=False, indent=1))


def warn_if_unconverged(posterior: Any) -> None:
    """Say on standard error that a fit did not converge."""
    if not posterior.verdict.converged:
        print(
            f"bayes-rare: warning: the fit of {posterior.name} did not converge "
            f"({'; '.join(posterior.verdict.reasons)}). What is made from it may be "
            "wrong.",
            file=sys.stderr,
        )
