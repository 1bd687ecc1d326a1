"""What a reader of logs read, what it kept, and what it left out and why.

===========  ===================================================================
row          one measurement in a log: a sample in one epoch, a document, a response
kept         rows that are in the evaluation
lost         rows that should have been measurements and are not: errored, unscored
set aside    rows that are no further measurements: repeated, or of another filter
cut off      rows kept whose response was ended by a limit
===========  ===================================================================

A denominator can be trusted where ``read == kept + lost + set aside`` and few are lost:
a query that crashes a provider is not a query that is safe.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from bayes_rare.errors import InvalidData

if TYPE_CHECKING:
    import pandas

__all__ = [
    "ASIDE",
    "DROPPED_KEY",
    "LOST",
    "Dropped",
    "Judgement",
    "Reason",
    "Repeats",
    "Tally",
    "merged",
    "of_repeats",
    "record_of",
]

LOST = ("errored", "unscored", "invalidated", "unfinished")
"""Why a row that should have been a measurement is none."""

ASIDE = ("duplicated", "other filter", "other detector")
"""Why a row is no further measurement."""


@dataclass(frozen=True)
class Tally:
    """The rows of one behaviour.

    Parameters
    ----------
    behaviour
        Its name.
    read
        Rows that were read.
    kept
        Rows that are in the evaluation.
    cut_off
        Of these, rows whose response was ended by a limit.
    left_out
        How many rows were left out, by reason: pairs of one of `LOST` or `ASIDE` and a
        number above 0.
    queries
        Queries in the evaluation.
    empty
        Queries that are not, for none of their rows was kept.

    Raises
    ------
    InvalidData
        If rows read are not those kept and those left out.

    Examples
    --------
    >>> tally = Tally("leak", 20, 18, 0, (("errored", 1), ("unscored", 1)), 5, 0)
    >>> tally.lost, tally.share
    (2, 0.1)
    """

    behaviour: str
    read: int
    kept: int
    cut_off: int
    left_out: tuple[tuple[str, int], ...]
    queries: int
    empty: int

    def __post_init__(self) -> None:
        out = sum(rows for _, rows in self.left_out)
        if self.read != self.kept + out:
            raise InvalidData(
                f"of {self.read} rows of {self.behaviour!r}, {self.kept} are kept and "
                f"{out} left out, which do not add up. Do not edit such a record."
            )

    def out(self, reason: str) -> int:
        """Rows left out for one reason."""
        return dict(self.left_out).get(reason, 0)

    @property
    def lost(self) -> int:
        """Rows that should have been measurements and are not."""
        return sum(self.out(reason) for reason in LOST)

    @property
    def share(self) -> float:
        """Share of lost rows among those that should have been measurements."""
        return self.lost / max(self.kept + self.lost, 1)


@dataclass(frozen=True)
class Reason:
    """Why some rows were lost, in the words of the log.

    Parameters
    ----------
    reason
        One of `LOST`.
    message
        What the log says, shortened; "" where it says nothing.
    rows
        How many rows.
    behaviour
        Whose they are; "" where it is not known.
    """

    reason: str
    message: str
    rows: int
    behaviour: str = ""


@dataclass(frozen=True)
class Judgement:
    """A value that responses were scored with, and what it was taken for.

    Parameters
    ----------
    value
        As the log has it.
    shows
        Whether it was taken for the behaviour.
    rows
        How many rows have it.
    behaviour
        Whose they are; "" where it is not known.
    """

    value: str
    shows: bool
    rows: int
    behaviour: str = ""


@dataclass(frozen=True)
class Repeats:
    """Rows of counts of one behaviour that were added up, query by query.

    Parameters
    ----------
    behaviour
        Its name.
    rows
        Its rows in the table.
    queries
        Its queries, fewer than its rows: several rows had the same ``query_id``.
    """

    behaviour: str
    rows: int
    queries: int


@dataclass(frozen=True)
class Dropped:
    """The record of an import: what was read, kept and left out, and what to know.

    A table that was not made of logs has one where rows were added up: no reader, no
    tallies, and `repeats`.

    Parameters
    ----------
    reader
        The tool whose logs were read.
    sources
        Names of the files.
    rule
        What was taken for the behaviour.
    tallies
        The rows, by behaviour.
    reasons
        Why rows were lost, in the words of the logs, the most frequent first; those of
        each behaviour.
    judgements
        Values that kept responses were scored with, the most frequent first; those of
        each behaviour.
    warnings
        What the numbers cannot say by themselves.
    repeats
        Behaviours of which several rows of the table were added up to one query.

    Examples
    --------
    >>> tally = Tally("leak", 20, 18, 0, (("errored", 1), ("unscored", 1)), 5, 0)
    >>> record = Dropped("inspect", ("a.eval",), "score 'leaks' is 'C'", (tally,))
    >>> Dropped.from_json(record.to_json()) == record
    True
    """

    reader: str
    sources: tuple[str, ...]
    rule: str
    tallies: tuple[Tally, ...]
    reasons: tuple[Reason, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    warnings: tuple[str, ...] = ()
    repeats: tuple[Repeats, ...] = ()

    @property
    def added_up(self) -> tuple[str, ...]:
        """That rows were added up to fewer queries, in one sentence, if they were.

        Examples
        --------
        >>> Dropped("", (), "", (), repeats=(Repeats("leak", 30, 3),)).added_up[0]
        '30 rows were added up to 3 queries: several rows had the same query_id.'
        """
        if not self.repeats:
            return ()
        rows, queries = (
            sum(getattr(one, name) for one in self.repeats)
            for name in ("rows", "queries")
        )
        return (
            f"{rows:,} rows were added up to {queries:,} "
            f"{'query' if queries == 1 else 'queries'}: several rows had the same "
            f"{'query_id' if len(self.repeats) == 1 else 'behaviour and query_id'}.",
        )

    def frame(self) -> "pandas.DataFrame":
        """A row a behaviour: rows read, kept, cut off, and left out for each reason.

        Reasons that no row was left out for have no column, but the first two.
        """
        import pandas as pd

        used = {reason for tally in self.tallies for reason, _ in tally.left_out}
        reasons = [r for r in (*LOST, *ASIDE) if r in used or r in LOST[:2]]
        return pd.DataFrame(
            {
                "behaviour": tally.behaviour,
                "read": tally.read,
                "kept": tally.kept,
                **{reason: tally.out(reason) for reason in reasons},
                "cut off": tally.cut_off,
                "share lost": tally.share,
                "queries": tally.queries,
            }
            for tally in self.tallies
        )

    def select(self, behaviours: Iterable[str]) -> "Dropped":
        """The record of some of the behaviours.

        Warnings are of the whole import, and stay.
        """
        names = set(behaviours)
        known = names | {""}
        return replace(
            self,
            tallies=tuple(one for one in self.tallies if one.behaviour in names),
            reasons=tuple(one for one in self.reasons if one.behaviour in known),
            judgements=tuple(one for one in self.judgements if one.behaviour in known),
            repeats=tuple(one for one in self.repeats if one.behaviour in names),
        )

    def to_json(self) -> str:
        """The record as one JSON object."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Dropped":
        """The record that `to_json` wrote."""
        try:
            parts: dict[str, Any] = json.loads(text)
            tallies: list[Tally] = []
            for one in parts["tallies"]:
                out = tuple(
                    (str(reason), int(rows)) for reason, rows in one["left_out"]
                )
                tallies.append(Tally(**dict[str, Any](one, left_out=out)))
            return cls(
                reader=str(parts["reader"]),
                sources=tuple(map(str, parts["sources"])),
                rule=str(parts["rule"]),
                tallies=tuple(tallies),
                reasons=tuple(Reason(**one) for one in parts["reasons"]),
                judgements=tuple(Judgement(**one) for one in parts["judgements"]),
                warnings=tuple(map(str, parts["warnings"])),
                repeats=tuple(Repeats(**one) for one in parts.get("repeats", ())),
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidData(
                "the record of what an import left out cannot be read "
                f"({type(error).__name__}: {error}). Import the logs again."
            ) from error


def merged(records: Sequence[Dropped]) -> Dropped | None:
    """One record of several; None of none.

    Examples
    --------
    >>> tally = Tally("leak", 2, 2, 0, (), 2, 0)
    >>> first = Dropped("inspect", ("a.eval",), "score is 'C'", (tally,))
    >>> second = Dropped("garak", ("b.report.jsonl",), "score >= 0.5", (tally,))
    >>> both = merged([first, second])
    >>> both.rule, both.tallies[0].read
    ("score is 'C'; score >= 0.5", 4)
    """
    if len(records) < 2:
        return records[0] if records else None
    behaviours = {t.behaviour: None for record in records for t in record.tallies}
    return Dropped(
        reader=", ".join(_once(r.reader for r in records if r.reader)),
        sources=_once(name for record in records for name in record.sources),
        rule="; ".join(_once(record.rule for record in records if record.rule)),
        tallies=tuple(
            _added([t for r in records for t in r.tallies if t.behaviour == name])
            for name in behaviours
        ),
        reasons=tuple(one for record in records for one in record.reasons),
        judgements=tuple(one for record in records for one in record.judgements),
        warnings=_once(text for record in records for text in record.warnings),
        repeats=tuple(one for record in records for one in record.repeats),
    )


def of_repeats(repeats: Sequence[Repeats]) -> Dropped | None:
    """The record of a table of which rows were added up; None where none were."""
    return Dropped("", (), "", (), repeats=tuple(repeats)) if repeats else None


def _added(tallies: Sequence[Tally]) -> Tally:
    totals = {r: sum(t.out(r) for t in tallies) for r in (*LOST, *ASIDE)}
    return Tally(
        tallies[0].behaviour,
        read=sum(t.read for t in tallies),
        kept=sum(t.kept for t in tallies),
        cut_off=sum(t.cut_off for t in tallies),
        left_out=tuple((reason, rows) for reason, rows in totals.items() if rows),
        queries=sum(t.queries for t in tallies),
        empty=sum(t.empty for t in tallies),
    )


def _once(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


DROPPED_KEY = b"bayes_rare.evaluation.import_record"
"""Key of the record in the metadata of a schema of Arrow or Parquet."""


def record_of(source: Any, files: Sequence[str] = ()) -> Dropped | None:
    """The record that a table carries, if it was made of logs."""
    if not files:
        import pyarrow as pa

        # Lazy frames of other engines would plan their whole query to say this.
        if not isinstance(source, pa.Table):
            return None
        return merged(_records([source.schema.metadata]))
    parquet = [file for file in files if file.lower().endswith(".parquet")]
    if not parquet:
        return None
    import pyarrow.parquet as pq

    return merged(_records([pq.read_schema(file).metadata for file in parquet]))


def _records(metadata: Sequence[Any]) -> list[Dropped]:
    found: list[Dropped] = []
    for one in metadata:
        if isinstance(one, Mapping):
            text = cast("Mapping[Any, Any]", one).get(DROPPED_KEY)
            if isinstance(text, bytes):
                found.append(Dropped.from_json(text.decode("utf-8", errors="replace")))
    return found
