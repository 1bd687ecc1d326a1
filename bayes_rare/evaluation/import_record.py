"""The record of an import: rows read, kept, and left out with the reason.

===========  ===================================================================
row          one entry of a log: a sample in one epoch, a document, a response
kept         rows that are in the evaluation
lost         rows that should be measurements but are not: errored, not scored
set aside    rows that are not new measurements: duplicates, or of another filter
cut off      kept rows whose response was ended by a limit
===========  ===================================================================

``read == kept + lost + set aside``. Risks can be trusted only if few rows are lost: a
query that crashes the provider is not a safe query.
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
"""Reasons why a row that should be a measurement is lost."""

ASIDE = ("duplicated", "other filter", "other detector")
"""Reasons why a row is not a new measurement."""


@dataclass(frozen=True)
class Tally:
    """Numbers of rows read, kept and left out of one behaviour.

    Examples
    --------
    >>> tally = Tally("leak", 20, 18, 0, (("errored", 1), ("unscored", 1)), 5, 0)
    >>> tally.lost, tally.share
    (2, 0.1)
    """

    behaviour: str
    read: int
    kept: int
    cut_off: int  # of those kept: the response was ended by a limit
    left_out: tuple[tuple[str, int], ...]  # reasons, of `LOST` or `ASIDE`, and numbers
    queries: int  # in the evaluation
    empty: int  # queries left out, because no row of theirs was kept

    def __post_init__(self) -> None:
        out = sum(rows for _, rows in self.left_out)
        if self.read != self.kept + out:
            raise InvalidData(
                f"the record of {self.behaviour!r} does not add up: {self.read} rows "
                f"read, {self.kept} kept and {out} left out. Import the logs again."
            )

    def out(self, reason: str) -> int:
        """Number of rows left out for one reason."""
        return dict(self.left_out).get(reason, 0)

    @property
    def lost(self) -> int:
        """Number of rows that should be measurements but are not."""
        return sum(self.out(reason) for reason in LOST)

    @property
    def share(self) -> float:
        """Share of the rows that should be measurements which are lost."""
        return self.lost / max(self.kept + self.lost, 1)


@dataclass(frozen=True)
class Reason:
    """Why some rows were lost, as the log says."""

    reason: str  # one of `LOST`
    message: str  # from the log, shortened
    rows: int
    behaviour: str = ""  # "" if it is not known


@dataclass(frozen=True)
class Judgement:
    """A score that responses have, and whether it was read as the behaviour."""

    value: str
    shows: bool
    rows: int
    behaviour: str = ""  # "" if it is not known


@dataclass(frozen=True)
class Repeats:
    """Numbers of rows of a behaviour that were added up to fewer queries."""

    behaviour: str
    rows: int
    queries: int


@dataclass(frozen=True)
class Dropped:
    """The record of an import: rows read, kept and left out, and warnings.

    A table that was not imported from logs has a record if rows were added up, with
    `repeats` alone.

    Parameters
    ----------
    reader
        The tool whose logs were read.
    sources
        Names of the files.
    rule
        What was read as the behaviour.
    tallies
        Numbers of rows, by behaviour.
    reasons
        Why rows of each behaviour were lost, most frequent first.
    judgements
        Scores of the kept rows of each behaviour, most frequent first.
    warnings
        What to know when the numbers are interpreted.
    repeats
        Behaviours of which several rows were added up to one query.

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
        """One sentence on rows that were added up to fewer queries, if any were.

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
        """One row per behaviour: rows read, kept, cut off, and left out by reason.

        Reasons that do not occur have no column, except the first two.
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

        Warnings concern the whole import, and are kept.
        """
        names = set(behaviours)
        or_none = names | {""}
        return replace(
            self,
            tallies=tuple(one for one in self.tallies if one.behaviour in names),
            reasons=tuple(one for one in self.reasons if one.behaviour in or_none),
            judgements=tuple(
                one for one in self.judgements if one.behaviour in or_none
            ),
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
                "the record of an import cannot be read "
                f"({type(error).__name__}: {error}). Import the logs again."
            ) from error


def merged(records: Sequence[Dropped]) -> Dropped | None:
    """Several records combined into one; None if there are none.

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
    """The record of a table whose rows were added up; None if none were."""
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
    """The record that a table carries, if it was imported from logs."""
    if not files:
        import pyarrow as pa

        # A lazy frame of another engine would have to plan its whole query first.
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
