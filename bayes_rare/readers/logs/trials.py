"""Trials of queries, gathered from logs one at a time and in any order.

A trial fills a slot of its query, such as an epoch. If a slot is filled twice, the
later trial replaces the earlier one, which was a failed attempt or a copy.
"""

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from bayes_rare.errors import InvalidData, shortened
from bayes_rare.evaluation.import_record import ASIDE, LOST, Judgement, Reason, Tally
from bayes_rare.readers.surrogates import Storable, storable

__all__ = ["HIT", "MISS", "Gathering", "tail"]

MISS, HIT = 0, 1
"""Outcomes of a trial. A lost one has a number from 2, by its reason."""

_LOST = {reason: number for number, reason in enumerate(LOST, 2)}
_REASONS = {number: reason for reason, number in _LOST.items()}
# A slot is one integer: an outcome, whether the response was cut off, whether it is of
# a later attempt, and the number of a message. Millions of objects would not fit.
_CUT, _RETRIED, _MESSAGE, _KIND = 8, 16, 5, 7
_MESSAGES, _LENGTH = 1_000, 200
_LISTED = 10
# Log-probabilities of one text differ by this much between batches.
_ROUNDING = 1e-2


class _Query:
    __slots__ = ("family", "slots", "text")

    def __init__(self, family: str | None, text: str) -> None:
        self.family = family
        self.text = text
        self.slots: dict[int, int | float] = {}


class Gathering:
    """Trials as they are read, by behaviour and query.

    Examples
    --------
    >>> gathered = Gathering()
    >>> gathered.add("leak", "q1", 1, HIT)
    >>> gathered.lose("leak", "q1", 2, "errored", "timed out")
    >>> gathered.add("leak", "q1", 2, MISS)  # the second attempt counts
    >>> gathered.tallies()[0].read, gathered.tallies()[0].kept
    (3, 2)
    >>> gathered.table().to_pylist()[0]["successes"]
    1
    """

    def __init__(self) -> None:
        self._queries: dict[tuple[str, str], _Query] = {}
        self._aside: dict[str, Counter[str]] = {}
        self._messages: dict[str, int] = {"": 0}
        self._behaviours, self._names, self._families = (Storable() for _ in range(3))
        self._texts: set[int] = set()
        self.retold: dict[str, None] = {}
        """Queries that had another text in a trial that is kept."""
        self.superseded: dict[str, None] = {}
        """Queries that had another text in trials that were set aside."""
        self.filled = 0
        """Number of slots that have a trial, lost or not."""

    def add(
        self,
        behaviour: str,
        query: str,
        slot: int,
        outcome: int | float,
        *,
        family: str | None = None,
        text: str = "",
        cut_off: bool = False,
        retried: bool = False,
        said: str = "",
        place: str = "a row",
    ) -> None:
        """Add a trial."""
        value = outcome
        if not isinstance(outcome, float):
            value = outcome | self._number(storable(said)) << _MESSAGE
            value |= (_CUT if cut_off else 0) | (_RETRIED if retried else 0)
        self._fill(behaviour, query, slot, value, family, text, place)

    def lose(
        self,
        behaviour: str,
        query: str,
        slot: int,
        reason: str,
        message: str = "",
        *,
        family: str | None = None,
        text: str = "",
        place: str = "a row",
    ) -> None:
        """Add a trial that is lost."""
        number = self._number(storable(shortened(message, _LENGTH)))
        value = _LOST[reason] | number << _MESSAGE
        self._fill(behaviour, query, slot, value, family, text, place)

    def set_aside(self, behaviour: str, reason: str, rows: int = 1) -> None:
        """Count rows that are not new measurements."""
        own = self._aside.setdefault(self._behaviours.name(behaviour), Counter())
        own[reason] += rows

    def _number(self, text: str) -> int:
        """The number of a message; 0, that of none, if there are too many."""
        if text not in self._messages and len(self._messages) >= _MESSAGES:
            return 0
        return self._messages.setdefault(text, len(self._messages))

    def renew(self, behaviour: str, query: str, among: range | None = None) -> None:
        """Set trials of a query aside: those that follow replace them."""
        key = (self._behaviours.name(behaviour), self._names.name(query))
        if key not in self._queries:
            return
        slots = self._queries[key].slots
        gone = [slot for slot in slots if among is None or slot in among]
        if gone:
            self.set_aside(behaviour, "duplicated", len(gone))
            self.filled -= len(gone)
            for slot in gone:
                del slots[slot]

    def _fill(
        self,
        behaviour: str,
        name: str,
        slot: int,
        value: int | float,
        family: str | None,
        text: str,
        place: str,
    ) -> None:
        key = behaviour, name = self._behaviours.name(behaviour), self._names.name(name)
        if family is not None:
            family = self._families.name(family)
        plain = storable(text)
        if plain != text:
            self._texts.add(hash(text))
            text = plain
        query = self._queries.get(key)
        if query is None:
            query = self._queries[key] = _Query(family, text)
        elif query.family != family:
            raise InvalidData(
                f"{shortened(place, 160)}: query {shortened(name, 40)!r} has family "
                f"{shortened(family, 40)!r} here and {shortened(query.family, 40)!r} "
                "elsewhere. Choose a family that is the same in all trials of a query, "
                "--family FIELD, or none."
            )
        elif query.text != text:
            (self.retold if query.slots else self.superseded)[name] = None
            query.text = text
        older = query.slots.get(slot)
        if older is not None:
            self.set_aside(behaviour, "duplicated")
            failed = isinstance(older, int) and (
                older & _KIND == _LOST["errored"] or older & _RETRIED
            )
            if failed and isinstance(value, int):
                value |= _RETRIED
        else:
            self.filled += 1
        query.slots[slot] = value

    @property
    def halves(self) -> tuple[int, str] | None:
        """Number of texts that had a lone surrogate, and an example; None for none."""
        kinds = (self._names, self._behaviours, self._families)
        total = sum(kind.replaced for kind in kinds) + len(self._texts)
        if not total:
            return None
        names = [name for kind in kinds if (name := kind.example)]
        return total, names[0] if names else ""

    def kept(self) -> Iterator[tuple[int, int]]:
        """Successes and trials of each query that has trials."""
        for _, successes, trials in self.outcomes():
            yield successes, trials

    def outcomes(self) -> Iterator[tuple[str, int, int]]:
        """Behaviour, successes and trials of each query that has trials."""
        for (behaviour, _), query in self._queries.items():
            marks = [v & _KIND for v in query.slots.values() if isinstance(v, int)]
            trials = sum(mark <= HIT for mark in marks)
            if trials:
                yield behaviour, marks.count(HIT), trials

    def retried(self) -> int:
        """Number of trials after a failed attempt."""
        return sum(
            isinstance(value, int) and value & _RETRIED > 0 and value & _KIND <= HIT
            for query in self._queries.values()
            for value in query.slots.values()
        )

    def tallies(self) -> tuple[Tally, ...]:
        """The rows of each behaviour, sorted by its name."""
        total: dict[str, Counter[str]] = {
            name: Counter(rows) for name, rows in self._aside.items()
        }
        for (behaviour, _), query in self._queries.items():
            rows = total.setdefault(behaviour, Counter())
            kept = 0
            for value in query.slots.values():
                reason = "kept"
                if isinstance(value, int):
                    reason = _REASONS.get(value & _KIND, "kept")
                    if reason == "kept" and value & _CUT:
                        rows["cut off"] += 1
                kept += reason == "kept"
                if reason != "kept":
                    rows[reason] += 1
            rows["kept"] += kept
            rows["queries" if kept else "empty"] += 1
        return tuple(_tally(name, rows) for name, rows in sorted(total.items()))

    def reasons(self) -> tuple[Reason, ...]:
        """Why rows were lost, most frequent first; at most ten for each behaviour."""
        return tuple(
            Reason(_REASONS[kind], text, rows, behaviour)
            for behaviour, kind, text, rows in self._told()
            if kind > HIT
        )

    def judgements(self) -> tuple[Judgement, ...]:
        """Scores of trials, most frequent first; at most ten for each behaviour."""
        return tuple(
            Judgement(text, kind == HIT, rows, behaviour)
            for behaviour, kind, text, rows in self._told()
            if kind <= HIT
        )

    def _told(self) -> Iterator[tuple[str, int, str, int]]:
        """Behaviour, outcome, message and number of slots, most frequent first."""
        texts = {number: text for text, number in self._messages.items()}
        found: Counter[tuple[str, int, int]] = Counter()
        for (behaviour, _), query in self._queries.items():
            for value in query.slots.values():
                if isinstance(value, int):
                    found[behaviour, value & _KIND, value >> _MESSAGE] += 1
        ranked = sorted(
            (-rows, behaviour, kind, texts[number])
            for (behaviour, kind, number), rows in found.items()
            if kind > HIT or number
        )
        listed: Counter[tuple[str, bool]] = Counter()
        for rows, behaviour, kind, text in ranked:
            listed[behaviour, kind > HIT] += 1
            if listed[behaviour, kind > HIT] <= _LISTED:
                yield behaviour, kind, text, -rows

    def spread(self) -> tuple[str, float] | None:
        """The query whose log risks differ most, and by how much, if by any."""
        worst, most = "", _ROUNDING
        for (_, name), query in self._queries.items():
            risks = [v for v in query.slots.values() if isinstance(v, float)]
            if risks and max(risks) - min(risks) > most:
                worst, most = name, max(risks) - min(risks)
        return (worst, most) if worst else None

    def table(self) -> Any:
        """The evaluation table, in PyArrow: one row per query that has trials."""
        import pyarrow as pa

        names: tuple[str, ...] = ("query_id", "behaviour", "family", "query_text")
        labels: list[list[Any]] = [[], [], [], []]
        risks: list[float] = []
        successes: list[int] = []
        trials: list[int] = []
        for (behaviour, name), query in self._queries.items():
            known = [v for v in query.slots.values() if isinstance(v, float)]
            marks = [v & _KIND for v in query.slots.values() if isinstance(v, int)]
            tried = sum(mark <= HIT for mark in marks)
            if known:
                risks.append(_mean(known))
            elif tried:
                successes.append(marks.count(HIT))
                trials.append(tried)
            else:
                continue
            row = (name, behaviour, query.family, query.text)
            for column, label in zip(labels, row, strict=True):
                column.append(label)
        columns: dict[str, Any] = {
            name: pa.array(column, pa.string())
            for name, column in zip(names, labels, strict=True)
            if any(label for label in column)
        }
        if risks:
            columns["log_risk"] = pa.array(risks, pa.float64())
        else:
            columns["successes"] = pa.array(successes, pa.int64())
            columns["trials"] = pa.array(trials, pa.int64())
        return cast("Any", pa).table(columns)


def tail(path: Path, most: int = 200) -> str:
    """The end of a path, if it is long.

    Examples
    --------
    >>> tail(Path("a/long/path"), 4)
    '...path'
    """
    text = str(path)
    return text if len(text) <= most else f"...{text[-most:]}"


def _tally(behaviour: str, rows: Counter[str]) -> Tally:
    out = tuple(
        (reason, number) for reason in (*LOST, *ASIDE) if (number := rows[reason])
    )
    return Tally(
        behaviour,
        read=rows["kept"] + sum(number for _, number in out),
        kept=rows["kept"],
        cut_off=rows["cut off"],
        left_out=out,
        queries=rows["queries"],
        empty=rows["empty"],
    )


def _mean(log_risks: list[float]) -> float:
    """Logarithm of the mean risk."""
    top = max(log_risks)
    if top == -math.inf:
        return top
    total = sum(math.exp(value - top) for value in log_risks)
    return min(top + math.log(total / len(log_risks)), 0.0)
