"""An evaluation table made of logs, with the record of what was left out."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayes_rare.arguments.checking import checked_call
from bayes_rare.arguments.near_words import no_file
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
"""Largest share of lost rows of a behaviour, where no other is given."""


@checked_call
@dataclass(frozen=True, eq=False)
class ImportedTable:
    """An evaluation table, a row a query, and what was left out of it.

    Parameters
    ----------
    rows
        A table of PyArrow: columns ``query_id``, ``behaviour``, ``query_text`` and,
        where asked for, ``family``; ``successes`` and ``trials``, or ``log_risk``.
    dropped
        What was read, kept and left out, and what to bear in mind.
    """

    rows: Any
    dropped: Dropped

    def evaluation(self) -> Evaluation:
        """The summary of the table, which carries the record."""
        from bayes_rare.readers.tables.read_table import read_table

        return read_table(self._marked())

    def save(self, path: str | Path) -> None:
        """Write the table as a Parquet file, and the record beside it as JSON.

        Parameters
        ----------
        path
            The Parquet file; the record is in it too, and in a file of the same name
            with the ending ``.dropped.json``. Both appear whole or not at all.

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
            f"ImportedTable of {self.rows.num_rows:,} queries from {read:,} rows, "
            f"{kept:,} of them kept. See rows, dropped.frame() and dropped.warnings."
        )


def beside(path: Path) -> Path:
    """The file that the record of a table is written to.

    Parameters
    ----------
    path
        The table's.

    Raises
    ------
    InvalidInput
        If it does not end in ``.parquet``.
    """
    if path.suffix.lower() != ".parquet":
        raise InvalidInput(
            f"the table is written as Parquet, and {path} does not end so. Give "
            f"{path.with_suffix('.parquet')}."
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
    """The table of what was gathered, unless too much was lost.

    Parameters
    ----------
    gathered
        The trials.
    reader, sources, rule
        As of `bayes_rare.evaluation.import_record.Dropped`.
    warnings
        What the reader has to say; what the trials themselves tell is added.
    max_dropped
        Largest share of lost rows of any behaviour, from 0 to 1.

    Raises
    ------
    InvalidData
        If no row was kept, or more were lost.
    InvalidInput
        If the share is not one.
    """
    if not 0 <= max_dropped <= 1:
        raise InvalidInput(
            f"--max-dropped is a share from 0 to 1, got {max_dropped}. Give 0.05 for "
            "5 %."
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
            f"there is no measurement in {listed(sources, each=60)}. Give logs with "
            "samples that have been scored."
        )
    return ImportedTable(gathered.table(), record)


def found_logs(
    logs: str | Path | Sequence[str | Path], patterns: Sequence[str], what: str
) -> list[Path]:
    """The files that are named: each one, those of a pattern, those in a folder.

    Parameters
    ----------
    logs
        Paths, glob patterns, or folders, which are searched with all they contain.
    patterns
        What the names of logs in a folder look like.
    what
        What they are, for refusals.

    Raises
    ------
    InvalidData
        If one of them is not there, or a folder has none.
    InvalidInput
        If none is named.
    """
    import glob

    named = [logs] if isinstance(logs, str | Path) else list(logs)
    if not named:
        raise InvalidInput(f"no log is named. Give at least one {what}.")
    files: dict[Path, Path] = {}
    for one in map(str, named):
        if "://" in one:
            raise InvalidInput(
                f"{one} is not on this machine. Copy the log here, and give its path."
            )
        # A file of that very name comes first: brackets are common in file names.
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
                        f"{' or '.join(patterns)}. Name the files themselves."
                    )
            for file in inside:
                files.setdefault(file.resolve(), file)
    return list(files.values())


def _hidden(path: Path) -> bool:
    """Whether a file is in a folder that a tool keeps for itself."""
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
        f"of {total:,} rows of behaviour {quoted(behaviour, 60)} in "
        f"{listed(record.sources, each=60)}, "
        f"{tally.lost:,} are lost "
        f"({100 * tally.share:.3g} %; {out}; kept {tally.kept:,})"
    )
    if why:
        said += f". {why[:1].upper()}{why[1:]}"
    if not tally.kept:
        return (
            f"{said}. Nothing is left of it: name another score, or give logs that "
            "have been scored."
        )
    return (
        f"{said}. At most {100 * most:.3g} % may be: rows that are lost need not be "
        "like those that are kept. Run them again, or accept it: "
        f"--max-dropped {_enough(tally.share):g}."
    )


def _enough(share: float) -> float:
    """A share rounded up to two digits, so that it is enough where it is typed."""
    return min(math.ceil(share * 100 - 1e-9) / 100, 1.0)


LOWER_BOUND = (
    "A log-probability of one fixed text is a lower bound of the behaviour's: other "
    "wordings show it too. It is that of temperature 1, whatever the deployment's is."
)
"""What a risk from the log-probability of one text is."""

_NAMED, _SHOWN = 3, 60


def cautions(gathered: Gathering) -> tuple[str, ...]:
    """What trials themselves give reason to warn of.

    Parameters
    ----------
    gathered
        The trials.

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
            f"({sum(single.values()):,} queries): such data tell the mean risk, and of "
            "how risks differ between queries only what the prior says. Sample each "
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
            f"{_of(list(alike), len(trials))} show the behaviour in each ({hits:,}) or "
            f"in none ({misses:,}): their trials look like copies of one response, "
            "not like independent ones. Was the temperature 0, or did a cache answer?"
        )
    retried = gathered.retried()
    if retried:
        said.append(
            f"{retried:,} trials are of a later attempt, for earlier ones failed, and "
            "the log has no score of those: where a query that shows the behaviour is "
            "likelier to fail, its risk is understated."
        )
    if gathered.halves is not None:
        total, example = gathered.halves
        such = f", as in {shortened(example, _SHOWN)!r}" if example else ""
        said.append(
            f"{total:,} texts had half of a character (a lone surrogate), which no "
            f"file can hold: U+FFFD stands in its place{such}. Names that differ in "
            "nothing else have a number added."
        )
    tallies = gathered.tallies()
    empty = {tally.behaviour: tally.empty for tally in tallies if tally.empty}
    if empty:
        said.append(
            f"{sum(empty.values()):,} queries{_of(list(empty), len(tallies))} have no "
            "usable trial and are not in the table. They are not known to be safe."
        )
    if gathered.retold:
        said.append(
            f"{len(gathered.retold):,} queries have more than one text under one "
            f"identity, {next(iter(gathered.retold))!r} among them: their trials are "
            "added up as if it were one query."
        )
    if gathered.superseded:
        said.append(
            f"{len(gathered.superseded):,} queries have another text in an older log, "
            f"{next(iter(gathered.superseded))!r} among them: only the newest text "
            "counts, and the trials of the older one were set aside as duplicated."
        )
    spread = gathered.spread()
    if spread is not None:
        name, most = spread
        said.append(
            f"Log-probabilities of one query differ between its trials, by {most:.3g} "
            f"for {name!r}: the logarithm of the mean probability is taken."
        )
    return tuple(said)


def _of(names: Sequence[str], all_of_them: int) -> str:
    """Of which behaviours; nothing where it is all of them."""
    if len(names) == all_of_them:
        return ""
    named = ", ".join(repr(shortened(name, _SHOWN)) for name in names[:_NAMED])
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f" of {named}{more}"
