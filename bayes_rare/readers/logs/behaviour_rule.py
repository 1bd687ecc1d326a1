"""Which value of a score means the behaviour: stated by the user, never guessed.

A score of "C" may mean that the model complied, or that it refused as it should. Only
the author of the scorer knows.
"""

import math
import operator
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, cast

from bayes_rare.errors import InvalidData, InvalidInput, listed, shortened

__all__ = ["Verdicts", "label"]

# Inspect's numbers for its letters: correct, partially correct, incorrect, no answer.
_LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
_BOUND = re.compile(r"\s*(>=|<=|>|<)\s*(\S+)\s*")
_COMPARED: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
# Vocabularies of scores: a value that never occurs is plausible if others of its
# vocabulary do.
_VOCABULARIES = (
    frozenset("CIPN"),
    frozenset({"yes", "no"}),
    frozenset({"true", "false"}),
    frozenset({"pass", "fail"}),
    frozenset({"0", "1"}),
)
# Distinct values that are counted.
_DISTINCT = 1_000
_LISTED, _READINGS, _SHOWN = 8, 3, 40


class Verdicts:
    """A rule for which values of a score mean the behaviour, and counts of values seen.

    Parameters
    ----------
    behaviour_values
        Values that mean the behaviour: ``"C"``, ``"yes"``, ``"true"``, ``"1"``; or a
        bound, ``">=0.5"``, for which Inspect's letters are numbers: C is 1, P is 0.5, I
        and N are 0.
    unscored_values
        Values that mean that a response was not scored.
    what
        Name of the score in messages.
    flags
        The two options that the user gives, for messages.

    Raises
    ------
    InvalidInput
        If a bound has no number, or a value is in both lists.

    Examples
    --------
    >>> verdicts = Verdicts(["C"], what="score 'leaks'")
    >>> [verdicts.judged(value) for value in ("C", "I", None, float("nan"))]
    [True, False, None, None]
    >>> Verdicts([">=0.5"]).judged("P")
    True
    """

    def __init__(
        self,
        behaviour_values: Sequence[str] = (),
        unscored_values: Sequence[str] = (),
        *,
        what: str = "the score",
        flags: tuple[str, str] = ("--behaviour-value", "--unscored-value"),
    ) -> None:
        self.what = what
        """Name of the score in messages."""
        self._flag, self._other_flag = flags
        self._bounds: list[tuple[str, float]] = []
        self._values: list[str] = []
        for text in behaviour_values:
            found = _BOUND.fullmatch(text)
            if found is None:
                self._values.append(text.strip())
                continue
            limit = _number(found[2])
            if limit is None or math.isnan(limit):
                raise InvalidInput(
                    f"{self._flag} {text!r} bounds a score by {found[2]!r}, which is "
                    f"not a number. Give a bound such as {self._flag} '>=0.5'."
                )
            self._bounds.append((found[1], limit))
        numbers = map(_number, self._values)
        self._numbers = {number for number in numbers if number is not None}
        self._silent = [text.strip() for text in unscored_values]
        both = set(self._values) & set(self._silent)
        if both:
            raise InvalidInput(
                f"{min(both)!r} is given to both {self._flag} and {self._other_flag}. "
                "Give it to one of them."
            )
        self.seen: Counter[tuple[str, bool | None]] = Counter()

    @property
    def stated(self) -> bool:
        """Whether the user has said which values mean the behaviour."""
        return bool(self._values or self._bounds)

    @property
    def rule(self) -> str:
        """The rule in words."""
        said = [repr(value) for value in self._values]
        said += [f"{sign} {limit:g}" for sign, limit in self._bounds]
        return f"{self.what} is {listed(said, ' or ')}"

    def judged(self, value: Any, place: str = "a score") -> bool | None:
        """Whether a value means the behaviour; None if it was not scored."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        if not isinstance(value, str | bool | int | float):
            raise InvalidData(_no_scalar(place, value))
        text = label(value)
        shows = None if text in self._silent else self._shows(value, text, place)
        if len(self.seen) < _DISTINCT or (text, shows) in self.seen:
            self.seen[text, shows] += 1
        return shows

    def _shows(self, value: str | bool | int | float, text: str, place: str) -> bool:
        if not self.stated:
            return False
        if text in self._values:
            return True
        if self._numbers and _number(value) in self._numbers:
            return True
        if self._bounds:
            number = _LETTERS.get(text, _number(value))
            if number is None:
                raise InvalidData(
                    f"{place} has the value {_shown(value)}, which cannot be compared "
                    "with a bound. Name it, either as the behaviour, "
                    f"{self._flag} {_shown(value)}, or as not scored, "
                    f"{self._other_flag} {_shown(value)}."
                )
            return any(_COMPARED[sign](number, limit) for sign, limit in self._bounds)
        partial = text == "P" and set(self._values) <= set(_LETTERS)
        if partial or (isinstance(value, float) and value % 1):
            raise InvalidData(
                f"{place} has the value {_shown(value)}, which is neither the "
                f"behaviour nor its absence under the rule "
                f"{shortened(self.rule, 4 * _SHOWN)}. Give a bound, such as "
                f"{self._flag} '>=0.5', add the value, or declare it not scored: "
                f"{self._other_flag} {shortened(text, _SHOWN)}."
            )
        return False

    def check(self, files: str) -> None:
        """Refuse if no value is stated to be the behaviour, or it never occurs."""
        values = [text for text, _ in self.seen]
        if not self.stated:
            raise InvalidData(
                f"{files}: {self.what} has the values {self._tally()}. State which of "
                f"them mean the behaviour. {self._readings(values)}"
            )
        if self._bounds or not values:
            return
        there = set(values)
        if there & set(self._values) or any(shows for _, shows in self.seen):
            return
        for words in _VOCABULARIES:
            own = {value.lower() for value in self._values}
            if self._alike(words, there) and (
                own <= words or set(self._values) <= words
            ):
                return
        wanted = listed([*map(_shown, self._values)], " or ")
        raise InvalidData(
            f"{files}: {self.what} is never {wanted}. Its values are "
            f"{self._tally()}. {self._readings(values)}"
        )

    def _alike(self, words: frozenset[str], there: set[str]) -> bool:
        return there <= words or {value.lower() for value in there} <= words

    def _tally(self) -> str:
        total: Counter[str] = Counter()
        for (text, _), rows in self.seen.items():
            total[text] += rows
        most = total.most_common(_LISTED)
        named = [f"{_shown(text)} ({rows:,})" for text, rows in most]
        return ", ".join(named) + (", ..." if len(total) > _LISTED else "")

    def _readings(self, values: Sequence[str]) -> str:
        numbers = [_number(value) for value in values]
        if values and all(number is not None for number in numbers):
            ordered = sorted(cast("list[float]", numbers))
            middle = 0.5 if ordered[-1] <= 1 else (ordered[0] + ordered[-1]) / 2
            return (
                f"If large scores mean the behaviour: {self._flag} '>={middle:g}'. If "
                f"small ones do: {self._flag} '<{middle:g}'."
            )
        if set(values) <= set(_LETTERS):
            return (
                "If the scorer looks for the behaviour, 'C' (correct) means it was "
                f"shown: {self._flag} C. If the target is good conduct, such as a "
                "refusal, 'I' (incorrect) means it was shown: "
                f"{self._flag} I."
            )
        readings = [f"{self._flag} {_quoted(value)}" for value in sorted(set(values))]
        return f"For example: {', or '.join(readings[:_READINGS])}."


def label(value: str | bool | int | float) -> str:
    """A value of a score as text.

    Examples
    --------
    >>> label(" C"), label(True), label(1.0)
    ('C', 'true', '1')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value.strip()
    # An integer may be too large for a float.
    return str(value) if isinstance(value, int) else f"{value:.12g}"


def _number(value: str | bool | int | float) -> float | None:
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _shown(value: Any) -> str:
    return shortened(repr(value), _SHOWN)


def _quoted(value: str) -> str:
    whole = len(value) <= _SHOWN and re.fullmatch(r"[\w.+-]+", value)
    return value if whole else _shown(value)


def _no_scalar(place: str, value: Any) -> str:
    kind = "more than one value"
    if isinstance(value, dict):
        keys = listed([*map(_shown, cast("dict[Any, Any]", value))])
        kind = f"a value for each of {keys}: choose one, --score-key KEY"
    elif isinstance(value, list):
        kind = f"a list of {len(cast('list[Any]', value))} values: make it one value"
    return f"{place} has {kind}. A trial has one outcome."
