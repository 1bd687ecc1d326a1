"""An evaluation table imported from logs, with the record of what was left out."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayes_rare.arguments.checking import checked_call
from bayes_rare.arguments.near_words import no_file, shown
from bayes_rare.errors import InvalidData, InvalidInput, listed, quoted, shortened
from bayes_rare.evaluation import Evaluation
from bayes_rare.evaluation.import_record import DROPPED_KEY, Dropped
from bayes_rare.files import refuse_unwritable, replacing
from bayes_rare.readers.logs.trials import Gathering
from bayes_rare.readers.surrogates import storable

__all__ = [
    "LOWER_BOUND",
    "MAX_DROPPED",
    "ImportedTable",
    "beside",
    "cautions",
    "found_logs",
    "imported",
]

MAX_DROPPED = 0.05
"""Default of the largest share of rows of a behaviour that may be lost."""


@checked_call
@dataclass(frozen=True, eq=False)
class ImportedTable:
    """An evaluation table, one row per query, and the record of its import.

    Parameters
    ----------
    rows
        A PyArrow table: columns ``query_id``, ``behaviour``, ``query_text`` and, if
        asked for, ``family``; ``successes`` and ``trials``, or ``log_risk``.
    dropped
        What was read, kept and left out, and warnings.
    """

    rows: Any
    dropped: Dropped

    def evaluation(self) -> Evaluation:
        """The evaluation in the table, which carries the record."""
        from bayes_rare.readers.tables.read_table import read_table

        return read_table(self._marked())

    def save(self, path: str | Path) -> None:
        """Write the table as a Parquet file, and its record beside it as JSON.

        Parameters
        ----------
        path
            The Parquet file. The record is in it too, and in a file of the same name
            ending in ``.dropped.json``. Both are written atomically.

        Raises
        ------
        InvalidInput
            If it does not end in ``.parquet``, or cannot be written.
        """
        import pyarrow.parquet as pq

        path = Path(path)
        record = beside(path)
        for one in (path, record):
            refuse_unwritable(one)
        with replacing(path) as table, replacing(record) as text:
            pq.write_table(self._marked(), table)
            content = json.loads(self.dropped.to_json())
            text.write_text(
                json.dumps(content, ensure_ascii=False, indent=1) + "\n",
                encoding="utf-8",
            )

    def _marked(self) -> Any:
        return self.rows.replace_schema_metadata({DROPPED_KEY: self.dropped.to_json()})

    def __repr__(self) -> str:
        kept = sum(tally.kept for tally in self.dropped.tallies)
        read = sum(tally.read for tally in self.dropped.tallies)
        return (
            f"ImportedTable of {self.rows.num_rows:,} queries, from {kept:,} of "
            f"{read:,} rows read. See rows, dropped.frame() and dropped.warnings."
        )


def beside(path: Path) -> Path:
    """The file for the record of a table."""
    if path.suffix.lower() != ".parquet":
        sound = path.with_suffix(".parquet") if path.name else "evaluation.parquet"
        raise InvalidInput(
            "the table is written as Parquet, so its name must end in .parquet, got "
            f"{path}. Give {sound}."
        )
    return path.with_suffix(".dropped.json")


def imported(
    gathered: Gathering,
    *,
    reader: str,
    sources: Sequence[str],
    rule: str,
    warnings: Sequence[str] = (),
    max_dropped: int | float = MAX_DROPPED,
) -> ImportedTable:
    """The table of trials, unless too many rows of a behaviour were lost."""
    if not 0 <= max_dropped <= 1:
        raise InvalidInput(
            f"--max-dropped must be from 0 to 1, got {max_dropped}. Give 0.05 for 5 %."
        )
    record = Dropped(
        reader=reader,
        sources=tuple(map(storable, sources)),
        rule=storable(rule),
        tallies=gathered.tallies(),
        reasons=gathered.reasons(),
        judgements=gathered.judgements(),
        warnings=tuple(map(storable, (*warnings, *cautions(gathered)))),
    )
    for tally in record.tallies:
        if tally.lost and (not tally.kept or tally.share > max_dropped):
            raise InvalidData(_too_many(record, tally.behaviour, max_dropped))
    if not any(tally.kept for tally in record.tallies):
        raise InvalidData(
            f"there are no measurements in {listed(sources, each=60)}. Give logs with "
            "scored samples."
        )
    return ImportedTable(gathered.table(), record)


def found_logs(
    logs: str | Path | Sequence[Any], patterns: Sequence[str], what: str
) -> list[Path]:
    """The logs named by paths, glob patterns, or folders (searched recursively)."""
    import glob

    named = [logs] if isinstance(logs, str | Path) else list(logs)
    if not named:
        raise InvalidInput(f"no log is named. Give at least one {what}.")
    for one in named:
        if not isinstance(one, str | Path):
            raise InvalidInput(
                f"{shown(one)} is not the path of a log. Give at least one {what}."
            )
    files: dict[Path, Path] = {}
    for one in map(str, named):
        if "://" in one:
            raise InvalidInput(
                f"{one} is not on this machine. Copy the log here and give its path."
            )
        # A file with exactly this name comes first: file names may have brackets.
        given = Path(one)
        found = [given]
        if not given.exists():
            found = sorted(map(Path, glob.glob(one, recursive=True)))  # noqa: PTH207
            if not found:
                raise InvalidData(
                    f"{no_file(one)} Give a path that exists, seen from {Path.cwd()}."
                )
        for path in found:
            inside = [path]
            if path.is_dir():
                inside = sorted(p for each in patterns for p in path.rglob(each))
                inside = [p for p in inside if not _hidden(p.relative_to(path))]
                if not inside:
                    raise InvalidData(
                        f"the folder {path} has no {what}: no file in it is named "
                        f"{' or '.join(patterns)}. Give the files themselves."
                    )
            for file in inside:
                files.setdefault(file.resolve(), file)
    return list(files.values())


def _hidden(path: Path) -> bool:
    """Whether a file is in a hidden folder."""
    return any(part.startswith(".") for part in path.parts)


def _too_many(record: Dropped, behaviour: str, most: int | float) -> str:
    record = record.select([behaviour])
    (tally,) = record.tallies
    out = ", ".join(f"{rows:,} {reason}" for reason, rows in tally.left_out) or "none"
    why = "; ".join(
        f"{one.reason}: {shortened(one.message, 60) or 'the log does not say why'} "
        f"({one.rows:,})"
        for one in record.reasons[:3]
    )
    total = tally.kept + tally.lost
    said = (
        f"{tally.lost:,} of {total:,} rows of behaviour {quoted(behaviour, 60)} in "
        f"{listed(record.sources, each=60)} are lost "
        f"({100 * tally.share:.3g} %; {out}; kept {tally.kept:,})"
    )
    if why:
        said += f". {why[:1].upper()}{why[1:]}"
    if not tally.kept:
        return f"{said}. Nothing is left: choose another score, or give scored logs."
    return (
        f"{said}. The limit is {100 * most:.3g} %, since lost rows may differ from "
        "kept ones. Run them again, or raise the limit: --max-dropped "
        f"{_enough(tally.share):g}."
    )


def _enough(share: float) -> float:
    """A share rounded up to two decimals, so that it suffices when typed."""
    return min(math.ceil(share * 100 - 1e-9) / 100, 1.0)


LOWER_BOUND = (
    "The probability of one fixed text is a lower bound on the risk of the behaviour, "
    "which other wordings show too. It is the probability at temperature 1, whatever "
    "the temperature of the deployment."
)
"""The warning for a risk that is the probability of one fixed text."""

_NAMED, _SHOWN = 3, 60


def cautions(gathered: Gathering) -> tuple[str, ...]:
    """Warnings that the trials themselves give rise to.

    Examples
    --------
    >>> gathered = Gathering()
    >>> for number in range(20):
    ...     gathered.add("leak", f"q{number}", 1, number % 2)
    >>> cautions(gathered)[0].partition(":")[0]
    'Every query has one trial (20 queries)'
    """
    said: list[str] = []
    trials: dict[str, list[tuple[int, int]]] = {}
    for behaviour, hits, tried in gathered.outcomes():
        trials.setdefault(behaviour, []).append((hits, tried))
    single = {
        name: len(own)
        for name, own in trials.items()
        if all(tried == 1 for _, tried in own)
    }
    if single:
        said.append(
            f"Every query{_of(list(single), len(trials))} has one trial "
            f"({sum(single.values()):,} queries): such data determine the mean risk, "
            "but how risks differ between queries comes from the prior. Sample each "
            "query several times."
        )
    alike: dict[str, tuple[int, int]] = {}
    for name, own in trials.items():
        several = [(hits, tried) for hits, tried in own if tried > 1]
        hits = sum(hits == tried for hits, tried in several)
        misses = sum(hits == 0 for hits, _ in several)
        if several and hits and hits + misses == len(several):
            alike[name] = hits, misses
    if alike:
        hits, misses = (sum(numbers) for numbers in zip(*alike.values(), strict=True))
        said.append(
            f"All {hits + misses:,} queries with several trials"
            f"{_of(list(alike), len(trials))} show the behaviour in all of them "
            f"({hits:,}) or in none ({misses:,}): the trials look like copies of one "
            "response. Was the temperature 0, or was a cache used?"
        )
    retried = gathered.retried()
    if retried:
        said.append(
            f"{retried:,} trials were repeated after a failed attempt, which the log "
            "did not score. If attempts that show the behaviour fail more often, the "
            "risk is underestimated."
        )
    if gathered.halves is not None:
        total, example = gathered.halves
        such = f", as in {shortened(example, _SHOWN)!r}" if example else ""
        said.append(
            f"{total:,} texts had a lone surrogate (half of a character), which cannot "
            f"be stored: it was replaced by U+FFFD{such}. Names that would then be "
            "equal have a number added."
        )
    tallies = gathered.tallies()
    empty = {tally.behaviour: tally.empty for tally in tallies if tally.empty}
    if empty:
        said.append(
            f"{sum(empty.values()):,} queries{_of(list(empty), len(tallies))} have no "
            "usable trial and are left out. Nothing is known about their risk."
        )
    if gathered.retold:
        said.append(
            f"{len(gathered.retold):,} query ids have more than one text, such as "
            f"{next(iter(gathered.retold))!r}: the trials of each are added up as "
            "those of one query."
        )
    if gathered.superseded:
        said.append(
            f"{len(gathered.superseded):,} queries have another text in an older log, "
            f"such as {next(iter(gathered.superseded))!r}: only the newest counts, and "
            "the trials of the older one were set aside as duplicates."
        )
    spread = gathered.spread()
    if spread is not None:
        name, most = spread
        said.append(
            f"Repeated log-probabilities of a query differ, by up to {most:.3g} for "
            f"{name!r}: the logarithm of the mean probability is used."
        )
    return tuple(said)


def _of(names: Sequence[str], all_of_them: int) -> str:
    """``" of A, B"``, naming behaviours; "" if it is all of them."""
    if len(names) == all_of_them:
        return ""
    named = ", ".join(repr(shortened(name, _SHOWN)) for name in names[:_NAMED])
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f" of {named}{more}"
