"""Evaluations from garak reports: each output of an attempt is a trial.

An attempt is written twice, before and after its outputs are scored; only the latter
counts. A query is the whole prompt of a probe. Attempts with the same prompt, in one
run or several, are further trials of it.

A report does not contain the threshold of its run. Its ``eval`` rows say how many
outputs passed, which the threshold must reproduce.
"""

import hashlib
import json
import math
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from bayes_rare.arguments.checking import checked_call
from bayes_rare.errors import InvalidData, InvalidInput, listed, quoted, shortened
from bayes_rare.readers.logs.imported import (
    MAX_DROPPED,
    ImportedTable,
    found_logs,
    imported,
)
from bayes_rare.readers.logs.json_stream import Json, as_list, as_object, json_lines
from bayes_rare.readers.logs.trials import HIT, MISS, Gathering, tail
from bayes_rare.readers.tables.contract import near

__all__ = ["import_garak"]

_PATTERN = "*.report.jsonl"
_SCORED = 2
# garak's default, which is never written into a report.
_THRESHOLD = 0.5
_TEXT = 1_000
_FIELDS = ("probe", "detector", "model", "goal", "intent")
_OUTPUT_BITS = 20
_NO_MODEL = "model not named"
# Keys of a message that are not sent to the model.
_SILENT = {"lang", "notes"}


@checked_call
def import_garak(
    logs: str | Path | Sequence[str | Path],
    *,
    detectors: Sequence[str] = (),
    threshold: int | float | None = None,
    behaviour: str = "detector",
    family: str | None = "probe",
    max_dropped: int | float = MAX_DROPPED,
) -> ImportedTable:
    """The evaluation table in garak reports.

    A query is the whole prompt of a probe, with all its turns. Its generations, in all
    runs, are its trials. A generation shows the behaviour if the detector's score
    reaches the threshold.

    Parameters
    ----------
    logs
        Paths of ``*.report.jsonl``, glob patterns, folders, or several of these.
    detectors
        Which detectors to read; needed if attempts have several. Each is a behaviour.
    threshold
        Score from which an output shows the behaviour, from 0 to 1. By default garak's
        own, 0.5. It is checked against the numbers of outputs that passed according to
        the reports.
    behaviour
        Where the name of the behaviour comes from: "detector", "probe", "model", "goal"
        or "intent". The model is added if there are several.
    family
        Where the family comes from, in the same way; None for no families.
    max_dropped
        Largest share of outputs of any behaviour that may be lost, from 0 to 1.

    Raises
    ------
    InvalidData
        If a report cannot be read, or too many outputs are lost.
    InvalidInput
        If attempts have several detectors and none is chosen, there is no such
        detector, or the default threshold contradicts the reports.

    Examples
    --------
    >>> import json, tempfile
    >>> row = {"entry_type": "attempt", "status": 2, "uuid": "a", "prompt": "Hi"}
    >>> row |= {"probe_classname": "p.P", "detector_results": {"d.D": [1.0, 0.0, None]}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "run.report.jsonl"
    ...     _ = path.write_text(json.dumps(row))
    ...     made = import_garak(path, max_dropped=0.5)
    >>> made.rows.select(["behaviour", "successes", "trials"]).to_pylist()
    [{'behaviour': 'd.D', 'successes': 1, 'trials': 2}]
    """
    for name in (behaviour, family):
        if name is not None and name not in _FIELDS:
            raise InvalidInput(
                f"attempts have no field {quoted(name, 60)}"
                f"{near(name, _FIELDS)}. There are: {', '.join(_FIELDS)}."
            )
    if threshold is not None and not 0 <= threshold <= 1:
        raise InvalidInput(
            f"--threshold must be from 0 to 1, got {threshold}. Give 0.5."
        )
    paths = found_logs(logs, (_PATTERN,), "report of garak")
    models = {path: _model(path) for path in paths}
    reading = _Reading(
        tuple(detectors), threshold, behaviour, family, len(set(models.values())) > 1
    )
    for path in paths:
        reading.take(path, models[path])
    reading.finish([path.name for path in paths])
    return imported(
        reading.gathered,
        reader="garak",
        sources=[path.name for path in paths],
        rule="; ".join(sorted(reading.rules)),
        warnings=list(reading.warnings()),
        max_dropped=max_dropped,
    )


@dataclass
class _Scores:
    """Scores of a probe by a detector in one report, and the report's own counts."""

    numbers: "array[float]" = field(default_factory=lambda: array("d"))
    passed: int = 0
    evaluated: int = 0
    stated: bool = False

    def below(self, threshold: float) -> int:
        """Number of outputs that pass."""
        return sum(number < threshold for number in self.numbers)

    def reached(self) -> tuple[float, float]:
        """Thresholds above the first, and up to the second, agree with the counts."""
        ordered = sorted(n for n in self.numbers if not math.isnan(n))
        if self.passed > len(ordered):
            return math.inf, -math.inf
        edges = [-math.inf, *ordered, math.inf]
        return edges[self.passed], edges[self.passed + 1]


@dataclass(frozen=True)
class _Attempt:
    """An attempt without scores, and its report."""

    report: "_Report"
    row: Json
    place: str
    query: str
    name: str | None


@dataclass
class _Report:
    """A report, as far as it has been read."""

    path: Path
    model: str
    run: str
    threshold: float | None = None
    # Attempts that are not scored yet, by query and identity.
    waiting: dict[tuple[str, str | None], deque[_Attempt]] = field(
        default_factory=dict[tuple[str, str | None], deque[_Attempt]]
    )
    scores: dict[tuple[str, str], _Scores] = field(
        default_factory=dict[tuple[str, str], _Scores]
    )


class _Reading:
    """One pass over all reports."""

    def __init__(
        self,
        detectors: tuple[str, ...],
        threshold: int | float | None,
        behaviour: str,
        family: str | None,
        several_models: bool,
    ) -> None:
        self.gathered = Gathering()
        self.rules: set[str] = set()
        self._detectors = detectors
        self._threshold = threshold
        self._behaviour, self._family = behaviour, family
        self._several_models = several_models
        self._of_probe: dict[str, dict[str, None]] = {}
        self._late: list[_Attempt] = []
        # Scored attempts of each query, each with its number.
        self._scored: dict[str, dict[str, int]] = {}
        self._files: list[str] = []
        self._assumed: list[str] = []
        self._agreeing = self._unchecked = self._surplus = self._blank = 0
        self._contrary: list[str] = []

    def take(self, path: Path, model: str) -> None:
        """Read a report."""
        report = _Report(path, model, str(path))
        for number, line in json_lines(path):
            place = f"{tail(path)}, line {number:,}"
            row = as_object(line)
            kind = row.get("entry_type")
            if not isinstance(kind, str):
                what = "has no entry_type"
                if not isinstance(line, dict):
                    what = "is not an object"
                raise InvalidData(
                    f"{place} {what}, so this is not a garak report. Give a file named "
                    "*.report.jsonl that garak wrote."
                )
            if kind == "start_run setup":
                found = _number(row.get("run.eval_threshold"))
                report.threshold = report.threshold if found is None else found
            elif kind == "init":
                report.run = str(row.get("run") or report.run)
            elif kind == "attempt":
                self._attempt(report, row, place)
            elif kind == "eval":
                _count(report, row)
        for waiting in report.waiting.values():
            self._late += waiting
        self._files.append(path.name)
        self._check(report)

    def finish(self, names: Sequence[str]) -> None:
        """Count attempts that were never scored; refuse an unknown detector."""
        known = {name: None for of in self._of_probe.values() for name in of}
        missing = [name for name in self._detectors if name not in known]
        if missing:
            raise InvalidInput(
                f"no attempt in {listed(names)} has scores of the detector "
                f"{quoted(missing[0], 60)}{near(missing[0], list(known))}. There "
                f"are: {listed(sorted(known)) or 'none'}."
            )
        for attempt in self._late:
            self._unfinished(attempt, list(known))

    def warnings(self) -> Iterator[str]:
        """Warnings that the reports give rise to."""
        if self._assumed:
            said = "cannot be checked, as the reports do not count outputs that passed"
            if self._agreeing:
                said = f"agrees with {self._agreeing:,} counts of outputs that passed"
            elif self._contrary:
                said = "could not be checked against counts of outputs that passed"
            if self._agreeing and self._unchecked:
                said += f"; {self._unchecked:,} could not be checked"
            yield (
                f"garak's default threshold, {_THRESHOLD:g}, was used, as reports do "
                f"not contain the threshold of their run ({listed(self._assumed)}). It "
                f"{said}. If a run had another threshold: --threshold SCORE."
            )
        if self._contrary:
            yield (
                f"{len(self._contrary):,} counts in the reports differ from what was "
                f"read: {listed(self._contrary, '; ', most=400, each=200)}."
            )
        if self._surplus:
            yield (
                f"{self._surplus:,} scores have no output of their own, as when a "
                "detector scores each turn of a conversation: each counts as a trial."
            )
        if self._blank:
            yield (
                f"{self._blank:,} scored outputs are empty. They count as trials; "
                "check that the system answered at all."
            )

    def _attempt(self, report: _Report, row: Json, place: str) -> None:
        name = _identity(report, row)
        probe = _probe(row)
        query = _query(row, probe, name, place)
        if row.get("status") != _SCORED:
            waiting = report.waiting.setdefault((query, name), deque())
            if name is not None:
                # This is the same attempt, written again.
                waiting.clear()
            waiting.append(_Attempt(report, row, place, query, name))
            return
        waiting = report.waiting.get((query, name))
        if waiting:
            waiting.popleft()
        results = row.get("detector_results")
        if results and not isinstance(results, dict):
            raise InvalidData(
                f"{place} has detector_results {quoted(results, 40)}, which are not "
                "scores by detector. Give a report as garak wrote it."
            )
        results = as_object(results)
        if not results:
            self._late.append(_Attempt(report, row, place, query, name))
            return
        self._of_probe.setdefault(probe, {}).update(dict.fromkeys(results))
        if not self._detectors and len(results) > 1:
            raise InvalidInput(
                f"{place} has scores of the detectors "
                f"{listed(list(map(repr, results)))}. Choose those that detect the "
                f"behaviour: --detector {shortened(next(iter(results)), 60)}."
            )
        wanted = [
            one for one in results if one in self._detectors or not self._detectors
        ]
        known = self._scored.setdefault(query, {})
        again = name in known
        turn = known.setdefault(name or f"number {len(known)}", len(known))
        for detector in wanted:
            self._outputs(
                report, row, place, detector, results[detector], query, turn, again
            )
        if not wanted:
            first = next(iter(results))
            outputs = _outputs(row, place)
            rows = max(len(as_list(results[first])), len(outputs), 1)
            label = self._name(report, row, first, place)
            self.gathered.set_aside(label, "other detector", rows)

    def _outputs(
        self,
        report: _Report,
        row: Json,
        place: str,
        detector: str,
        scores: Any,
        query: str,
        turn: int,
        again: bool,
    ) -> None:
        """Add each output of an attempt as a trial, by the score of a detector."""
        if not isinstance(scores, list):
            raise InvalidData(
                f"{place} has the scores {quoted(scores, 40)} of "
                f"{quoted(detector, 60)}, which are not a list. Give a report as garak "
                "wrote it."
            )
        scores = as_list(cast("Any", scores))
        limit = self._limit(report)
        self.rules.add(f"score of {detector} >= {limit:g}")
        behaviour = self._name(report, row, detector, place)
        labels: dict[str, Any] = {
            "family": self._label(self._family, report, row, detector, place),
            "text": _text(row.get("prompt")),
            "place": place,
        }
        found = report.scores.setdefault((_probe(row), _bare(detector)), _Scores())
        outputs = _outputs(row, place)
        if "outputs" in row:
            self._surplus += max(len(scores) - len(outputs), 0)
        first = turn << _OUTPUT_BITS
        if again:
            slots = range(first, first + (1 << _OUTPUT_BITS))
            self.gathered.renew(behaviour, query, slots)
        pairs = _paired(outputs, scores)
        for number, (output, score) in enumerate(pairs):
            slot = first + number
            value = None if score is None else _score(score, detector, place)
            if value is not None:
                found.numbers.append(value)
            if output is None:
                said = "no output was generated"
                self.gathered.lose(behaviour, query, slot, "errored", said, **labels)
            elif value is None or math.isnan(value):
                said = f"{detector} gave no score"
                self.gathered.lose(behaviour, query, slot, "unscored", said, **labels)
            else:
                self._blank += output == ""
                outcome = HIT if value >= limit else MISS
                said = f"{detector} {value:.2g}"
                self.gathered.add(behaviour, query, slot, outcome, said=said, **labels)

    def _unfinished(self, attempt: _Attempt, known: Sequence[str]) -> None:
        """Count the outputs of an attempt that was never scored as lost."""
        row, query = attempt.row, attempt.query
        turns = self._scored.setdefault(query, {})
        if attempt.name is not None and attempt.name in turns:
            return  # it was scored elsewhere
        turn = turns.setdefault(attempt.name or f"number {len(turns)}", len(turns))
        rows = max(len(_outputs(row, attempt.place)), 1)
        # It would have been scored by the detectors of its probe's other attempts.
        own = self._of_probe.get(_probe(row), {})
        wanted = [one for one in own if one in self._detectors or not self._detectors]
        if own and not wanted:
            label = self._name(attempt.report, row, next(iter(own)), attempt.place)
            self.gathered.set_aside(label, "other detector", rows)
            return
        if not wanted:
            wanted = list(self._detectors) or list(known if len(known) == 1 else ())
        for detector in wanted or ["unscored"]:
            place = attempt.place
            labels: dict[str, Any] = {
                "family": self._label(
                    self._family, attempt.report, row, detector, place
                ),
                "text": _text(row.get("prompt")),
                "place": place,
            }
            behaviour = self._name(attempt.report, row, detector, place)
            for number in range(rows):
                self.gathered.lose(
                    behaviour,
                    query,
                    turn << _OUTPUT_BITS | number,
                    "unfinished",
                    "the attempt was not scored",
                    **labels,
                )

    def _limit(self, report: _Report) -> float:
        if self._threshold is not None:
            return float(self._threshold)
        return _THRESHOLD if report.threshold is None else report.threshold

    def _check(self, report: _Report) -> None:
        """Check the threshold against the report's numbers of outputs that passed."""
        limit = self._limit(report)
        if self._threshold is None and report.threshold is None:
            self._assumed.append(report.path.name)
        complete: list[_Scores] = []
        wrong = 0
        named = {_bare(name) for name in self._detectors}
        for (probe, detector), scores in report.scores.items():
            if named and detector not in named:
                continue
            if not scores.stated:
                self._unchecked += 1
                continue
            name = shortened(f"{report.path.name}, {probe} by {detector}", 150)
            if scores.evaluated != len(scores.numbers):
                self._unchecked += 1
                self._contrary.append(
                    f"{name}: the report counts {scores.evaluated:,} scored outputs, "
                    f"but has {len(scores.numbers):,}"
                )
                continue
            complete.append(scores)
            passed = scores.below(limit)
            if scores.passed != passed:
                wrong += 1
                self._contrary.append(
                    f"{name}: the report counts {scores.passed:,} of "
                    f"{scores.evaluated:,} outputs as passed, but {passed:,} have a "
                    f"score below {limit:g}"
                )
            else:
                self._agreeing += 1
        if wrong and self._threshold is None:
            fits = _agreeing(complete)
            raise InvalidInput(
                f"the threshold {limit:g} contradicts the report. "
                f"{self._contrary[-1]}. "
                + (
                    "No threshold agrees with it; to use this one anyway: --threshold "
                    f"{limit:g}."
                    if fits is None
                    else f"One that agrees: --threshold {fits}."
                )
            )

    def _name(self, report: _Report, row: Json, detector: str, place: str) -> str:
        name = self._label(self._behaviour, report, row, detector, place) or ""
        if self._several_models and self._behaviour != "model":
            return f"{name} ({report.model})"
        return name

    def _label(
        self, what: str | None, report: _Report, row: Json, detector: str, place: str
    ) -> str | None:
        if what is None:
            return None
        if what == "detector":
            return detector
        if what == "model":
            return report.model
        value = row.get("probe_classname" if what == "probe" else what)
        if not isinstance(value, str | int | float) or value == "":
            raise InvalidData(
                f"{place} has the {what} {quoted(value, 40)}, which is not a name. "
                "Take behaviour and family from fields that all attempts have: "
                "--behaviour detector --family none."
            )
        return str(value)


def _model(path: Path) -> str:
    """The system under evaluation, from the first lines of a report."""
    for number, line in json_lines(path):
        setup = as_object(line)
        if setup.get("entry_type") == "start_run setup":
            names = [
                setup.get(f"plugins.{kind}_{part}") or setup.get(f"plugins.{old}")
                for kind, part, old in (
                    ("target", "type", "model_type"),
                    ("target", "name", "model_name"),
                )
            ]
            return " ".join(str(name) for name in names if name) or _NO_MODEL
        if number > 10:
            break
    return _NO_MODEL


def _identity(report: _Report, row: Json) -> str | None:
    """What distinguishes attempts with the same prompt; None if nothing does."""
    if row.get("uuid"):
        return str(row["uuid"])
    if isinstance(row.get("seq"), int) and row.get("probe_classname"):
        return f"{report.run}/{row['probe_classname']}/{row['seq']}"
    return None


def _probe(row: Json) -> str:
    return _bare(str(row.get("probe_classname") or ""))


def _bare(name: str) -> str:
    """The name of a probe or detector, the same for all versions of garak."""
    for front in ("garak.", "probes.", "detectors.", "detector."):
        name = name.removeprefix(front)
    return name


def _query(row: Json, probe: str, name: str | None, place: str) -> str:
    """The identity of a query: its probe, and a digest of the whole prompt."""
    prompt = row.get("prompt")
    if not prompt and not isinstance(prompt, str):
        # Without a prompt, no two attempts are known to be the same query.
        if name is None:
            raise InvalidData(
                f"{place} has no prompt, no uuid and no seq, so its query is unknown. "
                "Give a report as garak wrote it."
            )
        return f"{probe}/{name}"
    try:
        content = json.dumps(_asked(prompt), sort_keys=True)
    except RecursionError as error:
        raise InvalidData(
            f"{place} has a prompt that is nested too deeply. Give a report as garak "
            "wrote it."
        ) from error
    return f"{probe}/{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def _asked(prompt: Any) -> Any:
    """What the model was sent, in one form for all versions of garak."""
    if isinstance(prompt, str):
        return [{"role": "user", "content": {"text": prompt}}]
    turns = as_object(prompt).get("turns", prompt)
    if not isinstance(turns, list):
        # A single message of the user.
        turns = [{"role": "user", "content": prompt}]
    asked: list[Any] = []
    for turn in as_list(turns):
        if not isinstance(turn, dict):
            asked.append(turn)
            continue
        content = as_object(turn).get("content")
        if isinstance(content, str):
            content = {"text": content}
        if isinstance(content, dict):
            content = _filled(as_object(cast("Any", content)))
            if "data_checksum" in content:
                # The path of an attachment does not matter.
                content.pop("data_path", None)
        asked.append({"role": as_object(turn).get("role"), "content": content})
    return asked


def _filled(message: Json) -> dict[str, Any]:
    """The content of a message, without annotations and empty fields."""
    return {
        key: value
        for key, value in message.items()
        if key not in _SILENT and value not in (None, "", [], {})
    }


def _text(prompt: Any) -> str:
    """What was asked, as one text; several turns with their roles."""
    turns = as_list(_asked(prompt))
    parts: list[str] = []
    for turn in map(as_object, turns):
        text = as_object(turn.get("content")).get("text")
        if isinstance(text, str):
            parts.append(text if len(turns) == 1 else f"{turn.get('role')}: {text}")
    return "\n".join(parts)[:_TEXT]


def _outputs(row: Json, place: str) -> list[str | None]:
    """The outputs of an attempt, as text; None for one that was not generated."""
    outputs = row.get("outputs")
    if outputs is not None and not isinstance(outputs, list):
        raise InvalidData(
            f"{place} has the outputs {quoted(outputs, 40)}, which are not a list. "
            "Give a report as garak wrote it."
        )
    return [_said(output) for output in as_list(outputs)]


def _said(output: Any) -> str | None:
    """The text of an output; a fixed text for an attachment."""
    if not isinstance(output, dict):
        return None if output is None else str(output)
    message = as_object(cast("Any", output))
    text = message.get("text")
    if not text and _filled(message).keys() - {"text"}:
        return "an attachment"
    return None if text is None else str(text)


def _paired(
    outputs: Sequence[str | None], scores: Sequence[Any]
) -> list[tuple[str | None, Any]]:
    """Each output with its score; None for a missing output or score."""
    made = [number for number, output in enumerate(outputs) if output is not None]
    if len(made) == len(scores) < len(outputs):
        # Detectors of older versions skip outputs that were not generated.
        own: list[Any] = [None] * len(outputs)
        for number, score in zip(made, scores, strict=True):
            own[number] = score
        return list(zip(outputs, own, strict=True))
    rows = max(len(outputs), len(scores), 1)
    padded = [*outputs, *["not told"] * (rows - len(outputs))]
    return list(zip(padded, [*scores, *[None] * (rows - len(scores))], strict=True))


def _number(value: Any) -> float | None:
    """A value as a number, if it is one."""
    try:
        return float(value) if isinstance(value, int | float) else None
    except OverflowError:
        return None


def _score(score: Any, detector: str, place: str) -> float:
    value = _number(score)
    if value is None or math.isinf(value):
        raise InvalidData(
            f"{place} has the score {quoted(score, 40)} of {quoted(detector, 60)}, "
            "which is not a number. Give a report as garak wrote it."
        )
    return value


def _count(report: _Report, row: Json) -> None:
    """Note how many outputs of a probe passed a detector, as the report says."""
    probe, detector = (_bare(str(row.get(key) or "")) for key in ("probe", "detector"))
    passed, fails = row.get("passed"), row.get("fails")
    evaluated = row.get("total_evaluated", row.get("total"))
    if evaluated is None and isinstance(passed, int) and isinstance(fails, int):
        evaluated = passed + fails
    if not isinstance(passed, int) or not isinstance(evaluated, int):
        return
    if not 0 <= passed <= evaluated:
        return
    found = report.scores.setdefault((probe, detector), _Scores())
    found.passed += passed
    found.evaluated += evaluated
    found.stated = True


def _agreeing(groups: Sequence[_Scores]) -> str | None:
    """A threshold that agrees with all counts, as text to type; None if none does."""
    ranges = [scores.reached() for scores in groups]
    low, high = max(r[0] for r in ranges), min(r[1] for r in ranges)
    for step in range(1, 21):
        if low < step / 20 <= high:
            return repr(step / 20)
    if low < high and 0 <= high <= 1:
        return repr(high)
    return None
