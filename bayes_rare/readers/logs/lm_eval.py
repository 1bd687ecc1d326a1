"""Evaluations from sample logs of lm-evaluation-harness.

=================  ================================================================
kind of request    what it says about a query
=================  ================================================================
loglikelihood      the exact probability of one continuation
multiple_choice    the exact probability of one of the choices
generate_until     repeated responses, each a trial, judged by the user's predicate
=================  ================================================================

An accuracy is none of these: it says which choice has the largest probability, which is
always the same, and not a sampled response.
"""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bayes_rare.arguments.checking import checked_call
from bayes_rare.errors import InvalidData, InvalidInput, listed, quoted, shortened
from bayes_rare.readers.logs.imported import (
    LOWER_BOUND,
    MAX_DROPPED,
    ImportedTable,
    found_logs,
    imported,
)
from bayes_rare.readers.logs.json_stream import (
    Json,
    JsonStream,
    as_list,
    as_object,
    file_chunks,
    json_lines,
)
from bayes_rare.readers.logs.trials import HIT, MISS, Gathering, tail
from bayes_rare.readers.tables.contract import near

__all__ = ["import_lm_eval"]

type Kind = Literal["loglikelihood", "multiple_choice", "generate_until"]

_KINDS: tuple[Kind, ...] = ("loglikelihood", "multiple_choice", "generate_until")
_PATTERN = "*samples_*.jsonl"
# samples_<task>_<date>.jsonl, beside results_<date>.json of the same date; a copy may
# have more in front.
_AT = r"(?P<date>\d{4}-\d\d-\d\dT[\d.:-]+)"
_NAME = re.compile(rf"(?P<front>.*?)samples_(?P<task>.+)_{_AT}\.jsonl")
_RESULTS = re.compile(rf"(?P<front>.*?)results_{_AT}\.json")
_METRIC = re.compile(r"(?P<name>[^=]+)=(?P<value>[01])")
_TEXT = 1_000
# Rounding in single precision may make a log-probability positive by this much.
_ROUNDED = 1e-4
_CONFIG = {"task", "model"}
# Keys of a line that are not metrics, which versions before 0.4.7 do not list.
_OWN = {
    *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps"),
    *("filter", "metrics", "doc_hash", "prompt_hash", "target_hash"),
}
_UNNAMED = "none"
# Scores of responses that may be missing.
_EMPTY, _NOTHING = "is empty", "is the word None"
# A plain word, without any sign of a regular expression.
_WORD = re.compile(r"[^\s()\[\]{}|^$*?\\]+")


@checked_call
def import_lm_eval(
    logs: str | Path | Sequence[str | Path],
    *,
    success: str | None = None,
    choice: str | None = None,
    filter: str | None = None,
    behaviour: str | None = None,
    family: str | None = None,
    max_dropped: int | float = MAX_DROPPED,
) -> ImportedTable:
    """The evaluation table in sample logs of lm-evaluation-harness.

    lm_eval writes them with ``--log_samples``. If there are several logs of a task and
    model, the newest counts, document by document.

    Parameters
    ----------
    logs
        Paths of ``samples_*.jsonl``, or of ``results_*.json`` for all samples of that
        run; glob patterns, folders, or several of these.
    success
        For generated responses, what shows the behaviour: a regular expression to
        search for in each response; or the name of a metric that scores each repeat
        with 1 if it does (``"metric=0"``: with 0). A word that is found in no response
        is refused; ``"(?:word)"`` allows that.
    choice
        For multiple choice, the text of the choice that is the behaviour.
    filter
        Which filter's rows to read, if there are several: its name, or, for versions
        before 0.4.7, which do not write the name, its number in the task's list, from
        1.
    behaviour
        Where the name of the behaviour comes from: "task", "model", or a field of the
        documents. By default the task. The model is added if there are several.
    family
        Where the family comes from, in the same way. By default there are no families.
    max_dropped
        Largest share of rows of any behaviour that may be lost, from 0 to 1.

    Raises
    ------
    InvalidData
        If a log cannot be read, it holds no trials, or too many rows are lost.
    InvalidInput
        If it is not stated what the behaviour is, or there is no such filter, metric,
        choice or field.

    Examples
    --------
    >>> import json, tempfile
    >>> row = {"doc_id": 0, "doc": {}, "filter": "none", "metrics": []}
    >>> row |= {"arguments": {"gen_args_0": {"arg_0": "Hi", "arg_1": " you"}}}
    >>> row |= {"resps": [[["-2.5", "False"]]], "filtered_resps": [["-2.5", "False"]]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "samples_hi_2026-11-23T14-50-43.355448.jsonl"
    ...     _ = path.write_text(json.dumps(row))
    ...     made = import_lm_eval(path)
    >>> made.rows.select(["behaviour", "query_text", "log_risk"]).to_pylist()
    [{'behaviour': 'hi', 'query_text': 'Hi', 'log_risk': -2.5}]
    """
    paths = found_logs(logs, (_PATTERN,), "sample log of lm-eval")
    files = sorted(
        (_file(one) for path in paths for one in _sample_logs(path)),
        key=lambda file: (file.date, str(file.path)),
    )
    reading = _Reading(files, success, choice, filter, behaviour, family)
    for file in files:
        reading.take(file)
    reading.refuse_silence()
    return imported(
        reading.gathered,
        reader="lm-eval",
        sources=[file.path.name for file in files],
        rule=reading.rule(),
        warnings=list(reading.warnings()),
        max_dropped=max_dropped,
    )


@dataclass(frozen=True)
class _File:
    path: Path
    task: str
    date: str
    model: str
    config: Json

    @property
    def filters(self) -> list[str]:
        """The filters of the task, in order, as far as they are known."""
        parts = map(as_object, as_list(self.config.get("filter_list")))
        return [str(part["name"]) for part in parts if "name" in part]


@dataclass
class _Seen:
    """The documents of one log, as far as it has been read."""

    # Number of lines of each.
    lines: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    # Documents with equal content, numbered.
    equal: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    # Digests of the responses of each, and of their outcomes.
    said: dict[tuple[str, str], tuple[str, str]] = field(
        default_factory=dict[tuple[str, str], tuple[str, str]]
    )


class _Reading:
    """One pass over all sample logs."""

    def __init__(
        self,
        files: Sequence[_File],
        success: str | None,
        choice: str | None,
        filter: str | None,
        behaviour: str | None,
        family: str | None,
    ) -> None:
        self.gathered = Gathering()
        self._success, self._choice, self._filter = success, choice, filter
        self._behaviour, self._family = behaviour, family
        self._several_tasks = len({file.task for file in files}) > 1
        self._several_models = len({file.model for file in files}) > 1
        self._kinds: dict[Kind, str] = {}
        self._greedy: dict[str, None] = {}
        self._metrics: dict[str, None] = {}
        self._pattern: re.Pattern[str] | None = None
        # Whether the first line has the metric named by --success, and its place.
        self._decided: tuple[bool, str] | None = None
        self._matched = False
        self._prompts: dict[tuple[str, str], str] = {}

    def take(self, file: _File) -> None:
        """Read the lines of a log."""
        chosen = self._filter
        several: dict[str, None] = {}
        seen = _Seen()
        found = named = False
        for number, line in json_lines(file.path):
            place = f"{tail(file.path)}, line {number:,}"
            row = as_object(line)
            if "resps" not in row:
                raise InvalidData(
                    f"{place} has no `resps`, so it is not a sample of lm-eval. Give "
                    "logs from --log_samples, samples_*.jsonl."
                )
            kind = self._kind(file, row, place)
            document = _document(row, place)
            query = self._identity(file, document, seen)
            name = self._line_filter(file, row, seen.lines[document])
            seen.lines[document] += 1
            named = named or row.get("filter") is not None
            several[name] = None
            behaviour = self._name(file, row, place)
            if chosen is None:
                chosen = name
            if name != chosen:
                if self._filter is None and not self._by_pattern(kind, row, place):
                    raise InvalidInput(
                        f"{place} is of the filter {quoted(name, 60)}, and earlier "
                        f"lines are of {quoted(chosen, 60)}: each document occurs once "
                        "for each filter. Choose one: --filter "
                        f"{shortened(chosen, 60)}."
                    )
                rows = max(len(_repeats(row)), 1) if kind == "generate_until" else 1
                self.gathered.set_aside(behaviour, "other filter", rows)
                continue
            found = True
            if row.get("filter") is None and not self._by_pattern(kind, row, place):
                self._refuse_unnamed(row, document, seen, place)
            self._outcomes(kind, file, row, place, behaviour, query)
        if several and not found:
            how = "" if named else ", numbered as in the task's filter_list"
            raise InvalidInput(
                f"{tail(file.path)} has no line of the filter "
                f"{quoted(self._filter, 60)}"
                f"{near(str(self._filter), list(several))}. It has: "
                f"{listed(sorted(several))}{how}."
            )

    def refuse_silence(self) -> None:
        """Refuse a word found in no response: it may be meant as a metric."""
        trials = self._trials()
        if self._pattern is None or self._matched or not trials:
            return
        word = shortened(self._success, 60)
        if _WORD.fullmatch(str(self._success)):
            raise InvalidInput(
                f"none of {trials:,} responses contains the word {word!r}, and these "
                f"logs have no such metric: {listed(list(self._metrics)) or 'none'}. "
                "If it is a regular expression that may match nothing, write: "
                f"--success '(?:{word})'."
            )

    def _trials(self) -> int:
        return sum(tally.kept for tally in self.gathered.tallies())

    def rule(self) -> str:
        """What was read as the behaviour."""
        said: list[str] = []
        if "loglikelihood" in self._kinds:
            said.append("probability of the continuation")
        if "multiple_choice" in self._kinds:
            said.append(f"probability of the choice {self._choice!r} among all choices")
        if "generate_until" in self._kinds:
            what = "response matches" if self._pattern else "metric"
            said.append(f"{what} {self._success!r}")
        return "; ".join(said)

    def warnings(self) -> Iterator[str]:
        """Warnings that the logs give rise to."""
        trials = self._trials()
        if self._pattern is not None and trials and not self._matched:
            yield (
                f"None of {trials:,} responses matches {quoted(self._success, 100)}. "
                "Try it on a response that should match: a wrong expression matches "
                "nothing either."
            )
        said: Counter[str] = Counter()
        for one in self.gathered.judgements():
            said[one.value] += one.rows
        if said[_EMPTY]:
            yield (
                f"{said[_EMPTY]:,} of {trials:,} responses are empty. They count as "
                "trials; check that no token limit or error caused this."
            )
        if said[_NOTHING]:
            yield (
                f"{said[_NOTHING]:,} of {trials:,} responses are the word 'None', "
                "which lm-eval also writes for a response that it did not get. They "
                "count as trials, as if the model had said it."
            )
        if "loglikelihood" in self._kinds:
            yield LOWER_BOUND
        if self._greedy:
            yield (
                "Generated greedily (do_sample false or temperature 0): "
                f"{listed(list(self._greedy), each=100)}. This shows whether a query "
                "always or never shows the behaviour, not how often it would at "
                "another temperature."
            )

    def _kind(self, file: _File, row: Json, place: str) -> Kind:
        """The kind of request of a line, from the results or the line itself."""
        kind = str(file.config.get("output_type") or _guessed(row))
        if kind not in _KINDS:
            raise InvalidData(
                f"{place} is of the kind {kind}, which scores a whole text and not the "
                "probability of a response. Use a task of the kind "
                f"{', '.join(_KINDS[:-1])} or {_KINDS[-1]}."
            )
        if kind not in self._kinds:
            self._refuse_missing(kind, row, place)
            self._kinds[kind] = place
            if ("generate_until" in self._kinds) and len(self._kinds) > 1:
                first, second = self._kinds.items()
                raise InvalidInput(
                    f"{first[1]} is of the kind {first[0]}, and {second[1]} of "
                    f"{second[0]}: probabilities and counts cannot be in one table. "
                    "Import them separately."
                )
        return kind

    def _refuse_missing(self, kind: Kind, row: Json, place: str) -> None:
        """Refuse if it is not stated what the behaviour is."""
        if kind == "generate_until" and self._success is None:
            raise InvalidInput(
                f"{place} has generated responses. State which of them show the "
                "behaviour. Give --success with a regular expression that they match, "
                "such as '(?i)sure, here', or with a metric that scores each "
                f"response: {listed(_metrics(row)) or 'there is none'}."
            )
        if kind == "multiple_choice" and self._choice is None:
            texts = [repr(text.strip()) for text, _ in _choices(row, place)]
            raise InvalidInput(
                f"{place} is multiple choice. State which choice is the behaviour. It "
                f"has {listed(texts)}: --choice {texts[0]}. Its accuracy is not a "
                "trial: the choice with the largest probability is always the same."
            )

    def _name(self, file: _File, row: Json, place: str) -> str:
        name = file.task
        if self._behaviour is not None:
            name = self._field(self._behaviour, file, row, place)
        if self._several_models and self._behaviour != "model":
            return f"{name} ({file.model})"
        return name

    def _field(self, name: str, file: _File, row: Json, place: str) -> str:
        if name in _CONFIG:
            return str(getattr(file, name))
        doc = as_object(row.get("doc"))
        value = doc.get(name.removeprefix("doc."))
        if value is None or isinstance(value, dict | list):
            known = sorted([*_CONFIG, *map(str, doc)])
            what = "no" if value is None else "more than one value for"
            raise InvalidInput(
                f"{place} has {what} {name!r} in its document{near(name, known)}. "
                f"There are: {listed(known)}."
            )
        return str(value)

    def _line_filter(self, file: _File, row: Json, turn: int) -> str:
        """The filter of a line; if unnamed, by its position in its document's lines."""
        if row.get("filter") is not None:
            return str(row["filter"])
        names = file.filters
        if len(names) > 1:
            return names[turn % len(names)]
        if self._filter is None or self._filter in {_UNNAMED, *names}:
            return self._filter or _UNNAMED
        return str(turn + 1)

    def _refuse_unnamed(
        self, row: Json, document: tuple[str, str], seen: _Seen, place: str
    ) -> None:
        """Refuse a line that differs from another of its document only by filter."""
        metrics = [(name, row.get(name)) for name in _metrics(row)]
        said = (
            _digest(row.get("resps")),
            _digest([row.get("filtered_resps"), metrics]),
        )
        before = seen.said.setdefault(document, said)
        if before[0] == said[0] and before[1] != said[1]:
            raise InvalidInput(
                f"{place} has document {shortened(document[0], 40)} again, with the "
                "same responses and another outcome: versions before 0.4.7 write a "
                "line for each filter without its name. Choose one by its number in "
                "the task's filter_list: --filter 1, or "
                f"--filter {seen.lines[document]}."
            )
        seen.said[document] = said

    def _outcomes(
        self,
        kind: Kind,
        file: _File,
        row: Json,
        place: str,
        behaviour: str,
        query: str,
    ) -> None:
        requests = _requests(row)
        context = requests[0].get("arg_0") if requests else None
        labels: dict[str, Any] = {
            "family": None
            if self._family is None
            else self._field(self._family, file, row, place),
            "text": str(context or "")[-_TEXT:],
            "place": place,
        }
        # A line has everything about its document, so an earlier one is a copy.
        self.gathered.renew(behaviour, query)
        prompt = _digest(context)
        if self._prompts.setdefault((behaviour, query), prompt) != prompt:
            self.gathered.superseded[query] = None
        if kind == "generate_until":
            for slot, (text, shows) in enumerate(self._shown(file, row, place)):
                if text is None:
                    said = "there is no response"
                    self.gathered.lose(
                        behaviour, query, slot, "errored", said, **labels
                    )
                elif shows is None:
                    said = f"{self._success} is not a number"
                    self.gathered.lose(
                        behaviour, query, slot, "unscored", said, **labels
                    )
                else:
                    self._matched = self._matched or shows
                    said = _NOTHING if text == "None" else _EMPTY
                    if text.strip() and text != "None":
                        said = "shows it" if shows else "does not"
                    outcome = HIT if shows else MISS
                    self.gathered.add(
                        behaviour, query, slot, outcome, said=said, **labels
                    )
            return
        risk = (
            _log_probability(row, place)
            if kind == "loglikelihood"
            else self._log_share(row, place)
        )
        if risk is None:
            said = "its log-probability is not a number"
            self.gathered.lose(behaviour, query, 0, "unscored", said, **labels)
        else:
            self.gathered.add(behaviour, query, 0, risk, **labels)

    def _identity(self, file: _File, document: tuple[str, str], seen: _Seen) -> str:
        """The hash of a document, with a number if others are equal to it.

        Unlike its position, its hash does not depend on the list of samples.
        """
        number, name = document
        equal = seen.equal.setdefault(name, {})
        turn = equal.setdefault(number, len(equal))
        if turn:
            name = f"{name}#{turn}"
        return f"{file.task}/{name}" if self._several_tasks else name

    def _by_pattern(self, kind: Kind, row: Json, place: str) -> bool:
        """Whether responses are judged by an expression, before any filter."""
        return kind == "generate_until" and self._metric(row, place) is None

    def _metric(self, row: Json, place: str) -> tuple[str, float] | None:
        """The metric, and its value for the behaviour; None for an expression."""
        success = self._success or ""
        metrics = _metrics(row)
        self._metrics.update(dict.fromkeys(metrics))
        found = _METRIC.fullmatch(success)
        name, value = (found["name"], found["value"]) if found else (success, "1")
        there = name in metrics
        if self._decided is None:
            self._decided = there, place
            if not there:
                self._pattern = self._compiled(success, metrics, place)
        elif self._decided[0] != there:
            one, other = place, self._decided[1]
            one, other = (one, other) if there else (other, one)
            raise InvalidInput(
                f"{one} has the metric {quoted(name, 60)}, but {other} does not. It "
                f"has: {listed(metrics) or 'none'}. Import the tasks separately."
            )
        return (name, float(value)) if there else None

    def _compiled(
        self, success: str, metrics: Sequence[str], place: str
    ) -> re.Pattern[str]:
        """The expression that responses with the behaviour match."""
        try:
            pattern = re.compile(success)
        except (re.error, OverflowError, RecursionError) as error:
            raise InvalidInput(
                f"--success {quoted(success, 60)} is neither a metric of {place} "
                f"({listed(metrics) or 'it has none'}) nor a regular expression: "
                f"{shortened(error, 80)}. Give one of the two."
            ) from error
        hint = near(success, metrics)
        if hint:
            raise InvalidInput(
                f"--success {quoted(success, 60)} is not a metric of {place}{hint}. "
                "Give a metric, or a regular expression that is less like one."
            )
        return pattern

    def _shown(
        self, file: _File, row: Json, place: str
    ) -> list[tuple[str | None, bool | None]]:
        """Each repeat (None if missing), and whether it shows the behaviour."""
        repeats = _repeats(row)
        wrong = [one for one in repeats if not isinstance(one, str | None)]
        if not repeats or wrong:
            raise InvalidData(
                f"{place} has resps {quoted(row['resps'], 60)}, which are not the "
                "repeated responses to one request. Give a log as lm-eval wrote it."
            )
        self._refuse_copies(file, row, len(repeats), place)
        metric = self._metric(row, place)
        if metric is None:
            assert self._pattern is not None
            return [
                (text, text is not None and self._pattern.search(text) is not None)
                for text in repeats
            ]
        name, wanted = metric
        if name not in row:
            raise InvalidData(
                f"{place} names the metric {quoted(name, 60)} but has no value for it. "
                "Give a log as lm-eval wrote it."
            )
        value = row[name]
        values = as_list(value) if isinstance(value, list) else [value]
        if len(values) != len(repeats):
            raise InvalidData(
                f"{place} has {len(repeats)} repeats and {_several(len(values))} of "
                f"{quoted(name, 60)}, which scores what the filter "
                f"{quoted(row.get('filter'), 40)} made of them, not each repeat. Give "
                "a regular expression to match with each repeat: --success REGEX."
            )
        shown: list[tuple[str | None, bool | None]] = []
        for text, one in zip(repeats, values, strict=True):
            number = _verdict(one)
            if number is None:
                raise InvalidData(
                    f"{place} has the value {quoted(one, 40)} of "
                    f"{quoted(name, 60)}, neither 0 nor 1. Give a regular expression, "
                    "--success REGEX, or another metric."
                )
            shown.append((text, None if math.isnan(number) else number == wanted))
        return shown

    def _refuse_copies(self, file: _File, row: Json, repeats: int, place: str) -> None:
        requests = _requests(row)
        settings = as_object(requests[0].get("arg_1") if requests else None)
        if not _is_greedy(settings):
            return
        if repeats > 1:
            raise InvalidData(
                f"{place} has {repeats} repeats that were generated greedily "
                f"(do_sample {settings.get('do_sample')}, temperature "
                f"{settings.get('temperature')}): they are copies of one response, not "
                "independent trials. Run the task with do_sample: true and the "
                "temperature of the deployment."
            )
        self._greedy[file.path.name] = None

    def _log_share(self, row: Json, place: str) -> float | None:
        """Log-probability of the chosen choice, normalised over all choices."""
        choices = _choices(row, place)
        wanted = (self._choice or "").strip()
        named = [number for number, (text, _) in enumerate(choices) if text == wanted]
        if len(named) != 1:
            texts = ", ".join(repr(text) for text, _ in choices)
            raise InvalidInput(
                f"{place} has {'no' if not named else 'more than one'} choice "
                f"{wanted!r}{near(wanted, [text for text, _ in choices])}. It has: "
                f"{texts}."
            )
        values = [value for _, value in choices]
        if any(math.isnan(value) for value in values) or max(values) == -math.inf:
            return None
        top = max(values)
        total = top + math.log(sum(math.exp(value - top) for value in values))
        return min(values[named[0]] - total, 0.0)


def _sample_logs(path: Path) -> list[Path]:
    """The sample logs of a results file; or the sample log itself."""
    found = _RESULTS.fullmatch(path.name)
    if found is None:
        return [path]
    pattern = f"{found['front']}samples_*_{found['date']}.jsonl"
    logs = sorted(path.parent.glob(pattern))
    if not logs:
        raise InvalidData(
            f"{path} has no {pattern} beside it. Run lm-eval with --log_samples, or "
            "give the sample logs themselves."
        )
    return logs


def _file(path: Path) -> _File:
    """A sample log, with the results beside it."""
    found = _NAME.fullmatch(path.name)
    date = found["date"] if found else ""
    task = found["task"] if found else path.stem.removeprefix("samples_")
    front = found["front"] if found else ""
    beside = path.with_name(f"{front}results_{date}.json")
    model = path.parent.resolve().name
    config: Json = {}
    if date and beside.is_file():
        results = as_object(JsonStream(file_chunks(beside), str(beside)).value())
        config = as_object(as_object(results.get("configs")).get(task))
        settings = as_object(results.get("config"))
        model = str(results.get("model_name") or settings.get("model") or model)
    return _File(path, task, date, model, config)


def _document(row: Json, place: str) -> tuple[str, str]:
    """The number of a document, and its hash or number."""
    number = row.get("doc_id")
    if not isinstance(number, int | str) or isinstance(number, bool):
        raise InvalidData(
            f"{place} has the doc_id {quoted(number, 40)}, which is neither text "
            "nor a whole number. Give a log as lm-eval wrote it."
        )
    given, content = row.get("doc_hash"), row.get("doc")
    if isinstance(given, str) and given:
        return str(number), given
    if not content:
        return str(number), str(number)
    try:
        # As versions from 0.4.3 on make the hash of a document.
        text = json.dumps(content, indent=2, ensure_ascii=False)
    except RecursionError as error:
        raise InvalidData(
            f"{place} has a document that is nested too deeply. Give a log as lm-eval "
            "wrote it."
        ) from error
    content = text.encode("utf-8", "surrogatepass")
    return str(number), hashlib.sha256(content).hexdigest()


def _metrics(row: Json) -> list[str]:
    """The metrics that a line has, named or not."""
    named = [name for name in as_list(row.get("metrics")) if isinstance(name, str)]
    return named or [name for name in row if name not in _OWN]


def _verdict(value: Any) -> float | None:
    """A value of a metric, if it is 0, 1 or missing (NaN); else None."""
    if value is None:
        return math.nan
    if isinstance(value, str):
        # Truth values of NumPy are written as text.
        value = {"True": 1, "False": 0}.get(value, value)
    try:
        number = float(value) if isinstance(value, int | float | str) else None
    except (ValueError, OverflowError):
        return None
    known = number is not None and (math.isnan(number) or number in {0.0, 1.0})
    return number if known else None


def _digest(content: Any) -> str:
    try:
        text = json.dumps(content)
    except RecursionError:
        text = "nested too deeply"
    return hashlib.sha256(text.encode()).hexdigest()


def _several(values: int) -> str:
    return "one value" if values == 1 else f"{values} values"


def _requests(row: Json) -> list[Json]:
    """The requests of a line, in their order."""
    given = row.get("arguments")
    if isinstance(given, dict):
        return [as_object(one) for one in as_object(given).values()]
    return [  # as older versions have them
        {f"arg_{number}": part for number, part in enumerate(as_list(one))}
        for one in as_list(given)
    ]


def _guessed(row: Json) -> str:
    """The kind of request, judged by its arguments."""
    requests = _requests(row)
    second = requests[0].get("arg_1") if requests else None
    if isinstance(second, dict):
        return "generate_until"
    if isinstance(second, str):
        return "loglikelihood" if len(requests) == 1 else "multiple_choice"
    return "loglikelihood_rolling"


def _repeats(row: Json) -> list[Any]:
    """The responses to the one request of a line."""
    resps = as_list(row.get("resps"))
    return as_list(resps[0]) if len(resps) == 1 else []


def _is_greedy(settings: Json) -> bool:
    """Whether every repeat is the same response."""
    sampled, temperature = settings.get("do_sample"), settings.get("temperature")
    if sampled is False or temperature == 0:
        return True
    # If neither is set, the harness decodes greedily.
    return sampled is None and temperature is None


def _pairs(row: Json, place: str) -> list[float]:
    """Log-probabilities of the requests of a line, after the filter."""
    pairs = as_list(row.get("filtered_resps"))
    try:
        # A missing one is written as null, or as the word None.
        firsts = [as_list(pair)[0] for pair in pairs]
        values = [math.nan if v in (None, "None") else float(v) for v in firsts]
    except (ValueError, TypeError, IndexError) as error:
        raise InvalidData(
            f"{place} has filtered_resps {str(pairs)[:80]!r}, which are not pairs of a "
            "log-probability and a truth value. Give a log as lm-eval wrote it."
        ) from error
    for value in values:
        if value > _ROUNDED:
            raise InvalidData(
                f"{place} has the log-probability {value:g}, but the logarithm of a "
                "probability is at most 0. Give a log as lm-eval wrote it."
            )
    return [min(value, 0.0) for value in values]


def _log_probability(row: Json, place: str) -> float | None:
    values = _pairs(row, place)
    if len(values) != 1:
        raise InvalidData(
            f"{place} has {len(values)} log-probabilities, but a loglikelihood request "
            "has one. Give a log as lm-eval wrote it."
        )
    return None if math.isnan(values[0]) else values[0]


def _choices(row: Json, place: str) -> list[tuple[str, float]]:
    """The choices of a line, each with its log-probability."""
    requests, values = _requests(row), _pairs(row, place)
    if len(requests) != len(values) or not requests:
        raise InvalidData(
            f"{place} has {len(requests)} choices and {len(values)} log-probabilities. "
            "Give a log as lm-eval wrote it."
        )
    half = len(requests) // 2
    # acc_mutual_info requests each choice again, without the question.
    if len(requests) == 2 * half and all(
        one.get("arg_0") == "" and one.get("arg_1") == other.get("arg_1")
        for one, other in zip(requests[half:], requests[:half], strict=True)
    ):
        requests, values = requests[:half], values[:half]
    texts = [str(one.get("arg_1", "")).strip() for one in requests]
    return list(zip(texts, values, strict=True))
