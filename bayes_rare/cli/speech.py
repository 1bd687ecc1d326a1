"""How commands begin, and how they print what they made."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, override

from cyclopts.help import DefaultFormatter

from bayes_rare.cli.signals import at_once

__all__ = [
    "INTERRUPTED",
    "HelpFormatter",
    "import_slowly",
    "print_answer",
    "print_json",
    "warn_if_unconverged",
    "write_table",
]

INTERRUPTED = 130
"""Exit code of a command that was interrupted."""


def import_slowly(*names: str) -> None:
    """Import slow modules in a way that an interruption ends at once.

    A library that is interrupted during its import may swallow the interruption, or
    fail in its own way.
    """
    with at_once():
        for name in names:
            import_module(name)


class HelpFormatter(DefaultFormatter):
    """Help whose lines are broken to the width of the terminal."""

    @override
    def __call__(self, console: Any, options: Any, panel: Any) -> None:
        for entry in panel.entries:
            text = getattr(entry.description, "primary_renderable", None)
            if text is not None:
                text.plain = " ".join(text.plain.split())
        super().__call__(console, options, panel)

    @override
    def render_description(self, console: Any, options: Any, description: Any) -> None:
        text = getattr(description, "primary_renderable", None)
        if text is not None:
            paragraphs = text.plain.strip().split("\n\n")
            text.plain = "\n\n".join(" ".join(lines.split()) for lines in paragraphs)
        super().render_description(console, options, description)


def write_table(table: Any, output: Path | None) -> None:
    """Write a table as CSV, atomically, if a file is named."""
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
    """Print a table and its notes: as JSON, with ``more`` keys, or as parts of text."""
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
    """Warn on standard error if a fit did not converge."""
    if not posterior.verdict.converged:
        print(
            f"bayes-rare: warning: the fit of {posterior.name} did not converge "
            f"({'; '.join(posterior.verdict.reasons)}). Results based on it may be "
            "wrong.",
            file=sys.stderr,
        )
