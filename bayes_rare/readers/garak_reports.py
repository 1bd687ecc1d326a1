"""Evaluations in reports of garak: each output of an attempt is a trial.

An attempt is written twice, before and after its outputs are scored: only the latter
counts. A detector that gives no score for an output has said nothing of it.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bayes_rare.errors import InvalidData, InvalidInput
from bayes_rare.readers.contract import near
from bayes_rare.readers.gathering import HIT, MISS, Gathering
from bayes_rare.readers.imported import (
    MAX_DROPPED,
    ImportedTable,
    found_logs,
    imported,
)
from bayes_rare.readers.streams import Json, as_list, as_object, json_lines
from bayes_rare.shortening import listed

__all__ = ["import_garak"]

_PATTERN = "*.report.jsonl"
_SCORED = 2
_TEXT = 1_000
_FIELDS = ("probe", "detector", "model", "goal", "intent")
_OUTPUT_BITS = 20
_NO_MODEL = "model not named"


def import_garak(
    logs: str | Path | Sequence[str | Path],
    *,
    detectors: Sequence[str] = (),
    threshold: int | float | None = None,
    behaviour: str = "detector",
    family: str | None = "probe",
    max_dropped: int | float = MAX_DROPPED,
) -> ImportedTable:
    """The evaluation table in reports of garak.

    A query is a prompt of a probe, and its generations are its trials: one where the
    detector's score is at or above the threshold shows the behaviour.

    Parameters
    ----------
    logs
        Paths of ``*.report.jsonl``, glob patterns, folders, or several of these.
    detectors
        Which detectors to read; needed where attempts have several. Each is a
        behaviour.
    threshold
        Score from which on an output shows the behaviour, from 0 to 1; by default the
        one that the run was evaluated with.
    behaviour
        Where the name of the behaviour is from: "detector", "probe", "model", "goal" or
        "intent". Where reports are of several models, that is added.
    family
        Where the family is from, in the same way; None for none.
    max_dropped
        Largest share of lost outputs of any behaviour, from 0 to 1.

    Raises
    ------
    InvalidData
        If a report cannot be read, or too many outputs are lost.
    InvalidInput
        If a detector must be named, one is named that is not there, or no threshold is
        known.

    Examples
    --------
    >>> import json, tempfile
    >>> row = {"entry_type": "attempt", "status": 2, "uuid": "a", "prompt": "Hi"}
    >>> row |= {"probe_classname": "p.P", "detector_results": {"d.D": [1.0, 0.0, None]}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "run.report.jsonl"
    ...     _ = path.write_text(json.dumps(row))
    ...     made = import_garak(path, threshold=0.5, max_dropped=0.5)
    >>> made.rows.select(["behaviour", "successes", "trials"]).to_pylist()
    [{'behaviour': 'd.D', 'successes': 1, 'trials': 2}]
    """
    for name in (behaviour, family):
        if name is not None and name not in _FIELDS:
            raise InvalidInput(
                f"{name!r} is nothing that an attempt has{near(name, _FIELDS)}. Known: "
                f"{', '.join(_FIELDS)}."
            )
    if threshold is not None and not 0 <= threshold <= 1:
        raise InvalidInput(
            f"--threshold is a score from 0 to 1, got {threshold}. Give 0.5."
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
        max_dropped=max_dropped,
    )


@dataclass
class _Report:
    """What is known of one report so far."""

    path: Path
    model: str
    threshold: float | None = None
    # Attempts that were written and not yet scored, with their place and outputs.
    waiting: dict[str, tuple[Json, str]] = field(
        default_factory=dict[str, tuple[Json, str]]
    )
    # Scored attempts that have no identity, by probe and prompt: further generations.
    nameless: Counter[str] = field(default_factory=Counter[str])


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
        self._known: set[str] = set()
        self._of_probe: dict[str, set[str]] = {}
        self._unnamed = 0

    def take(self, path: Path, model: str) -> None:
        """Read a report."""
        report = _Report(path, model)
        for number, line in json_lines(path):
            place = f"{path}, line {number:,}"
            if not isinstance(line, dict):
                raise InvalidData(
                    f"{place} is no object. Give a report of garak, *.report.jsonl."
                )
            row = as_object(line)
            kind = row.get("entry_type")
            if kind == "start_run setup":
                found = row.get("run.eval_threshold")
                if isinstance(found, int | float):
                    report.threshold = float(found)
            elif kind == "attempt":
                self._attempt(report, row, place)
        for row, place in report.waiting.values():
            self._unfinished(report, row, place)

    def finish(self, names: Sequence[str]) -> None:
        """Refuse a detector that is nowhere."""
        missing = [name for name in self._detectors if name not in self._known]
        if missing:
            raise InvalidInput(
                f"no attempt in {listed(names[:3])} has scores of the detector "
                f"{missing[0]!r}{near(missing[0], list(self._known))}. There are: "
                f"{listed(sorted(self._known)) or 'none'}."
            )

    def _attempt(self, report: _Report, row: Json, place: str) -> None:
        name = _identity(row)
        if row.get("status") != _SCORED:
            self._unnamed += 1
            key = name or f"{_nameless(row)} {self._unnamed}"
            report.waiting[key] = (row, place)
            return
        if name is None:
            # The first of the attempts that wait for this prompt has been scored.
            prompt = _nameless(row)
            for key in report.waiting:
                if key.startswith(f"{prompt} "):
                    del report.waiting[key]
                    break
            turn = report.nameless[prompt]
            report.nameless[prompt] += 1
            name = prompt
        else:
            report.waiting.pop(name, None)
            turn = 0
        results = as_object(row.get("detector_results"))
        self._known.update(results)
        probe = str(row.get("probe_classname"))
        self._of_probe.setdefault(probe, set()).update(results)
        if not results:
            self._unfinished(report, row, place)
            return
        if not self._detectors and len(results) > 1:
            raise InvalidInput(
                f"{place} has scores of the detectors "
                f"{listed([*map(repr, results)])}. Name those that tell the behaviour: "
                f"--detector {next(iter(results))}."
            )
        wanted = [
            one for one in results if one in self._detectors or not self._detectors
        ]
        for detector in wanted:
            self._outputs(report, row, place, detector, results[detector], name, turn)
        if not wanted:
            first = next(iter(results))
            rows = len(as_list(results[first]))
            label = self._name(report, row, first)
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
    ) -> None:
        """Take each output of an attempt by the score of a detector."""
        if not isinstance(scores, list):
            raise InvalidData(
                f"{place} has {str(scores)[:40]!r} for the scores of {detector!r}, "
                "where a list belongs. Give a report as garak wrote it."
            )
        limit = self._limit(report, place)
        self.rules.add(f"score of {detector} >= {limit:g}")
        behaviour = self._name(report, row, detector)
        labels: dict[str, Any] = {
            "family": self._label(self._family, report, row, detector),
            "text": _text(row.get("prompt")),
            "place": place,
        }
        for number, score in enumerate(as_list(scores)):
            slot = turn << _OUTPUT_BITS | number
            if score is None or (isinstance(score, float) and math.isnan(score)):
                said = f"{detector} gave no score"
                self.gathered.lose(behaviour, query, slot, "unscored", said, **labels)
                continue
            if not isinstance(score, int | float):
                raise InvalidData(
                    f"{place} has the score {score!r} of {detector!r}, which is no "
                    "number. Give a report as garak wrote it."
                )
            shows = float(score) >= limit
            said = f"{detector} {float(score):.2g}"
            outcome = HIT if shows else MISS
            self.gathered.add(behaviour, query, slot, outcome, said=said, **labels)

    def _unfinished(self, report: _Report, row: Json, place: str) -> None:
        """Count the outputs of an attempt that was never scored."""
        rows = len(as_list(row.get("outputs")))
        name = _identity(row) or _nameless(row)
        # Which detectors would have scored it, other attempts of its probe tell.
        known = self._of_probe.get(str(row.get("probe_classname")), set())
        wanted = [one for one in sorted(known) if one in self._detectors]
        if known and self._detectors and not wanted:
            return
        for detector in wanted or sorted(known) or ["unscored"]:
            labels: dict[str, Any] = {
                "family": self._label(self._family, report, row, detector),
                "text": _text(row.get("prompt")),
                "place": place,
            }
            behaviour = self._name(report, row, detector)
            for number in range(max(rows, 1)):
                self.gathered.lose(
                    behaviour,
                    name,
                    -1 - number,
                    "unfinished",
                    "the attempt was not scored",
                    **labels,
                )

    def _limit(self, report: _Report, place: str) -> float:
        if self._threshold is not None:
            return float(self._threshold)
        if report.threshold is None:
            raise InvalidInput(
                f"{place}: the report does not tell the threshold of its evaluation "
                "(run.eval_threshold). Give one: --threshold 0.5, which is garak's own."
            )
        return report.threshold

    def _name(self, report: _Report, row: Json, detector: str) -> str:
        name = self._label(self._behaviour, report, row, detector) or ""
        if self._several_models and self._behaviour != "model":
            return f"{name} ({report.model})"
        return name

    def _label(
        self, what: str | None, report: _Report, row: Json, detector: str
    ) -> str | None:
        if what is None:
            return None
        if what == "detector":
            return detector
        if what == "model":
            return report.model
        return str(row.get("probe_classname" if what == "probe" else what) or "")


def _model(path: Path) -> str:
    """The system that a report is of, from its first lines."""
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


def _identity(row: Json) -> str | None:
    """The attempt's own name; else its probe and number in it; None without either."""
    if row.get("uuid"):
        return str(row["uuid"])
    if isinstance(row.get("seq"), int) and row.get("probe_classname"):
        return f"{row['probe_classname']}/{row['seq']}"
    return None


def _nameless(row: Json) -> str:
    """What attempts without a name are told apart by."""
    return f"{row.get('probe_classname')}/{_text(row.get('prompt'))}"


def _text(prompt: Any) -> str:
    """What was asked, of a prompt that is text or a conversation."""
    if isinstance(prompt, str):
        return prompt[:_TEXT]
    parts: list[str] = []
    for turn in as_list(as_object(prompt).get("turns")):
        content = as_object(turn).get("content")
        text = as_object(content).get("text") or content
        if isinstance(text, str):
            parts.append(text)
    return "\n".join(parts)[:_TEXT]
